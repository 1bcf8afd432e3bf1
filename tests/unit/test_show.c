/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The faces of a comparison: golden texts, the size of a screen, hostile names, absent figures, memory running out.
 * Oracles from outside: cJSON's parser, iconv for UTF-8, strtod for numbers, and texts written by hand.
 */
#include <ctype.h>
#include <iconv.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "show/format.h"
#include "show/show.h"

#define MAX_ENDPOINTS 40
#define HOME          "\033[H"
#define CLEAR_LINE    "\033[K"
#define CLEAR_BELOW   "\033[J"

/* A comparison with room for everything it points at. */
struct fixture {
	struct comparison c;
	struct endpoint_figures ep[MAX_ENDPOINTS];
	struct status_count status[MAX_ENDPOINTS][ARM_NR][2];
	struct latencies lat[MAX_ENDPOINTS][ARM_NR];
	char names[MAX_ENDPOINTS][32];
	struct verdict_endpoint judged[1];
	struct verdict_cutover units[2];
	struct version_figures versions[2];
	const char *notes[2];
};

/*
 * n exchanges of `ns`: just above a boundary (2^(i/16) s), so that every quantile of a histogram that holds nothing
 * above them is ns itself, by "never above max".
 */
static void observe(struct arm_figures *a, uint64_t ns, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(latencies__add((struct latencies *)a->lat, TW_LAT_TOTAL, ns), 0);
}

static struct arm_figures *set_arm(struct fixture *x, size_t endpoint, enum arm arm, const char *version, uint64_t ok,
                                   uint64_t failed)
{
	struct arm_figures *a = &x->ep[endpoint].arm[arm];

	a->present = true;
	a->version = version;
	a->requests = ok + failed;
	a->connections = 40;
	a->outcome[TW_ANSWERED] = ok + failed;
	a->bad = failed;
	a->status = x->status[endpoint][arm];
	a->n_status = 2;
	a->lat = &x->lat[endpoint][arm];
	a->status[0] = (struct status_count){ .code = 503, .n = failed };
	a->status[1] = (struct status_count){ .code = 200, .n = ok };
	return a;
}

static void add_verdict(struct fixture *x)
{
	struct verdict *v = &x->c.verdict;

	x->c.has_verdict = true;
	v->kind = VERDICT_ROLLBACK;
	v->n_reasons = 2;
	v->reasons[0] =
		(struct reason){ "errors_worse", "POST /pay", "4 of 100 failed on the canary, 5 of 1,000 before" };
	v->reasons[1] = (struct reason){ "latency_worse", NULL, "slower everywhere" };
	v->n_guards = 2;
	v->guards[0] = (struct guard){ "lost_events", true, "nothing lost" };
	v->guards[1] = (struct guard){ "minimum_data", false, "GET / has 20 of 500 requests" };
	v->has_eta = true;
	v->eta_seconds = 240;
	v->alpha = 0.05;
	v->log_e_bad = 3.25;
	x->judged[0] = (struct verdict_endpoint){
		.endpoint = "POST /pay",
		.critical = true,
		.n_c = 100,
		.n_b = 1000,
		.bad_c = 4,
		.bad_b = 5,
		.has_ratio = true,
		.ratio = 8,
		.ratio_low = 1.5,
		.ratio_high = 40,
		.log_e_bad = 3.5,
		.log_e_good = -2,
		.slow_c = 7,
		.slow_b = 50,
		.log_e_slow_bad = -0.5,
		.log_e_slow_good = 0.25,
		.certified = false,
	};
	v->endpoints = x->judged;
	v->n_endpoints = 1;
	snprintf(v->summary, sizeof(v->summary), "The new version fails more requests.");
	v->final = true;
	x->units[0] = (struct verdict_cutover){ "checkout", "team-pay", VERDICT_ROLLBACK,    2, 2,
		                                1,          4.5,        "worse on POST /pay" };
	x->units[1] = (struct verdict_cutover){ "seo", NULL, VERDICT_HOLD, 1, 0, 0, 0, "nothing yet" };
	v->cutovers = x->units;
	v->n_cutovers = 2;
}

/* Two endpoints, the quieter one critical, and a third that nobody asked for. */
static struct fixture *shop(void)
{
	struct fixture *x = test_calloc(1, sizeof(*x));
	struct arm_figures *a;

	x->c.service = "shop";
	snprintf(x->c.run, sizeof(x->c.run), "r1");
	x->c.started.tv_sec = 1795255200; /* date -u -d @1795255200: 2026-11-21 10:00:00 */
	x->c.seconds = 60;
	x->c.stage = 0.25;
	x->c.endpoints = x->ep;
	x->c.n_endpoints = 3;
	x->c.version_name[ARM_BASELINE] = "v1";
	x->c.version_name[ARM_CANARY] = "v2";
	x->ep[0].name = "GET /";
	x->ep[1].name = "POST /pay";
	x->ep[1].critical = true;
	x->ep[2].name = "GET /never";

	observe(set_arm(x, 0, ARM_BASELINE, "v1", 12345, 0), 976563, 1000);
	observe(set_arm(x, 0, ARM_CANARY, "v2", 20, 0), 1953126, 20);
	observe(set_arm(x, 1, ARM_BASELINE, "v1", 995, 5), 1953126, 1000);
	a = set_arm(x, 1, ARM_CANARY, "v2", 100, 0);
	observe(a, 15625001, 100);
	a->outcome[TW_ANSWERED] = 96;
	a->outcome[TW_UNANSWERED] = 3;
	a->outcome[TW_TRUNCATED] = 1;
	a->bad = 4;
	a->status[1].n = 96;

	x->c.coverage = (struct coverage){ .connections = 80, .decoded = 80, .queue_measured = true, .complete = true };
	x->c.ledger = (struct ledger_figures){
		.seen = 13467, .ended = 13465, .in_flight = 2, .in_flight_measured = true, .checked = true
	};
	x->versions[0] = (struct version_figures){
		.name = "v1", .arm = ARM_BASELINE, .ledger = x->c.ledger, .in_flight_max = 7, .oldest = 0.25
	};
	x->versions[1] = (struct version_figures){
		.name = "v2", .arm = ARM_CANARY, .ledger = { .seen = 9, .ended = 9 }, .in_flight_max = 0, .oldest = NAN
	};
	x->c.versions = x->versions;
	x->c.n_versions = 2;
	x->c.overhead = (struct overhead){ 450, 0.1, 20 << 20, { 0 } };
	x->notes[0] = "v1: listening on 127.0.0.1:8081";
	x->notes[1] = "v2: waiting for the cgroup /shop-v2.slice";
	x->c.notes = x->notes;
	x->c.n_notes = 2;
	add_verdict(x);
	return x;
}

static void close_shop(struct fixture *x)
{
	for (size_t i = 0; i < MAX_ENDPOINTS; i++)
		for (int arm = 0; arm < ARM_NR; arm++)
			latencies__free(&x->lat[i][arm]);
	test_free(x);
}

static char *shown(const struct comparison *c, enum show_mode mode, int columns, int rows, bool colour,
                   double remaining)
{
	const struct show_options o = { mode, colour, columns, rows, remaining };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	show_comparison(out, c, &o);
	fclose(out);
	return text;
}

static char *shown_top(const struct comparison *const *services, size_t n, enum show_mode mode, int columns, int rows)
{
	const struct show_options o = { .mode = mode, .columns = columns, .rows = rows };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	show_top(out, services, n, &o);
	fclose(out);
	return text;
}

/* Takes all occurrences of a sequence out of text. */
static void without(char *text, const char *sequence)
{
	size_t n = strlen(sequence);

	for (char *at = text; (at = strstr(at, sequence));)
		memmove(at, at + n, strlen(at + n) + 1);
}

static void without_cursor(char *text)
{
	without(text, HOME);
	without(text, CLEAR_LINE);
	without(text, CLEAR_BELOW);
}

/* The lines of text fit the screen, and nothing is in them but ASCII that can be printed. */
static void assert_fits(const char *text, int columns, int rows)
{
	int column = 0, row = 0;

	for (const char *p = text; *p; p++) {
		if (*p == '\n') {
			row++;
			column = 0;
			continue;
		}
		assert_in_range(*p, 0x20, 0x7e);
		column++;
		assert_true(column <= columns);
	}
	/* The cursor ends on the row after the last line: one more would scroll the screen. */
	assert_true(row < rows || rows <= 1);
}

static void a_comparison_on_a_terminal_of_80_columns_is_the_golden_table(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_TERMINAL, 80, 40, false, 240);

	assert_int_equal(strncmp(text, HOME, strlen(HOME)), 0);
	assert_string_equal(text + strlen(text) - strlen(CLEAR_BELOW), CLEAR_BELOW);
	without_cursor(text);
	assert_string_equal(text, "shop: v1 (baseline) against v2 (canary), run 1m 00s, 4m 00s left\n"
	                          "\n"
	                          "  ENDPOINT                REQUESTS                            ERRORS\n"
	                          "  (* critical)        v1        v2            v1            v2 ratio\n"
	                          "* POST /pay        1,000       100      5  0.50%      4  4.00% x8.00\n"
	                          "  p50 1.95 ms 15.6 ms x8.00 p95 1.95 ms 15.6 ms x8.00 p99 1.95 ms 15.6 ms x8.00\n"
	                          "  95% sure: errors x1.50 to x40.0, p95 none yet\n"
	                          "    v2: 3 unanswered, 1 truncated\n"
	                          "  GET /           12,345        20      0     0%      0     0%     -\n"
	                          "  p50  977 us 1.95 ms x2.00 p95  977 us 1.95 ms x2.00 p99  977 us 1.95 ms x2.00\n"
	                          "  95% sure: errors none yet, p95 none yet\n"
	                          "\n"
	                          "Ratios are of all that was seen. What is sure holds at every look, of ticks\n"
	                          "  that were judged; p95 there is of the server's own time. p50 and p99 have no\n"
	                          "  such interval.\n"
	                          "Coverage complete: 80 connections, 80 decoded, 0 opaque TLS, 0 not HTTP, 0\n"
	                          "  desynchronised, 0 unattributed, 0 lost\n"
	                          "Ledger of v1: 13,467 seen, 13,465 ended, 2 in flight, 0 lost\n"
	                          "Ledger of v2: 9 seen, 9 ended, 0 lost; not checked\n"
	                          "Overhead: kernel 450 ns per request, agent 0.17% of a core and 20.0 MiB\n"
	                          "v1: listening on 127.0.0.1:8081\n"
	                          "v2: waiting for the cgroup /shop-v2.slice\n"
	                          "\n"
	                          "Verdict: ROLLBACK (final)\n"
	                          "The new version fails more requests.\n"
	                          "  ROLLBACK checkout (team-pay): worse on POST /pay\n"
	                          "  HOLD seo (no owner named): nothing yet\n"
	                          "  POST /pay: 4 of 100 failed on the canary, 5 of 1,000 before\n"
	                          "  slower everywhere\n"
	                          "  guard minimum_data: GET / has 20 of 500 requests\n"
	                          "  can be called in about 4m 00s\n");
	free(text);
	close_shop(x);
}

static void a_comparison_off_a_terminal_is_the_golden_lines(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_LINES, 0, 0, true, NAN);

	assert_string_equal(
		text,
		"watch shop run=1m00s left=- baseline=v1 canary=v2\n"
		"endpoint \"POST /pay\" critical requests v1=1000 v2=100 errors v1=5(0.50%) v2=4(4.00%) x8.00"
		" p50 v1=1.95ms v2=15.6ms x8.00 p95 v1=1.95ms v2=15.6ms x8.00 p99 v1=1.95ms v2=15.6ms x8.00\n"
		"sure \"POST /pay\" 95% errors=x1.50..x40.0 p95=none p95_difference=none p50=none p99=none\n"
		"outcomes \"POST /pay\" v2: 3 unanswered, 1 truncated\n"
		"endpoint \"GET /\" requests v1=12345 v2=20 errors v1=0(0%) v2=0(0%) -"
		" p50 v1=977us v2=1.95ms x2.00 p95 v1=977us v2=1.95ms x2.00 p99 v1=977us v2=1.95ms x2.00\n"
		"sure \"GET /\" 95% errors=none p95=none p95_difference=none p50=none p99=none\n"
		"coverage complete connections=80 decoded=80 opaque_tls=0 not_http=0 desynchronised=0 unattributed=0"
		" lost=0\n"
		"ledger v1 seen=13467 ended=13465 in_flight=2 lost=0\n"
		"ledger v2 not_checked seen=9 ended=9 in_flight=not_measured lost=0\n"
		"overhead kernel_per_request=450ns agent_cpu=0.17% agent_rss=20.0MiB\n"
		"note v1: listening on 127.0.0.1:8081\n"
		"note v2: waiting for the cgroup /shop-v2.slice\n"
		"verdict rollback final\n"
		"summary The new version fails more requests.\n"
		"unit checkout rollback owner=\"team-pay\" certified=1/2: worse on POST /pay\n"
		"unit seo hold owner=\"-\" certified=0/0: nothing yet\n"
		"reason errors_worse \"POST /pay\": 4 of 100 failed on the canary, 5 of 1,000 before\n"
		"reason latency_worse: slower everywhere\n"
		"guard minimum_data: GET / has 20 of 500 requests\n"
		"eta 4m00s\n"
		"\n");
	free(text);
	close_shop(x);
}

static void books_that_do_not_balance_are_loud_and_those_that_do_are_quiet(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_TERMINAL, 120, 40, false, NAN);

	assert_null(strstr(text, "LEDGER"));
	assert_non_null(strstr(text, "\nLedger of v1: 13,467 seen, 13,465 ended, 2 in flight, 0 lost" CLEAR_LINE "\n"));
	free(text);
	x->versions[1].ledger = (struct ledger_figures){
		.seen = 1000, .ended = 990, .in_flight = 4, .in_flight_measured = true, .checked = true, .missing = 6
	};
	x->c.ledger.missing = 6;
	text = shown(&x->c, SHOW_TERMINAL, 120, 40, false, NAN);
	assert_non_null(
		strstr(text, "LEDGER OF v2 DOES NOT BALANCE: 1,000 seen, 990 ended, 4 in flight, 0 lost: 6 missing"));
	assert_non_null(strstr(text, "COVERAGE INCOMPLETE"));
	free(text);
	text = shown(&x->c, SHOW_LINES, 0, 0, false, NAN);
	assert_non_null(
		strstr(text, "\nledger v2 UNBALANCED seen=1000 ended=990 in_flight=4 lost=0 missing=6 surplus=0\n"));
	assert_non_null(strstr(text, "\nledger v1 seen=13467 ended=13465 in_flight=2 lost=0\n"));
	free(text);
	text = json_comparison(&x->c);
	assert_non_null(strstr(text, "\"in_flight\":4,\"lost\":0,\"balanced\":false"));
	free(text);
	/* What could not be checked is said not to have been measured. */
	x->versions[1].ledger.checked = x->c.ledger.in_flight_measured = x->c.ledger.checked = false;
	text = shown(&x->c, SHOW_TERMINAL, 120, 40, false, NAN);
	assert_null(strstr(text, "LEDGER"));
	assert_non_null(strstr(text, "in flight is not measured"));
	free(text);
	close_shop(x);
}

static void a_wide_terminal_shows_one_line_for_each_endpoint(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_TERMINAL, 180, 40, false, NAN);

	without_cursor(text);
	assert_non_null(strstr(text, "until Ctrl-C"));
	assert_non_null(strstr(text, "* POST /pay        1,000       100      5  0.50%      4  4.00% x8.00"
	                             "  1.95 ms 15.6 ms x8.00  1.95 ms 15.6 ms x8.00  1.95 ms 15.6 ms x8.00\n"));
	free(text);
	close_shop(x);
}

/* Forty endpoints with names and counts that leave no room, everything unusual non-zero. */
static struct fixture *crowd(const char *name)
{
	struct fixture *x = shop();

	x->c.n_endpoints = MAX_ENDPOINTS;
	for (int i = 0; i < MAX_ENDPOINTS; i++) {
		x->ep[i].name = name;
		x->ep[i].critical = i % 3 == 0;
		observe(set_arm(x, i, ARM_BASELINE, "v1-with-a-long-name", 1234567, 0), 59000000000 + i, 3);
		set_arm(x, i, ARM_CANARY, name, UINT64_MAX, 0)->outcome[TW_TIMEOUT] = UINT64_MAX;
		x->ep[i].arm[ARM_CANARY].bad = UINT64_MAX;
	}
	x->c.service = name;
	x->c.version_name[ARM_BASELINE] = "v1-with-a-long-name";
	x->c.version_name[ARM_CANARY] = x->c.version_name[ARM_OTHER] = name;
	x->c.coverage = (struct coverage){ 1, 2, 3, 4, 5, 6, 7, 8, 9, UINT64_MAX, 11, false, false, { 0 }, { 0 } };
	x->c.ledger.lost_events = 3;
	x->notes[1] = name;
	snprintf(x->c.verdict.reasons[1].text, sizeof(x->c.verdict.reasons[1].text), "%.*s", 250, name);
	return x;
}

static const char hostile[] = "POST /\"quoted\"\\/\033[2J\033]0;title\a/\r\n\t/\x7f/\xc2\x9b"
			      "31m/\xff\xfe/\xe2\x80\xae/\xe2\x82/"
			      "\xf0\x9f\x92\xb3\xf0\x9f\x92\xb3\xf0\x9f\x92\xb3/and-a-tail-that-does-not-end-%s%n-%s%n";

static void no_line_is_wider_than_the_screen_and_no_frame_is_higher(void **state)
{
	struct fixture *x =
		crowd("POST /a/{id}/quite/a/long/path/that/goes/on/and/on/and/on/to/the/very/end/of/the/screen");
	const struct comparison *services[] = { &x->c, &x->c, &x->c };
	char *text;

	for (int columns = 1; columns <= 240; columns += columns < 90 ? 1 : 13) {
		for (int rows = 1; rows <= 60; rows += rows < 30 ? 1 : 9) {
			text = shown(&x->c, SHOW_TERMINAL, columns, rows, false, 59.7);
			without_cursor(text);
			assert_fits(text, columns, rows);
			free(text);
			text = shown_top(services, 3, SHOW_TERMINAL, columns, rows);
			without_cursor(text);
			assert_fits(text, columns, rows);
			free(text);
		}
	}
	close_shop(x);
}

static void a_figure_is_shown_whole_or_not_at_all(void **state)
{
	struct fixture *x = crowd("GET /");
	char *text;

	for (int columns = 1; columns <= 200; columns++) {
		text = shown(&x->c, SHOW_TERMINAL, columns, 60, false, 1);
		without(text, "1,234,567");
		assert_null(strstr(text, "1,2"));
		without(text, "59.0 s");
		assert_null(strstr(text, "59."));
		free(text);
	}
	close_shop(x);
}

static void endpoints_beyond_the_screen_are_folded_critical_ones_last(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->c.n_endpoints = 23;
	for (int i = 3; i < 23; i++) {
		snprintf(x->names[i], sizeof(x->names[i]), "GET /item%d", i);
		x->ep[i].name = x->names[i];
		set_arm(x, i, ARM_BASELINE, "v1", 50 + i, 0);
	}
	text = shown(&x->c, SHOW_TERMINAL, 80, 24, false, 240);
	without_cursor(text);
	assert_fits(text, 80, 24);
	assert_true(strstr(text, "* POST /pay") < strstr(text, "  GET /  "));
	assert_true(strstr(text, "  GET /  ") < strstr(text, "  GET /item22"));
	assert_null(strstr(text, "GET /item3 "));
	assert_non_null(strstr(text, "  ... and "));
	assert_non_null(strstr(text, "  POST /pay: 4 of 100 failed"));
	free(text);

	/* 22 have traffic; 20 in lines, 53 + 54 requests in the two that are left. */
	text = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	assert_non_null(strstr(text, "\nmore endpoints=2 requests=107\n"));
	free(text);
	close_shop(x);
}

static void an_empty_comparison_says_what_it_waits_for(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->c.n_endpoints = 0;
	x->c.has_verdict = false;
	text = shown(&x->c, SHOW_TERMINAL, 80, 24, false, 240);
	assert_non_null(strstr(text, "No requests yet: waiting for traffic on v1 (baseline) and v2 (canary)"));
	assert_non_null(strstr(text, "v2: waiting for the cgroup /shop-v2.slice"));
	assert_null(strstr(text, "ENDPOINT"));
	free(text);
	text = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	assert_non_null(strstr(text, "waiting for the first request on v1 (baseline)\n"));
	assert_non_null(strstr(text, "waiting for the first request on v2 (canary)\n"));
	assert_non_null(strstr(text, "verdict none\n"));
	free(text);

	x->c.n_endpoints = 1;
	memset(&x->ep[0].arm[ARM_CANARY], 0, sizeof(x->ep[0].arm[ARM_CANARY]));
	text = shown(&x->c, SHOW_TERMINAL, 80, 24, false, 240);
	assert_non_null(strstr(text, "Waiting for the first request on v2 (canary)"));
	assert_non_null(strstr(text, "GET /           12,345         -      0     0%      -      -     -"));
	free(text);
	close_shop(x);
}

static void incomplete_coverage_is_loud(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->c.coverage.opaque_tls = 12;
	x->c.coverage.complete = false;
	x->c.coverage.queue_measured = false;
	text = shown(&x->c, SHOW_TERMINAL, 200, 40, true, 240);
	assert_non_null(strstr(text, "\033[31mCOVERAGE INCOMPLETE: 80 connections, 80 decoded, 12 opaque TLS"));
	assert_non_null(strstr(text, "queue time is not measured"));
	free(text);
	x->c.coverage.complete = true;
	x->c.ledger.lost_exchanges = 7;
	text = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	assert_non_null(strstr(text, "\ncoverage INCOMPLETE connections=80 decoded=80 opaque_tls=12"));
	assert_non_null(strstr(text, " lost=7 "));
	free(text);
	close_shop(x);
}

static void colours_come_only_when_asked_for_and_only_on_a_terminal(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_TERMINAL, 80, 40, true, 240);

	assert_non_null(strstr(text, "\033[31mVerdict: ROLLBACK (final)\033[0m"));
	free(text);
	text = shown(&x->c, SHOW_TERMINAL, 80, 40, false, 240);
	without_cursor(text);
	assert_null(strchr(text, '\033'));
	free(text);
	text = shown(&x->c, SHOW_LINES, 80, 40, true, 240);
	assert_null(strchr(text, '\033'));
	free(text);
	close_shop(x);
}

static void assert_valid_utf8(const char *text)
{
	size_t in_left = strlen(text), out_left = 4 * in_left + 8;
	char *buffer = test_malloc(out_left), *out = buffer, *in = (char *)(uintptr_t)text;
	iconv_t cd = iconv_open("UTF-32", "UTF-8");

	assert_true(cd != (iconv_t)-1);
	assert_int_equal(iconv(cd, &in, &in_left, &out, &out_left), 0);
	iconv_close(cd);
	test_free(buffer);
}

static void hostile_names_are_harmless_on_a_terminal(void **state)
{
	struct fixture *x = crowd(hostile);
	const struct comparison *services[] = { &x->c };
	char *text[4];

	text[0] = shown(&x->c, SHOW_TERMINAL, 100, 50, false, 240);
	text[1] = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	text[2] = shown_top(services, 1, SHOW_TERMINAL, 70, 50);
	text[3] = shown_top(services, 1, SHOW_LINES, 0, 0);
	for (int i = 0; i < 4; i++) {
		without_cursor(text[i]);
		assert_non_null(strstr(text[i], "POST "));
		for (const char *p = text[i]; *p; p++)
			assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
		assert_null(strchr(text[i], 0x7f));
		assert_null(strstr(text[i], "\xc2\x9b"));     /* CSI as one character */
		assert_null(strstr(text[i], "\xe2\x80\xae")); /* right-to-left override */
		assert_valid_utf8(text[i]);
		free(text[i]);
	}
	close_shop(x);
}

static void losses_are_a_line_where_there_are_some_and_null_where_they_were_not_measured(void **state)
{
	struct fixture *x = shop();
	struct listener_figures at = {
		.address = "127.0.0.1:8081", .backlog_max = 130, .backlog_limit = 128, .overflows = 7
	};
	struct version_figures v[2] = {
		{ .name = "v1", .arm = ARM_BASELINE, .has_losses = true },
		{ .name = "v2", .arm = ARM_CANARY, .has_losses = true },
	};
	char *text;

	for (int i = 0; i < 2; i++)
		v[i].losses.upgraded = v[i].losses.streaming =
			(struct session_figures){ .age_mean = NAN, .age_max = NAN };
	v[1].losses.listeners = &at;
	v[1].losses.n_listeners = 1;
	v[1].losses.overflows = 7;
	v[1].losses.refused = 1234;
	v[1].losses.retransmitted_segments = 3;
	v[1].losses.sent_segments = 5000;
	x->c.versions = v;
	x->c.n_versions = 2;
	text = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	assert_null(strstr(text, "losses v1"));
	assert_non_null(strstr(text, "\nlosses v2 refused=1234 overflows=7 backlog_max=130 backlog_limit=128 "
	                             "retransmitted=3 sent=5,000\n"));
	free(text);
	text = shown(&x->c, SHOW_TERMINAL, 200, 60, false, 240);
	assert_non_null(strstr(text,
	                       "Lost before an endpoint, v2: 1,234 connections refused, 7 dropped by a full accept "
	                       "queue (backlog up to 130, limit 128), 3 segments sent again of 5,000"));
	free(text);
	text = json_comparison(&x->c);
	assert_non_null(strstr(text, "\"versions\":[{\"version\":\"v1\",\"arm\":\"baseline\",\"listeners\":[],"
	                             "\"attempts\":null,\"established\":null,"));
	assert_non_null(strstr(text, "\"backlog\":null,\"backlog_max\":130,\"backlog_limit\":128,"));
	assert_non_null(strstr(text, "\"abrupt_age\":{\"mean\":null,\"max\":null}"));
	free(text);
	close_shop(x);
}

static void hostile_names_come_out_as_valid_json(void **state)
{
	struct fixture *x = crowd(hostile);
	char *text = json_comparison(&x->c);
	cJSON *root, *name;

	assert_non_null(text);
	assert_valid_utf8(text);
	for (const char *p = text; *p; p++)
		assert_true((unsigned char)*p >= 0x20);
	root = cJSON_Parse(text);
	assert_non_null(root);
	name = cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(root, "endpoints"), 0), "endpoint");
	/* What was valid comes back as it was. */
	assert_int_equal(strncmp(name->valuestring, hostile, strcspn(hostile, "\xff")), 0);
	assert_non_null(strstr(name->valuestring, "31m/\xef\xbf\xbd\xef\xbf\xbd/"));
	cJSON_Delete(root);
	free(text);
	close_shop(x);
}

static void assert_no_nan(const char *text)
{
	for (const char *p = text; *p; p++) {
		bool word = p == text || !isalpha((unsigned char)p[-1]); /* "unanswered" may have its own */

		if (word && (strncasecmp(p, "nan", 3) == 0 || strncasecmp(p, "inf", 3) == 0))
			fail_msg("%s", text);
	}
}

static void what_was_not_measured_is_a_dash_or_null_and_never_nan(void **state)
{
	struct fixture *x = shop();
	const struct comparison *services[] = { &x->c };
	char *text[6];

	x->c.seconds = 0;
	x->c.overhead = (struct overhead){ NAN, NAN, 0, { 0 } };
	x->c.verdict.eta_seconds = INFINITY;
	x->judged[0].ratio = x->judged[0].ratio_high = x->judged[0].log_e_bad = NAN;
	for (int arm = 0; arm < ARM_NR; arm++) {
		latencies__free(&x->lat[0][arm]);
		x->ep[1].arm[arm].requests = 0;
	}
	text[0] = shown(&x->c, SHOW_TERMINAL, 80, 40, false, NAN);
	text[1] = shown(&x->c, SHOW_LINES, 0, 0, false, INFINITY);
	text[2] = shown_top(services, 1, SHOW_TERMINAL, 80, 24);
	text[3] = shown_top(services, 1, SHOW_LINES, 0, 0);
	text[4] = json_comparison(&x->c);
	text[5] = json_verdict(&x->c.verdict);
	for (int i = 0; i < 6; i++)
		assert_no_nan(text[i]);
	assert_non_null(
		strstr(text[4], "\"kernel_ns_per_request\":null,\"agent_cpu_seconds\":null,\"agent_rss_bytes\":null"));
	assert_non_null(strstr(
		text[4],
		"\"queue\":{\"count\":0,\"p50\":null,\"p90\":null,\"p95\":null,\"p99\":null,\"max\":null,\"mean\":null}"));
	assert_non_null(strstr(text[5], "\"eta_seconds\":null"));
	for (int i = 0; i < 6; i++)
		free(text[i]);
	close_shop(x);
}

/* The item at a path of keys and list positions, "endpoints.0.arms". */
static cJSON *at(cJSON *item, const char *path)
{
	char key[64];
	size_t n;

	for (; *path; path += n + (path[n] == '.')) {
		n = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		item = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, key[0] - '0')
		                           : cJSON_GetObjectItemCaseSensitive(item, key);
	}
	return item;
}

static void assert_number(cJSON *root, const char *path, double expected)
{
	cJSON *item = at(root, path);

	if (!cJSON_IsNumber(item) || item->valuedouble != expected)
		fail_msg("%s is %.17g, not %.17g", path, cJSON_IsNumber(item) ? item->valuedouble : NAN, expected);
}

static void assert_string(cJSON *root, const char *path, const char *expected)
{
	assert_true(cJSON_IsString(at(root, path)));
	assert_string_equal(at(root, path)->valuestring, expected);
}

static void endings_that_come_at_any_time_say_whether_the_answer_had_begun(void **state)
{
	static const char *const names[] = { "reset_by_server", "reset_by_client", "client_abandoned", "timeout" };
	struct fixture *x = shop();
	struct arm_figures *a = &x->ep[1].arm[ARM_CANARY];
	char path[96], *text;
	cJSON *root;

	for (int i = 0; i < 4; i++) {
		a->outcome[TW_RESET_BY_SERVER + i] = 10 + (uint64_t)i;
		a->cut[TW_RESET_BY_SERVER + i] = 1 + (uint64_t)i;
	}
	a->cut[TW_TRUNCATED] = 1;
	text = json_comparison(&x->c);
	root = cJSON_Parse(text);
	assert_non_null(root);
	assert_int_equal(cJSON_GetArraySize(at(root, "endpoints.1.arms.canary.cut")), 4);
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "endpoints.1.arms.canary.cut.%s.before_first_byte", names[i]);
		assert_number(root, path, 9);
		snprintf(path, sizeof(path), "endpoints.1.arms.canary.cut.%s.mid_response", names[i]);
		assert_number(root, path, 1 + i);
	}
	assert_number(root, "endpoints.1.arms.baseline.cut.timeout.mid_response", 0);
	cJSON_Delete(root);
	free(text);
	close_shop(x);
}

static void the_document_of_a_comparison_keeps_its_contract(void **state)
{
	static const char *const numbers[] = {
		"endpoints.1.arms.baseline.latency.total.p50", "endpoints.1.arms.baseline.latency.total.p90",
		"endpoints.1.arms.baseline.latency.total.p95", "endpoints.1.arms.baseline.latency.total.p99",
		"endpoints.1.arms.baseline.latency.total.max",
	};
	struct fixture *x = shop();
	char *text = json_comparison(&x->c);
	cJSON *root = cJSON_Parse(text);

	assert_non_null(root);
	assert_string(root, "schema", "tillwatch.comparison/1");
	assert_string(root, "service", "shop");
	assert_string(root, "run", "r1");
	assert_string(root, "started", "2026-11-21T10:00:00Z");
	assert_number(root, "seconds", 60);
	assert_number(root, "stage", 0.25);
	assert_int_equal(cJSON_GetArraySize(at(root, "endpoints")), 3);
	assert_string(root, "endpoints.1.endpoint", "POST /pay");
	assert_true(cJSON_IsTrue(at(root, "endpoints.1.critical")));
	assert_int_equal(cJSON_GetArraySize(at(root, "endpoints.1.arms")), 2);
	assert_int_equal(cJSON_GetArraySize(at(root, "endpoints.2.arms")), 0);
	assert_string(root, "endpoints.1.arms.baseline.version", "v1");
	assert_number(root, "endpoints.1.arms.baseline.requests", 1000);
	assert_number(root, "endpoints.1.arms.baseline.connections", 40);
	assert_int_equal(cJSON_GetArraySize(at(root, "endpoints.1.arms.baseline.status")), 2);
	assert_number(root, "endpoints.1.arms.baseline.status.200", 995);
	assert_number(root, "endpoints.1.arms.baseline.status.503", 5);
	assert_int_equal(cJSON_GetArraySize(at(root, "endpoints.1.arms.canary.outcomes")), 8);
	assert_number(root, "endpoints.1.arms.canary.outcomes.answered", 96);
	assert_number(root, "endpoints.1.arms.canary.outcomes.unanswered", 3);
	assert_number(root, "endpoints.1.arms.canary.outcomes.truncated", 1);
	assert_number(root, "endpoints.1.arms.canary.outcomes.reset_by_server", 0);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		/* One nanosecond wide is what observe() leaves for interpolation. */
		assert_float_equal(at(root, numbers[i])->valuedouble, 0.001953126, 1.01e-9);
	assert_true(cJSON_IsNull(at(root, "endpoints.1.arms.baseline.latency.service.p50")));
	assert_number(root, "coverage.connections", 80);
	assert_true(cJSON_IsTrue(at(root, "coverage.complete")));
	assert_true(cJSON_IsTrue(at(root, "coverage.queue_measured")));
	assert_number(root, "ledger.seen", 13467);
	assert_number(root, "ledger.in_flight", 2);
	assert_true(cJSON_IsTrue(at(root, "ledger.balanced")));
	assert_string(root, "versions.0.version", "v1");
	assert_string(root, "versions.0.arm", "baseline");
	assert_number(root, "versions.0.ledger.seen", 13467);
	assert_number(root, "versions.0.ledger.in_flight", 2);
	assert_true(cJSON_IsTrue(at(root, "versions.0.ledger.balanced")));
	assert_number(root, "versions.0.in_flight_max", 7);
	assert_number(root, "versions.0.oldest_in_flight", 0.25);
	assert_string(root, "versions.1.version", "v2");
	assert_number(root, "versions.1.ledger.seen", 9);
	assert_true(cJSON_IsNull(at(root, "versions.1.ledger.in_flight")));
	assert_true(cJSON_IsNull(at(root, "versions.1.ledger.balanced")));
	assert_true(cJSON_IsNull(at(root, "versions.1.in_flight_max")));
	assert_true(cJSON_IsNull(at(root, "versions.1.oldest_in_flight")));
	assert_number(root, "loss.events", 0);
	assert_number(root, "overhead.kernel_ns_per_request", 450);
	assert_number(root, "overhead.agent_rss_bytes", 20 << 20);
	assert_string(root, "verdict.schema", "tillwatch.verdict/1");
	cJSON_Delete(root);
	free(text);
	close_shop(x);
}

/* Whoever cut it is named as far as it is known, in every face; what clients did is for the document only. */
static void who_cut_what_is_named_as_far_as_it_is_known(void **state)
{
	char exe[] = "/usr/sbin/nginx", build_id[] = "0123456789abcdef0123456789abcdef01234567";
	const struct cut cuts[] = {
		{ 1, 1, TW_TRUNCATED, TW_CAUSE_READER, 4711, 1795255200, exe, build_id, 12, 1.5, 2, "v1", "GET /", 0 },
		{ 1, 1, TW_RESET_BY_CLIENT, TW_CAUSE_READER, 4711, 1795255200, NULL, NULL, 9, 0, 1, "v1", "GET /", 0 },
		{ 0, 0, TW_RESET_BY_SERVER, TW_CAUSE_UNKNOWN, 0, NAN, NULL, NULL, 3, 0.5, 0.5, NULL, NULL, -1 },
		{ 2, 1, TW_RESET_BY_SERVER, TW_CAUSE_CLOSER, 99, NAN, NULL, NULL, 1, 3, 3, "v2", "GET /", 1 },
	};
	struct fixture *x = shop();
	char *lines, *table, *json;
	cJSON *root;

	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	x->c.cuts = cuts;
	x->c.n_cuts = 4;
	x->c.cuts_other = 7;
	lines = shown(&x->c, SHOW_LINES, 0, 0, false, NAN);
	table = shown(&x->c, SHOW_TERMINAL, 200, 60, false, NAN);
	json = json_comparison(&x->c);
	root = cJSON_Parse(json);
	assert_non_null(strstr(lines, "\ncut \"GET /\" version=v1 truncated pid=4711 exe=\"/usr/sbin/nginx\""
	                              " started=10:00:00 build=0123456789ab cause=reader count=12\n"
	                              "cut \"-\" version=- reset_by_server pid=- cause=- count=3\n"
	                              "cut \"GET /\" version=v2 reset_by_server pid=99 exe=\"-\" started=- build=-"
	                              " cause=closer count=1\nmore cuts=7\n"));
	assert_null(strstr(lines, "reset_by_client"));
	assert_non_null(
		strstr(table, "v1 GET /: 12 truncated by nginx, pid 4711 started 10:00:00, build 0123456789ab"));
	assert_non_null(strstr(table, "3 reset_by_server; no process had read them, who closed them is not known"));
	assert_int_equal(cJSON_GetArraySize(at(root, "cuts")), 4);
	assert_string(root, "cuts.0.build_id", build_id);
	assert_string(root, "cuts.0.started", "2026-11-21T10:00:00Z");
	assert_string(root, "cuts.0.arm", "baseline");
	assert_number(root, "cuts.0.pid", 4711);
	assert_string(root, "cuts.1.outcome", "reset_by_client");
	assert_true(cJSON_IsNull(at(root, "cuts.2.pid")) && cJSON_IsNull(at(root, "cuts.2.cause")));
	assert_true(cJSON_IsNull(at(root, "cuts.2.version")) && cJSON_IsNull(at(root, "cuts.2.started")));
	assert_string(root, "cuts.3.cause", "closer");
	assert_number(root, "cuts_other", 7);
	assert_number(root, "cuts_lost", 0);
	cJSON_Delete(root);
	free(json);
	free(table);
	free(lines);
	close_shop(x);
}

static void the_document_of_a_verdict_keeps_its_contract(void **state)
{
	struct fixture *x = shop();
	char *text = json_verdict(&x->c.verdict);
	cJSON *root = cJSON_Parse(text);

	assert_non_null(root);
	assert_string(root, "schema", "tillwatch.verdict/1");
	assert_string(root, "verdict", "rollback");
	assert_string(root, "summary", "The new version fails more requests.");
	assert_true(cJSON_IsTrue(at(root, "final")));
	assert_string(root, "units.0.unit", "checkout");
	assert_string(root, "units.0.owner", "team-pay");
	assert_string(root, "units.0.verdict", "rollback");
	assert_number(root, "units.0.endpoints", 2);
	assert_number(root, "units.0.deciding", 2);
	assert_number(root, "units.0.certified", 1);
	assert_number(root, "units.0.log_e_bad", 4.5);
	assert_true(cJSON_IsNull(at(root, "units.1.owner")));
	assert_string(root, "reasons.0.code", "errors_worse");
	assert_string(root, "reasons.0.endpoint", "POST /pay");
	assert_true(cJSON_IsNull(at(root, "reasons.1.endpoint")));
	assert_number(root, "eta_seconds", 240);
	assert_number(root, "alpha", 0.05);
	assert_string(root, "guards.1.name", "minimum_data");
	assert_true(cJSON_IsFalse(at(root, "guards.1.ok")));
	assert_number(root, "endpoints.0.n_c", 100);
	assert_number(root, "endpoints.0.bad_b", 5);
	assert_number(root, "endpoints.0.ratio", 8);
	assert_int_equal(cJSON_GetArraySize(at(root, "endpoints.0.ratio_interval")), 2);
	assert_number(root, "endpoints.0.ratio_interval.1", 40);
	assert_number(root, "endpoints.0.log_e_slow_good", 0.25);
	assert_true(cJSON_IsNull(at(root, "endpoints.0.slow_threshold")));
	cJSON_Delete(root);
	free(text);

	x->judged[0].has_ratio = false;
	text = json_verdict(&x->c.verdict);
	assert_non_null(strstr(text, "\"ratio\":null,\"ratio_interval\":null"));
	free(text);
	close_shop(x);
}

static void counts_above_2_to_the_53_and_awkward_doubles_are_exact_in_json(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->ep[0].arm[ARM_BASELINE].requests = UINT64_MAX;
	x->ep[0].arm[ARM_BASELINE].connections = (1ULL << 53) + 1;
	x->c.seconds = 0.1 + 0.2;
	x->c.overhead.agent_cpu_seconds = 0.1;
	x->c.verdict.alpha = 5e-300;
	text = json_comparison(&x->c);
	assert_non_null(strstr(text, "\"requests\":18446744073709551615,"));
	assert_non_null(strstr(text, "\"connections\":9007199254740993,"));
	assert_non_null(strstr(text, "\"seconds\":0.30000000000000004,"));
	assert_non_null(strstr(text, "\"agent_cpu_seconds\":0.1,"));
	assert_non_null(strstr(text, "\"alpha\":5e-300,"));
	free(text);
	close_shop(x);
}

static long allowed_allocations, live_allocations;

static void *failing_malloc(size_t size)
{
	if (allowed_allocations-- <= 0)
		return NULL;
	live_allocations++;
	return malloc(size);
}

static void counting_free(void *p)
{
	live_allocations -= p != NULL;
	free(p);
}

static void memory_that_runs_out_at_any_allocation_gives_no_document_and_no_leak(void **state)
{
	cJSON_Hooks hooks = { failing_malloc, counting_free };
	struct fixture *x = shop();
	char *text = NULL;
	long n;

	cJSON_InitHooks(&hooks);
	for (n = 0; !text && n < 100000; n++) {
		allowed_allocations = n;
		live_allocations = 0;
		text = json_comparison(&x->c);
		assert_int_equal(live_allocations, text ? 1 : 0);
	}
	assert_non_null(text);
	assert_true(n > 100);
	free(text);
	text = NULL;
	for (n = 0; !text && n < 100000; n++) {
		allowed_allocations = n;
		live_allocations = 0;
		text = json_verdict(&x->c.verdict);
		assert_int_equal(live_allocations, text ? 1 : 0);
	}
	cJSON_InitHooks(NULL);
	assert_non_null(text);
	free(text);
	close_shop(x);
}

static void top_shows_the_busiest_service_first_and_names_the_quiet_ones(void **state)
{
	struct fixture *busy = shop(), *calm = shop(), *quiet = shop();
	const struct comparison *services[] = { &quiet->c, &calm->c, &busy->c };
	char *text;

	for (int i = 0; i < 2; i++) {
		memset(&busy->ep[i].arm[ARM_CANARY], 0, sizeof(busy->ep[i].arm[ARM_CANARY]));
		memset(&calm->ep[i].arm[ARM_CANARY], 0, sizeof(calm->ep[i].arm[ARM_CANARY]));
		busy->ep[i].critical = calm->ep[i].critical = false;
	}
	busy->c.traffic = (struct service_traffic){ .connections = 77, .http1 = 1000, .http2 = 12345 };
	calm->c.traffic = (struct service_traffic){ .connections = 3, .http1 = 12345 };
	busy->c.service = "nginx 127.0.0.1:80";
	calm->c.service = "node [::1]:3000";
	calm->c.n_endpoints = 1;
	quiet->c.service = "redis 0.0.0.0:6379";
	quiet->c.n_endpoints = quiet->c.n_notes = 0;
	text = shown_top(services, 3, SHOW_TERMINAL, 80, 24);
	without_cursor(text);
	assert_string_equal(text, "  ENDPOINT               REQUESTS     /S         ERRORS     p50     p95     p99\n"
	                          "nginx 127.0.0.1:80 (HTTP/1, HTTP/2): 13,345 requests, 222/s, 77 connections\n"
	                          "  GET /                    12,345    206       0     0%  977 us  977 us  977 us\n"
	                          "  POST /pay                 1,000   16.7       5  0.50% 1.95 ms 1.95 ms 1.95 ms\n"
	                          "node [::1]:3000 (HTTP/1): 12,345 requests, 206/s, 3 connections\n"
	                          "  GET /                    12,345    206       0     0%  977 us  977 us  977 us\n"
	                          "\n"
	                          "No requests yet: redis 0.0.0.0:6379\n"
	                          "Overhead: kernel 450 ns per request, agent 0.17% of a core and 20.0 MiB\n");
	free(text);
	text = shown_top(services, 3, SHOW_LINES, 0, 0);
	assert_non_null(
		strstr(text, "service nginx 127.0.0.1:80 requests=13345 rate=222.42 protocols=HTTP/1,HTTP/2\n"));
	assert_non_null(strstr(
		text, "endpoint \"POST /pay\" service=nginx 127.0.0.1:80 requests=1000 rate=16.67 errors=5(0.50%) "
		      "p50=1.95ms p95=1.95ms p99=1.95ms\n"));
	assert_non_null(strstr(text, "waiting redis 0.0.0.0:6379\n"));
	free(text);
	text = shown_top(NULL, 0, SHOW_TERMINAL, 80, 24);
	assert_non_null(strstr(text, "No service listens on this host yet"));
	free(text);
	close_shop(busy);
	close_shop(calm);
	close_shop(quiet);
}

static void top_tells_grpc_from_other_http2_by_its_endpoints(void **state)
{
	struct fixture *rest = shop(), *calls = shop();
	const struct comparison *services[] = { &rest->c, &calls->c };
	char *text;

	for (int i = 0; i < 2; i++) {
		memset(&rest->ep[i].arm[ARM_CANARY], 0, sizeof(rest->ep[i].arm[ARM_CANARY]));
		memset(&calls->ep[i].arm[ARM_CANARY], 0, sizeof(calls->ep[i].arm[ARM_CANARY]));
	}
	rest->c.service = "rest";
	calls->c.service = "calls";
	rest->c.traffic = (struct service_traffic){ .connections = 2, .http2 = 12 };
	calls->c.traffic = (struct service_traffic){ .connections = 2, .http2 = 12 };
	calls->ep[1].name = "gRPC /shop.Checkout/Pay";
	rest->ep[2].name = "gRPC /shop.Checkout/Never"; /* nobody called it */
	text = shown_top(services, 2, SHOW_TERMINAL, 80, 24);
	assert_non_null(strstr(text, "rest (HTTP/2): "));
	assert_non_null(strstr(text, "calls (HTTP/2, gRPC): "));
	free(text);
	text = shown_top(services, 2, SHOW_LINES, 0, 0);
	assert_non_null(strstr(text, "service rest requests=13345 rate=222.42 protocols=HTTP/2\n"));
	assert_non_null(strstr(text, "service calls requests=13345 rate=222.42 protocols=HTTP/2,gRPC\n"));
	free(text);
	close_shop(rest);
	close_shop(calls);
}

static void figures_have_three_digits_and_the_right_unit(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} durations[] = {
		{ 0, "0 ns" }, { 1e-9, "<10 ns" }, { 950e-9, "950 ns" }, { 999.4e-9, "999 ns" }, { 999.6e-9, "1.00 us" },
		{ 0.00124, "1.24 ms" }, { 0.009996, "10.0 ms" }, { 0.0124, "12.4 ms" }, { 0.124, "124 ms" },
		{ 0.9996, "1.00 s" }, { 59.94, "59.9 s" }, { 59.96, "1m 00s" }, { 250, "4m 10s" }, { 3599.6, "1h 00m" },
		{ 7500, "2h 05m" }, { 273600, "3d 04h" },
		      { 100 * 86400 + 7200, "100d" }, { 1e30, ">999d" }, { NAN, "-" }, { INFINITY, "-" }, { -1, "-" },
	}, ratios[] = {
		{ 1.46, "x1.46" }, { 9.996, "x10.0" }, { 12.34, "x12.3" }, { 99.96, "x100" }, { 999.6, "x1k" },
		{ 15000, "x15k" }, { 1e9, ">x1M" }, { 0.001, "<x.01" }, { 0, "x0.00" }, { INFINITY, "new" }, { NAN, "-" },
	}, shares[] = {
		{ 0, "0%" }, { 0.00001, "<0.01%" }, { 0.0042, "0.42%" }, { 0.09996, "10.0%" }, { 0.5, "50.0%" },
		{ 0.9999, ">99.9%" }, { 1, "100%" }, { 1.2, ">100%" }, { NAN, "-" },
	};

	for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++)
		assert_string_equal(format_duration(durations[i].seconds).s, durations[i].text);
	for (size_t i = 0; i < sizeof(ratios) / sizeof(*ratios); i++)
		assert_string_equal(format_ratio(ratios[i].seconds).s, ratios[i].text);
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++)
		assert_string_equal(format_percent(shares[i].seconds).s, shares[i].text);
	assert_string_equal(format_span(45).s, "45 s");
	assert_string_equal(format_count(0).s, "0");
	assert_string_equal(format_count(1234567).s, "1,234,567");
	assert_string_equal(format_count(UINT64_MAX).s, "18,446,744,073,709,551,615");
	assert_string_equal(format_count_short(9999999).s, "9,999,999");
	assert_string_equal(format_count_short(12345678).s, "12.3 M");
	assert_string_equal(format_count_tiny(999600).s, "1.00 M");
	assert_string_equal(format_bytes(20000000).s, "19.1 MiB");
	assert_string_equal(format_joined(format_duration(0.00124)).s, "1.24ms");
}

static void no_figure_is_wider_than_its_column(void **state)
{
	for (double v = 1e-12; v < 1e25; v *= 1.0137) {
		uint64_t n = v < 1.8e19 ? (uint64_t)v : UINT64_MAX;

		assert_true(strlen(format_duration(v).s) <= DURATION_WIDTH);
		assert_true(strlen(format_span(v).s) <= DURATION_WIDTH);
		assert_true(strlen(format_ratio(v).s) <= RATIO_WIDTH);
		assert_true(strlen(format_percent(v).s) <= PERCENT_WIDTH);
		assert_true(strlen(format_rate(v).s) <= TINY_WIDTH);
		assert_true(strlen(format_count_short(n).s) <= SHORT_WIDTH);
		assert_true(strlen(format_count_tiny(n).s) <= TINY_WIDTH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_comparison_on_a_terminal_of_80_columns_is_the_golden_table),
		cmocka_unit_test(a_comparison_off_a_terminal_is_the_golden_lines),
		cmocka_unit_test(books_that_do_not_balance_are_loud_and_those_that_do_are_quiet),
		cmocka_unit_test(a_wide_terminal_shows_one_line_for_each_endpoint),
		cmocka_unit_test(no_line_is_wider_than_the_screen_and_no_frame_is_higher),
		cmocka_unit_test(a_figure_is_shown_whole_or_not_at_all),
		cmocka_unit_test(endpoints_beyond_the_screen_are_folded_critical_ones_last),
		cmocka_unit_test(an_empty_comparison_says_what_it_waits_for),
		cmocka_unit_test(incomplete_coverage_is_loud),
		cmocka_unit_test(colours_come_only_when_asked_for_and_only_on_a_terminal),
		cmocka_unit_test(hostile_names_are_harmless_on_a_terminal),
		cmocka_unit_test(losses_are_a_line_where_there_are_some_and_null_where_they_were_not_measured),
		cmocka_unit_test(hostile_names_come_out_as_valid_json),
		cmocka_unit_test(what_was_not_measured_is_a_dash_or_null_and_never_nan),
		cmocka_unit_test(the_document_of_a_comparison_keeps_its_contract),
		cmocka_unit_test(endings_that_come_at_any_time_say_whether_the_answer_had_begun),
		cmocka_unit_test(who_cut_what_is_named_as_far_as_it_is_known),
		cmocka_unit_test(the_document_of_a_verdict_keeps_its_contract),
		cmocka_unit_test(counts_above_2_to_the_53_and_awkward_doubles_are_exact_in_json),
		cmocka_unit_test(memory_that_runs_out_at_any_allocation_gives_no_document_and_no_leak),
		cmocka_unit_test(top_shows_the_busiest_service_first_and_names_the_quiet_ones),
		cmocka_unit_test(top_tells_grpc_from_other_http2_by_its_endpoints),
		cmocka_unit_test(figures_have_three_digits_and_the_right_unit),
		cmocka_unit_test(no_figure_is_wider_than_its_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
