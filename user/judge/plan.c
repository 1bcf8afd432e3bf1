/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/plan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "judge/outlook.h"
#include "judge/steps.h"

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
	struct gate_policy policy;
	const struct plan_endpoint *endpoints;
	size_t n;
	/* How the stake is dealt over endpoints and tests, and which of them decide, is the judge's own affair. */
	struct judge *judge;
};

/* A certificate that a quarter more errors would rule out is not planned with. */
#define NEARLY 1.25

struct margins plan__margins(const struct gate_policy *policy, const struct plan_endpoint *ep)
{
	struct margins m = ep->def.margins;

	if (!(m.max_error_ratio > 0))
		m.max_error_ratio = policy->max_error_ratio;
	if (!(m.max_latency_increase > 0))
		m.max_latency_increase = policy->max_latency_increase;
	return m;
}

double plan__latency_margin(double increase)
{
	return exp2(margin_buckets(increase) / 16.0) - 1;
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

	if (seconds < 0 || !isfinite(seconds))
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

/* --- what is supposed */

/*
 * Evidence that has seen nothing yet, of a service whose connections are many and spread evenly over the groups. How
 * bad events come is not known either: that they come one by one has to be learned, as it will have to be.
 */
static void suppose_evidence(struct evidence *ev, const struct tests *t, const struct plan_endpoint *ep)
{
	evidence__init(ev, t, &ep->def);
	ev->bad_dispersion.grouped = ev->slow_dispersion.grouped = true;
	for (int arm = 0; arm < ARMS; arm++) {
		for (int i = 0; i < TW_GROUPS; i++)
			ev->shares.n[arm][i] = 1;
		ev->shares.total[arm] = TW_GROUPS;
	}
	slowness__learn(&ev->slowness, ep->latency);
}

/* A canary that is what the baseline is. */
static struct outlook suppose_equal(const struct evidence *ev, const struct plan_endpoint *ep, double share)
{
	double c = ep->rate * share, b = ep->rate * (1 - share);

	return (struct outlook){
		.c = { c, c },
		.b = { b, b },
		.bad_c = ep->errors,
		.bad_b = ep->errors,
		.floor = NEARLY * ep->errors <= FLOOR_FEW * ev->floor.p0,
	};
}

/* --- certificates */

static enum plan_never no_latency(const struct evidence *ev)
{
	struct threshold p95 = slowness__threshold(&ev->slowness);

	if (!ev->shift)
		return PLAN_FINE_MARGIN;
	if (!p95.set)
		return PLAN_NO_LATENCY;
	return p95.bucket + ev->shift >= TW_BUCKETS - 1 ? PLAN_BEYOND_RANGE : PLAN_WIDE_TAIL;
}

void plan__certificate(const struct gate_policy *policy, const struct plan_endpoint *ep, double share,
                       struct plan_certificate *out)
{
	struct plan_time never;
	bool idle = is_idle(ep, &never);
	struct evidence ev;
	struct outlook o;
	struct tests t;

	tests__init(&t, policy);
	suppose_evidence(&ev, &t, ep);
	*out = (struct plan_certificate){ never, never, never, never, .floor = ev.floor.p0 };
	if (idle)
		return;
	o = suppose_equal(&ev, ep, share);
	out->errors = in_ticks(outlook__errors_good(&ev, &t, &o, &out->by_floor), &t, PLAN_NO_GROWTH);
	out->latency = a_tick_late(in_ticks(outlook__latency_good(&ev, &t, &o), &t, no_latency(&ev)), &t);
	out->data = in_ticks(outlook__data(&ev, &t, &o), &t, PLAN_NO_TRAFFIC);
	out->call = later(out->data, later(out->errors, out->latency));
}

/* --- detection */

static struct plan_time detect_errors(const struct tests *t, const struct plan_endpoint *ep, double need, double share,
                                      double ratio)
{
	struct plan_time never;
	struct evidence ev;
	struct outlook o;

	if (is_idle(ep, &never))
		return never;
	if (!(ep->errors > 0))
		return (struct plan_time){ .never = PLAN_NO_ERRORS };
	if (ep->errors * ratio > 1)
		return (struct plan_time){ .never = PLAN_MORE_THAN_ALL };
	suppose_evidence(&ev, t, ep);
	o = suppose_equal(&ev, ep, share);
	o.worse = ratio;
	return in_ticks(outlook__errors_worse(&ev, t, &o, need), t, PLAN_NO_GROWTH);
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
	struct outlook o;

	if (is_idle(ep, &time))
		return time;
	suppose_evidence(&ev, t, ep);
	if (!ev.shift)
		return (struct plan_time){ .never = PLAN_FINE_MARGIN };
	x = ev.slo.set ? ev.slo : slowness__threshold(&ev.slowness);
	if (!x.set || !ep->latency || (ev.slo.set && ep->shape_only))
		return (struct plan_time){ .never = PLAN_NO_LATENCY };
	o = suppose_equal(&ev, ep, share);
	o.slow_b = tail_of(&ev, &x, 0);
	if (!(o.slow_b > 0))
		return (struct plan_time){ .never = PLAN_NONE_SLOW };
	o.slower = tail_of(&ev, &x, ev.shift) / o.slow_b;
	time = in_ticks(outlook__slow_worse(&ev, t, &o, need), t, PLAN_WIDE_TAIL);
	if (!ev.slo.set)
		time = a_tick_late(time, t);
	/* Slow is not urgent but where nothing may wait: no reason for a rollback before there is the minimum of data.
	 */
	return ep->def.fail_fast ? time : later(in_ticks(outlook__data(&ev, t, &o), t, PLAN_NO_TRAFFIC), time);
}

void plan__times(const struct plan *p, size_t endpoint, double share, struct plan_times *out)
{
	const struct plan_endpoint *ep = &p->endpoints[endpoint];
	const struct judged_endpoint *judged = p->judge->eps[endpoint];
	struct tests t;

	tests__init(&t, &p->policy);
	for (int i = 0; i < PLAN_RATIOS; i++)
		out->worse[i] = detect_errors(&t, ep, t.need - stake(judged, false), share, plan_ratios[i]);
	out->slower = detect_slower(&t, ep, t.need - stake(judged, true), share);
	plan__certificate(&p->policy, ep, share, &out->certify);
}

/* --- all of them */

/* The stake is dealt with the first tick, and who decides may depend on who is asked most: a tick in proportion. */
static int deal(struct plan *p)
{
	struct endpoint_tick *ticks = calloc(p->n + 1, sizeof(*ticks));
	const struct tick t = { .end = 1, .seen = UINT64_MAX, .ledger_balanced = true, .endpoints = ticks };
	double total = 0;
	int err;

	if (!ticks)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++)
		total += fmax(0, p->endpoints[i].rate);
	for (size_t i = 0; i < p->n && total > 0; i++)
		ticks[i].baseline.n = ticks[i].canary.n = (uint64_t)(1e9 * fmax(0, p->endpoints[i].rate) / total);
	err = judge__tick(p->judge, &t, p->n);
	free(ticks);
	return err;
}

/* Units before endpoints. */
static int fill_judge(const struct plan *p, const struct judge_cutover *units, size_t n_units)
{
	int err = p->judge ? 0 : -errno;

	for (size_t i = 0; i < n_units && err >= 0; i++)
		err = judge__add_cutover(p->judge, &units[i]);
	for (size_t i = 0; i < p->n && err >= 0; i++)
		err = judge__add_endpoint(p->judge, &p->endpoints[i].def);
	return err < 0 ? err : 0;
}

struct plan *plan__new(const struct gate_policy *policy, const struct plan_endpoint *endpoints, size_t n,
                       const struct judge_cutover *units, size_t n_units)
{
	struct plan *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return NULL;
	p->policy = *policy;
	p->endpoints = endpoints;
	p->n = n;
	p->judge = judge__new(policy);
	err = fill_judge(p, units, n_units);
	if (!err)
		err = deal(p);
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
	judge__free(p->judge);
	free(p);
}

bool plan__decides(const struct plan *p, size_t endpoint)
{
	return judge__decides(p->judge, p->judge->eps[endpoint]);
}
