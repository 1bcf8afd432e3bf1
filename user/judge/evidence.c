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

static const double worse_by[] = { 1.25, 1.5, 2, 3, 5 };
static const double tail_lighter[] = { 0.5, 0.65, 0.8 };

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* What the tests count of one arm in one tick. */
struct units {
	double n, bad;       /* for errors */
	double timed;        /* those with a latency */
	double slow;         /* beyond what counts as slow */
	double tail;         /* beyond the baseline's p95, the part of its bucket included */
	double tail_shifted; /* the same, moved up by the margin */
};

/*
 * The unit of analysis: the exchange. Whatever is counted instead (sessions, connections, counts divided by a
 * dispersion factor) changes here and nowhere else.
 */
static struct units units_of(const struct arm_tick *a, const struct threshold *slow, const struct threshold *p95,
                             unsigned int shift)
{
	struct units u = { .n = (double)a->n, .bad = (double)a->bad };

	if (!a->latency)
		return u;
	u.timed = (double)a->latency->count;
	if (slow->set)
		u.slow = (double)histogram_above(a->latency, slow->bucket);
	if (p95->set) {
		u.tail = tail_above(a->latency, p95, 0);
		u.tail_shifted = tail_above(a->latency, p95, shift);
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
}

void evidence__init(struct evidence *ev, const struct tests *t, const struct judge_endpoint *ep)
{
	double d = t->policy.max_error_ratio, floor = FLOOR_ERROR_SHARE;
	/* A margin of 1 or less asks for a canary that is better than the baseline. */
	double within[] = { d > 1 ? 1 : 0.8 * d, d > 1 ? 0.8 : 0.5 * d };

	memset(ev, 0, sizeof(*ev));
	if (ep->slo_error_rate > 0 && ep->slo_error_rate < floor)
		floor = ep->slo_error_rate;
	eprocess__init(&ev->errors_bad, 1, worse_by, COUNT(worse_by));
	eprocess__init(&ev->errors_good, d, within, COUNT(within));
	floor_test__init(&ev->floor, floor);
	eprocess__init(&ev->slow_bad, 1, worse_by, COUNT(worse_by));
	eprocess__init(&ev->beyond_margin, 1, worse_by, COUNT(worse_by));
	eprocess__init(&ev->slow_good, 1, tail_lighter, COUNT(tail_lighter));
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

static void judge_latency(struct evidence *ev, const struct tests *t, const struct units *c, const struct units *b,
                          const struct threshold *p95)
{
	if (ev->threshold.set && c->timed > 0 && b->timed > 0) {
		ev->timed_c += whole(c->timed);
		ev->timed_b += whole(b->timed);
		ev->slow_c += whole(c->slow);
		ev->slow_b += whole(b->slow);
		eprocess__add(&ev->slow_bad, c->timed, b->timed, c->slow, b->slow);
	}
	/* Beyond the last bound nothing could be told apart: a tail moved there would look empty. */
	if (!p95->set || p95->bucket + t->shift >= TW_BUCKETS - 1)
		return;
	eprocess__add(&ev->slow_good, c->timed, b->timed, c->tail_shifted, b->tail);
	if (ev->slo.set)
		eprocess__add(&ev->beyond_margin, c->timed, b->timed, c->tail_shifted, b->tail);
}

void evidence__tick(struct evidence *ev, const struct tests *t, const struct endpoint_tick *tick, double seconds)
{
	struct threshold p95 = slowness__threshold(&ev->slowness);
	struct units c, b;

	ev->threshold = ev->slo.set ? ev->slo : p95;
	c = units_of(&tick->canary, &ev->threshold, &p95, t->shift);
	b = units_of(&tick->baseline, &ev->threshold, &p95, t->shift);
	count_late(ev, &c, &b, seconds);
	if (!tick->canary.n || !tick->baseline.n)
		return;

	ev->n_c += tick->canary.n;
	ev->n_b += tick->baseline.n;
	ev->bad_c += tick->canary.bad;
	ev->bad_b += tick->baseline.bad;
	for (int i = 0; i < TW_OUTCOME_NR; i++)
		ev->outcome_c[i] += tick->canary.outcome[i];
	eprocess__add(&ev->errors_bad, c.n, b.n, c.bad, b.bad);
	eprocess__add(&ev->errors_good, c.n, b.n, c.bad, b.bad);
	floor_test__add(&ev->floor, c.n, c.bad);
	ratio__add(&ev->ratio, &t->grid, c.n, b.n, c.bad, b.bad);
	judge_latency(ev, t, &c, &b, &p95);
	eprocess__cap(&ev->errors_good, t->need - log(RATIO_STAKE) + SLACK);
	floor_test__cap(&ev->floor, t->need - log(FLOOR_STAKE) + SLACK);
	eprocess__cap(&ev->slow_good, t->need + SLACK);
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
	return floor_test__log_e(&ev->floor) - fmax(0, eprocess__log_e(&ev->errors_bad));
}

double evidence__errors_good(const struct evidence *ev)
{
	double ratio = eprocess__log_e(&ev->errors_good);

	/* Where it does not apply its stake is lost, or the choice would be made after the fact. */
	return floor_applies(ev) ? log_mix(RATIO_STAKE, ratio, floor_log_e(ev)) : ratio + log(RATIO_STAKE);
}

double evidence__slow_bad(const struct evidence *ev)
{
	double log_e = eprocess__log_e(&ev->slow_bad);

	return ev->slo.set ? log_mix(0.5, log_e, eprocess__log_e(&ev->beyond_margin)) : log_e;
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
	return eprocess__log_e(&ev->slow_good) >= t->need;
}

bool evidence__certified(const struct evidence *ev, const struct tests *t)
{
	return evidence__enough(ev, t) && evidence__errors_certified(ev, t) && evidence__latency_certified(ev, t);
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
	double worse = fmax(0, eprocess__log_e(&ev->errors_bad));
	double events, exchanges, bad_rate = share_bad(ev->bad_b, ev->n_b) * (rate_b + rho * rate_c);

	if (evidence__errors_certified(ev, t))
		return 0;
	events = eprocess__events_to(&ev->errors_good, t->need - log(RATIO_STAKE), share, rho);
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
	events = eprocess__events_to(&ev->slow_good, t->need, share, ratio);
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

		errors = seconds_for(eprocess__events_to(&ev->errors_bad, need, share, ratio), rate);
	}
	if (ev->slow_b && ev->slow_c) {
		double p = share_bad(ev->slow_b, ev->timed_b), rate;

		ratio = share_bad(ev->slow_c, ev->timed_c) / p;
		rate = p * (ev->late_b + ratio * ev->late_c) / s;
		slow = seconds_for(eprocess__events_to(&ev->slow_bad, need, share, ratio), rate);
	}
	return sooner(errors, slow);
}
