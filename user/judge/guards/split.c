// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "judge/guards/split.h"

#include <math.h>
#include <string.h>

#include "judge/guards/guard.h"
#include "judge/stats/logspace.h"
#include "judge/stats/srm.h"

#define SPLIT_ALPHA   0.01
#define FEW_EXCHANGES 4.0 /* on a connection: then connections are counted */
#define LEAST_BATCHES 4
#define QUANTILE      (-1.2815515655446004) /* of the normal distribution, 10 % */
#define GROSS         100.0                 /* concentration that looks for gross deviations, beside the usual one */
#define CROWDED       (TW_GROUPS - 0.5)     /* groups with connections from which on there are many of them */
#define LEAST_UNITS   100.0                 /* where the whole traffic was planned for one arm */

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

void split__tick(struct split *s, const struct tick *t, size_t n_endpoints, const bool *named)
{
	struct split_batch tick = { { 0, 0 }, { 0, 0 } };
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
		double c = (double)t->endpoints[i].canary.n, b = (double)t->endpoints[i].baseline.n;

		s->served_c += c;
		s->served_b += b;
		if (named[i] || !any_named)
			add(&tick.exchanges, c, b);
	}
	add(&tick.opened, (double)t->canary.opened, (double)t->baseline.opened);
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

/*
 * By how much more the share of complete batches scatters than if units were dealt one by one, as an upper confidence
 * limit, at least 1; negative: not known yet.
 */
static double scatter(const struct split *s, enum split_unit unit)
{
	double canary = 0, all = 0, chi2 = 0, df = -1, share;

	for (unsigned int i = 0; i < s->batches; i++) {
		canary += of_batch(&s->batch[i], unit)->canary;
		all += of_batch(&s->batch[i], unit)->all;
	}
	if (s->batches < LEAST_BATCHES || all <= 0)
		return -1;
	share = canary / all;
	if (share <= 0 || share >= 1)
		return 1;
	for (unsigned int i = 0; i < s->batches; i++) {
		const struct dealt *d = of_batch(&s->batch[i], unit);
		double off = d->canary - d->all * share;

		if (d->all <= 0)
			continue;
		chi2 += off * off / (d->all * share * (1 - share));
		df++;
	}
	if (df < LEAST_BATCHES - 1)
		return -1;
	return fmax(1, chi2 / df / chi_square_part(df));
}

static enum split_unit unit_of(const struct split *s)
{
	double opened_b = s->opened.all - s->opened.canary;
	bool few = s->served_c <= FEW_EXCHANGES * s->opened.canary && s->served_b <= FEW_EXCHANGES * opened_b;

	return s->opened.all > 0 && few ? SPLIT_CONNECTIONS : SPLIT_EXCHANGES;
}

static double evidence(double canary, double all, double planned, double concentration)
{
	const double share[] = { planned, 1 - planned }, units[] = { canary, all - canary };
	struct srm srm;

	srm__init(&srm, share, 2, concentration);
	srm__add(&srm, units);
	return srm__log_e(&srm);
}

static double deviation_of(double share, double planned)
{
	double canary = fabs(share - planned) / planned;

	return planned < 1 ? fmax(canary, fabs(share - planned) / (1 - planned)) : canary;
}

struct split_finding split__look(const struct split *s, double tolerance)
{
	struct split_finding f = { .unit = unit_of(s) };
	const struct dealt *d = f.unit == SPLIT_CONNECTIONS ? &s->opened : &s->exchanges;
	double phi = scatter(s, f.unit), canary;

	if (s->planned <= 0 || s->exchanges.all <= 0)
		return f;
	f.checked = true;
	f.share = s->exchanges.canary / s->exchanges.all;
	f.deviation = deviation_of(f.share, s->planned);
	if (phi < 0)
		return f;
	f.counted = d->all / phi;
	if (f.unit == SPLIT_EXCHANGES && s->opened.all > 0 && s->occupied >= CROWDED * s->looks)
		f.counted = fmin(f.counted, s->opened.all);
	canary = f.counted * (d->canary / d->all);
	if (s->planned < 1)
		f.log_e = log_mix(0.5, evidence(canary, f.counted, s->planned, SRM_CONCENTRATION),
		                  evidence(canary, f.counted, s->planned, GROSS));
	else
		f.log_e = f.counted >= LEAST_UNITS && f.share < 1 ? 1 - 2 * log(SPLIT_ALPHA) : 0;
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
		"the canary gets %.3g %% of the requests where %.3g %% were planned%s (off by %.2g %%, up to %.3g %% is tolerated)",
		100 * f.share, 100 * s->planned,
		f.mismatch                         ? ", and not by chance"
		: f.deviation > p->share_tolerance ? ", which may be chance so far"
						   : "",
		fmin(100 * f.deviation, 1e6), 100 * p->share_tolerance);
}
