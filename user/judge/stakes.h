/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stakes: which part of all evidence each endpoint holds, in the release and in its cut-over unit.
 *
 * Invariants: the weights of a stake's endpoints and its reserve sum to 1 once they are dealt; a weight never changes
 * after that. The reserve is what is not yet bet (an e-value of 1), so an endpoint that appears later is given a part
 * of it and starts at 1 as well: the weighted mean stays an e-process. Which endpoint appears may depend on the
 * traffic, never on how it ended.
 *
 * How it is dealt: weights that were asked for are given (scaled down if they are too many). Half of the rest goes to
 * fail-fast endpoints in equal parts, if there are any; of the other half most goes to critical endpoints. A unit's
 * stake is dealt among its endpoints in the proportions that they have in the release. Hard stops hold their part of
 * the release's stake together and take it from all others.
 */
#ifndef TW_STAKES_H
#define TW_STAKES_H

#include <stdbool.h>
#include <stddef.h>

struct judged_endpoint;
struct judged_cutover;

struct stake {
	double reserve; /* 1 until it is dealt */
	double hard;    /* that hard stops hold together; set before it is dealt */
	unsigned int newcomers;
};

/* Deals both kinds, once, to the endpoints there are. */
void stakes__deal(struct stake *release, struct judged_endpoint *const *eps, size_t n, struct judged_cutover *units,
                  size_t n_units);
/* The weight of one that appears after that, out of the reserve. */
double stake__newcomer(struct stake *s);

#endif
