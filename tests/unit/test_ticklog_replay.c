/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Replays say what was said, and under another policy what would have been: the oracle is the judge that was watching.
 */
#include "ticklog_rig.h"

#include <cjson/cJSON.h>

#include "judge/endpoint.h"

static void a_replay_says_what_was_said_to_the_last_bit(void **state)
{
	static const double canary[] = { 0.02, 0.2, 0.0 };
	static struct said said;
	static struct replayed again;

	for (size_t i = 0; i < 3; i++) {
		said_clear(&said);
		free(rig_log(canary[i], &said).s);
		rig_replay(rig_file("log"), NULL, &again);
		assert_int_equal(again.err, 0);
		assert_int_equal(again.ending, LOG_WHOLE);
		assert_int_equal(again.ticks, RIG_TICKS);
		assert_same_said(&said, &again.said, RIG_TICKS);
		for (size_t t = 0; t < RIG_TICKS; t++) {
			assert_true(again.then[t].given);
			assert_int_equal(again.then[t].kind, said.kind[t]);
			assert_memory_equal(&again.then[t].log_e_bad, &said.log_e_bad[t], sizeof(double));
		}
	}
	/* The releases were told apart: what was compared was not nothing. */
	assert_int_equal(said.kind[RIG_TICKS - 1], VERDICT_PROMOTE);
}

static void keeping_a_log_changes_no_verdict(void **state)
{
	static struct said with, without;

	said_clear(&with);
	said_clear(&without);
	free(rig_log(0.05, &with).s);
	rig_watch(NULL, &rig_way, 0.05, &without);
	assert_same_said(&with, &without, RIG_TICKS);
}

static struct config *config_of(const char *text)
{
	struct config *c = NULL;
	struct err e = { "" };

	if (config__parse(&c, text, strlen(text), "other.yaml", &e))
		fail_msg("%s", e.text);
	return c;
}

#define VERSIONS                                                 \
	"service: shop\nversions:\n"                             \
	"  v1: { arm: baseline, match: { listen: \"8081\" } }\n" \
	"  v2: { arm: canary, match: { listen: \"8082\" } }\n"

static void a_stricter_margin_holds_what_was_promoted(void **state)
{
	struct config *c = config_of(VERSIONS "gate: { max_error_ratio: 1.02, max_latency_increase: 5%, tick: 1s }\n");
	static struct replayed again;

	free(rig_log(0.0, NULL).s);
	rig_replay(rig_file("log"), c, &again);
	assert_int_equal(again.err, 0);
	assert_int_equal(again.then[RIG_TICKS - 1].kind, VERDICT_PROMOTE);
	assert_int_equal(again.said.kind[RIG_TICKS - 1], VERDICT_HOLD);
	config__free(c);
}

/* The oracle: the judge that was told so while it watched. */
static void endpoints_of_another_configuration_are_found_by_their_names(void **state)
{
	struct config *c = config_of(VERSIONS "endpoints:\n"
	                                      "  - { route: \"GET /nobody\", critical: true }\n"
	                                      "  - { route: \"GET /cart/{id}\", slo: { p95: 2ms } }\n"
	                                      "gate: { min_requests: 50, timeout: 1s, promote_alpha: 5% }\n");
	static struct replayed again;
	static struct said said;
	struct rig_way way = rig_way;

	said_clear(&said);
	way.policy.min_requests = 50;
	way.unserved = (struct judge_endpoint){
		.name = "GET /nobody", .critical = true, .named = true, .slo_error_rate = -1, .unit = UNIT_EXCHANGE
	};
	way.def[1].slo_p95 = 0.002;
	rig_watch(NULL, &way, 0.0, &said);
	free(rig_log(0.0, NULL).s);
	rig_replay(rig_file("log"), c, &again);
	assert_int_equal(again.err, 0);
	assert_same_said(&said, &again.said, RIG_TICKS);
	/* Nobody asked for the one that has to be certified. */
	assert_int_equal(again.said.kind[RIG_TICKS - 1], VERDICT_HOLD);
	config__free(c);
}

static int endpoints_in(const char *verdict)
{
	cJSON *root = cJSON_Parse(verdict);
	int n = cJSON_GetArraySize(cJSON_GetObjectItem(root, "endpoints"));

	cJSON_Delete(root);
	return n;
}

static void an_endpoint_that_is_served_at_last_is_the_one_that_was_waited_for(void **state)
{
	struct config *c = config_of(VERSIONS "endpoints: [ { route: \"GET /late\" } ]\n");
	static struct replayed again;
	struct rig_way way = rig_way;
	struct err e = { "" };
	struct ticklog *log;

	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_int_equal(ticklog__start(log, &rig_header, &e), 0);
	way.def[2].name = "GET /late";
	rig_watch(log, &way, 0.0, NULL);
	ticklog__end(log);
	ticklog__free(log);
	rig_replay(rig_file("log"), c, &again);
	assert_int_equal(again.err, 0);
	for (size_t t = 0; t < RIG_TICKS; t++)
		assert_int_equal(endpoints_in(again.said.text[t]), 3);
	assert_non_null(strstr(again.said.text[RIG_TICKS - 1], "\"endpoint\":\"GET /late\""));
	config__free(c);
}

static void a_tick_that_the_judge_refused_is_refused_again(void **state)
{
	struct judge *j = judge__new(&rig_way.policy);
	struct tick tick = { .start = 5, .end = 10, .ledger_balanced = true };
	static struct replayed again;
	struct err e = { "" };
	struct ticklog *log;

	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_int_equal(ticklog__start(log, &rig_header, &e), 0);
	assert_int_equal(ticklog__tick(log, j, &tick, 0), 0);
	tick.start = 4;
	assert_int_equal(ticklog__tick(log, j, &tick, 0), -EINVAL);
	ticklog__free(log);
	judge__free(j);
	rig_replay(rig_file("log"), NULL, &again);
	assert_int_equal(again.err, -EINVAL);
	assert_int_equal(again.ticks, 1);
	assert_non_null(strstr(again.e.text, "log:3: the judge refuses this tick"));
	assert_non_null(strstr(again.e.text, "as it did then"));
}

/* A log of two endpoints, each in a cut-over unit of its own. */
static void log_with_units(void)
{
	static const struct judge_cutover units[] = { { "checkout", "team-pay" }, { "seo", NULL } };
	struct judge *j = judge__new(&rig_way.policy);
	struct err e = { "" };
	struct ticklog *log;

	unlink(rig_file("log"));
	log = ticklog__new(rig_file("log"), &e);
	assert_int_equal(ticklog__start(log, &rig_header, &e), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(ticklog__add_cutover(log, j, &units[i]), i);
	for (int i = 0; i < 2; i++) {
		struct judge_endpoint def = rig_way.def[i];

		def.cutover = (unsigned int)i + 1;
		assert_int_equal(ticklog__add_endpoint(log, j, &def, &rig_rule), i);
	}
	for (int i = 0; i < 5; i++) {
		struct endpoint_tick eps[2] = { { { .n = 90, .bad = 1 }, { .n = 10 } }, { { .n = 5 }, { .n = 5 } } };
		struct tick t = { .start = i, .end = i + 1, .seen = 110, .ledger_balanced = true, .endpoints = eps };

		assert_int_equal(ticklog__tick(log, j, &t, 2), 0);
	}
	ticklog__end(log);
	ticklog__free(log);
	judge__free(j);
}

/* The judge refuses an endpoint whose unit it was not told of. */
static void units_are_those_of_the_log_or_of_a_configuration_that_has_any(void **state)
{
	static const char *const others[] = {
		NULL,
		VERSIONS "endpoints: [ { route: \"GET /cart/{id}\" } ]\n",
		VERSIONS "endpoints: [ { route: \"POST /checkout\", unit: pay } ]\nunits: { pay: { owner: x } }\n",
	};
	static struct replayed again;

	log_with_units();
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct config *c = others[i] ? config_of(others[i]) : NULL;

		rig_replay(rig_file("log"), c, &again);
		assert_string_equal(again.e.text, "");
		assert_int_equal(again.ticks, 5);
		config__free(c);
	}
}

static void what_a_route_gives_the_judge_is_its_own_else_its_units(void **state)
{
	struct config *c =
		config_of(VERSIONS "units:\n"
	                           "  seo: { owner: x }\n"
	                           "  pay: { owner: team-pay, max_error_ratio: 1.2, max_latency_increase: 5% }\n"
	                           "endpoints:\n"
	                           "  - { route: \"GET /\", unit: seo }\n"
	                           "  - { route: \"POST /pay\", unit: pay, max_error_ratio: 1.1, fail_fast: true }\n"
	                           "  - { route: \"GET /cart\" }\n");
	struct judge_endpoint e = judge_endpoint__watched("POST /pay", c, &c->routes[1]);

	assert_int_equal(e.cutover, 2);
	assert_true(e.fail_fast && e.named && !e.critical);
	assert_true(e.margins.max_error_ratio == 1.1 && e.margins.max_latency_increase == 0.05);
	e = judge_endpoint__watched("GET /", c, &c->routes[0]);
	assert_int_equal(e.cutover, 1);
	/* The policy's, which another policy replaces. */
	assert_true(e.margins.max_error_ratio == 0 && e.margins.max_latency_increase == 0);
	assert_int_equal(judge_endpoint__watched("GET /cart", c, &c->routes[2]).cutover, 0);
	assert_false(judge_endpoint__watched("GET /other", c, NULL).named);
	config__free(c);
	c = config_of(VERSIONS "endpoints: [ { route: \"GET /\" } ]\n");
	e.cutover = 3;
	judge_endpoint__apply(&e, c, &c->routes[0]);
	assert_int_equal(e.cutover, 3);
	config__free(c);
}

static int clean(void **state)
{
	rig_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_replay_says_what_was_said_to_the_last_bit),
		cmocka_unit_test(keeping_a_log_changes_no_verdict),
		cmocka_unit_test(a_stricter_margin_holds_what_was_promoted),
		cmocka_unit_test(endpoints_of_another_configuration_are_found_by_their_names),
		cmocka_unit_test(an_endpoint_that_is_served_at_last_is_the_one_that_was_waited_for),
		cmocka_unit_test(a_tick_that_the_judge_refused_is_refused_again),
		cmocka_unit_test(units_are_those_of_the_log_or_of_a_configuration_that_has_any),
		cmocka_unit_test(what_a_route_gives_the_judge_is_its_own_else_its_units),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
