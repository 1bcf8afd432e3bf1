/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What reports say about two samples at one look, against R 4.2.2 and published intervals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "judge/stats/normal.h"
#include "judge/stats/proportions.h"
#include "judge/stats/rank_sum.h"

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.15g, want %.15g", got, want);
}

static void assert_near(double got, double want, double off)
{
	if (!(fabs(got - want) <= off))
		fail_msg("got %.15g, want %.15g", got, want);
}

/* --- rank sums ---------------------------------------------------------------------------------------------------- */

/* R: wilcox.test(rep(1:8, can), rep(1:8, ctl), alternative, correct, exact = FALSE) */
static void rank_sums_of_bucket_counts_are_those_of_r(void **state)
{
	static const double ctl[8] = { 120, 340, 610, 480, 220, 90, 30, 10 }, can[8] = { 5, 15, 30, 27, 14, 7, 3, 2 };
	struct rank_sum r = rank_sum(can, ctl, 8, true);

	assert_close(r.u, 108330, 1e-15);
	assert_close(r.p_two_sided, 0.0591532512754976, 1e-12);
	assert_close(r.p_greater, 0.0295766256377488, 1e-12);
	assert_close(r.p_less, 0.970435481053069, 1e-12);
	assert_close(r.cles, 108330 / (103.0 * 1900), 1e-12);
	r = rank_sum(can, ctl, 8, false);
	assert_close(r.p_two_sided, 0.0591411435561576, 1e-12);
	assert_close(r.p_greater, 0.0295705717780788, 1e-12);
	assert_close(r.p_less, 0.970429428221921, 1e-12);
}

/* R likewise; the p of a slower canary lies far out in the tail. */
static void a_far_tail_keeps_its_digits(void **state)
{
	static const double ctl[8] = { 1200, 3400, 6100, 4800, 2200, 900, 300, 100 };
	static const double can[8] = { 30, 110, 260, 280, 180, 90, 35, 15 };
	struct rank_sum r = rank_sum(can, ctl, 8, true);

	assert_close(r.u, 11556000, 1e-15);
	assert_close(r.sigma, 172901.7690852421, 1e-14);
	assert_close(r.z, 11.89114206799338, 1e-13);
	assert_close(r.p_two_sided, 1.31594723189594e-32, 1e-12);
	assert_close(r.cles, 11556000 / 19e6, 1e-14);
	r = rank_sum(ctl, can, 8, true); /* the arms change places */
	assert_close(r.z, -11.89114206799338, 1e-13);
	assert_close(r.p_two_sided, 1.31594723189594e-32, 1e-12);
	assert_close(r.u, 19000.0 * 1000 - 11556000, 1e-12);
}

/* R: wilcox.test(Ozone ~ Month, airquality, Month %in% c(5, 8)); each of the 41 values is a bucket. */
static void the_ozone_of_may_and_august_is_as_in_the_manual(void **state)
{
	static const double may[41] = { 1, 1, 1, 1, 1, 0, 3, 1, 2, 1, 2, 1, 0, 0, 2, 1, 1, 0, 1, 1, 0,
		                        1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0 };
	static const double august[41] = { 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 1,
		                           0, 0, 1, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1 };
	struct rank_sum r = rank_sum(may, august, 41, true);

	assert_close(r.u, 127.5, 1e-15);
	assert_close(r.p_two_sided, 0.0001208078307687738, 1e-12);
}

/* Hollander and Wolfe (1973), p. 69: R: wilcox.test(x, y, alternative = "g", exact = FALSE, correct = FALSE) */
static void the_permeability_of_membranes_is_as_in_the_manual(void **state)
{
	static const double x[15] = { 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1 };
	double y[15];
	struct rank_sum r;

	for (int i = 0; i < 15; i++)
		y[i] = !x[i];
	r = rank_sum(x, y, 15, false);
	assert_close(r.u, 35, 1e-15);
	assert_close(r.p_greater, 0.110335680959923, 1e-12);
	assert_close(rank_sum(x, y, 15, true).p_greater, 0.122311802563492, 1e-12);
}

static void rank_sums_of_nothing_or_one_bucket_or_huge_counts_are_finite(void **state)
{
	static const double none[3] = { 0 }, one[3] = { 0, 7, 0 }, high[3] = { 0, 0, 5 };
	static const double huge[3] = { 0x1p62, 0x1p61, 0x1p60 };
	const double *const all[4] = { none, one, high, huge };
	struct rank_sum r = rank_sum(one, one, 3, true);

	assert_true(r.z == 0 && r.p_two_sided == 1 && r.p_greater == 1 && r.p_less == 1 && r.cles == 0.5);
	r = rank_sum(none, one, 3, true);
	assert_true(r.u == 0 && r.z == 0 && r.p_two_sided == 1 && r.cles == 0.5);
	r = rank_sum(high, one, 3, true);
	assert_true(r.cles == 1 && r.u == 35 && r.p_greater < 0.01);
	r = rank_sum(huge, huge, 3, true);
	assert_true(fabs(r.z) < 1e-3 && r.p_two_sided > 0.999);
	for (int i = 0; i < 16; i++) {
		r = rank_sum(all[i % 4], all[i / 4], 3, i % 3);
		assert_true(isfinite(r.u) && isfinite(r.z) && r.cles >= 0 && r.cles <= 1 && r.p_two_sided >= 0 &&
		            r.p_two_sided <= 1 && r.p_greater >= 0 && r.p_greater <= 1 && r.p_less >= 0 &&
		            r.p_less <= 1);
	}
}

/* --- differences of shares ---------------------------------------------------------------------------------------- */

/*
 * Newcombe's examples (1998): method 10, Mee and Miettinen-Nurminen for 56/70 - 48/80; method 10 for 9/10 - 3/10. The
 * ends of the two score intervals were confirmed with the closed form of their cubic in 40-digit arithmetic.
 */
static void intervals_of_a_difference_are_the_published_ones(void **state)
{
	double low, high;

	difference_newcombe(56, 70, 48, 80, 0.05, &low, &high);
	assert_near(low, .05243147, 5e-9);
	assert_near(high, .33387265, 5e-9);
	difference_newcombe(9, 10, 3, 10, 0.05, &low, &high);
	assert_near(low, .1705227, 5e-8);
	assert_near(high, .8090180, 5e-8);
	difference_score_interval(56, 70, 48, 80, 0.05, SCORE_MIETTINEN_NURMINEN, &low, &high);
	assert_near(low, .052829713246, 1e-12);
	assert_near(high, .338172940016, 1e-12);
	difference_score_interval(56, 70, 48, 80, 0.05, SCORE_MEE, &low, &high);
	assert_near(low, .053333849291, 1e-12);
	assert_near(high, .337729463741, 1e-12);
}

/* Against no difference Mee's is the pooled test. R: prop.test(c(12, 95), c(500, 9500), correct = FALSE). */
static void the_score_statistic_of_no_difference_is_that_of_prop_test(void **state)
{
	double z = difference_score(12, 500, 95, 9500, 0, SCORE_MEE);

	assert_close(z * z, 8.79504152374, 1e-11);
	assert_close(2 * normal_below(-z), .00302050369652, 1e-11);
	assert_close(difference_score(95, 9500, 12, 500, 0, SCORE_MEE), -z, 1e-12);
	z = difference_score(12, 500, 95, 9500, 0, SCORE_MIETTINEN_NURMINEN);
	assert_close(z * z, 8.79504152374 * 9999 / 10000, 1e-11);
}

/* The constrained shares solve the likelihood's cubic (Miettinen and Nurminen 1985), for rare events too. */
static void rare_events_are_scored_as_precisely_as_common_ones(void **state)
{
	/* Poisson limit: shares of a millionth part, scaled a million times each way. */
	double common = difference_score(30, 1e6, 20, 1e6, 5e-6, SCORE_MEE);
	double rare = difference_score(30, 1e12, 20, 1e12, 5e-12, SCORE_MEE);

	assert_close(rare, common, 1e-4);
	/* By hand for Poisson counts: l1 - l2 = 5, n = 1: 30/(l+5) + 20/l = 2, 2 l^2 - 40 l - 100 = 0, l = 10 +
	 * sqrt(150). */
	assert_close(rare, 5 / sqrt(2 * (10 + sqrt(150)) + 5), 1e-9);
}

static void excess_events_are_those_beyond_the_baselines_share(void **state)
{
	struct excess x;

	assert_true(excess_events(12, 500, 95, 9500, 0.05, &x));
	assert_near(x.events, 7, 1e-12);
	assert_true(x.low > 0 && x.low < 7 && x.high > 7 && x.high < 20);
	assert_true(excess_events(0, 500, 95, 9500, 0.05, &x));
	assert_near(x.events, -5, 1e-12);
	assert_true(excess_events(0, 0, 95, 9500, 0.05, &x));
	assert_true(x.events == 0 && x.low == 0 && x.high == 0);
	assert_false(excess_events(3, 10, 0, 0, 0.05, &x));
}

static void differences_without_events_without_data_or_of_huge_counts_are_finite(void **state)
{
	static const double counts[][2] = { { 0, 0 },       { 0, 10 },   { 10, 10 }, { 0, 1e19 },
		                            { 1e19, 1e19 }, { 3, 1e19 }, { 1, 1 } };

	for (int i = 0; i < 49; i++) {
		const double *a = counts[i % 7], *b = counts[i / 7];
		double low, high, d = a[1] > 0 && b[1] > 0 ? a[0] / a[1] - b[0] / b[1] : 0;

		for (int kind = 0; kind < 3; kind++) {
			if (kind < 2)
				difference_score_interval(a[0], a[1], b[0], b[1], 0.05, (enum score_variance)kind, &low,
				                          &high);
			else
				difference_newcombe(a[0], a[1], b[0], b[1], 0.05, &low, &high);
			if (!(low >= -1 && low <= d + 1e-12 && high >= d - 1e-12 && high <= 1))
				fail_msg("%g/%g - %g/%g: %g to %g", a[0], a[1], b[0], b[1], low, high);
			if (a[1] <= 0 || b[1] <= 0)
				assert_true(low == -1 && high == 1);
		}
		assert_false(isnan(difference_score(a[0], a[1], b[0], b[1], 0, SCORE_MEE)));
		assert_false(isnan(difference_score(a[0], a[1], b[0], b[1], 0.999, SCORE_MIETTINEN_NURMINEN)));
	}
	assert_true(difference_score(0, 100, 0, 100, 0, SCORE_MEE) == 0);
	assert_true(difference_score(0, 0, 5, 100, 0.1, SCORE_MEE) == 0);
	assert_true(difference_score(10, 10, 0, 10, 1, SCORE_MEE) == 0);
	assert_true(difference_score(9, 10, 0, 10, 1, SCORE_MEE) == -INFINITY);
	assert_true(difference_score(0, 1e4, 0, 1e4, 0.01, SCORE_MEE) < -3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rank_sums_of_bucket_counts_are_those_of_r),
		cmocka_unit_test(a_far_tail_keeps_its_digits),
		cmocka_unit_test(the_ozone_of_may_and_august_is_as_in_the_manual),
		cmocka_unit_test(the_permeability_of_membranes_is_as_in_the_manual),
		cmocka_unit_test(rank_sums_of_nothing_or_one_bucket_or_huge_counts_are_finite),
		cmocka_unit_test(intervals_of_a_difference_are_the_published_ones),
		cmocka_unit_test(the_score_statistic_of_no_difference_is_that_of_prop_test),
		cmocka_unit_test(rare_events_are_scored_as_precisely_as_common_ones),
		cmocka_unit_test(excess_events_are_those_beyond_the_baselines_share),
		cmocka_unit_test(differences_without_events_without_data_or_of_huge_counts_are_finite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
