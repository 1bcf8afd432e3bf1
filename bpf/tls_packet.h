/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packets of TLS connections: programs of their own, reached by tail call. */
#ifndef TW_TLS_PACKET_H
#define TW_TLS_PACKET_H

/* Makes the state of a connection that has turned out to be TLS; x->s is its first segment, or the first seen. */
static __always_inline struct tw_tls *tls_create(struct ctx *x, struct tw_conn *stub, __u64 cookie, int requests)
{
	struct tls_half *h;
	struct tw_tls *t;
	__u8 b[8] = {};

	bpf_map_update_elem(&tls_conns, &cookie, &tls_nothing, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&tls_conns, &cookie);
	if (!t) {
		count(x->l, stub->version, TW_L_NO_STATE);
		stub->kind = TW_IGNORED;
		return 0;
	}
	t->cookie = cookie;
	t->t_born = bpf_ktime_get_ns();
	__builtin_memcpy(&t->c, stub, sizeof(t->c));
	t->c.kind = TW_NEW;
	t->c.rq.state = H1_REQ;
	t->c.rs.state = H1_RES;
	h = x->ingress ? &t->in : &t->out;
	if (x->s.len < TLS_HEAD || bpf_skb_load_bytes(x->skb, x->s.off, b, TLS_HEAD) || !is_tls_record(b))
		h->lost = 1;
	if (stub->joining) {
		/* Found open: the first plaintext is a request's, or it is looked for. */
		conn_joins(&t->c);
		t->in.lost = t->out.lost = 1;
		h->lost = 0;
		t->flags = TLS_OPEN;
	}
	if (requests)
		t->c.rq.next = x->s.seq;
	else
		t->c.rs.next = x->s.seq;
	return t;
}

/* A part of the segment that has passed before is left out; one that lies ahead breaks the framing. */
static __always_inline void tls_order(struct ctx *x, struct tls_half *h, __u32 *next)
{
	__s32 ahead = x->s.seq - *next;
	struct tw_tls *t = x->t;

	if (unlikely(ahead > 0)) {
		wire_lost(x, h);
	} else if (unlikely(ahead < 0)) {
		if ((__u32)-ahead >= x->s.len) {
			count(x->l, x->c->version, TW_L_DUP_SEGMENTS);
			/* What closes a gap completes what came before it. */
			if (h->lost && x->ingress && t->span_head != t->span_tail)
				t->span[(t->span_head - 1) & (TLS_SPANS - 1)].t_last = x->now;
			segment_advance(x, x->s.len);
			return;
		}
		segment_advance(x, -ahead);
	}
	*next = x->s.seq + x->s.len;
}

/* What has been written of the oldest response when the connection ends: as the closing programs look at it. */
static __always_inline void tls_unfold(struct ctx *x)
{
	struct tw_tls *t = x->t;
	struct tw_conn *c = x->c;
	struct tls_due *d = &t->due[t->due_tail & (TLS_DUES - 1)];

	if (c->flags & TW_C_CLIENT)
		return;
	c->t_last = t->out.t_last;
	if (t->due_tail != t->due_head) {
		c->rs.status = d->status;
		c->rs.state = d->t_first ? H1_BODY : H1_RES;
		c->t_first = d->t_first;
	} else if (t->flags & TLS_PART && t->resp_first) {
		c->t_first = t->resp_first;
	} else if (t->flags & TLS_PART && c->rs.state != H1_LOST) {
		c->rs.state = H1_RES;
	}
}

/* The same of HTTP/2: user space is told. */
static __always_inline void tls_h2_closes(struct ctx *x, int requests, __u32 bye)
{
	struct tw_tls *t = x->t;
	struct tw_conn *c = x->c;

	/* The client's good-bye came before. */
	if (t->flags & TLS_LEFT) {
		t->flags &= ~TLS_LEFT;
		h2_closed(c, 1, 1, x->now, 0);
	}
	if (bye)
		h2_closed(c, 0, 1, x->now, 0);
	h2_closes(x, requests);
}

/* A close by either side; the server's good-bye is one. */
static __always_inline __u32 tls_close(struct ctx *x, int requests)
{
	__u32 what;
	__u32 bye = x->t->flags & TLS_BYE;

	if (likely(!(x->s.tcp_flags & (TCP_FIN | TCP_RST)) && !bye))
		return 0;
	x->t->flags &= ~TLS_BYE;
	if (unlikely(x->c->kind == TW_H2)) {
		tls_h2_closes(x, requests, bye);
		return 0;
	}
	if (!(x->s.tcp_flags & (TCP_FIN | TCP_RST))) {
		if (is_upgraded(x->c))
			return 0;
		tls_unfold(x);
		return server_closes(x->c);
	}
	if (is_upgraded(x->c)) {
		upgraded_closes(x->c, requests, x->s.tcp_flags);
		return 0;
	}
	tls_unfold(x);
	if (requests && x->t->flags & TLS_LEFT) {
		/* A reset behind its good-bye is a reset. */
		if (x->s.tcp_flags & TCP_RST)
			x->c->rq_ends &= ~TW_C_RQ_FIN;
		x->t->flags &= ~TLS_LEFT;
	}
	what = stream_close(x, x->s.tcp_flags, requests);
	if (unlikely(what && is_unread(x->t)))
		tls_unread_ends(x->t->cookie, what & 0xff, x->now, 0);
	return what;
}

static __always_inline int tls_done(struct ctx *x, void *tails, __u32 flush)
{
	if (unlikely(flush) && (flush & FLUSH_LOST || is_in_flight(x->c))) {
		x->skb->cb[0] = x->lane;
		x->skb->cb[2] = flush;
		bpf_tail_call(x->skb, tails, TAIL_TLS_FLUSH);
	}
	lane_release(x->l);
	return 1;
}

/* Finds the connection again: after a tail call that is all there is. */
static __always_inline int tls_enter(struct ctx *x, int ingress, int create)
{
	struct __sk_buff *skb = x->skb;
	struct tw_conn *stub;
	__u64 cookie;
	__u8 side;

	x->ingress = ingress;
	if (segment_parse(skb, &x->s))
		return 0;
	side = ports_side(ingress ? x->s.dport : x->s.sport, ingress ? x->s.sport : x->s.dport);
	x->sk = skb->sk;
	if (!x->sk)
		return 0;
	x->sk = bpf_sk_fullsock(x->sk);
	if (!x->sk || is_listener(x->sk))
		return 0;
	cookie = bpf_get_socket_cookie(skb);
	x->t = bpf_map_lookup_elem(&tls_conns, &cookie);
	/* Without data there is nothing to begin with: the socket that answers with a reset may be gone already. */
	if (!x->t && create && x->s.len) {
		stub = bpf_sk_storage_get(&conns, x->sk, 0, 0);
		if (stub && stub->kind == TW_TLS)
			x->t = tls_create(x, stub, cookie, (side == TW_PORT_SERVER) == !!ingress);
	}
	if (!x->t)
		return 0;
	x->c = &x->t->c;
	return 1;
}

static __always_inline int tls_packet(struct __sk_buff *skb, int ingress, void *tails, __u32 self)
{
	struct ctx x = { .skb = skb };
	struct tls_half *h;
	int requests;
	__u32 i;

	x.l = lane_claim(&x.lane);
	if (!x.l)
		return 1;
	if (!tls_enter(&x, ingress, 1)) {
		lane_release(x.l);
		return 1;
	}
	requests = !(x.c->flags & TW_C_CLIENT) == !!ingress;
	h = ingress ? &x.t->in : &x.t->out;
	x.now = (__u64)skb->cb[3] << 32 | skb->cb[2];
	if (unlikely(!x.now))
		x.now = segment_time(&x);
	withheld_packet(&x);
	if (ingress && requests && is_drain_watched(&x.s, 1))
		drain_end(&x);
	if (skb->cb[1]) {
		/* A segment with more records than one program takes. */
		x.s.seq += skb->cb[1] - x.s.off;
		x.s.len -= skb->cb[1] - x.s.off;
		x.s.off = skb->cb[1];
	} else if (x.s.len) {
		if (!ingress && !requests && unlikely(x.c->shut_at))
			window_leaves(x.c, segment_window(skb, &x.s), x.now);
		tls_order(&x, h, requests ? &x.c->rq.next : &x.c->rs.next);
		if (x.s.len)
			h->t_last = x.now;
		if (unlikely(h->lost) && x.s.len)
			wire_finds(&x, h);
	}
	for (i = 0; i < TLS_RECORDS && x.s.len; i++) {
		segment_hide(&x);
		if (unlikely(h->lost))
			wire_unframed(&x);
		else if (unlikely(!wire_record(&x, h)))
			wire_lost(&x, h);
	}
	if (unlikely(x.s.len)) {
		skb->cb[0] += 1;
		skb->cb[1] = x.s.off;
		lane_release(x.l);
		if (skb->cb[0] < CAREFUL_CALLS)
			bpf_tail_call(skb, tails, self);
		return 1;
	}
	if (!ingress && !requests && x.t->due_tail != x.t->due_head) {
		/* Behind the server's FIN nothing of what it has written can be missing. */
		if (unlikely(x.s.tcp_flags & TCP_FIN))
			x.t->gone = x.t->due[(x.t->due_head - 1) & (TLS_DUES - 1)].end;
		if (is_gone(x.t)) {
			skb->cb[0] = 0;
			lane_release(x.l);
			bpf_tail_call(skb, tails, TAIL_TLS_GONE);
			return 1;
		}
	}
	return tls_done(&x, tails, tls_close(&x, requests));
}

/* Responses have left: ends their exchanges, and then what the packet closes. */
static __always_inline int tls_responses_gone(struct __sk_buff *skb, void *tails)
{
	struct ctx x = { .skb = skb };

	x.l = lane_claim(&x.lane);
	if (!x.l)
		return 1;
	if (!tls_enter(&x, 0, 0)) {
		lane_release(x.l);
		return 1;
	}
	x.now = x.t->out.t_last;
	x.s.seq += x.s.len;
	if (unlikely(departs(&x))) {
		lane_release(x.l);
		bpf_tail_call(skb, tails, TAIL_TLS_GONE);
		return 1;
	}
	return tls_done(&x, tails, tls_close(&x, 0));
}

/*
 * Cuts the oldest exchange of a TLS connection. Proved once, see verified.h. 0: there is none, or it cannot be had.
 */
__attribute__((noinline)) int tls_cut(__u32 lane, __u64 cookie, __u32 outcome, __u64 now)
{
	struct ctx x = { .lane = lane, .now = now };
	struct tw_pipe *pipe;

	x.l = lane_get(lane);
	x.t = bpf_map_lookup_elem(&tls_conns, &cookie);
	if (!x.l || !x.t)
		return 0;
	x.c = &x.t->c;
	if (!is_in_flight(x.c) || pending_pipe(&x, x.c->tail, 0, &pipe))
		return 0;
	exchange_cut(&x, pipe, outcome);
	return 1;
}

/* The same with some of them, see exchanges_cut. 1: that was all. */
static __always_inline int tls_cut_some(struct ctx *x, __u32 *what, __u32 most)
{
	__u64 cookie = x->t->cookie;
	struct tw_conn *c = x->c;
	__u32 i;

	for (i = 0; i < most && tls_cut(x->lane, cookie, *what & 0xff, x->now); i++)
		flush_next(what);
	return !is_in_flight(c);
}

/* Ends some of what is in flight. 1: that was all. */
static __always_inline int tls_flush_some(struct ctx *x, __u32 *what)
{
	streaming_end(x->c, *what & 0xff);
	return tls_cut_some(x, what, FLUSH_STEP);
}

/* After the last of them. */
static __always_inline void tls_flushed(struct ctx *x, __u32 what)
{
	struct tw_tls *t = x->t;
	struct tw_conn *c = x->c;

	t->due_tail = t->due_head;
	t->flags &= ~TLS_PART;
	t->parsed = c->tail;
	if (what & FLUSH_LOST)
		streams_lose(x);
	else if (c->rs.state != H1_LOST)
		h1_reset(&c->rs, H1_RES);
}

static __always_inline int tls_flush(struct __sk_buff *skb, int ingress, void *tails)
{
	struct ctx x = { .skb = skb, .lane = skb->cb[0] };
	__u32 what = skb->cb[2];

	x.l = lane_get(x.lane);
	if (!x.l)
		return 1;
	if (tls_enter(&x, ingress, 0)) {
		int over = 1;

		x.now = segment_time(&x);
		if (claim(&x.c->cutting)) {
			over = tls_flush_some(&x, &what);
			claim_release(&x.c->cutting);
		}
		if (!over) {
			skb->cb[2] = what;
			bpf_tail_call(skb, tails, TAIL_TLS_FLUSH);
		}
		tls_flushed(&x, what);
	}
	lane_release(x.l);
	return 1;
}

#endif
