/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ratio of the canary's share of bad events to the baseline's, with a confidence sequence: an interval that may be
 * looked at after every tick and that covers the true ratio at all ticks at once with probability 1 - alpha.
 *
 * Every rho0 of a log-spaced grid is tested by the mixture over the whole grid (weights fixed beforehand, Cauchy in
 * log rho): E(rho0) = sum_g w_g L(g) / L(rho0), with log L(rho) = k_c log rho - sum over ticks of e log(1 + (rho-1) s).
 * The interval holds every rho0 with E < 1/alpha. log L is concave in log rho, so that is one run of grid points (4.4 %
 * apart from 1/16 to 16, 41 % outside); a limit lies between the last point that is rejected and the first that is not,
 * where the line through the two last rejected ones, which a concave function cannot exceed, meets the bound.
 *
 * One-sided, "ratio <= rho0" is tested by the part of the mixture above rho0, "ratio >= rho0" by the part below: log L
 * falls away from the truth on its other side, so E stays a supermartingale under all of the null hypothesis.
 *
 * The state is one log likelihood a grid point and the counts that go with it: hosts or strata that were counted apart
 * are merged by adding (their e-values multiply), in any order, and splitting a tick at the same share changes nothing.
 *
 * Invariants: low <= high, both finite; low 0: no lower limit yet; high RATIO_MAX: no upper limit yet.
 */
#ifndef TW_RATIO_H
#define TW_RATIO_H

#include <stdbool.h>

#define RATIO_FINE 16 /* steps an octave within 2^+-4 */
#define RATIO_FAR  16 /* octaves beyond, in half-octave steps */
#define RATIO_GRID (2 * 4 * RATIO_FINE + 1 + 2 * 2 * RATIO_FAR)
#define RATIO_MAX  1048576.0 /* 2^20 */

struct ratio {
	double k_c, k_b;
	double a[RATIO_GRID]; /* sum over ticks of e log(1 + (rho_g - 1) s) */
	double above, below;  /* Mantel-Haenszel sums: the estimate stays right while the share of traffic changes */
};

struct ratio_grid {
	double rho[RATIO_GRID], log_rho[RATIO_GRID], log_w[RATIO_GRID];
};

void ratio_grid__init(struct ratio_grid *g);

void ratio__add(struct ratio *r, const struct ratio_grid *g, double n_c, double n_b, double k_c, double k_b);
/* Adds what was counted elsewhere, on the same grid. */
void ratio__merge(struct ratio *to, const struct ratio *from);
/* false: the baseline had no bad event, there is no ratio. */
bool ratio__estimate(const struct ratio *r, double *ratio);
/* Two-sided: covers the true ratio at all ticks at once with probability 1 - alpha. */
void ratio__interval(const struct ratio *r, const struct ratio_grid *g, double alpha, double *low, double *high);
/* One-sided limits of probability 1 - alpha each: the ratio is at least the one, at most the other. */
double ratio__lower(const struct ratio *r, const struct ratio_grid *g, double alpha);
double ratio__upper(const struct ratio *r, const struct ratio_grid *g, double alpha);

#endif
