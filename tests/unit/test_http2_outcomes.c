// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * What becomes of a stream, for each way in which it can end. Oracles: RFC 9113 for what a frame means, and the
 * README's outcomes, written down by hand for each conversation.
 */
#include "h2_talk.h"

static void expect_of(const struct h2_exchange *e, enum tw_outcome outcome, bool cut, uint32_t error)
{
	assert_non_null(e);
	assert_int_equal(e->outcome, outcome);
	assert_int_equal(e->cut, cut);
	assert_int_equal(e->error, error);
}

static void expect(enum tw_outcome outcome, bool cut, uint32_t error)
{
	expect_of(fed(), outcome, cut, error);
	assert_int_equal(seen_counts(&seen).malformed, 0);
}

static void an_answer_ends_with_the_servers_end_of_stream(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	expect_open();
	answer(&w, 1, "200", 0);
	data(&w, ANSWERS, 1, 100, 0);
	expect_open();
	data(&w, ANSWERS, 1, 0, END_STREAM);
	expect(TW_ANSWERED, false, 0);
}

static void an_answer_may_be_whole_before_its_request_is(void **state)
{
	ask(&w, 1, "/a", 0);
	data(&w, REQUESTS, 1, 10, 0);
	answer(&w, 1, "413", END_STREAM);
	/* RFC 9113, 8.1: the server may then ask the client to stop sending. */
	reset(&w, ANSWERS, 1, 0);
	data(&w, REQUESTS, 1, 10, END_STREAM);
	expect(TW_ANSWERED, false, 0);
}

static void say_trailers(int d)
{
	struct bytes trailers = { .n = 0 };

	put_field(&trailers, "checksum", "1");
	say_block(&w, d, END_STREAM, 1, &trailers);
}

static void trailers_end_an_answer(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", 0);
	data(&w, ANSWERS, 1, 10, 0);
	say_trailers(ANSWERS);
	expect(TW_ANSWERED, false, 0);
}

static void trailers_end_a_request(void **state)
{
	const struct h2_exchange *e;

	ask(&w, 1, "/a", 0);
	data(&w, REQUESTS, 1, 10, 0);
	say_trailers(REQUESTS);
	answer(&w, 1, "200", END_STREAM);
	e = fed();
	assert_int_equal(e->t_whole, w.t - w.step);
	assert_int_equal(seen_counts(&seen).requests, 1);
}

static void interim_responses_are_not_the_answer(void **state)
{
	const struct h2_exchange *e;
	uint64_t t;

	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "100", 0);
	answer(&w, 1, "103", 0);
	reset(&w, REQUESTS, 1, 8);
	expect(TW_RESET_BY_CLIENT, false, 8);
	again();
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "103", 0);
	answer(&w, 1, "204", END_STREAM);
	t = w.t;
	e = fed();
	assert_int_equal(e->status, 204);
	assert_int_equal(e->t_first, t);
}

static void a_reset_is_of_whose_it_is(void **state)
{
	static const uint32_t codes[] = { 0, 1, 2, 7, 8, 11, 0xffffffff }; /* REFUSED_STREAM is 7 */

	for (int d = 0; d < 2; d++) {
		for (int begun = 0; begun < 2; begun++) {
			for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
				again();
				ask(&w, 1, "/a", 0);
				if (begun)
					answer(&w, 1, "200", 0);
				reset(&w, d, 1, codes[i]);
				/* What comes later changes nothing. */
				data(&w, ANSWERS, 1, 10, END_STREAM);
				expect(d == REQUESTS ? TW_RESET_BY_CLIENT : TW_RESET_BY_SERVER, begun, codes[i]);
			}
		}
	}
}

static void an_end_without_an_answer_is_the_servers_failure(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	data(&w, ANSWERS, 1, 10, END_STREAM); /* RFC 9113, 8.1: HEADERS come first */
	expect_of(fed(), TW_RESET_BY_SERVER, false, 0);
	assert_int_equal(seen_counts(&seen).malformed, 1);
}

/* RFC 9113, 6.8. */
static void a_goaway_ends_what_it_leaves_out_and_nothing_else(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	ask(&w, 3, "/b", END_STREAM);
	ask(&w, 5, "/c", END_STREAM);
	goaway(&w, ANSWERS, 0x7fffffff, 0);
	goaway(&w, ANSWERS, 1, 11);
	ask(&w, 7, "/d", END_STREAM); /* it had not arrived yet */
	answer(&w, 1, "200", END_STREAM);
	expect_of(fed(), TW_ANSWERED, false, 0);
	for (uint32_t id = 3; id <= 7; id += 2)
		expect_of(&seen_stream(&seen, id)->e, TW_UNANSWERED, false, 11);
	assert_int_equal(seen_stream(&seen, 3)->e.t_end, seen_stream(&seen, 5)->e.t_end);
	assert_int_equal(seen_counts(&seen).malformed, 0);
}

/* RFC 9113, 6.8 and 8.7: what an orderly GOAWAY leaves out has not been looked at, and may be asked elsewhere. */
static void an_orderly_goaway_withdraws_what_it_leaves_out(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	ask(&w, 3, "/b", END_STREAM);
	ask(&w, 5, "/c", END_STREAM);
	answer(&w, 5, "200", 0); /* it was looked at, whatever is said later */
	goaway(&w, ANSWERS, 0x7fffffff, 0);
	goaway(&w, ANSWERS, 1, 0);
	ask(&w, 7, "/d", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	wire_tell(&w, ANSWERS, TW_H2_FIN, 0, NULL, 0);
	ask(&w, 9, "/e", END_STREAM);
	fed();
	assert_int_equal(seen_counts(&seen).withdrawn, 3);
	assert_null(seen_stream(&seen, 3));
	assert_null(seen_stream(&seen, 7));
	assert_null(seen_stream(&seen, 9)); /* what it said holds when it has closed its side */
	expect_of(&seen_stream(&seen, 1)->e, TW_ANSWERED, false, 0);
	expect_of(&seen_stream(&seen, 5)->e, TW_TRUNCATED, true, 0);
}

/* What the server has said of it holds, however it closes then; one that it would have looked at is its failure. */
static void a_request_that_crosses_a_goaway_and_the_close_behind_it_is_withdrawn(void **state)
{
	static const struct {
		char how;
		uint32_t last, error;
		bool withdrawn;
		enum tw_outcome outcome;
	} cases[] = {
		{ 'F', 1, 0, true, TW_UNANSWERED },   { 'R', 1, 0, true, TW_RESET_BY_SERVER },
		{ 'F', 1, 2, false, TW_UNANSWERED },  { 'R', 1, 2, false, TW_RESET_BY_SERVER },
		{ 'F', 99, 0, false, TW_UNANSWERED }, { 'R', 99, 0, false, TW_RESET_BY_SERVER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		again();
		ask(&w, 1, "/a", END_STREAM);
		answer(&w, 1, "200", END_STREAM);
		goaway(&w, ANSWERS, cases[i].last, cases[i].error);
		close_by(cases[i].how);
		ask(&w, 3, "/b", END_STREAM);
		fed();
		assert_int_equal(seen.n_ended, cases[i].withdrawn ? 1 : 2);
		assert_int_equal(seen_counts(&seen).withdrawn, cases[i].withdrawn);
		if (!cases[i].withdrawn)
			assert_int_equal(seen_stream(&seen, 3)->e.outcome, cases[i].outcome);
	}
}

/* An answer to a request by this method; the length: a content-length, NULL: none. */
static void answer_of_length(const char *method, const char *status, const char *length, uint8_t flags)
{
	struct bytes request = { .n = 0 }, head = { .n = 0 };

	put_field(&request, ":method", method);
	put_index(&request, 6);
	put_field(&request, ":path", "/a");
	say_block(&w, REQUESTS, END_STREAM, 1, &request);
	put_field(&head, ":status", status);
	if (length)
		put_field(&head, "content-length", length);
	say_block(&w, ANSWERS, flags, 1, &head);
}

/* RFC 9113, 8.1.1: the client treats it as an error of the stream. */
static void an_answer_with_less_than_its_content_length_is_cut(void **state)
{
	static const struct {
		const char *method, *status, *length;
		size_t frames[3];
		enum tw_outcome outcome;
	} cases[] = {
		{ "GET", "200", "30", { 10, 10, 10 }, TW_ANSWERED },
		{ "GET", "200", "31", { 10, 10, 10 }, TW_TRUNCATED },
		{ "GET", "503", "31", { 10, 10, 10 }, TW_TRUNCATED },
		{ "POST", "200", "30", { 10, 20, 0 }, TW_ANSWERED },
		{ "POST", "200", "999999999999999999", { 1, 0, 0 }, TW_TRUNCATED },
		{ "GET", "200", "1", { 0 }, TW_TRUNCATED },
		{ "GET", "200", "0", { 0 }, TW_ANSWERED },
		{ "GET", "200", NULL, { 0 }, TW_ANSWERED },
		{ "HEAD", "200", "31", { 0 }, TW_ANSWERED },
		{ "CONNECT", "403", "31", { 10, 20, 0 }, TW_TRUNCATED },
		{ "CONNECT", "403", "30", { 10, 20, 0 }, TW_ANSWERED },
		{ "GET", "304", "31", { 0 }, TW_ANSWERED },
		{ "GET", "200", "3x", { 0 }, TW_ANSWERED },
		{ "GET", "200", "9999999999999999999", { 0 }, TW_ANSWERED },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int trailers = 0; trailers < 2; trailers++) {
			again();
			answer_of_length(cases[i].method, cases[i].status, cases[i].length, 0);
			for (int k = 0; k < 3 && cases[i].frames[k]; k++)
				data(&w, ANSWERS, 1, cases[i].frames[k], 0);
			if (trailers)
				say_trailers(ANSWERS);
			else
				data(&w, ANSWERS, 1, 0, END_STREAM);
			expect(cases[i].outcome, cases[i].outcome != TW_ANSWERED, 0);
		}
	}
	again();
	answer_of_length("GET", "200", "5", END_STREAM);
	expect(TW_TRUNCATED, true, 0);
	again();
	answer_of_length("GET", "200", "5", 0);
	data(&w, ANSWERS, 1, 5, END_STREAM);
	expect(TW_ANSWERED, false, 0);
}

/* RFC 9113, 8.1.1, as well; the client's reset that it mostly leads to takes nothing back. */
static void an_answer_with_more_than_its_content_length_is_cut_and_nobody_elses_doing(void **state)
{
	static const struct {
		const char *method, *status, *length;
		size_t frames[3];
		uint8_t flags;
		enum tw_outcome outcome;
	} cases[] = {
		{ "GET", "200", "29", { 10, 10, 10 }, 0, TW_TRUNCATED },
		{ "GET", "503", "29", { 10, 10, 10 }, 0, TW_TRUNCATED },
		{ "GET", "200", "0", { 1, 0, 0 }, 0, TW_TRUNCATED },
		{ "GET", "200", "29", { 10, 10, 10 }, PADDED, TW_ANSWERED }, /* how much of it is padding is not known
		                                                              */
		{ "GET", "200", "3x", { 10, 10, 10 }, 0, TW_ANSWERED },
		{ "HEAD", "200", "0", { 10, 0, 0 }, 0, TW_ANSWERED },
		{ "GET", "204", "0", { 10, 0, 0 }, 0, TW_ANSWERED },
		{ "CONNECT", "200", "5", { 10, 0, 0 }, 0, TW_ANSWERED },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int reset_first = 0; reset_first < 2; reset_first++) {
			bool cut = cases[i].outcome != TW_ANSWERED;

			again();
			answer_of_length(cases[i].method, cases[i].status, cases[i].length, 0);
			for (int k = 0; k < 3 && cases[i].frames[k]; k++)
				data(&w, ANSWERS, 1, cases[i].frames[k], cases[i].flags);
			if (reset_first && cut)
				reset(&w, REQUESTS, 1, 1);
			data(&w, ANSWERS, 1, 0, END_STREAM);
			expect(cases[i].outcome, cut, 0);
		}
	}
}

/* Of two that differ neither is believed. */
static void two_lengths_that_differ_are_none(void **state)
{
	static const char *const lengths[][3] = { { "5", "9", "5" }, { "0", "5", "9" } };

	for (size_t i = 0; i < 2; i++) {
		struct bytes head = { .n = 0 };

		again();
		ask(&w, 1, "/a", END_STREAM);
		put_field(&head, ":status", "200");
		for (size_t k = 0; k < 3; k++)
			put_field(&head, "content-length", lengths[i][k]);
		say_block(&w, ANSWERS, 0, 1, &head);
		data(&w, ANSWERS, 1, 7, END_STREAM);
		expect(TW_ANSWERED, false, 0);
	}
}

/* Stream 2 is promised, to the request of stream 1. */
static void push(const char *path)
{
	struct bytes promise = { .n = 0 };

	put_32(&promise, 2);
	put_index(&promise, 2);
	put_index(&promise, 6);
	put_field(&promise, ":path", path);
	say(&w, ANSWERS, PUSH_PROMISE, END_HEADERS, 1, promise.b, promise.n);
}

static void a_goaway_of_the_client_is_about_pushes(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	push("/style.css?v=2");
	goaway(&w, REQUESTS, 0, 0);
	answer(&w, 1, "200", END_STREAM);
	expect_of(fed(), TW_ANSWERED, false, 0);
	expect_of(&seen_stream(&seen, 2)->e, TW_CLIENT_ABANDONED, false, 0);
	assert_string_equal(seen_stream(&seen, 2)->text, "GET /style.css");
	assert_true(seen_stream(&seen, 2)->e.pushed);
}

/* RFC 9113, 6.8: the last stream may not rise, and does not. */
static void a_later_goaway_takes_nothing_back(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	goaway(&w, ANSWERS, 1, 2);
	goaway(&w, ANSWERS, 0x7fffffff, 0);
	ask(&w, 3, "/b", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	expect_of(fed(), TW_ANSWERED, false, 0);
	expect_of(&seen_stream(&seen, 3)->e, TW_UNANSWERED, false, 2);
}

static void a_push_may_come_after_the_clients_half_close(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	wire_tell(&w, REQUESTS, TW_H2_FIN, 0, NULL, 0);
	push("/pushed");
	answer(&w, 1, "200", END_STREAM);
	answer(&w, 2, "200", END_STREAM);
	expect_of(fed(), TW_ANSWERED, false, 0);
	expect_of(&seen_stream(&seen, 2)->e, TW_ANSWERED, false, 0);
}

static void trailers_that_come_after_the_answer_are_no_new_request(void **state)
{
	ask(&w, 1, "/a", 0);
	answer(&w, 1, "413", END_STREAM);
	say_trailers(REQUESTS);
	expect_of(fed(), TW_ANSWERED, false, 0);
	assert_int_equal(seen_counts(&seen).requests, 1);
	assert_int_equal(seen_counts(&seen).malformed, 0);
}

/* One close after another; the first decides. */
static void close_all(const char *how)
{
	for (; *how; how++)
		close_by(*how);
}

static void the_first_close_decides(void **state)
{
	static const struct {
		const char *how;
		enum tw_outcome before, inside; /* the final answer */
	} cases[] = {
		{ "F", TW_UNANSWERED, TW_TRUNCATED },
		{ "Ff", TW_UNANSWERED, TW_TRUNCATED },
		{ "Fr", TW_UNANSWERED, TW_TRUNCATED },
		{ "R", TW_RESET_BY_SERVER, TW_RESET_BY_SERVER },
		{ "RF", TW_RESET_BY_SERVER, TW_RESET_BY_SERVER },
		{ "r", TW_RESET_BY_CLIENT, TW_RESET_BY_CLIENT },
		{ "rF", TW_RESET_BY_CLIENT, TW_RESET_BY_CLIENT },
		{ "fF", TW_CLIENT_ABANDONED, TW_CLIENT_ABANDONED },
		{ "fr", TW_CLIENT_ABANDONED, TW_CLIENT_ABANDONED },
		{ "fR", TW_CLIENT_ABANDONED, TW_CLIENT_ABANDONED },
		{ "fg", TW_CLIENT_ABANDONED, TW_CLIENT_ABANDONED },
		{ "t", TW_TIMEOUT, TW_TIMEOUT },
		{ "ft", TW_TIMEOUT, TW_TIMEOUT },
		{ "c", TW_RESET_BY_CLIENT, TW_RESET_BY_CLIENT },
		{ "g", TW_UNOBSERVED, TW_UNOBSERVED },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int inside = 0; inside < 2; inside++) {
			uint64_t t;

			again();
			ask(&w, 1, "/a", END_STREAM);
			if (inside)
				answer(&w, 1, "200", 0);
			t = w.t + w.step;
			close_all(cases[i].how);
			expect(inside ? cases[i].inside : cases[i].before, inside, 0);
			/* The time is that of the first, but for the end that outweighs it. */
			assert_int_equal(seen.ended[0].e.t_end, strcmp(cases[i].how, "ft") ? t : t + w.step);
		}
	}
}

static void what_is_answered_after_the_clients_half_close_is_answered(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	close_all("f");
	expect_open();
	answer(&w, 1, "200", END_STREAM);
	close_all("F");
	expect(TW_ANSWERED, false, 0);
}

static void all_streams_of_a_connection_go_with_it(void **state)
{
	for (uint32_t id = 1; id < 200; id += 2) {
		ask(&w, id, "/a", END_STREAM);
		if (id % 4 == 1)
			answer(&w, id, "200", 0);
	}
	close_all("F");
	ask(&w, 201, "/late", END_STREAM); /* on its way when the server closed */
	fed();
	assert_int_equal(seen.n_ended, 101);
	for (uint32_t id = 1; id < 200; id += 2)
		expect_of(&seen_stream(&seen, id)->e, id % 4 == 1 ? TW_TRUNCATED : TW_UNANSWERED, id % 4 == 1, 0);
	expect_of(&seen_stream(&seen, 201)->e, TW_UNANSWERED, false, 0);
}

/* ---- timeouts ---------------------------------------------------------------------------------------------------- */

static void wait_for(uint64_t ns)
{
	w.t += ns - w.step;
}

static void an_answer_that_begins_too_late_is_a_timeout(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	wait_for(30 * SEEN_S);
	answer(&w, 1, "200", END_STREAM);
	expect(TW_ANSWERED, false, 0);
	again();
	ask(&w, 1, "/a", END_STREAM);
	wait_for(30 * SEEN_S + 1);
	answer(&w, 1, "200", END_STREAM);
	expect(TW_TIMEOUT, false, 0);
}

static void a_slow_answer_and_a_slow_upload_are_no_timeouts(void **state)
{
	ask(&w, 1, "/a", 0);
	wait_for(40 * SEEN_S);
	data(&w, REQUESTS, 1, 10, END_STREAM);
	answer(&w, 1, "200", 0);
	wait_for(40 * SEEN_S);
	data(&w, ANSWERS, 1, 10, END_STREAM);
	expect(TW_ANSWERED, false, 0);
}

static void who_gives_up_after_the_timeout_was_let_down(void **state)
{
	static const char *const hows[] = { "reset", "fF", "F", "r", "R", "g" };

	for (size_t i = 0; i < 6; i++) {
		again();
		ask(&w, 1, "/a", END_STREAM);
		wait_for(31 * SEEN_S);
		if (!i)
			reset(&w, REQUESTS, 1, 8);
		else
			close_all(hows[i]);
		expect(TW_TIMEOUT, false, i ? 0 : 8);
	}
}

static void who_gives_up_inside_an_upload_waits_for_nothing(void **state)
{
	ask(&w, 1, "/a", 0);
	wait_for(31 * SEEN_S);
	reset(&w, REQUESTS, 1, 8);
	expect(TW_RESET_BY_CLIENT, false, 8);
}

/* What was over before a byte of the answer is not cut by what comes later. */
static void an_answer_that_begins_too_late_cannot_be_cut_any_more(void **state)
{
	ask(&w, 1, "/a", END_STREAM);
	wait_for(31 * SEEN_S);
	answer(&w, 1, "200", 0);
	reset(&w, REQUESTS, 1, 8);
	expect(TW_TIMEOUT, false, 8);
}

/* ---- times and the rest ------------------------------------------------------------------------------------------ */

static void times_are_those_of_the_segments(void **state)
{
	struct bytes both = { .n = 0 }, block = { .n = 0 };
	const struct h2_exchange *e;
	uint64_t t[8], read = 5000000;

	put_index(&block, 2);
	put_index(&block, 6);
	put_field(&block, ":path", "/a");
	put_frame(&both, HEADERS, END_HEADERS, 1, block.b, block.n);
	wire_segment(&w, REQUESTS, both.b, 3);
	t[0] = w.t; /* the first byte of HEADERS */
	wire_segment(&w, REQUESTS, both.b + 3, both.n - 3);
	wire_tell(&w, REQUESTS, TW_H2_READ, w.side[REQUESTS].place - 1, &(uint64_t){ 1 }, 8); /* not all of it */
	wire_tell(&w, REQUESTS, TW_H2_READ, w.side[REQUESTS].place, &read, 8);
	wire_tell(&w, REQUESTS, TW_H2_READ, w.side[REQUESTS].place + 1, &(uint64_t){ 9 }, 8);
	data(&w, REQUESTS, 1, 100, 0);
	data(&w, REQUESTS, 1, 100, END_STREAM);
	t[1] = w.t;
	both.n = block.n = 0;
	put_index(&block, 8);
	put_frame(&both, HEADERS, END_HEADERS, 1, block.b, block.n);
	wire_segment(&w, ANSWERS, both.b, 9);
	t[2] = w.t;
	wire_segment(&w, ANSWERS, both.b + 9, both.n - 9);
	data(&w, ANSWERS, 1, 100, 0);
	data(&w, ANSWERS, 1, 50, END_STREAM | PADDED);
	t[3] = w.t;
	e = fed();
	assert_int_equal(e->t_start, t[0]);
	assert_int_equal(e->t_whole, t[1]);
	assert_int_equal(e->t_read, read);
	assert_int_equal(e->t_first, t[2]);
	assert_int_equal(e->t_last, t[3]);
	assert_int_equal(e->t_end, t[3]);
	assert_int_equal(e->messages[ANSWERS], 2);
	assert_int_equal(e->messages[REQUESTS], 2);
	assert_int_equal(e->conn, 7);
	assert_int_equal(e->tgid, 77);
	assert_int_equal(e->version, 3);
	assert_int_equal(e->group, 5);
	assert_false(e->client || e->tls || e->pushed);
}

static void told_read(uint32_t place, uint64_t t)
{
	wire_tell(&w, REQUESTS, TW_H2_READ, place, &t, 8);
}

/* Inside TLS what was read may be told before what it was. */
static void what_was_read_may_be_told_before_it(void **state)
{
	uint32_t place = w.side[REQUESTS].place;

	told_read(place + 1000, 100);
	told_read(place, 200); /* nothing new */
	ask(&w, 1, "/a", END_STREAM);
	answer(&w, 1, "200", END_STREAM);
	assert_int_equal(fed()->t_read, 100);
}

static void each_request_is_read_in_its_turn(void **state)
{
	uint32_t places[6];

	for (uint32_t i = 0; i < 6; i++) {
		ask(&w, 1 + 2 * i, "/a", END_STREAM);
		places[i] = w.side[REQUESTS].place;
		if (i == 1)
			push("/pushed");
	}
	reset(&w, REQUESTS, 1, 8); /* before it was read */
	ask(&w, 13, "/a", END_STREAM);
	told_read(places[1], 100);
	told_read(places[2] - 1, 200);
	told_read(places[3], 300);
	told_read(places[4], 400);
	for (uint32_t i = 1; i < 7; i++)
		answer(&w, 1 + 2 * i, "200", END_STREAM);
	answer(&w, 2, "200", END_STREAM);
	assert_int_equal(fed()->t_read, 0);
	assert_int_equal(seen_stream(&seen, 3)->e.t_read, 100);
	assert_int_equal(seen_stream(&seen, 5)->e.t_read, 300);
	assert_int_equal(seen_stream(&seen, 7)->e.t_read, 300);
	assert_int_equal(seen_stream(&seen, 9)->e.t_read, 400);
	assert_int_equal(seen_stream(&seen, 11)->e.t_read, 0);
	assert_int_equal(seen_stream(&seen, 13)->e.t_read, 0);
	assert_int_equal(seen_stream(&seen, 2)->e.t_read, 0);
}

static void an_upgraded_request_is_stream_1(void **state)
{
	uint64_t asked[2] = { 0x1234567890, 555 };
	const struct h2_exchange *e;

	end(NULL);
	wire_init(&w, 7);
	wire_tell(&w, REQUESTS, TW_H2_ASKED, w.side[REQUESTS].place, asked, 16);
	greet(&w);
	answer(&w, 1, "200", END_STREAM);
	ask(&w, 3, "/next", END_STREAM);
	answer(&w, 3, "200", END_STREAM);
	e = fed();
	expect_of(e, TW_ANSWERED, false, 0);
	assert_string_equal(e->text, "(unknown)");
	assert_int_equal(e->hash, 0x1234567890);
	assert_int_equal(e->t_start, 555);
	assert_int_equal(e->t_whole, 555);
	expect_of(&seen_stream(&seen, 3)->e, TW_ANSWERED, false, 0);
	assert_int_equal(seen_stream(&seen, 3)->e.hash, 0);
	assert_int_equal(seen_counts(&seen).unknown_requests, 0);
	assert_int_equal(seen_counts(&seen).malformed, 0);
}

static void open_streams_are_told_as_they_are_one(void *arg, const struct h2_exchange *e)
{
	size_t *n = arg;

	assert_int_equal(e->stream, 1 + 2 * *n);
	assert_int_equal(e->len, 6);
	assert_memory_equal(e->text, "GET /a", 6);
	assert_int_equal(e->outcome, TW_UNOBSERVED);
	assert_int_equal(e->t_end, 0);
	assert_int_equal(e->status, *n == 1 ? 200 : 0);
	++*n;
}

static void open_streams_are_told_as_they_are(void **state)
{
	size_t n = 0;

	for (uint32_t id = 1; id < 7; id += 2)
		ask(&w, id, "/a", END_STREAM);
	answer(&w, 3, "200", 0);
	fed();
	http2__each_open(seen.h, open_streams_are_told_as_they_are_one, &n);
	assert_int_equal(n, 3);
	seen_free(&seen);
	assert_int_equal(seen.n_ended, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_ends_with_the_servers_end_of_stream),
		TEST(an_answer_may_be_whole_before_its_request_is),
		TEST(trailers_end_an_answer),
		TEST(trailers_end_a_request),
		TEST(trailers_that_come_after_the_answer_are_no_new_request),
		TEST(interim_responses_are_not_the_answer),
		TEST(a_reset_is_of_whose_it_is),
		TEST(an_end_without_an_answer_is_the_servers_failure),
		TEST(a_goaway_ends_what_it_leaves_out_and_nothing_else),
		TEST(an_orderly_goaway_withdraws_what_it_leaves_out),
		TEST(a_request_that_crosses_a_goaway_and_the_close_behind_it_is_withdrawn),
		TEST(an_answer_with_less_than_its_content_length_is_cut),
		TEST(an_answer_with_more_than_its_content_length_is_cut_and_nobody_elses_doing),
		TEST(two_lengths_that_differ_are_none),
		TEST(a_later_goaway_takes_nothing_back),
		TEST(a_goaway_of_the_client_is_about_pushes),
		TEST(a_push_may_come_after_the_clients_half_close),
		TEST(the_first_close_decides),
		TEST(what_is_answered_after_the_clients_half_close_is_answered),
		TEST(all_streams_of_a_connection_go_with_it),
		TEST(an_answer_that_begins_too_late_is_a_timeout),
		TEST(a_slow_answer_and_a_slow_upload_are_no_timeouts),
		TEST(who_gives_up_after_the_timeout_was_let_down),
		TEST(who_gives_up_inside_an_upload_waits_for_nothing),
		TEST(an_answer_that_begins_too_late_cannot_be_cut_any_more),
		TEST(times_are_those_of_the_segments),
		TEST(each_request_is_read_in_its_turn),
		TEST(what_was_read_may_be_told_before_it),
		TEST(an_upgraded_request_is_stream_1),
		TEST(open_streams_are_told_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
