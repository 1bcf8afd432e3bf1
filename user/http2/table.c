// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/table.h"

#include <errno.h>
#include <string.h>

#define BUCKETS_FIRST 64
#define BUCKETS_MAX   (1U << 20)

int h2_table__init(struct h2_table *t, struct h2_engine *e)
{
	*t = (struct h2_table){ .engine = e, .mask = BUCKETS_FIRST - 1 };
	t->buckets = h2_memory__get(&e->memory, BUCKETS_FIRST * sizeof(*t->buckets));
	if (!t->buckets)
		return -ENOMEM;
	memset(t->buckets, 0, BUCKETS_FIRST * sizeof(*t->buckets));
	return 0;
}

static struct h2_conn **bucket_of(const struct h2_table *t, uint64_t name)
{
	return &t->buckets[(name * 0x9e3779b97f4a7c15ULL) >> 32 & t->mask];
}

struct h2_conn *h2_table__find(const struct h2_table *t, uint64_t name)
{
	struct h2_conn *c = *bucket_of(t, name);

	while (c && c->name != name)
		c = c->chain;
	return c;
}

static void unlink_conn(struct h2_table *t, struct h2_conn *c)
{
	*(c->newer ? &c->newer->older : &t->newest) = c->older;
	*(c->older ? &c->older->newer : &t->oldest) = c->newer;
}

static void link_newest(struct h2_table *t, struct h2_conn *c)
{
	c->newer = NULL;
	c->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = c;
	t->newest = c;
}

void h2_table__touch(struct h2_table *t, struct h2_conn *c)
{
	if (t->newest == c)
		return;
	unlink_conn(t, c);
	link_newest(t, c);
}

void h2_table__remove(struct h2_table *t, struct h2_conn *c)
{
	struct h2_conn **link = bucket_of(t, c->name);

	while (*link != c)
		link = &(*link)->chain;
	*link = c->chain;
	unlink_conn(t, c);
	t->n--;
	if (t->busy == c)
		t->busy = NULL;
	h2_conn__free(c);
	h2_memory__put(&t->engine->memory, c);
}

bool h2_table__shed(struct h2_table *t)
{
	struct h2_conn *c = t->oldest;

	if (c && c == t->busy)
		c = c->newer;
	if (!c)
		return false;
	t->engine->counts.shed_connections += !c->over;
	h2_table__remove(t, c);
	return true;
}

/* Twice the buckets; without memory for them the chains get longer. */
static void grow(struct h2_table *t)
{
	size_t n = (t->mask + 1) * 2;
	struct h2_conn **buckets = n <= BUCKETS_MAX ? h2_memory__get(&t->engine->memory, n * sizeof(*buckets)) : NULL;

	if (!buckets)
		return;
	memset(buckets, 0, n * sizeof(*buckets));
	h2_memory__put(&t->engine->memory, t->buckets);
	t->buckets = buckets;
	t->mask = n - 1;
	for (struct h2_conn *c = t->oldest; c; c = c->newer) {
		struct h2_conn **bucket = bucket_of(t, c->name);

		c->chain = *bucket;
		*bucket = c;
	}
}

struct h2_conn *h2_table__add(struct h2_table *t, uint64_t name)
{
	struct h2_conn *c, **bucket;

	if (t->n >= t->engine->limits.connections && !h2_table__shed(t))
		return NULL;
	c = h2_memory__get(&t->engine->memory, sizeof(*c));
	if (!c)
		return NULL;
	if (t->n > t->mask)
		grow(t);
	h2_conn__init(c, t->engine, name);
	bucket = bucket_of(t, name);
	c->chain = *bucket;
	*bucket = c;
	link_newest(t, c);
	t->n++;
	t->engine->counts.connections++;
	return c;
}

void h2_table__free(struct h2_table *t)
{
	while (t->oldest)
		h2_table__remove(t, t->oldest);
	h2_memory__put(&t->engine->memory, t->buckets);
}
