// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: config base
 *
 * What makes an exchange bad. Oracles: the README's definition where nothing is configured, sets of codes and outcomes
 * written out by hand where something is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "tw_rule.h"

#define MS 1000000ULL /* ns */

static struct tw_rule default_rule(void)
{
	struct gate_policy gate;

	gate_policy__defaults(&gate);
	return gate.bad.rule;
}

static struct tw_rule rule_of(const char *bad)
{
	static const char form[] = "service: s\nversions: { v1: { arm: baseline, match: { listen: 80 } } }\n"
				   "gate: { bad: %s }\n";
	struct config *c;
	struct tw_rule rule;
	struct err e;
	char text[400];

	snprintf(text, sizeof(text), form, bad);
	if (config__parse(&c, text, strlen(text), "rule.yaml", &e))
		fail_msg("%s", e.text);
	rule = c->gate.bad.rule;
	config__free(c);
	return rule;
}

static void bad_are_a_5xx_and_what_the_server_broke_and_nothing_else(void **state)
{
	const struct tw_rule r = default_rule();
	bool broken[TW_OUTCOME_NR] = { false };

	broken[TW_UNANSWERED] = broken[TW_TRUNCATED] = broken[TW_RESET_BY_SERVER] = broken[TW_TIMEOUT] = true;
	for (unsigned int code = 0; code < 1000; code++)
		for (unsigned int outcome = 0; outcome < TW_UNOBSERVED; outcome++)
			assert_int_equal(tw_is_bad(&r, code, outcome, 0, 3600000 * MS),
			                 (code >= 500 && code <= 599) || broken[outcome] ||
			                         (code && (code < 100 || code > 599)));
}

/* RFC 9110, 15: a client that receives an invalid status code SHOULD process the response as if it had a 5xx. */
static void a_status_that_means_nothing_is_bad_where_a_500_is(void **state)
{
	static const unsigned int invalid[] = { 1, 99, 600, 999, TW_STATUS_LOW, TW_STATUS_LOW + 99 };
	const struct tw_rule all = rule_of("{ statuses: [5xx] }"), one = rule_of("{ statuses: [500] }");
	const struct tw_rule others = rule_of("{ statuses: [3xx, 4xx, 503] }"), none = rule_of("{ statuses: [] }");

	for (size_t i = 0; i < sizeof(invalid) / sizeof(*invalid); i++) {
		assert_int_equal(tw_is_bad(&all, invalid[i], TW_ANSWERED, 0, 1), 1);
		assert_int_equal(tw_is_bad(&one, invalid[i], TW_ANSWERED, 0, 1), 1);
		assert_int_equal(tw_is_bad(&others, invalid[i], TW_ANSWERED, 0, 1), 0);
		assert_int_equal(tw_is_bad(&none, invalid[i], TW_ANSWERED, 0, 1), 0);
		assert_int_equal(tw_is_bad(&all, invalid[i], TW_UNOBSERVED, 0, 1), 0);
	}
	assert_int_equal(tw_is_bad(&all, 0, TW_ANSWERED, 0, 1), 0); /* none was seen */
}

static void a_client_that_vanishes_inside_an_answer_is_not_the_servers_fault(void **state)
{
	const struct tw_rule r = default_rule();

	assert_int_equal(tw_is_bad(&r, 200, TW_TIMEOUT, 1, 0), 0);
	assert_int_equal(tw_is_bad(&r, 200, TW_TIMEOUT, 0, 0), 1);
	assert_int_equal(tw_is_bad(&r, 503, TW_TIMEOUT, 1, 0), 1);
	assert_int_equal(tw_is_bad(&r, 200, TW_TRUNCATED, 1, 0), 1);
	assert_int_equal(tw_is_bad(&r, 200, TW_RESET_BY_SERVER, 1, 0), 1);
}

static void what_was_not_observed_is_never_bad(void **state)
{
	const struct tw_rule r = rule_of("{ statuses: [4xx, 5xx], slower_than: 1ms }");

	for (unsigned int code = 0; code < 1000; code++)
		for (unsigned int cut = 0; cut < 2; cut++)
			assert_int_equal(tw_is_bad(&r, code, TW_UNOBSERVED, cut, 1000 * MS), 0);
}

/* unknown, deadline exceeded, unimplemented, internal, unavailable, data loss */
static bool is_failed_call(unsigned int code)
{
	static const unsigned int failures[] = { 2, 4, 12, 13, 14, 15 };

	for (size_t i = 0; i < sizeof(failures) / sizeof(*failures); i++)
		if (code == TW_STATUS_GRPC + failures[i])
			return true;
	return false;
}

/* Those of gRPC are a list of their own: the same key names both, and replaces what it speaks of. */
static void statuses_of_grpc_are_named_beside_those_of_http(void **state)
{
	const struct tw_rule usual = default_rule(), both = rule_of("{ statuses: [5xx, grpc-0, grpc-16, grpc-7] }"),
			     calls = rule_of("{ statuses: [grpc-14] }"), none = rule_of("{ statuses: [] }");

	for (unsigned int code = TW_STATUS_GRPC; code < TW_STATUS_GRPC + TW_GRPC_NR; code++) {
		unsigned int grpc = code - TW_STATUS_GRPC;

		assert_int_equal(tw_is_bad(&usual, code, TW_ANSWERED, 0, 1), is_failed_call(code));
		assert_int_equal(tw_is_bad(&none, code, TW_ANSWERED, 0, 1), is_failed_call(code));
		assert_int_equal(tw_is_bad(&both, code, TW_ANSWERED, 0, 1), grpc == 0 || grpc == 16 || grpc == 7);
		assert_int_equal(tw_is_bad(&calls, code, TW_ANSWERED, 0, 1), grpc == 14);
	}
	assert_int_equal(tw_is_bad(&both, 503, TW_ANSWERED, 0, 1), 1);
	assert_int_equal(tw_is_bad(&calls, 503, TW_ANSWERED, 0, 1), 1);
	assert_int_equal(tw_is_bad(&none, 503, TW_ANSWERED, 0, 1), 0);
}

static void the_statuses_that_are_named_are_bad_and_no_others(void **state)
{
	const struct tw_rule r = rule_of("{ statuses: [404, 3xx, 429, 520] }");

	for (unsigned int code = 0; code < 2048; code++)
		assert_int_equal(tw_is_bad(&r, code, TW_ANSWERED, 0, 1), code == 404 || code == 429 || code == 520 ||
		                                                                 (code >= 300 && code <= 399) ||
		                                                                 is_failed_call(code));
	/* Outcomes are as they were. */
	assert_int_equal(tw_is_bad(&r, 200, TW_TRUNCATED, 1, 1), 1);
	assert_int_equal(tw_is_bad(&r, 503, TW_RESET_BY_CLIENT, 1, 1), 0);
}

static void each_outcome_is_bad_when_it_is_named_and_only_then(void **state)
{
	static const struct {
		const char *name;
		enum tw_outcome outcome;
	} known[] = {
		{ "unanswered", TW_UNANSWERED },
		{ "truncated", TW_TRUNCATED },
		{ "reset_by_server", TW_RESET_BY_SERVER },
		{ "reset_by_client", TW_RESET_BY_CLIENT },
		{ "client_abandoned", TW_CLIENT_ABANDONED },
		{ "timeout", TW_TIMEOUT },
	};

	for (size_t i = 0; i < 6; i++) {
		struct tw_rule r;
		char text[80];

		snprintf(text, sizeof(text), "{ statuses: [], outcomes: [%s] }", known[i].name);
		r = rule_of(text);
		for (unsigned int outcome = 0; outcome < TW_OUTCOME_NR; outcome++)
			assert_int_equal(tw_is_bad(&r, 503, outcome, 0, 1), outcome == known[i].outcome);
	}
}

static void slower_is_what_took_longer_than_the_limit_to_the_nanosecond(void **state)
{
	const struct tw_rule r = rule_of("{ slower_than: 300ms }"), never = rule_of("{ slower_than: never }");

	assert_int_equal(tw_is_bad(&r, 200, TW_ANSWERED, 0, 300 * MS), 0);
	assert_int_equal(tw_is_bad(&r, 200, TW_ANSWERED, 0, 300 * MS + 1), 1);
	assert_int_equal(tw_is_bad(&never, 200, TW_ANSWERED, 0, UINT64_MAX), 0);
	/* A client that left is no fault, but how long it had waited before is. */
	assert_int_equal(tw_is_bad(&r, 0, TW_CLIENT_ABANDONED, 0, 299 * MS), 0);
	assert_int_equal(tw_is_bad(&r, 0, TW_CLIENT_ABANDONED, 0, 301 * MS), 1);
	assert_int_equal(tw_is_bad(&r, 0, TW_CLIENT_ABANDONED, 0, 0), 0);
	/* 5xx stay bad, however fast. */
	assert_int_equal(tw_is_bad(&r, 500, TW_ANSWERED, 0, 1), 1);
}

static void a_status_that_could_not_be_told_is_neither_bad_nor_an_excuse(void **state)
{
	struct tw_rule r = { .outcomes = TW_FAULTS, .slower_than = 300 * MS, .grpc = ~0U };

	memset(r.statuses, 0xff, sizeof(r.statuses));
	r.statuses[0] &= ~1ULL; /* 0: none was seen */
	assert_int_equal(tw_is_bad(&r, TW_STATUS_UNKNOWN, TW_ANSWERED, 0, 1), 0);
	assert_int_equal(tw_is_bad(&r, TW_STATUS_UNKNOWN, TW_ANSWERED, 0, 301 * MS), 1);
	assert_int_equal(tw_is_bad(&r, TW_STATUS_UNKNOWN, TW_TRUNCATED, 1, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses_of_grpc_are_named_beside_those_of_http),
		cmocka_unit_test(a_status_that_could_not_be_told_is_neither_bad_nor_an_excuse),
		cmocka_unit_test(bad_are_a_5xx_and_what_the_server_broke_and_nothing_else),
		cmocka_unit_test(a_status_that_means_nothing_is_bad_where_a_500_is),
		cmocka_unit_test(a_client_that_vanishes_inside_an_answer_is_not_the_servers_fault),
		cmocka_unit_test(what_was_not_observed_is_never_bad),
		cmocka_unit_test(the_statuses_that_are_named_are_bad_and_no_others),
		cmocka_unit_test(each_outcome_is_bad_when_it_is_named_and_only_then),
		cmocka_unit_test(slower_is_what_took_longer_than_the_limit_to_the_nanosecond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
