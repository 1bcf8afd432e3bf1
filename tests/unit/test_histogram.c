// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: model base
 *
 * The exact bounds below were computed with Python's big integers: the floor of the 16th root of
 * 10^144 * 2^(i - 320), by four integer square roots, and checked against b^16 <= x < (b+1)^16.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/histogram.h"

static const struct {
	unsigned int i;
	uint64_t ns;
} exact[] = {
	{ 0, 953 },          { 1, 995 },          { 2, 1039 },          { 15, 1826 },          { 16, 1907 },
	{ 17, 1991 },        { 100, 72583 },      { 159, 935159 },      { 160, 976562 },       { 161, 1019798 },
	{ 200, 5524271 },    { 299, 402622582 },  { 300, 420448207 },   { 319, 957603280 },    { 320, 1000000000 },
	{ 321, 1044273782 }, { 352, 4000000000 }, { 400, 32000000000 }, { 447, 245146439858 }, { 448, 256000000000 },
	{ 266, 96388176 },   { 322, 1090507732 }, { 414, 58688258765 }, { 416, 64000000000 },
};
#define EXACT_SUM   6038203033065ULL
#define EXACT_FNV1A 0x5038170130ebcb8cULL /* over the bounds as 64-bit little-endian words */

static void bounds_are_the_exact_floors(void **state)
{
	uint64_t t[TW_BOUNDS_TABLE], sum = 0, fnv = 0xcbf29ce484222325ULL;

	histogram_bounds(t);
	for (size_t k = 0; k < sizeof(exact) / sizeof(exact[0]); k++)
		assert_int_equal(t[exact[k].i], exact[k].ns);
	for (unsigned int i = 0; i < TW_BUCKET_BOUNDS; i++) {
		sum += t[i];
		for (int byte = 0; byte < 8; byte++)
			fnv = (fnv ^ ((t[i] >> (8 * byte)) & 255)) * 0x100000001b3ULL;
	}
	assert_int_equal(sum, EXACT_SUM);
	assert_true(fnv == EXACT_FNV1A);
}

static void the_table_is_padded_with_the_largest_signed_number(void **state)
{
	uint64_t t[TW_BOUNDS_TABLE];

	memset(t, 0, sizeof(t));
	histogram_bounds(t);
	for (unsigned int i = TW_BUCKET_BOUNDS; i < TW_BOUNDS_TABLE; i++)
		assert_true(t[i] == INT64_MAX);
}

static void a_bound_belongs_to_its_own_bucket_and_the_next_nanosecond_does_not(void **state)
{
	for (size_t k = 0; k < sizeof(exact) / sizeof(exact[0]); k++) {
		assert_int_equal(histogram_bucket(exact[k].ns - 1), exact[k].i);
		assert_int_equal(histogram_bucket(exact[k].ns), exact[k].i);
		assert_int_equal(histogram_bucket(exact[k].ns + 1), exact[k].i + 1);
	}
}

/* The kernel's way to the bucket, at every place where it could differ from the search, and at random ones. */
static void the_kernel_finds_the_bucket_that_the_search_finds(void **state)
{
	static uint64_t bounds[TW_BOUNDS_TABLE];
	static uint16_t cells[BUCKET_CELLS];
	uint64_t x = 88172645463325252ULL;

	histogram_bounds(bounds);
	histogram_cells(cells);
	for (unsigned int e = 0; e < 63; e++)
		for (uint64_t m = 0; m < 64; m++)
			for (int d = -1; d <= 1; d++) {
				uint64_t ns = (((64 + m) << e >> 6) + (uint64_t)d) & INT64_MAX;

				assert_int_equal(BUCKET_OF(bounds, TW_BOUNDS_TABLE, cells, ns), histogram_bucket(ns));
			}
	for (unsigned int i = 0; i < TW_BUCKET_BOUNDS; i++)
		for (int d = -1; d <= 1; d++) {
			uint64_t ns = bounds[i] + (uint64_t)d;

			assert_int_equal(BUCKET_OF(bounds, TW_BOUNDS_TABLE, cells, ns), histogram_bucket(ns));
		}
	for (unsigned int k = 0; k < 1000000; k++) {
		uint64_t ns;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		ns = x >> (1 + x % 63);
		assert_int_equal(BUCKET_OF(bounds, TW_BOUNDS_TABLE, cells, ns), histogram_bucket(ns));
	}
}

static void the_ends_of_the_range_have_a_bucket(void **state)
{
	assert_int_equal(histogram_bucket(0), 0);
	assert_int_equal(histogram_bucket(1), 0);
	assert_int_equal(histogram_bucket(256000000001ULL), TW_BUCKETS - 1);
	assert_int_equal(histogram_bucket(UINT64_MAX), TW_BUCKETS - 1);
}

static void the_upper_bounds_are_powers_of_two_to_the_sixteenth(void **state)
{
	assert_true(histogram_upper(0) == 0x1p-20);
	assert_true(histogram_upper(320) == 1.0);
	assert_true(fabs(histogram_upper(328) - M_SQRT2) < 1e-15);
	assert_true(histogram_upper(448) == 256.0);
	assert_true(isinf(histogram_upper(TW_BUCKETS - 1)));
}

static void an_empty_histogram_has_no_quantile_and_no_mean(void **state)
{
	struct histogram h = { 0 };

	assert_true(isnan(histogram_quantile(&h, 0.5)));
	assert_true(isnan(histogram_mean(&h)));
	assert_int_equal(histogram_above(&h, 0), 0);
}

static void no_quantile_lies_above_the_maximum(void **state)
{
	struct histogram h = { 0 };

	histogram_add(&h, 1000000);
	for (double q = 0.01; q <= 1.0; q += 0.01)
		assert_true(histogram_quantile(&h, q) <= 0.001);
	assert_true(histogram_quantile(&h, 1.0) == 0.001);
	assert_true(histogram_quantile(&h, 0.5) > 935159e-9);
}

static void a_quantile_interpolates_linearly_inside_its_bucket(void **state)
{
	struct histogram h = { 0 };

	/* Four observations of one bucket below a larger maximum: the median is half way through the bucket. */
	for (int i = 0; i < 4; i++)
		histogram_add(&h, 1000000000);
	for (int i = 0; i < 4; i++)
		histogram_add(&h, 2000000000);
	assert_true(fabs(histogram_quantile(&h, 0.25) - (0.957603280698573 + 1.0) / 2) < 1e-12);
	assert_true(fabs(histogram_quantile(&h, 0.5) - 1.0) < 1e-12);
}

static void observations_beyond_the_last_bound_reach_up_to_the_maximum(void **state)
{
	struct histogram h = { 0 };

	histogram_add(&h, 300000000000ULL);
	assert_true(histogram_quantile(&h, 1.0) == 300.0);
	h.max = 0; /* not carried: the bucket is believed */
	assert_true(histogram_quantile(&h, 1.0) == 256.0);
}

static void zero_nanoseconds_are_zero_seconds(void **state)
{
	struct histogram h = { 0 };

	histogram_add(&h, 0);
	assert_true(histogram_quantile(&h, 0.99) == 0.0);
	assert_true(histogram_mean(&h) == 0.0);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The oracle is the k-th smallest of the raw sample, k = ceil(q n). */
static void quantiles_lie_in_the_bucket_of_the_sample_quantile(void **state)
{
	static const struct {
		double q;
		unsigned int k; /* of 10000 */
	} cases[] = { { 0.0001, 1 }, { 0.07, 700 },  { 0.29, 2900 }, { 0.5, 5000 },
		      { 0.9, 9000 }, { 0.95, 9500 }, { 0.99, 9900 }, { 1.0, 10000 } };
	static uint64_t sample[10000];
	uint64_t x = 88172645463325252ULL;

	for (int spread = 12; spread <= 40; spread += 4) {
		struct histogram h = { 0 };

		for (int i = 0; i < 10000; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			sample[i] = (x & 0xffff) << (x >> 32) % (spread - 11);
			histogram_add(&h, sample[i]);
		}
		qsort(sample, 10000, sizeof(sample[0]), by_value);
		for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
			unsigned int b = histogram_bucket(sample[cases[c].k - 1]);
			double v = histogram_quantile(&h, cases[c].q);

			assert_true(v <= histogram_upper(b));
			assert_true(v >= (b ? histogram_upper(b - 1) : 0.0));
		}
	}
}

static void merging_is_addition(void **state)
{
	struct histogram a = { 0 }, b = { 0 }, both = { 0 };

	for (uint64_t i = 1; i < 2000; i++) {
		histogram_add(i % 3 ? &a : &b, i * i * 977);
		histogram_add(&both, i * i * 977);
	}
	histogram_merge(&a, &b);
	assert_memory_equal(&a, &both, sizeof(a));
}

static void above_counts_the_buckets_above(void **state)
{
	struct histogram h = { 0 };

	histogram_add(&h, 1000000000);
	histogram_add(&h, 1000000001);
	histogram_add(&h, UINT64_MAX);
	assert_int_equal(histogram_above(&h, 319), 3);
	assert_int_equal(histogram_above(&h, 320), 2);
	assert_int_equal(histogram_above(&h, TW_BUCKETS - 1), 0);
	assert_int_equal(histogram_above(&h, UINT32_MAX), 0);
}

static void the_mean_is_the_sum_over_the_count(void **state)
{
	struct histogram h = { 0 };

	histogram_add(&h, 1000000);
	histogram_add(&h, 3000000);
	assert_true(fabs(histogram_mean(&h) - 0.002) < 1e-18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds_are_the_exact_floors),
		cmocka_unit_test(the_table_is_padded_with_the_largest_signed_number),
		cmocka_unit_test(a_bound_belongs_to_its_own_bucket_and_the_next_nanosecond_does_not),
		cmocka_unit_test(the_kernel_finds_the_bucket_that_the_search_finds),
		cmocka_unit_test(the_ends_of_the_range_have_a_bucket),
		cmocka_unit_test(the_upper_bounds_are_powers_of_two_to_the_sixteenth),
		cmocka_unit_test(an_empty_histogram_has_no_quantile_and_no_mean),
		cmocka_unit_test(no_quantile_lies_above_the_maximum),
		cmocka_unit_test(a_quantile_interpolates_linearly_inside_its_bucket),
		cmocka_unit_test(observations_beyond_the_last_bound_reach_up_to_the_maximum),
		cmocka_unit_test(zero_nanoseconds_are_zero_seconds),
		cmocka_unit_test(quantiles_lie_in_the_bucket_of_the_sample_quantile),
		cmocka_unit_test(merging_is_addition),
		cmocka_unit_test(above_counts_the_buckets_above),
		cmocka_unit_test(the_mean_is_the_sum_over_the_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
