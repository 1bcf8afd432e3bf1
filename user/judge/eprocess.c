/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/eprocess.h"

#include <math.h>
#include <string.h>

void eprocess__init(struct eprocess *e, double rho0, const double *rho, unsigned int n)
{
	memset(e, 0, sizeof(*e));
	e->n = n;
	e->rho0 = rho0;
	for (unsigned int j = 0; j < n; j++)
		e->rho[j] = rho[j];
}

/*
 * With s the canary's share of the exposure, t(rho) = rho s / (1 + (rho-1) s), so that
 *   log(t_j / t_0)         = log(rho_j / rho0) + d_j
 *   log((1-t_j) / (1-t_0)) = d_j                           d_j = log(1 + (rho0-1) s) - log(1 + (rho_j-1) s)
 * which stays finite for every s in (0, 1).
 */
static double step(const struct eprocess *e, unsigned int j, double share)
{
	return log1p((e->rho0 - 1) * share) - log1p((e->rho[j] - 1) * share);
}

void eprocess__add(struct eprocess *e, double n_c, double n_b, double k_c, double k_b)
{
	double share, bad = k_c + k_b;

	if (n_c <= 0 || n_b <= 0 || bad <= 0)
		return;
	share = n_c / (n_c + n_b);
	for (unsigned int j = 0; j < e->n; j++)
		e->l[j] += k_c * log(e->rho[j] / e->rho0) + bad * step(e, j, share);
}

double eprocess__log_e(const struct eprocess *e)
{
	return log_sum_exp(e->l, e->n) - log(e->n);
}

void eprocess__cap(struct eprocess *e, double most)
{
	double excess = eprocess__log_e(e) - most;

	for (unsigned int j = 0; j < e->n && excess > 0; j++)
		e->l[j] -= excess;
}

double eprocess__growth(const struct eprocess *e, unsigned int j, double share, double rho)
{
	double theta = rho * share / (1 + (rho - 1) * share);

	return theta * log(e->rho[j] / e->rho0) + step(e, j, share);
}

double eprocess__events_to(const struct eprocess *e, double need, double share, double rho)
{
	double best = -1;

	for (unsigned int j = 0; j < e->n; j++) {
		double growth = eprocess__growth(e, j, share, rho);
		double missing = fmax(0, need + log(e->n) - e->l[j]);

		if (growth > 1e-12 && (best < 0 || missing / growth < best))
			best = missing / growth;
	}
	return best;
}

/* The first stands for "none": an exact zero would turn one stray bad event into minus infinity. */
static const double floor_parts[FLOOR_TEST_NR] = { 0.001, 0.1, 0.3 };

void floor_test__init(struct floor_test *f, double p0)
{
	memset(f, 0, sizeof(*f));
	f->p0 = p0;
}

static double floor_growth(const struct floor_test *f, unsigned int j, double good, double bad)
{
	double p = f->p0 * floor_parts[j];

	return bad * log(floor_parts[j]) + good * (log1p(-p) - log1p(-f->p0));
}

void floor_test__add(struct floor_test *f, double n, double bad)
{
	for (unsigned int j = 0; j < FLOOR_TEST_NR; j++)
		f->l[j] += floor_growth(f, j, n - bad, bad);
}

double floor_test__log_e(const struct floor_test *f)
{
	return log_sum_exp(f->l, FLOOR_TEST_NR) - log(FLOOR_TEST_NR);
}

void floor_test__cap(struct floor_test *f, double most)
{
	double excess = floor_test__log_e(f) - most;

	for (unsigned int j = 0; j < FLOOR_TEST_NR && excess > 0; j++)
		f->l[j] -= excess;
}

double floor_test__exchanges_to(const struct floor_test *f, double need, double p)
{
	double best = -1;

	for (unsigned int j = 0; j < FLOOR_TEST_NR; j++) {
		double growth = floor_growth(f, j, 1 - p, p);
		double missing = fmax(0, need + log(FLOOR_TEST_NR) - f->l[j]);

		if (growth > 1e-12 && (best < 0 || missing / growth < best))
			best = missing / growth;
	}
	return best;
}
