/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walk over an HTTP/2 connection's frames, and its packets: programs of their own, reached by tail call (what is
 * handed over: see tails.h).
 *
 * Bounded: H2_WINDOWS windows a program, which calls itself CAREFUL_CALLS times. A segment with more frames than that,
 * or one that cannot be kept until what precedes it has come, breaks its direction, which user space is told.
 */
#ifndef TW_H2_PACKET_H
#define TW_H2_PACKET_H

#define H2_WINDOWS 8
/* In cb[3]: */
#define H2_CLAIMED  0x200 /* the walk is ours */
#define H2_STRAIGHT 0x400 /* from the first program: the work has the segment's place and time */

/* Where the head of a frame is gathered. */
static __always_inline __u8 *h2_head(struct tw_conn *c, int requests)
{
	return requests ? (__u8 *)c->hash : (__u8 *)c->seen;
}
_Static_assert(sizeof(((struct tw_conn *)0)->hash) >= sizeof(((struct h2_work *)0)->head),
               "a head and what may be loaded beyond it");
_Static_assert(sizeof(((struct tw_conn *)0)->seen) >= sizeof(((struct h2_work *)0)->head),
               "a head and what may be loaded beyond it");

/* Where frames begin is not known from here on. */
static __always_inline void h2_breaks(struct ctx *x, struct h2_work *w)
{
	w->half.state = H2_BREAK;
	w->half.status = H2_TELL_NOTHING;
	w->half.flags = 0;
	h2_item(w, TW_H2_LOST, x->s.seq);
}

/* The next bytes into the window, at most a window full; returns how many, 0 when they cannot be had. */
static __always_inline __u32 h2_load(struct ctx *x, struct h2_work *w, int requests)
{
	__u32 n = x->s.len, held_at = x->held_at ^ x->l->zero; /* see careful_load */

	if (n > H2_WINDOW)
		n = H2_WINDOW;
	asm volatile("" : "+r"(n)); /* see window_load */
	n = ((n - 1) & (H2_WINDOW - 1)) + 1;
	if (x->plain)
		return bpf_probe_read_user(w->window, n, x->user + x->s.off) ? 0 : n;
	if (unlikely(held_at))
		return h2_early_load(x, w, requests, n);
	return bpf_skb_load_bytes(x->skb, x->s.off, w->window, n) ? 0 : n;
}

/* h2_step, proved once: see verified.h. */
__attribute__((noinline)) int h2_step_some(__u32 lane, __u32 at, __u32 n)
{
	struct h2_work *w = bpf_map_lookup_elem(&h2_works, &lane);

	return w ? h2_step(w, at, n) : 0;
}

/* The window; returns how many bytes of it were frames. */
__attribute__((noinline)) int h2_walk_window(__u32 lane, __u32 n)
{
	__u32 at = 0, i;

	for (i = 0; i < H2_STEPS && at < n; i++) {
		__u32 took = h2_step_some(lane, at, n);

		if (!took)
			break;
		at += took;
	}
	return at;
}

/* A direction whose frames are not known is joined where a segment begins with what can be the head of one. */
static __always_inline void h2_finds(struct ctx *x, struct h2_work *w, int requests)
{
	struct h1 *p = &w->half;

	if (x->s.len >= TW_H2_HEAD && h2_load(x, w, requests) >= TW_H2_HEAD && h2_may_be_head(w->window)) {
		p->state = H2_AT;
		p->flags = 0;
		p->status = H2_TELL_JOINED;
	} else {
		segment_advance(x, x->s.len);
	}
}

/* The direction begins, or is joined, at the next byte. */
static __always_inline void h2_tell(struct ctx *x, struct h2_work *w)
{
	struct h1 *p = &w->half;
	__u32 at = x->s.seq;

	if (likely(p->status == H2_TELL_NOTHING || p->status == H2_JOINED) || !x->s.len)
		return;
	if (p->status == H2_TELL_JOINED) {
		h2_item(w, TW_H2_JOINED, at);
		p->status = H2_JOINED;
		return;
	}
	/* Behind the client's preface; a head may have begun before the connection was known to be upgraded. */
	h2_item(w, TW_H2_BEGINS, p->state == H2_SKIP ? at + (__u32)p->left : at - (p->flags & 15));
	p->status = H2_TELL_NOTHING;
}

/* Payload that nobody wants to see, without looking at it. */
static __always_inline void h2_skip(struct ctx *x, struct h2_work *w)
{
	__u32 n = x->s.len;

	if (w->half.state != H2_SKIP)
		return;
	if (n > w->half.left)
		n = w->half.left;
	segment_advance(x, n);
	h2_skipped(w, n, x->s.seq);
}

/* As much of the segment as a program takes. 0: the direction has broken here. */
static __always_inline int h2_walk(struct ctx *x, struct h2_work *w, int requests)
{
	struct h1 *p = &w->half;
	__u32 i, n, took;

	if (unlikely(p->state == H2_BREAK) && x->s.len)
		h2_finds(x, w, requests);
	h2_tell(x, w);
	for (i = 0; i < H2_WINDOWS; i++) {
		segment_hide(x);
		h2_skip(x, w);
		if (!x->s.len)
			return 1;
		if (unlikely(h2_is_full(w)))
			h2_send(x, w, requests);
		n = h2_load(x, w, requests);
		if (!n)
			return 0;
		w->seq = x->s.seq;
		took = h2_walk_window(x->lane, n);
		segment_advance(x, took);
		if (unlikely(took != n))
			return 0;
	}
	return 1;
}

/* Takes up the walk of a direction, and lays it down again. */
static __always_inline void h2_enter(struct ctx *x, struct h2_work *w, int requests)
{
	w->pos = w->run = w->asked = 0;
	w->now = x->now;
	w->half = *h2_half(x->c, requests);
	__builtin_memcpy(w->head, h2_head(x->c, requests), sizeof(w->head));
}

static __always_inline void h2_leave(struct ctx *x, struct h2_work *w, int requests)
{
	struct h1 *p = h2_half(x->c, requests);

	__builtin_memcpy(h2_head(x->c, requests), w->head, sizeof(w->head));
	p->left = w->half.left;
	p->status = w->half.status;
	p->flags = w->half.flags;
	*(volatile __u8 *)&p->state = w->half.state;
	barrier();
	if (!x->plain)
		*(volatile __u32 *)&p->next = x->s.seq;
	if (requests)
		h2_asked(x, w->asked);
}

/* What closes a direction; see stream_close. */
static __always_inline void h2_closes(struct ctx *x, int requests)
{
	__u8 f = x->s.tcp_flags, fin;
	struct tw_conn *c = x->c;
	__u32 next = h2_half(c, requests)->next;

	if (x->ingress && !requests)
		f = fin_in_turn(x, f);
	if (likely(!(f & (TCP_FIN | TCP_RST))))
		return;
	fin = requests ? c->rq_ends & TW_C_RQ_FIN : c->rs_flags & TW_C_RS_FIN;
	if (x->ingress && f & TCP_RST && x->s.seq != next && !(fin && x->s.seq == next + 1))
		return;
	if (requests)
		c->rq_ends |= f & TCP_RST ? TW_C_RQ_RST : TW_C_RQ_FIN;
	else
		c->rs_flags |= f & TCP_RST ? TW_C_RS_RST : TW_C_RS_FIN;
	h2_closed(c, requests, !!x->t, x->now ? x->now : segment_time(x), f & TCP_RST);
}

/* How a connection begins to speak HTTP/2 is found by the programs that follow it otherwise. 0: it does not. */
static __always_inline int h2_starts(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (likely(is_h2(c)))
		return 1;
	return c->joining ? h2_joins(x) : h2_begins(x);
}

/* Takes the place up again. 0: it cannot. */
static __always_inline int h2_packet_enter(struct ctx *x, int ingress)
{
	x->held_at = x->skb->cb[4];
	if (!careful_enter(x, ingress))
		return 0;
	x->turns = 0; /* see h2_arrives */
	return 1;
}

/* To the next program, from where this one has come to. Returns only when that cannot be had. */
static __always_inline void h2_tail(struct ctx *x, void *tails, __u32 tail)
{
	x->skb->cb[1] = x->s.off;
	x->skb->cb[2] = x->s.len;
	bpf_tail_call(x->skb, tails, tail);
}

/* What h2_straight has left. 0: it cannot be had. */
static __always_inline int h2_straight_enter(struct ctx *x, int ingress)
{
	struct __sk_buff *skb = x->skb;
	struct h2_work *w;

	skb->cb[3] &= ~H2_STRAIGHT;
	x->ingress = ingress;
	x->lane = skb->cb[0];
	x->l = lane_get(x->lane);
	w = h2_work_get(x);
	if (!x->l || !w)
		return 0;
	x->sk = skb->sk;
	x->sk = x->sk ? bpf_sk_fullsock(x->sk) : 0;
	x->c = x->sk ? bpf_sk_storage_get(&conns, x->sk, 0, 0) : 0;
	if (!x->c) {
		lane_release(x->l);
		return 0;
	}
	x->now = w->now;
	x->s.seq = w->seq;
	x->s.off = skb->cb[1];
	x->s.len = skb->cb[2];
	x->s.tcp_flags = skb->cb[3];
	return 1;
}

static __always_inline int h2_asks(const struct ctx *x)
{
	return !(x->c->flags & TW_C_CLIENT) == !!x->ingress;
}

/*
 * Of a connection that is known for HTTP/2, from the first program of all: a segment in its turn, as nearly all are, is
 * taken at once, or goes straight to the walk. 0: neither can be had, and nothing has changed.
 */
static __always_inline int h2_straight(struct ctx *x, int requests, void *tails)
{
	struct h1 *p = h2_half(x->c, requests);
	struct h2_work *w = h2_work_get(x);

	if (unlikely(!w || !x->s.len || x->s.seq != *(volatile __u32 *)&p->next ||
	             *(volatile __u8 *)&p->state == H2_BREAK))
		return 0;
	if (x->ingress && unlikely(!claim(h2_claim_of(x->c, requests))))
		return 0;
	if (!x->ingress || likely(x->s.seq == *(volatile __u32 *)&p->next)) {
		if (likely(h2_at_once(x, w, requests))) {
			if (x->ingress)
				claim_release(h2_claim_of(x->c, requests));
			if (x->ingress && unlikely(*(volatile __u8 *)&x->c->held))
				packet_tail(x, tails, TAIL_H2_EARLY); /* see h2_walked */
			return 1;
		}
		w->seq = x->s.seq;
		w->now = x->now;
		x->skb->cb[0] = x->lane;
		x->skb->cb[1] = x->s.off;
		x->skb->cb[2] = x->s.len;
		x->skb->cb[3] = x->s.tcp_flags | (x->by_tuple ? 1 << 8 : H2_STRAIGHT) | (x->ingress ? H2_CLAIMED : 0);
		x->skb->cb[4] = 0;
		bpf_tail_call(x->skb, tails, TAIL_H2);
	}
	if (x->ingress)
		claim_release(h2_claim_of(x->c, requests));
	return 0;
}

/* ---- the first program: is the segment in its turn? -------------------------------------------------------------- */

enum h2_turn {
	H2_NOW,
	H2_BEFORE, /* all of it has been seen */
	H2_EARLY_ONE,
};

static __always_inline enum h2_turn h2_order(struct ctx *x, struct h1 *p)
{
	enum next next;

	if (!x->s.len)
		return H2_NOW;
	next = segment_order(x, *(volatile __u32 *)&p->next, *(volatile __u8 *)&p->state == H2_BREAK);
	return next == NEXT_HOLD ? H2_EARLY_ONE : next == NEXT_DONE ? H2_BEFORE : H2_NOW;
}

/*
 * What arrives may do so on several CPUs at once: what one sends the acknowledgement that another handles may send on,
 * and on a loopback both arrive where they were sent. 1: the segment is in its turn, and the walk is ours; 0: it is
 * not, or another has the walk.
 */
static __always_inline int h2_arrives(struct ctx *x, int requests, enum h2_turn *turn)
{
	struct h1 *p = h2_half(x->c, requests);

	*turn = h2_order(x, p);
	if (*turn != H2_NOW)
		return 0;
	if (!h2_claim_walk(x->c, requests)) {
		*turn = H2_EARLY_ONE;
		return 0;
	}
	*turn = h2_order(x, p);
	if (likely(*turn == H2_NOW))
		return 1;
	claim_release(h2_claim_of(x->c, requests));
	return 0;
}

/* The direction breaks: a segment that cannot be kept is missing. */
static __always_inline void h2_misses(struct h1 *p)
{
	p->state = H2_BREAK;
	p->status = H2_TELL_NOTHING;
}

/* Does it still come before what will show what the connection speaks? Then it is kept for both. */
static __always_inline int h2_is_undecided(struct ctx *x, int requests)
{
	return !segment_is_due(x, h2_half(x->c, requests)) && x->c->kind == TW_NEW;
}

/* It has come too early. Without room for it it will be missed, or is missed already. */
static __always_inline void h2_early_one(struct ctx *x, int requests, int undecided)
{
	x->now = segment_time(x);
	if (!h2_keep(x, requests)) {
		if (undecided)
			return; /* it is held as well, which is counted */
		x->c->held = 1;
		count(x->l, x->c->version, TW_L_REORDERED);
	} else if (!undecided) {
		h2_misses(h2_half(x->c, requests));
	}
}

static __always_inline int h2_first(struct __sk_buff *skb, int ingress, void *tails)
{
	enum h2_turn turn = H2_NOW;
	struct ctx x = { .skb = skb };
	int requests, undecided;

	if (!h2_packet_enter(&x, ingress))
		return 1;
	requests = h2_asks(&x);
	/* What was so may have turned out to be HTTP/1 meanwhile, on another CPU, or this: hold() finds out. */
	undecided = ingress && skb->cb[3] & TAIL_AS_UNDECIDED;
	if (unlikely(undecided)) {
		turn = h2_is_undecided(&x, requests) && h2_names_early(&x) ? H2_EARLY_ONE : H2_BEFORE;
	} else if (unlikely(!h2_starts(&x))) {
		return packet_done(&x);
	} else if (!ingress) {
		/* What leaves does so in order, and one at a time. */
		if (unlikely(h2_order(&x, h2_half(x.c, requests)) == H2_EARLY_ONE))
			h2_misses(h2_half(x.c, requests));
		h2_tail(&x, tails, TAIL_H2);
		return packet_done(&x);
	} else if (likely(h2_arrives(&x, requests, &turn))) {
		skb->cb[3] |= H2_CLAIMED;
		h2_tail(&x, tails, TAIL_H2);
		claim_release(h2_claim_of(x.c, requests));
		return packet_done(&x);
	}
	if (turn == H2_EARLY_ONE && x.s.len)
		h2_early_one(&x, requests, undecided);
	if (unlikely(undecided)) {
		h2_tail(&x, tails, TAIL_HOLD + (requests ? TAIL_REQUESTS : TAIL_RESPONSES));
		return packet_done(&x);
	}
	h2_closes(&x, requests);
	if (x.c->held)
		bpf_tail_call(skb, tails, TAIL_H2_EARLY);
	return packet_done(&x);
}

/* What comes behind a 101, as long as it may be HTTP/2. */
static __always_inline int h2_upgrade(struct __sk_buff *skb, int ingress, void *tails)
{
	struct ctx x = { .skb = skb };
	int requests;

	if (!h2_packet_enter(&x, ingress))
		return 1;
	requests = h2_asks(&x);
	if (is_h2(x.c) || h2_upgrades(&x, requests))
		h2_tail(&x, tails, TAIL_H2_FIRST);
	else
		upgraded_packet(&x, !ingress == !!requests);
	return packet_done(&x);
}

/* ---- early segments ---------------------------------------------------------------------------------------------- */

/* Takes up an early segment in the place of the packet's. */
static __always_inline void h2_early_enter(struct ctx *x)
{
	struct h2_early *e = h2_early_get(x->c, 0);
	struct h2_early_segment *s;

	if (!e)
		return;
	s = &e->s[(x->held_at - 1) & (H2_EARLY - 1)];
	x->now = s->t;
	x->s.seq = s->seq + x->s.off;
}

/*
 * One of them has come in its turn. Tail-calls into it, or returns: 1: it lay behind, and was let go; 0: there is no
 * call left, and the next packet finds it.
 */
static __always_inline int h2_early_walk(struct ctx *x, struct h1 *p, __u32 k, void *tails)
{
	struct h2_early *e = h2_early_get(x->c, 0);
	struct h2_early_segment *s;
	__u32 behind;

	if (!e)
		return 0;
	s = &e->s[(k - 1) & (H2_EARLY - 1)];
	behind = *(volatile __u32 *)&p->next - s->seq;
	if (behind < s->len) {
		x->skb->cb[3] = (x->skb->cb[3] & ~0xff) | H2_CLAIMED; /* the packet's flags have been heeded */
		x->skb->cb[4] = k;
		x->s.off = behind;
		x->s.len = s->len - behind;
		h2_tail(x, tails, TAIL_H2);
		return 0;
	}
	h2_early_drop(x->c->h2_name, k);
	return 1;
}

/* What has come in its turn by now is walked over, by one who finds it. With H2_CLAIMED, the walk is ours already. */
static __always_inline int h2_goes_on(struct __sk_buff *skb, void *tails)
{
	struct ctx x = { .skb = skb };
	__u32 k, i, *walk;
	int requests;
	struct h1 *p;

	if (!h2_packet_enter(&x, 1))
		return 1;
	requests = h2_asks(&x);
	p = h2_half(x.c, requests);
	walk = h2_claim_of(x.c, requests);
	if (x.held_at)
		h2_early_drop(x.c->h2_name, x.held_at);
	if (!(skb->cb[3] & H2_CLAIMED) && !h2_claim_walk(x.c, requests))
		return packet_done(&x);
	for (i = 0; i < H2_TRIES; i++) {
		k = h2_early_due(x.c->h2_name, requests, *(volatile __u32 *)&p->next);
		if (k && h2_early_walk(&x, p, k, tails))
			continue;
		claim_release(walk);
		/* Somebody may have come meanwhile, and have been refused. */
		if (k || !h2_early_due(x.c->h2_name, requests, *(volatile __u32 *)&p->next) ||
		    !h2_claim_walk(x.c, requests))
			return packet_done(&x);
	}
	claim_release(walk);
	return packet_done(&x);
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

/* The end of a walk over what has arrived: on to what came early, if there is something. */
static __always_inline void h2_walked(struct ctx *x, int requests, void *tails)
{
	x->skb->cb[4] = x->held_at;
	if (x->c->held)
		bpf_tail_call(x->skb, tails, TAIL_H2_EARLY);
	if (x->held_at)
		h2_early_drop(x->c->h2_name, x->held_at);
	/* An atomic operation: what is kept from here on finds where this one has come to, or is found here. */
	claim_release(h2_claim_of(x->c, requests));
	if (likely(!*(volatile __u8 *)&x->c->held) || x->held_at)
		return;
	x->skb->cb[3] &= ~H2_CLAIMED;
	bpf_tail_call(x->skb, tails, TAIL_H2_EARLY);
}

/* Walks over what there is, as far as it goes. A segment without payload has no place in the stream to be noted. */
static __always_inline void h2_payload(struct ctx *x, int requests, void *tails)
{
	struct __sk_buff *skb = x->skb;
	struct h2_work *w = h2_work_get(x);

	if (!w || !x->s.len)
		return;
	if (x->ingress && unlikely(x->held_at))
		h2_early_enter(x);
	else if (!x->now)
		x->now = segment_time(x);
	h2_enter(x, w, requests);
	if (!x->ingress && !requests)
		h2_was_read(x->c, w);
	if (unlikely(!h2_walk(x, w, requests)))
		h2_breaks(x, w);
	else if (unlikely(x->s.len && skb->cb[3] >> 16 >= CAREFUL_CALLS))
		h2_breaks(x, w);
	h2_send(x, w, requests);
	h2_leave(x, w, requests);
	if (likely(!x->s.len || w->half.state == H2_BREAK))
		return;
	skb->cb[1] = x->s.off;
	skb->cb[2] = x->s.len;
	careful_again(x, tails, TAIL_H2);
}

static __always_inline int h2_packet(struct __sk_buff *skb, int ingress, void *tails)
{
	struct ctx x = { .skb = skb };
	int requests;

	if (!(skb->cb[3] & H2_STRAIGHT ? h2_straight_enter(&x, ingress) : h2_packet_enter(&x, ingress)))
		return 1;
	requests = h2_asks(&x);
	h2_payload(&x, requests, tails);
	h2_closes(&x, requests);
	if (ingress)
		h2_walked(&x, requests, tails);
	return packet_done(&x);
}

#endif
