/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All connections, by their names.
 *
 * Invariant: there are never more than the limit; the one that was heard of least recently has to go for a new one, or
 * for memory, which is counted unless it was over.
 */
#ifndef HTTP2_TABLE_H
#define HTTP2_TABLE_H

#include "http2/conn.h"

struct h2_table {
	struct h2_engine *engine;
	struct h2_conn **buckets;
	size_t mask, n;
	struct h2_conn *newest, *oldest; /* by their latest record */
	struct h2_conn *busy;            /* its record is being read: it stays */
};

/* 0, or -ENOMEM. */
int h2_table__init(struct h2_table *t, struct h2_engine *e);
void h2_table__free(struct h2_table *t);

struct h2_conn *h2_table__find(const struct h2_table *t, uint64_t name);

/* A new one. NULL: there is no memory for it. */
struct h2_conn *h2_table__add(struct h2_table *t, uint64_t name);
void h2_table__remove(struct h2_table *t, struct h2_conn *c);

/* It has been heard of. */
void h2_table__touch(struct h2_table *t, struct h2_conn *c);

/* Forgets the one that was heard of least recently, with its streams. False: there is none but the busy one. */
bool h2_table__shed(struct h2_table *t);

#endif
