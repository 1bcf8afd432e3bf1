/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The guards in the verdict: what each of them stops, and what it says. Expected are the documented limits (0.1 % lost,
 * half a second of clock, one build a version), not figures of the judge's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policies.h"
#include "judge/judge.h"
#include "model/builds.h"

static const struct gate_policy policy = { USUAL_POLICY, .warmup = 10, .promote_alpha = 0.05, .share_tolerance = 0.1 };

/* A release under way. The two versions' ticks are as given; t: what else is said of the next ticks. */
struct release {
	struct judge *j;
	struct tick t;
	double now;
};

static const struct judge_endpoint checkout = { .name = "POST /checkout", .critical = true, .named = true };

static struct release start_with(const struct gate_policy *p, enum unit unit)
{
	struct release r = { .j = judge__new(p) };
	struct judge_endpoint ep = checkout;

	ep.unit = unit;
	assert_non_null(r.j);
	assert_int_equal(judge__add_endpoint(r.j, &ep), 0);
	r.t = (struct tick){ .ledger_balanced = true };
	return r;
}

static struct release start(void)
{
	return start_with(&policy, UNIT_INDEPENDENT);
}

static void fill(struct histogram *h, uint64_t n)
{
	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, i % 10 ? 10000000 : 30000000);
}

static void tick_of(struct release *r, double seconds, struct endpoint_tick *ep)
{
	struct histogram b, c;

	fill(&b, ep->baseline.n);
	fill(&c, ep->canary.n);
	ep->baseline.latency = &b;
	ep->canary.latency = &c;
	r->t.start = r->now;
	r->t.end = r->now += seconds;
	r->t.endpoints = ep;
	r->t.baseline.seen = ep->baseline.n + r->t.baseline.lost_exchanges;
	r->t.canary.seen = ep->canary.n + r->t.canary.lost_exchanges;
	r->t.seen = r->t.baseline.seen + r->t.canary.seen;
	r->t.lost_exchanges = r->t.baseline.lost_exchanges + r->t.canary.lost_exchanges;
	assert_int_equal(judge__tick(r->j, &r->t, 1), 0);
}

static void ticks(struct release *r, int n, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c)
{
	while (n--) {
		struct endpoint_tick ep = { .baseline = { .n = n_b, .bad = bad_b },
			                    .canary = { .n = n_c, .bad = bad_c } };

		tick_of(r, 5, &ep);
	}
}

/* A release that would be promoted. */
static void good(struct release *r, int n)
{
	ticks(r, n, 9500, 0, 500, 0);
}

/* One that would be rolled back. */
static void bad(struct release *r, int n)
{
	ticks(r, n, 9500, 95, 500, 50);
}

static struct verdict v;

static enum verdict_kind verdict(struct release *r)
{
	judge__verdict(r->j, &v);
	return v.kind;
}

static const struct guard *guard_of(const char *name)
{
	for (size_t i = 0; i < v.n_guards; i++)
		if (!strcmp(v.guards[i].name, name))
			return &v.guards[i];
	fail_msg("no guard %s", name);
	return NULL;
}

static void expect_failed(const char *name, const char *words)
{
	const struct guard *g = guard_of(name);

	if (g->ok || !strstr(g->text, words))
		fail_msg("%s is %s: %s", name, g->ok ? "ok" : "not ok", g->text);
	for (size_t i = 0; i < v.n_reasons; i++)
		if (!strcmp(v.reasons[i].code, name))
			return;
	fail_msg("%s is not among the reasons", name);
}

static void expect_ok(const char *name, const char *words)
{
	const struct guard *g = guard_of(name);

	if (!g->ok || !strstr(g->text, words))
		fail_msg("%s is %s: %s", name, g->ok ? "ok" : "not ok", g->text);
}

static void a_release_with_nothing_wrong_passes_every_guard_and_is_promoted(void **state)
{
	struct release r = start();

	good(&r, 20);
	assert_int_equal(verdict(&r), VERDICT_PROMOTE);
	for (size_t i = 0; i < v.n_guards; i++)
		assert_true(v.guards[i].ok && *v.guards[i].text);
	expect_ok("sample_ratio", "--stage");
	expect_ok("version_purity", "not known");
	expect_ok("placebo", "not checked");
	judge__free(r.j);
}

/* --- losses ------------------------------------------------------------------------------------------------------ */

static void each_arms_losses_have_the_limit_of_a_thousandth_by_themselves(void **state)
{
	struct release r = start();

	/* 0.05 % of all, but 1 % of the canary's. */
	r.t.canary.lost_exchanges = 5;
	good(&r, 20);
	assert_int_equal(verdict(&r), VERDICT_INVALID);
	expect_failed("differential_loss", "0.1 %");
	expect_ok("lost_events", "0.1 %");
	/* And nothing was learned from such ticks. */
	assert_true(v.endpoints[0].n_c == 0);
	judge__free(r.j);
}

static void losses_on_one_side_count_against_what_is_judged(void **state)
{
	struct release r = start();

	/* Of 10,000 each; 8 lost on the canary only, under the limit; 0.2 % of the baseline bad: a margin of 0.1 %. */
	r.t.canary.lost_exchanges = 8;
	ticks(&r, 40, 10000, 20, 10000, 20);
	assert_int_equal(verdict(&r), VERDICT_INVALID);
	expect_failed("differential_loss", "0.08 %");
	judge__free(r.j);

	/* The same on both sides is no difference. */
	r = start();
	r.t.canary.lost_exchanges = r.t.baseline.lost_exchanges = 8;
	ticks(&r, 40, 10000, 20, 10000, 20);
	verdict(&r);
	expect_ok("differential_loss", "0.08 %");
	judge__free(r.j);

	/* And against a difference of 9 % in errors it is nothing. */
	r = start();
	r.t.canary.lost_exchanges = 8;
	ticks(&r, 40, 10000, 100, 10000, 1000);
	assert_int_equal(verdict(&r), VERDICT_ROLLBACK);
	expect_ok("differential_loss", "9 %");
	judge__free(r.j);
}

/* --- the arms ---------------------------------------------------------------------------------------------------- */

static void two_builds_in_one_version_make_the_verdict_invalid_for_good(void **state)
{
	struct release r = start();

	r.t.canary.builds = r.t.baseline.builds = 1;
	good(&r, 20);
	assert_int_equal(verdict(&r), VERDICT_PROMOTE);
	expect_ok("version_purity", "one build");
	r.t.canary.builds = 2;
	good(&r, 1);
	assert_int_equal(verdict(&r), VERDICT_INVALID);
	expect_failed("version_purity", "the canary");
	/* What was mixed stays mixed. */
	r.t.canary.builds = 1;
	good(&r, 20);
	assert_int_equal(verdict(&r), VERDICT_INVALID);
	judge__free(r.j);

	r = start();
	r.t.baseline.builds = 3;
	bad(&r, 20);
	assert_int_equal(verdict(&r), VERDICT_INVALID);
	expect_failed("version_purity", "the baseline");
	judge__free(r.j);
}

static void a_version_that_has_gone_is_not_promoted_until_it_is_back(void **state)
{
	struct release r = start();

	good(&r, 20);
	r.t.canary.gone = true;
	good(&r, 1);
	assert_int_equal(verdict(&r), VERDICT_HOLD);
	expect_failed("arm_vanished", "the canary has gone");
	r.t.canary.gone = false;
	good(&r, 1);
	assert_int_equal(verdict(&r), VERDICT_PROMOTE);
	/* What was found before stays found. */
	bad(&r, 20);
	r.t.baseline.gone = true;
	bad(&r, 1);
	assert_int_equal(verdict(&r), VERDICT_ROLLBACK);
	judge__free(r.j);
}

/* --- clocks ------------------------------------------------------------------------------------------------------ */

static void a_clock_that_jumped_holds_for_that_tick_whatever_the_evidence(void **state)
{
	static const double jumps[] = { 3600, -3600, 0.6, -0.6, 1e300 };

	for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
		struct release r = start();
		uint64_t n;

		bad(&r, 20);
		assert_int_equal(verdict(&r), VERDICT_ROLLBACK);
		n = v.endpoints[0].n_c;
		r.t.clock_jump = jumps[i];
		bad(&r, 1);
		assert_int_equal(verdict(&r), VERDICT_HOLD);
		expect_failed("clock", "not judged");
		assert_true(v.endpoints[0].n_c == n);
		r.t.clock_jump = 0;
		bad(&r, 1);
		assert_int_equal(verdict(&r), VERDICT_ROLLBACK);
		expect_ok("clock", "ago");
		bad(&r, 13);
		verdict(&r);
		expect_ok("clock", "evenly");
		judge__free(r.j);
	}
}

static void a_clock_that_is_slewed_has_not_jumped(void **state)
{
	struct release r = start();

	/* 500 ppm, the most that the kernel slews by. */
	r.t.clock_jump = 0.0025;
	good(&r, 20);
	assert_int_equal(verdict(&r), VERDICT_PROMOTE);
	expect_ok("clock", "evenly");
	judge__free(r.j);
}

static void a_tick_that_lasted_too_long_is_judged_and_told(void **state)
{
	struct endpoint_tick ep = { .baseline = { .n = 9500 }, .canary = { .n = 500 } };
	struct release r = start();

	good(&r, 20);
	tick_of(&r, 95, &ep);
	assert_int_equal(verdict(&r), VERDICT_PROMOTE);
	expect_ok("clock", "95 s");
	assert_true(v.endpoints[0].n_c == 21 * 500);
	good(&r, 12);
	verdict(&r);
	assert_null(strstr(guard_of("clock")->text, "stopped"));
	judge__free(r.j);
}

/* --- the split --------------------------------------------------------------------------------------------------- */

static void a_split_far_from_the_plan_keeps_a_promotion_back_and_no_rollback(void **state)
{
	struct release r = start();

	r.t.planned_share = 0.05;
	good(&r, 80);
	assert_int_equal(verdict(&r), VERDICT_PROMOTE);
	expect_ok("sample_ratio", "5 %");
	judge__free(r.j);

	r = start();
	r.t.planned_share = 0.25;
	good(&r, 80);
	assert_int_equal(verdict(&r), VERDICT_HOLD);
	expect_failed("sample_ratio", "off by 80 %");
	bad(&r, 40);
	assert_int_equal(verdict(&r), VERDICT_ROLLBACK);
	judge__free(r.j);
}

static void the_tolerance_is_the_policys(void **state)
{
	struct gate_policy wide = policy;
	struct release r;

	wide.share_tolerance = 0.9;
	r = start_with(&wide, UNIT_INDEPENDENT);
	r.t.planned_share = 0.25;
	good(&r, 80);
	assert_int_equal(verdict(&r), VERDICT_PROMOTE);
	expect_ok("sample_ratio", "90 % is tolerated");
	judge__free(r.j);
}

/* --- the placebo ------------------------------------------------------------------------------------------------- */

/*
 * Two hundred requests a second in sixteen groups of connections, 5 % of them the canary's. One of the baseline's
 * connections, in the first group, fails by itself: `own` of its exchanges a tick.
 */
static void grouped(struct release *r, int n, unsigned int own, unsigned int canary_bad)
{
	struct connection_groups b = { .has_slow = true }, c = { .has_slow = true };

	for (int i = 0; i < TW_GROUPS; i++) {
		b.n[i] = 60;
		c.n[i] = 3;
	}
	b.bad[0] = own;
	while (n--) {
		struct endpoint_tick ep = { .baseline = { .n = 960, .bad = own, .groups = &b },
			                    .canary = { .n = 48, .bad = canary_bad, .groups = &c } };

		tick_of(r, 5, &ep);
	}
}

static void connections_that_differ_by_themselves_leave_no_difference_to_be_believed(void **state)
{
	struct release r = start_with(&policy, UNIT_EXCHANGE);

	/* As if a bad client happened to sit on the baseline; another one may sit on the canary. */
	grouped(&r, 240, 10, 10);
	assert_int_equal(verdict(&r), VERDICT_HOLD);
	assert_true(v.log_e_bad >= -log(policy.alpha));
	expect_failed("placebo", "differ by themselves");
	assert_string_equal(v.reasons[0].code, "not_comparable");
	judge__free(r.j);
}

static void a_bad_canary_does_not_look_like_a_placebo(void **state)
{
	struct release r = start_with(&policy, UNIT_EXCHANGE);

	grouped(&r, 60, 0, 10);
	assert_int_equal(verdict(&r), VERDICT_ROLLBACK);
	expect_ok("placebo", "no worse");
	judge__free(r.j);
}

static void without_groups_or_in_a_single_one_there_is_no_placebo(void **state)
{
	struct release r = start_with(&policy, UNIT_EXCHANGE);
	struct connection_groups b = { .n = { 950 } }, c = { .n = { 50 } };

	bad(&r, 20);
	verdict(&r);
	expect_ok("placebo", "not checked");
	for (int i = 0; i < 20; i++) {
		struct endpoint_tick ep = { .baseline = { .n = 950, .groups = &b },
			                    .canary = { .n = 50, .groups = &c } };

		tick_of(&r, 5, &ep);
	}
	verdict(&r);
	expect_ok("placebo", "not checked");
	judge__free(r.j);
}

/* --- other modes ------------------------------------------------------------------------------------------------- */

static void what_compares_two_versions_does_not_apply_where_they_do_not_share_the_traffic(void **state)
{
	static const char *const names[] = { "sample_ratio", "placebo", "differential_loss" };
	struct gate_policy one_by_one = policy;
	struct release r;

	one_by_one.mode = GATE_BEFORE_AFTER;
	r = start_with(&one_by_one, UNIT_INDEPENDENT);
	r.t.planned_share = 0.9;
	r.t.baseline.gone = true;
	good(&r, 80);
	verdict(&r);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		expect_ok(names[i], "not applicable");
	expect_ok("arm_vanished", "no version");
	r.t.canary.builds = 2;
	good(&r, 1);
	assert_int_equal(verdict(&r), VERDICT_INVALID);
	judge__free(r.j);
}

/* --- builds ------------------------------------------------------------------------------------------------------ */

static unsigned int builds_of(const struct build *list, size_t n)
{
	struct builds b = { .n = 0 };
	unsigned int count;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(builds__add(&b, list[i].name, list[i].id, list[i].port), 0);
	count = builds__count(&b);
	builds__free(&b);
	return count;
}

#define BUILDS(...) \
	builds_of((struct build[]){ __VA_ARGS__ }, sizeof((struct build[]){ __VA_ARGS__ }) / sizeof(struct build))

static void builds_that_stood_in_for_each_other_are_counted(void **state)
{
	/* A master and its workers. */
	assert_int_equal(BUILDS({ "/usr/sbin/nginx", "aa", 80 }, { "/usr/sbin/nginx", "aa", 80 }), 1);
	/* An upgrade in place. */
	assert_int_equal(BUILDS({ "/usr/sbin/nginx", "aa", 80 }, { "/usr/sbin/nginx", "bb", 80 }), 2);
	/* The new version has moved in under another name. */
	assert_int_equal(BUILDS({ "/opt/shop1", "aa", 80 }, { "/opt/shop2", "bb", 80 }), 2);
	/* Half of the instances have been upgraded. */
	assert_int_equal(BUILDS({ "/srv/1/app", "aa", 81 }, { "/srv/2/app", "bb", 82 }, { "/srv/1/app", "aa", 83 }), 2);
	/* An application and the proxy before it. */
	assert_int_equal(BUILDS({ "/usr/bin/envoy", "ee", 80 }, { "/srv/app", "aa", 8080 }), 1);
	/* Interpreters: what they run has no build. */
	assert_int_equal(BUILDS({ "/usr/bin/python3.11", "cc", 80 }, { "/usr/bin/python3.11", "cc", 80 }), 1);
	assert_int_equal(BUILDS({ "/srv/app", NULL, 80 }, { "/srv/other", NULL, 80 }), 0);
	assert_int_equal(BUILDS({ NULL, "aa", 80 }, { NULL, "bb", 81 }), 1);
}

static void more_builds_than_there_is_room_for_are_many(void **state)
{
	struct builds b = { .n = 0 };
	char id[8];

	assert_int_equal(builds__count(&b), 0);
	for (int i = 0; i < 200; i++) {
		snprintf(id, sizeof(id), "%x", i);
		assert_int_equal(builds__add(&b, "/srv/app", id, 80), 0);
	}
	assert_int_equal(builds__count(&b), BUILDS_MAX);
	builds__free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_release_with_nothing_wrong_passes_every_guard_and_is_promoted),
		cmocka_unit_test(each_arms_losses_have_the_limit_of_a_thousandth_by_themselves),
		cmocka_unit_test(losses_on_one_side_count_against_what_is_judged),
		cmocka_unit_test(two_builds_in_one_version_make_the_verdict_invalid_for_good),
		cmocka_unit_test(a_version_that_has_gone_is_not_promoted_until_it_is_back),
		cmocka_unit_test(a_clock_that_jumped_holds_for_that_tick_whatever_the_evidence),
		cmocka_unit_test(a_clock_that_is_slewed_has_not_jumped),
		cmocka_unit_test(a_tick_that_lasted_too_long_is_judged_and_told),
		cmocka_unit_test(a_split_far_from_the_plan_keeps_a_promotion_back_and_no_rollback),
		cmocka_unit_test(the_tolerance_is_the_policys),
		cmocka_unit_test(connections_that_differ_by_themselves_leave_no_difference_to_be_believed),
		cmocka_unit_test(a_bad_canary_does_not_look_like_a_placebo),
		cmocka_unit_test(without_groups_or_in_a_single_one_there_is_no_placebo),
		cmocka_unit_test(what_compares_two_versions_does_not_apply_where_they_do_not_share_the_traffic),
		cmocka_unit_test(builds_that_stood_in_for_each_other_are_counted),
		cmocka_unit_test(more_builds_than_there_is_room_for_are_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
