/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One connection: what the frames of both directions mean for its streams.
 *
 * Invariants:
 *  - a stream ends once, and is forgotten then: what comes for it later is ignored;
 *  - when frames of a direction were missed, every open stream has ended as unobserved; so has one that begins while
 *    the answers' frames are not known;
 *  - only what was there to see from the connection's beginning is accused of being malformed for want of something.
 */
#ifndef HTTP2_CONN_H
#define HTTP2_CONN_H

#include "http2/engine.h"
#include "http2/fields.h"
#include "http2/frames.h"
#include "http2/hpack.h"
#include "http2/settings.h"
#include "http2/streams.h"

enum h2_step {
	H2_NOT_SEEN, /* nothing of this direction was seen yet */
	H2_IN_STEP,  /* where frames begin is known */
	H2_LOST,     /* it is not */
};

/* Which direction: index of h2_conn.side, and of h2_exchange.messages. */
enum { H2_ANSWERS, H2_REQUESTS };

struct h2_side {
	struct h2_frames frames;
	struct h2_hpack hpack;
	struct h2_fields *list;   /* the header list that is being decoded, or NULL */
	struct h2_settings asked; /* of this side's encoder, by the other side; this side acknowledges */
	enum h2_step step;
	bool whole;      /* it was seen from its beginning on */
	bool counted;    /* as desynchronised */
	uint64_t since;  /* of the frame that the next bytes begin with: when its first byte came; 0: with them */
	uint32_t ending; /* stream of the DATA frame with END_STREAM whose payload passes; 0: none does */
	/* Of the block that is being read: */
	bool promise, end_stream;
	uint32_t block_stream, promised;
	uint64_t t_block; /* its first byte */
	/* Of the streams that this side opens: */
	uint32_t last_id;
	bool going_away; /* the other side will not look at those above away_id */
	uint32_t away_id, away_error;
};

struct h2_conn {
	struct h2_conn *chain; /* see table.h */
	struct h2_conn *newer, *older;
	struct h2_engine *engine;
	uint64_t name;
	uint32_t tgid;
	uint16_t version;
	uint8_t group;
	bool client, tls, upgraded;
	bool begun;  /* it was seen from its first frame on, in one direction at least */
	bool joined; /* it was found open */
	bool closed; /* once, by one of the sides: how is `closing` */
	bool over;   /* no answer can come any more: all ends at once, and what begins later too */
	bool gone;
	enum tw_outcome closing;
	uint64_t t_closed;
	uint64_t t_seen; /* the time of its last record before this one */
	bool is_read;
	uint32_t read_place; /* of the requests: all before it was read at t_read */
	uint64_t t_read;
	struct h2_side side[2];
	struct h2_streams streams;
	uint64_t seen[TW_MAX_ENDPOINTS / 64]; /* the caller's, see h2_exchange */
};

void h2_conn__init(struct h2_conn *c, struct h2_engine *e, uint64_t name);

/* Ends what is open as unobserved. */
void h2_conn__free(struct h2_conn *c);

/* Who reads, and the like, as the connection's latest record has it. */
void h2_conn__who(struct h2_conn *c, const struct tw_h2_record *r);

/* Records of it were lost before this one. */
void h2_conn__gap(struct h2_conn *c);

/* One item of a record of the direction `d`, with the bytes behind it. 0, or -EINVAL: there is no such item. */
int h2_conn__item(struct h2_conn *c, int d, const struct tw_h2_item *item, const uint8_t *bytes, uint64_t t);

/* Would the item make a connection known that is not? */
bool h2_conn__is_opening(const struct tw_h2_item *item);

#endif
