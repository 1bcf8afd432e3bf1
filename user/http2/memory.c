// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* Unused objects that a pool keeps: those of a burst go back. */
#define POOL_KEEPS 256

static size_t cost_of(void *p)
{
	return malloc_usable_size(p) + sizeof(size_t);
}

static bool make_room(struct h2_memory *m)
{
	bool freed = false;

	for (struct h2_pool *p = m->pools; p; p = p->next)
		freed |= h2_pool__drain(p);
	return freed || (m->reclaim && m->reclaim(m->arg));
}

/* Accounts for p, which may turn out to be too much: then it is freed. */
static void *admit(struct h2_memory *m, void *p)
{
	size_t cost;

	if (!p) {
		m->refused++;
		return NULL;
	}
	cost = cost_of(p);
	while (cost > m->limit - m->used) {
		if (make_room(m))
			continue;
		m->refused++;
		free(p);
		return NULL;
	}
	m->used += cost;
	if (m->used > m->most)
		m->most = m->used;
	return p;
}

void *h2_memory__get(struct h2_memory *m, size_t size)
{
	/* No need to ask for what cannot be. */
	if (size > m->limit) {
		m->refused++;
		return NULL;
	}
	return admit(m, malloc(size));
}

void h2_memory__put(struct h2_memory *m, void *p)
{
	if (!p)
		return;
	m->used -= cost_of(p);
	free(p);
}

static void *hook_malloc(size_t size, void *arg)
{
	return h2_memory__get(arg, size);
}

static void hook_free(void *p, void *arg)
{
	h2_memory__put(arg, p);
}

static void *hook_calloc(size_t n, size_t size, void *arg)
{
	void *p;

	if (size && n > SIZE_MAX / size)
		return NULL;
	p = h2_memory__get(arg, n * size);
	if (p)
		memset(p, 0, n * size);
	return p;
}

static void *hook_realloc(void *p, size_t size, void *arg)
{
	void *q = h2_memory__get(arg, size);
	size_t had = p ? malloc_usable_size(p) : 0;

	if (!q)
		return NULL;
	if (p)
		memcpy(q, p, had < size ? had : size);
	h2_memory__put(arg, p);
	return q;
}

void h2_memory__init(struct h2_memory *m, size_t limit)
{
	*m = (struct h2_memory){ .limit = limit };
	m->hooks = (nghttp2_mem){ m, hook_malloc, hook_free, hook_calloc, hook_realloc };
}

void h2_pool__init(struct h2_pool *p, struct h2_memory *m, size_t size)
{
	*p = (struct h2_pool){ .memory = m, .next = m->pools, .size = size };
	m->pools = p;
}

void *h2_pool__get(struct h2_pool *p)
{
	void *object = p->unused;

	if (object) {
		memcpy(&p->unused, object, sizeof(void *));
		p->n_unused--;
	} else {
		object = h2_memory__get(p->memory, p->size);
	}
	if (object)
		memset(object, 0, p->size);
	return object;
}

void h2_pool__put(struct h2_pool *p, void *object)
{
	if (p->n_unused == POOL_KEEPS) {
		h2_memory__put(p->memory, object);
		return;
	}
	memcpy(object, &p->unused, sizeof(void *));
	p->unused = object;
	p->n_unused++;
}

bool h2_pool__drain(struct h2_pool *p)
{
	void *object;
	bool any = p->unused != NULL;

	while ((object = p->unused)) {
		memcpy(&p->unused, object, sizeof(void *));
		h2_memory__put(p->memory, object);
	}
	p->n_unused = 0;
	return any;
}
