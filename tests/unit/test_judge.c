// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The judge's decisions on one endpoint. Oracles: the worked vector of the e-process, and the definitions.
 */
#include "judge_run.h"
#include "judge/ratio.h"

static void verdicts_have_the_documented_exit_codes(void **state)
{
	assert_int_equal(verdict_exit_code(VERDICT_PROMOTE), 0);
	assert_int_equal(verdict_exit_code(VERDICT_ROLLBACK), 10);
	assert_int_equal(verdict_exit_code(VERDICT_HOLD), 20);
	assert_int_equal(verdict_exit_code(VERDICT_INVALID), 30);
	assert_string_equal(verdict_names[VERDICT_PROMOTE], "promote");
	assert_string_equal(verdict_names[VERDICT_INVALID], "invalid");
}

static void the_verdicts_figures_are_those_of_the_worked_vector(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	for (int i = 0; i < 4; i++)
		ticks(&r, 1, (uint64_t)worked[i][1], (uint64_t)worked[i][3], (uint64_t)worked[i][0],
		      (uint64_t)worked[i][2]);
	v = verdict_of(&r);
	assert_int_equal(v.n_endpoints, 1);
	assert_int_equal(v.endpoints[0].n_c, 2400);
	assert_int_equal(v.endpoints[0].bad_b, 206);
	assert_close(exp(v.endpoints[0].log_e_bad), 189.6926299, 4e-10);
	assert_true(v.endpoints[0].has_ratio);
	assert_true(v.endpoints[0].ratio_low < v.endpoints[0].ratio &&
	            v.endpoints[0].ratio < v.endpoints[0].ratio_high);
	/* E = 189.7 on 0.75 of 0.98 of the stake is conclusive: 139 > 20. */
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_true(says(&v, "errors_worse"));
	judge__free(r.j);
}

static void a_healthy_release_without_errors_is_promoted_within_a_minute(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	ticks(&r, 12, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	expect(&r, VERDICT_PROMOTE, "errors_below_floor");
	v = verdict_of(&r);
	assert_true(v.endpoints[0].certified);
	assert_false(v.has_eta);
	assert_false(v.endpoints[0].has_ratio);
	judge__free(r.j);
}

static void a_healthy_release_with_some_errors_is_promoted_by_their_ratio(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 4, 950, 19, 50, 1);
	expect(&r, VERDICT_HOLD, "errors_not_certified");
	assert_true(verdict_of(&r).has_eta);
	ticks(&r, 60, 950, 19, 50, 1);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void failing_is_rolled_back_before_there_is_the_minimum_of_data(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 1, 190, 1, 10, 9);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	judge__free(r.j);
}

static void failures_that_no_status_shows_are_named(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.unanswered_c = 8;
	ticks(&r, 1, 190, 1, 10, 9);
	v = verdict_of(&r);
	assert_non_null(strstr(v.reasons[0].text, "(8 closed by the server without an answer)"));
	judge__free(r.j);
	r = start(&policy, &checkout);
	r.unanswered_c = 4; /* most of them are something else */
	ticks(&r, 1, 190, 1, 10, 9);
	v = verdict_of(&r);
	assert_null(strstr(v.reasons[0].text, "closed by"));
	judge__free(r.j);
}

static void a_slower_canary_is_rolled_back(void **state)
{
	struct run r = start(&policy, &checkout);

	r.ms_c = 20;
	ticks(&r, 12, 950, 0, 50, 0);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

static void slower_within_the_margin_is_for_the_owner_to_decide(void **state)
{
	struct run r = start(&policy, &checkout);

	r.ms_c = 11;
	ticks(&r, 12, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "worse_within_margin");
	assert_false(verdict_of(&r).has_eta);
	judge__free(r.j);
}

static void a_canary_that_turns_bad_after_half_an_hour_is_rolled_back_within_seconds(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 360, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	ticks(&r, 3, 950, 0, 50, 5);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	judge__free(r.j);
	r = start(&policy, &checkout);
	ticks(&r, 360, 950, 0, 50, 0);
	r.ms_c = 20;
	ticks(&r, 6, 950, 0, 50, 0);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

/* Their clients count on an answer within 5 to 30 ms, which everybody else gets. */
static void a_canary_whose_clients_give_up_is_rolled_back_for_being_slow(void **state)
{
	struct run r = start(&policy, &checkout);

	r.patience = 1000;
	r.gave_up_c = 30;
	ticks(&r, 20, 4000, 10, 400, 1);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

static void clients_that_give_up_before_the_answer_was_due_say_nothing(void **state)
{
	struct run r = start(&policy, &checkout);

	r.patience = 2;
	r.gave_up_c = 500;
	ticks(&r, 60, 4000, 40, 4000, 40);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void the_first_tick_says_nothing_about_latency(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.ms_c = 100;
	ticks(&r, 1, 9500, 0, 5000, 0);
	v = verdict_of(&r);
	assert_false(v.endpoints[0].has_threshold);
	assert_true(fabs(v.endpoints[0].log_e_slow_bad) < 1e-12);
	ticks(&r, 1, 9500, 0, 5000, 0);
	v = verdict_of(&r);
	assert_true(v.endpoints[0].has_threshold);
	assert_true(v.endpoints[0].slow_threshold >= 0.03 && v.endpoints[0].slow_threshold < 0.0314);
	assert_int_equal(v.endpoints[0].slow_b, 0);
	assert_int_equal(v.endpoints[0].slow_c, 5000);
	judge__free(r.j);
}

static void an_announced_p95_is_the_threshold_from_the_first_tick(void **state)
{
	struct judge_endpoint ep = checkout;
	struct run r;
	struct verdict v;

	ep.slo_p95 = 0.05;
	r = start(&policy, &ep);
	r.ms_c = 40;
	ticks(&r, 1, 950, 0, 1000, 0);
	v = verdict_of(&r);
	assert_true(v.endpoints[0].slow_threshold >= 0.05 && v.endpoints[0].slow_threshold < 0.0523);
	assert_int_equal(v.endpoints[0].slow_c, 200); /* 60 ms and 120 ms */
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

static void within_the_announced_p95_but_far_beyond_the_margin_is_no_promotion(void **state)
{
	struct judge_endpoint ep = checkout;
	struct run r;

	ep.slo_p95 = 1;
	r = start(&policy, &ep);
	r.ms_c = 15;
	ticks(&r, 60, 950, 0, 50, 0);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
	r = start(&policy, &ep);
	r.ms_c = 10.3;
	ticks(&r, 60, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void an_announced_error_rate_lowers_the_floor(void **state)
{
	struct judge_endpoint ep = checkout;
	struct run r;

	ep.slo_error_rate = 0.001;
	r = start(&policy, &ep);
	ticks(&r, 40, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "errors_not_certified");
	/* (1 - 0.001)^-n on a third of a tenth of the stake: 20 * 30 needs 6400 good requests. */
	ticks(&r, 90, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "errors_below_floor");
	judge__free(r.j);
}

static void a_margin_finer_than_a_bucket_is_said_to_be_so(void **state)
{
	struct gate_policy p = policy;
	struct run r;
	struct verdict v;

	p.max_latency_increase = 0.02;
	r = start(&p, &checkout);
	ticks(&r, 30, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "latency_not_certified");
	v = verdict_of(&r);
	assert_non_null(strstr(v.reasons[v.n_reasons - 1].text, "max_latency_increase"));
	judge__free(r.j);
}

static void too_few_requests_hold_a_promotion_and_tell_when(void **state)
{
	struct gate_policy p = policy;
	struct run r;
	struct verdict v;

	p.min_requests = 2000;
	r = start(&p, &checkout);
	ticks(&r, 20, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "minimum_data");
	v = verdict_of(&r);
	assert_true(v.has_eta);
	assert_close(v.eta_seconds, 100, 1e-6); /* 1000 more at 10 a second */
	assert_true(v.endpoints[0].n_c == 1000 && !v.endpoints[0].certified);
	judge__free(r.j);
}

static void losing_more_than_one_in_a_thousand_makes_the_verdict_invalid(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 20, 950, 0, 50, 0);
	r.lost = 2; /* of 1000 */
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_INVALID, "lost_events");
	r.lost = 1;
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	r.lost = 40;
	ticks(&r, 1, 950, 0, 50, 0);
	r.lost = 0;
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_INVALID, "lost_events");
	judge__free(r.j);
}

/* What was under way at the attach may be lost from sight, whoever the versions are. */
static void what_is_lost_while_the_observation_begins_is_not_held_against_the_rest(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.lost = 40;
	ticks(&r, 1, 950, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "undecided");
	expect(&r, VERDICT_HOLD, "warm_up");
	r.lost = 0;
	ticks(&r, 20, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	v = verdict_of(&r);
	for (size_t i = 0; i < v.n_guards; i++)
		if (!strcmp(v.guards[i].name, "lost_events"))
			assert_non_null(strstr(v.guards[i].text, "40 more in the first tick"));
	assert_true(verdict_of(&r).endpoints[0].n_c == 20 * 50);
	judge__free(r.j);
}

static void an_invalid_run_is_not_rolled_back_either(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 5, 950, 0, 50, 30);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	r.unbalanced = true;
	ticks(&r, 1, 950, 0, 50, 30);
	expect(&r, VERDICT_INVALID, "ledger");
	judge__free(r.j);
}

static void a_ledger_that_nobody_can_check_is_no_reason_and_says_so(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;
	bool said = false;

	r.unknown = r.unbalanced = true;
	ticks(&r, 5, 950, 0, 50, 30);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	v = verdict_of(&r);
	for (size_t i = 0; i < v.n_guards; i++)
		if (!strcmp(v.guards[i].name, "ledger"))
			said = v.guards[i].ok && strstr(v.guards[i].text, "not applicable");
	assert_true(said);
	judge__free(r.j);
}

static void ticks_of_a_warm_up_are_not_judged(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	r.warming = true;
	ticks(&r, 10, 950, 0, 50, 50);
	expect(&r, VERDICT_HOLD, "warm_up");
	v = verdict_of(&r);
	assert_true(v.endpoints[0].n_c == 0 && v.log_e_bad == 0);
	r.warming = false;
	ticks(&r, 14, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	judge__free(r.j);
}

static void an_arm_without_traffic_is_named(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	ticks(&r, 3, 950, 3, 0, 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	v = verdict_of(&r);
	assert_non_null(strstr(guard_of(&v, "no_traffic")->text, "canary"));
	assert_false(v.has_eta);
	assert_int_equal(v.endpoints[0].n_b, 0); /* nothing was served by both at once */
	assert_false(guard_of(&v, "simultaneity")->ok);
	ticks(&r, 20, 950, 0, 50, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	ticks(&r, 3, 0, 0, 50, 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	v = verdict_of(&r);
	assert_non_null(strstr(guard_of(&v, "no_traffic")->text, "baseline any more"));
	judge__free(r.j);
}

static void no_traffic_at_all_and_no_endpoint_at_all_hold(void **state)
{
	struct run r = start(&policy, NULL);
	struct tick t = { .start = 0, .end = 5, .ledger_balanced = true };

	expect(&r, VERDICT_HOLD, "minimum_data");
	assert_int_equal(judge__tick(r.j, &t, 0), 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	assert_int_equal(verdict_of(&r).n_endpoints, 0);
	judge__free(r.j);
	r = start(&policy, &checkout);
	ticks(&r, 5, 0, 0, 0, 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	judge__free(r.j);
}

static void nonsense_is_refused_and_counts_for_nothing(void **state)
{
	struct run r = start(&policy, &checkout);
	struct gate_policy p = policy;

	ticks(&r, 20, 950, 0, 50, 0);
	assert_int_equal(tick(&r, 10, 11, 10, 0), -EINVAL);
	assert_int_equal(tick(&r, 10, 0, 10, 11), -EINVAL);
	expect(&r, VERDICT_PROMOTE, "certified");
	r.now -= 50;
	assert_int_equal(tick(&r, 950, 0, 50, 50), -EINVAL);
	expect(&r, VERDICT_HOLD, "time");
	r.now = NAN;
	assert_int_equal(tick(&r, 950, 0, 50, 50), -EINVAL);
	r.now = 100;
	assert_int_equal(tick(&r, 950, 0, 50, 0), 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	assert_int_equal(judge__tick(r.j, &(struct tick){ .start = 200, .end = 205 }, 2), -EINVAL);
	judge__free(r.j);
	judge__free(NULL);
	p.alpha = 0;
	assert_null(judge__new(&p));
	assert_int_equal(errno, EINVAL);
	p = policy;
	p.max_latency_increase = NAN;
	assert_null(judge__new(&p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_have_the_documented_exit_codes),
		cmocka_unit_test(the_verdicts_figures_are_those_of_the_worked_vector),
		cmocka_unit_test(a_healthy_release_without_errors_is_promoted_within_a_minute),
		cmocka_unit_test(a_healthy_release_with_some_errors_is_promoted_by_their_ratio),
		cmocka_unit_test(failing_is_rolled_back_before_there_is_the_minimum_of_data),
		cmocka_unit_test(failures_that_no_status_shows_are_named),
		cmocka_unit_test(a_slower_canary_is_rolled_back),
		cmocka_unit_test(slower_within_the_margin_is_for_the_owner_to_decide),
		cmocka_unit_test(a_canary_that_turns_bad_after_half_an_hour_is_rolled_back_within_seconds),
		cmocka_unit_test(a_canary_whose_clients_give_up_is_rolled_back_for_being_slow),
		cmocka_unit_test(clients_that_give_up_before_the_answer_was_due_say_nothing),
		cmocka_unit_test(the_first_tick_says_nothing_about_latency),
		cmocka_unit_test(an_announced_p95_is_the_threshold_from_the_first_tick),
		cmocka_unit_test(within_the_announced_p95_but_far_beyond_the_margin_is_no_promotion),
		cmocka_unit_test(an_announced_error_rate_lowers_the_floor),
		cmocka_unit_test(a_margin_finer_than_a_bucket_is_said_to_be_so),
		cmocka_unit_test(too_few_requests_hold_a_promotion_and_tell_when),
		cmocka_unit_test(losing_more_than_one_in_a_thousand_makes_the_verdict_invalid),
		cmocka_unit_test(what_is_lost_while_the_observation_begins_is_not_held_against_the_rest),
		cmocka_unit_test(an_invalid_run_is_not_rolled_back_either),
		cmocka_unit_test(a_ledger_that_nobody_can_check_is_no_reason_and_says_so),
		cmocka_unit_test(ticks_of_a_warm_up_are_not_judged),
		cmocka_unit_test(an_arm_without_traffic_is_named),
		cmocka_unit_test(no_traffic_at_all_and_no_endpoint_at_all_hold),
		cmocka_unit_test(nonsense_is_refused_and_counts_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
