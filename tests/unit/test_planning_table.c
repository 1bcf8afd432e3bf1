/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long a release has to be watched, against the whole published table: minutes at a canary's share of 5 % and alpha
 * 5 %, by the closed formula of sequential tests (Wald 1945) with alternatives 1.25, 1.5, 2, 3 and 5. As printed there,
 * so good to half of the last digit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "judge/eprocess.h"

#define SHARE 0.05

static const double worse_by[] = { 1.25, 1.5, 2, 3, 5 };

static const struct row {
	double bad, rate;
	double detect[3];  /* 1.5, 2 and 5 times as many errors */
	double certify[4]; /* below 1.1, 1.25, 1.5 and 2 times as many */
} rows[] = {
	{ .001, 100, { 150, 42, 4.2 }, { 2249, 395, 113, 35 } }, { .001, 1000, { 15, 4.2, .4 }, { 225, 39, 11, 3.5 } },
	{ .01, 10, { 150, 42, 4.2 }, { 2249, 395, 113, 35 } },   { .01, 100, { 15, 4.2, .4 }, { 225, 39, 11, 3.5 } },
	{ .01, 1000, { 1.5, .4, .04 }, { 22, 4, 1.1, .4 } },     { .05, 100, { 3, .8, .1 }, { 45, 8, 2.3, .7 } },
};

/* Half of the last printed digit, of figures printed with two or three. */
static double rounding(double printed)
{
	return printed >= 10 || printed == 4 || printed == 3 || printed == 8 ? 0.501
	       : printed < 0.09                                              ? 0.00501
	                                                                     : 0.0501;
}

static void assert_minutes(const struct row *r, const struct eprocess *e, double ratio, double printed)
{
	double events = eprocess__events_to(e, log(20), SHARE, ratio);
	double minutes = events / (r->rate * r->bad * (1 - SHARE + SHARE * ratio)) / 60;

	if (!(fabs(minutes - printed) <= rounding(printed)))
		fail_msg("%g %% at %g/s, ratio %g: %.6g minutes, printed %g", 100 * r->bad, r->rate, ratio, minutes,
		         printed);
}

static void minutes_to_detect_are_those_of_the_table(void **state)
{
	static const double ratio[3] = { 1.5, 2, 5 };
	struct eprocess e;

	eprocess__init(&e, 1, worse_by, 5);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int k = 0; k < 3; k++)
			assert_minutes(&rows[i], &e, ratio[k], rows[i].detect[k]);
}

static void minutes_to_certify_a_margin_are_those_of_the_table(void **state)
{
	static const double margin[4] = { 1.1, 1.25, 1.5, 2 }, equal = 1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (int k = 0; k < 4; k++) {
			struct eprocess e;

			eprocess__init(&e, margin[k], &equal, 1);
			assert_minutes(&rows[i], &e, 1, rows[i].certify[k]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(minutes_to_detect_are_those_of_the_table),
		cmocka_unit_test(minutes_to_certify_a_margin_are_those_of_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
