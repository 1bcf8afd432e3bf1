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
#include <string.h>

#include "dice.h"
#include "judge/plan.h"
#include "judge/plan_shape.h"

#define TICK   5.0
#define SPREAD 3.73 /* p95 / p50 of log-normal latencies with sigma = 0.8 */
#define SIGMA  0.8
#define TABLE  65536

static const struct gate_policy policy = { 0.05, 1.5, 0.2, 500, 10, TICK, 30 };
static struct dice dice;
static uint64_t latencies[TABLE];

struct setting {
	double rate, share, errors, error_ratio, slower;
	int runs;
	double planned;
	double slo_p95; /* 0: none is announced */
	bool promotion; /* awaited; else a rollback, or enough evidence for one */
};

static void fill_latencies(void)
{
	for (int i = 0; i < TABLE; i++) {
		double normal = sqrt(-2 * log(dice_uniform(&dice))) * cos(2 * M_PI * dice_uniform(&dice));

		latencies[i] = (uint64_t)(50e6 * exp(SIGMA * normal));
	}
}

static void serve(struct histogram *h, struct arm_tick *arm, unsigned int n, double errors, double slower)
{
	memset(h, 0, sizeof(*h));
	for (unsigned int i = 0; i < n; i++)
		histogram_add(h, (uint64_t)((double)latencies[dice_word(&dice) % TABLE] * slower));
	*arm = (struct arm_tick){ .n = n, .bad = dice_binomial(&dice, n, errors), .latency = h };
}

/* Seconds until the verdict that is waited for; no longer than four times the plan. */
static double release(const struct setting *s)
{
	struct judge *j = judge__new(&policy);
	double end = 0;

	judge__add_endpoint(
		j, &(struct judge_endpoint){ .name = "POST /checkout", .critical = true, .slo_p95 = s->slo_p95 });
	while (end < 4 * s->planned + TICK) {
		/* A rate that wavers by a tenth. */
		unsigned int n = (unsigned int)(TICK * s->rate * (0.9 + 0.2 * dice_uniform(&dice)) + 0.5);
		unsigned int n_c = dice_binomial(&dice, n, s->share);
		struct histogram b, c;
		struct endpoint_tick ep;
		struct tick t = { end, end + TICK, .seen = n, .ledger_balanced = true, .endpoints = &ep };
		struct verdict v;

		serve(&b, &ep.baseline, n - n_c, s->errors, 1);
		serve(&c, &ep.canary, n_c, s->errors * s->error_ratio, s->slower);
		assert_int_equal(judge__tick(j, &t, 1), 0);
		end = t.end;
		judge__verdict(j, &v);
		if (s->promotion ? v.kind == VERDICT_PROMOTE : v.log_e_bad >= -log(policy.alpha))
			break;
	}
	judge__free(j);
	return end;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void expect_as_planned(const char *what, const struct setting *s)
{
	double *seconds = test_calloc((size_t)s->runs, sizeof(*seconds)), median, late;

	dice.state = 20261121;
	fill_latencies();
	for (int i = 0; i < s->runs; i++)
		seconds[i] = release(s);
	qsort(seconds, (size_t)s->runs, sizeof(*seconds), by_value);
	median = seconds[s->runs / 2];
	late = seconds[s->runs * 9 / 10];
	print_message("%s: planned %g s; of %d runs the median took %g s (x%.2f), nine in ten up to %g s (x%.2f)\n",
	              what, s->planned, s->runs, median, median / s->planned, late, late / s->planned);
	test_free(seconds);
	assert_true(median >= 0.5 * s->planned && median <= s->planned);
	assert_true(late <= 2 * s->planned);
}

/* Of one critical endpoint. */
static struct plan_times plan_of(const struct setting *s)
{
	struct plan_endpoint ep = { .def = { .name = "POST /checkout", .critical = true } };
	struct histogram latency;
	struct plan_times times;
	struct plan *p;

	plan_shape__lognormal(&latency, 0.05, 0.05 * SPREAD);
	ep.def.slo_p95 = s->slo_p95;
	ep.rate = s->rate;
	ep.errors = s->errors;
	ep.latency = &latency;
	p = plan__new(&policy, &ep, 1);
	assert_non_null(p);
	plan__times(p, 0, s->share, &times);
	plan__free(p);
	return times;
}

static void x2_errors_at_200_a_second_are_found_as_planned(void **state)
{
	struct setting s = { 200, 0.05, 0.01, 2, 1, 200, 0, 0, false };

	s.planned = plan_of(&s).worse[1].seconds;
	expect_as_planned("errors x2, 5 %", &s);
}

static void half_as_many_errors_more_at_a_quarter_of_the_traffic_are_found_as_planned(void **state)
{
	struct setting s = { 200, 0.25, 0.01, 1.5, 1, 200, 0, 0, false };

	s.planned = plan_of(&s).worse[0].seconds;
	expect_as_planned("errors x1.5, 25 %", &s);
}

/* By the judge's margin of four buckets. */
static void a_fifth_slower_is_found_as_planned(void **state)
{
	struct setting s = { 200, 0.05, 0, 1, 1, 200, 0, 0, false };

	s.slower = 1 + plan__latency_margin(&policy);
	s.planned = plan_of(&s).slower.seconds;
	expect_as_planned("latency +19 %", &s);
}

static void a_fifth_slower_is_found_as_planned_where_a_p95_is_announced(void **state)
{
	struct setting s = { 200, 0.05, 0, 1, 1, 200, 0, 0.25, false };

	s.slower = 1 + plan__latency_margin(&policy);
	s.planned = plan_of(&s).slower.seconds;
	expect_as_planned("latency +19 %, p95 of 250 ms announced", &s);
}

static void a_clean_release_with_errors_is_promoted_as_planned(void **state)
{
	struct setting s = { 200, 0.05, 0.01, 1, 1, 100, 0, 0, true };

	s.planned = plan_of(&s).certify.call.seconds;
	expect_as_planned("certify errors of 1 %", &s);
}

static void a_clean_release_without_errors_is_promoted_as_planned(void **state)
{
	struct setting s = { 200, 0.05, 0, 1, 1, 200, 0, 0, true };

	s.planned = plan_of(&s).certify.call.seconds;
	expect_as_planned("certify without errors", &s);
}

static void a_quiet_service_with_half_on_the_canary_is_promoted_as_planned(void **state)
{
	struct setting s = { 20, 0.5, 0.0002, 1, 1, 200, 0, 0, true };

	s.planned = plan_of(&s).certify.call.seconds;
	expect_as_planned("certify at 20 a second, 50 %", &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x2_errors_at_200_a_second_are_found_as_planned),
		cmocka_unit_test(half_as_many_errors_more_at_a_quarter_of_the_traffic_are_found_as_planned),
		cmocka_unit_test(a_fifth_slower_is_found_as_planned),
		cmocka_unit_test(a_fifth_slower_is_found_as_planned_where_a_p95_is_announced),
		cmocka_unit_test(a_clean_release_with_errors_is_promoted_as_planned),
		cmocka_unit_test(a_clean_release_without_errors_is_promoted_as_planned),
		cmocka_unit_test(a_quiet_service_with_half_on_the_canary_is_promoted_as_planned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
