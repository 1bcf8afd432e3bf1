/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/multiplicity.h"

#include <math.h>
#include <stdlib.h>

static double stake(double weight)
{
	return isfinite(weight) ? fmax(weight, 0) : 0;
}

static double all_stakes(const double *weight, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += stake(weight[i]);
	return sum;
}

double log_e_mean(const double *log_e, const double *weight, size_t n)
{
	double all = all_stakes(weight, n), most = -INFINITY, sum = 0;

	if (!(all > 0))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (stake(weight[i]) > 0)
			most = fmax(most, log_e[i]);
	if (isinf(most))
		return most;
	for (size_t i = 0; i < n; i++)
		if (stake(weight[i]) > 0)
			sum += stake(weight[i]) / all * exp(log_e[i] - most);
	return most + log(sum);
}

size_t flag_weighted(const double *log_e, const double *weight, size_t n, double alpha, bool *flag)
{
	double all = all_stakes(weight, n);
	size_t flagged = 0;

	for (size_t i = 0; i < n; i++) {
		double w = stake(weight[i]);

		flag[i] = w > 0 && log(w / all) + log_e[i] >= -log(alpha);
		flagged += flag[i];
	}
	return flagged;
}

static int by_index(size_t i, size_t j)
{
	return (i > j) - (i < j);
}

static int rising(const void *a, const void *b, void *values)
{
	const double *v = values;
	const size_t i = *(const size_t *)a, j = *(const size_t *)b;

	if (v[i] == v[j])
		return by_index(i, j);
	return v[i] < v[j] ? -1 : 1;
}

static int falling(const void *a, const void *b, void *values)
{
	const double *v = values;
	const size_t i = *(const size_t *)a, j = *(const size_t *)b;

	if (v[i] == v[j])
		return by_index(i, j);
	return v[i] > v[j] ? -1 : 1;
}

static void sort(const double *values, size_t n, size_t *order, int (*compare)(const void *, const void *, void *))
{
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	if (n > 1)
		qsort_r(order, n, sizeof(*order), compare, (void *)values);
}

size_t flag_e_bh(const double *log_e, size_t n, double alpha, size_t *order, bool *flag)
{
	size_t k = n;

	sort(log_e, n, order, falling);
	while (k > 0 && log((double)k) + log_e[order[k - 1]] - log((double)n) < -log(alpha))
		k--;
	for (size_t i = 0; i < n; i++)
		flag[order[i]] = i < k;
	return k;
}

void p_adjust_holm(const double *p, size_t n, size_t *order, double *adjusted)
{
	double most = 0;

	sort(p, n, order, rising);
	for (size_t i = 0; i < n; i++) {
		most = fmax(most, (double)(n - i) * p[order[i]]);
		adjusted[order[i]] = fmin(most, 1);
	}
}

void p_adjust_bh(const double *p, size_t n, size_t *order, double *adjusted)
{
	double least = 1;

	sort(p, n, order, rising);
	for (size_t i = n; i > 0; i--) {
		least = fmin(least, (double)n / (double)i * p[order[i - 1]]);
		adjusted[order[i - 1]] = least;
	}
}
