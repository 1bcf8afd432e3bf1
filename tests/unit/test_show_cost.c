// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: show
 *
 * What watching costs, in every face. Oracles: texts written by hand, and cJSON's parser.
 */
#include "json_at.h"
#include "show_shop.h"

static const struct cost_program programs[] = {
	{ "tw_read", "tp_btf/tcp_rcv_space_adjust", 14, false, false, 2000, 200000, 8192 },
	{ "ingress_h2", "cgroup_skb/ingress", 13, true, false, 0, 0, 20480 },
	{ "tw_ingress", "cgroup_skb/ingress", 12, false, false, 2000, 500000, 65536 },
	{ "tw_refuse", "tp_btf/tcp_send_reset", 16, false, false, 0, 0, 4096 },
	{ "tw_inflight", "iter/bpf_sk_storage_map", 15, false, true, 1, 3000, 0 },
};

/* 1,000 of 20,000 exchanges were sampled, in 0.5 s: 700 ns each, 100 of them for the counting. */
static void add_cost(struct comparison *c)
{
	c->cost = (struct cost_figures){
		.known = true,
		.kernel = { .per_run = 25,
		            .added = 40,
		            .windows = 2,
		            .ended = 1000,
		            .seconds = 0.5,
		            .runs = 4000,
		            .ns = 700000 },
		.programs = programs,
		.n_programs = 5,
		.map_bytes = 20 << 20,
		.program_bytes = 98304,
		.ended = 20000,
		.limits = { 0.02, 0.01 },
		.budget = { .used = 0.0125, .allowed = 0.02 },
		.look = { .rate = 10000, .kernel = 0.01, .agent = 0.0025 },
	};
}

static char *cost_shown(const struct comparison *c, enum show_mode mode, int columns)
{
	const struct show_options o = { .mode = mode, .columns = columns, .rows = 40 };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	show_cost(out, c, &o);
	fclose(out);
	return text;
}

static void the_table_of_programs_is_golden_on_a_terminal(void **state)
{
	struct fixture *x = shop();
	char *text;

	add_cost(&x->c);
	text = cost_shown(&x->c, SHOW_TERMINAL, 100);
	without_cursor(text);
	assert_string_equal(
		text,
		"shop: what watching costs, run 1m00s\n"
		"  PROGRAM                    HOOK                           RUNS/S   A RUN REQUEST A CORE\n"
		"  tw_ingress                 cgroup_skb/ingress              4,000  250 ns  500 ns  0.10%\n"
		"  tw_read                    tp_btf/tcp_rcv_space_adjust     4,000  100 ns  200 ns  0.04%\n"
		"  tw_inflight                iter/bpf_sk_storage_map          2.00 3.00 us  <10 ns <0.01%\n"
		"  ... and 1 that these go on to, whose time is in theirs\n"
		"  ... and 1 that did not run\n"
		"Kernel: sampled for 500 ms in all, 1,000 of 20,000 requests; the table has it as the kernel shows\n"
		"  it, with 25.0 ns a run that it shows for nothing. While a sample lasts, every BPF program of the\n"
		"  host takes 40.0 ns longer a run.\n"
		"Overhead: kernel 450 ns per request, agent 0.17% of a core and 20.0 MiB\n"
		"Cost: 1.25% of a core in all at 10,000 requests/s, the budget is 2.00%; kernel 600 ns per request\n"
		"  without what measuring it adds; 20.1 MiB of kernel memory\n");
	free(text);
	close_shop(x);
}

static void off_a_terminal_a_line_a_program_begins_with_a_fixed_word(void **state)
{
	struct fixture *x = shop();
	char *text;

	add_cost(&x->c);
	text = cost_shown(&x->c, SHOW_LINES, 0);
	assert_string_equal(
		text,
		"stats shop seconds=1m00s\n"
		"program tw_ingress id=12 hook=cgroup_skb/ingress runs=2000 ns=500000 runs_per_second=4000.00"
		" per_run=250ns per_request=500ns cores=0.10%\n"
		"program tw_read id=14 hook=tp_btf/tcp_rcv_space_adjust runs=2000 ns=200000 runs_per_second=4000.00"
		" per_run=100ns per_request=200ns cores=0.04%\n"
		"program tw_inflight id=15 hook=iter/bpf_sk_storage_map runs=1 ns=3000 runs_per_second=2.00"
		" per_run=3.00us per_request=<10ns cores=<0.01% on_agent_time\n"
		"programs tail_called=1 not_run=1\n"
		"kernel windows=2 seconds=0.500 statistics_per_run=25.0ns added_per_run=40.0ns\n"
		"overhead kernel_per_request=450ns agent_cpu=0.17% agent_rss=20.0MiB\n"
		"cost used=1.25% allowed=2.00% rate=10000.00 over=no details=asked kernel_net=600ns kernel_gross=700ns"
		" sampled=1000/20000 maps=20.0MiB\n"
		"\n");
	free(text);
	close_shop(x);
}

static void the_document_has_every_program_and_null_for_what_is_not_told_of_it(void **state)
{
	struct fixture *x = shop();
	cJSON *root;

	add_cost(&x->c);
	root = parsed(json_comparison(&x->c));
	number_is(root, "cost.kernel.ns_per_exchange", 600);
	number_is(root, "cost.kernel.gross_ns_per_exchange", 700);
	null_is(root, "cost.kernel.why_not");
	number_is_about(root, "cost.kernel.cores", 0.0012, 1e-12);
	number_is(root, "cost.kernel.statistics_ns_per_run", 25);
	number_is(root, "cost.kernel.statistics_added_ns_per_run", 40);
	number_is(root, "cost.kernel.sampled.exchanges", 1000);
	number_is(root, "cost.kernel.sampled.of_exchanges", 20000);
	number_is(root, "cost.kernel.sampled.windows", 2);
	number_is(root, "cost.kernel.map_bytes", 20 << 20);
	text_is(root, "cost.kernel.programs.0.program", "tw_read");
	number_is(root, "cost.kernel.programs.0.ns", 200000);
	truth_is(root, "cost.kernel.programs.1.tail_called", true);
	null_is(root, "cost.kernel.programs.1.runs");
	null_is(root, "cost.kernel.programs.1.ns");
	number_is(root, "cost.kernel.programs.3.runs", 0);
	truth_is(root, "cost.kernel.programs.4.on_agent_time", true);
	null_is(root, "cost.kernel.programs.4.memory_bytes");
	number_is(root, "cost.agent.rss_bytes", 20 << 20);
	number_is(root, "cost.budget.allowed_cores", 0.02);
	number_is(root, "cost.budget.used_cores", 0.0125);
	truth_is(root, "cost.over_budget", false);
	truth_is(root, "cost.details_shed", false);
	cJSON_Delete(root);
	close_shop(x);
}

static void above_the_budget_every_face_says_so_and_that_details_are_missing(void **state)
{
	struct fixture *x = shop();
	char *text[2];
	cJSON *root;

	add_cost(&x->c);
	x->c.cost.budget = (struct cost_budget){ .used = 0.0325, .allowed = 0.02, .over = true, .shed = true };
	x->c.cost.details_shed = 17;
	x->c.cost.shed_seconds = 12;
	text[0] = shown(&x->c, SHOW_TERMINAL, 100, 40, false, NAN);
	text[1] = shown(&x->c, SHOW_LINES, 0, 0, false, NAN);
	assert_non_null(
		strstr(text[0], "WATCHING COSTS MORE THAN IT MAY: 3.25% of a core in all at 10,000 requests/s"));
	assert_non_null(strstr(text[0], "who cut what was not asked for 12 s (17"));
	assert_non_null(strstr(text[0], "Coverage complete"));
	assert_non_null(strstr(text[1], "cost used=3.25% allowed=2.00% rate=10000.00 over=yes details=shed "));
	assert_non_null(strstr(text[1], " details_shed_for=12s details_shed=17"));
	root = parsed(json_comparison(&x->c));
	truth_is(root, "cost.over_budget", true);
	truth_is(root, "cost.details_shed", true);
	number_is(root, "coverage.details_shed", 17);
	number_is(root, "coverage.details_shed_seconds", 12);
	cJSON_Delete(root);
	free(text[0]);
	free(text[1]);
	close_shop(x);
}

static void what_was_not_measured_is_null_with_the_reason_and_never_a_zero(void **state)
{
	static const struct cost_program silent[5] = { { .name = "tw_read" } };
	struct fixture *x = shop();
	char *text[3];
	cJSON *root;

	add_cost(&x->c);
	x->c.cost.programs = silent;
	x->c.cost.kernel = (struct cost_kernel){ .why_not = "the kernel says no", .per_run = NAN, .added = NAN };
	x->c.cost.look.kernel = NAN;
	x->c.cost.budget.used = 0.0025;
	x->c.cost.map_bytes = x->c.cost.program_bytes = 0;
	text[0] = shown(&x->c, SHOW_TERMINAL, 200, 40, false, NAN);
	text[1] = cost_shown(&x->c, SHOW_TERMINAL, 100);
	text[2] = cost_shown(&x->c, SHOW_LINES, 0);
	assert_non_null(strstr(text[0], "without the kernel's part, which is not measured"));
	assert_non_null(strstr(text[1], "Kernel time is not measured: the kernel says no"));
	assert_non_null(strstr(text[2], "kernel not_measured the kernel says no"));
	assert_null(strcasestr(text[1], "nan"));
	assert_null(strcasestr(text[2], "nan"));
	for (int i = 0; i < 3; i++)
		free(text[i]);
	root = parsed(json_comparison(&x->c));
	text_is(root, "cost.kernel.why_not", "the kernel says no");
	null_is(root, "cost.kernel.ns_per_exchange");
	null_is(root, "cost.kernel.gross_ns_per_exchange");
	null_is(root, "cost.kernel.cores");
	null_is(root, "cost.kernel.ns");
	null_is(root, "cost.kernel.map_bytes");
	null_is(root, "cost.kernel.programs.0.ns");
	null_is(root, "cost.budget.used_kernel_cores");
	number_is(root, "cost.budget.used_agent_cores", 0.0025);
	cJSON_Delete(root);
	close_shop(x);
}

static void without_a_budget_it_is_null_whether_it_is_kept(void **state)
{
	struct fixture *x = shop();
	cJSON *root;

	add_cost(&x->c);
	x->c.cost.limits.budget = x->c.cost.budget.allowed = INFINITY;
	root = parsed(json_comparison(&x->c));
	null_is(root, "cost.over_budget");
	null_is(root, "cost.budget.cores_per_10000_per_second");
	null_is(root, "cost.budget.allowed_cores");
	cJSON_Delete(root);
	/* And as long as nobody has looked. */
	add_cost(&x->c);
	x->c.cost.budget.used = x->c.cost.budget.allowed = NAN;
	root = parsed(json_comparison(&x->c));
	null_is(root, "cost.over_budget");
	cJSON_Delete(root);
	x->c.cost.known = false;
	root = parsed(json_comparison(&x->c));
	null_is(root, "cost");
	cJSON_Delete(root);
	close_shop(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_programs_is_golden_on_a_terminal),
		cmocka_unit_test(off_a_terminal_a_line_a_program_begins_with_a_fixed_word),
		cmocka_unit_test(the_document_has_every_program_and_null_for_what_is_not_told_of_it),
		cmocka_unit_test(above_the_budget_every_face_says_so_and_that_details_are_missing),
		cmocka_unit_test(what_was_not_measured_is_null_with_the_reason_and_never_a_zero),
		cmocka_unit_test(without_a_budget_it_is_null_whether_it_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
