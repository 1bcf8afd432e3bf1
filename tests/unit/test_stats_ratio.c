/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The confidence sequence of the rate ratio. Oracles: the test's definition, inverted without a grid; Ville's
 * inequality on simulated counts; and the algebra of likelihoods (merging, splitting).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dice.h"
#include "judge/ratio.h"

#ifdef __SANITIZE_ADDRESS__
#define UPDATE_BUDGET_US 100.0
#else
#define UPDATE_BUDGET_US 10.0
#endif

/* Canary and baseline of four ticks; the share changes from 5 % to 25 % at the last. */
static const double worked[4][4] = {
	{ 300, 5700, 4, 52 }, { 310, 5690, 6, 61 }, { 290, 5710, 5, 49 }, { 1500, 4500, 31, 44 }
};

static struct ratio_grid grid;

static int set_up(void **state)
{
	ratio_grid__init(&grid);
	return 0;
}

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

/* log of the product over ticks of the binomial likelihoods, at any rho. */
static double log_likelihood(const double (*ticks)[4], int n, double rho)
{
	double l = 0;

	for (int t = 0; t < n; t++) {
		double theta = rho * ticks[t][0] / (rho * ticks[t][0] + ticks[t][1]);

		l += ticks[t][2] * log(theta) + ticks[t][3] * log1p(-theta);
	}
	return l;
}

enum part { ALL, ABOVE, BELOW };

/* log E against rho0 from the definition: the weighted mean of the grid's likelihoods (all, or one side) over rho0's.
 */
static double log_e(const double (*ticks)[4], int n, double rho0, enum part part)
{
	double at = log_likelihood(ticks, n, rho0), sum = 0, weight = 0;

	for (int g = 0; g < RATIO_GRID; g++) {
		if ((part == ABOVE && grid.rho[g] <= rho0) || (part == BELOW && grid.rho[g] >= rho0))
			continue;
		sum += exp(grid.log_w[g] + log_likelihood(ticks, n, grid.rho[g]) - at);
		weight += exp(grid.log_w[g]);
	}
	return log(sum / weight);
}

static void add_all(struct ratio *r, const double (*ticks)[4], int n)
{
	memset(r, 0, sizeof(*r));
	for (int t = 0; t < n; t++)
		ratio__add(r, &grid, ticks[t][0], ticks[t][1], ticks[t][2], ticks[t][3]);
}

/* At a limit log E must be past the bound, and half a grid step further in no longer. */
static void assert_limit(const double (*ticks)[4], int n, double at, double inwards, enum part part)
{
	double bound = log(20);

	if (!(log_e(ticks, n, at * (1 - 1e-9 * inwards), part) >= bound - 1e-6))
		fail_msg("%g is not rejected: log E %g", at, log_e(ticks, n, at, part));
	if (!(log_e(ticks, n, at * (1 + 0.022 * inwards), part) < bound))
		fail_msg("%g is too far out: log E %g", at, log_e(ticks, n, at * (1 + 0.022 * inwards), part));
}

static void limits_lie_where_the_definition_stops_rejecting_or_half_a_step_further_out(void **state)
{
	static const double few[1][4] = { { 800, 3011, 11, 21 } }, many[1][4] = { { 1e7, 1e7, 12345, 8100 } };
	const double(*const cases[])[4] = { worked, few, many };
	const int ticks[] = { 4, 1, 1 };
	struct ratio r;

	for (int i = 0; i < 3; i++) {
		double low, high;

		add_all(&r, cases[i], ticks[i]);
		ratio__interval(&r, &grid, 0.05, &low, &high);
		assert_limit(cases[i], ticks[i], low, 1, ALL);
		assert_limit(cases[i], ticks[i], high, -1, ALL);
		assert_limit(cases[i], ticks[i], ratio__lower(&r, &grid, 0.05), 1, ABOVE);
		assert_limit(cases[i], ticks[i], ratio__upper(&r, &grid, 0.05), -1, BELOW);
	}
}

/* Fixed-time intervals of many events: R: poisson.test(c(12345, 8100), c(1e7, 1e7), 1)$conf.int. */
static void with_many_events_the_interval_closes_in_on_the_fixed_one(void **state)
{
	static const double many[1][4] = { { 1e7, 1e7, 12345, 8100 } };
	double low, high;
	struct ratio r;

	add_all(&r, many, 1);
	ratio__interval(&r, &grid, 0.05, &low, &high);
	assert_true(low < 1.481832678 && low > 1.481832678 * 0.96);
	assert_true(high > 1.567583573 && high < 1.567583573 * 1.04);
}

static void merging_hosts_in_any_order_is_counting_them_together(void **state)
{
	struct ratio whole, a, b;
	double low, high, want_low, want_high;

	add_all(&whole, worked, 4);
	add_all(&a, worked, 2);
	add_all(&b, worked + 2, 2);
	ratio__interval(&whole, &grid, 0.05, &want_low, &want_high);
	for (int order = 0; order < 2; order++) {
		struct ratio sum = order ? b : a;

		ratio__merge(&sum, order ? &a : &b);
		ratio__interval(&sum, &grid, 0.05, &low, &high);
		assert_close(low, want_low, 1e-12);
		assert_close(high, want_high, 1e-12);
		assert_true(ratio__estimate(&sum, &low) && ratio__estimate(&whole, &high));
		assert_close(low, high, 1e-12);
	}
}

static void splitting_a_tick_at_the_same_share_moves_no_limit(void **state)
{
	static const double one[1][4] = { { 1000, 9000, 10, 50 } };
	static const double split[3][4] = { { 100, 900, 7, 1 }, { 400, 3600, 0, 30 }, { 500, 4500, 3, 19 } };
	struct ratio a, b;

	add_all(&a, one, 1);
	add_all(&b, split, 3);
	for (double alpha = 0.5; alpha > 1e-6; alpha /= 3) {
		assert_close(ratio__lower(&b, &grid, alpha), ratio__lower(&a, &grid, alpha), 1e-10);
		assert_close(ratio__upper(&b, &grid, alpha), ratio__upper(&a, &grid, alpha), 1e-10);
	}
}

/* Counts at a ratio of 1.5, a share that moves from 5 to 30 %, a look at every tick. */
static void the_true_ratio_is_covered_at_all_ticks_at_once(void **state)
{
	const int runs = 1000, ticks = 40;
	int missed = 0, missed_low = 0, missed_high = 0;
	struct dice d = { 31 };

	for (int i = 0; i < runs; i++) {
		bool out = false, out_low = false, out_high = false;
		struct ratio r = { 0 };

		for (int t = 0; t < ticks; t++) {
			double n_c = 100 + 15 * t, n_b = 1900 - 15 * t, low, high;

			ratio__add(&r, &grid, n_c, n_b, dice_binomial(&d, (unsigned int)n_c, 0.03),
			           dice_binomial(&d, (unsigned int)n_b, 0.02));
			ratio__interval(&r, &grid, 0.05, &low, &high);
			out |= low > 1.5 || high < 1.5;
			out_low |= ratio__lower(&r, &grid, 0.05) > 1.5;
			out_high |= ratio__upper(&r, &grid, 0.05) < 1.5;
		}
		missed += out;
		missed_low += out_low;
		missed_high += out_high;
	}
	print_message("missed in %d (two-sided), %d and %d (one-sided) of %d runs\n", missed, missed_low, missed_high,
	              runs);
	assert_true(missed <= runs / 20 && missed_low <= runs / 20 && missed_high <= runs / 20);
	assert_true(missed_low > 0 && missed_high > 0); /* limits that are never wrong are no limits */
}

static void one_sided_limits_are_the_tighter_ones(void **state)
{
	double low, high;
	struct ratio r;

	add_all(&r, worked, 4);
	ratio__interval(&r, &grid, 0.05, &low, &high);
	assert_true(ratio__lower(&r, &grid, 0.05) > low);
	assert_true(ratio__upper(&r, &grid, 0.05) < high);
}

static void empty_arms_and_counts_beyond_32_bits_have_finite_limits(void **state)
{
	static const double counts[][4] = {
		{ 0, 0, 0, 0 },          { 0, 1e6, 0, 50 },    { 1e6, 0, 50, 0 },         { 1e6, 1e6, 0, 0 },
		{ 1e6, 1e6, 0, 500 },    { 1e6, 1e6, 500, 0 }, { 1e12, 2e13, 6e9, 9e10 }, { 1e19, 1e19, 1e18, 1e18 },
		{ 1, 1e19, 1, 1e18 },    { 1e19, 1, 1e18, 1 }, { 1e19, 1e19, 1e19, 0 },   { 1e19, 1e19, 0, 1e19 },
		{ 1e9, 1e9, 0.25, 0.5 },
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		double low, high, lower, upper;
		struct ratio r;

		add_all(&r, counts + i, 1);
		ratio__interval(&r, &grid, 0.05, &low, &high);
		lower = ratio__lower(&r, &grid, 0.05);
		upper = ratio__upper(&r, &grid, 0.05);
		if (!(low >= 0 && low <= high && high <= RATIO_MAX && lower >= 0 && lower <= upper &&
		      upper <= RATIO_MAX))
			fail_msg("row %zu: %g to %g, %g, %g", i, low, high, lower, upper);
		if (i < 4)
			assert_true(low == 0 && high == RATIO_MAX && lower == 0 && upper == RATIO_MAX);
		if (i == 7)
			assert_true(low > 0.9 && high < 1.1);
	}
}

static void a_tick_of_an_endpoint_costs_less_than_ten_microseconds(void **state)
{
	const int n = 20000;
	struct ratio r = { 0 };
	clock_t before = clock();
	double us;

	for (int i = 0; i < n; i++)
		ratio__add(&r, &grid, 100 + i % 50, 1900, 3, 40);
	us = 1e6 * (double)(clock() - before) / CLOCKS_PER_SEC / n;
	print_message("%.2f us a tick for %d grid points\n", us, RATIO_GRID);
	assert_true(us <= UPDATE_BUDGET_US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_lie_where_the_definition_stops_rejecting_or_half_a_step_further_out),
		cmocka_unit_test(with_many_events_the_interval_closes_in_on_the_fixed_one),
		cmocka_unit_test(merging_hosts_in_any_order_is_counting_them_together),
		cmocka_unit_test(splitting_a_tick_at_the_same_share_moves_no_limit),
		cmocka_unit_test(the_true_ratio_is_covered_at_all_ticks_at_once),
		cmocka_unit_test(one_sided_limits_are_the_tighter_ones),
		cmocka_unit_test(empty_arms_and_counts_beyond_32_bits_have_finite_limits),
		cmocka_unit_test(a_tick_of_an_endpoint_costs_less_than_ten_microseconds),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
