/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/share.h"

#include <math.h>

#include "judge/stats/beta.h"

#define LEAST_CONCENTRATION 1e-3
#define BISECTIONS          200
#define PRECISION           1e-10 /* of a bound, as a part of itself or of what it lacks to 1 */

/* Under the mixture, and under its part above p0: the latter has the power cancelled out (see beta_log_mills). */
static double log_evidence(const struct share_test *t, double a, double b)
{
	return t->side == SHARE_ABOVE ? beta_log_mills(a, b, t->p0) : -beta_log_power(a, b, t->p0);
}

void share_test__init(struct share_test *t, enum share_side side, double p0, double t_opt, double alpha_opt)
{
	double l = -2 * log(side == SHARE_ABOVE ? 2 * alpha_opt : alpha_opt);
	double concentration = fmax(t_opt / (l + log1p(l)) - 1, LEAST_CONCENTRATION);

	t->side = side;
	t->p0 = p0;
	t->a = concentration * p0;
	t->b = concentration * (1 - p0);
	t->prior = log_evidence(t, t->a, t->b);
}

double share_test__log_e(const struct share_test *t, double k, double n)
{
	if (!(n > 0))
		return 0;
	k = fmin(fmax(k, 0), n);
	return log_evidence(t, t->a + k, t->b + (n - k)) - t->prior;
}

/* Where the derivative by k is zero: digamma(a+k) - digamma(b+n-k) - log(p0/(1-p0)), which grows with k. */
double share_test__least(const struct share_test *t, double n)
{
	double logit = log(t->p0) - log1p(-t->p0), low = 0, high = fmax(n, 0);

	for (int i = 0; i < BISECTIONS && high - low > PRECISION * high; i++) {
		double k = (low + high) / 2;

		if (digamma(t->a + k) - digamma(t->b + (n - k)) < logit)
			low = k;
		else
			high = k;
	}
	return (low + high) / 2;
}

struct counted {
	double k, n;
	enum share_side side;
	const struct share_level *level;
};

static bool rejects(const struct counted *c, double p)
{
	struct share_test t;

	share_test__init(&t, c->side, p, c->level->t_opt, c->level->alpha_opt);
	return share_test__log_e(&t, c->k, c->n) >= -log(c->level->alpha);
}

/*
 * The lowest share that is not rejected, less a rounding error. Without rejection close to 0 there is no limit: a
 * single event, say, is possible at any share.
 */
static double lower_end(const struct counted *c)
{
	double in = fmin(c->k / c->n, 1), out = in * 1e-9;

	if (!(in > 0) || !rejects(c, out))
		return 0;
	for (int i = 0; i < BISECTIONS && in - out > PRECISION * fmin(in, 1 - out); i++) {
		double p = out > in / 4 ? (in + out) / 2 : sqrt(in * out);

		if (p <= out || p >= in)
			break;
		if (rejects(c, p))
			out = p;
		else
			in = p;
	}
	return out;
}

double share__lower(double k, double n, const struct share_level *level)
{
	const struct counted c = { k, n, SHARE_ABOVE, level };

	return n > 0 ? lower_end(&c) : 0;
}

double share__upper(double k, double n, const struct share_level *level)
{
	return 1 - share__lower(n - k, n, level);
}

void share__interval(double k, double n, const struct share_level *level, double *low, double *high)
{
	const struct counted c = { k, n, SHARE_DIFFERS, level }, others = { n - k, n, SHARE_DIFFERS, level };

	*low = n > 0 ? lower_end(&c) : 0;
	*high = n > 0 ? 1 - lower_end(&others) : 1;
}
