/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The samplers for large means are Hörmann's transformed rejection with squeeze: BTRS ("The generation of binomial
 * random variates", 1993) and PTRS ("The transformed rejection method for generating Poisson random variables", 1993).
 * Both are exact; the constants are his.
 */
#include "random.h"

#include <math.h>
#include <stdbool.h>

#define SMALL_MEAN 10 /* below: inversion */

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void random__seed(struct random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15ull);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
		r->s[i] = z ^ (z >> 31);
	}
}

uint64_t random__word(struct random *r)
{
	uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

double random__uniform(struct random *r)
{
	return ((double)(random__word(r) >> 11) + 0.5) * 0x1p-53;
}

unsigned int random__below(struct random *r, unsigned int n)
{
	return (unsigned int)(((random__word(r) >> 32) * n) >> 32);
}

static uint64_t poisson_small(struct random *r, double mean)
{
	double u = random__uniform(r), p = exp(-mean);
	uint64_t k = 0;

	/* Beyond 200 a mean below 10 has no mass that a double can tell. */
	while (u > p && k < 200) {
		u -= p;
		p *= mean / (double)++k;
	}
	return k;
}

uint64_t random__poisson(struct random *r, double mean)
{
	double b, a, inv_alpha, v_r, log_mean = log(mean);
	int sign;

	if (mean < SMALL_MEAN)
		return mean > 0 ? poisson_small(r, mean) : 0;
	b = 0.931 + 2.53 * sqrt(mean);
	a = -0.059 + 0.02483 * b;
	inv_alpha = 1.1239 + 1.1328 / (b - 3.4);
	v_r = 0.9277 - 3.6224 / (b - 2);
	for (;;) {
		double u = random__uniform(r) - 0.5, v = random__uniform(r), us = 0.5 - fabs(u);
		double k = floor((2 * a / us + b) * u + mean + 0.43);

		if (us >= 0.07 && v <= v_r)
			return (uint64_t)k;
		if (k < 0 || (us < 0.013 && v > us))
			continue;
		if (log(v) + log(inv_alpha) - log(a / (us * us) + b) <= k * log_mean - mean - lgamma_r(k + 1, &sign))
			return (uint64_t)k;
	}
}

static uint64_t binomial_small(struct random *r, uint64_t n, double p)
{
	double q = 1 - p, odds = p / q, f = exp((double)n * log1p(-p)), u = random__uniform(r);
	uint64_t k = 0;

	while (u > f && k < n) {
		u -= f;
		k++;
		f *= odds * (double)(n - k + 1) / (double)k;
	}
	return k;
}

/* log(k!) less Stirling's main terms for k+1. */
static double stirling_tail(double k)
{
	static const double small[] = { 0.0810614667953272,  0.0413406959554092, 0.0276779256849983, 0.0207906721037650,
		                        0.0166446911898211,  0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
		                        0.00925546218271273, 0.00833056343336287 };
	double x;

	if (k <= 9)
		return small[(int)k];
	x = 1 / ((k + 1) * (k + 1));
	return (1.0 / 12 - (1.0 / 360 - x / 1260) * x) / (k + 1);
}

static uint64_t binomial_large(struct random *r, double n, double p)
{
	double spq = sqrt(n * p * (1 - p)), odds = p / (1 - p), b = 1.15 + 2.53 * spq;
	double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, v_r = 0.92 - 4.2 / b;
	double alpha = (2.83 + 5.1 / b) * spq, m = floor((n + 1) * p);

	for (;;) {
		double v = random__uniform(r), u = random__uniform(r) - 0.5, us = 0.5 - fabs(u);
		double k = floor((2 * a / us + b) * u + c), limit;

		if (us >= 0.07 && v <= v_r)
			return (uint64_t)k;
		if (k < 0 || k > n)
			continue;
		limit = (m + 0.5) * log((m + 1) / (odds * (n - m + 1))) + (n + 1) * log((n - m + 1) / (n - k + 1)) +
		        (k + 0.5) * log(odds * (n - k + 1) / (k + 1)) + stirling_tail(m) + stirling_tail(n - m) -
		        stirling_tail(k) - stirling_tail(n - k);
		if (log(v * alpha / (a / (us * us) + b)) <= limit)
			return (uint64_t)k;
	}
}

uint64_t random__binomial(struct random *r, uint64_t n, double p)
{
	if (p > 0.5)
		return n - random__binomial(r, n, 1 - p);
	if (p <= 0 || !n)
		return 0;
	if ((double)n * p < SMALL_MEAN)
		return binomial_small(r, n, p);
	return binomial_large(r, (double)n, p);
}

uint64_t random__geometric(struct random *r, double mean)
{
	if (mean <= 1)
		return 1;
	return 1 + (uint64_t)(log(random__uniform(r)) / log1p(-1 / mean));
}
