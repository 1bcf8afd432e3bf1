// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What became of the exchanges that a close, a reset or the clock ended. Oracles: the definitions of the outcomes and
 * latencies in include/tw_abi.h; RFC 9112, 8 (incomplete messages) and 9.6 (tear-down); RFC 5961, 3.2 (blind resets).
 */
#include "talk.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A     "GET /a HTTP/1.1\r\n\r\n"
#define B     "GET /b HTTP/1.1\r\n\r\n"
#define C     "GET /c HTTP/1.1\r\n\r\n"
#define ONE   "requests 1, ended 1, connections 1, decoded 1"
#define TWO   "requests 2, ended 2, connections 1, decoded 1"
#define THREE "requests 3, ended 3, connections 1, decoded 1"

/* ---- the server closes --------------------------------------------------------------------------------------------
 */

static void a_close_without_a_byte_leaves_the_request_unanswered(void **state)
{
	client(A);
	fin(SERVER);
	expect_exchanges("GET /a - unanswered\n");
	expect_ledger(ONE);
}

static void a_close_after_an_interim_answer_leaves_the_request_unanswered(void **state)
{
	client("POST /p HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
	server("HTTP/1.1 100 Continue\r\n\r\n");
	fin(SERVER);
	expect_exchanges("POST /p - unanswered\n");
}

static void a_close_anywhere_inside_the_answer_truncates_it(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 503 Sorry\r\nContent-Length: 5\r\n\r\nsorry",
		"HTTP/1.1 503 Sorry\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsorry\r\n0\r\n\r\n",
	};

	for (size_t i = 0; i < 2; i++)
		for (size_t n = 1; n <= strlen(answers[i]); n++) {
			begin();
			client(A);
			bytes(SERVER, answers[i], n);
			fin(SERVER);
			done();
			if (n == strlen(answers[i]))
				expect_exchanges("GET /a 503 answered\n");
			else
				expect_exchanges(n < 12 ? "GET /a - truncated\n" : "GET /a 503 truncated\n");
		}
}

static void a_close_in_the_segment_of_the_answer_comes_after_it(void **state)
{
	client(A);
	segment(SERVER, 0, OK, strlen(OK), FIN | ACK);
	expect_exchanges("GET /a 200 answered\n");
	begin();
	client(A);
	segment(SERVER, 0, OK, 20, FIN | ACK);
	expect_exchanges("GET /a 200 truncated\n");
}

static void requests_behind_the_one_that_closes_are_unanswered(void **state)
{
	client(A B C);
	server("HTTP/1.1 200 OK\r\n\r\nuntil close");
	fin(SERVER);
	expect_exchanges("GET /a 200 answered\nGET /b - unanswered\nGET /c - unanswered\n");
	begin();
	client(A B C);
	server(OK "HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n123");
	fin(SERVER);
	expect_exchanges("GET /a 200 answered\nGET /b 201 truncated\nGET /c - unanswered\n");
}

static void a_close_told_twice_ends_once(void **state)
{
	client(A B);
	fin(SERVER);
	talk.at[SERVER]--;
	fin(SERVER);
	rst(SERVER);
	expect_exchanges("GET /a - unanswered\nGET /b - unanswered\n");
	expect_ledger(TWO);
}

static void an_idle_connection_that_the_server_closes_owes_nothing(void **state)
{
	client(A);
	server(OK);
	expect_exchanges("GET /a 200 answered\n");
	server("HTTP/1.1 408 Request Timeout\r\nContent-Length: 7\r\n\r\ntoo bad");
	fin(SERVER);
	fin(CLIENT);
	expect_exchanges("");
	expect_ledger(ONE);
}

#define STRAY "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"

/* The client of /b takes the 408 for its answer (RFC 9112, 9.2), and that of /c the 201. */
static void an_answer_that_nobody_asked_for_leaves_no_pair_that_can_be_told(void **state)
{
	client(A);
	server(OK);
	server(STRAY);
	client(B);
	expect_exchanges("GET /a 200 answered\nGET /b - unobserved\n");
	server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	client("GET /c HTTP/1.1\r\n\r\n");
	server(OK);
	fin(SERVER);
	expect_exchanges("");
	expect_ledger("requests 2, ended 2, connections 1, decoded 1, desync 1");
}

/* However the bytes beyond the answer, and the next request, come. */
static void bytes_beyond_an_answer_leave_no_pair_that_can_be_told(void **state)
{
	static const struct {
		const char *first, *second;
		size_t piece;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0123456789", "", 1000 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0123", "456789", 1000 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" STRAY, "", 1000 },
		{ "HTTP/1.1 204 No Content\r\n\r\nhello", "", 1 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" STRAY, "", 1000 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		rig_mark();
		client(A);
		in_pieces(SERVER, cases[i].first, cases[i].piece);
		server(cases[i].second);
		in_pieces(CLIENT, B, cases[i].piece);
		server(OK);
		client(A);
		server(OK);
		expect_exchanges(i == 3 ? "GET /a 204 answered\nGET /b - unobserved\n"
		                        : "GET /a 200 answered\nGET /b - unobserved\n");
		assert_int_equal(rig_row(rig.version).c[TW_L_DESYNC], 1);
		assert_int_equal(rig_row(rig.version).c[TW_L_RESYNC], 0);
		done();
	}
}

static void a_request_behind_a_farewell_and_a_close_is_a_loss_of_the_servers(void **state)
{
	client(A);
	server(OK);
	server(STRAY);
	fin(SERVER);
	client(B);
	rst(SERVER);
	expect_exchanges("GET /a 200 answered\nGET /b - reset_by_server\n");
	expect_ledger(TWO);
}

/* ---- the client closes --------------------------------------------------------------------------------------------
 */

static void a_half_close_is_answered(void **state)
{
	client(A);
	fin(CLIENT);
	expect_exchanges("");
	server(OK);
	fin(SERVER);
	expect_exchanges("GET /a 200 answered\n");
	expect_ledger(ONE);
}

static void a_half_close_in_the_segment_of_the_request_is_answered(void **state)
{
	segment(CLIENT, 0, A, strlen(A), FIN | ACK);
	server(OK);
	expect_exchanges("GET /a 200 answered\n");
}

static void a_half_close_in_pieces_of_the_request_is_answered(void **state)
{
	bytes(CLIENT, A, 5);
	segment(CLIENT, 5, A + 5, strlen(A) - 5, FIN | ACK);
	server("HTTP/1.1 200 OK\r\n\r\nuntil");
	fin(SERVER);
	expect_exchanges("GET /a 200 answered\n");
}

static void a_client_that_closes_and_gets_nothing_has_abandoned(void **state)
{
	client(A B);
	fin(CLIENT);
	expect_exchanges("");
	fin(SERVER);
	expect_exchanges("GET /a - client_abandoned\nGET /b - client_abandoned\n");
	begin();
	client(A);
	fin(CLIENT);
	server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123");
	fin(SERVER);
	expect_exchanges("GET /a 200 client_abandoned mid_response\n");
	expect_ledger("requests 3, ended 3, connections 2, decoded 2");
}

static void a_close_in_a_segment_that_waits_is_a_close(void **state)
{
	may_reorder();
	client(A);
	server(OK);
	segment(CLIENT, talk.at[CLIENT] + 5, B + 5, strlen(B) - 5, FIN | ACK);
	part(CLIENT, B, 0, 5);
	fin(SERVER);
	expect_exchanges("GET /a 200 answered\nGET /b - client_abandoned\n");
}

static void a_head_that_never_ends_is_no_request(void **state)
{
	client("GET /a HTTP/1.1\r\nHost: exam");
	fin(CLIENT);
	fin(SERVER);
	expect_exchanges("");
	expect_ledger("connections 1");
}

/* ---- resets -------------------------------------------------------------------------------------------------------
 */

static void resets_are_told_apart_by_who_sent_them(void **state)
{
	for (int watched = WATCHED_SERVER; watched <= WATCHED_CLIENT; watched++) {
		begin_as((enum watched)watched, false);
		client(A B);
		rst(CLIENT);
		expect_exchanges("GET /a - reset_by_client\nGET /b - reset_by_client\n");
		done();
		begin_as((enum watched)watched, false);
		client(A B);
		rst(SERVER);
		expect_exchanges("GET /a - reset_by_server\nGET /b - reset_by_server\n");
		done();
	}
}

static void a_reset_inside_the_answer_keeps_its_status(void **state)
{
	client(A B);
	server("HTTP/1.1 206 Partial Content\r\nContent-Length: 100\r\n\r\n");
	body(SERVER, 50);
	rst(CLIENT);
	expect_exchanges("GET /a 206 reset_by_client mid_response\nGET /b - reset_by_client\n");
	expect_ledger(TWO);
}

/* One byte is enough, a status it has not; an interim answer is no byte of the answer. */
static void a_cut_anywhere_inside_the_answer_is_told_from_one_before_it(void **state)
{
	static const char answer[] = "HTTP/1.1 503 Sorry\r\nContent-Length: 5\r\n\r\nsorry";
	char expected[96];

	for (int who = CLIENT; who <= SERVER; who++)
		for (size_t n = 0; n < strlen(answer); n++) {
			begin();
			client(A B);
			server("HTTP/1.1 103 Early Hints\r\n\r\n");
			bytes(SERVER, answer, n);
			rst((enum end)who);
			done();
			snprintf(expected, sizeof(expected), "GET /a %s reset_by_%s%s\nGET /b - reset_by_%s\n",
			         n < 12 ? "-" : "503", who == CLIENT ? "client" : "server", n ? " mid_response" : "",
			         who == CLIENT ? "client" : "server");
			expect_exchanges(expected);
		}
}

/* The kernel answers with a reset what comes for a client that has closed. Its place is behind the FIN. */
static void a_reset_behind_the_clients_close_does_not_hide_who_left(void **state)
{
	client(A B);
	server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
	fin(CLIENT);
	body(SERVER, 50);
	expect_exchanges("");
	rst(CLIENT);
	expect_exchanges("GET /a 200 client_abandoned mid_response\nGET /b - client_abandoned\n");
	body(SERVER, 50);
	rst(SERVER);
	expect_exchanges("");
	expect_ledger(TWO);
}

static void a_server_that_resets_a_client_that_has_left_is_not_to_blame(void **state)
{
	for (int watched = WATCHED_SERVER; watched <= WATCHED_CLIENT; watched++) {
		begin_as((enum watched)watched, false);
		client("POST /p HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
		body(CLIENT, 50);
		fin(CLIENT);
		expect_exchanges("");
		rst(SERVER);
		expect_exchanges("POST /p - client_abandoned\n");
		done();
	}
}

static void a_reset_of_an_idle_connection_ends_nothing(void **state)
{
	client(A);
	server(OK);
	rst(CLIENT);
	rst(SERVER);
	expect_exchanges("GET /a 200 answered\n");
	expect_ledger(ONE);
}

static void a_reset_out_of_place_is_not_believed(void **state)
{
	client(A);
	segment(CLIENT, talk.at[CLIENT] + 1, NULL, 0, RST);
	segment(CLIENT, talk.at[CLIENT] - 1, NULL, 0, RST);
	segment(CLIENT, talk.at[CLIENT] + 100000, NULL, 0, RST);
	server(OK);
	expect_exchanges("GET /a 200 answered\n");
	expect_ledger(ONE);
}

static void a_full_pipeline_ends_to_the_last_request(void **state)
{
	char expected[TW_PIPELINE_MAX * 32] = "";
	size_t n = 0;

	may_pipeline();
	for (int i = 0; i < TW_PIPELINE_MAX; i++) {
		client(A);
		n += (size_t)snprintf(expected + n, sizeof(expected) - n, "GET /a - %s\n",
		                      i ? "unanswered" : "truncated");
	}
	server("HTTP/1.1 ");
	fin(SERVER);
	expect_exchanges(expected);
	expect_ledger("requests 128, ended 128, connections 1, decoded 1");
}

/* ---- time ---------------------------------------------------------------------------------------------------------
 */

static void latencies_run_from_the_first_byte_of_the_request(void **state)
{
	uint64_t before = now(), after;

	bytes(CLIENT, A, 1);
	after = now();
	bytes(CLIENT, A + 1, strlen(A) - 1);
	answer_at(after + 10 * MS, "HTTP/1.1 100 Continue\r\n\r\n");
	answer_at(after + 20 * MS, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
	answer_at(after + 30 * MS, "123");
	answer_at(after + 40 * MS, "456");
	expect_exchanges("GET /a 200 answered\n");
	assert_in_range(rig.last.t_start, before, after);
	assert_int_equal(rig.last.lat[TW_LAT_FIRST_BYTE], after + 20 * MS - rig.last.t_start);
	assert_int_equal(rig.last.lat[TW_LAT_TOTAL], after + 40 * MS - rig.last.t_start);
	assert_true(rig.last.lat[TW_LAT_QUEUE] == TW_NOT_MEASURED); /* nobody has read it */
	assert_true(rig.last.lat[TW_LAT_SERVICE] == TW_NOT_MEASURED);
}

static void an_answer_until_close_lasts_to_its_last_byte_not_to_the_close(void **state)
{
	uint64_t t = now();

	client(A);
	answer_at(t + 10 * MS, "HTTP/1.0 200 OK\r\n\r\nab");
	answer_at(t + 20 * MS, "cd");
	talk.departure = t + 500 * MS;
	fin(SERVER);
	expect_exchanges("GET /a 200 answered\n");
	assert_int_equal(rig.last.lat[TW_LAT_TOTAL], t + 20 * MS - rig.last.t_start);
}

static void each_pipelined_request_has_its_own_times(void **state)
{
	uint64_t second;

	client(A);
	second = now();
	client(B);
	answer_at(second + 10 * MS, OK);
	expect_exchanges("GET /a 200 answered\n");
	assert_true(rig.last.t_start < second);
	answer_at(second + 30 * MS, OK);
	expect_exchanges("GET /b 200 answered\n");
	assert_true(rig.last.t_start >= second);
	assert_int_equal(rig.last.lat[TW_LAT_TOTAL], second + 30 * MS - rig.last.t_start);
}

static void what_was_not_answered_has_no_latency(void **state)
{
	client(A);
	server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
	rst(CLIENT);
	expect_exchanges("GET /a 200 reset_by_client mid_response\n");
	for (int i = 0; i < TW_LAT_NR; i++)
		assert_true(i == TW_LAT_WAITED || rig.last.lat[i] == TW_NOT_MEASURED);
}

static void at_the_client_time_runs_from_the_departure_of_the_request(void **state)
{
	uint64_t t = now() - 50 * MS, before;

	begin_as(WATCHED_CLIENT, false);
	talk.departure = t;
	client(A);
	before = now();
	server(OK);
	expect_exchanges("GET /a 200 answered\n");
	assert_int_equal(rig.last.t_start, t);
	assert_in_range(rig.last.lat[TW_LAT_TOTAL], before - t, now() - t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_close_without_a_byte_leaves_the_request_unanswered),
		TEST(a_close_after_an_interim_answer_leaves_the_request_unanswered),
		TEST(a_close_anywhere_inside_the_answer_truncates_it),
		TEST(a_close_in_the_segment_of_the_answer_comes_after_it),
		TEST(requests_behind_the_one_that_closes_are_unanswered),
		TEST(a_close_told_twice_ends_once),
		TEST(an_idle_connection_that_the_server_closes_owes_nothing),
		TEST(an_answer_that_nobody_asked_for_leaves_no_pair_that_can_be_told),
		TEST(bytes_beyond_an_answer_leave_no_pair_that_can_be_told),
		TEST(a_request_behind_a_farewell_and_a_close_is_a_loss_of_the_servers),
		TEST(a_half_close_is_answered),
		TEST(a_half_close_in_the_segment_of_the_request_is_answered),
		TEST(a_half_close_in_pieces_of_the_request_is_answered),
		TEST(a_client_that_closes_and_gets_nothing_has_abandoned),
		TEST(a_close_in_a_segment_that_waits_is_a_close),
		TEST(a_head_that_never_ends_is_no_request),
		TEST(resets_are_told_apart_by_who_sent_them),
		TEST(a_reset_inside_the_answer_keeps_its_status),
		TEST(a_cut_anywhere_inside_the_answer_is_told_from_one_before_it),
		TEST(a_reset_behind_the_clients_close_does_not_hide_who_left),
		TEST(a_server_that_resets_a_client_that_has_left_is_not_to_blame),
		TEST(a_reset_of_an_idle_connection_ends_nothing),
		TEST(a_reset_out_of_place_is_not_believed),
		TEST(a_full_pipeline_ends_to_the_last_request),
		TEST(latencies_run_from_the_first_byte_of_the_request),
		TEST(an_answer_until_close_lasts_to_its_last_byte_not_to_the_close),
		TEST(each_pipelined_request_has_its_own_times),
		TEST(what_was_not_answered_has_no_latency),
		TEST(at_the_client_time_runs_from_the_departure_of_the_request),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
