/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Claiming a lane of per-CPU working space, and counting in it. See maps.h. */
#ifndef TW_LANE_H
#define TW_LANE_H

/*
 * What most packets do is laid out in one stretch: at the rates that matter, fetching the instructions costs more than
 * executing them.
 */
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static __always_inline struct tw_lane *lane_get(__u32 i)
{
	return bpf_map_lookup_elem(&lanes, &i);
}

/* The first free lane; *which is its number. NULL when all are taken, which is counted. */
static __always_inline struct tw_lane *lane_claim(__u32 *which)
{
	struct tw_lane *l;
	__u32 i;

	for (i = 0; i < TW_LANES; i++) {
		l = lane_get(i);
		if (unlikely(!l))
			return 0;
		if (likely(!l->busy)) {
			l->busy = 1;
			/* The verifiers of 5.10 to 6.2 would go on four times, once for each number. */
			*which = i ^ l->zero;
			return l;
		}
	}
	__sync_fetch_and_add(&lanes_exhausted, 1);
	return 0;
}

static __always_inline void lane_release(struct tw_lane *l)
{
	l->busy = 0;
}

static __always_inline void count(struct tw_lane *l, __u32 version, enum tw_ledger what)
{
	l->ledger[version & (TW_MAX_VERSIONS - 1)].c[what]++;
}

#endif
