/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Evidence that may be looked at after every tick: e-processes for the ratio of two shares and for one share.
 *
 * The ratio test (Lindon & Malek 2022 for Poisson counts). Null hypothesis: canary share = rho0 * baseline share within
 * each tick. Given e = k_c + k_b bad events, k_c ~ Binomial(e, t(rho0)) with t(rho) = rho n_c / (rho n_c + n_b); each
 * alternative rho_j multiplies its likelihood ratio, and E is their mean. It is a test martingale for Poisson counts.
 * For independent exchanges that are bad or not with any shares p_c, p_b it is a supermartingale, because (1 + p_c
 * (a-1))^n_c (1 + p_b (b-1))^n_b <= exp(n_c p_c (a-1) + n_b p_b (b-1)), which is 1 where p_c = rho0 p_b (a, b: what one
 * bad event of canary and baseline multiplies E by). The same bound holds for counts that give a bad event a part r of
 * one, since x^r <= 1 + r (x-1). Alternatives all above rho0 test "ratio <= rho0", all below "ratio >= rho0". Ville:
 * the chance that E ever reaches 1/alpha while the null hypothesis holds is at most alpha.
 *
 * Invariants: a tick in which one side had no exposure or nothing bad happened changes nothing; every figure is finite;
 * splitting a tick at the same share of exposure does not change E.
 */
#ifndef TW_EPROCESS_H
#define TW_EPROCESS_H

#include "judge/stats/logspace.h"

#define EPROCESS_MAX 5

struct eprocess {
	unsigned int n;           /* alternatives, all of the same weight */
	double rho0;              /* the null hypothesis */
	double rho[EPROCESS_MAX]; /* the alternatives, as ratios */
	double l[EPROCESS_MAX];   /* log likelihood ratio of each against rho0 */
};

/* n <= EPROCESS_MAX; rho0 and rho[] positive. */
void eprocess__init(struct eprocess *e, double rho0, const double *rho, unsigned int n);
/* One tick: exposures and bad events of canary and baseline. */
void eprocess__add(struct eprocess *e, double n_c, double n_b, double k_c, double k_b);
double eprocess__log_e(const struct eprocess *e);
/*
 * Gives away what exceeds log E = most. Still valid (wealth is only ever thrown away), and a long good history can no
 * longer outvote a change: for evidence that answers "is it good now?".
 */
void eprocess__cap(struct eprocess *e, double most);
/* What one bad event adds to the log likelihood of alternative j on average when the true ratio is rho. */
double eprocess__growth(const struct eprocess *e, unsigned int j, double share, double rho);
/* Bad events still needed until log E reaches need if the true ratio is rho; negative: it never will. */
double eprocess__events_to(const struct eprocess *e, double need, double share, double rho);

/*
 * The floor test. Null hypothesis: the canary's share of bad events is at least p0. Alternatives: practically none, a
 * tenth and three tenths of p0. Valid for independent exchanges whose shares differ but are p0 or more on average in
 * each tick (the product of linear factors is largest when they are equal).
 */
#define FLOOR_TEST_NR 3

struct floor_test {
	double p0;
	double l[FLOOR_TEST_NR];
};

void floor_test__init(struct floor_test *f, double p0);
void floor_test__add(struct floor_test *f, double n, double bad);
double floor_test__log_e(const struct floor_test *f);
void floor_test__cap(struct floor_test *f, double most);
/* Exchanges still needed until log E reaches need if a share p is bad; negative: it never will. */
double floor_test__exchanges_to(const struct floor_test *f, double need, double p);

#endif
