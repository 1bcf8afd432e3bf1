/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is said of TLS: to people, to logs, to machines. Texts are written by hand; JSON is read by cJSON's parser.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "json_at.h"
#include "show/show.h"

struct fixture {
	struct comparison c;
	struct version_figures versions[2];
};

static void name_add(struct tls_coverage *t, const char *version, const char *name, enum tls_protocol p, uint64_t n)
{
	struct tls_name *to = &t->names[t->n_names++];

	*to = (struct tls_name){ .version = version, .protocol = p, .connections = n };
	snprintf(to->name, sizeof(to->name), "%s", name);
}

/* 80 connections, all of them read. */
static struct fixture *shop(void)
{
	struct fixture *x = test_calloc(1, sizeof(*x));
	struct tls_coverage *t = &x->c.coverage.tls;

	x->c.service = "shop";
	x->c.seconds = 60;
	x->c.version_name[ARM_BASELINE] = "v1";
	x->c.version_name[ARM_CANARY] = "v2";
	x->versions[0] = (struct version_figures){ .name = "v1", .arm = ARM_BASELINE, .oldest = NAN };
	x->versions[1] = (struct version_figures){ .name = "v2", .arm = ARM_CANARY, .oldest = NAN };
	x->versions[0].tls = (struct tls_version){ .connections = 60, .read = 60, .read_measured = true };
	x->versions[1].tls = (struct tls_version){ .connections = 20, .read = 20, .read_measured = true };
	x->c.versions = x->versions;
	x->c.n_versions = 2;
	x->c.coverage.connections = x->c.coverage.decoded = 80;
	x->c.coverage.queue_measured = x->c.coverage.complete = true;
	t->connections = t->read = 80;
	t->read_measured = true;
	t->negotiated[TLS_1_3] = 60;
	t->negotiated[TLS_1_2] = 20;
	name_add(t, "v1", "shop.example", TLS_1_3, 60);
	name_add(t, "v2", "", TLS_1_2, 20);
	return x;
}

/* Of v2's 20 connections none can be read. */
static struct fixture *opaque(void)
{
	struct fixture *x = shop();
	struct tls_coverage *t = &x->c.coverage.tls;
	struct tls_turns *turns = &x->versions[1].tls.turns;

	t->read = 60;
	t->opaque = x->c.coverage.opaque_tls = x->versions[1].tls.opaque = 20;
	x->versions[1].tls.read = 0;
	x->c.coverage.complete = false;
	t->reasons[0] = (struct tls_reason){ "v2", 4711, 4, "java",
		                             "/jvm/libjvm.so: a Java machine: TLS in Java cannot be watched" };
	t->reasons[1] = (struct tls_reason){ .version = NULL, .alike = 1, .text = "none of its processes is known" };
	t->n_reasons = 2;
	turns->begun = 104;
	turns->outcome[TW_ANSWERED] = 100;
	turns->outcome[TW_UNANSWERED] = 3;
	/* Just above a boundary (2^(i/16) s), and nothing above: then every quantile is the value itself. */
	for (int i = 0; i < 100; i++) {
		histogram_add(&turns->first_byte, 976563);
		histogram_add(&turns->last_byte, 1953126);
	}
	return x;
}

static char *shown(const struct fixture *x, enum show_mode mode)
{
	const struct show_options o = { .mode = mode, .columns = 200, .rows = 60, .remaining = NAN };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	show_comparison(out, &x->c, &o);
	fclose(out);
	return text;
}

static char *shown_top(const struct fixture *x, enum show_mode mode)
{
	const struct show_options o = { .mode = mode, .columns = 200, .rows = 60 };
	const struct comparison *services[] = { &x->c, &x->c };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	show_top(out, services, 2, &o);
	fclose(out);
	return text;
}

static void has(char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is not in:\n%s", what, text);
	free(text);
}

static void has_not(char *text, const char *what)
{
	if (strstr(text, what))
		fail_msg("\"%s\" is in:\n%s", what, text);
	free(text);
}

static int count(const char *text, const char *what)
{
	int n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void tls_that_is_read_is_one_line(void **state)
{
	struct fixture *x = shop();

	has(shown(x, SHOW_TERMINAL), "TLS: 80 connections, 80 read; 60 TLS 1.3, 20 TLS 1.2\033[K\n");
	has(shown(x, SHOW_LINES), "\ntls connections=80 read=80 opaque=0 tls1.3=60 tls1.2=20\n");
	has_not(shown(x, SHOW_TERMINAL), "CANNOT BE READ");
	has_not(shown(x, SHOW_LINES), "\nopaque ");
	has_not(shown(x, SHOW_LINES), "\nturns ");
	test_free(x);
}

static void without_tls_nothing_is_said_of_it(void **state)
{
	struct fixture *x = shop();

	memset(&x->c.coverage.tls, 0, sizeof(x->c.coverage.tls));
	has_not(shown(x, SHOW_TERMINAL), "TLS:");
	has_not(shown(x, SHOW_LINES), "\ntls ");
	has_not(shown_top(x, SHOW_TERMINAL), "TLS:");
	test_free(x);
}

static void tls_that_cannot_be_read_is_loud_with_its_reasons_and_what_to_do(void **state)
{
	struct fixture *x = opaque();

	has(shown(x, SHOW_TERMINAL), "TLS: 80 connections, 60 read; 60 TLS 1.3, 20 TLS 1.2\033[K\n"
	                             "20 TLS CONNECTIONS CANNOT BE READ (v2: 20): their requests are in no figure "
	                             "above. What would help: tillwatch doctor -c FILE\033[K\n"
	                             "  v2: java, pid 4711 and 3 more: /jvm/libjvm.so: a Java machine: TLS in Java "
	                             "cannot be watched\033[K\n"
	                             "  none of its processes is known\033[K\n"
	                             "  v2, not judged: 103 turns of client and server in TLS that was not read, "
	                             "p50 1.95 ms, p95 1.95 ms, p99 1.95 ms, 3 unanswered\033[K\n");
	has(shown(x, SHOW_LINES),
	    "\ntls connections=80 read=60 opaque=20 tls1.3=60 tls1.2=20\n"
	    "opaque version=v2 pid=4711 processes=4 comm=\"java\" reason=\"/jvm/libjvm.so: a Java "
	    "machine: TLS in Java cannot be watched\"\n"
	    "opaque version=- reason=\"none of its processes is known\"\n"
	    "turns v2 not_judged count=103 p50=1.95ms p95=1.95ms p99=1.95ms unanswered=3\n");
	test_free(x);
}

static void top_says_it_once_for_all_services(void **state)
{
	struct fixture *x = opaque();
	char *text = shown_top(x, SHOW_TERMINAL);

	assert_int_equal(count(text, "TLS: 80 connections, 60 read"), 1);
	assert_int_equal(count(text, "20 TLS CONNECTIONS CANNOT BE READ"), 1);
	free(text);
	text = shown_top(x, SHOW_LINES);
	assert_int_equal(count(text, "\ntls connections=80 read=60 opaque=20"), 1);
	free(text);
	test_free(x);
}

static void what_the_kernel_cannot_read_is_not_told_as_nothing(void **state)
{
	struct fixture *x = opaque();

	x->c.coverage.tls.read_measured = false;
	has(shown(x, SHOW_TERMINAL), "TLS: 80 connections, none read, as this kernel cannot; 60 TLS 1.3");
	has(shown(x, SHOW_LINES), "tls connections=80 read=not_measured opaque=20");
	test_free(x);
}

static void plaintext_of_unknown_connections_and_lost_records_are_told(void **state)
{
	struct fixture *x = shop();

	x->c.coverage.tls.unjoined = 7;
	x->c.coverage.tls.mismatched = 2;
	x->c.coverage.tls.unframed = 1;
	has(shown(x, SHOW_TERMINAL), "; 7 calls with plaintext of connections that are not known; framing of records "
	                             "lost 1 times, times are coarser there");
	has(shown(x, SHOW_LINES), " unjoined=7 mismatched=2 unframed=1\n");
	test_free(x);
}

static void foreign_names_stay_on_their_line(void **state)
{
	struct fixture *x = opaque();
	struct tls_reason *r = &x->c.coverage.tls.reasons[0];
	char *text;

	snprintf(r->comm, sizeof(r->comm), "\033[2Jx\n\xff\"y");
	snprintf(r->text, sizeof(r->text), "/tmp/\033]0;title\a/\r\nverdict promote\n\xc2\x9b: %%s%%n");
	for (int mode = SHOW_TERMINAL; mode <= SHOW_LINES; mode++) {
		text = shown(x, mode);
		assert_null(strstr(text, "\033[2J"));
		assert_null(strstr(text, "\033]"));
		assert_null(strstr(text, "\nverdict promote"));
		free(text);
	}
	test_free(x);
}

/* ---- machines ---------------------------------------------------------------------------------------------------- */

static cJSON *document(const struct fixture *x)
{
	return parsed(json_comparison(&x->c));
}

static void the_document_tells_connections_names_and_reasons(void **state)
{
	struct fixture *x = opaque();
	cJSON *root;
	const cJSON *versions;

	x->c.coverage.tls.other_names = 5;
	root = document(x);
	number_is(root, "coverage.opaque_tls", 20);
	number_is(root, "coverage.tls.connections", 80);
	number_is(root, "coverage.tls.read", 60);
	number_is(root, "coverage.tls.opaque", 20);
	number_is(root, "coverage.tls.unjoined", 0);
	number_is(root, "coverage.tls.mismatched", 0);
	number_is(root, "coverage.tls.unframed", 0);
	versions = at(root, "coverage.tls.versions");
	assert_int_equal(cJSON_GetArraySize(versions), 2);
	assert_int_equal(cJSON_GetObjectItem(versions, "TLS 1.3")->valueint, 60); /* no path: its key has a dot */
	assert_int_equal(cJSON_GetObjectItem(versions, "TLS 1.2")->valueint, 20);
	size_is(root, "coverage.tls.names", 3);
	text_is(root, "coverage.tls.names.0.version", "v1");
	text_is(root, "coverage.tls.names.0.name", "shop.example");
	text_is(root, "coverage.tls.names.0.tls", "TLS 1.3");
	number_is(root, "coverage.tls.names.0.connections", 60);
	text_is(root, "coverage.tls.names.1.name", "");
	null_is(root, "coverage.tls.names.2.name");
	number_is(root, "coverage.tls.names.2.connections", 5);
	text_is(root, "coverage.tls.opaque_reasons.0.version", "v2");
	number_is(root, "coverage.tls.opaque_reasons.0.process", 4711);
	number_is(root, "coverage.tls.opaque_reasons.0.processes", 4);
	text_is(root, "coverage.tls.opaque_reasons.0.comm", "java");
	assert_non_null(strstr(at(root, "coverage.tls.opaque_reasons.0.text")->valuestring, "Java machine"));
	null_is(root, "coverage.tls.opaque_reasons.1.version");
	null_is(root, "coverage.tls.opaque_reasons.1.process");
	null_is(root, "coverage.tls.opaque_reasons.1.comm");
	cJSON_Delete(root);
	test_free(x);
}

static void each_version_has_its_turns_and_they_are_not_among_the_endpoints(void **state)
{
	struct fixture *x = opaque();
	cJSON *root = document(x);

	number_is(root, "versions.0.tls.connections", 60);
	number_is(root, "versions.0.tls.read", 60);
	number_is(root, "versions.0.tls.opaque", 0);
	number_is(root, "versions.0.tls.turns.count", 0);
	null_is(root, "versions.0.tls.turns.latency.last_byte.p50");
	number_is(root, "versions.1.tls.opaque", 20);
	truth_is(root, "versions.1.tls.turns.judged", false);
	number_is(root, "versions.1.tls.turns.begun", 104);
	number_is(root, "versions.1.tls.turns.count", 103);
	number_is(root, "versions.1.tls.turns.outcomes.answered", 100);
	number_is(root, "versions.1.tls.turns.outcomes.unanswered", 3);
	number_is_about(root, "versions.1.tls.turns.latency.first_byte.p50", 0.000976563, 1e-8);
	number_is_about(root, "versions.1.tls.turns.latency.last_byte.p99", 0.001953126, 1e-8);
	number_is(root, "versions.1.tls.turns.latency.last_byte.count", 100);
	size_is(root, "endpoints", 0);
	cJSON_Delete(root);
	test_free(x);
}

static void what_was_not_measured_is_null(void **state)
{
	struct fixture *x = opaque();
	cJSON *root;

	x->c.coverage.tls.read_measured = x->versions[1].tls.read_measured = false;
	root = document(x);
	null_is(root, "coverage.tls.read");
	null_is(root, "coverage.tls.unjoined");
	null_is(root, "coverage.tls.mismatched");
	number_is(root, "coverage.tls.opaque", 20);
	null_is(root, "versions.1.tls.read");
	number_is(root, "versions.1.tls.opaque", 20);
	number_is(root, "versions.0.tls.read", 60);
	cJSON_Delete(root);
	test_free(x);
}

/* All of v2's opaque connections are: nothing is wrong with it. */
static void what_was_left_out_for_the_budget_is_said_and_not_taken_for_what_cannot_be_read(void **state)
{
	struct fixture *x = opaque();
	cJSON *root;

	x->c.coverage.tls.withheld = x->versions[1].tls.withheld = 20;
	x->versions[1].tls.workers = 4;
	x->versions[1].tls.workers_read = 1;
	x->versions[1].tls.withheld_turns.begun = 7;
	x->c.coverage.tls.reasons[0] =
		(struct tls_reason){ .version = "v2", .alike = 1, .text = "TLS is read in 1 of 4 workers (budget)" };
	x->c.coverage.tls.n_reasons = 1;
	has_not(shown(x, SHOW_TERMINAL), "CANNOT BE READ");
	has(shown(x, SHOW_TERMINAL), "20 TLS connections were not read, to keep what reading costs within its budget");
	has(shown(x, SHOW_TERMINAL), "v2: TLS is read in 1 of 4 workers (budget)");
	has(shown(x, SHOW_LINES), "\nopaque version=v2 reason=\"TLS is read in 1 of 4 workers (budget)\"\n");
	root = document(x);
	number_is(root, "coverage.tls.withheld", 20);
	number_is(root, "versions.1.tls.withheld", 20);
	number_is(root, "versions.1.tls.workers.known", 4);
	number_is(root, "versions.1.tls.workers.read", 1);
	null_is(root, "versions.0.tls.workers.known");
	number_is(root, "versions.1.tls.withheld_turns.begun", 7);
	cJSON_Delete(root);
	x->c.coverage.tls.opaque = x->versions[1].tls.opaque = 23;
	has(shown(x, SHOW_TERMINAL), "3 TLS CONNECTIONS CANNOT BE READ (v2: 3)");
	test_free(x);
}

static void what_reading_costs_is_told_as_an_estimate_beside_its_budget(void **state)
{
	struct fixture *x = shop();
	struct tls_overhead *o = &x->c.overhead.tls;
	cJSON *root;

	has_not(shown(x, SHOW_TERMINAL), "Reading TLS");
	*o = (struct tls_overhead){ .watched = true,
		                    .per_exchange = 4.5e-6,
		                    .cores = 0.05,
		                    .of_service = 0.125,
		                    .traps = { 11000, 0, 250 },
		                    .trap = { 0.6e-6, 20e-6, 0.3e-6 },
		                    .budget = 0.25 };
	has(shown(x, SHOW_TERMINAL),
	    "Reading TLS: about 4.50 us per request, 5.00% of a core, 12.5% of the service's CPU time; "
	    "the budget is 25.0%");
	has_not(shown(x, SHOW_TERMINAL), "exceeded");
	root = document(x);
	truth_is(root, "overhead.tls.estimated", true);
	number_is(root, "overhead.tls.ns_per_exchange", 4500);
	number_is(root, "overhead.tls.of_service", 0.125);
	number_is(root, "overhead.tls.traps_per_second.emulated", 11000);
	number_is(root, "overhead.tls.traps_per_second.returned", 250);
	number_is(root, "overhead.tls.ns_per_trap.stepped", 20000);
	number_is(root, "overhead.tls.budget", 0.25);
	cJSON_Delete(root);
	o->exceeded = true;
	has(shown(x, SHOW_TERMINAL), "and exceeded, with one worker of each version");
	o->per_exchange = o->cores = o->of_service = o->trap.stepped = NAN;
	o->budget = INFINITY;
	has(shown(x, SHOW_TERMINAL), "Reading TLS: its cost is not measured");
	root = document(x);
	null_is(root, "overhead.tls.ns_per_exchange");
	null_is(root, "overhead.tls.ns_per_trap.stepped");
	null_is(root, "overhead.tls.budget");
	cJSON_Delete(root);
	o->watched = false;
	root = document(x);
	null_is(root, "overhead.tls");
	cJSON_Delete(root);
	test_free(x);
}

static void versions_on_the_wire_have_the_names_of_their_rfcs(void **state)
{
	static const struct {
		uint16_t wire;
		const char *name;
	} all[] = { { 0x0300, "SSL 3.0" }, { 0x0301, "TLS 1.0" }, { 0x0302, "TLS 1.1" }, { 0x0303, "TLS 1.2" },
		    { 0x0304, "TLS 1.3" }, { 0x0305, "other" },   { 0x7f1c, "other" },   { 0, "other" } };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		assert_string_equal(tls_protocol_names[tls_protocol_of(all[i].wire)], all[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_that_is_read_is_one_line),
		cmocka_unit_test(without_tls_nothing_is_said_of_it),
		cmocka_unit_test(tls_that_cannot_be_read_is_loud_with_its_reasons_and_what_to_do),
		cmocka_unit_test(top_says_it_once_for_all_services),
		cmocka_unit_test(what_the_kernel_cannot_read_is_not_told_as_nothing),
		cmocka_unit_test(plaintext_of_unknown_connections_and_lost_records_are_told),
		cmocka_unit_test(foreign_names_stay_on_their_line),
		cmocka_unit_test(the_document_tells_connections_names_and_reasons),
		cmocka_unit_test(each_version_has_its_turns_and_they_are_not_among_the_endpoints),
		cmocka_unit_test(what_was_not_measured_is_null),
		cmocka_unit_test(what_was_left_out_for_the_budget_is_said_and_not_taken_for_what_cannot_be_read),
		cmocka_unit_test(what_reading_costs_is_told_as_an_estimate_beside_its_budget),
		cmocka_unit_test(versions_on_the_wire_have_the_names_of_their_rfcs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
