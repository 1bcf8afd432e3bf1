// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "judge/guards/split.h"

#include <math.h>
#include <string.h>

#include "judge/guards/guard.h"
#include "judge/steps.h"
#include "judge/stats/logspace.h"
#include "judge/stats/srm.h"

#define SPLIT_ALPHA   0.01
#define FEW_EXCHANGES 4.0 /* on a connection: then connections are counted */
#define LEAST_BATCHES 6
#define FOLLOWS_MOST  0.95
#define FEW_CLIENTS   30.0  /* expected on the smaller arm: their scatter says little */
#define SPREAD        2.0   /* of connections by what they carry: mean square over square of the mean, geometric */
#define KEPT          100.0 /* exchanges on a connection from which on it may be a proxy's */
#define QUANTILE      (-1.2815515655446004) /* of the normal distribution, 10 % */
#define GROSS         20.0                  /* concentration that looks for gross deviations, beside the usual one */
#define CROWDED       (TW_GROUPS - 0.5)     /* groups with connections from which on there are many of them */
/*
 * Users that are dealt once and stay for minutes, behind a proxy, cannot be told from requests until some have gone.
 * Until then counts are taken for those of so many users, which is enough for a split that is grossly wrong.
 */
#define SOON_TICKS  60
#define SOON_UNITS  50.0
#define LEAST_UNITS 20.0 /* where the whole traffic was planned for one arm */

/* ---- counting --------------------------------------------------------------------------------------------------- */

static void plan(struct split *s, double planned)
{
	memset(s, 0, sizeof(*s));
	s->planned = planned;
	s->length = 1;
}

static void add(struct dealt *d, double canary, double baseline)
{
	d->canary += canary;
	d->all += canary + baseline;
}

static void merge(struct dealt *d, const struct dealt *other)
{
	d->canary += other->canary;
	d->all += other->all;
}

/* All batches are full: two and two become one. */
static void halve(struct split *s)
{
	for (unsigned int i = 0; i < SPLIT_BATCHES / 2; i++) {
		struct split_batch b = s->batch[2 * i];

		merge(&b.exchanges, &s->batch[2 * i + 1].exchanges);
		merge(&b.opened, &s->batch[2 * i + 1].opened);
		s->batch[i] = b;
	}
	memset(s->batch + SPLIT_BATCHES / 2, 0, sizeof(s->batch) / 2);
	s->batches = SPLIT_BATCHES / 2;
	s->length *= 2;
}

static void fill_batch(struct split *s, const struct split_batch *tick)
{
	merge(&s->batch[s->batches].exchanges, &tick->exchanges);
	merge(&s->batch[s->batches].opened, &tick->opened);
	if (++s->ticks < s->length)
		return;
	s->ticks = 0;
	if (++s->batches == SPLIT_BATCHES)
		halve(s);
}

static void note_groups(bool *seen, const struct connection_groups *g)
{
	for (int i = 0; g && i < TW_GROUPS; i++)
		seen[i] |= g->n[i] > 0;
}

/* How many groups of connections were in use? */
static void count_groups(struct split *s, const struct tick *t, size_t n_endpoints)
{
	bool seen[TW_GROUPS] = { false }, known = false;

	for (size_t i = 0; i < n_endpoints; i++) {
		known |= t->endpoints[i].baseline.groups || t->endpoints[i].canary.groups;
		note_groups(seen, t->endpoints[i].baseline.groups);
		note_groups(seen, t->endpoints[i].canary.groups);
	}
	if (!known)
		return;
	s->looks++;
	for (int i = 0; i < TW_GROUPS; i++)
		s->occupied += seen[i];
}

/* What was read of it stands for what was left out, in workers drawn by chance. */
static double stands_for(const struct arm_run *a)
{
	return a->seen ? 1 + (double)a->withheld / (double)a->seen : 1;
}

void split__tick(struct split *s, const struct tick *t, size_t n_endpoints, const bool *named)
{
	struct split_batch tick = { { 0, 0 }, { 0, 0 } };
	double each_c = stands_for(&t->canary), each_b = stands_for(&t->baseline);
	bool any_named = false;

	if (!(t->planned_share > 0))
		return;
	if (s->planned != t->planned_share) {
		bool changed = s->planned > 0;

		plan(s, t->planned_share);
		if (changed)
			return;
	}
	for (size_t i = 0; i < n_endpoints; i++)
		any_named |= named[i];
	for (size_t i = 0; i < n_endpoints; i++) {
		double c = each_c * (double)t->endpoints[i].canary.n, b = each_b * (double)t->endpoints[i].baseline.n;

		s->served_c += c;
		s->served_b += b;
		if (named[i] || !any_named)
			add(&tick.exchanges, c, b);
	}
	add(&tick.opened, each_c * (double)t->canary.opened, each_b * (double)t->baseline.opened);
	merge(&s->exchanges, &tick.exchanges);
	merge(&s->opened, &tick.opened);
	count_groups(s, t, n_endpoints);
	fill_batch(s, &tick);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static const struct dealt *of_batch(const struct split_batch *b, enum split_unit unit)
{
	return unit == SPLIT_CONNECTIONS ? &b->opened : &b->exchanges;
}

/* The quantile of chi-square by Wilson and Hilferty (1931), over its degrees of freedom. */
static double chi_square_part(double df)
{
	double root = 1 - 2 / (9 * df) + QUANTILE * sqrt(2 / (9 * df));

	return root * root * root;
}

/* What is looked at: one kind of unit, from some batch on. */
struct view {
	const struct split *split;
	enum split_unit unit;
	unsigned int from;
};

/* Complete batches, 2^level of them taken together. */
struct series {
	struct dealt v[SPLIT_BATCHES];
	unsigned int n;
	struct dealt sum;
};

static void take_together(struct series *to, const struct view *v, unsigned int level)
{
	const struct split_batch *batch = v->split->batch + v->from;

	memset(to, 0, sizeof(*to));
	to->n = (v->split->batches - v->from) >> level;
	for (unsigned int i = 0; i < to->n << level; i++) {
		merge(&to->v[i >> level], of_batch(&batch[i], v->unit));
		merge(&to->sum, of_batch(&batch[i], v->unit));
	}
}

/* Pearson's chi2 of the share over its degrees of freedom, and how one stretch follows from the one before. */
static double share_scatter(const struct series *x, double planned)
{
	double share = x->sum.canary / x->sum.all, variance = fmax(share * (1 - share), planned * (1 - planned));
	double chi2 = 0, lagged = 0, last = 0, df = x->n - 1.0, follows;

	for (unsigned int i = 0; i < x->n; i++) {
		double off = x->v[i].canary - x->v[i].all * share;

		if (x->v[i].all <= 0)
			continue;
		off /= sqrt(x->v[i].all * variance);
		chi2 += off * off;
		lagged += off * last;
		last = off;
	}
	follows = chi2 > 0 ? lagged / chi2 : 0;
	/* In a short series it looks smaller than it is (Kendall 1954). */
	follows += (1 + 3 * fmax(0, follows)) / x->n;
	follows = fmin(FOLLOWS_MOST, fmax(0, follows + 1 / sqrt(x->n)));
	return chi2 / df / chi_square_part(df) * (1 + follows) / (1 - follows);
}

/*
 * The same of how the baseline's units arrive: a client that brings twenty makes them come in bursts, and that shows
 * before the canary has had any. Differences, so that the day's slow swing is none.
 */
static double arrival_scatter(const struct series *x)
{
	double mean = (x->sum.all - x->sum.canary) / x->n, sum = 0, df = x->n - 1.0;

	for (unsigned int i = 1; i < x->n; i++) {
		double step = x->v[i].all - x->v[i].canary - (x->v[i - 1].all - x->v[i - 1].canary);

		sum += step * step;
	}
	return mean > 0 ? sum / (2 * mean * df) / chi_square_part(df) : 0;
}

/*
 * By how much more the share scatters than if units were dealt one by one, as an upper confidence limit, at least 1;
 * negative: not known yet. Clients that stay longer than one stretch show in longer ones.
 */
static double scatter(const struct view *v)
{
	unsigned int batches = v->split->batches - v->from;
	double planned = v->split->planned, most = -1;
	struct series x;

	for (unsigned int level = 0; batches >> level >= LEAST_BATCHES; level++) {
		double phi, arrivals;

		take_together(&x, v, level);
		if (x.sum.all <= 0)
			return -1;
		phi = fmax(1, share_scatter(&x, planned));
		arrivals = fmax(phi, arrival_scatter(&x));
		if (x.sum.all * fmin(planned, 1 - planned) < FEW_CLIENTS * arrivals)
			phi = arrivals;
		most = fmax(most, phi);
	}
	return most;
}

static enum split_unit unit_of(const struct split *s)
{
	double opened_b = s->opened.all - s->opened.canary;
	bool few = s->served_c <= FEW_EXCHANGES * s->opened.canary && s->served_b <= FEW_EXCHANGES * opened_b;

	return s->opened.all > 0 && few ? SPLIT_CONNECTIONS : SPLIT_EXCHANGES;
}

/* A proxy's connections: few, and each carries much. */
static bool is_pool(const struct split *s)
{
	return s->occupied < CROWDED * s->looks && s->served_c + s->served_b >= KEPT * s->opened.all;
}

static double bayes(double canary, double all, double planned, double concentration)
{
	const double share[] = { planned, 1 - planned }, units[] = { canary, all - canary };
	struct srm srm;

	srm__init(&srm, share, 2, concentration);
	srm__add(&srm, units);
	return srm__log_e(&srm);
}

/* Units that say as much as those counted would if they were dealt one by one; 0: not known yet. */
static double worth(const struct view *v, const struct dealt *counted)
{
	const struct view connections = { v->split, SPLIT_CONNECTIONS, v->from };
	double phi = scatter(v), units;
	struct series opened;

	if (phi < 0)
		return 0;
	units = counted->all / phi;
	if ((v->split->batches - v->from) * v->split->length < SOON_TICKS)
		units = fmin(units, SOON_UNITS);
	if (v->unit == SPLIT_CONNECTIONS || v->split->opened.all <= 0 || is_pool(v->split))
		return units;
	phi = scatter(&connections);
	if (phi < 0)
		return 0;
	take_together(&opened, &connections, 0);
	return fmin(units, opened.sum.all / fmax(SPREAD, phi));
}

static double evidence(const struct view *v, double *units)
{
	double planned = v->split->planned;
	struct series x;

	take_together(&x, v, 0);
	*units = x.sum.all > 0 ? worth(v, &x.sum) : 0;
	if (*units <= 0)
		return 0;
	if (planned < 1)
		return log_mix(0.5, bayes(*units * (x.sum.canary / x.sum.all), *units, planned, SRM_CONCENTRATION),
		               bayes(*units * (x.sum.canary / x.sum.all), *units, planned, GROSS));
	return *units >= LEAST_UNITS && x.sum.canary < x.sum.all ? 2 * -log(SPLIT_ALPHA) : 0;
}

static double deviation_of(double share, double planned)
{
	double canary = fabs(share - planned) / planned;

	return planned < 1 ? fmax(canary, fabs(share - planned) / (1 - planned)) : canary;
}

/* A split that goes wrong on the way is lost in what was right before: half of the stake is on the later half. */
struct split_finding split__look(const struct split *s, double tolerance)
{
	struct split_finding f = { .unit = unit_of(s) };
	const struct view all = { s, f.unit, 0 }, late = { s, f.unit, s->batches / 2 };
	double units;

	if (s->planned <= 0 || s->exchanges.all <= 0)
		return f;
	f.checked = true;
	f.share = s->exchanges.canary / s->exchanges.all;
	f.deviation = deviation_of(f.share, s->planned);
	f.log_e = log_mix(0.5, evidence(&all, &f.counted), evidence(&late, &units));
	f.mismatch = f.log_e >= -log(SPLIT_ALPHA) && f.deviation > tolerance;
	return f;
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

bool guard_sample_ratio(const struct judge *j, struct verdict *out)
{
	const struct gate_policy *p = &j->tests.policy;
	const struct split *s = &j->run.split;
	struct split_finding f = split__look(s, p->share_tolerance);

	if (!is_side_by_side(j))
		return guard(out, "sample_ratio", true, "not applicable: the versions do not share the traffic");
	if (s->planned <= 0)
		return guard(out, "sample_ratio", true,
		             "not checked: tell the canary's planned share of the traffic with --stage");
	if (!f.checked)
		return guard(out, "sample_ratio", true, "nothing has been dealt to either version yet");
	return guard(
		out, "sample_ratio", !f.mismatch,
		"the canary gets %.3g %% of the requests where %.3g %% were planned%s (off by %s %%, up to %.3g %% is tolerated)",
		100 * f.share, 100 * s->planned,
		f.mismatch                         ? ", and not by chance"
		: f.deviation > p->share_tolerance ? ", which may be chance so far"
						   : "",
		figure(fmin(100 * f.deviation, 1e6)).s, 100 * p->share_tolerance);
}
