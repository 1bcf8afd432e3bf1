/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Latency histograms in Prometheus native-histogram buckets, schema 4 (see include/tw_abi.h for the bucket rule).
 *
 * Invariants: count is the sum of b; merging is addition; a quantile is never outside its bucket.
 */
#ifndef TW_HISTOGRAM_H
#define TW_HISTOGRAM_H

#include <stdint.h>

#include "tw_abi.h"
#include "tw_bucket.h"

struct histogram {
	uint64_t count;
	uint64_t sum; /* ns */
	uint64_t max; /* ns */
	uint64_t b[TW_BUCKETS];
};

/* Fills the table that the kernel searches: floor(2^(i/16 + TW_BUCKET_MIN_EXP) * 1e9) ns, padded with INT64_MAX. */
void histogram_bounds(uint64_t table[TW_BOUNDS_TABLE]);
/* Fills the kernel's shortcut into it, see tw_bucket.h. */
void histogram_cells(uint16_t table[BUCKET_CELLS]);
/* The bucket of ns: the number of bounds below it. */
unsigned int histogram_bucket(uint64_t ns);
/* Upper bound of a bucket in seconds; +Inf for the last. */
double histogram_upper(unsigned int bucket);

void histogram_add(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *to, const struct histogram *from);

/*
 * The q-quantile (0 < q <= 1) in seconds by linear interpolation inside its bucket, never above max (a max that lies
 * below the bucket contradicts it and is not believed);
 * NaN when the histogram is empty (callers print that as null).
 */
double histogram_quantile(const struct histogram *h, double q);
double histogram_mean(const struct histogram *h);
/* How many observations lie in buckets above this one. */
uint64_t histogram_above(const struct histogram *h, unsigned int bucket);

#endif
