/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ETA of a running verdict: when there is none, and that it does not grow when requests stop coming. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "policies.h"
#include "judge/arrivals.h"
#include "judge/judge.h"

static const struct gate_policy policy = { USUAL_POLICY, .promote_alpha = 0.05, .warmup = 10, .timeout = 30 };

/* What one endpoint serves in a tick: canary and baseline; 1 % of it fails. */
struct served {
	uint64_t n_c, n_b;
};

struct run {
	struct judge *j;
	double end;
};

static struct run start(size_t n)
{
	static const char *const names[] = { "POST /checkout", "POST /pay" };
	struct run r = { judge__new(&policy), 0 };

	for (size_t i = 0; i < n; i++) {
		const struct judge_endpoint ep = { .name = names[i], .critical = true, .unit = UNIT_EXCHANGE };

		assert_int_equal(judge__add_endpoint(r.j, &ep), (int)i);
	}
	return r;
}

static void fill(struct histogram *h, uint64_t n)
{
	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, (uint64_t)(1e7 * exp(2 * (double)(i % 1000) / 1000)));
}

static struct verdict tick(struct run *r, const struct served *s, size_t n, bool warming)
{
	static struct histogram c[2], b[2];
	struct endpoint_tick ticks[2];
	struct verdict v;

	memset(ticks, 0, sizeof(ticks));
	for (size_t i = 0; i < n; i++) {
		fill(&c[i], s[i].n_c);
		fill(&b[i], s[i].n_b);
		ticks[i].canary = (struct arm_tick){ .n = s[i].n_c, .bad = s[i].n_c / 100, .latency = &c[i] };
		ticks[i].baseline = (struct arm_tick){ .n = s[i].n_b, .bad = s[i].n_b / 100, .latency = &b[i] };
	}
	const struct tick t = { .start = r->end,
		                .end = r->end + 5,
		                .seen = UINT64_MAX,
		                .ledger_balanced = true,
		                .warming = warming,
		                .endpoints = ticks };

	assert_int_equal(judge__tick(r->j, &t, n), 0);
	r->end += 5;
	judge__verdict(r->j, &v);
	return v;
}

static void without_traffic_there_is_no_eta_rather_than_one_that_grows(void **state)
{
	static const struct served both[2] = { { 100, 900 }, { 100, 900 } }, one[2] = { { 100, 900 }, { 0, 900 } };
	struct run r = start(2);
	struct verdict v;

	for (int i = 0; i < 4; i++)
		v = tick(&r, both, 2, false);
	assert_true(v.kind == VERDICT_HOLD && v.has_eta);
	/* The canary serves the first endpoint as before, so no guard is in the way. */
	for (int i = 0; i < 20; i++) {
		v = tick(&r, one, 2, false);
		assert_int_equal(v.kind, VERDICT_HOLD);
		assert_false(v.has_eta);
	}
	for (int i = 0; i < 3; i++)
		v = tick(&r, both, 2, false);
	assert_true(v.kind == VERDICT_HOLD && v.has_eta);
	judge__free(r.j);
}

static void where_traffic_is_rare_a_quiet_tick_is_no_silence(void **state)
{
	struct served s[2] = { { 100, 900 }, { 1, 10 } };
	struct run r = start(2);
	struct verdict v;

	/* One request in half a minute: that there is none in half a minute means nothing. */
	for (int i = 0; i < 60; i++) {
		s[1].n_c = i % 6 == 0;
		v = tick(&r, s, 2, false);
		assert_int_equal(v.kind, VERDICT_HOLD);
		assert_true(v.has_eta || i < 20);
	}
	judge__free(r.j);
}

static void a_guard_that_stands_in_the_way_has_no_eta(void **state)
{
	static const struct served s = { 5000, 45000 };
	struct run r = start(1);
	struct verdict v;
	int i = 0;

	do {
		v = tick(&r, &s, 1, false);
	} while (v.kind == VERDICT_HOLD && ++i < 100);
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	v = tick(&r, &s, 1, true); /* a process has started anew */
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_true(v.endpoints[0].certified);
	assert_false(v.has_eta);
	judge__free(r.j);
}

/* --- arrivals */

static void a_rate_is_that_of_late(void **state)
{
	struct arrivals a = { 0 };
	struct rate r;

	assert_false(arrivals__rate(&a, &r));
	for (int i = 0; i < 20; i++)
		arrivals__add(&a, 500, 250, 5);
	assert_true(arrivals__rate(&a, &r));
	assert_true(fabs(r.n - 100) < 1e-9 && fabs(r.timed - 50) < 1e-9);
	for (int i = 0; i < 20; i++)
		arrivals__add(&a, 1000, 1000, 5);
	assert_true(arrivals__rate(&a, &r));
	assert_true(fabs(r.n - 200) < 2 && fabs(r.timed - 200) < 3);
}

static void seven_that_were_due_and_did_not_come_are_silence(void **state)
{
	struct arrivals a = { 0 };
	struct rate r;

	arrivals__add(&a, 10, 10, 10); /* one a second */
	arrivals__add(&a, 0, 0, 6.9);
	assert_true(arrivals__rate(&a, &r));
	assert_true(fabs(r.n - 10 / 16.9) < 1e-9); /* and it is slower for it */
	arrivals__add(&a, 0, 0, 0.2);
	assert_false(arrivals__rate(&a, &r));
	arrivals__add(&a, 1, 1, 5);
	assert_true(arrivals__rate(&a, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_traffic_there_is_no_eta_rather_than_one_that_grows),
		cmocka_unit_test(where_traffic_is_rare_a_quiet_tick_is_no_silence),
		cmocka_unit_test(a_guard_that_stands_in_the_way_has_no_eta),
		cmocka_unit_test(a_rate_is_that_of_late),
		cmocka_unit_test(seven_that_were_due_and_did_not_come_are_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
