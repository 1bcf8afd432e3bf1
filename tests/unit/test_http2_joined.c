// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * Connections that are found open, and such of which something was lost. Whatever is said must be what the peers, both
 * of libnghttp2, have told each other; what cannot be known must be said to be unknown.
 */
#include "h2_seen.h"
#include "h2_pair.h"
#include "h2_craft.h"

static struct pair p;
static struct seen seen;
static struct wire part;

/* Requests in turns, so that later ones refer to what earlier ones have put into the tables. */
static void talk(size_t cut, uint32_t table)
{
	nghttp2_settings_entry size = { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, table };
	char path[64];

	pair_init_with(&p, 9, table ? table : 4096);
	p.cut = cut;
	pair_settings(&p, &size, table ? 1 : 0, &size, table ? 1 : 0);
	for (int turn = 0; turn < 8; turn++) {
		snprintf(path, sizeof(path), "/ok/%d?turn=%d", 10 + turn % 3, turn);
		pair_ask(&p, "GET", path, NULL, 0);
		pair_ask(&p, turn & 1 ? "PUT" : "POST", "/cart/items", "application/json", 300);
		snprintf(path, sizeof(path), "/pkg.Service/Call%d", turn % 2 ? 0 : 14);
		pair_ask(&p, "POST", path, "application/grpc", 40);
		snprintf(path, sizeof(path), "/pkg.Service/Only%d", turn);
		pair_ask(&p, "POST", path, "application/grpc", 40);
		pair_ask(&p, "GET", turn % 2 ? "/status/503" : "/status/418", NULL, 0);
		pair_ask(&p, "POST", "/pkg.Service/Proxy", "application/grpc", 40);
		pair_ask(&p, "GET", turn == 2 || turn == 6 ? "/push" : "/early", NULL, 0);
		pair_pump(&p);
	}
}

static void expect_true(const struct seen_exchange *x)
{
	const struct pair_stream *s = NULL;
	char text[440];

	for (size_t i = 0; i < p.n; i++)
		if (p.streams[i].id == (int32_t)x->e.stream)
			s = &p.streams[i];
	assert_non_null(s);
	if (strcmp(x->text, "(unknown)")) {
		snprintf(text, sizeof(text), "%s %.*s", *s->type && s->type[12] == 'g' ? "gRPC" : s->method,
		         (int)strcspn(s->path, "?"), s->path);
		assert_string_equal(x->text, text);
	}
	assert_int_equal(x->e.pushed, s->pushed);
	assert_true(x->e.outcome == TW_ANSWERED || x->e.outcome == TW_UNOBSERVED);
	if (x->e.status || x->e.outcome == TW_ANSWERED) {
		if (!x->e.status)
			assert_true(x->e.status_unknown);
		else
			assert_int_equal(x->e.status, s->status);
	}
	if (x->e.grpc_status != H2_GRPC_NONE)
		assert_int_equal(x->e.grpc_status, s->grpc_status);
	else if (x->e.outcome == TW_ANSWERED && x->e.grpc && s->grpc_status >= 0)
		assert_true(x->e.status_unknown);
}

/* A stream that begins in the record or behind it is told, and no other; how many such there are. */
static void expect_all_from(size_t record, enum tw_outcome outcome)
{
	size_t n = 0;

	for (size_t i = 0; i < p.n; i++) {
		const struct wire_head *first = NULL;
		const struct seen_exchange *x = seen_stream(&seen, p.streams[i].id);

		for (size_t k = 0; k < p.wire.n_heads && !first; k++) {
			const struct wire_head *h = &p.wire.heads[k];

			if (h->type == 1 && (int32_t)h->stream == p.streams[i].id &&
			    h->d == (p.streams[i].pushed ? ANSWERS : REQUESTS))
				first = h;
		}
		assert_non_null(first);
		if (p.streams[i].pushed)
			continue; /* its promise counts, which is not noted by its number */
		if (first->record < record) {
			assert_null(x);
			continue;
		}
		assert_non_null(x);
		assert_int_equal(x->e.outcome, outcome);
		n++;
	}
	for (size_t i = 0; i < seen.n_ended; i++)
		n += seen.ended[i].e.pushed;
	assert_int_equal(n, seen.n_ended);
}

static void join_everywhere(size_t cut, uint32_t table)
{
	size_t n_unknown = 0, n_known = 0;

	talk(cut, table);
	for (size_t from = 0; from < p.wire.n; from++) {
		struct h2_counts c;

		wire_joined(&p.wire, from, &part);
		seen_init(&seen);
		seen_feed(&seen, &part);
		for (size_t i = 0; i < seen.n_ended; i++) {
			expect_true(&seen.ended[i]);
			n_unknown += !strcmp(seen.ended[i].text, "(unknown)");
			n_known += strcmp(seen.ended[i].text, "(unknown)") != 0;
		}
		expect_all_from(from, TW_ANSWERED);
		c = seen_counts(&seen);
		assert_int_equal(c.joined, c.connections);
		assert_int_equal(c.malformed + c.desynchronised + c.bad_records + c.tables_lost + c.open, 0);
		seen_free(&seen);
		wire_free(&part);
	}
	/* Most names are literals of this encoder, or become known again. */
	assert_true(n_known > n_unknown);
	pair_free(&p);
}

static void what_is_said_of_a_connection_found_open_is_true_wherever_that_is(void **state)
{
	join_everywhere(0, 0);
}

static void it_is_found_between_any_two_segments(void **state)
{
	join_everywhere(23, 0);
}

static void tables_of_other_sizes_are_found_back_to(void **state)
{
	join_everywhere(0, 300);
	join_everywhere(0, 1);
	join_everywhere(0, 65536);
}

/* Feeds all records but `lost`; told: the next one says so. */
static void feed_without(size_t lost, bool told)
{
	for (size_t i = 0; i < p.wire.n; i++) {
		struct wire_record r = p.wire.records[i];

		if (i == lost)
			continue;
		if (told && i == lost + 1)
			r.head.flags |= TW_H2_GAP;
		assert_int_equal(http2__record(seen.h, r.bytes, r.len), 0);
	}
	seen_check(&seen);
}

static void a_lost_record_is_counted_and_nothing_is_made_up(void **state)
{
	static const size_t cuts[] = { 0, 37 };

	for (size_t k = 0; k < 2; k++) {
		talk(cuts[k], 0);
		wire_tell(&p.wire, ANSWERS, TW_H2_FIN, 0, NULL, 0);
		for (size_t lost = 0; lost + 1 < p.wire.n; lost++) {
			struct h2_counts c;

			seen_init(&seen);
			feed_without(lost, true);
			for (size_t i = 0; i < seen.n_ended; i++)
				expect_true(&seen.ended[i]);
			c = seen_counts(&seen);
			assert_true(c.desynchronised || (!lost && c.joined));
			assert_int_equal(c.malformed + c.bad_records + c.open, 0);
			/* Most of the connection is seen all the same. */
			assert_true(c.requests + 9 >= p.n);
			seen_free(&seen);
		}
		pair_free(&p);
	}
}

static int direction_of(size_t record)
{
	return p.wire.records[record].head.flags & TW_H2_REQUESTS ? REQUESTS : ANSWERS;
}

static bool has_head(size_t record)
{
	const struct wire_record *r = &p.wire.records[record];
	struct tw_h2_item item;

	for (size_t at = sizeof(r->head); at < r->len; at += sizeof(item) + ((item.len + 3u) & ~3u)) {
		memcpy(&item, r->bytes + at, sizeof(item));
		if (item.what == TW_H2_BYTES && item.flags & TW_H2_AT_HEAD)
			return true;
	}
	return false;
}

/* By the places of the bytes alone, once there are more frames of the same direction. */
static void a_lost_record_is_noticed_even_if_nobody_says_so(void **state)
{
	static const size_t cuts[] = { 0, 37, 9 };

	for (size_t k = 0; k < 3; k++) {
		talk(cuts[k], 0);
		for (size_t lost = 2; lost < p.wire.n; lost++) {
			bool more = false;

			for (size_t i = lost + 1; i < p.wire.n; i++)
				more |= direction_of(i) == direction_of(lost) && has_head(i);
			if (!more)
				continue;
			seen_init(&seen);
			feed_without(lost, false);
			for (size_t i = 0; i < seen.n_ended; i++)
				expect_true(&seen.ended[i]);
			assert_int_equal(seen_counts(&seen).desynchronised, 1);
			assert_int_equal(seen_counts(&seen).resynchronised, 1);
			assert_int_equal(seen_counts(&seen).bad_records, 0);
			seen_free(&seen);
		}
		pair_free(&p);
	}
}

/* The frames of one direction get lost from a record on, up to the next one in which a frame begins. */
static void feed_losing(size_t from, int lost)
{
	bool out = false;

	for (size_t i = 0; i < p.wire.n; i++) {
		const struct wire_record *r = &p.wire.records[i];
		struct tw_h2_item item;

		memcpy(&item, r->bytes + sizeof(r->head), sizeof(item));
		if (i == from && direction_of(i) == lost) {
			wire_init(&part, p.wire.conn);
			wire_tell(&part, lost, TW_H2_LOST, item.at, NULL, 0);
			out = true;
			assert_int_equal(http2__record(seen.h, part.records->bytes, part.records->len), 0);
			wire_free(&part);
			continue;
		}
		if (out && direction_of(i) == lost) {
			if (!(item.flags & TW_H2_AT_HEAD))
				continue;
			out = false;
			wire_init(&part, p.wire.conn);
			wire_tell(&part, lost, TW_H2_JOINED, item.at, NULL, 0);
			assert_int_equal(http2__record(seen.h, part.records->bytes, part.records->len), 0);
			wire_free(&part);
		}
		assert_int_equal(http2__record(seen.h, r->bytes, r->len), 0);
	}
	seen_check(&seen);
}

static void one_direction_may_be_lost_by_itself(void **state)
{
	talk(0, 0);
	wire_tell(&p.wire, ANSWERS, TW_H2_FIN, 0, NULL, 0);
	for (int d = 0; d < 2; d++) {
		for (size_t from = 0; from + 1 < p.wire.n; from++) {
			bool is_it = direction_of(from) == d;
			struct h2_counts c;

			if (!is_it)
				continue;
			seen_init(&seen);
			feed_losing(from, d);
			for (size_t i = 0; i < seen.n_ended; i++)
				expect_true(&seen.ended[i]);
			c = seen_counts(&seen);
			assert_int_equal(c.malformed + c.bad_records + c.open, 0);
			assert_true(c.desynchronised == 1 || (!from && c.joined == 1));
			assert_true(c.resynchronised <= c.desynchronised);
			assert_true(c.tables_lost <= 1);
			seen_free(&seen);
		}
	}
	pair_free(&p);
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

static void find_open(int d)
{
	part.side[d].begun = true;
	wire_tell(&part, d, TW_H2_JOINED, part.side[d].place, NULL, 0);
}

/* What comes of stream 1 when the answers are found after it was asked. */
static enum tw_outcome answers_found_late(const char *how)
{
	struct bytes *block = calloc(1, sizeof(*block));
	enum tw_outcome outcome;

	assert_non_null(block);
	wire_init(&part, 7);
	find_open(REQUESTS);
	ask(&part, 1, "/a", END_STREAM);
	find_open(ANSWERS);
	put_index(block, 62); /* trailers, as far as can be told */
	for (; *how; how++) {
		if (*how == 'h')
			answer(&part, 1, "200", 0);
		else if (*how == 'd')
			data(&part, ANSWERS, 1, 10, END_STREAM);
		else if (*how == 't')
			say_block(&part, ANSWERS, END_STREAM, 1, block);
		else if (*how == 'r')
			reset(&part, ANSWERS, 1, 0);
		else
			wire_tell(&part, ANSWERS, TW_H2_FIN, 0, NULL, 0);
	}
	free(block);
	seen_init(&seen);
	seen_feed(&seen, &part);
	assert_int_equal(seen.n_ended, 1);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	outcome = seen.ended[0].e.outcome;
	seen_free(&seen);
	wire_free(&part);
	return outcome;
}

static void nobody_is_accused_of_what_may_have_passed_unseen(void **state)
{
	assert_int_equal(answers_found_late("hd"), TW_ANSWERED);
	assert_int_equal(answers_found_late("ht"), TW_ANSWERED);
	assert_int_equal(answers_found_late("hF"), TW_TRUNCATED);
	assert_int_equal(answers_found_late("d"), TW_UNOBSERVED);
	assert_int_equal(answers_found_late("t"), TW_UNOBSERVED);
	assert_int_equal(answers_found_late("r"), TW_UNOBSERVED);
	assert_int_equal(answers_found_late("F"), TW_UNOBSERVED);
}

static void while_the_answers_are_lost_requests_are_counted_as_unobserved(void **state)
{
	wire_init(&part, 7);
	greet(&part);
	ask(&part, 1, "/a", END_STREAM);
	wire_tell(&part, ANSWERS, TW_H2_LOST, part.side[ANSWERS].place, NULL, 0);
	ask(&part, 3, "/b", END_STREAM);
	find_open(ANSWERS);
	answer(&part, 1, "200", END_STREAM);
	answer(&part, 3, "200", END_STREAM);
	ask(&part, 5, "/c", END_STREAM);
	answer(&part, 5, "200", END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &part);
	assert_int_equal(seen.n_ended, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(seen.ended[i].e.outcome, i < 2 ? TW_UNOBSERVED : TW_ANSWERED);
	assert_string_equal(seen.ended[1].text, "GET /b");
	assert_int_equal(seen_counts(&seen).desynchronised, 1);
	assert_int_equal(seen_counts(&seen).resynchronised, 1);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	seen_free(&seen);
	wire_free(&part);
}

/* A byte of the answer may be among what was lost; what was seen before it was seen. */
static void a_wait_counts_as_far_as_it_was_watched(void **state)
{
	for (int watched = 0; watched < 2; watched++) {
		wire_init(&part, 7);
		greet(&part);
		ask(&part, 1, "/a", END_STREAM);
		part.t += 31 * SEEN_S;
		if (watched)
			say(&part, REQUESTS, PING, 0, 0, "abcdefgh", 8);
		wire_tell(&part, ANSWERS, TW_H2_LOST, part.side[ANSWERS].place, NULL, 0);
		seen_init(&seen);
		http2__timeout(seen.h, 30 * SEEN_S);
		seen_feed(&seen, &part);
		assert_int_equal(seen.ended[0].e.outcome, watched ? TW_TIMEOUT : TW_UNOBSERVED);
		seen_free(&seen);
		wire_free(&part);
	}
}

/* How the watched process and its version are known: by the latest record that says so. */
static void who_reads_may_be_known_later(void **state)
{
	wire_init(&part, 7);
	part.tgid = part.version = 0;
	part.flags = TW_H2_CLIENT | TW_H2_TLS;
	greet(&part);
	ask(&part, 1, "/a", END_STREAM);
	part.tgid = 12;
	part.version = 2;
	answer(&part, 1, "200", 0);
	part.tgid = part.version = 0;
	data(&part, ANSWERS, 1, 1, END_STREAM);
	seen_init(&seen);
	seen_feed(&seen, &part);
	assert_int_equal(seen.ended[0].e.tgid, 12);
	assert_int_equal(seen.ended[0].e.version, 2);
	assert_true(seen.ended[0].e.client && seen.ended[0].e.tls);
	seen_free(&seen);
	wire_free(&part);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_of_a_connection_found_open_is_true_wherever_that_is),
		cmocka_unit_test(it_is_found_between_any_two_segments),
		cmocka_unit_test(tables_of_other_sizes_are_found_back_to),
		cmocka_unit_test(a_lost_record_is_counted_and_nothing_is_made_up),
		cmocka_unit_test(a_lost_record_is_noticed_even_if_nobody_says_so),
		cmocka_unit_test(one_direction_may_be_lost_by_itself),
		cmocka_unit_test(nobody_is_accused_of_what_may_have_passed_unseen),
		cmocka_unit_test(while_the_answers_are_lost_requests_are_counted_as_unobserved),
		cmocka_unit_test(a_wait_counts_as_far_as_it_was_watched),
		cmocka_unit_test(who_reads_may_be_known_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
