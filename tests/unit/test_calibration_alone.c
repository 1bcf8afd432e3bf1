/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A canary that stands alone, by simulation: against what was announced for it, and against what was served before it.
 * Seeded, so every run sees the same traffic. The shares of false verdicts are counted; their bar is alpha.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge/judge.h"
#include "traffic.h"

#ifdef __SANITIZE_ADDRESS__
#define RUNS 6 /* the sanitizers are slow */
#else
#define RUNS 60
#endif

#define HALF_HOUR 360
#define SLO       0.01
/* Two standard deviations of a count around one in twenty. */
#define BAR (RUNS / 20.0 + 2 * sqrt(RUNS * 0.05 * 0.95))

/* How it ended, and when it first got there, in seconds (median; infinite where fewer than half did). */
struct outcome {
	unsigned int promoted, rolled_back;
	double promoted_after, rolled_back_after;
};

/* before: ticks in which the baseline is served alone; then the canary is. Only one arm of the traffic is used. */
struct release {
	struct scenario traffic;
	struct gate_policy policy;
	struct judge_endpoint endpoint;
	unsigned int before;
};

static const struct gate_policy policy = {
	.alpha = 0.05,
	.max_error_ratio = 1.5,
	.max_latency_increase = 0.2,
	.min_requests = 500,
	.tick = TICK_SECONDS,
	.max_dropped_sessions = NO_DROP_LIMIT,
};

static void leave_one(struct tick *t, bool before)
{
	struct endpoint_tick *ep = (struct endpoint_tick *)t->endpoints;

	t->seen = before ? ep->baseline.n : ep->canary.n;
	memset(before ? &ep->canary : &ep->baseline, 0, sizeof(struct arm_tick));
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void one(const struct release *r, const struct latencies *l, uint64_t seed, double *promoted,
                double *rolled_back)
{
	struct traffic *traffic = traffic__new(&r->traffic, l, seed);
	struct judge *j = judge__new(&r->policy);
	struct judge_endpoint ep = r->endpoint;
	struct verdict v;
	struct tick t;
	int bucket;

	*promoted = *rolled_back = INFINITY;
	ep.name = "GET /";
	ep.critical = true;
	ep.unit = UNIT_EXCHANGE;
	assert_non_null(traffic);
	assert_non_null(j);
	assert_int_equal(judge__add_endpoint(j, &ep), 0);
	for (unsigned int now = 1;; now++) {
		double seconds = (now - r->before) * TICK_SECONDS;

		bucket = judge__slow_bucket(j, 0);
		if (!traffic__next(traffic, &bucket, &t))
			break;
		leave_one(&t, now <= r->before);
		assert_int_equal(judge__tick(j, &t, 1), 0);
		judge__verdict(j, &v);
		if (v.kind == VERDICT_PROMOTE && isinf(*promoted))
			*promoted = seconds;
		if (v.kind == VERDICT_ROLLBACK && isinf(*rolled_back))
			*rolled_back = seconds;
	}
	judge__free(j);
	traffic__free(traffic);
}

static struct outcome run(const char *what, const struct release *r)
{
	struct latencies *l = traffic__latencies(&r->traffic);
	double promoted[RUNS], rolled_back[RUNS];
	struct outcome o = { 0 };

	assert_non_null(l);
	for (unsigned int i = 0; i < RUNS; i++) {
		one(r, l, i + 1, &promoted[i], &rolled_back[i]);
		o.promoted += isfinite(promoted[i]);
		o.rolled_back += isfinite(rolled_back[i]);
	}
	traffic__latencies_free(l);
	qsort(promoted, RUNS, sizeof(double), ascending);
	qsort(rolled_back, RUNS, sizeof(double), ascending);
	o.promoted_after = promoted[RUNS / 2];
	o.rolled_back_after = rolled_back[RUNS / 2];
	print_message("%s: of %d releases %u promoted (median %g s), %u rolled back (median %g s)\n", what, RUNS,
	              o.promoted, o.promoted_after, o.rolled_back, o.rolled_back_after);
	return o;
}

/* The traffic is dealt evenly and half of it is thrown away: rate is that of one arm. */
#define TRAFFIC(r) .rate = 2 * (r), .share = { 0.5 }, .ticks = HALF_HOUR, .gap = 0.1

static const struct scenario courses[] = {
	{ TRAFFIC(200), .name = "one by one" },
	{ TRAFFIC(200), .name = "bursts of 2", .burst = 2 },
	{ TRAFFIC(200), .name = "bursts of 5", .burst = 5 },
	{ TRAFFIC(200), .name = "bursts of 20", .burst = 20 },
	{ TRAFFIC(20), .name = "bursts of 20, few requests", .burst = 20 },
	{ TRAFFIC(200), .name = "bursts of 20 over all connections", .burst = 20, .across = true },
	{ TRAFFIC(20), .name = "bursts of 20 on eight connections", .burst = 20, .kept_c = 8, .kept_b = 8 },
};

#define COURSES (sizeof(courses) / sizeof(*courses))

static struct release absolute_release(const struct scenario *course, double errors)
{
	struct release r = { .traffic = *course, .policy = policy, .endpoint.slo_error_rate = SLO };

	r.traffic.errors = errors;
	r.policy.mode = GATE_ABSOLUTE;
	return r;
}

static void a_canary_just_at_what_was_announced_is_hardly_ever_promoted_or_rolled_back(void **state)
{
	unsigned int promoted = 0, rolled_back = 0;

	for (size_t i = 0; i < COURSES; i++) {
		struct release r = absolute_release(&courses[i], SLO);
		struct outcome o = run(courses[i].name, &r);

		assert_true(o.promoted <= BAR);
		assert_true(o.rolled_back <= BAR);
		promoted += o.promoted;
		rolled_back += o.rolled_back;
	}
	assert_true(promoted * 20 <= COURSES * RUNS);
	assert_true(rolled_back * 20 <= COURSES * RUNS);
}

static void a_canary_well_within_what_was_announced_is_promoted_and_one_beyond_it_rolled_back(void **state)
{
	struct release good = absolute_release(&courses[0], SLO / 10), bad = absolute_release(&courses[0], 2 * SLO);
	struct release down = absolute_release(&courses[0], 1);
	struct outcome o = run("a tenth of it", &good);

	assert_true(o.promoted == RUNS && o.promoted_after <= 300 && o.rolled_back * 20 <= RUNS);
	o = run("twice as much", &bad);
	assert_true(o.rolled_back == RUNS && o.rolled_back_after <= 120 && !o.promoted);
	o = run("everything fails", &down);
	assert_true(o.rolled_back == RUNS && o.rolled_back_after <= 20);
}

/* The model's p95 is that of the log-normal distribution of the traffic: 50 ms * exp(0.8 * 1.645). */
#define P95 0.1864

static void latency_is_held_against_the_announced_quantiles(void **state)
{
	struct release r = { .traffic = courses[2], .policy = policy };
	struct outcome o;

	r.policy.mode = GATE_ABSOLUTE;
	r.endpoint.slo_p95 = P95;
	o = run("p95 at its limit", &r);
	assert_true(o.promoted <= BAR && o.rolled_back <= BAR);
	r.endpoint.slo_p95 = 1.25 * P95;
	o = run("p95 well within", &r);
	assert_true(o.promoted == RUNS && o.promoted_after <= 400);
	r.endpoint.slo_p95 = P95 / 1.25;
	o = run("p95 beyond", &r);
	assert_true(o.rolled_back == RUNS && o.rolled_back_after <= 300 && !o.promoted);
	r.endpoint.slo_p95 = 2 * P95;
	r.endpoint.slo_p99 = P95;
	o = run("p95 within, p99 beyond", &r);
	assert_true(o.rolled_back == RUNS && !o.promoted);
}

static struct release after(const struct scenario *course, double errors, double ratio)
{
	struct release r = { .traffic = *course, .policy = policy, .before = HALF_HOUR / 3 };

	r.traffic.errors = errors;
	r.traffic.error_ratio = ratio;
	r.policy.mode = GATE_BEFORE_AFTER;
	return r;
}

static void a_canary_as_good_as_what_was_before_is_hardly_ever_rolled_back_if_nothing_else_changed(void **state)
{
	unsigned int rolled_back = 0;

	for (size_t i = 0; i < COURSES; i++) {
		struct release r = after(&courses[i], 0.01, 1);
		struct outcome o = run(courses[i].name, &r);

		assert_true(o.rolled_back <= BAR);
		rolled_back += o.rolled_back;
	}
	assert_true(rolled_back * 20 <= COURSES * RUNS);
}

static void a_canary_at_the_margin_is_hardly_ever_certified_against_what_was_before(void **state)
{
	static const size_t some[] = { 0, 2, 3 };

	for (size_t i = 0; i < sizeof(some) / sizeof(*some); i++) {
		struct release r = after(&courses[some[i]], 0.01, 1.5);
		struct outcome o = run(r.traffic.name, &r);

		assert_true(o.promoted <= BAR);
	}
}

static void worse_than_before_is_rolled_back_and_as_good_is_promoted(void **state)
{
	struct release bad = after(&courses[0], 0.01, 5), none = after(&courses[0], 0, 1);
	struct release slow = after(&courses[0], 0.01, 1);
	struct outcome o = run("five times the errors", &bad);

	assert_true(o.rolled_back == RUNS && o.rolled_back_after <= 120 && !o.promoted);
	slow.traffic.slower = 1.5;
	o = run("half as slow again", &slow);
	assert_true(o.rolled_back == RUNS && o.rolled_back_after <= 200 && !o.promoted);
	o = run("no errors at all", &none);
	assert_true(o.promoted == RUNS && o.promoted_after <= 600 && o.rolled_back <= BAR);
}

/* What makes this mode the weaker one, and why every verdict of it says so. */
static void what_changes_with_the_time_of_day_counts_as_the_releases_doing(void **state)
{
	struct release r = after(&courses[0], 0.01, 1);
	struct outcome o;

	r.traffic.drift = 2;
	o = run("everything drifts by 2", &r);
	assert_true(o.rolled_back * 5 > RUNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_canary_just_at_what_was_announced_is_hardly_ever_promoted_or_rolled_back),
		cmocka_unit_test(a_canary_well_within_what_was_announced_is_promoted_and_one_beyond_it_rolled_back),
		cmocka_unit_test(latency_is_held_against_the_announced_quantiles),
		cmocka_unit_test(
			a_canary_as_good_as_what_was_before_is_hardly_ever_rolled_back_if_nothing_else_changed),
		cmocka_unit_test(a_canary_at_the_margin_is_hardly_ever_certified_against_what_was_before),
		cmocka_unit_test(worse_than_before_is_rolled_back_and_as_good_is_promoted),
		cmocka_unit_test(what_changes_with_the_time_of_day_counts_as_the_releases_doing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
