// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: config model base
 *
 * The policy: what of it can be written, what contradicts itself, and what holds for one endpoint in the end. Oracle:
 * the rule that an endpoint's own value goes before its unit's, and that before the gate's, worked out by hand.
 */
#include "config_text.h"

#include <stdbool.h>

#include "model/routes.h"
#include "tw_rule.h"

#define CANARY HEAD "  v2: { arm: canary, match: { listen: 8082 } }\n"

/* ---- what can be written ------------------------------------------------------------------------------------------
 */

static void every_key_of_the_gate_arrives(void **state)
{
	struct config *c =
		parse_ok(CANARY "gate: { alpha: 1%, promote_alpha: 2%, deadline: 45m, at_deadline: rollback,\n"
	                        "  share_tolerance: 20%, max_dropped_sessions: 0, mode: before_after }\n");
	const struct gate_policy *p = &c->gate;

	assert_true(p->alpha == 0.01 && p->promote_alpha == 0.02 && p->deadline == 2700.0);
	assert_int_equal(p->at_deadline, DEADLINE_ROLLBACK);
	assert_true(p->share_tolerance == 0.2);
	assert_int_equal(p->max_dropped_sessions, 0);
	assert_int_equal(p->mode, GATE_BEFORE_AFTER);
	config__free(c);
}

static void the_gate_has_defaults_and_a_promotion_has_to_be_surer_than_a_rollback(void **state)
{
	struct config *c = parse_ok(HEAD);
	struct gate_policy p;

	assert_true(c->gate.promote_alpha == 0.01 && c->gate.deadline == 0.0 && c->gate.share_tolerance == 0.10);
	assert_int_equal(c->gate.at_deadline, DEADLINE_HOLD);
	assert_int_equal(c->gate.mode, GATE_CANARY);
	assert_true(c->gate.max_dropped_sessions == NO_DROP_LIMIT);
	gate_policy__defaults(&p);
	assert_memory_equal(&p, &c->gate, sizeof(p));
	config__free(c);
	c = parse_ok(HEAD "gate: { alpha: 10% }\n");
	assert_true(c->gate.promote_alpha == 0.01);
	config__free(c);
	c = parse_ok(HEAD "gate: { promote_alpha: 10% }\n");
	assert_true(c->gate.alpha == 0.05 && c->gate.promote_alpha == 0.1);
	config__free(c);
}

static void units_and_who_is_in_them_arrive(void **state)
{
	struct config *c =
		parse_ok(HEAD "endpoints:\n"
	                      "- { route: \"POST /pay\", unit: checkout, weight: 30%, fail_fast: true }\n"
	                      "- { route: \"GET /a\", unit: SEO }\n"
	                      "- { route: \"GET /b\" }\n"
	                      "units:\n  checkout: { owner: \"team-pay\", max_error_ratio: 1.2 }\n  SEO: {}\n");

	assert_int_equal(c->n_units, 2);
	assert_string_equal(c->units[0].name, "checkout");
	assert_string_equal(c->units[0].owner, "team-pay");
	assert_true(c->units[0].margins.max_error_ratio == 1.2 && c->units[0].margins.max_latency_increase == 0.0);
	assert_int_equal(c->units[1].line, 10);
	assert_null(c->units[1].owner);
	assert_ptr_equal(c->routes[0].in_unit, &c->units[0]);
	assert_true(c->routes[0].weight == 0.3 && c->routes[0].fail_fast);
	assert_ptr_equal(c->routes[1].in_unit, &c->units[1]);
	assert_true(c->routes[1].weight == 0.0 && !c->routes[1].fail_fast);
	assert_null(c->routes[2].in_unit);
	config__free(c);
}

static void words_and_numbers_of_the_policy_that_mean_nothing_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{ HEAD "gate: { promot_alpha: 5% }\n", 4, "did you mean \"promote_alpha\"?" },
		{ HEAD "gate: { promote_alpha: 60% }\n", 4, "from 0.01% to 50%" },
		{ HEAD "gate: { deadline: 30 }\n", 4, "write 30ms or 30s" },
		{ HEAD "gate: { deadline: 8000h }\n", 4, "from 1s to 604800s" },
		{ HEAD "gate: { deadline: 10m, at_deadline: promote }\n", 4,
		  "unknown at_deadline \"promote\"; known are hold, rollback" },
		{ HEAD "gate: { deadline: 10m, at_deadline: rolback }\n", 4, "did you mean \"rollback\"?" },
		{ HEAD "gate: { share_tolerance: 10 }\n", 4, "write 10%" },
		{ HEAD "gate: { share_tolerance: 0 }\n", 4, "from 1% to 100%" },
		{ HEAD "gate: { max_dropped_sessions: 2.5 }\n", 4, "not a whole number" },
		{ HEAD "gate: { max_dropped_sessions: -1 }\n", 4, "not a whole number" },
		{ HEAD "gate: { mode: absolut }\n", 4, "unknown mode \"absolut\": did you mean \"absolute\"?" },
		{ HEAD "gate: { mode: blue_green }\n", 4, "known are canary, absolute, before_after" },
		{ HEAD "gate: { mode: [canary] }\n", 4, "wants a single value: write mode: canary" },
		{ HEAD "gate: { zzzzzzzzzzz: 1 }\n", 4,
		  "known are alpha, max_error_ratio, max_latency_increase, min_requests, warmup, tick, timeout, "
		  "promote_alpha, deadline, at_deadline, share_tolerance, max_dropped_sessions, mode, bad" },
		{ HEAD "endpoints: [ { route: \"GET /\", weight: 30 } ]\n", 4, "write 30%" },
		{ HEAD "endpoints: [ { route: \"GET /\", weight: 0% } ]\n", 4, "from 0.1% to 100%" },
		{ HEAD "endpoints: [ { route: \"GET /\", fail_fast: 1 } ]\n", 4, "true or false" },
		{ HEAD "endpoints: [ { route: \"GET /\", max_error_ratio: 1 } ]\n", 4, "from 1.01 to 100" },
		{ HEAD "endpoints: [ { route: \"GET /\", max_latency_increase: 0% } ]\n", 4, "from 1% to 1000%" },
		{ HEAD "endpoints: [ { route: \"GET /\", owner: x } ]\n", 4, "in endpoint: it is a key of unit" },
		{ HEAD "endpoints: [ { route: \"GET /\", mode: canary } ]\n", 4, "in endpoint: it is a key of gate" },
		{ HEAD "endpoints: [ { route: \"GET /\", unit: \"\" } ]\n", 4, "unit is empty" },
		{ HEAD "units: [checkout]\n", 4, "wants a mapping" },
		{ HEAD "units: { checkout: team-pay }\n", 4,
		  "unit \"checkout\" is a single value and wants a mapping" },
		{ HEAD "units: { check out: {} }\n", 4, "unit name \"check out\"" },
		{ HEAD "units: { a: { ownr: x } }\n", 4, "\"ownr\" in unit \"a\": did you mean \"owner\"?" },
	};

	REFUSE_ALL(cases);
}

#define BAD(b) HEAD "gate: { bad: { " b " } }\n"

static void what_cannot_be_bad_is_refused(void **state)
{
	static const struct refusal cases[] = {
		{ BAD("status: [5xx]"), 4, "\"status\" in bad: did you mean \"statuses\"?" },
		{ BAD("statuses: 5xx"), 4, "wants a list: write statuses: [5xx, 429]" },
		{ BAD("statuses: [200]"), 4, "status \"200\" cannot be bad: it must be from 300 to 599" },
		{ BAD("statuses: [2xx]"), 4, "status \"2xx\" cannot be bad" },
		{ BAD("statuses: [600]"), 4, "cannot be bad" },
		{ BAD("statuses: [6xx]"), 4, "status \"6xx\" is none: write a code or a class, statuses: [5xx, 429]" },
		{ BAD("statuses: [50]"), 4, "is none" },
		{ BAD("statuses: [0503]"), 4, "is none" },
		{ BAD("statuses: [5XX]"), 4, "is none" },
		{ BAD("statuses: [5xx, [429]]"), 4, "wants a single value" },
		{ BAD("statuses: [4x4]"), 4, "is none" },
		{ BAD("statuses: [5xx, grpc-17]"), 4,
		  "status \"grpc-17\" is none of gRPC's: they are grpc-0 to grpc-16" },
		{ BAD("statuses: [grpc-]"), 4, "is none of gRPC's" },
		{ BAD("statuses: [grpc-02]"), 4, "is none of gRPC's" },
		{ BAD("statuses: [grpc--1]"), 4, "is none of gRPC's" },
		{ BAD("statuses: [grpc-unavailable]"), 4, "is none of gRPC's" },
		{ BAD("statuses: [GRPC-1]"), 4, "statuses: [5xx, 429]; of gRPC's grpc-0 to grpc-16" },
		{ BAD("statuses: [UNAVAILABLE]"), 4, "status \"UNAVAILABLE\" is none: write a code or a class" },
		{ BAD("outcomes: timeout"), 4, "wants a list" },
		{ BAD("outcomes: [timeuot]"), 4, "unknown outcome \"timeuot\": did you mean \"timeout\"?" },
		{ BAD("outcomes: [error]"), 4,
		  "known are unanswered, truncated, reset_by_server, reset_by_client, client_abandoned, timeout" },
		{ BAD("outcomes: [answered]"), 4, "is good: what is bad among it is said by statuses" },
		{ BAD("outcomes: [unobserved]"), 4, "makes a verdict invalid, not an exchange bad" },
		{ BAD("slower_than: 2"), 4, "write 2ms or 2s" },
		{ BAD("slower_than: 2h"), 4, "from 0.001s to 3600s" },
		{ BAD("slower_than: nevr"), 4, "not a duration" },
		{ BAD("statuses: [], outcomes: []"), 4, "nothing can be bad" },
		{ HEAD "gate: { bad: [5xx] }\n", 4, "wants a mapping" },
	};

	REFUSE_ALL(cases);
	refuse_bytes(HEAD "gate: { bad: { statuses: [] } }\nendpoints:\n- { route: \"GET /a\" }\n"
	                  "- { route: \"GET /b\", bad: { outcomes: [] } }\n",
	             strlen(HEAD "gate: { bad: { statuses: [] } }\nendpoints:\n- { route: \"GET /a\" }\n"
	                         "- { route: \"GET /b\", bad: { outcomes: [] } }\n"),
	             7, "GET /b: by what its bad says nothing can be bad");
}

/* ---- what contradicts itself --------------------------------------------------------------------------------------
 */

static void entries_that_contradict_each_other_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{ HEAD "endpoints:\n- { route: \"GET /\", unit: chekout }\nunits: { checkout: {} }\n", 5,
		  "endpoint \"GET /\": unknown unit \"chekout\": did you mean \"checkout\"?" },
		{ HEAD "endpoints:\n- { route: \"GET /\", unit: pay }\n", 5, "unknown unit \"pay\": add units: {" },
		{ HEAD "endpoints: [ { route: \"GET /\" } ]\nunits:\n  seo: {}\n", 6, "unit \"seo\" has no endpoint" },
		{ HEAD "endpoints:\n- { route: \"GET /a\", weight: 60% }\n- { route: \"GET /b\", weight: 41% }\n", 6,
		  "weights add up to 101% with this one" },
		{ HEAD "gate: { warmup: 1m, deadline: 64s }\n", 4,
		  "deadline 64s is over before warmup and one tick, 65s" },
		{ HEAD "\ngate: { at_deadline: rollback }\n", 5, "add deadline: 30m" },
		{ HEAD "gate: { mode: absolute }\n", 4, "give one version arm: canary" },
		{ CANARY "gate: { mode: absolute }\n", 5, "name endpoints" },
		{ CANARY "gate: { mode: absolute }\nendpoints:\n- { route: \"GET /a\", slo: { p95: 1s } }\n"
		         "- { route: \"GET /b\" }\n",
		  8, "endpoint \"GET /b\" has no slo, which mode: absolute needs: add slo:" },
		{ CANARY "gate: { mode: absolute }\nendpoints:\n- { route: \"GET /a\", slo: { p95: 1s } }\n"
		         "- { route: \"GET /b\", critical: true }\n",
		  8, "has no slo" },
		{ HEAD "gate: { mode: before_after }\n", 4, "before_after compares two versions" },
	};

	REFUSE_ALL(cases);
	config__free(parse_ok(HEAD "gate: { warmup: 1m, deadline: 65s }\n"));
	config__free(parse_ok(CANARY "gate: { mode: absolute }\nendpoints:\n- { route: \"GET /a\" }\n"
	                             "- { route: \"GET /b\", critical: true, slo: { error_rate: 0% } }\n"));
	/* Three thirds. */
	config__free(parse_ok(
		HEAD "endpoints:\n- { route: \"GET /a\", weight: 33.3334% }\n"
		     "- { route: \"GET /b\", weight: 33.3333% }\n- { route: \"GET /c\", weight: 33.3334% }\n"));
}

static void a_stage_is_one_of_the_configs_or_any_share_where_it_has_none(void **state)
{
	static const struct {
		const char *text, *part; /* NULL: good */
	} with[] = {
		{ "5%", NULL },
		{ "0.25", NULL },
		{ "100%", NULL },
		{ "30%", "--stage 30% is none of the stages of shop.yaml: 5%, 12.5%, 25%, 100%" },
		{ "25", "ambiguous without a unit: write 25%" },
		{ "0%", "no share of the traffic" },
		{ "150%", "no share of the traffic" },
		{ "half", "no share of the traffic: write --stage 25%" },
		{ "", "no share of the traffic" },
	};
	struct config *c = parse_ok(HEAD "stages: [5%, 12.5%, 25%, 100%]\n"), *none = parse_ok(HEAD);
	double share = 0;
	struct err e;

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		int err = config__stage(c, with[i].text, &share, &e);

		assert_int_equal(err, with[i].part ? -EINVAL : 0);
		if (with[i].part && !strstr(e.text, with[i].part))
			fail_msg("wanted \"%s\", got \"%s\"", with[i].part, e.text);
	}
	assert_int_equal(config__stage(c, "12.5%", &share, &e), 0);
	assert_true(share == 0.125);
	/* What is taken for a stage is that stage from there on, to the last digit. */
	assert_int_equal(config__stage(c, "0.12500000001", &share, &e), 0);
	assert_true(share == 0.125);
	assert_int_equal(config__stage(none, "30%", &share, &e), 0);
	assert_true(share == 0.3);
	assert_int_equal(config__stage(none, "0%", &share, &e), -EINVAL);
	config__free(c);
	config__free(none);
}

/* ---- what holds in the end ----------------------------------------------------------------------------------------
 */

static const char three_levels[] = HEAD
	"gate: { max_error_ratio: 1.5, max_latency_increase: 20%, bad: { statuses: [5xx, 429], slower_than: 2s } }\n"
	"units:\n"
	"  pay: { max_error_ratio: 1.2, bad: { statuses: [5xx], outcomes: [unanswered] } }\n"
	"  seo: { max_latency_increase: 50%, bad: { slower_than: never } }\n"
	"endpoints:\n"
	"- { route: \"GET /alone\" }\n"
	"- { route: \"POST /pay\", unit: pay }\n"
	"- { route: \"POST /card\", unit: pay, max_error_ratio: 1.1, max_latency_increase: 5%,\n"
	"    bad: { statuses: [402], slower_than: 300ms } }\n"
	"- { route: \"GET /page\", unit: seo, bad: { outcomes: [client_abandoned] } }\n";

static bool bad_status(const struct endpoint_policy *p, unsigned int code)
{
	return tw_is_bad(&p->bad, code, TW_ANSWERED, 0, 1);
}

static void an_endpoints_own_value_goes_before_its_units_and_that_before_the_gates(void **state)
{
	static const struct {
		double errors, latency;
		bool b500, b429, b402;
		uint32_t outcomes;
		uint64_t slower_than;
	} want[] = {
		{ 1.5, 0.20, true, true, false, TW_FAULTS, 2000000000 },                   /* no entry */
		{ 1.5, 0.20, true, true, false, TW_FAULTS, 2000000000 },                   /* /alone */
		{ 1.2, 0.20, true, false, false, 1 << TW_UNANSWERED, 2000000000 },         /* /pay */
		{ 1.1, 0.05, false, false, true, 1 << TW_UNANSWERED, 300000000 },          /* /card */
		{ 1.5, 0.50, true, true, false, 1 << TW_CLIENT_ABANDONED, TW_NEVER_SLOW }, /* /page */
	};
	struct config *c = parse_ok(three_levels);

	assert_int_equal(c->n_routes, 4);
	for (size_t i = 0; i < 5; i++) {
		const struct route *r = i ? &c->routes[i - 1] : NULL;
		struct endpoint_policy p;

		config__policy(c, r, &p);
		assert_true(p.margins.max_error_ratio == want[i].errors);
		assert_true(p.margins.max_latency_increase == want[i].latency);
		assert_int_equal(bad_status(&p, 500), want[i].b500);
		assert_int_equal(bad_status(&p, 429), want[i].b429);
		assert_int_equal(bad_status(&p, 402), want[i].b402);
		assert_int_equal(p.bad.outcomes, want[i].outcomes);
		assert_true(p.bad.slower_than == want[i].slower_than);
		assert_ptr_equal(p.unit, r && r->unit ? r->in_unit : NULL);
	}
	assert_ptr_equal(c->routes[1].in_unit, &c->units[0]);
	config__free(c);
}

/* A route of a call is like any other, and so is what is bad of it. */
static void calls_of_grpc_are_endpoints_with_statuses_of_their_own(void **state)
{
	struct config *c =
		parse_ok(HEAD "gate: { bad: { statuses: [5xx, grpc-13] } }\n"
	                      "endpoints:\n"
	                      "- { route: \"gRPC /shop.Orders/Get\", critical: true, bad: { statuses: [grpc-5] } }\n"
	                      "- { route: \"gRPC /shop.Orders/{method}\" }\n"
	                      "- { route: \"POST /shop.Orders/Get\", bad: { statuses: [429] } }\n"
	                      "- { route: \"gRPC /shop.Orders/Put\", bad: { statuses: [], outcomes: [] } }\n");
	struct routes *routes = routes__new(c, 10);
	static const struct {
		const char *text;
		uint16_t endpoint;
		unsigned int grpc;
		bool b429, b503;
	} want[] = {
		{ "gRPC /shop.Orders/Get", 1, 1U << 5, false, true },
		{ "gRPC /shop.Orders/List", 2, 1U << 13, false, true },
		{ "POST /shop.Orders/Get", 3, 1U << 13, true, false },
		{ "gRPC /shop.Orders/Put", 4, 1U << 13, false, false },
	};

	assert_non_null(routes);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct endpoint_policy p;
		bool other;

		assert_int_equal(routes__name(routes, want[i].text, strlen(want[i].text), false, &other),
		                 want[i].endpoint);
		config__policy(c, &c->routes[want[i].endpoint - 1], &p);
		assert_int_equal(p.bad.grpc, want[i].grpc);
		assert_int_equal(bad_status(&p, 429), want[i].b429);
		assert_int_equal(bad_status(&p, 503), want[i].b503);
	}
	routes__free(routes);
	config__free(c);
}

static void what_nothing_acts_upon_is_refused_by_name_where_it_would_be_counted_on(void **state)
{
#define ABSOLUTE CANARY "gate: { mode: absolute }\nendpoints:\n- { route: \"GET /a\", slo: { p95: 1s }, "
	static const struct {
		const char *text, *key;
	} idle[] = {
		{ ABSOLUTE "weight: 30% }\n", "weight" },
		{ ABSOLUTE "max_error_ratio: 1.2 }\n", "max_error_ratio" },
		{ ABSOLUTE "max_latency_increase: 5% }\n", "max_latency_increase" },
		{ ABSOLUTE "unit: a }\nunits: { a: { max_error_ratio: 1.2 } }\n", "max_error_ratio" },
	};
	struct config *c;

	for (size_t i = 0; i < sizeof(idle) / sizeof(*idle); i++) {
		struct err e = { "" };

		c = parse_ok(idle[i].text);
		assert_int_equal(config__decides(c, &e), -ENOTSUP);
		assert_non_null(strstr(e.text, idle[i].key));
		config__free(c);
	}
	c = parse_ok(
		HEAD
		"gate: { alpha: 1%, promote_alpha: 10%, tick: 2s, deadline: 45m, at_deadline: rollback, max_dropped_sessions: 25 }\n"
		"units: { a: { max_error_ratio: 1.2 } }\n"
		"endpoints:\n- { route: \"GET /a\", weight: 30%, fail_fast: true, unit: a, max_error_ratio: 1.3 }\n");
	assert_int_equal(config__decides(c, NULL), 0);
	config__free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_the_gate_arrives),
		cmocka_unit_test(the_gate_has_defaults_and_a_promotion_has_to_be_surer_than_a_rollback),
		cmocka_unit_test(units_and_who_is_in_them_arrive),
		cmocka_unit_test(words_and_numbers_of_the_policy_that_mean_nothing_are_refused),
		cmocka_unit_test(what_cannot_be_bad_is_refused),
		cmocka_unit_test(entries_that_contradict_each_other_are_refused),
		cmocka_unit_test(calls_of_grpc_are_endpoints_with_statuses_of_their_own),
		cmocka_unit_test(a_stage_is_one_of_the_configs_or_any_share_where_it_has_none),
		cmocka_unit_test(an_endpoints_own_value_goes_before_its_units_and_that_before_the_gates),
		cmocka_unit_test(what_nothing_acts_upon_is_refused_by_name_where_it_would_be_counted_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
