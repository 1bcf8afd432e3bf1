// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * Streams that are no question and answer: tunnels, streams of events, and whatever stays open; and gRPC. Oracles: RFC
 * 8441 and RFC 9113, 8.5 for CONNECT, gRPC's "PROTOCOL-HTTP2" for its calls.
 */
#include "h2_seen.h"
#include "h2_craft.h"

static struct wire w;
static struct seen seen;

static int begin(void **state)
{
	wire_init(&w, 7);
	greet(&w);
	return 0;
}

static int end(void **state)
{
	wire_free(&w);
	return 0;
}

static const struct seen_exchange *fed(void)
{
	seen_init(&seen);
	http2__timeout(seen.h, 5 * SEEN_S);
	seen_feed(&seen, &w);
	assert_int_equal(seen_counts(&seen).malformed, 0);
	return seen_stream(&seen, 1);
}

/* A request of stream 1 with these fields. */
static void ask_with(uint8_t flags, const char *const (*fields)[2], size_t n)
{
	struct bytes *block = calloc(1, sizeof(*block));

	assert_non_null(block);
	for (size_t i = 0; i < n; i++)
		put_field(block, fields[i][0], fields[i][1]);
	say_block(&w, REQUESTS, flags, 1, block);
	free(block);
}

static void answer_with(uint8_t flags, const char *const (*fields)[2], size_t n)
{
	struct bytes *block = calloc(1, sizeof(*block));

	assert_non_null(block);
	for (size_t i = 0; i < n; i++)
		put_field(block, fields[i][0], fields[i][1]);
	say_block(&w, ANSWERS, flags, 1, block);
	free(block);
}

static void websocket(void)
{
	static const char *const fields[][2] = { { ":method", "CONNECT" },
		                                 { ":protocol", "websocket" },
		                                 { ":scheme", "http" },
		                                 { ":path", "/chat?room=1" } };

	ask_with(0, fields, 4);
}

/* ---- tunnels ----------------------------------------------------------------------------------------------------- */

struct ending {
	const char
		*how; /* c, s: END_STREAM of the client, of the server; r, R: RST_STREAM; f, F, g: closes; G: GOAWAY */
	enum tw_outcome outcome;
	enum tw_session_end end;
};

static const struct ending endings[] = {
	{ "c", TW_ANSWERED, TW_END_CLOSED },
	{ "s", TW_ANSWERED, TW_END_CLOSED },
	{ "r", TW_RESET_BY_CLIENT, TW_END_RESET_BY_CLIENT },
	{ "R", TW_RESET_BY_SERVER, TW_END_RESET_BY_SERVER },
	{ "F", TW_TRUNCATED, TW_END_CUT },
	{ "fF", TW_CLIENT_ABANDONED, TW_END_CLIENT_ABANDONED },
	{ "G", TW_TRUNCATED, TW_END_CUT },
	{ "t", TW_TIMEOUT, TW_END_TIMEOUT },
};

static void end_by(const char *how)
{
	for (; *how; how++) {
		switch (*how) {
		case 'c':
			data(&w, REQUESTS, 1, 0, END_STREAM);
			break;
		case 's':
			data(&w, ANSWERS, 1, 0, END_STREAM);
			break;
		case 'r':
			reset(&w, REQUESTS, 1, 8);
			break;
		case 'R':
			reset(&w, ANSWERS, 1, 8);
			break;
		case 'f':
			wire_tell(&w, REQUESTS, TW_H2_FIN, 0, NULL, 0);
			break;
		case 'F':
			wire_tell(&w, ANSWERS, TW_H2_FIN, 0, NULL, 0);
			break;
		case 'G':
			goaway(&w, ANSWERS, 0, 0);
			break;
		default:
			wire_tell(&w, ANSWERS, TW_H2_GONE, 110, NULL, 0);
		}
	}
}

static void a_websocket_ends_as_a_session_does(void **state)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		const struct seen_exchange *x;

		end(NULL);
		begin(NULL);
		websocket();
		answer(&w, 1, "200", 0);
		data(&w, REQUESTS, 1, 10, 0);
		data(&w, ANSWERS, 1, 10, 0);
		data(&w, ANSWERS, 1, 10, 0);
		w.t += 100 * SEEN_S;
		end_by(endings[i].how);
		x = fed();
		assert_non_null(x);
		assert_true(x->e.websocket && x->e.long_lived);
		assert_string_equal(x->text, "CONNECT /chat");
		assert_int_equal(x->e.outcome, endings[i].outcome);
		assert_int_equal(x->e.how, endings[i].end);
		assert_int_equal(x->e.messages[REQUESTS], 1);
		assert_int_equal(x->e.messages[ANSWERS], 2);
		assert_int_equal(x->e.cut, endings[i].outcome != TW_ANSWERED);
		seen_free(&seen);
	}
}

static void a_tunnel_without_a_protocol_is_one_too(void **state)
{
	static const char *const fields[][2] = { { ":method", "CONNECT" }, { ":authority", "db:5432" } };
	const struct seen_exchange *x;

	ask_with(0, fields, 2);
	answer(&w, 1, "200", 0);
	data(&w, REQUESTS, 1, 10, 0);
	end_by("c");
	x = fed();
	assert_string_equal(x->text, "CONNECT");
	assert_true(x->e.websocket && x->e.long_lived);
	assert_int_equal(x->e.how, TW_END_CLOSED);
	seen_free(&seen);
}

static void a_tunnel_that_is_refused_is_a_question_like_others(void **state)
{
	const struct seen_exchange *x;

	websocket();
	answer(&w, 1, "403", END_STREAM);
	x = fed();
	assert_false(x->e.websocket || x->e.long_lived);
	assert_int_equal(x->e.status, 403);
	assert_int_equal(x->e.outcome, TW_ANSWERED);
	seen_free(&seen);
}

/* ---- what stays open --------------------------------------------------------------------------------------------- */

static void a_stream_of_events_is_a_session_from_its_beginning_on(void **state)
{
	static const char *const fields[][2] = { { ":status", "200" },
		                                 { "content-type", "Text/Event-Stream; charset=utf-8" } };
	const struct seen_exchange *x;

	ask(&w, 1, "/events", END_STREAM);
	answer_with(0, fields, 2);
	data(&w, ANSWERS, 1, 10, 0);
	end_by("r");
	x = fed();
	assert_true(x->e.long_lived);
	assert_false(x->e.websocket);
	assert_int_equal(x->e.how, TW_END_RESET_BY_CLIENT);
	seen_free(&seen);
}

static void a_stream_becomes_a_session_when_it_is_still_open_after_a_minute(void **state)
{
	for (int more = 0; more < 2; more++) {
		const struct seen_exchange *x;

		end(NULL);
		begin(NULL);
		ask(&w, 1, "/watch", END_STREAM);
		answer(&w, 1, "200", 0);
		w.t += 60 * SEEN_S - w.step - !more;
		end_by("s");
		x = fed();
		assert_int_equal(x->e.long_lived, more);
		assert_int_equal(x->e.outcome, TW_ANSWERED);
		seen_free(&seen);
	}
}

static void one(void *arg, const struct h2_exchange *e)
{
	assert_true(e->long_lived);
	++*(int *)arg;
}

static void an_open_session_is_told_as_one(void **state)
{
	int n = 0;

	ask(&w, 1, "/watch", END_STREAM);
	answer(&w, 1, "200", 0);
	w.t += 61 * SEEN_S;
	data(&w, ANSWERS, 1, 10, 0);
	fed();
	http2__each_open(seen.h, one, &n);
	assert_int_equal(n, 1);
	seen_free(&seen);
}

static void a_session_is_never_late(void **state)
{
	const struct seen_exchange *x;

	websocket();
	data(&w, REQUESTS, 1, 0, END_STREAM);
	w.t += 6 * SEEN_S; /* more than the timeout */
	answer(&w, 1, "200", 0);
	x = fed();
	assert_int_equal(x->e.outcome, TW_ANSWERED);
	seen_free(&seen);
}

/* ---- gRPC -------------------------------------------------------------------------------------------------------- */

static void call(const char *method, const char *type)
{
	const char *fields[][2] = { { ":method", method }, { ":path", "/shop.Cart/Add" }, { "content-type", type } };

	ask_with(0, fields, 3);
	data(&w, REQUESTS, 1, 10, END_STREAM);
}

static void grpc_is_known_by_its_content_type(void **state)
{
	static const struct {
		const char *method, *type, *text;
	} cases[] = {
		{ "POST", "application/grpc", "gRPC /shop.Cart/Add" },
		{ "POST", "application/grpc+proto", "gRPC /shop.Cart/Add" },
		{ "POST", "application/grpc;charset=utf-8", "gRPC /shop.Cart/Add" },
		{ "POST", "Application/gRPC", "gRPC /shop.Cart/Add" },
		{ "POST", "application/grpc-web", "POST /shop.Cart/Add" },
		{ "POST", "application/json", "POST /shop.Cart/Add" },
		{ "PUT", "application/grpc", "PUT /shop.Cart/Add" },
	};

	for (size_t i = 0; i < 7; i++) {
		const struct seen_exchange *x;

		end(NULL);
		begin(NULL);
		call(cases[i].method, cases[i].type);
		answer(&w, 1, "200", END_STREAM);
		x = fed();
		assert_string_equal(x->text, cases[i].text);
		assert_int_equal(x->e.grpc, *cases[i].text == 'g');
		seen_free(&seen);
	}
}

static void its_status_is_in_what_comes_last(void **state)
{
	static const char *const head[][2] = { { ":status", "200" },
		                               { "content-type", "application/grpc" },
		                               { "grpc-status", "13" } };
	static const struct {
		const char *value;
		int status;
	} cases[] = {
		{ "0", 0 }, { "14", 14 }, { "16", 16 }, { "99", 99 }, { "", H2_GRPC_NONE }, { "x", H2_GRPC_NONE }
	};

	for (size_t i = 0; i < 6; i++) {
		const char *last[][2] = { { "grpc-status", cases[i].value } };

		end(NULL);
		begin(NULL);
		call("POST", "application/grpc");
		answer_with(0, head, 3);
		data(&w, ANSWERS, 1, 10, 0);
		answer_with(END_STREAM, last, 1);
		assert_int_equal(fed()->e.grpc_status, cases[i].status);
		assert_int_equal(seen_stream(&seen, 1)->e.status, 200);
		assert_false(seen_stream(&seen, 1)->e.status_unknown);
		seen_free(&seen);
	}
	end(NULL);
	begin(NULL);
	call("POST", "application/grpc");
	answer_with(END_STREAM, head, 3); /* "Trailers-Only" */
	assert_int_equal(fed()->e.grpc_status, 13);
	seen_free(&seen);
}

static void a_call_that_is_given_up_has_no_status(void **state)
{
	const struct seen_exchange *x;

	call("POST", "application/grpc");
	answer(&w, 1, "200", 0);
	data(&w, ANSWERS, 1, 10, 0);
	reset(&w, REQUESTS, 1, 8);
	x = fed();
	assert_int_equal(x->e.grpc_status, H2_GRPC_NONE);
	assert_int_equal(x->e.outcome, TW_RESET_BY_CLIENT);
	assert_true(x->e.grpc && x->e.cut);
	seen_free(&seen);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

/* gRPC's "HTTP to gRPC Status Code Mapping", as far as it is gRPC that answered. */
static void what_a_call_is_counted_by(void **state)
{
	static const struct {
		bool grpc, unknown;
		int status, grpc_status;
		enum tw_outcome outcome;
		unsigned int counted;
	} cases[] = {
		{ true, false, 200, 0, TW_ANSWERED, TW_STATUS_GRPC },
		{ true, false, 200, 14, TW_ANSWERED, TW_STATUS_GRPC + 14 },
		{ true, false, 503, 14, TW_ANSWERED, TW_STATUS_GRPC + 14 },
		{ true, false, 200, 17, TW_ANSWERED, TW_STATUS_GRPC + 2 },
		{ true, false, 200, 9999, TW_ANSWERED, TW_STATUS_GRPC + 2 },
		{ true, false, 200, H2_GRPC_NONE, TW_ANSWERED, TW_STATUS_GRPC + 2 },
		{ true, false, 503, H2_GRPC_NONE, TW_ANSWERED, 503 },
		{ true, false, 200, H2_GRPC_NONE, TW_TRUNCATED, 0 },
		{ true, false, 503, H2_GRPC_NONE, TW_TRUNCATED, 503 },
		{ true, false, 0, H2_GRPC_NONE, TW_RESET_BY_CLIENT, 0 },
		{ true, false, 200, 0, TW_TIMEOUT, TW_STATUS_GRPC },
		{ true, true, 200, H2_GRPC_NONE, TW_ANSWERED, TW_STATUS_UNKNOWN },
		/* Of what is no call it means nothing. */
		{ false, false, 200, 14, TW_ANSWERED, 200 },
		{ false, false, 200, H2_GRPC_NONE, TW_TRUNCATED, 200 },
		{ false, true, 0, H2_GRPC_NONE, TW_ANSWERED, TW_STATUS_UNKNOWN },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct h2_exchange e = { .grpc = cases[i].grpc,
			                 .status_unknown = cases[i].unknown,
			                 .status = (uint16_t)cases[i].status,
			                 .grpc_status = cases[i].grpc_status,
			                 .outcome = cases[i].outcome };

		assert_int_equal(h2_exchange__status(&e), cases[i].counted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_call_is_counted_by),
		TEST(a_websocket_ends_as_a_session_does),
		TEST(a_tunnel_without_a_protocol_is_one_too),
		TEST(a_tunnel_that_is_refused_is_a_question_like_others),
		TEST(a_stream_of_events_is_a_session_from_its_beginning_on),
		TEST(a_stream_becomes_a_session_when_it_is_still_open_after_a_minute),
		TEST(an_open_session_is_told_as_one),
		TEST(a_session_is_never_late),
		TEST(grpc_is_known_by_its_content_type),
		TEST(its_status_is_in_what_comes_last),
		TEST(a_call_that_is_given_up_has_no_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
