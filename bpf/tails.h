/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From one packet program to the next, by tail call. skb->cb carries the place:
 *   cb[0] lane | cb[1] offset of the first byte | cb[2] bytes left | cb[3] TCP flags, by_tuple << 8, calls << 16
 *   cb[4] 0: the bytes are the packet's; k + 1: they are those of held segment k
 *
 * Bounded: CAREFUL_CALLS calls of a program to itself a packet; a segment that needs more loses step, which is counted.
 */
#ifndef TW_TAILS_H
#define TW_TAILS_H

#define FLUSH_STEP 16
/* The kernel allows 32 a packet; the first has led here, and those of a flush must be left. */
#define CAREFUL_CALLS (32 - 1 - TW_PIPELINE_MAX / FLUSH_STEP)

/* In cb[3]: nothing has shown yet what its connection speaks, and it came before the bytes in front of it. */
#define TAIL_AS_UNDECIDED 0x800

enum {
	TAIL_REQUESTS,
	TAIL_RESPONSES,
	TAIL_HOLD,
	TAIL_FLUSH = TAIL_HOLD + 2,
	TAIL_TLS,
	TAIL_TLS_GONE,
	TAIL_TLS_FLUSH,
	TAIL_H2_FIRST,
	TAIL_H2_UPGRADE,
	TAIL_H2,
	TAIL_H2_EARLY,
	TAIL_NR,
};

static __always_inline int packet_done(struct ctx *x)
{
	turn_end(x);
	lane_release(x->l);
	return 1;
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

/* The same program once more. Returns only when that cannot be had. */
static __always_inline void careful_again(struct ctx *x, void *tails, __u32 self)
{
	if (x->skb->cb[3] >> 16 >= CAREFUL_CALLS)
		return;
	x->skb->cb[3] += 1 << 16;
	turn_end(x);
	bpf_tail_call(x->skb, tails, self);
}

/* What is left of the segment goes to another program, which is told `as`. Returns only when that cannot be had. */
static __always_inline void packet_tail_as(struct ctx *x, void *tails, __u32 tail, __u32 as)
{
	x->skb->cb[0] = x->lane;
	x->skb->cb[1] = x->s.off;
	x->skb->cb[2] = x->s.len;
	x->skb->cb[3] = x->s.tcp_flags | x->by_tuple << 8 | as;
	x->skb->cb[4] = 0;
	turn_end(x);
	bpf_tail_call(x->skb, tails, tail);
}

static __always_inline void packet_tail(struct ctx *x, void *tails, __u32 tail)
{
	packet_tail_as(x, tails, tail, 0);
}

/* The packet of a TLS connection, or of one that will be: to its own programs. */
static __always_inline void packet_tls(struct ctx *x, void *tails)
{
	if (test_mode || x->by_tuple)
		return; /* its own socket will take it over, with the framing lost */
	x->skb->cb[0] = x->skb->cb[1] = 0;
	x->skb->cb[2] = x->now;
	x->skb->cb[3] = x->now >> 32;
	bpf_tail_call(x->skb, tails, TAIL_TLS);
}

#endif
