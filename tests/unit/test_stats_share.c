/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Evidence about one arm's share. Oracles: the fixtures of the confseq library (its "reference implementation in R"),
 * numerical integration of the mixture's definition in R, and Ville's inequality on simulated counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "dice.h"
#include "judge/stats/share.h"

static void assert_near(double got, double want, double off)
{
	if (!(fabs(got - want) <= off))
		fail_msg("got %.12g, want %.12g", got, want);
}

static double log_e(enum share_side side, double p0, double t_opt, double k, double n)
{
	struct share_test t;

	share_test__init(&t, side, p0, t_opt, 0.05);
	return share_test__log_e(&t, k, n);
}

/*
 * confseq: beta_binomial_log_mixture(s = 10, v = 100, v_opt = 100, g = .2, h = .8, alpha_opt = .05) and the s at which
 * it reaches log(20). Bernoulli trials of share g: n = v / gh = 625 of them, k = s + n g; t_opt = v_opt / gh.
 */
static void the_mixture_and_its_boundary_are_those_of_confseq(void **state)
{
	assert_near(log_e(SHARE_DIFFERS, 0.2, 625, 135, 625), -0.6941012, 1e-7);
	assert_near(log_e(SHARE_ABOVE, 0.2, 625, 135, 625), -0.07134019, 1e-8);
	assert_near(log_e(SHARE_DIFFERS, 0.2, 625, 125 + 31.4308, 625), log(20), 1e-5);
	assert_near(log_e(SHARE_ABOVE, 0.2, 625, 125 + 28.41238, 625), log(20), 1e-5);
}

/* The prior of one-sided mixtures at 0.05 and 0.95, t_opt 1000 and 19000. */
static void the_prior_is_the_published_one(void **state)
{
	struct share_test t;

	share_test__init(&t, SHARE_ABOVE, 0.05, 1000, 0.05);
	assert_near(t.a, 7.85031745, 5e-9);
	assert_near(t.b, 149.15603162, 5e-9);
	share_test__init(&t, SHARE_ABOVE, 0.95, 19000, 0.05);
	assert_near(t.a, 2851.06460069, 5e-9);
	assert_near(t.b, 150.05603162, 5e-9);
}

/*
 * R: log(integrate(function(t) exp(k*log(t/p0) + (n-k)*log((1-t)/(1-p0))) * dbeta(t, a, b), lo, 1)$value /
 *    pbeta(lo, a, b, lower = FALSE)), in pieces around the peak; lo = p0 for SHARE_ABOVE, 0 for SHARE_DIFFERS.
 */
static void the_mixture_is_what_integrating_its_definition_gives(void **state)
{
	assert_near(log_e(SHARE_ABOVE, 0.005, 500, 12, 900), 3.34779260335, 1e-9);
	assert_near(log_e(SHARE_ABOVE, 0.005, 500, 0, 900), -2.05890614863, 1e-9);
	assert_near(log_e(SHARE_ABOVE, 0.05, 2000, 3, 40), 0.133211824438, 1e-9);
	assert_near(log_e(SHARE_ABOVE, 0.9, 300, 950, 1000), 15.1198237389, 1e-9);
	assert_near(log_e(SHARE_DIFFERS, 0.05, 1000, 30, 1000), 3.35967626384, 1e-9);
}

static void assert_interval(double k, double n, double t_opt, double want_low, double want_high)
{
	const struct share_level level = { 0.05, t_opt, 0.05 };
	double low, high;

	share__interval(k, n, &level, &low, &high);
	if (want_low == 0)
		assert_true(low == 0);      /* no limit is said as such */
	assert_near(low, want_low, 1.1e-6); /* printed to six digits, some of them cut */
	assert_near(high, want_high, 1.1e-6);
}

/* confseq: bernoulli_confidence_interval(k, n, .05, t_opt) */
static void the_confidence_sequence_of_a_share_is_that_of_confseq(void **state)
{
	assert_interval(700, 1000, 100, 0.651629, 0.745949);
	assert_interval(15, 50, 50, 0.129556, 0.511896);
	assert_interval(5, 50, 50, 0.013021, 0.269264);
	assert_interval(1, 50, 50, 0, 0.134891);
	assert_interval(100, 200, 1, 0.328923, 0.671076);
	assert_interval(1, 2, 50, 0, 1);
	assert_interval(0, 1, 50, 0, 1);
	assert_interval(1, 1, 50, 0, 1);
}

static void a_bound_is_where_the_one_sided_test_just_rejects(void **state)
{
	static const double counts[][2] = { { 12, 900 }, { 2, 30 }, { 900, 1000 }, { 40, 40 }, { 1e9, 3e11 } };
	const struct share_level level = { 0.01, 500, 0.05 };

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		double k = counts[i][0], n = counts[i][1], low = share__lower(k, n, &level);
		double lack = share__upper(k, n, &level);

		assert_near(log_e(SHARE_ABOVE, low, 500, k, n), log(100), 1e-4);
		assert_true(log_e(SHARE_ABOVE, low, 500, k, n) >= log(100)); /* rounded outwards */
		assert_true(low < k / n && k / n <= lack);
		if (k < n)
			assert_near(log_e(SHARE_ABOVE, 1 - lack, 500, n - k, n), log(100), 1e-4);
		assert_near(share__lower(n - k, n, &level), 1 - lack, 1e-12);
	}
}

/* A hard stop: errors must be at most 0.5 %. R: binom.test(12, 900, .005, "greater") gives .0023 when looked at once.
 */
static void a_share_beyond_its_limit_is_found_and_one_within_is_not(void **state)
{
	assert_true(log_e(SHARE_ABOVE, 0.005, 500, 12, 900) > log(20));
	assert_true(log_e(SHARE_ABOVE, 0.005, 500, 40, 900) > log(1e6));
	assert_true(log_e(SHARE_ABOVE, 0.005, 500, 4, 900) < 0);
}

/* Shares of 1 % that are 1 %, a look after every 50 units: crossed in at most alpha of the runs, and not in none. */
static void no_test_of_a_share_crosses_its_bound_more_often_than_alpha(void **state)
{
	struct dice d = { 11 };
	struct share_test above, differs;
	int crossed_above = 0, crossed_differs = 0;
	const int runs = 2000;

	share_test__init(&above, SHARE_ABOVE, 0.01, 1000, 0.05);
	share_test__init(&differs, SHARE_DIFFERS, 0.01, 1000, 0.05);
	for (int i = 0; i < runs; i++) {
		bool over_above = false, over_differs = false;
		unsigned int k = 0;

		for (unsigned int n = 50; n <= 5000; n += 50) {
			k += dice_binomial(&d, 50, 0.01);
			over_above |= share_test__log_e(&above, k, n) >= log(20);
			over_differs |= share_test__log_e(&differs, k, n) >= log(20);
		}
		crossed_above += over_above;
		crossed_differs += over_differs;
	}
	print_message("crossed 1/alpha in %d and %d of %d null runs\n", crossed_above, crossed_differs, runs);
	assert_in_range(crossed_above, runs / 200, runs / 20);
	assert_in_range(crossed_differs, runs / 200, runs / 20);
}

static void counts_of_nothing_of_everything_and_beyond_32_bits_are_finite(void **state)
{
	static const double n[] = { 0, 1, 7, 1e5, 4294967296.0 * 3, 1.8e19 };
	static const double share[] = { 0, 1e-12, 0.05, 0.5, 1, 1.5 };
	static const double p0[] = { 1e-9, 0.005, 0.05, 0.5, 0.95, 1 - 1e-9 };

	for (int c = 0; c < 6 * 6 * 6; c++) {
		double total = n[c % 6], k = total * share[c / 6 % 6], p = p0[c / 36];
		const struct share_level level = { 0.05, c % 2 ? 0.5 : 1e6, 0.05 };
		double low, high;

		assert_true(isfinite(log_e(SHARE_ABOVE, p, level.t_opt, k, total)));
		assert_true(isfinite(log_e(SHARE_DIFFERS, p, level.t_opt, k, total)));
		share__interval(k, total, &level, &low, &high);
		assert_true(low >= 0 && low <= high && high <= 1);
		assert_true(share__lower(k, total, &level) <= fmin(1, total > 0 ? k / total : 0));
		assert_true(share__upper(k, total, &level) >= fmin(1, total > 0 ? k / total : 1));
	}
	assert_near(log_e(SHARE_ABOVE, 0.05, 100, 0, 0), 0, 0);
	assert_near(log_e(SHARE_ABOVE, 0.05, 100, -1, 10), log_e(SHARE_ABOVE, 0.05, 100, 0, 10), 0);
	assert_near(log_e(SHARE_ABOVE, 0.05, 100, 11, 10), log_e(SHARE_ABOVE, 0.05, 100, 10, 10), 0);
}

/* Fractions, as left by a dispersion factor, lie between the whole numbers around them. */
static void fractions_of_counts_weigh_in_between(void **state)
{
	double less = log_e(SHARE_ABOVE, 0.01, 500, 7, 300), more = log_e(SHARE_ABOVE, 0.01, 500, 8, 300);
	double half = log_e(SHARE_ABOVE, 0.01, 500, 7.5, 300);

	assert_true(less < half && half < more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mixture_and_its_boundary_are_those_of_confseq),
		cmocka_unit_test(the_prior_is_the_published_one),
		cmocka_unit_test(the_mixture_is_what_integrating_its_definition_gives),
		cmocka_unit_test(the_confidence_sequence_of_a_share_is_that_of_confseq),
		cmocka_unit_test(a_bound_is_where_the_one_sided_test_just_rejects),
		cmocka_unit_test(a_share_beyond_its_limit_is_found_and_one_within_is_not),
		cmocka_unit_test(no_test_of_a_share_crosses_its_bound_more_often_than_alpha),
		cmocka_unit_test(counts_of_nothing_of_everything_and_beyond_32_bits_are_finite),
		cmocka_unit_test(fractions_of_counts_weigh_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
