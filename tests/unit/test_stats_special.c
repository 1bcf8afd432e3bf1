/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The special functions under the statistics, against R 4.2.2 (each test says the call) and published figures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "judge/stats/beta.h"
#include "judge/stats/logspace.h"
#include "judge/stats/normal.h"

/* Off by at most `error` of the larger of 1 and what is wanted: what a logarithm is good for. */
static void assert_log_close(double got, double want, double error)
{
	if (!(fabs(got - want) <= error * fmax(1, fabs(want))))
		fail_msg("got %.15g, want %.15g", got, want);
}

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.15g, want %.15g", got, want);
}

/* R: lbeta(a, b) */
static void the_beta_function_is_that_of_r(void **state)
{
	assert_log_close(log_beta(0.5, 0.5), 1.1447298858494, 1e-14);
	assert_log_close(log_beta(0.001, 1e4), 6.89796859496271, 1e-14);
	assert_log_close(log_beta(30, 70), -61.6866180786798, 1e-14);
	assert_log_close(log_beta(70, 30), -61.6866180786798, 1e-14);
	assert_log_close(log_beta(1e6, 2e6), -1909548.29096853, 1e-14);
	assert_log_close(log_beta(1e10, 5e8), -2010162869.62776, 1e-14);
	/* Gamma(10.5) = 1 / (B(10.5, 1) * 10.5) * Gamma(10.5): by B(10, 0.5) = Gamma(10) Gamma(0.5) / Gamma(10.5) */
	assert_log_close(log(362880) + 0.5 * log(M_PI) - log_beta(10, 0.5), 13.940625219404, 1e-13);
}

/* R: digamma(z) */
static void digamma_is_that_of_r(void **state)
{
	static const double z[6] = { 1, .5, 1e-3, 10.3, 1e6, 17 };
	static const double want[6] = { -0.577215664901532, -1.96351002602142, -1000.57557193181,
		                        2.28281544643912,   13.8155100579642,  2.80351332832746 };

	for (int i = 0; i < 6; i++)
		assert_close(digamma(z[i]), want[i], 1e-14);
}

/*
 * R: pbeta(x, a, b, log.p = TRUE) and the same with lower.tail = FALSE. The rows take every branch: few and many,
 * either side of the mean, parameters far below 1, tails of exp(-515).
 */
static void the_tails_of_a_beta_distribution_are_those_of_r(void **state)
{
	static const struct {
		double a, b, x, below, above;
	} rows[] = {
		{ 2, 5, .3, -0.545028945107489, -0.867083987819507 },
		{ 0.5, 0.5, .1, -1.58556141473035, -0.229202827581115 },
		{ 0.02, 3.5, .005, -0.0728634615591772, -2.65537850752795 },
		{ 0.4, 78, .005, -0.362610474987182, -1.19025872234434 },
		{ 30, 9000, .004, -0.143069880935422, -2.01510430149782 },
		{ 7.5, 1e6, 1e-5, -0.188653191151863, -1.76068903435258 },
		{ 952, 50, .93, -5.55030813990009, -0.00389383067590888 },
		{ 50950, 1e6, .0484, -1.04465086491367, -0.433578556824749 },
		{ 1e6, 5e4, .9523, -1.05551618041979, -0.427730262601568 },
		{ 1e10, 2e10, .33333, -2.20422907704289, -0.116910912894092 },
		{ 500, 500, .9, -2.23212456110646e-224, -514.976106980757 },
		{ 2000, 3, .99, -14.7020566191395, -4.12076669825161e-07 },
		{ 19.5, 0.05, .95, -4.42397104620482, -0.0120589563796833 },
		{ 300, 0.01, .999, -4.70158556386988, -0.00912234978369282 },
		{ 2, 3, 1e-100, -458.725259129581, 0 },
		{ 200, 3e5, 1e-100, -44392.5599777113, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		double a = rows[i].a, b = rows[i].b, x = rows[i].x, error = a > 1e9 ? 1e-9 : 1e-12;

		assert_log_close(beta_log_below(a, b, x), rows[i].below, error);
		assert_log_close(beta_log_above(a, b, x), rows[i].above, error);
		assert_log_close(beta_log_below(b, a, 1 - x), rows[i].above, fmax(error, 1e-10)); /* 1 - x rounds */
		assert_log_close(beta_log_power(a, b, x) + beta_log_mills(a, b, x), rows[i].above, error);
	}
	assert_close(exp(beta_log_below(2, 5, .3)), 0.579825, 1e-12); /* exact: a binomial sum */
}

/* For counts beyond 2^60 the beta distribution of a rare event is a gamma. R: pgamma(n x, a). */
static void tails_of_huge_counts_are_those_of_their_limit(void **state)
{
	assert_close(exp(beta_log_below(25, 4e18, 25.1 / 4e18)), 0.534537436803906, 1e-12);
	assert_close(exp(beta_log_below(5, 1e19, 5.0447213595 / 1e19)), 0.567318451331308, 1e-11);
	assert_close(exp(beta_log_below(25, 4e18, 1e-17)), 0.995517343434427, 1e-12);
	assert_close(exp(beta_log_below(5, 1e19, 2.7639320225002104e-19)), 0.146750575458643, 1e-12);
	/* and where nothing is rare, a normal one: three standard deviations */
	assert_close(exp(beta_log_above(1e18, 1e18, 0.5 + 3 * sqrt(0.125e-18))), 0.00134989803163, 1e-6);
}

/*
 * R: binom.test(682, 925, .75), exact interval .7076682641 to .7654065582, p .3824915596; and poisson.test(c(11, 21),
 * c(800, 3011)), p .07966863, interval .8584264034 to 4.2772659437: their ends and tails are those of beta
 * distributions (Clopper and Pearson 1934). The two-sided p of binom.test adds the other tail as far as it is as
 * unlikely: 706 and more of the first; none of the second, where even 0 of 32 is likelier than 11.
 */
static void exact_binomial_tests_and_intervals_are_reproduced(void **state)
{
	double low = 0.8584264033916392 * 800 / (0.8584264033916392 * 800 + 3011);
	double high = 4.2772659436540712 * 800 / (4.2772659436540712 * 800 + 3011);

	assert_close(exp(beta_log_below(682, 244, .7076682640790390)), 0.025, 1e-12);
	assert_close(exp(beta_log_above(683, 243, .7654065582415253)), 0.025, 1e-12);
	assert_close(exp(beta_log_above(683, 243, .75)) + exp(beta_log_below(706, 220, .75)), .3824915596, 1e-9);
	assert_close(exp(beta_log_below(11, 22, low)), 0.025, 1e-12);
	assert_close(exp(beta_log_above(12, 21, high)), 0.025, 1e-12);
	assert_close(exp(beta_log_below(11, 22, 800 / 3811.0)) + exp(beta_log_above(3, 30, 800 / 3811.0)),
	             .07966863303332952, 1e-12);
}

static void tails_outside_the_unit_interval_are_certain_or_impossible(void **state)
{
	assert_true(beta_log_below(3, 4, 0) == -INFINITY && beta_log_above(3, 4, 0) == 0);
	assert_true(beta_log_below(3, 4, 1) == 0 && beta_log_above(3, 4, 1) == -INFINITY);
	assert_true(beta_log_below(3, 4, -1) == -INFINITY && beta_log_above(3, 4, 2) == -INFINITY);
	assert_true(beta_log_power(3, 4, 0) == -INFINITY && beta_log_power(3, 4, 1) == -INFINITY);
	assert_true(beta_log_power(3, 4, -0.5) == -INFINITY && beta_log_power(3, 4, 1.5) == -INFINITY);
}

/* Parameters over 26 decades in both places, x wherever it is worst. */
static void no_tail_is_ever_nan_or_more_than_certain(void **state)
{
	static const double x[] = { 1e-300, 1e-18, 1e-9, 0.001, 0.05, 0.5, 0.9, 0.95, 0.999999, 1 - 1e-16 };

	for (double a = 1e-6; a < 1e20; a *= 3) {
		for (double b = 1e-6; b < 1e20; b *= 3) {
			for (size_t i = 0; i <= sizeof(x) / sizeof(*x); i++) {
				double at = i < sizeof(x) / sizeof(*x) ? x[i] : a / (a + b);
				double below = beta_log_below(a, b, at), above = beta_log_above(a, b, at);

				if (!(below <= 0) || !(above <= 0) || !(fmax(below, above) >= log(0.49999)))
					fail_msg("a %g b %g x %g: %g and %g", a, b, at, below, above);
				if (at > 0 && at < 1 && isnan(beta_log_mills(a, b, at)))
					fail_msg("a %g b %g x %g: NaN", a, b, at);
			}
		}
	}
}

/* R: pnorm(z) and qnorm(p) */
static void the_normal_distribution_is_that_of_r(void **state)
{
	static const double quantiles[][2] = {
		{ .975, 1.95996398454005 },   { .05, -1.64485362695147 },     { 0.3, -0.524400512708041 },
		{ 1e-10, -6.36134090240406 }, { 0.999999, 4.75342430881709 }, { 1e-300, -37.0470962993612 },
	};

	assert_close(normal_below(-1.9599639845400545), 0.025, 1e-13);
	assert_close(normal_below(3), 0.99865010196837, 1e-14);
	assert_close(normal_below(-8), 6.22096057427178e-16, 1e-13);
	assert_close(normal_below(-37), 5.72557122252458e-300, 1e-12);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		assert_close(normal_quantile(quantiles[i][0]), quantiles[i][1], 1e-11);
	assert_true(fabs(normal_quantile(0.5)) < 1e-15);
	assert_true(normal_quantile(0) == -INFINITY && normal_quantile(1) == INFINITY);
}

/* R: pchisq(x, df, lower = FALSE); the first two are prop.test of the smokers and of 12/500 against 95/9500. */
static void the_chi_square_distribution_is_that_of_r(void **state)
{
	assert_close(chi_square_above(12.6004112971276, 3), 0.00558547666162702, 1e-12);
	assert_close(chi_square_above(8.79504152374, 1), 0.00302050369652375, 1e-12);
	assert_close(chi_square_above(100, 2), 1.92874984796392e-22, 1e-12);
	assert_close(chi_square_above(.01, 5), 0.999999469972996, 1e-12);
	assert_close(chi_square_above(250, 7), 2.7707117082473e-50, 1e-12);
	assert_close(chi_square_above(18.3, 10), 0.0501090614114625, 1e-12);
	assert_true(chi_square_above(0, 3) == 1 && chi_square_above(-1, 4) == 1);
	assert_true(chi_square_above(1e18, 1) == 0 && chi_square_above(1e18, 8) == 0);
}

static void sums_of_logarithms_hold_for_the_infinite_and_the_huge(void **state)
{
	const double none[3] = { -INFINITY, -INFINITY, -INFINITY }, mixed[3] = { -INFINITY, log(2), log(3) };
	const double huge[2] = { 1e6, 1e6 }, certain[2] = { INFINITY, 0 };

	assert_true(log_sum_exp(none, 3) == -INFINITY);
	assert_true(log_sum_exp(NULL, 0) == -INFINITY);
	assert_true(log_sum_exp(certain, 2) == INFINITY);
	assert_close(log_sum_exp(mixed, 3), log(5), 1e-15);
	assert_close(log_sum_exp(huge, 2), 1e6 + M_LN2, 1e-15);
	assert_close(log_mix(0.25, log(8), log(4)), log(5), 1e-15);
	assert_close(log_mix(0.25, -INFINITY, log(4)), log(3), 1e-15);
}

/* exp(-1e-20) is 1 - 1e-20, which no double tells from 1. */
static void one_less_a_probability_keeps_its_digits_at_both_ends(void **state)
{
	assert_close(log_one_minus_exp(-1e-20), log(1e-20), 1e-15);
	assert_close(log_one_minus_exp(-50), -1.9287498479639178e-22, 1e-14);
	assert_close(log_one_minus_exp(log(0.25)), log(0.75), 1e-15);
	assert_true(log_one_minus_exp(0) == -INFINITY && log_one_minus_exp(1e-17) == -INFINITY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_beta_function_is_that_of_r),
		cmocka_unit_test(digamma_is_that_of_r),
		cmocka_unit_test(the_tails_of_a_beta_distribution_are_those_of_r),
		cmocka_unit_test(tails_of_huge_counts_are_those_of_their_limit),
		cmocka_unit_test(exact_binomial_tests_and_intervals_are_reproduced),
		cmocka_unit_test(tails_outside_the_unit_interval_are_certain_or_impossible),
		cmocka_unit_test(no_tail_is_ever_nan_or_more_than_certain),
		cmocka_unit_test(the_normal_distribution_is_that_of_r),
		cmocka_unit_test(the_chi_square_distribution_is_that_of_r),
		cmocka_unit_test(sums_of_logarithms_hold_for_the_infinite_and_the_huge),
		cmocka_unit_test(one_less_a_probability_keeps_its_digits_at_both_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
