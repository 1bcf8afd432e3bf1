// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: http2 base
 *
 * Streams that are no question and answer: tunnels, streams of events, and whatever stays open; and gRPC. Oracles: RFC
 * 8441 and RFC 9113, 8.5 for CONNECT, gRPC's "PROTOCOL-HTTP2" for its calls.
 */
#include "h2_talk.h"

/* What all of these keep to. */
static const struct h2_exchange *fed_well(void)
{
	const struct h2_exchange *e = fed();

	assert_int_equal(seen_counts(&seen).malformed, 0);
	return e;
}

/* Stream 1 has a header block of these fields. */
static void say_fields(int d, uint8_t flags, const char *const (*fields)[2], size_t n)
{
	struct bytes *block = calloc(1, sizeof(*block));

	assert_non_null(block);
	for (size_t i = 0; i < n; i++)
		put_field(block, fields[i][0], fields[i][1]);
	say_block(&w, d, flags, 1, block);
	free(block);
}

static void websocket(void)
{
	static const char *const fields[][2] = { { ":method", "CONNECT" },
		                                 { ":protocol", "websocket" },
		                                 { ":scheme", "http" },
		                                 { ":path", "/chat?room=1" } };

	say_fields(REQUESTS, 0, fields, 4);
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
		case 'G':
			goaway(&w, ANSWERS, 0, 0);
			break;
		default:
			close_by(*how);
		}
	}
}

static void a_websocket_ends_as_a_session_does(void **state)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		const struct h2_exchange *e;

		again();
		websocket();
		answer(&w, 1, "200", 0);
		data(&w, REQUESTS, 1, 10, 0);
		data(&w, ANSWERS, 1, 10, 0);
		data(&w, ANSWERS, 1, 10, 0);
		w.t += 100 * SEEN_S;
		end_by(endings[i].how);
		e = fed_well();
		assert_non_null(e);
		assert_true(e->websocket && e->long_lived);
		assert_string_equal(e->text, "CONNECT /chat");
		assert_int_equal(e->outcome, endings[i].outcome);
		assert_int_equal(e->how, endings[i].end);
		assert_int_equal(e->messages[REQUESTS], 1);
		assert_int_equal(e->messages[ANSWERS], 2);
		assert_int_equal(e->cut, endings[i].outcome != TW_ANSWERED);
	}
}

static void a_tunnel_without_a_protocol_is_one_too(void **state)
{
	static const char *const fields[][2] = { { ":method", "CONNECT" }, { ":authority", "db:5432" } };
	const struct h2_exchange *e;

	say_fields(REQUESTS, 0, fields, 2);
	answer(&w, 1, "200", 0);
	data(&w, REQUESTS, 1, 10, 0);
	end_by("c");
	e = fed_well();
	assert_string_equal(e->text, "CONNECT");
	assert_true(e->websocket && e->long_lived);
	assert_int_equal(e->how, TW_END_CLOSED);
}

static void a_tunnel_that_is_refused_is_a_question_like_others(void **state)
{
	const struct h2_exchange *e;

	websocket();
	answer(&w, 1, "403", END_STREAM);
	e = fed_well();
	assert_false(e->websocket || e->long_lived);
	assert_int_equal(e->status, 403);
	assert_int_equal(e->outcome, TW_ANSWERED);
}

/* ---- what stays open --------------------------------------------------------------------------------------------- */

static void a_stream_of_events_is_a_session_from_its_beginning_on(void **state)
{
	static const char *const fields[][2] = { { ":status", "200" },
		                                 { "content-type", "Text/Event-Stream; charset=utf-8" } };
	const struct h2_exchange *e;

	ask(&w, 1, "/events", END_STREAM);
	say_fields(ANSWERS, 0, fields, 2);
	data(&w, ANSWERS, 1, 10, 0);
	end_by("r");
	e = fed_well();
	assert_true(e->long_lived);
	assert_false(e->websocket);
	assert_int_equal(e->how, TW_END_RESET_BY_CLIENT);
}

static void a_stream_becomes_a_session_when_it_is_still_open_after_a_minute(void **state)
{
	for (int more = 0; more < 2; more++) {
		const struct h2_exchange *e;

		again();
		ask(&w, 1, "/watch", END_STREAM);
		answer(&w, 1, "200", 0);
		w.t += 60 * SEEN_S - w.step - !more;
		end_by("s");
		e = fed_well();
		assert_int_equal(e->long_lived, more);
		assert_int_equal(e->outcome, TW_ANSWERED);
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
	fed_well();
	http2__each_open(seen.h, one, &n);
	assert_int_equal(n, 1);
}

static void a_session_is_never_late(void **state)
{
	const struct h2_exchange *e;

	websocket();
	data(&w, REQUESTS, 1, 0, END_STREAM);
	w.t += TALK_TIMEOUT + SEEN_S;
	answer(&w, 1, "200", 0);
	e = fed_well();
	assert_int_equal(e->outcome, TW_ANSWERED);
}

/* ---- gRPC -------------------------------------------------------------------------------------------------------- */

static void call(const char *method, const char *type)
{
	const char *fields[][2] = { { ":method", method }, { ":path", "/shop.Cart/Add" }, { "content-type", type } };

	say_fields(REQUESTS, 0, fields, 3);
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
		const struct h2_exchange *e;

		again();
		call(cases[i].method, cases[i].type);
		answer(&w, 1, "200", END_STREAM);
		e = fed_well();
		assert_string_equal(e->text, cases[i].text);
		assert_int_equal(e->grpc, *cases[i].text == 'g');
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

		again();
		call("POST", "application/grpc");
		say_fields(ANSWERS, 0, head, 3);
		data(&w, ANSWERS, 1, 10, 0);
		say_fields(ANSWERS, END_STREAM, last, 1);
		assert_int_equal(fed_well()->grpc_status, cases[i].status);
		assert_int_equal(seen_stream(&seen, 1)->e.status, 200);
		assert_false(seen_stream(&seen, 1)->e.status_unknown);
	}
	again();
	call("POST", "application/grpc");
	say_fields(ANSWERS, END_STREAM, head, 3); /* "Trailers-Only" */
	assert_int_equal(fed_well()->grpc_status, 13);
}

static void a_call_that_is_given_up_has_no_status(void **state)
{
	const struct h2_exchange *e;

	call("POST", "application/grpc");
	answer(&w, 1, "200", 0);
	data(&w, ANSWERS, 1, 10, 0);
	reset(&w, REQUESTS, 1, 8);
	e = fed_well();
	assert_int_equal(e->grpc_status, H2_GRPC_NONE);
	assert_int_equal(e->outcome, TW_RESET_BY_CLIENT);
	assert_true(e->grpc && e->cut);
}

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
