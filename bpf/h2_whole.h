/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/2 as it mostly comes: a short segment, or what a process reads or writes at once, that is a few whole frames. It
 * is put into a record as it is, without the walk (h2_packet.h), which leads to the same.
 *
 * Invariant: what cannot be taken so is left as it was.
 */
#ifndef TW_H2_WHOLE_H
#define TW_H2_WHOLE_H

static __always_inline void h2_asked(struct ctx *x, __u32 n)
{
	struct tw_conn *c = x->c;

	if (!n)
		return;
	c->pushed += n;
	if (likely(c->flags & TW_C_DECODED))
		return;
	c->flags |= TW_C_DECODED;
	count(x->l, c->version, TW_L_DECODED);
}

/* It begins with the head of a frame, and nothing of it is to be told but frames. */
static __always_inline int h2_may_be_whole(const struct ctx *x, const struct h1 *p)
{
	return x->s.len <= H2_WHOLE && p->state == H2_AT && !p->flags && p->status == H2_TELL_NOTHING;
}

/* Of what lies at x->s, n bytes are put in order in the work from `pos` on. *kept of them are sent; 0: not so. */
static __always_inline __u32 h2_whole_load(struct ctx *x, struct h2_work *w, __u32 pos, __u32 *asked, __u32 *ends)
{
	__u32 n = x->s.len, failed;

	asm volatile("" : "+r"(n), "+r"(pos)); /* see window_load */
	n = ((n - 1) & (H2_WHOLE - 1)) + 1;
	pos &= 63;
	if (x->plain)
		failed = !!bpf_probe_read_user(w->items + pos, n, x->user + x->s.off);
	else
		failed = !!bpf_skb_load_bytes(x->skb, x->s.off, w->items + pos, n);
	return failed ? 0 : h2_whole(w, pos, n, asked, ends);
}

/* A segment of the packet's, in its turn. */
static __always_inline int h2_at_once(struct ctx *x, struct h2_work *w, int requests)
{
	__u32 asked = 0, ends = 0, pos = sizeof(struct tw_h2_item), kept;
	int answers = !x->ingress && !requests;
	struct h1 *p = h2_half(x->c, requests);

	if (!h2_may_be_whole(x, p) || x->c->held || x->s.tcp_flags & (TCP_FIN | TCP_RST) ||
	    x->c->rs_flags & TW_C_RS_FIN_DUE)
		return 0;
	if (answers && x->c->h2_read_t)
		pos += sizeof(struct tw_h2_item) + 8; /* behind the one that says so */
	kept = h2_whole_load(x, w, pos, &asked, &ends);
	if (!kept)
		return 0;
	w->pos = w->run = 0;
	w->seq = x->s.seq;
	if (answers)
		h2_was_read(x->c, w);
	h2_whole_is_sent(w, x->s.len, kept, ends);
	h2_send(x, w, requests);
	*(volatile __u32 *)&p->next = x->s.seq + x->s.len;
	if (requests)
		h2_asked(x, asked);
	return 1;
}

/* Plaintext of a TLS connection. */
static __always_inline int h2_plain_at_once(struct ctx *x, int requests)
{
	__u32 asked = 0, ends = 0, kept, *at = &x->t->h2_at[!!requests];
	struct h2_work *w = h2_work_get(x);

	if (!w || !x->s.len || !h2_may_be_whole(x, h2_half(x->c, requests)))
		return 0;
	kept = h2_whole_load(x, w, sizeof(struct tw_h2_item), &asked, &ends);
	if (!kept)
		return 0;
	w->pos = w->run = 0;
	w->seq = *at;
	if (requests)
		x->now = x->t_begin;
	h2_whole_is_sent(w, x->s.len, kept, ends);
	*at += x->s.len;
	if (requests && x->t_read)
		h2_item_u64(w, TW_H2_READ, *at, x->t_read);
	h2_send(x, w, requests);
	if (requests)
		h2_asked(x, asked);
	return 1;
}

#endif
