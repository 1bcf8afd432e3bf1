/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The document of a comparison, and of a verdict. Oracle: cJSON's parser. */
#include "json_at.h"
#include "show_shop.h"

static void the_document_of_a_comparison_keeps_its_contract(void **state)
{
	static const char *const numbers[] = {
		"endpoints.1.arms.baseline.latency.total.p50", "endpoints.1.arms.baseline.latency.total.p90",
		"endpoints.1.arms.baseline.latency.total.p95", "endpoints.1.arms.baseline.latency.total.p99",
		"endpoints.1.arms.baseline.latency.total.max",
	};
	struct fixture *x = shop();
	cJSON *root = parsed(json_comparison(&x->c));

	text_is(root, "schema", "tillwatch.comparison/1");
	text_is(root, "service", "shop");
	text_is(root, "run", "r1");
	text_is(root, "started", "2026-11-21T10:00:00Z");
	number_is(root, "seconds", 60);
	number_is(root, "stage", 0.25);
	size_is(root, "endpoints", 3);
	text_is(root, "endpoints.1.endpoint", "POST /pay");
	truth_is(root, "endpoints.1.critical", true);
	size_is(root, "endpoints.1.arms", 2);
	size_is(root, "endpoints.2.arms", 0);
	text_is(root, "endpoints.1.arms.baseline.version", "v1");
	number_is(root, "endpoints.1.arms.baseline.requests", 1000);
	number_is(root, "endpoints.1.arms.baseline.connections", 40);
	size_is(root, "endpoints.1.arms.baseline.status", 2);
	number_is(root, "endpoints.1.arms.baseline.status.200", 995);
	number_is(root, "endpoints.1.arms.baseline.status.503", 5);
	size_is(root, "endpoints.1.arms.canary.outcomes", 8);
	number_is(root, "endpoints.1.arms.canary.outcomes.answered", 96);
	number_is(root, "endpoints.1.arms.canary.outcomes.unanswered", 3);
	number_is(root, "endpoints.1.arms.canary.outcomes.truncated", 1);
	number_is(root, "endpoints.1.arms.canary.outcomes.reset_by_server", 0);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		/* One nanosecond wide is what observe() leaves for interpolation. */
		number_is_about(root, numbers[i], 0.001953126, 1.01e-9);
	null_is(root, "endpoints.1.arms.baseline.latency.service.p50");
	number_is(root, "coverage.connections", 80);
	number_is(root, "coverage.foreign", 0);
	truth_is(root, "coverage.complete", true);
	number_is(root, "loss.events", 0);
	null_is(root, "loss.passed_over");
	truth_is(root, "coverage.queue_measured", true);
	number_is(root, "ledger.seen", 13467);
	number_is(root, "ledger.in_flight", 2);
	truth_is(root, "ledger.balanced", true);
	text_is(root, "versions.0.version", "v1");
	text_is(root, "versions.0.arm", "baseline");
	number_is(root, "versions.0.ledger.seen", 13467);
	number_is(root, "versions.0.ledger.in_flight", 2);
	truth_is(root, "versions.0.ledger.balanced", true);
	number_is(root, "versions.0.in_flight_max", 7);
	number_is(root, "versions.0.oldest_in_flight", 0.25);
	text_is(root, "versions.1.version", "v2");
	number_is(root, "versions.1.ledger.seen", 9);
	null_is(root, "versions.1.ledger.in_flight");
	null_is(root, "versions.1.ledger.balanced");
	null_is(root, "versions.1.in_flight_max");
	null_is(root, "versions.1.oldest_in_flight");
	number_is(root, "loss.events", 0);
	number_is(root, "overhead.kernel_ns_per_request", 450);
	number_is(root, "overhead.agent_rss_bytes", 20 << 20);
	text_is(root, "verdict.schema", "tillwatch.verdict/1");
	cJSON_Delete(root);
	close_shop(x);
}

static void endings_that_come_at_any_time_say_whether_the_answer_had_begun(void **state)
{
	static const char *const names[] = { "reset_by_server", "reset_by_client", "client_abandoned", "timeout" };
	struct fixture *x = shop();
	struct arm_figures *a = &x->ep[1].arm[ARM_CANARY];
	char path[96];
	cJSON *root;

	for (int i = 0; i < 4; i++) {
		a->outcome[TW_RESET_BY_SERVER + i] = 10 + (uint64_t)i;
		a->cut[TW_RESET_BY_SERVER + i] = 1 + (uint64_t)i;
	}
	a->cut[TW_TRUNCATED] = 1;
	root = parsed(json_comparison(&x->c));
	size_is(root, "endpoints.1.arms.canary.cut", 4);
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "endpoints.1.arms.canary.cut.%s.before_first_byte", names[i]);
		number_is(root, path, 9);
		snprintf(path, sizeof(path), "endpoints.1.arms.canary.cut.%s.mid_response", names[i]);
		number_is(root, path, 1 + i);
	}
	number_is(root, "endpoints.1.arms.baseline.cut.timeout.mid_response", 0);
	cJSON_Delete(root);
	close_shop(x);
}

static void the_document_tells_what_the_kernel_passed_over_where_it_is_known(void **state)
{
	struct fixture *x = shop();
	cJSON *root;

	x->c.passed_over = (struct passed_over){ .known = true, .ends = 1, .others = 7 };
	x->c.ledger.lost_events = 3;
	root = parsed(json_comparison(&x->c));
	number_is(root, "loss.events", 3);
	number_is(root, "loss.passed_over.reads", 0);
	number_is(root, "loss.passed_over.ends", 1);
	number_is(root, "loss.passed_over.others", 7);
	truth_is(root, "coverage.complete", false);
	cJSON_Delete(root);
	close_shop(x);
}

static void the_document_of_a_verdict_keeps_its_contract(void **state)
{
	struct fixture *x = shop();
	cJSON *root = parsed(json_verdict(&x->c.verdict));
	char *text;

	text_is(root, "schema", "tillwatch.verdict/1");
	text_is(root, "verdict", "rollback");
	text_is(root, "summary", "The new version fails more requests.");
	truth_is(root, "final", true);
	text_is(root, "units.0.unit", "checkout");
	text_is(root, "units.0.owner", "team-pay");
	text_is(root, "units.0.verdict", "rollback");
	number_is(root, "units.0.endpoints", 2);
	number_is(root, "units.0.deciding", 2);
	number_is(root, "units.0.certified", 1);
	number_is(root, "units.0.log_e_bad", 4.5);
	null_is(root, "units.1.owner");
	text_is(root, "reasons.0.code", "errors_worse");
	text_is(root, "reasons.0.endpoint", "POST /pay");
	null_is(root, "reasons.1.endpoint");
	number_is(root, "eta_seconds", 240);
	number_is(root, "alpha", 0.05);
	text_is(root, "guards.1.name", "minimum_data");
	truth_is(root, "guards.1.ok", false);
	number_is(root, "endpoints.0.n_c", 100);
	number_is(root, "endpoints.0.bad_b", 5);
	number_is(root, "endpoints.0.ratio", 8);
	size_is(root, "endpoints.0.ratio_interval", 2);
	number_is(root, "endpoints.0.ratio_interval.1", 40);
	number_is(root, "endpoints.0.log_e_slow_good", 0.25);
	null_is(root, "endpoints.0.slow_threshold");
	cJSON_Delete(root);

	x->judged[0].has_ratio = false;
	text = json_verdict(&x->c.verdict);
	assert_non_null(strstr(text, "\"ratio\":null,\"ratio_interval\":null"));
	free(text);
	close_shop(x);
}

static void hostile_names_come_out_as_valid_json(void **state)
{
	struct fixture *x = crowd(hostile);
	char *text = json_comparison(&x->c);
	const char *name;
	cJSON *root;

	assert_non_null(text);
	assert_valid_utf8(text);
	for (const char *p = text; *p; p++)
		assert_true((unsigned char)*p >= 0x20);
	root = parsed(text);
	name = at(root, "endpoints.0.endpoint")->valuestring;
	/* What was valid comes back as it was. */
	assert_int_equal(strncmp(name, hostile, strcspn(hostile, "\xff")), 0);
	assert_non_null(strstr(name, "31m/\xef\xbf\xbd\xef\xbf\xbd/"));
	cJSON_Delete(root);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_document_of_a_comparison_keeps_its_contract),
		cmocka_unit_test(endings_that_come_at_any_time_say_whether_the_answer_had_begun),
		cmocka_unit_test(the_document_tells_what_the_kernel_passed_over_where_it_is_known),
		cmocka_unit_test(the_document_of_a_verdict_keeps_its_contract),
		cmocka_unit_test(hostile_names_come_out_as_valid_json),
		cmocka_unit_test(counts_above_2_to_the_53_and_awkward_doubles_are_exact_in_json),
		cmocka_unit_test(memory_that_runs_out_at_any_allocation_gives_no_document_and_no_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
