/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/quantile.h"

#include <math.h>

void ladder__build(struct ladder *l, const uint64_t *counts, unsigned int n)
{
	l->n = n < LADDER_MAX ? n : LADDER_MAX;
	l->upto[0] = 0;
	for (unsigned int i = 0; i < l->n; i++)
		l->upto[i + 1] = l->upto[i] + (double)counts[i];
	for (unsigned int i = l->n; i < n; i++)
		l->upto[l->n] += (double)counts[i];
}

static double total(const struct ladder *l)
{
	return l->upto[l->n];
}

/* How many surely lie above bucket q, and below it: the open ends count for nothing outside the ladder. */
static double above(const struct ladder *l, int q)
{
	int i = q < 0 ? 0 : q;

	return i + 1 < (int)l->n ? total(l) - l->upto[i + 1] : 0;
}

static double below(const struct ladder *l, int q)
{
	int top = (int)l->n - 1;

	return q > 0 ? l->upto[q < top ? q : top] : 0;
}

/* The bucket that holds the k-th in order of size. */
static unsigned int bucket_of(const struct ladder *l, double k)
{
	unsigned int low = 0, high = l->n - 1;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (l->upto[mid + 1] >= k)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* --- one arm ------------------------------------------------------------------------------------------------------ */

/*
 * If the quantile lies in bucket q, the count of those "below or at it" that is truly binomial lies somewhere between
 * the counts below q and up to q: the least evidence of all of these.
 */
static double least_evidence(const struct share_test *t, const struct ladder *l, double least, unsigned int q)
{
	return share_test__log_e(t, fmin(fmax(least, l->upto[q]), l->upto[q + 1]), total(l));
}

void quantile__interval(const struct ladder *l, double p, const struct share_level *level, unsigned int *first,
                        unsigned int *last)
{
	double need = -log(level->alpha), least;
	struct share_test t;

	share_test__init(&t, SHARE_DIFFERS, p, level->t_opt, level->alpha_opt);
	least = share_test__least(&t, total(l));
	*first = *last = bucket_of(l, least);
	while (*first > 0 && least_evidence(&t, l, least, *first - 1) < need)
		--*first;
	while (*last + 1 < l->n && least_evidence(&t, l, least, *last + 1) < need)
		++*last;
}

unsigned int quantile__lower(const struct ladder *l, double p, const struct share_level *level)
{
	unsigned int low = 0, high = l->n - 1;
	struct share_test t;

	share_test__init(&t, SHARE_ABOVE, 1 - p, level->t_opt, level->alpha_opt);
	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (share_test__log_e(&t, above(l, (int)mid), total(l)) >= -log(level->alpha))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

unsigned int quantile__upper(const struct ladder *l, double p, const struct share_level *level)
{
	unsigned int low = 0, high = l->n - 1;
	struct share_test t;

	share_test__init(&t, SHARE_ABOVE, p, level->t_opt, level->alpha_opt);
	while (low < high) {
		unsigned int mid = (low + high + 1) / 2;

		if (share_test__log_e(&t, below(l, (int)mid), total(l)) >= -log(level->alpha))
			high = mid - 1;
		else
			low = mid;
	}
	return low;
}

/* --- canary against baseline -------------------------------------------------------------------------------------- */

void quantile_test__init(struct quantile_test *t, double p, double t_opt_canary, double t_opt_baseline,
                         double alpha_opt)
{
	t->p = p;
	share_test__init(&t->canary_above, SHARE_ABOVE, 1 - p, t_opt_canary, alpha_opt);
	share_test__init(&t->canary_below, SHARE_ABOVE, p, t_opt_canary, alpha_opt);
	share_test__init(&t->canary_differs, SHARE_DIFFERS, p, t_opt_canary, alpha_opt);
	share_test__init(&t->baseline_above, SHARE_ABOVE, 1 - p, t_opt_baseline, alpha_opt);
	share_test__init(&t->baseline_below, SHARE_ABOVE, p, t_opt_baseline, alpha_opt);
	share_test__init(&t->baseline_differs, SHARE_DIFFERS, p, t_opt_baseline, alpha_opt);
}

/*
 * Against "the quantile of `upper` is at most that of `lower`, moved up by shift": then some q lies between the two,
 * and at that q neither do too many of `upper` lie above nor too many of `lower`, moved up, below.
 */
struct order_test {
	const struct share_test *upper_test, *lower_test;
	const struct ladder *upper, *lower;
	int shift;
};

static double upper_evidence(const struct order_test *o, int q)
{
	return share_test__log_e(o->upper_test, above(o->upper, q), total(o->upper));
}

static double lower_evidence(const struct order_test *o, int q)
{
	return share_test__log_e(o->lower_test, below(o->lower, q - o->shift), total(o->lower));
}

/*
 * The least sum of the two over q; once it is below `enough` the rest does not matter. The one falls with q, the other
 * grows: a q that is beaten by the best one so far together with the least the other can say ends the search on its
 * side.
 */
static double least_sum(const struct order_test *o, double enough)
{
	int first = o->shift < 0 ? o->shift : 0, last = (int)o->upper->n - 1;
	double least_upper = upper_evidence(o, last), least_lower = lower_evidence(o, first);
	double p = o->lower_test->p0, best;
	int start = (int)bucket_of(o->upper, p * total(o->upper)), low = first, high = last;

	best = upper_evidence(o, start) + lower_evidence(o, start);
	while (low < high) {
		int mid = low + (high - low) / 2;

		if (upper_evidence(o, mid) + least_lower >= best)
			low = mid + 1;
		else
			high = mid;
	}
	for (int q = low; q <= last && best >= enough; q++) {
		double lower = lower_evidence(o, q);

		if (lower + least_upper >= best)
			break;
		best = fmin(best, lower + upper_evidence(o, q));
	}
	return best;
}

static double slower(const struct quantile_test *t, const struct ladder *canary, const struct ladder *baseline,
                     int shift, double enough)
{
	const struct order_test o = { &t->canary_above, &t->baseline_below, canary, baseline, shift };

	return least_sum(&o, enough);
}

static double within(const struct quantile_test *t, const struct ladder *canary, const struct ladder *baseline,
                     int shift, double enough)
{
	const struct order_test o = { &t->baseline_above, &t->canary_below, baseline, canary, -shift };

	return least_sum(&o, enough);
}

double quantile_test__log_e_slower(const struct quantile_test *t, const struct ladder *canary,
                                   const struct ladder *baseline, int shift)
{
	return slower(t, canary, baseline, shift, -INFINITY);
}

double quantile_test__log_e_within(const struct quantile_test *t, const struct ladder *canary,
                                   const struct ladder *baseline, int shift)
{
	return within(t, canary, baseline, shift, -INFINITY);
}

double quantile_test__p_differs(const struct quantile_test *t, const struct ladder *canary,
                                const struct ladder *baseline)
{
	double least_c = share_test__least(&t->canary_differs, total(canary));
	double least_b = share_test__least(&t->baseline_differs, total(baseline)), best = INFINITY;
	unsigned int c = bucket_of(canary, least_c), b = bucket_of(baseline, least_b);

	/* Outside the two arms' own quantiles both say more with every bucket. */
	for (unsigned int q = c < b ? c : b; q <= (c < b ? b : c); q++)
		best = fmin(best, least_evidence(&t->canary_differs, canary, least_c, q) +
		                          least_evidence(&t->baseline_differs, baseline, least_b, q));
	return fmin(1, exp(-best));
}

void quantile_test__shifts(const struct quantile_test *t, const struct ladder *canary, const struct ladder *baseline,
                           double alpha, int *low, int *high)
{
	double need = log(2 / alpha);
	int n = (int)canary->n, above_it = n, below_it = -n;

	*low = -n;
	while (above_it - *low > 1) {
		int mid = (*low + above_it) / 2;

		if (slower(t, canary, baseline, mid, need) >= need)
			*low = mid;
		else
			above_it = mid;
	}
	*high = n;
	while (*high - below_it > 1) {
		int mid = (*high + below_it) / 2;

		if (within(t, canary, baseline, mid, need) >= need)
			*high = mid;
		else
			below_it = mid;
	}
}
