/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/opinion.h"

#include <math.h>

#include "judge/stats/rank_sum.h"

#define P95         (1 - SLOW_SHARE)
#define T_OPT_LEAST 1000.0
/*
 * Counts of the baseline to one of the canary, in every tick. Of two, hardly more than a quarter of what equal or very
 * unequal shares could tell is given away (1/c + 1/b, the variance of a difference, has no sharp minimum).
 */
#define BASELINE_BY_CANARY 2.0
#define GROWTH             (1 / 16.0)
#define CAUTION_TICKS      12

void opinion_test__init(struct opinion_test *t, double alpha, uint64_t min_requests)
{
	double t_opt = fmax(2 * (double)min_requests, T_OPT_LEAST);

	t->alpha = alpha;
	t->alpha_opt = fmin(alpha, 0.05);
	t->t_opt_baseline = BASELINE_BY_CANARY * t_opt;
	quantile_test__init(&t->quantile, P95, t_opt, t->t_opt_baseline, t->alpha_opt);
}

/* The first bucket of the clients that gave up which counts. */
static unsigned int waited_from(const struct threshold *x)
{
	return x->set ? x->bucket + 1 : TW_BUCKETS;
}

static double counts_of(const struct arm_tick *a, const struct threshold *x)
{
	double n = 0;

	for (unsigned int i = 0; a->latency && i < TW_BUCKETS; i++)
		n += (double)a->latency->b[i];
	for (unsigned int i = waited_from(x); a->waited && i < TW_BUCKETS; i++)
		n += (double)a->waited->b[i];
	return n;
}

static void add_arm(double *to, const struct arm_tick *a, const struct threshold *x, double weight)
{
	for (unsigned int i = 0; a->latency && i < TW_BUCKETS; i++)
		to[i] += (double)a->latency->b[i] * weight;
	for (unsigned int i = waited_from(x); a->waited && i < TW_BUCKETS; i++)
		to[i] += (double)a->waited->b[i] * weight;
}

static double tail_of(const struct arm_tick *a, const struct threshold *x)
{
	return (a->latency ? tail_above(a->latency, x, 0) : 0) +
	       (a->waited ? (double)histogram_above(a->waited, x->bucket) : 0);
}

/*
 * Bursts on connections show in the groups. What comes over all connections of an arm shows from tick to tick, in the
 * baseline (which goes through more than its own: load, the time of day) and in the arms' difference (which takes more
 * ticks to be known): the smaller of the two. And until there was time to see any of it the ticks count little.
 */
static double divisor(const struct spread *s, const struct dispersion *d)
{
	double groups, across;

	if (!d)
		return 1;
	groups = d->grouped ? dispersion__phi(d) : 1;
	across = fmin(spread__of_sums(s), dispersion__of_sums(d));
	return fmax(groups, across) * (1 + CAUTION_TICKS / (1.0 + dispersion__ticks(d)));
}

void opinion__add(struct opinion *o, const struct endpoint_tick *tick, const struct threshold *x,
                  const struct dispersion *habits)
{
	double n_c = counts_of(&tick->canary, x), n_b = counts_of(&tick->baseline, x);
	double phi = divisor(&o->spread, habits), ratio, weight_c, weight_b;

	if (n_c <= 0 || n_b <= 0 || !tick->baseline.n || !tick->canary.n)
		return;
	ratio = (double)tick->baseline.n / (double)tick->canary.n;
	weight_c = fmin(1, ratio / BASELINE_BY_CANARY) / phi;
	weight_b = fmin(1, BASELINE_BY_CANARY / ratio) / phi;
	add_arm(o->c, &tick->canary, x, weight_c);
	add_arm(o->b, &tick->baseline, x, weight_b);
	o->n_c += n_c * weight_c;
	o->n_b += n_b * weight_b;
	o->weighed += (n_c * weight_c + n_b * weight_b) * phi;
	if (x->set)
		spread__add(&o->spread, tail_of(&tick->canary, x), n_c, tail_of(&tick->baseline, x), n_b);
}

bool opinion__is_due(const struct opinion *o)
{
	return o->n_c > 0 && o->n_b > 0 &&
	       (o->n_c >= o->formed_c * (1 + GROWTH) || o->n_b >= o->formed_b * (1 + GROWTH));
}

static double lower_of(unsigned int bucket)
{
	return bucket ? histogram_upper(bucket - 1) : 0;
}

/* By linear interpolation inside its bucket; false: there are none, or it lies beyond the last bound. */
static bool p95_of(const double *counts, double n, double *p95)
{
	double rank = P95 * n, before = 0;
	unsigned int i = 0;

	while (i < TW_BUCKETS - 1 && before + counts[i] < rank)
		before += counts[i++];
	if (n <= 0 || i == TW_BUCKETS - 1)
		return false;
	*p95 = lower_of(i) +
	       (histogram_upper(i) - lower_of(i)) * fmin(1, counts[i] > 0 ? (rank - before) / counts[i] : 0);
	return true;
}

/* Buckets that hold the baseline's p95: their outer bounds in seconds, high infinite where it has none. */
static void baseline_interval(const struct opinion_test *t, const struct ladder *baseline, double *low, double *high)
{
	const struct share_level level = { t->alpha / 2, t->t_opt_baseline, t->alpha_opt };
	unsigned int first, last;

	quantile__interval(baseline, P95, &level, &first, &last);
	*low = lower_of(first);
	*high = histogram_upper(last);
}

/* Where the difference p95_b (ratio - 1) may lie: the end of p95_b that makes it extreme depends on its sign. */
static void intervals(struct second_opinion *s, const struct quantile_look *look, double low_b, double high_b)
{
	int n = TW_BUCKETS;
	double b;

	s->has_ratio_low = look->low > -n;
	s->ratio_low = s->has_ratio_low ? exp2(look->low / 16.0) : 0;
	s->has_ratio_high = look->high < n;
	s->ratio_high = s->has_ratio_high ? exp2(look->high / 16.0) : 0;
	b = s->ratio_low > 1 ? low_b : high_b;
	s->has_difference_low = s->has_ratio_low && isfinite(b);
	s->difference_low = s->has_difference_low ? b * (s->ratio_low - 1) : 0;
	b = s->ratio_high > 1 ? high_b : low_b;
	s->has_difference_high = s->has_ratio_high && isfinite(b);
	s->difference_high = s->has_difference_high ? b * (s->ratio_high - 1) : 0;
}

static void describe(struct opinion *o)
{
	struct rank_sum r = rank_sum(o->c, o->b, TW_BUCKETS, true);

	o->described.has_rank_sum = true;
	o->described.z = r.z;
	o->described.p = r.p_two_sided;
	o->described.cles = r.cles;
}

void opinion__form(struct opinion *o, const struct opinion_test *t, unsigned int margin)
{
	struct second_opinion *s = &o->said;
	struct ladder canary, baseline;
	struct quantile_look look;
	double low_b, high_b;

	ladder__build_parts(&canary, o->c, TW_BUCKETS);
	ladder__build_parts(&baseline, o->b, TW_BUCKETS);
	quantile_test__look(&t->quantile, &canary, &baseline, (int)margin, t->alpha / 2, &look);
	baseline_interval(t, &baseline, &low_b, &high_b);
	s->log_e_slower = look.log_e_slower;
	s->log_e_within = look.log_e_within;
	s->has_p95_c = p95_of(o->c, o->n_c, &s->p95_c);
	s->has_p95_b = p95_of(o->b, o->n_b, &s->p95_b);
	s->dispersion = o->weighed / (o->n_c + o->n_b);
	intervals(s, &look, low_b, high_b);
	describe(o);
	o->formed_c = o->n_c;
	o->formed_b = o->n_b;
}
