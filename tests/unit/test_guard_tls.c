/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A version whose TLS cannot be read is never promoted, and the verdict says that it is TLS. Expected is the documented
 * limit: 0.1 % of a version's requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "policies.h"
#include "judge/judge.h"

static const struct gate_policy canary_policy = { USUAL_POLICY, .warmup = 10, .promote_alpha = 0.05,
	                                          .share_tolerance = 0.1 };
static const struct judge_endpoint checkout = { .name = "POST /checkout", .critical = true, .named = true };

static struct judge *j;
static struct verdict v;
static double now;

static void begin(const struct gate_policy *p)
{
	judge__free(j);
	j = judge__new(p);
	assert_non_null(j);
	assert_int_equal(judge__add_endpoint(j, &checkout), 0);
	now = 0;
}

static int end(void **state)
{
	judge__free(j);
	j = NULL;
	return 0;
}

struct served {
	uint64_t n_b, unread_b, n_c, unread_c, bad_c;
	bool warming;
	uint64_t withheld_b, withheld_c;
};

static void fill(struct histogram *h, uint64_t n)
{
	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, i % 10 ? 10000000 : 30000000);
}

static enum verdict_kind ticks(int n, struct served s)
{
	struct histogram b, c;
	struct endpoint_tick ep = { .baseline = { .n = s.n_b, .latency = &b },
		                    .canary = { .n = s.n_c, .bad = s.bad_c, .latency = &c } };
	struct tick t = { .endpoints = &ep,
		          .ledger_balanced = true,
		          .warming = s.warming,
		          .seen = s.n_b + s.n_c,
		          .baseline = { .seen = s.n_b, .unread = s.unread_b, .withheld = s.withheld_b },
		          .canary = { .seen = s.n_c, .unread = s.unread_c, .withheld = s.withheld_c } };

	fill(&b, s.n_b);
	fill(&c, s.n_c);
	while (n--) {
		t.start = now;
		t.end = now += 5;
		assert_int_equal(judge__tick(j, &t, 1), 0);
	}
	judge__verdict(j, &v);
	return v.kind;
}

static const struct guard *tls_guard(void)
{
	for (size_t i = 0; i < v.n_guards; i++)
		if (!strcmp(v.guards[i].name, "opaque_tls"))
			return &v.guards[i];
	fail_msg("there is no guard opaque_tls");
	return NULL;
}

static void expect_tls_told(const char *whose)
{
	assert_false(tls_guard()->ok);
	if (!strstr(tls_guard()->text, whose) || !strstr(tls_guard()->text, "TLS"))
		fail_msg("\"%s\" does not speak of %s", tls_guard()->text, whose);
	for (size_t i = 0; i < v.n_reasons; i++)
		if (!strcmp(v.reasons[i].code, "opaque_tls"))
			return;
	fail_msg("opaque_tls is not among the reasons");
}

static void what_is_read_in_full_is_promoted(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .n_c = 500 }), VERDICT_PROMOTE);
	assert_true(tls_guard()->ok);
}

static void a_canary_of_which_nothing_can_be_read_is_held_for_its_tls(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .unread_c = 500 }), VERDICT_HOLD);
	expect_tls_told("canary");
	assert_non_null(strstr(tls_guard()->text, " 100 %"));
	/* The sentence names what is behind it, not only that requests are missing. */
	assert_non_null(strstr(v.summary, "TLS"));
}

static void so_it_is_from_the_first_tick_on(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(1, (struct served){ .n_b = 9500, .unread_c = 500, .warming = true }), VERDICT_HOLD);
	expect_tls_told("canary");
}

/* What can be read of it may be as good as it likes. */
static void a_canary_of_which_a_part_can_be_read_is_not_promoted_on_that_part(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .n_c = 500, .unread_c = 5 }), VERDICT_HOLD);
	expect_tls_told("canary");
}

static void the_baseline_is_no_measure_either_when_it_cannot_be_read(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .unread_b = 100, .n_c = 500 }), VERDICT_HOLD);
	expect_tls_told("baseline");
}

static void less_than_a_thousandth_is_no_obstacle(void **state)
{
	begin(&canary_policy);
	ticks(1, (struct served){ .n_b = 9500, .n_c = 5000 });
	ticks(1, (struct served){ .n_b = 9500, .n_c = 5000, .unread_c = 9 });
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .n_c = 5000, .unread_c = 4 }), VERDICT_PROMOTE);
	assert_true(tls_guard()->ok);
	assert_non_null(strstr(tls_guard()->text, "0.1 %"));
}

static void what_a_process_lets_through_while_it_warms_up_is_forgiven(void **state)
{
	begin(&canary_policy);
	ticks(1, (struct served){ .n_b = 9500, .n_c = 500, .unread_c = 400 });
	ticks(2, (struct served){ .n_b = 9500, .n_c = 500, .unread_c = 400, .warming = true });
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .n_c = 500 }), VERDICT_PROMOTE);
}

static void a_bad_canary_is_rolled_back_on_what_can_be_read(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .n_c = 500, .bad_c = 100, .unread_c = 50 }),
	                 VERDICT_ROLLBACK);
}

static void alone_only_the_canary_has_to_be_read(void **state)
{
	struct gate_policy p = canary_policy;

	p.mode = GATE_ABSOLUTE;
	begin(&p);
	ticks(20, (struct served){ .n_b = 10, .unread_b = 500, .n_c = 500 });
	assert_true(tls_guard()->ok);
	begin(&p);
	assert_int_equal(ticks(20, (struct served){ .n_c = 500, .unread_c = 50 }), VERDICT_HOLD);
	expect_tls_told("canary");
}

/* The workers that are read were drawn by chance: what they served is a fair sample. */
static void what_is_left_out_for_the_overhead_budget_does_not_keep_a_promotion_back_and_is_told(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .withheld_b = 28500, .n_c = 500, .withheld_c = 500 }),
	                 VERDICT_PROMOTE);
	assert_true(tls_guard()->ok);
	assert_non_null(strstr(tls_guard()->text, "50 % of the canary's requests and 75 % of the baseline's"));
	assert_non_null(strstr(tls_guard()->text, "overhead budget"));
}

static void what_cannot_be_read_keeps_it_back_beside_what_is_left_out(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(20, (struct served){ .n_b = 9500, .withheld_b = 500, .n_c = 500, .unread_c = 5 }),
	                 VERDICT_HOLD);
	expect_tls_told("canary");
}

static void the_least_number_of_requests_must_have_been_read(void **state)
{
	begin(&canary_policy);
	assert_int_equal(ticks(4, (struct served){ .n_b = 9500, .n_c = 100, .withheld_c = 9900 }), VERDICT_HOLD);
}

static void counts_without_end_do_not_wrap(void **state)
{
	begin(&canary_policy);
	ticks(3, (struct served){ .n_b = 9500, .n_c = 500, .withheld_c = UINT64_MAX });
	assert_non_null(strstr(tls_guard()->text, "100 % of the canary's requests"));
	begin(&canary_policy);
	assert_int_equal(ticks(3, (struct served){ .n_b = 9500, .n_c = 500, .unread_c = UINT64_MAX }), VERDICT_HOLD);
	expect_tls_told("canary");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, end)
	const struct CMUnitTest tests[] = {
		TEST(what_is_read_in_full_is_promoted),
		TEST(a_canary_of_which_nothing_can_be_read_is_held_for_its_tls),
		TEST(so_it_is_from_the_first_tick_on),
		TEST(a_canary_of_which_a_part_can_be_read_is_not_promoted_on_that_part),
		TEST(the_baseline_is_no_measure_either_when_it_cannot_be_read),
		TEST(less_than_a_thousandth_is_no_obstacle),
		TEST(what_a_process_lets_through_while_it_warms_up_is_forgiven),
		TEST(a_bad_canary_is_rolled_back_on_what_can_be_read),
		TEST(alone_only_the_canary_has_to_be_read),
		TEST(what_is_left_out_for_the_overhead_budget_does_not_keep_a_promotion_back_and_is_told),
		TEST(what_cannot_be_read_keeps_it_back_beside_what_is_left_out),
		TEST(the_least_number_of_requests_must_have_been_read),
		TEST(counts_without_end_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
