/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The faces of a comparison: golden texts, and what is said of what is missing, lost or cut. Oracles: texts written by
 * hand, and cJSON's parser.
 */
#include <ctype.h>
#include <strings.h>

#include "json_at.h"
#include "show_shop.h"

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

static void an_empty_comparison_says_what_it_waits_for(void **state)
{
	struct fixture *x = shop();
	char *text;

	x->c.n_endpoints = 0;
	x->c.has_verdict = false;
	text = shown(&x->c, SHOW_TERMINAL, 80, 24, false, 240);
	assert_non_null(strstr(text, "No request has ended yet: waiting for v1 (baseline) and v2 (canary)"));
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
	assert_non_null(strstr(text, "Waiting for the first request to end on v2 (canary)"));
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

/* Both are no gaps, and in no version's figures. */
static void what_is_nobodys_and_what_is_of_others_is_shown_where_there_is_some(void **state)
{
	struct fixture *x = shop();
	char *text = shown(&x->c, SHOW_LINES, 0, 0, false, 240);

	assert_null(strstr(text, "withdrawn"));
	assert_null(strstr(text, "foreign"));
	free(text);
	x->c.coverage.h2.withdrawn = 3;
	x->c.coverage.foreign = 9;
	text = shown(&x->c, SHOW_LINES, 0, 0, false, 240);
	assert_non_null(strstr(text, "coverage complete"));
	assert_non_null(strstr(text, " withdrawn=3"));
	assert_non_null(strstr(text, " foreign=9"));
	free(text);
	text = shown(&x->c, SHOW_TERMINAL, 400, 40, false, 240);
	assert_non_null(strstr(text, ", 3 withdrawn, 9 of processes of no version"));
	free(text);
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
	char *lines, *table;
	cJSON *root;

	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	x->c.cuts = cuts;
	x->c.n_cuts = 4;
	x->c.cuts_other = 7;
	lines = shown(&x->c, SHOW_LINES, 0, 0, false, NAN);
	table = shown(&x->c, SHOW_TERMINAL, 200, 60, false, NAN);
	root = parsed(json_comparison(&x->c));
	assert_non_null(strstr(lines, "\ncut \"GET /\" version=v1 truncated pid=4711 exe=\"/usr/sbin/nginx\""
	                              " started=10:00:00 build=0123456789ab cause=reader count=12\n"
	                              "cut \"-\" version=- reset_by_server pid=- cause=- count=3\n"
	                              "cut \"GET /\" version=v2 reset_by_server pid=99 exe=\"-\" started=- build=-"
	                              " cause=closer count=1\nmore cuts=7\n"));
	assert_null(strstr(lines, "reset_by_client"));
	assert_non_null(
		strstr(table, "v1 GET /: 12 truncated by nginx, pid 4711 started 10:00:00, build 0123456789ab"));
	assert_non_null(strstr(table, "3 reset_by_server; no process had read them, who closed them is not known"));
	size_is(root, "cuts", 4);
	text_is(root, "cuts.0.build_id", build_id);
	text_is(root, "cuts.0.started", "2026-11-21T10:00:00Z");
	text_is(root, "cuts.0.arm", "baseline");
	number_is(root, "cuts.0.pid", 4711);
	text_is(root, "cuts.1.outcome", "reset_by_client");
	null_is(root, "cuts.2.pid");
	null_is(root, "cuts.2.cause");
	null_is(root, "cuts.2.version");
	null_is(root, "cuts.2.started");
	text_is(root, "cuts.3.cause", "closer");
	number_is(root, "cuts_other", 7);
	number_is(root, "cuts_lost", 0);
	cJSON_Delete(root);
	free(table);
	free(lines);
	close_shop(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_comparison_on_a_terminal_of_80_columns_is_the_golden_table),
		cmocka_unit_test(a_comparison_off_a_terminal_is_the_golden_lines),
		cmocka_unit_test(books_that_do_not_balance_are_loud_and_those_that_do_are_quiet),
		cmocka_unit_test(an_empty_comparison_says_what_it_waits_for),
		cmocka_unit_test(incomplete_coverage_is_loud),
		cmocka_unit_test(what_is_nobodys_and_what_is_of_others_is_shown_where_there_is_some),
		cmocka_unit_test(losses_are_a_line_where_there_are_some_and_null_where_they_were_not_measured),
		cmocka_unit_test(what_was_not_measured_is_a_dash_or_null_and_never_nan),
		cmocka_unit_test(who_cut_what_is_named_as_far_as_it_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
