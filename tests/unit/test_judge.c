/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge's figures against worked values from outside, and its decisions. Oracles: the conditional-binomial vector
 * was computed independently of this code; planning times from the closed formula of sequential tests; R's
 * poisson.test; and arithmetic written out in the tests from the definitions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "judge/eprocess.h"
#include "judge/judge.h"
#include "judge/ratio.h"
#include "judge/slowness.h"

static const double worse_by[] = { 1.25, 1.5, 2, 3, 5 };

/* Canary and baseline of four ticks; the share changes from 5 % to 25 % at the last. */
static const double worked[4][4] = {
	{ 300, 5700, 4, 52 }, { 310, 5690, 6, 61 }, { 290, 5710, 5, 49 }, { 1500, 4500, 31, 44 }
};

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

static void assert_finite(double x, const char *what)
{
	if (!isfinite(x))
		fail_msg("%s is %g", what, x);
}

/* --- figures -------------------------------------------------------------------------------------------------------
 */

static void the_worked_vector_of_the_e_process_is_reproduced(void **state)
{
	static const double e_want[4] = { 0.7882727484, 1.451392173, 2.993646519, 189.6926299 };
	static const double l_want[5] = { 3.51363114, 5.43654575, 6.49266239, 3.21754184, -10.29316578 };
	struct eprocess e;

	eprocess__init(&e, 1, worse_by, 5);
	for (int t = 0; t < 4; t++) {
		eprocess__add(&e, worked[t][0], worked[t][1], worked[t][2], worked[t][3]);
		assert_close(exp(eprocess__log_e(&e)), e_want[t], 4e-10);
	}
	for (int k = 0; k < 5; k++)
		assert_close(e.l[k], l_want[k], 2e-9);
}

static void splitting_a_tick_at_the_same_share_changes_no_evidence(void **state)
{
	struct eprocess whole, parts;

	eprocess__init(&whole, 1.5, worse_by, 2);
	eprocess__init(&parts, 1.5, worse_by, 2);
	eprocess__add(&whole, 1000, 9000, 10, 50);
	eprocess__add(&parts, 100, 900, 7, 1);
	eprocess__add(&parts, 400, 3600, 0, 30);
	eprocess__add(&parts, 500, 4500, 3, 19);
	assert_close(eprocess__log_e(&parts), eprocess__log_e(&whole), 1e-12);
}

static void a_tick_without_exposure_or_without_a_bad_event_changes_no_evidence(void **state)
{
	struct eprocess e;

	eprocess__init(&e, 1, worse_by, 5);
	eprocess__add(&e, 0, 100, 0, 7);
	eprocess__add(&e, 100, 0, 7, 0);
	eprocess__add(&e, 0, 0, 0, 0);
	eprocess__add(&e, 100, 100, 0, 0);
	assert_true(fabs(eprocess__log_e(&e)) < 1e-12);
}

/* Minutes at a 5 % share and alpha 5 %, for 1 % bad exchanges at 100 a second unless the row says otherwise. */
static void planned_times_are_those_of_the_closed_formula(void **state)
{
	static const struct {
		double rate, bad, rho, margin, minutes, rounding;
	} rows[] = {
		{ 100, 0.01, 1.5, 0, 15, 0.5 },   { 100, 0.01, 2, 0, 4.2, 0.05 },    { 100, 0.001, 5, 0, 4.2, 0.05 },
		{ 10, 0.01, 1.5, 0, 150, 0.5 },   { 10, 0.01, 2, 0, 42, 0.5 },       { 100, 0.01, 1, 1.1, 225, 0.5 },
		{ 100, 0.01, 1, 1.5, 11.3, 0.1 }, { 100, 0.01, 1, 1.25, 39.5, 0.1 }, { 100, 0.001, 1, 2, 35, 0.5 },
		{ 100, 0.05, 1, 1.5, 2.3, 0.05 }, { 100, 0.05, 1, 2, 0.7, 0.05 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		static const double equal = 1;
		struct eprocess e;
		double events, rate;

		if (rows[i].margin > 0)
			eprocess__init(&e, rows[i].margin, &equal, 1);
		else
			eprocess__init(&e, 1, worse_by, 5);
		events = eprocess__events_to(&e, log(20), 0.05, rows[i].rho);
		rate = rows[i].rate * rows[i].bad * (0.95 + 0.05 * rows[i].rho);
		if (fabs(events / rate / 60 - rows[i].minutes) > rows[i].rounding)
			fail_msg("row %zu: %g minutes, want %g", i, events / rate / 60, rows[i].minutes);
	}
}

static void a_test_that_will_never_end_has_no_planned_time(void **state)
{
	struct eprocess e;
	struct floor_test f;

	eprocess__init(&e, 1, worse_by, 5);
	assert_true(eprocess__events_to(&e, 3, 0.05, 0.9) < 0);
	floor_test__init(&f, 0.01);
	assert_true(floor_test__exchanges_to(&f, 3, 0.02) < 0);
}

/* From the definition: the mean over three alternatives of ((1-p1)/(1-p0))^good (p1/p0)^bad. */
static void the_floor_test_is_a_mean_of_likelihood_ratios(void **state)
{
	static const double p1[3] = { 0.00001, 0.001, 0.003 };
	struct floor_test f;
	double want = 0;

	floor_test__init(&f, 0.01);
	floor_test__add(&f, 250, 0);
	floor_test__add(&f, 150, 1);
	for (int k = 0; k < 3; k++)
		want += pow((1 - p1[k]) / 0.99, 399) * (p1[k] / 0.01) / 3;
	assert_close(exp(floor_test__log_e(&f)), want, 1e-10);
}

/* R: poisson.test(c(11, 21), c(800, 3011)): ratio 1.971488095, 95 % interval 0.8584264034 to 4.2772659437. */
static void the_ratio_is_that_of_poisson_test_and_its_interval_holds_the_fixed_one(void **state)
{
	struct ratio_grid *grid = calloc(1, sizeof(*grid));
	struct ratio *r = calloc(1, sizeof(*r));
	double ratio, low, high;

	ratio_grid__init(grid);
	ratio__add(r, grid, 800, 3011, 11, 21);
	assert_true(ratio__estimate(r, &ratio));
	assert_close(ratio, 1.971488095, 1e-9);
	ratio__interval(r, grid, 0.05, &low, &high);
	assert_true(low < 0.8584264034 && low > 0.4);
	assert_true(high > 4.2772659437 && high < 9);
	free(grid);
	free(r);
}

/* Every end of the interval is tested by the definition: binomial likelihoods tick by tick, mixed over the grid. */
static void the_interval_ends_where_the_mixture_rejects(void **state)
{
	struct ratio_grid *grid = calloc(1, sizeof(*grid));
	struct ratio *r = calloc(1, sizeof(*r));
	double low, high, l[RATIO_GRID] = { 0 }, weights = 0;
	int accepted = 0;

	ratio_grid__init(grid);
	for (int t = 0; t < 4; t++)
		ratio__add(r, grid, worked[t][0], worked[t][1], worked[t][2], worked[t][3]);
	ratio__interval(r, grid, 0.05, &low, &high);
	for (int i = 0; i < RATIO_GRID; i++) {
		weights += exp(grid->log_w[i]);
		for (int t = 0; t < 4; t++) {
			double theta = grid->rho[i] * worked[t][0] / (grid->rho[i] * worked[t][0] + worked[t][1]);

			l[i] += worked[t][2] * log(theta) + worked[t][3] * log(1 - theta);
		}
	}
	assert_close(weights, 1, 1e-12);
	for (int i = 0; i < RATIO_GRID; i++) {
		double e = 0;

		for (int g = 0; g < RATIO_GRID; g++)
			e += exp(grid->log_w[g] + l[g] - l[i]);
		if (e >= 20) /* rejected: must not lie inside */
			assert_false(grid->rho[i] > low && grid->rho[i] < high);
		else
			assert_true(grid->rho[i] > low && grid->rho[i] < high);
		accepted += e < 20;
	}
	assert_true(accepted > 5);
	free(grid);
	free(r);
}

static void an_interval_without_limits_says_so_with_finite_numbers(void **state)
{
	struct ratio_grid *grid = calloc(1, sizeof(*grid));
	struct ratio *r = calloc(1, sizeof(*r));
	double low, high, ratio;

	ratio_grid__init(grid);
	ratio__interval(r, grid, 0.05, &low, &high);
	assert_true(low == 0 && high == RATIO_MAX);
	assert_false(ratio__estimate(r, &ratio));
	ratio__add(r, grid, 1000, 1000, 100, 0);
	assert_false(ratio__estimate(r, &ratio));
	ratio__interval(r, grid, 0.05, &low, &high);
	assert_true(low > 5 && high == RATIO_MAX);
	free(grid);
	free(r);
}

static void a_margin_is_counted_in_whole_buckets(void **state)
{
	assert_int_equal(margin_buckets(0), 0);
	assert_int_equal(margin_buckets(0.04), 0);
	assert_int_equal(margin_buckets(exp2(1 / 16.0) - 1), 1);
	assert_int_equal(margin_buckets(0.2), 4);
	assert_int_equal(margin_buckets(exp2(0.5) - 1), 8);
	assert_int_equal(margin_buckets(1), 16);
}

static void the_threshold_is_the_p95_of_the_ticks_before(void **state)
{
	struct slowness *s = calloc(1, sizeof(*s));
	struct histogram h = { 0 };
	struct threshold x;

	assert_false(slowness__threshold(s).set);
	for (int i = 0; i < 90; i++)
		histogram_add(&h, 1000000);
	for (int i = 0; i < 10; i++)
		histogram_add(&h, 50000000);
	slowness__learn(s, &h);
	x = slowness__threshold(s);
	assert_true(x.set);
	assert_int_equal(x.bucket, histogram_bucket(50000000));
	assert_close(x.part, 0.5, 1e-12);
	/* With its part, the tail is a twentieth; moved up by one bucket nothing is left. */
	assert_close(tail_above(&h, &x, 0), 5, 1e-12);
	assert_true(tail_above(&h, &x, 1) == 0);
	free(s);
}

/* --- decisions ------------------------------------------------------------------------------------------------------
 */

static const struct gate_policy policy = { USUAL_POLICY, .warmup = 10 };

/* One endpoint that is served with fixed latencies and given errors; the run's state is kept between calls. */
struct run {
	struct judge *j;
	double now;
	double ms_b, ms_c;
	uint64_t lost, seen, unanswered_c;
	uint64_t gave_up_c, gave_up_b; /* of those asked, after `patience` ms */
	double patience;
	bool unbalanced, unknown, warming;
};

static struct run start(const struct gate_policy *p, const struct judge_endpoint *ep)
{
	struct run r = { .j = judge__new(p), .ms_b = 10, .ms_c = 10 };

	assert_non_null(r.j);
	if (ep)
		assert_int_equal(judge__add_endpoint(r.j, ep), 0);
	return r;
}

/* Nine in ten at ms, the rest at 1.5 to 3 times that. */
static void serve(struct histogram *h, uint64_t n, double ms)
{
	static const double spread[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 3 };

	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, (uint64_t)(ms * 1e6 * spread[i % 10]));
}

static void give_up(struct histogram *h, uint64_t n, double ms)
{
	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, (uint64_t)(ms * 1e6));
}

static int tick(struct run *r, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c)
{
	struct histogram b, c, waited_b, waited_c;
	struct endpoint_tick ep = { .baseline = { .n = n_b, .bad = bad_b, .latency = &b },
		                    .canary = { .n = n_c, .bad = bad_c, .latency = &c } };
	struct tick t = { .start = r->now,
		          .end = r->now + 5,
		          .lost_exchanges = r->lost,
		          .seen = r->seen ? r->seen : n_b + n_c,
		          .ledger_balanced = !r->unbalanced,
		          .ledger_unknown = r->unknown,
		          .warming = r->warming,
		          .endpoints = &ep };
	int err;

	ep.canary.outcome[TW_UNANSWERED] = r->unanswered_c;
	serve(&b, n_b < 100000 ? n_b : 100000, r->ms_b);
	serve(&c, n_c < 100000 ? n_c : 100000, r->ms_c);
	give_up(&waited_b, r->gave_up_b, r->patience);
	give_up(&waited_c, r->gave_up_c, r->patience);
	ep.baseline.waited = &waited_b;
	ep.canary.waited = r->gave_up_c ? &waited_c : NULL;
	err = judge__tick(r->j, &t, 1);
	if (!err)
		r->now += 5;
	return err;
}

static void ticks(struct run *r, int n, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(tick(r, n_b, bad_b, n_c, bad_c), 0);
}

static bool says(const struct verdict *v, const char *code)
{
	for (size_t i = 0; i < v->n_reasons; i++) {
		if (!strcmp(v->reasons[i].code, code))
			return true;
	}
	return false;
}

static const struct guard *guard_of(const struct verdict *v, const char *name)
{
	for (size_t i = 0; i < v->n_guards; i++) {
		if (!strcmp(v->guards[i].name, name))
			return &v->guards[i];
	}
	fail_msg("no guard %s", name);
	return NULL;
}

static struct verdict verdict_of(struct run *r)
{
	struct verdict v;

	judge__verdict(r->j, &v);
	return v;
}

static void expect(struct run *r, enum verdict_kind kind, const char *code)
{
	struct verdict v = verdict_of(r);

	if (v.kind != kind || !says(&v, code))
		fail_msg("%s (%s: %s), expected %s for %s", verdict_names[v.kind], v.n_reasons ? v.reasons[0].code : "",
		         v.n_reasons ? v.reasons[0].text : "", verdict_names[kind], code);
}

static const struct judge_endpoint checkout = { .name = "POST /checkout", .critical = true };

static void verdicts_have_the_documented_exit_codes(void **state)
{
	assert_int_equal(verdict_exit_code(VERDICT_PROMOTE), 0);
	assert_int_equal(verdict_exit_code(VERDICT_ROLLBACK), 10);
	assert_int_equal(verdict_exit_code(VERDICT_HOLD), 20);
	assert_int_equal(verdict_exit_code(VERDICT_INVALID), 30);
	assert_string_equal(verdict_names[VERDICT_PROMOTE], "promote");
	assert_string_equal(verdict_names[VERDICT_INVALID], "invalid");
}

static void the_verdicts_figures_are_those_of_the_worked_vector(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	for (int i = 0; i < 4; i++)
		ticks(&r, 1, (uint64_t)worked[i][1], (uint64_t)worked[i][3], (uint64_t)worked[i][0],
		      (uint64_t)worked[i][2]);
	v = verdict_of(&r);
	assert_int_equal(v.n_endpoints, 1);
	assert_int_equal(v.endpoints[0].n_c, 2400);
	assert_int_equal(v.endpoints[0].bad_b, 206);
	assert_close(exp(v.endpoints[0].log_e_bad), 189.6926299, 4e-10);
	assert_true(v.endpoints[0].has_ratio);
	assert_true(v.endpoints[0].ratio_low < v.endpoints[0].ratio &&
	            v.endpoints[0].ratio < v.endpoints[0].ratio_high);
	/* E = 189.7 on 0.75 of 0.98 of the stake is conclusive: 139 > 20. */
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_true(says(&v, "errors_worse"));
	judge__free(r.j);
}

static void a_healthy_release_without_errors_is_promoted_within_a_minute(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	ticks(&r, 12, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	expect(&r, VERDICT_PROMOTE, "errors_below_floor");
	v = verdict_of(&r);
	assert_true(v.endpoints[0].certified);
	assert_false(v.has_eta);
	assert_false(v.endpoints[0].has_ratio);
	judge__free(r.j);
}

static void a_healthy_release_with_some_errors_is_promoted_by_their_ratio(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 4, 950, 19, 50, 1);
	expect(&r, VERDICT_HOLD, "errors_not_certified");
	assert_true(verdict_of(&r).has_eta);
	ticks(&r, 60, 950, 19, 50, 1);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void failing_is_rolled_back_before_there_is_the_minimum_of_data(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 1, 190, 1, 10, 9);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	judge__free(r.j);
}

static void failures_that_no_status_shows_are_named(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.unanswered_c = 8;
	ticks(&r, 1, 190, 1, 10, 9);
	v = verdict_of(&r);
	assert_non_null(strstr(v.reasons[0].text, "(8 closed by the server without an answer)"));
	judge__free(r.j);
	r = start(&policy, &checkout);
	r.unanswered_c = 4; /* most of them are something else */
	ticks(&r, 1, 190, 1, 10, 9);
	v = verdict_of(&r);
	assert_null(strstr(v.reasons[0].text, "closed by"));
	judge__free(r.j);
}

static void a_slower_canary_is_rolled_back(void **state)
{
	struct run r = start(&policy, &checkout);

	r.ms_c = 20;
	ticks(&r, 12, 950, 0, 50, 0);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

static void slower_within_the_margin_is_for_the_owner_to_decide(void **state)
{
	struct run r = start(&policy, &checkout);

	r.ms_c = 11;
	ticks(&r, 12, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "worse_within_margin");
	assert_false(verdict_of(&r).has_eta);
	judge__free(r.j);
}

static void a_canary_that_turns_bad_after_half_an_hour_is_rolled_back_within_seconds(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 360, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	ticks(&r, 3, 950, 0, 50, 5);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	judge__free(r.j);
	r = start(&policy, &checkout);
	ticks(&r, 360, 950, 0, 50, 0);
	r.ms_c = 20;
	ticks(&r, 6, 950, 0, 50, 0);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

/* Their clients count on an answer within 5 to 30 ms, which everybody else gets. */
static void a_canary_whose_clients_give_up_is_rolled_back_for_being_slow(void **state)
{
	struct run r = start(&policy, &checkout);

	r.patience = 1000;
	r.gave_up_c = 30;
	ticks(&r, 20, 4000, 10, 400, 1);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

static void clients_that_give_up_before_the_answer_was_due_say_nothing(void **state)
{
	struct run r = start(&policy, &checkout);

	r.patience = 2;
	r.gave_up_c = 500;
	ticks(&r, 60, 4000, 40, 4000, 40);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void the_first_tick_says_nothing_about_latency(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.ms_c = 100;
	ticks(&r, 1, 9500, 0, 5000, 0);
	v = verdict_of(&r);
	assert_false(v.endpoints[0].has_threshold);
	assert_true(fabs(v.endpoints[0].log_e_slow_bad) < 1e-12);
	ticks(&r, 1, 9500, 0, 5000, 0);
	v = verdict_of(&r);
	assert_true(v.endpoints[0].has_threshold);
	assert_true(v.endpoints[0].slow_threshold >= 0.03 && v.endpoints[0].slow_threshold < 0.0314);
	assert_int_equal(v.endpoints[0].slow_b, 0);
	assert_int_equal(v.endpoints[0].slow_c, 5000);
	judge__free(r.j);
}

static void an_announced_p95_is_the_threshold_from_the_first_tick(void **state)
{
	struct judge_endpoint ep = checkout;
	struct run r;
	struct verdict v;

	ep.slo_p95 = 0.05;
	r = start(&policy, &ep);
	r.ms_c = 40;
	ticks(&r, 1, 950, 0, 1000, 0);
	v = verdict_of(&r);
	assert_true(v.endpoints[0].slow_threshold >= 0.05 && v.endpoints[0].slow_threshold < 0.0523);
	assert_int_equal(v.endpoints[0].slow_c, 200); /* 60 ms and 120 ms */
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

static void within_the_announced_p95_but_far_beyond_the_margin_is_no_promotion(void **state)
{
	struct judge_endpoint ep = checkout;
	struct run r;

	ep.slo_p95 = 1;
	r = start(&policy, &ep);
	r.ms_c = 15;
	ticks(&r, 60, 950, 0, 50, 0);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
	r = start(&policy, &ep);
	r.ms_c = 10.3;
	ticks(&r, 60, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void an_announced_error_rate_lowers_the_floor(void **state)
{
	struct judge_endpoint ep = checkout;
	struct run r;

	ep.slo_error_rate = 0.001;
	r = start(&policy, &ep);
	ticks(&r, 40, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "errors_not_certified");
	/* (1 - 0.001)^-n on a third of a tenth of the stake: 20 * 30 needs 6400 good requests. */
	ticks(&r, 90, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "errors_below_floor");
	judge__free(r.j);
}

static void a_margin_finer_than_a_bucket_is_said_to_be_so(void **state)
{
	struct gate_policy p = policy;
	struct run r;
	struct verdict v;

	p.max_latency_increase = 0.02;
	r = start(&p, &checkout);
	ticks(&r, 30, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "latency_not_certified");
	v = verdict_of(&r);
	assert_non_null(strstr(v.reasons[v.n_reasons - 1].text, "max_latency_increase"));
	judge__free(r.j);
}

static void too_few_requests_hold_a_promotion_and_tell_when(void **state)
{
	struct gate_policy p = policy;
	struct run r;
	struct verdict v;

	p.min_requests = 2000;
	r = start(&p, &checkout);
	ticks(&r, 20, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "minimum_data");
	v = verdict_of(&r);
	assert_true(v.has_eta);
	assert_close(v.eta_seconds, 100, 1e-6); /* 1000 more at 10 a second */
	assert_true(v.endpoints[0].n_c == 1000 && !v.endpoints[0].certified);
	judge__free(r.j);
}

static void losing_more_than_one_in_a_thousand_makes_the_verdict_invalid(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 20, 950, 0, 50, 0);
	r.lost = 2; /* of 1000 */
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_INVALID, "lost_events");
	r.lost = 1;
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	r.lost = 40;
	ticks(&r, 1, 950, 0, 50, 0);
	r.lost = 0;
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_INVALID, "lost_events");
	judge__free(r.j);
}

/* What was under way at the attach may be lost from sight, whoever the versions are. */
static void what_is_lost_while_the_observation_begins_is_not_held_against_the_rest(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.lost = 40;
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "undecided");
	expect(&r, VERDICT_HOLD, "warm_up");
	r.lost = 0;
	ticks(&r, 20, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	v = verdict_of(&r);
	for (size_t i = 0; i < v.n_guards; i++)
		if (!strcmp(v.guards[i].name, "lost_events"))
			assert_non_null(strstr(v.guards[i].text, "40 more in the first tick"));
	assert_true(verdict_of(&r).endpoints[0].n_c == 20 * 50);
	judge__free(r.j);
}

static void an_invalid_run_is_not_rolled_back_either(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 5, 950, 0, 50, 30);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	r.unbalanced = true;
	ticks(&r, 1, 950, 0, 50, 30);
	expect(&r, VERDICT_INVALID, "ledger");
	judge__free(r.j);
}

static void a_ledger_that_nobody_can_check_is_no_reason_and_says_so(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;
	bool said = false;

	r.unknown = r.unbalanced = true;
	ticks(&r, 5, 950, 0, 50, 30);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	v = verdict_of(&r);
	for (size_t i = 0; i < v.n_guards; i++)
		if (!strcmp(v.guards[i].name, "ledger"))
			said = v.guards[i].ok && strstr(v.guards[i].text, "not applicable");
	assert_true(said);
	judge__free(r.j);
}

static void ticks_of_a_warm_up_are_not_judged(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.warming = true;
	ticks(&r, 10, 950, 0, 50, 50);
	expect(&r, VERDICT_HOLD, "warm_up");
	v = verdict_of(&r);
	assert_true(v.endpoints[0].n_c == 0 && v.log_e_bad == 0);
	r.warming = false;
	ticks(&r, 14, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void an_arm_without_traffic_is_named(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	ticks(&r, 3, 950, 3, 0, 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	v = verdict_of(&r);
	assert_non_null(strstr(guard_of(&v, "no_traffic")->text, "canary"));
	assert_false(v.has_eta);
	assert_int_equal(v.endpoints[0].n_b, 0); /* nothing was served by both at once */
	assert_false(guard_of(&v, "simultaneity")->ok);
	ticks(&r, 20, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	ticks(&r, 3, 0, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	v = verdict_of(&r);
	assert_non_null(strstr(guard_of(&v, "no_traffic")->text, "baseline any more"));
	judge__free(r.j);
}

static void no_traffic_at_all_and_no_endpoint_at_all_hold(void **state)
{
	struct run r = start(&policy, NULL);
	struct tick t = { .start = 0, .end = 5, .ledger_balanced = true };

	expect(&r, VERDICT_HOLD, "minimum_data");
	assert_int_equal(judge__tick(r.j, &t, 0), 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	assert_int_equal(verdict_of(&r).n_endpoints, 0);
	judge__free(r.j);
	r = start(&policy, &checkout);
	ticks(&r, 5, 0, 0, 0, 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	judge__free(r.j);
}

static void nonsense_is_refused_and_counts_for_nothing(void **state)
{
	struct run r = start(&policy, &checkout);
	struct gate_policy p = policy;

	ticks(&r, 20, 950, 0, 50, 0);
	assert_int_equal(tick(&r, 10, 11, 10, 0), -EINVAL);
	assert_int_equal(tick(&r, 10, 0, 10, 11), -EINVAL);
	expect(&r, VERDICT_PROMOTE, "certified");
	r.now -= 50;
	assert_int_equal(tick(&r, 950, 0, 50, 50), -EINVAL);
	expect(&r, VERDICT_HOLD, "time");
	r.now = NAN;
	assert_int_equal(tick(&r, 950, 0, 50, 50), -EINVAL);
	r.now = 100;
	assert_int_equal(tick(&r, 950, 0, 50, 0), 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	assert_int_equal(judge__tick(r.j, &(struct tick){ .start = 200, .end = 205 }, 2), -EINVAL);
	judge__free(r.j);
	judge__free(NULL);
	p.alpha = 0;
	assert_null(judge__new(&p));
	assert_int_equal(errno, EINVAL);
	p = policy;
	p.max_latency_increase = NAN;
	assert_null(judge__new(&p));
}

/* --- several endpoints ---------------------------------------------------------------------------------------------
 */

struct load {
	uint64_t n_b, bad_b, n_c, bad_c;
	double ms_c;
};

static void tick_all(struct judge *j, double now, const struct load *l, size_t n)
{
	struct histogram *h = calloc(2 * n, sizeof(*h));
	struct endpoint_tick *ep = calloc(n, sizeof(*ep));
	struct tick t = { .start = now, .end = now + 5, .seen = 1000000, .ledger_balanced = true, .endpoints = ep };

	for (size_t i = 0; i < n; i++) {
		serve(&h[2 * i], l[i].n_b, 10);
		serve(&h[2 * i + 1], l[i].n_c, l[i].ms_c);
		ep[i].baseline = (struct arm_tick){ .n = l[i].n_b, .bad = l[i].bad_b, .latency = &h[2 * i] };
		ep[i].canary = (struct arm_tick){ .n = l[i].n_c, .bad = l[i].bad_c, .latency = &h[2 * i + 1] };
	}
	assert_int_equal(judge__tick(j, &t, n), 0);
	free(h);
	free(ep);
}

static void only_critical_endpoints_decide_a_promotion_and_all_a_rollback(void **state)
{
	struct judge *j = judge__new(&policy);
	struct judge_endpoint rest = { .name = "GET /", .named = true };
	struct load quiet[2] = { { 950, 0, 50, 0, 10 }, { 20, 0, 1, 0, 10 } };
	struct load bad[2] = { { 950, 0, 50, 0, 10 }, { 950, 0, 50, 40, 10 } };
	struct verdict v;
	double now = 0;

	assert_int_equal(judge__add_endpoint(j, &checkout), 0);
	assert_int_equal(judge__add_endpoint(j, &rest), 1);
	for (; now < 100; now += 5)
		tick_all(j, now, quiet, 2);
	judge__verdict(j, &v);
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	for (; now < 110; now += 5)
		tick_all(j, now, bad, 2);
	judge__verdict(j, &v);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_string_equal(v.reasons[0].endpoint, "GET /");
	judge__free(j);
}

static void without_critical_endpoints_the_named_ones_decide_and_else_the_busy_ones(void **state)
{
	struct judge_endpoint a = { .name = "GET /a", .named = true }, b = { .name = "GET /b" };
	struct load l[2] = { { 950, 0, 50, 0, 10 }, { 5, 0, 1, 0, 10 } }; /* the second: 0.6 % of the requests */
	struct verdict v;

	for (int named = 0; named < 3; named++) {
		struct judge *j = judge__new(&policy);

		a.named = named > 0;
		b.named = named > 1;
		judge__add_endpoint(j, &a);
		judge__add_endpoint(j, &b);
		for (double now = 0; now < 100; now += 5)
			tick_all(j, now, l, 2);
		judge__verdict(j, &v);
		assert_int_equal(v.kind, named < 2 ? VERDICT_PROMOTE : VERDICT_HOLD);
		judge__free(j);
	}
}

static void the_order_of_endpoints_does_not_matter(void **state)
{
	static const char *const names[3] = { "GET /a", "GET /b", "POST /c" };
	struct load l[3] = { { 950, 3, 50, 1, 10 }, { 500, 9, 60, 3, 12 }, { 100, 0, 10, 0, 10 } };
	struct verdict v;
	double log_e[2];

	for (int turn = 0; turn < 2; turn++) {
		struct judge *j = judge__new(&policy);
		struct load in_order[3];

		for (int i = 0; i < 3; i++) {
			int k = turn ? 2 - i : i;

			in_order[i] = l[k];
			judge__add_endpoint(j, &(struct judge_endpoint){ .name = names[k], .critical = k == 1 });
		}
		for (double now = 0; now < 50; now += 5)
			tick_all(j, now, in_order, 3);
		judge__verdict(j, &v);
		log_e[turn] = v.log_e_bad;
		judge__free(j);
	}
	assert_close(log_e[1], log_e[0], 1e-12);
}

/* The whole stake is 1 with any number of newcomers: with no evidence anywhere the mean e-value stays exactly 1. */
static void endpoints_that_appear_later_never_overdraw_the_stake(void **state)
{
	static char names[300][16];
	struct judge *j = judge__new(&policy);
	struct load *l = calloc(300, sizeof(*l));
	struct verdict v;
	double now = 0;

	for (size_t n = 1; n <= 300; n++) {
		snprintf(names[n - 1], sizeof(names[0]), "GET /%zu", n);
		l[n - 1] = (struct load){ 0 };
		assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = names[n - 1] }), (int)n - 1);
		tick_all(j, now, l, n);
		now += 5;
		judge__verdict(j, &v);
		assert_true(fabs(v.log_e_bad) < 1e-9);
	}
	l[299] = (struct load){ 500, 0, 500, 60, 10 };
	tick_all(j, now, l, 300);
	judge__verdict(j, &v);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	judge__free(j);
	free(l);
}

static void asked_for_weights_are_scaled_to_the_stake(void **state)
{
	struct judge *j = judge__new(&policy);
	struct load none[3] = { 0 };
	struct verdict v;

	for (int i = 0; i < 3; i++)
		judge__add_endpoint(j,
		                    &(struct judge_endpoint){ .name = "x", .critical = !i, .weight = i ? 3.0 * i : 0 });
	tick_all(j, 0, none, 3);
	judge__verdict(j, &v);
	assert_true(fabs(v.log_e_bad) < 1e-9);
	assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = "y", .weight = NAN }), -EINVAL);
	assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = NULL }), -EINVAL);
	judge__free(j);
}

static void check_all_finite(const struct verdict *v)
{
	assert_finite(v->log_e_bad, "log_e_bad");
	assert_finite(v->eta_seconds, "eta_seconds");
	assert_true(v->n_reasons > 0 && v->n_guards > 0);
	for (size_t i = 0; i < v->n_reasons; i++)
		assert_true(!strstr(v->reasons[i].text, "nan") && !strstr(v->reasons[i].text, "inf "));
	for (size_t i = 0; i < v->n_endpoints; i++) {
		const struct verdict_endpoint *e = &v->endpoints[i];

		assert_finite(e->ratio, "ratio");
		assert_finite(e->ratio_low, "ratio_low");
		assert_finite(e->ratio_high, "ratio_high");
		assert_finite(e->log_e_bad, "endpoint log_e_bad");
		assert_finite(e->log_e_good, "log_e_good");
		assert_finite(e->log_e_slow_bad, "log_e_slow_bad");
		assert_finite(e->log_e_slow_good, "log_e_slow_good");
		assert_finite(e->slow_threshold, "slow_threshold");
		assert_true(e->ratio_low <= e->ratio_high);
	}
}

static void no_count_however_extreme_makes_a_figure_that_is_not_a_number(void **state)
{
	static const uint64_t counts[] = { 0, 1, 2, 500, 100000, 1ull << 33, 1ull << 60, UINT64_MAX };
	static const double ms[] = { 0.0001, 1, 1000, 200000, 400000 };

	for (int seed = 0; seed < 300; seed++) {
		struct judge_endpoint ep = { .name = "GET /", .critical = seed & 1, .slo_p95 = seed % 3 * 150.0 };
		struct run r = start(&policy, &ep);
		unsigned int x = (unsigned int)seed * 2654435761u;

		for (int i = 0; i < 6; i++) {
			uint64_t n_b = counts[(x >> 3) % 8], n_c = counts[(x >> 6) % 8];
			struct verdict v;

			r.ms_b = ms[(x >> 9) % 5];
			r.ms_c = ms[(x >> 12) % 5];
			r.seen = 1ull << 62;
			assert_int_equal(tick(&r, n_b, (x >> 15) % 3 ? n_b / 2 : n_b, n_c, (x >> 17) % 3 ? 0 : n_c), 0);
			v = verdict_of(&r);
			check_all_finite(&v);
			x = x * 1664525u + 1013904223u;
		}
		judge__free(r.j);
	}
}

static void the_same_ticks_give_the_same_verdict_however_often_it_is_asked_for(void **state)
{
	struct run a = start(&policy, &checkout), b = start(&policy, &checkout);
	struct verdict va, vb;

	for (int i = 0; i < 20; i++) {
		ticks(&a, 1, 950, (uint64_t)i % 4, 50, (uint64_t)i % 2);
		ticks(&b, 1, 950, (uint64_t)i % 4, 50, (uint64_t)i % 2);
		verdict_of(&a);
	}
	va = verdict_of(&a);
	vb = verdict_of(&b);
	assert_int_equal(va.kind, vb.kind);
	assert_true(va.log_e_bad == vb.log_e_bad && va.eta_seconds == vb.eta_seconds);
	assert_memory_equal(&va.reasons[0].text, &vb.reasons[0].text, sizeof(va.reasons[0].text));
	judge__free(a.j);
	judge__free(b.j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_worked_vector_of_the_e_process_is_reproduced),
		cmocka_unit_test(splitting_a_tick_at_the_same_share_changes_no_evidence),
		cmocka_unit_test(a_tick_without_exposure_or_without_a_bad_event_changes_no_evidence),
		cmocka_unit_test(planned_times_are_those_of_the_closed_formula),
		cmocka_unit_test(a_test_that_will_never_end_has_no_planned_time),
		cmocka_unit_test(the_floor_test_is_a_mean_of_likelihood_ratios),
		cmocka_unit_test(the_ratio_is_that_of_poisson_test_and_its_interval_holds_the_fixed_one),
		cmocka_unit_test(the_interval_ends_where_the_mixture_rejects),
		cmocka_unit_test(an_interval_without_limits_says_so_with_finite_numbers),
		cmocka_unit_test(a_margin_is_counted_in_whole_buckets),
		cmocka_unit_test(the_threshold_is_the_p95_of_the_ticks_before),
		cmocka_unit_test(verdicts_have_the_documented_exit_codes),
		cmocka_unit_test(the_verdicts_figures_are_those_of_the_worked_vector),
		cmocka_unit_test(a_healthy_release_without_errors_is_promoted_within_a_minute),
		cmocka_unit_test(a_healthy_release_with_some_errors_is_promoted_by_their_ratio),
		cmocka_unit_test(failing_is_rolled_back_before_there_is_the_minimum_of_data),
		cmocka_unit_test(failures_that_no_status_shows_are_named),
		cmocka_unit_test(a_slower_canary_is_rolled_back),
		cmocka_unit_test(slower_within_the_margin_is_for_the_owner_to_decide),
		cmocka_unit_test(a_canary_that_turns_bad_after_half_an_hour_is_rolled_back_within_seconds),
		cmocka_unit_test(a_canary_whose_clients_give_up_is_rolled_back_for_being_slow),
		cmocka_unit_test(clients_that_give_up_before_the_answer_was_due_say_nothing),
		cmocka_unit_test(the_first_tick_says_nothing_about_latency),
		cmocka_unit_test(an_announced_p95_is_the_threshold_from_the_first_tick),
		cmocka_unit_test(within_the_announced_p95_but_far_beyond_the_margin_is_no_promotion),
		cmocka_unit_test(an_announced_error_rate_lowers_the_floor),
		cmocka_unit_test(a_margin_finer_than_a_bucket_is_said_to_be_so),
		cmocka_unit_test(too_few_requests_hold_a_promotion_and_tell_when),
		cmocka_unit_test(losing_more_than_one_in_a_thousand_makes_the_verdict_invalid),
		cmocka_unit_test(what_is_lost_while_the_observation_begins_is_not_held_against_the_rest),
		cmocka_unit_test(an_invalid_run_is_not_rolled_back_either),
		cmocka_unit_test(a_ledger_that_nobody_can_check_is_no_reason_and_says_so),
		cmocka_unit_test(ticks_of_a_warm_up_are_not_judged),
		cmocka_unit_test(an_arm_without_traffic_is_named),
		cmocka_unit_test(no_traffic_at_all_and_no_endpoint_at_all_hold),
		cmocka_unit_test(nonsense_is_refused_and_counts_for_nothing),
		cmocka_unit_test(only_critical_endpoints_decide_a_promotion_and_all_a_rollback),
		cmocka_unit_test(without_critical_endpoints_the_named_ones_decide_and_else_the_busy_ones),
		cmocka_unit_test(the_order_of_endpoints_does_not_matter),
		cmocka_unit_test(endpoints_that_appear_later_never_overdraw_the_stake),
		cmocka_unit_test(asked_for_weights_are_scaled_to_the_stake),
		cmocka_unit_test(no_count_however_extreme_makes_a_figure_that_is_not_a_number),
		cmocka_unit_test(the_same_ticks_give_the_same_verdict_however_often_it_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
