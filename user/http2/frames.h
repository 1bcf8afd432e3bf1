/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One direction's bytes, as they come in records, to frames (RFC 9113, 4 and 6): heads and what of the payload matters,
 * at whatever byte they are cut. Header blocks are handed on as they come: nothing is collected.
 *
 * Invariants:
 *  - nothing is taken from places where bytes are missing;
 *  - a frame that breaks the rules of its type is counted in `malformed` and skipped; of one that carries a header
 * block the block is handed on nevertheless, as far as there is one, for the sake of the table.
 */
#ifndef HTTP2_FRAMES_H
#define HTTP2_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tw_h2.h"

enum h2_event {
	H2_EV_DATA,     /* stream, length, padded, end_stream: its head, the payload is still to come */
	H2_EV_HEADERS,  /* stream, end_stream: a header block begins */
	H2_EV_PROMISE,  /* stream, value: the stream promised; a header block begins */
	H2_EV_BLOCK,    /* bytes, n: more of the block; last: all of it; cut: but bytes before these are missing */
	H2_EV_ABORTED,  /* the block goes no further: it was interrupted, or its padding was nonsense */
	H2_EV_RESET,    /* stream, value: the error code */
	H2_EV_SETTING,  /* id, value */
	H2_EV_SETTINGS, /* the frame's end; ack */
	H2_EV_GOAWAY,   /* stream: the last one that was or may be processed; value: the error code */
	H2_EV_WINDOW,   /* stream */
};

struct h2_frame {
	enum h2_event event;
	uint32_t stream, value, length;
	uint16_t id;
	bool end_stream, padded, ack, last, cut;
	const uint8_t *bytes;
	size_t n;
	uint64_t t; /* when the first byte of the frame was seen */
};

struct h2_frames {
	uint32_t place;    /* in the stream: of the next byte */
	uint32_t left;     /* bytes of the frame's payload that are still to come */
	uint32_t fragment; /* of these, bytes of the header block */
	uint32_t length, stream;
	uint32_t block_stream;
	uint64_t t;
	uint64_t since;                 /* of the next head: when its first byte came; 0: with the others */
	uint8_t head[TW_H2_HEAD], have; /* of the head */
	uint8_t type, flags;
	uint8_t step;
	uint8_t small[12], n_small, need; /* the payload's beginning, as far as it is needed */
	bool in_block;                    /* END_HEADERS is still to come */
	bool joined;                      /* CONTINUATIONs of a block that began earlier may follow */
	bool cut;                         /* bytes of this frame's block are missing */
	uint64_t *malformed;
};

enum h2_place {
	H2_PLACE_NEXT, /* it goes on there */
	H2_PLACE_GAP,  /* bytes are missing that should have come */
	H2_PLACE_BAD,  /* not a place, or not the beginning of a frame, that can be next */
};

/* A frame begins at `place`; joined: nothing is known of what was before it. `malformed` stays what it is. */
void h2_frames__begin(struct h2_frames *f, uint32_t place, bool joined);

/* Bytes are there from `place` on; at_head: the first of them begins a frame. */
enum h2_place h2_frames__at(struct h2_frames *f, uint32_t place, bool at_head);

/*
 * Takes bytes from *p, of which there are *n, seen at t, up to the next thing to tell. False: there are none left, and
 * nothing is in `out`.
 */
bool h2_frames__next(struct h2_frames *f, const uint8_t **p, size_t *n, uint64_t t, struct h2_frame *out);

#endif
