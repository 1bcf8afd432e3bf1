// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where the time of an exchange went. Oracles: the definitions of the latencies in include/tw_abi.h, and this program's
 * own clock before and after each segment.
 */
#include "talk.h"
#include "slots.h"

#include "model/latencies.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A    "GET /a HTTP/1.1\r\n\r\n"
#define POST "POST /p HTTP/1.1\r\nContent-Length: 6\r\n\r\n"

#define ENDPOINT 3
#define SLOT     7

static uint64_t lat(enum tw_latency kind)
{
	return rig.last.lat[kind];
}

static void a_request_in_one_piece_has_no_upload_and_its_answer_no_sending(void **state)
{
	client(A);
	answer_at(now() + 10 * MS, OK);
	expect_exchanges("GET /a 200 answered\n");
	assert_int_equal(lat(TW_LAT_UPLOAD), 0);
	assert_int_equal(lat(TW_LAT_SEND), 0);
	assert_int_equal(lat(TW_LAT_SERVER), lat(TW_LAT_TOTAL));
	assert_true(lat(TW_LAT_DRAIN) == TW_NOT_MEASURED); /* not yet */
}

static void a_body_in_the_first_segment_is_no_upload(void **state)
{
	client(POST "123456");
	answer_at(now() + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	assert_int_equal(lat(TW_LAT_UPLOAD), 0);
	assert_int_equal(lat(TW_LAT_SERVER), lat(TW_LAT_TOTAL));
}

/* Sends the first text, then the second, and answers: the last piece lies between *before and *after. */
static void upload(const char *first, const char *second, uint64_t *before, uint64_t *after)
{
	client(first);
	*before = now();
	client(second);
	*after = now();
	answer_at(*after + 10 * MS, OK);
}

static void expect_upload(uint64_t before, uint64_t after)
{
	uint64_t t = rig.last.t_start;

	assert_in_range(lat(TW_LAT_UPLOAD), before - t, after - t);
	assert_int_equal(lat(TW_LAT_SERVER), lat(TW_LAT_TOTAL) - lat(TW_LAT_UPLOAD));
	assert_in_range(lat(TW_LAT_SERVER), 10 * MS, after + 10 * MS - before);
}

static void an_upload_lasts_to_the_last_byte_of_the_body(void **state)
{
	uint64_t before, after;

	upload(POST "123", "456", &before, &after);
	expect_exchanges("POST /p 200 answered\n");
	expect_upload(before, after);
}

static void an_upload_in_chunks_lasts_to_the_end_of_the_last_one(void **state)
{
	uint64_t before, after;

	upload("POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "0\r\n\r\n", &before, &after);
	expect_exchanges("POST /p 200 answered\n");
	expect_upload(before, after);
}

static void a_head_in_two_pieces_is_an_upload_too(void **state)
{
	uint64_t before, after;

	upload("GET /a HT", "TP/1.1\r\n\r\n", &before, &after);
	expect_exchanges("GET /a 200 answered\n");
	expect_upload(before, after);
}

static void an_answer_before_the_body_is_complete_has_no_time_of_upload_nor_of_the_server(void **state)
{
	client(POST "123");
	answer_at(now() + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	assert_true(lat(TW_LAT_UPLOAD) == TW_NOT_MEASURED);
	assert_true(lat(TW_LAT_SERVER) == TW_NOT_MEASURED);
	assert_true(lat(TW_LAT_TOTAL) >= 10 * MS);
	client("456");
	client(A);
	answer_at(now() + 10 * MS, OK);
	expect_exchanges("GET /a 200 answered\n");
	assert_int_equal(lat(TW_LAT_UPLOAD), 0);
}

/* It stalls inside the body, and then gives up: what the server is asked for it is asked by the close. */
static void a_client_that_closes_inside_its_body_is_answered_in_time_from_there(void **state)
{
	uint64_t before, after;

	client(A);
	server(OK);
	client("POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
	expect_exchanges("GET /a 200 answered\n");
	before = now();
	fin(CLIENT);
	after = now();
	answer_at(after + 10 * MS, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("POST /p 400 answered\n");
	assert_true(lat(TW_LAT_UPLOAD) == TW_NOT_MEASURED);
	assert_in_range(lat(TW_LAT_SERVER), 10 * MS, after + 10 * MS - before);
	assert_true(lat(TW_LAT_TOTAL) > lat(TW_LAT_SERVER));
}

static void a_close_behind_a_whole_body_changes_no_time(void **state)
{
	uint64_t before, after;

	client(POST "123");
	before = now();
	client("456");
	after = now();
	fin(CLIENT);
	answer_at(after + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	expect_upload(before, after);
}

/* Half of an upload, and its answer, whose time in /p's slot is slow if it is at all. */
static void a_servers_time_that_cannot_be_told_is_not_slow(void **state)
{
	struct tw_slot slot = { .slot = SLOT, .slow_from = 1 };
	uint32_t at = RIG_SERVER_VERSION * TW_MAX_ENDPOINTS + ENDPOINT;
	struct tw_series was, is;
	uint64_t measured = 0, slow = 0;

	client(POST "123456");
	server(OK);
	expect_exchanges("POST /p 200 answered\n");
	name_route(rig.names[0].hash, ENDPOINT);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.slots), &at, &slot, BPF_ANY), 0);
	was = slot_sum(SLOT);
	client(POST "123");
	answer_at(now() + 10 * MS, OK);
	is = slot_sum(SLOT);
	for (int i = 0; i < TW_BUCKETS; i++)
		measured += is.b[i][TW_LAT_SERVER] - was.b[i][TW_LAT_SERVER];
	for (int i = 0; i < TW_GROUPS; i++)
		slow += is.c.group_slow[i] - was.c.group_slow[i];
	assert_int_equal(is.c.exchanges - was.c.exchanges, 1);
	assert_int_equal(is.c.sum[TW_LAT_SERVER] - was.c.sum[TW_LAT_SERVER], 0);
	assert_int_equal(measured, 0);
	assert_int_equal(slow, 0);
}

static void pipelined_uploads_have_a_time_each(void **state)
{
	uint64_t before[2], after[2];

	client(POST "123");
	before[0] = now();
	client("456" POST "12");
	after[0] = before[1] = now();
	client("3456");
	after[1] = now();
	answer_at(after[1] + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	assert_in_range(lat(TW_LAT_UPLOAD), before[0] - rig.last.t_start, after[0] - rig.last.t_start);
	answer_at(after[1] + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	assert_in_range(lat(TW_LAT_UPLOAD), before[1] - rig.last.t_start, after[1] - rig.last.t_start);
}

static void sending_lasts_from_the_first_byte_of_the_answer_to_the_last(void **state)
{
	uint64_t t;

	client(A);
	t = now();
	answer_at(t + 10 * MS, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123");
	answer_at(t + 25 * MS, "456");
	expect_exchanges("GET /a 200 answered\n");
	assert_int_equal(lat(TW_LAT_SEND), 15 * MS);
	assert_int_equal(lat(TW_LAT_SERVER), lat(TW_LAT_TOTAL));
}

/* ---- a server that does not read ----------------------------------------------------------------------------------
 */

/* The server acknowledges at `t`, with its window shut or open. */
static void window_at(uint64_t t, bool shut)
{
	talk.departure = t;
	talk.shut = shut;
	segment(SERVER, talk.at[SERVER], "", 0, ACK);
	talk.shut = false;
}

/* Beside the upload's time there is the server's, by `shut` more than from its end; and no connection is still shut. */
static void expect_shut_for(uint64_t shut, uint64_t before, uint64_t after)
{
	uint64_t t = rig.last.t_start;

	assert_in_range(lat(TW_LAT_UPLOAD) + shut, before - t, after - t);
	assert_int_equal(lat(TW_LAT_SERVER), lat(TW_LAT_TOTAL) - lat(TW_LAT_UPLOAD));
	assert_int_equal(rig.skel->bss->windows_shut, 0);
}

static void pause_for(uint64_t ns)
{
	const struct timespec t = { 0, (long)ns };

	nanosleep(&t, NULL);
}

static void the_time_a_servers_window_is_shut_inside_a_body_is_its_own(void **state)
{
	uint64_t t, before, after;

	client(POST "1");
	t = now();
	pause_for(60 * MS);
	window_at(t, true);
	window_at(t + 5 * MS, true); /* a probe answered */
	window_at(t + 20 * MS, false);
	window_at(t + 22 * MS, false);
	client("23");
	window_at(t + 30 * MS, true);
	window_at(t + 40 * MS, false);
	before = now();
	client("456");
	after = now();
	answer_at(after + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	expect_shut_for(30 * MS, before, after);
}

/* Probes brought the rest of the body through it: what comes after the last byte was the server's already. */
static void a_window_that_opens_after_the_body_was_shut_up_to_its_last_byte(void **state)
{
	uint64_t t, before, after;

	client(POST "1");
	t = now();
	window_at(t, true);
	pause_for(20 * MS);
	before = now();
	client("23456");
	after = now();
	window_at(after + 5 * MS, false);
	answer_at(after + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	assert_int_equal(lat(TW_LAT_UPLOAD), t - rig.last.t_start);
	assert_int_equal(lat(TW_LAT_SERVER), lat(TW_LAT_TOTAL) - lat(TW_LAT_UPLOAD));
	assert_in_range(lat(TW_LAT_SERVER), before - t + 10 * MS, after - t + 10 * MS);
	assert_int_equal(rig.skel->bss->windows_shut, 0);
}

static void a_segment_with_data_opens_the_window_too(void **state)
{
	uint64_t t, before, after;

	client(POST "1");
	t = now();
	pause_for(30 * MS);
	window_at(t, true);
	answer_at(t + 10 * MS, "HTTP/1.1 100 Continue\r\n\r\n");
	before = now();
	client("23456");
	after = now();
	answer_at(after + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	expect_shut_for(10 * MS, before, after);
}

static void a_window_that_is_shut_outside_a_body_or_in_another_is_not_counted(void **state)
{
	uint64_t t = now(), before, after;

	client(A);
	window_at(t, true);
	window_at(t + 5 * MS, false);
	answer_at(t + 10 * MS, OK);
	expect_exchanges("GET /a 200 answered\n");
	assert_int_equal(lat(TW_LAT_SERVER), lat(TW_LAT_TOTAL));
	client(POST "1");
	t = now();
	pause_for(20 * MS);
	window_at(t, true);
	window_at(t + 10 * MS, false);
	client("23456");
	answer_at(now(), OK);
	expect_exchanges("POST /p 200 answered\n");
	client(POST "1");
	before = now();
	client("23456");
	after = now();
	answer_at(after + 10 * MS, OK);
	expect_exchanges("POST /p 200 answered\n");
	expect_shut_for(0, before, after);
}

/* ---- draining ---------------------------------------------------------------------
 */

static struct tw_series before;

/* /a has a slot, and one exchange of it has been answered at `t`. */
static void answered_at(uint64_t t)
{
	client(A);
	server(OK);
	expect_exchanges("GET /a 200 answered\n");
	name_route(rig.names[0].hash, ENDPOINT);
	give_slot(ENDPOINT, SLOT);
	client(A);
	before = slot_sum(SLOT);
	answer_at(t, OK);
}

static uint64_t drained(void)
{
	struct tw_series s = slot_sum(SLOT);
	uint64_t n = 0;

	for (int i = 0; i < TW_BUCKETS; i++)
		n += s.b[i][TW_LAT_DRAIN] - before.b[i][TW_LAT_DRAIN];
	return n;
}

static void draining_ends_with_the_acknowledgement_of_the_last_byte(void **state)
{
	uint64_t t = now() - 40 * MS, early, late;

	answered_at(t);
	assert_int_equal(drained(), 0);
	early = now();
	segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
	late = now();
	assert_int_equal(drained(), 1);
	assert_in_range(slot_sum(SLOT).c.sum[TW_LAT_DRAIN] - before.c.sum[TW_LAT_DRAIN], early - t, late - t);
	segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
	assert_int_equal(drained(), 1);
}

static void an_acknowledgement_of_a_part_does_not_end_draining(void **state)
{
	answered_at(now());
	talk.at[SERVER] -= 1;
	segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
	talk.at[SERVER] += 1;
	assert_int_equal(drained(), 0);
}

static void drained_by_record(size_t n, uint64_t answered)
{
	uint64_t early = now();

	segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
	rig_drain();
	assert_int_equal(rig.n_drains, n);
	assert_int_equal(rig.last_drain.version, RIG_SERVER_VERSION);
	assert_in_range(rig.last_drain.took, early - answered, now() - answered);
}

/* The first ones of a route, until user space has named it and found a slot. */
static void answers_that_have_no_slot_yet_tell_by_record_how_long_they_drained(void **state)
{
	uint64_t t = now() - 40 * MS;

	client(A);
	answer_at(t, OK);
	client("GET /other HTTP/1.1\r\n\r\n"); /* what comes next on the connection is another route */
	rig_drain();
	assert_int_equal(rig.n_drains, 1);
	assert_int_equal(rig.last_drain.hash, rig.names[0].hash);
	assert_true(!rig.last_drain.endpoint || rig.last_drain.endpoint == TW_EP_PENDING);
	answer_at(t, OK);
	drained_by_record(2, t);
	assert_int_equal(rig.last_drain.hash, rig.names[1].hash);
	name_route(rig.names[0].hash, ENDPOINT);
	client(A);
	answer_at(t, OK);
	drained_by_record(3, t);
	assert_int_equal(rig.last_drain.endpoint, ENDPOINT);
	give_slot(ENDPOINT, SLOT);
	before = slot_sum(SLOT);
	client(A);
	answer_at(t, OK);
	segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
	rig_drain();
	assert_true(rig.n_drains == 3 && drained() == 1);
}

static void the_next_request_acknowledges_too(void **state)
{
	answered_at(now());
	client(A);
	assert_int_equal(drained(), 1);
}

static void connections_that_are_not_asked_are_not_measured(void **state)
{
	rig.skel->bss->drain_mask = ~0U;
	answered_at(now());
	segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
	client(A);
	rig.skel->bss->drain_mask = 0;
	assert_int_equal(drained(), 0);
}

static void what_was_acknowledged_while_nobody_asked_is_not_measured_later(void **state)
{
	answered_at(now() - 60000 * MS);
	rig.skel->bss->drain_mask = ~0U;
	segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
	rig.skel->bss->drain_since = now();
	rig.skel->bss->drain_mask = 0;
	client(A);
	assert_int_equal(drained(), 0);
	answer_at(now(), OK);
	client(A);
	assert_int_equal(drained(), 1);
}

/* What user space makes of the slot's counters, as the `count` beside each time. */
static void follow(struct latencies *lat)
{
	struct tw_series s = slot_sum(SLOT);
	struct histogram gained = { 0 };

	struct histogram *const by_kind[TW_LAT_NR] = { [TW_LAT_DRAIN] = &gained };

	assert_int_equal(latencies__follow(lat, &s, by_kind), 0);
}

static void one_connection_in_eight_may_be_asked_and_the_counts_say_so(void **state)
{
	struct latencies lat = { 0 };
	uint64_t total, drain, asked = 0;

	answered_at(now());
	done();
	follow(&lat);
	total = lat.count[TW_LAT_TOTAL];
	drain = lat.count[TW_LAT_DRAIN];
	before = slot_sum(SLOT);
	rig.skel->bss->drain_mask = 7;
	for (int i = 0; i < 64; i++) {
		begin();
		client(A);
		answer_at(now(), OK);
		segment(CLIENT, talk.at[CLIENT], "", 0, ACK);
		done();
		/* Clients draw ports two apart. */
		asked += talk.client_port / 2 % 8 == 0;
		assert_int_equal(drained(), asked);
	}
	follow(&lat);
	assert_int_equal(lat.count[TW_LAT_TOTAL] - total, 64);
	assert_int_equal(lat.count[TW_LAT_DRAIN] - drain, 8);
	latencies__free(&lat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_in_one_piece_has_no_upload_and_its_answer_no_sending),
		TEST(a_body_in_the_first_segment_is_no_upload),
		TEST(an_upload_lasts_to_the_last_byte_of_the_body),
		TEST(an_upload_in_chunks_lasts_to_the_end_of_the_last_one),
		TEST(a_head_in_two_pieces_is_an_upload_too),
		TEST(an_answer_before_the_body_is_complete_has_no_time_of_upload_nor_of_the_server),
		TEST(a_client_that_closes_inside_its_body_is_answered_in_time_from_there),
		TEST(a_close_behind_a_whole_body_changes_no_time),
		TEST(a_servers_time_that_cannot_be_told_is_not_slow),
		TEST(pipelined_uploads_have_a_time_each),
		TEST(sending_lasts_from_the_first_byte_of_the_answer_to_the_last),
		TEST(the_time_a_servers_window_is_shut_inside_a_body_is_its_own),
		TEST(a_window_that_opens_after_the_body_was_shut_up_to_its_last_byte),
		TEST(a_segment_with_data_opens_the_window_too),
		TEST(a_window_that_is_shut_outside_a_body_or_in_another_is_not_counted),
		TEST(draining_ends_with_the_acknowledgement_of_the_last_byte),
		TEST(an_acknowledgement_of_a_part_does_not_end_draining),
		TEST(answers_that_have_no_slot_yet_tell_by_record_how_long_they_drained),
		TEST(the_next_request_acknowledges_too),
		TEST(connections_that_are_not_asked_are_not_measured),
		TEST(what_was_acknowledged_while_nobody_asked_is_not_measured_later),
		TEST(one_connection_in_eight_may_be_asked_and_the_counts_say_so),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
