/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/srm.h"

#include <math.h>
#include <string.h>

#include "judge/stats/beta.h"
#include "judge/stats/normal.h"

static double sum(const double *x, unsigned int n)
{
	double all = 0;

	for (unsigned int i = 0; i < n; i++)
		all += x[i];
	return all;
}

static void set_plan(struct srm *s, const double *share)
{
	double all = sum(share, s->arms);

	for (unsigned int i = 0; i < s->arms; i++) {
		s->share[i] = all > 0 ? share[i] / all : 0;
		s->counted[i] = 0;
	}
}

void srm__init(struct srm *s, const double *share, unsigned int arms, double concentration)
{
	memset(s, 0, sizeof(*s));
	s->arms = arms < SRM_ARMS ? arms : SRM_ARMS;
	s->concentration = concentration;
	set_plan(s, share);
}

void srm__plan(struct srm *s, const double *share)
{
	s->before = srm__log_e(s);
	set_plan(s, share);
}

void srm__add(struct srm *s, const double *units)
{
	for (unsigned int i = 0; i < s->arms; i++)
		if (s->share[i] > 0)
			s->counted[i] += units[i];
	s->most = fmax(s->most, srm__log_e(s));
}

/*
 * A Dirichlet is a chain of betas: arm 0 against the rest, arm 1 against what is left, and so on. Each link is a Bayes
 * factor of two arms, the ratio of prior to posterior density at the plan (Savage and Dickey), which keeps its digits
 * for any counts.
 */
double srm__log_e(const struct srm *s)
{
	double log_e = s->before, share_left = sum(s->share, s->arms), left = sum(s->counted, s->arms);

	for (unsigned int i = 0; i + 1 < s->arms; i++) {
		double a = s->concentration * s->share[i], b, part;

		if (s->share[i] <= 0)
			continue;
		part = s->share[i] / share_left;
		share_left = sum(s->share + i + 1, s->arms - i - 1);
		left = sum(s->counted + i + 1, s->arms - i - 1);
		b = s->concentration * share_left;
		if (share_left <= 0)
			break;
		log_e += beta_log_power(a, b, part) - beta_log_power(a + s->counted[i], b + left, part);
	}
	return log_e;
}

double srm__p(const struct srm *s)
{
	return exp(-s->most);
}

double srm__deviation(const struct srm *s)
{
	double all = sum(s->counted, s->arms), most = 0;

	for (unsigned int i = 0; i < s->arms && all > 0; i++)
		if (s->share[i] > 0)
			most = fmax(most, fabs(s->counted[i] / all - s->share[i]) / s->share[i]);
	return most;
}

bool srm__mismatch(const struct srm *s, double alpha, double tolerance)
{
	return srm__p(s) <= alpha && srm__deviation(s) > tolerance;
}

double srm_chi_square(const double *units, const double *share, unsigned int arms, double *statistic)
{
	double all_units = 0, all_shares = 0, x = 0;
	unsigned int used = 0;

	for (unsigned int i = 0; i < arms; i++) {
		if (share[i] <= 0)
			continue;
		all_units += units[i];
		all_shares += share[i];
		used++;
	}
	for (unsigned int i = 0; i < arms && all_units > 0; i++) {
		double expected = share[i] / all_shares * all_units;

		if (share[i] > 0)
			x += (units[i] - expected) * ((units[i] - expected) / expected);
	}
	if (statistic)
		*statistic = x;
	return used < 2 ? 1 : chi_square_above(x, used - 1);
}
