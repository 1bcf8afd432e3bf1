// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* links: model base */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "model/comparison.h"

static void errors_are_5xx_and_what_the_server_broke_and_nothing_else(void **state)
{
	struct arm_figures a = { .present = true, .requests = 100000 };

	for (unsigned int code = 1; code < STATUS_MAX; code++)
		assert_int_equal(arm_status_add(&a, code, 1), 0);
	for (int outcome = 0; outcome < TW_OUTCOME_NR; outcome++)
		a.outcome[outcome] = 1000ULL << outcome;
	/* 500..599, and unanswered, truncated, reset by the server, and what came too late or never. */
	assert_int_equal(arm_errors(&a), 100 + (1000 << TW_UNANSWERED) + (1000 << TW_TRUNCATED) +
	                                         (1000 << TW_RESET_BY_SERVER) + (1000 << TW_TIMEOUT));
	free(a.status);
}

static void an_exchange_that_failed_in_two_ways_is_one_error(void **state)
{
	struct arm_figures a = { .present = true, .requests = 10 };

	assert_int_equal(arm_status_add(&a, 502, 2), 0);
	a.outcome[TW_TRUNCATED] = 3; /* one of them with a 502 */
	a.double_faults = 1;
	assert_int_equal(arm_errors(&a), 4);
	free(a.status);
}

static void an_arm_without_figures_has_no_errors_and_no_quantile(void **state)
{
	struct arm_figures a = { 0 };

	assert_int_equal(arm_errors(&a), 0);
	assert_true(isnan(arm_quantile(&a, TW_LAT_TOTAL, 0.5)));
	a.present = true;
	assert_true(isnan(arm_quantile(&a, TW_LAT_TOTAL, 0.5)));
}

static void each_kind_of_latency_has_its_own_quantile(void **state)
{
	struct latencies lat = { 0 };
	struct arm_figures a = { .present = true, .lat = &lat };

	assert_int_equal(latencies__add(&lat, TW_LAT_TOTAL, 4000000000), 0);
	assert_int_equal(latencies__add(&lat, TW_LAT_QUEUE, 1000000000), 0);
	assert_true(arm_quantile(&a, TW_LAT_TOTAL, 1.0) == 4.0);
	assert_true(arm_quantile(&a, TW_LAT_QUEUE, 1.0) == 1.0);
	assert_true(isnan(arm_quantile(&a, TW_LAT_SERVICE, 1.0)));
	latencies__free(&lat);
}

static void a_client_that_vanishes_inside_an_answer_is_not_the_servers_error(void **state)
{
	struct arm_figures a = { .present = true, .requests = 100 };

	a.outcome[TW_ANSWERED] = 93;
	a.outcome[TW_TIMEOUT] = 5;
	a.cut[TW_TIMEOUT] = 2;
	a.outcome[TW_TRUNCATED] = a.cut[TW_TRUNCATED] = 2; /* this one is */
	assert_int_equal(arm_errors(&a), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_are_5xx_and_what_the_server_broke_and_nothing_else),
		cmocka_unit_test(an_exchange_that_failed_in_two_ways_is_one_error),
		cmocka_unit_test(an_arm_without_figures_has_no_errors_and_no_quantile),
		cmocka_unit_test(each_kind_of_latency_has_its_own_quantile),
		cmocka_unit_test(a_client_that_vanishes_inside_an_answer_is_not_the_servers_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
