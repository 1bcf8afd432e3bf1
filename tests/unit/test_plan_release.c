/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plan of a release. Oracles: the closed formula written out here, the running judge's own ETA, the verdicts of a
 * judge that is fed what the plan expects, and arithmetic by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "judge/plan.h"
#include "judge/plan_advice.h"
#include "judge/plan_shape.h"

static const struct gate_policy policy = { USUAL_POLICY, .promote_alpha = 0.05, .warmup = 10, .timeout = 30 };
static struct histogram usual; /* log-normal */

static int fill_usual(void **state)
{
	plan_shape__lognormal(&usual, 0.05, 0.05 * PLAN_SHAPE_SPREAD);
	return 0;
}

static struct plan_endpoint endpoint(const char *name, double rate, double errors)
{
	return (struct plan_endpoint){ .def = { .name = name, .critical = true, .named = true, .unit = UNIT_EXCHANGE },
		                       .rate = rate,
		                       .errors = errors,
		                       .latency = &usual };
}

/* Each bad event is evidence of its own: there the closed formulas hold. */
static struct plan_endpoint independent(const char *name, double rate, double errors)
{
	struct plan_endpoint ep = endpoint(name, rate, errors);

	ep.def.unit = UNIT_INDEPENDENT;
	return ep;
}

static struct plan_times times_of(const struct gate_policy *p, const struct plan_endpoint *ep, double share)
{
	struct plan *plan = plan__new(p, ep, 1, NULL, 0);
	struct plan_times t;

	assert_non_null(plan);
	plan__times(plan, 0, share, &t);
	plan__free(plan);
	return t;
}

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

/* --- against the formula */

static double kl(double a, double b)
{
	return a * log(a / b) + (1 - a) * log((1 - a) / (1 - b));
}

/*
 * (log(1/alpha) + log(1/stake) + log(1/w)) / KL bad events; w is a fifth, and the stake at least a half of what one
 * endpoint has (0.98). A tick of a microsecond leaves nothing to rounding.
 */
static void times_of_detection_are_those_of_the_formula_with_a_part_of_the_stake(void **state)
{
	static const struct {
		double rate, errors, share, ratio;
		int at;
	} rows[] = { { 100, 0.01, 0.05, 1.5, 0 }, { 100, 0.01, 0.05, 2, 1 },  { 100, 0.001, 0.05, 5, 2 },
		     { 10, 0.01, 0.05, 2, 1 },    { 1000, 0.01, 0.25, 2, 1 }, { 20, 0.002, 0.5, 1.5, 0 } };
	struct gate_policy fine = policy;

	fine.tick = 1e-6;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct plan_endpoint ep = independent("GET /", rows[i].rate, rows[i].errors);
		double s = rows[i].share, r = rows[i].ratio;
		double a_second = rows[i].rate * rows[i].errors * (1 - s + s * r) * kl(r * s / (1 - s + r * s), s);
		double got = times_of(&fine, &ep, s).worse[rows[i].at].seconds;

		assert_true(got > (log(20) + log(5) - log(0.98)) / a_second);
		assert_true(got < (log(20) + log(5) - log(0.5 * 0.98)) / a_second);
	}
}

/* --- against the judge */

/* By the same hash on both arms; the bad ones go round. */
static void group(struct connection_groups *g, uint64_t n, uint64_t bad, unsigned int k)
{
	memset(g, 0, sizeof(*g));
	for (uint64_t i = 0; i < n; i++)
		g->n[i % TW_GROUPS]++;
	for (uint64_t i = 0; i < bad; i++)
		g->bad[(k * 5 + i) % TW_GROUPS]++;
}

/* Ticks with exactly what is expected: 1,000 requests, 20 % on the canary, the same latencies. */
static void feed_expected(struct judge *j, unsigned int k, uint64_t bad_b, uint64_t bad_c)
{
	struct connection_groups g_b, g_c;
	struct histogram b = { 0 }, c = { 0 };
	struct endpoint_tick ep = { .baseline = { .n = 800, .bad = bad_b, .latency = &b, .groups = &g_b },
		                    .canary = { .n = 200, .bad = bad_c, .latency = &c, .groups = &g_c } };
	const struct tick t = {
		.start = 5.0 * k, .end = 5.0 * k + 5, .seen = 1000, .ledger_balanced = true, .endpoints = &ep
	};

	group(&g_b, 800, bad_b, k);
	group(&g_c, 200, bad_c, k);
	for (unsigned int i = 0; i < 800; i++)
		histogram_add(i % 4 ? &b : &c, (uint64_t)(1e6 * exp(3 * i / 800.0)));
	histogram_merge(&b, &c);
	assert_int_equal(judge__tick(j, &t, 1), 0);
}

/* Whenever it is asked from `first` on, what has passed and what is left come to the plan, but for `slack` seconds. */
static void expect_eta_of(struct plan_endpoint *ep, uint64_t bad_b, uint64_t bad_c, unsigned int first, double slack)
{
	struct judge *j = judge__new(&policy);
	struct histogram latency = { 0 };
	struct plan_times plan;
	struct verdict v;
	unsigned int k;

	for (unsigned int i = 0; i < 8000; i++)
		histogram_add(&latency, (uint64_t)(1e6 * exp(3 * i / 8000.0)));
	ep->latency = &latency;
	plan = times_of(&policy, ep, 0.2);
	assert_true(!plan.certify.call.never && plan.certify.call.seconds >= 20);
	assert_true(judge__add_endpoint(j, &ep->def) == 0);
	for (k = 0;; k++) {
		feed_expected(j, k, bad_b, bad_c);
		judge__verdict(j, &v);
		if (v.kind != VERDICT_HOLD)
			break;
		assert_true(v.has_eta);
		if (k >= first && fabs(5.0 * (k + 1) + v.eta_seconds - plan.certify.call.seconds) > slack)
			fail_msg("after %g s %g s are left, of %g", 5.0 * (k + 1), v.eta_seconds,
			         plan.certify.call.seconds);
	}
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	assert_true(fabs(5.0 * (k + 1) - plan.certify.call.seconds) <= slack + 5);
	judge__free(j);
}

static void the_running_verdict_says_what_is_left_of_the_plan(void **state)
{
	struct plan_endpoint ep = independent("POST /checkout", 200, 0.05);

	expect_eta_of(&ep, 40, 10, 0, 5);
}

/* From half a minute on, when it knows how the errors come. */
static void the_running_verdict_that_allows_for_bursts_says_about_what_is_left_of_the_plan(void **state)
{
	struct plan_endpoint ep = endpoint("POST /checkout", 200, 0.01);

	expect_eta_of(&ep, 8, 2, 6, 40);
}

/* The tick at which expected counts of a canary with `ratio` times the errors are a rollback. */
static double rollback_of_expected(const struct plan_endpoint *ep, size_t n, double share, double ratio)
{
	struct judge *j = judge__new(&policy);
	struct endpoint_tick *ticks = test_calloc(n, sizeof(*ticks));
	uint64_t all = (uint64_t)(5 * ep->rate), n_c = (uint64_t)((double)all * share + 0.5);
	double end = 0;
	struct verdict v;

	for (size_t i = 0; i < n; i++)
		assert_true(judge__add_endpoint(j, &ep[i].def) >= 0);
	ticks[0].baseline =
		(struct arm_tick){ .n = all - n_c, .bad = (uint64_t)((double)(all - n_c) * ep->errors + 0.5) };
	ticks[0].canary = (struct arm_tick){ .n = n_c, .bad = (uint64_t)((double)n_c * ep->errors * ratio + 0.5) };
	do {
		const struct tick t = { end, end + 5, .seen = all, .ledger_balanced = true, .endpoints = ticks };

		assert_int_equal(judge__tick(j, &t, n), 0);
		judge__verdict(j, &v);
		end += 5;
	} while (v.kind != VERDICT_ROLLBACK && end < 1e5);
	test_free(ticks);
	judge__free(j);
	return end;
}

/* Counts that are whole numbers: 20,000 requests a tick, a quarter on the canary, 0.2 % errors. */
static void a_rollback_takes_longer_the_more_endpoints_share_the_stake(void **state)
{
	struct plan_endpoint ep[40];
	struct plan *alone, *among;
	struct plan_times one, many;

	for (size_t i = 0; i < 40; i++) {
		ep[i] = independent("GET /", 4000, 0.002);
		ep[i].def.critical = i >= 20;
	}
	alone = plan__new(&policy, ep, 1, NULL, 0);
	among = plan__new(&policy, ep, 40, NULL, 0);
	plan__times(alone, 0, 0.25, &one);
	plan__times(among, 0, 0.25, &many);
	assert_true(many.worse[0].seconds > 1.4 * one.worse[0].seconds);
	assert_close(one.worse[0].seconds, rollback_of_expected(ep, 1, 0.25, 1.5), 0.2);
	assert_close(many.worse[0].seconds, rollback_of_expected(ep, 40, 0.25, 1.5), 0.2);
	/* A critical one has four times the stake of another. */
	plan__times(among, 20, 0.25, &one);
	assert_true(one.worse[0].seconds < many.worse[0].seconds);
	plan__free(alone);
	plan__free(among);
}

/* (1 - 1 %)^-n on a thirtieth of the stake: n good requests on the canary, half of 20 a second. By hand: 638 of them.
 */
static void without_errors_the_floor_certifies_after_so_many_good_requests(void **state)
{
	const struct plan_endpoint ep = endpoint("POST /pay", 20, 0);
	struct plan_certificate c = times_of(&policy, &ep, 0.5).certify;

	assert_true(c.by_floor);
	/* The first of its alternatives is a thousandth of the floor. */
	assert_close(c.errors.seconds, 5 * ceil(log(20 * 30) / (log1p(-1e-5) - log1p(-0.01)) / 10 / 5), 1e-12);
}

static void the_floor_is_for_few_errors_only_and_follows_the_announced_rate(void **state)
{
	struct plan_endpoint ep = endpoint("POST /pay", 20, 0.0005);
	struct plan_certificate c = times_of(&policy, &ep, 0.5).certify;

	assert_true(c.by_floor && c.floor == 0.01);
	ep.errors = 0.002; /* more than a tenth of 1 % */
	assert_false(times_of(&policy, &ep, 0.5).certify.by_floor);
	ep.errors = 0.0002;
	ep.def.slo_error_rate = 0.001;
	assert_false(times_of(&policy, &ep, 0.5).certify.by_floor);
	ep.def.slo_error_rate = 0.005;
	assert_true(times_of(&policy, &ep, 0.5).certify.by_floor);
	assert_true(times_of(&policy, &ep, 0.5).certify.floor == 0.005);
	assert_true(times_of(&policy, &ep, 0.5).certify.errors.seconds > c.errors.seconds);
}

/* --- what is the latest counts; more traffic and wider margins are sooner */

static void a_call_takes_as_long_as_the_last_of_its_three_parts(void **state)
{
	struct plan_endpoint ep = endpoint("GET /", 10, 0.05);
	struct gate_policy p = policy;
	struct plan_certificate c = times_of(&p, &ep, 0.05).certify;

	assert_close(c.data.seconds, 1000, 1e-12); /* 500 at half a request a second */
	assert_close(c.call.seconds, fmax(c.errors.seconds, fmax(c.latency.seconds, 1000)), 1e-12);
	p.min_requests = 100000;
	c = times_of(&p, &ep, 0.05).certify;
	assert_close(c.call.seconds, 200000, 1e-12);
	/* Slow is no reason for a rollback before that. */
	assert_close(times_of(&p, &ep, 0.05).slower.seconds, 200000, 1e-12);
	/* 80 % on the canary: the baseline is what there is least of. */
	c = times_of(&p, &ep, 0.8).certify;
	assert_close(c.data.seconds, 50000, 1e-12);
}

static void times_are_whole_ticks_and_never_less_than_one(void **state)
{
	const struct plan_endpoint ep = independent("GET /", 123456, 0.3);
	struct gate_policy p = policy;
	struct plan_times t;

	p.tick = 7;
	t = times_of(&p, &ep, 0.4);
	assert_close(t.worse[0].seconds, 7, 1e-12);
	assert_close(t.certify.errors.seconds, 7, 1e-12);
	assert_close(t.certify.latency.seconds, 14, 1e-12); /* the first is for the p95 */
	assert_close(t.slower.seconds, 14, 1e-12);
}

static void more_traffic_and_wider_margins_never_take_longer(void **state)
{
	const double shares[] = { 0.01, 0.05, 0.1, 0.25, 0.5 };
	struct plan_endpoint ep = endpoint("GET /", 50, 0.004);
	double before = INFINITY;

	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		struct plan_times t = times_of(&policy, &ep, shares[i]);

		assert_true(t.certify.call.seconds < before);
		before = t.certify.call.seconds;
	}
	for (double ratio = 1.1; ratio < 5; ratio += 0.2) {
		struct gate_policy p = policy;
		struct plan_certificate wide, narrow;

		p.max_error_ratio = ratio;
		plan__certificate(&p, &ep, 0.05, &narrow);
		p.max_error_ratio = ratio + 0.2;
		plan__certificate(&p, &ep, 0.05, &wide);
		assert_true(wide.errors.seconds < narrow.errors.seconds);
		assert_true(wide.latency.seconds == narrow.latency.seconds);
	}
}

static void an_endpoint_is_planned_with_its_own_margins(void **state)
{
	struct plan_endpoint ep = endpoint("GET /", 100, 0.01), own = ep;
	struct gate_policy p = policy;
	struct plan_times same = times_of(&policy, &ep, 0.05), t;

	own.def.margins = (struct margins){ 3, 0.5 };
	t = times_of(&policy, &own, 0.05);
	assert_true(t.certify.errors.seconds < same.certify.errors.seconds);
	assert_true(t.certify.latency.seconds < same.certify.latency.seconds);
	p.max_error_ratio = 3;
	p.max_latency_increase = 0.5;
	same = times_of(&p, &ep, 0.05);
	assert_true(t.certify.errors.seconds == same.certify.errors.seconds);
	assert_true(t.certify.latency.seconds == same.certify.latency.seconds);
	assert_true(t.slower.seconds == same.slower.seconds);
	/* One of them alone leaves the other to the policy. */
	own.def.margins = (struct margins){ .max_error_ratio = 3 };
	t = times_of(&policy, &own, 0.05);
	assert_true(t.certify.errors.seconds == same.certify.errors.seconds);
	assert_true(t.certify.latency.seconds > same.certify.latency.seconds);
}

static void a_surer_promotion_takes_longer_and_a_rollback_does_not(void **state)
{
	const struct plan_endpoint ep = endpoint("GET /", 100, 0.01);
	struct plan_times before = times_of(&policy, &ep, 0.05), surer;
	struct gate_policy p = policy;

	p.promote_alpha = 0.001;
	surer = times_of(&p, &ep, 0.05);
	assert_true(surer.certify.errors.seconds > 1.5 * before.certify.errors.seconds);
	assert_true(surer.certify.latency.seconds > 1.5 * before.certify.latency.seconds);
	assert_true(surer.worse[1].seconds == before.worse[1].seconds && surer.slower.seconds == before.slower.seconds);
}

/* A fail-fast endpoint has a larger part of the stake, and does not wait for the minimum of data. */
static void what_must_not_wait_is_found_sooner(void **state)
{
	struct plan_endpoint ep[2] = { endpoint("POST /pay", 2, 0.01), endpoint("GET /", 2, 0.01) };
	struct gate_policy p = policy;
	struct plan_times before, fast;
	struct plan *plan;

	p.min_requests = 100000;
	plan = plan__new(&p, ep, 2, NULL, 0);
	plan__times(plan, 0, 0.25, &before);
	plan__free(plan);
	assert_close(before.slower.seconds, 200000, 1e-12);
	ep[0].def.fail_fast = true;
	plan = plan__new(&p, ep, 2, NULL, 0);
	plan__times(plan, 0, 0.25, &fast);
	plan__free(plan);
	assert_true(fast.slower.seconds < 20000);
	assert_true(fast.worse[1].seconds <= before.worse[1].seconds);
	assert_close(fast.certify.data.seconds, 200000, 1e-12);
}

/* In a unit of its own an endpoint that is not critical has to be certified, for nobody else there is. */
static void each_unit_has_its_own_that_decide(void **state)
{
	static const struct judge_cutover units[] = { { "checkout", "team-pay" }, { "search", NULL } };
	struct plan_endpoint ep[3] = { endpoint("A", 10, 0), endpoint("B", 10, 0), endpoint("C", 10, 0) };
	struct plan *p;

	ep[1].def.critical = ep[2].def.critical = false;
	ep[0].def.cutover = ep[1].def.cutover = 1;
	ep[2].def.cutover = 2;
	p = plan__new(&policy, ep, 3, units, 2);
	assert_true(plan__decides(p, 0) && !plan__decides(p, 1) && plan__decides(p, 2));
	plan__free(p);
	/* There is no third. */
	ep[2].def.cutover = 3;
	errno = 0;
	assert_null(plan__new(&policy, ep, 3, units, 2));
	assert_int_equal(errno, EINVAL);
}

/* --- never */

static void what_will_never_be_says_why(void **state)
{
	struct plan_endpoint ep = endpoint("GET /", 0, 0);
	struct gate_policy p = policy;
	struct plan_times t = times_of(&p, &ep, 0.05);
	struct histogram h = { 0 };

	assert_true(t.worse[0].never == PLAN_NO_TRAFFIC && t.slower.never == PLAN_NO_TRAFFIC);
	assert_true(t.certify.call.never == PLAN_NO_TRAFFIC && t.certify.data.never == PLAN_NO_TRAFFIC);

	ep.rate = NAN;
	t = times_of(&p, &ep, 0.05);
	assert_true(t.worse[0].never == PLAN_NOT_KNOWN && t.slower.never == PLAN_NOT_KNOWN);
	assert_true(t.certify.call.never == PLAN_NOT_KNOWN && t.certify.errors.never == PLAN_NOT_KNOWN);

	ep = endpoint("GET /", 100, 0);
	t = times_of(&p, &ep, 0.05);
	assert_true(t.worse[0].never == PLAN_NO_ERRORS && t.worse[2].never == PLAN_NO_ERRORS);
	assert_true(t.certify.errors.never == PLAN_WILL);

	ep.errors = 0.3;
	t = times_of(&p, &ep, 0.05);
	assert_true(t.worse[1].never == PLAN_WILL && t.worse[2].never == PLAN_MORE_THAN_ALL);

	ep.latency = NULL;
	t = times_of(&p, &ep, 0.05);
	assert_true(t.slower.never == PLAN_NO_LATENCY && t.certify.latency.never == PLAN_NO_LATENCY);
	assert_true(t.certify.call.never == PLAN_NO_LATENCY);
	ep.latency = &h; /* nineteen: no p95 */
	for (int i = 0; i < 19; i++)
		histogram_add(&h, 1000000);
	assert_true(times_of(&p, &ep, 0.05).slower.never == PLAN_NO_LATENCY);
	for (int i = 0; i < 19; i++)
		histogram_add(&h, 255000000000);
	t = times_of(&p, &ep, 0.05);
	assert_true(t.certify.latency.never == PLAN_BEYOND_RANGE);

	ep.latency = &usual;
	p.max_latency_increase = 0.04;
	t = times_of(&p, &ep, 0.05);
	assert_true(t.slower.never == PLAN_FINE_MARGIN && t.certify.latency.never == PLAN_FINE_MARGIN);
	assert_true(t.certify.errors.never == PLAN_WILL);
}

/* 95.1 % take a millisecond, the others a hundred seconds: nearly all beyond the p95 is beyond any margin, too. */
static void a_tail_far_beyond_the_margin_is_never_certified(void **state)
{
	struct plan_endpoint ep = endpoint("GET /", 100, 0.01);
	struct histogram h = { 0 };

	for (int i = 0; i < 1000; i++)
		histogram_add(&h, i < 951 ? 1000000 : 100000000000);
	ep.latency = &h;
	assert_true(times_of(&policy, &ep, 0.05).certify.latency.never == PLAN_WIDE_TAIL);
}

static void an_announced_p95_counts_where_the_baseline_is_known_to_exceed_it(void **state)
{
	struct plan_endpoint ep = endpoint("GET /", 100, 0.01);
	struct plan_times own = times_of(&policy, &ep, 0.05), t;

	ep.def.slo_p95 = 0.3; /* the baseline's own is 0.19 */
	t = times_of(&policy, &ep, 0.05);
	assert_true(!t.slower.never && t.slower.seconds > own.slower.seconds);
	assert_true(t.certify.latency.seconds == own.certify.latency.seconds);
	ep.def.slo_p95 = 200;
	assert_true(times_of(&policy, &ep, 0.05).slower.never == PLAN_NONE_SLOW);
	ep.def.slo_p95 = 0.3;
	ep.shape_only = true;
	assert_true(times_of(&policy, &ep, 0.05).slower.never == PLAN_NO_LATENCY);
	assert_true(times_of(&policy, &ep, 0.05).certify.latency.never == PLAN_WILL);
}

/*
 * Where exactly a twentieth is beyond the announced p95, all that differs is that it has half of the stake: log 2 more
 * on top of log(1/alpha) + log(1/w) + log(1/stake), with the stake of latency between a fifth and all.
 */
static void an_announced_p95_has_half_of_the_stake(void **state)
{
	struct plan_endpoint ep = independent("GET /", 100, 0.01);
	struct gate_policy p = policy;
	struct histogram h = { 0 };
	double own, slo;

	for (unsigned int i = 0; i < 1000;
	     i++) /* in half octaves from 1 ms, but for the last twentieth: 64 ms and more */
		histogram_add(&h, i < 950 ? 1000000ull << (i % 7) : 64000000ull << (1 + i % 3));
	ep.latency = &h;
	p.tick = 1e-6;
	p.min_requests = 1;
	p.max_latency_increase = 1;
	own = times_of(&p, &ep, 0.05).slower.seconds;
	ep.def.slo_p95 = histogram_upper(histogram_bucket(128000000) - 1);
	slo = times_of(&p, &ep, 0.05).slower.seconds;
	assert_true(slo > own * (1 + log(2) / (log(100) + log(5))));
	assert_true(slo < own * (1 + log(2) / log(100)));
}

/* The tests of errors and of latency are asked one by one. */
static void what_is_asked_of_errors_changes_nothing_for_latency(void **state)
{
	struct plan_endpoint ep = endpoint("GET /", 100, 0);
	struct plan_certificate usually = times_of(&policy, &ep, 0.05).certify, strict;

	ep.def.slo_error_rate = 0.0001;
	strict = times_of(&policy, &ep, 0.05).certify;
	assert_true(strict.errors.seconds > 10 * usually.latency.seconds);
	assert_true(strict.latency.seconds == usually.latency.seconds);
}

static void odd_figures_give_finite_times_or_none(void **state)
{
	static const double rates[] = { 1e-9, 1e-3, 1, 1e6, 1e15 }, errors[] = { 0, 1e-14, 1e-4, 0.5, 0.999999 };
	static const double shares[] = { 1e-6, 0.0001, 0.5, 0.9999 };

	for (size_t i = 0; i < 5 * 5 * 4; i++) {
		const struct plan_endpoint ep = endpoint("GET /", rates[i % 5], errors[i / 5 % 5]);
		struct plan_times t = times_of(&policy, &ep, shares[i / 25]);
		const struct plan_time all[] = { t.worse[0],       t.worse[1],        t.worse[2],     t.slower,
			                         t.certify.errors, t.certify.latency, t.certify.data, t.certify.call };

		for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
			assert_true(all[k].never || (isfinite(all[k].seconds) && all[k].seconds >= policy.tick));
	}
}

/* --- who decides */

static void those_that_are_critical_decide_else_the_named_else_the_busy(void **state)
{
	struct plan_endpoint ep[3] = { endpoint("A", 1000, 0), endpoint("B", 100, 0), endpoint("C", 1, 0) };
	struct plan *p;

	ep[0].def.critical = ep[2].def.critical = false;
	ep[2].rate = NAN;
	p = plan__new(&policy, ep, 3, NULL, 0);
	assert_true(!plan__decides(p, 0) && plan__decides(p, 1) && !plan__decides(p, 2));
	plan__free(p);
	ep[1].def.critical = ep[0].def.named = false;
	ep[2].rate = 1;
	p = plan__new(&policy, ep, 3, NULL, 0);
	assert_true(!plan__decides(p, 0) && plan__decides(p, 1) && plan__decides(p, 2));
	plan__free(p);
	ep[1].def.named = ep[2].def.named = false; /* C has less than one in a hundred */
	p = plan__new(&policy, ep, 3, NULL, 0);
	assert_true(plan__decides(p, 0) && plan__decides(p, 1) && !plan__decides(p, 2));
	plan__free(p);
}

static void a_policy_without_a_meaning_is_refused(void **state)
{
	const struct plan_endpoint ep = endpoint("GET /", 100, 0.01);
	struct gate_policy p = policy;

	p.alpha = 0;
	errno = 0;
	assert_null(plan__new(&p, &ep, 1, NULL, 0));
	assert_int_equal(errno, EINVAL);
	plan__free(NULL);
	plan__free(plan__new(&policy, NULL, 0, NULL, 0));
}

/* --- advice */

static void advice_is_just_enough(void **state)
{
	const struct plan_endpoint ep = endpoint("GET /", 50, 0.004);
	struct plan_certificate c;
	struct plan_advice a;
	struct gate_policy p = policy;

	plan__advise(&policy, &ep, 0.05, 1800, &a);
	assert_true(a.share > 0.05 && a.share <= 0.5 && a.max_error_ratio > 1.5);
	assert_true(a.max_latency_increase == 0); /* it is not latency that takes long */
	plan__certificate(&policy, &ep, a.share, &c);
	assert_true(plan__is_within(&c.call, 1800));
	plan__certificate(&policy, &ep, a.share - 0.01, &c);
	assert_false(plan__is_within(&c.call, 1800));
	p.max_error_ratio = a.max_error_ratio;
	plan__certificate(&p, &ep, 0.05, &c);
	assert_true(plan__is_within(&c.call, 1800));
	p.max_error_ratio -= 0.1;
	plan__certificate(&p, &ep, 0.05, &c);
	assert_false(plan__is_within(&c.call, 1800));
}

static void advice_names_the_latency_margin_where_that_is_what_takes_long(void **state)
{
	const struct plan_endpoint ep = endpoint("GET /", 200, 0.0001);
	struct gate_policy p = policy;
	struct plan_certificate c;
	struct plan_advice a;

	p.max_latency_increase = 0.04;
	plan__advise(&p, &ep, 0.05, 300, &a);
	assert_true(a.max_error_ratio == 0 && a.share == 0 && a.max_latency_increase > 0.04);
	p.max_latency_increase = a.max_latency_increase;
	plan__certificate(&p, &ep, 0.05, &c);
	assert_true(plan__is_within(&c.call, 300));
	p.max_latency_increase -= 0.05; /* more than a bucket less */
	plan__certificate(&p, &ep, 0.05, &c);
	assert_false(plan__is_within(&c.call, 300));
}

static void where_nothing_helps_nothing_is_advised(void **state)
{
	struct plan_endpoint ep = endpoint("GET /", 0, 0);
	struct gate_policy p = policy;
	struct plan_advice a;

	plan__advise(&policy, &ep, 0.05, 1800, &a);
	assert_true(a.share == 0 && a.max_error_ratio == 0 && a.max_latency_increase == 0);
	ep.rate = 0.1; /* 500 requests on both arms: nearly three hours at half each */
	plan__advise(&policy, &ep, 0.05, 1800, &a);
	assert_true(a.share == 0 && a.max_error_ratio == 0 && a.max_latency_increase == 0);
	/* No margin makes up for a million requests that are wanted on each arm. */
	ep = endpoint("GET /", 50, 0.004);
	p.min_requests = 1000000;
	plan__advise(&p, &ep, 0.05, 1800, &a);
	assert_true(a.share == 0 && a.max_error_ratio == 0 && a.max_latency_increase == 0);
	/* A margin for latency alone is of no use where errors take days. */
	ep = endpoint("GET /", 2, 0.0011);
	p = policy;
	p.min_requests = 1;
	p.max_latency_increase = 0.04;
	plan__advise(&p, &ep, 0.05, 5000, &a);
	assert_true(a.max_error_ratio == 0 && a.max_latency_increase == 0);
	ep.rate = 10000; /* callable as it is */
	plan__advise(&policy, &ep, 0.05, 1800, &a);
	assert_true(a.share == 0 && a.max_error_ratio == 0 && a.max_latency_increase == 0);
}

/* scipy.stats.lognorm(0.8).sf(1.2 * lognorm(0.8).ppf(.95)) / .05 and the like: 1.56 times by a fifth, 1.27 by a tenth.
 */
static void the_assumed_shape_is_log_normal(void **state)
{
	double p95 = histogram_quantile(&usual, 0.95);

	assert_close(histogram_quantile(&usual, 0.5), 0.05, 0.03);
	assert_close(p95, 0.05 * exp(0.8 * 1.6448536), 0.03);
	assert_true(fabs((double)usual.count - 1e9) < 1);
	/* 16 log2 of the margin in buckets: beyond the p95 lowered by four of them lies 1.52 times as much. */
	assert_close((double)histogram_above(&usual, histogram_bucket((uint64_t)(1e9 * p95)) - 4) /
	                     (double)histogram_above(&usual, histogram_bucket((uint64_t)(1e9 * p95))),
	             1.53, 0.03);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_of_detection_are_those_of_the_formula_with_a_part_of_the_stake),
		cmocka_unit_test(the_running_verdict_says_what_is_left_of_the_plan),
		cmocka_unit_test(the_running_verdict_that_allows_for_bursts_says_about_what_is_left_of_the_plan),
		cmocka_unit_test(a_rollback_takes_longer_the_more_endpoints_share_the_stake),
		cmocka_unit_test(without_errors_the_floor_certifies_after_so_many_good_requests),
		cmocka_unit_test(the_floor_is_for_few_errors_only_and_follows_the_announced_rate),
		cmocka_unit_test(a_call_takes_as_long_as_the_last_of_its_three_parts),
		cmocka_unit_test(times_are_whole_ticks_and_never_less_than_one),
		cmocka_unit_test(more_traffic_and_wider_margins_never_take_longer),
		cmocka_unit_test(an_endpoint_is_planned_with_its_own_margins),
		cmocka_unit_test(a_surer_promotion_takes_longer_and_a_rollback_does_not),
		cmocka_unit_test(what_must_not_wait_is_found_sooner),
		cmocka_unit_test(each_unit_has_its_own_that_decide),
		cmocka_unit_test(what_will_never_be_says_why),
		cmocka_unit_test(a_tail_far_beyond_the_margin_is_never_certified),
		cmocka_unit_test(an_announced_p95_counts_where_the_baseline_is_known_to_exceed_it),
		cmocka_unit_test(an_announced_p95_has_half_of_the_stake),
		cmocka_unit_test(what_is_asked_of_errors_changes_nothing_for_latency),
		cmocka_unit_test(odd_figures_give_finite_times_or_none),
		cmocka_unit_test(those_that_are_critical_decide_else_the_named_else_the_busy),
		cmocka_unit_test(a_policy_without_a_meaning_is_refused),
		cmocka_unit_test(advice_is_just_enough),
		cmocka_unit_test(advice_names_the_latency_margin_where_that_is_what_takes_long),
		cmocka_unit_test(where_nothing_helps_nothing_is_advised),
		cmocka_unit_test(the_assumed_shape_is_log_normal),
	};

	return cmocka_run_group_tests(tests, fill_usual, NULL);
}
