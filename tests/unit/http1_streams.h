/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Streams given as their messages, so that where each ends is where the next is written; the careful engine on them, in
 * one piece and in many, and the fast one beside it.
 */
#ifndef TESTS_UNIT_HTTP1_STREAMS_H
#define TESTS_UNIT_HTTP1_STREAMS_H

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

static inline void feed(struct follower *f, const __u8 *bytes, size_t n)
{
	follower__feed(f, at_the_edge(bytes, n), n);
}

static inline void expect_part(const struct message *m, const struct part *p, size_t at, const char *what)
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

static inline void expect(const struct follower *f, const struct stream *s)
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

static inline size_t write_out(const struct stream *s, __u8 *out)
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

static inline size_t methods_asked(const struct stream *s, __u8 *asked)
{
	size_t n = s->asked ? strlen(s->asked) : 0;

	for (size_t i = 0; i < n; i++)
		asked[i] = s->asked[i] == 'H' ? H1_F_HEAD : s->asked[i] == 'C' ? H1_F_CONNECT : 0;
	return n;
}

/* The fast engine, where it is certain of a head of the stream, reads it as the careful one does. */
static inline void expect_fast(const struct stream *s, bool requests, const __u8 *bytes, size_t n)
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
static inline void expect_stream(const struct stream *s, bool requests)
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

static inline void expect_streams(const struct stream *s, size_t n, bool requests)
{
	for (size_t i = 0; i < n; i++)
		expect_stream(&s[i], requests);
}
#define EXPECT_REQUESTS(s)  expect_streams(s, sizeof(s) / sizeof(*(s)), true)
#define EXPECT_RESPONSES(s) expect_streams(s, sizeof(s) / sizeof(*(s)), false)

#define HOST "Host: shop.example\r\n"
#define END  "\r\n"
#define GET  REQ("GET / HTTP/1.1\r\n" HOST END, "", "GET /", 0, 0)
#define POST "POST /pay HTTP/1.1\r\n" HOST
#define OK   "HTTP/1.1 200 OK\r\n"

#endif
