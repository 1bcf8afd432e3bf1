/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Evidence about the ratio of two shares that bursts do not fool.
 *
 * The likelihood ratio of eprocess.h counts every bad event for one of its own. If one cause makes twenty, they all
 * fall on the same arm, and it is wrong as often as not. Here what happens within a block, bad events of a tick or of
 * several, may depend on each other in any way. Of a block's bad events let z be the part that is the canary's. If each
 * cause, whatever its size, hits an arm in proportion to its exposure (rho0 times that for the canary), then
 * E[z | the causes' sizes] = theta0 = rho0 n_c / (rho0 n_c + n_b), and
 *
 *   E *= 1 + lambda (z - theta0)
 *
 * is a fair bet for every lambda that cannot lose more than all, -1/(1-theta0) < lambda < 1/theta0 (betting on a
 * bounded mean: Waudby-Smith & Ramdas 2024). If the canary is better than the null hypothesis says, the bet loses on
 * average. One block can thus never do more than divide by theta0, however many events it holds.
 *
 * lambda is chosen for speed alone: for an alternative theta_j and m = events/phi causes it nearly maximises the growth
 * of log E, lambda = mu / (theta0 (1-theta0)/m + mu^2 (1-1/m)), mu = theta_j - theta0; for m = 1 that is the likelihood
 * ratio. With few events a block it is hardly slower than the likelihood ratio where that is valid. A block is closed
 * by the number of its bad events, 5 phi of them or a minute's worth of ticks, never by whose they are.
 *
 * Bursts that do not end with the block make blocks dependent. `discount` divides what each block adds to log E: for
 * independent blocks that only throws wealth away (Jensen), for correlated ones 1 plus twice the sum of correlations
 * restores the bound, E being close to exp(Brownian motion).
 *
 * Lanes: a tick may be cut into several blocks that are closed one by one, where causes do not reach from lane to lane.
 *
 * Alternatives share: after each block a part `share` of the wealth is dealt anew, so that half an hour of being as
 * good as the baseline cannot be so sure that a sudden change takes another half hour to be believed (Herbster &
 * Warmuth 1998). Money only moves between bets that are fair, so E stays fair.
 *
 * Invariants: a tick in which one side had no exposure, or nothing bad happened, changes nothing; all is finite.
 */
#ifndef TW_BET_H
#define TW_BET_H

#include "judge/judge.h"

#define BET_MAX     6
#define BET_LEAST   5  /* causes in a block */
#define BET_LONGEST 36 /* ticks */

/* Exposures and bad events of canary and baseline. */
struct pair {
	double n_c, n_b, k_c, k_b;
};

struct alternative {
	double rho; /* as a ratio; rho0 itself is money that is not bet */
	double weight;
};

struct block {
	double bad, canary;
	double share, null; /* sums over bad events: the canary's share of the exposure, and theta0 */
	unsigned int ticks;
};

struct bet {
	unsigned int n;
	double rho0, share;
	double rho[BET_MAX], w[BET_MAX];
	double l[BET_MAX];   /* log wealth of each, its weight included */
	struct block first;  /* lane 0 */
	struct block *more;  /* [TW_GROUPS - 1], the owner's, for the others; NULL: there are none */
	double size, blocks; /* bad events in blocks of late, and their number */
};

/* How bad events come, by the ticks before. */
struct pace {
	double phi;      /* at least 1 */
	double discount; /* at least 1 */
	double least;    /* bad events, divided by phi, that close a block */
};

/* n <= BET_MAX; rho0 and all rho positive; weights sum to 1. */
void bet__init(struct bet *b, double rho0, const struct alternative *a, unsigned int n, double share);
/* One tick of one lane, lane < TW_GROUPS; above 0 only where there are more. */
void bet__add(struct bet *b, unsigned int lane, const struct pair *p, const struct pace *pace);
/* Closes all blocks: the lanes are going to be cut anew. */
void bet__settle(struct bet *b, const struct pace *pace);
double bet__log_e(const struct bet *b);
/* Divides the wealth by exp(excess): throws it away. */
void bet__give(struct bet *b, double excess);
/*
 * Bad events still needed until log E reaches need if the true ratio is rho and a block holds size of them on average;
 * negative: it never will.
 */
double bet__events_to(const struct bet *b, double need, double share, double rho, const struct pace *pace, double size);

#endif
