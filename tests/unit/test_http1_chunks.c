// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The chunk walker against the automaton: where it says that whole chunks end, the automaton must stand before one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/http1_table.h"

static __u8 window[H1_WINDOW + H1_SPARE];

/*
 * Follows a chunked body for n bytes, from a chunk size on, or from where the data of a chunk have ended. 1: it stands
 * before a chunk size; 0: inside something; -1: broken or ended.
 */
static int automaton(const __u8 *buf, size_t n, int inside)
{
	struct h1 p = { .state = inside ? H1_CHUNK_END : H1_CHUNK };
	__u64 length = H1_FIRST;
	__u32 used;

	while (n) {
		__u32 step = n < H1_CAREFUL ? (__u32)n : H1_CAREFUL;
		enum h1_event e;

		if (p.state == H1_CHUNK_DATA) {
			used = p.left < n ? (__u32)p.left : (__u32)n;
			p.left -= used;
			if (!p.left)
				p.state = H1_CHUNK_END;
		} else {
			e = h1_run(&p, NULL, &length, buf, step, 0, &used);
			if (e == H1_BROKEN || e == H1_END)
				return -1;
			if (e == H1_CHUNK_AT)
				p.state = p.left ? H1_CHUNK_DATA : H1_TRAILER;
		}
		buf += used;
		n -= used;
	}
	return p.state == H1_CHUNK;
}

/* Appends one chunk; sizes in either case, data that looks like chunks. Returns the new end, or 0 when it does not fit.
 */
static size_t put_chunk(__u8 *buf, size_t at, size_t size, const char *after_size)
{
	char head[32];
	int n = snprintf(head, sizeof(head), rand() & 1 ? "%zx%s" : "%zX%s", size, after_size);

	if (at + (size_t)n + size + 2 > H1_WINDOW)
		return 0;
	memcpy(buf + at, head, (size_t)n);
	at += (size_t)n;
	for (size_t i = 0; i < size; i++)
		buf[at + i] = (__u8)("\r\n5\r\nab0"[(unsigned int)rand() % 9]);
	memcpy(buf + at + size, "\r\n", 2);
	return at + size + 2;
}

static void whole_plain_chunks_are_taken_and_nothing_after_them(void **state)
{
	static const struct {
		const char *body;
		size_t taken, inside; /* the second behind the data of a chunk */
	} cases[] = {
		{ "5\r\nhello\r\n5\r\nworld\r\n3", 20, 0 },
		{ "5\r\nhello\r\n0\r\n\r\n", 10, 0 },
		{ "5\r\nhello\r\n5;x=y\r\nworld\r\n", 10, 0 },
		{ "5\r\nhello\r\n5\r\nwor", 10, 0 },
		{ "5\r\nhello\r\n5\r\nworld\r", 10, 0 },
		{ "5\nhello\r\n", 0, 0 },
		{ "5\r\nhellox\r\n", 0, 0 },
		{ "\r\n5\r\nhello\r\n", 0, 12 },
		{ "\r\n5\r\nhello\r\n5\r\nworld\r\n3", 0, 22 },
		{ "\r\n5\r\nhello\r\n0\r\n\r\n", 0, 12 },
		{ "\r\n5;x=y\r\nworld\r\n", 0, 0 },
		{ "\r\n5\r\nwor", 0, 0 },
		{ "\n5\r\nhello\r\n", 0, 0 },
		{ "\r\n", 0, 0 },
		{ "\r", 0, 0 },
		{ "00000005\r\nhello\r\n", 0, 0 },
		{ "aF\r\n", 0, 0 },
		{ "0\r\n\r\n", 0, 0 },
		{ "", 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t n = strlen(cases[i].body);

		memset(window, '\n', sizeof(window));
		memcpy(window, cases[i].body, n);
		assert_int_equal(h1_walk_chunks(window, n, 0, 0), cases[i].taken);
		assert_int_equal(h1_walk_chunks(window, n, 1, 0), cases[i].inside);
	}
}

static void where_the_walker_stops_the_automaton_stands_before_a_chunk(void **state)
{
	static const char *const after[] = { "\r\n", "\r\n", "\r\n", "\r\n", "\n", ";ext=1\r\n", " \r\n" };
	unsigned long taken = 0;

	srand(20261121);
	for (int round = 0; round < 20000; round++) {
		int inside = round % 2;
		size_t end = inside ? 2 : 0, next, n;
		__u32 m;

		for (size_t i = 0; i < sizeof(window); i++)
			window[i] = (__u8)rand();
		memcpy(window, "\r\n", 2);
		while ((next = put_chunk(window, end, (size_t)(1 + rand() % 300), after[(unsigned int)rand() % 7])))
			end = next;
		n = (size_t)rand() % H1_WINDOW;
		if (round % 3 == 0)
			window[(unsigned int)rand() % H1_WINDOW] ^= (__u8)rand();
		m = h1_walk_chunks(window, n, inside, 0);
		assert_true(m <= n);
		if (m && automaton(window, m, inside) != 1)
			fail_msg("round %d: the walker stops at %u of %zu, the automaton does not", round, m, n);
		taken += m;
	}
	/* Not vacuous: it did walk. */
	assert_true(taken > 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_plain_chunks_are_taken_and_nothing_after_them),
		cmocka_unit_test(where_the_walker_stops_the_automaton_stands_before_a_chunk),
	};

	http1_table_build();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
