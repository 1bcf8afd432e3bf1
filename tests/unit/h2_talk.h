/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One connection of which a test writes both sides by hand, greeted before the test begins, and what is told of it. */
#ifndef TW_TESTS_H2_TALK_H
#define TW_TESTS_H2_TALK_H

#include "h2_seen.h"
#include "h2_craft.h"

#include <errno.h>

#define TALK_TIMEOUT (30 * SEEN_S)

static struct wire w;
static struct seen seen;

static inline int begin(void **state)
{
	wire_init(&w, 7);
	greet(&w);
	return 0;
}

/* The library tells of what is still open when it is freed: that is checked as well. */
static inline int end(void **state)
{
	if (seen.h)
		seen_free(&seen);
	wire_free(&w);
	return 0;
}

/* For the next case of a test. */
static inline void again(void)
{
	end(NULL);
	begin(NULL);
}

/* Feeds all that has been said to a new library, and gives stream 1 as it ended (NULL: it has not). */
static inline const struct h2_exchange *fed(void)
{
	const struct seen_exchange *x;

	if (seen.h)
		seen_free(&seen);
	seen_init(&seen);
	http2__timeout(seen.h, TALK_TIMEOUT);
	seen_feed(&seen, &w);
	x = seen_stream(&seen, 1);
	return x ? &x->e : NULL;
}

/*
 * The end of the connection: f, F: the client's FIN, the server's; r, R: their RST; t: the system gave up, c: on a
 * reset, g: for no reason that is known.
 */
static inline void close_by(char how)
{
	static const struct {
		char how;
		int d;
		uint8_t what;
		uint32_t error;
	} ways[] = {
		{ 'f', REQUESTS, TW_H2_FIN, 0 },          { 'F', ANSWERS, TW_H2_FIN, 0 },
		{ 'r', REQUESTS, TW_H2_RST, 0 },          { 'R', ANSWERS, TW_H2_RST, 0 },
		{ 't', REQUESTS, TW_H2_GONE, ETIMEDOUT }, { 'c', REQUESTS, TW_H2_GONE, ECONNRESET },
		{ 'g', REQUESTS, TW_H2_GONE, 0 },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (ways[i].how == how) {
			wire_tell(&w, ways[i].d, ways[i].what, ways[i].error, NULL, 0);
			return;
		}
	fail_msg("no end is called %c", how);
}

static inline void expect_open(void)
{
	assert_null(fed());
	assert_int_equal(seen_counts(&seen).open, 1);
	assert_int_equal(seen_counts(&seen).malformed, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
