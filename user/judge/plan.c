/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/plan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "judge/evidence.h"
#include "judge/state.h"

static bool possible(const struct plan_traffic *t, double ratio, double alpha)
{
	return isfinite(t->rate) && t->rate > 0 && t->share > 0 && t->share < 1 && t->bad > 0 && t->bad < 1 &&
	       ratio >= 0 && t->bad * ratio <= 1 && alpha > 0 && alpha < 1;
}

bool plan__until(const struct eprocess *test, const struct plan_traffic *traffic, double ratio, double alpha,
                 struct plan_need *need)
{
	double bad;

	if (!possible(traffic, ratio, alpha))
		return false;
	need->events = eprocess__events_to(test, -log(alpha), traffic->share, ratio);
	if (need->events < 0)
		return false;
	bad = traffic->bad * (1 - traffic->share + traffic->share * ratio);
	need->exchanges = need->events / bad;
	need->seconds = need->exchanges / traffic->rate;
	return isfinite(need->seconds);
}

/* --- a release ---------------------------------------------------------------------------------------------------- */

const double plan_ratios[PLAN_RATIOS] = { 1.5, 2, 5 };

const char *const plan_never_names[PLAN_NEVER_NR] = {
	[PLAN_NOT_KNOWN] = "not_known",         [PLAN_NO_TRAFFIC] = "no_traffic",     [PLAN_NO_ERRORS] = "no_errors",
	[PLAN_MORE_THAN_ALL] = "more_than_all", [PLAN_NO_LATENCY] = "no_latency",     [PLAN_NONE_SLOW] = "none_slow",
	[PLAN_FINE_MARGIN] = "fine_margin",     [PLAN_BEYOND_RANGE] = "beyond_range", [PLAN_WIDE_TAIL] = "wide_tail",
	[PLAN_NO_GROWTH] = "no_growth",
};

struct plan {
	struct tests tests;
	const struct plan_endpoint *endpoints;
	size_t n;
	struct needs {
		double errors, slow; /* log E that a rollback takes if this test is the only one with evidence */
	} * needs;
	bool *decides;
};

/*
 * Shares are exact to 15 digits with that many exchanges; they only say what the shares are, the tests have not seen
 * them.
 */
#define MANY 1e15
/* Of two tests that are asked together, the one that is not meant gets so much traffic that it takes no time. */
#define NO_TIME 1e12

static double margin_of(unsigned int buckets)
{
	return exp2(buckets / 16.0) - 1;
}

double plan__latency_margin(const struct gate_policy *policy)
{
	return margin_of(margin_buckets(policy->max_latency_increase));
}

/* Evidence that has seen nothing yet of an endpoint that is served as supposed, by a canary that is no worse. */
static void suppose(struct evidence *ev, const struct tests *t, const struct plan_endpoint *ep, double share,
                    double errors)
{
	evidence__init(ev, t, &ep->def);
	ev->late_seconds = 1;
	ev->late_c = ev->late_timed_c = ep->rate * share;
	ev->late_b = ev->late_timed_b = ep->rate * (1 - share);
	ev->n_c = ev->n_b = (uint64_t)MANY;
	ev->bad_c = ev->bad_b = (uint64_t)(errors * MANY);
}

/* Is there no traffic to plan with? */
static bool is_idle(const struct plan_endpoint *ep, struct plan_time *never)
{
	*never = (struct plan_time){ .never = isnan(ep->rate) ? PLAN_NOT_KNOWN : PLAN_NO_TRAFFIC };
	return !(ep->rate > 0);
}

/* A verdict comes at the end of a tick. */
static struct plan_time in_ticks(double seconds, const struct tests *t, enum plan_never otherwise)
{
	double tick = t->policy.tick;

	if (seconds < 0)
		return (struct plan_time){ .never = otherwise };
	return (struct plan_time){ .seconds = tick * fmax(1, ceil(seconds / tick - 1e-9)) };
}

/* The latency test begins one tick late: the first one is for the p95 that the next is measured by. */
static struct plan_time a_tick_late(struct plan_time time, const struct tests *t)
{
	if (!time.never)
		time.seconds += t->policy.tick;
	return time;
}

static struct plan_time later(struct plan_time a, struct plan_time b)
{
	if (a.never || b.never)
		return a.never ? a : b;
	return a.seconds > b.seconds ? a : b;
}

/* --- certificates */

/* Latencies that any margin can be certified for. */
static void learn_steady(struct slowness *s)
{
	struct histogram h = { 0 };

	histogram_add(&h, 1000000);
	h.b[histogram_bucket(1000000)] = (uint64_t)MANY;
	h.count = (uint64_t)MANY;
	slowness__learn(s, &h);
}

/* Seconds; floor false: as if it did not exist, as it never holds for a canary that only fails. */
static double errors_seconds(const struct gate_policy *policy, const struct plan_endpoint *ep, double share, bool floor)
{
	struct gate_policy wide = *policy;
	struct evidence ev;
	struct tests t;

	wide.max_latency_increase = 1;
	tests__init(&t, &wide);
	suppose(&ev, &t, ep, share, ep->errors);
	if (!floor)
		ev.bad_c = ev.n_c;
	learn_steady(&ev.slowness);
	ev.late_timed_c *= NO_TIME;
	ev.late_timed_b *= NO_TIME;
	return evidence__certify_seconds(&ev, &t);
}

static struct plan_time certify_latency(const struct tests *t, const struct plan_endpoint *ep, double share)
{
	enum plan_never otherwise = PLAN_WIDE_TAIL;
	struct threshold p95;
	struct evidence ev;

	suppose(&ev, t, ep, share, 0);
	slowness__learn(&ev.slowness, ep->latency);
	p95 = slowness__threshold(&ev.slowness);
	ev.late_c *= NO_TIME;
	ev.late_b *= NO_TIME;
	if (!t->shift)
		otherwise = PLAN_FINE_MARGIN;
	else if (!p95.set)
		otherwise = PLAN_NO_LATENCY;
	else if (p95.bucket + t->shift >= TW_BUCKETS - 1)
		otherwise = PLAN_BEYOND_RANGE;
	return a_tick_late(in_ticks(evidence__certify_seconds(&ev, t), t, otherwise), t);
}

static struct plan_time minimum_data(const struct tests *t, const struct plan_endpoint *ep, double share)
{
	double least = ep->rate * fmin(share, 1 - share);

	return in_ticks((double)t->policy.min_requests / least, t, PLAN_NO_TRAFFIC);
}

static void certify(const struct tests *t, const struct plan_endpoint *ep, double share, struct plan_certificate *out)
{
	double seconds, by_ratio;
	struct plan_time never;
	bool idle = is_idle(ep, &never);
	struct evidence ev;

	evidence__init(&ev, t, &ep->def);
	*out = (struct plan_certificate){ never, never, never, never, .floor = ev.floor.p0 };
	if (idle)
		return;
	seconds = errors_seconds(&t->policy, ep, share, true);
	by_ratio = errors_seconds(&t->policy, ep, share, false);
	out->by_floor = seconds >= 0 && (by_ratio < 0 || seconds < by_ratio);
	out->errors = in_ticks(seconds, t, PLAN_NO_GROWTH);
	out->latency = certify_latency(t, ep, share);
	out->data = minimum_data(t, ep, share);
	out->call = later(out->data, later(out->errors, out->latency));
}

void plan__certificate(const struct gate_policy *policy, const struct plan_endpoint *ep, double share,
                       struct plan_certificate *out)
{
	struct tests t;

	tests__init(&t, policy);
	certify(&t, ep, share, out);
}

/* --- detection */

static struct plan_time detect_errors(const struct tests *t, const struct plan_endpoint *ep, double need, double share,
                                      double ratio)
{
	struct plan_time never;
	struct evidence ev;

	if (is_idle(ep, &never))
		return never;
	if (!(ep->errors > 0))
		return (struct plan_time){ .never = PLAN_NO_ERRORS };
	if (ep->errors * ratio > 1)
		return (struct plan_time){ .never = PLAN_MORE_THAN_ALL };
	suppose(&ev, t, ep, share, ep->errors);
	ev.ratio.above = ratio;
	ev.ratio.below = 1;
	return in_ticks(evidence__rollback_seconds(&ev, need), t, PLAN_NO_GROWTH);
}

/*
 * The tail beyond what counts as slow, in parts of all exchanges; raised: with every latency longer by the margin. The
 * tail beyond the baseline's p95 is a twentieth by construction.
 */
static double tail_of(const struct evidence *ev, const struct threshold *x, unsigned int raised)
{
	struct threshold lower = *x;

	lower.bucket -= raised < x->bucket ? raised : x->bucket;
	return SLOW_SHARE * slowness__tail_ratio(&ev->slowness, &lower, 0);
}

static struct plan_time detect_slower(const struct tests *t, const struct plan_endpoint *ep, double need, double share)
{
	struct plan_time time;
	struct threshold x;
	struct evidence ev;

	if (is_idle(ep, &time))
		return time;
	if (!t->shift)
		return (struct plan_time){ .never = PLAN_FINE_MARGIN };
	suppose(&ev, t, ep, share, 0);
	slowness__learn(&ev.slowness, ep->latency);
	x = ev.slo.set ? ev.slo : slowness__threshold(&ev.slowness);
	if (!x.set || !ep->latency || (ev.slo.set && ep->shape_only))
		return (struct plan_time){ .never = PLAN_NO_LATENCY };
	ev.timed_c = ev.timed_b = (uint64_t)MANY;
	ev.slow_b = (uint64_t)(MANY * tail_of(&ev, &x, 0));
	ev.slow_c = (uint64_t)(MANY * tail_of(&ev, &x, t->shift));
	if (!ev.slow_b)
		return (struct plan_time){ .never = PLAN_NONE_SLOW };
	/* Beside an announced p95 there is a second test, and each of them has half the stake. */
	time = in_ticks(evidence__rollback_seconds(&ev, ev.slo.set ? need + M_LN2 : need), t, PLAN_WIDE_TAIL);
	if (!ev.slo.set)
		time = a_tick_late(time, t);
	/* Slow is not urgent: it is no reason for a rollback before there is the minimum of data. */
	return later(minimum_data(t, ep, share), time);
}

void plan__times(const struct plan *p, size_t endpoint, double share, struct plan_times *out)
{
	const struct plan_endpoint *ep = &p->endpoints[endpoint];

	for (int i = 0; i < PLAN_RATIOS; i++)
		out->worse[i] = detect_errors(&p->tests, ep, p->needs[endpoint].errors, share, plan_ratios[i]);
	out->slower = detect_slower(&p->tests, ep, p->needs[endpoint].slow, share);
	certify(&p->tests, ep, share, &out->certify);
}

/* --- what the judge makes of the endpoints together */

/* Evidence beside which everything else is nothing: exp(60). */
#define BEYOND_DOUBT 60
/* That takes a tick or two; a judge that lets no tick weigh much gets more of them. */
#define TRIAL_TICKS 1000
#define TRIAL_LEAST 1000 /* requests */

static struct judge *judge_of(const struct gate_policy *policy, const struct plan_endpoint *ep, size_t n)
{
	struct judge *j = judge__new(policy);
	int err = 0;

	for (size_t i = 0; j && i < n && err >= 0; i++)
		err = judge__add_endpoint(j, &ep[i].def);
	if (j && err < 0) {
		judge__free(j);
		errno = -err;
		return NULL;
	}
	return j;
}

static int take_tick(struct judge *j, unsigned int k, const struct endpoint_tick *ticks, size_t n)
{
	const struct tick t = {
		.start = k, .end = k + 1, .seen = UINT64_MAX, .ledger_balanced = true, .endpoints = ticks
	};

	return judge__tick(j, &t, n);
}

/*
 * How the judge deals the stake over endpoints and tests is its own affair; it is asked. One endpoint fails (or is
 * slow) beyond all doubt, the others do nothing: what the evidence of all lacks of its own is the logarithm of its
 * part.
 */
static int ask_need(const struct plan *p, size_t i, bool slow, struct endpoint_tick *ticks, double *need)
{
	uint64_t n = p->tests.policy.min_requests > TRIAL_LEAST ? p->tests.policy.min_requests : TRIAL_LEAST;
	struct judge *j = judge_of(&p->tests.policy, p->endpoints, p->n);
	struct histogram fast = { 0 }, slowest = { 0 };
	struct verdict v;
	int err = j ? 0 : -errno;

	for (int k = 0; k < TRIAL_LEAST; k++) {
		histogram_add(&fast, 1000);
		histogram_add(&slowest, 250ULL * 1000 * 1000 * 1000);
	}
	ticks[i].baseline = (struct arm_tick){ .n = 99 * n, .latency = &fast };
	ticks[i].canary = (struct arm_tick){ .n = n, .bad = slow ? 0 : n, .latency = slow ? &slowest : &fast };
	for (unsigned int k = 0; !err; k++) {
		double alone;

		err = k < TRIAL_TICKS ? take_tick(j, k, ticks, p->n) : -EPROTO;
		if (err)
			break;
		judge__verdict(j, &v);
		alone = slow ? v.endpoints[i].log_e_slow_bad : v.endpoints[i].log_e_bad;
		*need = p->tests.need + alone - v.log_e_bad;
		if (alone > BEYOND_DOUBT)
			break;
	}
	ticks[i] = (struct endpoint_tick){ 0 };
	judge__free(j);
	return err;
}

/* Endpoints of the same kind have the same part. */
static int ask_needs(struct plan *p, struct endpoint_tick *ticks)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct judge_endpoint *def = &p->endpoints[i].def;
		size_t alike = 0;
		int err;

		while (p->endpoints[alike].def.critical != def->critical ||
		       p->endpoints[alike].def.weight != def->weight)
			alike++;
		p->needs[i] = p->needs[alike];
		if (alike < i)
			continue;
		err = ask_need(p, i, false, ticks, &p->needs[i].errors);
		if (!err)
			err = ask_need(p, i, true, ticks, &p->needs[i].slow);
		if (err)
			return err;
	}
	return 0;
}

/* Who decides may depend on who is asked most: a tick in proportion. */
static int ask_deciders(struct plan *p, struct endpoint_tick *ticks)
{
	struct judge *j = judge_of(&p->tests.policy, p->endpoints, p->n);
	enum deciders who;
	double total = 0;
	int err;

	if (!j)
		return -errno;
	for (size_t i = 0; i < p->n; i++)
		total += fmax(0, p->endpoints[i].rate);
	for (size_t i = 0; i < p->n && total > 0; i++)
		ticks[i].baseline.n = ticks[i].canary.n = (uint64_t)(1e9 * fmax(0, p->endpoints[i].rate) / total);
	err = take_tick(j, 0, ticks, p->n);
	who = judge__deciders(j);
	for (size_t i = 0; i < p->n && !err; i++)
		p->decides[i] = judge__decides(j, who, j->eps[i]);
	judge__free(j);
	return err;
}

struct plan *plan__new(const struct gate_policy *policy, const struct plan_endpoint *endpoints, size_t n)
{
	struct plan *p = calloc(1, sizeof(*p));
	struct endpoint_tick *ticks = calloc(n + 1, sizeof(*ticks));
	int err = -ENOMEM;

	if (!p || !ticks)
		goto cleanup;
	tests__init(&p->tests, policy);
	p->endpoints = endpoints;
	p->n = n;
	p->needs = calloc(n + 1, sizeof(*p->needs));
	p->decides = calloc(n + 1, sizeof(*p->decides));
	if (!p->needs || !p->decides)
		goto cleanup;
	err = ask_needs(p, ticks);
	if (!err)
		err = ask_deciders(p, ticks);
cleanup:
	free(ticks);
	if (!err)
		return p;
	plan__free(p);
	errno = -err;
	return NULL;
}

void plan__free(struct plan *p)
{
	if (!p)
		return;
	free(p->needs);
	free(p->decides);
	free(p);
}

bool plan__decides(const struct plan *p, size_t endpoint)
{
	return p->decides[endpoint];
}
