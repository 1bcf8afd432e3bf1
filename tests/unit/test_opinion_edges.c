/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The second opinion where it differs from the test that decides, without data, with absurd counts, and a thousandfold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "dice.h"
#include "opinions.h"
#include "show/show.h"

/* --- two looks that differ -----------------------------------------------------------------------------------------
 */

static const struct reason *told(const struct verdict *v, const char *code)
{
	for (size_t i = 0; i < v->n_reasons; i++)
		if (!strcmp(v->reasons[i].code, code))
			return &v->reasons[i];
	return NULL;
}

/* One tick of ten is ten times as slow and holds the p95 of the sums; the canary is off in one kind of tick only. */
static void run_days(struct judge *j, unsigned int off_mostly, unsigned int off_slowest)
{
	for (int i = 0; i < 60; i++) {
		bool slowest = i % 10 == 9;
		unsigned int first = FIRST + (slowest ? 53 : 0);
		struct load l = { 0 };

		for (unsigned int k = 0; k < 8; k++) {
			put(&l.b, first + 20 + k, before[k] * 2);
			put(&l.c, first + 20 + k + (slowest ? off_slowest : off_mostly) - 10, before[k]);
		}
		tick(j, &l);
	}
}

static void it_is_told_when_only_the_ticks_show_a_slower_canary(void **state)
{
	struct judge *j = judge_of("GET /"), *calm = judge_of("GET /");
	struct verdict v;

	run_days(j, 12, 9);
	figures(j, &v);
	assert_int_equal(v.kind, VERDICT_ROLLBACK); /* it does not decide */
	assert_non_null(told(&v, "opinions_differ"));
	assert_string_equal(told(&v, "opinions_differ")->endpoint, "GET /");
	assert_non_null(strstr(told(&v, "opinions_differ")->text, "tick by tick more canary requests are slow, but"));
	run_days(calm, 10, 10);
	figures(calm, &v);
	assert_null(told(&v, "opinions_differ"));
	judge__free(calm);
	judge__free(j);
}

/*
 * The first 30 ticks are twice as slow, and there the canary is a bucket slower; then all gets faster by half a
 * bucket a tick, and from then on the canary is the faster one. The p95 of the sums lies among the first ticks.
 */
static void it_is_told_when_only_the_sums_show_a_slower_canary(void **state)
{
	struct judge *j = judge_of("GET /");
	struct verdict v;

	for (int i = 0; i < 200; i++) {
		unsigned int from = FIRST + (i < 30 ? 16 : i < 62 ? (unsigned int)(62 - i) / 2 : 0);
		struct load l = { 0 };

		for (unsigned int k = 0; k < 8; k++) {
			put(&l.b, from + 10 + k, before[k] * 2);
			put(&l.c, from + 10 + k + (i < 30 ? 1 : 0) - (i < 62 ? 0 : 3), before[k]);
		}
		tick(j, &l);
	}
	figures(j, &v);
	assert_int_equal(v.kind, VERDICT_PROMOTE); /* it does not decide */
	assert_non_null(told(&v, "opinions_differ"));
	assert_non_null(strstr(told(&v, "opinions_differ")->text, "but tick by tick they are shown"));
	judge__free(j);
}

/* Slower by a bucket in every tick, where two are allowed: both say that it is slower, and that it is within. */
static void looks_that_say_the_same_are_not_told(void **state)
{
	struct judge *j = judge_of("GET /");
	struct verdict_endpoint f;
	struct verdict v;

	for (int i = 0; i < 60; i++) {
		struct load l = { 0 };

		for (unsigned int k = 0; k < 8; k++) {
			put(&l.b, FIRST + k, before[k] * 2);
			put(&l.c, FIRST + k + 1, before[k]);
		}
		tick(j, &l);
	}
	f = figures(j, &v);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_non_null(told(&v, "worse_within_margin"));
	assert_true(f.log_e_slow_bad > log(20) && f.log_e_slow_good > log(20));
	assert_true(f.p95.log_e_slower > log(20) && f.p95.log_e_within > log(20));
	assert_null(told(&v, "opinions_differ"));
	judge__free(j);
}

/* --- bad input -----------------------------------------------------------------------------------------------------
 */

/* The whole document: no figure that is not a number, and what is not known is null. */
static void assert_sound(struct judge *j)
{
	struct verdict v;
	const struct second_opinion s = figures(j, &v).p95;
	char *text = json_verdict(&v);

	assert_non_null(text);
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf,"));
	assert_null(strstr(text, "inf]"));
	assert_null(strstr(text, ":inf"));
	assert_true(isfinite(s.log_e_slower) && isfinite(s.log_e_within) && isfinite(s.ratio_low));
	assert_true(isfinite(s.ratio_high) && isfinite(s.difference_low) && isfinite(s.difference_high));
	assert_true(isfinite(s.p95_c) && isfinite(s.p95_b) && isfinite(s.dispersion));
	if (s.has_ratio_low && s.has_ratio_high)
		assert_true(s.ratio_low < s.ratio_high);
	if (s.has_difference_low && s.has_difference_high)
		assert_true(s.difference_low < s.difference_high);
	free(text);
}

static void an_arm_without_traffic_has_no_opinion_and_holds(void **state)
{
	for (int arm = 0; arm < 3; arm++) {
		struct judge *j = judge_of("GET /");
		struct verdict v;
		char *text;

		for (int i = 0; i < 20; i++) {
			struct load l = { 0 };

			if (arm == 1)
				put(&l.c, FIRST, 1000);
			if (arm == 2)
				put(&l.b, FIRST, 1000);
			tick(j, &l);
		}
		assert_false(figures(j, &v).p95.has_p95_c);
		assert_int_equal(v.kind, VERDICT_HOLD);
		text = json_verdict(&v);
		assert_non_null(
			strstr(text, "\"p95_c\":null,\"p95_b\":null,\"p95_difference\":null,\"p95_interval\":null"));
		assert_non_null(strstr(text, "\"excess_bad\":null"));
		assert_non_null(strstr(text, "\"mann_whitney\":{\"z\":null,\"p\":null,\"cles\":null}"));
		free(text);
		assert_sound(j);
		judge__free(j);
	}
}

static void no_count_however_large_makes_an_opinion_that_is_not_a_number(void **state)
{
	static const uint64_t counts[] = { 0,         1, 2, 500, 1ull << 33, 1ull << 53, 1ull << 62, (1ull << 63) - 1,
		                           1ull << 63 };
	static const unsigned int buckets[] = { 0, 1, FIRST, FIRST + 1, TW_BUCKETS - 2, TW_BUCKETS - 1 };
	struct dice d = { 99 };

	for (int run = 0; run < 150; run++) {
		struct judge *j = judge__new(&policy);

		judge__add_endpoint(j, &(struct judge_endpoint){ .name = "GET /",
		                                                 .unit = run % 2 ? UNIT_EXCHANGE : UNIT_INDEPENDENT });
		for (int i = 0; i < 5; i++) {
			struct load l = { 0 };

			put(&l.c, buckets[dice_below(&d, 6)], counts[dice_below(&d, 9)]);
			put(&l.b, buckets[dice_below(&d, 6)], counts[dice_below(&d, 9)]);
			l.bad_c = dice_below(&d, 2) ? l.c.count : l.c.count / 2;
			l.bad_b = dice_below(&d, 2) ? 0 : l.b.count / 2;
			tick(j, &l);
			assert_sound(j);
		}
		judge__free(j);
	}
}

/* Beyond the last bound nobody knows how slow it is. */
static void a_p95_beyond_the_last_bound_is_not_told(void **state)
{
	struct judge *j = judge_of("GET /");
	struct load l = { 0 };
	struct second_opinion s;

	put(&l.c, TW_BUCKETS - 1, 5000);
	put(&l.b, FIRST, 10000);
	tick(j, &l);
	s = figures(j, NULL).p95;
	assert_false(s.has_p95_c);
	assert_true(s.has_p95_b && s.has_ratio_low && !s.has_ratio_high && s.has_difference_low &&
	            !s.has_difference_high);
	assert_true(s.difference_low > 100); /* the last bound is 256 s */
	assert_sound(j);
	judge__free(j);
}

/* --- many endpoints ------------------------------------------------------------------------------------------------
 */

/* A thousand endpoints take turns: each has its opinion after 25 ticks, and asking changes nothing. */
static void every_endpoint_gets_its_turn_however_often_one_asks(void **state)
{
	enum { N = 1000 };
	struct judge *asked = judge__new(&policy), *silent = judge__new(&policy);
	struct endpoint_tick *ep = calloc(N, sizeof(*ep));
	struct load l = { 0 };
	struct verdict v, w;

	put_all(&l.c, before, 1);
	put_all(&l.b, before, 2);
	for (size_t i = 0; i < N; i++) {
		judge__add_endpoint(asked, &(struct judge_endpoint){ .name = "GET /" });
		judge__add_endpoint(silent, &(struct judge_endpoint){ .name = "GET /" });
		ep[i] = (struct endpoint_tick){ .canary = { .n = l.c.count, .latency = &l.c },
			                        .baseline = { .n = l.b.count, .latency = &l.b } };
	}
	for (int i = 0; i < 25; i++) {
		struct tick t = { .start = 5.0 * i,
			          .end = 5.0 * i + 5,
			          .seen = 1ull << 40,
			          .ledger_balanced = true,
			          .endpoints = ep };

		judge__tick(asked, &t, N);
		judge__tick(silent, &t, N);
		judge__verdict(asked, &v);
	}
	judge__verdict(silent, &w);
	for (size_t i = 0; i < N; i++) {
		assert_true(v.endpoints[i].p95.has_p95_c);
		assert_memory_equal(&v.endpoints[i].p95, &w.endpoints[i].p95, sizeof(struct second_opinion));
	}
	judge__free(asked);
	judge__free(silent);
	free(ep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_told_when_only_the_ticks_show_a_slower_canary),
		cmocka_unit_test(it_is_told_when_only_the_sums_show_a_slower_canary),
		cmocka_unit_test(looks_that_say_the_same_are_not_told),
		cmocka_unit_test(an_arm_without_traffic_has_no_opinion_and_holds),
		cmocka_unit_test(no_count_however_large_makes_an_opinion_that_is_not_a_number),
		cmocka_unit_test(a_p95_beyond_the_last_bound_is_not_told),
		cmocka_unit_test(every_endpoint_gets_its_turn_however_often_one_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
