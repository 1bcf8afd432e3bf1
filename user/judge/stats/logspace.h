/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sums and means of quantities that are kept as logarithms. Infinite ones are taken; NaN only where one went in. */
#ifndef TW_STATS_LOGSPACE_H
#define TW_STATS_LOGSPACE_H

#include <stddef.h>

/* log(sum exp(x)) without overflow. n = 0: -Inf. */
double log_sum_exp(const double *x, size_t n);
/* The log of the weighted mean of two e-values, 0 < weight < 1 being that of the first. */
double log_mix(double weight, double a, double b);
/* log(1 - exp(x)) for x <= 0, by the form that keeps its digits; -Inf where rounding made x positive. */
double log_one_minus_exp(double x);

#endif
