// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: session judge capture model config base
 *
 * The ledger of all versions, and what follows from losses. Oracle: rows whose sums are worked out by hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "session/internal.h"

#define FAR 1e9 /* s: no look at the host is due */

static struct session *s;

static int with_session(void **state)
{
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->resolve_at = FAR;
	return 0;
}

static int without(void **state)
{
	free(s);
	return 0;
}

static uint64_t total(enum tw_ledger what)
{
	struct tw_ledger_row t;

	ledger_total(s, &t);
	return t.c[what];
}

static void a_request_that_has_moved_to_another_version_is_one_request(void **state)
{
	s->now[0].c[TW_L_REQUESTS] = 5;
	s->now[0].c[TW_L_MOVED] = 2;
	s->now[1].c[TW_L_REQUESTS] = 10;
	assert_int_equal(total(TW_L_REQUESTS), 5 + 10 - 2);
}

static void reads_and_ends_that_were_passed_over_are_lost_events(void **state)
{
	s->now[0].c[TW_L_LOST_EVENTS] = 1;
	s->now[1].c[TW_L_LOST_EVENTS] = 2;
	s->passed_over = (struct passed_over){ .known = true, .reads = 10, .ends = 20, .others = 400 };
	assert_int_equal(total(TW_L_LOST_EVENTS), 1 + 2 + 10 + 20);
	assert_int_equal(total(TW_L_LOST_DETAILS), 0);
}

static void where_the_kernel_does_not_tell_nothing_is_added(void **state)
{
	s->now[1].c[TW_L_LOST_EVENTS] = 2;
	s->passed_over = (struct passed_over){ .known = false };
	assert_int_equal(total(TW_L_LOST_EVENTS), 2);
}

/* Looks for versions after the ledger was read: is the host to be looked at soon? */
static bool looks_again(void)
{
	s->resolve_at = FAR;
	versions_after_losses(s);
	return s->resolve_at < FAR;
}

static void whatever_was_lost_may_have_told_of_a_process_so_the_host_is_looked_at_again(void **state)
{
	assert_false(looks_again());
	s->now[1].c[TW_L_LOST_EVENTS]++;
	assert_true(looks_again());
	assert_false(looks_again());
	s->now[0].c[TW_L_LOST_DETAILS]++;
	assert_true(looks_again());
	assert_false(looks_again());
	s->passed_over = (struct passed_over){ .known = true, .reads = 1 };
	assert_true(looks_again());
	assert_false(looks_again());
	s->passed_over.others++;
	assert_true(looks_again());
	assert_false(looks_again());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, with_session, without)
	const struct CMUnitTest tests[] = {
		T(a_request_that_has_moved_to_another_version_is_one_request),
		T(reads_and_ends_that_were_passed_over_are_lost_events),
		T(where_the_kernel_does_not_tell_nothing_is_added),
		T(whatever_was_lost_may_have_told_of_a_process_so_the_host_is_looked_at_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
