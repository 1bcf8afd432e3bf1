/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One version against fixed numbers: arithmetic written out from the definitions, and what the judge makes of it (hard
 * stops, the modes without a baseline at the same time).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "dice.h"
#include "judge/absolute.h"
#include "judge/judge.h"

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

/* --- the bets ----------------------------------------------------------------------------------------------------- */

static const struct discount none = { 1, 1 };

/* All in one lane. */
static void add(struct absolute *a, double n, double k)
{
	const struct lanes l = { .count = 1, .n = { n }, .k = { k }, .k_above = k };

	absolute__add(a, &l, &none);
}

static void evidence_is_a_mean_of_products_of_fair_bets(void **state)
{
	static const double f[7] = { 0.01, 0.03, 0.1, 0.3, 0.6, 0.95, 0 };
	static const double w[7] = { 0.1, 0.15, 0.25, 0.2, 0.15, 0.1, 0.05 };
	static const double g[3] = { 0.1, 0.4, 0.98 }, v[3] = { 0.15, 0.25, 0.6 };
	struct absolute *a = calloc(1, sizeof(*a));
	double above = 0, below = 0, wealth = 0;

	absolute__init(a, 0.01, 1);
	add(a, 200, 4); /* a share of 0.02; the first block of a lane tells what is usual and is not bet on */
	for (int i = 0; i < 7; i++)
		wealth += w[i] * (1 + f[i] * (0.02 - 0.01) / 0.01);
	assert_close(exp(absolute__log_e_above(a)), wealth, 1e-12);
	assert_close(1 + exp(absolute__log_e_below(a)), 2, 1e-12);
	add(a, 400, 0); /* twice what is usual */
	for (int i = 0; i < 7; i++) {
		double first = w[i] * (1 + f[i]);

		/* A thousandth of the wealth is dealt anew. */
		above += (0.999 * first + 0.001 * w[i] * wealth) * (1 - f[i]);
	}
	for (int i = 0; i < 3; i++)
		below += v[i] * (1 + g[i] * (0.01 * 2 - 0) / 0.99);
	assert_close(exp(absolute__log_e_above(a)), above, 1e-12);
	assert_close(exp(absolute__log_e_below(a)), below, 1e-12);
	free(a);
}

/* Whatever the order: 99 exchanges that all fail are less than a block. */
static void one_bad_exchange_of_three_does_not_stand_for_a_third(void **state)
{
	struct absolute *a = calloc(1, sizeof(*a));

	absolute__init(a, 0.01, 1);
	for (int i = 0; i < 33; i++)
		add(a, 3, i == 5 ? 1 : 0);
	assert_true(fabs(absolute__log_e_above(a)) < 1e-12);
	add(a, 1, 0); /* 1 of 100: just what is allowed, no evidence of anything */
	assert_true(fabs(absolute__log_e_above(a)) < 1e-12);
	free(a);
}

static void a_zero_tick_changes_nothing_and_huge_counts_stay_finite(void **state)
{
	struct absolute *a = calloc(1, sizeof(*a));

	absolute__init(a, 1e-9, 1);
	add(a, 0, 0);
	assert_true(fabs(absolute__log_e_above(a)) < 1e-12 && fabs(absolute__log_e_below(a)) < 1e-12);
	for (int i = 0; i < 10000; i++)
		add(a, 0x1p62, i % 2 ? 0x1p62 : 0);
	assert_true(isfinite(absolute__log_e_above(a)) && isfinite(absolute__log_e_below(a)));
	assert_true(absolute__lower(a, 0.05) > 0.3 && absolute__lower(a, 0.05) < 0.5);
	assert_true(absolute__upper(a, 0.05) > 0.5 && absolute__upper(a, 0.05) < 0.7);
	free(a);
}

/* Bursts of ten within one group and tick: the bounds must hold the true share at all ticks at once. */
static void the_bounds_hold_the_true_share_at_all_ticks_at_once(void **state)
{
	struct dice dice = { 5 };
	struct absolute *a = malloc(sizeof(*a));
	int missed = 0, useful = 0;

	for (int run = 0; run < 200; run++) {
		bool miss = false;

		absolute__init(a, 0.5, 1);
		for (int t = 0; t < 200; t++) {
			struct lanes l = { .count = TW_GROUPS };

			for (int i = 0; i < TW_GROUPS; i++) {
				l.n[i] = 60;
				l.k[i] = 10 * dice_binomial(&dice, 6, 0.02);
				l.k_above += l.k[i];
			}
			absolute__add(a, &l, &none);
			miss |= absolute__lower(a, 0.05) > 0.02 || absolute__upper(a, 0.05) < 0.02;
		}
		missed += miss;
		useful += absolute__lower(a, 0.05) > 0.01 && absolute__upper(a, 0.05) < 0.04;
	}
	print_message("%d of 200 missed, %d close\n", missed, useful);
	assert_true(missed <= 20); /* 5 % on each side */
	assert_true(useful > 190);
	free(a);
}

static void before_and_after_need_evidence_of_both(void **state)
{
	struct absolute *b = malloc(sizeof(*b)), *c = malloc(sizeof(*c));

	absolute__init(b, 0.5, 1);
	absolute__init(c, 0.5, 1.5);
	for (int i = 0; i < 100; i++)
		add(c, 1000, 50);
	/* Nothing is known of what was before: it may have been as bad. */
	assert_true(absolute__log_e_more(b, c) <= 1e-9);
	for (int i = 0; i < 1000; i++)
		add(b, 1000, 10);
	assert_true(absolute__log_e_more(b, c) > log(1e3));
	assert_true(absolute__log_e_within(b, c) < 0);
	absolute__init(c, 0.5, 1.5);
	for (int i = 0; i < 1000; i++)
		add(c, 1000, 8);
	assert_true(absolute__log_e_within(b, c) > log(20));
	assert_true(absolute__log_e_more(b, c) < 0);
	free(b);
	free(c);
}

/* --- the judge ---------------------------------------------------------------------------------------------------- */

static const struct gate_policy policy = { USUAL_POLICY, .warmup = 10, .max_dropped_sessions = NO_DROP_LIMIT };

struct run {
	struct judge *j;
	double now, ms;
	uint64_t dropped_b, dropped_c;
	bool warming, unbalanced;
	struct dice dice;
};

static struct run start(const struct gate_policy *p, const struct judge_endpoint *ep)
{
	struct run r = { .j = judge__new(p), .ms = 10 };

	assert_non_null(r.j);
	assert_int_equal(judge__add_endpoint(r.j, ep), 0);
	return r;
}

/* Nine in ten at ms, the rest at three times that. */
static void serve(struct histogram *h, uint64_t n, double ms)
{
	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n && i < 10000; i++)
		histogram_add(h, (uint64_t)(ms * 1e6 * (i % 10 ? 1 : 3)));
}

/* Spread over the groups, bad ones by chance. */
static void group(struct connection_groups *g, struct dice *dice, uint64_t n, uint64_t bad)
{
	memset(g, 0, sizeof(*g));
	for (unsigned int i = 0; i < TW_GROUPS; i++) {
		g->n[i] = n / TW_GROUPS + (i < n % TW_GROUPS);
		g->bad[i] = bad / TW_GROUPS;
	}
	for (uint64_t i = 0; i < bad % TW_GROUPS; i++)
		g->bad[dice_below(dice, TW_GROUPS)]++;
}

static void ticks(struct run *r, int times, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c)
{
	struct connection_groups gb, gc;
	struct histogram b, c;
	struct endpoint_tick ep = { .baseline = { .n = n_b, .bad = bad_b, .latency = &b, .groups = &gb },
		                    .canary = { .n = n_c, .bad = bad_c, .latency = &c, .groups = &gc } };

	serve(&b, n_b, 10);
	serve(&c, n_c, r->ms);
	for (int i = 0; i < times; i++, r->now += 5) {
		struct tick t = { .start = r->now,
			          .end = r->now + 5,
			          .seen = n_b + n_c,
			          .ledger_balanced = !r->unbalanced,
			          .warming = r->warming,
			          .baseline.dropped = r->dropped_b,
			          .canary.dropped = r->dropped_c,
			          .endpoints = &ep };

		group(&gb, &r->dice, n_b, bad_b);
		group(&gc, &r->dice, n_c, bad_c);
		assert_int_equal(judge__tick(r->j, &t, 1), 0);
	}
}

static struct verdict verdict_of(const struct run *r)
{
	struct verdict v;

	judge__verdict(r->j, &v);
	for (size_t i = 0; i < v.n_endpoints; i++)
		for (size_t k = 0; k < v.endpoints[i].n_limits; k++) {
			const struct verdict_limit *l = &v.endpoints[i].limits[k];

			assert_true(isfinite(l->log_e_above) && isfinite(l->log_e_below));
			assert_true(l->lower >= 0 && l->lower <= l->upper && l->upper <= 1);
		}
	return v;
}

static const struct reason *said(const struct verdict *v, const char *code)
{
	for (size_t i = 0; i < v->n_reasons; i++)
		if (!strcmp(v->reasons[i].code, code))
			return &v->reasons[i];
	return NULL;
}

static void expect(const struct run *r, enum verdict_kind kind, const char *code)
{
	struct verdict v = verdict_of(r);

	if (v.kind != kind || !said(&v, code))
		fail_msg("%s (%s: %s), expected %s for %s", verdict_names[v.kind], v.n_reasons ? v.reasons[0].code : "",
		         v.n_reasons ? v.reasons[0].text : "", verdict_names[kind], code);
}

static const struct judge_endpoint checkout = {
	.name = "POST /checkout", .critical = true, .slo_error_rate = 0.01, .unit = UNIT_EXCHANGE
};

static void an_announced_error_rate_that_is_broken_stops_hard_even_where_the_baseline_breaks_it(void **state)
{
	struct run r = start(&policy, &checkout);
	struct verdict v;

	ticks(&r, 60, 950, 57, 500, 30); /* 6 % on both */
	expect(&r, VERDICT_ROLLBACK, "slo_breached");
	v = verdict_of(&r);
	assert_true(v.final);
	assert_non_null(strstr(said(&v, "slo_breached")->text, "announced are at most 1 %; the baseline's 6 %"));
	assert_true(v.endpoints[0].n_limits == 1 && v.endpoints[0].limits[0].lower > 0.03);
	judge__free(r.j);
}

static void a_hard_stop_acts_whatever_the_guards_say(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 60, 0, 0, 500, 50); /* there is no baseline */
	expect(&r, VERDICT_ROLLBACK, "slo_breached");
	r.unbalanced = true;
	ticks(&r, 1, 0, 0, 500, 50);
	expect(&r, VERDICT_ROLLBACK, "slo_breached");
	judge__free(r.j);
}

static void a_canary_that_keeps_its_error_rate_is_not_stopped(void **state)
{
	struct run r = start(&policy, &checkout);

	ticks(&r, 360, 950, 9, 500, 5);
	assert_int_not_equal(verdict_of(&r).kind, VERDICT_ROLLBACK);
	judge__free(r.j);
}

static void ticks_that_are_not_judged_are_no_evidence_of_a_breach(void **state)
{
	struct run r = start(&policy, &checkout);

	r.warming = true;
	ticks(&r, 60, 950, 0, 500, 250);
	assert_int_equal(verdict_of(&r).kind, VERDICT_HOLD);
	judge__free(r.j);
}

static void dropped_sessions_beyond_the_limit_stop_at_once_in_any_tick(void **state)
{
	struct gate_policy p = policy;
	struct verdict v;
	struct run r;

	p.max_dropped_sessions = 24;
	r = start(&p, &checkout);
	r.warming = true;
	r.dropped_c = 8;
	r.dropped_b = 9;
	ticks(&r, 3, 1000, 0, 200, 0);
	assert_int_equal(verdict_of(&r).kind, VERDICT_HOLD); /* 24 are allowed */
	r.dropped_c = 1;
	ticks(&r, 1, 1000, 0, 200, 0);
	expect(&r, VERDICT_ROLLBACK, "sessions_dropped");
	v = verdict_of(&r);
	assert_true(v.final);
	assert_non_null(strstr(said(&v, "sessions_dropped")->text, "25 sessions (3.1 % of its requests), of which 24"));
	assert_non_null(strstr(said(&v, "sessions_dropped")->text, "the baseline 36 (0.9 %)"));
	judge__free(r.j);
}

static void dropped_sessions_do_not_overflow_and_are_not_asked_for_by_default(void **state)
{
	struct gate_policy p = policy;
	struct run r = start(&policy, &checkout);

	r.dropped_c = UINT64_MAX - 1;
	ticks(&r, 3, 1000, 0, 200, 0);
	assert_int_equal(verdict_of(&r).kind, VERDICT_HOLD);
	judge__free(r.j);
	p.max_dropped_sessions = UINT64_MAX - 1;
	r = start(&p, &checkout);
	r.dropped_c = UINT64_MAX - 1;
	ticks(&r, 2, 1000, 0, 200, 0);
	expect(&r, VERDICT_ROLLBACK, "sessions_dropped");
	judge__free(r.j);
}

static struct run start_absolute(double error_rate, double p95)
{
	struct gate_policy p = policy;
	struct judge_endpoint ep = checkout;

	p.mode = GATE_ABSOLUTE;
	ep.slo_error_rate = error_rate;
	ep.slo_p95 = p95;
	return start(&p, &ep);
}

static void without_a_baseline_a_canary_is_promoted_for_what_it_announced(void **state)
{
	struct run r = start_absolute(0.01, 0.05);
	struct verdict v;

	ticks(&r, 5, 0, 0, 1000, 1);
	expect(&r, VERDICT_HOLD, "slo_not_certified");
	ticks(&r, 200, 0, 0, 1000, 1);
	expect(&r, VERDICT_PROMOTE, "certified");
	v = verdict_of(&r);
	for (size_t i = 0; i < v.n_guards; i++)
		assert_true(v.guards[i].ok);
	assert_int_equal(v.endpoints[0].n_limits, 2);
	assert_true(v.endpoints[0].limits[0].upper < 0.01);
	judge__free(r.j);
	r = start_absolute(0.01, 0.02); /* a tenth takes 30 ms */
	ticks(&r, 200, 0, 0, 1000, 1);
	expect(&r, VERDICT_ROLLBACK, "slo_breached");
	judge__free(r.j);
}

static void nothing_announced_is_nothing_to_be_promoted_for(void **state)
{
	struct run r = start_absolute(0, 0);

	ticks(&r, 100, 0, 0, 1000, 0);
	expect(&r, VERDICT_HOLD, "slo_missing");
	judge__free(r.j);
}

static void a_limit_of_everything_or_nothing_is_no_limit(void **state)
{
	static const double rates[] = { 0, -1, 1, 2, INFINITY, NAN };

	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		struct judge *j = judge__new(&policy);
		struct judge_endpoint ep = checkout;
		int err;

		ep.slo_error_rate = rates[i];
		err = judge__add_endpoint(j, &ep);
		assert_int_equal(err, isfinite(rates[i]) ? 0 : -EINVAL);
		judge__free(j);
	}
}

static void without_any_traffic_it_holds(void **state)
{
	struct run r = start_absolute(0.01, 0.05);

	ticks(&r, 10, 0, 0, 0, 0);
	expect(&r, VERDICT_HOLD, "no_traffic");
	expect(&r, VERDICT_HOLD, "minimum_data");
	judge__free(r.j);
}

static void counts_beyond_32_bits_are_judged(void **state)
{
	struct run r = start_absolute(0.01, 0);

	ticks(&r, 60, 0, 0, 1ull << 40, 1ull << 38);
	expect(&r, VERDICT_ROLLBACK, "slo_breached");
	judge__free(r.j);
}

static struct run start_before_after(void)
{
	struct gate_policy p = policy;
	struct judge_endpoint ep = checkout;

	p.mode = GATE_BEFORE_AFTER;
	ep.slo_error_rate = 0;
	return start(&p, &ep);
}

static void every_verdict_of_before_against_after_is_marked_as_weaker(void **state)
{
	struct run r = start_before_after();
	struct verdict v;

	ticks(&r, 60, 1000, 10, 0, 0);
	expect(&r, VERDICT_HOLD, "weaker_mode");
	expect(&r, VERDICT_HOLD, "no_traffic");
	ticks(&r, 40, 0, 0, 1000, 80);
	expect(&r, VERDICT_ROLLBACK, "errors_worse");
	expect(&r, VERDICT_ROLLBACK, "weaker_mode");
	v = verdict_of(&r);
	assert_non_null(strstr(v.summary, "something else changed"));
	assert_int_equal(v.endpoints[0].n_limits, 2);
	assert_string_equal(v.endpoints[0].limits[0].name, "errors_before");
	assert_true(v.endpoints[0].limits[0].limit > 0.01 && v.endpoints[0].limits[0].limit < 0.03);
	judge__free(r.j);
}

static void a_margin_finer_than_can_be_told_is_not_called_nothing(void **state)
{
	struct gate_policy p = policy;
	struct run r;
	struct verdict v;
	bool told = false;

	p.mode = GATE_BEFORE_AFTER;
	p.max_latency_increase = 0.02; /* floor(16 log2 1.02) = 0 buckets */
	r = start(&p, &checkout);
	ticks(&r, 20, 1000, 10, 0, 0);
	ticks(&r, 2, 0, 0, 1000, 10);
	expect(&r, VERDICT_HOLD, "latency_not_certified");
	v = verdict_of(&r);
	for (size_t i = 0; i < v.n_reasons; i++)
		told |= strstr(v.reasons[i].text, "less than 2 % slower than what was before") != NULL;
	assert_true(told);
	judge__free(r.j);
}

static void what_the_baseline_does_after_the_canary_came_does_not_count(void **state)
{
	struct run alone = start_before_after(), mixed = start_before_after();
	struct verdict a, b;

	ticks(&alone, 60, 1000, 10, 0, 0);
	ticks(&mixed, 60, 1000, 10, 0, 0);
	ticks(&alone, 40, 0, 0, 1000, 10);
	ticks(&mixed, 40, 1000, 900, 1000, 10);
	a = verdict_of(&alone);
	b = verdict_of(&mixed);
	assert_true(a.endpoints[0].log_e_bad == b.endpoints[0].log_e_bad);
	assert_int_equal(b.endpoints[0].bad_b, 600);
	judge__free(alone.j);
	judge__free(mixed.j);
}

static void a_canary_as_good_as_before_is_promoted_and_a_slower_one_rolled_back(void **state)
{
	struct run r = start_before_after();

	ticks(&r, 120, 1000, 0, 0, 0);
	ticks(&r, 120, 0, 0, 1000, 0);
	expect(&r, VERDICT_PROMOTE, "certified");
	expect(&r, VERDICT_PROMOTE, "weaker_mode");
	judge__free(r.j);
	r = start_before_after();
	ticks(&r, 120, 1000, 0, 0, 0);
	r.ms = 40;
	ticks(&r, 120, 0, 0, 1000, 0);
	expect(&r, VERDICT_ROLLBACK, "latency_worse");
	judge__free(r.j);
}

static void a_baseline_that_was_never_served_before_certifies_nothing(void **state)
{
	struct run r = start_before_after();

	ticks(&r, 120, 0, 0, 1000, 0);
	expect(&r, VERDICT_HOLD, "minimum_data");
	judge__free(r.j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(evidence_is_a_mean_of_products_of_fair_bets),
		cmocka_unit_test(one_bad_exchange_of_three_does_not_stand_for_a_third),
		cmocka_unit_test(a_zero_tick_changes_nothing_and_huge_counts_stay_finite),
		cmocka_unit_test(the_bounds_hold_the_true_share_at_all_ticks_at_once),
		cmocka_unit_test(before_and_after_need_evidence_of_both),
		cmocka_unit_test(an_announced_error_rate_that_is_broken_stops_hard_even_where_the_baseline_breaks_it),
		cmocka_unit_test(a_hard_stop_acts_whatever_the_guards_say),
		cmocka_unit_test(a_canary_that_keeps_its_error_rate_is_not_stopped),
		cmocka_unit_test(ticks_that_are_not_judged_are_no_evidence_of_a_breach),
		cmocka_unit_test(dropped_sessions_beyond_the_limit_stop_at_once_in_any_tick),
		cmocka_unit_test(dropped_sessions_do_not_overflow_and_are_not_asked_for_by_default),
		cmocka_unit_test(without_a_baseline_a_canary_is_promoted_for_what_it_announced),
		cmocka_unit_test(nothing_announced_is_nothing_to_be_promoted_for),
		cmocka_unit_test(a_limit_of_everything_or_nothing_is_no_limit),
		cmocka_unit_test(without_any_traffic_it_holds),
		cmocka_unit_test(counts_beyond_32_bits_are_judged),
		cmocka_unit_test(every_verdict_of_before_against_after_is_marked_as_weaker),
		cmocka_unit_test(a_margin_finer_than_can_be_told_is_not_called_nothing),
		cmocka_unit_test(what_the_baseline_does_after_the_canary_came_does_not_count),
		cmocka_unit_test(a_canary_as_good_as_before_is_promoted_and_a_slower_one_rolled_back),
		cmocka_unit_test(a_baseline_that_was_never_served_before_certifies_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
