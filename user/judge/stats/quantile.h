/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Quantiles of latency (the p95, say) from bucket counts, to be looked at as often as one likes: of one arm, and of the
 * canary against the baseline. Sources: Howard and Ramdas, Sequential estimation of quantiles with applications to A/B
 * testing and best-arm identification (Bernoulli 2022), Theorem 5 for the two-sided test.
 *
 * Buckets are a monotone map of latency, so what is rejected on their indices is rejected for the latencies themselves.
 * They are a constant factor apart, so "canary <= baseline * 2^(shift/16)" is a shift of whole buckets. The first and
 * the last bucket are open: what lies in them may lie anywhere beyond, and under a shift is counted only where it must
 * fall.
 *
 * Assumed: within each arm exchanges are independent and alike over the whole run. That does not hold under drift (both
 * arms' mixtures over time are then compared), which is why this is a second opinion.
 *
 * Only cumulative counts matter: hosts are merged by adding them. An arm without counts gives no evidence. Every result
 * is finite and never NaN.
 */
#ifndef TW_STATS_QUANTILE_H
#define TW_STATS_QUANTILE_H

#include <stdbool.h>
#include <stdint.h>

#include "judge/stats/share.h"

#define LADDER_MAX 2048 /* buckets */

/* One arm's counts, added up: built once, asked often. */
struct ladder {
	unsigned int n;              /* buckets, 1 .. LADDER_MAX */
	double upto[LADDER_MAX + 1]; /* upto[i]: how many lie in buckets below i; upto[n]: all */
};

/* counts[n], 1 <= n <= LADDER_MAX: buckets beyond are put into the last. */
void ladder__build(struct ladder *l, const uint64_t *counts, unsigned int n);
/* The same of counts that may be fractions, none negative: divided by a dispersion. */
void ladder__build_parts(struct ladder *l, const double *counts, unsigned int n);

/* --- one arm ------------------------------------------------------------------------------------------------------ */

/*
 * Buckets that hold the p-quantile (0 < p < 1) at all times at once with probability 1 - alpha, first and last
 * included; no counts: all of them.
 */
void quantile__interval(const struct ladder *l, double p, const struct share_level *level, unsigned int *first,
                        unsigned int *last);
/* One-sided: the quantile lies in this bucket or above it; 0: no limit yet. */
unsigned int quantile__lower(const struct ladder *l, double p, const struct share_level *level);
/* The quantile lies in this bucket or below it; the last: no limit yet. */
unsigned int quantile__upper(const struct ladder *l, double p, const struct share_level *level);

/* --- canary against baseline; both ladders must have the same number of buckets ------------------------------------
 */

struct quantile_test {
	double p;
	struct share_test canary_above, canary_below, canary_differs;
	struct share_test baseline_above, baseline_below, baseline_differs;
};

/* t_opt: exchanges of each arm at which it is to be sharpest, chosen before any was counted. */
void quantile_test__init(struct quantile_test *t, double p, double t_opt_canary, double t_opt_baseline,
                         double alpha_opt);

/*
 * log E against "the canary's quantile is at most the baseline's, moved up by shift buckets" (negative: down): evidence
 * of being slower by more than that. Falls as the shift grows.
 *   min over q of log E[canary above q, 1-p] + log E[baseline below q - shift, p]
 */
double quantile_test__log_e_slower(const struct quantile_test *t, const struct ladder *canary,
                                   const struct ladder *baseline, int shift);
/*
 * log E against "the canary's quantile is at least the baseline's, moved up by shift buckets": evidence of being less
 * than that slower. With shift > 0 the certificate of a margin. Grows with the shift.
 */
double quantile_test__log_e_within(const struct quantile_test *t, const struct ladder *canary,
                                   const struct ladder *baseline, int shift);
/* Two-sided p against "both quantiles are equal", valid at any time it is looked at: min(1, 1/E). */
double quantile_test__p_differs(const struct quantile_test *t, const struct ladder *canary,
                                const struct ladder *baseline);

/*
 * The canary's quantile over the baseline's in buckets, a confidence sequence: at all times at once with probability
 * 1 - alpha it is more than `low` and less than `high` buckets (factors of 2^(1/16)) apart. low = -n: no lower limit
 * yet; high = n: no upper one.
 */
void quantile_test__shifts(const struct quantile_test *t, const struct ladder *canary, const struct ladder *baseline,
                           double alpha, int *low, int *high);

struct quantile_look {
	double log_e_slower; /* at shift 0 */
	double log_e_within; /* at the margin */
	int low, high;       /* quantile_test__shifts */
};

/* All of these at once: they share most of what has to be worked out. margin in buckets. */
void quantile_test__look(const struct quantile_test *t, const struct ladder *canary, const struct ladder *baseline,
                         int margin, double alpha, struct quantile_look *look);

#endif
