/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory that is counted and bounded: everything that connections hold comes from here, the inflaters of libnghttp2
 * included.
 *
 * Invariants:
 *  - `used` never exceeds `limit`;
 *  - before a request is refused, what nobody needs is freed: first unused objects of pools, then whatever `reclaim`
 *    gives up.
 */
#ifndef HTTP2_MEMORY_H
#define HTTP2_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nghttp2/nghttp2.h>

struct h2_pool;

struct h2_memory {
	size_t used, most, limit;   /* bytes, with what malloc() adds; most: the highest `used` so far */
	uint64_t refused;           /* requests */
	bool (*reclaim)(void *arg); /* frees something; false: there is nothing left to free */
	void *arg;
	struct h2_pool *pools;
	nghttp2_mem hooks; /* the same for libnghttp2 */
};

/* Objects of one size, kept for reuse: in the steady state nothing is allocated. */
struct h2_pool {
	struct h2_memory *memory;
	struct h2_pool *next;
	size_t size;
	void *unused;
	unsigned int n_unused;
};

void h2_memory__init(struct h2_memory *m, size_t limit);

/* Uninitialised. NULL: beyond the limit, or there is none. */
void *h2_memory__get(struct h2_memory *m, size_t size);
void h2_memory__put(struct h2_memory *m, void *p);

/* size: at least that of a pointer. */
void h2_pool__init(struct h2_pool *p, struct h2_memory *m, size_t size);
void *h2_pool__get(struct h2_pool *p); /* zeroed, or NULL */
void h2_pool__put(struct h2_pool *p, void *object);
bool h2_pool__drain(struct h2_pool *p); /* frees the unused ones; false: there were none */

#endif
