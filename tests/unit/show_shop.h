/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A comparison of a shop for the tests of its faces, the faces as texts, and names that would do harm in them. Oracle
 * for UTF-8: iconv.
 */
#ifndef TW_TESTS_SHOW_SHOP_H
#define TW_TESTS_SHOW_SHOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <iconv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static inline void observe(struct arm_figures *a, uint64_t ns, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(latencies__add((struct latencies *)a->lat, TW_LAT_TOTAL, ns), 0);
}

static inline struct arm_figures *set_arm(struct fixture *x, size_t endpoint, enum arm arm, const char *version,
                                          uint64_t ok, uint64_t failed)
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

static inline void add_verdict(struct fixture *x)
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
static inline struct fixture *shop(void)
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

static inline void close_shop(struct fixture *x)
{
	for (size_t i = 0; i < MAX_ENDPOINTS; i++)
		for (int arm = 0; arm < ARM_NR; arm++)
			latencies__free(&x->lat[i][arm]);
	test_free(x);
}

static inline char *shown(const struct comparison *c, enum show_mode mode, int columns, int rows, bool colour,
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

static inline char *shown_top(const struct comparison *const *services, size_t n, enum show_mode mode, int columns,
                              int rows)
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
static inline void without(char *text, const char *sequence)
{
	size_t n = strlen(sequence);

	for (char *at = text; (at = strstr(at, sequence));)
		memmove(at, at + n, strlen(at + n) + 1);
}

static inline void without_cursor(char *text)
{
	without(text, HOME);
	without(text, CLEAR_LINE);
	without(text, CLEAR_BELOW);
}

/* The lines of text fit the screen, and nothing is in them but ASCII that can be printed. */
static inline void assert_fits(const char *text, int columns, int rows)
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

/* Forty endpoints with names and counts that leave no room, everything unusual non-zero. */
static inline struct fixture *crowd(const char *name)
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
	x->c.coverage = (struct coverage){ 1, 2, 3, 4, 5, 6, 7, 8, 9, UINT64_MAX, 11, 12, false, false, { 0 }, { 0 } };
	x->c.ledger.lost_events = 3;
	x->notes[1] = name;
	snprintf(x->c.verdict.reasons[1].text, sizeof(x->c.verdict.reasons[1].text), "%.*s", 250, name);
	return x;
}

static const char hostile[] = "POST /\"quoted\"\\/\033[2J\033]0;title\a/\r\n\t/\x7f/\xc2\x9b"
			      "31m/\xff\xfe/\xe2\x80\xae/\xe2\x82/"
			      "\xf0\x9f\x92\xb3\xf0\x9f\x92\xb3\xf0\x9f\x92\xb3/and-a-tail-that-does-not-end-%s%n-%s%n";

static inline void assert_valid_utf8(const char *text)
{
	size_t in_left = strlen(text), out_left = 4 * in_left + 8;
	char *buffer = test_malloc(out_left), *out = buffer, *in = (char *)(uintptr_t)text;
	iconv_t cd = iconv_open("UTF-32", "UTF-8");

	assert_true(cd != (iconv_t)-1);
	assert_int_equal(iconv(cd, &in, &in_left, &out, &out_left), 0);
	iconv_close(cd);
	test_free(buffer);
}

#endif
