/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Figures: their units, their digits, their width. Oracle: texts written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "show/format.h"

static void figures_have_three_digits_and_the_right_unit(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} durations[] = {
		{ 0, "0 ns" }, { 1e-9, "<10 ns" }, { 950e-9, "950 ns" }, { 999.4e-9, "999 ns" }, { 999.6e-9, "1.00 us" },
		{ 0.00124, "1.24 ms" }, { 0.009996, "10.0 ms" }, { 0.0124, "12.4 ms" }, { 0.124, "124 ms" },
		{ 0.9996, "1.00 s" }, { 59.94, "59.9 s" }, { 59.96, "1m 00s" }, { 250, "4m 10s" }, { 3599.6, "1h 00m" },
		{ 7500, "2h 05m" }, { 273600, "3d 04h" },
		      { 100 * 86400 + 7200, "100d" }, { 1e30, ">999d" }, { NAN, "-" }, { INFINITY, "-" }, { -1, "-" },
	}, ratios[] = {
		{ 1.46, "x1.46" }, { 9.996, "x10.0" }, { 12.34, "x12.3" }, { 99.96, "x100" }, { 999.6, "x1k" },
		{ 15000, "x15k" }, { 1e9, ">x1M" }, { 0.001, "<x.01" }, { 0, "x0.00" }, { INFINITY, "new" }, { NAN, "-" },
	}, shares[] = {
		{ 0, "0%" }, { 0.00001, "<0.01%" }, { 0.0042, "0.42%" }, { 0.09996, "10.0%" }, { 0.5, "50.0%" },
		{ 0.9999, ">99.9%" }, { 1, "100%" }, { 1.2, ">100%" }, { NAN, "-" },
	};

	for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++)
		assert_string_equal(format_duration(durations[i].seconds).s, durations[i].text);
	for (size_t i = 0; i < sizeof(ratios) / sizeof(*ratios); i++)
		assert_string_equal(format_ratio(ratios[i].seconds).s, ratios[i].text);
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++)
		assert_string_equal(format_percent(shares[i].seconds).s, shares[i].text);
	assert_string_equal(format_span(45).s, "45 s");
	assert_string_equal(format_count(0).s, "0");
	assert_string_equal(format_count(1234567).s, "1,234,567");
	assert_string_equal(format_count(UINT64_MAX).s, "18,446,744,073,709,551,615");
	assert_string_equal(format_count_short(9999999).s, "9,999,999");
	assert_string_equal(format_count_short(12345678).s, "12.3 M");
	assert_string_equal(format_count_tiny(999600).s, "1.00 M");
	assert_string_equal(format_bytes(20000000).s, "19.1 MiB");
	assert_string_equal(format_joined(format_duration(0.00124)).s, "1.24ms");
}

static void no_figure_is_wider_than_its_column(void **state)
{
	for (double v = 1e-12; v < 1e25; v *= 1.0137) {
		uint64_t n = v < 1.8e19 ? (uint64_t)v : UINT64_MAX;

		assert_true(strlen(format_duration(v).s) <= DURATION_WIDTH);
		assert_true(strlen(format_span(v).s) <= DURATION_WIDTH);
		assert_true(strlen(format_ratio(v).s) <= RATIO_WIDTH);
		assert_true(strlen(format_percent(v).s) <= PERCENT_WIDTH);
		assert_true(strlen(format_rate(v).s) <= TINY_WIDTH);
		assert_true(strlen(format_count_short(n).s) <= SHORT_WIDTH);
		assert_true(strlen(format_count_tiny(n).s) <= TINY_WIDTH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_have_three_digits_and_the_right_unit),
		cmocka_unit_test(no_figure_is_wider_than_its_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
