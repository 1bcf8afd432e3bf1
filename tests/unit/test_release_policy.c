/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the policy makes of evidence: margins by endpoint, the level of certificates, endpoints that must not wait, the
 * deadline. Oracles: a judge whose whole policy is what one endpoint asks for, and the definitions, written out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "policies.h"
#include "loads.h"

static const struct gate_policy policy = { USUAL_POLICY };

static const struct judge_endpoint pay = { .name = "POST /pay", .critical = true };

static void assert_close(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("got %.12g, want %.12g", got, want);
}

/* ---- margins ----------------------------------------------------------------------------------------------------- */

static void same_figures(const struct verdict_endpoint *a, const struct verdict_endpoint *b)
{
	assert_true(a->log_e_good == b->log_e_good && a->log_e_slow_good == b->log_e_slow_good);
	assert_true(a->log_e_bad == b->log_e_bad && a->log_e_slow_bad == b->log_e_slow_bad);
	assert_int_equal(a->certified, b->certified);
	assert_true(a->margins.max_error_ratio == b->margins.max_error_ratio);
	assert_true(a->margins.max_latency_increase == b->margins.max_latency_increase);
}

static void an_endpoint_with_margins_of_its_own_is_judged_as_by_a_policy_of_these(void **state)
{
	static const struct margins margins[4] = { { 0, 0 }, { 1.2, 0 }, { 0, 0.5 }, { 3, 0.06 } };
	struct world *own = world_new(&policy);
	struct load l[4], one = { 950, 19, 300, 7, 10.8, 0 };

	for (int i = 0; i < 4; i++) {
		struct judge_endpoint ep = pay;

		ep.margins = margins[i];
		world_add(own, &ep);
		l[i] = one;
	}
	world_ticks(own, 30, l);
	for (int i = 0; i < 4; i++) {
		struct gate_policy p = policy;
		struct world *whole;
		struct verdict a, b;

		if (margins[i].max_error_ratio > 0)
			p.max_error_ratio = margins[i].max_error_ratio;
		if (margins[i].max_latency_increase > 0)
			p.max_latency_increase = margins[i].max_latency_increase;
		whole = world_new(&p);
		world_add(whole, &pay);
		world_ticks(whole, 30, &one);
		a = world_verdict(own);
		b = world_verdict(whole);
		same_figures(&a.endpoints[i], &b.endpoints[0]);
		world_free(whole);
	}
	world_free(own);
}

static void a_narrow_margin_on_one_endpoint_holds_the_release_and_is_told(void **state)
{
	struct judge_endpoint strict = { .name = "POST /card", .critical = true, .margins = { 1.1, 0.05 } };
	struct load l[2] = { { 1000, 10, 500, 5, 10, 0 }, { 1000, 10, 500, 5, 10, 0 } };
	struct world *w = world_new(&policy);
	struct verdict v;

	world_add(w, &pay);
	world_add(w, &strict);
	world_ticks(w, 60, l);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_true(v.endpoints[0].certified && !v.endpoints[1].certified);
	assert_non_null(reason_of(&v, "errors_not_certified"));
	assert_string_equal(reason_of(&v, "errors_not_certified")->endpoint, "POST /card");
	assert_non_null(strstr(reason_of(&v, "errors_not_certified")->text, "below 1.1 times"));
	world_ticks(w, 2000, l);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	/* floor(16 log2(1.05)) is 1 bucket, 4.4 %; floor(16 log2(1.2)) are 4, 18.9 %. */
	assert_non_null(strstr(v.reasons[0].text, "less than 4.43 to 18.9 % slower"));
	assert_non_null(strstr(v.reasons[0].text, "errors within 1.1 to 1.5 times"));
	world_free(w);
}

static void margins_and_policies_without_a_meaning_are_refused(void **state)
{
	struct gate_policy p = policy;
	struct judge_endpoint ep = pay;
	struct judge *j = judge__new(&p);

	ep.margins.max_error_ratio = -1;
	assert_int_equal(judge__add_endpoint(j, &ep), -EINVAL);
	ep.margins = (struct margins){ 1.5, NAN };
	assert_int_equal(judge__add_endpoint(j, &ep), -EINVAL);
	ep = pay;
	ep.cutover = 1;
	assert_int_equal(judge__add_endpoint(j, &ep), -EINVAL);
	assert_int_equal(judge__add_cutover(j, &(struct judge_cutover){ .owner = "x" }), -EINVAL);
	judge__free(j);
	p.promote_alpha = 1;
	assert_null(judge__new(&p));
	p.promote_alpha = -0.1;
	assert_null(judge__new(&p));
	p = policy;
	p.deadline = INFINITY;
	assert_null(judge__new(&p));
	p.deadline = NAN;
	assert_null(judge__new(&p));
}

/* ---- the level of certificates ------------------------------------------------------------------------------------
 */

/* The tick at which it is promoted, and that all was certified by then and not before. */
static int promoted_at(double promote_alpha, const struct load *l, uint64_t min_requests)
{
	struct gate_policy p = policy;
	struct world *w;
	int tick = 0;

	p.promote_alpha = promote_alpha;
	p.min_requests = min_requests;
	w = world_new(&p);
	world_add(w, &pay);
	for (; tick < 1000; tick++) {
		struct verdict v = world_verdict(w);
		double least = fmin(v.n_endpoints ? v.endpoints[0].log_e_good : 0, v.endpoints[0].log_e_slow_good);
		bool enough = v.endpoints[0].n_c >= min_requests;

		assert_close(v.promote_alpha, promote_alpha > 0 ? promote_alpha : 0.05, 0);
		assert_close(v.alpha, 0.05, 0);
		assert_int_equal(v.kind == VERDICT_PROMOTE, enough && least >= -log(v.promote_alpha));
		if (v.kind == VERDICT_PROMOTE)
			break;
		world_ticks(w, 1, l);
	}
	world_free(w);
	return tick;
}

static void certificates_have_a_level_of_their_own(void **state)
{
	/* The first waits for errors, the second, with half as many of very many, for latency. */
	static const struct load l[2] = { { 950, 19, 50, 1, 10, 0 }, { 950, 200, 50, 5, 10, 0 } };
	static const uint64_t least[2] = { 500, 1 };

	for (int i = 0; i < 2; i++) {
		int strict = promoted_at(1e-6, &l[i], least[i]), usual = promoted_at(0, &l[i], least[i]);
		int lax = promoted_at(0.3, &l[i], least[i]);

		assert_int_equal(usual, promoted_at(0.05, &l[i], least[i]));
		if (!(lax < usual && usual < strict && strict < 1000))
			fail_msg("%d: promoted at ticks %d, %d, %d", i, lax, usual, strict);
	}
}

/* ---- endpoints that must not wait ----------------------------------------------------------------------------------
 */

/* Half of 0.98 for the one, and a quarter each, of which errors have three quarters and latency one. */
static void a_fail_fast_endpoint_holds_half_of_the_stake_and_its_part_of_the_rest(void **state)
{
	struct judge_endpoint login = { .name = "POST /login", .named = true, .fail_fast = true };
	struct judge_endpoint cart = { .name = "GET /cart", .named = true };
	struct load l[2] = { { 950, 9, 50, 1, 10, 0 }, { 950, 9, 50, 2, 11, 0 } };
	struct world *w = world_new(&policy);
	static const double weight[2] = { 0.98 * 0.75, 0.98 * 0.25 };
	double want = 0.02;
	struct verdict v;

	world_add(w, &login);
	world_add(w, &cart);
	world_ticks(w, 12, l);
	v = world_verdict(w);
	for (int i = 0; i < 2; i++)
		want += weight[i] * (0.75 * exp(v.endpoints[i].log_e_bad) + 0.25 * exp(v.endpoints[i].log_e_slow_bad));
	assert_close(v.log_e_bad, log(want), 1e-12);
	assert_true(v.endpoints[0].fail_fast && !v.endpoints[1].fail_fast);
	world_free(w);
}

static void asked_for_weights_go_before_fail_fast(void **state)
{
	struct judge_endpoint ep[3] = { { .name = "a", .weight = 0.3, .fail_fast = true },
		                        { .name = "b", .fail_fast = true, .critical = true },
		                        { .name = "c" } };
	/* 0.68 is left: half of it to b, of the other half four fifths to b, which is critical. */
	static const double weight[3] = { 0.3, 0.34 + 0.34 * 0.8, 0.34 * 0.2 };
	struct load l[3] = { { 950, 9, 50, 1, 10, 0 }, { 950, 9, 60, 2, 10, 0 }, { 950, 9, 70, 3, 10, 0 } };
	struct world *w = world_new(&policy);
	double want = 0.02;
	struct verdict v;

	for (int i = 0; i < 3; i++)
		world_add(w, &ep[i]);
	world_ticks(w, 12, l);
	v = world_verdict(w);
	for (int i = 0; i < 3; i++)
		want += weight[i] * (0.75 * exp(v.endpoints[i].log_e_bad) + 0.25 * exp(v.endpoints[i].log_e_slow_bad));
	assert_close(v.log_e_bad, log(want), 1e-12);
	world_free(w);
}

static void a_fail_fast_endpoint_that_is_slow_does_not_wait_for_the_minimum_of_data(void **state)
{
	struct load l = { 950, 0, 50, 0, 30, 0 };

	for (int fast = 0; fast < 2; fast++) {
		struct gate_policy p = policy;
		struct judge_endpoint ep = pay;
		struct world *w;
		struct verdict v;

		p.min_requests = 100000;
		ep.fail_fast = fast;
		w = world_new(&p);
		world_add(w, &ep);
		world_ticks(w, 12, &l);
		v = world_verdict(w);
		assert_int_equal(v.kind, fast ? VERDICT_ROLLBACK : VERDICT_HOLD);
		assert_int_equal(v.final, fast);
		world_free(w);
	}
}

static void a_rollback_is_final_where_a_fail_fast_endpoint_alone_is_enough(void **state)
{
	struct judge_endpoint login = { .name = "POST /login", .critical = true, .fail_fast = true };
	struct load login_fails[2] = { { 950, 9, 50, 25, 10, 0 }, { 950, 9, 50, 0, 10, 0 } };
	struct load pay_fails[2] = { { 950, 9, 50, 0, 10, 0 }, { 950, 9, 50, 25, 10, 0 } };
	struct load both_a_bit[2] = { { 950, 9, 50, 2, 10, 0 }, { 950, 9, 50, 25, 10, 0 } };
	const struct load *loads[3] = { login_fails, pay_fails, both_a_bit };

	for (int i = 0; i < 3; i++) {
		struct world *w = world_new(&policy);
		struct verdict v;

		world_add(w, &login);
		world_add(w, &pay);
		world_ticks(w, 3, loads[i]);
		v = world_verdict(w);
		assert_int_equal(v.kind, VERDICT_ROLLBACK);
		assert_int_equal(v.final, i == 0);
		assert_int_equal(reason_of(&v, "fail_fast") != NULL, i == 0);
		if (i == 0)
			assert_string_equal(reason_of(&v, "fail_fast")->endpoint, "POST /login");
		world_free(w);
	}
}

/* Shown to be slower and shown to be within its margin: that is for the owner, and another endpoint makes the rollback.
 */
static void an_accusation_that_is_answered_makes_nothing_final(void **state)
{
	struct judge_endpoint login = { .name = "POST /login", .fail_fast = true, .critical = true };
	struct load slower[2] = { { 950, 0, 50, 0, 11, 0 }, { 950, 9, 50, 0, 10, 0 } };
	struct load and_fails[2] = { { 950, 0, 50, 0, 11, 0 }, { 950, 9, 50, 50, 10, 0 } };
	struct world *w = world_new(&policy);
	struct verdict v;

	world_add(w, &login);
	world_add(w, &pay);
	while (v = world_verdict(w), !v.n_endpoints || v.endpoints[0].log_e_slow_good < log(20))
		world_ticks(w, 1, slower);
	world_ticks(w, 6, slower);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_non_null(reason_of(&v, "worse_within_margin"));
	assert_false(v.final);
	world_ticks(w, 6, and_fails);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_false(v.final);
	world_free(w);
}

/* ---- the deadline --------------------------------------------------------------------------------------------------
 */

static struct world *until_deadline(enum at_deadline then, double deadline)
{
	struct gate_policy p = policy;
	struct world *w;

	p.deadline = deadline;
	p.at_deadline = then;
	w = world_new(&p);
	world_add(w, &pay);
	return w;
}

static void what_is_still_held_at_the_deadline_becomes_what_was_agreed(void **state)
{
	struct load l = { 95, 2, 5, 0, 10, 0 };

	for (int then = 0; then < DEADLINE_NR; then++) {
		struct world *w = until_deadline(then, 60);
		struct verdict v;

		world_ticks(w, 11, &l); /* 55 s */
		v = world_verdict(w);
		assert_int_equal(v.kind, VERDICT_HOLD);
		assert_true(v.has_eta && !v.final && !reason_of(&v, "deadline"));
		world_ticks(w, 1, &l);
		v = world_verdict(w);
		assert_int_equal(v.kind, then == DEADLINE_ROLLBACK ? VERDICT_ROLLBACK : VERDICT_HOLD);
		assert_string_equal(v.reasons[0].code, "deadline");
		assert_true(v.final && !v.has_eta);
		assert_non_null(strstr(v.reasons[0].text, then == DEADLINE_ROLLBACK ? "60 s" : "the owner decides"));
		world_free(w);
	}
}

static void an_invalid_run_stays_invalid_at_the_deadline(void **state)
{
	struct world *w = until_deadline(DEADLINE_ROLLBACK, 20);
	struct load l = { 950, 2, 50, 0, 10, 0 };
	struct verdict v;

	world_ticks(w, 3, &l);
	w->unbalanced = true;
	world_ticks(w, 1, &l);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_INVALID);
	assert_true(v.final);
	/* It was not called in time, so it is not promoted afterwards either. */
	w->unbalanced = false;
	world_ticks(w, 60, &l);
	assert_int_equal(world_verdict(w).kind, VERDICT_ROLLBACK);
	world_free(w);
}

static void what_was_called_in_time_stays_what_the_evidence_says(void **state)
{
	struct load good = { 950, 2, 50, 0, 10, 0 }, bad = { 950, 2, 50, 30, 10, 0 };
	struct world *w = until_deadline(DEADLINE_ROLLBACK, 300);
	struct verdict v;

	world_ticks(w, 60, &good);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	assert_true(v.final && !reason_of(&v, "deadline"));
	world_ticks(w, 60, &good);
	assert_int_equal(world_verdict(w).kind, VERDICT_PROMOTE);
	world_ticks(w, 6, &bad);
	assert_int_equal(world_verdict(w).kind, VERDICT_ROLLBACK);
	world_free(w);
	w = until_deadline(DEADLINE_HOLD, 10);
	world_ticks(w, 120, &good);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_HOLD); /* and not promoted after all */
	assert_non_null(reason_of(&v, "deadline"));
	world_ticks(w, 6, &bad);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_null(reason_of(&v, "deadline"));
	world_free(w);
}

static void how_often_it_is_asked_for_does_not_move_the_deadline(void **state)
{
	struct load l = { 950, 2, 50, 0, 10, 0 };
	struct world *often = until_deadline(DEADLINE_ROLLBACK, 30), *once = until_deadline(DEADLINE_ROLLBACK, 30);

	for (int i = 0; i < 40; i++) {
		world_ticks(often, 1, &l);
		world_verdict(often);
		world_ticks(once, 1, &l);
	}
	assert_int_equal(world_verdict(often).kind, world_verdict(once).kind);
	assert_string_equal(world_verdict(often).summary, world_verdict(once).summary);
	world_free(often);
	world_free(once);
}

/* Whoever asks for all of the stake for one endpoint does not want the others to fail unseen. */
static void one_endpoint_cannot_take_the_stake_of_all_others(void **state)
{
	const struct judge_endpoint all = { .name = "POST /pay", .critical = true, .named = true, .weight = 1 };
	const struct judge_endpoint none = { .name = "GET /map", .named = true };
	struct load l[2] = { { 950, 2, 50, 0, 10, 0 }, { 950, 0, 50, 50, 10, 0 } };
	struct world *w = world_new(&policy);
	const struct reason *why;
	struct verdict v;

	world_add(w, &all);
	world_add(w, &none);
	world_ticks(w, 10, l);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	why = reason_of(&v, "errors_worse");
	assert_non_null(why);
	assert_string_equal(why->endpoint, "GET /map");
	assert_non_null(strstr(why->text, "100 % of 500 canary requests failed"));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_endpoint_with_margins_of_its_own_is_judged_as_by_a_policy_of_these),
		cmocka_unit_test(a_narrow_margin_on_one_endpoint_holds_the_release_and_is_told),
		cmocka_unit_test(margins_and_policies_without_a_meaning_are_refused),
		cmocka_unit_test(certificates_have_a_level_of_their_own),
		cmocka_unit_test(a_fail_fast_endpoint_holds_half_of_the_stake_and_its_part_of_the_rest),
		cmocka_unit_test(asked_for_weights_go_before_fail_fast),
		cmocka_unit_test(a_fail_fast_endpoint_that_is_slow_does_not_wait_for_the_minimum_of_data),
		cmocka_unit_test(a_rollback_is_final_where_a_fail_fast_endpoint_alone_is_enough),
		cmocka_unit_test(an_accusation_that_is_answered_makes_nothing_final),
		cmocka_unit_test(what_is_still_held_at_the_deadline_becomes_what_was_agreed),
		cmocka_unit_test(an_invalid_run_stays_invalid_at_the_deadline),
		cmocka_unit_test(what_was_called_in_time_stays_what_the_evidence_says),
		cmocka_unit_test(one_endpoint_cannot_take_the_stake_of_all_others),
		cmocka_unit_test(how_often_it_is_asked_for_does_not_move_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
