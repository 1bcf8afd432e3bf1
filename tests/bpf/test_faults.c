// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What counts against the server, from the packets to what the judge and the reader of the comparison are told. Each
 * conversation is one exchange and is counted twice over: by the kernel in its slot, and from the record that it leaves
 * where there is none. Oracle: the README's definition of a bad exchange (a 5xx, or the server closed, cut or reset it,
 * or no answer began in time), by which an exchange that is bad for two reasons is still one; and rules for other
 * tastes, in which each way to end and each status is listed by hand.
 */
#include "talk.h"
#include "slots.h"

#include "session/internal.h"
#include "tw_status.h"

#define A        "GET /a HTTP/1.1\r\n\r\n"
#define LIMIT    (2000 * MS)
#define ENDPOINT 3
#define SLOT     6

/* ---- ways to end --------------------------------------------------------------------------------------------------
 */

static void begin_answer(const char *status_line)
{
	server(status_line);
	server("Content-Length: 5\r\n\r\nso");
}

static void server_closes(const char *status_line)
{
	begin_answer(status_line);
	fin(SERVER);
}

static void server_resets(const char *status_line)
{
	begin_answer(status_line);
	rst(SERVER);
}

static void client_resets(const char *status_line)
{
	begin_answer(status_line);
	rst(CLIENT);
}

static void client_leaves(const char *status_line)
{
	begin_answer(status_line);
	fin(CLIENT);
	fin(SERVER);
}

static void answer_is_late(const char *status_line)
{
	talk.departure = now() + LIMIT + MS;
	begin_answer(status_line);
	server("rry");
}

static void answer_is_late_and_cut(const char *status_line)
{
	talk.departure = now() + LIMIT + MS;
	begin_answer(status_line);
	fin(SERVER);
}

static void answer_is_whole(const char *status_line)
{
	begin_answer(status_line);
	server("rry");
}

static const struct way {
	void (*end)(const char *status_line);
	enum tw_outcome outcome;
	bool cut;   /* inside the answer */
	bool fault; /* of the server, by the way it ended */
} ways[] = {
	{ server_closes, TW_TRUNCATED, true, true },
	{ server_resets, TW_RESET_BY_SERVER, true, true },
	{ client_resets, TW_RESET_BY_CLIENT, true, false },
	{ client_leaves, TW_CLIENT_ABANDONED, true, false },
	{ answer_is_late, TW_TIMEOUT, false, true },
	{ answer_is_late_and_cut, TW_TIMEOUT, false, true }, /* over before its first byte */
	{ answer_is_whole, TW_ANSWERED, false, false },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static const struct answer {
	const char *line;
	unsigned int status;
	bool failure; /* of the server, by its status */
} answers[] = {
	{ "HTTP/1.1 503 Sorry\r\n", 503, true },
	{ "HTTP/1.1 500 Oh\r\n", 500, true },
	{ "HTTP/1.1 404 No\r\n", 404, false },
	{ "HTTP/1.1 200 OK\r\n", 200, false },
};

#define ANSWERS (sizeof(answers) / sizeof(answers[0]))

/* ---- user space ---------------------------------------------------------------------------------------------------
 */

/* The figures of /a on the watched version; a session finds them here. */
static struct cell cell;
static struct session *session;
static struct gate_policy gate;
static struct tw_rule rule; /* of /a */
static struct config config;

static void forget(void)
{
	free(cell.total.status);
	latencies__free(&cell.lat);
	memset(&cell, 0, sizeof(cell));
	cell.total.lat = &cell.lat;
	cell_rule(&cell, &rule, (double)LIMIT / 1e9);
}

/* To the kernel and to user space. */
static void rule_is(const struct tw_rule *r)
{
	uint32_t endpoint = ENDPOINT;

	rule = *r;
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.rules), &endpoint, r, BPF_ANY), 0);
}

static void name_status(struct tw_rule *r, unsigned int code)
{
	r->statuses[code / 64] |= 1ULL << code % 64;
}

static int before(void **state)
{
	talk_before(state);
	session = calloc(1, sizeof(*session));
	assert_non_null(session);
	session->cells = calloc((size_t)TW_MAX_VERSIONS * TW_MAX_ENDPOINTS, sizeof(*session->cells));
	assert_non_null(session->cells);
	session->cells[RIG_SERVER_VERSION * TW_MAX_ENDPOINTS + ENDPOINT] = &cell;
	session->records_left = 1000;
	session->config = &config;
	client(A);
	answer_is_whole("HTTP/1.1 200 OK\r\n");
	expect_exchanges("GET /a 200 answered\n");
	done();
	name_route(rig.names[0].hash, ENDPOINT);
	rule_is(&gate.bad.rule);
	return 0;
}

static int after(void **state)
{
	forget();
	free(session->cells);
	free(session);
	return talk_after(state);
}

static void expect_one(const struct way *w, const struct answer *a, bool bad)
{
	const struct arm_figures *t = &cell.total;

	assert_int_equal(t->requests, 1);
	assert_int_equal(t->outcome[w->outcome], 1);
	assert_int_equal(t->cut[w->outcome], w->cut);
	assert_int_equal(arm_status(t, a->status), 1);
	assert_int_equal(arm_errors(t), bad);
	assert_int_equal(cell.tick_n, 1);
	assert_int_equal(cell.tick_bad, bad);
}

static void converse(const struct way *w, const struct answer *a)
{
	begin();
	client(A);
	w->end(a->line);
	done();
	rig_drain();
}

static uint32_t bad_in_groups(const struct tw_counters *c)
{
	uint32_t n = 0;

	for (int g = 0; g < TW_GROUPS; g++)
		n += c->group_bad[g];
	return n;
}

/* How /a was counted in the kernel since `then`, as user space has it. */
static void take_counters(const struct tw_counters *then)
{
	struct tw_series seen = slot_sum(SLOT);

	rig_drain();
	assert_int_equal(rig.n_ended, 0);
	cell.last = *then;
	assert_int_equal(cell_add(&cell, &seen.c), 0);
	assert_int_equal(bad_in_groups(&seen.c) - bad_in_groups(then), cell.total.bad);
}

/* The same from the record that it left. */
static void take_record(void)
{
	rig_drain();
	assert_int_equal(rig.n_ended, 1);
	rig_forget_log();
	assert_int_equal(record_handle(session, &rig.last, sizeof(rig.last)), 0);
}

typedef bool (*is_bad_fn)(const struct way *w, const struct answer *a);

/* Each way to end with each status, in the kernel and by record. */
static void converse_all_ways(is_bad_fn is_bad)
{
	for (int slotted = 0; slotted < 2; slotted++) {
		if (slotted)
			give_slot(ENDPOINT, SLOT);
		for (size_t i = 0; i < WAYS * ANSWERS; i++) {
			const struct way *w = &ways[i / ANSWERS];
			const struct answer *a = &answers[i % ANSWERS];
			struct tw_series before_it = slot_sum(SLOT);

			forget();
			converse(w, a);
			if (slotted)
				take_counters(&before_it.c);
			else
				take_record();
			expect_one(w, a, is_bad(w, a));
		}
	}
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static bool server_is_at_fault(const struct way *w, const struct answer *a)
{
	return w->fault || a->failure;
}

static void an_exchange_is_bad_once_however_it_failed(void **state)
{
	converse_all_ways(server_is_at_fault);
}

static bool client_went_or_was_told_no(const struct way *w, const struct answer *a)
{
	return w->outcome == TW_RESET_BY_CLIENT || w->outcome == TW_CLIENT_ABANDONED || a->status == 404;
}

static void a_rule_of_its_own_makes_bad_what_it_names_and_that_alone(void **state)
{
	struct tw_rule r = { .outcomes = 1 << TW_RESET_BY_CLIENT | 1 << TW_CLIENT_ABANDONED,
		             .slower_than = TW_NEVER_SLOW };

	name_status(&r, 404);
	rule_is(&r);
	converse_all_ways(client_went_or_was_told_no);
}

static bool is_never(const struct way *w, const struct answer *a)
{
	return false;
}

static void what_no_rule_names_is_good_however_it_ends(void **state)
{
	const struct tw_rule r = { .slower_than = TW_NEVER_SLOW };

	rule_is(&r);
	converse_all_ways(is_never);
}

static bool is_late(const struct way *w, const struct answer *a)
{
	return w->outcome == TW_TIMEOUT;
}

static void what_comes_too_late_took_longer_than_anything_below_the_timeout(void **state)
{
	const struct tw_rule r = { .slower_than = LIMIT / 2 };

	rule_is(&r);
	converse_all_ways(is_late);
}

static void other_endpoints_keep_their_own_rule(void **state)
{
	struct tw_rule r = { .slower_than = TW_NEVER_SLOW };
	struct tw_series before_it, after_it;

	rule_is(&r);
	name_route(rig.names[0].hash, ENDPOINT + 1);
	give_slot(ENDPOINT + 1, SLOT);
	before_it = slot_sum(SLOT);
	converse(&ways[6], &answers[0]);
	after_it = slot_sum(SLOT);
	assert_int_equal(after_it.c.bad - before_it.c.bad, 1);
}

#define NO_STATUS_OF_THE_REGISTRY "HTTP/1.1 520 Odd\r\n"

static void a_status_that_only_records_can_tell_is_bad_when_it_is_named(void **state)
{
	static const struct answer odd = { NO_STATUS_OF_THE_REGISTRY, 520, false };
	struct tw_rule r = { .slower_than = TW_NEVER_SLOW };

	give_slot(ENDPOINT, SLOT);
	for (int named = 0; named < 2; named++) {
		if (named)
			name_status(&r, 520);
		rule_is(&r);
		forget();
		converse(&ways[6], &odd);
		take_record();
		expect_one(&ways[6], &odd, named);
	}
}

/* RFC 9110, 15: to be processed as a 5xx; and whole, where a number below 200 means that an answer is to come. */
static void a_status_that_means_nothing_is_an_answer_and_a_bad_one(void **state)
{
	static const struct answer invalid[] = {
		{ "HTTP/1.1 000 \r\n", TW_STATUS_LOW, true },
		{ "HTTP/1.1 042 What\r\n", TW_STATUS_LOW + 42, true },
		{ "HTTP/1.1 099 \r\n", TW_STATUS_LOW + 99, true },
		{ "HTTP/1.1 600 \r\n", 600, true },
		{ "HTTP/1.1 999 Denied\r\n", 999, true },
	};

	give_slot(ENDPOINT, SLOT);
	for (size_t i = 0; i < WAYS * 5; i++) {
		forget();
		converse(&ways[i / 5], &invalid[i % 5]);
		take_record();
		expect_one(&ways[i / 5], &invalid[i % 5], true);
	}
	/* And the next request of the connection gets its own. */
	begin();
	client(A);
	answer_is_whole(invalid[0].line);
	client(A);
	answer_is_whole(answers[1].line);
	done();
	rig_drain();
	assert_int_equal(rig.n_ended, 1);
	rig_forget_log();
}

/* ---- slower than --------------------------------------------------------------------------------------------------
 */

#define SLOW (300 * MS)

/* The server's answer begins and ends this long after the request came, less the little it takes to ask. */
static void answered_after(uint64_t first, uint64_t last)
{
	uint64_t asked = now();

	begin();
	client(A);
	talk.departure = asked + first;
	begin_answer("HTTP/1.1 200 OK\r\n");
	talk.departure = asked + last;
	server("rry");
	done();
}

static void hung_up_after(uint64_t waited)
{
	uint64_t asked = now();

	begin();
	client(A);
	talk.departure = asked + waited;
	fin(SERVER);
	done();
}

/* The client goes inside an answer, whose beginning had come after that time. */
static void left_after_a_beginning_after(uint64_t first)
{
	uint64_t asked = now();

	begin();
	client(A);
	talk.departure = asked + first;
	begin_answer("HTTP/1.1 200 OK\r\n");
	rst(CLIENT);
	done();
}

static void is_slow(bool slotted, bool slow, const struct tw_series *before_it)
{
	if (slotted)
		take_counters(&before_it->c);
	else
		take_record();
	assert_int_equal(cell.total.requests, 1);
	assert_int_equal(cell.total.bad, slow);
	assert_int_equal(cell.tick_bad, slow);
	forget();
}

static void slower_than_the_limit_is_bad_within_a_bucket_too(void **state)
{
	/* 2^(-28/16) s = 297.3 ms and 2^(-27/16) s = 310.5 ms bound the limit's bucket; nothing takes 3 ms to ask. */
	static const struct {
		uint64_t first, last;
		bool slow;
	} cases[] = {
		{ 1 * MS, 1 * MS, false },    { 300 * MS, 300 * MS, false },  { 303 * MS, 303 * MS, true },
		{ 309 * MS, 309 * MS, true }, { 500 * MS, 500 * MS, true },   { 100 * MS, 299 * MS, false },
		{ 100 * MS, 304 * MS, true }, { 1500 * MS, 1900 * MS, true },
	};
	const struct tw_rule r = { .slower_than = SLOW };

	rule_is(&r);
	forget();
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		bool slotted = i & 1;
		struct tw_series before_it = slot_sum(SLOT);

		give_slot_slow(ENDPOINT, slotted ? SLOT : 0, histogram_bucket(SLOW));
		answered_after(cases[i / 2].first, cases[i / 2].last);
		is_slow(slotted, cases[i / 2].slow, &before_it);
	}
}

static void a_slow_request_is_not_a_slow_server(void **state)
{
	const struct tw_rule r = { .slower_than = SLOW / 10 };

	rule_is(&r);
	forget();
	for (int i = 0; i < 2; i++) {
		struct tw_series before_it = slot_sum(SLOT);
		const struct timespec pause = { .tv_nsec = SLOW / 5 };

		give_slot_slow(ENDPOINT, i ? SLOT : 0, histogram_bucket(r.slower_than));
		begin();
		client("GET /a HTTP/1.1\r\n");
		nanosleep(&pause, NULL);
		client("\r\n");
		/* No rule names it, but of its status the rule is asked. */
		answer_is_whole("HTTP/1.1 404 No\r\n");
		done();
		is_slow(i, false, &before_it);
	}
}

static void one_that_has_waited_longer_than_the_limit_is_bad_whoever_ends_it(void **state)
{
	const struct tw_rule r = { .slower_than = SLOW };

	rule_is(&r);
	forget();
	for (int i = 0; i < 8; i++) {
		bool slotted = i & 1, slow = i & 2;
		struct tw_series before_it = slot_sum(SLOT);
		uint64_t wait = slow ? SLOW + 50 * MS : SLOW - 50 * MS;

		give_slot_slow(ENDPOINT, slotted ? SLOT : 0, histogram_bucket(SLOW));
		if (i & 4)
			hung_up_after(wait);
		else
			left_after_a_beginning_after(wait);
		is_slow(slotted, slow, &before_it);
	}
}

static int set_up(void **state)
{
	rig_timeout = LIMIT;
	config.n_versions = TW_MAX_VERSIONS - 1;
	gate_policy__defaults(&gate);
	return talk_set_up(state);
}

#define EXCHANGE(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EXCHANGE(an_exchange_is_bad_once_however_it_failed),
		EXCHANGE(a_rule_of_its_own_makes_bad_what_it_names_and_that_alone),
		EXCHANGE(what_no_rule_names_is_good_however_it_ends),
		EXCHANGE(what_comes_too_late_took_longer_than_anything_below_the_timeout),
		EXCHANGE(other_endpoints_keep_their_own_rule),
		EXCHANGE(a_status_that_only_records_can_tell_is_bad_when_it_is_named),
		EXCHANGE(a_status_that_means_nothing_is_an_answer_and_a_bad_one),
		EXCHANGE(slower_than_the_limit_is_bad_within_a_bucket_too),
		EXCHANGE(a_slow_request_is_not_a_slow_server),
		EXCHANGE(one_that_has_waited_longer_than_the_limit_is_bad_whoever_ends_it),
	};

	return cmocka_run_group_tests(tests, set_up, talk_tear_down);
}
