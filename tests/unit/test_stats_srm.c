/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sample-ratio mismatch against the fixture of the ssrm package, R's chisq.test and dmultinom, and Ville's inequality.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "dice.h"
#include "judge/stats/srm.h"

static void assert_near(double got, double want, double off)
{
	if (!(fabs(got - want) <= off))
		fail_msg("got %.12g, want %.12g", got, want);
}

static const double rows[4][3] = { { 20, 17, 9 }, { 18, 21, 8 }, { 4, 6, 4 }, { 18, 19, 11 } };
static const double plan[3] = { 0.4, 0.4, 0.2 };

/*
 * ssrm: log marginal likelihoods of the rows so far under Dirichlet(1, 1, 1), and under the plan (R:
 * cumsum(dmultinom(row, prob = plan, log = TRUE))). Priors here are proportional to the plan: Dirichlet(2, 2, 1)
 * becomes that of the fixture by taking back one unit of each of the first two arms.
 */
static void the_bayes_factor_is_that_of_ssrm(void **state)
{
	static const double log_m1[4] = { -7.028201, -11.947848, -15.471402, -19.964845 };
	static const double log_m0[4] = { -4.07764064661, -8.2659468611, -11.6107435195, -15.7810312285 };
	struct srm s;
	double start;

	srm__init(&s, plan, 3, 5);
	srm__add(&s, (const double[3]){ -1, -1, 0 });
	start = srm__log_e(&s);
	for (int i = 0; i < 4; i++) {
		srm__add(&s, rows[i]);
		assert_near(srm__log_e(&s) - start, log_m1[i] - log_m0[i], 1e-6);
	}
}

/* From the definition, by lgamma: R: lgamma, with a = (4000, 4000, 2000). */
static void the_default_prior_gives_the_defined_bayes_factor(void **state)
{
	double want = lgamma(10000) - lgamma(10155), sum[3] = { 0 };
	struct srm s;

	srm__init(&s, plan, 3, SRM_CONCENTRATION);
	for (int i = 0; i < 4; i++) {
		srm__add(&s, rows[i]);
		for (int k = 0; k < 3; k++)
			sum[k] += rows[i][k];
	}
	for (int k = 0; k < 3; k++)
		want += lgamma(10000 * plan[k] + sum[k]) - lgamma(10000 * plan[k]) - sum[k] * log(plan[k]);
	assert_near(srm__log_e(&s), want, 1e-9);
}

static void splitting_ticks_and_merging_hosts_changes_no_evidence(void **state)
{
	struct srm a, b, c;

	srm__init(&a, plan, 3, 100);
	srm__init(&b, plan, 3, 100);
	srm__init(&c, (const double[3]){ 40, 40, 20 }, 3, 100);
	for (int i = 0; i < 4; i++)
		srm__add(&a, rows[i]);
	for (int i = 3; i >= 0; i--)
		srm__add(&b, rows[i]);
	srm__add(&c, (const double[3]){ 60, 63, 32 });
	assert_near(srm__log_e(&b), srm__log_e(&a), 1e-12);
	assert_near(srm__log_e(&c), srm__log_e(&a), 1e-12);
}

/* 5.21 % of 100,000 instead of 5 %, and 6.5 % of 20,000: the one is certain enough and small, the other matters. */
static void a_mismatch_needs_evidence_and_a_deviation_that_matters(void **state)
{
	const double shares[2] = { 5, 95 };
	struct srm s;

	srm__init(&s, shares, 2, SRM_CONCENTRATION);
	for (int i = 0; i < 100; i++)
		srm__add(&s, (const double[2]){ 521, 9479 });
	assert_true(srm__p(&s) < 0.001);
	assert_near(srm__deviation(&s), 0.042, 1e-12);
	assert_false(srm__mismatch(&s, 0.01, 0.1));
	assert_true(srm__mismatch(&s, 0.01, 0.04));
	srm__init(&s, shares, 2, SRM_CONCENTRATION);
	for (int i = 0; i < 20; i++)
		srm__add(&s, (const double[2]){ 65, 935 });
	assert_true(srm__mismatch(&s, 0.01, 0.1));
	/* Far off, and far too few to tell. */
	srm__init(&s, shares, 2, SRM_CONCENTRATION);
	srm__add(&s, (const double[2]){ 1, 9 });
	assert_near(srm__deviation(&s), 1, 1e-12);
	assert_false(srm__mismatch(&s, 0.01, 0.1));
}

static void a_new_stage_keeps_the_evidence_and_starts_to_count_again(void **state)
{
	const double five[2] = { 5, 95 }, half[2] = { 1, 1 }, all[2] = { 1, 0 };
	struct srm s;
	double before;

	srm__init(&s, five, 2, SRM_CONCENTRATION);
	srm__add(&s, (const double[2]){ 80, 920 });
	before = srm__log_e(&s);
	srm__plan(&s, half);
	assert_near(srm__log_e(&s), before, 0);
	assert_near(srm__deviation(&s), 0, 0);
	srm__add(&s, (const double[2]){ 500, 500 });
	assert_true(srm__log_e(&s) < before);         /* even split: speaks for the plan */
	assert_near(srm__p(&s), exp(-before), 1e-12); /* the least of all times */
	srm__plan(&s, all);
	before = srm__log_e(&s);
	srm__add(&s, (const double[2]){ 1000, 3 }); /* the last of the old version finish */
	assert_near(srm__log_e(&s), before, 0);
	assert_near(srm__deviation(&s), 0, 0);
}

/* A plan that holds, through two stages, a look at every tick. */
static void a_plan_that_holds_is_doubted_in_at_most_alpha_of_the_runs(void **state)
{
	const double five[2] = { 5, 95 }, quarter[2] = { 25, 75 };
	const int runs = 1000;
	struct dice d = { 43 };
	int doubted = 0;

	for (int i = 0; i < runs; i++) {
		struct srm s;

		srm__init(&s, five, 2, 200);
		for (int t = 0; t < 100; t++) {
			unsigned int k = dice_binomial(&d, 60, t < 50 ? 0.05 : 0.25);

			if (t == 50)
				srm__plan(&s, quarter);
			srm__add(&s, (const double[2]){ k, 60 - k });
		}
		doubted += srm__p(&s) <= 0.05;
	}
	print_message("p <= 0.05 in %d of %d null runs\n", doubted, runs);
	assert_in_range(doubted, 1, runs / 20);
}

/* R: chisq.test(c(5210, 94790), p = c(.05, .95)), chisq.test(c(821588, 815482)), and one with three degrees of freedom.
 */
static void the_one_shot_test_is_that_of_r(void **state)
{
	const double shares[2] = { 5, 95 }, even[2] = { 1, 1 }, four[4] = { 20, 20, 10, 50 };
	double x;

	assert_near(srm_chi_square((const double[2]){ 5210, 94790 }, shares, 2, &x), .002311375172, 1e-12);
	assert_near(x, 9.284210526, 1e-9);
	assert_near(srm_chi_square((const double[2]){ 821588, 815482 }, even, 2, &x), 1.821792873e-06, 1e-15);
	assert_near(x, 22.77436884, 1e-8);
	assert_near(srm_chi_square((const double[4]){ 18, 19, 11, 52 }, four, 4, &x), 0.933977797949, 1e-12);
	assert_near(x, 0.43, 1e-12);
}

static void nothing_counted_and_counts_beyond_32_bits_are_finite(void **state)
{
	static const double units[][3] = { { 0, 0, 0 },          { 1e19, 0, 0 },         { 0, 0, 1e19 },
		                           { 1e19, 1e19, 5e18 }, { 4e12, 4.1e12, 2e12 }, { 1, 1e19, 1 } };
	static const double plans[][3] = {
		{ 0.4, 0.4, 0.2 }, { 1, 0, 0 }, { 0, 0, 0 }, { 0, 1e-9, 1 }, { 1e-9, 0, 1 }
	};

	for (int i = 0; i < 6 * 5; i++) {
		struct srm s;
		double p, x;

		srm__init(&s, plans[i / 6], 3, SRM_CONCENTRATION);
		assert_near(srm__log_e(&s), 0, 0);
		srm__add(&s, units[i % 6]);
		assert_true(isfinite(srm__log_e(&s)));
		assert_true(srm__p(&s) >= 0 && srm__p(&s) <= 1);
		assert_true(isfinite(srm__deviation(&s)));
		p = srm_chi_square(units[i % 6], plans[i / 6], 3, &x);
		assert_true(p >= 0 && p <= 1 && isfinite(x));
		if (i % 6 == 0)
			assert_true(p == 1 && x == 0 && srm__p(&s) == 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bayes_factor_is_that_of_ssrm),
		cmocka_unit_test(the_default_prior_gives_the_defined_bayes_factor),
		cmocka_unit_test(splitting_ticks_and_merging_hosts_changes_no_evidence),
		cmocka_unit_test(a_mismatch_needs_evidence_and_a_deviation_that_matters),
		cmocka_unit_test(a_new_stage_keeps_the_evidence_and_starts_to_count_again),
		cmocka_unit_test(a_plan_that_holds_is_doubted_in_at_most_alpha_of_the_runs),
		cmocka_unit_test(the_one_shot_test_is_that_of_r),
		cmocka_unit_test(nothing_counted_and_counts_beyond_32_bits_are_finite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
