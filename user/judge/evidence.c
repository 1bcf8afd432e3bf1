/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/evidence.h"

#include <math.h>
#include <string.h>

#define FLOOR_ERROR_SHARE 0.01
#define FLOOR_FEW         0.1 /* of the floor: a baseline with more errors has enough for a ratio */
/*
 * Stakes of the two ways to certify errors. The floor looks at the canary alone, so nothing that happens to both arms
 * at once cancels out in it: it gets the smaller one and has to be the surer.
 */
#define RATIO_STAKE 0.9
#define FLOOR_STAKE (1 - RATIO_STAKE)
/* Certificates keep up to a hundred times the evidence they need. */
#define SLACK      4.605170186
#define LATE_KEEPS 0.8

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
	t->need = -log(policy->alpha);
	t->shift = margin_buckets(policy->max_latency_increase);
	ratio_grid__init(&t->grid);
	opinion_test__init(&t->opinion, policy->alpha, policy->min_requests);
}

void evidence__init(struct evidence *ev, const struct tests *t, const struct judge_endpoint *ep)
{
	double d = t->policy.max_error_ratio, floor = FLOOR_ERROR_SHARE;
	/* A margin of 1 or less asks for a canary that is better than the baseline. */
	double within[] = { d > 1 ? 1 : 0.8 * d, d > 1 ? 0.8 : 0.5 * d };
	struct alternative within_bets[] = { { within[0], 0.5 }, { within[1], 0.5 } };

	memset(ev, 0, sizeof(*ev));
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
	if (ep->slo_p95 > 0) {
		ev->slo.bucket = histogram_bucket((uint64_t)fmin(ep->slo_p95 * 1e9, 1e18));
		ev->slo.set = ev->slo.bucket < TW_BUCKETS - 1;
	}
}

static void count_late(struct evidence *ev, const struct units *c, const struct units *b, double seconds)
{
	ev->late_c = ev->late_c * LATE_KEEPS + c->n;
	ev->late_b = ev->late_b * LATE_KEEPS + b->n;
	ev->late_timed_c = ev->late_timed_c * LATE_KEEPS + c->timed;
	ev->late_timed_b = ev->late_timed_b * LATE_KEEPS + b->timed;
	ev->late_seconds = ev->late_seconds * LATE_KEEPS + seconds;
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
	if (!l->p95.set || l->p95.bucket + t->shift >= TW_BUCKETS - 1)
		return;
	p.k_c = c->tail_shifted;
	p.k_b = b->tail;
	tails_by_group(&groups, l, t->shift);
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
	l.c = units_of(&tick->canary, &ev->threshold, &l.p95, t->shift);
	l.b = units_of(&tick->baseline, &ev->threshold, &l.p95, t->shift);
	count_late(ev, &l.c, &l.b, seconds);
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
	ratio_test__cap(&ev->errors_good, t->need - log(RATIO_STAKE) + SLACK);
	floor_test__cap(&ev->floor, t->need - log(FLOOR_STAKE) + SLACK);
	ratio_test__cap(&ev->slow_good, t->need + SLACK);
}

void evidence__learn(struct evidence *ev, const struct endpoint_tick *tick)
{
	slowness__learn(&ev->slowness, tick->baseline.latency);
}

/*
 * The floor is for endpoints with so few errors that a ratio cannot be told. Its evidence is weighed against the
 * evidence that errors have become worse: dividing by more than 1 is safe.
 */
static bool floor_applies(const struct evidence *ev)
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
	return floor_applies(ev) ? log_mix(RATIO_STAKE, ratio, floor_log_e(ev)) : ratio + log(RATIO_STAKE);
}

double evidence__slow_bad(const struct evidence *ev)
{
	double log_e = ratio_test__log_e(&ev->slow_bad);

	return ev->slo.set ? log_mix(0.5, log_e, ratio_test__log_e(&ev->beyond_margin)) : log_e;
}

bool evidence__enough(const struct evidence *ev, const struct tests *t)
{
	return ev->n_c >= t->policy.min_requests && ev->n_b >= t->policy.min_requests && ev->n_c && ev->n_b;
}

bool evidence__errors_certified(const struct evidence *ev, const struct tests *t)
{
	return evidence__errors_good(ev) >= t->need;
}

bool evidence__latency_certified(const struct evidence *ev, const struct tests *t)
{
	return ratio_test__log_e(&ev->slow_good) >= t->need;
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
	       outweighs(evidence__errors_good(ev), ratio_test__log_e(&ev->errors_bad), t->need) &&
	       outweighs(ratio_test__log_e(&ev->slow_good), evidence__slow_bad(ev), t->need);
}

/* The sooner of two times of which either may be unknown (negative). */
static double sooner(double a, double b)
{
	if (a < 0 || b < 0)
		return fmax(a, b);
	return fmin(a, b);
}

/* Seconds until that much has happened at that rate. */
static double seconds_for(double amount, double rate)
{
	if (amount <= 0)
		return amount < 0 ? -1 : 0;
	return rate > 0 ? amount / rate : -1;
}

static double share_bad(uint64_t bad, uint64_t n)
{
	return n ? (double)bad / (double)n : 0;
}

/* The ratio to plan with: none (1) unless the canary is clearly better or worse. */
static double planned_ratio(const struct evidence *ev, const struct tests *t)
{
	double ratio, low, high;

	if (!ratio__estimate(&ev->ratio, &ratio))
		return 1;
	ratio__interval(&ev->ratio, &t->grid, t->policy.alpha, &low, &high);
	return low <= 1 && high >= 1 ? 1 : fmax(ratio, 1e-6);
}

static double errors_seconds(const struct evidence *ev, const struct tests *t, double rate_c, double rate_b)
{
	double share = rate_c / (rate_c + rate_b), rho = planned_ratio(ev, t);
	double worse = fmax(0, ratio_test__log_e(&ev->errors_bad));
	double events, exchanges, bad_rate = share_bad(ev->bad_b, ev->n_b) * (rate_b + rho * rate_c);

	if (evidence__errors_certified(ev, t))
		return 0;
	events = ratio_test__events_to(&ev->errors_good, t->need - log(RATIO_STAKE), share, rho, &ev->bad_dispersion);
	exchanges =
		floor_test__exchanges_to(&ev->floor, t->need - log(FLOOR_STAKE) + worse, share_bad(ev->bad_c, ev->n_c));
	if (!floor_applies(ev))
		exchanges = -1;
	return sooner(seconds_for(events, bad_rate), seconds_for(exchanges, rate_c));
}

/* If the canary has the baseline's latencies, its tail beyond the margin is what the baseline's is there. */
static double latency_seconds(const struct evidence *ev, const struct tests *t, double rate_c, double rate_b)
{
	struct threshold p95 = slowness__threshold(&ev->slowness);
	double share, ratio, events;

	if (evidence__latency_certified(ev, t))
		return 0;
	if (!p95.set || p95.bucket + t->shift >= TW_BUCKETS - 1 || rate_c <= 0 || rate_b <= 0)
		return -1;
	share = rate_c / (rate_c + rate_b);
	ratio = slowness__tail_ratio(&ev->slowness, &p95, t->shift);
	events = ratio_test__events_to(&ev->slow_good, t->need, share, ratio, &ev->slow_dispersion);
	return seconds_for(events, SLOW_SHARE * (rate_b + ratio * rate_c));
}

double evidence__certify_seconds(const struct evidence *ev, const struct tests *t)
{
	double s = ev->late_seconds, errors, latency, data;

	if (s <= 0 || ev->late_c <= 0 || ev->late_b <= 0)
		return -1;
	errors = errors_seconds(ev, t, ev->late_c / s, ev->late_b / s);
	latency = latency_seconds(ev, t, ev->late_timed_c / s, ev->late_timed_b / s);
	if (errors < 0 || latency < 0)
		return -1;
	data = fmax(seconds_for(fmax(0, (double)t->policy.min_requests - (double)ev->n_c), ev->late_c / s),
	            seconds_for(fmax(0, (double)t->policy.min_requests - (double)ev->n_b), ev->late_b / s));
	return fmax(data, fmax(errors, latency));
}

/* Goes on as it went so far: the estimated ratio is the true one. */
double evidence__rollback_seconds(const struct evidence *ev, double need)
{
	double s = ev->late_seconds, share, ratio, errors = -1, slow = -1;

	if (s <= 0 || ev->late_c <= 0 || ev->late_b <= 0)
		return -1;
	share = ev->late_c / (ev->late_c + ev->late_b);
	if (ratio__estimate(&ev->ratio, &ratio) && ratio > 1) {
		double rate = share_bad(ev->bad_b, ev->n_b) * (ev->late_b + ratio * ev->late_c) / s;

		errors = seconds_for(ratio_test__events_to(&ev->errors_bad, need, share, ratio, &ev->bad_dispersion),
		                     rate);
	}
	if (ev->slow_b && ev->slow_c) {
		double p = share_bad(ev->slow_b, ev->timed_b), rate;

		ratio = share_bad(ev->slow_c, ev->timed_c) / p;
		rate = p * (ev->late_b + ratio * ev->late_c) / s;
		slow = seconds_for(ratio_test__events_to(&ev->slow_bad, need, share, ratio, &ev->slow_dispersion),
		                   rate);
	}
	return sooner(errors, slow);
}
