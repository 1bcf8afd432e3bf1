/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The books of one version: every request that was seen has ended, was lost, or is in flight. The first three are
 * counters, the last is counted apart from them, while traffic goes on.
 *
 * Invariants: the counters never fall, and what is in flight is counted between two readings of them. So while nothing
 * leaks, the count lies between what the two readings allow, however busy it is; and what has leaked does not come
 * back, so that one look at a quiet moment proves it for good.
 */
#ifndef TW_BOOKS_H
#define TW_BOOKS_H

#include <stdbool.h>
#include <stdint.h>

/* A reading of the counters of one version. */
struct books_reading {
	uint64_t seen;
	uint64_t gone; /* ended or lost, or seen to be another version's */
};

/* Bounds of: requests that are in none of the books. Below 0: requests that are in two. */
struct books_gap {
	int64_t least, most;
};

/* What has been proved so far. All zero: nothing is wrong. */
struct books {
	uint64_t missing; /* requests that went without a trace, at least */
	uint64_t surplus; /* requests counted twice, at least */
};

/* What one count of those in flight says, taken between two readings. */
struct books_gap books_gap(const struct books_reading *before, const struct books_reading *after, uint64_t in_flight);
/* Is there certainly a gap? */
bool books_gap_is_open(const struct books_gap *g);
/* What two counts, one soon after the other, both say: an exchange caught between two books is not there twice. */
struct books_gap books_gap_both(const struct books_gap *a, const struct books_gap *b);

/* Enters what a look has confirmed. */
void books_enter(struct books *b, const struct books_gap *g);
bool books_balance(const struct books *b);

#endif
