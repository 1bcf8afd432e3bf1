/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The faces of a plan: a text written by hand, the size of a screen, hostile names, and JSON read back by cJSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_at.h"
#include "show/plan.h"

#define N 4

struct fixture {
	struct plan_report r;
	struct plan_endpoint ep[N];
	struct plan_subject subjects[N];
	struct plan_row rows[N];
	double share;
};

static struct plan_time after(double seconds)
{
	return (struct plan_time){ .seconds = seconds };
}

static struct plan_time never(enum plan_never why)
{
	return (struct plan_time){ .never = why };
}

static void set(struct fixture *x, size_t i, const char *name, double rate, double errors, enum plan_latency latency)
{
	struct plan_row *row = &x->rows[i];
	struct plan_time idle = never(isnan(rate) ? PLAN_NOT_KNOWN : PLAN_NO_TRAFFIC);

	x->ep[i] = (struct plan_endpoint){ .def = { .name = name }, .rate = rate, .errors = errors };
	x->subjects[i] = (struct plan_subject){ .ep = &x->ep[i], .latency = latency };
	for (int k = 0; k < PLAN_RATIOS; k++)
		row->times.worse[k] = idle;
	row->times.slower = idle;
	row->times.certify = (struct plan_certificate){ idle, idle, idle, idle, .floor = 0.01 };
}

/* By the ratio and too late; by the floor; without errors or an announced rate; not known. */
static struct fixture *shop(void)
{
	struct fixture *x = test_calloc(1, sizeof(*x));
	struct plan_row *row;

	set(x, 0, "POST /checkout", 40, 0.005, LATENCY_GIVEN);
	x->ep[0].def.critical = x->subjects[0].decides = true;
	row = &x->rows[0];
	row->times = (struct plan_times){ { after(5940), after(1685), after(170) },
		                          after(2520),
		                          { after(250), after(4260), after(595), after(4260), false, 0.005 } };
	row->advice = (struct plan_advice){ 0.14, 1.9, 0 };

	set(x, 1, "POST /pay", 25, 0.0002, LATENCY_ASSUMED);
	x->subjects[1].decides = true;
	x->ep[1].def.slo_p95 = 0.3;
	x->rows[1].times = (struct plan_times){ { after(237600), after(67260), after(6600) },
		                                never(PLAN_NO_LATENCY),
		                                { after(400), after(595), after(865), after(865), true, 0.01 } };

	set(x, 2, "GET /cart/{id}", 10, 0, LATENCY_ASSUMED);
	x->rows[2].times = (struct plan_times){ { never(PLAN_NO_ERRORS), never(PLAN_NO_ERRORS), never(PLAN_NO_ERRORS) },
		                                after(2770),
		                                { after(1000), after(1275), never(PLAN_WIDE_TAIL),
		                                  never(PLAN_WIDE_TAIL), true, 0.01 } };
	set(x, 3, "GET /product/{id}", NAN, 0, LATENCY_NONE);

	x->share = 0.05;
	x->r = (struct plan_report){ .service = "shop",
		                     .policy = { .alpha = 0.05,
		                                 .promote_alpha = 0.05,
		                                 .max_error_ratio = 1.5,
		                                 .max_latency_increase = 0.2,
		                                 .min_requests = 500,
		                                 .warmup = 10,
		                                 .tick = 5,
		                                 .timeout = 30 },
		                     .within = 1800,
		                     .subjects = x->subjects,
		                     .n = N,
		                     .shares = &x->share,
		                     .n_shares = 1,
		                     .rows = x->rows };
	return x;
}

static char *shown(const struct plan_report *r, int columns)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	show_plan(f, r, columns);
	fclose(f);
	return text;
}

static const char golden[] =
	"shop: when a release can be called at alpha 5%, with errors below x1.5 and latency less than 19% above the baseline's;\n"
	"  traffic as given\n"
	"\n"
	"5% of the traffic to the canary:\n"
	"                                     A WORSE CANARY IS ROLLED BACK        AN EQUAL ONE IS CERTIFIED\n"
	"  ENDPOINT              /S ERRORS     x1.5      x2      x5    +19%   errors latency minimum     ALL    by\n"
	"* POST /checkout      40.0  0.50%   1h 39m 28m 05s  2m 50s 42m 00s   1h 11m  9m 55s  4m 10s  1h 11m ratio\n"
	"* POST /pay           25.0  0.02%   2d 18h 18h 41m  1h 50m       -   9m 55s 14m 25s  6m 40s 14m 25s floor\n"
	"  GET /cart/{id}      10.0     0%    never   never   never 46m 10s  21m 15s   never 16m 40s   never floor\n"
	"  GET /product/{id}      -      -        -       -       -       -        -       -       -       -     -\n"
	"A good release cannot be called within 30m 00s, but after 1h 11m: 1 of the 2 endpoints that decide (*) are certified\n"
	"  within 30m 00s.\n"
	"  POST /checkout not before 1h 11m, for its errors; would do: 14% of the traffic, or max_error_ratio: 1.9\n"
	"Not certified by then either, but not needed for it: GET /cart/{id}.\n"
	"Twice the errors would not be found within 30m 00s on: POST /pay.\n"
	"\n"
	"No rate was given for: GET /product/{id}.\n"
	"No errors to multiply on: GET /cart/{id}. There a canary's failures count by themselves.\n"
	"By the floor, errors are shown to be below a share, not below the margin: POST /pay (1%), GET /cart/{id} (1%).\n"
	"Latencies were not given for POST /pay, GET /cart/{id}: a log-normal spread is assumed, p95 = 3.73 x p50. The less they\n"
	"  spread, the sooner a difference shows; RATE,ERRORS,P50/P95 says it.\n"
	"An announced p95 is what counts as slow on POST /pay: how often it is exceeded is not known.\n";

static void a_plan_reads_as_it_was_written_by_hand(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->r, 0);

	if (strncmp(text, golden, strlen(golden)) != 0)
		fail_msg("%s", text);
	assert_non_null(strstr(text, "expected times"));
	assert_non_null(strstr(text, "(10 s)"));
	free(text);
	test_free(x);
}

static void no_line_is_wider_than_the_screen_and_the_certificate_stays(void **state)
{
	struct fixture *x = shop();

	for (int columns = 80; columns < 130; columns++) {
		char *text = shown(&x->r, columns);

		assert_non_null(strstr(text, "1h 11m"));
		assert_non_null(strstr(text, "1h 39m"));
		for (char *line = text; *line;) {
			size_t len = strcspn(line, "\n");

			if (len >= (size_t)columns)
				fail_msg("%zu columns of %d: %.*s", len, columns, (int)len, line);
			line += len + (line[len] == '\n');
		}
		free(text);
	}
	test_free(x);
}

static void a_release_that_can_be_called_is_said_to_be(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->r.within = 7200;
	text = shown(&x->r, 0);
	assert_non_null(strstr(text, "A good release can be called after 1h 11m: 2 of the 2 endpoints"));
	assert_null(strstr(text, "would do"));
	free(text);
	test_free(x);
}

static void what_never_can_be_called_says_why_and_what_helps(void **state)
{
	static const struct {
		enum plan_never why;
		const char *words;
	} rows[] = {
		{ PLAN_NO_TRAFFIC, "POST /pay never: no request reached the baseline" },
		{ PLAN_FINE_MARGIN, "POST /pay never: a latency margin under 4.4 %" },
		{ PLAN_WIDE_TAIL, "POST /pay never: its slowest requests" },
		{ PLAN_NO_LATENCY, "POST /pay never: its latency is not known" },
		{ PLAN_BEYOND_RANGE, "POST /pay never: its p95" },
		{ PLAN_NOT_KNOWN, "POST /pay cannot be told: its rate was not given" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fixture *x = shop();
		char *text;

		x->rows[1].times.certify.call = never(rows[i].why);
		x->rows[1].advice.max_latency_increase = 0.25;
		text = shown(&x->r, 0);
		if (!strstr(text, rows[i].words) || !strstr(text, "max_latency_increase: 25%"))
			fail_msg("%s", text);
		assert_true(!!strstr(text, "can never be called") == (rows[i].why != PLAN_NOT_KNOWN));
		free(text);
		test_free(x);
	}
}

static void the_last_endpoint_is_the_one_that_never_can_be_certified(void **state)
{
	struct fixture *x = shop();
	size_t last;

	assert_true(plan_call(&x->r, 0, &last).seconds == 4260 && last == 0);
	x->rows[1].times.certify.call = after(4265);
	assert_true(plan_call(&x->r, 0, &last).seconds == 4265 && last == 1);
	x->rows[0].times.certify.call = never(PLAN_NOT_KNOWN);
	assert_true(plan_call(&x->r, 0, &last).never == PLAN_NOT_KNOWN && last == 0);
	x->rows[1].times.certify.call = never(PLAN_NO_TRAFFIC);
	assert_true(plan_call(&x->r, 0, &last).never == PLAN_NO_TRAFFIC && last == 1);
	x->subjects[1].decides = false;
	assert_true(plan_call(&x->r, 0, &last).never == PLAN_NOT_KNOWN && last == 0);
	x->subjects[0].decides = false;
	assert_true(plan_call(&x->r, 0, &last).never == PLAN_NOT_KNOWN && last == N);
	test_free(x);
}

static void where_nothing_helps_that_is_said(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->rows[0].advice = (struct plan_advice){ 0 };
	text = shown(&x->r, 0);
	assert_non_null(strstr(text, "neither a larger share nor wider margins are enough"));
	free(text);
	test_free(x);
}

static void a_share_that_rests_on_few_errors_is_said_to_be_rough(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->r.observed = true;
	x->r.seconds = 60;
	x->subjects[0].requests = 2400;
	x->subjects[0].errors = 12;
	x->subjects[1].errors = 3;
	text = shown(&x->r, 0);
	assert_non_null(strstr(text, "Fewer than 10 errors were seen on: POST /pay, GET /cart/{id}."));
	assert_non_null(strstr(text, "observed for 1m 00s"));
	assert_non_null(strstr(text, "No request reached the baseline on: GET /product/{id}."));
	free(text);
	test_free(x);
}

static void foreign_names_cannot_steer_the_terminal(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->ep[0].def.name = "GET /\033[2J\r\n\a\xff";
	text = shown(&x->r, 0);
	for (const char *p = text; *p; p++)
		assert_true(*p == '\n' || (unsigned char)*p >= ' ');
	free(text);
	test_free(x);
}

static void a_plan_without_endpoints_says_that_nothing_can_be_called(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->r.n = 0;
	text = shown(&x->r, 0);
	assert_non_null(strstr(text, "nothing can be called"));
	free(text);
	test_free(x);
}

/* --- JSON */

static void the_document_has_seconds_or_the_reason_why_never(void **state)
{
	struct fixture *x = shop();
	char *text = json_plan(&x->r);
	cJSON *doc;

	assert_null(strstr(text, "nan"));
	doc = parsed(text);
	text_is(doc, "schema", "tillwatch.plan/1");
	text_is(doc, "source", "given");
	null_is(doc, "observed_seconds");
	null_is(doc, "traffic.3.requests_per_second");
	null_is(doc, "traffic.0.baseline_requests");
	number_is(doc, "shares.0.share", 0.05);
	number_is(doc, "shares.0.call.seconds", 4260);
	truth_is(doc, "shares.0.in_time", false);
	text_is(doc, "shares.0.last_endpoint", "POST /checkout");
	number_is(doc, "shares.0.endpoints.2.detect.errors.1.ratio", 2);
	null_is(doc, "shares.0.endpoints.2.detect.errors.1.seconds");
	text_is(doc, "shares.0.endpoints.2.detect.errors.1.never", "no_errors");
	number_is(doc, "shares.0.endpoints.2.certify.errors.seconds", 1275);
	null_is(doc, "shares.0.endpoints.2.certify.errors.never");
	text_is(doc, "shares.0.endpoints.2.certify.errors.by", "floor");
	number_is(doc, "shares.0.endpoints.2.certify.errors.floor", 0.01);
	text_is(doc, "shares.0.endpoints.2.certify.all.never", "wide_tail");
	number_is(doc, "shares.0.endpoints.0.would_do.share", 0.14);
	null_is(doc, "shares.0.endpoints.0.would_do.max_latency_increase");
	text_is(doc, "shares.0.endpoints.0.certify.errors.by", "ratio");
	null_is(doc, "shares.0.endpoints.1.would_do");
	cJSON_Delete(doc);
	test_free(x);
}

static void margins_of_their_own_are_told_and_head_no_column(void **state)
{
	struct fixture *x = shop();
	cJSON *doc;
	char *text;

	x->ep[1].def.margins = (struct margins){ 1.2, 0.1 };
	x->r.own_margins = true;
	text = shown(&x->r, 0);
	assert_non_null(strstr(text, "  slower"));
	assert_null(strstr(text, "+19%"));
	assert_non_null(strstr(text, "where nothing else"));
	/* floor(16 log2 1.1) = 2 buckets, 2^(2/16) = 1.09 */
	assert_non_null(strstr(text, "Margins of their own (errors, latency): POST /pay (x1.2, 9%).\n"));
	free(text);
	doc = parsed(json_plan(&x->r));
	number_is(doc, "traffic.1.max_error_ratio", 1.2);
	number_is(doc, "traffic.0.max_error_ratio", 1.5);
	number_is_about(doc, "traffic.1.latency_margin", 0.0905, 1e-4);
	cJSON_Delete(doc);
	test_free(x);
}

static void a_margin_finer_than_can_be_told_is_shown_as_it_was_given(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->r.policy.max_latency_increase = 0.01; /* floor(16 log2 1.01) = 0 buckets */
	text = shown(&x->r, 0);
	assert_non_null(strstr(text, "latency less than 1% above the baseline's"));
	assert_non_null(strstr(text, "     +1%"));
	free(text);
	x->ep[1].def.margins = (struct margins){ 1.2, 0.015 };
	x->r.own_margins = true;
	text = shown(&x->r, 0);
	assert_non_null(strstr(text, "POST /pay (x1.2, 1.5%)"));
	free(text);
	test_free(x);
}

static void every_reason_has_a_name_of_its_own(void **state)
{
	for (int i = 1; i < PLAN_NEVER_NR; i++) {
		assert_non_null(plan_never_names[i]);
		for (int k = 1; k < i; k++)
			assert_string_not_equal(plan_never_names[i], plan_never_names[k]);
	}
	assert_null(plan_never_names[PLAN_WILL]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_reads_as_it_was_written_by_hand),
		cmocka_unit_test(no_line_is_wider_than_the_screen_and_the_certificate_stays),
		cmocka_unit_test(a_release_that_can_be_called_is_said_to_be),
		cmocka_unit_test(what_never_can_be_called_says_why_and_what_helps),
		cmocka_unit_test(the_last_endpoint_is_the_one_that_never_can_be_certified),
		cmocka_unit_test(where_nothing_helps_that_is_said),
		cmocka_unit_test(a_share_that_rests_on_few_errors_is_said_to_be_rough),
		cmocka_unit_test(foreign_names_cannot_steer_the_terminal),
		cmocka_unit_test(a_plan_without_endpoints_says_that_nothing_can_be_called),
		cmocka_unit_test(the_document_has_seconds_or_the_reason_why_never),
		cmocka_unit_test(margins_of_their_own_are_told_and_head_no_column),
		cmocka_unit_test(a_margin_finer_than_can_be_told_is_shown_as_it_was_given),
		cmocka_unit_test(every_reason_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
