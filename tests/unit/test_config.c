// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: config model base
 *
 * Without sanitizers this program brings its own malloc, which counts what is alive and can fail at the n-th call; with
 * them, the sanitizer looks for leaks and the failing-malloc test is skipped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_text.h"

/* Everything the manual shows. */
static const char full[] =
	"service: shop\n"
	"versions:\n"
	"  v1: { arm: baseline, match: { listen: \"127.0.0.1:8081\" } }   # a comment\n"
	"  v2:\n"
	"    arm: canary\n"
	"    match: { cgroup: /shop-v2.slice/, exe: /opt/shop, unit: shop-v2, env: V=2,\n"
	"             build_id: 9F3A41C0, pid: 4711, upstream: \"[2001:db8::1]:8080\" }\n"
	"  v3: { arm: other, match: { listen: 8081, env: A= } }\n"
	"endpoints:\n"
	"  - { route: \"POST /checkout\", critical: true, value: \"62.50 EUR\",\n"
	"      slo: { p95: 300ms, error_rate: 0.5% }, weight: 30%, fail_fast: true, unit: checkout, max_error_ratio: 1.1,\n"
	"      max_latency_increase: 5%, bad: { statuses: [5xx, 404], outcomes: [timeout], slower_than: 2s } }\n"
	"  - route: GET /cart/{id}\n"
	"  - route: \"* /{any}/items\"\n"
	"    critical: false\n"
	"gate:    { alpha: 0.01, max_error_ratio: 1.25, max_latency_increase: 0.1, min_requests: 700,\n"
	"           warmup: 1m, tick: 2.5s, timeout: 90s, promote_alpha: 0.02, deadline: 45m, at_deadline: rollback,\n"
	"           share_tolerance: 20%, max_dropped_sessions: 25, mode: before_after, bad: { slower_than: never } }\n"
	"stages:  [5%, 25%, 0.5, 100%]\n"
	"limits: { endpoints: 42 }\n"
	"units: { checkout: { owner: \"team-pay\", max_error_ratio: 1.2, max_latency_increase: 10%,\n"
	"                     bad: { statuses: [5xx, 429] } } }\n";

static void every_key_of_a_version_arrives(void **state)
{
	static const uint8_t v4[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };
	struct config *c = parse_ok(full);
	const struct match *m;
	uint8_t v6[16];

	assert_string_equal(c->file, "shop.yaml");
	assert_string_equal(c->service, "shop");
	assert_int_equal(c->n_versions, 3);
	assert_string_equal(c->versions[0].name, "v1");
	assert_int_equal(c->versions[0].line, 3);
	m = &c->versions[0].match;
	assert_true(m->has_listen && !m->has_upstream && !m->listen.any_addr && !m->cgroup && !m->exe && !m->pid);
	assert_int_equal(m->listen.port, 8081);
	assert_memory_equal(m->listen.addr, v4, 16);
	m = &c->versions[1].match;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", v6), 1);
	assert_true(m->has_upstream && !m->has_listen);
	assert_memory_equal(m->upstream.addr, v6, 16);
	assert_string_equal(m->cgroup, "/shop-v2.slice");
	assert_string_equal(m->exe, "/opt/shop");
	assert_string_equal(m->unit, "shop-v2.service");
	assert_string_equal(m->env, "V=2");
	assert_string_equal(m->build_id, "9f3a41c0");
	assert_int_equal(m->pid, 4711);
	assert_int_equal(c->versions[1].line, 4);
	assert_true(c->versions[2].match.listen.any_addr);
	assert_int_equal(config__version_of_arm(c, ARM_BASELINE), 0);
	assert_int_equal(config__version_of_arm(c, ARM_CANARY), 1);
	assert_int_equal(config__version_of_arm(c, ARM_OTHER), 2);
	config__free(c);
}

static void every_key_of_an_endpoint_arrives(void **state)
{
	struct config *c = parse_ok(full);

	assert_int_equal(c->n_routes, 3);
	assert_string_equal(c->routes[0].name, "POST /checkout");
	assert_string_equal(c->routes[0].method, "POST");
	assert_string_equal(c->routes[0].path, "/checkout");
	assert_true(c->routes[0].critical && c->routes[0].value.set);
	assert_true(c->routes[0].value.amount == 62.5);
	assert_string_equal(c->routes[0].value.currency, "EUR");
	assert_true(c->routes[0].slo.p95 == 0.3 && c->routes[0].slo.p50 == 0.0);
	assert_true(c->routes[0].slo.error_rate == 0.005);
	assert_string_equal(c->routes[1].path, "/cart/{id}");
	assert_true(!c->routes[1].critical && !c->routes[1].value.set && c->routes[1].slo.error_rate < 0.0);
	assert_int_equal(c->routes[1].line, 13);
	assert_string_equal(c->routes[2].method, "*");
	config__free(c);
}

static void gate_stages_and_limits_arrive(void **state)
{
	static const double stages[] = { 0.05, 0.25, 0.5, 1.0 };
	struct config *c = parse_ok(full);

	assert_true(c->gate.alpha == 0.01 && c->gate.max_error_ratio == 1.25 && c->gate.max_latency_increase == 0.1);
	assert_true(c->gate.min_requests == 700 && c->gate.warmup == 60.0 && c->gate.tick == 2.5 &&
	            c->gate.timeout == 90.0);
	assert_int_equal(c->n_stages, 4);
	assert_memory_equal(c->stages, stages, sizeof(stages));
	assert_int_equal(c->max_endpoints, 42);
	config__free(c);
}

static void what_is_left_out_has_the_documented_default(void **state)
{
	struct config *c = parse_ok(HEAD);

	assert_true(c->gate.alpha == 0.05 && c->gate.max_error_ratio == 1.5 && c->gate.max_latency_increase == 0.20);
	assert_true(c->gate.min_requests == 500 && c->gate.warmup == 10.0 && c->gate.tick == 5.0 &&
	            c->gate.timeout == 30.0);
	assert_int_equal(c->max_endpoints, 500);
	assert_true(c->overhead.budget == 0.25);
	assert_true(c->cost.budget == 0.02 && c->cost.floor == 0.02);
	assert_int_equal(c->n_routes + c->n_stages, 0);
	assert_int_equal(config__version_of_arm(c, ARM_CANARY), -1);
	config__free(c);
}

static void a_text_that_is_no_yaml_is_refused_with_its_line(void **state)
{
	static const struct refusal cases[] = {
		{ "", 0, "empty" },
		{ "\n\n# nothing but a comment\n", 0, "empty" },
		{ "---\n...\n", 0, "empty" },
		{ "- a\n- b\n", 1, "list" },
		{ "just words\n", 1, "service: shop" },
		{ HEAD "gate: { alpha: 0.05\n", 4, "YAML" },
		{ HEAD "endpoints:\n\t- { route: \"GET /\" }\n", 5, "tabs" },
		{ HEAD "endpoints: [ { route: GET /cart/{id} } ]\n", 4, "quote" },
		{ HEAD "gate\nstages: [5%]\n", 4, "expected ':'" },
		{ HEAD "---\nservice: t\n", 4, "second document" },
		{ HEAD "gate: &a { alpha: 0.05 }\n", 4, "anchors" },
		{ HEAD "stages: [ &x 5%, *x ]\n", 4, "anchors" },
		{ HEAD "gate: *a\n", 4, "aliases" },
		{ HEAD "service2: !!str x\n", 4, "tags" },
		{ HEAD "? [a, b]\n: c\n", 4, "key" },
		{ "service: \"a\\0b\"\n", 1, "control character" },
		{ "service: \"a\\e[31mb\"\n", 1, "control character" },
		{ "service: \"a\\x9bb\"\n", 1, "control character" },
		{ "service: |\n  two\n  lines\n", 1, "line break" },
		{ "\"a\\nb\": 1\n", 1, "line break" },
		{ "service: a\nx: \xff\xfe\n", 2, "UTF-8" },
		{ "service: a\n\nx: \xc3\n", 3, "UTF-8" },
	};

	REFUSE_ALL(cases);
	refuse_bytes("service: s\nx\0y: 1\n", 18, 2, "NUL");
}

static void unknown_words_are_refused_with_the_nearest_known_one(void **state)
{
	static const struct refusal cases[] = {
		{ HEAD "gait: {}\n", 4, "\"gait\" in configuration: did you mean \"gate\"?" },
		{ HEAD "endpoint: []\n", 4, "did you mean \"endpoints\"?" },
		{ HEAD "gate:\n  alpha: 0.05\n  warmpu: 10s\n", 6, "\"warmpu\" in gate: did you mean \"warmup\"?" },
		{ HEAD "gate: { max_eror_ratio: 2 }\n", 4, "did you mean \"max_error_ratio\"?" },
		{ HEAD "  v2: { arm: canry, match: { pid: 7 } }\n", 4, "arm \"canry\": did you mean \"canary\"?" },
		{ HEAD "  v2: { arm: canary, match: { lisen: 1 } }\n", 4,
		  "\"lisen\" in match: did you mean \"listen\"?" },
		{ HEAD "  v2: { amr: canary }\n", 4, "in version \"v2\": did you mean \"arm\"?" },
		{ HEAD "endpoints: [ { rout: \"GET /\" } ]\n", 4, "did you mean \"route\"?" },
		{ HEAD "endpoints: [ { route: \"GET /\", slo: { p955: 1s } } ]\n", 4, "did you mean \"p95\"?" },
		{ HEAD "limits: { endpoins: 5 }\n", 4, "did you mean \"endpoints\"?" },
		{ HEAD "overhead: { budgte: 5% }\n", 4, "\"budgte\" in overhead: did you mean \"budget\"?" },
		{ HEAD "overhaed: { budget: 5% }\n", 4, "did you mean \"overhead\"?" },
		{ HEAD "limits: { budget: 5% }\n", 4, "it is a key of overhead" },
		{ HEAD "  v2: { arm: canary, listen: 80 }\n", 4, "it is a key of match" },
		{ HEAD "zzzzzzzz: 1\n", 4, "known are service, versions, endpoints, gate, stages, limits" },
		{ HEAD "  v2: { arm: production, match: { pid: 7 } }\n", 4, "known are baseline, canary, other" },
		{ HEAD "\"\": 1\n", 4, "unknown key" },
	};

	REFUSE_ALL(cases);
}

static void wrong_units_are_refused_with_the_right_way_to_write_it(void **state)
{
	static const struct refusal cases[] = {
		{ HEAD "gate: { warmup: 300 }\n", 4, "\"300\" has no unit: write 300ms or 300s" },
		{ HEAD "gate: { warmup: 5 minutes }\n", 4, "not a duration" },
		{ HEAD "gate: { warmup: -5s }\n", 4, "not a duration" },
		{ HEAD "gate: { max_latency_increase: 20 }\n", 4, "write 20%" },
		{ HEAD "gate: { max_latency_increase: 1 }\n", 4, "ambiguous" },
		{ HEAD "gate: { max_latency_increase: 20 % }\n", 4, "not a percentage" },
		{ HEAD "cost: { budget: 2 }\n", 4, "budget \"2\" is ambiguous without a unit: write 2%" },
		{ HEAD "cost: { budget: little }\n", 4, "is not a percentage: write budget: 2%, or off" },
		{ HEAD "cost: { budgte: 2% }\n", 4, "\"budgte\" in cost: did you mean \"budget\"?" },
		{ HEAD "cost: 2%\n", 4, "write cost: { budget: 2% }" },
		{ HEAD "overhead: { budget: 5 }\n", 4, "budget \"5\" is ambiguous without a unit: write 5%" },
		{ HEAD "overhead: { budget: none }\n", 4, "is not a percentage: write budget: 25%, or off" },
		{ HEAD "overhead: { budget: [5%] }\n", 4, "wants a single value" },
		{ HEAD "overhead: { budget: }\n", 4, "write budget: 25%" },
		{ HEAD "overhead: 5%\n", 4, "write overhead: { budget: 25% }" },
		{ HEAD "gate: { max_error_ratio: 150% }\n", 4, "write max_error_ratio: 1.5" },
		{ HEAD "gate: { max_error_ratio: .inf }\n", 4, "not a plain number" },
		{ HEAD "gate: { min_requests: 5e2 }\n", 4, "whole number" },
		{ HEAD "gate: { min_requests: 500.5 }\n", 4, "whole number" },
		{ HEAD "gate: { min_requests: 1234567890123456789012 }\n", 4, "15 digits" },
		{ HEAD "stages: [5, 25]\n", 4, "write 5%" },
		{ HEAD "endpoints: [ { route: \"GET /\", value: 62.50 } ]\n", 4, "62.50 EUR" },
		{ HEAD "endpoints: [ { route: \"GET /\", value: 62,50 EUR } ]\n", 4, "" },
		{ HEAD "endpoints: [ { route: \"GET /\", value: 1 eur } ]\n", 4, "currency" },
		{ HEAD "endpoints: [ { route: \"GET /\", critical: yes } ]\n", 4, "true or false" },
		{ HEAD "endpoints: [ { route: \"GET /\", slo: { p95: 300 } } ]\n", 4, "300ms" },
		{ HEAD "endpoints: [ { route: \"GET /\", slo: { error_rate: 5 } } ]\n", 4, "write 5%" },
	};

	REFUSE_ALL(cases);
}

/* A name that no call has would be waited for for ever. */
static void grpc_is_written_in_one_way(void **state)
{
	static const struct refusal cases[] = {
		{ HEAD "endpoints: [ { route: \"grpc /a.B/C\" } ]\n", 4,
		  "route \"grpc /a.B/C\": a call is written \"gRPC /package.Service/Method\"" },
		{ HEAD "endpoints: [ { route: \"GRPC /a.B/C\" } ]\n", 4, "a call is written \"gRPC /" },
	};

	REFUSE_ALL(cases);
}

/* Where it is at its highest, to raise it is no way out. */
static void more_endpoints_than_there_can_be_are_refused(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputs(HEAD "endpoints:\n", f);
	for (int i = 0; i <= 500; i++)
		fprintf(f, "- { route: \"GET /e%c%c%c\" }\n", 'a' + i / 676, 'a' + i / 26 % 26, 'a' + i % 26);
	fclose(f);
	refuse_bytes(text, size, 505,
	             "501 endpoints with limits: { endpoints: 500 }: name fewer, there can be no more");
	free(text);
}

static void numbers_out_of_range_are_refused_with_the_range(void **state)
{
	static const struct refusal cases[] = {
		{ HEAD "gate: { alpha: 0.6 }\n", 4, "from 0.01% to 50%" },
		{ HEAD "gate: { alpha: 0 }\n", 4, "out of range" },
		{ HEAD "gate: { max_error_ratio: 1 }\n", 4, "from 1.01 to 100" },
		{ HEAD "gate: { max_latency_increase: 1001% }\n", 4, "to 1000%" },
		{ HEAD "gate: { min_requests: 0 }\n", 4, "from 1 to" },
		{ HEAD "gate: { tick: 1ms }\n", 4, "from 0.1s to 300s" },
		{ HEAD "gate: { warmup: 2h }\n", 4, "to 3600s" },
		{ HEAD "limits: { endpoints: 0 }\n", 4, "from 1 to 500" },
		{ HEAD "limits: { endpoints: 501 }\n", 4, "from 1 to 500" },
		{ HEAD "limits: { endpoints: 4294967297 }\n", 4, "from 1 to 500" },
		{ HEAD "overhead: { budget: 0% }\n", 4, "from 0.1% to 100%" },
		{ HEAD "cost: { budget: 0% }\n", 4, "from 0.01% to 100%" },
		{ HEAD "cost: { floor: 101% }\n", 4, "from 0% to 100%" },
		{ HEAD "overhead: { budget: 101% }\n", 4, "from 0.1% to 100%" },
		{ HEAD "stages: [0%]\n", 4, "out of range" },
		{ HEAD "stages: [101%]\n", 4, "out of range" },
		{ HEAD "stages: [50%, 50%]\n", 4, "rise" },
		{ HEAD "stages: []\n", 4, "1 to 20" },
		{ HEAD "  v2: { arm: canary, match: { pid: 0 } }\n", 4, "from 1 to 4194304" },
		{ HEAD "endpoints: [ { route: \"GET /\", slo: { p50: 2s, p99: 1s } } ]\n", 4, "p99 is below p50" },
		{ HEAD "limits: { endpoints: 1 }\nendpoints:\n- { route: \"GET /a\" }\n- { route: \"GET /b\" }\n", 7,
		  "raise the limit (at most 500)" },
	};

	REFUSE_ALL(cases);
}

static void versions_that_contradict_each_other_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{ "service: s\n", 1, "no \"versions\"" },
		{ "versions: { v1: { arm: baseline, match: { pid: 1 } } }\n", 1, "no \"service\"" },
		{ "service: s\nversions:\n", 2, "versions is nothing" },
		{ "service: s\nversions: {}\n", 2, "empty" },
		{ "service: s\nversions: [v1]\n", 2, "list" },
		{ "service: s\nversions: { v1: x }\n", 2, "wants a mapping" },
		{ "service: s\nversions: { v1: { arm: baseline } }\n", 2, "no \"match\"" },
		{ "service: s\nversions: { v1: { match: { pid: 1 } } }\n", 2, "no \"arm\"" },
		{ "service: s\nversions: { v1: { arm: baseline, match: {} } }\n", 2, "matches by nothing" },
		{ "service: s\nversions: { v 1: { arm: baseline, match: { pid: 1 } } }\n", 2, "version name" },
		{ HEAD "  v1: { arm: canary, match: { pid: 7 } }\n", 4, "twice (first on line 3)" },
		{ HEAD "  v2: { arm: baseline, match: { pid: 7 } }\n", 4,
		  "two versions are baseline, \"v1\" (line 3)" },
		{ HEAD "  v2: { arm: canary, match: { pid: 7 } }\n  v3: { arm: canary, match: { pid: 8 } }\n", 5,
		  "two versions are canary" },
		{ HEAD "  v2: { arm: canary, match: { listen: 8081 } }\n", 4, "match the same" },
		{ HEAD "  v2: { arm: canary, match: { listen: \"127.0.0.1:8081\" } }\n", 4, "match the same" },
		{ HEAD "  v2: { arm: canary, match: { listen: \"0.0.0.0:8081\" } }\n", 4, "match the same" },
		{ "service: s\nversions:\n  a: { arm: other, match: { build_id: 0123456789 } }\n"
		  "  b: { arm: other, match: { build_id: 012345678 } }\n",
		  4, "match the same" },
		{ HEAD "service: t\n", 4, "\"service\" is given twice" },
	};

	REFUSE_ALL(cases);
	config__free(parse_ok(HEAD "  v2: { arm: canary, match: { listen: 8081, exe: /opt/v2 } }\n"));
	config__free(parse_ok(HEAD "  v2: { arm: canary, match: { listen: 8082 } }\n"));
	config__free(parse_ok(HEAD "  v2: { arm: canary, match: { upstream: \"127.0.0.1:8081\" } }\n"));
}

#define MATCH(m) HEAD "  v2: { arm: canary, match: { " m " } }\n"

static void a_match_that_can_find_nothing_is_refused(void **state)
{
	static const struct refusal cases[] = {
		{ MATCH("listen: localhost:8082"), 4, "no host names" },
		{ MATCH("listen: [::1]:8082"), 4, "[::1]:8081" },
		{ MATCH("listen: [8082]"), 4, "quote the address" },
		{ MATCH("listen: \"\""), 4, "empty" },
		{ MATCH("listen: 70000"), 4, "is not a port" },
		{ MATCH("upstream: 10.0.0.256:80"), 4, "is not a port" },
		{ MATCH("cgroup: shop.slice"), 4, "cgroup root" },
		{ MATCH("cgroup: /a/../b"), 4, "cgroup root" },
		{ MATCH("cgroup: /sys/fs/cgroup/shop.slice"), 4, "below the cgroup2 mount" },
		{ MATCH("exe: shop"), 4, "absolute path" },
		{ MATCH("exe: /opt/"), 4, "absolute path" },
		{ MATCH("unit: a/b"), 4, "systemd unit" },
		{ MATCH("env: VERSION"), 4, "NAME=VALUE" },
		{ MATCH("env: 2=VERSION"), 4, "NAME=VALUE" },
		{ MATCH("build_id: 1234567"), 4, "hex digits" },
		{ MATCH("build_id: 1234567g"), 4, "hex digits" },
		{ MATCH("pid: self"), 4, "whole number" },
		{ MATCH("exe:"), 4, "nothing" },
	};

	REFUSE_ALL(cases);
}

#define ROUTE(r) HEAD "endpoints: [ { route: \"" r "\" } ]\n"

static void routes_that_could_never_match_are_refused(void **state)
{
	static const struct refusal cases[] = {
		{ ROUTE("/checkout"), 4, "no method" },
		{ ROUTE("GET"), 4, "\"GET /path\"" },
		{ ROUTE("GET  /a"), 4, "one blank" },
		{ ROUTE("GET a"), 4, "one blank" },
		{ ROUTE("get /a"), 4, "capitals" },
		{ ROUTE("G(T /a"), 4, "no method" },
		{ ROUTE("GET /a?b=c"), 4, "query" },
		{ ROUTE("GET /a#b"), 4, "fragment" },
		{ ROUTE("GET /a b"), 4, "percent-encoded" },
		{ ROUTE("GET /caf\xc3\xa9"), 4, "percent-encoded" },
		{ ROUTE("GET /errors/404"), 4,
		  "segment '404' looks like an identifier and is counted as {id}: write {id}" },
		{ ROUTE("GET /b/deadbeef1"), 4, "looks like an identifier" },
		{ ROUTE("GET /a/x{id}"), 4, "whole segment" },
		{ ROUTE("GET /a/{}"), 4, "whole segment" },
		{ ROUTE("GET /a/{1}"), 4, "whole segment" },
		{ ROUTE("GET /a/{...}"), 4, "whole segment" },
		{ ROUTE("GET /a/}{"), 4, "whole segment" },
		{ ROUTE("GET /static/*"), 4, "write {name}" },
		{ HEAD "endpoints:\n- { route: \"GET /a/{x}\" }\n- { route: \"GET /a/{y}\" }\n", 6, "(line 5)" },
		{ HEAD "endpoints: [ \"GET /a\" ]\n", 4, "wants a mapping" },
		{ HEAD "endpoints: [ { critical: true } ]\n", 4, "no \"route\"" },
		{ HEAD "endpoints: { route: \"GET /a\" }\n", 4, "wants a list" },
	};

	REFUSE_ALL(cases);
	config__free(parse_ok(HEAD "endpoints: []\n"));
	config__free(parse_ok(HEAD "endpoints: [ { route: \"OPTIONS *\" }, { route: \"CONNECT (authority)\" },\n"
	                           " { route: \"GET /\" }, { route: \"* /\" }, { route: \"GET /a/\" },\n"
	                           " { route: \"GET /caf%C3%A9/v2/deadbeef\" }, { route: \"GET /{a}/{a}\" } ]\n"));
}

/* Repeats a piece after a head and expects a refusal, quickly. */
static void refuse_repeated(const char *head, const char *piece, size_t bytes, int line, const char *part)
{
	size_t len = strlen(head), step = strlen(piece);
	char *text = malloc(len + bytes + step + 1);

	assert_non_null(text);
	memcpy(text, head, len);
	for (; len < strlen(head) + bytes; len += step)
		memcpy(text + len, piece, step);
	refuse_bytes(text, len, line, part);
	free(text);
}

static void texts_that_want_to_exhaust_the_reader_are_refused(void **state)
{
	refuse_repeated("", "[", 500000, 1, "deeper than 8");
	refuse_repeated("", "{a: ", 500000, 1, "deeper than 8");
	refuse_repeated("a:\n", " - ", 500000, 2, "deeper than 8");
	refuse_repeated("stages: [", "5%,", 900000, 1, "values");
	refuse_repeated("", "? a\n", 900000, 2, "twice");
	refuse_repeated("service: ", "x", 900000, 1, "longer than 128");
	refuse_repeated("", "x", 900000, 1, "service: shop");
	refuse_repeated("", "# comment\n", 1048577, 0, "1 MiB");
	refuse_repeated(HEAD, "a", 200000, 4, "");
	refuse_repeated(HEAD "a", "\xc3\xa9", 700, 4, "");
	refuse_repeated(HEAD "\"", "\xc3\xa9", 700, 4, "");
	refuse_repeated("", "\"\\", 500000, 1, "");
}

static void more_versions_than_the_kernel_can_number_are_refused(void **state)
{
	char text[8192] = "service: s\nversions:\n";
	size_t len = strlen(text);

	for (int i = 1; i <= 64; i++) {
		if (i == 64) {
			struct config *c;
			struct err e;

			assert_int_equal(config__parse(&c, text, len, "shop.yaml", &e), 0);
			config__free(c);
		}
		len += (size_t)snprintf(text + len, sizeof(text) - len, "  v%d: { arm: other, match: { pid: %d } }\n",
		                        i, i);
	}
	refuse_bytes(text, len, 2, "at most 63");
}

static void cutting_the_file_anywhere_is_a_clean_answer(void **state)
{
	for (size_t len = 0; len < sizeof(full); len++) {
		char *text = malloc(len + 1); /* exactly as long as it is, for the sanitizer */
		struct config *c = NULL;
		struct err e;
		int err;

		memcpy(text, full, len);
		err = config__parse(&c, text, len, "shop.yaml", &e);
		assert_true(err == 0 ? c != NULL : err == -EINVAL && !c && e.text[0]);
		config__free(c);
		free(text);
	}
}

static void damaging_any_byte_is_a_clean_answer(void **state)
{
	static const char damage[] = "\0\t\n\r\"'{}[]*&!%#:-\x7f\x80\xff";
	char text[sizeof(full)];

	for (size_t i = 0; i < sizeof(full) - 1; i++) {
		for (size_t k = 0; k < sizeof(damage) - 1; k++) {
			struct config *c = NULL;
			struct err e;
			int err;

			memcpy(text, full, sizeof(full));
			text[i] = damage[k];
			err = config__parse(&c, text, sizeof(full) - 1, "shop.yaml", &e);
			assert_true(err == 0 ? c != NULL : err == -EINVAL && !c && e.text[0]);
			config__free(c);
		}
	}
}

static void a_file_is_loaded_and_one_that_cannot_be_read_says_why(void **state)
{
	char path[] = "/tmp/tw-config-XXXXXX";
	struct config *c = NULL;
	struct err e;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, full, sizeof(full) - 1), sizeof(full) - 1);
	assert_int_equal(config__load(&c, path, &e), 0);
	assert_string_equal(c->file, path);
	config__free(c);
	assert_int_equal(ftruncate(fd, 200L << 20), 0);
	assert_int_equal(config__load(&c, path, &e), -EINVAL);
	assert_non_null(strstr(e.text, "1 MiB"));
	close(fd);
	unlink(path);
	assert_int_equal(config__load(&c, path, &e), -ENOENT);
	assert_non_null(strstr(e.text, path));
	assert_int_equal(config__load(&c, "/", &e), -EISDIR);
	assert_null(c);
}

static void a_long_file_name_does_not_swallow_the_message(void **state)
{
	char name[4000];
	struct config *c;
	struct err e;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(config__parse(&c, "a: 1\n", 5, name, &e), -EINVAL);
	assert_non_null(strstr(e.text, ":1: unknown key \"a\""));
	assert_int_equal(config__parse(&c, "a: 1\n", 5, name, NULL), -EINVAL);
}

#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static long alive, calls, fail_at;

static bool fails(void)
{
	return ++calls == fail_at;
}

void *malloc(size_t size)
{
	void *p = fails() ? NULL : __libc_malloc(size);

	alive += p != NULL;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = fails() ? NULL : __libc_calloc(n, size);

	alive += p != NULL;
	return p;
}

void *realloc(void *old, size_t size)
{
	void *p = fails() ? NULL : __libc_realloc(old, size);

	alive += p && !old;
	return p;
}

void free(void *p)
{
	alive -= p != NULL;
	__libc_free(p);
}

static void any_failing_malloc_is_reported_and_leaks_nothing(void **state)
{
	long before = alive, n;
	int err = -ENOMEM;

	for (n = 1; err; n++) {
		struct config *c = NULL;
		struct err e;

		calls = 0;
		fail_at = n;
		err = config__parse(&c, full, sizeof(full) - 1, "shop.yaml", &e);
		fail_at = 0;
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_null(c);
			assert_non_null(strstr(e.text, "out of memory"));
		}
		config__free(c);
		assert_int_equal(alive, before);
	}
	assert_true(n > 100);
}
#else
static void any_failing_malloc_is_reported_and_leaks_nothing(void **state)
{
	print_message("skipped: the sanitizers have a malloc of their own\n");
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_a_version_arrives),
		cmocka_unit_test(every_key_of_an_endpoint_arrives),
		cmocka_unit_test(gate_stages_and_limits_arrive),
		cmocka_unit_test(what_is_left_out_has_the_documented_default),
		cmocka_unit_test(a_text_that_is_no_yaml_is_refused_with_its_line),
		cmocka_unit_test(unknown_words_are_refused_with_the_nearest_known_one),
		cmocka_unit_test(wrong_units_are_refused_with_the_right_way_to_write_it),
		cmocka_unit_test(grpc_is_written_in_one_way),
		cmocka_unit_test(more_endpoints_than_there_can_be_are_refused),
		cmocka_unit_test(numbers_out_of_range_are_refused_with_the_range),
		cmocka_unit_test(versions_that_contradict_each_other_are_refused),
		cmocka_unit_test(a_match_that_can_find_nothing_is_refused),
		cmocka_unit_test(routes_that_could_never_match_are_refused),
		cmocka_unit_test(texts_that_want_to_exhaust_the_reader_are_refused),
		cmocka_unit_test(more_versions_than_the_kernel_can_number_are_refused),
		cmocka_unit_test(cutting_the_file_anywhere_is_a_clean_answer),
		cmocka_unit_test(damaging_any_byte_is_a_clean_answer),
		cmocka_unit_test(a_file_is_loaded_and_one_that_cannot_be_read_says_why),
		cmocka_unit_test(a_long_file_name_does_not_swallow_the_message),
		cmocka_unit_test(any_failing_malloc_is_reported_and_leaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
