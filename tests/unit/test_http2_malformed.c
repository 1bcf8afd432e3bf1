// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * Frames that no correct peer sends, and records that the kernel programs cannot have sent. Oracle: the sections of RFC
 * 9113 that forbid them.
 */
#include "h2_talk.h"

#include <errno.h>

struct bad_frame {
	const char *section;
	int d;
	uint8_t type, flags;
	uint32_t stream;
	const char *payload;
	size_t n;
};

#define FRAME(section, d, type, flags, stream, payload)                       \
	{                                                                     \
		section, d, type, flags, stream, payload, sizeof(payload) - 1 \
	}

/* Stream 1: its request is whole; 3: it is not. Others are idle. */
static const struct bad_frame frames[] = {
	FRAME("6.1 DATA on stream 0", REQUESTS, DATA, 0, 0, "x"),
	FRAME("5.1 DATA on an idle stream", REQUESTS, DATA, 0, 9, "x"),
	FRAME("5.1 DATA of the server on an idle stream", ANSWERS, DATA, 0, 9, "x"),
	FRAME("5.1 DATA after END_STREAM", REQUESTS, DATA, 0, 1, "x"),
	FRAME("8.1 DATA before HEADERS", ANSWERS, DATA, 0, 1, "x"),
	FRAME("6.1 padded without a length of the padding", REQUESTS, DATA, PADDED, 0, ""),
	FRAME("6.2 HEADERS on stream 0", REQUESTS, HEADERS, END_HEADERS, 0, "\x82\x86\x84"),
	FRAME("5.1 HEADERS of the server on an idle stream", ANSWERS, HEADERS, END_HEADERS, 9, "\x88"),
	FRAME("5.1.1 HEADERS of the client on an even stream", REQUESTS, HEADERS, END_HEADERS, 8, "\x82\x86\x84"),
	FRAME("8.1 trailers without END_STREAM", REQUESTS, HEADERS, END_HEADERS, 3, "\0\1a\1b"),
	FRAME("5.1 HEADERS after END_STREAM", REQUESTS, HEADERS, END_HEADERS | END_STREAM, 1, "\0\1a\1b"),
	FRAME("8.3.2 a response without a status", ANSWERS, HEADERS, END_HEADERS, 1, "\0\1a\1b"),
	FRAME("8.3.1 a request without a method", REQUESTS, HEADERS, END_HEADERS, 11, "\x86\x84"),
	FRAME("8.3.1 a request without a path", REQUESTS, HEADERS, END_HEADERS, 11, "\x82\x86"),
	FRAME("6.3 PRIORITY of four bytes", REQUESTS, PRIORITY, 0, 1, "abcd"),
	FRAME("6.3 PRIORITY on stream 0", REQUESTS, PRIORITY, 0, 0, "abcde"),
	FRAME("6.4 RST_STREAM of three bytes", REQUESTS, RST_STREAM, 0, 1, "abc"),
	FRAME("6.4 RST_STREAM of five bytes", REQUESTS, RST_STREAM, 0, 1, "abcde"),
	FRAME("6.4 RST_STREAM on stream 0", REQUESTS, RST_STREAM, 0, 0, "abcd"),
	FRAME("6.4 RST_STREAM on an idle stream", REQUESTS, RST_STREAM, 0, 9, "abcd"),
	FRAME("6.4 RST_STREAM of the server on an idle stream", ANSWERS, RST_STREAM, 0, 4, "abcd"),
	FRAME("6.5 SETTINGS on a stream", REQUESTS, SETTINGS, 0, 1, ""),
	FRAME("6.5 SETTINGS of five bytes", REQUESTS, SETTINGS, 0, 0, "abcde"),
	FRAME("6.5 an acknowledgement with a payload", REQUESTS, SETTINGS, ACK, 0, "\0\1\0\0\0\0"),
	FRAME("6.5.3 an acknowledgement of nothing", REQUESTS, SETTINGS, ACK, 0, ""),
	FRAME("6.6 PUSH_PROMISE of a client", REQUESTS, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\2\x82\x86\x84"),
	FRAME("6.6 PUSH_PROMISE on stream 0", ANSWERS, PUSH_PROMISE, END_HEADERS, 0, "\0\0\0\2\x82\x86\x84"),
	FRAME("6.6 PUSH_PROMISE of an odd stream", ANSWERS, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\7\x82\x86\x84"),
	FRAME("6.6 PUSH_PROMISE of stream 0", ANSWERS, PUSH_PROMISE, END_HEADERS, 1, "\0\0\0\0\x82\x86\x84"),
	FRAME("6.6 PUSH_PROMISE on an idle stream", ANSWERS, PUSH_PROMISE, END_HEADERS, 9, "\0\0\0\2\x82\x86\x84"),
	FRAME("6.7 PING of seven bytes", REQUESTS, PING, 0, 0, "abcdefg"),
	FRAME("6.7 PING on a stream", REQUESTS, PING, 0, 1, "abcdefgh"),
	FRAME("6.8 GOAWAY of seven bytes", ANSWERS, GOAWAY, 0, 0, "abcdefg"),
	FRAME("6.8 GOAWAY on a stream", ANSWERS, GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0"),
	FRAME("6.9 WINDOW_UPDATE of five bytes", REQUESTS, WINDOW_UPDATE, 0, 1, "abcde"),
	FRAME("6.9 WINDOW_UPDATE on an idle stream", REQUESTS, WINDOW_UPDATE, 0, 9, "abcd"),
	FRAME("6.10 CONTINUATION of nothing", REQUESTS, CONTINUATION, END_HEADERS, 1, "\x82"),
};

/* RFC 9113, 5.5 and others: legal, however odd. */
static const struct bad_frame odd[] = {
	FRAME("5.5 a frame of an unknown type", REQUESTS, 0xfa, 0xff, 9, "whatever"),
	FRAME("6.3 PRIORITY on an idle stream", REQUESTS, PRIORITY, 0, 9, "abcde"),
	FRAME("6.5.2 an unknown setting", REQUESTS, SETTINGS, 0, 0, "\xff\1\0\0\0\0"),
	FRAME("6.7 PING", REQUESTS, PING, ACK, 0, "abcdefgh"),
	FRAME("6.1 DATA of nothing but padding", REQUESTS, DATA, PADDED, 3, "\1\0"),
	FRAME("4.1 reserved bits", REQUESTS, DATA, 0, 0x80000003, "x"),
	FRAME("8.1 interim response", ANSWERS, HEADERS, END_HEADERS, 1,
	      "\x08\x03"
	      "103"),
	FRAME("6.2 HEADERS with a priority and padding", ANSWERS, HEADERS, END_HEADERS | PADDED | PRIORITIES, 1,
	      "\2\0\0\0\0\0\x08\x03"
	      "103\0\0"),
	FRAME("8.4 a promise", ANSWERS, PUSH_PROMISE, END_HEADERS | PADDED, 1, "\2\0\0\0\2\x82\x86\x84\0\0"),
};

/* On a connection of its own. */
static void start(void)
{
	again();
	ask(&w, 1, "/a", END_STREAM);
	ask(&w, 3, "/b", 0);
}

/* The frame between the others, which mean what they would without it. */
static void expect_malformed(const struct bad_frame *f, uint64_t malformed)
{
	struct h2_counts c;

	start();
	say(&w, f->d, f->type, f->flags, f->stream, f->payload, f->n);
	answer(&w, 1, "200", END_STREAM);
	data(&w, REQUESTS, 3, 1, END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	ask(&w, 13, "/c", END_STREAM);
	answer(&w, 13, "404", END_STREAM);
	fed();
	c = seen_counts(&seen);
	if (c.malformed != malformed)
		fail_msg("%s: counted %d times", f->section, (int)c.malformed);
	for (uint32_t id = 1; id <= 3; id += 2)
		if (!seen_stream(&seen, id) || seen_stream(&seen, id)->e.outcome != TW_ANSWERED)
			fail_msg("%s: stream %d is not answered", f->section, (int)id);
	assert_string_equal(seen_stream(&seen, 13)->text, "GET /c");
	assert_int_equal(seen_stream(&seen, 13)->e.status, 404);
	assert_int_equal(c.desynchronised + c.bad_records + c.tables_lost, 0);
}

static void a_frame_that_is_not_allowed_is_counted_once_and_ignored(void **state)
{
	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++)
		expect_malformed(&frames[i], 1);
}

static void what_is_allowed_is_not_counted(void **state)
{
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
		expect_malformed(&odd[i], 0);
}

/* RFC 9113, 6.10: what it would have put into the table is unknown. */
static void a_header_block_that_is_interrupted_loses_the_table(void **state)
{
	static const uint8_t half[] = { 0x82, 0x86, 0x04 };
	static const uint8_t setting[6] = { 0, 3, 0, 0, 0, 100 };

	for (int how = 0; how < 3; how++) {
		start();
		say(&w, REQUESTS, HEADERS, END_STREAM, 5, half, 3);
		if (how == 0)
			say(&w, REQUESTS, SETTINGS, 0, 0, setting, 6);
		else if (how == 1)
			say(&w, REQUESTS, CONTINUATION, END_HEADERS, 7, "\2/a", 3);
		else
			ask(&w, 7, "/other", END_STREAM);
		ask(&w, 13, "/c", END_STREAM);
		answer(&w, 13, "200", END_STREAM);
		fed();
		assert_int_equal(seen_counts(&seen).malformed, 1);
		assert_int_equal(seen_counts(&seen).tables_lost, 1);
		assert_int_equal(seen_counts(&seen).requests, how == 2 ? 4 : 3);
		assert_string_equal(seen_stream(&seen, 13)->text, "GET /c");
	}
}

/* RFC 9113, 6.2: padding that is longer than what is left. */
static void padding_beyond_the_frame_is_counted(void **state)
{
	start();
	say(&w, REQUESTS, HEADERS, END_HEADERS | END_STREAM | PADDED, 5, "\x09\x82\x86\x84", 4);
	ask(&w, 13, "/c", END_STREAM);
	answer(&w, 13, "200", END_STREAM);
	fed();
	assert_int_equal(seen_counts(&seen).malformed, 1);
	assert_int_equal(seen_counts(&seen).tables_lost, 1);
	assert_string_equal(seen_stream(&seen, 13)->text, "GET /c");
}

/* RFC 9113, 8.1: they have no pseudo-header fields, and are the last. */
static void trailers_that_are_none_are_counted(void **state)
{
	start();
	say(&w, REQUESTS, HEADERS, END_HEADERS | END_STREAM, 3, "\x82", 1);
	answer(&w, 3, "200", 0);
	say(&w, ANSWERS, HEADERS, END_HEADERS, 3, "\0\1a\1b", 5);
	answer(&w, 3, "200", END_STREAM);
	fed();
	assert_int_equal(seen_counts(&seen).malformed, 3);
	assert_int_equal(seen_stream(&seen, 3)->e.outcome, TW_ANSWERED);
}

/* RFC 9113, 8.3.1: it is a request all the same, as its stream is a new one. */
static void a_request_without_any_pseudo_header_field_is_one(void **state)
{
	start();
	say(&w, REQUESTS, HEADERS, END_HEADERS | END_STREAM, 5, "\0\1a\1b", 5);
	answer(&w, 5, "400", END_STREAM);
	fed();
	assert_int_equal(seen_counts(&seen).malformed, 1);
	assert_int_equal(seen_counts(&seen).unknown_requests, 0); /* all of it is known: it names nothing */
	assert_int_equal(seen_stream(&seen, 5)->e.status, 400);
}

/* RFC 9113, 5.1.1. */
static void a_stream_is_promised_once(void **state)
{
	static const uint8_t promise[] = { 0, 0, 0, 2, 0x82, 0x86, 0x84 };

	start();
	say(&w, ANSWERS, PUSH_PROMISE, END_HEADERS, 1, promise, 7);
	say(&w, ANSWERS, PUSH_PROMISE, END_HEADERS, 1, promise, 7);
	answer(&w, 2, "200", END_STREAM);
	fed();
	assert_int_equal(seen_counts(&seen).malformed, 1);
	assert_int_equal(seen_counts(&seen).requests, 3);
}

static void streams_that_have_ended_take_what_was_under_way(void **state)
{
	start();
	reset(&w, ANSWERS, 3, 7);
	data(&w, REQUESTS, 3, 100, 0);
	data(&w, REQUESTS, 3, 100, END_STREAM);
	reset(&w, REQUESTS, 3, 5);
	say(&w, REQUESTS, WINDOW_UPDATE, 0, 3, "\0\0\0\1", 4);
	answer(&w, 3, "200", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	fed();
	assert_int_equal(seen.n_ended, 2);
	assert_int_equal(seen_counts(&seen).malformed, 0);
}

/* ---- header lists ------------------------------------------------------------------------------------------------ */

struct named {
	const char *method, *path, *text;
	bool truncated;
};

static void paths_end_at_their_query_and_at_240_bytes(void **state)
{
	static char endless[5000], expected[TW_PATH_MAX + 1];
	static const struct named cases[] = {
		{ "GET", "/a", "GET /a", false },
		{ "GET", "/a?b=c", "GET /a", false },
		{ "GET", "/?", "GET /", false },
		{ "GET", "/a b", "GET /a", false },
		{ "OPTIONS", "*", "OPTIONS *", false },
		{ "PATCH", "/\xc3\xa9", "PATCH /\xc3\xa9", false },
		{ "GET", endless, expected, true },
		{ "AVERYLONGMETHODOFMORETHANTHIRTYTWOBYTES", "/a", "AVERYLONGMETHODOFMORETHANTHIRTYT /a", true },
	};
	struct bytes block;

	memset(endless, 'x', sizeof(endless) - 1);
	endless[0] = '/';
	snprintf(expected, sizeof(expected), "GET %.*s", TW_PATH_MAX - 4, endless);
	for (uint32_t i = 0; i < 8; i++) {
		block.n = 0;
		put_field(&block, ":method", cases[i].method);
		put_field(&block, ":path", cases[i].path);
		say_block(&w, REQUESTS, END_STREAM, 1 + 2 * i, &block);
		answer(&w, 1 + 2 * i, "200", END_STREAM);
	}
	fed();
	for (uint32_t i = 0; i < 8; i++) {
		const struct seen_exchange *x = seen_stream(&seen, 1 + 2 * i);

		assert_string_equal(x->text, cases[i].text);
		assert_int_equal(x->e.truncated, cases[i].truncated);
	}
	assert_int_equal(seen_counts(&seen).malformed, 0);
}

/* RFC 9110, 15: three digits; those below 100 have numbers of their own (see tw_abi.h). */
static void statuses_are_three_digits(void **state)
{
	static const char *const statuses[] = { "200", "599", "999", "099", "000", "20", "2000", "2x0", "" };
	static const int expected[] = { 200, 599, 999, TW_STATUS_LOW + 99, TW_STATUS_LOW, 0, 0, 0, 0 };

	for (uint32_t i = 0; i < 9; i++) {
		ask(&w, 1 + 2 * i, "/a", END_STREAM);
		answer(&w, 1 + 2 * i, statuses[i], END_STREAM);
	}
	fed();
	for (uint32_t i = 0; i < 9; i++) {
		const struct h2_exchange *e = &seen_stream(&seen, 1 + 2 * i)->e;

		assert_int_equal(e->status, expected[i]);
		assert_int_equal(e->outcome, expected[i] ? TW_ANSWERED : TW_RESET_BY_SERVER);
	}
	assert_int_equal(seen_counts(&seen).malformed, 4);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void a_record_that_is_none_is_refused_and_counted(void **state)
{
	struct wire_record r;

	start();
	r = w.records[w.n - 1];
	seen_init(&seen);
	for (size_t i = 0; i + 1 < w.n; i++)
		assert_int_equal(http2__record(seen.h, w.records[i].bytes, w.records[i].len), 0);
	/* Every length that is too short. */
	for (size_t len = 0; len < r.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, r.bytes, len);
		assert_int_equal(http2__record(seen.h, copy, len), -EINVAL);
		free(copy);
	}
	assert_int_equal(seen_counts(&seen).bad_records, r.len);
	r.head.type = TW_R_TLS;
	assert_int_equal(http2__record(seen.h, r.bytes, r.len), -EINVAL);
	assert_int_equal(seen_counts(&seen).requests, 1);
	assert_int_equal(seen_counts(&seen).desynchronised, 0);
}

/* Who knows what was meant: the connection is lost, for now. */
static void an_item_that_is_none_loses_the_connection_and_not_more(void **state)
{
	static const uint8_t whats[] = { 0, TW_H2_SINCE + 1, TW_H2_READ, TW_H2_ASKED, TW_H2_SINCE, TW_H2_BEGINS };

	for (size_t i = 0; i < sizeof(whats); i++) {
		struct h2_counts c;

		start();
		wire_tell(&w, REQUESTS, whats[i], w.side[REQUESTS].place, "abcd", 4);
		seen_init(&seen);
		for (size_t k = 0; k < w.n; k++)
			assert_int_equal(http2__record(seen.h, w.records[k].bytes, w.records[k].len),
			                 k + 1 < w.n ? 0 : -EINVAL);
		c = seen_counts(&seen);
		assert_int_equal(c.bad_records, 1);
		assert_int_equal(c.desynchronised, 2);
		assert_int_equal(c.open, 0);
	}
}

static void bytes_at_a_place_that_cannot_be_next_lose_the_direction(void **state)
{
	static const int32_t offs[] = { -1000, -1, 1, 1000 };

	for (size_t i = 0; i < 4; i++) {
		start();
		w.side[REQUESTS].place += offs[i];
		ask(&w, 5, "/c", END_STREAM);
		answer(&w, 5, "200", END_STREAM);
		fed();
		assert_int_equal(seen_counts(&seen).desynchronised, 1);
		assert_int_equal(seen_counts(&seen).resynchronised, 1);
		assert_int_equal(seen_counts(&seen).bad_records, offs[i] < 0);
		assert_int_equal(seen_stream(&seen, 1)->e.outcome, TW_UNOBSERVED);
		assert_int_equal(seen_stream(&seen, 3)->e.outcome, TW_UNOBSERVED);
		assert_int_equal(seen_stream(&seen, 5)->e.outcome, TW_ANSWERED);
	}
}

/* Whose idea of where frames begin is right cannot be told. */
static void a_frame_that_begins_where_none_was_said_to_loses_the_direction(void **state)
{
	struct tw_h2_item *item;

	for (int begins = 0; begins < 2; begins++) {
		start();
		if (begins) {
			wire_segment(&w, REQUESTS, (const uint8_t *)"\0\0\6\4\0\0\0\0\0", 9);
			wire_segment(&w, REQUESTS, (const uint8_t *)"\0\3\0\0\0\1", 6);
		} else {
			ask(&w, 5, "/c", END_STREAM);
		}
		item = (struct tw_h2_item *)(w.records[w.n - 1].bytes + sizeof(struct tw_h2_record));
		assert_int_equal(item->flags, begins ? 0 : TW_H2_AT_HEAD);
		item->flags ^= TW_H2_AT_HEAD;
		fed();
		assert_int_equal(seen_counts(&seen).bad_records, 1);
		assert_int_equal(seen_counts(&seen).desynchronised, 1);
		assert_int_equal(seen_counts(&seen).open, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_frame_that_is_not_allowed_is_counted_once_and_ignored),
		TEST(what_is_allowed_is_not_counted),
		TEST(a_header_block_that_is_interrupted_loses_the_table),
		TEST(padding_beyond_the_frame_is_counted),
		TEST(trailers_that_are_none_are_counted),
		TEST(a_request_without_any_pseudo_header_field_is_one),
		TEST(a_stream_is_promised_once),
		TEST(streams_that_have_ended_take_what_was_under_way),
		TEST(paths_end_at_their_query_and_at_240_bytes),
		TEST(statuses_are_three_digits),
		TEST(a_record_that_is_none_is_refused_and_counted),
		TEST(an_item_that_is_none_loses_the_connection_and_not_more),
		TEST(bytes_at_a_place_that_cannot_be_next_lose_the_direction),
		TEST(a_frame_that_begins_where_none_was_said_to_loses_the_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
