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
 * the share varies from one stretch of time to the next (batch means, Pearson's chi2 over its degrees of freedom, its
 * upper confidence limit). Stretches grow with the run: what lasts for longer than a thirtieth of it is not seen.
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
