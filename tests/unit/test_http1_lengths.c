// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture
 *
 * Content-Length: what it delimits, what is none, and when two are one. Oracle: RFC 9112, 6.2 and 6.3.
 */
#include "http1_streams.h"

static void content_length_delimits_a_body(void **state)
{
	static const struct stream streams[] = {
		{ "a body, an empty one, and none",
		  .parts = { REQ(POST "Content-Length: 5\r\n\r\n", "hello", "POST /pay", LEN, 5),
		             REQ(POST "Content-Length: 0\r\n\r\n", "", "POST /pay", LEN, 0),
		             REQ(POST "\r\n", "", "POST /pay", 0, 0), GET } },
		{ "a body that looks like a request and like a status line",
		  .parts = { REQ(POST "Content-Length: 27\r\n\r\n", "GET /not-me HTTP/1.1\r\nX: 1\r", "POST /pay", LEN,
		                 27),
		             REQ(POST "Content-Length: 19\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n", "POST /pay", LEN, 19),
		             GET } },
		{ "names do not depend on case, blanks around the value do not count, zeros may lead",
		  .parts = { REQ(POST "cOnTeNt-lEnGtH:5\r\n\r\n", "hello", "POST /pay", LEN, 5),
		             REQ(POST "CONTENT-LENGTH: \t 5 \t \r\n\r\n", "hello", "POST /pay", LEN, 5),
		             REQ(POST "content-length: 0000000000000000000000000005\r\n\r\n", "hello", "POST /pay", LEN,
		                 5),
		             GET } },
		{ "a petabyte", .parts = { OPEN_REQ(POST "Content-Length: 1125899906842624\r\n\r\n", "\0\r\n\r\n",
		                                    "POST /pay", LEN, 1125899906842624) } },
		{ "HEAD with a body", .parts = { REQ("HEAD / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", "ok", "HEAD /",
		                                     LEN | H1_F_HEAD, 2) } },
	};

	EXPECT_REQUESTS(streams);
}

static void a_content_length_that_is_no_number_breaks_the_stream(void **state)
{
	static const struct stream streams[] = {
		{ "twice, and different", BREAKS(POST "Content-Length: 5\r\nContent-Length: 6\r", "\n\r\nhello!") },
		{ "twice, the second longer", BREAKS(POST "Content-Length: 5\r\nContent-Length: 55\n", "\r\nhello") },
		{ "twice, the second shorter", BREAKS(POST "Content-Length: 55\nContent-Length: 5 ", "\r\n\r\nhello") },
		{ "twice, the second none", BREAKS(POST "Content-Length: 5\r\nContent-Length:\r", "\n\r\nhello") },
		{ "three times, the last different",
		  BREAKS(POST "Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 6\r", "\n\r\nhello!") },
		{ "a list of different ones", BREAKS(POST "Content-Length: 5, 6\r", "\n\r\nhello!") },
		{ "a list of three", BREAKS(POST "Content-Length: 5,5,0,", "5\r\n\r\nhello") },
		{ "a list of nothing", BREAKS(POST "Content-Length: ,\r", "\n\r\n") },
		{ "no list", BREAKS(POST "Content-Length: 5;", " 5\r\n\r\nhello") },
		{ "a list that overflows", BREAKS_SOMEWHERE(POST "Content-Length: 0, 18446744073709551616\r\n\r\n") },
		{ "no digit", BREAKS(POST "Content-Length:\r", "\n\r\n") },
		{ "no digit, bare LF", BREAKS(POST "Content-Length: \n", "\n") },
		{ "on the next line (obs-fold)", BREAKS(POST "Content-Length:\r", "\n 5\r\n\r\nhello") },
		{ "a sign", BREAKS(POST "Content-Length: +", "5\r\n\r\nhello") },
		{ "negative", BREAKS(POST "Content-Length: -", "1\r\n\r\n") },
		{ "hexadecimal", BREAKS(POST "Content-Length: 0x", "5\r\n\r\nhello") },
		{ "a fraction", BREAKS(POST "Content-Length: 5.", "0\r\n\r\nhello") },
		{ "two numbers", BREAKS(POST "Content-Length: 5 5", "\r\n\r\nhello") },
		{ "a letter behind it", BREAKS(POST "Content-Length: 5x", "\r\n\r\nhello") },
		{ "a bare CR behind it", BREAKS(POST "Content-Length: 5\rX", "\n\r\nhello") },
		{ "a NUL", BREAKS(POST "Content-Length: 5\0", "\r\n\r\nhello") },
		{ "2^64: an overflow", BREAKS_SOMEWHERE(POST "Content-Length: 18446744073709551616\r\n\r\n") },
		{ "2^64 + 5", BREAKS_SOMEWHERE(POST "Content-Length: 18446744073709551621\r\n\r\nhello") },
		{ "thirty nines", BREAKS_SOMEWHERE(POST "Content-Length: 999999999999999999999999999999\r\n\r\n") },
	};

	EXPECT_REQUESTS(streams);
}

/* RFC 9112, 6.3: all values valid and the same, whether in one line or in several (RFC 9110, 5.3). */
static void the_same_content_length_again_is_one(void **state)
{
	static const struct stream requests[] = {
		{ "twice",
		  .parts = { REQ(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "hello", "POST /pay", LEN, 5),
		             REQ(POST "Content-Length: 7\r\n\r\n", "another", "POST /pay", LEN, 7) } },
		{ "as a number", .parts = { REQ(POST "content-length: 12\nX: 1\nCONTENT-LENGTH:\t0012 \n\n",
		                                "hello, world", "POST /pay", LEN, 12) } },
		{ "three times",
		  .parts = { REQ(POST "Content-Length: 1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "x",
		                 "POST /pay", LEN, 1) } },
		{ "none at all",
		  .parts = { REQ(POST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", "", "POST /pay", LEN, 0) } },
		{ "a list", .parts = { REQ(POST "Content-Length: 5, 5\r\n\r\n", "hello", "POST /pay", LEN, 5),
		                       REQ(POST "Content-Length: 5,5\r\nContent-Length: 5\t,\t5\r\n\r\n", "hello",
		                           "POST /pay", LEN, 5) } },
		{ "elements that are empty (RFC 9110, 5.6.1)",
		  .parts = { REQ(POST "Content-Length: , 5,, 5 ,\r\n\r\n", "hello", "POST /pay", LEN, 5) } },
		{ "beside chunks, which override it",
		  .parts = { REQ(POST "Content-Length: 5, 5\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\n\r\n",
		                 "POST /pay", LEN | CHUNKED, 5) } },
	};
	static const struct stream responses[] = {
		{ "twice, and the next one's own",
		  .parts = { RES(OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", "ok", 200, LEN, 2),
		             RES(OK "Content-Length: 3, 3\r\n\r\n", "ok\n", 200, LEN, 3),
		             RES(OK "Content-Length: 4\r\n\r\n", "four", 200, LEN, 4) } },
		{ "twice, and different", BREAKS(OK "Content-Length: 2\r\nContent-Length: 3\r", "\n\r\nok\n") },
	};

	EXPECT_REQUESTS(requests);
	EXPECT_RESPONSES(responses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_length_delimits_a_body),
		cmocka_unit_test(a_content_length_that_is_no_number_breaks_the_stream),
		cmocka_unit_test(the_same_content_length_again_is_one),
	};

	http1_table_build();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
