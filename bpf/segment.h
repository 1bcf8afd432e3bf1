/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bytes of a segment, wherever they lie: reading them, using them up, bringing them in step with the stream. */
#ifndef TW_SEGMENT_H
#define TW_SEGMENT_H

enum next {
	NEXT_DONE,    /* the segment has been used up */
	NEXT_CAREFUL, /* from x->s.off on it needs the careful engine */
	NEXT_HOLD,    /* it came too early */
	NEXT_LOST,    /* step is lost */
	NEXT_TLS,     /* the connection's bytes are TLS records */
	NEXT_LATE,    /* plaintext that cannot be read yet */
	NEXT_ENDS,    /* the response has its last byte: see response_ends */
	NEXT_LEAVES,  /* the same, and the connection leaves HTTP with it */
	NEXT_H2,      /* the connection's bytes are HTTP/2 frames */
};

/* Reads the segment from its current place into the lane's window. Returns the bytes read, 0 on failure. */
static __always_inline __u32 window_load(struct ctx *x)
{
	__u32 n = x->s.len;

	if (n > H1_WINDOW)
		n = H1_WINDOW;
	if (!n)
		return 0;
	/* The verifier of older kernels wants the bounds of n from one expression, and cannot know that n != 0. */
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (H1_WINDOW - 1)) + 1;
	if (x->plain)
		return bpf_probe_read_user(x->l->window, n, x->user + x->s.off) ? 0 : n;
	return bpf_skb_load_bytes(x->skb, x->s.off, x->l->window, n) ? 0 : n;
}

/* Takes n bytes of the segment as used. */
static __always_inline void segment_advance(struct ctx *x, __u32 n)
{
	x->s.off += n;
	x->s.len -= n;
	x->s.seq += n;
}

/* The verifier forgets what it knows of the place: see h1_scan_some_lines. */
static __always_inline void segment_hide(struct ctx *x)
{
	x->s.off ^= x->l->zero;
	x->s.len ^= x->l->zero;
	x->s.seq ^= x->l->zero;
}

/* How far back a segment may lie to be one that was sent again; only asked while step is lost. */
#define TW_AGAIN (1 << 24)

/*
 * Brings the segment in step with `expected`: cuts off what was seen before. While step is lost nothing is waited for.
 * NEXT_CAREFUL here means: go on with it.
 */
static __always_inline enum next segment_order(struct ctx *x, __u32 expected, int lost)
{
	__s32 ahead = x->s.seq - expected;

	if (likely(ahead == 0) || (lost && (ahead > 0 || ahead < -TW_AGAIN)))
		return NEXT_CAREFUL;
	if (ahead > 0)
		return NEXT_HOLD;
	if ((__u32)-ahead >= x->s.len) {
		count(x->l, x->c->version, TW_L_DUP_SEGMENTS);
		segment_advance(x, x->s.len);
		return NEXT_DONE;
	}
	segment_advance(x, -ahead);
	return NEXT_CAREFUL;
}

/*
 * It stands behind what has been seen. What is between may be in a program of another CPU just now, and be done in so
 * many ns. 1: all before it has been seen.
 */
#define AWAIT_TRIES 32
static __always_inline int segment_awaits(struct ctx *x, const struct h1 *p, __u32 ns)
{
	__u64 begun = bpf_ktime_get_ns();
	__u32 i;

	for (i = 0; i < AWAIT_TRIES; i++) {
		if ((__s32)(x->s.seq - *(volatile __u32 *)&p->next) <= 0)
			return 1;
		/* A pause, for there to be few tries, each of which is proved. */
		bpf_ktime_get_ns();
		bpf_ktime_get_ns();
		if (bpf_ktime_get_ns() - begun > ns)
			return 0;
	}
	return 0;
}

/* The same of one that comes early. Where one waits already it is long, and not worth it for the next. */
#define EARLY_NS 2500
static __always_inline int segment_is_due(struct ctx *x, const struct h1 *p)
{
	return !*(volatile __u8 *)&x->c->held && segment_awaits(x, p, EARLY_NS);
}

static __always_inline int is_counting(const struct h1 *p)
{
	return p->state >= H1_BODY;
}

static __always_inline void h1_reset(struct h1 *p, __u8 state)
{
	p->left = 0;
	p->status = 0;
	p->flags = 0;
	p->state = state;
}

#endif
