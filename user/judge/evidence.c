/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/evidence.h"

#include <math.h>
#include <string.h>

#define FLOOR_ERROR_SHARE 0.01

/* What the likelihood ratio looks for, equally. */
static const double worse_by[] = { 1.25, 1.5, 2, 3, 5 };
static const double tail_lighter[] = { 0.5, 0.65, 0.8 };
/*
 * What the bets look for. Most of the money is on the ratio that has to be found in minutes and is hard to find; what
 * is worse than that needs little. The last is kept back.
 */
static const struct alternative errors_worse[] = {
	{ 1.25, 0.07 }, { 1.8, 0.8 }, { 4, 0.08 }, { 20, 0.03 }, { 1, 0.02 }
};
static const struct alternative tail_heavier[] = {
	{ 1.3, 0.7 }, { 1.7, 0.13 }, { 3, 0.08 }, { 10, 0.07 }, { 1, 0.02 }
};
static const struct alternative tail_lighter_bets[] = { { 0.5, 1 / 3.0 }, { 0.65, 1 / 3.0 }, { 0.8, 1 / 3.0 } };
#define SHARE 0.001 /* of the money, dealt anew after each block */

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What the tests count of one arm in one tick. */
struct units {
	double n, bad;       /* for errors */
	double timed;        /* those with a latency */
	double slow;         /* beyond what counts as slow, in whole buckets: told to people */
	double beyond;       /* the same, with the part of a bucket that the threshold cuts off */
	double tail;         /* beyond the baseline's p95, the part of its bucket included */
	double tail_shifted; /* the same, moved up by the margin */
};

/*
 * Clients that gave up: what they had waited is the least that the server would have taken. One that waited beyond a
 * threshold is beyond it; of the others nothing is known, and they are left out. For the margin the worst is assumed.
 */
static void add_waited(struct units *u, const struct histogram *waited, const struct threshold *slow,
                       const struct threshold *p95)
{
	double late = 0;

	if (slow->set) {
		late = (double)histogram_above(waited, slow->bucket);
		u->slow += late;
		u->beyond += late;
	}
	if (p95->set) {
		double tail = (double)histogram_above(waited, p95->bucket);

		u->tail += tail;
		u->tail_shifted += tail;
		late = fmax(late, tail);
	}
	u->timed += late;
}

static struct units units_of(const struct arm_tick *a, const struct threshold *slow, const struct threshold *p95,
                             unsigned int shift)
{
	struct units u = { .n = (double)a->n, .bad = (double)a->bad };

	if (a->waited)
		add_waited(&u, a->waited, slow, p95);
	if (!a->latency)
		return u;
	u.timed += (double)a->latency->count;
	if (slow->set) {
		u.slow += (double)histogram_above(a->latency, slow->bucket);
		u.beyond += tail_above(a->latency, slow, 0);
	}
	if (p95->set) {
		u.tail += tail_above(a->latency, p95, 0);
		u.tail_shifted += tail_above(a->latency, p95, shift);
	}
	return u;
}

void tests__init(struct tests *t, const struct gate_policy *policy)
{
	memset(t, 0, sizeof(*t));
	t->policy = *policy;
	if (!(t->policy.promote_alpha > 0))
		t->policy.promote_alpha = policy->alpha;
	t->need = -log(t->policy.alpha);
	t->promote_need = -log(t->policy.promote_alpha);
	ratio_grid__init(&t->grid);
	opinion_test__init(&t->opinion, policy->alpha, policy->min_requests);
}

/* An endpoint's own margins go before the policy's. */
static struct margins margins_of(const struct gate_policy *p, const struct margins *own)
{
	return (struct margins){
		.max_error_ratio = own->max_error_ratio > 0 ? own->max_error_ratio : p->max_error_ratio,
		.max_latency_increase =
			own->max_latency_increase > 0 ? own->max_latency_increase : p->max_latency_increase,
	};
}

void evidence__init(struct evidence *ev, const struct tests *t, const struct judge_endpoint *ep)
{
	struct margins margins = margins_of(&t->policy, &ep->margins);
	double d = margins.max_error_ratio, floor = FLOOR_ERROR_SHARE;
	/* A margin of 1 or less asks for a canary that is better than the baseline. */
	double within[] = { d > 1 ? 1 : 0.8 * d, d > 1 ? 0.8 : 0.5 * d };
	struct alternative within_bets[] = { { within[0], 0.5 }, { within[1], 0.5 } };

	memset(ev, 0, sizeof(*ev));
	ev->margins = margins;
	ev->shift = margin_buckets(margins.max_latency_increase);
	if (ep->slo_error_rate > 0 && ep->slo_error_rate < floor)
		floor = ep->slo_error_rate;
	floor_test__init(&ev->floor, floor);
	ev->unit = ep->unit;
	ratio_test__init(&ev->errors_bad, ep->unit, 1, worse_by, COUNT(worse_by), errors_worse, COUNT(errors_worse),
	                 SHARE);
	ratio_test__init(&ev->errors_good, ep->unit, d, within, COUNT(within), within_bets, COUNT(within_bets), 0);
	ratio_test__init(&ev->slow_bad, ep->unit, 1, worse_by, COUNT(worse_by), tail_heavier, COUNT(tail_heavier),
	                 SHARE);
	ratio_test__init(&ev->beyond_margin, ep->unit, 1, worse_by, COUNT(worse_by), tail_heavier, COUNT(tail_heavier),
	                 SHARE);
	ratio_test__init(&ev->slow_good, ep->unit, 1, tail_lighter, COUNT(tail_lighter), tail_lighter_bets,
	                 COUNT(tail_lighter_bets), 0);
	ev->errors_good.bet.more = ev->errors_lanes;
	ev->slow_good.bet.more = ev->slow_lanes;
	if (ep->slo_p95 > 0) {
		ev->slo.bucket = histogram_bucket((uint64_t)fmin(ep->slo_p95 * 1e9, 1e18));
		ev->slo.set = ev->slo.bucket < TW_BUCKETS - 1;
	}
}

static uint64_t whole(double count)
{
	return (uint64_t)fmin(count, 0x1p63);
}

/* One tick of one endpoint, on its way through the tests. */
struct look {
	const struct endpoint_tick *tick;
	struct units c, b;
	struct threshold p95;
};

static const uint64_t *slow_groups(const struct connection_groups *g)
{
	return g && g->has_slow ? g->slow : NULL;
}

static void errors_by_group(struct by_group *to, const struct look *l)
{
	const struct connection_groups *c = l->tick->canary.groups, *b = l->tick->baseline.groups;

	to->known = c && b;
	for (int i = 0; to->known && i < TW_GROUPS; i++) {
		to->n_c[i] = (double)c->n[i];
		to->n_b[i] = (double)b->n[i];
		to->k_c[i] = (double)c->bad[i];
		to->k_b[i] = (double)b->bad[i];
	}
}

/*
 * The groups count whole buckets beyond the p95's. Their part of those is their part of what lies beyond the threshold;
 * the rest, of the threshold's own bucket and of clients that gave up, is spread as the exchanges are.
 */
static void tail_by_group(double *n, double *tail, const struct connection_groups *g, double above, double rest)
{
	double all_n = 0, all_slow = 0;

	for (int i = 0; i < TW_GROUPS; i++) {
		all_n += (double)g->n[i];
		all_slow += (double)g->slow[i];
	}
	for (int i = 0; i < TW_GROUPS; i++) {
		double part = all_n > 0 ? (double)g->n[i] / all_n : 0;

		n[i] = (double)g->n[i];
		tail[i] = rest * part + above * (all_slow > 0 ? (double)g->slow[i] / all_slow : part);
	}
}

static void tails_by_group(struct by_group *to, const struct look *l, unsigned int shift)
{
	const struct arm_tick *c = &l->tick->canary, *b = &l->tick->baseline;
	double above_c, above_b;

	to->known = slow_groups(c->groups) && slow_groups(b->groups) && c->latency && b->latency;
	if (!to->known)
		return;
	above_c = (double)histogram_above(c->latency, l->p95.bucket + shift);
	above_b = (double)histogram_above(b->latency, l->p95.bucket);
	tail_by_group(to->n_c, to->k_c, c->groups, above_c, l->c.tail_shifted - above_c);
	tail_by_group(to->n_b, to->k_b, b->groups, above_b, l->b.tail - above_b);
}

static void judge_errors(struct evidence *ev, const struct tests *t, const struct look *l)
{
	struct pair p = { l->c.n, l->b.n, l->c.bad, l->b.bad };
	struct habits habits = { &ev->bad_dispersion, &ev->shares };
	struct by_group groups;
	double phi = ev->unit == UNIT_EXCHANGE ? dispersion__phi(&ev->bad_dispersion) : 1;

	errors_by_group(&groups, l);
	ratio_test__add(&ev->errors_bad, &p, &habits);
	ratio_test__certify(&ev->errors_good, &p, &groups, &habits);
	floor_test__add(&ev->floor, p.n_c / phi, p.k_c / phi);
	ratio__add(&ev->ratio, &t->grid, p.n_c, p.n_b, p.k_c / phi, p.k_b / phi);
}

static void judge_latency(struct evidence *ev, const struct tests *t, const struct look *l)
{
	const struct units *c = &l->c, *b = &l->b;
	struct habits habits = { &ev->slow_dispersion, &ev->shares };
	struct by_group groups;
	bool parts = ev->unit == UNIT_EXCHANGE;
	struct pair p = { c->timed, b->timed, parts ? c->beyond : c->slow, parts ? b->beyond : b->slow };

	if (ev->threshold.set && c->timed > 0 && b->timed > 0) {
		ev->timed_c += whole(c->timed);
		ev->timed_b += whole(b->timed);
		ev->slow_c += whole(c->slow);
		ev->slow_b += whole(b->slow);
		ratio_test__add(&ev->slow_bad, &p, &habits);
	}
	/* Beyond the last bound nothing could be told apart: a tail moved there would look empty. */
	if (!l->p95.set || l->p95.bucket + ev->shift >= TW_BUCKETS - 1)
		return;
	p.k_c = c->tail_shifted;
	p.k_b = b->tail;
	tails_by_group(&groups, l, ev->shift);
	ratio_test__certify(&ev->slow_good, &p, &groups, &habits);
	if (ev->slo.set)
		ratio_test__add(&ev->beyond_margin, &p, &habits);
}

/* After the tests: what this tick says about how bad events come is for the ticks after it. */
static void learn_habits(struct evidence *ev, const struct look *l)
{
	const struct connection_groups *c = l->tick->canary.groups, *b = l->tick->baseline.groups;
	const struct events bad[ARMS] = { [ARM_IS_BASELINE] = { l->b.n, l->b.bad, b ? b->bad : NULL },
		                          [ARM_IS_CANARY] = { l->c.n, l->c.bad, c ? c->bad : NULL } };
	const struct events slow[ARMS] = { [ARM_IS_BASELINE] = { l->b.timed, l->b.tail, slow_groups(b) },
		                           [ARM_IS_CANARY] = { l->c.timed, l->c.tail, slow_groups(c) } };

	group_shares__add(&ev->shares, ARM_IS_BASELINE, b);
	group_shares__add(&ev->shares, ARM_IS_CANARY, c);
	dispersion__add(&ev->bad_dispersion, &ev->shares, bad);
	if (l->p95.set)
		dispersion__add(&ev->slow_dispersion, &ev->shares, slow);
}

void evidence__tick(struct evidence *ev, const struct tests *t, const struct endpoint_tick *tick, double seconds)
{
	struct look l = { .tick = tick, .p95 = slowness__threshold(&ev->slowness) };

	ev->threshold = ev->slo.set ? ev->slo : l.p95;
	l.c = units_of(&tick->canary, &ev->threshold, &l.p95, ev->shift);
	l.b = units_of(&tick->baseline, &ev->threshold, &l.p95, ev->shift);
	arrivals__add(&ev->arrivals_c, l.c.n, l.c.timed, seconds);
	arrivals__add(&ev->arrivals_b, l.b.n, l.b.timed, seconds);
	if (!tick->canary.n || !tick->baseline.n)
		return;

	ev->n_c += tick->canary.n;
	ev->n_b += tick->baseline.n;
	ev->bad_c += tick->canary.bad;
	ev->bad_b += tick->baseline.bad;
	for (int i = 0; i < TW_OUTCOME_NR; i++)
		ev->outcome_c[i] += tick->canary.outcome[i];
	judge_errors(ev, t, &l);
	judge_latency(ev, t, &l);
	opinion__add(&ev->opinion, tick, &l.p95, ev->unit == UNIT_EXCHANGE ? &ev->slow_dispersion : NULL);
	if (ev->unit == UNIT_EXCHANGE)
		learn_habits(ev, &l);
	ratio_test__cap(&ev->errors_good, t->promote_need - log(RATIO_STAKE) + CERTIFICATE_SLACK);
	floor_test__cap(&ev->floor, t->promote_need - log(FLOOR_STAKE) + CERTIFICATE_SLACK);
	ratio_test__cap(&ev->slow_good, t->promote_need + CERTIFICATE_SLACK);
}

void evidence__learn(struct evidence *ev, const struct endpoint_tick *tick)
{
	slowness__learn(&ev->slowness, tick->baseline.latency);
}

/*
 * The floor is for endpoints with so few errors that a ratio cannot be told. Its evidence is weighed against the
 * evidence that errors have become worse: dividing by more than 1 is safe.
 */
bool evidence__floor_applies(const struct evidence *ev)
{
	return (double)ev->bad_b <= FLOOR_FEW * ev->floor.p0 * (double)ev->n_b;
}

static double floor_log_e(const struct evidence *ev)
{
	return floor_test__log_e(&ev->floor) - fmax(0, ratio_test__log_e(&ev->errors_bad));
}

double evidence__errors_good(const struct evidence *ev)
{
	double ratio = ratio_test__log_e(&ev->errors_good);

	/* Where it does not apply its stake is lost, or the choice would be made after the fact. */
	return evidence__floor_applies(ev) ? log_mix(RATIO_STAKE, ratio, floor_log_e(ev)) : ratio + log(RATIO_STAKE);
}

double evidence__slow_bad(const struct evidence *ev)
{
	double log_e = ratio_test__log_e(&ev->slow_bad);

	return ev->slo.set ? log_mix(0.5, log_e, ratio_test__log_e(&ev->beyond_margin)) : log_e;
}

bool evidence__enough(const struct evidence *ev, const struct tests *t)
{
	if (t->policy.mode == GATE_ABSOLUTE)
		return ev->n_c >= t->policy.min_requests && ev->n_c;
	return ev->n_c >= t->policy.min_requests && ev->n_b >= t->policy.min_requests && ev->n_c && ev->n_b;
}

bool evidence__errors_certified(const struct evidence *ev, const struct tests *t)
{
	return evidence__errors_good(ev) >= t->promote_need;
}

bool evidence__latency_certified(const struct evidence *ev, const struct tests *t)
{
	return ratio_test__log_e(&ev->slow_good) >= t->promote_need;
}

/*
 * A certificate that evidence to the contrary is weighed against: dividing by more than 1 is safe. A promotion asks for
 * that. The bare certificate answers an accusation, and there the two stand beside each other for the owner to see.
 */
static bool outweighs(double log_e_good, double log_e_bad, double need)
{
	return log_e_good - fmax(0, log_e_bad) >= need;
}

bool evidence__certified(const struct evidence *ev, const struct tests *t)
{
	return evidence__enough(ev, t) &&
	       outweighs(evidence__errors_good(ev), ratio_test__log_e(&ev->errors_bad), t->promote_need) &&
	       outweighs(ratio_test__log_e(&ev->slow_good), evidence__slow_bad(ev), t->promote_need);
}
