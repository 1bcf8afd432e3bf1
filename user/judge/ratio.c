/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/ratio.h"

#include <math.h>

#include "judge/eprocess.h"

#define PRIOR_SCALE 0.5 /* of log rho: half of the weight lies between 1/1.65 and 1.65 */

static double grid_octave(unsigned int i)
{
	const unsigned int far = 2 * RATIO_FAR, fine = 2 * 4 * RATIO_FINE;

	if (i < far)
		return -4 - (far - i) / 2.0;
	if (i <= far + fine)
		return -4 + (double)(i - far) / RATIO_FINE;
	return 4 + (i - far - fine) / 2.0;
}

void ratio_grid__init(struct ratio_grid *g)
{
	double total;

	for (unsigned int i = 0; i < RATIO_GRID; i++) {
		g->log_rho[i] = grid_octave(i) * M_LN2;
		g->rho[i] = exp2(grid_octave(i));
	}
	for (unsigned int i = 0; i < RATIO_GRID; i++) {
		double below = i ? g->log_rho[i - 1] : g->log_rho[0];
		double above = i + 1 < RATIO_GRID ? g->log_rho[i + 1] : g->log_rho[i];
		double x = g->log_rho[i] / PRIOR_SCALE;

		g->log_w[i] = log((above - below) / (1 + x * x));
	}
	total = log_sum_exp(g->log_w, RATIO_GRID);
	for (unsigned int i = 0; i < RATIO_GRID; i++)
		g->log_w[i] -= total;
}

void ratio__add(struct ratio *r, const struct ratio_grid *g, double n_c, double n_b, double k_c, double k_b)
{
	double share, bad = k_c + k_b;

	if (n_c <= 0 || n_b <= 0 || bad <= 0)
		return;
	share = n_c / (n_c + n_b);
	for (unsigned int i = 0; i < RATIO_GRID; i++)
		r->a[i] += bad * log1p((g->rho[i] - 1) * share);
	r->k_c += k_c;
	r->k_b += k_b;
	r->above += k_c * (1 - share);
	r->below += k_b * share;
}

void ratio__merge(struct ratio *to, const struct ratio *from)
{
	for (unsigned int i = 0; i < RATIO_GRID; i++)
		to->a[i] += from->a[i];
	to->k_c += from->k_c;
	to->k_b += from->k_b;
	to->above += from->above;
	to->below += from->below;
}

bool ratio__estimate(const struct ratio *r, double *ratio)
{
	if (r->below <= 0)
		return false;
	*ratio = fmin(r->above / r->below, RATIO_MAX);
	return true;
}

static void likelihoods(const struct ratio *r, const struct ratio_grid *g, double *l)
{
	for (unsigned int i = 0; i < RATIO_GRID; i++)
		l[i] = r->k_c * g->log_rho[i] - r->a[i];
}

/*
 * From outside in, to the first point that is not rejected (mix - l is log E there). The limit lies between it and the
 * point before. Within that cell the mixture stays the same, and l, being concave, stays below the line through the two
 * points before: where that line meets the bound, rho is still rejected.
 */
static double limit(const double *l, const double *mix, const struct ratio_grid *g, double need, bool lower)
{
	unsigned int k = 0, in, out, further;
	double slope, step, cell;

	while (k < RATIO_GRID - 1 && mix[lower ? k : RATIO_GRID - 1 - k] - l[lower ? k : RATIO_GRID - 1 - k] >= need)
		k++;
	if (k == 0)
		return lower ? 0 : RATIO_MAX;
	in = lower ? k : RATIO_GRID - 1 - k;
	out = lower ? in - 1 : in + 1;
	if (k == 1)
		return g->rho[out];
	further = lower ? out - 1 : out + 1;
	cell = g->log_rho[in] - g->log_rho[out];
	slope = (l[out] - l[further]) / (g->log_rho[out] - g->log_rho[further]);
	step = (mix[out] - l[out] - need) / slope;
	return fabs(step) < fabs(cell) ? g->rho[out] * exp(step) : g->rho[in];
}

void ratio__interval(const struct ratio *r, const struct ratio_grid *g, double alpha, double *low, double *high)
{
	double l[RATIO_GRID], mixed[RATIO_GRID], mix;

	likelihoods(r, g, l);
	for (unsigned int i = 0; i < RATIO_GRID; i++)
		mixed[i] = l[i] + g->log_w[i];
	/* The best point is never rejected: the mixture is a mean, so E < 1 there. */
	mix = log_sum_exp(mixed, RATIO_GRID);
	for (unsigned int i = 0; i < RATIO_GRID; i++)
		mixed[i] = mix;
	*low = limit(l, mixed, g, -log(alpha), true);
	*high = limit(l, mixed, g, -log(alpha), false);
}

static double one_sided(const struct ratio *r, const struct ratio_grid *g, double alpha, bool lower)
{
	double l[RATIO_GRID], mix[RATIO_GRID], sum[2] = { -INFINITY, -INFINITY }, weight[2] = { -INFINITY, -INFINITY };

	likelihoods(r, g, l);
	/* From the far side in: each point is tested by the mean of those beyond it. */
	for (unsigned int k = 0; k < RATIO_GRID; k++) {
		unsigned int i = lower ? RATIO_GRID - 1 - k : k;

		mix[i] = k ? sum[0] - weight[0] : l[i];
		sum[1] = l[i] + g->log_w[i];
		weight[1] = g->log_w[i];
		sum[0] = log_sum_exp(sum, 2);
		weight[0] = log_sum_exp(weight, 2);
	}
	return limit(l, mix, g, -log(alpha), lower);
}

double ratio__lower(const struct ratio *r, const struct ratio_grid *g, double alpha)
{
	return one_sided(r, g, alpha, true);
}

double ratio__upper(const struct ratio *r, const struct ratio_grid *g, double alpha)
{
	return one_sided(r, g, alpha, false);
}
