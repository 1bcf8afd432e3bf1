/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Segments that came before the bytes in front of them: kept until those have come, as far as their bytes matter.
 */
#ifndef TW_HELD_H
#define TW_HELD_H

/* By who has claimed it. */
static __always_inline void held_drop(struct ctx *x, struct tw_held_segment *s)
{
	__u32 len = s->len; /* or another has just dropped it */

	s->len = 0;
	claim_release(&s->busy);
	if (len)
		x->c->held--;
}

static __always_inline struct tw_held_segment *held_at(struct tw_held *h, __u32 k)
{
	k--;
	asm volatile("" : "+r"(k));
	return &h->s[k & (TW_HELD - 1)];
}

/*
 * The held segment that brings the next byte: its number + 1, or 0. It is claimed: of two CPUs that come to it one has
 * it. Let go of are `own`, which has just been read, and one of those that lie behind. It is chosen first and claimed
 * then: what is in the loop is proved for each.
 */
static __always_inline __u32 held_next(struct ctx *x, struct tw_held *h, __u32 expected, __u32 own)
{
	__u32 i, zero = x->l->zero, due = zero, behind = zero; /* or the verifier would go on once for each */

	for (i = 0; i < TW_HELD; i++) {
		struct tw_held_segment *s = &h->s[i];

		if (!s->len || (__s32)(s->seq - expected) > 0)
			continue;
		if ((__s32)(s->seq + s->len - expected) > 0)
			due = (i + 1) ^ zero;
		else if (i + 1 != own)
			behind = (i + 1) ^ zero;
	}
	if (own && due != own)
		held_drop(x, held_at(h, own));
	if (unlikely(behind) && claim(&held_at(h, behind)->busy))
		held_drop(x, held_at(h, behind));
	if (!due || due == own)
		return due;
	if (!claim(&held_at(h, due)->busy))
		return 0;
	if (likely(*(volatile __u32 *)&held_at(h, due)->len))
		return due;
	claim_release(&held_at(h, due)->busy);
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
	k = held_next(x, h, expected, x->skb->cb[4]);
	if (!k)
		return requests && held_missed(c, h);
	s = &h->s[(k - 1) & (TW_HELD - 1)];
	x->skb->cb[1] = expected - s->seq;
	x->skb->cb[2] = s->len - (expected - s->seq);
	x->skb->cb[4] = k;
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
	return NEXT_CAREFUL;
}

/* Is it still early? What comes in the middle of a body is never waited for. */
static __always_inline enum next hold_order(struct ctx *x, int requests)
{
	struct h1 *p = requests ? &x->c->rq : &x->c->rs;

	if (requests && is_counting(p) && !is_h2(x->c))
		return request_leap(x);
	x->turns = 0;
	if (!segment_is_due(x, p))
		return NEXT_HOLD;
	return segment_order(x, p->next, p->state == H1_LOST);
}

/* On to what reads it. Returns only when that cannot be had. */
static __always_inline void hold_ends(struct ctx *x, int requests, void *tails)
{
	x->skb->cb[1] = x->s.off;
	x->skb->cb[2] = x->s.len;
	turn_end(x);
	bpf_tail_call(x->skb, tails, requests ? TAIL_REQUESTS : TAIL_RESPONSES);
}

/* What precedes it may have shown meanwhile, on another CPU, what the connection speaks. 1: it is TLS, all is done. */
static __always_inline int hold_leaves(struct ctx *x, void *tails)
{
	if (unlikely(is_h2(x->c)))
		packet_tail(x, tails, TAIL_H2_FIRST);
	if (likely(x->c->kind != TW_TLS))
		return 0;
	x->now = segment_time(x);
	turn_end(x);
	lane_release(x->l);
	packet_tls(x, tails);
	return 1;
}

/*
 * It is kept, and then asked once more: what precedes it may have shown what the connection speaks (see h2_early.h), or
 * have been seen by one who found nothing kept.
 */
#define KEPT_NS 150 /* until others see what has been written before, without a fence */
static __always_inline void hold_kept(struct ctx *x, int requests, void *tails)
{
	claim_fence(&x->c->starting);
	if (unlikely(is_h2(x->c)))
		packet_tail(x, tails, TAIL_H2_FIRST);
	if (!segment_awaits(x, requests ? &x->c->rq : &x->c->rs, KEPT_NS))
		return;
	if (unlikely(is_h2(x->c)))
		packet_tail(x, tails, TAIL_H2_FIRST);
	count(x->l, x->c->version, TW_L_CONTENDED);
	x->s.len = 0;
	hold_ends(x, requests, tails);
}

static __always_inline int hold(struct __sk_buff *skb, int requests, void *tails)
{
	struct ctx x = { .skb = skb };
	enum next next;
	__u32 flush = 0;
	struct h1 *p;

	if (!careful_enter(&x, 1))
		return 1;
	p = requests ? &x.c->rq : &x.c->rs;
	next = hold_order(&x, requests);
	if (hold_leaves(&x, tails))
		return 1;
	if (next == NEXT_CAREFUL) {
		hold_ends(&x, requests, tails);
		flush = conn_lost(&x);
	} else if (next == NEXT_HOLD && hold_segment(&x, p, p->next)) {
		flush = conn_lost(&x);
	} else {
		stream_close(&x, x.s.tcp_flags & TCP_FIN, requests); /* remembers it; nothing can end here */
		if (next == NEXT_HOLD)
			hold_kept(&x, requests, tails);
	}
	return packet_end(&x, tails, flush);
}

#endif
