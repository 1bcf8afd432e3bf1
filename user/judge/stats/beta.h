/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The beta function and the tails of a beta distribution, as natural logarithms, for parameters from 1e-6 to 1e20 (sums
 * of counts) and tails down to exp(-1e19).
 *
 * Own code, as no library fits: GSL is GPL-3; R's nmath prints its warnings to stdout and is GPL-2; Boost is C++.
 *
 * a, b > 0 and finite in all of them. Errors, of the larger of 1 and the result: 1e-12 up to parameters of 1e6, 1e-10
 * at 1e10, 1e-6 at 1e19, where the last digit of x itself stands for about as much. A tail that is all but certain is
 * told to the last digit of its probability. Never NaN.
 */
#ifndef TW_STATS_BETA_H
#define TW_STATS_BETA_H

/* The derivative of log Gamma(z), z > 0 (DLMF 5.2.2). */
double digamma(double z);
/* log B(a, b) */
double log_beta(double a, double b);
/* log [x^a (1-x)^b / B(a, b)], the density of x times x (1-x). -Inf where x is not inside (0, 1). */
double beta_log_power(double a, double b, double x);
/* log P(T < x), the regularised incomplete beta function I_x(a, b) (DLMF 8.17.2). x <= 0: -Inf; x >= 1: 0. */
double beta_log_below(double a, double b, double x);
/* log P(T > x). x <= 0: 0; x >= 1: -Inf. */
double beta_log_above(double a, double b, double x);
/* beta_log_above - beta_log_power, without the loss of digits where both are large. 0 < x < 1. */
double beta_log_mills(double a, double b, double x);

#endif
