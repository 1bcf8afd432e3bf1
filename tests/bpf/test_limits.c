// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where room ends: pipelines, tail calls, announcements, the ring; and where exchanges are counted when they leave no
 * record. Oracle: the ledger's rule that nothing is lost without being counted, and the numbers sent.
 */
#include "talk.h"
#include "slots.h"
#include "state.h"

#include "tw_status.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A    "GET /a HTTP/1.1\r\n\r\n"
#define B    "GET /b HTTP/1.1\r\n\r\n"
#define A_OK "GET /a 200 answered\n"
#define B_OK "GET /b 200 answered\n"

/* n copies of a text; the caller frees. */
static char *times(size_t n, const char *text)
{
	size_t len = strlen(text);
	char *all = malloc(n * len + 1);

	assert_non_null(all);
	for (size_t i = 0; i < n; i++)
		memcpy(all + i * len, text, len);
	all[n * len] = '\0';
	return all;
}

static void send_times(enum end from, size_t n, const char *text)
{
	char *all = times(n, text);

	in_pieces(from, all, SEGMENT_MAX);
	free(all);
}

static void expect_times(size_t n, const char *line)
{
	char *all = times(n, line);

	expect_exchanges(all);
	free(all);
}

/* ---- pipelines ----------------------------------------------------------------------------------------------------
 */

static void fifty_requests_may_wait_for_their_answers(void **state)
{
	may_pipeline();
	for (int i = 0; i < 25; i++)
		client(i % 3 ? A B : "GET /a HTTP/1.1\r\nHost: x\r\n\r\n" B);
	assert_int_equal(in_flight(), 50);
	for (int i = 0; i < 50; i++)
		server(i & 1 ? "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n" : OK);
	expect_times(25, A_OK "GET /b 404 answered\n");
	expect_ledger("requests 50, ended 50, connections 1, decoded 1");
}

static void a_pipeline_may_be_filled_by_one_segment_and_emptied_by_another(void **state)
{
	may_pipeline();
	for (int round = 0; round < 3; round++) {
		send_times(CLIENT, TW_PIPELINE_MAX, A);
		assert_int_equal(in_flight(), TW_PIPELINE_MAX);
		send_times(SERVER, TW_PIPELINE_MAX, "HTTP/1.1 204 \r\n\r\n");
		expect_times(TW_PIPELINE_MAX, "GET /a 204 answered\n");
	}
	expect_ledger("requests 384, ended 384, connections 1, decoded 1");
}

static void a_pipeline_that_moves_along_may_be_of_any_length(void **state)
{
	may_pipeline();
	send_times(CLIENT, 100, A);
	for (int i = 0; i < 1000; i++) {
		server(OK);
		client(A);
	}
	rig_drain();
	assert_int_equal(rig.n_ended, 1000);
	assert_int_equal(in_flight(), 100);
	expect_ledger("requests 1100, ended 1000, connections 1, decoded 1");
}

static void more_requests_than_a_pipeline_holds_are_a_lost_stream(void **state)
{
	may_pipeline();
	send_times(CLIENT, TW_PIPELINE_MAX, A);
	client(A);
	expect_times(TW_PIPELINE_MAX, "GET /a - unobserved\n");
	send_times(SERVER, TW_PIPELINE_MAX + 1, OK);
	expect_exchanges("");
	client(B);
	server(OK);
	expect_exchanges(B_OK);
	expect_ledger("requests 129, ended 129, connections 1, decoded 1, desync 1, resync 1, pipeline_full 1");
}

static void without_room_for_a_pipeline_four_requests_may_wait(void **state)
{
	client(A A);
	client(A A);
	server(OK OK OK OK);
	expect_times(4, A_OK);
	client(A A A A A);
	expect_times(4, "GET /a - unobserved\n");
	expect_ledger("requests 8, ended 8, connections 1, decoded 1, desync 1, pipeline_full 1");
}

/* ---- segments that need many steps --------------------------------------------------------------------------------
 */

static void forty_chunks_in_a_segment_are_read(void **state)
{
	client("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_times(CLIENT, 40, "3\r\nabc\r\n");
	client("0\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_times(SERVER, 40, "3;x\r\nabc\r\n");
	server("0\r\n\r\n");
	expect_exchanges("POST /a 200 answered\n");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

/* Chunks with extensions take a step each. Their exchange must not wait for the answer of a later one. */
static void a_segment_beyond_all_steps_is_a_lost_stream(void **state)
{
	for (int from = CLIENT; from <= SERVER; from++) {
		begin();
		client(from == CLIENT ? "GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" : A);
		if (from == SERVER)
			server("HTTP/1.1 503 Sorry\r\nTransfer-Encoding: chunked\r\n\r\n");
		send_times((enum end)from, 450, "1;\r\nx\r\n");
		expect_exchanges(from == SERVER ? "GET /a 503 unobserved\n" : "GET /a - unobserved\n");
		assert_int_equal(in_flight(), 0);
		if (from == CLIENT)
			server(OK);
		client(B);
		server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
		expect_exchanges("GET /b 201 answered\n");
		done();
	}
	expect_ledger("requests 4, ended 4, connections 2, decoded 2, desync 2, resync 2");
}

static void hundreds_of_plain_chunks_in_a_segment_are_read(void **state)
{
	client("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_times(CLIENT, 600, "1\r\nx\r\n");
	client("0\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_times(SERVER, 600, "1\r\nx\r\n");
	server("0\r\n\r\n");
	expect_exchanges("POST /a 200 answered\n");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

/* The segment ends where the peer's window ended: at any byte of a chunk. */
static void hundreds_of_chunks_behind_one_that_a_segment_cuts_are_read(void **state)
{
	static const char chunk[] = "1\r\nx\r\n";
	char *all = times(590, chunk);

	for (size_t cut = 1; cut < strlen(chunk); cut++) {
		client("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
		bytes(CLIENT, all, cut);
		client(all + cut);
		client("0\r\n\r\n");
		server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		bytes(SERVER, all, cut);
		server(all + cut);
		server("0\r\n\r\n");
		expect_exchanges("POST /a 200 answered\n");
	}
	expect_ledger("requests 5, ended 5, connections 1, decoded 1");
	free(all);
}

static void a_full_pipeline_is_ended_even_when_all_steps_are_used_up(void **state)
{
	may_pipeline();
	send_times(CLIENT, TW_PIPELINE_MAX, A);
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	send_times(SERVER, 450, "1;\r\nx\r\n");
	rig_drain();
	assert_int_equal(rig.n_ended, TW_PIPELINE_MAX);
	assert_int_equal(in_flight(), 0);
	expect_ledger("requests 128, ended 128, connections 1, decoded 1, desync 1");
}

/* ---- names --------------------------------------------------------------------------------------------------------
 */

static void routes_beyond_the_budget_count_for_other_until_it_is_refilled(void **state)
{
	rig.skel->bss->route_budget = 1;
	client(A B);
	server(OK OK);
	expect_exchanges(A_OK "? 200 answered as 7\n");
	expect_ledger("requests 2, ended 2, unnamed 1, connections 1, decoded 1");
	assert_int_equal(rig.skel->bss->route_budget, 0);
	rig.skel->bss->route_budget = 5;
	client(A B);
	server(OK OK);
	expect_exchanges(A_OK B_OK);
	assert_int_equal(rig.skel->bss->route_budget, 4);
	expect_ledger("requests 4, ended 4, unnamed 1, connections 1, decoded 1");
}

static void details_beyond_the_budget_are_counted_and_cost_no_exchange(void **state)
{
	rig.skel->bss->detail_budget = 1;
	client(A B);
	fin(SERVER);
	rig_drain();
	assert_int_equal(rig.n_ended, 2);
	assert_int_equal(rig.n_details, 1);
	expect_ledger("requests 2, ended 2, connections 1, decoded 1, lost_details 1");
	rig.skel->bss->detail_budget = 5;
	rig.details_due = 0;
	begin();
	client(A);
	fin(SERVER);
	rig_drain();
	assert_int_equal(rig.n_details, 2);
	assert_int_equal(rig.skel->bss->detail_budget, 4);
}

static void details_that_are_not_asked_for_are_counted_apart_and_cost_neither_exchange_nor_budget(void **state)
{
	rig.skel->bss->detail_budget = 5;
	rig.skel->bss->detail_shed = 1;
	client(A B);
	fin(SERVER);
	rig_drain();
	assert_int_equal(rig.n_ended, 2);
	assert_int_equal(rig.n_details, 0);
	assert_int_equal(rig.skel->bss->detail_budget, 5);
	expect_ledger("requests 2, ended 2, connections 1, decoded 1, shed_details 2");
	rig.skel->bss->detail_shed = 0;
	rig.details_due = 0;
	begin();
	client(A);
	fin(SERVER);
	rig_drain();
	assert_int_equal(rig.n_details, 1);
	assert_int_equal(rig.skel->bss->detail_budget, 4);
}

static void a_route_named_while_it_waits_counts_under_its_name(void **state)
{
	client(A);
	rig_drain();
	assert_int_equal(rig.n_names, 1);
	name_route(rig.names[0].hash, 3);
	server(OK);
	client(A);
	server(OK);
	expect_times(2, "GET /a 200 answered as 3\n");
}

/* ---- versions -----------------------------------------------------------------------------------------------------
 */

static void put_place(const uint8_t *addr, struct tw_place_value value)
{
	struct tw_place place = { .port = RIG_SERVER_PORT };
	int fd = bpf_map__fd(rig.skel->maps.places);

	memcpy(place.addr, addr, sizeof(place.addr));
	assert_int_equal(bpf_map_update_elem(fd, &place, &value, BPF_ANY), 0);
}

static void an_exact_address_goes_before_the_wildcard(void **state)
{
	struct tw_place place = { .port = RIG_SERVER_PORT };

	put_place(talk.key.local, (struct tw_place_value){ .version = 9 });
	rig.version = 9;
	client(A);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
	done();
	begin_as(WATCHED_SERVER, true); /* another address of the same port */
	client(A);
	server(OK);
	expect_exchanges(A_OK);
	memcpy(place.addr, (uint8_t[16]){ [10] = 0xff, 0xff, 198, 51, 100, 2 }, sizeof(place.addr));
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.places), &place), 0);
}

static void a_request_moves_to_the_version_of_the_process_that_reads_it(void **state)
{
	uint32_t tgid = 4711, version = 3;
	char gained[128];

	put_place((uint8_t[16]){ 0 }, (struct tw_place_value){ .by_reader = 1 });
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.procs), &tgid, &version, BPF_ANY), 0);
	client(A B);
	rig_gained(0, gained, sizeof(gained));
	assert_string_equal(gained, "requests 2, connections 1, decoded 1");
	note_reader(tgid);
	server(OK OK);
	rig.version = 3;
	expect_exchanges(A_OK B_OK);
	rig_gained(0, gained, sizeof(gained));
	assert_string_equal(gained, "requests 2, connections 1, decoded 1, moved 2");
	rig_gained(3, gained, sizeof(gained));
	assert_string_equal(gained, "requests 2, ended 2");
	assert_int_equal(rig.last.tgid, tgid);
	rig_watch_port(RIG_SERVER_PORT, RIG_SERVER_VERSION, false);
	bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.procs), &tgid);
}

static void a_request_that_nobody_was_seen_to_read_has_no_version(void **state)
{
	put_place((uint8_t[16]){ 0 }, (struct tw_place_value){ .by_reader = 1 });
	client(A);
	server(OK);
	rig.version = 0;
	expect_exchanges(A_OK);
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
	rig_watch_port(RIG_SERVER_PORT, RIG_SERVER_VERSION, false);
}

/* ---- counting in the kernel ---------------------------------------------------------------------------------------
 */

static void exchanges_with_a_slot_are_counted_there_and_leave_no_record(void **state)
{
	struct tw_series s;

	client(A);
	server(OK);
	expect_exchanges(A_OK);
	name_route(rig.names[0].hash, 3);
	give_slot(3, 5);
	for (int i = 0; i < 3; i++) {
		client(A);
		answer_at(now() + 1000 * MS, i ? OK : "HTTP/1.1 503 Sorry\r\nContent-Length: 2\r\n\r\nno");
	}
	client(A);
	rst(CLIENT);
	expect_exchanges("");
	s = slot_sum(5);
	assert_int_equal(s.c.cut[TW_RESET_BY_CLIENT], 0);
	assert_int_equal(s.c.exchanges, 4);
	assert_int_equal(s.c.connections, 0); /* this connection was counted when the route had no name */
	assert_int_equal(s.c.outcome[TW_ANSWERED], 3);
	assert_int_equal(s.c.outcome[TW_RESET_BY_CLIENT], 1);
	assert_int_equal(s.c.status[tw_status_index[200]], 2);
	assert_int_equal(s.c.status[tw_status_index[503]], 1);
	assert_int_equal(s.c.status[tw_status_index[0]], 1);
	assert_in_range(s.c.sum[TW_LAT_TOTAL], 3000000000, 3900000000);
	assert_int_equal(s.b[histogram_bucket(1000000000)][TW_LAT_TOTAL] +
	                         s.b[histogram_bucket(1000000000) + 1][TW_LAT_TOTAL],
	                 3);
	assert_int_equal(s.c.sum[TW_LAT_QUEUE], 0);
	expect_ledger("requests 5, ended 5, connections 1, decoded 1");
}

static void what_is_cut_off_inside_the_answer_is_counted_apart(void **state)
{
	struct tw_series s;

	client(A);
	server(OK);
	expect_exchanges(A_OK);
	name_route(rig.names[0].hash, 3);
	give_slot(3, 7);
	for (int cut = 0; cut < 3; cut++) {
		done();
		begin();
		client(A A);
		if (cut)
			server("HTTP/1.1");
		rst(CLIENT);
	}
	expect_exchanges("");
	s = slot_sum(7);
	assert_int_equal(s.c.outcome[TW_RESET_BY_CLIENT], 6);
	assert_int_equal(s.c.cut[TW_RESET_BY_CLIENT], 2);
	assert_int_equal(s.c.status[tw_status_index[0]], 6);
}

static void a_new_connection_of_a_named_endpoint_is_counted_once(void **state)
{
	struct tw_series before;

	client(A);
	server(OK);
	expect_exchanges(A_OK);
	name_route(rig.names[0].hash, 4);
	give_slot(4, 6);
	before = slot_sum(6);
	for (int i = 0; i < 3; i++) {
		begin();
		client(A);
		client(A);
		server(OK OK);
		done();
	}
	assert_int_equal(slot_sum(6).c.exchanges, before.c.exchanges + 6);
	assert_int_equal(slot_sum(6).c.connections, before.c.connections + 3);
}

static void a_status_that_is_not_registered_travels_as_a_record(void **state)
{
	client(A);
	server(OK);
	expect_exchanges(A_OK);
	name_route(rig.names[0].hash, 3);
	give_slot(3, 5);
	client(A);
	server("HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n");
	client(A);
	server("HTTP/1.1 999 Odder\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("GET /a 299 answered as 3\nGET /a 999 answered as 3\n");
}

/* ---- the ring is full ---------------------------------------------------------------------------------------------
 */

static void what_a_full_ring_refuses_is_counted_as_lost(void **state)
{
	struct tw_ledger_row row;
	uint64_t held, room;

	rig.skel->bss->drain_mask = ~0U; /* all the room is for exchanges */
	may_pipeline();
	for (int i = 0; i < 50; i++) {
		send_times(CLIENT, 100, A);
		send_times(SERVER, 100, "HTTP/1.1 204 \r\n\r\n");
	}
	rig.skel->bss->drain_mask = 0;
	row = rig_row(RIG_SERVER_VERSION);
	held = row.c[TW_L_ENDED];
	assert_int_equal(row.c[TW_L_REQUESTS], 5000);
	/* As many records as the ring has room for, each behind a header of 8 bytes; a route's may be there as well. */
	room = bpf_map__max_entries(rig.skel->maps.ring) / (sizeof(struct tw_exchange_record) + 8);
	assert_in_range(held, room - 2, room);
	assert_int_equal(row.c[TW_L_LOST_EXCHANGES], 5000 - held);
	assert_int_equal(row.c[TW_L_LOST_EVENTS], 5000 - held);
	rig_drain();
	assert_int_equal(rig.n_ended, held);
	rig_forget_log();
	client(B);
	server(OK);
	expect_exchanges(B_OK);
}

static void a_route_that_could_not_be_announced_is_announced_again(void **state)
{
	may_pipeline();
	for (int i = 0; i < 50; i++) {
		send_times(CLIENT, 100, A);
		send_times(SERVER, 100, "HTTP/1.1 204 \r\n\r\n");
	}
	client(B);
	server(OK);
	rig_drain();
	assert_int_equal(rig.n_names, 1);
	rig_forget_log();
	client(B);
	server(OK);
	expect_exchanges(B_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fifty_requests_may_wait_for_their_answers),
		TEST(a_pipeline_may_be_filled_by_one_segment_and_emptied_by_another),
		TEST(a_pipeline_that_moves_along_may_be_of_any_length),
		TEST(more_requests_than_a_pipeline_holds_are_a_lost_stream),
		TEST(without_room_for_a_pipeline_four_requests_may_wait),
		TEST(forty_chunks_in_a_segment_are_read),
		TEST(a_segment_beyond_all_steps_is_a_lost_stream),
		TEST(hundreds_of_plain_chunks_in_a_segment_are_read),
		TEST(hundreds_of_chunks_behind_one_that_a_segment_cuts_are_read),
		TEST(a_full_pipeline_is_ended_even_when_all_steps_are_used_up),
		TEST(routes_beyond_the_budget_count_for_other_until_it_is_refilled),
		TEST(details_beyond_the_budget_are_counted_and_cost_no_exchange),
		TEST(details_that_are_not_asked_for_are_counted_apart_and_cost_neither_exchange_nor_budget),
		TEST(a_route_named_while_it_waits_counts_under_its_name),
		TEST(an_exact_address_goes_before_the_wildcard),
		TEST(a_request_moves_to_the_version_of_the_process_that_reads_it),
		TEST(a_request_that_nobody_was_seen_to_read_has_no_version),
		TEST(exchanges_with_a_slot_are_counted_there_and_leave_no_record),
		TEST(what_is_cut_off_inside_the_answer_is_counted_apart),
		TEST(a_new_connection_of_a_named_endpoint_is_counted_once),
		TEST(a_status_that_is_not_registered_travels_as_a_record),
		TEST(what_a_full_ring_refuses_is_counted_as_lost),
		TEST(a_route_that_could_not_be_announced_is_announced_again),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
