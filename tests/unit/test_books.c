// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: model
 *
 * Oracle: a service is played whose every request is known, one at a time; what the books say of it is compared with
 * what was done.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "model/books.h"

#define CONNECTIONS 64

struct service {
	uint64_t seed, seen, gone;
	uint64_t in_flight[CONNECTIONS];
	uint64_t leaked, doubled;
};

static uint64_t draw(struct service *s, uint64_t n)
{
	s->seed = s->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (s->seed >> 33) % n;
}

static void request(struct service *s)
{
	s->seen++;
	s->in_flight[draw(s, CONNECTIONS)]++;
}

static void end(struct service *s)
{
	uint64_t *c = &s->in_flight[draw(s, CONNECTIONS)];

	if (!*c)
		return;
	(*c)--;
	s->gone++;
}

/* A request that leaves its connection, and no counter knows. */
static void leak(struct service *s)
{
	request(s);
	for (int i = 0; i < CONNECTIONS; i++)
		if (s->in_flight[i]) {
			s->in_flight[i]--;
			s->leaked++;
			return;
		}
}

static void traffic(struct service *s, uint64_t most)
{
	for (uint64_t n = draw(s, most + 1); n; n--)
		if (draw(s, 2))
			request(s);
		else
			end(s);
}

static struct books_reading reading(const struct service *s)
{
	return (struct books_reading){ s->seen, s->gone };
}

/* Connection by connection, with traffic between any two of them. */
static struct books_gap look(struct service *s, uint64_t busy)
{
	struct books_reading before = reading(s), after;
	uint64_t n = 0;

	for (int i = 0; i < CONNECTIONS; i++) {
		traffic(s, busy);
		n += s->in_flight[i];
	}
	traffic(s, busy);
	after = reading(s);
	return books_gap(&before, &after, n);
}

static void books_of_a_busy_service_that_leaks_nothing_balance_at_every_look(void **state)
{
	struct service s = { .seed = 1 };
	struct books b = { 0 };

	for (int i = 0; i < 20000; i++) {
		struct books_gap g = look(&s, (uint64_t)(i % 40));

		assert_true(g.least <= 0 && g.most >= 0);
		assert_false(books_gap_is_open(&g));
		books_enter(&b, &g);
	}
	assert_true(books_balance(&b));
}

static void one_request_that_leaks_is_proved_in_a_quiet_moment_and_stays_proved(void **state)
{
	struct service s = { .seed = 2 };
	struct books b = { 0 };
	struct books_gap g;

	traffic(&s, 100000);
	leak(&s);
	g = look(&s, 0);
	assert_true(books_gap_is_open(&g));
	assert_int_equal(g.least, 1);
	assert_int_equal(g.most, 1);
	books_enter(&b, &g);
	assert_false(books_balance(&b));
	assert_int_equal(b.missing, s.leaked);
	for (int i = 0; i < 100; i++) {
		g = look(&s, 1000);
		books_enter(&b, &g);
	}
	assert_false(books_balance(&b));
	assert_int_equal(b.missing, 1);
	assert_int_equal(b.surplus, 0);
}

static void a_leak_larger_than_what_a_look_takes_is_proved_under_load(void **state)
{
	struct service s = { .seed = 3 };
	struct books b = { 0 };

	traffic(&s, 100000);
	for (int i = 0; i < 5000; i++)
		leak(&s);
	for (int i = 0; i < 20; i++) {
		struct books_gap g = look(&s, 40);

		assert_true(g.least <= (int64_t)s.leaked && g.most >= (int64_t)s.leaked);
		books_enter(&b, &g);
	}
	assert_true(b.missing > 3000 && b.missing <= s.leaked);
}

static void an_exchange_that_ends_twice_is_a_surplus(void **state)
{
	struct service s = { .seed = 4 };
	struct books b = { 0 };
	struct books_gap g;

	traffic(&s, 1000);
	s.gone += 2;
	g = look(&s, 0);
	assert_true(books_gap_is_open(&g));
	books_enter(&b, &g);
	assert_int_equal(b.surplus, 2);
	assert_int_equal(b.missing, 0);
	assert_false(books_balance(&b));
}

static void what_only_one_of_two_looks_saw_is_not_confirmed(void **state)
{
	const struct books_gap caught = { 1, 1 }, fine = { 0, 0 }, busy = { -7, 9 }, worse = { 3, 5 };
	struct books_gap g = books_gap_both(&caught, &fine);

	assert_false(books_gap_is_open(&g));
	g = books_gap_both(&busy, &caught);
	assert_false(books_gap_is_open(&g));
	g = books_gap_both(&caught, &worse);
	assert_true(books_gap_is_open(&g));
	assert_int_equal(g.least, 1);
}

static void counters_beyond_two_to_the_63_are_no_obstacle(void **state)
{
	struct books_reading before = { UINT64_MAX - 10, UINT64_MAX - 12 }, after = { UINT64_MAX - 8, UINT64_MAX - 11 };
	struct books_gap g = books_gap(&before, &after, 2);

	assert_int_equal(g.least, -1);
	assert_int_equal(g.most, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(books_of_a_busy_service_that_leaks_nothing_balance_at_every_look),
		cmocka_unit_test(one_request_that_leaks_is_proved_in_a_quiet_moment_and_stays_proved),
		cmocka_unit_test(a_leak_larger_than_what_a_look_takes_is_proved_under_load),
		cmocka_unit_test(an_exchange_that_ends_twice_is_a_surplus),
		cmocka_unit_test(what_only_one_of_two_looks_saw_is_not_confirmed),
		cmocka_unit_test(counters_beyond_two_to_the_63_are_no_obstacle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
