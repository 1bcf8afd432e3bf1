/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The careful engine's programs: heads that come in pieces, chunked bodies, several messages in a segment, segments
 * that were held back. Reached by tail call; skb->cb carries the place:
 *   cb[0] lane | cb[1] offset of the first byte | cb[2] bytes left | cb[3] TCP flags, by_tuple << 8, calls << 16
 *   cb[4] 0: the bytes are the packet's; k + 1: they are those of held segment k
 *
 * Bounded: CAREFUL_WINDOWS windows a program and CAREFUL_CALLS tail calls to itself a packet; a segment that needs more
 * loses step, which is counted.
 */
#ifndef TW_CAREFUL_H
#define TW_CAREFUL_H

#define CAREFUL_WINDOWS 8
#define FLUSH_STEP      16
/* The kernel allows 32 a packet; the first has led here, and those of a flush must be left. */
#define CAREFUL_CALLS (32 - 1 - TW_PIPELINE_MAX / FLUSH_STEP)

enum { TAIL_REQUESTS, TAIL_RESPONSES, TAIL_HOLD, TAIL_FLUSH = TAIL_HOLD + 2, TAIL_NR };

static __always_inline int packet_done(struct ctx *x)
{
	turn_end(x);
	lane_release(x->l);
	return 1;
}

/* Where responses arrive, a FIN may come before the bytes in front of it: it counts when they have come. */
static __always_inline __u8 fin_in_turn(struct ctx *x, __u8 tcp_flags)
{
	struct tw_conn *c = x->c;

	if (tcp_flags & TCP_FIN && (__s32)(x->s.seq + x->s.len - c->rs.next) > 0) {
		c->rs_fin = x->s.seq + x->s.len;
		c->rs_flags |= TW_C_RS_FIN_DUE;
		return tcp_flags & ~TCP_FIN;
	}
	if (c->rs_flags & TW_C_RS_FIN_DUE && c->rs.next == c->rs_fin) {
		c->rs_flags &= ~TW_C_RS_FIN_DUE;
		return tcp_flags | TCP_FIN;
	}
	return tcp_flags;
}

/*
 * What a side's FIN or RST means for what is in flight: the outcomes to flush with, or 0 when nothing ends (no flush is
 * 0: an exchange that a close ends is never all TW_ANSWERED).
 */
static __always_inline __u32 stream_close(struct ctx *x, __u8 tcp_flags, int requests)
{
	struct tw_conn *c = x->c;
	__u32 next = requests ? c->rq.next : c->rs.next;
	__u8 first, rest, fin;

	if (x->ingress && !requests)
		tcp_flags = fin_in_turn(x, tcp_flags);
	if (likely(!(tcp_flags & (TCP_FIN | TCP_RST))))
		return 0;
	/*
	 * A RST that arrives counts only where TCP expects it (RFC 5961, 3.2); others are answered by a challenge. A
	 * FIN that came before it takes a place in the stream.
	 */
	fin = requests ? c->flags & TW_C_RQ_FIN : c->rs_flags & TW_C_RS_FIN;
	if (x->ingress && tcp_flags & TCP_RST && x->s.seq != next && !(fin && x->s.seq == next + 1))
		return 0;
	if (tcp_flags & TCP_RST)
		idle_reset(c, requests);
	/* Whoever closed first ended it: what resets a connection after that is often the kernel. */
	if (requests) {
		if (!(tcp_flags & TCP_RST) && !fin)
			c->t_rq_fin = x->now ? x->now : segment_time(x);
		c->flags |= tcp_flags & TCP_RST ? TW_C_RQ_RST : TW_C_RQ_FIN;
		rest = fin ? TW_CLIENT_ABANDONED : TW_RESET_BY_CLIENT;
		return tcp_flags & TCP_RST ? FLUSH(rest, rest) : 0;
	}
	c->rs_flags |= tcp_flags & TCP_RST ? TW_C_RS_RST : TW_C_RS_FIN;
	if (tcp_flags & TCP_RST) {
		rest = c->flags & TW_C_RQ_FIN ? TW_CLIENT_ABANDONED : TW_RESET_BY_SERVER;
		return FLUSH(rest, rest);
	}
	if (c->rs.state == H1_LOST)
		return FLUSH(TW_UNOBSERVED, TW_UNOBSERVED);
	rest = c->flags & TW_C_RQ_FIN ? TW_CLIENT_ABANDONED : TW_UNANSWERED;
	if (c->rs.state == H1_UNTIL_CLOSE)
		first = TW_ANSWERED;
	else if (c->flags & TW_C_RQ_FIN)
		first = TW_CLIENT_ABANDONED;
	else
		first = c->rs.state != H1_RES ? TW_TRUNCATED : TW_UNANSWERED;
	return FLUSH(first, rest);
}

/* Step is lost for good or until a place to join again is found: what to flush with. */
static __always_inline __u32 conn_lost(struct ctx *x)
{
	struct tw_conn *c = x->c;

	/* What could not be followed to its end may be HTTP all the same; what broke the grammar at once is not. */
	if (c->kind == TW_NEW && c->rq.state == H1_BAD) {
		count(x->l, c->version, TW_L_NOT_HTTP);
		c->kind = TW_IGNORED;
		return 0;
	}
	c->kind = TW_HTTP;
	count(x->l, c->version, TW_L_DESYNC);
	return FLUSH(TW_UNOBSERVED, TW_UNOBSERVED) | FLUSH_LOST;
}

/*
 * Both streams wait for a place to join again: for the requests, not before the server has spoken. One that has gone
 * astray has none.
 */
static __always_inline void streams_lose(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (is_astray(c))
		c->kind = TW_IGNORED;
	c->rq.state = c->rs.state = H1_LOST;
	c->in_head = 0;
	c->rq_lost = 1;
	c->spoke = x->ingress == !!(c->flags & TW_C_CLIENT);
}

/* The end of every packet program: flushes if something has to end, and gives back what was claimed. */
static __always_inline int packet_end(struct ctx *x, void *tails, __u32 flush)
{
	struct tw_conn *c = x->c;

	if (unlikely(flush) && (flush & FLUSH_LOST || c->tail != c->head)) {
		x->skb->cb[0] = x->lane;
		x->skb->cb[2] = flush;
		x->skb->cb[3] = x->by_tuple << 8;
		turn_end(x);
		bpf_tail_call(x->skb, tails, TAIL_FLUSH);
		/* Out of tail calls: what is in flight stays so, and is ended with the socket. */
		streams_lose(x);
	}
	return packet_done(x);
}

/* The held segment that brings the next byte: its number + 1, or 0. Those that lie behind are let go. */
static __always_inline __u32 held_next(struct ctx *x, struct tw_held *h, __u32 expected)
{
	__u32 i;

	for (i = 0; i < TW_HELD; i++) {
		struct tw_held_segment *s = &h->s[i];

		if (!s->len || (__s32)(s->seq - expected) > 0)
			continue;
		if ((__s32)(s->seq + s->len - expected) > 0)
			return i + 1;
		s->len = 0;
		x->c->held--;
	}
	return 0;
}

/* Puts the context together again after a tail call. 0: impossible, the packet is let go. */
static __always_inline int careful_enter(struct ctx *x, int ingress)
{
	struct __sk_buff *skb = x->skb;
	struct tw_tuple k;

	x->ingress = ingress;
	x->lane = skb->cb[0];
	x->l = lane_get(x->lane);
	if (!x->l)
		return 0;
	x->c = 0;
	x->by_tuple = skb->cb[3] >> 8 & 1;
	x->sk = skb->sk;
	if (!x->sk || segment_parse(skb, &x->s))
		goto fail;
	x->sk = bpf_sk_fullsock(x->sk);
	if (!x->sk)
		goto fail;
	if (!x->by_tuple)
		x->c = bpf_sk_storage_get(&conns, x->sk, 0, 0);
	else if (!segment_tuple(skb, &x->s, ingress, &k))
		x->c = bpf_map_lookup_elem(&early, &k);
	if (!x->c)
		goto fail;
	x->s.seq += skb->cb[1] - x->s.off;
	x->s.off = skb->cb[1];
	x->s.len = skb->cb[2];
	x->s.tcp_flags = skb->cb[3];
	if (ingress)
		turn_begin(x);
	return 1;
fail:
	lane_release(x->l);
	return 0;
}

/* Up to H1_CAREFUL bytes into the window. Returns how many, 0 on failure. */
static __always_inline __u32 careful_load(struct ctx *x, __u32 held_at)
{
	__u32 n = x->s.len, at;
	struct tw_held *h;

	if (n > H1_CAREFUL)
		n = H1_CAREFUL;
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (H1_CAREFUL - 1)) + 1;
	/* A value of its own each time, or the windows to come are proved once with a held segment and once without. */
	held_at ^= x->l->zero;
	if (!held_at)
		return bpf_skb_load_bytes(x->skb, x->s.off, x->l->window, n) ? 0 : n;
	h = held_get(x, 0);
	at = x->s.off;
	if (!h || at > TW_HELD_BYTES - H1_CAREFUL)
		return 0;
	held_at = (held_at - 1) & (TW_HELD - 1);
	return bpf_probe_read_kernel(x->l->window, n, &h->data[held_at][at]) ? 0 : n;
}

/* One window of the segment: body bytes are counted off, others go through the automaton. */
static __always_inline enum next careful_window(struct ctx *x, int requests, __u32 held_at)
{
	struct tw_conn *c = x->c;
	struct h1 *p = requests ? &c->rq : &c->rs;
	enum h1_event e;
	__u32 n;

	if (is_counting(p)) {
		if (!requests)
			response_skip(x);
		else if (body_skip(x, p))
			h1_reset(p, H1_REQ);
		return NEXT_CAREFUL;
	}
	if (requests && p->state == H1_REQ) {
		c->t_head = x->now;
	} else if (!requests && p->state == H1_RES) {
		if (c->tail == c->head)
			response_stray(c);
		c->t_first = x->now;
	}
	if (p->state == H1_LOST) {
		segment_advance(x, x->s.len);
		return NEXT_DONE;
	}
	/* What can be long: many small chunks, and lines that nobody wants to know. */
	if ((p->state == H1_CHUNK || p->state == H1_SKIP) && !held_at && x->s.len > H1_CAREFUL) {
		n = window_load(x);
		if (n)
			n = p->state == H1_CHUNK ? walk_chunks(x->lane, n) : skip_line(x->lane, n);
		if (n && n <= x->s.len) {
			segment_advance(x, n);
			return NEXT_CAREFUL;
		}
	}
	n = careful_load(x, held_at);
	if (!n)
		return NEXT_LOST;
	x->l->run = *p;
	if (!requests)
		x->l->text.length = c->rs_length;
	e = requests ? run_request(x->lane, n) : run_response(x->lane, n);
	*p = x->l->run;
	if (!requests)
		c->rs_length = x->l->text.length;
	segment_advance(x, x->l->used);
	return requests ? request_event(x, e) : response_event(x, e);
}

/* Has the stream come to what was let go? 1: and it is needed, for it does not lie within a body. */
static __always_inline int held_missed(struct tw_conn *c, struct tw_held *h)
{
	__u32 next = c->rq.next, needed = h->to - next;

	if (!h->let_go || (__s32)(next - h->from) < 0)
		return 0;
	h->let_go = 0;
	c->held--;
	return (__s32)needed > 0 && (c->rq.state != H1_BODY || c->rq.left < needed);
}

/* The same program once more. Returns only when that cannot be had. */
static __always_inline void careful_again(struct ctx *x, void *tails, __u32 self)
{
	if (x->skb->cb[3] >> 16 >= CAREFUL_CALLS)
		return;
	x->skb->cb[3] += 1 << 16;
	turn_end(x);
	bpf_tail_call(x->skb, tails, self);
}

/* The segment has been used up: is there a held one that follows? Tail-calls into it, or returns. */
static __always_inline __u32 careful_held(struct ctx *x, int requests, void *tails, __u32 self)
{
	struct tw_conn *c = x->c;
	__u32 expected = requests ? c->rq.next : c->rs.next, k;
	struct tw_held_segment *s;
	struct tw_held *h;

	if (!c->held)
		return 0;
	h = held_get(x, 0);
	if (!h)
		return 0;
	k = held_next(x, h, expected);
	if (!k)
		return requests && held_missed(c, h) ? conn_lost(x) : 0;
	s = &h->s[(k - 1) & (TW_HELD - 1)];
	x->skb->cb[1] = expected - s->seq;
	x->skb->cb[2] = s->len - (expected - s->seq);
	x->skb->cb[4] = k;
	if (requests)
		c->rq.next = s->seq + s->len;
	else
		c->rs.next = s->seq + s->len;
	x->skb->cb[3] &= ~0xff; /* the packet's flags have been heeded */
	careful_again(x, tails, self);
	return conn_lost(x);
}

static __always_inline int careful(struct __sk_buff *skb, int ingress, int requests, void *tails, __u32 self)
{
	struct ctx x = { .skb = skb };
	struct h1_text *t = 0;
	struct tw_held *h;
	enum next next = NEXT_CAREFUL;
	__u32 held_at = skb->cb[4], flush, i;

	if (!careful_enter(&x, ingress))
		return 1;
	if (requests) {
		t = text_get(&x, 1);
		if (!t)
			return packet_end(&x, tails, conn_lost(&x));
		if (is_in_head(x.c->rq.state))
			x.l->text = *t;
	}
	x.now = segment_time(&x);
	if (ingress && held_at) {
		h = held_get(&x, 0);
		if (h)
			x.now = h->s[(held_at - 1) & (TW_HELD - 1)].t;
	}
	held_at ^= x.l->zero; /* see careful_load */
	count(x.l, x.c->version, TW_L_CAREFUL);
	if (!requests)
		x.c->t_last = x.now;
	for (i = 0; i < CAREFUL_WINDOWS && next == NEXT_CAREFUL && x.s.len && x.c->kind != TW_IGNORED; i++)
		next = careful_window(&x, requests, held_at);
	if (!requests)
		response_goes_on(&x);
	if (t) {
		x.c->in_head = is_in_head(x.c->rq.state);
		if (x.c->in_head)
			*t = x.l->text;
	}
	if (next == NEXT_CAREFUL && x.s.len && x.c->kind != TW_IGNORED) {
		skb->cb[1] = x.s.off;
		skb->cb[2] = x.s.len;
		careful_again(&x, tails, self);
		next = NEXT_LOST;
	}
	flush = stream_close(&x, x.s.tcp_flags, requests);
	if (next == NEXT_LOST)
		flush = conn_lost(&x);
	else if (ingress)
		flush |= careful_held(&x, requests, tails, self);
	return packet_end(&x, tails, flush);
}

/* Joins a stretch of body to one that is held and touches it. 1: done. */
static __always_inline int held_join(struct tw_held_segment *s, __u32 seq, __u32 n)
{
	__s32 at = seq - s->seq;

	if (!s->len || !s->no_data)
		return 0;
	if (at >= 0 && at <= (__s32)s->len) {
		if (at + n > s->len)
			s->len = at + n;
		return 1;
	}
	if (at < 0 && at + (__s32)n >= 0) {
		s->len = n > s->len - at ? n : s->len - at;
		s->seq = seq;
		return 1;
	}
	return 0;
}

/*
 * No room for a segment of requests. While a head is missing, a window's worth of the body behind it may come: whether
 * it was needed shows when the gap closes. 0, or -1 when too much has been let go.
 */
static __always_inline int held_let_go(struct ctx *x, struct tw_held *h)
{
	__u32 seq = x->s.seq, end = x->s.seq + x->s.len;

	if (h->let_go >= TW_LET_GO)
		return -1;
	if (!h->let_go) {
		x->c->held++;
		h->from = seq;
		h->to = end;
	}
	if ((__s32)(seq - h->from) < 0)
		h->from = seq;
	if ((__s32)(end - h->to) > 0)
		h->to = end;
	h->let_go++;
	return 0;
}

/* Keeps a segment that came before the bytes in front of it. 0, or -1 when there is no room. */
static __always_inline int hold_segment(struct ctx *x, struct h1 *p, __u32 expected)
{
	struct tw_held *h = held_get(x, 1);
	__u64 ahead = x->s.seq - expected;
	struct tw_held_segment *s;
	__u32 i, n = x->s.len, inside, room = TW_HELD;

	/* Wholly inside the body that is being counted: only its place matters. */
	inside = p->state == H1_UNTIL_CLOSE || (is_counting(p) && ahead + x->s.len <= p->left);
	if (!h || (!inside && n > TW_HELD_BYTES - H1_CAREFUL))
		return -1;
	if (!x->c->held)                                      /* what is left there waited for a stream that was lost */
		__builtin_memset(h->s, 0, sizeof(h->s) + 16); /* and from, to, let_go */
	for (i = 0; i < TW_HELD; i++) {
		s = &h->s[i];
		if (inside && held_join(s, x->s.seq, n))
			return 0;
		if (s->len && s->seq == x->s.seq && s->len >= n)
			return 0; /* a copy of what is held already */
		if (!s->len)
			room = i;
	}
	if (room >= TW_HELD)
		return p == &x->c->rq ? held_let_go(x, h) : -1;
	s = &h->s[room];
	s->seq = x->s.seq;
	s->t = bpf_ktime_get_ns();
	s->no_data = inside;
	if (!inside) {
		asm volatile("" : "+r"(n));
		n = ((n - 1) & 2047) + 1;
		if (n > TW_HELD_BYTES || bpf_skb_load_bytes(x->skb, x->s.off, h->data[room], n))
			return -1;
	}
	s->len = x->s.len;
	x->c->held++;
	count(x->l, x->c->version, TW_L_REORDERED);
	return 0;
}

/*
 * A gap in a request body: which of its bytes are missing does not matter, only where it ends. Steps there.
 * NEXT_HOLD: the segment lies behind that; NEXT_CAREFUL: what is left of it starts there; NEXT_DONE: nothing is left.
 */
static __always_inline enum next request_leap(struct ctx *x)
{
	struct tw_conn *c = x->c;
	__s32 ahead;

	c->rq.next += c->rq.left;
	if (c->rq.state == H1_BODY)
		h1_reset(&c->rq, H1_REQ);
	else
		c->rq.state = H1_CHUNK_END;
	ahead = x->s.seq - c->rq.next;
	if (ahead > 0)
		return NEXT_HOLD;
	if ((__u32)-ahead >= x->s.len)
		return NEXT_DONE;
	segment_advance(x, -ahead);
	c->rq.next = x->s.seq + x->s.len;
	return NEXT_CAREFUL;
}

static __always_inline int hold(struct __sk_buff *skb, int requests, void *tails)
{
	struct ctx x = { .skb = skb };
	enum next next = NEXT_HOLD;
	__u32 flush = 0;

	if (!careful_enter(&x, 1))
		return 1;
	if (requests && is_counting(&x.c->rq))
		next = request_leap(&x);
	if (next == NEXT_CAREFUL) {
		skb->cb[1] = x.s.off;
		skb->cb[2] = x.s.len;
		turn_end(&x);
		bpf_tail_call(skb, tails, TAIL_REQUESTS);
		flush = conn_lost(&x);
	} else if (next == NEXT_HOLD &&
	           hold_segment(&x, requests ? &x.c->rq : &x.c->rs, requests ? x.c->rq.next : x.c->rs.next)) {
		flush = conn_lost(&x);
	} else {
		stream_close(&x, x.s.tcp_flags & TCP_FIN, requests); /* remembers it; nothing can end here */
	}
	return packet_end(&x, tails, flush);
}

/* Ends what is in flight with the outcomes in cb[2]. The status of a response that had begun is kept. */
static __always_inline int flush(struct __sk_buff *skb, int ingress, void *tails)
{
	struct ctx x = { .skb = skb };
	__u32 what = skb->cb[2], i;
	struct tw_pipe *pipe;
	struct tw_conn *c;
	__u8 outcome;

	skb->cb[1] = 0;
	if (!careful_enter(&x, ingress))
		return 1;
	x.now = segment_time(&x);
	c = x.c;
	streaming_end(c, what & 0xff);
	for (i = 0; i < FLUSH_STEP; i++) {
		if (c->tail == c->head)
			break;
		if (pending_pipe(&x, c->tail, 0, &pipe))
			break;
		outcome = what;
		exchange_cut(&x, pipe, outcome);
		what = (what & ~0xff) | (what >> 8 & 0xff);
	}
	skb->cb[2] = what;
	if (c->tail != c->head) {
		turn_end(&x);
		bpf_tail_call(skb, tails, TAIL_FLUSH);
	}
	if (what & FLUSH_LOST) {
		streams_lose(&x);
		c->held = 0;
	} else if (c->rs.state != H1_LOST) {
		h1_reset(&c->rs, H1_RES);
	}
	return packet_done(&x);
}

#endif
