/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/plan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "judge/plan_suppose.h"
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

/* Of two tests that are asked together, the one that is not meant gets so much traffic that it takes no time. */
#define NO_TIME 1e12
/* A certificate that a quarter more errors would rule out is not planned with. */
#define NEARLY 1.25

static double margin_of(unsigned int buckets)
{
	return exp2(buckets / 16.0) - 1;
}

double plan__latency_margin(const struct gate_policy *policy)
{
	return margin_of(margin_buckets(policy->max_latency_increase));
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
	h.b[histogram_bucket(1000000)] = PLAN_MANY;
	h.count = PLAN_MANY;
	slowness__learn(s, &h);
}

/* floor false: as if it did not exist, as it never holds for a canary that only fails. */
static double errors_seconds(const struct supposition *s, bool floor)
{
	struct gate_policy wide = s->t->policy;
	struct supposition easy = *s;
	struct evidence ev;
	struct tests t;

	wide.max_latency_increase = 1;
	tests__init(&t, &wide);
	easy.t = &t;
	plan_suppose__evidence(&ev, &easy);
	if (!floor)
		ev.bad_c = ev.n_c;
	learn_steady(&ev.slowness);
	ev.late_timed_c *= NO_TIME;
	ev.late_timed_b *= NO_TIME;
	return evidence__certify_seconds(&ev, &t);
}

static double latency_seconds(const struct supposition *s)
{
	struct supposition faultless = *s;
	struct evidence ev;

	faultless.errors = 0;
	plan_suppose__evidence(&ev, &faultless);
	slowness__learn(&ev.slowness, s->ep->latency);
	ev.late_c *= NO_TIME;
	ev.late_b *= NO_TIME;
	return evidence__certify_seconds(&ev, s->t);
}

/* What is known on the way is what is known halfway. */
static double halfway(struct supposition *s, double seconds)
{
	s->seconds = seconds < 0 ? INFINITY : seconds / 2;
	return seconds;
}

static double ratio_seconds(struct supposition s)
{
	halfway(&s, errors_seconds(&s, false));
	return errors_seconds(&s, false);
}

/* The floor is for a baseline with few errors. Negative: it is not for this one, or so nearly not that chance decides.
 */
static double floor_seconds(struct supposition s)
{
	double seconds = errors_seconds(&s, true);

	s.errors *= NEARLY;
	return s.errors > 0 && !(errors_seconds(&s, true) < errors_seconds(&s, false)) ? -1 : seconds;
}

static enum plan_never no_latency(const struct tests *t, const struct plan_endpoint *ep)
{
	struct slowness s = { .total = 0 };
	struct threshold p95;

	slowness__learn(&s, ep->latency);
	p95 = slowness__threshold(&s);
	if (!t->shift)
		return PLAN_FINE_MARGIN;
	if (!p95.set)
		return PLAN_NO_LATENCY;
	return p95.bucket + t->shift >= TW_BUCKETS - 1 ? PLAN_BEYOND_RANGE : PLAN_WIDE_TAIL;
}

static struct plan_time certify_latency(struct supposition s)
{
	halfway(&s, latency_seconds(&s));
	return a_tick_late(in_ticks(latency_seconds(&s), s.t, no_latency(s.t, s.ep)), s.t);
}

static struct plan_time minimum_data(const struct tests *t, const struct plan_endpoint *ep, double share)
{
	double least = ep->rate * fmin(share, 1 - share);

	return in_ticks((double)t->policy.min_requests / least, t, PLAN_NO_TRAFFIC);
}

static void certify(const struct tests *t, const struct plan_endpoint *ep, double share, struct plan_certificate *out)
{
	const struct supposition s = { t, ep, share, ep->errors, 1, INFINITY };
	double by_ratio, by_floor;
	struct plan_time never;
	bool idle = is_idle(ep, &never);
	struct evidence ev;

	evidence__init(&ev, t, &ep->def);
	*out = (struct plan_certificate){ never, never, never, never, .floor = ev.floor.p0 };
	if (idle)
		return;
	by_ratio = ratio_seconds(s);
	by_floor = floor_seconds(s);
	out->by_floor = by_floor >= 0 && (by_ratio < 0 || by_floor < by_ratio);
	out->errors = in_ticks(out->by_floor ? by_floor : by_ratio, t, PLAN_NO_GROWTH);
	out->latency = certify_latency(s);
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
	plan_suppose__evidence(&ev, &(struct supposition){ t, ep, share, ep->errors, ratio, INFINITY });
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
	double slow_b, slow_c;
	struct threshold x;
	struct evidence ev;

	if (is_idle(ep, &time))
		return time;
	if (!t->shift)
		return (struct plan_time){ .never = PLAN_FINE_MARGIN };
	evidence__init(&ev, t, &ep->def);
	slowness__learn(&ev.slowness, ep->latency);
	x = ev.slo.set ? ev.slo : slowness__threshold(&ev.slowness);
	if (!x.set || !ep->latency || (ev.slo.set && ep->shape_only))
		return (struct plan_time){ .never = PLAN_NO_LATENCY };
	slow_b = tail_of(&ev, &x, 0);
	slow_c = tail_of(&ev, &x, t->shift);
	if (!(slow_b > 0))
		return (struct plan_time){ .never = PLAN_NONE_SLOW };
	plan_suppose__evidence(&ev, &(struct supposition){ t, ep, share, 0, slow_c / slow_b, INFINITY });
	ev.timed_c = ev.timed_b = PLAN_MANY;
	ev.slow_b = (uint64_t)(PLAN_MANY * slow_b);
	ev.slow_c = (uint64_t)(PLAN_MANY * slow_c);
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
