/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/2 inside TLS: plaintext to the walk of frames (h2_packet.h). What is read has the time at which its ciphertext
 * arrived; what is written, that of the call.
 */
#ifndef TW_TLS_H2_H
#define TW_TLS_H2_H

static __always_inline int h2_starts_plain(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (likely(is_h2(c)))
		return 1;
	return c->joining ? h2_joins(x) : h2_begins(x);
}

static __always_inline int run_h2(struct pt_regs *regs, int requests)
{
	struct ctx x = { .plain = 1 };
	struct tls_call *k = run_enter(&x);
	struct h2_work *w;
	int whole, writes;

	if (!k)
		return 0;
	w = h2_work_get(&x);
	if (!w)
		goto out;
	if (!h2_starts_plain(&x))
		goto out;
	writes = !requests == !(x.c->flags & TW_C_CLIENT);
	x.s.seq = x.t->h2_at[requests];
	if (requests)
		x.now = x.t_begin;
	h2_enter(&x, w, requests);
	whole = h2_walk(&x, w, requests);
	if (unlikely(!whole && writes && !x.s.off && !k->feed.late)) {
		run_unread(&x, k);
		return 0;
	}
	if (unlikely(!whole || (x.s.len && k->feed.calls >= CAREFUL_CALLS)))
		h2_breaks(&x, w);
	if (requests && x.t_read && w->pos)
		h2_item_u64(w, TW_H2_READ, x.s.seq, x.t_read);
	h2_send(&x, w, requests);
	h2_leave(&x, w, requests);
	x.t->h2_at[requests] = x.s.seq;
	if (unlikely(x.s.len && w->half.state != H2_BREAK)) {
		k->feed.calls++;
		run_leave(&x, regs, k, RUN_H2 + !requests);
		return 0;
	}
	if (writes && unlikely(k->feed.late))
		x.t->gone = x.t->written;
out:
	lane_release(x.l);
	return 0;
}

TLS_RUN(tls_run_h2_requests, run_h2(regs, 1))
TLS_RUN(tls_run_h2_responses, run_h2(regs, 0))

#endif
