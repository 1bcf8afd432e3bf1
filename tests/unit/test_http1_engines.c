// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture
 *
 * The fast engine against the careful one: certain only where both agree, and certain of every plain head. Oracles:
 * heads as common clients and servers send them, with lengths counted by the compiler; generated messages, whose
 * generator knows what it wrote.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "../fuzz/http1_both.h"

#define SEED 0x5eed

/* ---- random -------------------------------------------------------------------------------------------------------*/

static __u64 rng_state;

static __u64 rng(void)
{
	__u64 z = rng_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return rng() % n;
}

static bool chance(unsigned int percent)
{
	return below(100) < percent;
}

/* What a stale window holds: anything, and often what would complete or mislead a head. */
static void make_stale(__u8 *bytes, size_t n)
{
	static const char likely[] =
		"\r\n\r\n: /?HTTP/1.1 content-length:5\r\ntransfer-encoding: chunked\r\n\r\n0123456789";
	size_t kind = below(4), at = below(sizeof(likely));

	for (size_t i = 0; i < n; i++) {
		if (kind == 0)
			bytes[i] = (__u8)rng();
		else if (kind == 1)
			bytes[i] = (__u8)likely[below(sizeof(likely) - 1)];
		else if (kind == 2)
			bytes[i] = (__u8)likely[(at + i) % (sizeof(likely) - 1)];
		else
			bytes[i] = (__u8) "\r\n"[i & 1];
	}
}

/* ---- asking both engines ----------------------------------------------------------------------------------------- */

/* Bytes behind n, and behind the window, are `behind`'s as far as it goes, then stale. Says whether it was certain. */
static bool engines_agree(bool requests, const void *bytes, size_t n, size_t behind)
{
	__u8 *window = malloc(H1_WINDOW + H1_SPARE);
	size_t have = least(n + behind, H1_WINDOW + H1_SPARE);
	const char *difference;
	bool certain;

	assert_non_null(window);
	memcpy(window, bytes, have);
	make_stale(window + have, H1_WINDOW + H1_SPARE - have);
	n = least(n, H1_WINDOW);
	difference = heads_differ(requests, window, (__u32)n, SEED, &certain);
	free(window);
	if (difference)
		fail_msg("the engines differ: %s, in \"%.*s\"", difference, (int)least(n, 500), (const char *)bytes);
	return certain;
}

/* ---- heads as they are ------------------------------------------------------------------------------------------- */

static const char *const requests[] = {
	"GET /a HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
	"POST /checkout HTTP/1.1\r\nHost: shop\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: 27\r\n"
	"Content-Type: application/x-www-form-urlencoded\r\n\r\n",
	"PUT /up HTTP/1.1\r\nHost: shop\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n"
	"Expect: 100-continue\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n\r\n", /* wrk */
	"GET /index.html HTTP/1.0\r\nHost: shop\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
	"POST /pay HTTP/1.0\r\nHost: backend\r\nConnection: close\r\nContent-Length: 2\r\nX-Real-IP: 192.0.2.7\r\n"
	"X-Forwarded-For: 192.0.2.7\r\n\r\n", /* nginx to its upstream */
	"GET /product/8812?ref=mail&utm_source=a/b HTTP/1.1\r\nhost: shop\r\nconnection: keep-alive\r\n"
	"accept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n"
	"accept-encoding: gzip, deflate\r\n\r\n",
	"GET /cart/deadbeef-0123-4567-89ab-cdef01234567/items HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n"
	"Cache-Control: max-age=0\r\nsec-ch-ua: \"Chromium\";v=\"118\", \"Not=A?Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n"
	"sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
	"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,"
	"application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\nSec-Fetch-Site: none\r\n"
	"Sec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br\r\n"
	"Accept-Language: en-GB,en;q=0.9\r\nCookie: session=invented; theme=dark\r\nIf-None-Match: W/\"1-invented\"\r\n\r\n",
	"HEAD /health HTTP/1.1\r\nHost: shop:8080\r\nUser-Agent: Go-http-client/1.1\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n",
	"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n",
	"GET http://shop.example/pub HTTP/1.1\r\nHost: shop.example\r\nProxy-Connection: Keep-Alive\r\n\r\n",
	"PATCH /orders/17/lines/4 HTTP/1.1\r\nHost: shop\r\nUser-Agent: python-requests/2.28.1\r\n"
	"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Length: 512\r\n"
	"Content-Type: application/json\r\n\r\n",
};

static const char *const responses[] = {
	"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 03 Nov 2026 10:00:00 GMT\r\nContent-Type: text/html\r\n"
	"Content-Length: 615\r\nLast-Modified: Tue, 13 Dec 2022 15:53:53 GMT\r\nConnection: keep-alive\r\n"
	"ETag: \"6398a011-267\"\r\nAccept-Ranges: bytes\r\n\r\n",
	"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 03 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n"
	"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nServer: nginx/1.22.1\r\nConnection: keep-alive\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nETag: \"6398a011-267\"\r\n\r\n",
	"HTTP/1.1 301 Moved Permanently\r\nLocation: http://shop.example/a/\r\nContent-Length: 169\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 27\r\n"
	"ETag: W/\"1b-invented\"\r\nDate: Tue, 03 Nov 2026 10:00:00 GMT\r\nConnection: keep-alive\r\n"
	"Keep-Alive: timeout=5\r\n\r\n",
	"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
	"Date: Tue, 03 Nov 2026 10:00:00 GMT\r\nContent-Length: 19\r\n\r\n", /* Go */
	"HTTP/1.0 200 OK\r\nServer: SimpleHTTP/0.6 Python/3.11.2\r\nDate: Tue, 03 Nov 2026 10:00:00 GMT\r\n"
	"Content-type: text/html; charset=utf-8\r\nContent-Length: 318\r\n\r\n",
	"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n"
	"connection: close\r\n\r\n", /* haproxy */
	"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ndate: Tue, 03 Nov 2026 10:00:00 GMT\r\n"
	"server: envoy\r\nx-envoy-upstream-service-time: 3\r\n\r\n",
	"HTTP/1.1 200 \r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", /* Tomcat: no reason */
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: invented\r\n\r\n",
};

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void plain_heads_of_common_clients_and_servers_need_no_careful_engine(void **state)
{
	for (size_t i = 0; i < COUNT(requests); i++)
		if (!engines_agree(true, requests[i], strlen(requests[i]), 0))
			fail_msg("not certain of \"%s\"", requests[i]);
	for (size_t i = 0; i < COUNT(responses); i++)
		if (!engines_agree(false, responses[i], strlen(responses[i]), 0))
			fail_msg("not certain of \"%s\"", responses[i]);
}

static void expect_whole_or_not_at_all(bool asked, const char *head)
{
	size_t len = strlen(head);

	for (size_t n = 0; n < len; n++) {
		/* The rest of the very head lies stale behind what has come of it, then nonsense does. */
		assert_false(engines_agree(asked, head, n, len - n));
		assert_false(engines_agree(asked, head, n, 0));
	}
	assert_true(engines_agree(asked, head, len, 0));
}

static void a_head_cut_short_is_never_taken_whatever_lies_behind_it(void **state)
{
	rng_state = 1;
	for (size_t i = 0; i < COUNT(requests); i++)
		expect_whole_or_not_at_all(true, requests[i]);
	for (size_t i = 0; i < COUNT(responses); i++)
		expect_whole_or_not_at_all(false, responses[i]);
}

/* ---- the window's end -------------------------------------------------------------------------------------------- */

static char wide[2 * H1_WINDOW];

/* A head of `len` bytes in all: first, as many `fill` as it takes, last. */
static size_t stretched(const char *first, char fill, const char *last, size_t len)
{
	size_t n = strlen(first), m = strlen(last);

	memcpy(wide, first, n);
	memset(wide + n, fill, len - n - m);
	memcpy(wide + len - m, last, m);
	memset(wide + len, fill, sizeof(wide) - len);
	return len;
}

static void a_head_that_ends_at_the_windows_last_byte_is_taken_and_a_longer_one_is_not(void **state)
{
	static const struct {
		bool requests;
		const char *first, *last;
	} heads[] = {
		{ true, "GET / HTTP/1.1\r\nCookie: ", "\r\n\r\n" },
		{ true, "GET /a?", " HTTP/1.1\r\nHost: shop\r\n\r\n" },
		{ true, "POST / HTTP/1.1\r\nCookie: ", "\r\nContent-Length: 123456789012345\r\n\r\n" },
		{ true, "POST / HTTP/1.1\r\nCookie: ", "\r\nContent-Length:5\r\n\r\n" },
		{ true, "POST / HTTP/1.1\r\nCookie: ", "\r\nTransfer-Encoding: chunked\r\n\r\n" },
		{ true, "POST / HTTP/1.1\r\nCookie: ", "\n\n" },
		{ false, "HTTP/1.1 200 OK\r\nSet-Cookie: ", "\r\n\r\n" },
		{ false, "HTTP/1.1 200 ", "\r\n\r\n" },
		{ false, "HTTP/1.1 200 OK\r\nSet-Cookie: ", "\r\ncontent-length: 000000000000005\r\n\r\n" },
		{ false, "HTTP/1.1 200 OK\r\nSet-Cookie: ", "\r\ntransfer-encoding: chunked\r\n\r\n" },
	};

	rng_state = 2;
	for (size_t i = 0; i < COUNT(heads); i++)
		for (size_t len = H1_WINDOW - 70; len < H1_WINDOW + 70; len++) {
			size_t n = stretched(heads[i].first, 'x', heads[i].last, len);
			bool certain = engines_agree(heads[i].requests, wide, n, sizeof(wide) - n);

			assert_int_equal(certain, len <= H1_WINDOW);
			assert_false(engines_agree(heads[i].requests, wide, n - 1, sizeof(wide) - n));
			assert_int_equal(engines_agree(heads[i].requests, wide, least(n + 9, H1_WINDOW), 0), certain);
		}
}

/* Reading on at the window's start must not be how a number, a coding or a target ends. */
static void nothing_at_the_windows_start_completes_what_its_end_cuts(void **state)
{
	static const char *const first[] = {
		"GET / HTTP/1.1\r\nA: ",
		"GET /?",
		"HTTP/1.1 200 OK\r\nA: ",
		"h: chunked\r\n\r\n ",
		"ngth: 5\r\n\r\n",
		"5\r\n\r\n",
		"\r\n\r\n",
		"\n\n",
		" HTTP/1.1\r\n\r\n",
	};
	static const char *const last[] = {
		"\r\nContent-Length: 5\r\n\r\n",
		"\r\nTransfer-Encoding: chunked\r\n\r\n",
		" HTTP/1.1\r\n\r\n",
		"/a/12345678 HTTP/1.1\r\n\r\n",
	};

	rng_state = 3;
	for (size_t i = 0; i < COUNT(first); i++)
		for (size_t j = 0; j < COUNT(last); j++)
			for (size_t len = H1_WINDOW - 16; len < H1_WINDOW + 64; len++) {
				size_t n = stretched(first[i], 'a', last[j], len);

				assert_true(n >= len);
				for (size_t have = H1_WINDOW - 20; have <= H1_WINDOW; have++) {
					engines_agree(true, wide, have, sizeof(wide) - have);
					engines_agree(false, wide, have, sizeof(wide) - have);
				}
			}
}

/* ---- generated messages ------------------------------------------------------------------------------------------ */

/* A stream and what was written into it. */
struct script {
	char bytes[65536];
	size_t n, messages;
	struct message m[8];
	__u8 asked[8];
};

static struct script script;

static void put(const char *text)
{
	size_t n = strlen(text);

	assert_true(script.n + n < sizeof(script.bytes));
	memcpy(script.bytes + script.n, text, n);
	script.n += n;
}

static void put_bytes(size_t n, const char *alphabet)
{
	assert_true(script.n + n < sizeof(script.bytes));
	while (n--)
		script.bytes[script.n++] = alphabet[below(strlen(alphabet))];
}

/* In the case of letters that comes. */
static void put_name(const char *name)
{
	size_t at = script.n;
	bool mixed = chance(30);

	put(name);
	for (; mixed && at < script.n; at++)
		if (chance(50) && script.bytes[at] >= 'a' && script.bytes[at] <= 'z')
			script.bytes[at] ^= 0x20;
}

static void put_eol(void)
{
	put(chance(95) ? "\r\n" : "\n");
}

#define WORD  "abcdefghijklmnopqrstuvwxyz-_."
#define HEX   "0123456789abcdef-"
#define VALUE "abcdefgh ABCDEFGH 0123456789 :;,=/?\"'-\t\x80\xff\r"

static void put_target(struct message *m)
{
	size_t method = script.n - m->start + 1, from = script.n + 1, segments = below(6);

	put(" ");
	put(chance(90) ? "/" : chance(50) ? "*" : "http://shop.example/");
	for (size_t i = 0; i < segments; i++) {
		size_t kind = below(8), len = chance(95) ? below(24) : below(400);

		put_bytes(len, kind < 4 ? WORD : kind < 5 ? "0123456789" : kind < 7 ? HEX : WORD "#%+\xc3\xa9\x7f");
		if (i + 1 < segments)
			put("/");
	}
	m->text_len = (__u16)least(method + script.n - from, TW_PATH_MAX);
	m->truncated = method + script.n - from > TW_PATH_MAX;
	memcpy(m->text, script.bytes + m->start, m->text_len);
	if (chance(30)) {
		put("?");
		put_bytes(chance(95) ? below(50) : below(2500), WORD "/?=&0123456789");
	}
}

static void put_request_line(struct message *m)
{
	static const char *const methods[] = { "GET",     "POST",     "HEAD",     "PUT", "OPTIONS",
		                               "CONNECT", "M-SEARCH", "PROPFIND", "get" };
	const char *method = methods[chance(80) ? below(2) : below(COUNT(methods))];

	if (chance(95))
		put(method);
	else
		put_bytes(1 + below(20), WORD "ABCXYZ0123456789!~");
	if (script.n - m->start == 4 && memcmp(script.bytes + m->start, "HEAD", 4) == 0)
		m->flags |= H1_F_HEAD;
	if (script.n - m->start == 7 && memcmp(script.bytes + m->start, "CONNECT", 7) == 0)
		m->flags |= H1_F_CONNECT;
	put_target(m);
	put(" HTTP/1.");
	put(chance(90) ? "1" : "0");
	put_eol();
}

static void put_status_line(struct message *m, __u8 asked)
{
	static const __u16 statuses[] = { 100, 103, 204, 304, 301, 404, 500, 503, 999 };
	char text[32];

	m->status = chance(70) ? 200 : statuses[below(COUNT(statuses))];
	if (asked & H1_F_CONNECT)
		m->status = 407;
	(void)snprintf(text, sizeof(text), "HTTP/1.%d %u", chance(90), m->status);
	put(text);
	put(chance(90) ? " So It Is" : chance(50) ? " " : "");
	put_eol();
}

static void put_other_header(void)
{
	static const char *const names[] = {
		"host",
		"cookie",
		"content-type",
		"content-lengths",
		"content-length-hint",
		"transfer-encodings",
		"te",
		"c",
		"t",
		"x-content-length",
		"accept",
		"transfer-encoding-x",
	};

	put_name(names[below(COUNT(names))]);
	put(": ");
	put_bytes(chance(95) ? below(60) : below(2000), VALUE);
	put("."); /* no CR before the end of the line: it would end it */
	put_eol();
}

static void put_length(struct message *m)
{
	static const char *const forms[] = { "%llu", " %llu", "\t%llu \t", " %05llu", " %020llu" };
	char text[48];

	m->length = chance(80) ? below(100) : below(3000);
	m->flags |= H1_F_HAS_LENGTH;
	put_name("content-length:");
	/* The format is one of the literals above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(text, sizeof(text), forms[chance(80) ? 1 : below(COUNT(forms))], (unsigned long long)m->length);
#pragma GCC diagnostic pop
	put(text);
	put_eol();
}

static void put_coding(struct message *m)
{
	static const char *const forms[] = { " chunked",       "chunked",       " \tchunked\t ",
		                             " gzip, chunked", " x,,chunked ,", " CHUNKED" };
	size_t form = chance(80) ? 0 : below(COUNT(forms));

	m->flags |= H1_F_CHUNKED | (form == 3 || form == 4 ? H1_F_OTHER_CODING : 0);
	put_name("transfer-encoding:");
	put(forms[form]);
	put_eol();
}

static void put_chunks(void)
{
	char text[32];

	for (size_t chunks = below(5), i = 0; i < chunks; i++) {
		size_t n = 1 + (chance(80) ? below(40) : below(1500));

		(void)snprintf(text, sizeof(text), chance(50) ? "%zx" : "%05zX", n);
		put(text);
		put(chance(80) ? "" : chance(50) ? ";a=\"b;c\"" : " ");
		put_eol();
		put_bytes(n, "0\r\nab");
		put_eol();
	}
	put(chance(80) ? "0" : "000");
	put_eol();
	if (chance(20)) {
		put("content-length: 7");
		put_eol();
	}
	put_eol();
}

static bool has_body(const struct message *m, __u8 asked)
{
	return !(asked & H1_F_HEAD) && m->status / 100 != 1 && m->status != 204 && m->status != 304;
}

static void put_message(bool asking, size_t *answered)
{
	struct message *m = &script.m[script.messages++];
	__u8 asked = asking ? 0 : script.asked[*answered];

	*m = (struct message){ .start = script.n };
	if (asking)
		put_request_line(m);
	else
		put_status_line(m, asked);
	for (size_t n = below(6); n--;)
		put_other_header();
	/* A response without either would end with its connection. */
	if (chance(50) || (!asking && has_body(m, asked)))
		chance(80) ? put_length(m) : put_coding(m);
	if (m->flags & H1_F_HAS_LENGTH && chance(3))
		put_coding(m);
	for (size_t n = below(3); n--;)
		put_other_header();
	put_eol();
	m->head_end = script.n;
	*answered += m->status >= 200;
	if (has_body(m, asked) && m->flags & H1_F_CHUNKED)
		put_chunks();
	else if (has_body(m, asked))
		put_bytes(m->length, "GET /HTTP1.1\r\n");
	m->end = script.n;
}

static void write_script(bool asking)
{
	size_t messages = 1 + below(4), answered = 0;

	script.n = script.messages = 0;
	for (size_t i = 0; i < COUNT(script.asked); i++)
		script.asked[i] = chance(90) ? 0 : chance(50) ? H1_F_HEAD : H1_F_CONNECT;
	while (messages--)
		put_message(asking, &answered);
}

static void follow(struct follower *f, bool asking, size_t piece_max)
{
	size_t piece;

	follower__init(f, asking, script.asked, COUNT(script.asked), SEED);
	for (size_t at = 0; at < script.n; at += piece) {
		piece = least(1 + below(piece_max), script.n - at);
		follower__feed(f, (__u8 *)script.bytes + at, piece);
	}
}

static void streams_are_followed_as_they_were_written(void **state)
{
	static struct follower f;

	rng_state = 4;
	for (int run = 0; run < 4000; run++) {
		bool asking = chance(50);

		write_script(asking);
		follow(&f, asking, chance(50) ? 4000 : 20);
		assert_int_equal(f.fate, IN_STEP);
		assert_int_equal(f.n, script.messages);
		for (size_t i = 0; i < f.n; i++) {
			struct message *m = &script.m[i];

			m->route = f.m[i].route; /* not written anywhere: see test_route_hash.c */
			assert_memory_equal(&f.m[i], m, sizeof(*m));
		}
	}
}

static void the_fast_engine_takes_most_generated_heads_and_agrees_on_all(void **state)
{
	size_t heads = 0, taken = 0;

	rng_state = 5;
	for (int run = 0; run < 4000; run++) {
		bool asking = chance(50);

		write_script(asking);
		for (size_t i = 0; i < script.messages; i++) {
			const struct message *m = &script.m[i];
			size_t rest = script.n - m->start, n = chance(50) ? rest : below(rest + 1);
			bool certain = engines_agree(asking, script.bytes + m->start, n, chance(50) ? rest - n : 0);

			heads += n >= m->head_end - m->start && m->head_end - m->start <= H1_WINDOW;
			taken += certain;
			if (certain)
				assert_true(n >= m->head_end - m->start);
		}
	}
	/* The generator is fond of odd spellings; still it must not be for nothing. */
	if (taken * 3 < heads)
		fail_msg("certain of %zu of %zu heads", taken, heads);
}

/* Some bytes changed, lost, doubled or added: mostly such as mean something. */
static void mutate(void)
{
	static const char *const spice[] = {
		"\r",
		"\n",
		"\r\n",
		"\r\n\r\n",
		" ",
		":",
		"/",
		"?",
		"\t",
		"-",
		",",
		"\x7f",
		"\x80",
		"\x1a",
		"0",
		"9",
		"A",
		"content-length:",
		"\r\ncontent-length: 5",
		"\r\ntransfer-encoding: chunked",
		"content\rlength: 1",
		"HTTP/1.1 ",
		"99999999999999999999",
		"\r\n ",
		" \r\n",
		"\r\r\n",
		"chunked",
		"gzip, ",
		";",
	};
	size_t times = 1 + below(3);

	while (times-- && script.n > 1) {
		size_t at = chance(70) ? below(least(script.n, 300)) : below(script.n), len = 1 + below(4);
		const char *s = spice[below(COUNT(spice))];
		size_t n = least(strlen(s), script.n - at);

		if (chance(30)) {
			script.bytes[at] = (char)rng();
		} else if (chance(40)) {
			memcpy(script.bytes + at, s, n);
		} else if (chance(40)) {
			len = least(len, script.n - at);
			memmove(script.bytes + at, script.bytes + at + len, script.n - at - len);
			script.n -= len;
		} else if (script.n + n < sizeof(script.bytes)) {
			memmove(script.bytes + at + n, script.bytes + at, script.n - at);
			memcpy(script.bytes + at, s, n);
			script.n += n;
		}
	}
}

static void mutated_streams_are_read_alike_by_both_engines_and_however_they_are_cut(void **state)
{
	static struct follower whole, cut;
	size_t taken = 0;

	rng_state = 6;
	for (int run = 0; run < 20000; run++) {
		bool asking = chance(50);
		const char *difference;
		size_t n;

		write_script(asking);
		mutate();
		n = chance(70) ? script.n : below(script.n + 1);
		taken += engines_agree(asking, script.bytes, n, chance(50) ? script.n - n : 0);
		if (run % 4)
			continue;
		follow(&whole, asking, script.n);
		follow(&cut, asking, 3);
		difference = followers_differ(&whole, &cut);
		if (difference)
			fail_msg("cut in pieces it is read differently in %s: \"%.*s\"", difference, (int)script.n,
			         script.bytes);
	}
	assert_true(taken > 1000);
}

static int build_tables(void **state)
{
	http1_table_build();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_heads_of_common_clients_and_servers_need_no_careful_engine),
		cmocka_unit_test(a_head_cut_short_is_never_taken_whatever_lies_behind_it),
		cmocka_unit_test(a_head_that_ends_at_the_windows_last_byte_is_taken_and_a_longer_one_is_not),
		cmocka_unit_test(nothing_at_the_windows_start_completes_what_its_end_cuts),
		cmocka_unit_test(streams_are_followed_as_they_were_written),
		cmocka_unit_test(the_fast_engine_takes_most_generated_heads_and_agrees_on_all),
		cmocka_unit_test(mutated_streams_are_read_alike_by_both_engines_and_however_they_are_cut),
	};

	return cmocka_run_group_tests(tests, build_tables, NULL);
}
