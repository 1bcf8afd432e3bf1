/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * JSON objects by tables: each field with its name, its reader and where its value goes.
 *
 * Invariant: an object that was read had each field once, none that is not in the table, and each that is not optional.
 */
#ifndef TW_TICKLOG_FIELDS_H
#define TW_TICKLOG_FIELDS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ticklog/plain.h"

struct log_decoder;

/* Where in a line the reader is, and where its message goes. */
struct reading {
	struct log_decoder *d;
	struct err *e;
	const char *in[4]; /* "tick", "canary", ... */
	unsigned int depth;
	size_t endpoint; /* the one whose counts are read */
	bool has_endpoint;
};

struct field {
	const char *key;
	/* Returns 0 or a negative errno with the message set by field_error(). */
	int (*read)(struct reading *r, const struct field *f, const cJSON *v);
	void *to;
	bool optional; /* if it is not there, *to keeps what it has */
};

#define FIELDS_MAX 24

/* what: the name of the object in messages. */
int fields_read(struct reading *r, const char *what, const cJSON *object, const struct field *fields, size_t n);
/* "canary of endpoint 3: "bad" is not a count"; returns -EBADMSG. */
int field_error(struct reading *r, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int field_nomem(struct reading *r);

/* Readers; the type of *to is in the comment. */
int field_count(struct reading *r, const struct field *f, const cJSON *v);     /* uint64_t */
int field_number(struct reading *r, const struct field *f, const cJSON *v);    /* double, finite */
int field_announced(struct reading *r, const struct field *f, const cJSON *v); /* double, above 0; null: 0 */
int field_share(struct reading *r, const struct field *f, const cJSON *v);     /* double, from 0 to 1 */
int field_small(struct reading *r, const struct field *f, const cJSON *v);     /* unsigned int */
int field_bool(struct reading *r, const struct field *f, const cJSON *v);      /* bool */
int field_text(struct reading *r, const struct field *f, const cJSON *v);      /* const char *, in the JSON tree */

int field_text_or_null(struct reading *r, const struct field *f, const cJSON *v);

/* Appends readers of p's fields, which go to the struct at base, to n fields of a table; returns how many it has then.
 */
size_t fields_plain(struct field *fields, size_t n, const struct plain_fields *p, void *base);

/* The place of v's text in a list of words, or -EBADMSG with the message set. */
int field_word(struct reading *r, const struct field *f, const cJSON *v, const char *const *words, size_t n);
/* [[index, count], ...], indices rising and below n, counts not 0. The rest of to[n] becomes 0. */
int field_sparse(struct reading *r, const struct field *f, const cJSON *v, uint64_t *to, size_t n);

#endif
