/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The second opinion and the descriptive figures, as the judge gives them out. Oracles: R 4.2.2 and published
 * intervals, the functions of judge/stats (which have oracles of their own) on sums written out here, and Ville's
 * inequality on simulated latencies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "dice.h"
#include "judge/stats/proportions.h"
#include "judge/stats/quantile.h"
#include "opinions.h"

/* --- figures ------------------------------------------------------------------------------------------------------ */

/* A hundred ticks of different counts, none in which the baseline has more than twice the canary's. */
static void the_opinion_is_that_of_the_quantile_test_on_the_sums(void **state)
{
	uint64_t sum_c[TW_BUCKETS] = { 0 }, sum_b[TW_BUCKETS] = { 0 };
	struct ladder *canary = calloc(1, sizeof(*canary)), *baseline = calloc(1, sizeof(*baseline));
	struct judge *j = judge_of("GET /");
	struct dice d = { 41 };
	struct quantile_test t;
	struct second_opinion s;
	int low, high;

	/* Each tick holds as much as all before it, so that the opinion is of all of them. */
	for (uint64_t times = 1; times <= 8; times *= 2) {
		struct load l = { 0 };
		uint64_t shift = dice_below(&d, 2);

		for (unsigned int i = 0; i < 8; i++)
			put(&l.c, FIRST + 2 + i, slow[i] * times);
		put_all(&l.b, before, times);
		put(&l.b, FIRST + (unsigned int)shift, 100 * times); /* 2000 a time: exactly twice the canary's */
		for (unsigned int i = 0; i < TW_BUCKETS; i++) {
			sum_c[i] += l.c.b[i];
			sum_b[i] += l.b.b[i];
		}
		tick(j, &l);
	}
	s = figures(j, NULL).p95;
	ladder__build(canary, sum_c, TW_BUCKETS);
	ladder__build(baseline, sum_b, TW_BUCKETS);
	quantile_test__init(&t, 0.95, 1000, 2000, 0.05);
	assert_close(s.log_e_slower, quantile_test__log_e_slower(&t, canary, baseline, 0), 1e-12);
	assert_close(s.log_e_within, quantile_test__log_e_within(&t, canary, baseline, 2), 1e-12);
	assert_true(s.log_e_slower > log(20)); /* the table is that of a slower canary */
	quantile_test__shifts(&t, canary, baseline, 0.025, &low, &high);
	assert_true(s.has_ratio_low && s.has_ratio_high && s.has_difference_low && s.has_difference_high);
	assert_close(s.ratio_low, exp2(low / 16.0), 1e-12);
	assert_close(s.ratio_high, exp2(high / 16.0), 1e-12);
	assert_true(s.dispersion == 1);
	judge__free(j);
	free(canary);
	free(baseline);
}

/* What the intervals are: shifts at half of alpha, the baseline's own interval at the other half. */
static void assert_intervals(const struct second_opinion *s, const struct ladder *canary, const struct ladder *baseline)
{
	const struct share_level level = { 0.025, 2000, 0.05 };
	struct quantile_test t;
	unsigned int first, last;
	double low_b, high_b;
	int low, high;

	quantile_test__init(&t, 0.95, 1000, 2000, 0.05);
	quantile_test__shifts(&t, canary, baseline, 0.025, &low, &high);
	quantile__interval(baseline, 0.95, &level, &first, &last);
	low_b = histogram_upper(first - 1);
	high_b = histogram_upper(last);
	assert_true(last > first);
	assert_close(s->ratio_low, exp2(low / 16.0), 1e-12);
	assert_close(s->ratio_high, exp2(high / 16.0), 1e-12);
	assert_close(s->difference_low, (low > 0 ? low_b : high_b) * (exp2(low / 16.0) - 1), 1e-12);
	assert_close(s->difference_high, (high > 0 ? high_b : low_b) * (exp2(high / 16.0) - 1), 1e-12);
}

/* A canary that is slower, that is alike and that is faster, with few counts: limits on either side of 1. */
static void the_intervals_share_alpha_as_documented(void **state)
{
	static const unsigned int shifts[3] = { 60, 20, 0 };
	struct ladder *canary = calloc(1, sizeof(*canary)), *baseline = calloc(1, sizeof(*baseline));
	int differ = 0;

	for (int which = 0; which < 3; which++) {
		struct judge *j = judge_of("GET /");
		struct load l = { 0 };
		struct second_opinion s;
		struct quantile_test t;
		int low[2], high[2];

		for (unsigned int k = 0; k < 150; k++) {
			put(&l.c, FIRST + shifts[which] + k, 7);
			put(&l.b, FIRST + 20 + k, 14);
		}
		tick(j, &l);
		s = figures(j, NULL).p95;
		ladder__build(canary, l.c.b, TW_BUCKETS);
		ladder__build(baseline, l.b.b, TW_BUCKETS);
		assert_intervals(&s, canary, baseline);
		assert_true((s.ratio_low > 1) == (which == 0) && (s.ratio_high < 1) == (which == 2));
		/* Another level would show. */
		quantile_test__init(&t, 0.95, 1000, 2000, 0.05);
		quantile_test__shifts(&t, canary, baseline, 0.025, &low[0], &high[0]);
		quantile_test__shifts(&t, canary, baseline, 0.05, &low[1], &high[1]);
		differ += low[0] != low[1] || high[0] != high[1];
		judge__free(j);
	}
	assert_true(differ > 0);
	free(canary);
	free(baseline);
}

/* By hand: 950 of 1000 lie up to bucket 205, whose 90 reach from 860 to 950; of 2000, 1900 are 55 of the 100 in 205. */
static void the_p95_and_its_difference_are_in_seconds(void **state)
{
	const uint64_t steady[8] = { 126, 358, 642, 505, 232, 95, 32, 10 }; /* 2000 */
	double upto = 126 + 358 + 642 + 505 + 232, at_205 = histogram_upper(FIRST + 4);
	double wide = histogram_upper(FIRST + 5) - at_205, p95_b = at_205 + wide * (1900 - upto) / 95;
	struct judge *j = judge_of("GET /");
	struct load l = { 0 };
	struct second_opinion s;

	put_all(&l.c, slow, 1);
	put_all(&l.b, steady, 1);
	tick(j, &l);
	s = figures(j, NULL).p95;
	assert_true(s.has_p95_c && s.has_p95_b);
	assert_close(s.p95_c, histogram_upper(FIRST + 5), 1e-12);
	assert_close(s.p95_b, p95_b, 1e-12);
	assert_true(s.ratio_low <= s.p95_c / s.p95_b && s.ratio_high >= s.p95_c / s.p95_b);
	assert_true(s.difference_low <= s.p95_c - s.p95_b && s.difference_high >= s.p95_c - s.p95_b);
	judge__free(j);
}

/*
 * R: wilcox.test(rep(1:8, slow), rep(1:8, before), exact = FALSE) with 100 more of the fifth; z and CLES from its W.
 * The baseline has twice the canary's counts, so that none is weighed.
 */
static void rank_sums_in_the_verdict_are_those_of_r(void **state)
{
	struct judge *j = judge_of("GET /");
	struct load l = { 0 };
	struct descriptive f;

	put_all(&l.c, slow, 1);
	put_all(&l.b, before, 1);
	put(&l.b, FIRST + 4, 100);
	tick(j, &l);
	f = figures(j, NULL).descriptive;
	assert_true(f.has_rank_sum);
	assert_close(f.z, 8.189048436176234, 1e-12);
	assert_close(f.p, 2.632995689503858e-16, 1e-12);
	assert_close(f.cles, 0.5893, 1e-12);
	judge__free(j);
}

static void errors(struct judge *j, uint64_t bad_c, uint64_t n_c, uint64_t bad_b, uint64_t n_b)
{
	struct load l = { .bad_c = bad_c, .bad_b = bad_b };

	put(&l.c, FIRST, n_c);
	put(&l.b, FIRST, n_b);
	tick(j, &l);
}

/*
 * Newcombe's example (1998) 56/70 - 48/80; and 12/500 against 95/9500 by his formula from Wilson's intervals as R
 * gives them: prop.test(k, n, correct = FALSE)$conf.int.
 */
static void the_difference_of_error_shares_and_the_excess_are_the_published_ones(void **state)
{
	struct judge *j = judge_of("GET /");
	struct descriptive f;

	errors(j, 56, 70, 48, 80);
	f = figures(j, NULL).descriptive;
	assert_true(f.has_difference);
	assert_close(f.difference, 0.2, 1e-12);
	assert_close(f.difference_low, .05243147, 1e-7);
	assert_close(f.difference_high, .33387265, 2e-8);
	judge__free(j);
	j = judge_of("GET /");
	errors(j, 12, 500, 95, 9500);
	f = figures(j, NULL).descriptive;
	assert_close(f.excess, 7, 1e-12);
	assert_close(f.excess_low, 1.772719745354348, 1e-11);
	assert_close(f.excess_high, 15.78537582324909, 1e-11);
	assert_close(f.difference_low, 1.772719745354348 / 500, 1e-11);
	judge__free(j);
}

/* Bad ones come ten at a time on one connection: the intervals are those of counts divided by what was seen of that. */
static void intervals_of_errors_allow_for_bursts(void **state)
{
	struct judge *j = judge__new(&policy);
	struct verdict_endpoint f;
	struct dice d = { 15 };
	struct excess x;

	judge__add_endpoint(j, &(struct judge_endpoint){ .name = "GET /", .unit = UNIT_EXCHANGE });
	for (int i = 0; i < 40; i++) {
		struct connection_groups g[2] = { 0 };
		struct load l = { .bad_c = 10, .bad_b = 10, .groups_c = &g[0], .groups_b = &g[1] };

		for (int arm = 0; arm < 2; arm++) {
			for (int k = 0; k < TW_GROUPS; k++)
				g[arm].n[k] = 20;
			g[arm].bad[dice_below(&d, TW_GROUPS)] = 10;
		}
		put(&l.c, FIRST, 320);
		put(&l.b, FIRST, 640);
		tick(j, &l);
	}
	f = figures(j, NULL);
	assert_true(f.dispersion_bad > 5);
	assert_true(excess_events(400 / f.dispersion_bad, 12800 / f.dispersion_bad, 400 / f.dispersion_bad,
	                          25600 / f.dispersion_bad, 0.05, &x));
	assert_close(f.descriptive.excess, 200, 1e-12);
	assert_close(f.descriptive.excess_low, x.low * f.dispersion_bad, 1e-12);
	assert_close(f.descriptive.excess_high, x.high * f.dispersion_bad, 1e-12);
	assert_close(f.descriptive.difference_high, x.high * f.dispersion_bad / 12800, 1e-12);
	judge__free(j);
}

/* --- bursts, clients that give up, and time ------------------------------------------------------------------------
 */

/* Slow ones come twenty at a time on one connection: each tick's are all in one group. */
static void bursts_make_counts_weigh_less(void **state)
{
	struct second_opinion s[2];

	for (int bursts = 0; bursts < 2; bursts++) {
		struct judge *j = judge__new(&policy);
		struct dice d = { 5 };

		judge__add_endpoint(j, &(struct judge_endpoint){ .name = "GET /", .unit = UNIT_EXCHANGE });
		for (int i = 0; i < 60; i++) {
			struct connection_groups g[2] = { 0 };
			struct load l = { .groups_c = &g[0], .groups_b = &g[1] };

			put(&l.c, FIRST, 192);
			put(&l.b, FIRST, 384);
			put(&l.c, FIRST + 40, 8);
			put(&l.b, FIRST + 40, 16);
			for (int arm = 0; arm < 2; arm++) {
				unsigned int one = dice_below(&d, TW_GROUPS);

				g[arm].has_slow = true;
				for (int k = 0; k < 8 + 8 * arm; k++)
					g[arm].slow[bursts ? one : dice_below(&d, TW_GROUPS)]++;
				for (int k = 0; k < TW_GROUPS; k++)
					g[arm].n[k] = 12 + 12 * (uint64_t)arm;
			}
			tick(j, &l);
		}
		s[bursts] = figures(j, NULL).p95;
		judge__free(j);
	}
	assert_true(s[0].dispersion >= 1 && s[0].dispersion < 2.5);
	assert_true(s[1].dispersion > 8);
	assert_true(s[1].log_e_within < s[0].log_e_within);
}

/* One in ten of the canary's clients gives up after what would have been far beyond the p95. */
static void clients_that_give_up_late_count_as_slow(void **state)
{
	struct judge *j = judge_of("GET /");
	struct second_opinion s;

	for (int i = 0; i < 20; i++) {
		struct load l = { 0 };

		put_all(&l.c, before, 1);
		put_all(&l.b, before, 1);
		put(&l.waited_c, FIRST + 30, 190);
		tick(j, &l);
	}
	s = figures(j, NULL).p95;
	assert_true(s.log_e_slower > log(1e6) && s.ratio_low > 2 && s.p95_c > histogram_upper(FIRST + 29));
	judge__free(j);
}

/*
 * Nights are fast and days four times as slow; the canary has half of the traffic by night and a twentieth by day, and
 * is exactly as fast as the baseline. Sums of what came would be told apart beyond any doubt.
 */
static void traffic_that_moves_while_latencies_swing_misleads_nobody(void **state)
{
	struct judge *j = judge_of("GET /");
	struct second_opinion s;

	for (int i = 0; i < 40; i++) {
		struct load l = { 0 };

		for (unsigned int k = 0; k < 8; k++) {
			put(&l.b, FIRST + k + (i % 2 ? 32 : 0), before[k] * (i % 2 ? 19 : 10));
			put(&l.c, FIRST + k + (i % 2 ? 32 : 0), before[k] * (i % 2 ? 1 : 10));
		}
		tick(j, &l);
	}
	s = figures(j, NULL).p95;
	assert_true(s.log_e_slower < 0 && s.ratio_low < 1 && s.ratio_high > 1);
	assert_close(s.p95_c, s.p95_b, 1e-9);
	judge__free(j);
}

/* --- coverage ------------------------------------------------------------------------------------------------------
 */

/* A log-normal of sigma 0.8 is 18.5 buckets wide; the sum of twelve uniforms is normal enough for its p95. */
static unsigned int latency_bucket(struct dice *d, double shift)
{
	double z = -6;

	for (int i = 0; i < 12; i++)
		z += dice_uniform(d);
	return (unsigned int)floor(250 + 18.5 * z + shift);
}

/* A shift of seven buckets: 35 % slower. p95 of the baseline: bucket 250 + 18.5 * 1.645 = 280.4. */
static void the_intervals_hold_the_truth_at_all_looks_at_once(void **state)
{
	double truth = exp2(7 / 16.0), p95_b = exp2((280.43 + 0) / 16 - 20), off = p95_b * (truth - 1);
	struct dice d = { 77 };
	int missed = 0, slower = 0, narrow = 0;

	for (int run = 0; run < 100; run++) {
		struct judge *j = judge_of("GET /");
		bool miss = false;
		struct second_opinion s = { 0 };

		for (int look = 0; look < 25; look++) {
			struct load l = { 0 };

			for (int k = 0; k < 100; k++)
				put(&l.c, latency_bucket(&d, 7), 1);
			for (int k = 0; k < 300; k++)
				put(&l.b, latency_bucket(&d, 0), 1);
			tick(j, &l);
			s = figures(j, NULL).p95;
			miss |= s.has_ratio_low && s.ratio_low > truth * 1.0001;
			miss |= s.has_ratio_high && s.ratio_high < truth * 0.9999;
			miss |= s.has_difference_low && s.difference_low > off * 1.001;
			miss |= s.has_difference_high && s.difference_high < off * 0.999;
		}
		missed += miss;
		slower += s.log_e_slower >= log(20);
		narrow += s.has_ratio_high && s.ratio_high < 1.9 && s.has_difference_high && s.ratio_low > 0.9;
		judge__free(j);
	}
	print_message("of 100 runs: %d missed the truth, %d found it slower, %d narrow\n", missed, slower, narrow);
	assert_true(missed <= 5);
	assert_true(slower >= 50 && narrow >= 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_opinion_is_that_of_the_quantile_test_on_the_sums),
		cmocka_unit_test(the_intervals_share_alpha_as_documented),
		cmocka_unit_test(the_p95_and_its_difference_are_in_seconds),
		cmocka_unit_test(rank_sums_in_the_verdict_are_those_of_r),
		cmocka_unit_test(the_difference_of_error_shares_and_the_excess_are_the_published_ones),
		cmocka_unit_test(intervals_of_errors_allow_for_bursts),
		cmocka_unit_test(bursts_make_counts_weigh_less),
		cmocka_unit_test(clients_that_give_up_late_count_as_slow),
		cmocka_unit_test(traffic_that_moves_while_latencies_swing_misleads_nobody),
		cmocka_unit_test(the_intervals_hold_the_truth_at_all_looks_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
