/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The unit of analysis, and what the judge makes of bursts. The oracle is arithmetic written out from the definitions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "dice.h"
#include "judge/judge.h"
#include "judge/unit.h"
#include "service.h"

static void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

/* --- the unit -----------------------------------------------------------------------------------------------------
 */

static const double lr_good[] = { 1 };
static const struct alternative bets_good[] = { { 1, 1 } };

/* Spread a total over groups, or put it all into one. */
static void fill(double *g, double total, int only)
{
	for (int i = 0; i < TW_GROUPS; i++)
		g[i] = only < 0 ? total / TW_GROUPS : i == only ? total : 0;
}

/* One tick to certify a ratio below 1.5: 950 + 50 exchanges, 16 bad ones, all on the baseline. */
static double certify(struct service *s, enum unit unit, bool known, int only)
{
	const struct habits h = { &s->d, &s->shares };
	struct pair p = { 50, 950, 0, 16 };
	struct by_group g = { .known = known };
	struct block lanes[TW_GROUPS - 1] = { { 0 } };
	struct ratio_test t;

	fill(g.n_c, 50, -1);
	fill(g.n_b, 950, -1);
	fill(g.k_c, 0, -1);
	fill(g.k_b, 16, only);
	ratio_test__init(&t, unit, 1.5, lr_good, 1, bets_good, 1, 0);
	t.bet.more = lanes;
	ratio_test__certify(&t, &p, &g, &h);
	return ratio_test__log_e(&t);
}

static void a_certificate_counts_a_bursts_group_once(void **state)
{
	/* Sixteen events: theta0 = 0.075/1.025 at the margin, 0.05 at equality; each not the canary's gives this. */
	const double each = log(0.95 / (0.95 / 1.025));
	struct service s;

	begin(&s);
	/* Until it is unlearned, a burst is taken to reach three groups. */
	assert_close(certify(&s, UNIT_EXCHANGE, true, -1), 16 * each / 3, 1e-9);
	for (int i = 0; i < 200; i++) { /* one by one: what is learned is phi 1 */
		bursts(&s, 8, 1, false);
		end_tick(&s, true);
	}
	assert_close(dispersion__across(&s.d), 1, 0.25);
	assert_close(certify(&s, UNIT_INDEPENDENT, false, -1), 16 * each, 1e-9);
	assert_close(certify(&s, UNIT_EXCHANGE, true, -1), 16 * each, 0.25);
	assert_true(certify(&s, UNIT_EXCHANGE, true, 4) < 4 * each);
}

/* One tick of an even split, and of one of 5 %, before anything is known and after half an hour of single events. */
static double accuse(struct service *s, double n_c, double n_b)
{
	static const double worse = 1.8;
	const struct alternative bet = { worse, 1 };
	const struct pair p = { n_c, n_b, 9, 1 };
	struct ratio_test t;

	ratio_test__init(&t, UNIT_EXCHANGE, 1, &worse, 1, &bet, 1, 0);
	ratio_test__add(&t, &p, &(struct habits){ &s->d, &s->shares });
	return ratio_test__log_e(&t);
}

static void at_an_even_split_evidence_counts_less_until_there_was_time_to_learn(void **state)
{
	struct service s;
	double even, small;

	begin(&s);
	even = accuse(&s, 500, 500);
	small = accuse(&s, 50, 950);
	for (int i = 0; i < 400; i++) {
		bursts(&s, 8, 1, false);
		end_tick(&s, true);
	}
	assert_true(even > 0.2);
	assert_close(accuse(&s, 500, 500), 1.5 * even, 0.05);
	assert_close(accuse(&s, 50, 950), small, 0.02);
}

static void without_groups_a_certificates_counts_are_divided_by_the_dispersion_of_ticks(void **state)
{
	struct service s;
	double independent;

	begin(&s);
	independent = certify(&s, UNIT_INDEPENDENT, false, -1);
	assert_close(certify(&s, UNIT_EXCHANGE, false, -1), independent / 3, 1e-9); /* nothing is known yet */
	for (int i = 0; i < 400; i++) {
		bursts(&s, 1, 8, true);
		end_tick(&s, false);
	}
	assert_close(certify(&s, UNIT_EXCHANGE, false, -1), independent / 8, 0.3);
}

static void with_few_connections_the_lanes_are_merged_until_both_versions_are_in_each(void **state)
{
	struct block lanes[TW_GROUPS - 1] = { { 0 } };
	struct ratio_test t;
	struct service s;
	struct connection_groups few = { .n = { 0 } };
	const struct pair p = { 50, 950, 0, 16 };
	const struct habits h = { &s.d, &s.shares };
	struct by_group g = { .known = true };

	begin(&s);
	fill(g.n_c, 50, 3);
	fill(g.n_b, 950, -1);
	fill(g.k_b, 16, -1);
	ratio_test__init(&t, UNIT_EXCHANGE, 1.5, lr_good, 1, bets_good, 1, 0);
	t.bet.more = lanes;
	ratio_test__certify(&t, &p, &g, &h);
	assert_int_equal(t.lanes, 16);
	few.n[3] = 50;
	for (int i = 0; i < 60; i++)
		group_shares__add(&s.shares, ARM_IS_CANARY, &few);
	ratio_test__certify(&t, &p, &g, &h);
	assert_int_equal(t.lanes, 1);
	few.n[4] = 50; /* an odd group and an even one: two lanes */
	for (int i = 0; i < 60; i++)
		group_shares__add(&s.shares, ARM_IS_CANARY, &few);
	ratio_test__certify(&t, &p, &g, &h);
	assert_int_equal(t.lanes, 2);
	assert_true(isfinite(ratio_test__log_e(&t)));
}

/* --- the judge ----------------------------------------------------------------------------------------------------
 */

static const struct gate_policy policy = { USUAL_POLICY, .promote_alpha = 0.05, .warmup = 10, .timeout = 30 };

struct run {
	struct judge *j;
	double now;
	struct connection_groups groups[ARMS];
	struct histogram h[ARMS];
};

static void start(struct run *r, enum unit unit)
{
	const struct judge_endpoint ep = { .name = "POST /checkout", .critical = true, .unit = unit };

	memset(r, 0, sizeof(*r));
	r->j = judge__new(&policy);
	assert_non_null(r->j);
	assert_int_equal(judge__add_endpoint(r->j, &ep), 0);
	for (int arm = 0; arm < ARMS; arm++) {
		r->groups[arm].has_slow = true;
		for (int i = 0; i < TW_GROUPS; i++)
			r->groups[arm].n[i] = 60;
	}
}

/* Bad exchanges of one group, or spread over all; latencies of 10 ms, one in ten of 30 ms. */
static void tick(struct run *r, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c, int only)
{
	const uint64_t n[ARMS] = { n_b, n_c }, bad[ARMS] = { bad_b, bad_c };
	struct endpoint_tick ep;
	struct arm_tick *arms[ARMS] = { &ep.baseline, &ep.canary };
	const struct tick t = {
		.start = r->now, .end = r->now + 5, .seen = n_b + n_c, .ledger_balanced = true, .endpoints = &ep
	};

	for (int arm = 0; arm < ARMS; arm++) {
		memset(&r->h[arm], 0, sizeof(r->h[arm]));
		r->h[arm].count = n[arm];
		r->h[arm].b[histogram_bucket(30000000)] = n[arm] / 10;
		r->h[arm].b[histogram_bucket(10000000)] = n[arm] - n[arm] / 10;
		for (int i = 0; i < TW_GROUPS; i++)
			r->groups[arm].bad[i] = only < 0 ? bad[arm] / TW_GROUPS : i == only ? bad[arm] : 0;
		*arms[arm] = (struct arm_tick){
			.n = n[arm], .bad = bad[arm], .latency = &r->h[arm], .groups = &r->groups[arm]
		};
	}
	assert_int_equal(judge__tick(r->j, &t, 1), 0);
	r->now += 5;
}

static struct verdict verdict_of(struct run *r)
{
	struct verdict v;

	judge__verdict(r->j, &v);
	return v;
}

static void one_cause_in_one_tick_rolls_nothing_back_and_a_lasting_one_does(void **state)
{
	struct run r;

	start(&r, UNIT_EXCHANGE);
	tick(&r, 950, 0, 50, 50, 3);
	assert_int_equal(verdict_of(&r).kind, VERDICT_HOLD);
	for (int i = 0; i < 5; i++)
		tick(&r, 950, 0, 50, 0, -1);
	assert_int_equal(verdict_of(&r).kind, VERDICT_HOLD);
	judge__free(r.j);
	start(&r, UNIT_EXCHANGE);
	for (int i = 0; i < 3; i++)
		tick(&r, 950, 0, 50, 50, -1);
	assert_int_equal(verdict_of(&r).kind, VERDICT_ROLLBACK);
	judge__free(r.j);
	/* Said to be independent, the same tick is fifty accusations. */
	start(&r, UNIT_INDEPENDENT);
	tick(&r, 950, 0, 50, 50, 3);
	assert_int_equal(verdict_of(&r).kind, VERDICT_ROLLBACK);
	judge__free(r.j);
}

static void half_the_traffic_failing_is_found_within_a_minute(void **state)
{
	struct run r;
	int n = 0;

	start(&r, UNIT_EXCHANGE);
	while (verdict_of(&r).kind != VERDICT_ROLLBACK && n < 100) {
		tick(&r, 500, 5, 500, 500, -1);
		n++;
	}
	assert_in_range(n, 5, 12);
	judge__free(r.j);
}

static void the_verdict_says_what_was_counted_and_how_it_came(void **state)
{
	struct run r;
	struct verdict v;

	start(&r, UNIT_EXCHANGE);
	v = verdict_of(&r);
	assert_false(v.endpoints[0].has_dispersion_bad || v.endpoints[0].has_dispersion_slow);
	for (int i = 0; i < 30; i++)
		tick(&r, 950, 0, 50, 20, i % TW_GROUPS);
	v = verdict_of(&r);
	assert_int_equal(v.endpoints[0].unit, UNIT_EXCHANGE);
	assert_string_equal(unit_names[v.endpoints[0].unit], "exchange");
	assert_true(v.endpoints[0].has_dispersion_bad);
	assert_close(v.endpoints[0].dispersion_bad, 20, 0.1);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_non_null(strstr(v.reasons[0].text, "(dispersion 2"));
	judge__free(r.j);
	start(&r, UNIT_INDEPENDENT);
	for (int i = 0; i < 30; i++)
		tick(&r, 950, 0, 50, 20, i % TW_GROUPS);
	v = verdict_of(&r);
	assert_string_equal(unit_names[v.endpoints[0].unit], "independent");
	assert_false(v.endpoints[0].has_dispersion_bad);
	assert_null(strstr(v.reasons[0].text, "dispersion"));
	judge__free(r.j);
}

/* Errors a fifth more than the baseline's, of a margin of a half: both kinds of evidence grow. */
static void a_promotion_asks_for_evidence_that_outweighs_what_speaks_against_it(void **state)
{
	const double need = log(1 / policy.alpha);
	bool differed = false;
	struct run r;

	start(&r, UNIT_INDEPENDENT);
	for (int i = 0; i < 60; i++) {
		const struct verdict_endpoint *e;
		struct verdict v;

		tick(&r, 5000, 500, 5000, 600, -1);
		v = verdict_of(&r);
		e = &v.endpoints[0];
		if (e->log_e_good >= need && e->log_e_bad > 0 && e->log_e_good - e->log_e_bad < need) {
			differed = true;
			assert_false(e->certified);
		}
	}
	assert_true(differed);
	judge__free(r.j);
}

static void the_slow_bucket_is_the_one_that_holds_the_baselines_p95(void **state)
{
	struct run r;

	start(&r, UNIT_EXCHANGE);
	assert_int_equal(judge__slow_bucket(r.j, 0), -1);
	assert_int_equal(judge__slow_bucket(r.j, 1), -1);
	tick(&r, 950, 0, 50, 0, -1);
	assert_int_equal(judge__slow_bucket(r.j, 0), (int)histogram_bucket(30000000));
	judge__free(r.j);
}

static void groups_that_contradict_the_counts_make_no_figure_that_is_not_a_number(void **state)
{
	static const uint64_t counts[] = { 0, 1, 40, 1ull << 40, UINT64_MAX };
	struct dice dice = { 9 };

	for (int run = 0; run < 200; run++) {
		struct run r;

		start(&r, UNIT_EXCHANGE);
		for (int i = 0; i < 10; i++) {
			struct verdict v;
			uint64_t n_b = counts[dice_below(&dice, 5)], n_c = counts[dice_below(&dice, 5)];

			for (int arm = 0; arm < ARMS; arm++) {
				r.groups[arm].has_slow = dice_below(&dice, 4);
				for (int g = 0; g < TW_GROUPS; g++) {
					r.groups[arm].n[g] = counts[dice_below(&dice, 5)];
					r.groups[arm].slow[g] = counts[dice_below(&dice, 5)];
				}
			}
			tick(&r, n_b, dice_below(&dice, 2) ? n_b : n_b / 3, n_c, dice_below(&dice, 2) ? n_c : 0,
			     (int)dice_below(&dice, 17) - 1);
			v = verdict_of(&r);
			assert_true(isfinite(v.log_e_bad) && isfinite(v.eta_seconds));
			assert_true(isfinite(v.endpoints[0].log_e_bad) && isfinite(v.endpoints[0].log_e_good));
			assert_true(isfinite(v.endpoints[0].log_e_slow_bad) &&
			            isfinite(v.endpoints[0].log_e_slow_good));
			assert_true(isfinite(v.endpoints[0].dispersion_bad) &&
			            isfinite(v.endpoints[0].dispersion_slow));
			assert_true(v.endpoints[0].ratio_low <= v.endpoints[0].ratio_high);
		}
		judge__free(r.j);
	}
}

static void a_clean_release_is_promoted_and_told_when(void **state)
{
	struct run r;
	struct verdict v;
	double eta;
	int n = 0;

	start(&r, UNIT_EXCHANGE);
	for (int i = 0; i < 20; i++)
		tick(&r, 950, 16, 50, i % 16 ? 1 : 0, -1);
	v = verdict_of(&r);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_true(v.has_eta);
	eta = v.eta_seconds;
	while (verdict_of(&r).kind != VERDICT_PROMOTE && n < 1000) {
		tick(&r, 950, 16, 50, n % 16 ? 1 : 0, -1);
		n++;
	}
	assert_true(5 * n > eta / 2 && 5 * n < eta * 2);
	judge__free(r.j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_counts_a_bursts_group_once),
		cmocka_unit_test(at_an_even_split_evidence_counts_less_until_there_was_time_to_learn),
		cmocka_unit_test(without_groups_a_certificates_counts_are_divided_by_the_dispersion_of_ticks),
		cmocka_unit_test(with_few_connections_the_lanes_are_merged_until_both_versions_are_in_each),
		cmocka_unit_test(one_cause_in_one_tick_rolls_nothing_back_and_a_lasting_one_does),
		cmocka_unit_test(half_the_traffic_failing_is_found_within_a_minute),
		cmocka_unit_test(the_verdict_says_what_was_counted_and_how_it_came),
		cmocka_unit_test(a_promotion_asks_for_evidence_that_outweighs_what_speaks_against_it),
		cmocka_unit_test(the_slow_bucket_is_the_one_that_holds_the_baselines_p95),
		cmocka_unit_test(groups_that_contradict_the_counts_make_no_figure_that_is_not_a_number),
		cmocka_unit_test(a_clean_release_is_promoted_and_told_when),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
