/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/beta.h"

#include <math.h>
#include <stdbool.h>

#include "judge/stats/logspace.h"

#define SERIES_BELOW  20   /* first parameter: above, the quadrature is smooth enough */
#define SERIES_NEAR_1 0.9  /* beyond, the series of the other tail is the short one */
#define CUT           40.0 /* the integrand ends where it has fallen to exp(-CUT), 4e-18 */

/* Gauss-Legendre quadrature with 32 nodes on [-1, 1] (DLMF 3.5(v)): the positive ones and their weights. */
static const double gauss[][2] = {
	{ 0.99726386184948156354, 0.0070186100094700966004 }, { 0.9856115115452683354, 0.016274394730905670605 },
	{ 0.96476225558750643077, 0.025392065309262059456 },  { 0.93490607593773968917, 0.034273862913021433103 },
	{ 0.89632115576605212397, 0.042835898022226680657 },  { 0.84936761373256997013, 0.050998059262376176196 },
	{ 0.79448379596794240696, 0.058684093478535547145 },  { 0.73218211874028968039, 0.065822222776361846838 },
	{ 0.66304426693021520098, 0.072345794108848506225 },  { 0.58771575724076232904, 0.078193895787070306472 },
	{ 0.50689990893222939002, 0.083311924226946755222 },  { 0.42135127613063534536, 0.087652093004403811143 },
	{ 0.33186860228212764978, 0.091173878695763884713 },  { 0.23928736225213707454, 0.093844399080804565639 },
	{ 0.14447196158279649349, 0.095638720079274859419 },  { 0.048307665687738316235, 0.096540088514727800567 },
};

/* log(1 + t) - t: for small t the two agree in their leading digits. */
static double log1p_minus(double t)
{
	if (fabs(t) > 0.01)
		return log1p(t) - t;
	return t * t *
	       (-1 / 2.0 + t * (1 / 3.0 + t * (-1 / 4.0 + t * (1 / 5.0 + t * (-1 / 6.0 + t * (1 / 7.0 - t / 8.0))))));
}

/* exp(s) - 1 - s */
static double expm1_minus(double s)
{
	if (fabs(s) > 0.01)
		return expm1(s) - s;
	return s * s * (1 / 2.0 + s * (1 / 6.0 + s * (1 / 24.0 + s * (1 / 120.0 + s * (1 / 720.0 + s / 5040.0)))));
}

/* What Stirling's formula for log Gamma(z) leaves out (DLMF 5.11.1). */
static double stirling_error(double z)
{
	double i2 = 1 / (z * z);
	int sign;

	if (z < 16)
		return lgamma_r(z, &sign) - (z - 0.5) * log(z) + z - 0.5 * log(2 * M_PI);
	return (1 / 12.0 -
	        i2 * (1 / 360.0 - i2 * (1 / 1260.0 - i2 * (1 / 1680.0 - i2 * (1 / 1188.0 - i2 * 691 / 360360.0))))) /
	       z;
}

/* Up by the recurrence to where the asymptotic series holds (DLMF 5.5.2 and 5.11.2). */
double digamma(double z)
{
	double shift = 0, i2;

	for (; z < 16; z++)
		shift -= 1 / z;
	i2 = 1 / (z * z);
	return shift + log(z) - 0.5 / z -
	       i2 * (1 / 12.0 - i2 * (1 / 120.0 - i2 * (1 / 252.0 - i2 * (1 / 240.0 - i2 / 132.0))));
}

/* log of [sqrt(ab / (2 pi (a+b))) of Stirling's formula and what it leaves out]: B(a, b) without its main part. */
static double log_beta_rest(double a, double b)
{
	double n = a + b;

	return 0.5 * log(a / n * (b / (2 * M_PI))) + stirling_error(n) - stirling_error(a) - stirling_error(b);
}

double log_beta(double a, double b)
{
	double n = a + b, small = fmin(a, b), large = fmax(a, b);

	return small * log(small / n) + large * log1p(-small / n) - log_beta_rest(a, b);
}

/* log(x / m) - t where m is a parameter's part of the mean and t = x/m - 1. */
static double log_ratio_minus(double x, double m, double t)
{
	return fabs(t) < 0.5 ? log1p_minus(t) : log(x / m) - t;
}

/*
 * With n = a + b, m = a/n: x^a y^b = m^a (1-m)^b * exp(a log(x/m) + b log(y/(1-m))), and since a (x/m - 1) +
 * b (y/(1-m) - 1) = 0 both logarithms may be taken less their leading term. What remains has one sign, so nothing
 * cancels however large a and b are (the "deviance" of C. Loader, Fast and Accurate Computation of Binomial
 * Probabilities, 2000).
 */
static double log_power(double a, double b, double x, double y)
{
	double n = a + b, d = x * b - y * a;

	return a * log_ratio_minus(x, a / n, d / a) + b * log_ratio_minus(y, b / n, -d / b) + log_beta_rest(a, b);
}

/* sum over k of (n)_k / (a+1)_k x^k, over a: DLMF 8.17.8, x not beyond the mean or small. */
static double series(double a, double n, double x)
{
	double sum = 1, term = 1, ratio = n * x / (a + 1);

	for (int k = 0; k < 100000; k++) {
		ratio = (n + k) * x / (a + 1 + k);
		term *= ratio;
		sum += term;
		if (ratio < 1 && term * fmax(ratio, x) < 1e-17 * sum * (1 - fmax(ratio, x)))
			break;
	}
	return sum / a;
}

/*
 * The lower tail over its power is an integral over s, the step down from x in log(t / (1-t)), of exp(-exponent(s)).
 * The exponent is 0 at 0, increasing and convex as long as x is not beyond the mean.
 */
struct tail {
	double slope, n, x, y;
};

/* slope s + n (log1p(x expm1(-s)) + x s), in that one of two forms which does not cancel. */
static double exponent(const struct tail *t, double s)
{
	double w = t->x <= 0.5 ? t->x * expm1(-s) : t->y * expm1(s);
	double rest = t->x <= 0.5 ? t->x * expm1_minus(-s) : t->y * expm1_minus(s);

	return t->slope * s + t->n * (log1p_minus(w) + rest);
}

static double exponent_slope(const struct tail *t, double s)
{
	return t->slope - t->n * t->x * t->y * expm1(-s) / (t->y + t->x * exp(-s));
}

/* Where the exponent reaches CUT, roughly: Newton's method, which a convex function cannot lead astray. */
static double tail_end(const struct tail *t)
{
	double s = fmin(sqrt(2 * CUT / (t->n * t->x * t->y)), 30);

	if (t->slope * s > CUT)
		s = CUT / t->slope;
	for (int i = 0; i < 100; i++) {
		double e = exponent(t, s);

		if (e > CUT - 2 && e < CUT + 8)
			break;
		s = fmin(2 * s, s + (CUT - e) / exponent_slope(t, s));
	}
	return s;
}

static double integrand(const struct tail *t, double s)
{
	return exp(-exponent(t, s));
}

static double quadrature(double a, double b, double x, double y)
{
	const struct tail t = { .slope = y * a - x * b, .n = a + b, .x = x, .y = y };
	double half = tail_end(&t) / 2, sum = 0;

	for (unsigned int i = 0; i < sizeof(gauss) / sizeof(*gauss); i++)
		sum += gauss[i][1] *
		       (integrand(&t, half * (1 - gauss[i][0])) + integrand(&t, half * (1 + gauss[i][0])));
	return half * sum;
}

static bool not_beyond_mean(double a, double b, double x, double y)
{
	return x * b <= y * a;
}

/* log of P(T < x) / power, for x not beyond the mean. */
static double log_mills_below(double a, double b, double x, double y)
{
	double power;

	if (a >= SERIES_BELOW)
		return log(quadrature(a, b, x, y));
	if (x <= SERIES_NEAR_1)
		return log(series(a, a + b, x));
	power = log_power(a, b, x, y);
	return log_one_minus_exp(power + log(series(b, a + b, y))) - power;
}

/* log of P(T > x), by whichever tail is the shorter one. */
static double log_above(double a, double b, double x, double y)
{
	double power = log_power(a, b, x, y);

	if (not_beyond_mean(a, b, x, y))
		return log_one_minus_exp(power + log_mills_below(a, b, x, y));
	return power + log_mills_below(b, a, y, x);
}

double beta_log_power(double a, double b, double x)
{
	return x > 0 && x < 1 ? log_power(a, b, x, 1 - x) : -INFINITY;
}

double beta_log_above(double a, double b, double x)
{
	if (x <= 0)
		return 0;
	return x < 1 ? log_above(a, b, x, 1 - x) : -INFINITY;
}

double beta_log_below(double a, double b, double x)
{
	if (x <= 0)
		return -INFINITY;
	return x < 1 ? log_above(b, a, 1 - x, x) : 0;
}

double beta_log_mills(double a, double b, double x)
{
	double y = 1 - x;

	if (not_beyond_mean(a, b, x, y))
		return log_above(a, b, x, y) - log_power(a, b, x, y);
	return log_mills_below(b, a, y, x);
}
