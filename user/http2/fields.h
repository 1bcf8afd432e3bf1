/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A header list while it is being decoded: of all that comes by, the little that is kept.
 *
 * Invariant: what is said to be known is what the peer has sent. Where a field was unknown (see hpack.h), all that was
 * not seen may have been it.
 */
#ifndef HTTP2_FIELDS_H
#define HTTP2_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http2/hpack.h"
#include "tw_abi.h"

#define H2_METHOD_MAX 32

enum h2_type {
	H2_TYPE_NONE, /* no content-type was seen */
	H2_TYPE_OTHER,
	H2_TYPE_GRPC,
	H2_TYPE_EVENTS, /* text/event-stream */
};

enum { H2_LENGTH_NONE = -1, H2_LENGTH_DIFFERS = -2 };

struct h2_fields {
	size_t limit; /* bytes of names and values that are looked at */
	size_t size;
	size_t n;          /* fields */
	bool too_large;    /* there were more: not looked at */
	bool unknown;      /* one or more are unknown, or were not looked at */
	bool broken;       /* a part of the block could not be read */
	bool pseudo;       /* a pseudo-header field was seen */
	bool method, path; /* they were seen, and are below */
	bool connect, protocol;
	bool truncated; /* of method or path */
	uint8_t method_len, path_len;
	uint16_t status; /* see TW_STATUS_LOW; 0: none that makes sense */
	enum h2_type type;
	int grpc_status;
	int64_t length; /* content-length; H2_LENGTH_NONE: none that makes sense; H2_LENGTH_DIFFERS: two that differ */
	char method_text[H2_METHOD_MAX];
	char path_text[TW_PATH_MAX];
};

void h2_fields__begin(struct h2_fields *f, size_t limit);

/* One field; arg: struct h2_fields. */
void h2_fields__add(void *arg, const struct h2_nv *nv);

/*
 * "METHOD /path" into `to`, of TW_PATH_MAX bytes. The length; 0: it is not known. *truncated: it is longer than that.
 */
size_t h2_fields__text(const struct h2_fields *f, char *to, bool *truncated);

#endif
