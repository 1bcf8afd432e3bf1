// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture
 *
 * The careful engine on whole streams, and the fast one beside it. Oracles: the message grammar and the body lengths of
 * RFC 9112 (sections 2 to 7, with its own examples and those of RFC 9110), RFC 9113's preface and RFC 8446's record
 * header, written out by hand: a stream is given as its messages, so that where each ends is where the next is written.
 */
#include "http1_streams.h"

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void request_lines_are_read_in_every_form_of_the_target(void **state)
{
	static const struct stream streams[] = {
		{ "RFC 9110, 3.9",
		  .parts = { REQ("GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\n"
		                 "Accept-Language: en, mi\r\n\r\n",
		                 "", "GET /hello.txt", 0, 0) } },
		{ "origin-form with a query (RFC 9112, 3.2.1)",
		  .parts = { REQ("GET /where?q=now&to=/a/b HTTP/1.1\r\nHost: www.example.org\r\n\r\n", "", "GET /where",
		                 0, 0),
		             GET } },
		{ "absolute-form (3.2.2)",
		  .parts = { REQ("GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1\r\n" HOST END, "",
		                 "GET http://www.example.org/pub/WWW/TheProject.html", 0, 0) } },
		{ "authority-form (3.2.3)",
		  .parts = { REQ("CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "",
		                 "CONNECT www.example.com:80", H1_F_CONNECT, 0) } },
		{ "asterisk-form (3.2.4)",
		  .parts = { REQ("OPTIONS * HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n", "", "OPTIONS *", 0, 0) } },
		{ "an empty query, and slashes of all kinds",
		  .parts = { REQ("GET /a//b/? HTTP/1.1\r\n\r\n", "", "GET /a//b/", 0, 0),
		             REQ("GET // HTTP/1.1\r\n\r\n", "", "GET //", 0, 0) } },
		{ "bytes above ASCII in a target, which some clients send",
		  .parts = { REQ("GET /caf\xc3\xa9/\xff?\x80 HTTP/1.1\r\n\r\n", "", "GET /caf\xc3\xa9/\xff", 0, 0) } },
		{ "HTTP/1.0 and a minor version of the future",
		  .parts = { REQ("GET /a HTTP/1.0\r\n\r\n", "", "GET /a", 0, 0),
		             REQ("GET /b HTTP/1.7\r\n\r\n", "", "GET /b", 0, 0) } },
	};

	EXPECT_REQUESTS(streams);
}

static void any_token_is_a_method(void **state)
{
	static const struct stream streams[] = {
		{ "the eight of RFC 9110 and some of WebDAV",
		  .parts = { REQ("HEAD / HTTP/1.1\r\n\r\n", "", "HEAD /", H1_F_HEAD, 0),
		             REQ("DELETE /a HTTP/1.1\r\n\r\n", "", "DELETE /a", 0, 0),
		             REQ("PROPPATCH /a HTTP/1.1\r\n\r\n", "", "PROPPATCH /a", 0, 0),
		             REQ("VERSION-CONTROL /a HTTP/1.1\r\n\r\n", "", "VERSION-CONTROL /a", 0, 0) } },
		{ "every character of a token",
		  .parts = { REQ("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n\r\n", "", "!#$%&'*+-.^_`|~09azAZ /", 0, 0) } },
		{ "methods are case-sensitive: these are not HEAD and CONNECT",
		  .parts = { REQ("head / HTTP/1.1\r\n\r\n", "", "head /", 0, 0),
		             REQ("HEADS / HTTP/1.1\r\n\r\n", "", "HEADS /", 0, 0),
		             REQ("CONNECTX / HTTP/1.1\r\n\r\n", "", "CONNECTX /", 0, 0),
		             REQ("CONNECTED / HTTP/1.1\r\n\r\n", "", "CONNECTED /", 0, 0),
		             REQ("HEA / HTTP/1.1\r\n\r\n", "", "HEA /", 0, 0) } },
		{ "a byte that no token has", BREAKS("GE(", "T / HTTP/1.1\r\n\r\n") },
		{ "a tab behind the method", BREAKS("GET\t", "/ HTTP/1.1\r\n\r\n") },
		{ "a byte above ASCII", BREAKS("G\xc3", "\xa9T / HTTP/1.1\r\n\r\n") },
	};

	EXPECT_REQUESTS(streams);
}

static void requests_follow_each_other_without_a_gap(void **state)
{
	static const struct stream streams[] = {
		{ "pipelined (RFC 9112, 9.3.2)", .parts = { GET, GET, GET, GET, GET } },
		{ "empty lines before a request are passed over (2.2)",
		  .parts = { GET, REQ("\r\nGET /a HTTP/1.1\r\n\r\n", "", "GET /a", 0, 0),
		             REQ("\r\n\n\r\nGET /b HTTP/1.1\r\n\r\n", "", "GET /b", 0, 0) },
		  UNFINISHED("\r\n") },
		{ "a bare LF ends a line too (2.2)",
		  .parts = { REQ("GET /a HTTP/1.1\nHost: a\nContent-Length: 2\n\n", "\n\n", "GET /a", LEN, 2),
		             REQ("GET /b HTTP/1.1\r\nHost: a\n\r\n", "", "GET /b", 0, 0),
		             REQ("GET /c HTTP/1.1\nHost: a\r\n\n", "", "GET /c", 0, 0) } },
		{ "one that is not complete", .parts = { GET }, UNFINISHED("GET /a HTTP/1.1\r\nHost: a\r\n") },
	};

	EXPECT_REQUESTS(streams);
}

static void headers_that_only_begin_like_framing_are_none(void **state)
{
	static const struct stream streams[] = {
		{ "longer and shorter names, and prefixed ones",
		  .parts = { REQ(POST "Content-Length-Hint: 5\r\nContent-Lengths: 5\r\nContent-Lengt: 5\r\n\r\n", "",
		                 "POST /pay", 0, 0),
		             REQ(POST "X-Content-Length: 5\r\nContent-Type: 5\r\nContent: 5\r\nC: 5\r\nc\r\n\r\n", "",
		                 "POST /pay", 0, 0),
		             REQ(POST
		                 "Transfer-Encodings: chunked\r\nTransfer-Encoding-X: chunked\r\nTransfer: chunked\r\n\r\n",
		                 "", "POST /pay", 0, 0),
		             REQ(POST "X-Transfer-Encoding: chunked\r\nTE: chunked\r\nTrailer: chunked\r\nt\r\n\r\n",
		                 "", "POST /pay", 0, 0),
		             GET } },
		{ "bytes that a careless change of case makes '-' and ':'",
		  .parts = { REQ(POST "Content\rLength: 5\r\n\r\n", "", "POST /pay", 0, 0),
		             REQ(POST "Content-Length\x1a 5\r\n\r\n", "", "POST /pay", 0, 0),
		             REQ(POST "Transfer\rEncoding: chunked\r\n\r\n", "", "POST /pay", 0, 0),
		             REQ(POST "Transfer-Encoding\x1a chunked\r\n\r\n", "", "POST /pay", 0, 0), GET } },
		{ "inside a value",
		  .parts = { REQ(POST "X: Content-Length: 5\r\nY: a\rContent-Length: 5\r\n\r\n", "", "POST /pay", 0, 0),
		             GET } },
		{ "on a folded line, which belongs to the one above (RFC 9112, 5.2)",
		  .parts = { REQ(POST "X: 1\r\n Content-Length: 5\r\n\tTransfer-Encoding: chunked\r\n\r\n", "",
		                 "POST /pay", 0, 0),
		             GET } },
		{ "a name broken by the end of its line",
		  .parts = { REQ(POST "Content-\nLength: 5\nTransfer-\r\nEncoding: chunked\r\n\r\n", "", "POST /pay", 0,
		                 0),
		             GET } },
		{ "any other line, even an empty name, NULs and bytes above ASCII",
		  .parts = { REQ(POST ": x\r\n\0\0\r\n\xff\xfe\r\nno colon\r\n\r\n", "", "POST /pay", 0, 0), GET } },
	};

	EXPECT_REQUESTS(streams);
}

static void the_last_transfer_coding_decides(void **state)
{
#define LAST "0\r\n\r\n"
	static const struct stream streams[] = {
		{ "any case, blanks, empty list elements",
		  .parts = { REQ(POST "Transfer-Encoding: chunked\r\n\r\n", LAST, "POST /pay", CHUNKED, 0),
		             REQ(POST "TRANSFER-ENCODING:CHUNKED\r\n\r\n", LAST, "POST /pay", CHUNKED, 0),
		             REQ(POST "transfer-encoding: \t chunked \t\r\n\r\n", LAST, "POST /pay", CHUNKED, 0),
		             REQ(POST "Transfer-Encoding: , chunked,\r\n\r\n", LAST, "POST /pay", CHUNKED, 0), GET } },
		{ "chunked behind others",
		  .parts = { REQ(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", LAST, "POST /pay", CHUNKED | OTHER,
		                 0),
		             REQ(POST "Transfer-Encoding: gzip,chunked\r\n\r\n", LAST, "POST /pay", CHUNKED | OTHER, 0),
		             REQ(POST "Transfer-Encoding: x;q=\"1\", chunked\r\n\r\n", LAST, "POST /pay",
		                 CHUNKED | OTHER, 0),
		             REQ(POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\n\r\n", LAST, "POST /pay",
		                 CHUNKED | OTHER, 0),
		             GET } },
		{ "it overrides Content-Length, before it and behind it (RFC 9112, 6.3)",
		  .parts = { REQ(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", LAST, "POST /pay",
		                 LEN | CHUNKED, 3),
		             REQ(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", LAST, "POST /pay",
		                 LEN | CHUNKED, 3),
		             GET } },
		{ "a request that ends in another one has no length (6.3)", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding: chunked, gzip\r\n\r\n", "", "POST /pay", OTHER, 0) } },
		{ "the same over two lines", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", "",
		                      "POST /pay", OTHER, 0) } },
		{ "tokens that only begin like chunked", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding: chunkedx\r\n\r\n", "", "POST /pay", OTHER, 0) } },
		{ "or end early", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding: chunke\r\n\r\n", "", "POST /pay", OTHER, 0) } },
		{ "or end in a comma", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding: chunk, gzip\r\n\r\n", "", "POST /pay", OTHER, 0) } },
		{ "or a byte before it that a careless change of case makes a blank", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding:\0chunked\r\n\r\n", "", "POST /pay", OTHER, 0) } },
		{ "or have something behind", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding: chunked x\r\n\r\n", "", "POST /pay", OTHER, 0) } },
		{ "or before", .fate = BROKEN,
		  .parts = { OPEN_REQ(POST "Transfer-Encoding: xchunked\r\n\r\n", "", "POST /pay", OTHER, 0) } },
	};

	EXPECT_REQUESTS(streams);
}

#define TE POST "Transfer-Encoding: chunked\r\n\r\n"

static void chunks_are_counted_off_to_the_last_trailer(void **state)
{
	static const struct stream streams[] = {
		{ "three chunks", .parts = { REQ(TE, "7\r\nMozilla\r\n9\r\nDeveloper\r\n7\r\nNetwork\r\n0\r\n\r\n",
		                                 "POST /pay", CHUNKED, 0),
		                             GET } },
		{ "upper and lower case, zeros in front (RFC 9112, 7.1)",
		  .parts = { REQ(TE,
		                 "A\r\n0123456789\r\na\r\n0123456789\r\n0000000000000000000000A\r\n0123456789\r\n000\r\n\r\n",
		                 "POST /pay", CHUNKED, 0),
		             REQ(TE, "1f\r\n0123456789012345678901234567890\r\n0\r\n\r\n", "POST /pay", CHUNKED, 0),
		             GET } },
		{ "extensions (7.1.1), and blanks that some servers pad with",
		  .parts = { REQ(TE, "2;a=b;c=\"d;e\"\r\nok\r\n2 ; x\r\nok\r\n2  \r\nok\r\n2\t\r\nok\r\n0;last\r\n\r\n",
		                 "POST /pay", CHUNKED, 0),
		             GET } },
		{ "trailers (7.1.2) say nothing about framing",
		  .parts = { REQ(TE,
		                 "2\r\nok\r\n0\r\nExpires: never\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n",
		                 "POST /pay", CHUNKED, 0),
		             GET } },
		{ "bare LFs", .parts = { REQ("POST /pay HTTP/1.1\nTransfer-Encoding: chunked\n\n",
		                             "2\nok\n2;x\nok\n0\nA: b\n\n", "POST /pay", CHUNKED, 0),
		                         GET } },
		{ "data that looks like the end, like a chunk, like a request",
		  .parts = { REQ(TE, "5\r\n0\r\n\r\n\r\n3\r\n9\r\n\r\n10\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n",
		                 "POST /pay", CHUNKED, 0),
		             GET } },
		{ "one that is not complete",
		  .parts = { OPEN_REQ(TE, "ffffff\r\n0\r\n\r\n", "POST /pay", CHUNKED, 0) } },
	};

	EXPECT_REQUESTS(streams);
}

/* The head is whole; its body breaks. */
#define BREAKS_IN(good, rest) .parts = { OPEN_REQ(TE, "", "POST /pay", CHUNKED, 0) }, BREAKS(good, rest)

static void a_chunk_that_is_none_breaks_the_stream(void **state)
{
	static const struct stream streams[] = {
		{ "no digit", BREAKS_IN("\r", "\n") },
		{ "not hexadecimal", BREAKS_IN("g", "\r\n") },
		{ "negative", BREAKS_IN("-", "1\r\n") },
		{ "0x", BREAKS_IN("0x", "5\r\nhello\r\n") },
		{ "a blank before it", BREAKS_IN(" ", "5\r\nhello\r\n") },
		{ "shorter than its data", BREAKS_IN("4\r\nhello", "\r\n0\r\n\r\n") },
		{ "longer than its data", BREAKS_IN("7\r\nhello\r\n0", "\r\n\r\n") },
		{ "a bare CR behind the size", BREAKS_IN("5\rh", "ello\r\n") },
		{ "a bare CR behind the data", BREAKS_IN("5\r\nhello\r0", "\r\n\r\n") },
		{ "a bare CR for the last line", BREAKS_IN("0\r\n\rX", "\n") },
		{ "2^64: an overflow", .parts = { OPEN_REQ(TE, "", "POST /pay", CHUNKED, 0) },
		  BREAKS_SOMEWHERE("10000000000000000\r\n") },
		{ "2^64 + 5", .parts = { OPEN_REQ(TE, "", "POST /pay", CHUNKED, 0) },
		  BREAKS_SOMEWHERE("10000000000000005\r\nhello\r\n0\r\n\r\n") },
	};

	EXPECT_REQUESTS(streams);
}

static void what_is_not_http_1_breaks_at_the_first_byte_that_shows_it(void **state)
{
	static const struct stream streams[] = {
		{ "HTTP/0.9", BREAKS("GET /\r", "\n") },
		{ "HTTP/0.9, bare LF", BREAKS("GET /\n", "") },
		{ "the HTTP/2 preface (RFC 9113, 3.4)", BREAKS("PRI * HTTP/2", ".0\r\n\r\nSM\r\n\r\n") },
		{ "a TLS record (RFC 8446, 5.1)", BREAKS("\x16", "\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") },
		{ "HTTP/3 as a version", BREAKS("GET / HTTP/3", "\r\n\r\n") },
		{ "HTTP/1 and HTTP/1.10", BREAKS("GET / HTTP/1\r", "\n\r\n") },
		{ "two digits", BREAKS("GET / HTTP/1.10", "\r\n\r\n") },
		{ "another protocol", BREAKS("OPTIONS rtsp://a R", "TSP/1.0\r\n\r\n") },
		{ "SSH", BREAKS("SSH-2.0-OpenSSH_9.2\r", "\n") },
		{ "SMTP", BREAKS("EHLO shop.example\r", "\n") },
		{ "Redis", BREAKS("*1\r", "\n$4\r\nPING\r\n") },
		{ "NULs", BREAKS("\0", "\0\0\0") },
		{ "a PROXY line (haproxy)",
		  BREAKS("PROXY TCP4 1", "92.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n") },
		{ "no target", BREAKS("GET  ", "HTTP/1.1\r\n\r\n") },
		{ "a query and no path", BREAKS("GET ?", "a HTTP/1.1\r\n\r\n") },
		{ "a tab in the target", BREAKS("GET /a\t", "HTTP/1.1\r\n\r\n") },
		{ "a NUL in the target", BREAKS("GET /a\0", "b HTTP/1.1\r\n\r\n") },
		{ "a line end in the query", BREAKS("GET /a?b\r", "\n\r\n") },
		{ "a blank in the target", BREAKS("GET /a b", " HTTP/1.1\r\n\r\n") },
		{ "a blank in the query", BREAKS("GET /a?b c", " HTTP/1.1\r\n\r\n") },
		{ "a bare CR behind the version", BREAKS("GET / HTTP/1.1\rX", ": y\r\n\r\n") },
		{ "a bare CR at the start of a header line", BREAKS("GET / HTTP/1.1\r\n\rX", ": y\r\n\r\n") },
		{ "behind a good one", .parts = { GET }, BREAKS("\x17", "\x03\x03") },
		{ "a body longer than it was said to be",
		  .parts = { REQ(POST "Content-Length: 2\r\n\r\n", "{}", "POST /pay", LEN, 2) },
		  BREAKS("{", "} HTTP/1.1\r\n\r\n") },
	};

	EXPECT_REQUESTS(streams);
}

/* RFC 9112, 3: at least 8000 octets of a request line ought to be supported. */
static void targets_of_8_kilobytes_are_read_and_their_text_is_cut(void **state)
{
	static const struct {
		size_t path, query;
		bool cut;
	} sizes[] = {
		{ TW_PATH_MAX - 5, 8192, false },
		{ TW_PATH_MAX - 4, 0, false },
		{ TW_PATH_MAX - 3, 0, true },
		{ 8192, 0, true },
		{ 500, 8192, true },
	};
	static char bytes[20000];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = 0, head, taken[] = { sizeof(bytes), 1, 127, 128, 129, 1448 };

		n += (size_t)snprintf(bytes, sizeof(bytes), "PUT /");
		memset(bytes + n, 'a', sizes[i].path - 1);
		n += sizes[i].path - 1;
		bytes[n] = '?';
		memset(bytes + n + 1, 'b', sizes[i].query);
		n += sizes[i].query ? sizes[i].query + 1 : 0;
		head = n + (size_t)snprintf(bytes + n, sizeof(bytes) - n, " HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
		n = head + (size_t)snprintf(bytes + head, sizeof(bytes) - head, "ok");
		for (size_t t = 0; t < sizeof(taken) / sizeof(*taken); t++) {
			struct follower f;

			follower__init(&f, true, NULL, 0, SEED);
			for (size_t at = 0; at < n; at += taken[t])
				follower__feed(&f, (const __u8 *)bytes + at, least(n - at, taken[t]));
			assert_int_equal(f.n, 1);
			assert_int_equal(f.m[0].head_end, head);
			assert_int_equal(f.m[0].end, n);
			assert_int_equal(f.m[0].truncated, sizes[i].cut);
			assert_int_equal(f.m[0].text_len, least(4 + sizes[i].path, TW_PATH_MAX));
			assert_memory_equal(f.m[0].text, bytes, f.m[0].text_len);
		}
	}
}

/* ---- responses --------------------------------------------------------------------------------------------------- */

static void status_lines_are_read_with_and_without_a_reason(void **state)
{
	static const struct stream streams[] = {
		{ "RFC 9110, 3.9",
		  .parts = { RES("HTTP/1.1 200 OK\r\nDate: Mon, 27 Jul 2009 12:28:53 GMT\r\nServer: Apache\r\n"
		                 "Last-Modified: Wed, 22 Jul 2009 19:15:56 GMT\r\nETag: \"34aa387-d-1568eb00\"\r\n"
		                 "Accept-Ranges: bytes\r\nContent-Length: 51\r\nVary: Accept-Encoding\r\n"
		                 "Content-Type: text/plain\r\n\r\n",
		                 "Hello World! My content includes a trailing CRLF.\r\n", 200, LEN, 51) } },
		{ "no reason, with its space and without",
		  .parts = { RES("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", "", 404, LEN, 0),
		             RES("HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", "", 503, LEN, 0),
		             RES("HTTP/1.1 503\nContent-Length: 0\n\n", "", 503, LEN, 0) } },
		{ "any reason, any status, HTTP/1.0",
		  .parts = { RES("HTTP/1.0 418 I'm a \xf0\x9f\xab\x96\r\nContent-Length: 0\r\n\r\n", "", 418, LEN, 0),
		             RES("HTTP/1.1 999 200 OK\r\nContent-Length: 0\r\n\r\n", "", 999, LEN, 0),
		             RES("HTTP/1.1 299 Content-Length: 5\r\nContent-Length: 0\r\n\r\n", "", 299, LEN, 0) } },
		{ "HTTP/2", BREAKS("HTTP/2", " 200\r\n\r\n") },
		{ "Shoutcast", BREAKS("I", "CY 200 OK\r\n\r\n") },
		{ "two digits", BREAKS("HTTP/1.1 20 ", "OK\r\n\r\n") },
		{ "four digits", BREAKS("HTTP/1.1 2000", " OK\r\n\r\n") },
		{ "two spaces", BREAKS("HTTP/1.1  ", "200 OK\r\n\r\n") },
		{ "a bare CR behind the status", BREAKS("HTTP/1.1 200\rO", "K\r\n\r\n") },
		{ "a TLS alert", BREAKS("\x15", "\x03\x03\x00\x02\x02\x28") },
	};

	EXPECT_RESPONSES(streams);
}

static void responses_end_where_rfc_9112_6_3_says(void **state)
{
	static const struct stream streams[] = {
		{ "by Content-Length, also none at all",
		  .parts = { RES(OK "Content-Length: 2\r\n\r\n", "ok", 200, LEN, 2),
		             RES(OK "Content-Length: 0\r\n\r\n", "", 200, LEN, 0),
		             RES(OK "Content-Length: 19\r\n\r\n", "HTTP/1.1 500 No\r\n\r\n", 200, LEN, 19) } },
		{ "chunked, with and without Content-Length",
		  .parts = { RES(OK "Transfer-Encoding: chunked\r\n\r\n", "2\r\nok\r\n0\r\n\r\n", 200, CHUNKED, 0),
		             RES(OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nA: b\r\n\r\n", 200,
		                 CHUNKED | LEN, 2),
		             RES(OK "Transfer-Encoding: gzip, chunked\r\n\r\n", "0\r\n\r\n", 200, CHUNKED | OTHER,
		                 0) } },
		{ "HEAD: whatever its head says", .asked = "HHH",
		  .parts = { RES(OK "Content-Length: 500\r\n\r\n", "", 200, LEN, 500),
		             RES(OK "Transfer-Encoding: chunked\r\n\r\n", "", 200, CHUNKED, 0),
		             RES(OK "\r\n", "", 200, 0, 0), RES(OK "Content-Length: 2\r\n\r\n", "ok", 200, LEN, 2) } },
		{ "204 and 304: the same",
		  .parts = { RES("HTTP/1.1 204 No Content\r\n\r\n", "", 204, 0, 0),
		             RES("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "", 304, LEN, 500),
		             RES("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "", 304, CHUNKED,
		                 0),
		             RES(OK "Content-Length: 2\r\n\r\n", "ok", 200, LEN, 2) } },
		{ "with the connection: no framing",
		  .parts = { OPEN_RES(OK "\r\n", "all that comes\r\n\r\n" OK "\r\n", 200, 0, 0) } },
		{ "with the connection: the last coding is not chunked",
		  .parts = { OPEN_RES(OK "Transfer-Encoding: chunked, gzip\r\n\r\n", "0\r\n\r\n", 200, OTHER, 0) } },
		{ "with the connection: such a coding overrides Content-Length",
		  .parts = { OPEN_RES(OK "Content-Length: 2\r\nTransfer-Encoding: gzip\r\n\r\n", "ok and more", 200,
		                      OTHER | LEN, 2) } },
		{ "more than was said", .parts = { RES(OK "Content-Length: 2\r\n\r\n", "ok", 200, LEN, 2) },
		  BREAKS("!", "") },
	};

	EXPECT_RESPONSES(streams);
}

static void interim_responses_have_no_body_and_101_leaves_http(void **state)
{
	static const struct stream streams[] = {
		{ "100-continue, early hints and processing before the answer", .asked = "H",
		  .parts = { RES("HTTP/1.1 100 Continue\r\n\r\n", "", 100, 0, 0),
		             RES("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", "", 103, 0, 0),
		             RES("HTTP/1.1 102\r\nContent-Length: 7\r\n\r\n", "", 102, LEN, 7),
		             RES(OK "Content-Length: 5\r\n\r\n", "", 200, LEN, 5),
		             RES(OK "Content-Length: 2\r\n\r\n", "ok", 200, LEN, 2) } },
		{ "101",
		  .parts = { RES("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "", 101, 0, 0) },
		  LEAVES("\x81\x05hello") },
		{ "CONNECT granted", .asked = "C",
		  .parts = { RES("HTTP/1.1 200 Connection established\r\n\r\n", "", 200, 0, 0) },
		  LEAVES("\x16\x03\x01") },
		{ "CONNECT granted: framing does not count", .asked = "C",
		  .parts = { RES("HTTP/1.1 200 Yes\r\nContent-Length: 5\r\n\r\n", "", 200, LEN, 5) }, LEAVES("hello") },
		{ "CONNECT refused is an answer like any other", .asked = "CG",
		  .parts = { RES("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\n", "no", 407, LEN, 2),
		             RES(OK "Content-Length: 2\r\n\r\n", "ok", 200, LEN, 2) } },
	};

	EXPECT_RESPONSES(streams);
}

static int build_tables(void **state)
{
	http1_table_build();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_lines_are_read_in_every_form_of_the_target),
		cmocka_unit_test(any_token_is_a_method),
		cmocka_unit_test(requests_follow_each_other_without_a_gap),
		cmocka_unit_test(headers_that_only_begin_like_framing_are_none),
		cmocka_unit_test(the_last_transfer_coding_decides),
		cmocka_unit_test(chunks_are_counted_off_to_the_last_trailer),
		cmocka_unit_test(a_chunk_that_is_none_breaks_the_stream),
		cmocka_unit_test(what_is_not_http_1_breaks_at_the_first_byte_that_shows_it),
		cmocka_unit_test(targets_of_8_kilobytes_are_read_and_their_text_is_cut),
		cmocka_unit_test(status_lines_are_read_with_and_without_a_reason),
		cmocka_unit_test(responses_end_where_rfc_9112_6_3_says),
		cmocka_unit_test(interim_responses_have_no_body_and_101_leaves_http),
	};

	return cmocka_run_group_tests(tests, build_tables, NULL);
}
