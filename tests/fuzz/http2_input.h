/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How an input of fuzz_http2 is read, and written by those who make one to start from.
 *
 * 'r': records, each behind two bytes of its length.
 * Anything else: steps. Each begins with a byte: its upper four bits say what (enum http2_step), the next two of which
 * of four connections, the lowest of which direction. A segment has two more bytes, its length, and then its bytes.
 * Lengths are little-endian.
 */
#ifndef TW_TESTS_HTTP2_INPUT_H
#define TW_TESTS_HTTP2_INPUT_H

#include "../unit/h2_wire.h"

enum http2_step {
	STEP_SEGMENT, /* all others that are not listed are segments as well */
	STEP_GAP = 8, /* the record before gets lost */
	STEP_LOST,
	STEP_JOINED,
	STEP_READ,
	STEP_CLOSE, /* FIN */
	STEP_ABORT, /* RST */
	STEP_ASKED,
	STEP_GONE,
};

#define STEP(what, conn, d) ((what) << 4 | ((conn)&3) << 1 | (d))

typedef void (*http2_feed)(void *arg, const void *record, size_t len);

static inline void http2_flush(struct wire *w, http2_feed fn, void *arg)
{
	for (size_t i = 0; i < w->n; i++)
		fn(arg, w->records[i].bytes, w->records[i].len);
	w->n = w->n_heads = 0;
	w->flags = 0;
}

static inline void http2_step(struct wire *w, int what, int d, http2_feed fn, void *arg)
{
	static const uint64_t words[2] = { 0x1234, 5678 };
	uint32_t place = w->side[d].place;

	switch (what) {
	case STEP_GAP:
		w->n = w->n_heads = 0;
		w->flags = TW_H2_GAP;
		return;
	case STEP_LOST:
		wire_tell(w, d, TW_H2_LOST, place, NULL, 0);
		w->side[d].have = 0;
		return;
	case STEP_JOINED:
		w->side[d].begun = true;
		w->side[d].have = 0;
		wire_tell(w, d, TW_H2_JOINED, place, NULL, 0);
		return;
	case STEP_READ:
		wire_tell(w, REQUESTS, TW_H2_READ, w->side[REQUESTS].place, words, 8);
		return;
	case STEP_CLOSE:
		wire_tell(w, d, TW_H2_FIN, place, NULL, 0);
		return;
	case STEP_ABORT:
		wire_tell(w, d, TW_H2_RST, place, NULL, 0);
		return;
	case STEP_ASKED:
		wire_tell(w, REQUESTS, TW_H2_ASKED, place, words, 16);
		return;
	default:
		wire_tell(w, d, TW_H2_GONE, d ? 110 : 0, NULL, 0);
		http2_flush(w, fn, arg);
	}
}

static inline void http2_steps(const uint8_t *p, size_t n, http2_feed fn, void *arg)
{
	struct wire w[4];

	for (int i = 0; i < 4; i++)
		wire_init(&w[i], i);
	while (n) {
		struct wire *to = &w[p[0] >> 1 & 3];
		int what = p[0] >> 4, d = p[0] & 1;
		size_t len;

		p++;
		n--;
		if (what >= STEP_GAP) {
			http2_step(to, what, d, fn, arg);
			continue;
		}
		if (n < 2)
			break;
		len = p[0] | p[1] << 8;
		p += 2;
		n -= 2;
		if (len > n)
			len = n;
		http2_flush(to, fn, arg);
		wire_segment(to, d, p, len);
		p += len;
		n -= len;
	}
	for (int i = 0; i < 4; i++) {
		http2_flush(&w[i], fn, arg);
		wire_free(&w[i]);
	}
}

static inline void http2_input(const uint8_t *p, size_t n, http2_feed fn, void *arg)
{
	if (!n)
		return;
	if (*p != 'r') {
		http2_steps(p + 1, n - 1, fn, arg);
		return;
	}
	for (p++, n--; n >= 2;) {
		size_t len = p[0] | p[1] << 8;

		p += 2;
		n -= 2;
		if (len > n)
			len = n;
		fn(arg, p, len);
		p += len;
		n -= len;
	}
}

#endif
