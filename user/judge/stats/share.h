/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One arm's share of something (bad exchanges, exchanges above a bucket) against a fixed number, to be looked at as
 * often as one likes: e-values, and the confidence sequences they give.
 *
 * The null hypothesis is that each unit counts with a chance of p0 (one-sided: of at most p0, given the units before).
 * Under every alternative share the likelihood ratio is a martingale; the test mixes them by a beta distribution of
 * mean p0, one-sided by its part above p0: log E = log [ integral of t^k (1-t)^(n-k) d Beta(t; a, b) / (p0^k
 * (1-p0)^(n-k)) ],   a = p0 c, b = (1-p0) c which is the beta-binomial mixture of Howard, Ramdas, McAuliffe and Sekhon,
 * Time-uniform, nonparametric, nonasymptotic confidence sequences (Annals of Statistics 2021), in Bernoulli form. c is
 * chosen so that the boundary is tightest at about t_opt units. Ville: the chance that E ever reaches 1/alpha under the
 * null hypothesis is at most alpha.
 *
 * Only the sums k and n matter, so hosts are merged by adding their counts. Counts may be fractions (divided by a
 * dispersion factor). k is read as n where it exceeds it, and as 0 where it is negative. No units: log E = 0 and the
 * whole unit interval. Every result is finite and never NaN.
 */
#ifndef TW_STATS_SHARE_H
#define TW_STATS_SHARE_H

#include <stdbool.h>

enum share_side {
	SHARE_DIFFERS, /* against "the share is p0" */
	SHARE_ABOVE,   /* against "the share is at most p0" */
};

struct share_test {
	enum share_side side;
	double p0, a, b;
	double prior; /* what the formula says without any counts */
};

/*
 * 0 < p0 < 1; t_opt > 0 units, chosen before any was counted; 0 < alpha_opt < 0.5, the level it is made tightest for
 * (it stays valid for all others).
 */
void share_test__init(struct share_test *t, enum share_side side, double p0, double t_opt, double alpha_opt);
/* k of n units counted. */
double share_test__log_e(const struct share_test *t, double k, double n);

/* SHARE_DIFFERS: the k in [0, n], not a whole one, at which log E is least; log E falls before it and grows behind it.
 */
double share_test__least(const struct share_test *t, double n);

/* What a confidence sequence is made from: 0 < alpha < 1, the rest as above. */
struct share_level {
	double alpha, t_opt, alpha_opt;
};

/* Holds the true share at all times at once with probability 1 - alpha. Both ends inside [0, 1], rounded outwards. */
void share__interval(double k, double n, const struct share_level *level, double *low, double *high);
/* The true share is at least this, at all times at once, with probability 1 - alpha; 0: no limit yet. */
double share__lower(double k, double n, const struct share_level *level);
/* The true share is at most this; 1: no limit yet. */
double share__upper(double k, double n, const struct share_level *level);

#endif
