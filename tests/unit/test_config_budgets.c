// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: config model base
 *
 * What watching may cost: in the configuration, and on the command line.
 */
#include "config_text.h"

#include <math.h>

static void the_overhead_budget_is_a_share_or_off(void **state)
{
	static const struct {
		const char *text;
		double budget;
	} cases[] = { { "5%", 0.05 }, { "0.5", 0.5 }, { "100%", 1 }, { "0.1%", 0.001 }, { "off", INFINITY } };
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct config *c;

		snprintf(text, sizeof(text), HEAD "overhead: { budget: %s }\n", cases[i].text);
		c = parse_ok(text);
		assert_true(c->overhead.budget == cases[i].budget);
		config__free(c);
	}
}

static void what_watching_may_cost_is_a_share_of_a_core_or_off(void **state)
{
	static const struct {
		const char *text;
		double budget, floor;
	} cases[] = { { "{ budget: 5% }", 0.05, 0.02 },
		      { "{ floor: 0.5% }", 0.02, 0.005 },
		      { "{ budget: off }", INFINITY, 0.02 },
		      { "{ budget: 100%, floor: 0% }", 1, 0 },
		      { "{ budget: 0.01%, floor: 100% }", 0.0001, 1 } };
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct config *c;

		snprintf(text, sizeof(text), HEAD "cost: %s\n", cases[i].text);
		c = parse_ok(text);
		assert_true(c->cost.budget == cases[i].budget);
		assert_true(c->cost.floor == cases[i].floor);
		config__free(c);
	}
}

static void what_watching_may_cost_can_be_told_on_the_command_line(void **state)
{
	static const struct {
		const char *text;
		double budget; /* 0: refused */
		const char *says;
	} cases[] = {
		{ "2%", 0.02, NULL },
		{ "0.01%", 0.0001, NULL },
		{ "0.5", 0.5, NULL },
		{ "off", INFINITY, NULL },
		{ "2", 0, "--cost-budget 2 is ambiguous without a unit: write 2%" },
		{ "0%", 0, "from 0.01% to 100%: write --cost-budget 2%, or off" },
		{ "101%", 0, "from 0.01% to 100%" },
		{ "-1%", 0, "no share of a core" },
		{ "", 0, "no share of a core" },
		{ "Off", 0, "write --cost-budget 2%, or off" },
		{ "2% ", 0, "no share of a core" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e = { "" };
		double budget = NAN;
		int err = config__cost_budget(cases[i].text, &budget, &e);

		assert_int_equal(err, cases[i].says ? -EINVAL : 0);
		if (cases[i].says && !strstr(e.text, cases[i].says))
			fail_msg("\"%s\" says: %s", cases[i].text, e.text);
		if (!cases[i].says)
			assert_true(budget == cases[i].budget);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_overhead_budget_is_a_share_or_off),
		cmocka_unit_test(what_watching_may_cost_is_a_share_of_a_core_or_off),
		cmocka_unit_test(what_watching_may_cost_can_be_told_on_the_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
