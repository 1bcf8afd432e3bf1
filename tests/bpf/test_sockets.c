// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Segments larger than a test run takes: the same programs, attached to a cgroup of this test's own, on loopback, whose
 * segments hold up to 64 KB. State lies with the sockets here, as in service. Oracle: the numbers sent.
 * One write of up to 60 KB is one segment, seldom two: the peer has taken everything before it.
 */
#include "wire.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A    "GET /a HTTP/1.1\r\n\r\n"
#define A_OK "GET /a 200 answered\n"
#define BIG  WIRE_MOST

static char big[BIG + 1];

/* prefix, then as many copies of text as fit, then suffix; returns how many. */
static size_t fill(const char *prefix, const char *text, size_t most, const char *suffix)
{
	size_t len = strlen(prefix), one = strlen(text), n = 0;

	memcpy(big, prefix, len);
	for (; n < most && len + one + strlen(suffix) <= BIG; n++, len += one)
		memcpy(big + len, text, one);
	memcpy(big + len, suffix, strlen(suffix) + 1);
	return n;
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static void a_body_of_60_kb_is_one_segment_of_an_exchange(void **state)
{
	fill("POST /a HTTP/1.1\r\nContent-Length: 59000\r\n\r\n", "x", 59000, "");
	wire_send(CLIENT, big);
	fill("HTTP/1.1 200 OK\r\nContent-Length: 59500\r\n\r\n", "y", 59500, "");
	wire_send(SERVER, big);
	expect_exchanges("POST /a 200 answered\n");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

static void bodies_and_heads_of_several_messages_may_share_60_kb(void **state)
{
	char *message = calloc(1, 8000), expected[512] = "";

	snprintf(message, 8000, "POST /a HTTP/1.1\r\nContent-Length: 7000\r\n\r\n%07000d", 0);
	assert_int_equal(fill("", message, 8, ""), 8);
	wire_send(CLIENT, big);
	snprintf(message, 8000, "HTTP/1.1 200 OK\r\nContent-Length: 7200\r\n\r\n%07200d", 0);
	assert_int_equal(fill("", message, 8, ""), 8);
	wire_send(SERVER, big);
	for (size_t i = 0, n = 0; i < 8; i++)
		n += (size_t)snprintf(expected + n, sizeof(expected) - n, "POST /a 200 answered\n");
	expect_exchanges(expected);
	expect_ledger("requests 8, ended 8, connections 1, decoded 1");
	free(message);
}

static void a_full_pipeline_in_one_segment_is_counted_to_the_last(void **state)
{
	char one[256];

	/* A request of up to 128 bytes takes one step. */
	snprintf(one, sizeof(one), "GET /a HTTP/1.1\r\nX: %080d\r\n\r\n", 0);
	assert_int_equal(fill("", one, TW_PIPELINE_MAX, ""), TW_PIPELINE_MAX);
	wire_send(CLIENT, big);
	assert_int_equal(fill("", OK, TW_PIPELINE_MAX, ""), TW_PIPELINE_MAX);
	wire_send(SERVER, big);
	rig_drain();
	assert_int_equal(rig.n_ended, TW_PIPELINE_MAX);
	assert_string_equal(rig.log + rig.log_len - strlen(A_OK), A_OK);
	expect_ledger("requests 128, ended 128, connections 1, decoded 1");
}

static void sixty_chunks_of_a_kilobyte_are_read_in_one_segment(void **state)
{
	char chunk[1100];

	snprintf(chunk, sizeof(chunk), "3e0\r\n%0992d\r\n", 0);
	wire_send(CLIENT, A);
	assert_true(fill("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, 60, "0\r\n\r\n") >= 59);
	wire_send(SERVER, big);
	expect_exchanges(A_OK);
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

static void thousands_of_chunks_are_read_in_one_segment(void **state)
{
	wire_send(CLIENT, A);
	assert_true(fill("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 9000, "0\r\n\r\n") >
	            8000);
	wire_send(SERVER, big);
	expect_exchanges("GET /a 200 answered\n");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

static void requests_in_pieces_keep_their_text_with_the_socket(void **state)
{
	for (int i = 0; i < 20; i++) {
		wire_send(CLIENT, "GET /a/lo");
		wire_send(CLIENT, "ng/path?q HTT");
		wire_send(CLIENT, "P/1.1\r\n\r\n");
		wire_send(SERVER, "HTTP/1.");
		wire_send(SERVER, "1 200 OK\r\nContent-Length: 0\r\n\r\n");
		expect_exchanges("GET /a/long/path 200 answered\n");
	}
	expect_ledger("requests 20, ended 20, connections 1, decoded 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WIRE(a_body_of_60_kb_is_one_segment_of_an_exchange),
		WIRE(bodies_and_heads_of_several_messages_may_share_60_kb),
		WIRE(a_full_pipeline_in_one_segment_is_counted_to_the_last),
		WIRE(sixty_chunks_of_a_kilobyte_are_read_in_one_segment),
		WIRE(thousands_of_chunks_are_read_in_one_segment),
		WIRE(requests_in_pieces_keep_their_text_with_the_socket),
	};

	return cmocka_run_group_tests(tests, wire_set_up, wire_tear_down);
}
