/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many of a version's workers have their TLS read, so that reading it stays within a budget. Pure: what it costs
 * goes in, a share comes out, the same for all versions.
 *
 * The cost is held against the CPU time of the workers themselves: what a service is slowed down by is that part of its
 * own time. It is no more than the budget, or all versions are down to one worker, or it is below TLS_SHARE_FREE of one
 * core.
 *
 * Invariants: a version always has one; more cost never means more workers; at a constant load the share comes to rest:
 * it goes down at once to what fits, and up by the least step there is, only after the cost has long left room for that
 * step and some more; an attempt that fails doubles the time to the next one.
 */
#ifndef TW_TLS_SHARE_H
#define TW_TLS_SHARE_H

#include <stdbool.h>
#include <stddef.h>

/* Of one core: what nobody notices is not worth going without. */
#define TLS_SHARE_FREE 0.01

struct tls_share {
	double share;                       /* of each version's workers; 0: not begun, which is 1 */
	double cost;                        /* smoothed, cores; NaN: not known yet */
	double service;                     /* the same of the workers' own CPU time, the cost included */
	double cost_before, service_before; /* the latest change: what it was made for */
	bool exceeded;                      /* the cost is beyond the budget, and nothing can be left out any more */
	unsigned int unsettled, over,
		room;          /* samples: to be left out, in a row beyond the budget, in a row with room */
	unsigned int patience; /* samples in a row with room before there is an attempt */
	bool went_up;          /* the latest change */
};

/* Cores, over some seconds; NaN: not measured. */
struct tls_share_sample {
	double cost, service;
};

enum tls_share_step { TLS_SHARE_SAME, TLS_SHARE_LESS, TLS_SHARE_MORE };

/* Of n workers, how many are read; at least one, if there is one. */
unsigned int tls_share__of(const struct tls_share *s, unsigned int n);

/*
 * budget: part of the service's time; INFINITY: there is none. workers: of each version that has any whose TLS is
 * known. To be called every few seconds.
 */
enum tls_share_step tls_share__step(struct tls_share *s, const struct tls_share_sample *sample, double budget,
                                    const unsigned int *workers, size_t n_versions);

#endif
