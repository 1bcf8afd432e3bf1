/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does the traffic split as the stage says? The sequential test of stats/srm.h, on what a router deals out.
 *
 * What that is cannot be asked, so it is told from the traffic:
 *  - new connections, where each carries few exchanges on both arms: then connections and exchanges are dealt alike,
 *    and a connection's exchanges, which go the same way, are counted once;
 *  - else exchanges. A proxy keeps a few connections to each version and deals its requests onto them: how many there
 *    are says nothing. But clients may keep connections as well, and then these are what was dealt: where there are
 *    many, the exchanges count for no more than the connections they came on.
 * Either way clients come in bursts and stay for a while, so counts are divided by how much more than a binomial count
 * the share varies from one stretch of time to the next: Pearson's chi2 of batches over its degrees of freedom, its
 * upper confidence limit, times the part by which one batch follows from the one before, the largest of batches of
 * several lengths. Where the smaller arm has hardly had a client yet, how the baseline's arrivals scatter stands in.
 *
 * What it cannot tell: few users who are dealt once and stay, behind a proxy's pool. Simulated with 5 % planned, 5 %
 * meant, a request a second of each user and a stay of 100 s: half an hour of 200 users at a time is blamed in 8 %
 * of runs, of 20 users in 23 % (the canary's share is off by a half for minutes, and that is what it says); with a stay
 * of 20 s, and in all other cases of test_calibration_split.c, in less than 1 %.
 *
 * A split that has changed tells nothing of the one before: the counts start again with each plan, and the tick in
 * which the plan changed is left out.
 *
 * Invariants: counts only, no outcome is looked at; a tick without a plan changes nothing; every figure is finite.
 */
#ifndef TW_SPLIT_H
#define TW_SPLIT_H

#include <stdbool.h>

#include "judge/judge.h"

#define SPLIT_BATCHES 32

/* Of one kind of unit. */
struct dealt {
	double canary, all;
};

struct split_batch {
	struct dealt exchanges, opened;
};

struct split {
	double planned;                          /* the canary's share; 0: not told */
	struct dealt exchanges, opened;          /* since the plan: of the endpoints that are named; of all */
	double served_c, served_b;               /* exchanges of all endpoints */
	struct split_batch batch[SPLIT_BATCHES]; /* complete ones, and the one that is being filled */
	unsigned int batches, ticks, length;     /* complete; ticks in the one being filled; ticks of a complete one */
	double occupied, looks;                  /* groups with connections, summed over ticks that know */
};

enum split_unit { SPLIT_CONNECTIONS, SPLIT_EXCHANGES };

struct split_finding {
	bool checked;  /* there is a plan, and something was dealt */
	bool mismatch; /* beyond the tolerance, and not by chance */
	enum split_unit unit;
	double share;     /* the canary's, of the exchanges */
	double deviation; /* the larger of |share - plan| / plan of the two arms */
	double counted;   /* units, divided by how they scatter */
	double log_e;     /* evidence that the plan does not hold */
};

/* named[endpoint of the tick]: by the config; where none is, all count. */
void split__tick(struct split *s, const struct tick *t, size_t n_endpoints, const bool *named);
struct split_finding split__look(const struct split *s, double tolerance);

#endif
