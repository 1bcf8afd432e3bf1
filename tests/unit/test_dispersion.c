/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is learned of how bad events come. The oracle is the moments of burst sizes that the tests choose.
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

#include "service.h"

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

static void phi_is_one_for_events_that_come_one_by_one(void **state)
{
	struct service s;

	begin(&s);
	assert_false(dispersion__is_known(&s.d));
	for (int i = 0; i < 400; i++) {
		bursts(&s, 8, 1, false);
		end_tick(&s, true);
	}
	assert_true(dispersion__is_known(&s.d));
	assert_true(dispersion__phi(&s.d) < 1.1);
	assert_true(dispersion__serial(&s.d) < 1.1);
	assert_close(dispersion__across(&s.d), 1, 0.3);
}

/* E[x^2]/E[x]: bursts of 6 give 6; of as many 1s as 9s (1 + 81)/(1 + 9) = 8.2. */
static void phi_is_the_mean_square_of_burst_sizes_over_their_mean(void **state)
{
	struct service s;

	begin(&s);
	for (int i = 0; i < 600; i++) {
		bursts(&s, 3, 6, false);
		end_tick(&s, true);
	}
	assert_close(dispersion__phi(&s.d), 6, 0.15);
	begin(&s);
	for (int i = 0; i < 600; i++) {
		bursts(&s, 2, 1, false);
		bursts(&s, 2, 9, false);
		end_tick(&s, true);
	}
	assert_close(dispersion__phi(&s.d), 8.2, 0.2);
}

static void what_all_go_through_at_once_is_no_burst_to_the_groups(void **state)
{
	struct service s;

	begin(&s);
	for (int i = 0; i < 400; i++) {
		bursts(&s, i / 20 % 2 ? 200 : 5, 1, false);
		end_tick(&s, true);
	}
	assert_true(dispersion__phi(&s.d) < 1.2);
	/* Ticks alone cannot tell it from bursts. */
	begin(&s);
	for (int i = 0; i < 400; i++) {
		bursts(&s, i / 20 % 2 ? 200 : 5, 1, false);
		end_tick(&s, false);
	}
	assert_true(dispersion__phi(&s.d) > 2);
}

static void bursts_over_all_connections_show_in_the_ticks_and_not_in_the_groups(void **state)
{
	double mean = 0;
	struct service s;

	begin(&s);
	assert_close(dispersion__across(&s.d), 3, 1e-12); /* until it is unlearned */
	for (int i = 0; i < 2000; i++) {
		bursts(&s, 4, 8, true);
		end_tick(&s, true);
		mean += dispersion__across(&s.d) / 2000;
	}
	assert_true(dispersion__phi(&s.d) < 1.2);
	assert_close(mean, 0.9 * 8, 0.1); /* the number of bursts is binomial: a tenth less than Poisson's variance */
	begin(&s);
	for (int i = 0; i < 600; i++) {
		bursts(&s, 1, 8, false);
		end_tick(&s, true);
	}
	assert_true(dispersion__across(&s.d) < 1.4);
}

/* Three ticks of the same group each: correlations 2/3 and 1/3, so the sum varies 1 + 2 (2/3 + 1/3) = 3 times as much.
 */
static void bursts_that_last_for_ticks_are_seen_to(void **state)
{
	unsigned int groups[2] = { 0, 0 };
	struct service s;

	begin(&s);
	for (int i = 0; i < 900; i++) {
		unsigned int group = dice_below(&s.dice, TW_GROUPS);

		s.bad[ARM_IS_BASELINE][group] += 5;
		s.bad[ARM_IS_BASELINE][groups[0]] += 5;
		s.bad[ARM_IS_BASELINE][groups[1]] += 5;
		groups[1] = groups[0];
		groups[0] = group;
		end_tick(&s, true);
	}
	assert_close(dispersion__serial(&s.d), 1 + 2 * (2 / 3.0 + 0.8 / 3), 0.1);
}

static void a_slow_drift_is_no_serial_correlation(void **state)
{
	struct service s;

	begin(&s);
	for (int i = 0; i < 720; i++) {
		bursts(&s, (unsigned int)(20 + (int)(10 * sin(2 * M_PI * i / 360))), 1, false);
		end_tick(&s, false);
	}
	assert_true(dispersion__serial(&s.d) < 1.25);
}

static void no_count_makes_the_dispersion_anything_but_a_number_of_at_least_one(void **state)
{
	static const double counts[] = { 0, 1, 3, 1e6, 0x1p63 };
	struct dice dice = { 3 };

	for (int run = 0; run < 300; run++) {
		struct service s;

		begin(&s);
		for (int i = 0; i < 12; i++) {
			struct events e[ARMS];

			for (int arm = 0; arm < ARMS; arm++) {
				e[arm].n = counts[dice_below(&dice, 5)];
				e[arm].k = counts[dice_below(&dice, 5)];
				e[arm].group = dice_below(&dice, 3) ? s.bad[arm] : NULL;
				for (int g = 0; g < TW_GROUPS; g++)
					s.bad[arm][g] = (uint64_t)counts[dice_below(&dice, 5)];
			}
			dispersion__add(&s.d, &s.shares, e);
			assert_true(isfinite(dispersion__phi(&s.d)) && dispersion__phi(&s.d) >= 1);
			assert_true(isfinite(dispersion__serial(&s.d)) && dispersion__serial(&s.d) >= 1);
			assert_true(isfinite(dispersion__across(&s.d)) && dispersion__across(&s.d) >= 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phi_is_one_for_events_that_come_one_by_one),
		cmocka_unit_test(phi_is_the_mean_square_of_burst_sizes_over_their_mean),
		cmocka_unit_test(what_all_go_through_at_once_is_no_burst_to_the_groups),
		cmocka_unit_test(bursts_over_all_connections_show_in_the_ticks_and_not_in_the_groups),
		cmocka_unit_test(bursts_that_last_for_ticks_are_seen_to),
		cmocka_unit_test(a_slow_drift_is_no_serial_correlation),
		cmocka_unit_test(no_count_makes_the_dispersion_anything_but_a_number_of_at_least_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
