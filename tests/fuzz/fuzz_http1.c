// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The HTTP/1 recogniser on any bytes, read once as requests and once as responses. It must hold that
 *  - where the fast engine is certain, the careful one reads the same head, whatever stale bytes lie in the window;
 *  - where the chunk walker stops, the careful engine stands before a chunk size;
 *  - a stream is read alike however it is cut into segments;
 *  - the route hash of a path is what route_key says of it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "capture/route_key.h"
#include "http1_both.h"

#define SEED 0x5eed

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	http1_table_build();
	return 0;
}

/* Choices are made by the input itself, so that it can be replayed. */
static uint64_t rng_state;

static void rng_start(const uint8_t *data, size_t size)
{
	rng_state = size;
	for (size_t i = 0; i < size; i++)
		rng_state = (rng_state ^ data[i]) * 0x100000001b3ULL;
}

static size_t below(size_t n)
{
	rng_state = rng_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rng_state >> 33) % n;
}

static void fail(const char *what, bool requests, const char *difference)
{
	fprintf(stderr, "%s, read as %s: %s\n", what, requests ? "requests" : "responses", difference);
	abort();
}

/* n of the window's bytes came now; those behind are what was there before. */
static void engines_agree(const char *what, bool requests, const uint8_t *window, size_t n)
{
	bool certain;
	const char *difference = heads_differ(requests, window, (uint32_t)n, SEED, &certain);

	if (difference)
		fail(what, requests, difference);
}

static void fill_stale(uint8_t *bytes, size_t n)
{
	static const char likely[] = "\r\n\r\n/ HTTP/1.1\r\ncontent-length: 5\r\n\r\n0\n\n";
	size_t kind = below(3), at = below(sizeof(likely));

	for (size_t i = 0; i < n; i++)
		bytes[i] = kind == 0 ? (uint8_t)below(256)
		                     : (uint8_t)likely[kind == 1 ? (at + i) % sizeof(likely) : below(4)];
}

static void try_head(bool requests, const uint8_t *data, size_t size)
{
	uint8_t window[H1_WINDOW + H1_SPARE];
	size_t have = least(size, sizeof(window));

	memcpy(window, data, have);
	fill_stale(window + have, sizeof(window) - have);
	engines_agree("a head", requests, window, least(size, H1_WINDOW));
	/* Cut short: the rest lies there still, as if a longer head had been in the window before. */
	for (int i = 0; i < 4; i++)
		engines_agree("a head cut short", requests, window, below(least(size, H1_WINDOW) + 1));
}

/* Makes room at one place, so that what follows comes to lie about the window's end. */
static void try_stretched(bool requests, const uint8_t *data, size_t size)
{
	uint8_t window[2 * H1_WINDOW] = { 0 };
	size_t at, fill, n = H1_WINDOW + 12 - below(24);
	const uint8_t *place;

	if (!size || size >= n)
		return;
	place = memchr(data, "\n?: "[below(4)], size);
	at = place ? (size_t)(place - data) + 1 : below(size + 1);
	fill = n - size;
	memcpy(window, data, at);
	memset(window + at, "ab1\n"[below(4)], fill);
	memcpy(window + at + fill, data + at, size - at);
	fill_stale(window + n, sizeof(window) - n);
	engines_agree("a head at the window's end", requests, window, least(n, H1_WINDOW));
	engines_agree("a head cut short at the window's end", requests, window, least(n, H1_WINDOW) - below(12));
}

/* Chunked data from its first size on, or behind the end of a chunk; the rest lies there still, see try_head. */
static void try_chunks(bool requests, const uint8_t *data, size_t size)
{
	uint8_t window[H1_WINDOW + H1_SPARE];
	size_t before = below(2) ? 2 : 0, have = least(size, sizeof(window) - before);
	struct follower f;
	uint32_t walked;

	memcpy(window, "\r\n", before);
	memcpy(window + before, data, have);
	fill_stale(window + before + have, sizeof(window) - before - have);
	size = least(size + before, H1_WINDOW);
	size -= below(2) ? below(size + 1) : 0;
	walked = h1_walk_chunks(window, size, before > 0, 0);
	follower__init(&f, requests, NULL, 0, SEED);
	f.n = 1;
	f.h1.state = before && walked ? H1_CHUNK_END : H1_CHUNK;
	follower__feed(&f, window, walked);
	if (walked > size || f.fate != IN_STEP || f.h1.state != H1_CHUNK || f.m[0].end)
		fail("chunks walked", requests, "not before a chunk");
}

/* The route of every whole text without a parameter's brace. */
static void try_keys(const struct follower *f)
{
	for (size_t i = 0; i < least(f->n, MESSAGES_MAX); i++) {
		const struct message *m = &f->m[i];
		char text[TW_PATH_MAX + 1], *path;
		uint64_t hash;

		memcpy(text, m->text, m->text_len);
		text[m->text_len] = 0;
		path = strchr(text, ' ');
		if (m->truncated || !path || path[1] != '/' || strchr(path, '{'))
			continue;
		*path++ = 0;
		if (route_key(SEED, text, path, &hash) || hash != m->route)
			fail(path, true, "not the hash of route_key");
	}
}

static void try_stream(bool requests, const uint8_t *data, size_t size)
{
	static struct follower whole, cut, bytes;
	uint8_t asked[4], n;
	const char *difference;

	for (size_t i = 0; i < sizeof(asked); i++)
		asked[i] = (uint8_t[]){ 0, 0, H1_F_HEAD, H1_F_CONNECT }[below(4)];
	follower__init(&whole, requests, asked, sizeof(asked), SEED);
	follower__init(&cut, requests, asked, sizeof(asked), SEED);
	follower__init(&bytes, requests, asked, sizeof(asked), SEED);
	follower__feed(&whole, data, size);
	for (size_t at = 0; at < size; at += n) {
		n = (uint8_t)least(size - at, 1 + below(200));
		follower__feed(&cut, data + at, n);
	}
	for (size_t at = 0; at < size; at++) {
		n = data[at]; /* alone: what reads beside it is found out */
		follower__feed(&bytes, &n, 1);
	}
	difference = followers_differ(&whole, &cut);
	if (difference)
		fail("a stream in pieces", requests, difference);
	difference = followers_differ(&whole, &bytes);
	if (difference)
		fail("a stream in bytes", requests, difference);
	if (requests)
		try_keys(&whole);
	for (size_t i = 0; i < least(whole.n, 8); i++) {
		const struct message *m = &whole.m[i];

		if (m->flags & H1_F_CHUNKED)
			try_chunks(requests, data + m->head_end, size - m->head_end);
		if (i) /* the first has been tried */
			try_head(requests, data + m->start, size - m->start);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rng_start(data, size);
	for (int requests = 0; requests < 2; requests++) {
		try_head(requests, data, size);
		try_stretched(requests, data, size);
		try_chunks(requests, data, size);
		try_stream(requests, data, size);
	}
	return 0;
}
