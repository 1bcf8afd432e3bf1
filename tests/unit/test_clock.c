/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How far the clocks have moved against each other, with what they showed before put in by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "session/internal.h"

#define ALMOST 0.1 /* s: a clock that is slewed, and a machine that is busy */

static void clocks_that_run_together_have_not_moved(void **state)
{
	struct clock_watch c = { .known = false };

	assert_true(clock_shift(&c) == 0);
	for (int i = 0; i < 10; i++)
		assert_true(fabs(clock_shift(&c)) < ALMOST);
}

static void a_wall_clock_that_was_set_has_moved_by_that_much_once(void **state)
{
	static const double set[] = { 3600, -3600, 1 };

	for (size_t i = 0; i < sizeof(set) / sizeof(*set); i++) {
		struct clock_watch c = { .known = false };

		clock_shift(&c);
		c.wall -= set[i];
		assert_true(fabs(clock_shift(&c) - set[i]) < ALMOST);
		assert_true(fabs(clock_shift(&c)) < ALMOST);
	}
}

static void a_host_that_slept_has_lost_that_much_even_if_the_clock_was_set_back(void **state)
{
	struct clock_watch c = { .known = false };

	clock_shift(&c);
	c.boot -= 30;
	c.wall -= 30;
	assert_true(fabs(clock_shift(&c) - 30) < ALMOST);
	c.boot -= 30;
	assert_true(fabs(clock_shift(&c) - 30) < ALMOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clocks_that_run_together_have_not_moved),
		cmocka_unit_test(a_wall_clock_that_was_set_has_moved_by_that_much_once),
		cmocka_unit_test(a_host_that_slept_has_lost_that_much_even_if_the_clock_was_set_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
