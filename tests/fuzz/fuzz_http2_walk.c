// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The walk over HTTP/2 frames, exactly as the kernel programs do it, over any bytes, cut into segments that the first
 * four bytes draw by lot, as walked over or taken at once, of a stream that begins (an even first byte) or was joined.
 * It must hold that
 *  - heads and the payloads that are wanted are told, each byte once and where it stands, and nothing else: worked out
 *    here from the whole stream (RFC 9113, 4.1);
 *  - it does not matter where the stream is cut, but that a joined one is given up where no frame begins;
 *  - a record stays within its room, and user space takes it for one.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/http1_table.h"
#define H2_COPY_BYTES(to, from, n) memcpy(to, from, n)
#include "http2_walk.h"
#include "http2/http2.h"

#define STREAM 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	uint8_t bytes[STREAM];
	uint8_t has[STREAM];
	uint32_t ended[STREAM / 9 + 1], n_ended;
} told;

static struct http2 *lib;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void nobody(void *arg, const struct h2_exchange *e)
{
}

static void take_item(const struct tw_h2_item *i, const uint8_t *b)
{
	if (i->what == TW_H2_ENDED)
		told.ended[told.n_ended++] = i->at;
	if (i->what != TW_H2_BYTES)
		return;
	if (i->at > STREAM || i->len > STREAM - i->at)
		fail("a place outside of the stream");
	for (uint32_t k = 0; k < i->len; k++) {
		if (told.has[i->at + k]++)
			fail("a byte is told twice");
		told.bytes[i->at + k] = b[k];
	}
}

/* What h2_send() does. */
static void sends(struct h2_work *w)
{
	uint32_t at = 0;

	h2_run_ends(w);
	if (w->pos > H2_ROOM)
		fail("a record is larger than its room");
	while (at + sizeof(struct tw_h2_item) <= w->pos) {
		const struct tw_h2_item *i = (const void *)(w->items + at);

		at += sizeof(*i) + ((i->len + 3u) & ~3u);
		if (at > w->pos)
			fail("an item goes beyond its record");
		take_item(i, (const uint8_t *)(i + 1));
	}
	w->r = (struct tw_h2_record){
		.type = TW_R_H2, .len = (uint16_t)w->pos, .flags = TW_H2_REQUESTS, .conn = 1, .t = 1
	};
	if (w->pos && http2__record(lib, &w->r, sizeof(w->r) + w->pos) == -EINVAL)
		fail("user space takes it for nonsense");
	w->pos = 0;
}

/* One segment. Returns how many of its bytes were walked over: all, or those before what is no frame. */
static uint32_t walks(struct h2_work *w, const uint8_t *b, uint32_t n)
{
	uint32_t done = 0, at, took;

	while (done < n) {
		uint32_t window = n - done < H2_WINDOW ? n - done : H2_WINDOW;

		if (h2_is_full(w))
			sends(w);
		memset(w->window, 0xee, sizeof(w->window));
		memcpy(w->window, b + done, window);
		for (at = 0; at < window; at += took) {
			took = h2_step(w, at, window);
			if (!took)
				return done + at;
			if (took > window - at)
				fail("more is taken than there is");
		}
		done += window;
		w->seq += window;
	}
	return done;
}

/* As h2_at_once() does. */
static int takes_at_once(struct h2_work *w, const uint8_t *b, uint32_t n)
{
	uint32_t pos = sizeof(struct tw_h2_item), asked = 0, ends = 0, kept;

	if (n > H2_WHOLE || w->half.state != H2_AT || w->half.flags || w->half.status != H2_TELL_NOTHING)
		return 0;
	memset(w->items, 0xee, sizeof(w->items));
	memcpy(w->items + pos, b, n);
	kept = h2_whole(w, pos, n, &asked, &ends);
	if (kept) {
		w->run = 0;
		h2_whole_is_sent(w, n, kept, ends);
	}
	return !!kept;
}

/* The same, from the whole stream. Where a joined one ends. */
static void expects(const uint8_t *b, uint32_t n, uint32_t end, int joined)
{
	uint32_t at = 0, ended = 0;

	while (at + 9 <= n && at + 9 <= end + 9) {
		const uint8_t *head = b + at;
		uint64_t len = h2_length(head), next = at + 9 + len;
		int sent = head[3] < H2_TYPES && H2_SENT >> head[3] & 1 && len <= TW_H2_FRAME_MAX;

		if (joined && !h2_may_follow(head)) {
			if (end < at || end > at + 9)
				fail("it is not given up where no frame begins");
			break;
		}
		for (uint64_t i = at; i < next && i < n; i++) {
			int wanted = i < at + 9u || sent;

			if (told.has[i] != wanted || (wanted && told.bytes[i] != b[i]))
				fail("a byte is told that is none of its business, or is not told");
		}
		if (head[3] == H2_DATA && head[4] & 1 && len && next <= n && told.ended[ended++] != next)
			fail("a last payload's end is not told");
		if (next > n)
			return;
		at = (uint32_t)next;
	}
	if (told.n_ended != ended)
		fail("ends are told that are none");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct h2_limits limits = {
		.memory = 1 << 20, .connections = 4, .streams = 16, .header_list = 4096, .long_lived = 1
	};
	const struct h2_sink sink = { nobody, nobody, nobody, NULL };
	static struct h2_work w;
	uint32_t lot, n, at, k, end = 0;
	int joined;

	if (size < 4 || size - 4 > STREAM)
		return 0;
	memcpy(&lot, data, sizeof(lot));
	joined = lot & 1;
	data += 4;
	n = (uint32_t)size - 4;
	memset(&told, 0, sizeof(told));
	memset(&w, 0, sizeof(w));
	w.half.state = H2_AT;
	w.half.status = joined ? H2_JOINED : H2_TELL_NOTHING;
	lib = http2__new(&limits, &sink);
	if (!lib)
		return 0;
	h2_item(&w, joined ? TW_H2_JOINED : TW_H2_BEGINS, 0);
	for (at = 0; at < n; at += k) {
		lot = lot * 1103515245 + 12345;
		k = lot >> 16 & 7 ? (lot >> 20) % 40 + 1 : (lot >> 20) % 3000 + 1;
		if (k > n - at)
			k = n - at;
		w.now = at + 1;
		w.seq = at;
		end = at + (!w.pos && takes_at_once(&w, data + at, k) ? k : walks(&w, data + at, k));
		sends(&w);
		if (end < at + k)
			break;
	}
	expects(data, end < n ? end + 9 < n ? end + 9 : n : n, end, joined);
	http2__free(lib);
	return 0;
}
