// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The judge's figures against worked values from outside. Oracles: the conditional-binomial vector was computed
 * independently of this code; planning times from the closed formula of sequential tests; R's poisson.test; and
 * arithmetic written out in the tests from the definitions.
 */
#include "judge_run.h"
#include "judge/eprocess.h"
#include "judge/ratio.h"
#include "judge/slowness.h"

static const double worse_by[] = { 1.25, 1.5, 2, 3, 5 };

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
