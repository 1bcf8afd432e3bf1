/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How bad events come: one by one, or in bursts. Two looks at the same ticks.
 *
 * Groups: within a tick, a version's bad events should be spread over the hash groups of its connections as its
 * exchanges usually are. Pearson's chi2 of that over its degrees of freedom, averaged over ticks by their bad events,
 * is phi: 1 if they come one by one, E[x^2]/E[x] if a connection has x of them at once. What both arms and all groups
 * go through at the same time cancels out.
 *
 * Ticks: from one tick to the next the baseline's count should not change more than a Poisson count does. The same
 * ratio for that change holds every kind of burst, those over many connections as well.
 *
 * Residuals that are followed by others of the same sign tell of bursts that do not end with the tick (serial
 * correlation): of the groups, over some ticks; of whole ticks, from one to the next, and only what is gone after half
 * a minute counts, so that a slow drift is none.
 *
 * Nothing that is valid rests on these estimates being right: see bet.h. They choose the size of bets, and by how much
 * evidence is discounted for bursts that a bet cannot hold.
 *
 * Invariants: what is returned after a tick depends on the ticks so far only; every figure is finite.
 */
#ifndef TW_DISPERSION_H
#define TW_DISPERSION_H

#include <stdbool.h>

#include "judge/judge.h"

enum { ARM_IS_BASELINE, ARM_IS_CANARY, ARMS };

/* How an arm's exchanges are usually spread over the groups; fades by a tenth with every tick. */
struct group_shares {
	double n[ARMS][TW_GROUPS];
	double total[ARMS];
};

void group_shares__add(struct group_shares *s, int arm, const struct connection_groups *g);

/* One kind of bad event of one arm in one tick. */
struct events {
	double n, k;           /* exchanges, bad ones among them */
	const uint64_t *group; /* [TW_GROUPS] bad ones by group; NULL: not known */
};

#define DISPERSION_LAGS 6

struct dispersion {
	bool grouped; /* groups have been seen */
	double chi2, weight;
	double lagged[ARMS], squares[ARMS], cells[ARMS];
	double past[ARMS][TW_GROUPS]; /* residuals, fading */

	double change, change_weight; /* of the baseline, from tick to tick */
	double last_n, last_k;
	double usual_n, usual_k;
	double tick_lagged, tick_far, tick_squares, ticks;
	double tick_residual[DISPERSION_LAGS];
	unsigned int seen;
};

void dispersion__add(struct dispersion *d, const struct group_shares *s, const struct events arms[ARMS]);
/* Whether there have been bad events to tell phi from. */
bool dispersion__is_known(const struct dispersion *d);
/* phi, at least 1: from the groups where they are known, else from the ticks. */
double dispersion__phi(const struct dispersion *d);
/*
 * By how much the sum of many ticks varies more than if they were independent, at least 1: 1 plus twice the sum of
 * their correlations, each estimate less one standard error, the largest of all looks. Of whole ticks only the first
 * correlation is known; the others are taken to be its powers, and the sum is (1+r)/(1-r).
 */
double dispersion__serial(const struct dispersion *d);
/* How many ticks it has seen. */
unsigned int dispersion__ticks(const struct dispersion *d);
/*
 * What the ticks' dispersion exceeds phi by, at least 1: with groups, how many of them one burst reaches. It starts at
 * 3 and has to be unlearned, ten bad events being worth as much as that start.
 */
double dispersion__across(const struct dispersion *d);
/*
 * What will be known of it after so many more ticks of which each brings the baseline a_tick bad events, if they come
 * the way they have come so far; of too few to tell, one by one.
 */
void dispersion__ahead(struct dispersion *d, double ticks, double a_tick);
/* By how much more than independent ones the counts of many ticks vary, at least 1: the product of the three above. */
double dispersion__of_sums(const struct dispersion *d);

#endif
