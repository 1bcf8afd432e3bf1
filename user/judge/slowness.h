/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The latency threshold: the baseline's p95 of the ticks before, announced before the tick it is used in (predictable).
 *
 * History is a histogram of the baseline that forgets a fifth with every tick once it is well filled, so that the
 * threshold follows the day within half a minute. The p95 lies inside a bucket: `part` says which part of that bucket's
 * exchanges belongs to the slowest twentieth. A tail counted with part (buckets above: 1 each, the bucket itself: part
 * each) weighs a twentieth of the baseline even if all its latencies share one bucket, and a tail counted from the same
 * part of a bucket k higher is exactly the tail beyond 2^(k/16) times the p95.
 *
 * Invariants: 0 <= part <= 1; a threshold whose bucket has no finite upper bound is not announced.
 */
#ifndef TW_SLOWNESS_H
#define TW_SLOWNESS_H

#include <stdbool.h>

#include "model/histogram.h"

#define SLOW_SHARE 0.05

struct slowness {
	double total;
	double seen[TW_BUCKETS];
};

struct threshold {
	bool set;
	unsigned int bucket;
	double part;
};

/* After a tick was judged: the baseline's latencies in it. */
void slowness__learn(struct slowness *s, const struct histogram *baseline);
struct threshold slowness__threshold(const struct slowness *s);
/* Under the history: the share of the p95's tail that lies beyond the threshold moved up by shift buckets. */
double slowness__tail_ratio(const struct slowness *s, const struct threshold *x, unsigned int shift);

/* Exchanges beyond the threshold moved up by shift buckets; 0 where there is no such bucket. */
double tail_above(const struct histogram *h, const struct threshold *x, unsigned int shift);
/* The whole buckets by which a latency may grow: floor(16 log2(1 + increase)). */
unsigned int margin_buckets(double increase);

#endif
