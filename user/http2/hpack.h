/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The header decoder of one direction of a connection (RFC 7541). libnghttp2's inflater does the decoding; what is
 * added is a table that is not known.
 *
 * A dynamic table is addressed from its newest entry on, and the encoder only refers to what is in it: the newest
 * entries, as many as there is room for. So an observer who comes late needs nothing of the past to get the entries
 * that were inserted since right: they sit at the same places in every table that holds them. What lies behind them is
 * older. Our table is therefore filled with placeholders, entries without a name, of the smallest size there can be
 * (RFC 7541, 4.1), so that no table of this size holds more of them: a reference to an older entry finds a placeholder,
 * and is unknown. It cannot find another entry, whatever the sizes of the tables: a table that is larger than ours
 * only has references that end behind our table (an error, which the larger table is then tried for), one that is
 * smaller has none to what it has dropped. The same holds for entries that the encoder's table was too small for.
 *
 * Invariants:
 *  - of a table that is not known, a field is told with its true name and value, or as unknown;
 *  - after an error the table is not known, and the rest of the block is not read;
 *  - work is bounded by the bytes of the block, and H2_PLACEHOLDERS of each new table.
 */
#ifndef HTTP2_HPACK_H
#define HTTP2_HPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http2/memory.h"

#define H2_TABLE_SIZE 4096        /* RFC 9113, 6.5.2: where no other was agreed on */
#define H2_TABLE_MAX  (64 * 1024) /* a larger one is not followed */

enum h2_hpack_state {
	H2_HPACK_KNOWN,
	H2_HPACK_UNKNOWN,  /* of H2_TABLE_SIZE, as far as can be told */
	H2_HPACK_WIDE,     /* unknown, of H2_TABLE_MAX */
	H2_HPACK_GIVEN_UP, /* and of more than that: nothing is decoded */
};

struct h2_hpack {
	struct h2_memory *memory;
	nghttp2_hd_inflater *inflater; /* NULL: none has been needed yet */
	enum h2_hpack_state state;
	bool free;  /* what the decoder at the other end allows is not known: the encoder may do as it likes */
	bool skips; /* the rest of this block */
};

struct h2_nv {
	const uint8_t *name, *value;
	size_t name_len, value_len;
	bool known;
};

typedef void (*h2_nv_fn)(void *arg, const struct h2_nv *nv);

/* known: the direction's first block is yet to come. */
void h2_hpack__init(struct h2_hpack *h, struct h2_memory *m, bool known);
void h2_hpack__free(struct h2_hpack *h);

/* A part of a block, or a whole one, was not seen; more: the rest of it is yet to come, and is not to be read. */
void h2_hpack__lose(struct h2_hpack *h, bool more);

/* What the other end allows is not known any more, or does not matter. */
void h2_hpack__set_free(struct h2_hpack *h);

/* Between two blocks: the other end's SETTINGS_HEADER_TABLE_SIZE is acknowledged. 0, or -ENOMEM: the table is lost. */
int h2_hpack__allow(struct h2_hpack *h, uint32_t size);

/*
 * `len` more bytes of a block, which ends with them if `last`; fn is called for each field.
 * 0; -EBADMSG: no correct encoder writes that, or not with a table of this size: it is unknown from here on;
 * -ENODATA: a part of this block is not read, because of an earlier error or because this decoder has given up;
 * -ENOMEM.
 */
int h2_hpack__feed(struct h2_hpack *h, const uint8_t *p, size_t len, bool last, h2_nv_fn fn, void *arg);

#endif
