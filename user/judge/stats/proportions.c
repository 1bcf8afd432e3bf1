/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/proportions.h"

#include <math.h>

#include "judge/stats/normal.h"

#define BISECTIONS 100

/* Wilson's score interval of one share. */
static void wilson(double k, double n, double z, double *low, double *high)
{
	double p = k / n, z2 = z * z / n, middle = p + z2 / 2, half = z / n * sqrt(k * (1 - p) + z * z / 4);

	*low = fmax(0, (middle - half) / (1 + z2));
	*high = fmin(1, (middle + half) / (1 + z2));
}

static bool have_data(double n1, double n2, double *low, double *high)
{
	*low = -1;
	*high = 1;
	return n1 > 0 && n2 > 0;
}

void difference_newcombe(double k1, double n1, double k2, double n2, double alpha, double *low, double *high)
{
	double z = normal_quantile(1 - alpha / 2), d, l1, u1, l2, u2;

	if (!have_data(n1, n2, low, high))
		return;
	d = k1 / n1 - k2 / n2;
	wilson(k1, n1, z, &l1, &u1);
	wilson(k2, n2, z, &l2, &u2);
	*low = d - hypot(k1 / n1 - l1, u2 - k2 / n2);
	*high = d + hypot(u1 - k1 / n1, k2 / n2 - l2);
}

/* The derivative of the log likelihood by p at the shares p + delta and p; it falls with p. */
static double likelihood_slope(double k1, double n1, double k2, double n2, double p, double delta)
{
	double slope = 0;

	slope += k1 > 0 ? k1 / (p + delta) : 0;
	slope -= k1 < n1 ? (n1 - k1) / (1 - p - delta) : 0;
	slope += k2 > 0 ? k2 / p : 0;
	slope -= k2 < n2 ? (n2 - k2) / (1 - p) : 0;
	return slope;
}

/*
 * The likeliest p2 given p1 = p2 + delta. The closed form (a cubic) loses the digits of rare events, whose roots lie
 * next to each other; bisection does not.
 */
static double constrained_share(double k1, double n1, double k2, double n2, double delta)
{
	double low = fmax(0, -delta), high = fmin(1, 1 - delta);

	for (int i = 0; i < BISECTIONS; i++) {
		double p = (low + high) / 2;

		if (p <= low || p >= high)
			break;
		if (likelihood_slope(k1, n1, k2, n2, p, delta) > 0)
			low = p;
		else
			high = p;
	}
	return (low + high) / 2;
}

double difference_score(double k1, double n1, double k2, double n2, double delta, enum score_variance variance)
{
	double p, off, v;

	if (!(n1 > 0) || !(n2 > 0))
		return 0;
	p = constrained_share(k1, n1, k2, n2, delta);
	off = k1 / n1 - k2 / n2 - delta;
	v = fmax(0, p + delta) * fmax(0, 1 - p - delta) / n1 + p * (1 - p) / n2;
	if (variance == SCORE_MIETTINEN_NURMINEN && n1 + n2 > 1)
		v *= (n1 + n2) / (n1 + n2 - 1);
	if (off == 0)
		return 0;
	return v > 0 ? off / sqrt(v) : copysign(INFINITY, off);
}

void difference_score_interval(double k1, double n1, double k2, double n2, double alpha, enum score_variance variance,
                               double *low, double *high)
{
	double z = normal_quantile(1 - alpha / 2);

	if (!have_data(n1, n2, low, high))
		return;
	/* The statistic falls with delta; each end is the one on the rejected side of its crossing. */
	for (int side = 0; side < 2; side++) {
		double out = side ? 1 : -1, in = k1 / n1 - k2 / n2;

		for (int i = 0; i < BISECTIONS; i++) {
			double delta = (in + out) / 2;

			if (fabs(difference_score(k1, n1, k2, n2, delta, variance)) > z)
				out = delta;
			else
				in = delta;
		}
		*(side ? high : low) = out;
	}
}

bool excess_events(double k_c, double n_c, double k_b, double n_b, double alpha, struct excess *out)
{
	double low, high;

	if (!(n_b > 0))
		return false;
	*out = (struct excess){ 0 };
	if (!(n_c > 0))
		return true;
	difference_newcombe(k_c, n_c, k_b, n_b, alpha, &low, &high);
	out->events = k_c - n_c * (k_b / n_b);
	out->low = n_c * low;
	out->high = n_c * high;
	return true;
}
