/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bets on blocks of ticks. The oracle is the definition of a fair bet, by enumeration of every way in which causes can
 * fall, and arithmetic.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge/bet.h"

static const struct pace whole = { .phi = 1, .discount = 1, .least = BET_LEAST };
static const struct pace single = { .phi = 1, .discount = 1, .least = 1 };

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

static void add(struct bet *b, double n_c, double n_b, double k_c, double k_b, const struct pace *pace)
{
	bet__add(b, 0, &(struct pair){ n_c, n_b, k_c, k_b }, pace);
}

/* At ratio 1.5 and a share of 5 % one bad event is the canary's with probability 0.075/1.025, not 0.05. */
static void a_bet_on_one_event_is_its_likelihood_ratio(void **state)
{
	const struct alternative half_more = { 1.5, 1 };
	struct bet b;

	bet__init(&b, 1, &half_more, 1, 0);
	add(&b, 50, 950, 1, 0, &single);
	assert_close(exp(bet__log_e(&b)), 0.075 / 1.025 / 0.05, 1e-12);
	bet__init(&b, 1, &half_more, 1, 0);
	add(&b, 50, 950, 0, 1, &single);
	assert_close(exp(bet__log_e(&b)), 0.95 / 1.025 / 0.95, 1e-12);
}

/* Causes of any size fall on the canary with probability theta0, each for itself: the wealth stays 1 on average. */
static void expect_fair(double rho0, const struct alternative *a, unsigned int n, double n_c, double n_b,
                        const double *sizes, unsigned int causes, const struct pace *pace)
{
	double theta0 = rho0 * n_c / (rho0 * n_c + n_b), mean = 0;

	for (unsigned int who = 0; who < 1u << causes; who++) {
		double p = 1, k_c = 0, k_b = 0;
		struct bet b;

		for (unsigned int i = 0; i < causes; i++) {
			p *= who >> i & 1 ? theta0 : 1 - theta0;
			*(who >> i & 1 ? &k_c : &k_b) += sizes[i];
		}
		bet__init(&b, rho0, a, n, 0.001);
		add(&b, n_c, n_b, k_c, k_b, pace);
		mean += p * exp(bet__log_e(&b));
	}
	assert_close(mean, 1, 1e-12);
}

static void a_bet_is_fair_whatever_the_sizes_of_the_causes(void **state)
{
	static const struct alternative worse[] = { { 1.25, 0.2 }, { 1.8, 0.5 }, { 20, 0.2 }, { 1, 0.1 } };
	static const struct alternative better[] = { { 1, 0.5 }, { 0.8, 0.5 } };
	static const double alone[] = { 1, 1, 1, 1, 1, 1, 1 }, mixed[] = { 20, 1, 3, 1 }, one[] = { 500 };
	static const double shares[] = { 0.005, 0.05, 0.5, 0.95 };
	const struct pace guessed = { .phi = 3, .discount = 1, .least = 1 };

	for (int i = 0; i < 4; i++) {
		double n_c = 1000 * shares[i], n_b = 1000 - n_c;

		expect_fair(1, worse, 4, n_c, n_b, alone, 7, &whole);
		expect_fair(1, worse, 4, n_c, n_b, mixed, 4, &whole);
		expect_fair(1, worse, 4, n_c, n_b, mixed, 4, &guessed);
		expect_fair(1, worse, 4, n_c, n_b, one, 1, &whole);
		expect_fair(1.5, better, 2, n_c, n_b, mixed, 4, &single);
		expect_fair(1.5, better, 2, n_c, n_b, one, 1, &guessed);
	}
}

static void one_block_does_no_more_than_divide_by_the_share_however_many_fail(void **state)
{
	static const struct alternative worse[] = { { 1.8, 0.7 }, { 20, 0.3 } };
	struct bet b;

	bet__init(&b, 1, worse, 2, 0);
	add(&b, 50, 950, 1e6, 0, &whole);
	assert_true(exp(bet__log_e(&b)) <= 20);
	assert_true(exp(bet__log_e(&b)) > 10);
	bet__init(&b, 1, worse, 2, 0);
	add(&b, 500, 500, 1e15, 3, &whole);
	assert_true(exp(bet__log_e(&b)) <= 2);
}

static void a_discount_divides_what_a_block_adds(void **state)
{
	static const struct alternative worse = { 1.8, 1 };
	struct bet full, discounted;

	bet__init(&full, 1, &worse, 1, 0);
	bet__init(&discounted, 1, &worse, 1, 0);
	add(&full, 50, 950, 4, 6, &whole);
	add(&discounted, 50, 950, 4, 6, &(struct pace){ .phi = 1, .discount = 2.5, .least = BET_LEAST });
	assert_true(bet__log_e(&full) > 0.5);
	assert_close(bet__log_e(&discounted), bet__log_e(&full) / 2.5, 1e-12);
}

static void a_block_is_closed_by_its_bad_events_or_after_a_minute_of_ticks(void **state)
{
	static const struct alternative worse = { 1.8, 1 };
	struct bet b;

	bet__init(&b, 1, &worse, 1, 0);
	for (int i = 0; i < 4; i++)
		add(&b, 50, 950, 1, 0, &whole);
	assert_true(bet__log_e(&b) == 0);
	add(&b, 50, 950, 1, 0, &whole);
	assert_true(bet__log_e(&b) > 0);
	/* phi 10 asks for 50 events, which do not come; after the longest time the least of them will do. */
	bet__init(&b, 1, &worse, 1, 0);
	for (unsigned int i = 0; i < BET_LONGEST; i++) {
		assert_true(bet__log_e(&b) == 0);
		add(&b, 50, 950, i < 5, 0, &(struct pace){ .phi = 10, .discount = 1, .least = BET_LEAST });
	}
	assert_true(bet__log_e(&b) > 0);
}

static void ticks_that_one_arm_did_not_serve_change_no_bet(void **state)
{
	static const struct alternative worse = { 1.8, 1 };
	struct bet b;

	bet__init(&b, 1, &worse, 1, 0);
	add(&b, 0, 950, 0, 40, &single);
	add(&b, 50, 0, 40, 0, &single);
	add(&b, 50, 950, 0, 0, &single);
	add(&b, 1e300, 1, 9, 0, &single); /* a share that rounds to all */
	assert_true(bet__log_e(&b) == 0);
}

/* Half an hour of ticks as expected, then the canary fails in every second bad event. */
static int ticks_to_notice(double share)
{
	static const struct alternative worse[] = { { 1.8, 0.8 }, { 20, 0.18 }, { 1, 0.02 } };
	struct bet b;
	int n = 0;

	bet__init(&b, 1, worse, 3, share);
	for (int i = 0; i < 360; i++)
		add(&b, 50, 950, i % 2, 10 - i % 2, &whole);
	while (bet__log_e(&b) < log(20) && n < 1000) {
		add(&b, 50, 950, 10, 10, &whole);
		n++;
	}
	return n;
}

static void a_long_good_history_does_not_hide_a_sudden_change(void **state)
{
	assert_true(ticks_to_notice(0.001) <= 8);
	assert_true(ticks_to_notice(0) > ticks_to_notice(0.001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bet_on_one_event_is_its_likelihood_ratio),
		cmocka_unit_test(a_bet_is_fair_whatever_the_sizes_of_the_causes),
		cmocka_unit_test(one_block_does_no_more_than_divide_by_the_share_however_many_fail),
		cmocka_unit_test(a_discount_divides_what_a_block_adds),
		cmocka_unit_test(a_block_is_closed_by_its_bad_events_or_after_a_minute_of_ticks),
		cmocka_unit_test(ticks_that_one_arm_did_not_serve_change_no_bet),
		cmocka_unit_test(a_long_good_history_does_not_hide_a_sudden_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
