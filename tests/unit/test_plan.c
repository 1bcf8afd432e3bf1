/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Planned watching times against a table that was computed from the closed formula, independently of this code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "judge/plan.h"

static const double worse_by[] = { 1.25, 1.5, 2, 3, 5 }, equal = 1;

static double minutes_to_detect(double rate, double bad, double ratio)
{
	const struct plan_traffic traffic = { .rate = rate, .share = 0.05, .bad = bad };
	struct plan_need need;
	struct eprocess e;

	eprocess__init(&e, 1, worse_by, 5);
	assert_true(plan__until(&e, &traffic, ratio, 0.05, &need));
	return need.seconds / 60;
}

static double minutes_to_certify(double rate, double bad, double margin)
{
	const struct plan_traffic traffic = { .rate = rate, .share = 0.05, .bad = bad };
	struct plan_need need;
	struct eprocess e;

	eprocess__init(&e, margin, &equal, 1);
	assert_true(plan__until(&e, &traffic, 1, 0.05, &need));
	return need.seconds / 60;
}

/* Equal when rounded to the place of the last printed digit; a figure that lies between two may be cut. */
static void assert_printed(double got, double want, double place)
{
	if (!(fabs(got - want) <= 0.55 * place))
		fail_msg("got %.4f, want %g to a place of %g", got, want, place);
}

struct figure {
	double minutes, place;
};

/* Share 5 %, alpha 5 %: detect x1.5, x2, x5; certify below 1.1, 1.25, 1.5 and 2 times. */
static void the_table_of_watching_times_is_reproduced_to_its_printed_digits(void **state)
{
	static const double ratios[3] = { 1.5, 2, 5 }, margins[4] = { 1.1, 1.25, 1.5, 2 };
	static const struct {
		double bad, rate;
		struct figure detect[3], certify[4];
	} rows[] = {
		{ .001,
		  100,
		  { { 150, 1 }, { 42, 1 }, { 4.2, .1 } },
		  { { 2249, 1 }, { 395, 1 }, { 113, 1 }, { 35, 1 } } },
		{ .001,
		  1000,
		  { { 15, 1 }, { 4.2, .1 }, { .4, .1 } },
		  { { 225, 1 }, { 39, 1 }, { 11, 1 }, { 3.5, .1 } } },
		{ .01, 10, { { 150, 1 }, { 42, 1 }, { 4.2, .1 } }, { { 2249, 1 }, { 395, 1 }, { 113, 1 }, { 35, 1 } } },
		{ .01, 100, { { 15, 1 }, { 4.2, .1 }, { .4, .1 } }, { { 225, 1 }, { 39, 1 }, { 11, 1 }, { 3.5, .1 } } },
		{ .01,
		  1000,
		  { { 1.5, .1 }, { .4, .1 }, { .04, .01 } },
		  { { 22, 1 }, { 4, 1 }, { 1.1, .1 }, { .4, .1 } } },
		{ .05, 100, { { 3, 1 }, { .8, .1 }, { .1, .1 } }, { { 45, 1 }, { 8, 1 }, { 2.3, .1 }, { .7, .1 } } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (int k = 0; k < 3; k++)
			assert_printed(minutes_to_detect(rows[i].rate, rows[i].bad, ratios[k]),
			               rows[i].detect[k].minutes, rows[i].detect[k].place);
		for (int k = 0; k < 4; k++)
			assert_printed(minutes_to_certify(rows[i].rate, rows[i].bad, margins[k]),
			               rows[i].certify[k].minutes, rows[i].certify[k].place);
	}
}

/* By hand: KL(2/21 || 1/20) for a ratio of 2 at a share of 5 %; (log 20 + log 5) / KL bad events. */
static void events_exchanges_and_seconds_follow_the_formula(void **state)
{
	const struct plan_traffic traffic = { .rate = 200, .share = 0.05, .bad = 0.01 };
	double kl = 2 / 21.0 * log(2 / 21.0 / 0.05) + 19 / 21.0 * log(19 / 21.0 / 0.95);
	struct plan_need need;
	struct eprocess e;

	eprocess__init(&e, 1, worse_by, 5);
	assert_true(plan__until(&e, &traffic, 2, 0.05, &need));
	assert_true(fabs(need.events / (log(100) / kl) - 1) < 1e-12);
	assert_true(fabs(need.exchanges / (need.events / 0.0105) - 1) < 1e-12);
	assert_true(fabs(need.seconds / (need.exchanges / 200) - 1) < 1e-12);
}

static void evidence_that_is_there_shortens_the_wait(void **state)
{
	const struct plan_traffic traffic = { .rate = 200, .share = 0.05, .bad = 0.01 };
	struct plan_need fresh, left;
	struct eprocess e;

	eprocess__init(&e, 1, worse_by, 5);
	assert_true(plan__until(&e, &traffic, 2, 0.05, &fresh));
	eprocess__add(&e, 1000, 19000, 20, 190);
	assert_true(plan__until(&e, &traffic, 2, 0.05, &left));
	assert_true(left.seconds > 0 && left.seconds < 0.8 * fresh.seconds);
	eprocess__add(&e, 10000, 190000, 2000, 1900);
	assert_true(plan__until(&e, &traffic, 2, 0.05, &left));
	assert_true(left.seconds == 0 && left.events == 0);
}

static void what_never_ends_or_cannot_be_is_refused(void **state)
{
	static const struct plan_traffic odd[] = {
		{ 0, 0.05, 0.01 },        { -1, 0.05, 0.01 },  { 200, 0, 0.01 },   { 200, 1, 0.01 },
		{ 200, 0.05, 0 },         { 200, 0.05, 1.01 }, { 200, 0.05, 0.6 }, { NAN, 0.05, 0.01 },
		{ INFINITY, 0.05, 0.01 }, { 200, NAN, 0.01 },
	};
	const struct plan_traffic traffic = { .rate = 200, .share = 0.05, .bad = 0.01 };
	struct plan_need need;
	struct eprocess e;

	eprocess__init(&e, 1, worse_by, 5);
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
		assert_false(plan__until(&e, &odd[i], 2, 0.05, &need)); /* 0.6 twice is more than all */
	assert_false(plan__until(&e, &traffic, 1, 0.05, &need));        /* nothing to detect */
	assert_false(plan__until(&e, &traffic, 0.8, 0.05, &need));
	assert_false(plan__until(&e, &traffic, 2, 0, &need));
	assert_false(plan__until(&e, &traffic, 2, 1, &need));
	assert_true(plan__until(&e, &traffic, 2, 0.05, &need));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_watching_times_is_reproduced_to_its_printed_digits),
		cmocka_unit_test(events_exchanges_and_seconds_follow_the_formula),
		cmocka_unit_test(evidence_that_is_there_shortens_the_wait),
		cmocka_unit_test(what_never_ends_or_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
