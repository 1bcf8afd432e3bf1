// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * Whatever a peer sends costs bounded work and memory, and what does not fit is counted. The bounds are those of the
 * limits that are given.
 */
#include "h2_seen.h"
#include "h2_craft.h"
#include "h2_pair.h"

#include <errno.h>

static struct wire w;
static struct pair p;
static struct seen seen;
static struct bytes block;

static int begin(void **state)
{
	wire_init(&w, 7);
	return 0;
}

static int end(void **state)
{
	wire_free(&w);
	return 0;
}

/* Feeds what has been said since the last time, and forgets it. */
static void flow(void)
{
	for (size_t i = 0; i < w.n; i++)
		http2__record(seen.h, w.records[i].bytes, w.records[i].len);
	w.n = w.n_heads = 0;
	seen_check(&seen);
}

static void start(void)
{
	seen_init(&seen);
	seen.silent = true;
	greet(&w);
	flow();
}

static void a_rapid_reset_costs_nothing_that_stays(void **state)
{
	uint64_t before;

	start();
	for (uint32_t id = 1; id < 40000; id += 2) {
		ask(&w, id, "/a", END_STREAM);
		reset(&w, REQUESTS, id, 8);
		if (id == 101)
			before = seen_counts(&seen).memory;
		flow();
	}
	assert_int_equal(seen_counts(&seen).requests, 20000);
	assert_int_equal(seen_counts(&seen).ended, 20000);
	assert_int_equal(seen_counts(&seen).memory, before);
	seen_free(&seen);
}

static void pings_and_settings_without_end_cost_nothing(void **state)
{
	static const uint8_t size[6] = { 0, 1, 0, 0, 16, 0 };
	uint64_t before;

	start();
	before = seen_counts(&seen).memory;
	for (int i = 0; i < 20000; i++) {
		say(&w, REQUESTS, PING, 0, 0, "abcdefgh", 8);
		say(&w, REQUESTS, SETTINGS, 0, 0, size, i % 2 ? 6 : 0);
		say(&w, ANSWERS, SETTINGS, 0, 0, size, i % 2 ? 6 : 0);
		flow();
	}
	assert_int_equal(seen_counts(&seen).memory, before);
	assert_true(seen_counts(&seen).malformed > 0);
	/* And the tables are what they were. */
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	flow();
	assert_int_equal(seen_counts(&seen).unknown_requests, 0);
	seen_free(&seen);
}

/* CONTINUATION without end, and a header list of any length. */
static void a_header_list_without_end_is_counted_and_costs_no_memory(void **state)
{
	static char value[4001];
	uint64_t most;

	start();
	memset(value, 'v', 4000);
	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 6);
	put_field(&block, ":path", "/a");
	say(&w, REQUESTS, HEADERS, END_STREAM, 1, block.b, block.n);
	block.n = 0;
	put_field(&block, "x", value);
	say(&w, REQUESTS, CONTINUATION, 0, 1, block.b, block.n);
	flow();
	most = seen_counts(&seen).memory_max;
	for (int i = 0; i < 2000; i++) {
		say(&w, REQUESTS, CONTINUATION, 0, 1, block.b, block.n);
		say(&w, REQUESTS, CONTINUATION, 0, 1, NULL, 0);
		flow();
	}
	assert_int_equal(seen_counts(&seen).memory_max, most);
	assert_int_equal(seen_counts(&seen).requests, 0);
	say(&w, REQUESTS, CONTINUATION, END_HEADERS, 1, NULL, 0);
	answer(&w, 1, "431", END_STREAM);
	flow();
	assert_int_equal(seen_counts(&seen).too_large, 1);
	assert_int_equal(seen_counts(&seen).requests, 1);
	assert_int_equal(seen_counts(&seen).unknown_requests, 0);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

/* An entry of 4000 bytes, referred to by each of 16000 bytes: 64 MB of header list. */
static void an_hpack_bomb_is_as_much_work_as_it_has_bytes(void **state)
{
	static char value[4001];
	uint64_t most;

	start();
	memset(value, 'v', 3900);
	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 6);
	put_field(&block, ":path", "/a");
	put_entry(&block, "x", value);
	say_block(&w, REQUESTS, END_STREAM, 1, &block);
	answer(&w, 1, "200", END_STREAM);
	flow();
	most = seen_counts(&seen).memory_max;
	for (uint32_t id = 3; id < 203; id += 2) {
		block.n = 0;
		put_index(&block, 2);
		put_index(&block, 6);
		for (int i = 0; i < 16000; i++)
			put_index(&block, 62);
		put_field(&block, ":path", "/b");
		say_block(&w, REQUESTS, END_STREAM, id, &block);
		answer(&w, id, "200", END_STREAM);
		flow();
	}
	assert_int_equal(seen_counts(&seen).too_large, 100);
	assert_int_equal(seen_counts(&seen).unknown_requests, 100); /* the path lay behind the limit */
	assert_int_equal(seen_counts(&seen).memory_max, most);
	/* The table is still the encoder's. */
	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 6);
	put_entry(&block, ":path", "/c");
	say_block(&w, REQUESTS, END_STREAM, 301, &block);
	answer(&w, 301, "200", END_STREAM);
	flow();
	assert_int_equal(seen_counts(&seen).unknown_requests, 100);
	assert_int_equal(seen_counts(&seen).malformed + seen_counts(&seen).tables_lost, 0);
	seen_free(&seen);
}

static void streams_beyond_the_limit_are_shed_and_counted(void **state)
{
	struct h2_limits limits = seen_limits();
	struct h2_counts c;

	limits.streams = 100;
	seen_init_with(&seen, &limits);
	greet(&w);
	for (uint32_t id = 1; id < 2001; id += 2)
		ask(&w, id, "/a", END_STREAM);
	for (size_t i = 0; i < w.n; i++)
		assert_int_equal(http2__record(seen.h, w.records[i].bytes, w.records[i].len), i < 104 ? 0 : -ENOMEM);
	w.n = w.n_heads = 0;
	c = seen_counts(&seen);
	assert_int_equal(c.requests, 1000);
	assert_int_equal(c.open, 100);
	assert_int_equal(c.shed_streams, 900);
	for (size_t i = 0; i < seen.n_ended; i++) {
		assert_int_equal(seen.ended[i].e.outcome, TW_UNOBSERVED);
		assert_string_equal(seen.ended[i].text, "GET /a");
	}
	/* There is room again once one has ended; the answers of the others are nobody's. */
	for (uint32_t id = 1; id < 2001; id += 2)
		answer(&w, id, "200", END_STREAM);
	ask(&w, 2001, "/a", END_STREAM);
	flow();
	c = seen_counts(&seen);
	assert_int_equal(c.open, 1);
	assert_int_equal(c.shed_streams, 900);
	assert_int_equal(c.malformed, 0);
	seen_free(&seen);
}

static void what_a_burst_needed_is_given_back(void **state)
{
	uint64_t most;

	start();
	for (uint32_t id = 1; id < 2000; id += 2)
		ask(&w, id, "/a", END_STREAM);
	flow();
	most = seen_counts(&seen).memory;
	for (uint32_t id = 1; id < 2000; id += 2)
		answer(&w, id, "200", END_STREAM);
	flow();
	assert_true(seen_counts(&seen).memory < most / 2);
	seen_free(&seen);
}

/* A connection of its own name, with so many open requests. */
static void open_connection(uint64_t name, uint32_t requests)
{
	end(NULL);
	wire_init(&w, name);
	greet(&w);
	for (uint32_t i = 0; i < requests; i++)
		ask(&w, 1 + 2 * i, "/a", END_STREAM);
	flow();
}

static void the_connection_heard_of_least_recently_goes_for_a_new_one(void **state)
{
	struct h2_limits limits = seen_limits();

	limits.connections = 10;
	seen_init_with(&seen, &limits);
	for (uint64_t name = 1; name <= 10; name++)
		open_connection(name, 2);
	/* The first one is heard of again. */
	end(NULL);
	wire_init(&w, 1);
	wire_tell(&w, REQUESTS, TW_H2_READ, 0xffffffff, &(uint64_t){ 1 }, 8);
	flow();
	for (uint64_t name = 11; name <= 13; name++)
		open_connection(name, 2);
	assert_int_equal(seen_counts(&seen).shed_connections, 3);
	assert_int_equal(seen.n_ended, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(seen.ended[i].e.conn, 2 + i / 2);
		assert_int_equal(seen.ended[i].e.outcome, TW_UNOBSERVED);
	}
	assert_int_equal(seen_counts(&seen).shed_streams, 0);
	seen_free(&seen);
}

/* As on kernels that do not tell when a socket goes. */
static void a_connection_that_is_over_is_forgotten_without_being_shed(void **state)
{
	struct h2_limits limits = seen_limits();
	uint64_t after, memory;

	limits.connections = 10;
	seen_init_with(&seen, &limits);
	open_connection(1, 1);
	for (uint64_t name = 10; name < 15; name++) {
		open_connection(name, 1);
		wire_tell(&w, name % 2 ? REQUESTS : ANSWERS, name % 2 ? TW_H2_RST : TW_H2_FIN, 0, NULL, 0);
		flow();
	}
	assert_int_equal(seen.n_ended, 5);
	after = w.t + 1;
	memory = seen_counts(&seen).memory;
	http2__forget(seen.h, 0);
	for (uint64_t name = 10; name < 15; name++)
		assert_true(http2__follows(seen.h, name));
	http2__forget(seen.h, after);
	for (uint64_t name = 10; name < 15; name++)
		assert_false(http2__follows(seen.h, name));
	assert_true(http2__follows(seen.h, 1));
	assert_true(seen_counts(&seen).memory < memory);
	/* Nor does one count as shed that is over and has to go for another. */
	open_connection(2, 0);
	wire_tell(&w, REQUESTS, TW_H2_RST, 0, NULL, 0);
	flow();
	for (uint64_t name = 20; name < 28; name++)
		open_connection(name, 0);
	end(NULL);
	wire_init(&w, 1);
	wire_tell(&w, REQUESTS, TW_H2_READ, 0xffffffff, &(uint64_t){ 1 }, 8);
	flow();
	open_connection(28, 0);
	assert_int_equal(seen_counts(&seen).shed_connections, 0);
	open_connection(29, 0);
	assert_int_equal(seen_counts(&seen).shed_connections, 1);
	assert_int_equal(seen.n_ended, 5);
	seen_free(&seen);
}

static void one_that_was_forgotten_is_found_open_when_it_goes_on(void **state)
{
	struct h2_limits limits = seen_limits();

	limits.connections = 1;
	seen_init_with(&seen, &limits);
	open_connection(1, 1);
	open_connection(2, 1);
	end(NULL);
	wire_init(&w, 1);
	w.side[REQUESTS].begun = w.side[ANSWERS].begun = true;
	wire_tell(&w, REQUESTS, TW_H2_READ, 0xffffffff, &(uint64_t){ 1 }, 8);
	flow();
	assert_int_equal(seen_counts(&seen).connections, 2); /* nothing to begin with */
	ask(&w, 3, "/b", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	flow();
	assert_int_equal(seen_counts(&seen).connections, 3);
	assert_int_equal(seen_counts(&seen).joined, 1);
	assert_int_equal(seen_counts(&seen).requests, 3);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	assert_string_equal(seen.ended[2].text, "GET /b");
	assert_int_equal(seen.ended[2].e.outcome, TW_ANSWERED);
	seen_free(&seen);
}

/* Two conversations side by side, of which one or the other has to go for want of memory, at any amount of it. */
static void memory_is_never_beyond_its_limit_and_nothing_is_lost_uncounted(void **state)
{
	static struct pair other;
	static const nghttp2_settings_entry size = { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 65536 };
	size_t n_shed = 0;

	for (int k = 0; k < 2; k++) {
		struct pair *to = k ? &other : &p;

		pair_init_with(to, 1 + k, 65536);
		pair_settings(to, &size, 1, &size, 1);
		for (int i = 0; i < 60; i++) {
			char path[32];

			snprintf(path, sizeof(path), "/ok/%d", i);
			pair_ask(to, "GET", path, path, 0);
			if (i % 20 == 19)
				pair_pump(to);
		}
	}
	for (size_t limit = 600; limit < 60000; limit += limit < 12000 ? 40 : 900) {
		struct h2_limits limits = seen_limits();
		struct h2_counts c;

		limits.memory = limit;
		seen_init_with(&seen, &limits);
		for (size_t i = 0; i < p.wire.n || i < other.wire.n; i++) {
			int err = 0;

			/* The second one is found open: its tables are of the large kind. */
			if (i < p.wire.n)
				err = http2__record(seen.h, p.wire.records[i].bytes, p.wire.records[i].len);
			assert_true(err == 0 || err == -ENOMEM);
			if (i < other.wire.n && i)
				err = http2__record(seen.h, other.wire.records[i].bytes, other.wire.records[i].len);
			assert_true(err == 0 || err == -ENOMEM);
		}
		seen_check(&seen);
		c = seen_counts(&seen);
		assert_true(c.memory_max <= limit);
		for (size_t i = 0; i < seen.n_ended; i++) {
			const struct h2_exchange *e = &seen.ended[i].e;

			assert_true(e->outcome == TW_ANSWERED || e->outcome == TW_UNOBSERVED);
			assert_true(e->status == 200 || e->status_unknown || e->outcome == TW_UNOBSERVED);
		}
		assert_true(c.requests == 120 || c.shed_connections || c.tables_lost || c.shed_streams);
		n_shed += c.shed_connections > 0;
		seen_free(&seen);
	}
	assert_true(n_shed > 100);
	pair_free(&p);
	pair_free(&other);
}

static void without_memory_there_is_no_object(void **state)
{
	struct h2_limits limits = seen_limits();
	struct h2_sink sink = { seen_begun, seen_ended, seen_withdrawn, &seen };

	limits.memory = 100;
	assert_null(http2__new(&limits, &sink));
	http2__free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_rapid_reset_costs_nothing_that_stays),
		TEST(pings_and_settings_without_end_cost_nothing),
		TEST(a_header_list_without_end_is_counted_and_costs_no_memory),
		TEST(an_hpack_bomb_is_as_much_work_as_it_has_bytes),
		TEST(streams_beyond_the_limit_are_shed_and_counted),
		TEST(what_a_burst_needed_is_given_back),
		TEST(the_connection_heard_of_least_recently_goes_for_a_new_one),
		TEST(a_connection_that_is_over_is_forgotten_without_being_shed),
		TEST(one_that_was_forgotten_is_found_open_when_it_goes_on),
		TEST(memory_is_never_beyond_its_limit_and_nothing_is_lost_uncounted),
		TEST(without_memory_there_is_no_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
