/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cut-over units, and who is named as the culprit. Oracles: a judge whose whole release is one unit, and the definition
 * of e-BH counted out over all sets.
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

static const struct judge_cutover checkout = { "checkout", "team-pay" }, seo = { "seo", NULL };

/* Two endpoints of checkout, one critical; two of seo, none critical; one in no unit. */
static struct world *shop(const struct gate_policy *p)
{
	static const struct judge_endpoint ep[5] = {
		{ .name = "POST /pay", .critical = true, .named = true, .cutover = 1 },
		{ .name = "GET /cart", .named = true, .cutover = 1 },
		{ .name = "GET /sitemap", .named = true, .cutover = 2 },
		{ .name = "GET /robots", .named = true, .cutover = 2 },
		{ .name = "GET /about", .named = true },
	};
	struct world *w = world_new(p);

	assert_int_equal(judge__add_cutover(w->j, &checkout), 0);
	assert_int_equal(judge__add_cutover(w->j, &seo), 1);
	for (int i = 0; i < 5; i++)
		world_add(w, &ep[i]);
	return w;
}

#define GOOD                         \
	{                            \
		950, 2, 50, 0, 10, 0 \
	}
#define FEW                        \
	{                          \
		10, 0, 1, 0, 10, 0 \
	}

static void each_unit_is_called_by_its_own_endpoints_and_the_release_by_all_units(void **state)
{
	struct load l[5] = { GOOD, FEW, GOOD, FEW, FEW };
	struct world *w = shop(&policy);
	struct verdict v;

	world_ticks(w, 60, l);
	v = world_verdict(w);
	assert_int_equal(v.n_cutovers, 2);
	assert_string_equal(v.cutovers[0].name, "checkout");
	assert_string_equal(v.cutovers[0].owner, "team-pay");
	assert_null(v.cutovers[1].owner);
	/* The critical endpoint decides for checkout; seo has none, so all that are named do. */
	assert_int_equal(v.cutovers[0].n_endpoints, 2);
	assert_int_equal(v.cutovers[0].deciding, 1);
	assert_int_equal(v.cutovers[1].deciding, 2);
	assert_int_equal(v.cutovers[1].certified, 1);
	assert_int_equal(v.cutovers[0].kind, VERDICT_PROMOTE);
	assert_int_equal(v.cutovers[1].kind, VERDICT_HOLD);
	assert_int_equal(v.kind, VERDICT_HOLD);
	l[3] = l[2];
	world_ticks(w, 60, l);
	v = world_verdict(w);
	assert_int_equal(v.cutovers[1].kind, VERDICT_PROMOTE);
	/* What is in no unit stands back where something is critical. */
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	world_free(w);
}

static void an_endpoint_in_no_unit_that_is_critical_must_be_certified_as_well(void **state)
{
	struct judge_endpoint login = { .name = "POST /login", .critical = true };
	struct load l[6] = { GOOD, GOOD, GOOD, GOOD, GOOD, FEW };
	struct world *w = shop(&policy);
	struct verdict v;

	world_add(w, &login);
	world_ticks(w, 60, l);
	v = world_verdict(w);
	assert_int_equal(v.cutovers[0].kind, VERDICT_PROMOTE);
	assert_int_equal(v.cutovers[1].kind, VERDICT_PROMOTE);
	assert_int_equal(v.kind, VERDICT_HOLD);
	world_free(w);
}

static void a_units_evidence_is_that_of_a_release_of_nothing_else(void **state)
{
	struct load l[5] = { GOOD, GOOD, { 950, 10, 50, 1, 11, 0 }, { 950, 10, 90, 3, 10, 0 }, GOOD };
	struct judge_endpoint ep[2] = { { .name = "a", .named = true }, { .name = "b", .named = true } };
	struct world *w = shop(&policy), *alone = world_new(&policy);

	world_add(alone, &ep[0]);
	world_add(alone, &ep[1]);
	for (int i = 0; i < 40; i++) {
		struct verdict a, b;

		world_ticks(w, 1, l);
		world_ticks(alone, 1, &l[2]);
		a = world_verdict(w);
		b = world_verdict(alone);
		assert_close(a.cutovers[1].log_e_bad, b.log_e_bad, 1e-9);
		assert_int_equal(a.cutovers[1].kind, b.kind);
	}
	world_free(w);
	world_free(alone);
}

static void a_unit_that_alone_would_be_rolled_back_holds_the_release_and_names_its_owner(void **state)
{
	struct gate_policy p = policy;
	struct load l[5] = { GOOD, GOOD, GOOD, { 950, 10, 50, 3, 10, 0 }, GOOD };
	struct world *w;
	struct verdict v;

	w = shop(&p);
	/* A twentieth of the release's stake is a half of the unit's. */
	do {
		world_ticks(w, 1, l);
		v = world_verdict(w);
		assert_int_not_equal(v.kind, VERDICT_ROLLBACK);
	} while (v.cutovers[1].log_e_bad < log(20));
	assert_int_equal(v.cutovers[1].kind, VERDICT_ROLLBACK);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_false(v.has_eta); /* more traffic alone will not promote it */
	assert_string_equal(v.reasons[0].code, "unit_worse");
	assert_non_null(strstr(v.reasons[0].text, "seo (owner: not named)"));
	assert_non_null(strstr(v.cutovers[1].text, "GET /robots"));
	world_ticks(w, 30, l);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	world_free(w);
}

static void a_unit_that_is_worse_within_its_margin_is_for_its_owner(void **state)
{
	/* A quarter more errors, and up to three times as many are agreed. */
	struct load l[5] = { GOOD, GOOD, { 950, 38, 500, 25, 10, 0 }, GOOD, GOOD };
	struct gate_policy p = policy;
	struct world *w;
	struct verdict v;
	bool seen = false;

	p.max_error_ratio = 3;
	w = shop(&p);
	for (int i = 0; i < 400; i++) {
		world_ticks(w, 1, l);
		v = world_verdict(w);
		if (v.log_e_bad >= log(20) || v.cutovers[1].log_e_bad < log(20) || v.cutovers[1].kind != VERDICT_HOLD)
			continue;
		seen = true;
		assert_int_equal(v.kind, VERDICT_HOLD);
		assert_string_equal(v.reasons[0].code, "unit_within_margin");
	}
	assert_true(seen);
	world_free(w);
}

static void a_unit_without_endpoints_is_held_and_in_nobodys_way(void **state)
{
	struct judge_cutover empty = { "empty", "nobody" };
	struct load l[5] = { GOOD, GOOD, GOOD, GOOD, GOOD };
	struct world *w = shop(&policy);
	struct verdict v;

	assert_int_equal(judge__add_cutover(w->j, &empty), 2);
	world_ticks(w, 60, l);
	v = world_verdict(w);
	assert_int_equal(v.cutovers[2].kind, VERDICT_HOLD);
	assert_int_equal(v.cutovers[2].n_endpoints, 0);
	assert_close(v.cutovers[2].log_e_bad, 0, 1e-12);
	assert_int_equal(v.kind, VERDICT_PROMOTE);
	world_free(w);
}

static void an_endpoint_that_joins_a_unit_later_starts_at_one_there_too(void **state)
{
	struct load l[LOADS_MAX] = { { 0 } };
	struct world *w = shop(&policy);
	struct verdict v;

	world_ticks(w, 1, l);
	for (int i = 0; i < 40; i++) {
		struct judge_endpoint late = { .name = "GET /late", .cutover = 2 };

		world_add(w, &late);
		world_ticks(w, 1, l);
		v = world_verdict(w);
		assert_close(v.cutovers[1].log_e_bad, 0, 1e-9);
		assert_close(v.log_e_bad, 0, 1e-9);
	}
	world_free(w);
}

static void units_are_invalid_where_the_run_is(void **state)
{
	struct load l[5] = { GOOD, GOOD, GOOD, GOOD, GOOD };
	struct world *w = shop(&policy);
	struct verdict v;

	w->unbalanced = true;
	world_ticks(w, 3, l);
	v = world_verdict(w);
	assert_int_equal(v.cutovers[0].kind, VERDICT_INVALID);
	assert_int_equal(v.cutovers[1].kind, VERDICT_INVALID);
	world_free(w);
}

/* While a clock jumps nothing that differs shows anything; the tick itself is not judged. */
static void a_unit_objects_to_nothing_while_the_versions_cannot_be_compared(void **state)
{
	struct load l[5] = { GOOD, GOOD, GOOD, { 950, 10, 50, 3, 10, 0 }, GOOD };
	struct world *w = shop(&policy);
	struct verdict v;

	do
		world_ticks(w, 1, l);
	while (v = world_verdict(w), v.cutovers[1].log_e_bad < log(20));
	assert_int_equal(v.cutovers[1].kind, VERDICT_ROLLBACK);
	w->clock_jump = 3600;
	world_ticks(w, 1, l);
	v = world_verdict(w);
	assert_int_equal(v.cutovers[1].kind, VERDICT_HOLD);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_null(reason_of(&v, "unit_worse"));
	assert_null(reason_of(&v, "unit_within_margin"));
	assert_non_null(strstr(v.summary, "the clock has jumped"));
	world_free(w);
}

/* ---- culprits -----------------------------------------------------------------------------------------------------
 */

#define ENDPOINTS 6

/* The largest set of k accusations of which each holds 1/(k alpha) of the mean or more; all endpoints are alike. */
static size_t counted_out(const struct verdict *v, bool named[2 * ENDPOINTS])
{
	double part[2 * ENDPOINTS];
	size_t best = 0;

	for (size_t i = 0; i < ENDPOINTS; i++) {
		part[2 * i] = 0.98 / ENDPOINTS * 0.75 * exp(v->endpoints[i].log_e_bad);
		part[2 * i + 1] = 0.98 / ENDPOINTS * 0.25 * exp(v->endpoints[i].log_e_slow_bad);
	}
	for (size_t k = 1; k <= 2 * ENDPOINTS; k++) {
		size_t n = 0;

		for (size_t i = 0; i < 2 * ENDPOINTS; i++)
			n += part[i] * (double)k >= 20;
		if (n >= k)
			best = k;
	}
	for (size_t i = 0; i < 2 * ENDPOINTS; i++)
		named[i] = best && part[i] * (double)best >= 20;
	return best;
}

static void culprits_are_those_of_e_bh(void **state)
{
	static const char *const names[ENDPOINTS] = { "GET /0", "GET /1", "GET /2", "GET /3", "GET /4", "GET /5" };
	struct dice dice = { 7 };
	size_t verdicts = 0, several = 0, together = 0;

	for (int run = 0; run < 300; run++) {
		struct world *w = world_new(&policy);
		struct load l[ENDPOINTS];
		double share[ENDPOINTS];
		struct verdict v;

		for (size_t i = 0; i < ENDPOINTS; i++) {
			world_add(w, &(struct judge_endpoint){ .name = names[i], .critical = true });
			l[i] = (struct load){ 950, 20, 50, 0, 10, 0 };
			share[i] = 0.03 + 0.01 * dice_below(&dice, 4);
		}
		do {
			for (size_t i = 0; i < ENDPOINTS; i++)
				l[i].bad_c = dice_binomial(&dice, 50, share[i]);
			world_ticks(w, 1, l);
			v = world_verdict(w);
		} while (v.log_e_bad < log(20) && w->now < 1800);
		if (v.kind == VERDICT_ROLLBACK) {
			bool named[2 * ENDPOINTS];
			size_t k = counted_out(&v, named);

			verdicts++;
			several += k > 1;
			together += !k;
			assert_int_equal(reason_of(&v, "together_worse") != NULL, !k);
			for (size_t i = 0; k && i < ENDPOINTS; i++) {
				bool told = false;

				for (size_t r = 0; r < v.n_reasons; r++)
					told |= v.reasons[r].endpoint == names[i];
				assert_int_equal(told, named[2 * i] || named[2 * i + 1]);
			}
		}
		world_free(w);
	}
	/* All three cases came up. */
	if (!(verdicts > 100 && several > 5 && together > 5 && several + together < verdicts))
		fail_msg("%zu verdicts, %zu with several names, %zu with none", verdicts, several, together);
}

/* By far the strongest is that one endpoint is slower, within its margin; the other fails more than is agreed. */
static void an_answer_to_the_strongest_accusation_is_none_to_another_that_is_named(void **state)
{
	struct load slower[2] = { { 950, 0, 50, 0, 11, 0 }, { 950, 9, 50, 0, 10, 0 } };
	struct load and_fails[2] = { { 950, 0, 50, 0, 11, 0 }, { 950, 9, 50, 4, 10, 0 } };
	struct world *w = world_new(&policy);
	struct verdict v;

	world_add(w, &(struct judge_endpoint){ .name = "GET /slower", .critical = true });
	world_add(w, &(struct judge_endpoint){ .name = "GET /fails", .critical = true });
	world_ticks(w, 12, slower);
	assert_int_equal(world_verdict(w).kind, VERDICT_HOLD);
	world_ticks(w, 8, and_fails);
	v = world_verdict(w);
	assert_true(v.endpoints[0].log_e_slow_bad > 2 * v.endpoints[1].log_e_bad);
	assert_true(v.endpoints[0].log_e_slow_good >= log(20));
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	world_free(w);
}

static void of_many_culprits_the_strongest_are_told_and_the_rest_is_counted(void **state)
{
	static char names[30][24];
	struct world *w = world_new(&policy);
	struct load l[30];
	struct verdict v;

	for (int i = 0; i < 30; i++) {
		snprintf(names[i], sizeof(names[i]), "GET /%d", i);
		world_add(w, &(struct judge_endpoint){ .name = names[i], .critical = true });
		l[i] = (struct load){ 950, 10, 50, (uint64_t)(10 + i), 10, 0 };
	}
	world_ticks(w, 20, l);
	v = world_verdict(w);
	assert_int_equal(v.kind, VERDICT_ROLLBACK);
	assert_string_equal(v.reasons[0].endpoint, "GET /29");
	assert_string_equal(v.reasons[1].endpoint, "GET /28");
	assert_non_null(reason_of(&v, "more_worse"));
	assert_non_null(strstr(reason_of(&v, "more_worse")->text, "18 more"));
	assert_true(v.n_reasons <= VERDICT_MAX_REASONS);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_unit_is_called_by_its_own_endpoints_and_the_release_by_all_units),
		cmocka_unit_test(an_endpoint_in_no_unit_that_is_critical_must_be_certified_as_well),
		cmocka_unit_test(a_units_evidence_is_that_of_a_release_of_nothing_else),
		cmocka_unit_test(a_unit_that_alone_would_be_rolled_back_holds_the_release_and_names_its_owner),
		cmocka_unit_test(a_unit_that_is_worse_within_its_margin_is_for_its_owner),
		cmocka_unit_test(a_unit_without_endpoints_is_held_and_in_nobodys_way),
		cmocka_unit_test(an_endpoint_that_joins_a_unit_later_starts_at_one_there_too),
		cmocka_unit_test(units_are_invalid_where_the_run_is),
		cmocka_unit_test(a_unit_objects_to_nothing_while_the_versions_cannot_be_compared),
		cmocka_unit_test(culprits_are_those_of_e_bh),
		cmocka_unit_test(an_answer_to_the_strongest_accusation_is_none_to_another_that_is_named),
		cmocka_unit_test(of_many_culprits_the_strongest_are_told_and_the_rest_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
