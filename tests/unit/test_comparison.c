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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_arm_without_figures_has_no_errors_and_no_quantile),
		cmocka_unit_test(each_kind_of_latency_has_its_own_quantile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
