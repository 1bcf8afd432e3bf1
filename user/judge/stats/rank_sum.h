/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Mann and Whitney's rank-sum test on bucket counts, all that share a bucket being tied: for reports, looked at once.
 * Nothing may be gated on it at repeated looks.
 */
#ifndef TW_STATS_RANK_SUM_H
#define TW_STATS_RANK_SUM_H

#include <stdbool.h>

struct rank_sum {
	double u;     /* pairs in which x is the larger, a tie counting half: R's W of wilcox.test(x, y) */
	double sigma; /* of u if both are alike, corrected for ties */
	double z;     /* (u - mean) / sigma, the continuity correction of the two-sided test included */
	double p_two_sided, p_greater, p_less; /* normal approximation; greater: x tends to be larger */
	double cles;                           /* u over the number of pairs: P(x > y) + P(x = y) / 2 */
};

/*
 * x, y: counts in n buckets of rising latency, none negative; fractions where they were divided by a dispersion, which
 * divides z by its root. continuity: R's correct = TRUE. An empty arm, or everything in one bucket: z 0, all p 1, cles
 * 0.5.
 */
struct rank_sum rank_sum(const double *x, const double *y, unsigned int n, bool continuity);

#endif
