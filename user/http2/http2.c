// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/http2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http2/exchange.h"
#include "http2/table.h"

struct http2 {
	struct h2_engine engine;
	struct h2_table table;
};

static bool reclaim(void *arg)
{
	struct http2 *h = arg;

	return h2_table__shed(&h->table);
}

struct http2 *http2__new(const struct h2_limits *limits, const struct h2_sink *sink)
{
	struct http2 *h = calloc(1, sizeof(*h));
	struct h2_engine *e;

	if (!h)
		return NULL;
	e = &h->engine;
	e->limits = *limits;
	e->sink = *sink;
	e->timeout = UINT64_MAX;
	/* Where the object lies is not known to those who choose the streams' numbers. */
	e->seed = (uint32_t)((uintptr_t)h >> 4) * 0x9e3779b1U;
	h2_memory__init(&e->memory, limits->memory);
	h2_pool__init(&e->streams, &e->memory, sizeof(struct h2_stream));
	h2_pool__init(&e->lists, &e->memory, sizeof(struct h2_fields));
	if (h2_table__init(&h->table, e)) {
		free(h);
		return NULL;
	}
	e->memory.reclaim = reclaim;
	e->memory.arg = h;
	return h;
}

void http2__free(struct http2 *h)
{
	if (!h)
		return;
	h2_table__free(&h->table);
	h2_pool__drain(&h->engine.streams);
	h2_pool__drain(&h->engine.lists);
	free(h);
}

/* Items lie one behind the other, each padded to four bytes. */
struct items {
	const uint8_t *at, *end;
};

/* The next one. 0: there is none; -EINVAL: what is there is none. */
static int next_item(struct items *all, struct tw_h2_item *item, const uint8_t **bytes)
{
	size_t left = all->end - all->at, padded;

	if (!left)
		return 0;
	if (left < sizeof(*item))
		return -EINVAL;
	memcpy(item, all->at, sizeof(*item));
	padded = ((size_t)item->len + 3) & ~(size_t)3;
	if (padded > left - sizeof(*item))
		return -EINVAL;
	*bytes = all->at + sizeof(*item);
	all->at = *bytes + padded;
	return 1;
}

static bool is_opening(struct items all)
{
	struct tw_h2_item item;
	const uint8_t *bytes;

	while (next_item(&all, &item, &bytes) > 0)
		if (h2_conn__is_opening(&item))
			return true;
	return false;
}

/* The connection that a record is of. NULL: *err says why there is none. */
static struct h2_conn *conn_of(struct http2 *h, const struct tw_h2_record *r, struct items all, int *err)
{
	struct h2_conn *c = h2_table__find(&h->table, r->conn);

	*err = 0;
	if (c) {
		if (r->flags & TW_H2_GAP)
			h2_conn__gap(c);
		h2_table__touch(&h->table, c);
		return c;
	}
	/* The rest of one that was forgotten, until a frame begins again. */
	if (!is_opening(all))
		return NULL;
	c = h2_table__add(&h->table, r->conn);
	if (!c) {
		h->engine.counts.shed_connections++;
		*err = -ENOMEM;
	}
	return c;
}

static int take_items(struct http2 *h, struct h2_conn *c, const struct tw_h2_record *r, struct items all)
{
	int d = r->flags & TW_H2_REQUESTS ? H2_REQUESTS : H2_ANSWERS, err;
	struct tw_h2_item item;
	const uint8_t *bytes;

	h2_conn__who(c, r);
	h->table.busy = c;
	while ((err = next_item(&all, &item, &bytes)) > 0) {
		err = h2_conn__item(c, d, &item, bytes, r->t);
		if (err)
			break;
	}
	if (err)
		h2_conn__gap(c); /* who knows what else it said */
	c->t_seen = r->t;
	h->table.busy = NULL;
	if (c->gone)
		h2_table__remove(&h->table, c);
	return err;
}

int http2__record(struct http2 *h, const void *record, size_t len)
{
	struct h2_counts *counts = &h->engine.counts;
	uint64_t shed = counts->shed_connections + counts->shed_streams + h->engine.memory.refused;
	const uint8_t *p = record;
	struct tw_h2_record r;
	struct h2_conn *c;
	int err;

	if (len < sizeof(r)) {
		counts->bad_records++;
		return -EINVAL;
	}
	memcpy(&r, p, sizeof(r));
	if (r.type != TW_R_H2 || r.len > TW_H2_ITEMS_MAX || r.len > len - sizeof(r)) {
		counts->bad_records++;
		return -EINVAL;
	}
	if (r.t > h->engine.now)
		h->engine.now = r.t;
	p += sizeof(r);
	c = conn_of(h, &r, (struct items){ p, p + r.len }, &err);
	if (!c)
		return err;
	if (take_items(h, c, &r, (struct items){ p, p + r.len })) {
		counts->bad_records++;
		return -EINVAL;
	}
	return shed == counts->shed_connections + counts->shed_streams + h->engine.memory.refused ? 0 : -ENOMEM;
}

void http2__timeout(struct http2 *h, uint64_t timeout)
{
	h->engine.timeout = timeout;
}

void http2__counts(const struct http2 *h, struct h2_counts *to)
{
	*to = h->engine.counts;
	to->memory = h->engine.memory.used;
	to->memory_max = h->engine.memory.most;
}

bool http2__follows(const struct http2 *h, uint64_t conn)
{
	return h2_table__find(&h->table, conn);
}

void http2__forget(struct http2 *h, uint64_t before)
{
	struct h2_conn *newer;

	for (struct h2_conn *c = h->table.oldest; c && c->t_seen < before; c = newer) {
		newer = c->newer;
		if (c->over)
			h2_table__remove(&h->table, c);
	}
}

void http2__each_open(struct http2 *h, void (*fn)(void *arg, const struct h2_exchange *e), void *arg)
{
	for (struct h2_conn *c = h->table.oldest; c; c = c->newer) {
		for (struct h2_stream *s = c->streams.first; s; s = s->next) {
			struct h2_exchange e;

			h2_exchange__open(c, s, &e);
			fn(arg, &e);
		}
	}
}
