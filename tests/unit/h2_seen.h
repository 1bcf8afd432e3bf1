/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The library under test, with what it has told. */
#ifndef TW_TESTS_H2_SEEN_H
#define TW_TESTS_H2_SEEN_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "h2_wire.h"
#include "http2/http2.h"

#define SEEN_MAX 4096
#define SEEN_S   1000000000ULL

struct seen_exchange {
	struct h2_exchange e;
	char text[TW_PATH_MAX + 1]; /* "(unknown)" */
};

struct seen {
	struct http2 *h;
	struct seen_exchange ended[SEEN_MAX];
	size_t n_ended, n_begun, n_withdrawn;
	bool silent; /* only counts */
};

static inline void seen_begun(void *arg, const struct h2_exchange *e)
{
	struct seen *s = arg;

	assert_int_not_equal(e->t_start, 0);
	s->n_begun++;
}

static inline void seen_withdrawn(void *arg, const struct h2_exchange *e)
{
	((struct seen *)arg)->n_withdrawn++;
}

static inline void seen_ended(void *arg, const struct h2_exchange *e)
{
	struct seen *s = arg;
	struct seen_exchange *to;

	s->n_ended++;
	if (s->silent)
		return;
	assert_true(s->n_ended <= SEEN_MAX);
	to = &s->ended[s->n_ended - 1];
	to->e = *e;
	snprintf(to->text, sizeof(to->text), "%.*s", e->text ? (int)e->len : 9, e->text ? e->text : "(unknown)");
	to->e.text = to->text;
}

static inline struct h2_limits seen_limits(void)
{
	return (struct h2_limits){ .memory = 16 << 20,
		                   .connections = 1000,
		                   .streams = 1000,
		                   .header_list = 65536,
		                   .long_lived = 60 * SEEN_S };
}

static inline void seen_init_with(struct seen *s, const struct h2_limits *limits)
{
	struct h2_sink sink = { seen_begun, seen_ended, seen_withdrawn, s };

	s->n_ended = s->n_begun = s->n_withdrawn = 0;
	s->silent = false;
	s->h = http2__new(limits, &sink);
	assert_non_null(s->h);
}

static inline void seen_init(struct seen *s)
{
	struct h2_limits limits = seen_limits();

	seen_init_with(s, &limits);
}

static inline struct h2_counts seen_counts(const struct seen *s)
{
	struct h2_counts c;

	http2__counts(s->h, &c);
	return c;
}

/* What must hold whatever was fed. */
static inline void seen_check(const struct seen *s)
{
	struct h2_counts c = seen_counts(s);

	assert_int_equal(c.requests, s->n_begun);
	assert_int_equal(c.ended, s->n_ended);
	assert_int_equal(c.withdrawn, s->n_withdrawn);
	assert_int_equal(c.requests, c.ended + c.withdrawn + c.open);
}

static inline void seen_feed(struct seen *s, const struct wire *w)
{
	for (size_t i = 0; i < w->n; i++)
		assert_int_equal(http2__record(s->h, w->records[i].bytes, w->records[i].len), 0);
	seen_check(s);
}

static inline void seen_free(struct seen *s)
{
	http2__free(s->h);
	s->h = NULL;
	assert_int_equal(s->n_begun, s->n_ended + s->n_withdrawn);
}

/* The exchange of a stream, or NULL. */
static inline const struct seen_exchange *seen_stream(const struct seen *s, uint32_t id)
{
	for (size_t i = 0; i < s->n_ended; i++)
		if (s->ended[i].e.stream == id)
			return &s->ended[i];
	return NULL;
}

#endif
