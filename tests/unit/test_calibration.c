/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calibration bench in short: some of its cells, fewer releases. Seeded, so every run sees the same traffic. The
 * bars are those of the bench; where few releases scatter too much for a bar, several cells are taken together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "cells.h"
#include "release.h"

#ifdef __SANITIZE_ADDRESS__
#define SLOWER 10 /* fewer releases: the sanitizers are slow */
#else
#define SLOWER 1
#endif

#define HALF_HOUR 360
#define SCATTER   60 /* three releases more than the bar of one in twenty, in a cell of few */

static struct summary run(const char *what, const struct scenario *s, unsigned int runs)
{
	struct summary sum;

	assert_int_equal(releases__run(s, runs / SLOWER, &sum), 0);
	print_message(
		"%s: of %u releases %u rolled back, found after %g s (median), %u promoted, %u first; peers %u %u %u\n",
		what, sum.runs, sum.rolled_back, sum.found_median, sum.promoted, sum.promoted_first,
		sum.peer[PEER_THRESHOLD], sum.peer[PEER_Z], sum.peer[PEER_MANN_WHITNEY]);
	return sum;
}

#define CLEAN .rate = 200, .errors = 0.01, .gap = 0.1, .ticks = HALF_HOUR

static const struct scenario clean[] = {
	{ CLEAN, .name = "one by one", .share = { 0.05 } },
	{ CLEAN, .name = "bursts of 2", .share = { 0.5 }, .burst = 2 },
	{ CLEAN, .name = "bursts of 5, ramp, drift", .share = { 0.05, 0.25, 0.5, 1 }, .burst = 5, .drift = 2 },
	{ CLEAN, .name = "bursts of 20", .share = { 0.05 }, .burst = 20 },
	{ CLEAN, .name = "bursts of 20, half", .share = { 0.5 }, .burst = 20 },
	{ CLEAN, .name = "hiccups of 20", .share = { 0.5 }, .burst = 20, .across = true },
	{ .name = "few connections",
	  .rate = 10,
	  .errors = 0.05,
	  .burst = 20,
	  .share = { 0.05 },
	  .kept_c = 4,
	  .kept_b = 8,
	  .ticks = HALF_HOUR },
	{ CLEAN, .name = "twenty endpoints", .share = { 0.05 }, .burst = 5, .endpoints = 20 },
	{ CLEAN, .name = "one must not wait", .share = { 0.05 }, .burst = 2, .endpoints = 5, .fail_fast = 1 },
	{ CLEAN, .name = "all must not wait", .share = { 0.5 }, .burst = 20, .endpoints = 3, .fail_fast = 3 },
};

static void clean_releases_are_rolled_back_in_at_most_one_of_twenty_whatever_bursts_there_are(void **state)
{
	unsigned int runs = 0, rolled_back = 0, placebo = 0, z = 0, threshold = 0;

	for (size_t i = 0; i < sizeof(clean) / sizeof(*clean); i++) {
		struct summary s = run(clean[i].name, &clean[i], clean[i].endpoints ? 10 : 60);

		assert_true(s.rolled_back * 20 <= s.runs + SCATTER);
		runs += s.runs;
		rolled_back += s.rolled_back;
		placebo += s.placebo;
		z += s.peer[PEER_Z];
		threshold += s.peer[PEER_THRESHOLD];
	}
	assert_true(rolled_back * 20 <= runs);
	assert_true(placebo * 100 <= runs);
	/* The same traffic is bad enough to fool others. */
	assert_true(z * 2 > runs);
	assert_true(threshold * 2 > runs);
}

#define CANARY CLEAN, .share = { 0.05 }

static void half_as_many_errors_more_are_found_in_five_minutes(void **state)
{
	struct summary s = run("errors x1.5", &(struct scenario){ CANARY, .error_ratio = 1.5 }, 400);

	assert_true(s.found_median <= 300);
	assert_true(s.promoted_first * 20 <= s.runs); /* it is the margin itself */
}

static void twice_as_many_errors_are_found_in_two_minutes_and_not_promoted(void **state)
{
	struct summary s = run("errors x2", &(struct scenario){ CANARY, .error_ratio = 2 }, 200);

	assert_true(s.found_median <= 120);
	assert_true(s.rolled_back * 100 >= s.runs * 99);
	assert_true(s.promoted_first * 100 <= s.runs);
}

static void a_tenth_slower_is_found_in_five_minutes(void **state)
{
	struct summary s = run("latency +10 %", &(struct scenario){ CANARY, .slower = 1.1 }, 200);

	assert_true(s.found_median <= 300);
}

static void a_quarter_slower_is_not_promoted(void **state)
{
	struct summary s = run("latency +25 %", &(struct scenario){ CANARY, .slower = 1.25, .burst = 5 }, 100);

	assert_true(s.promoted_first * 100 <= s.runs);
	assert_true(s.found_median <= 600);
}

static void a_hundredth_slower_is_not_rolled_back_when_latencies_are_steady(void **state)
{
	const struct scenario steady = { CANARY, .slower = 1.01, .steady = 0.02 };
	struct summary s = run("latency +1 %, steady", &steady, 60);

	assert_true(s.rolled_back * 20 <= s.runs);
}

/* Dispersion does not stand in the way for ever: with bursts of 2 it takes longer, and ends. */
static void clean_releases_with_small_bursts_are_promoted(void **state)
{
	struct summary s =
		run("bursts of 2, to promote", &(struct scenario){ CLEAN, .share = { 0.25 }, .burst = 2 }, 60);

	assert_true(s.promoted * 20 >= s.runs * 19);
	assert_true(s.promoted_median <= 900);
}

/* What it costs is among the bench's figures. */
static void a_clean_release_of_a_thousand_endpoints_with_groups_is_neither_rolled_back_nor_suspect(void **state)
{
	const struct scenario s = {
		.rate = 50000, .share = { 0.25 }, .endpoints = 1000, .errors = 0.01, .gap = 0.1, .ticks = 5
	};
	struct latencies *l = traffic__latencies(&s);
	struct release r;

	assert_int_equal(release__run(&s, l, 1, &r), 0);
	assert_int_equal(r.rolled_back, 0);
	assert_int_equal(r.found, 0);
	assert_int_equal(r.placebo, 0);
	traffic__latencies_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_releases_are_rolled_back_in_at_most_one_of_twenty_whatever_bursts_there_are),
		cmocka_unit_test(half_as_many_errors_more_are_found_in_five_minutes),
		cmocka_unit_test(twice_as_many_errors_are_found_in_two_minutes_and_not_promoted),
		cmocka_unit_test(a_tenth_slower_is_found_in_five_minutes),
		cmocka_unit_test(a_quarter_slower_is_not_promoted),
		cmocka_unit_test(a_hundredth_slower_is_not_rolled_back_when_latencies_are_steady),
		cmocka_unit_test(clean_releases_with_small_bursts_are_promoted),
		cmocka_unit_test(
			a_clean_release_of_a_thousand_endpoints_with_groups_is_neither_rolled_back_nor_suspect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
