/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The latency histograms of one version on one endpoint, all kinds together, in little memory: exchanges fall into a
 * few dozen of the 450 buckets, and only those have a row.
 *
 * Invariants: a bucket without a row holds nothing of any kind; count[k] is the sum of n[k] over the rows.
 */
#ifndef TW_LATENCIES_H
#define TW_LATENCIES_H

#include "model/histogram.h"

#define LATENCY_CHUNK  8
#define LATENCY_CHUNKS ((TW_BUCKETS + LATENCY_CHUNK - 1) / LATENCY_CHUNK)

struct latency_row {
	uint64_t n[TW_LAT_NR];
	uint32_t seen[TW_LAT_NR]; /* of the kernel's counters, modulo 2^32 */
};

struct latencies {
	uint64_t count[TW_LAT_NR];
	uint64_t sum[TW_LAT_NR], max[TW_LAT_NR]; /* ns */
	uint64_t seen_sum[TW_LAT_NR];            /* of the kernel's counters */
	uint16_t row_of[TW_BUCKETS];             /* number of the row + 1, 0: none */
	unsigned int n_rows;
	struct latency_row *chunk[LATENCY_CHUNKS]; /* of LATENCY_CHUNK rows each: what is full never moves */
};

/* One observation. 0 or -ENOMEM. */
int latencies__add(struct latencies *l, enum tw_latency kind, uint64_t ns);
/*
 * Adds what the kernel's counters, summed over the CPUs, have gained since the last call; to gained[kind] as well where
 * that is not NULL. 0 or -ENOMEM, and then what was not added is added by the next call.
 */
int latencies__follow(struct latencies *l, const struct tw_series *now, struct histogram *const gained[TW_LAT_NR]);
/* One kind as a histogram. l may be NULL: it is empty then. */
void latencies__histogram(const struct latencies *l, enum tw_latency kind, struct histogram *out);
void latencies__free(struct latencies *l);

#endif
