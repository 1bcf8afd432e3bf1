/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Many endpoints at once, against R's p.adjust and arithmetic written out from the definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "dice.h"
#include "judge/stats/multiplicity.h"

/* The 15 p-values of Benjamini and Hochberg's paper (1995). */
static const double paper[15] = { .0001, .0004, .0019, .0095, .0201, .0278, .0298, .0344,
	                          .0459, .3240, .4262, .5719, .6528, .7590, 1 };

static void assert_near(double got, double want, double off)
{
	if (!(fabs(got - want) <= off))
		fail_msg("got %.12g, want %.12g", got, want);
}

static int below_alpha(const double *p, size_t n)
{
	int count = 0;

	for (size_t i = 0; i < n; i++)
		count += p[i] <= 0.05;
	return count;
}

/* R: p.adjust(p, "BH") and p.adjust(p, "holm"); the paper rejects 4 by the one and 3 by the other. */
static void adjusted_p_values_are_those_of_r_and_of_the_paper(void **state)
{
	static const double bh[15] = { 0.0015,          0.003,           0.0095,         0.035625,       0.0603,
		                       0.0638571428571, 0.0638571428571, 0.0645,         0.0765,         0.486,
		                       0.581181818182,  0.714875,        0.753230769231, 0.813214285714, 1 };
	static const double holm[15] = { 0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278, 0.278, 0.278,
		                         0.3213, 1,      1,      1,     1,      1,     1 };
	double adjusted[15];
	size_t order[15];

	p_adjust_bh(paper, 15, order, adjusted);
	for (int i = 0; i < 15; i++)
		assert_near(adjusted[i], bh[i], 1e-12);
	assert_int_equal(below_alpha(adjusted, 15), 4);
	p_adjust_holm(paper, 15, order, adjusted);
	for (int i = 0; i < 15; i++)
		assert_near(adjusted[i], holm[i], 1e-12);
	assert_int_equal(below_alpha(adjusted, 15), 3);
}

/* R: p.adjust(c(.04, .01, .5, .01, .9), ...), which has a tie. */
static void adjusted_p_values_stay_with_their_endpoint(void **state)
{
	static const double p[5] = { .04, .01, .5, .01, .9 }, bh[5] = { 0.0666666666667, 0.025, 0.625, 0.025, 0.9 };
	static const double holm[5] = { 0.12, 0.05, 1, 0.05, 1 };
	double adjusted[5];
	size_t order[5];

	p_adjust_bh(p, 5, order, adjusted);
	for (int i = 0; i < 5; i++)
		assert_near(adjusted[i], bh[i], 1e-12);
	p_adjust_holm(p, 5, order, adjusted);
	for (int i = 0; i < 5; i++)
		assert_near(adjusted[i], holm[i], 1e-12);
}

/* With E = 1/p, k E_(k) / n >= 1/alpha is p_(k) <= alpha k / n: Benjamini and Hochberg's rule, so their paper's four.
 */
static void e_bh_on_inverted_p_values_flags_what_the_paper_rejects(void **state)
{
	double log_e[15];
	size_t order[15];
	bool flag[15];

	for (int i = 0; i < 15; i++)
		log_e[14 - i] = -log(paper[i]);
	assert_int_equal(flag_e_bh(log_e, 15, 0.05, order, flag), 4);
	for (int i = 0; i < 15; i++) {
		assert_int_equal(flag[14 - i], i < 4);
		assert_int_equal(order[i], 14 - i);
	}
	/* 3 E-values of 40 of 6: 3 * 40 / 6 = 20; alone, 1 * 40 / 6 would not do. */
	for (int i = 0; i < 6; i++)
		log_e[i] = i % 2 ? log(40.0001) : -INFINITY;
	assert_int_equal(flag_e_bh(log_e, 6, 0.05, order, flag), 3);
	assert_true(flag[1] && flag[3] && flag[5] && !flag[0]);
	log_e[1] = 0;
	assert_int_equal(flag_e_bh(log_e, 6, 0.05, order, flag), 0);
	assert_false(flag[3]);
}

static void a_weighted_flag_takes_its_endpoints_part_of_alpha(void **state)
{
	const double weight[4] = { 3, 1, 0, 1 }; /* 60, 20, 0 and 20 % */
	double log_e[4] = { log(34), log(34), INFINITY, log(101) };
	bool flag[4];

	assert_int_equal(flag_weighted(log_e, weight, 4, 0.05, flag), 2);
	assert_true(flag[0] && !flag[1] && !flag[2] && flag[3]); /* 33.3, 100, never, 100 are needed */
	log_e[0] = log(33);
	log_e[3] = -INFINITY;
	assert_int_equal(flag_weighted(log_e, weight, 4, 0.05, flag), 0);
}

static void the_mean_e_value_is_the_weighted_one_whatever_the_scale_of_the_weights(void **state)
{
	const double log_e[3] = { log(30), log(2), -INFINITY }, weight[3] = { 1, 2, 1 }, percent[3] = { 25, 50, 25 };
	const double huge[2] = { 5000, 4000 }, half[2] = { 0.5, 0.5 };

	assert_near(exp(log_e_mean(log_e, weight, 3)), 8.5, 1e-12);
	assert_near(exp(log_e_mean(log_e, percent, 3)), 8.5, 1e-12);
	assert_near(log_e_mean(huge, half, 2), 5000 - M_LN2, 1e-9);
}

static void endpoints_without_a_stake_and_infinite_evidence_are_taken(void **state)
{
	const double sure[2] = { INFINITY, 0 }, never[2] = { -INFINITY, -INFINITY }, none[2] = { 0, 0 },
		     one[2] = { 0, 1 };
	const double odd[2] = { NAN, -3 }, part[3] = { NAN, -3, 2 }, both[2] = { 1, 1 }, three[3] = { 7, 8, 1 };
	bool flag[3];

	assert_near(log_e_mean(three, part, 3), 1, 1e-15);
	assert_int_equal(flag_weighted(three, part, 3, 0.5, flag), 1);
	assert_near(log_e_mean(sure, one, 2), 0, 0); /* what has no stake cannot win */
	assert_true(log_e_mean(sure, both, 2) == INFINITY);
	assert_true(log_e_mean(never, both, 2) == -INFINITY);
	assert_near(log_e_mean(sure, none, 2), 0, 0);
	assert_near(log_e_mean(sure, odd, 2), 0, 0);
	assert_near(log_e_mean(NULL, NULL, 0), 0, 0);
	assert_int_equal(flag_weighted(sure, none, 2, 0.05, flag), 0);
	assert_int_equal(flag_weighted(NULL, NULL, 0, 0.05, flag), 0);
	assert_int_equal(flag_e_bh(NULL, 0, 0.05, NULL, NULL), 0);
}

static void the_order_of_the_endpoints_does_not_matter(void **state)
{
	enum { N = 40 };
	struct dice d = { 41 };
	double log_e[N], weight[N], turned_e[N], turned_w[N], p[N], turned_p[N], holm[N], bh[N], turned[N];
	bool flag[N], turned_flag[N];
	size_t order[N];

	for (int i = 0; i < N; i++) {
		log_e[i] = 8 * dice_uniform(&d) - (i % 7 ? 3 : 0);
		weight[i] = dice_uniform(&d);
		p[i] = pow(dice_uniform(&d), 4);
	}
	for (int i = 0; i < N; i++) {
		turned_e[i] = log_e[(i * 17 + 5) % N]; /* 17 and 40 have no common factor */
		turned_w[i] = weight[(i * 17 + 5) % N];
		turned_p[i] = p[(i * 17 + 5) % N];
	}
	assert_near(log_e_mean(turned_e, turned_w, N), log_e_mean(log_e, weight, N), 1e-12);
	assert_int_equal(flag_weighted(turned_e, turned_w, N, 0.05, turned_flag),
	                 flag_weighted(log_e, weight, N, 0.05, flag));
	for (int i = 0; i < N; i++)
		assert_int_equal(turned_flag[i], flag[(i * 17 + 5) % N]);
	assert_true(flag_e_bh(log_e, N, 0.05, order, flag) > 0);
	assert_true(flag_e_bh(turned_e, N, 0.05, order, turned_flag) < N);
	for (int i = 0; i < N; i++)
		assert_int_equal(turned_flag[i], flag[(i * 17 + 5) % N]);
	p_adjust_holm(p, N, order, holm);
	p_adjust_bh(p, N, order, bh);
	p_adjust_holm(turned_p, N, order, turned);
	for (int i = 0; i < N; i++)
		assert_near(turned[i], holm[(i * 17 + 5) % N], 1e-15);
	p_adjust_bh(turned_p, N, order, turned);
	for (int i = 0; i < N; i++)
		assert_near(turned[i], bh[(i * 17 + 5) % N], 1e-15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adjusted_p_values_are_those_of_r_and_of_the_paper),
		cmocka_unit_test(adjusted_p_values_stay_with_their_endpoint),
		cmocka_unit_test(e_bh_on_inverted_p_values_flags_what_the_paper_rejects),
		cmocka_unit_test(a_weighted_flag_takes_its_endpoints_part_of_alpha),
		cmocka_unit_test(the_mean_e_value_is_the_weighted_one_whatever_the_scale_of_the_weights),
		cmocka_unit_test(endpoints_without_a_stake_and_infinite_evidence_are_taken),
		cmocka_unit_test(the_order_of_the_endpoints_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
