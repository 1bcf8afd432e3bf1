// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where messages begin and end. Oracles: RFC 9112 (framing: 6.3, chunks: 7.1, pipelining: 9.3.2), RFC 9110 (1xx: 15.2,
 * HEAD: 9.3.2, 204 and 304: 6.4.1, CONNECT: 9.3.6, upgrade: 7.8), and a route key computed in user space.
 */
#include "talk.h"

#include "capture/route_key.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK_HI "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define ONE   "requests 1, ended 1, connections 1, decoded 1"
#define TWO   "requests 2, ended 2, connections 1, decoded 1"
#define THREE "requests 3, ended 3, connections 1, decoded 1"

static void one_request_with_one_answer_is_one_exchange(void **state)
{
	client("GET /cart HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_exchanges("");
	server(OK_HI);
	expect_exchanges("GET /cart 200 answered\n");
	expect_ledger(ONE);
}

static void requests_on_a_kept_connection_are_each_counted(void **state)
{
	client("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
	server(OK_HI);
	client("POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
	server("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
	client("DELETE /c HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("GET /a 200 answered\nPOST /b 503 answered\nDELETE /c 404 answered\n");
	expect_ledger(THREE);
}

static void only_the_first_exchange_of_an_endpoint_is_told_as_a_new_connection(void **state)
{
	for (int i = 0; i < 2; i++) {
		client("GET /a HTTP/1.1\r\n\r\n");
		server(OK);
		rig_drain();
		assert_int_equal(rig.last.new_connection, i == 0);
	}
	client("GET /b HTTP/1.1\r\n\r\n");
	server(OK);
	rig_drain();
	assert_int_equal(rig.last.new_connection, 1);
}

static void three_requests_in_one_segment_each_get_their_own_status(void **state)
{
	client("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n");
	server(OK_HI "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx"
	             "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("GET /a 200 answered\nGET /b 404 answered\nGET /c 500 answered\n");
	expect_ledger(THREE);
}

static void three_pipelined_requests_may_be_answered_one_by_one(void **state)
{
	client("GET /a HTTP/1.1\r\n\r\n");
	client("GET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("GET /a 201 answered\n");
	server("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
	server("HTTP/1.1 203 Mine\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("GET /b 202 answered\nGET /c 203 answered\n");
	expect_ledger(THREE);
}

/* ---- bodies -------------------------------------------------------------------------------------------------------
 */

static void bodies_by_content_length_end_with_their_last_byte(void **state)
{
	client("POST /up HTTP/1.1\r\nContent-Length: 10000\r\n\r\n");
	body(CLIENT, 10000);
	server("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");
	body(SERVER, 19999);
	expect_exchanges("");
	body(SERVER, 1);
	expect_exchanges("POST /up 200 answered\n");
	client("GET /after HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /after 200 answered\n");
	expect_ledger(TWO);
}

static void chunked_bodies_end_after_their_trailers(void **state)
{
	client("POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;ext=\"v\"\r\npedia\r\n0\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	server("1000\r\n");
	body(SERVER, 4096);
	server("\r\nA\r\n0123456789\r\n");
	server("0\r\nExpires: never\r\n");
	expect_exchanges("");
	server("\r\n");
	expect_exchanges("POST /up 200 answered\n");
	client("GET /after HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /after 200 answered\n");
	expect_ledger(TWO);
}

static void a_response_without_framing_ends_with_the_connection(void **state)
{
	client("GET /old HTTP/1.0\r\n\r\n");
	server("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nsome");
	body(SERVER, 9000);
	server("HTTP/1.1 500 this is still the body\r\n\r\n");
	expect_exchanges("");
	fin(SERVER);
	expect_exchanges("GET /old 200 answered\n");
	expect_ledger(ONE);
}

static void a_response_without_framing_may_end_in_the_segment_with_the_fin(void **state)
{
	const char *text = "HTTP/1.0 200 OK\r\n\r\nbye";

	client("GET /old HTTP/1.0\r\n\r\n");
	segment(SERVER, 0, text, strlen(text), ACK | PSH | FIN);
	expect_exchanges("GET /old 200 answered\n");
	expect_ledger(ONE);
}

static void a_response_in_another_coding_ends_with_the_connection(void **state)
{
	client("GET /z HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzzzz");
	expect_exchanges("");
	fin(SERVER);
	expect_exchanges("GET /z 200 answered\n");
}

static void chunked_goes_before_content_length(void **state)
{
	client("GET /z HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
	expect_exchanges("GET /z 200 answered\n");
	client("GET /y HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /y 200 answered\n");
	expect_ledger(TWO);
}

static void answers_to_head_and_204_and_304_have_no_body(void **state)
{
	client("HEAD /h HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	expect_exchanges("HEAD /h 200 answered\n");
	client("DELETE /d HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 204 No Content\r\n\r\n");
	expect_exchanges("DELETE /d 204 answered\n");
	client("GET /g HTTP/1.1\r\nIf-None-Match: x\r\n\r\n");
	server("HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n");
	expect_exchanges("GET /g 304 answered\n");
	expect_ledger(THREE);
}

static void pipelined_heads_and_gets_are_told_apart(void **state)
{
	client("HEAD /h HTTP/1.1\r\n\r\nGET /g HTTP/1.1\r\n\r\nHEAD /i HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" OK_HI "HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n");
	expect_exchanges("HEAD /h 200 answered\nGET /g 200 answered\nHEAD /i 404 answered\n");
	expect_ledger(THREE);
}

static void interim_answers_are_not_the_answer(void **state)
{
	client("PUT /f HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	server("HTTP/1.1 100 Continue\r\n\r\n");
	expect_exchanges("");
	client("12345");
	server("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
	expect_exchanges("");
	server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("PUT /f 201 answered\n");
	expect_ledger(ONE);
}

static void interim_and_final_answer_may_share_a_segment(void **state)
{
	client("PUT /f HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345");
	server("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
	expect_exchanges("PUT /f 201 answered\n");
	expect_ledger(ONE);
}

static void an_upgrade_leaves_http(void **state)
{
	client("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi");
	expect_exchanges("GET /ws 101 answered\n");
	client("GET /not-a-request HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 200 not an answer\r\n\r\n");
	expect_exchanges("");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1, upgraded 1");
}

static void a_tunnel_leaves_http_when_it_is_granted(void **state)
{
	client("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
	server("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
	client("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
	server("HTTP/1.1 200 Connection established\r\n\r\n");
	client("\x16\x03\x01");
	client("GET /inside HTTP/1.1\r\n\r\n");
	expect_exchanges("CONNECT example.org:443 403 answered\nCONNECT example.org:443 200 answered\n");
	expect_ledger("requests 2, ended 2, connections 1, decoded 1, upgraded 1");
}

static void a_body_that_looks_like_a_request_is_a_body(void **state)
{
	static const char evil[] = "GET /evil HTTP/1.1\r\n\r\n";

	client("POST /up HTTP/1.1\r\nContent-Length: 44\r\n\r\n");
	client(evil);
	client(evil);
	server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n");
	server("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
	server("\r\n0\r\n\r\n");
	client("POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n");
	client(evil);
	client("\r\n0\r\n\r\n");
	server("HTTP/1.1 201 Yes\r\nContent-Length: 40\r\n\r\n");
	server("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("POST /up 200 answered\nPOST /up 201 answered\n");
	expect_ledger(TWO);
}

static void an_answer_may_come_before_the_request_is_complete(void **state)
{
	client("POST /big HTTP/1.1\r\nContent-Length: 6000\r\n\r\n");
	body(CLIENT, 1000);
	server("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!");
	expect_exchanges("POST /big 413 answered\n");
	body(CLIENT, 5000);
	client("GET /after HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /after 200 answered\n");
	expect_ledger(TWO);
}

static void bare_line_feeds_and_empty_lines_before_a_request_are_taken(void **state)
{
	client("\r\nGET /a HTTP/1.1\nHost: x\n\n");
	server("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi");
	client("\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /a 200 answered\nGET /b 200 answered\n");
	expect_ledger(TWO);
}

/* RFC 9112, 6.3 and 7.1: the server answers and closes, as it cannot know where the next request begins. */
static void a_request_whose_end_cannot_be_known_ends_with_its_answer(void **state)
{
	static const char *const broken[] = {
		"POST /b HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"POST /b HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\nGET /in HTTP/1.1\r\n\r\n",
		"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\nContent-Length: 3\r\n\r\nabc",
		"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdefgh",
		"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
		for (size_t size = 1; size < 200; size += 66) {
			begin();
			client("GET /a HTTP/1.1\r\n\r\n");
			server(OK);
			in_pieces(CLIENT, broken[i], size);
			server("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno");
			client("GET /what/is/left HTTP/1.1\r\n\r\n");
			fin(SERVER);
			fin(CLIENT);
			expect_exchanges("GET /a 200 answered\nPOST /b 400 answered\n");
			done();
		}
}

/* If it reads on all the same, the requests in there are not known. That is said, and the next one is found. */
static void a_server_that_reads_on_behind_such_a_request_is_out_of_step_until_the_next_one(void **state)
{
	client("POST /a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\nGET /in HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("POST /a 200 answered\n");
	server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("");
	client("GET /b HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /b 200 answered\n");
	expect_ledger("requests 2, ended 2, connections 1, decoded 1, desync 1, resync 1");
	begin();
	client("POST /a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\nGET /in HTTP/1.1\r\n\r\n");
	server(OK OK);
	expect_exchanges("POST /a 200 answered\n");
	expect_ledger("requests 3, ended 3, connections 2, decoded 2, desync 2, resync 1");
}

static void two_content_lengths_are_not_believed(void **state)
{
	client("GET /a HTTP/1.1\r\n\r\n");
	server(OK);
	client("POST /b HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde");
	expect_exchanges("GET /a 200 answered\n");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1, desync 1");
}

/* What a field line means for the body (RFC 9110, 5 and 8.6; RFC 9112, 5 and 6), in one segment and in pieces. */
static void only_the_framing_fields_frame(void **state)
{
	static const struct {
		const char *line, *body;
	} cases[] = {
		{ "Content-Length: 5", "12345" },
		{ "content-length:5", "12345" },
		{ "CONTENT-LENGTH: \t 5", "12345" },
		{ "Content-Length: 5 \t", "12345" },
		{ "Content-Length: 005", "12345" },
		{ "Content-Length: 00000000000000000000000005", "12345" },
		{ "Content-Length: 5\r\nContent-Length: 005", "12345" }, /* the same again: RFC 9112, 6.3 */
		{ "Content-Length: 5, 5 ,5", "12345" },
		{ "Content-Length: 3, 3\r\nTransfer-Encoding: chunked", "5\r\n12345\r\n0\r\n\r\n" },
		{ "X-Content-Length: 5", "" },
		{ "Content-Lengths: 5", "" },
		{ "Content-Lengt: 5", "" },
		{ "Content-Length-Of: 5", "" },
		{ "Content-Type: 5", "" },
		{ "X: Content-Length: 5", "" },
		{ "X: a\r\n Content-Length: 5", "" },
		{ "Content-LengthContent-Length: 5", "" },
		{ "Transfer-Encoding: chunked", "5\r\n12345\r\n0\r\n\r\n" },
		{ "transfer-encoding:Chunked", "5\r\n12345\r\n0\r\n\r\n" },
		{ "Transfer-Encoding: gzip, chunked", "5\r\n12345\r\n0\r\n\r\n" },
		{ "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "5\r\n12345\r\n0\r\n\r\n" },
		{ "Transfer-Encoding: chunked \t", "5\r\n12345\r\n0\r\n\r\n" },
		{ "Transfer-Encodin: chunked", "" },
		{ "Transfer-Encodings: chunked", "" },
		{ "X-Transfer-Encoding: chunked", "" },
		{ "TE: chunked", "" },
		{ "Trailer: Content-Length", "" },
	};
	char text[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (size_t size = 1; size < 200; size += size < 20 ? 1 : 60) {
			begin();
			snprintf(text, sizeof(text), "PUT /a HTTP/1.1\r\nA: b\r\n%s\r\nC: d\r\n\r\n%s", cases[i].line,
			         cases[i].body);
			in_pieces(CLIENT, text, size);
			client("GET /b HTTP/1.1\r\n\r\n");
			snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nA: b\r\n%s\r\n%s\r\n%s", cases[i].line,
			         *cases[i].body ? "" : "Content-Length: 0\r\n", cases[i].body);
			in_pieces(SERVER, text, size);
			server(OK);
			expect_exchanges("PUT /a 200 answered\nGET /b 200 answered\n");
			done();
		}
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_DESYNC], 0);
}

static void lengths_that_are_none_are_a_lost_stream(void **state)
{
	static const char *const lines[] = {
		"Content-Length: -1",
		"Content-Length: +5",
		"Content-Length: 0x10",
		"Content-Length: five",
		"Content-Length: 5 5",
		"Content-Length:",
		"Content-Length: 5, 6",
		"Content-Length: 5\r\nContent-Length: 55",
		"Content-Length: 99999999999999999999999999",
		"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n",
		"Transfer-Encoding: chunked\r\n\r\n\r\n",
	};
	size_t n = sizeof(lines) / sizeof(*lines);
	char text[256];

	for (size_t i = 0; i < n; i++) {
		begin();
		client("GET /a HTTP/1.1\r\n\r\n");
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n\r\n", lines[i]);
		server(text);
		expect_exchanges("GET /a 200 unobserved\n");
		done();
	}
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_DESYNC], n);
}

/* ---- targets and methods ------------------------------------------------------------------------------------------
 */

static void every_form_of_target_is_a_request(void **state)
{
	client("GET http://www.example.org/pub/x.html?q=1 HTTP/1.1\r\n\r\n");
	server(OK);
	client("OPTIONS * HTTP/1.1\r\n\r\n");
	server(OK);
	client("GET /a?q=/b/../c HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges(
		"GET http://www.example.org/pub/x.html 200 answered\nOPTIONS * 200 answered\nGET /a 200 answered\n");
	expect_ledger(THREE);
}

static void any_token_is_a_method(void **state)
{
	client("!#$%&'*+-.^_`|~09azAZ /m HTTP/1.1\r\n\r\n");
	server(OK);
	client("BASELINE-CONTROL /m HTTP/1.1\r\n\r\n");
	server(OK);
	client("get /m HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges(
		"!#$%&'*+-.^_`|~09azAZ /m 200 answered\nBASELINE-CONTROL /m 200 answered\nget /m 200 answered\n");
	expect_ledger(THREE);
}

static void a_target_of_8_kb_comes_in_any_pieces(void **state)
{
	static const size_t sizes[] = { 1448, 1460, 536, 3600, 1000 };
	char *text = calloc(1, 9000), expected[512];
	int n = snprintf(text, 9000, "GET /");

	memset(text + n, 'a', 8192);
	snprintf(text + n + 8192, 200, "?q=1 HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		in_pieces(CLIENT, text, sizes[i]);
		server(OK);
	}
	snprintf(expected, sizeof(expected), "GET /%0*d~ 200 answered\n", TW_PATH_MAX - 5, 0);
	memset(expected + 5, 'a', TW_PATH_MAX - 5);
	rig_drain();
	assert_int_equal(rig.n_ended, 5);
	for (size_t i = 0; i < 5; i++)
		assert_memory_equal(rig.log + i * strlen(expected), expected, strlen(expected));
	expect_ledger("requests 5, ended 5, connections 1, decoded 1");
	free(text);
}

static void headers_of_16_kb_are_passed_over(void **state)
{
	char header[1700];

	client("GET /long HTTP/1.1\r\n");
	for (int i = 0; i < 10; i++) {
		snprintf(header, sizeof(header), "X-%d: %01600d\r\n", i, i);
		client(header);
	}
	client("\r\n");
	server(OK);
	expect_exchanges("GET /long 200 answered\n");
	expect_ledger(ONE);
}

static void ids_collapse_into_one_route_whose_key_user_space_knows(void **state)
{
	uint64_t key;

	assert_int_equal(route_key(RIG_SEED, "GET", "/orders/{id}/lines", &key), 0);
	client("GET /orders/8812/lines HTTP/1.1\r\n\r\n");
	server(OK);
	rig_drain();
	assert_true(rig.last.hash == key);
	client("GET /orders/4bf92f35-77b3-4da6-a3ce-929d0e0e4736/lines?all HTTP/1.1\r\n\r\n");
	server(OK);
	in_pieces(CLIENT, "GET /orders/7/lines HTTP/1.1\r\n\r\n", 3);
	server(OK);
	expect_exchanges("GET /orders/8812/lines 200 answered\nGET /orders/8812/lines 200 answered\n"
	                 "GET /orders/8812/lines 200 answered\n");
	assert_true(rig.last.hash == key);
	expect_ledger(THREE);
}

/* ---- the same, cut ------------------------------------------------------------------------------------------------
 */

struct message {
	enum end from;
	const char *text;
};

static const struct message conversation[] = {
	{ CLIENT, "GET /a/b?q=1 HTTP/1.1\r\nHost: example.org\r\n\r\n" },
	{ SERVER, "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\n\r\nHTTP/1.1 500" },
	{ CLIENT, "POST /c HTTP/1.1\r\nContent-Length: 22\r\n\r\nGET /evil HTTP/1.1\r\n\r\n" },
	{ SERVER, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ntransfer-ENCODING: chunked\r\n\r\n"
	          "5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nT: v\r\n\r\n" },
	{ CLIENT, "PUT /d/12345 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" },
	{ SERVER, "HTTP/1.1 204 No Content\r\n\r\n" },
	{ CLIENT, "HEAD /e HTTP/1.1\r\n\r\nGET /f HTTP/1.1\r\n\r\n" },
	{ SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 503 Sorry\r\nRetry-After: 1\r\n\r\nclosing" },
};
#define MESSAGES (sizeof(conversation) / sizeof(*conversation))

static const char conversation_is[] = "GET /a/b 200 answered\nPOST /c 404 answered\nPUT /d/12345 204 answered\n"
				      "HEAD /e 200 answered\nGET /f 503 answered\n";

/* Plays it with one message cut once. */
static void play_cut(size_t which, size_t at)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		const struct message *m = &conversation[i];

		if (i == which)
			in_pieces(m->from, m->text, at);
		else
			bytes(m->from, m->text, strlen(m->text));
	}
	fin(SERVER);
	done();
	expect_exchanges(conversation_is);
}

static void a_conversation_cut_anywhere_reads_the_same(void **state)
{
	unsigned int n = 0;
	char expected[128];

	for (size_t i = 0; i < MESSAGES; i++) {
		size_t len = strlen(conversation[i].text);

		for (size_t at = (len + 1) / 2; at <= len; at++, n++) {
			begin();
			play_cut(i, at);
		}
		/* in_pieces cuts more than once below the half: a first piece of its own instead. */
		for (size_t at = 1; at < (len + 1) / 2; at++, n++) {
			begin();
			for (size_t k = 0; k < MESSAGES; k++) {
				const struct message *m = &conversation[k];

				bytes(m->from, m->text, k == i ? at : strlen(m->text));
				if (k == i)
					bytes(m->from, m->text + at, len - at);
			}
			fin(SERVER);
			done();
			expect_exchanges(conversation_is);
		}
	}
	snprintf(expected, sizeof(expected), "requests %u, ended %u, connections %u, decoded %u", n * 5, n * 5, n, n);
	expect_ledger(expected);
}

static void a_conversation_in_pieces_of_any_size_reads_the_same(void **state)
{
	char expected[128];

	for (size_t size = 1; size <= 100; size++) {
		begin();
		for (size_t i = 0; i < MESSAGES; i++)
			in_pieces(conversation[i].from, conversation[i].text, size);
		fin(SERVER);
		done();
		expect_exchanges(conversation_is);
	}
	snprintf(expected, sizeof(expected), "requests %u, ended %u, connections %u, decoded %u", 500, 500, 100, 100);
	expect_ledger(expected);
}

static void heads_in_pieces_on_two_connections_do_not_mix(void **state)
{
	static const char *const texts[2] = { "GET /one/12/x HTTP/1.1\r\n\r\n",
		                              "POST /two/abc HTTP/1.1\r\nA: b\r\n\r\n" };
	struct talk talks[2];

	for (int i = 0; i < 2; i++) {
		begin();
		talks[i] = talk;
	}
	for (size_t at = 0; at < strlen(texts[1]); at++)
		for (int i = 0; i < 2; i++) {
			talk = talks[i];
			if (at < strlen(texts[i]))
				bytes(CLIENT, texts[i] + at, 1);
			talks[i] = talk;
		}
	for (int i = 0; i < 2; i++) {
		talk = talks[i];
		server(OK);
		done();
	}
	expect_exchanges("GET /one/12/x 200 answered\nPOST /two/abc 200 answered\n");
}

static void the_client_side_of_a_proxy_reads_the_same(void **state)
{
	for (size_t size = 1; size <= 200; size += 7) {
		begin_as(WATCHED_CLIENT, size & 1);
		for (size_t i = 0; i < MESSAGES; i++)
			in_pieces(conversation[i].from, conversation[i].text, size);
		fin(SERVER);
		done();
		expect_exchanges(conversation_is);
	}
}

/* ---- what is not HTTP/1 -------------------------------------------------------------------------------------------
 */

static void expect_ignored_afterwards(void)
{
	client("GET /x HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("");
}

/* No data was exchanged that could have been read. */
static void a_tls_hello_is_tls_and_not_opaque(void **state)
{
	bytes(CLIENT, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
	expect_ignored_afterwards();
	expect_ledger("connections 1, tls 1");
}

static void the_preface_of_http2_is_known(void **state)
{
	client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	expect_ignored_afterwards();
	expect_ledger("connections 1, http2 1");
}

static void anything_else_is_not_http(void **state)
{
	static const char *const starts[] = {
		"SSH-2.0-OpenSSH_9.2p1\r\n",
		"EHLO mail.example.org\r\n",
		"\r\n\r\n\x01",
		"{\"jsonrpc\": \"2.0\"}\n",
		"GET\r\n",
		"GET \r\n\r\n",
		"GET / HTTP/3.0\r\n\r\n",
		"GET / FTP/1.1\r\n\r\n",
		"GET /a b HTTP/1.1\r\n\r\n",
		"\x80\x01\x02\x03\x04\x05",
		"*1\r\n$4\r\nPING\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		" GET / HTTP/1.1\r\n\r\n",
		"G\0T / HTTP/1.1\r\n\r\n",
	};
	unsigned int n = sizeof(starts) / sizeof(*starts);
	char expected[64];

	for (unsigned int i = 0; i < n; i++) {
		begin();
		bytes(CLIENT, starts[i], strlen(starts[i]) == 1 ? 19 : strlen(starts[i]));
		expect_ignored_afterwards();
		done();
	}
	snprintf(expected, sizeof(expected), "connections %u, not_http %u", n, n);
	expect_ledger(expected);
}

static void garbage_after_a_good_exchange_is_a_lost_stream(void **state)
{
	client("GET /a HTTP/1.1\r\n\r\n");
	server(OK);
	client("\x01\x02garbage\r\n");
	client("more of it");
	client("GET /a HTTP/1.1\r\n\r\n"); /* not joined: the server still owes an answer to what was not understood */
	server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	client("GET /b HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /a 200 answered\nGET /b 200 answered\n");
	expect_ledger("requests 2, ended 2, connections 1, decoded 1, desync 1, resync 1");
}

static void a_garbled_answer_is_a_lost_stream(void **state)
{
	client("GET /a HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 2x0 OK\r\n\r\n");
	expect_exchanges("GET /a - unobserved\n");
	client("GET /b HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /b 200 answered\n");
	expect_ledger("requests 2, ended 2, connections 1, decoded 1, desync 1, resync 1");
}

/* ---- main ---------------------------------------------------------------------------------------------------------
 */

/* The check itself is in the rig, which sees every record whole. */
static void a_route_record_holds_nothing_behind_the_path(void **state)
{
	client("GET /p?card=secret HTTP/1.1\r\nCookie: secret\r\n\r\n");
	client("GET /q?card=secret HTTP/1.1\r\nCookie: sec");
	client("ret\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecretHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges("GET /p 200 answered\nGET /q 200 answered\n");
	expect_ledger("requests 2, ended 2, connections 1, decoded 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_request_with_one_answer_is_one_exchange),
		TEST(a_route_record_holds_nothing_behind_the_path),
		TEST(requests_on_a_kept_connection_are_each_counted),
		TEST(only_the_first_exchange_of_an_endpoint_is_told_as_a_new_connection),
		TEST(three_requests_in_one_segment_each_get_their_own_status),
		TEST(three_pipelined_requests_may_be_answered_one_by_one),
		TEST(bodies_by_content_length_end_with_their_last_byte),
		TEST(chunked_bodies_end_after_their_trailers),
		TEST(a_response_without_framing_ends_with_the_connection),
		TEST(a_response_without_framing_may_end_in_the_segment_with_the_fin),
		TEST(a_response_in_another_coding_ends_with_the_connection),
		TEST(chunked_goes_before_content_length),
		TEST(answers_to_head_and_204_and_304_have_no_body),
		TEST(pipelined_heads_and_gets_are_told_apart),
		TEST(interim_answers_are_not_the_answer),
		TEST(interim_and_final_answer_may_share_a_segment),
		TEST(an_upgrade_leaves_http),
		TEST(a_tunnel_leaves_http_when_it_is_granted),
		TEST(a_body_that_looks_like_a_request_is_a_body),
		TEST(an_answer_may_come_before_the_request_is_complete),
		TEST(bare_line_feeds_and_empty_lines_before_a_request_are_taken),
		TEST(a_request_whose_end_cannot_be_known_ends_with_its_answer),
		TEST(a_server_that_reads_on_behind_such_a_request_is_out_of_step_until_the_next_one),
		TEST(two_content_lengths_are_not_believed),
		TEST(only_the_framing_fields_frame),
		TEST(lengths_that_are_none_are_a_lost_stream),
		TEST(every_form_of_target_is_a_request),
		TEST(any_token_is_a_method),
		TEST(a_target_of_8_kb_comes_in_any_pieces),
		TEST(headers_of_16_kb_are_passed_over),
		TEST(ids_collapse_into_one_route_whose_key_user_space_knows),
		TEST(a_conversation_cut_anywhere_reads_the_same),
		TEST(a_conversation_in_pieces_of_any_size_reads_the_same),
		TEST(heads_in_pieces_on_two_connections_do_not_mix),
		TEST(the_client_side_of_a_proxy_reads_the_same),
		TEST(a_tls_hello_is_tls_and_not_opaque),
		TEST(the_preface_of_http2_is_known),
		TEST(anything_else_is_not_http),
		TEST(garbage_after_a_good_exchange_is_a_lost_stream),
		TEST(a_garbled_answer_is_a_lost_stream),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
