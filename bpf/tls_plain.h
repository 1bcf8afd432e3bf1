/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plaintext, as a process reads it from its TLS library or writes it there: to the same streams as that of sockets.
 *
 * Invariants: what is read has the time at which its ciphertext arrived; what is written ends an exchange when its
 * ciphertext leaves (tls_wire.h); plaintext whose connection is not known is counted and not looked at. A program may
 * be preempted by that of another thread: what goes from one to the next lies with the thread, not with the CPU.
 */
#ifndef TW_TLS_PLAIN_H
#define TW_TLS_PLAIN_H

/* Of the careful engine, a program; it calls itself. Every program more is time at the start. */
#define TLS_WINDOWS 4

/* Which program of tls_runs: the loader fills it in this order. */
enum {
	RUN_REQUESTS,
	RUN_RESPONSES,
	RUN_CAREFUL, /* + one of these two */
	RUN_FLUSH = RUN_CAREFUL + 2,
	RUN_GONE,
	RUN_CLIENT,                      /* + one of the first four: where we are the client */
	RUN_H2 = RUN_CLIENT + RUN_FLUSH, /* + one of the first two */
	RUN_NR = RUN_H2 + 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, RUN_NR);
	__type(key, __u32);
	__type(value, __u32);
} tls_runs SEC(".maps");

/*
 * From 6.13 on a uprobe's program without a tail call has a stack of the CPU's, not of the thread's, and still another
 * thread may come to it there while the first is stopped inside: either would find the other's keys on its stack. So
 * all of them have a tail call, be it one that is never made.
 */
const volatile __u8 never;

static __always_inline void stack_of_its_own(struct pt_regs *regs)
{
	if (unlikely(never))
		bpf_tail_call(regs, &tls_runs, RUN_NR);
}

/* ---- what arrived ------------------------------------------------------------------------------------------------ */

/*
 * A library hands over the plaintext of one record, or a part of it. Other messages look the same on the wire (RFC
 * 8446, 5.2): the handshake's last, tickets, changes of keys. One that cannot have held n bytes was of that kind.
 */
static __always_inline int span_is_other(struct tw_tls *t, __u32 at, __u32 room, __u32 n)
{
	struct tls_span *s = &t->span[at & (TLS_SPANS - 1)], *next = &t->span[(at + 1) & (TLS_SPANS - 1)];

	if (s->records != 1 || t->span_used)
		return 0;
	if (n > room)
		return 1;
	if (t->flags & TLS_TOOK || at + 1 == *(volatile __u32 *)&t->span_head)
		return 0;
	/* The client's "finished" comes first, and may be just as long: HTTP/2 often begins with 52 bytes. */
	if (n == room && !(is_disguised(t, s->len) && finishing(t)))
		return 0;
	return next->records == 1 && next->len == n + t->overhead;
}

/* n bytes of plaintext have been handed over: when did their ciphertext arrive? */
static __always_inline void span_take(struct ctx *x, __u32 n)
{
	struct tw_tls *t = x->t;
	__u32 head = *(volatile __u32 *)&t->span_head, i, room, each = t->overhead ? t->overhead : TLS_TAG;
	struct tls_span *s;

	/* What is not a constant to the verifier does not make it look at all that follows once more. */
	x->t_begin = x->t_read = x->l->zero;
	for (i = 0; i < TLS_STEP; i++) {
		__u32 tail = t->span_tail;

		if (tail == head || !n)
			break;
		s = &t->span[tail & (TLS_SPANS - 1)];
		room = s->records ? s->records * each : each;
		room = s->len > room ? s->len - room : 0;
		if (span_is_other(t, tail, room, n) || t->span_used >= room) {
			t->span_used = 0;
			t->span_tail = tail + 1;
			continue;
		}
		if (!x->t_begin) {
			x->t_begin = s->t_first;
			x->t_read = s->t_read;
		}
		x->now = s->t_last;
		room -= t->span_used;
		t->span_used += n < room ? n : room;
		if (room <= (n < room ? n : room) + (t->overhead ? 0 : TLS_SLACK - TLS_TAG)) {
			t->span_used = 0;
			t->span_tail = tail + 1;
		}
		n = n > room ? n - room : 0;
	}
	if (!x->t_begin)
		x->t_begin = x->now = t->t_took ? t->t_took : bpf_ktime_get_ns();
	t->t_took = x->now;
	t->flags |= TLS_TOOK;
}

/* ---- from one program to the next -------------------------------------------------------------------------------- */

static __always_inline struct tls_call *caller_self(void)
{
	__u64 id = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&tls_callers, &id);
}

/* Takes up what the thread has in hand. 0: it cannot; the lane is claimed otherwise. */
static __always_inline struct tls_call *run_enter(struct ctx *x)
{
	struct tls_call *k = caller_self();
	struct tw_feed *f;
	__u64 cookie;

	if (!k)
		return 0;
	f = &k->feed;
	cookie = f->cookie;
	x->t = bpf_map_lookup_elem(&tls_conns, &cookie);
	if (!x->t)
		return 0;
	x->c = &x->t->c;
	x->l = lane_claim(&x->lane);
	if (!x->l)
		return 0;
	x->user = (const char *)f->user;
	x->s.off = f->off;
	x->s.len = f->len;
	x->now = f->now;
	x->t_begin = f->t_begin;
	x->t_read = f->t_read;
	return k;
}

static __always_inline void run_leave(struct ctx *x, struct pt_regs *regs, struct tls_call *k, __u32 to)
{
	k->feed.off = x->s.off;
	k->feed.len = x->s.len;
	lane_release(x->l);
	bpf_tail_call(regs, &tls_runs, to);
}

/*
 * Memory that nobody has touched yet cannot be read here. The library will touch it: it is looked at when the call
 * returns.
 */
static __always_inline void run_unread(struct ctx *x, struct tls_call *k)
{
	__u64 key = k->feed.key;
	struct tls_call *call = key ? bpf_map_lookup_elem(&tls_callers, &key) : 0;
	struct tw_tls *t = x->t;

	if (call) {
		call->late = 1;
		t->flags |= TLS_LATE;
		t->accepted = t->written = call->base;
	} else {
		count(x->l, x->c->version, TW_L_TLS_UNJOINED);
	}
	lane_release(x->l);
}

/* The end of a program: on to the next one, if there is more to be done. */
static __always_inline int run_end(struct ctx *x, struct pt_regs *regs, struct tls_call *k, enum next next,
                                   int requests, int client)
{
	struct tw_conn *c = x->c;

	if (unlikely(next == NEXT_H2)) {
		if (!is_h2(c) || !h2_plain_at_once(x, requests)) {
			run_leave(x, regs, k, RUN_H2 + !requests);
			return 0;
		}
		if (!requests == !client && unlikely(k->feed.late))
			x->t->gone = x->t->written;
		lane_release(x->l);
		return 0;
	}
	if (x->later && c->rs.state == H1_BAD)
		next = NEXT_LOST;
	if (x->later && unlikely(next == NEXT_LATE)) {
		run_unread(x, k);
		return 0;
	}
	if (unlikely(next == NEXT_CAREFUL && x->s.len && c->kind != TW_IGNORED)) {
		if (k->feed.calls++ < CAREFUL_CALLS) {
			run_leave(x, regs, k, client + RUN_CAREFUL + (requests ? RUN_REQUESTS : RUN_RESPONSES));
			return 0;
		}
		next = NEXT_LOST;
	}
	if (unlikely(next == NEXT_LOST)) {
		k->feed.flush = conn_lost(x);
		if (k->feed.flush) {
			run_leave(x, regs, k, RUN_FLUSH);
			return 0;
		}
	}
	/* Its ciphertext had left before anybody could look at it. */
	if (x->later && unlikely(k->feed.late)) {
		x->t->gone = x->t->written;
		departs_first(x, x->t->out.t_last);
		run_leave(x, regs, k, RUN_GONE);
		return 0;
	}
	lane_release(x->l);
	return 0;
}

static __always_inline int run_first(struct pt_regs *regs, int requests, int client)
{
	struct ctx x = { .plain = 1, .later = !requests && !client, .ingress = requests == !client };
	struct tls_call *k = run_enter(&x);
	struct tw_conn *c;
	__u8 first = 0;
	int starts = 0;
	enum next next;

	if (!k)
		return 0;
	c = x.c;
	if (unlikely(x.t->flags & TLS_WITHHELD || (client && tls_withholding)) &&
	    tls_withheld_plain(x.t->cookie, x.ingress)) {
		lane_release(x.l);
		return 0;
	}
	if (x.ingress)
		span_take(&x, x.s.len);
	else
		x.now = x.t_begin = bpf_ktime_get_ns();
	if (unlikely(c->kind == TW_IGNORED)) {
		if (is_upgraded(c) && c->rs.status == 101 && x.s.len <= WS_CLOSE_BYTES)
			bpf_probe_read_user(&first, 1, x.user);
		if (is_upgraded(c))
			upgraded_bytes(c, requests, first == WS_CLOSE);
		lane_release(x.l);
		return 0;
	}
	if (!requests && unlikely(c->rq_lost))
		c->spoke = 1;
	k->feed.now = x.now;
	k->feed.t_begin = x.t_begin;
	k->feed.t_read = x.t_read;
	if (unlikely(c->kind == TW_NEW))
		starts = start_claim(c);
	if (unlikely(is_h2(c)))
		next = NEXT_H2;
	else
		next = requests ? request_segment(&x) : response_segment(&x);
	if (unlikely(starts))
		claim_release(&c->starting);
	return run_end(&x, regs, k, next, requests, client);
}

static __always_inline int run_careful(struct pt_regs *regs, int requests, int client)
{
	struct ctx x = { .plain = 1, .later = !requests && !client, .ingress = requests == !client };
	struct tls_call *k = run_enter(&x);
	enum next next = NEXT_CAREFUL;
	struct tw_conn *c;
	__u32 i;

	if (!k)
		return 0;
	c = x.c;
	if (requests && is_in_head(c->rq.state))
		x.l->text = x.t->text;
	count(x.l, c->version, TW_L_CAREFUL);
	for (i = 0; i < TLS_WINDOWS && next == NEXT_CAREFUL && x.s.len && c->kind != TW_IGNORED; i++)
		next = careful_window(&x, requests, 0);
	if (requests) {
		c->in_head = is_in_head(c->rq.state);
		if (c->in_head)
			x.t->text = x.l->text;
	}
	return run_end(&x, regs, k, next, requests, client);
}

#define TLS_RUN(name, what)            \
	SEC("?uprobe")                 \
	int name(struct pt_regs *regs) \
	{                              \
		return what;           \
	}

TLS_RUN(tls_run_requests, run_first(regs, 1, 0))
TLS_RUN(tls_run_responses, run_first(regs, 0, 0))
TLS_RUN(tls_run_requests_careful, run_careful(regs, 1, 0))
TLS_RUN(tls_run_responses_careful, run_careful(regs, 0, 0))
TLS_RUN(tls_run_client_requests, run_first(regs, 1, RUN_CLIENT))
TLS_RUN(tls_run_client_responses, run_first(regs, 0, RUN_CLIENT))
TLS_RUN(tls_run_client_requests_careful, run_careful(regs, 1, RUN_CLIENT))
TLS_RUN(tls_run_client_responses_careful, run_careful(regs, 0, RUN_CLIENT))

SEC("?uprobe")
int tls_run_gone(struct pt_regs *regs)
{
	struct ctx x = { .plain = 1 };
	struct tls_call *k = run_enter(&x);

	if (!k)
		return 0;
	x.now = x.t->out.t_last;
	if (departs(&x)) {
		run_leave(&x, regs, k, RUN_GONE);
		return 0;
	}
	lane_release(x.l);
	return 0;
}

SEC("?uprobe")
int tls_run_flush(struct pt_regs *regs)
{
	struct ctx x = { .plain = 1 };
	struct tls_call *k = run_enter(&x);

	if (!k)
		return 0;
	if (!tls_flush_some(&x, &k->feed.flush)) {
		run_leave(&x, regs, k, RUN_FLUSH);
		return 0;
	}
	tls_flushed(&x, k->feed.flush);
	lane_release(x.l);
	return 0;
}

#endif
