// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: model
 *
 * In how many workers TLS is read, held against a service of the test's own, whose cost follows from who is read. What
 * is expected are the promises of tls_share.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "dice.h"
#include "model/tls_share.h"

#define VERSIONS 3

/* A service: what it takes of the CPU, and what of it reading all of its TLS would be. */
struct service {
	unsigned int workers[VERSIONS];
	double load; /* cores, with nothing read */
	double cost; /* cores, with everything read */
};

static struct tls_share share;

static int fresh(void **state)
{
	memset(&share, 0, sizeof(share));
	return 0;
}

static unsigned int all_of(const struct service *s)
{
	return s->workers[0] + s->workers[1] + s->workers[2];
}

static unsigned int read_of(const struct service *s)
{
	unsigned int n = 0;

	for (int i = 0; i < VERSIONS; i++)
		n += tls_share__of(&share, s->workers[i]);
	return n;
}

/* Each worker has the same part of the load. */
static double cost_now(const struct service *s)
{
	return s->cost * read_of(s) / all_of(s);
}

static enum tls_share_step look(const struct service *s, double budget, double noise)
{
	double cost = cost_now(s) * noise;
	const struct tls_share_sample sample = { cost, s->load + cost };

	return tls_share__step(&share, &sample, budget, s->workers, VERSIONS);
}

/* Steps that were taken in n looks. */
static unsigned int looks(const struct service *s, double budget, int n)
{
	unsigned int steps = 0;

	while (n--)
		steps += look(s, budget, 1) != TLS_SHARE_SAME;
	return steps;
}

static double share_of_service(const struct service *s)
{
	return cost_now(s) / (s->load + cost_now(s));
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void within_the_budget_all_workers_are_read(void **state)
{
	const struct service s = { { 4, 4, 0 }, 1.0, 0.30 };

	assert_int_equal(looks(&s, 0.25, 1000), 0);
	assert_int_equal(read_of(&s), 8);
	assert_false(share.exceeded);
}

static void beyond_it_as_many_are_read_as_fit(void **state)
{
	const struct service s = { { 10, 10, 0 }, 1.0, 1.0 };

	assert_int_equal(looks(&s, 0.25, 30), 1);
	assert_true(share_of_service(&s) <= 0.25);
	/* And not many fewer: 6 of 20 would fit. */
	assert_in_range(read_of(&s), 4, 6);
}

static void one_sample_beyond_it_is_not_enough(void **state)
{
	const struct service dear = { { 4, 4, 0 }, 1.0, 1.0 }, cheap = { { 4, 4, 0 }, 1.0, 0.01 };

	for (int i = 0; i < 50; i++) {
		look(&dear, 0.4, 1);
		looks(&cheap, 0.4, 5);
	}
	assert_int_equal(read_of(&dear), 8);
}

static void all_versions_are_reduced_by_the_same_share(void **state)
{
	const struct service s = { { 20, 40, 8 }, 1.0, 2.0 };

	looks(&s, 0.25, 30);
	for (int i = 0; i < VERSIONS; i++) {
		double part = share.share * s.workers[i];

		assert_true(tls_share__of(&share, s.workers[i]) >= part - 1e-6);
		assert_true(tls_share__of(&share, s.workers[i]) < part + 1);
	}
}

static void one_worker_is_always_read_and_it_is_said_that_the_budget_is_exceeded(void **state)
{
	const struct service s = { { 1, 5, 1 }, 0.1, 5.0 };

	looks(&s, 0.01, 100);
	for (int i = 0; i < VERSIONS; i++)
		assert_int_equal(tls_share__of(&share, s.workers[i]), 1);
	assert_true(share.exceeded);
	assert_int_equal(tls_share__of(&share, 0), 0);
}

static void versions_of_one_worker_stay_whole(void **state)
{
	const struct service s = { { 1, 1, 0 }, 0.1, 5.0 };

	assert_int_equal(looks(&s, 0.01, 100), 0);
	assert_true(share.exceeded);
	assert_true(share.share >= 1);
}

static void without_a_budget_nothing_is_left_out(void **state)
{
	const struct service s = { { 4, 4, 0 }, 0.01, 50.0 };

	assert_int_equal(looks(&s, INFINITY, 1000), 0);
	assert_int_equal(read_of(&s), 8);
	assert_false(share.exceeded);
}

static void what_nobody_notices_is_not_left_out(void **state)
{
	const struct service s = { { 4, 4, 0 }, 0.0001, 0.9 * TLS_SHARE_FREE };

	assert_int_equal(looks(&s, 0.001, 1000), 0);
}

static void what_was_not_measured_changes_nothing(void **state)
{
	const struct service s = { { 4, 4, 0 }, 0.1, 5.0 };
	const struct tls_share_sample samples[] = { { NAN, 1 }, { 1, NAN }, { NAN, NAN } };

	for (int i = 0; i < 100; i++)
		assert_int_equal(tls_share__step(&share, &samples[i % 3], 0.01, s.workers, VERSIONS), TLS_SHARE_SAME);
	looks(&s, 0.01, 30);
	assert_int_equal(read_of(&s), 2);
}

/* With samples 5 s apart. */
static void it_grows_back_slowly_when_the_load_has_fallen(void **state)
{
	const struct service busy = { { 8, 8, 0 }, 1.0, 1.0 };
	struct service quiet = busy;
	unsigned int before;

	looks(&busy, 0.10, 30);
	before = read_of(&busy);
	assert_in_range(before, 2, 4);
	quiet.cost = 0.0001;
	looks(&quiet, 0.10, 5);
	assert_int_equal(read_of(&quiet), before);
	looks(&quiet, 0.10, 200);
	assert_int_equal(read_of(&quiet), 16);
}

/* Also where a worker more is much, and where the cost does not follow from the number of workers. */
static void at_a_constant_load_it_comes_to_rest(void **state)
{
	for (int i = 0; i < 20000; i++) {
		struct dice d = { (uint64_t)i + 1 };
		struct service s = { { 0 }, 0.01 + 2 * dice_uniform(&d), 0.01 + 4 * dice_uniform(&d) };
		double budget = 0.005 + 0.5 * dice_uniform(&d);

		for (int v = 0; v < VERSIONS; v++)
			s.workers[v] = (unsigned int)(dice_uniform(&d) * 12);
		if (!all_of(&s))
			continue;
		fresh(NULL);
		looks(&s, budget, 400);
		assert_int_equal(looks(&s, budget, 400), 0);
		assert_true(share.exceeded || share_of_service(&s) <= budget || cost_now(&s) <= TLS_SHARE_FREE);
		for (int v = 0; v < VERSIONS; v++)
			assert_in_range(tls_share__of(&share, s.workers[v]), s.workers[v] > 0, s.workers[v]);
	}
}

static void where_samples_scatter_attempts_become_rare(void **state)
{
	for (int i = 0; i < 200; i++) {
		struct dice d = { (uint64_t)i + 1 };
		const struct service s = { { 8, 8, 0 }, 1.0, 0.2 + dice_uniform(&d) };
		unsigned int steps = 0;

		fresh(NULL);
		/* A day. */
		for (int k = 0; k < 17280; k++)
			steps += look(&s, 0.10, 0.5 + dice_uniform(&d)) != TLS_SHARE_SAME;
		assert_in_range(steps, 1, 17280 / 100);
	}
}

static void more_cost_never_means_more_workers(void **state)
{
	for (int i = 0; i < 2000; i++) {
		struct dice d = { (uint64_t)i + 1 };
		struct service s = { { 4, 9, 1 }, 0.05 + dice_uniform(&d), 0 };
		unsigned int before = all_of(&s);
		double budget = 0.01 + 0.3 * dice_uniform(&d);

		for (s.cost = 0.001; s.cost < 20; s.cost *= 1.7) {
			fresh(NULL);
			looks(&s, budget, 100);
			/* A step leaves a fifth of the budget free: by so much one may have more than the other. */
			assert_true(read_of(&s) <= before + (before > 4 ? before / 3 : 1));
			before = read_of(&s);
		}
	}
}

static void the_share_asked_for_is_monotone_in_workers_and_share(void **state)
{
	for (unsigned int n = 0; n < 200; n++)
		for (int k = 1; k <= 100; k++) {
			struct tls_share less = { .share = k / 101.0 }, more = { .share = (k + 1) / 101.0 };

			assert_true(tls_share__of(&less, n) <= tls_share__of(&more, n));
			assert_true(tls_share__of(&less, n) <= tls_share__of(&less, n + 1));
			assert_in_range(tls_share__of(&less, n), n > 0, n);
		}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, fresh)
	const struct CMUnitTest tests[] = {
		TEST(within_the_budget_all_workers_are_read),
		TEST(beyond_it_as_many_are_read_as_fit),
		TEST(one_sample_beyond_it_is_not_enough),
		TEST(all_versions_are_reduced_by_the_same_share),
		TEST(one_worker_is_always_read_and_it_is_said_that_the_budget_is_exceeded),
		TEST(versions_of_one_worker_stay_whole),
		TEST(without_a_budget_nothing_is_left_out),
		TEST(what_nobody_notices_is_not_left_out),
		TEST(what_was_not_measured_changes_nothing),
		TEST(it_grows_back_slowly_when_the_load_has_fallen),
		TEST(at_a_constant_load_it_comes_to_rest),
		TEST(where_samples_scatter_attempts_become_rare),
		TEST(more_cost_never_means_more_workers),
		TEST(the_share_asked_for_is_monotone_in_workers_and_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
