// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Answers that come too late, or never, and the walk over what is in flight. Oracles: the definition of TW_TIMEOUT in
 * include/tw_abi.h with a limit of two seconds, and what the conversations below have left open. Time is made by the
 * stamps of the packets that leave: an answer leaves later than now, or a request has left before.
 */
#include <unistd.h>

#include "talk.h"
#include "slots.h"
#include "tw_status.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define HEAD  "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
#define A     "GET /a HTTP/1.1\r\n\r\n"
#define B     "GET /b HTTP/1.1\r\n\r\n"
#define POST  "POST /p HTTP/1.1\r\nContent-Length: 6\r\n\r\n"
#define LIMIT (2000 * MS)

/* At the client: the request left that long ago, and what comes, comes now. */
static void asked_ago(uint64_t ns, const char *text)
{
	done();
	begin_as(WATCHED_CLIENT, false);
	talk.departure = now() - ns;
	client(text);
}

/* ---- how it ends --------------------------------------------------------------------------------------------------
 */

static void the_limit_is_on_the_first_byte_and_is_still_in_time(void **state)
{
	client(A);
	client(B);
	answer_at(now(), OK);
	expect_exchanges("GET /a 200 answered\n");
	answer_at(rig.last.t_start + LIMIT - 100 * MS, OK);
	expect_exchanges("GET /b 200 answered\n");
	done();
	begin();
	client(A);
	answer_at(now() + LIMIT, OK);
	expect_exchanges("GET /a 200 timeout\n");
}

static void a_late_answer_keeps_its_status_and_its_times(void **state)
{
	uint64_t late;

	client(A);
	late = now() + LIMIT + 500 * MS;
	answer_at(late, HEAD "123");
	answer_at(late + 100 * MS, "456");
	expect_exchanges("GET /a 200 timeout\n");
	assert_int_equal(rig.last.lat[TW_LAT_FIRST_BYTE], late - rig.last.t_start);
	assert_int_equal(rig.last.lat[TW_LAT_TOTAL], late + 100 * MS - rig.last.t_start);
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

static void an_answer_that_begins_in_time_may_end_late(void **state)
{
	uint64_t t;

	client(A);
	t = now();
	answer_at(t, HEAD "123");
	answer_at(t + 100 * LIMIT, "456");
	expect_exchanges("GET /a 200 answered\n");
}

static void an_interim_answer_is_no_answer(void **state)
{
	uint64_t t;

	client(A);
	t = now();
	answer_at(t, "HTTP/1.1 102 Processing\r\n\r\n");
	answer_at(t + LIMIT + MS, OK);
	expect_exchanges("GET /a 200 timeout\n");
}

static void the_clock_starts_when_the_request_is_whole(void **state)
{
	uint64_t t = now() - 2 * LIMIT;

	/* Asked four seconds ago, whole one second ago, answered now. */
	done();
	begin_as(WATCHED_CLIENT, false);
	talk.departure = t;
	client(POST "abc");
	talk.departure = now() - LIMIT / 2;
	client("def");
	server(OK);
	expect_exchanges("POST /p 200 answered\n");
	/* Whole three seconds ago. */
	done();
	begin_as(WATCHED_CLIENT, false);
	talk.departure = t;
	client(POST "abc");
	talk.departure = now() - 3 * LIMIT / 2;
	client("def");
	server(OK);
	expect_exchanges("POST /p 200 timeout\n");
	/* Never whole: the server has not been asked yet. */
	done();
	begin_as(WATCHED_CLIENT, false);
	talk.departure = t;
	client(POST "abc");
	fin(SERVER);
	expect_exchanges("POST /p - unanswered\n");
}

static void whatever_ends_it_after_the_limit_it_is_a_timeout(void **state)
{
	for (int way = 0; way < 4; way++) {
		asked_ago(LIMIT + MS, A);
		talk.departure = now();
		if (way < 2)
			fin(way == 0 ? SERVER : CLIENT);
		else
			rst(way == 2 ? SERVER : CLIENT);
		if (way == 1)
			fin(SERVER);
		expect_exchanges("GET /a - timeout\n");
	}
}

static void before_the_limit_each_end_has_its_own_outcome(void **state)
{
	asked_ago(LIMIT - 500 * MS, A);
	fin(SERVER);
	expect_exchanges("GET /a - unanswered\n");
	asked_ago(LIMIT - 500 * MS, A);
	rst(SERVER);
	expect_exchanges("GET /a - reset_by_server\n");
	asked_ago(LIMIT - 500 * MS, A);
	talk.departure = now();
	rst(CLIENT);
	expect_exchanges("GET /a - reset_by_client\n");
}

static void cut_off_in_an_answer_that_began_in_time_is_truncated(void **state)
{
	uint64_t t;

	client(A B);
	t = now();
	answer_at(t, HEAD "123");
	talk.departure = t + LIMIT + 500 * MS;
	fin(SERVER);
	expect_exchanges("GET /a 200 truncated\nGET /b - timeout\n");
	done();
	begin();
	client(A);
	answer_at(now() + LIMIT + MS, HEAD "123");
	fin(SERVER);
	expect_exchanges("GET /a 200 timeout\n");
}

static void step_lost_after_the_limit_does_not_make_it_unobserved(void **state)
{
	asked_ago(LIMIT + MS, A);
	server("no such thing as an answer\r\n\r\n");
	expect_exchanges("GET /a - timeout\n");
	asked_ago(LIMIT / 2, A);
	server("no such thing as an answer\r\n\r\n");
	expect_exchanges("GET /a - unobserved\n");
}

static void a_late_failure_fails_in_two_ways_and_is_bad_once(void **state)
{
	uint32_t slot = 3;
	struct tw_series s;

	client(A);
	rig_drain();
	name_route(rig.names[0].hash, 2);
	give_slot(2, slot);
	answer_at(now(), OK);
	client(A);
	answer_at(now() + LIMIT + MS, "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n");
	client(A);
	answer_at(now() + LIMIT + MS, OK);
	client(A);
	answer_at(now(), "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n");
	s = slot_sum(slot);
	assert_int_equal(s.c.exchanges, 4);
	assert_int_equal(s.c.outcome[TW_TIMEOUT], 2);
	assert_int_equal(s.c.status[tw_status_index[504]], 2);
	assert_int_equal(s.c.bad, 3);
}

/* ---- the walk -----------------------------------------------------------------------------------------------------
 */

/* Crafted packets have no sockets: their connections lie where those of early data do, and are walked there. */
static void walk(void)
{
	union bpf_iter_link_info info = { .map.map_fd = (__u32)bpf_map__fd(rig.skel->maps.early) };
	LIBBPF_OPTS(bpf_iter_attach_opts, o, .link_info = &info, .link_info_len = sizeof(info));
	struct bpf_link *link = bpf_program__attach_iter(rig.skel->progs.tw_inflight_early, &o);
	struct tillwatch_bpf__bss *b = rig.skel->bss;
	char nothing[16];
	int fd;

	memset(b->inflight_requests, 0, sizeof(b->inflight_requests));
	memset(b->inflight_connections, 0, sizeof(b->inflight_connections));
	memset(b->inflight_oldest, 0, sizeof(b->inflight_oldest));
	memset(b->inflight_overdue, 0, sizeof(b->inflight_overdue));
	assert_non_null(link);
	fd = bpf_iter_create(bpf_link__fd(link));
	assert_true(fd >= 0);
	assert_int_equal(read(fd, nothing, sizeof(nothing)), 0);
	close(fd);
	bpf_link__destroy(link);
}

static uint32_t overdue(unsigned int version, unsigned int endpoint)
{
	return rig.skel->bss->inflight_overdue[version * TW_MAX_ENDPOINTS + endpoint];
}

static uint64_t walked(unsigned int version)
{
	return rig.skel->bss->inflight_requests[version];
}

static void a_walk_counts_what_each_conversation_has_left_open(void **state)
{
	struct talk idle, one, three;
	uint64_t before;

	client(A);
	server(OK);
	idle = talk;
	begin();
	before = now();
	client(A);
	one = talk;
	begin();
	client(A B A B);
	server(OK);
	three = talk;
	begin_as(WATCHED_CLIENT, true);
	client(A);
	walk();
	assert_int_equal(walked(RIG_SERVER_VERSION), 4);
	assert_int_equal(walked(RIG_UPSTREAM_VERSION), 1);
	assert_int_equal(walked(0), 0);
	assert_int_equal(rig.skel->bss->inflight_connections[RIG_SERVER_VERSION], 3);
	assert_in_range(rig.skel->bss->inflight_oldest[RIG_SERVER_VERSION], before, now());
	server(OK);
	done();
	talk = three;
	done();
	talk = one;
	done();
	talk = idle;
	done();
	walk();
	assert_int_equal(walked(RIG_SERVER_VERSION) + walked(RIG_UPSTREAM_VERSION), 0);
	assert_int_equal(rig.skel->bss->inflight_oldest[RIG_SERVER_VERSION], 0);
	begin();
}

static void a_walk_counts_a_pipeline_as_deep_as_it_is(void **state)
{
	may_pipeline();
	for (int i = 0; i < 100; i++)
		client(A);
	walk();
	assert_int_equal(walked(RIG_SERVER_VERSION), 100);
	server(OK OK OK);
	walk();
	assert_int_equal(walked(RIG_SERVER_VERSION), 97);
}

static void a_walk_tells_of_those_that_wait_too_long_and_of_no_others(void **state)
{
	asked_ago(LIMIT - 500 * MS, A);
	rig_drain();
	name_route(rig.names[0].hash, 5);
	walk();
	assert_int_equal(overdue(RIG_UPSTREAM_VERSION, 5), 0);
	done();
	asked_ago(LIMIT + MS, A A);
	talk.departure = now();
	client(A);
	walk();
	assert_int_equal(overdue(RIG_UPSTREAM_VERSION, 5), 2);
	assert_int_equal(walked(RIG_UPSTREAM_VERSION), 3);
	/* The first is answered, late, and is told of while that lasts; the others go on waiting. */
	server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123");
	walk();
	assert_int_equal(overdue(RIG_UPSTREAM_VERSION, 5), 2);
	server("456");
	walk();
	assert_int_equal(overdue(RIG_UPSTREAM_VERSION, 5), 1);
	fin(SERVER);
	walk();
	assert_int_equal(overdue(RIG_UPSTREAM_VERSION, 5), 0);
	expect_exchanges("GET /a 200 timeout as 5\nGET /a - timeout as 5\nGET /a - unanswered as 5\n");
}

static void a_walk_leaves_out_whose_route_has_no_name_yet(void **state)
{
	asked_ago(LIMIT + MS, A);
	walk();
	for (unsigned int ep = 0; ep < TW_MAX_ENDPOINTS; ep++)
		assert_int_equal(overdue(RIG_UPSTREAM_VERSION, ep), 0);
	rig_drain();
	name_route(rig.names[0].hash, 5);
	walk();
	assert_int_equal(overdue(RIG_UPSTREAM_VERSION, 5), 1);
}

static void a_response_under_way_since_before_the_limit_is_not_waited_for(void **state)
{
	uint64_t t = now() - 2 * LIMIT;

	/* The answer leaves in the past, too. */
	client(A);
	rig_drain();
	name_route(rig.names[0].hash, 5);
	answer_at(t, HEAD "123");
	walk();
	assert_int_equal(walked(RIG_SERVER_VERSION), 1);
	assert_int_equal(overdue(RIG_SERVER_VERSION, 5), 0);
}

static void what_a_client_had_waited_when_it_gave_up_is_known(void **state)
{
	uint64_t early, late;

	/* It resets before the first byte. */
	asked_ago(500 * MS, A);
	talk.departure = 0;
	rst(CLIENT);
	expect_exchanges("GET /a - reset_by_client\n");
	assert_in_range(rig.last.lat[TW_LAT_WAITED], 500 * MS, 600 * MS);
	/* It closes, and the server only notices later. */
	asked_ago(500 * MS, A);
	talk.departure = now() - 100 * MS;
	fin(CLIENT);
	talk.departure = 0;
	fin(SERVER);
	expect_exchanges("GET /a - client_abandoned\n");
	assert_in_range(rig.last.lat[TW_LAT_WAITED], 390 * MS, 410 * MS);
	/* Inside an answer: what it waited for the first byte, and after the last one. */
	done();
	begin();
	early = now();
	client(A);
	late = now();
	answer_at(late + 30 * MS, HEAD "123");
	answer_at(late - 70 * MS + 30 * MS, "4");
	rst(CLIENT);
	expect_exchanges("GET /a 200 reset_by_client mid_response\n");
	assert_in_range(rig.last.lat[TW_LAT_WAITED], 70 * MS, 70 * MS + (now() - early));
}

static void who_was_answered_or_cut_off_by_the_server_did_not_give_up(void **state)
{
	client(A);
	server(OK);
	expect_exchanges("GET /a 200 answered\n");
	assert_true(rig.last.lat[TW_LAT_WAITED] == TW_NOT_MEASURED);
	client(A);
	fin(SERVER);
	expect_exchanges("GET /a - unanswered\n");
	assert_true(rig.last.lat[TW_LAT_WAITED] == TW_NOT_MEASURED);
	/* Nor is anything known of a client that never asked to the end. */
	done();
	begin();
	client(POST "abc");
	rst(CLIENT);
	expect_exchanges("POST /p - reset_by_client\n");
	assert_true(rig.last.lat[TW_LAT_WAITED] == TW_NOT_MEASURED);
}

static int set_up(void **state)
{
	rig_timeout = LIMIT;
	return talk_set_up(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_limit_is_on_the_first_byte_and_is_still_in_time),
		TEST(a_late_answer_keeps_its_status_and_its_times),
		TEST(an_answer_that_begins_in_time_may_end_late),
		TEST(an_interim_answer_is_no_answer),
		TEST(the_clock_starts_when_the_request_is_whole),
		TEST(whatever_ends_it_after_the_limit_it_is_a_timeout),
		TEST(before_the_limit_each_end_has_its_own_outcome),
		TEST(cut_off_in_an_answer_that_began_in_time_is_truncated),
		TEST(step_lost_after_the_limit_does_not_make_it_unobserved),
		TEST(a_late_failure_fails_in_two_ways_and_is_bad_once),
		TEST(a_walk_counts_what_each_conversation_has_left_open),
		TEST(a_walk_counts_a_pipeline_as_deep_as_it_is),
		TEST(a_walk_tells_of_those_that_wait_too_long_and_of_no_others),
		TEST(a_walk_leaves_out_whose_route_has_no_name_yet),
		TEST(a_response_under_way_since_before_the_limit_is_not_waited_for),
		TEST(what_a_client_had_waited_when_it_gave_up_is_known),
		TEST(who_was_answered_or_cut_off_by_the_server_did_not_give_up),
	};

	return cmocka_run_group_tests(tests, set_up, talk_tear_down);
}
