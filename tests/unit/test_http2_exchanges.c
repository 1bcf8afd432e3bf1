// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * Ordinary HTTP/2 connections, request by request. Oracle: what the client and the server, both of libnghttp2, have
 * received of each other.
 */
#include "h2_seen.h"
#include "h2_pair.h"

static struct pair p;
static struct seen seen;

static void ask_everything(struct pair *to)
{
	pair_settings(to, NULL, 0, NULL, 0);
	pair_ask(to, "GET", "/ok/12?card=4711", NULL, 0);
	pair_ask(to, "POST", "/pkg.Service/Call7", "application/grpc", 10);
	pair_ask(to, "POST", "/pkg.Service/Only12", "application/grpc+proto", 10);
	pair_ask(to, "POST", "/cart/items", "application/json", 5000);
	pair_ask(to, "GET", "/push", NULL, 0);
	pair_ask(to, "GET", "/early", NULL, 0);
	pair_ask(to, "GET", "/status/404", NULL, 0);
	pair_ask(to, "HEAD", "/empty", NULL, 0);
	pair_ask(to, "DELETE", "/ok/40000", NULL, 0);
	pair_pump(to);
}

/* The text that a stream of the truth is to have. */
static void text_of(const struct pair_stream *s, char *to, size_t room)
{
	bool grpc = !strncmp(s->type, "application/grpc", 16);

	snprintf(to, room, "%s %.*s", grpc ? "gRPC" : s->method, (int)strcspn(s->path, "?"), s->path);
}

static void compare(const struct seen *with, const struct pair *truth)
{
	char text[440];

	assert_int_equal(with->n_ended, truth->n);
	for (size_t i = 0; i < truth->n; i++) {
		const struct pair_stream *s = &truth->streams[i];
		const struct seen_exchange *x = seen_stream(with, s->id);

		assert_non_null(x);
		text_of(s, text, sizeof(text));
		assert_string_equal(x->text, text);
		assert_int_equal(x->e.status, s->status);
		assert_int_equal(x->e.grpc_status, s->grpc_status);
		assert_int_equal(x->e.outcome, TW_ANSWERED);
		assert_int_equal(x->e.pushed, s->pushed);
		assert_false(x->e.status_unknown || x->e.truncated || x->e.cut || x->e.long_lived);
	}
}

static void feed_and_compare(void)
{
	seen_init(&seen);
	seen_feed(&seen, &p.wire);
	compare(&seen, &p);
}

static void end(void)
{
	seen_free(&seen);
	pair_free(&p);
}

static void every_exchange_has_the_name_and_the_status_that_its_peers_know(void **state)
{
	struct h2_counts c;

	pair_init(&p, 1);
	ask_everything(&p);
	wire_tell(&p.wire, REQUESTS, TW_H2_GONE, 0, NULL, 0);
	feed_and_compare();
	c = seen_counts(&seen);
	assert_int_equal(c.connections, 1);
	assert_int_equal(c.joined + c.malformed + c.desynchronised + c.bad_records + c.tables_lost + c.too_large, 0);
	assert_int_equal(c.unknown_requests + c.unknown_statuses + c.shed_connections + c.shed_streams + c.open, 0);
	end();
}

static void segments_may_end_anywhere(void **state)
{
	for (size_t cut = 1; cut < 200; cut += cut < 30 ? 1 : 17) {
		pair_init(&p, cut);
		p.cut = cut;
		ask_everything(&p);
		feed_and_compare();
		assert_int_equal(seen_counts(&seen).malformed + seen_counts(&seen).desynchronised, 0);
		end();
	}
}

static void padding_is_no_part_of_anything(void **state)
{
	for (char padding = 1; padding < 120; padding += 17) {
		pair_init(&p, 1);
		p.padding = padding;
		ask_everything(&p);
		feed_and_compare();
		end();
	}
}

static void any_cuts_will_do(void **state)
{
	for (uint64_t seed = 1; seed < 60; seed++) {
		struct dice dice = { seed };

		pair_init(&p, seed);
		p.dice = &dice;
		p.padding = seed % 9;
		ask_everything(&p);
		feed_and_compare();
		end();
	}
}

/* RFC 9113, 6.10: more than a frame of 16 KiB can hold. */
static void a_header_list_may_take_several_frames(void **state)
{
	static char value[20001];
	size_t n = 0;

	memset(value, 'x', 20000);
	pair_init(&p, 1);
	p.cut = 1448;
	pair_settings(&p, NULL, 0, NULL, 0);
	for (int i = 0; i < 3; i++)
		pair_ask(&p, "GET", "/ok/1", value, 0);
	pair_ask(&p, "GET", "/ok/2", NULL, 0);
	pair_pump(&p);
	feed_and_compare();
	for (size_t i = 0; i < p.wire.n_heads; i++)
		n += p.wire.heads[i].type == NGHTTP2_CONTINUATION;
	assert_int_equal(n, 3);
	end();
}

static void many_streams_at_once_are_told_apart(void **state)
{
	nghttp2_settings_entry many = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000 };

	pair_init(&p, 1);
	pair_settings(&p, NULL, 0, &many, 1);
	pair_pump(&p);
	for (int i = 0; i < 900; i++) {
		char path[32];

		snprintf(path, sizeof(path), i % 3 ? "/ok/%d" : "/status/%d", 300 + i % 200);
		pair_ask(&p, i % 2 ? "GET" : "PUT", path, NULL, i % 2 ? 0 : 10);
	}
	pair_pump(&p);
	feed_and_compare();
	end();
}

static void connections_do_not_mix(void **state)
{
	static struct pair other;

	pair_init(&p, 1);
	pair_init(&other, 2);
	other.cut = 50;
	ask_everything(&p);
	pair_settings(&other, NULL, 0, NULL, 0);
	pair_ask(&other, "GET", "/status/500", NULL, 0);
	pair_ask(&other, "PUT", "/status/501", NULL, 7);
	pair_pump(&other);
	seen_init(&seen);
	for (size_t i = 0; i < p.wire.n || i < other.wire.n; i++) {
		if (i < p.wire.n)
			http2__record(seen.h, p.wire.records[i].bytes, p.wire.records[i].len);
		if (i < other.wire.n)
			http2__record(seen.h, other.wire.records[i].bytes, other.wire.records[i].len);
	}
	assert_int_equal(seen.n_ended, p.n + other.n);
	for (size_t i = 0; i < seen.n_ended; i++) {
		const struct h2_exchange *e = &seen.ended[i].e;

		if (e->conn == 2)
			assert_int_equal(e->status, e->stream == 1 ? 500 : 501);
		else
			assert_true(e->status != 500 && e->status != 501);
	}
	end();
	pair_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_exchange_has_the_name_and_the_status_that_its_peers_know),
		cmocka_unit_test(segments_may_end_anywhere),
		cmocka_unit_test(padding_is_no_part_of_anything),
		cmocka_unit_test(any_cuts_will_do),
		cmocka_unit_test(a_header_list_may_take_several_frames),
		cmocka_unit_test(many_streams_at_once_are_told_apart),
		cmocka_unit_test(connections_do_not_mix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
