/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What tests of errors do not look at: a canary that turns people away, and endpoints that it serves alone. Expected is
 * what its owner would want to hear; clean releases are drawn by dice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "policies.h"
#include "dice.h"
#include "judge/judge.h"

static const struct gate_policy policy = { USUAL_POLICY, .promote_alpha = 0.05, .share_tolerance = 0.1 };

struct release {
	struct judge *j;
	double now;
};

static struct verdict v;

static void begin(struct release *r)
{
	const struct judge_endpoint pay = { .name = "POST /pay", .critical = true, .unit = UNIT_EXCHANGE };
	const struct judge_endpoint added = { .name = "GET /new", .unit = UNIT_EXCHANGE };

	*r = (struct release){ .j = judge__new(&policy) };
	assert_non_null(r->j);
	assert_int_equal(judge__add_endpoint(r->j, &pay), 0);
	assert_int_equal(judge__add_endpoint(r->j, &added), 1);
}

static int tick(struct release *r, struct endpoint_tick *eps)
{
	static struct histogram h[4];
	struct tick t = { .start = r->now, .end = r->now + 5, .ledger_balanced = true, .endpoints = eps };
	struct arm_tick *arms[] = { &eps[0].baseline, &eps[0].canary, &eps[1].baseline, &eps[1].canary };

	for (int i = 0; i < 4; i++) {
		memset(&h[i], 0, sizeof(h[i]));
		for (uint64_t k = 0; k < arms[i]->n; k++)
			histogram_add(&h[i], k % 10 ? 10000000 : 30000000);
		arms[i]->latency = &h[i];
		t.seen += arms[i]->n;
	}
	r->now += 5;
	return judge__tick(r->j, &t, 2);
}

static const struct guard *guard_of(struct release *r, const char *name)
{
	judge__verdict(r->j, &v);
	for (size_t i = 0; i < v.n_guards; i++)
		if (!strcmp(v.guards[i].name, name))
			return &v.guards[i];
	fail_msg("no guard %s", name);
	return NULL;
}

static void a_canary_that_turns_everybody_away_without_an_error_is_held(void **state)
{
	struct release r;

	begin(&r);
	for (int i = 0; i < 30; i++) {
		struct endpoint_tick eps[2] = { { { .n = 950, .turned_away = 9 }, { .n = 50, .turned_away = 50 } } };

		assert_int_equal(tick(&r, eps), 0);
	}
	assert_false(guard_of(&r, "answers")->ok);
	assert_non_null(strstr(guard_of(&r, "answers")->text, "POST /pay: 100 % of the canary's"));
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_non_null(strstr(v.summary, "turns more requests away"));
	assert_false(v.has_eta); /* more of the same would not mend it */
	judge__free(r.j);
}

/*
 * More of the same certifies the endpoint in a while, which the first of the three says; to the other two that helps
 * nothing, their requests being turned away, or failing where nothing can be compared.
 */
static void where_more_of_the_same_mends_nothing_there_is_no_eta_before_the_certificates(void **state)
{
	struct release good, turns_away, fails_alone;
	int in_the_way = 0;

	begin(&good);
	begin(&turns_away);
	begin(&fails_alone);
	for (int i = 0; i < 30; i++) {
		struct endpoint_tick same[2] = { { { .n = 950 }, { .n = 50 } } };
		struct endpoint_tick away[2] = { { { .n = 950 }, { .n = 50, .turned_away = 50 } } };
		struct endpoint_tick alone[2] = { { { .n = 950 }, { .n = 50 } }, { .canary = { .n = 10, .bad = 9 } } };
		bool time_mends;

		assert_int_equal(tick(&good, same), 0);
		assert_int_equal(tick(&turns_away, away), 0);
		assert_int_equal(tick(&fails_alone, alone), 0);
		judge__verdict(good.j, &v);
		time_mends = v.kind == VERDICT_HOLD && v.has_eta && !v.endpoints[0].certified;
		if (!time_mends || guard_of(&turns_away, "answers")->ok || guard_of(&fails_alone, "uncompared")->ok)
			continue;
		in_the_way++;
		judge__verdict(turns_away.j, &v);
		assert_false(v.endpoints[0].certified || v.has_eta);
		judge__verdict(fails_alone.j, &v);
		assert_false(v.endpoints[0].certified || v.has_eta);
	}
	assert_true(in_the_way >= 3);
	judge__free(good.j);
	judge__free(turns_away.j);
	judge__free(fails_alone.j);
}

static void one_that_turns_as_many_away_as_the_baseline_is_not_blamed(void **state)
{
	struct dice dice = { 7 };
	int blamed = 0;

	for (int run = 0; run < 200; run++) {
		struct release r;
		bool ok = true;

		begin(&r);
		for (int i = 0; i < 60; i++) {
			struct endpoint_tick eps[2] = { { { .n = 950 }, { .n = 50 } } };

			eps[0].baseline.turned_away = dice_binomial(&dice, 950, 0.1);
			eps[0].canary.turned_away = dice_binomial(&dice, 50, 0.1);
			assert_int_equal(tick(&r, eps), 0);
			ok &= guard_of(&r, "answers")->ok;
		}
		blamed += !ok;
		if (ok)
			assert_int_equal(v.kind, VERDICT_PROMOTE);
		judge__free(r.j);
	}
	assert_true(blamed <= 4);
}

static void an_endpoint_that_only_the_canary_serves_must_not_fail(void **state)
{
	for (uint64_t bad = 0; bad <= 9; bad += 9) {
		struct release r;

		begin(&r);
		for (int i = 0; i < 30; i++) {
			struct endpoint_tick eps[2] = { { { .n = 950 }, { .n = 50 } },
				                        { { .n = 0 }, { .n = 10, .bad = bad } } };

			assert_int_equal(tick(&r, eps), 0);
		}
		assert_int_equal(guard_of(&r, "uncompared")->ok, !bad);
		assert_int_equal(v.kind, bad ? VERDICT_HOLD : VERDICT_PROMOTE);
		if (bad)
			assert_non_null(strstr(guard_of(&r, "uncompared")->text, "90 % of 300 requests failed"));
		judge__free(r.j);
	}
}

static void once_the_baseline_serves_it_too_it_is_compared(void **state)
{
	struct release r;

	begin(&r);
	for (int i = 0; i < 30; i++) {
		struct endpoint_tick eps[2] = { { { .n = 950 }, { .n = 50 } },
			                        { { .n = i < 5 ? 0 : 90, .bad = i < 5 ? 0 : 60 },
			                          { .n = 10, .bad = 7 } } };

		assert_int_equal(tick(&r, eps), 0);
		assert_int_equal(guard_of(&r, "uncompared")->ok, i < 1 || i >= 5);
	}
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	judge__free(r.j);
}

/* The critical endpoint is in order; the errors are where the canary has most of the traffic, and no entry. */
static void errors_that_moved_to_where_nobody_asked_keep_the_promotion_back(void **state)
{
	struct release r;

	begin(&r);
	for (int i = 0; i < 30; i++) {
		struct endpoint_tick eps[2] = { { { .n = 950 }, { .n = 50 } },
			                        { { .n = 10 }, { .n = 50, .bad = 20 } } };

		assert_int_equal(tick(&r, eps), 0);
		judge__verdict(r.j, &v);
		assert_int_not_equal(v.kind, VERDICT_PROMOTE);
	}
	assert_false(guard_of(&r, "elsewhere")->ok);
	assert_non_null(strstr(guard_of(&r, "elsewhere")->text, "GET /new does not decide, but 40 % of 1500"));
	judge__free(r.j);
}

static void chance_elsewhere_keeps_no_promotion_back(void **state)
{
	struct dice dice = { 11 };
	int blamed = 0;

	for (int run = 0; run < 200; run++) {
		struct release r;
		bool ok = true;

		begin(&r);
		for (int i = 0; i < 60; i++) {
			struct endpoint_tick eps[2] = { { { .n = 950 }, { .n = 50 } }, { { .n = 100 }, { .n = 10 } } };

			eps[1].baseline.bad = dice_binomial(&dice, 100, 0.05);
			eps[1].canary.bad = dice_binomial(&dice, 10, 0.05);
			assert_int_equal(tick(&r, eps), 0);
			ok &= guard_of(&r, "elsewhere")->ok;
		}
		blamed += !ok;
		judge__free(r.j);
	}
	assert_true(blamed <= 4);
}

static void more_turned_away_than_came_is_no_tick(void **state)
{
	struct endpoint_tick eps[2] = { { { .n = 9 }, { .n = 5, .turned_away = 6 } } };
	struct release r;

	begin(&r);
	assert_int_equal(tick(&r, eps), -EINVAL);
	judge__free(r.j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_canary_that_turns_everybody_away_without_an_error_is_held),
		cmocka_unit_test(where_more_of_the_same_mends_nothing_there_is_no_eta_before_the_certificates),
		cmocka_unit_test(one_that_turns_as_many_away_as_the_baseline_is_not_blamed),
		cmocka_unit_test(an_endpoint_that_only_the_canary_serves_must_not_fail),
		cmocka_unit_test(once_the_baseline_serves_it_too_it_is_compared),
		cmocka_unit_test(errors_that_moved_to_where_nobody_asked_keep_the_promotion_back),
		cmocka_unit_test(chance_elsewhere_keeps_no_promotion_back),
		cmocka_unit_test(more_turned_away_than_came_is_no_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
