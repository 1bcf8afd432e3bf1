// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: model
 *
 * Oracle: the README, which says that above 5,000 requests/s one connection in eight is asked, and below every one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "model/drain.h"

/* Some service. It was busy before anyone looked: a minute after the host has started, that looks like a high rate. */
struct service {
	struct drain_share share;
	double now;
	uint64_t requests;
};

static const struct service running = { .now = 60.5, .requests = 123456789 };

/* So much traffic, and then a look. How many of 65,536 numbers of connections are asked? */
static unsigned int asked_after(struct service *s, double seconds, double rate)
{
	unsigned int mask, n = 0;

	s->now += seconds;
	s->requests += (uint64_t)(rate * seconds);
	mask = drain_look(&s->share, s->now, s->requests);
	for (unsigned int i = 0; i < 65536; i++)
		n += !(i & mask);
	return n;
}

#define ALL  65536
#define PART (ALL / 8)

static void the_first_look_asks_every_connection_whatever_was_counted_before(void **state)
{
	struct service s = running;

	assert_true(drain_is_due(&s.share, s.now));
	assert_int_equal(asked_after(&s, 0, 0), ALL);
}

static void the_share_goes_down_when_the_rate_goes_up_and_comes_back_with_it(void **state)
{
	static const double rates[] = { 100, 4000, 6000, 150000, 6000, 4000, 100, 0, 20000, 0 };
	struct service s = running;

	asked_after(&s, 0, 0);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		assert_int_equal(asked_after(&s, 1, rates[i]), rates[i] > 5000 ? PART : ALL);
}

static void five_thousand_a_second_are_still_few(void **state)
{
	struct service s = running;

	asked_after(&s, 0, 0);
	assert_int_equal(asked_after(&s, 1, 5000), ALL);
	assert_int_equal(asked_after(&s, 1, 5001), PART);
	assert_int_equal(asked_after(&s, 1, 5000), ALL);
}

static void a_look_that_comes_late_goes_by_the_time_that_has_passed(void **state)
{
	struct service s = running;

	asked_after(&s, 0, 0);
	assert_int_equal(asked_after(&s, 60, 1000), ALL);
	assert_int_equal(asked_after(&s, 60, 6000), PART);
	assert_int_equal(asked_after(&s, 60, 4000), ALL);
}

static void a_counter_that_reads_lower_than_before_is_no_traffic(void **state)
{
	struct service s = running;

	asked_after(&s, 0, 0);
	s.requests -= 3;
	assert_int_equal(asked_after(&s, 1, 0), ALL);
	assert_int_equal(asked_after(&s, 1, 6000), PART);
}

static void a_look_is_due_once_a_second(void **state)
{
	struct service s = running;

	asked_after(&s, 0, 0);
	assert_false(drain_is_due(&s.share, s.now));
	assert_false(drain_is_due(&s.share, s.now + 0.99));
	assert_true(drain_is_due(&s.share, s.now + 1));
	assert_true(drain_is_due(&s.share, s.now + 60));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_look_asks_every_connection_whatever_was_counted_before),
		cmocka_unit_test(the_share_goes_down_when_the_rate_goes_up_and_comes_back_with_it),
		cmocka_unit_test(five_thousand_a_second_are_still_few),
		cmocka_unit_test(a_look_that_comes_late_goes_by_the_time_that_has_passed),
		cmocka_unit_test(a_counter_that_reads_lower_than_before_is_no_traffic),
		cmocka_unit_test(a_look_is_due_once_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
