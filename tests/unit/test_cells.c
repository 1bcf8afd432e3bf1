// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: session judge capture model config base
 *
 * Figures of a version on an endpoint, as the judge is told of them tick by tick. Oracle: every exchange is told of in
 * one tick only, the bad ones as such, worked out by hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include "session/internal.h"
#include "tw_status.h"

#define TIMEOUT 30.0 /* s */

static struct tw_rule rule(uint32_t outcomes, double slower_than)
{
	return (struct tw_rule){ .outcomes = outcomes,
		                 .slower_than = slower_than > 0 ? (uint64_t)(slower_than * 1e9) : TW_NEVER_SLOW };
}

static void told(const struct cell *c, uint64_t n, uint64_t bad)
{
	struct arm_tick t = { 0 };

	cell_tick(c, &t);
	assert_int_equal(t.n, n);
	assert_int_equal(t.bad, bad);
	assert_int_equal(t.outcome[TW_TIMEOUT], n);
}

/* n exchanges that were waiting end as timeouts, some of them bad. */
static void end(struct cell *c, uint64_t n, uint64_t bad)
{
	c->total.outcome[TW_TIMEOUT] += n;
	c->tick_outcome[TW_TIMEOUT] += n;
	c->tick_n += n;
	c->tick_bad += bad;
}

static void next_tick(struct cell *c)
{
	c->tick_overdue = cell_overdue(c);
	c->tick_n = c->tick_bad = c->tick_outcome[TW_TIMEOUT] = 0;
}

static void what_waits_too_long_is_bad_when_no_end_can_make_it_good(void **state)
{
	static const struct {
		uint32_t outcomes;
		double slower_than; /* 0: never */
		bool bad;
	} cases[] = {
		{ TW_FAULTS, 0, true },
		{ 1 << TW_TIMEOUT, 0, true },
		{ 0, 2.0, true },
		{ 0, TIMEOUT, true },
		{ 0, TIMEOUT + 0.001, false },
		{ 0, 0, false },
		{ 1 << TW_UNANSWERED, 0, false },
		{ 1 << TW_UNANSWERED, 100.0, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tw_rule r = rule(cases[i].outcomes, cases[i].slower_than);
		struct cell c = { 0 };

		cell_rule(&c, &r, TIMEOUT);
		assert_int_equal(c.overdue_is_bad, cases[i].bad);
	}
}

static void one_that_is_bad_while_it_waits_is_told_then_and_not_again(void **state)
{
	struct tw_rule r = rule(1 << TW_TIMEOUT, 0);
	struct cell c = { 0 };

	cell_rule(&c, &r, TIMEOUT);
	cell_overdue_enter(&c, 3);
	told(&c, 3, 3);
	next_tick(&c);
	told(&c, 0, 0);
	next_tick(&c);
	end(&c, 2, 2);
	told(&c, 0, 0);
	next_tick(&c);
	end(&c, 2, 2); /* the third, and one that was never seen waiting */
	told(&c, 1, 1);
}

static void one_that_may_still_be_good_is_told_when_it_has_ended(void **state)
{
	struct tw_rule r = rule(0, 0);
	struct cell c = { 0 };

	cell_rule(&c, &r, TIMEOUT);
	cell_overdue_enter(&c, 3);
	told(&c, 0, 0);
	next_tick(&c);
	end(&c, 3, 1); /* one of them with a 5xx, say */
	told(&c, 3, 1);
}

static void an_end_that_no_look_foresaw_never_makes_less_than_nothing_bad(void **state)
{
	struct tw_rule r = rule(1 << TW_TIMEOUT, 0);
	struct arm_tick t = { 0 };
	struct cell c = { 0 };

	cell_rule(&c, &r, TIMEOUT);
	cell_overdue_enter(&c, 1);
	next_tick(&c);
	/* A client vanished inside its answer: a timeout that is not bad, while the other still waits. */
	end(&c, 1, 0);
	c.tick_n += 5;
	cell_tick(&c, &t);
	assert_int_equal(t.n, 5);
	assert_int_equal(t.bad, 0);
}

static void counters_of_32_bits_may_wrap_between_two_readings(void **state)
{
	struct tw_rule r = rule(TW_FAULTS, 0);
	struct tw_counters now = { .exchanges = 9, .bad = 3 };
	struct cell c = { .last = { .exchanges = 1, .bad = UINT32_MAX - 1 } };

	cell_rule(&c, &r, TIMEOUT);
	assert_int_equal(cell_add(&c, &now), 0);
	assert_int_equal(arm_errors(&c.total), 5);
	assert_int_equal(c.tick_bad, 5);
}

/* 3xx and 4xx, as far as the rule does not call them errors; those are counted as such. */
static void people_are_turned_away_by_what_is_neither_a_success_nor_an_error(void **state)
{
	struct tw_rule r = rule(TW_FAULTS, 0);
	struct tw_counters now = { .exchanges = 12, .bad = 2 };
	struct cell c = { 0 };
	struct arm_tick t = { 0 };

	r.statuses[429 >> 6] |= 1ULL << (429 & 63);
	now.status[tw_status_index[200]] = 5;
	now.status[tw_status_index[302]] = 3;
	now.status[tw_status_index[404]] = 2;
	now.status[tw_status_index[429]] = 2;
	cell_rule(&c, &r, TIMEOUT);
	assert_int_equal(cell_add(&c, &now), 0);
	cell_tick(&c, &t);
	assert_int_equal(t.n, 12);
	assert_int_equal(t.bad, 2);
	assert_int_equal(t.turned_away, 5);
	free(c.total.status);
}

/* They are in no count that the judge sees, but in the one of what it was not shown. */
static void what_nobody_can_tell_good_from_bad_is_lost_to_the_judge(void **state)
{
	struct tw_rule r = rule(TW_FAULTS, 0);
	struct arm_tick t = { 0 };
	struct cell c = { .tick_n = 10, .tick_bad = 2, .tick_undecided = 3, .tick_outcome = { [TW_UNOBSERVED] = 1 } };

	cell_rule(&c, &r, TIMEOUT);
	cell_tick(&c, &t);
	assert_int_equal(t.n, 6);
	assert_int_equal(t.bad, 2);
	assert_int_equal(cell_lost(&c), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_too_long_is_bad_when_no_end_can_make_it_good),
		cmocka_unit_test(one_that_is_bad_while_it_waits_is_told_then_and_not_again),
		cmocka_unit_test(one_that_may_still_be_good_is_told_when_it_has_ended),
		cmocka_unit_test(an_end_that_no_look_foresaw_never_makes_less_than_nothing_bad),
		cmocka_unit_test(people_are_turned_away_by_what_is_neither_a_success_nor_an_error),
		cmocka_unit_test(what_nobody_can_tell_good_from_bad_is_lost_to_the_judge),
		cmocka_unit_test(counters_of_32_bits_may_wrap_between_two_readings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
