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

void ladder__build_parts(struct ladder *l, const double *counts, unsigned int n)
{
	l->n = n < LADDER_MAX ? n : LADDER_MAX;
	l->upto[0] = 0;
	for (unsigned int i = 0; i < l->n; i++)
		l->upto[i + 1] = l->upto[i] + counts[i];
	for (unsigned int i = l->n; i < n; i++)
		l->upto[l->n] += counts[i];
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

/* What one arm's test says at each bucket, worked out when it is first asked for: searches meet at few of them. */
struct column {
	const struct share_test *test;
	const struct ladder *l;
	bool above;              /* of those above the bucket, else of those below it */
	double said[LADDER_MAX]; /* NaN: not yet */
};

static void column_init(struct column *c, const struct share_test *test, const struct ladder *l, bool of_above)
{
	c->test = test;
	c->l = l;
	c->above = of_above;
	for (unsigned int i = 0; i < l->n; i++)
		c->said[i] = NAN;
}

/*
 * Before the first bucket and behind the last one the counts are those at it: see above() and below(). So are those at
 * buckets that nothing separates, which is most of them: the first stands for all.
 */
static double column_at(struct column *c, int q)
{
	int top = (int)c->l->n - 1, i = q < 0 ? 0 : q > top ? top : q, edge = c->above ? 1 : 0;
	const double *upto = c->l->upto;

	while (i > 0 && upto[i + edge] == upto[i + edge - 1])
		i--;
	if (isnan(c->said[i]))
		c->said[i] = share_test__log_e(c->test, c->above ? above(c->l, i) : below(c->l, i), total(c->l));
	return c->said[i];
}

/*
 * Against "the quantile of `upper` is at most that of `lower`, moved up by shift": then some q lies between the two,
 * and at that q neither do too many of `upper` lie above nor too many of `lower`, moved up, below.
 */
struct order_test {
	struct column upper, lower;
};

static void order_init(struct order_test *o, const struct share_test *upper_test, const struct ladder *upper,
                       const struct share_test *lower_test, const struct ladder *lower)
{
	column_init(&o->upper, upper_test, upper, true);
	column_init(&o->lower, lower_test, lower, false);
}

/*
 * The least sum of the two over q; once it is below `enough` the rest does not matter. The one falls with q, the other
 * grows: a q that is beaten by the best one so far together with the least the other can say ends the search on its
 * side.
 */
static double least_sum(struct order_test *o, int shift, double enough)
{
	int low = shift < 0 ? shift : 0, last = (int)o->upper.l->n - 1;
	int start = (int)bucket_of(o->upper.l, o->lower.test->p0 * total(o->upper.l)), high = start;
	double best = column_at(&o->upper, start) + column_at(&o->lower, start - shift), least_upper, least_lower;

	if (best < enough)
		return best;
	least_upper = column_at(&o->upper, last);
	least_lower = column_at(&o->lower, low - shift);
	while (low < high) {
		int mid = low + (high - low) / 2;

		if (column_at(&o->upper, mid) + least_lower >= best)
			low = mid + 1;
		else
			high = mid;
	}
	for (int q = low; q <= last && best >= enough; q++) {
		double lower = column_at(&o->lower, q - shift);

		if (lower + least_upper >= best)
			break;
		best = fmin(best, lower + column_at(&o->upper, q));
	}
	return best;
}

static void slower_init(struct order_test *o, const struct quantile_test *t, const struct ladder *canary,
                        const struct ladder *baseline)
{
	order_init(o, &t->canary_above, canary, &t->baseline_below, baseline);
}

/* A shift of the baseline up is one of the canary down. */
static void within_init(struct order_test *o, const struct quantile_test *t, const struct ladder *canary,
                        const struct ladder *baseline)
{
	order_init(o, &t->baseline_above, baseline, &t->canary_below, canary);
}

double quantile_test__log_e_slower(const struct quantile_test *t, const struct ladder *canary,
                                   const struct ladder *baseline, int shift)
{
	struct order_test o;

	slower_init(&o, t, canary, baseline);
	return least_sum(&o, shift, -INFINITY);
}

double quantile_test__log_e_within(const struct quantile_test *t, const struct ladder *canary,
                                   const struct ladder *baseline, int shift)
{
	struct order_test o;

	within_init(&o, t, canary, baseline);
	return least_sum(&o, -shift, -INFINITY);
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

/*
 * The largest shift at which "slower by more than that" has the evidence; -n: none. It lies below the shift that the
 * counts show, and usually close to it: steps that double lead to it, then halves.
 */
static int largest_slower(struct order_test *o, double need)
{
	double p = o->lower.test->p0;
	int n = (int)o->upper.l->n, low, high, step = 1;

	high = (int)bucket_of(o->upper.l, p * total(o->upper.l)) - (int)bucket_of(o->lower.l, p * total(o->lower.l)) +
	       1;
	while (high < n && least_sum(o, high, need) >= need)
		high++;
	low = high;
	do {
		high = low;
		low = low - step > -n ? low - step : -n;
		step *= 2;
	} while (low > -n && least_sum(o, low, need) < need);
	while (high - low > 1) {
		int mid = (low + high) / 2;

		if (least_sum(o, mid, need) >= need)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* The smallest shift at which "slower by less than that" has the evidence; n: none. It is the other's mirror image. */
static int smallest_within(struct order_test *o, double need)
{
	return -largest_slower(o, need);
}

void quantile_test__look(const struct quantile_test *t, const struct ladder *canary, const struct ladder *baseline,
                         int margin, double alpha, struct quantile_look *look)
{
	double need = log(2 / alpha);
	struct order_test o;

	slower_init(&o, t, canary, baseline);
	look->log_e_slower = least_sum(&o, 0, -INFINITY);
	look->low = largest_slower(&o, need);
	within_init(&o, t, canary, baseline);
	look->log_e_within = least_sum(&o, -margin, -INFINITY);
	look->high = smallest_within(&o, need);
}

void quantile_test__shifts(const struct quantile_test *t, const struct ladder *canary, const struct ladder *baseline,
                           double alpha, int *low, int *high)
{
	double need = log(2 / alpha);
	struct order_test o;

	slower_init(&o, t, canary, baseline);
	*low = largest_slower(&o, need);
	within_init(&o, t, canary, baseline);
	*high = smallest_within(&o, need);
}
