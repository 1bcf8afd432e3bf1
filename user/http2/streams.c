// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/streams.h"

#include <string.h>

void h2_streams__init(struct h2_streams *s, struct h2_memory *m, struct h2_pool *pool, uint32_t seed)
{
	*s = (struct h2_streams){ .memory = m, .pool = pool, .mask = H2_STREAMS_INLINE - 1, .seed = seed | 1 };
}

void h2_streams__free(struct h2_streams *s)
{
	while (s->first)
		h2_streams__remove(s, s->first);
	h2_memory__put(s->memory, s->buckets);
	s->buckets = NULL;
	s->mask = H2_STREAMS_INLINE - 1;
}

/* Whoever chooses the numbers does not know the seed. */
static struct h2_stream **bucket_of(const struct h2_streams *s, uint32_t id)
{
	struct h2_stream *const *all = s->buckets ? s->buckets : s->few;

	return (struct h2_stream **)&all[(id * s->seed) >> 16 & s->mask];
}

struct h2_stream *h2_streams__find(const struct h2_streams *s, uint32_t id)
{
	struct h2_stream *at = *bucket_of(s, id);

	while (at && at->id != id)
		at = at->chain;
	return at;
}

/* Twice the buckets. If there is no memory for them the chains get longer, which is slower and no more. */
static void grow(struct h2_streams *s)
{
	size_t n = ((size_t)s->mask + 1) * 2;
	struct h2_stream **buckets = n <= 1U << 16 ? h2_memory__get(s->memory, n * sizeof(*buckets)) : NULL;

	if (!buckets)
		return;
	memset(buckets, 0, n * sizeof(*buckets));
	h2_memory__put(s->memory, s->buckets);
	s->buckets = buckets;
	s->mask = n - 1;
	for (struct h2_stream *at = s->first; at; at = at->next) {
		struct h2_stream **bucket = bucket_of(s, at->id);

		at->chain = *bucket;
		*bucket = at;
	}
}

struct h2_stream *h2_streams__add(struct h2_streams *s, uint32_t id)
{
	struct h2_stream *stream = h2_pool__get(s->pool), **bucket;

	if (!stream)
		return NULL;
	if (s->n > s->mask)
		grow(s);
	bucket = bucket_of(s, id);
	stream->id = id;
	stream->chain = *bucket;
	*bucket = stream;
	stream->before = s->last;
	*(s->last ? &s->last->next : &s->first) = stream;
	s->last = stream;
	if (!s->unread)
		s->unread = stream;
	s->n++;
	return stream;
}

void h2_streams__remove(struct h2_streams *s, struct h2_stream *stream)
{
	struct h2_stream **link = bucket_of(s, stream->id);

	while (*link != stream)
		link = &(*link)->chain;
	*link = stream->chain;
	*(stream->before ? &stream->before->next : &s->first) = stream->next;
	*(stream->next ? &stream->next->before : &s->last) = stream->before;
	if (s->unread == stream)
		s->unread = stream->next;
	s->n--;
	h2_pool__put(s->pool, stream);
}

void h2_streams__read(struct h2_streams *s, uint32_t place, uint64_t t)
{
	struct h2_stream *at;

	for (; (at = s->unread); s->unread = at->next) {
		if (at->pushed || at->t_read)
			continue;
		if ((int32_t)(place - at->place) < 0)
			break;
		at->t_read = t;
	}
}
