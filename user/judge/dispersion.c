/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/dispersion.h"

#include <math.h>
#include <string.h>

#define KEEPS        0.99 /* of what was learned, a tick */
#define SHARES_KEEP  0.9
#define USUAL_KEEPS  0.97
#define PAST_KEEPS   0.8 /* how far back the groups' correlations are summed */
#define PRIOR_EVENTS 10
#define PRIOR_ACROSS 3
#define PRIOR_TICKS  12  /* a correlation that fewer show is more likely chance than not */
#define ACROSS_NOISE 1.2 /* below that it is taken for 1 */
#define FEW          5   /* bad events in a tick: below that its residuals tell less of the next tick's */
#define MOST_SERIAL  0.9
#define FIRST_LAGS   4 /* ticks without which the usual share is not known well enough for a residual */

void group_shares__add(struct group_shares *s, int arm, const struct connection_groups *g)
{
	s->total[arm] = 0;
	for (int i = 0; i < TW_GROUPS; i++) {
		s->n[arm][i] = s->n[arm][i] * SHARES_KEEP + (g ? (double)g->n[i] : 0);
		s->total[arm] += s->n[arm][i];
	}
}

static void add_groups(struct dispersion *d, const struct group_shares *s, int arm, const struct events *e)
{
	double *past = d->past[arm], chi2 = 0, k = 0;
	int df = -1;

	for (int i = 0; i < TW_GROUPS; i++)
		k += (double)e->group[i];
	d->grouped = true;
	for (int i = 0; i < TW_GROUPS; i++) {
		double expected = s->total[arm] > 0 ? k * s->n[arm][i] / s->total[arm] : 0, residual;

		if (expected <= 0) {
			past[i] *= PAST_KEEPS;
			continue;
		}
		df++;
		residual = (double)e->group[i] - expected;
		chi2 += residual * residual / expected;
		d->lagged[arm] += residual * past[i];
		d->squares[arm] += residual * residual;
		past[i] = PAST_KEEPS * past[i] + residual;
	}
	if (df <= 0)
		return;
	d->chi2 += k * chi2 / df;
	d->weight += k;
	d->cells[arm] += df * fmin(1, k / FEW);
}

/* Var(k1/n1 - k0/n0) of two Poisson counts of the same rate p is p (1/n1 + 1/n0). */
static void add_change(struct dispersion *d, double n, double k)
{
	if (n <= 0)
		return;
	if (d->last_n > 0 && k + d->last_k > 0) {
		double weight = (k + d->last_k) / 2, p = (k + d->last_k) / (n + d->last_n);
		double change = k / n - d->last_k / d->last_n;

		d->change += weight * change * change / (p * (1 / n + 1 / d->last_n));
		d->change_weight += weight;
	}
	d->last_n = n;
	d->last_k = k;
}

static void add_residual(struct dispersion *d, double n, double k)
{
	double *last = d->tick_residual, x = d->usual_n > 0 ? k - n * d->usual_k / d->usual_n : 0;

	if (d->seen++ >= FIRST_LAGS) {
		d->tick_squares += x * x;
		d->tick_lagged += x * last[0];
		d->tick_far += x * (last[3] + last[4] + last[5]) / 3;
		d->ticks += 1;
	}
	memmove(last + 1, last, (DISPERSION_LAGS - 1) * sizeof(*last));
	last[0] = x;
	d->usual_n = d->usual_n * USUAL_KEEPS + n;
	d->usual_k = d->usual_k * USUAL_KEEPS + k;
}

static void forget(struct dispersion *d)
{
	double *all[] = { &d->chi2,        &d->weight,   &d->change,       &d->change_weight,
		          &d->tick_lagged, &d->tick_far, &d->tick_squares, &d->ticks };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		*all[i] *= KEEPS;
	for (int arm = 0; arm < ARMS; arm++) {
		d->lagged[arm] *= KEEPS;
		d->squares[arm] *= KEEPS;
		d->cells[arm] *= KEEPS;
	}
}

void dispersion__add(struct dispersion *d, const struct group_shares *s, const struct events arms[ARMS])
{
	forget(d);
	add_residual(d, arms[ARM_IS_BASELINE].n, arms[ARM_IS_BASELINE].k);
	add_change(d, arms[ARM_IS_BASELINE].n, arms[ARM_IS_BASELINE].k);
	for (int arm = 0; arm < ARMS; arm++) {
		if (arms[arm].group && arms[arm].k > 0)
			add_groups(d, s, arm, &arms[arm]);
		else
			for (int i = 0; i < TW_GROUPS; i++)
				d->past[arm][i] *= PAST_KEEPS;
	}
}

static double mean(double sum, double weight, double prior)
{
	return fmax(1, (sum + PRIOR_EVENTS * prior) / (weight + PRIOR_EVENTS));
}

bool dispersion__is_known(const struct dispersion *d)
{
	return d->grouped ? d->weight > 0 : d->change_weight > 0;
}

double dispersion__phi(const struct dispersion *d)
{
	return d->grouped ? mean(d->chi2, d->weight, 1) : mean(d->change, d->change_weight, 1);
}

/*
 * A sum of correlations, less its standard error: 1/sqrt(cells) each where there is none, and the squares of the
 * weights 1, PAST_KEEPS, PAST_KEEPS^2 ... sum to 1/(1 - PAST_KEEPS^2).
 */
static double groups_correlation(double lagged, double squares, double cells)
{
	if (squares <= 0 || cells <= 0)
		return 0;
	return fmax(0, lagged / squares - 1 / sqrt(cells * (1 - PAST_KEEPS * PAST_KEEPS)));
}

static double ticks_correlation(const struct dispersion *d)
{
	double squares = d->tick_squares - d->tick_far;

	if (squares <= 0 || d->ticks <= 0)
		return 0;
	return fmin(MOST_SERIAL, fmax(0, (d->tick_lagged - d->tick_far) / squares - 1 / sqrt(d->ticks)));
}

double dispersion__serial(const struct dispersion *d)
{
	double sum = 0, lagged = 0, squares = 0, cells = 0, r = ticks_correlation(d);

	for (int arm = 0; arm < ARMS; arm++) {
		sum = fmax(sum, groups_correlation(d->lagged[arm], d->squares[arm], d->cells[arm]));
		lagged += d->lagged[arm];
		squares += d->squares[arm];
		cells += d->cells[arm];
	}
	sum = fmax(sum, groups_correlation(lagged, squares, cells));
	return fmax(1 + 2 * sum, (1 + r) / (1 - r));
}

unsigned int dispersion__ticks(const struct dispersion *d)
{
	return d->seen;
}

double dispersion__of_sums(const struct dispersion *d)
{
	return dispersion__phi(d) * dispersion__serial(d) * dispersion__across(d);
}

double dispersion__across(const struct dispersion *d)
{
	double across = mean(d->change, d->change_weight, PRIOR_ACROSS) / dispersion__phi(d);

	return across < ACROSS_NOISE ? 1 : across;
}

/* Goes on for so many more ticks of what came in `sofar` of them, both counted as faded. */
static void go_on(double *sum, double sofar, double more, double keeps)
{
	*sum = *sum * keeps + *sum / sofar * more;
}

static void correlations_ahead(struct dispersion *d, double keeps, double more)
{
	double sofar = (1 - pow(KEEPS, d->seen)) / (1 - KEEPS), chance = sofar / (sofar + PRIOR_TICKS);

	if (!d->seen)
		return;
	for (int arm = 0; arm < ARMS; arm++) {
		go_on(&d->squares[arm], sofar, more, keeps);
		go_on(&d->cells[arm], sofar, more, keeps);
		go_on(&d->lagged[arm], sofar, more * chance, keeps);
	}
	go_on(&d->tick_squares, sofar, more, keeps);
	go_on(&d->tick_far, sofar, more * chance, keeps);
	go_on(&d->tick_lagged, sofar, more * chance, keeps);
	go_on(&d->ticks, sofar, more, keeps);
}

void dispersion__ahead(struct dispersion *d, double ticks, double a_tick)
{
	double keeps = pow(KEEPS, ticks), more = (1 - keeps) / (1 - KEEPS);
	double usual = (d->change + PRIOR_EVENTS) / (d->change_weight + PRIOR_EVENTS);
	/* A change takes two ticks. */
	double changes = floor(d->last_n > 0 ? ticks : fmax(0, ticks - 1));
	double events = a_tick * (1 - pow(KEEPS, changes)) / (1 - KEEPS);

	correlations_ahead(d, keeps, more);
	d->change = d->change * keeps + events * usual;
	d->change_weight = d->change_weight * keeps + events;
	d->seen += (unsigned int)fmin(ticks, 1e6);
}
