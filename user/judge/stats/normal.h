/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The normal and the chi-square distribution. */
#ifndef TW_STATS_NORMAL_H
#define TW_STATS_NORMAL_H

/* P(Z < z), to the last digits in either tail (what is above z lies below -z). */
double normal_below(double z);
/* The z with P(Z < z) = p. p <= 0: -Inf; p >= 1: +Inf. */
double normal_quantile(double p);
/* P(X > x) for chi-square with df >= 1 degrees of freedom; x <= 0: 1. */
double chi_square_above(double x, unsigned int df);

#endif
