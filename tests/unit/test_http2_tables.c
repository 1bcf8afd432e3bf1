// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * Header tables: what SETTINGS do to them, and what can be known of one whose beginning was not seen. Oracles: RFC 7541
 * for blocks written by hand, and the peers of libnghttp2 for what their encoders do.
 */
#include "h2_seen.h"
#include "h2_craft.h"
#include "h2_pair.h"

static struct wire w;
static struct pair p;
static struct seen seen;
static struct bytes block;

static int begin(void **state)
{
	wire_init(&w, 7);
	block.n = 0;
	return 0;
}

static int end(void **state)
{
	wire_free(&w);
	return 0;
}

static const char *text_of(uint32_t id)
{
	const struct seen_exchange *x = seen_stream(&seen, id);

	return x ? x->text : "(none)";
}

/* ---- tables that are known --------------------------------------------------------------------------------------- */

/* Requests, with tables of one size and then of another, by both sides. */
static void resize(uint32_t first, uint32_t then, size_t encoder)
{
	nghttp2_settings_entry size = { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, first };

	pair_init_with(&p, 1, encoder);
	pair_settings(&p, &size, 1, &size, 1);
	for (int turn = 0; turn < 6; turn++) {
		char path[32];

		if (turn == 2) {
			/* Two at once (RFC 7541, 4.2), and more before they are acknowledged. */
			nghttp2_settings_entry both[2] = { { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
				                           { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, then } };

			pair_settings(&p, both, 2, both, 2);
			pair_settings(&p, NULL, 0, NULL, 0);
			pair_settings(&p, both + 1, 1, both + 1, 1);
		}
		for (int i = 0; i < 40; i++) {
			snprintf(path, sizeof(path), "/ok/%d", i);
			pair_ask(&p, "GET", path, i % 3 ? NULL : "application/x", 0);
		}
		pair_pump(&p);
	}
	seen_init(&seen);
	seen_feed(&seen, &p.wire);
	assert_int_equal(seen.n_ended, 240);
	for (size_t i = 0; i < p.n; i++) {
		char text[440];

		snprintf(text, sizeof(text), "%s %s", p.streams[i].method, p.streams[i].path);
		assert_string_equal(text_of(p.streams[i].id), text);
		assert_int_equal(seen_stream(&seen, p.streams[i].id)->e.status, 200);
	}
	assert_int_equal(seen_counts(&seen).malformed + seen_counts(&seen).tables_lost, 0);
	seen_free(&seen);
	pair_free(&p);
}

static void tables_follow_the_settings_as_they_are_acknowledged(void **state)
{
	static const uint32_t sizes[] = { 0, 40, 500, 4096, 20000, 65536 };

	for (size_t i = 0; i < 6; i++)
		for (size_t k = 0; k < 6; k++)
			resize(sizes[i], sizes[k], i == 5 ? 65536 : 4096);
}

static void settings_begin_with_their_acknowledgement_and_not_before(void **state)
{
	static const uint8_t large[6] = { 0, 1, 0, 1, 0, 0 };
	struct bytes b = { .n = 0 };

	greet(&w);
	say(&w, ANSWERS, SETTINGS, 0, 0, large, 6);
	/* RFC 7541, 6.3: a size above the limit is a decoding error; the limit is the old one still. */
	put_table_size(&b, 65536);
	put_index(&b, 2);
	put_index(&b, 6);
	put_field(&b, ":path", "/early");
	say_block(&w, REQUESTS, END_STREAM, 1, &b);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_int_equal(seen_counts(&seen).malformed, 1);
	assert_int_equal(seen_counts(&seen).tables_lost, 1);
	seen_free(&seen);
	end(NULL);
	begin(NULL);
	greet(&w);
	say(&w, ANSWERS, SETTINGS, 0, 0, large, 6);
	say(&w, REQUESTS, SETTINGS, ACK, 0, NULL, 0);
	say_block(&w, REQUESTS, END_STREAM, 1, &b);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
	assert_string_equal(text_of(1), "GET /early");
}

static void a_table_beyond_64_kib_is_not_followed_and_said_to_be_unknown(void **state)
{
	static const uint8_t huge[6] = { 0, 1, 0, 16, 0, 0 };

	greet(&w);
	say(&w, ANSWERS, SETTINGS, 0, 0, huge, 6);
	say(&w, REQUESTS, SETTINGS, ACK, 0, NULL, 0);
	put_table_size(&block, 1 << 20);
	put_index(&block, 2);
	put_index(&block, 6);
	put_field(&block, ":path", "/a");
	say_block(&w, REQUESTS, END_STREAM, 1, &block);
	ask(&w, 3, "/b", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1), "(unknown)");
	assert_string_equal(text_of(3), "GET /b");
	assert_int_equal(seen_counts(&seen).tables_lost, 1);
	assert_int_equal(seen_counts(&seen).unknown_requests, 1);
	seen_free(&seen);
}

static void an_upgraded_connection_may_have_agreed_on_more(void **state)
{
	uint64_t asked[2] = { 1, 1 };

	wire_tell(&w, REQUESTS, TW_H2_ASKED, w.side[REQUESTS].place, asked, 16);
	greet(&w);
	put_table_size(&block, 30000); /* what HTTP2-Settings said */
	put_index(&block, 8);
	say_block(&w, ANSWERS, END_STREAM, 1, &block);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_int_equal(seen_stream(&seen, 1)->e.status, 200);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

/* RFC 7541, 4.2: an encoder has to say that it went below, even if the size is what it was. */
static void a_size_that_was_lower_in_between_has_to_be_acknowledged_by_the_encoder(void **state)
{
	static const uint8_t down_and_up[12] = { 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 16, 0 };

	for (int says = 0; says < 2; says++) {
		end(NULL);
		begin(NULL);
		greet(&w);
		say(&w, ANSWERS, SETTINGS, 0, 0, down_and_up, 12);
		say(&w, REQUESTS, SETTINGS, ACK, 0, NULL, 0);
		if (says) {
			put_table_size(&block, 0);
			put_table_size(&block, 4096);
		}
		put_index(&block, 2);
		put_index(&block, 6);
		put_index(&block, 4);
		say_block(&w, REQUESTS, END_STREAM, 1, &block);
		answer(&w, 1, "200", END_STREAM);
		seen_init(&seen);
		seen_feed(&seen, &w);
		assert_int_equal(seen_counts(&seen).malformed, !says);
		assert_string_equal(text_of(1), says ? "GET /" : "(unknown)");
		seen_free(&seen);
	}
}

/* RFC 7541, 2.3.3: an index beyond both tables. */
static void an_error_in_a_known_table_makes_it_unknown_and_is_counted_once(void **state)
{
	greet(&w);
	put_index(&block, 2);
	put_index(&block, 62);
	put_field(&block, ":path", "/a");
	say_block(&w, REQUESTS, END_STREAM, 1, &block);
	ask(&w, 3, "/b", END_STREAM);
	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 63); /* what is unknown now */
	put_field(&block, ":path", "/c");
	say_block(&w, REQUESTS, END_STREAM, 5, &block);
	for (uint32_t id = 1; id <= 5; id += 2)
		answer(&w, id, "200", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1), "(unknown)");
	assert_string_equal(text_of(3), "GET /b");
	assert_string_equal(text_of(5), "GET /c");
	assert_int_equal(seen_counts(&seen).malformed, 1);
	assert_int_equal(seen_counts(&seen).tables_lost, 1);
	seen_free(&seen);
}

/* ---- tables that are not ----------------------------------------------------------------------------------------- */

/* A connection found open, both ways. */
static void joined(void)
{
	for (int d = 0; d < 2; d++) {
		w.side[d].begun = true;
		wire_tell(&w, d, TW_H2_JOINED, w.side[d].place, NULL, 0);
	}
}

/* A request whose path is entry i. */
static void ask_index(uint32_t id, size_t i)
{
	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 6);
	put_index(&block, i);
	say_block(&w, REQUESTS, END_STREAM, id, &block);
	answer(&w, id, "200", END_STREAM);
}

static void ask_entry(uint32_t id, const char *path)
{
	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 6);
	put_entry(&block, ":path", path);
	say_block(&w, REQUESTS, END_STREAM, id, &block);
	answer(&w, id, "200", END_STREAM);
}

static void new_entries_are_known_and_older_ones_are_not(void **state)
{
	joined();
	ask_index(1, 62);       /* the newest of the unknown ones */
	ask_index(3, 62 + 127); /* and the oldest that a table of 4096 bytes could hold */
	ask_entry(5, "/new");
	ask_index(7, 62);
	ask_index(9, 63);
	ask_entry(11, "/newer");
	ask_index(13, 62);
	ask_index(15, 63);
	ask_index(17, 64);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1), "(unknown)");
	assert_string_equal(text_of(3), "(unknown)");
	assert_string_equal(text_of(5), "GET /new");
	assert_string_equal(text_of(7), "GET /new");
	assert_string_equal(text_of(9), "(unknown)");
	assert_string_equal(text_of(13), "GET /newer");
	assert_string_equal(text_of(15), "GET /new");
	assert_string_equal(text_of(17), "(unknown)");
	assert_int_equal(seen_counts(&seen).unknown_requests, 4);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

/*
 * The peer's table has 1000 bytes, which nobody has seen: an entry that is larger empties it (RFC 7541, 4.4), ours
 * takes it up. What was inserted later is found all the same.
 */
static void an_entry_that_the_peers_table_is_too_small_for_moves_nothing(void **state)
{
	char large[2001];

	memset(large, 'p', 2000);
	large[0] = '/';
	large[2000] = '\0';
	joined();
	ask_entry(1, "/old");
	ask_entry(3, large);
	ask_entry(5, "/new");
	ask_index(7, 62);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(7), "GET /new");
	assert_true(seen_stream(&seen, 3)->e.truncated);
	seen_free(&seen);
}

static void a_larger_table_is_tried_and_then_nothing_is_decoded_any_more(void **state)
{
	joined();
	ask_entry(1, "/a");
	ask_index(3, 62 + 200);  /* not in 4096 bytes */
	ask_index(5, 62 + 2000); /* in 65536 */
	ask_entry(7, "/b");
	ask_index(9, 62);
	ask_index(11, 63); /* /a is behind the change of tables */
	ask_index(13, 62 + 2048);
	ask_entry(15, "/c");
	ask(&w, 17, "/d", END_STREAM);
	answer(&w, 17, "204", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1), "GET /a");
	assert_string_equal(text_of(3), "(unknown)");
	assert_string_equal(text_of(5), "(unknown)");
	assert_string_equal(text_of(7), "GET /b");
	assert_string_equal(text_of(9), "GET /b");
	for (uint32_t id = 11; id <= 17; id += 2) {
		assert_string_equal(text_of(id), "(unknown)");
		assert_int_equal(seen_stream(&seen, id)->e.status, id == 17 ? 204 : 200);
		assert_int_equal(seen_stream(&seen, id)->e.outcome, TW_ANSWERED);
	}
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

static void size_updates_in_an_unknown_table_are_believed(void **state)
{
	joined();
	block.n = 0;
	put_table_size(&block, 0); /* from here on the table is known to be empty */
	put_table_size(&block, 8192);
	put_index(&block, 2);
	put_index(&block, 6);
	put_entry(&block, ":path", "/a");
	say_block(&w, REQUESTS, END_STREAM, 1, &block);
	for (uint32_t i = 0; i < 180; i++) {
		char path[16];

		snprintf(path, sizeof(path), "/%d", (int)i);
		ask_entry(3 + 2 * i, path);
	}
	ask_index(1001, 62 + 180);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1001), "GET /a");
	seen_free(&seen);
}

/* A name of two segments may be that of a call, if the content-type is not known; no other may. */
static void what_may_be_a_call_of_grpc_has_no_name_until_that_is_known(void **state)
{
	static const struct {
		const char *method, *path, *text;
		const char *status;
		bool trailers;
	} cases[] = {
		{ "POST", "/a/b", "(unknown)", "200", true },
		{ "POST", "/a/b", "POST /a/b", "200", false }, /* calls that succeed have trailers */
		{ "POST", "/a/b", "(unknown)", "503", false },
		{ "POST", "/a", "POST /a", "503", false },
		{ "POST", "/a/b/c", "POST /a/b/c", "503", false },
		{ "POST", "/a/", "POST /a/", "503", false },
		{ "PUT", "/a/b", "PUT /a/b", "503", false },
		{ "CONNECT", NULL, "(unknown)", "503", false }, /* the path may be what is unknown */
	};
	struct bytes trailers = { .n = 0 };

	joined();
	put_index(&trailers, 63);
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t id = 1 + 2 * i;

		block.n = 0;
		put_field(&block, ":method", cases[i].method);
		if (cases[i].path)
			put_field(&block, ":path", cases[i].path);
		put_index(&block, 70);
		say_block(&w, REQUESTS, END_STREAM, id, &block);
		answer(&w, id, cases[i].status, 0);
		data(&w, ANSWERS, id, 10, cases[i].trailers ? 0 : END_STREAM);
		if (cases[i].trailers)
			say_block(&w, ANSWERS, END_STREAM, id, &trailers);
	}
	seen_init(&seen);
	seen_feed(&seen, &w);
	for (uint32_t i = 0; i < 8; i++)
		assert_string_equal(text_of(1 + 2 * i), cases[i].text);
	seen_free(&seen);
}

/*
 * Of a POST of which hardly anything is known, on a connection that was open before: a call of gRPC that has failed
 * says 200 as well, and then its status is in trailers.
 */
static void what_may_be_a_call_of_grpc_is_not_taken_for_a_success(void **state)
{
	static const struct {
		const char *method, *status, *type, *length;
		const char *grpc_status; /* NULL: the trailers have an unknown field; "": there are none */
		unsigned int counted;
		bool only; /* never behind a message */
	} cases[] = {
		{ "POST", "200", NULL, NULL, NULL, TW_STATUS_UNKNOWN, false },
		{ "POST", "200", NULL, NULL, "13", TW_STATUS_GRPC + 13, false },
		{ "POST", "200", "application/grpc", NULL, NULL, TW_STATUS_UNKNOWN, false },
		{ "POST", "200", "application/grpc", NULL, "13", TW_STATUS_GRPC + 13, false },
		{ NULL, "200", NULL, NULL, NULL, TW_STATUS_UNKNOWN, false },
		{ NULL, "200", NULL, NULL, "5", TW_STATUS_GRPC + 5, false },
		{ "POST", "204", NULL, "0", "14", TW_STATUS_GRPC + 14, true }, /* as nginx is made to say it */
		/* These are none, or would say so: */
		{ "POST", "200", NULL, NULL, "", 200, false },
		{ "POST", "200", "text/html", NULL, NULL, 200, false },
		{ "POST", "200", NULL, "10", NULL, 200, false },
		{ "POST", "204", NULL, NULL, NULL, 204, false },
		{ "POST", "503", NULL, NULL, NULL, 503, false },
		{ "PUT", "200", NULL, NULL, NULL, 200, false },
		{ "GET", "200", NULL, NULL, "13", 200, false },
	};
	const size_t n = sizeof(cases) / sizeof(*cases);

	/* The trailers come behind a message, and by themselves. */
	for (size_t i = 0; i < 2 * n; i++) {
		bool only = i >= n && !(cases[i % n].grpc_status && !*cases[i % n].grpc_status);
		const char *grpc_status = cases[i % n].grpc_status;
		struct bytes trailers = { .n = 0 }, *last = only ? &block : &trailers;

		if (i < n && cases[i].only)
			continue;
		joined();
		block.n = 0;
		if (cases[i % n].method)
			put_field(&block, ":method", cases[i % n].method);
		put_index(&block, 6);
		put_index(&block, 70);
		say_block(&w, REQUESTS, END_STREAM, 1, &block);
		block.n = 0;
		put_field(&block, ":status", cases[i % n].status);
		put_index(&block, 70);
		if (cases[i % n].type)
			put_field(&block, "content-type", cases[i % n].type);
		if (cases[i % n].length)
			put_field(&block, "content-length", cases[i % n].length);
		if (!grpc_status)
			put_index(last, 63);
		else if (*grpc_status)
			put_field(last, "grpc-status", grpc_status);
		say_block(&w, ANSWERS, only ? END_STREAM : 0, 1, &block);
		if (!only)
			data(&w, ANSWERS, 1, 10, grpc_status && !*grpc_status ? END_STREAM : 0);
		if (trailers.n)
			say_block(&w, ANSWERS, END_STREAM, 1, &trailers);
		seen_init(&seen);
		seen_feed(&seen, &w);
		assert_int_equal(seen.n_ended, 1);
		assert_int_equal(h2_exchange__status(&seen_stream(&seen, 1)->e), cases[i % n].counted);
		seen_free(&seen);
		end(NULL);
		begin(NULL);
	}
}

static void data_shows_that_an_unknown_status_was_the_final_one(void **state)
{
	joined();
	ask(&w, 1, "/a", END_STREAM);
	block.n = 0;
	put_index(&block, 70);
	say_block(&w, ANSWERS, 0, 1, &block);
	data(&w, ANSWERS, 1, 10, 0);
	say_block(&w, ANSWERS, 0, 1, &block); /* RFC 9113, 8.1: trailers end the stream */
	data(&w, ANSWERS, 1, 10, END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_int_equal(seen_counts(&seen).malformed, 1);
	assert_int_equal(seen.ended[0].e.t_first, w.t - 3 * w.step);
	seen_free(&seen);
}

static void a_connection_may_be_found_inside_a_header_block(void **state)
{
	static const uint8_t wrong[] = { 0x82, 0x86, 0x04, 6, '/', 'w', 'r', 'o', 'n', 'g' };

	joined();
	say(&w, REQUESTS, CONTINUATION, 0, 1, wrong, sizeof(wrong));
	say(&w, REQUESTS, CONTINUATION, END_HEADERS, 1, wrong, sizeof(wrong));
	ask(&w, 3, "/a", END_STREAM);
	say(&w, REQUESTS, CONTINUATION, END_HEADERS, 1, wrong, sizeof(wrong)); /* not this one */
	answer(&w, 1, "200", END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_int_equal(seen.n_ended, 1);
	assert_string_equal(text_of(3), "GET /a");
	assert_int_equal(seen_counts(&seen).malformed, 1);
	seen_free(&seen);
}

static void a_status_that_is_unknown_is_said_to_be(void **state)
{
	joined();
	ask(&w, 1, "/a", END_STREAM);
	block.n = 0;
	put_index(&block, 70);
	say_block(&w, ANSWERS, END_STREAM, 1, &block);
	/* What is followed by another header list that is not the last was an interim response. */
	ask(&w, 3, "/b", END_STREAM);
	say_block(&w, ANSWERS, 0, 3, &block);
	say_block(&w, ANSWERS, 0, 3, &block);
	data(&w, ANSWERS, 3, 10, END_STREAM);
	ask(&w, 5, "/c", END_STREAM);
	say_block(&w, ANSWERS, 0, 5, &block);
	answer(&w, 5, "200", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	for (uint32_t id = 1; id <= 5; id += 2)
		assert_int_equal(seen_stream(&seen, id)->e.outcome, TW_ANSWERED);
	assert_true(seen_stream(&seen, 1)->e.status_unknown);
	assert_int_equal(seen_stream(&seen, 1)->e.status, 0);
	assert_true(seen_stream(&seen, 3)->e.status_unknown);
	assert_int_equal(seen_stream(&seen, 3)->e.t_first, seen_stream(&seen, 3)->e.t_last - w.step);
	assert_false(seen_stream(&seen, 5)->e.status_unknown);
	assert_int_equal(seen_stream(&seen, 5)->e.status, 200);
	assert_int_equal(seen_stream(&seen, 5)->e.t_first, seen_stream(&seen, 5)->e.t_last);
	assert_int_equal(seen_counts(&seen).unknown_statuses, 2);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

static void trailers_of_a_request_before_the_join_are_no_request(void **state)
{
	joined();
	block.n = 0;
	put_index(&block, 70);
	say_block(&w, REQUESTS, END_STREAM, 21, &block);
	answer(&w, 21, "200", END_STREAM);
	data(&w, ANSWERS, 19, 100, END_STREAM);
	ask(&w, 23, "/a", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_int_equal(seen_counts(&seen).requests, 1);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

/* A frame of more than 64 KiB is not sent as a whole: what its block put into the table is not known. */
static void a_header_block_that_was_not_sent_whole_makes_the_table_unknown(void **state)
{
	static char junk[70000];

	greet(&w);
	ask_entry(1, "/a");
	block.n = 0;
	put_index(&block, 2);
	put_index(&block, 6);
	put_field(&block, ":path", "/large");
	memset(junk, 'x', 30000);
	put_field(&block, "x", junk);
	put_field(&block, "y", junk);
	put_field(&block, "z", junk);
	say_block(&w, REQUESTS, END_STREAM, 3, &block);
	answer(&w, 3, "431", END_STREAM);
	ask_index(5, 62);
	ask_entry(7, "/b");
	ask_index(9, 62);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1), "GET /a");
	assert_string_equal(text_of(3), "GET /large");
	assert_string_equal(text_of(5), "(unknown)");
	assert_string_equal(text_of(9), "GET /b");
	assert_int_equal(seen_stream(&seen, 3)->e.status, 431);
	assert_int_equal(seen_counts(&seen).tables_lost, 1);
	assert_int_equal(seen_counts(&seen).desynchronised + seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

/* The rest of such a block is not read from its middle on. */
static void what_follows_missing_bytes_of_a_block_is_not_read(void **state)
{
	static char junk[70000];
	static const uint8_t wrong[] = { 0x82, 0x86, 0x04, 6, '/', 'w', 'r', 'o', 'n', 'g' };

	greet(&w);
	block.n = 0;
	memset(junk, 'x', 30000);
	for (int i = 0; i < 3; i++)
		put_field(&block, "x", junk);
	say(&w, REQUESTS, HEADERS, END_STREAM, 1, block.b, block.n);
	say(&w, REQUESTS, CONTINUATION, 0, 1, wrong, sizeof(wrong));
	say(&w, REQUESTS, CONTINUATION, END_HEADERS, 1, wrong, sizeof(wrong));
	answer(&w, 1, "431", END_STREAM);
	ask(&w, 3, "/a", END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1), "(unknown)");
	assert_int_equal(seen_stream(&seen, 1)->e.status, 431);
	assert_string_equal(text_of(3), "GET /a");
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
}

static void nor_is_what_follows_an_error(void **state)
{
	static const uint8_t wrong[] = { 0x82, 0x86, 0x04, 6, '/', 'w', 'r', 'o', 'n', 'g' };

	greet(&w);
	say(&w, REQUESTS, HEADERS, END_STREAM, 1, "\xbe", 1);
	say(&w, REQUESTS, CONTINUATION, 0, 1, wrong, sizeof(wrong));
	say(&w, REQUESTS, CONTINUATION, END_HEADERS, 1, wrong, sizeof(wrong));
	answer(&w, 1, "400", END_STREAM);
	ask(&w, 3, "/a", END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &w);
	assert_string_equal(text_of(1), "(unknown)");
	assert_string_equal(text_of(3), "GET /a");
	assert_int_equal(seen_counts(&seen).malformed, 1);
	seen_free(&seen);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_follow_the_settings_as_they_are_acknowledged),
		TEST(settings_begin_with_their_acknowledgement_and_not_before),
		TEST(a_table_beyond_64_kib_is_not_followed_and_said_to_be_unknown),
		TEST(an_upgraded_connection_may_have_agreed_on_more),
		TEST(a_size_that_was_lower_in_between_has_to_be_acknowledged_by_the_encoder),
		TEST(an_error_in_a_known_table_makes_it_unknown_and_is_counted_once),
		TEST(new_entries_are_known_and_older_ones_are_not),
		TEST(an_entry_that_the_peers_table_is_too_small_for_moves_nothing),
		TEST(a_larger_table_is_tried_and_then_nothing_is_decoded_any_more),
		TEST(size_updates_in_an_unknown_table_are_believed),
		TEST(what_may_be_a_call_of_grpc_has_no_name_until_that_is_known),
		TEST(what_may_be_a_call_of_grpc_is_not_taken_for_a_success),
		TEST(data_shows_that_an_unknown_status_was_the_final_one),
		TEST(a_connection_may_be_found_inside_a_header_block),
		TEST(a_status_that_is_unknown_is_said_to_be),
		TEST(trailers_of_a_request_before_the_join_are_no_request),
		TEST(a_header_block_that_was_not_sent_whole_makes_the_table_unknown),
		TEST(what_follows_missing_bytes_of_a_block_is_not_read),
		TEST(nor_is_what_follows_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
