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

bool ratio__estimate(const struct ratio *r, double *ratio)
{
	if (r->below <= 0)
		return false;
	*ratio = fmin(r->above / r->below, RATIO_MAX);
	return true;
}

void ratio__interval(const struct ratio *r, const struct ratio_grid *g, double alpha, double *low, double *high)
{
	double l[RATIO_GRID], mixed[RATIO_GRID], limit;
	unsigned int first = 0, last = RATIO_GRID - 1;

	for (unsigned int i = 0; i < RATIO_GRID; i++) {
		l[i] = r->k_c * g->log_rho[i] - r->a[i];
		mixed[i] = l[i] + g->log_w[i];
	}
	/* The best point is never rejected: the mixture is a mean, so E < 1 there. */
	limit = log_sum_exp(mixed, RATIO_GRID) + log(alpha);
	while (first < last && l[first] <= limit)
		first++;
	while (last > first && l[last] <= limit)
		last--;
	*low = first > 0 ? g->rho[first - 1] : 0;
	*high = last + 1 < RATIO_GRID ? g->rho[last + 1] : RATIO_MAX;
}
