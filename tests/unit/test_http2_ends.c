// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * When a stream begins and ends, to the byte: frames whose heads come in pieces, and payloads that take their time.
 * Oracles: the segments' own times; RFC 9113, 6.1 for what END_STREAM closes, and when a frame is there.
 */
#include "h2_talk.h"

#include <errno.h>

static struct bytes frame;

static void expect(enum tw_outcome outcome, bool cut)
{
	const struct h2_exchange *e = fed();

	assert_non_null(e);
	assert_int_equal(e->outcome, outcome);
	assert_int_equal(e->cut, cut);
	assert_int_equal(e->t_end, w.t);
	assert_int_equal(seen_counts(&seen).malformed + seen_counts(&seen).desynchronised, 0);
}

/* A DATA frame of n bytes, of which these are sent; the rest of it is sent by more(). */
static void data_begins(int d, uint8_t flags, size_t n, size_t sent)
{
	static const uint8_t nothing[1000];

	frame.n = 0;
	put_frame(&frame, DATA, flags, 1, nothing, n);
	wire_segment(&w, d, frame.b, sent);
	frame.n -= sent;
	memmove(frame.b, frame.b + sent, frame.n);
}

static void more(int d, size_t n)
{
	wire_segment(&w, d, frame.b, n);
	frame.n -= n;
	memmove(frame.b, frame.b + n, frame.n);
}

static void an_answer_has_ended_when_its_last_byte_has_passed(void **state)
{
	const struct h2_exchange *e;
	uint64_t t;

	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", 0);
	data_begins(ANSWERS, END_STREAM, 300, TW_H2_HEAD + 100);
	expect_open();
	w.t += SEEN_S;
	more(ANSWERS, 199);
	expect_open();
	more(ANSWERS, 1);
	t = w.t;
	say(&w, ANSWERS, PING, 0, 0, "abcdefgh", 8);
	e = fed();
	assert_int_equal(e->outcome, TW_ANSWERED);
	assert_int_equal(e->t_last, t);
	assert_int_equal(e->t_end, t);
	assert_int_equal(e->messages[ANSWERS], 1);
}

static void padding_alone_is_a_payload_and_nothing_is_none(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", 0);
	data_begins(ANSWERS, END_STREAM | PADDED, 1, TW_H2_HEAD);
	expect_open();
	more(ANSWERS, 1);
	expect(TW_ANSWERED, false);
	again();
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", 0);
	data_begins(ANSWERS, END_STREAM, 0, TW_H2_HEAD);
	expect(TW_ANSWERED, false);
}

static void who_dies_inside_the_last_frame_has_not_answered(void **state)
{
	static const struct {
		int d;
		uint8_t what;
		uint32_t at;
		enum tw_outcome outcome;
	} cases[] = {
		{ ANSWERS, TW_H2_FIN, 0, TW_TRUNCATED },        { ANSWERS, TW_H2_RST, 0, TW_RESET_BY_SERVER },
		{ REQUESTS, TW_H2_RST, 0, TW_RESET_BY_CLIENT }, { ANSWERS, TW_H2_GONE, ETIMEDOUT, TW_TIMEOUT },
		{ ANSWERS, TW_H2_GONE, 0, TW_UNOBSERVED },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		again();
		ask(&w, 1, "/a", END_STREAM);
		answer(&w, 1, "200", 0);
		data_begins(ANSWERS, END_STREAM, 300, TW_H2_HEAD + 299);
		wire_tell(&w, cases[i].d, cases[i].what, cases[i].at, NULL, 0);
		expect(cases[i].outcome, true);
	}
	again();
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", 0);
	data_begins(ANSWERS, END_STREAM, 300, TW_H2_HEAD + 299);
	reset(&w, REQUESTS, 1, 8);
	expect(TW_RESET_BY_CLIENT, true);
}

static void a_request_is_whole_when_its_last_byte_has_come(void **state)
{
	const struct h2_exchange *e;
	uint64_t t;

	ask(&w, 1, "/a", 0);
	data_begins(REQUESTS, END_STREAM, 300, TW_H2_HEAD + 299);
	w.t += 40 * SEEN_S; /* of the client's, which is no timeout of the server's */
	more(REQUESTS, 1);
	t = w.t;
	w.t += 29 * SEEN_S;
	answer(&w, 1, "200", END_STREAM);
	e = fed();
	assert_int_equal(e->outcome, TW_ANSWERED);
	assert_int_equal(e->t_whole, t);
}

static void what_a_peer_sends_of_its_request_after_the_answer_means_nothing(void **state)
{
	ask(&w, 1, "/a", 0);
	data_begins(REQUESTS, END_STREAM, 300, TW_H2_HEAD + 299);
	answer(&w, 1, "413", END_STREAM);
	expect(TW_ANSWERED, false);
	more(REQUESTS, 1);
	assert_int_equal(fed()->t_whole, 0);
	assert_int_equal(seen_counts(&seen).malformed + seen_counts(&seen).desynchronised, 0);
}

/* What ask(), or answer(), says, in pieces of this many bytes; a second goes by between them. */
static void in_pieces(int d, size_t cut)
{
	static struct wire whole;
	const struct wire_record *r;
	struct tw_h2_item item;
	const uint8_t *p;

	wire_init(&whole, 7);
	whole.side[d].begun = true;
	if (d == REQUESTS)
		ask(&whole, 1, "/a", END_STREAM);
	else
		answer(&whole, 1, "200", END_STREAM);
	r = whole.records;
	memcpy(&item, r->bytes + sizeof(r->head), sizeof(item));
	p = r->bytes + sizeof(r->head) + sizeof(item);
	for (size_t at = 0; at < item.len; at += cut) {
		wire_segment(&w, d, p + at, item.len - at < cut ? item.len - at : cut);
		w.t += SEEN_S;
	}
	w.t -= SEEN_S;
	wire_free(&whole);
}

static void a_stream_begins_with_the_first_byte_of_its_head(void **state)
{
	for (size_t cut = 1; cut < 12; cut++) {
		const struct h2_exchange *e;
		uint64_t asked, answered;

		again();
		asked = w.t + w.step;
		in_pieces(REQUESTS, cut);
		answered = w.t + w.step;
		in_pieces(ANSWERS, cut);
		e = fed();
		assert_non_null(e);
		assert_int_equal(e->t_start, asked);
		assert_int_equal(e->t_first, answered);
		assert_int_equal(e->t_last, w.t);
		assert_int_equal(seen_counts(&seen).bad_records, 0);
	}
}

/* The tail of one frame, the pieces of the next head, and whole frames behind it. */
static void the_time_of_pieces_is_of_one_head_only(void **state)
{
	const struct h2_exchange *e;
	uint64_t t;

	ask(&w, 1, "/a", END_STREAM);
	ask(&w, 3, "/b", END_STREAM);
	frame.n = 0;
	put_frame(&frame, HEADERS, END_HEADERS | END_STREAM, 1, "\x88", 1);
	put_frame(&frame, HEADERS, END_HEADERS | END_STREAM, 3, "\x88", 1);
	t = w.t + w.step;
	more(ANSWERS, 4);
	w.t += SEEN_S;
	more(ANSWERS, frame.n);
	e = fed();
	assert_int_equal(e->t_first, t);
	assert_int_equal(seen_stream(&seen, 3)->e.t_first, w.t);
}

static void a_time_that_is_still_to_come_is_none(void **state)
{
	uint64_t later;

	w.open = NULL;
	w.t += w.step;
	later = w.t + 5;
	wire_item(&w, REQUESTS, TW_H2_SINCE, 0, w.side[REQUESTS].place, &later, sizeof(later));
	w.open = NULL;
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	assert_true(later < w.t);
	assert_int_equal(fed()->t_start, later); /* it has come by then */
	again();
	later = w.t + SEEN_S;
	wire_tell(&w, REQUESTS, TW_H2_SINCE, w.side[REQUESTS].place, &later, sizeof(later));
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	assert_int_equal(fed()->t_start, w.t - w.step);
}

static void a_connection_may_be_found_at_a_head_in_pieces(void **state)
{
	uint64_t t = 0;

	for (int first = 0; first < 2; first++) {
		end(NULL);
		wire_init(&w, 7);
		w.side[REQUESTS].begun = true;
		t = w.t;
		w.t += SEEN_S;
		w.open = NULL;
		if (first)
			wire_item(&w, REQUESTS, TW_H2_JOINED, 0, w.side[REQUESTS].place, NULL, 0);
		wire_item(&w, REQUESTS, TW_H2_SINCE, 0, w.side[REQUESTS].place, &t, sizeof(t));
		if (!first)
			wire_item(&w, REQUESTS, TW_H2_JOINED, 0, w.side[REQUESTS].place, NULL, 0);
		w.open = NULL;
		ask(&w, 1, "/a", END_STREAM);
		wire_tell(&w, ANSWERS, TW_H2_RST, 0, NULL, 0);
		assert_int_equal(fed()->t_start, t);
	}
}

/* Drops the record in which stream 1 ends, and gives what was counted; nothing says that it is missing. */
static struct h2_counts without_the_end(bool elsewhere)
{
	struct tw_h2_item item;
	size_t ends;

	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", 0);
	data_begins(ANSWERS, END_STREAM, 300, TW_H2_HEAD + 299);
	ends = w.n;
	more(ANSWERS, 1);
	ask(&w, 3, "/b", END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	memcpy(&item, w.records[ends].bytes + sizeof(struct tw_h2_record), sizeof(item));
	assert_int_equal(item.what, TW_H2_ENDED);
	item.at++;
	memcpy(w.records[ends].bytes + sizeof(struct tw_h2_record), &item, sizeof(item));
	seen_init(&seen);
	for (size_t i = 0; i < w.n; i++)
		if (i != ends || elsewhere)
			assert_int_equal(http2__record(seen.h, w.records[i].bytes, w.records[i].len), 0);
	assert_int_equal(seen_stream(&seen, 1)->e.outcome, TW_UNOBSERVED);
	return seen_counts(&seen);
}

static void an_end_that_was_not_told_or_is_another_frames_is_a_loss(void **state)
{
	for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
		struct h2_counts c;

		again();
		c = without_the_end(elsewhere);
		assert_int_equal(c.desynchronised, 1);
		assert_int_equal(c.resynchronised, 1);
		assert_int_equal(c.malformed, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_has_ended_when_its_last_byte_has_passed),
		TEST(padding_alone_is_a_payload_and_nothing_is_none),
		TEST(who_dies_inside_the_last_frame_has_not_answered),
		TEST(a_request_is_whole_when_its_last_byte_has_come),
		TEST(what_a_peer_sends_of_its_request_after_the_answer_means_nothing),
		TEST(a_stream_begins_with_the_first_byte_of_its_head),
		TEST(the_time_of_pieces_is_of_one_head_only),
		TEST(a_time_that_is_still_to_come_is_none),
		TEST(a_connection_may_be_found_at_a_head_in_pieces),
		TEST(an_end_that_was_not_told_or_is_another_frames_is_a_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
