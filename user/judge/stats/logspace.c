/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/logspace.h"

#include <math.h>

double log_sum_exp(const double *x, size_t n)
{
	double max = -INFINITY, sum = 0;

	for (size_t i = 0; i < n; i++)
		max = fmax(max, x[i]);
	if (isinf(max))
		return max;
	for (size_t i = 0; i < n; i++)
		sum += exp(x[i] - max);
	return max + log(sum);
}

double log_mix(double weight, double a, double b)
{
	const double both[2] = { a + log(weight), b + log1p(-weight) };

	return log_sum_exp(both, 2);
}

double log_one_minus_exp(double x)
{
	if (x >= 0)
		return -INFINITY;
	return x > -M_LN2 ? log(-expm1(x)) : log1p(-exp(x));
}
