/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Planned times against what happens: the real judge on synthetic traffic with its groups of connections, seeded, each
 * setting a hundred times or more. The median release takes between a half of the plan and 1.3 times as long, or at
 * most two ticks longer; nine in ten less than three times as long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "judge/plan.h"
#include "judge/plan_shape.h"
#include "release.h"

enum awaited { ROLLBACK, PROMOTION };

/* What the scenario's releases take, sorted, in seconds; those that never get there take for ever. */
static void play(struct scenario *s, enum awaited awaited, double *seconds, unsigned int runs)
{
	struct latencies *l = traffic__latencies(s);

	assert_non_null(l);
	for (unsigned int i = 0; i < runs; i++) {
		struct release r;
		unsigned int tick;

		assert_int_equal(release__run(s, l, 1000 + i, &r), 0);
		tick = awaited == ROLLBACK ? r.found : r.promoted;
		seconds[i] = tick ? tick * TICK_SECONDS : INFINITY;
	}
	traffic__latencies_free(l);
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void expect_as_planned(struct scenario *s, enum awaited awaited, struct plan_time plan, unsigned int runs)
{
	double *seconds = test_calloc(runs, sizeof(*seconds)), planned = plan.seconds, median, late;

	assert_int_equal(plan.never, PLAN_WILL);
	s->ticks = (unsigned int)(3 * planned / TICK_SECONDS) + 2;
	play(s, awaited, seconds, runs);
	qsort(seconds, runs, sizeof(*seconds), by_value);
	median = seconds[runs / 2];
	late = seconds[runs * 9 / 10];
	print_message("%s: planned %g s; of %u runs the median took %g s (x%.2f), nine in ten up to %g s (x%.2f)\n",
	              s->name, planned, runs, median, median / planned, late, late / planned);
	test_free(seconds);
	assert_true(median >= 0.5 * planned && median <= fmax(1.3 * planned, planned + 2 * TICK_SECONDS));
	assert_true(late <= 3 * planned);
}

/* Of one critical endpoint with log-normal latencies. */
static struct plan_times plan_of(const struct scenario *s)
{
	struct plan_endpoint ep = { .def = { .name = "POST /checkout", .critical = true, .unit = UNIT_EXCHANGE } };
	struct histogram latency;
	struct plan_times times;
	struct plan *p;

	plan_shape__lognormal(&latency, 0.05, 0.05 * PLAN_SHAPE_SPREAD);
	ep.rate = s->rate;
	ep.errors = s->errors;
	ep.latency = &latency;
	p = plan__new(&release_policy, &ep, 1, NULL, 0);
	assert_non_null(p);
	plan__times(p, 0, s->share[0], &times);
	plan__free(p);
	return times;
}

static void more_errors_are_found_as_planned(void **state)
{
	const double shares[] = { 0.05, 0.25 };

	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < PLAN_RATIOS; k++) {
			struct scenario s = { .rate = 200, .share = { shares[i] }, .errors = 0.01 };
			char name[64];

			s.error_ratio = plan_ratios[k];
			snprintf(name, sizeof(name), "errors x%g at %g %%", plan_ratios[k], 100 * shares[i]);
			s.name = name;
			expect_as_planned(&s, ROLLBACK, plan_of(&s).worse[k], 100);
		}
	}
}

static void five_times_the_errors_are_found_as_planned_where_there_is_little_traffic(void **state)
{
	struct scenario s = {
		.name = "errors x5 at 10/s, 5 %", .rate = 10, .share = { 0.05 }, .errors = 0.01, .error_ratio = 5
	};

	expect_as_planned(&s, ROLLBACK, plan_of(&s).worse[2], 200);
}

/* A few bad events a block: what an average of them would say is three times too long. */
static void half_as_many_errors_more_are_found_as_planned_where_they_are_few(void **state)
{
	struct scenario s = {
		.name = "errors x1.5 of 0.2 %, 5 %", .rate = 200, .share = { 0.05 }, .errors = 0.002, .error_ratio = 1.5
	};

	expect_as_planned(&s, ROLLBACK, plan_of(&s).worse[0], 100);
}

/* By the judge's margin of four buckets. */
static void a_fifth_slower_is_found_as_planned(void **state)
{
	struct scenario s = { .name = "latency +19 % at 5 %", .rate = 200, .share = { 0.05 }, .errors = 0 };

	s.slower = 1 + plan__latency_margin(release_policy.max_latency_increase);
	expect_as_planned(&s, ROLLBACK, plan_of(&s).slower, 100);
}

static void a_clean_release_with_errors_is_promoted_as_planned(void **state)
{
	struct scenario s = {
		.name = "promotion with 1 % errors at 5 %", .rate = 200, .share = { 0.05 }, .errors = 0.01
	};

	expect_as_planned(&s, PROMOTION, plan_of(&s).certify.call, 100);
}

static void a_clean_release_is_promoted_as_planned_with_a_quarter_of_the_traffic(void **state)
{
	struct scenario s = {
		.name = "promotion with 1 % errors at 25 %", .rate = 200, .share = { 0.25 }, .errors = 0.01
	};

	expect_as_planned(&s, PROMOTION, plan_of(&s).certify.call, 100);
}

static void a_clean_release_is_promoted_as_planned_with_half_of_the_traffic(void **state)
{
	struct scenario s = {
		.name = "promotion with 1 % errors at 50 %", .rate = 200, .share = { 0.5 }, .errors = 0.01
	};

	expect_as_planned(&s, PROMOTION, plan_of(&s).certify.call, 100);
}

static void a_clean_release_without_errors_is_promoted_as_planned(void **state)
{
	struct scenario s = { .name = "promotion without errors at 5 %", .rate = 200, .share = { 0.05 }, .errors = 0 };

	expect_as_planned(&s, PROMOTION, plan_of(&s).certify.call, 100);
}

static void a_quiet_service_is_promoted_as_planned(void **state)
{
	struct scenario s = {
		.name = "promotion at 20/s, 0.02 % errors, 50 %", .rate = 20, .share = { 0.5 }, .errors = 0.0002
	};

	expect_as_planned(&s, PROMOTION, plan_of(&s).certify.call, 200);
}

/* --- the running verdict */

#define MOST_TICKS 400

/* What the ETA of one release said in each tick; the tick of its promotion, or 0. */
static unsigned int follow(const struct scenario *s, const struct latencies *l, uint64_t seed, double eta[MOST_TICKS])
{
	const struct judge_endpoint ep = { .name = "POST /checkout", .critical = true, .unit = UNIT_EXCHANGE };
	struct judge *j = judge__new(&release_policy);
	struct traffic *t = traffic__new(s, l, seed);
	struct tick tick;
	struct verdict v = { .kind = VERDICT_HOLD };
	unsigned int n = 0;

	assert_true(t && judge__add_endpoint(j, &ep) == 0);
	while (v.kind == VERDICT_HOLD && n < s->ticks) {
		int slow = judge__slow_bucket(j, 0);

		assert_true(traffic__next(t, &slow, &tick));
		assert_int_equal(judge__tick(j, &tick, 1), 0);
		judge__verdict(j, &v);
		eta[n++] = v.has_eta ? v.eta_seconds : -1;
		assert_true(!v.has_eta || v.eta_seconds >= TICK_SECONDS);
	}
	traffic__free(t);
	judge__free(j);
	return v.kind == VERDICT_PROMOTE ? n : 0;
}

/* Over all ticks but the first two: half of the time less than 1.25 times as long as it says, and more than half. */
static void the_eta_of_the_running_verdict_comes_true(void **state)
{
	struct scenario s = { .name = "1 % errors at 25 %", .rate = 200, .share = { 0.25 }, .errors = 0.01 };
	double *off = test_calloc(100 * MOST_TICKS, sizeof(*off)), eta[MOST_TICKS];
	struct latencies *l;
	size_t n = 0;

	s.ticks = MOST_TICKS;
	l = traffic__latencies(&s);
	for (uint64_t i = 0; i < 100; i++) {
		unsigned int promoted = follow(&s, l, 7000 + i, eta);

		for (unsigned int k = 2; k + 1 < promoted; k++) {
			assert_true(eta[k] > 0);
			off[n++] = (promoted - 1 - k) * TICK_SECONDS / eta[k];
		}
	}
	assert_true(n > 500);
	qsort(off, n, sizeof(*off), by_value);
	print_message("what was left was x%.2f of the ETA (median), x%.2f to x%.2f in eight of ten\n", off[n / 2],
	              off[n / 10], off[n * 9 / 10]);
	assert_true(off[n / 2] > 0.5 && off[n / 2] < 1.25);
	assert_true(off[n / 10] > 0.15 && off[n * 9 / 10] < 3);
	traffic__latencies_free(l);
	test_free(off);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_errors_are_found_as_planned),
		cmocka_unit_test(five_times_the_errors_are_found_as_planned_where_there_is_little_traffic),
		cmocka_unit_test(half_as_many_errors_more_are_found_as_planned_where_they_are_few),
		cmocka_unit_test(a_fifth_slower_is_found_as_planned),
		cmocka_unit_test(a_clean_release_with_errors_is_promoted_as_planned),
		cmocka_unit_test(a_clean_release_is_promoted_as_planned_with_a_quarter_of_the_traffic),
		cmocka_unit_test(a_clean_release_is_promoted_as_planned_with_half_of_the_traffic),
		cmocka_unit_test(a_clean_release_without_errors_is_promoted_as_planned),
		cmocka_unit_test(a_quiet_service_is_promoted_as_planned),
		cmocka_unit_test(the_eta_of_the_running_verdict_comes_true),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
