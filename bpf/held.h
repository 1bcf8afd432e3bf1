/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Segments that came before the bytes in front of them: kept until those have come, as far as their bytes matter.
 */
#ifndef TW_HELD_H
#define TW_HELD_H

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

/* The segment has been used up: is there a held one that follows? Tail-calls into it, or returns 1: step is lost; 0. */
static __always_inline int careful_held(struct ctx *x, int requests, void *tails, __u32 self)
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
		return requests && held_missed(c, h);
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
	return 1;
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
	if (!h)
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
	if (room >= TW_HELD || (!inside && n > TW_HELD_MOST))
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
	if (unlikely(is_h2(x.c)))
		packet_tail(&x, tails, TAIL_H2_FIRST);
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
		/* What precedes it may have shown meanwhile what the connection speaks: see h2_early.h. */
		claim_fence(&x.c->starting);
		if (unlikely(is_h2(x.c)))
			packet_tail(&x, tails, TAIL_H2_FIRST);
	}
	return packet_end(&x, tails, flush);
}

#endif
