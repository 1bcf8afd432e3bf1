/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The open streams of one connection: found by their number, walked in the order in which they began. A stream that has
 * ended is forgotten.
 *
 * Invariant: nothing is allocated for a stream but the object itself, from a pool, and a table of pointers that grows
 * with the most that were open at once.
 */
#ifndef HTTP2_STREAMS_H
#define HTTP2_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http2/fields.h"
#include "http2/memory.h"

#define H2_STREAMS_INLINE 8

struct h2_stream {
	struct h2_stream *chain;         /* in the same bucket */
	struct h2_stream *before, *next; /* in the order of their beginning */
	uint32_t id;
	uint32_t place; /* behind its HEADERS, in the requests' direction */
	uint16_t status, version_begun;
	bool pushed, whole; /* whole: the request's END_STREAM was seen */
	bool begun;         /* the final answer's HEADERS were seen */
	bool sure;          /* they were, and they were no interim response */
	bool status_unknown, grpc_unknown;
	bool grpc, connect, events;
	bool type_unknown; /* whether the request's content-type is gRPC's is not known, and its name depends on that */
	bool maybe_call;   /* it is not known, and the answer has not told: its trailers may have the status */
	bool doubtful;     /* a part of its answer may have passed unseen */
	bool truncated;
	bool no_request; /* its header list is no request's, and all of it is known */
	int grpc_status;
	uint64_t hash;
	uint64_t t_start, t_whole, t_read, t_first, t_last;
	uint64_t messages[2];
	int64_t due, came; /* bytes of the answer's body: by its content-length, H2_LENGTH_NONE where it says nothing;
	                      in DATA */
	bool padded;       /* some of those in DATA are padding */
	uint16_t len;
	uint8_t method_len;
	char text[TW_PATH_MAX];
};

struct h2_streams {
	struct h2_memory *memory;
	struct h2_pool *pool;
	struct h2_stream **buckets; /* NULL: `few` */
	struct h2_stream *first, *last;
	struct h2_stream *unread; /* the first that had not been read; those behind it have not either */
	size_t n;
	uint32_t mask, seed;
	struct h2_stream *few[H2_STREAMS_INLINE];
};

void h2_streams__init(struct h2_streams *s, struct h2_memory *m, struct h2_pool *pool, uint32_t seed);

/* Gives all of them back, without a word. */
void h2_streams__free(struct h2_streams *s);

struct h2_stream *h2_streams__find(const struct h2_streams *s, uint32_t id);

/* A new one, which must not be there yet; zeroed but for its number. NULL: out of memory. */
struct h2_stream *h2_streams__add(struct h2_streams *s, uint32_t id);
void h2_streams__remove(struct h2_streams *s, struct h2_stream *stream);

/* All before `place` was read at t. */
void h2_streams__read(struct h2_streams *s, uint32_t place, uint64_t t);

#endif
