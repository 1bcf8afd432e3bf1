/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel programs do, for tests: bytes of both directions of a connection, in segments, become records as
 * include/tw_h2.h describes them. The records are kept, so that they can be fed, dropped or cut.
 */
#ifndef TW_TESTS_H2_WIRE_H
#define TW_TESTS_H2_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tw_abi.h"
#include "tw_h2.h"

enum { ANSWERS, REQUESTS };

struct wire_record {
	size_t len;
	union {
		struct tw_h2_record head;
		uint8_t bytes[sizeof(struct tw_h2_record) + TW_H2_ITEMS_MAX];
	};
};

struct wire_side {
	uint32_t place;
	bool begun;
	uint8_t head[TW_H2_HEAD], have, type;
	uint64_t since;      /* when the head's first byte came */
	uint32_t left, sent; /* of the payload: still to come; of it, given so far */
};

/* Where a frame began. */
struct wire_head {
	size_t record;
	int d;
	uint8_t type, flags;
	uint32_t stream;
};

struct wire {
	uint64_t conn, t, step; /* step: ns between segments */
	uint32_t tgid;
	uint16_t version;
	uint8_t flags;
	struct wire_side side[2];
	struct wire_record *records;
	size_t n, room;
	struct wire_record *open;                                  /* the record that is being written */
	void (*tap)(void *arg, int d, const uint8_t *p, size_t n); /* if it is there: every segment, as it is */
	void *tap_arg;
	struct wire_head *heads;
	size_t n_heads, heads_room;
};

static inline void wire_init(struct wire *w, uint64_t conn)
{
	*w = (struct wire){ .conn = conn, .t = 1000000, .step = 1000, .tgid = 77, .version = 3 };
	/* Places wrap around. */
	w->side[ANSWERS].place = 0xffffff00;
	w->side[REQUESTS].place = 0xfffffff0;
}

static inline void wire_free(struct wire *w)
{
	free(w->records);
	free(w->heads);
	*w = (struct wire){ .records = NULL };
}

static inline void wire_open(struct wire *w, int d)
{
	struct wire_record *r;

	if (w->n == w->room) {
		w->room = w->room ? w->room * 2 : 64;
		w->records = realloc(w->records, w->room * sizeof(*w->records));
		if (!w->records)
			abort();
	}
	r = &w->records[w->n++];
	memset(r, 0, sizeof(*r));
	r->head = (struct tw_h2_record){
		.type = TW_R_H2,
		.flags = w->flags | (d == REQUESTS ? TW_H2_REQUESTS : 0),
		.conn = w->conn,
		.t = w->t,
		.tgid = w->tgid,
		.version = w->version,
		.group = 5,
	};
	r->len = sizeof(r->head);
	w->open = r;
}

/* One item; a new record if the open one is full. */
static inline void wire_item(struct wire *w, int d, uint8_t what, uint8_t flags, uint32_t at, const void *bytes,
                             uint16_t len)
{
	struct tw_h2_item item = { .at = at, .len = len, .what = what, .flags = flags };
	size_t padded = ((size_t)len + 3) & ~(size_t)3;

	if (!w->open || w->open->head.len + sizeof(item) + padded > TW_H2_ITEMS_MAX)
		wire_open(w, d);
	memcpy(w->open->bytes + w->open->len, &item, sizeof(item));
	if (len)
		memcpy(w->open->bytes + w->open->len + sizeof(item), bytes, len);
	w->open->len += sizeof(item) + padded;
	w->open->head.len = w->open->len - sizeof(w->open->head);
}

/* A record of one item. */
static inline void wire_tell(struct wire *w, int d, uint8_t what, uint32_t at, const void *bytes, uint16_t len)
{
	w->open = NULL;
	w->t += w->step;
	wire_item(w, d, what, 0, at, bytes, len);
	w->open = NULL;
}

static inline bool wire_is_sent(const struct wire_side *s)
{
	switch (s->type) {
	case 1: /* HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, GOAWAY, CONTINUATION */
	case 3:
	case 4:
	case 5:
	case 7:
	case 9:
		return s->sent < TW_H2_FRAME_MAX - TW_H2_HEAD;
	default:
		return false;
	}
}

/* A frame's head is complete, in the segment whose first record is this one. */
static inline void wire_note(struct wire *w, int d, size_t record)
{
	const uint8_t *b = w->side[d].head;

	if (w->n_heads == w->heads_room) {
		w->heads_room = w->heads_room ? w->heads_room * 2 : 64;
		w->heads = realloc(w->heads, w->heads_room * sizeof(*w->heads));
		if (!w->heads)
			abort();
	}
	w->heads[w->n_heads++] = (struct wire_head){
		record, d, b[3], b[4], (uint32_t)(b[5] & 0x7f) << 24 | b[6] << 16 | b[7] << 8 | b[8],
	};
}

#define WIRE_PIECE 1000

/* Bytes that lie behind each other and wait to become an item. */
struct wire_piece {
	uint8_t b[WIRE_PIECE];
	size_t n;
	uint32_t at;
	bool at_head;
};

static inline void wire_flush(struct wire *w, int d, struct wire_piece *piece)
{
	if (piece->n)
		wire_item(w, d, TW_H2_BYTES, piece->at_head ? TW_H2_AT_HEAD : 0, piece->at, piece->b, piece->n);
	piece->n = 0;
}

static inline void wire_put(struct wire *w, int d, struct wire_piece *piece, uint32_t at, bool at_head,
                            const uint8_t *p, size_t n)
{
	if (piece->n + n > WIRE_PIECE)
		wire_flush(w, d, piece);
	if (!piece->n) {
		piece->at = at;
		piece->at_head = at_head;
	}
	memcpy(piece->b + piece->n, p, n);
	piece->n += n;
}

/* Up to n bytes of a frame's head, which is sent when it is complete; returns how many. */
static inline size_t wire_run_head(struct wire *w, int d, struct wire_piece *piece, const uint8_t *p, size_t n,
                                   size_t record)
{
	struct wire_side *s = &w->side[d];
	size_t k = TW_H2_HEAD - (size_t)s->have < n ? TW_H2_HEAD - (size_t)s->have : n;

	if (!s->have)
		s->since = w->t;
	memcpy(s->head + s->have, p, k);
	s->have += k;
	s->place += k;
	if (s->have < TW_H2_HEAD)
		return k;
	s->left = (uint32_t)s->head[0] << 16 | s->head[1] << 8 | s->head[2];
	s->type = s->head[3];
	s->sent = 0;
	wire_note(w, d, record);
	if (s->since != w->t) {
		wire_flush(w, d, piece);
		wire_item(w, d, TW_H2_SINCE, 0, s->place - TW_H2_HEAD, &s->since, sizeof(s->since));
	}
	wire_put(w, d, piece, s->place - TW_H2_HEAD, true, s->head, TW_H2_HEAD);
	if (!s->left)
		s->have = 0;
	return k;
}

/* The same of its payload. */
static inline size_t wire_run_payload(struct wire *w, int d, struct wire_piece *piece, const uint8_t *p, size_t n)
{
	struct wire_side *s = &w->side[d];
	bool sent = wire_is_sent(s);
	size_t k = s->left < n ? s->left : n;

	if (k > WIRE_PIECE)
		k = WIRE_PIECE;
	if (sent && k > TW_H2_FRAME_MAX - TW_H2_HEAD - s->sent)
		k = TW_H2_FRAME_MAX - TW_H2_HEAD - s->sent;
	if (sent)
		wire_put(w, d, piece, s->place, false, p, k);
	else
		wire_flush(w, d, piece);
	s->left -= k;
	s->sent += k;
	s->place += k;
	if (s->left)
		return k;
	s->have = 0;
	if (s->type == 0 && s->head[4] & 1) /* DATA, END_STREAM */
		wire_item(w, d, TW_H2_ENDED, 0, s->place, NULL, 0);
	return k;
}

/* One segment. Items hold up to 1000 bytes. */
static inline void wire_segment(struct wire *w, int d, const uint8_t *p, size_t n)
{
	struct wire_side *s = &w->side[d];
	struct wire_piece piece;
	size_t first = w->n, k;

	piece.n = 0;
	if (w->tap)
		w->tap(w->tap_arg, d, p, n);
	w->open = NULL;
	w->t += w->step;
	if (!s->begun)
		wire_item(w, d, TW_H2_BEGINS, 0, s->place, NULL, 0);
	s->begun = true;
	for (; n; p += k, n -= k) {
		if (s->have < TW_H2_HEAD)
			k = wire_run_head(w, d, &piece, p, n, first);
		else
			k = wire_run_payload(w, d, &piece, p, n);
	}
	wire_flush(w, d, &piece);
	w->open = NULL;
}

/*
 * The same connection found open when the records before `from` had passed: what of the others is to be seen, and where
 * frames are found first. Several records of one segment are one.
 */
static inline void wire_joined(const struct wire *w, size_t from, struct wire *to)
{
	bool found[2] = { false, false };

	wire_init(to, w->conn);
	for (size_t i = from; i < w->n; i++) {
		const struct wire_record *r = &w->records[i];
		int d = r->head.flags & TW_H2_REQUESTS ? REQUESTS : ANSWERS;
		size_t at = sizeof(r->head);

		to->t = r->head.t;
		to->flags = r->head.flags & ~TW_H2_REQUESTS;
		to->open = NULL;
		while (at < r->len) {
			struct tw_h2_item item;

			memcpy(&item, r->bytes + at, sizeof(item));
			at += sizeof(item);
			if (!found[d] && item.what == TW_H2_BYTES && item.flags & TW_H2_AT_HEAD) {
				wire_item(to, d, TW_H2_JOINED, 0, item.at, NULL, 0);
				found[d] = true;
			}
			if (found[d] ||
			    (item.what != TW_H2_BYTES && item.what != TW_H2_BEGINS && item.what != TW_H2_ENDED))
				wire_item(to, d, item.what, item.flags, item.at, r->bytes + at, item.len);
			at += (item.len + 3u) & ~3u;
		}
	}
}

#endif
