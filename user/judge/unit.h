/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The unit of analysis: what is made of one tick's counts by a test of the ratio of two shares. Whatever is counted
 * instead changes here and nowhere else.
 *
 *  - UNIT_INDEPENDENT: the events are known to have nothing to do with one another: the likelihood ratio (eprocess.h).
 *  - UNIT_EXCHANGE, is the canary worse: bets on blocks of ticks (bet.h), whatever happens inside a tick. A false alarm
 *    costs a release, so nothing is assumed of connections either.
 *  - UNIT_EXCHANGE, is the canary as good: a canary with a twentieth of the traffic has so few bad events that blocks
 *    of whole ticks would take a quarter of an hour to say so. The hash groups of connections are lanes of their own,
 *    and what they add is discounted by how many of them one burst reaches, by the ticks so far. Lanes in which one
 *    version is hardly served (few connections carry everything) are merged.
 *    Where the groups are not known, the likelihood ratio with counts divided by the ticks' dispersion.
 */
#ifndef TW_UNIT_H
#define TW_UNIT_H

#include "judge/bet.h"
#include "judge/dispersion.h"
#include "judge/eprocess.h"

struct ratio_test {
	enum unit unit;
	struct eprocess lr;
	struct bet bet;
	unsigned int lanes; /* of the latest tick */
};

/* n <= BET_MAX alternatives for the bets; the likelihood ratio takes the m <= EPROCESS_MAX ratios of lr, equal weights.
 */
void ratio_test__init(struct ratio_test *t, enum unit unit, double rho0, const double *lr, unsigned int m,
                      const struct alternative *bets, unsigned int n, double share);

/* What the ticks before have shown. */
struct habits {
	const struct dispersion *dispersion;
	const struct group_shares *shares;
};

/* One tick: is the canary worse? */
void ratio_test__add(struct ratio_test *t, const struct pair *p, const struct habits *h);

/* The same tick by hash groups of connections, where they are known. */
struct by_group {
	bool known;
	double n_c[TW_GROUPS], n_b[TW_GROUPS], k_c[TW_GROUPS], k_b[TW_GROUPS];
};

/* One tick: is the canary as good? */
void ratio_test__certify(struct ratio_test *t, const struct pair *p, const struct by_group *g, const struct habits *h);

double ratio_test__log_e(const struct ratio_test *t);
/* Gives away what exceeds log E = most, see eprocess__cap. */
void ratio_test__cap(struct ratio_test *t, double most);

/* What a test is going to see. */
struct prospect {
	double share;  /* the canary's part of the exposure, inside (0, 1) */
	double rho;    /* the true ratio */
	double a_tick; /* bad events in a tick, both arms */
	const struct dispersion *dispersion;
};

/*
 * Bad events still needed until log E reaches need; negative: it never will. by_group: how exchanges are spread over
 * the groups, for a test that is fed by ratio_test__certify; NULL: by ratio_test__add.
 */
double ratio_test__events_to(const struct ratio_test *t, double need, const struct prospect *p,
                             const struct group_shares *by_group);

#endif
