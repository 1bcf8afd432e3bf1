/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames and header blocks byte by byte (RFC 9113, 6; RFC 7541, 6), for what no proper peer would send. */
#ifndef TW_TESTS_H2_CRAFT_H
#define TW_TESTS_H2_CRAFT_H

#include "h2_wire.h"

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };

#define END_STREAM  0x01
#define ACK         0x01
#define END_HEADERS 0x04
#define PADDED      0x08
#define PRIORITIES  0x20

struct bytes {
	uint8_t b[300000];
	size_t n;
};

static inline void put(struct bytes *to, const void *p, size_t n)
{
	if (to->n + n > sizeof(to->b))
		abort();
	memcpy(to->b + to->n, p, n);
	to->n += n;
}

static inline void put_byte(struct bytes *to, uint8_t byte)
{
	put(to, &byte, 1);
}

static inline void put_32(struct bytes *to, uint32_t v)
{
	uint8_t b[4] = { v >> 24, v >> 16, v >> 8, v };

	put(to, b, 4);
}

static inline void put_frame(struct bytes *to, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                             size_t n)
{
	uint8_t head[5] = { n >> 16, n >> 8, n, type, flags };

	put(to, head, 5);
	put_32(to, stream);
	if (n)
		put(to, payload, n);
}

/* RFC 7541, 5.1. */
static inline void put_integer(struct bytes *to, uint8_t first, int prefix, size_t v)
{
	size_t max = (1u << prefix) - 1;

	if (v < max) {
		put_byte(to, first | v);
		return;
	}
	put_byte(to, first | max);
	for (v -= max; v >= 128; v >>= 7)
		put_byte(to, 0x80 | (v & 0x7f));
	put_byte(to, v);
}

static inline void put_string(struct bytes *to, const char *s, size_t n)
{
	put_integer(to, 0, 7, n);
	put(to, s, n);
}

/* RFC 7541, 6.1. */
static inline void put_index(struct bytes *to, size_t i)
{
	put_integer(to, 0x80, 7, i);
}

/* 6.2.2: without indexing. */
static inline void put_field(struct bytes *to, const char *name, const char *value)
{
	put_byte(to, 0);
	put_string(to, name, strlen(name));
	put_string(to, value, strlen(value));
}

/* 6.2.1: with incremental indexing. */
static inline void put_entry(struct bytes *to, const char *name, const char *value)
{
	put_byte(to, 0x40);
	put_string(to, name, strlen(name));
	put_string(to, value, strlen(value));
}

/* 6.3. */
static inline void put_table_size(struct bytes *to, size_t size)
{
	put_integer(to, 0x20, 5, size);
}

/* ---- a conversation, a frame a segment --------------------------------------------------------------------------- */

static inline void say(struct wire *w, int d, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                       size_t n)
{
	static struct bytes frame;

	frame.n = 0;
	put_frame(&frame, type, flags, stream, payload, n);
	wire_segment(w, d, frame.b, frame.n);
}

static inline void say_block(struct wire *w, int d, uint8_t flags, uint32_t stream, const struct bytes *block)
{
	say(w, d, HEADERS, flags | END_HEADERS, stream, block->b, block->n);
}

/* GET of a path, with nothing that a table would have to be known for. */
static inline void ask(struct wire *w, uint32_t stream, const char *path, uint8_t flags)
{
	static struct bytes block;

	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 6);
	put_field(&block, ":path", path);
	say_block(w, REQUESTS, flags, stream, &block);
}

static inline void answer(struct wire *w, uint32_t stream, const char *status, uint8_t flags)
{
	static struct bytes block;

	block.n = 0;
	put_field(&block, ":status", status);
	say_block(w, ANSWERS, flags, stream, &block);
}

static inline void data(struct wire *w, int d, uint32_t stream, size_t n, uint8_t flags)
{
	static const uint8_t nothing[100000];

	say(w, d, DATA, flags, stream, nothing, n);
}

static inline void reset(struct wire *w, int d, uint32_t stream, uint32_t code)
{
	uint8_t b[4] = { code >> 24, code >> 16, code >> 8, code };

	say(w, d, RST_STREAM, 0, stream, b, 4);
}

static inline void goaway(struct wire *w, int d, uint32_t last, uint32_t code)
{
	uint8_t b[8] = { last >> 24, last >> 16, last >> 8, last, code >> 24, code >> 16, code >> 8, code };

	say(w, d, GOAWAY, 0, 0, b, 8);
}

/* Both sides have begun, with the SETTINGS that both have to send. */
static inline void greet(struct wire *w)
{
	say(w, REQUESTS, SETTINGS, 0, 0, NULL, 0);
	say(w, ANSWERS, SETTINGS, 0, 0, NULL, 0);
	say(w, REQUESTS, SETTINGS, ACK, 0, NULL, 0);
	say(w, ANSWERS, SETTINGS, ACK, 0, NULL, 0);
}

#endif
