// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture
 *
 * The careful engine on whole streams, and the fast one beside it. Oracles: the message grammar and the body lengths of
 * RFC 9112 (sections 2 to 7, with its own examples and those of RFC 9110), RFC 9113's preface and RFC 8446's record
 * header, written out by hand: a stream is given as its messages, so that where each ends is where the next is written.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../fuzz/http1_both.h"

#define SEED     0x5eed
#define ANYWHERE ((size_t)-1)
#define LEN      H1_F_HAS_LENGTH
#define CHUNKED  H1_F_CHUNKED
#define OTHER    H1_F_OTHER_CODING

/* A message as it is written, and what is to be read from it. */
struct part {
	const char *bytes;
	size_t len, head;
	const char *text; /* requests: "METHOD /path" */
	__u64 length;
	__u16 status;
	__u8 flags;
	bool open; /* it does not end */
};

/* Messages, and what comes behind them: bytes of which so many are taken (the last of them breaks it, if it breaks). */
struct stream {
	const char *what;
	enum fate fate;
	struct part parts[6];
	const char *tail;
	size_t tail_len, taken;
	const char *asked; /* responses: the requests' methods, 'G', 'H' or 'C' */
};

#define PART(h, body, text_, status_, flags_, length_, open_)                                                        \
	{                                                                                                            \
		.bytes = h body, .len = sizeof(h body) - 1, .head = sizeof(h) - 1, .text = text_, .status = status_, \
		.flags = flags_, .length = length_, .open = open_,                                                   \
	}
#define REQ(h, body, text, flags, length)        PART(h, body, text, 0, flags, length, false)
#define RES(h, body, status, flags, length)      PART(h, body, NULL, status, flags, length, false)
#define OPEN_REQ(h, body, text, flags, length)   PART(h, body, text, 0, flags, length, true)
#define OPEN_RES(h, body, status, flags, length) PART(h, body, NULL, status, flags, length, true)
/* Breaks at the last byte of `good`. */
#define BREAKS(good, rest) \
	.fate = BROKEN, .tail = good rest, .tail_len = sizeof(good rest) - 1, .taken = sizeof(good) - 1
#define BREAKS_SOMEWHERE(all) .fate = BROKEN, .tail = all, .tail_len = sizeof(all) - 1, .taken = ANYWHERE
#define UNFINISHED(all)       .tail = all, .tail_len = sizeof(all) - 1, .taken = sizeof(all) - 1
#define LEAVES(all)           .fate = LEFT, .tail = all, .tail_len = sizeof(all) - 1

/* ---- running them ------------------------------------------------------------------------------------------------ */

/* Bytes whose last one is followed by memory that may not be read. */
static const __u8 *at_the_edge(const __u8 *bytes, size_t n)
{
	static __u8 *edge;
	size_t room = 16384, page = (size_t)sysconf(_SC_PAGESIZE);

	if (!edge) {
		edge = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(edge != MAP_FAILED);
		assert_int_equal(mprotect(edge + room, page, PROT_NONE), 0);
	}
	assert_true(n <= room);
	return memcpy(edge + room - n, bytes, n);
}

static void feed(struct follower *f, const __u8 *bytes, size_t n)
{
	follower__feed(f, at_the_edge(bytes, n), n);
}

static void expect_part(const struct message *m, const struct part *p, size_t at, const char *what)
{
	if (m->start != at || m->head_end != at + p->head || m->end != (p->open ? 0 : at + p->len))
		fail_msg("%s: message at %zu has its head's end at %zu and its own at %zu", what, m->start,
		         m->head_end - m->start, m->end - m->start);
	if (m->flags != p->flags || m->length != p->length || m->status != p->status)
		fail_msg("%s: flags %d, length %llu, status %d", what, m->flags, (unsigned long long)m->length,
		         m->status);
	if (p->text && (m->text_len != strlen(p->text) || memcmp(m->text, p->text, m->text_len) != 0))
		fail_msg("%s: text \"%.*s\"", what, m->text_len, m->text);
}

static void expect(const struct follower *f, const struct stream *s)
{
	size_t at = 0, n;

	for (n = 0; n < 6 && s->parts[n].bytes; n++) {
		if (n < f->n)
			expect_part(&f->m[n], &s->parts[n], at, s->what);
		at += s->parts[n].len;
	}
	if (f->n != n)
		fail_msg("%s: %zu messages instead of %zu", s->what, f->n, n);
	if (f->fate != s->fate)
		fail_msg("%s: fate %d instead of %d", s->what, (int)f->fate, (int)s->fate);
	if (s->taken != ANYWHERE && f->at != at + s->taken)
		fail_msg("%s: took %zu bytes of the tail", s->what, f->at - at);
}

static size_t write_out(const struct stream *s, __u8 *out)
{
	size_t n = 0;

	for (const struct part *p = s->parts; p < s->parts + 6 && p->bytes; p++) {
		memcpy(out + n, p->bytes, p->len);
		n += p->len;
	}
	if (s->tail)
		memcpy(out + n, s->tail, s->tail_len);
	return n + s->tail_len;
}

static size_t methods_asked(const struct stream *s, __u8 *asked)
{
	size_t n = s->asked ? strlen(s->asked) : 0;

	for (size_t i = 0; i < n; i++)
		asked[i] = s->asked[i] == 'H' ? H1_F_HEAD : s->asked[i] == 'C' ? H1_F_CONNECT : 0;
	return n;
}

/* The fast engine, where it is certain of a head of the stream, reads it as the careful one does. */
static void expect_fast(const struct stream *s, bool requests, const __u8 *bytes, size_t n)
{
	__u8 window[H1_WINDOW + H1_SPARE];
	size_t at = 0;

	for (const struct part *p = s->parts; at < n; at += p++->len) {
		const char *difference;
		bool certain;

		memset(window, '\n', sizeof(window));
		memcpy(window, bytes + at, least(n - at, H1_WINDOW));
		difference = heads_differ(requests, window, (__u32)least(n - at, H1_WINDOW), SEED, &certain);
		if (difference)
			fail_msg("%s: the engines differ: %s", s->what, difference);
		if (p == s->parts + 6 || !p->bytes)
			break;
	}
}

/* Whole, one byte at a time, and in two pieces cut at every place. */
static void expect_stream(const struct stream *s, bool requests)
{
	__u8 bytes[16384], asked[8];
	size_t n = write_out(s, bytes), n_asked = methods_asked(s, asked);
	struct follower f;

	expect_fast(s, requests, bytes, n);
	follower__init(&f, requests, asked, n_asked, SEED);
	feed(&f, bytes, n);
	expect(&f, s);
	follower__init(&f, requests, asked, n_asked, SEED);
	for (size_t i = 0; i < n; i++)
		feed(&f, bytes + i, 1);
	expect(&f, s);
	for (size_t cut = 1; cut < n; cut++) {
		follower__init(&f, requests, asked, n_asked, SEED);
		feed(&f, bytes, cut);
		feed(&f, bytes + cut, n - cut);
		expect(&f, s);
	}
}

static void expect_streams(const struct stream *s, size_t n, bool requests)
{
	for (size_t i = 0; i < n; i++)
		expect_stream(&s[i], requests);
}
#define EXPECT_REQUESTS(s)  expect_streams(s, sizeof(s) / sizeof(*(s)), true)
#define EXPECT_RESPONSES(s) expect_streams(s, sizeof(s) / sizeof(*(s)), false)

/* ---- requests ---------------------------------------------------------------------------------------------------- */

#define HOST "Host: shop.example\r\n"
#define END  "\r\n"
#define GET  REQ("GET / HTTP/1.1\r\n" HOST END, "", "GET /", 0, 0)
#define POST "POST /pay HTTP/1.1\r\n" HOST

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
		{ "twice, and different", BREAKS(POST "Content-Length: 5\r\nContent-Length:", " 6\r\n\r\nhello!") },
		{ "twice, and the same: RFC 9112, 6.3 allows to refuse it",
		  BREAKS(POST "Content-Length: 5\r\nContent-Length:", " 5\r\n\r\nhello") },
		{ "a list", BREAKS(POST "Content-Length: 5,", " 5\r\n\r\nhello") },
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

#define OK "HTTP/1.1 200 OK\r\n"

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
		cmocka_unit_test(content_length_delimits_a_body),
		cmocka_unit_test(a_content_length_that_is_no_number_breaks_the_stream),
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
