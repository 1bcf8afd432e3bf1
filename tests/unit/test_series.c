// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Sums of the kernel's counters over CPUs, and the column that stands for six. Oracle: what TW_LAT_PLAIN is said to
 * mean (include/tw_abi.h), written out by hand for a few exchanges.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tw_series.h"

static struct tw_series one, other, sum;

static const enum tw_latency alike[] = { TW_LAT_TOTAL, TW_LAT_FIRST_BYTE, TW_LAT_SERVER };
static const enum tw_latency none[] = { TW_LAT_UPLOAD, TW_LAT_SEND, TW_LAT_ACCEPT };
static const enum tw_latency own[] = { TW_LAT_QUEUE, TW_LAT_SERVICE, TW_LAT_DRAIN };

static int clear(void **state)
{
	memset(&one, 0, sizeof(one));
	memset(&other, 0, sizeof(other));
	memset(&sum, 0, sizeof(sum));
	return 0;
}

static void count(struct tw_series *s, int kind, uint64_t ns, unsigned int bucket)
{
	s->c.sum[kind] += ns;
	if (ns > s->c.max[kind])
		s->c.max[kind] = ns;
	s->b[bucket][kind]++;
}

static uint64_t times(const struct tw_series *s, int kind)
{
	uint64_t n = 0;

	for (int i = 0; i < TW_BUCKETS; i++)
		n += s->b[i][kind];
	return n;
}

static void a_plain_exchange_is_one_of_each_of_the_six(void **state)
{
	count(&one, TW_LAT_PLAIN, 5000, 40);
	count(&one, TW_LAT_QUEUE, 2000, 17);
	count(&one, TW_LAT_SERVICE, 3000, 27);
	tw_series_expand(&one);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(one.c.sum[alike[k]], 5000);
		assert_int_equal(one.c.max[alike[k]], 5000);
		assert_int_equal(one.b[40][alike[k]], 1);
		assert_int_equal(times(&one, alike[k]), 1);
		assert_int_equal(one.c.sum[none[k]], 0);
		assert_int_equal(one.c.max[none[k]], 0);
		assert_int_equal(one.b[0][none[k]], 1);
		assert_int_equal(times(&one, none[k]), 1);
	}
	assert_int_equal(one.c.sum[TW_LAT_QUEUE], 2000);
	assert_int_equal(one.b[17][TW_LAT_QUEUE], 1);
	assert_int_equal(one.c.sum[TW_LAT_SERVICE], 3000);
	assert_int_equal(one.b[27][TW_LAT_SERVICE], 1);
	for (int k = 0; k < 3; k++)
		assert_int_equal(times(&one, own[k]), own[k] != TW_LAT_DRAIN);
}

static void plain_exchanges_join_those_counted_in_full(void **state)
{
	/* Two in full: 9 and 70 in all, of which 1 and 20 were sending; three plain ones of 8, 8 and 100. */
	for (int k = 0; k < 3; k++) {
		count(&one, alike[k], 9, 3);
		count(&one, alike[k], 70, 6);
	}
	count(&one, TW_LAT_SEND, 1, 0);
	count(&one, TW_LAT_SEND, 20, 5);
	count(&one, TW_LAT_PLAIN, 8, 3);
	count(&one, TW_LAT_PLAIN, 8, 3);
	count(&one, TW_LAT_PLAIN, 100, 7);
	tw_series_expand(&one);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(one.c.sum[alike[k]], 9 + 70 + 8 + 8 + 100);
		assert_int_equal(one.c.max[alike[k]], 100);
		assert_int_equal(one.b[3][alike[k]], 3);
		assert_int_equal(one.b[6][alike[k]], 1);
		assert_int_equal(one.b[7][alike[k]], 1);
		assert_int_equal(times(&one, alike[k]), 5);
	}
	assert_int_equal(one.c.sum[TW_LAT_SEND], 21);
	assert_int_equal(one.c.max[TW_LAT_SEND], 20);
	assert_int_equal(one.b[0][TW_LAT_SEND], 4);
	assert_int_equal(one.b[5][TW_LAT_SEND], 1);
	assert_int_equal(one.b[0][TW_LAT_UPLOAD], 3);
	assert_int_equal(one.b[0][TW_LAT_ACCEPT], 3);
}

static void a_longer_one_that_was_counted_in_full_stays_the_longest(void **state)
{
	for (int k = 0; k < 3; k++)
		count(&one, alike[k], 500, 9);
	count(&one, TW_LAT_PLAIN, 100, 7);
	tw_series_expand(&one);
	for (int k = 0; k < 3; k++)
		assert_int_equal(one.c.max[alike[k]], 500);
}

static void every_bucket_is_expanded_from_the_first_to_the_last(void **state)
{
	for (unsigned int i = 0; i < TW_BUCKETS; i++)
		one.b[i][TW_LAT_PLAIN] = i + 1;
	tw_series_expand(&one);
	for (unsigned int i = 0; i < TW_BUCKETS; i++)
		for (int k = 0; k < 3; k++)
			assert_int_equal(one.b[i][alike[k]], i + 1);
	for (int k = 0; k < 3; k++)
		assert_int_equal(one.b[0][none[k]], (uint64_t)TW_BUCKETS * (TW_BUCKETS + 1) / 2);
}

static void without_plain_exchanges_nothing_changes(void **state)
{
	for (int k = 0; k < TW_LAT_NR; k++)
		count(&one, k, 1000 + (uint64_t)k, 1 + (unsigned int)k);
	one.c.exchanges = 1;
	other = one;
	tw_series_expand(&one);
	assert_memory_equal(&one, &other, sizeof(one));
}

/* Every number of a series has a value of its own. */
static void fill(struct tw_series *s, uint32_t from)
{
	uint64_t *wide = (uint64_t *)s;
	uint32_t *narrow = (uint32_t *)s->c.outcome;

	for (size_t i = 0; i < offsetof(struct tw_counters, outcome) / sizeof(*wide); i++)
		wide[i] = from + i;
	for (size_t i = 0; i < (sizeof(struct tw_counters) - offsetof(struct tw_counters, outcome)) / sizeof(*narrow);
	     i++)
		narrow[i] = from + 1000 + (uint32_t)i;
	for (size_t i = 0; i < TW_BUCKETS; i++)
		for (size_t k = 0; k < TW_SERIES_KINDS; k++)
			s->b[i][k] = from + 2000 + (uint32_t)(i * TW_SERIES_KINDS + k);
}

static void cpus_add_up_number_by_number_and_the_longest_is_the_longest(void **state)
{
	fill(&one, 10);
	fill(&other, 70000);
	tw_series_add(&sum, &one);
	tw_series_add(&sum, &other);
	assert_int_equal(sum.c.exchanges, one.c.exchanges + other.c.exchanges);
	assert_int_equal(sum.c.connections, one.c.connections + other.c.connections);
	assert_int_equal(sum.c.bad, one.c.bad + other.c.bad);
	for (int k = 0; k < TW_SERIES_KINDS; k++) {
		assert_int_equal(sum.c.sum[k], one.c.sum[k] + other.c.sum[k]);
		assert_int_equal(sum.c.max[k], other.c.max[k]);
		for (int i = 0; i < TW_BUCKETS; i++)
			assert_int_equal(sum.b[i][k], one.b[i][k] + other.b[i][k]);
	}
	for (int i = 0; i < TW_OUTCOME_NR; i++) {
		assert_int_equal(sum.c.outcome[i], one.c.outcome[i] + other.c.outcome[i]);
		assert_int_equal(sum.c.cut[i], one.c.cut[i] + other.c.cut[i]);
	}
	for (int i = 0; i < TW_STATUS_NR; i++)
		assert_int_equal(sum.c.status[i], one.c.status[i] + other.c.status[i]);
	for (int i = 0; i < TW_GROUPS; i++) {
		assert_int_equal(sum.c.group[i], one.c.group[i] + other.c.group[i]);
		assert_int_equal(sum.c.group_bad[i], one.c.group_bad[i] + other.c.group_bad[i]);
		assert_int_equal(sum.c.group_slow[i], one.c.group_slow[i] + other.c.group_slow[i]);
	}
	/* In either order. */
	memset(&sum, 0, sizeof(sum));
	tw_series_add(&sum, &other);
	tw_series_add(&sum, &one);
	for (int k = 0; k < TW_SERIES_KINDS; k++)
		assert_int_equal(sum.c.max[k], other.c.max[k]);
}

#define TEST(f) cmocka_unit_test_setup(f, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_plain_exchange_is_one_of_each_of_the_six),
		TEST(plain_exchanges_join_those_counted_in_full),
		TEST(a_longer_one_that_was_counted_in_full_stays_the_longest),
		TEST(every_bucket_is_expanded_from_the_first_to_the_last),
		TEST(without_plain_exchanges_nothing_changes),
		TEST(cpus_add_up_number_by_number_and_the_longest_is_the_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
