/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What must not change a verdict: how ticks and hosts are cut, the order of endpoints, the scale of time. And that
 * a verdict on many endpoints leaves none of them out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "policies.h"
#include "dice.h"
#include "loads.h"

static const struct gate_policy policy = { USUAL_POLICY };

static void assert_close(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("got %.12g, want %.12g", got, want);
}

static void same_verdict(const struct verdict *a, const struct verdict *b, double within)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->final, b->final);
	assert_close(a->log_e_bad, b->log_e_bad, within);
	assert_string_equal(a->summary, b->summary);
	assert_int_equal(a->n_cutovers, b->n_cutovers);
	for (size_t i = 0; i < a->n_cutovers; i++) {
		assert_int_equal(a->cutovers[i].kind, b->cutovers[i].kind);
		assert_close(a->cutovers[i].log_e_bad, b->cutovers[i].log_e_bad, within);
	}
}

/* ---- cut otherwise -------------------------------------------------------------------------------------------------
 */

/*
 * For events that have nothing to do with one another it does not matter whether two seconds, or two hosts, at the same
 * share are counted in one tick or one after the other. The announced p95 is the threshold, so that it is the same;
 * it is kept, or a hard stop, whose blocks are whole ticks, would decide.
 */
static void ticks_or_hosts_at_the_same_share_may_be_cut_or_put_together(void **state)
{
	const struct judge_endpoint ep = { .name = "POST /pay", .critical = true, .slo_p95 = 0.04, .fail_fast = true };
	struct dice dice = { 11 };

	for (int run = 0; run < 40; run++) {
		struct world *whole = world_new(&policy), *parts = world_new(&policy);
		unsigned int worse = 1 + dice_below(&dice, 3);

		world_add(whole, &ep);
		world_add(parts, &ep);
		parts->tick = 2.5;
		for (int i = 0; i < 60; i++) {
			struct load a = { 2000, dice_binomial(&dice, 200, 0.1),
				          100,  dice_binomial(&dice, 10 * worse, 0.1),
				          10,   0 };
			struct load b = { 6000, dice_binomial(&dice, 600, 0.1),
				          300,  dice_binomial(&dice, 30 * worse, 0.1),
				          10,   0 };
			struct load all = { a.n_b + b.n_b, a.bad_b + b.bad_b, a.n_c + b.n_c, a.bad_c + b.bad_c, 10, 0 };
			struct verdict v, u;

			world_ticks(whole, 1, &all);
			world_ticks(parts, 1, i % 2 ? &a : &b);
			world_ticks(parts, 1, i % 2 ? &b : &a);
			v = world_verdict(whole);
			u = world_verdict(parts);
			assert_close(v.endpoints[0].log_e_bad, u.endpoints[0].log_e_bad, 1e-9);
			/* Latency learns tick by tick what the baseline's p95 is; errors know no such thing. */
			if (v.kind == VERDICT_ROLLBACK || u.kind == VERDICT_ROLLBACK)
				assert_int_equal(v.kind, u.kind);
			assert_close(v.endpoints[0].ratio_low, u.endpoints[0].ratio_low, 1e-9);
		}
		world_free(whole);
		world_free(parts);
	}
}

/* ---- order ---------------------------------------------------------------------------------------------------------
 */

#define MANY 8

static void shuffle(struct dice *dice, size_t *order, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t k = dice_below(dice, (unsigned int)i), swap = order[i - 1];

		order[i - 1] = order[k];
		order[k] = swap;
	}
}

static void the_order_of_endpoints_changes_no_verdict(void **state)
{
	static char names[MANY][16];
	struct dice dice = { 5 };

	for (int run = 0; run < 60; run++) {
		struct world *a = world_new(&policy), *b = world_new(&policy);
		struct load l[MANY], turned[MANY];
		struct judge_endpoint ep[MANY];
		size_t order[MANY];

		for (size_t i = 0; i < MANY; i++) {
			snprintf(names[i], sizeof(names[i]), "GET /%zu", i);
			order[i] = i;
			ep[i] = (struct judge_endpoint){ .name = names[i],
				                         .named = i < 6,
				                         .unit = UNIT_EXCHANGE,
				                         .critical = dice_below(&dice, 3) == 0,
				                         .fail_fast = dice_below(&dice, 5) == 0,
				                         .weight = dice_below(&dice, 4) ? 0 : 0.1,
				                         .cutover = i % 3 };
		}
		shuffle(&dice, order, MANY);
		for (int i = 0; i < 2; i++) {
			judge__add_cutover(a->j, &(struct judge_cutover){ i ? "seo" : "shop", "x" });
			judge__add_cutover(b->j, &(struct judge_cutover){ i ? "seo" : "shop", "x" });
		}
		for (size_t i = 0; i < MANY; i++) {
			world_add(a, &ep[i]);
			world_add(b, &ep[order[i]]);
		}
		for (int t = 0; t < 30; t++) {
			struct verdict v, u;

			for (size_t i = 0; i < MANY; i++)
				l[i] = (struct load){
					950 + dice_below(&dice, 50), dice_binomial(&dice, 100, 0.1),
					40 + dice_below(&dice, 20),  dice_binomial(&dice, 8, 0.1 * (run % 4)),
					10 + 0.4 * run / 60,         0
				};
			for (size_t i = 0; i < MANY; i++)
				turned[i] = l[order[i]];
			world_ticks(a, 1, l);
			world_ticks(b, 1, turned);
			v = world_verdict(a);
			u = world_verdict(b);
			same_verdict(&v, &u, 1e-9);
		}
		world_free(a);
		world_free(b);
	}
}

/* ---- time ----------------------------------------------------------------------------------------------------------
 */

/* Ten times as slow a clock: the same verdicts, all times ten times as long. */
static void the_scale_of_time_changes_nothing_but_times(void **state)
{
	const struct judge_endpoint ep = { .name = "POST /pay", .critical = true, .unit = UNIT_EXCHANGE };
	struct gate_policy slow_policy = policy, fast_policy = policy;
	struct world *slow, *fast;
	struct dice dice = { 3 };
	bool eta = false;

	fast_policy.deadline = 200;
	slow_policy.deadline = 2000;
	slow_policy.tick = 50;
	fast = world_new(&fast_policy);
	slow = world_new(&slow_policy);
	slow->tick = 50;
	world_add(fast, &ep);
	world_add(slow, &ep);
	for (int i = 0; i < 60; i++) {
		struct load l = { 950, dice_binomial(&dice, 200, 0.1), 50, dice_binomial(&dice, 10, 0.1), 10, 0 };
		struct verdict v, u;

		world_ticks(fast, 1, &l);
		world_ticks(slow, 1, &l);
		v = world_verdict(fast);
		u = world_verdict(slow);
		assert_int_equal(v.kind, u.kind);
		assert_int_equal(v.final, u.final);
		assert_true(v.log_e_bad == u.log_e_bad);
		assert_int_equal(v.has_eta, u.has_eta);
		assert_close(10 * v.eta_seconds, u.eta_seconds, 1e-6 * u.eta_seconds);
		eta |= v.has_eta && v.eta_seconds > 0;
	}
	assert_true(eta);
	world_free(fast);
	world_free(slow);
}

/* ---- many ----------------------------------------------------------------------------------------------------------
 */

#define THOUSAND 1000
#define UNITS    64

/* All of them worse, so that every one is weighed, named and told of; in as many units as a config may have. */
static void a_thousand_culprits_in_many_units_are_all_held_against_the_release(void **state)
{
	static char names[THOUSAND][16];
	struct endpoint_tick *ep = calloc(THOUSAND, sizeof(*ep));
	struct histogram b, c;
	struct judge *j = judge__new(&policy);
	struct verdict v;

	serve(&b, 950, 10);
	serve(&c, 50, 30);
	for (int i = 0; i < UNITS; i++)
		judge__add_cutover(j, &(struct judge_cutover){ "unit", "owner" });
	for (unsigned int i = 0; i < THOUSAND; i++) {
		snprintf(names[i], sizeof(names[i]), "GET /%u", i);
		assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = names[i],
		                                                                  .named = true,
		                                                                  .critical = i % 2,
		                                                                  .unit = UNIT_EXCHANGE,
		                                                                  .cutover = i % (UNITS + 1) }),
		                 (int)i);
		ep[i].baseline = (struct arm_tick){ .n = 950, .bad = 9, .latency = &b };
		ep[i].canary = (struct arm_tick){ .n = 50, .bad = 3, .latency = &c };
	}
	for (int i = 0; i < 40; i++) {
		struct tick t = {
			.start = 5.0 * i, .end = 5.0 * i + 5, .seen = 1000000, .ledger_balanced = true, .endpoints = ep
		};

		assert_int_equal(judge__tick(j, &t, THOUSAND), 0);
		judge__verdict(j, &v);
	}
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_int_equal(v.n_endpoints, THOUSAND);
	for (size_t i = 0; i < v.n_endpoints; i++)
		assert_true(v.endpoints[i].log_e_bad > 0);
	assert_int_equal(v.n_cutovers, UNITS);
	for (size_t i = 0; i < v.n_cutovers; i++)
		assert_int_equal(v.cutovers[i].kind, VERDICT_ROLLBACK);
	judge__free(j);
	free(ep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ticks_or_hosts_at_the_same_share_may_be_cut_or_put_together),
		cmocka_unit_test(the_order_of_endpoints_changes_no_verdict),
		cmocka_unit_test(the_scale_of_time_changes_nothing_but_times),
		cmocka_unit_test(a_thousand_culprits_in_many_units_are_all_held_against_the_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
