// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: model
 *
 * What watching may cost, and when something is done about it. Oracle: worked out by hand from what the manual says;
 * the budget of 2 % of a core for 10,000 requests a second is 2 us of a request.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "dice.h"
#include "model/cost.h"

static const struct cost_limits usual = { 0.02, 0.02 };
static struct cost_budget budget;

static int fresh(void **state)
{
	memset(&budget, 0, sizeof(budget));
	return 0;
}

/* A look at 100,000 requests a second, where 20 % of a core are allowed. */
static enum cost_step look(double cores)
{
	const struct cost_sample s = { .rate = 100000, .kernel = cores * 0.75, .agent = cores * 0.25 };

	return cost_budget__look(&budget, &s, &usual);
}

/* So many looks alike, of which the last one may bring a step and no other. */
static enum cost_step looks(int n, double cores)
{
	for (int i = 1; i < n; i++)
		assert_int_equal(look(cores), COST_SAME);
	return look(cores);
}

static void a_request_may_cost_two_microseconds_and_below_the_floor_nothing_is_too_much(void **state)
{
	const struct cost_limits low = { 0.001, 0.01 }, off = { INFINITY, 0.02 }, none = { 0.02, 0 };

	assert_true(fabs(cost_allowed(&usual, 100000) - 100000 * 2e-6) < 1e-12);
	assert_true(cost_allowed(&usual, 10000) == 0.02);
	assert_true(cost_allowed(&usual, 9999) == 0.02);
	assert_true(cost_allowed(&usual, 0) == 0.02);
	assert_true(fabs(cost_allowed(&low, 1e6) - 0.1) < 1e-12);
	assert_true(cost_allowed(&low, 50000) == 0.01);
	assert_true(cost_allowed(&none, 0) == 0);
	assert_true(isinf(cost_allowed(&off, 0)));
}

static void one_look_above_the_budget_changes_nothing_and_a_second_one_sheds(void **state)
{
	for (int i = 0; i < 10; i++) {
		assert_int_equal(look(0.21), COST_SAME);
		assert_int_equal(look(0.19), COST_SAME);
		assert_false(budget.over || budget.shed);
	}
	assert_int_equal(looks(2, 0.21), COST_OVER);
	assert_true(budget.over && budget.shed);
	assert_true(fabs(budget.used - 0.21) < 1e-12 && fabs(budget.allowed - 0.2) < 1e-12);
	/* Told once. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(look(0.3), COST_SAME);
}

static void exactly_the_budget_is_within_it(void **state)
{
	const struct cost_sample s = { .rate = 10000, .kernel = 0.015, .agent = 0.005 };

	for (int i = 0; i < 10; i++)
		assert_int_equal(cost_budget__look(&budget, &s, &usual), COST_SAME);
}

static void within_the_budget_is_said_but_only_well_below_it_details_come_back(void **state)
{
	looks(2, 0.25);
	/* Between 70 % and all of it nothing comes back, however long. */
	assert_int_equal(looks(2, 0.15), COST_WITHIN);
	assert_false(budget.over);
	for (int i = 0; i < 50; i++)
		assert_int_equal(look(0.15), COST_SAME);
	assert_true(budget.shed);
	/* Two looks of room and one without are none. */
	assert_int_equal(looks(2, 0.1), COST_SAME);
	assert_int_equal(look(0.15), COST_SAME);
	assert_int_equal(looks(3, 0.1), COST_RESUMED);
	assert_false(budget.over || budget.shed);
}

static void above_again_while_details_are_shed_is_said_again(void **state)
{
	looks(2, 0.25);
	assert_int_equal(looks(2, 0.15), COST_WITHIN);
	assert_int_equal(looks(2, 0.25), COST_OVER);
	assert_true(budget.over && budget.shed);
}

static void what_could_not_be_measured_is_not_held_against_it_and_the_observers_own_time_is(void **state)
{
	struct cost_sample s = { .rate = 100, .kernel = NAN, .agent = 0.019 };

	for (int i = 0; i < 10; i++)
		assert_int_equal(cost_budget__look(&budget, &s, &usual), COST_SAME);
	assert_true(budget.used == 0.019);
	s.agent = 0.021;
	cost_budget__look(&budget, &s, &usual);
	assert_int_equal(cost_budget__look(&budget, &s, &usual), COST_OVER);
}

static void without_a_budget_nothing_is_ever_shed(void **state)
{
	const struct cost_limits off = { INFINITY, 0 };
	const struct cost_sample s = { .rate = 1, .kernel = 3, .agent = 1 };

	for (int i = 0; i < 100; i++)
		assert_int_equal(cost_budget__look(&budget, &s, &off), COST_SAME);
}

/* How many looks of room it takes now until details come back; and it comes straight to be too much again. */
static int looks_until_resumed(void)
{
	int n = 1;

	while (look(0.1) != COST_RESUMED)
		n++;
	assert_int_equal(looks(2, 0.3), COST_OVER);
	return n;
}

static void a_resumption_that_does_not_last_doubles_the_time_to_the_next_one(void **state)
{
	looks(2, 0.3);
	assert_int_equal(looks_until_resumed(), 3);
	assert_int_equal(looks_until_resumed(), 6);
	assert_int_equal(looks_until_resumed(), 12);
	assert_int_equal(looks_until_resumed(), 24);
	assert_int_equal(looks_until_resumed(), 48);
	assert_int_equal(looks_until_resumed(), 96);
	assert_int_equal(looks_until_resumed(), 96);
	/* One that lasts is a new beginning. */
	while (look(0.1) != COST_RESUMED)
		;
	for (int i = 0; i < 13; i++)
		assert_int_equal(look(0.1), COST_SAME);
	assert_int_equal(looks(2, 0.3), COST_OVER);
	assert_int_equal(looks_until_resumed(), 3);
}

/* Any load: what the header promises of single looks holds at each of them. */
static void over_always_sheds_and_no_step_is_made_on_a_single_look(void **state)
{
	struct dice dice = { 20261122 };
	double before = 0;
	unsigned int low = 0;

	for (int i = 0; i < 20000; i++) {
		double cores = 0.4 * dice_uniform(&dice);
		enum cost_step step = look(cores);

		low = cores < 0.14 ? low + 1 : 0;
		if (step == COST_OVER)
			assert_true(cores > 0.2 && before > 0.2);
		if (step == COST_WITHIN)
			assert_true(cores <= 0.2 && before <= 0.2);
		if (step == COST_RESUMED)
			assert_true(low >= 3);
		assert_true(!budget.over || budget.shed);
		before = cores;
	}
}

static void kernel_time_is_given_gross_and_net_and_not_at_all_for_a_handful_of_exchanges(void **state)
{
	struct cost_kernel k = { .per_run = 50, .ended = 1000, .seconds = 0.5, .runs = 4000, .ns = 700000 };

	assert_true(cost_gross(&k) == 700);
	assert_true(cost_net(&k) == 500);
	assert_true(fabs(cost_cores(&k) - 0.001) < 1e-12);
	/* What was not measured is not taken off. */
	k.per_run = NAN;
	assert_true(cost_gross(&k) == 700 && isnan(cost_net(&k)));
	assert_true(fabs(cost_cores(&k) - 0.0014) < 1e-12);
	/* It never comes to less than nothing. */
	k.per_run = 300;
	assert_true(cost_net(&k) == 0 && cost_cores(&k) == 0);
	k.ended = COST_LEAST - 1;
	assert_true(isnan(cost_gross(&k)) && isnan(cost_net(&k)));
	k = (struct cost_kernel){ .per_run = 50 };
	assert_true(isnan(cost_gross(&k)) && isnan(cost_net(&k)) && isnan(cost_cores(&k)));
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_may_cost_two_microseconds_and_below_the_floor_nothing_is_too_much),
		TEST(one_look_above_the_budget_changes_nothing_and_a_second_one_sheds),
		TEST(exactly_the_budget_is_within_it),
		TEST(within_the_budget_is_said_but_only_well_below_it_details_come_back),
		TEST(above_again_while_details_are_shed_is_said_again),
		TEST(what_could_not_be_measured_is_not_held_against_it_and_the_observers_own_time_is),
		TEST(without_a_budget_nothing_is_ever_shed),
		TEST(a_resumption_that_does_not_last_doubles_the_time_to_the_next_one),
		TEST(over_always_sheds_and_no_step_is_made_on_a_single_look),
		TEST(kernel_time_is_given_gross_and_net_and_not_at_all_for_a_handful_of_exchanges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
