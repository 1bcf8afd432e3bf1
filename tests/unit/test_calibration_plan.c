/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Planned times against what happens: the real judge on synthetic traffic, seeded, each setting some hundred times. A
 * plan is an expected time on the long side: the median release takes between a half of it and all of it, and nine in
 * ten take no more than twice as long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
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
	assert_true(median >= 0.5 * planned && median <= planned);
	assert_true(late <= 2 * planned);
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

static void twice_the_errors_are_found_as_planned(void **state)
{
	struct scenario s = {
		.name = "errors x2 at 5 %", .rate = 200, .share = { 0.05 }, .errors = 0.01, .error_ratio = 2
	};

	expect_as_planned(&s, ROLLBACK, plan_of(&s).worse[1], 200);
}

static void half_as_many_errors_more_are_found_as_planned_at_a_quarter(void **state)
{
	struct scenario s = {
		.name = "errors x1.5 at 25 %", .rate = 200, .share = { 0.25 }, .errors = 0.01, .error_ratio = 1.5
	};

	expect_as_planned(&s, ROLLBACK, plan_of(&s).worse[0], 200);
}

static void five_times_the_errors_are_found_as_planned_where_there_is_little_traffic(void **state)
{
	struct scenario s = {
		.name = "errors x5 at 10/s, 5 %", .rate = 10, .share = { 0.05 }, .errors = 0.01, .error_ratio = 5
	};

	expect_as_planned(&s, ROLLBACK, plan_of(&s).worse[2], 200);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twice_the_errors_are_found_as_planned),
		cmocka_unit_test(half_as_many_errors_more_are_found_as_planned_at_a_quarter),
		cmocka_unit_test(five_times_the_errors_are_found_as_planned_where_there_is_little_traffic),
		cmocka_unit_test(a_fifth_slower_is_found_as_planned),
		cmocka_unit_test(a_clean_release_with_errors_is_promoted_as_planned),
		cmocka_unit_test(a_clean_release_is_promoted_as_planned_with_half_of_the_traffic),
		cmocka_unit_test(a_clean_release_without_errors_is_promoted_as_planned),
		cmocka_unit_test(a_quiet_service_is_promoted_as_planned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
