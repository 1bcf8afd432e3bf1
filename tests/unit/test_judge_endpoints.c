// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The judge's decisions on several endpoints: which decide, and how the stake is shared out among them.
 */
#include "judge_run.h"

/* ---- several endpoints ------------------------------------------------------------------------------------------- */

struct load {
	uint64_t n_b, bad_b, n_c, bad_c;
	double ms_c;
};

static void tick_all(struct judge *j, double now, const struct load *l, size_t n)
{
	struct histogram *h = calloc(2 * n, sizeof(*h));
	struct endpoint_tick *ep = calloc(n, sizeof(*ep));
	struct tick t = { .start = now, .end = now + 5, .seen = 1000000, .ledger_balanced = true, .endpoints = ep };

	for (size_t i = 0; i < n; i++) {
		serve(&h[2 * i], l[i].n_b, 10);
		serve(&h[2 * i + 1], l[i].n_c, l[i].ms_c);
		ep[i].baseline = (struct arm_tick){ .n = l[i].n_b, .bad = l[i].bad_b, .latency = &h[2 * i] };
		ep[i].canary = (struct arm_tick){ .n = l[i].n_c, .bad = l[i].bad_c, .latency = &h[2 * i + 1] };
	}
	assert_int_equal(judge__tick(j, &t, n), 0);
	free(h);
	free(ep);
}

static void only_critical_endpoints_decide_a_promotion_and_all_a_rollback(void **state)
{
	struct judge *j = judge__new(&policy);
	struct judge_endpoint rest = { .name = "GET /", .named = true };
	struct load quiet[2] = { { 950, 0, 50, 0, 10 }, { 20, 0, 1, 0, 10 } };
	struct load bad[2] = { { 950, 0, 50, 0, 10 }, { 950, 0, 50, 40, 10 } };
	struct verdict v;
	double now = 0;

	assert_int_equal(judge__add_endpoint(j, &checkout), 0);
	assert_int_equal(judge__add_endpoint(j, &rest), 1);
	for (; now < 100; now += 5)
		tick_all(j, now, quiet, 2);
	judge__verdict(j, &v);
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	for (; now < 110; now += 5)
		tick_all(j, now, bad, 2);
	judge__verdict(j, &v);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_string_equal(v.reasons[0].endpoint, "GET /");
	judge__free(j);
}

static void without_critical_endpoints_the_named_ones_decide_and_else_the_busy_ones(void **state)
{
	struct judge_endpoint a = { .name = "GET /a", .named = true }, b = { .name = "GET /b" };
	struct load l[2] = { { 950, 0, 50, 0, 10 }, { 5, 0, 1, 0, 10 } }; /* the second: 0.6 % of the requests */
	struct verdict v;

	for (int named = 0; named < 3; named++) {
		struct judge *j = judge__new(&policy);

		a.named = named > 0;
		b.named = named > 1;
		judge__add_endpoint(j, &a);
		judge__add_endpoint(j, &b);
		for (double now = 0; now < 100; now += 5)
			tick_all(j, now, l, 2);
		judge__verdict(j, &v);
		assert_int_equal(v.kind, named < 2 ? VERDICT_PROMOTE : VERDICT_HOLD);
		judge__free(j);
	}
}

static void the_order_of_endpoints_does_not_matter(void **state)
{
	static const char *const names[3] = { "GET /a", "GET /b", "POST /c" };
	struct load l[3] = { { 950, 3, 50, 1, 10 }, { 500, 9, 60, 3, 12 }, { 100, 0, 10, 0, 10 } };
	struct verdict v;
	double log_e[2];

	for (int turn = 0; turn < 2; turn++) {
		struct judge *j = judge__new(&policy);
		struct load in_order[3];

		for (int i = 0; i < 3; i++) {
			int k = turn ? 2 - i : i;

			in_order[i] = l[k];
			judge__add_endpoint(j, &(struct judge_endpoint){ .name = names[k], .critical = k == 1 });
		}
		for (double now = 0; now < 50; now += 5)
			tick_all(j, now, in_order, 3);
		judge__verdict(j, &v);
		log_e[turn] = v.log_e_bad;
		judge__free(j);
	}
	assert_close(log_e[1], log_e[0], 1e-12);
}

/* The whole stake is 1 with any number of newcomers: with no evidence anywhere the mean e-value stays exactly 1. */
static void endpoints_that_appear_later_never_overdraw_the_stake(void **state)
{
	static char names[300][16];
	struct judge *j = judge__new(&policy);
	struct load *l = calloc(300, sizeof(*l));
	struct verdict v;
	double now = 0;

	for (size_t n = 1; n <= 300; n++) {
		snprintf(names[n - 1], sizeof(names[0]), "GET /%zu", n);
		l[n - 1] = (struct load){ 0 };
		assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = names[n - 1] }), (int)n - 1);
		tick_all(j, now, l, n);
		now += 5;
		judge__verdict(j, &v);
		assert_true(fabs(v.log_e_bad) < 1e-9);
	}
	l[299] = (struct load){ 500, 0, 500, 60, 10 };
	tick_all(j, now, l, 300);
	judge__verdict(j, &v);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	judge__free(j);
	free(l);
}

static void asked_for_weights_are_scaled_to_the_stake(void **state)
{
	struct judge *j = judge__new(&policy);
	struct load none[3] = { 0 };
	struct verdict v;

	for (int i = 0; i < 3; i++)
		judge__add_endpoint(j,
		                    &(struct judge_endpoint){ .name = "x", .critical = !i, .weight = i ? 3.0 * i : 0 });
	tick_all(j, 0, none, 3);
	judge__verdict(j, &v);
	assert_true(fabs(v.log_e_bad) < 1e-9);
	assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = "y", .weight = NAN }), -EINVAL);
	assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = NULL }), -EINVAL);
	judge__free(j);
}

static void check_all_finite(const struct verdict *v)
{
	assert_finite(v->log_e_bad, "log_e_bad");
	assert_finite(v->eta_seconds, "eta_seconds");
	assert_true(v->n_reasons > 0 && v->n_guards > 0);
	for (size_t i = 0; i < v->n_reasons; i++)
		assert_true(!strstr(v->reasons[i].text, "nan") && !strstr(v->reasons[i].text, "inf "));
	for (size_t i = 0; i < v->n_endpoints; i++) {
		const struct verdict_endpoint *e = &v->endpoints[i];

		assert_finite(e->ratio, "ratio");
		assert_finite(e->ratio_low, "ratio_low");
		assert_finite(e->ratio_high, "ratio_high");
		assert_finite(e->log_e_bad, "endpoint log_e_bad");
		assert_finite(e->log_e_good, "log_e_good");
		assert_finite(e->log_e_slow_bad, "log_e_slow_bad");
		assert_finite(e->log_e_slow_good, "log_e_slow_good");
		assert_finite(e->slow_threshold, "slow_threshold");
		assert_true(e->ratio_low <= e->ratio_high);
	}
}

static void no_count_however_extreme_makes_a_figure_that_is_not_a_number(void **state)
{
	static const uint64_t counts[] = { 0, 1, 2, 500, 100000, 1ull << 33, 1ull << 60, UINT64_MAX };
	static const double ms[] = { 0.0001, 1, 1000, 200000, 400000 };

	for (int seed = 0; seed < 300; seed++) {
		struct judge_endpoint ep = { .name = "GET /", .critical = seed & 1, .slo_p95 = seed % 3 * 150.0 };
		struct run r = start(&policy, &ep);
		unsigned int x = (unsigned int)seed * 2654435761u;

		for (int i = 0; i < 6; i++) {
			uint64_t n_b = counts[(x >> 3) % 8], n_c = counts[(x >> 6) % 8];
			struct verdict v;

			r.ms_b = ms[(x >> 9) % 5];
			r.ms_c = ms[(x >> 12) % 5];
			r.seen = 1ull << 62;
			assert_int_equal(tick(&r, n_b, (x >> 15) % 3 ? n_b / 2 : n_b, n_c, (x >> 17) % 3 ? 0 : n_c), 0);
			v = verdict_of(&r);
			check_all_finite(&v);
			x = x * 1664525u + 1013904223u;
		}
		judge__free(r.j);
	}
}

static void the_same_ticks_give_the_same_verdict_however_often_it_is_asked_for(void **state)
{
	struct run a = start(&policy, &checkout), b = start(&policy, &checkout);
	struct verdict va, vb;

	for (int i = 0; i < 20; i++) {
		ticks(&a, 1, 950, (uint64_t)i % 4, 50, (uint64_t)i % 2);
		ticks(&b, 1, 950, (uint64_t)i % 4, 50, (uint64_t)i % 2);
		verdict_of(&a);
	}
	va = verdict_of(&a);
	vb = verdict_of(&b);
	assert_int_equal(va.kind, vb.kind);
	assert_true(va.log_e_bad == vb.log_e_bad && va.eta_seconds == vb.eta_seconds);
	assert_memory_equal(&va.reasons[0].text, &vb.reasons[0].text, sizeof(va.reasons[0].text));
	judge__free(a.j);
	judge__free(b.j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_critical_endpoints_decide_a_promotion_and_all_a_rollback),
		cmocka_unit_test(without_critical_endpoints_the_named_ones_decide_and_else_the_busy_ones),
		cmocka_unit_test(the_order_of_endpoints_does_not_matter),
		cmocka_unit_test(endpoints_that_appear_later_never_overdraw_the_stake),
		cmocka_unit_test(asked_for_weights_are_scaled_to_the_stake),
		cmocka_unit_test(no_count_however_extreme_makes_a_figure_that_is_not_a_number),
		cmocka_unit_test(the_same_ticks_give_the_same_verdict_however_often_it_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
