/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Quantiles from bucket counts. Oracles: the confseq library's fixtures, a worked vector that was computed
 * independently of this code, searching all of what the code searches cleverly, and Ville's inequality on simulated
 * latencies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dice.h"
#include "judge/stats/quantile.h"
#include "model/histogram.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static struct ladder canary, baseline;

static void assert_near(double got, double want, double off)
{
	if (!(fabs(got - want) <= off))
		fail_msg("got %.12g, want %.12g", got, want);
}

/* --- published figures -------------------------------------------------------------------------------------------- */

/* confseq: QuantileABTest(p, t_opt 100, alpha_opt .05) of 1..1000 against the same moved up by an offset. */
static double p_of_offset(double p, unsigned int offset)
{
	uint64_t a[1200] = { 0 }, b[1200] = { 0 };
	struct quantile_test t;

	for (unsigned int i = 1; i <= 1000; i++) {
		a[i] = 1;
		b[i + offset] = 1;
	}
	ladder__build(&baseline, a, COUNT(a));
	ladder__build(&canary, b, COUNT(b));
	quantile_test__init(&t, p, 100, 100, 0.05);
	assert_near(quantile_test__p_differs(&t, &baseline, &canary), quantile_test__p_differs(&t, &canary, &baseline),
	            1e-12);
	return quantile_test__p_differs(&t, &canary, &baseline);
}

static void two_sided_p_values_are_those_of_confseq(void **state)
{
	assert_near(p_of_offset(0.5, 70), 0.814704, 5e-7);
	assert_near(p_of_offset(0.5, 85), 0.0838055, 5e-8);
	assert_near(p_of_offset(0.5, 100), 0.0054947, 5e-8);
	assert_near(p_of_offset(0.9, 55), 0.0340463, 5e-8);
	assert_near(p_of_offset(0.5, 0), 1, 0);
}

/* The vector's eight buckets are closed: an empty open one lies on either side. */
static const uint64_t worked[10] = { 0, 1200, 3400, 6100, 4800, 2200, 900, 300, 100, 0 };
static const uint64_t worse[10] = { 0, 10, 60, 180, 260, 220, 150, 80, 40, 0 };
static const uint64_t equal[10] = { 0, 63, 179, 321, 253, 116, 47, 16, 5, 0 };

static struct quantile_test worked_test(const uint64_t *c)
{
	struct quantile_test t;

	ladder__build(&baseline, worked, 10);
	ladder__build(&canary, c, 10);
	quantile_test__init(&t, 0.95, 1000, 19000, 0.05);
	return t;
}

static void the_worked_vector_of_the_one_sided_tests_is_reproduced(void **state)
{
	struct quantile_test t = worked_test(worse);

	assert_near(quantile_test__log_e_slower(&t, &canary, &baseline, 0), 29.44349699, 5e-9);
	t = worked_test(equal);
	assert_near(quantile_test__log_e_slower(&t, &canary, &baseline, 0), -6.19824096, 5e-9);
	assert_near(quantile_test__log_e_within(&t, &canary, &baseline, 1), 5.20486035, 5e-9);
	assert_near(quantile_test__log_e_within(&t, &canary, &baseline, 2), 22.87447277, 5e-9);
}

/* --- by searching everything -------------------------------------------------------------------------------------- */

/* Some latencies around a bucket, few or many, now and then with a foot in an open end. */
static void random_ladder(struct dice *d, struct ladder *l, uint64_t *counts, unsigned int n)
{
	unsigned int many = dice_below(d, 3) ? 200 : 20000, middle = n / 4 + dice_below(d, n / 2);

	memset(counts, 0, n * sizeof(*counts));
	for (unsigned int i = 0; i < many; i++) {
		unsigned int at = middle + dice_below(d, 6) + dice_below(d, 6) - 5;

		counts[at < n ? at : n - 1]++;
	}
	if (!dice_below(d, 3))
		counts[dice_below(d, 2) ? 0 : n - 1] += many / 30;
	ladder__build(l, counts, n);
}

/* The definition: the least over q of both arms' evidence, what lies in an open end being counted only if it must. */
static double slower_by_definition(const uint64_t *c, const uint64_t *b, int n, int shift)
{
	struct share_test c_above, b_below;
	double best = INFINITY;

	share_test__init(&c_above, SHARE_ABOVE, 1 - 0.95, 2000, 0.05);
	share_test__init(&b_below, SHARE_ABOVE, 0.95, 5000, 0.05);
	for (int q = -3 * n; q < 3 * n; q++) {
		double above = 0, below = 0, n_c = 0, n_b = 0;

		for (int i = 0; i < n; i++) {
			n_c += (double)c[i];
			n_b += (double)b[i];
			above += i > 0 && i > q && q < n - 1 ? (double)c[i] : 0;
			below += i < n - 1 && i + shift < q ? (double)b[i] : 0;
		}
		best = fmin(best, share_test__log_e(&c_above, above, n_c) + share_test__log_e(&b_below, below, n_b));
	}
	return best;
}

static void the_search_finds_what_looking_everywhere_finds(void **state)
{
	enum { N = 24 };
	struct dice d = { 3 };
	struct quantile_test t;

	quantile_test__init(&t, 0.95, 2000, 5000, 0.05);
	for (int i = 0; i < 60; i++) {
		uint64_t c[N], b[N];
		int shift = (int)dice_below(&d, 13) - 6;

		random_ladder(&d, &canary, c, N);
		random_ladder(&d, &baseline, b, N);
		assert_near(quantile_test__log_e_slower(&t, &canary, &baseline, shift),
		            slower_by_definition(c, b, N, shift), 1e-9);
	}
}

/* Both mixtures, evaluated at every whole count that the quantile's bucket allows. */
static void the_two_sided_test_and_the_interval_follow_their_definition(void **state)
{
	enum { N = 24 };
	const struct share_level level = { 0.05, 2000, 0.05 };
	struct dice d = { 5 };

	for (int i = 0; i < 40; i++) {
		uint64_t counts[N];
		struct share_test t;
		unsigned int first, last;

		random_ladder(&d, &canary, counts, N);
		share_test__init(&t, SHARE_DIFFERS, 0.9, 2000, 0.05);
		quantile__interval(&canary, 0.9, &level, &first, &last);
		assert_true(first <= last && last < N);
		for (unsigned int q = 0; q < N; q++) {
			double least = INFINITY;

			for (double k = canary.upto[q]; k <= canary.upto[q + 1]; k++)
				least = fmin(least, share_test__log_e(&t, k, canary.upto[N]));
			if (fabs(least - log(20)) > 0.01)
				assert_int_equal(q >= first && q <= last, least < log(20));
		}
	}
}

static void one_sided_limits_are_the_outermost_buckets_that_are_not_rejected(void **state)
{
	enum { N = 24 };
	const struct share_level level = { 0.05, 2000, 0.05 };
	struct dice d = { 7 };

	for (int i = 0; i < 40; i++) {
		unsigned int lower = 0, upper = N - 1;
		struct share_test above, below;
		uint64_t counts[N];

		random_ladder(&d, &canary, counts, N);
		share_test__init(&above, SHARE_ABOVE, 0.1, 2000, 0.05);
		share_test__init(&below, SHARE_ABOVE, 0.9, 2000, 0.05);
		/* Above the last bucket, open as it is, lies nothing; nor below the first. */
		while (lower < N - 1 &&
		       share_test__log_e(&above, canary.upto[N] - canary.upto[lower + 1], canary.upto[N]) >= log(20))
			lower++;
		while (upper > 0 && share_test__log_e(&below, canary.upto[upper], canary.upto[N]) >= log(20))
			upper--;
		assert_int_equal(quantile__lower(&canary, 0.9, &level), lower);
		assert_int_equal(quantile__upper(&canary, 0.9, &level), upper);
	}
}

/* At every level: the half of alpha that each side gets, and not a bucket more. */
static void the_shifts_are_where_the_one_sided_tests_turn(void **state)
{
	struct quantile_test t = worked_test(equal);
	int low, high;

	for (double alpha = 0.9; alpha > 1e-12; alpha *= 0.8) {
		double need = log(2 / alpha);

		quantile_test__shifts(&t, &canary, &baseline, alpha, &low, &high);
		assert_true(low < 0 && high > 0); /* the shares are equal to the last unit */
		assert_true(low == -10 || quantile_test__log_e_slower(&t, &canary, &baseline, low) >= need);
		assert_true(quantile_test__log_e_slower(&t, &canary, &baseline, low + 1) < need);
		assert_true(high == 10 || quantile_test__log_e_within(&t, &canary, &baseline, high) >= need);
		assert_true(quantile_test__log_e_within(&t, &canary, &baseline, high - 1) < need);
	}
	quantile_test__shifts(&t, &canary, &baseline, 0.05, &low, &high);
	assert_true(low > -10 && high < 10);
	t = worked_test(worse);
	quantile_test__shifts(&t, &canary, &baseline, 0.05, &low, &high);
	assert_true(low >= 0); /* beyond doubt slower */
}

/* --- under repetition --------------------------------------------------------------------------------------------- */

/* A log-normal of sigma 0.8 is 18.5 buckets wide; the sum of twelve uniforms is normal enough for its p95. */
static unsigned int latency_bucket(struct dice *d, double shift)
{
	double z = -6;

	for (int i = 0; i < 12; i++)
		z += dice_uniform(d);
	return (unsigned int)fmax(0, fmin(199, floor(100 + 18.5 * z + shift)));
}

struct looks {
	int slower, within, differs; /* runs in which the test ever reached 1/alpha */
	int missed;                  /* runs in which an interval missed the truth */
};

static struct looks repeat(int runs, double shift)
{
	struct looks seen = { 0 };
	struct quantile_test t;
	struct dice d = { 17 };

	quantile_test__init(&t, 0.95, 500, 2000, 0.05);
	for (int i = 0; i < runs; i++) {
		uint64_t c[200] = { 0 }, b[200] = { 0 };
		bool slower = false, within = false, differs = false, missed = false;

		for (int look = 0; look < 12; look++) {
			int low, high;

			for (int k = 0; k < 60; k++)
				c[latency_bucket(&d, shift)]++;
			for (int k = 0; k < 240; k++)
				b[latency_bucket(&d, 0)]++;
			ladder__build(&canary, c, 200);
			ladder__build(&baseline, b, 200);
			slower |= quantile_test__log_e_slower(&t, &canary, &baseline, 0) >= log(20);
			within |= quantile_test__log_e_within(&t, &canary, &baseline, 0) >= log(20);
			differs |= quantile_test__p_differs(&t, &canary, &baseline) <= 0.05;
			quantile_test__shifts(&t, &canary, &baseline, 0.05, &low, &high);
			missed |= shift <= low || shift >= high;
		}
		seen.slower += slower;
		seen.within += within;
		seen.differs += differs;
		seen.missed += missed;
	}
	return seen;
}

static void equal_latencies_are_told_apart_in_at_most_alpha_of_the_runs(void **state)
{
	struct looks seen = repeat(200, 0);

	print_message("of 200 null runs: slower %d, within %d, differs %d, missed %d\n", seen.slower, seen.within,
	              seen.differs, seen.missed);
	assert_true(seen.slower <= 10 && seen.within <= 10 && seen.differs <= 10 && seen.missed <= 10);
}

/* 20 buckets: 2.4 times as slow. */
static void slower_latencies_are_found_and_their_shift_is_covered(void **state)
{
	struct looks seen = repeat(100, 20);

	assert_true(seen.slower >= 95 && seen.differs >= 95);
	assert_int_equal(seen.within, 0);
	assert_true(seen.missed <= 5);
}

/* The p95 of these latencies: 100 + 18.5 * 1.645 = 130.4. One-sided limits of 5 % each, looked at 12 times. */
static void limits_of_one_arms_quantile_hold_it(void **state)
{
	const struct share_level level = { 0.05, 1000, 0.05 };
	struct dice d = { 23 };
	int below = 0, above = 0;

	for (int i = 0; i < 200; i++) {
		uint64_t c[200] = { 0 };
		bool missed_below = false, missed_above = false;

		for (int look = 0; look < 12; look++) {
			for (int k = 0; k < 200; k++)
				c[latency_bucket(&d, 0)]++;
			ladder__build(&canary, c, 200);
			missed_below |= quantile__lower(&canary, 0.95, &level) > 131;
			missed_above |= quantile__upper(&canary, 0.95, &level) < 129;
		}
		below += missed_below;
		above += missed_above;
		assert_in_range(quantile__lower(&canary, 0.95, &level), 120, 131);
		assert_in_range(quantile__upper(&canary, 0.95, &level), 129, 145);
	}
	assert_true(below <= 10 && above <= 10);
}

/* --- edges -------------------------------------------------------------------------------------------------------- */

static void merging_hosts_in_any_order_changes_no_evidence(void **state)
{
	struct histogram *host = calloc(4, sizeof(*host));
	struct quantile_test t;
	struct dice d = { 29 };
	double log_e[2];

	quantile_test__init(&t, 0.95, 1000, 1000, 0.05);
	for (int order = 0; order < 2; order++) {
		memset(host, 0, 4 * sizeof(*host));
		d.state = 29;
		for (int k = 0; k < 3000; k++) {
			histogram_add(&host[k % 3], 1000000 + dice_word(&d) % 90000000);
			histogram_add(&host[3], 1000000 + dice_word(&d) % 80000000);
		}
		histogram_merge(&host[order], &host[1 - order]);
		histogram_merge(&host[order], &host[2]);
		ladder__build(&canary, host[order].b, TW_BUCKETS);
		ladder__build(&baseline, host[3].b, TW_BUCKETS);
		assert_near(canary.upto[TW_BUCKETS], 3000, 0);
		log_e[order] = quantile_test__log_e_slower(&t, &canary, &baseline, 0);
	}
	assert_near(log_e[0], log_e[1], 0);
	free(host);
}

static void arms_without_counts_say_nothing(void **state)
{
	const struct share_level level = { 0.05, 1000, 0.05 };
	const uint64_t none[10] = { 0 };
	struct quantile_test t;
	unsigned int first, last;
	int low, high;

	quantile_test__init(&t, 0.95, 1000, 1000, 0.05);
	for (int which = 0; which < 3; which++) {
		ladder__build(&canary, which == 1 ? worse : none, 10);
		ladder__build(&baseline, which == 2 ? worse : none, 10);
		assert_true(quantile_test__log_e_slower(&t, &canary, &baseline, 0) <= 0);
		assert_true(quantile_test__log_e_within(&t, &canary, &baseline, 3) <= 0);
		assert_near(quantile_test__p_differs(&t, &canary, &baseline), 1, 0);
		quantile_test__shifts(&t, &canary, &baseline, 0.05, &low, &high);
		assert_int_equal(low, -10);
		assert_int_equal(high, 10);
	}
	ladder__build(&canary, none, 10);
	quantile__interval(&canary, 0.95, &level, &first, &last);
	assert_true(first == 0 && last == 9);
	assert_int_equal(quantile__lower(&canary, 0.95, &level), 0);
	assert_int_equal(quantile__upper(&canary, 0.95, &level), 9);
}

/* A canary whose answers all take longer than the last bound: how much longer nobody knows. */
static void what_lies_beyond_the_last_bound_is_never_within_a_margin(void **state)
{
	uint64_t b[10] = { 0, 0, 0, 900000, 0 }, c[10] = { 0 };
	struct quantile_test t;
	int low, high;

	c[9] = 50000;
	quantile_test__init(&t, 0.95, 1000, 1000, 0.05);
	ladder__build(&canary, c, 10);
	ladder__build(&baseline, b, 10);
	for (int shift = 0; shift <= 10; shift++)
		assert_true(quantile_test__log_e_within(&t, &canary, &baseline, shift) <= 0);
	quantile_test__shifts(&t, &canary, &baseline, 0.05, &low, &high);
	assert_int_equal(low, 5); /* it is in bucket 9, so beyond bucket 8, 5 above the baseline's */
	assert_int_equal(high, 10);
	/* Answers faster than the first bound, likewise: never shown to be slower than a baseline moved down. */
	ladder__build(&canary, (const uint64_t[10]){ 50000 }, 10);
	for (int shift = -10; shift <= 0; shift++)
		assert_true(quantile_test__log_e_slower(&t, &canary, &baseline, shift) <= 0);
}

static void all_in_one_bucket_and_counts_beyond_32_bits_are_finite(void **state)
{
	static const uint64_t sizes[] = { 1, 20, 1000, 5000000000, UINT64_MAX / 4 };
	const struct share_level level = { 0.05, 1000, 0.05 };
	struct quantile_test t;

	quantile_test__init(&t, 0.95, 1000, 19000, 0.05);
	for (size_t i = 0; i < COUNT(sizes) * COUNT(sizes) * 3; i++) {
		uint64_t c[30] = { 0 }, b[30] = { 0 };
		unsigned int first, last;
		int low, high;
		double p;

		b[10] = sizes[i % COUNT(sizes)];
		c[8 + i / COUNT(sizes) / COUNT(sizes) * 2] = sizes[i / COUNT(sizes) % COUNT(sizes)];
		ladder__build(&canary, c, 30);
		ladder__build(&baseline, b, 30);
		for (int shift = -3; shift <= 3; shift++) {
			assert_true(isfinite(quantile_test__log_e_slower(&t, &canary, &baseline, shift)));
			assert_true(isfinite(quantile_test__log_e_within(&t, &canary, &baseline, shift)));
		}
		p = quantile_test__p_differs(&t, &canary, &baseline);
		assert_true(p >= 0 && p <= 1);
		quantile_test__shifts(&t, &canary, &baseline, 0.05, &low, &high);
		assert_true(low < high && low >= -30 && high <= 30);
		quantile__interval(&baseline, 0.95, &level, &first, &last);
		assert_true(first <= 10 && last >= 10);
		if (b[10] > 4294967296 && c[10] > 4294967296) /* both in bucket 10: equal to within a bucket */
			assert_true(low == -1 && high == 1 && first == 10 && last == 10);
	}
}

static void buckets_beyond_the_ladder_count_in_its_last(void **state)
{
	uint64_t *counts = calloc(LADDER_MAX + 5, sizeof(*counts));

	for (unsigned int i = 0; i < LADDER_MAX + 5; i++)
		counts[i] = 2;
	ladder__build(&canary, counts, LADDER_MAX + 5);
	assert_int_equal(canary.n, LADDER_MAX);
	assert_near(canary.upto[LADDER_MAX], 2 * (LADDER_MAX + 5), 0);
	assert_near(canary.upto[LADDER_MAX - 1], 2 * (LADDER_MAX - 1), 0);
	free(counts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sided_p_values_are_those_of_confseq),
		cmocka_unit_test(the_worked_vector_of_the_one_sided_tests_is_reproduced),
		cmocka_unit_test(the_search_finds_what_looking_everywhere_finds),
		cmocka_unit_test(the_two_sided_test_and_the_interval_follow_their_definition),
		cmocka_unit_test(one_sided_limits_are_the_outermost_buckets_that_are_not_rejected),
		cmocka_unit_test(the_shifts_are_where_the_one_sided_tests_turn),
		cmocka_unit_test(equal_latencies_are_told_apart_in_at_most_alpha_of_the_runs),
		cmocka_unit_test(slower_latencies_are_found_and_their_shift_is_covered),
		cmocka_unit_test(limits_of_one_arms_quantile_hold_it),
		cmocka_unit_test(merging_hosts_in_any_order_changes_no_evidence),
		cmocka_unit_test(arms_without_counts_say_nothing),
		cmocka_unit_test(what_lies_beyond_the_last_bound_is_never_within_a_margin),
		cmocka_unit_test(all_in_one_bucket_and_counts_beyond_32_bits_are_finite),
		cmocka_unit_test(buckets_beyond_the_ladder_count_in_its_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
