// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Two segments of one connection in the programs at the same time, on two CPUs: what arrives is seen without the
 * socket's lock. From round to round one of them comes a little later than the other, or earlier, so that every place
 * at which they may meet is met. Oracle: what was sent and answered.
 *
 * Where the programs cannot follow they may do without an exchange, if they have said so by the end of its connection:
 * how often that came is printed, and it must be seldom. What is missing without a word fails the test, as does what
 * was never sent.
 */
#include "tun.h"

#include "http2/http2.h"

#define CONNECTIONS 300
#define ROUNDS      40          /* on a connection that is kept */
#define SWEEP       2000        /* ns that one of the two comes later than the other, at most */
#define SELDOM      4           /* one connection in so many may be incomplete, and that be said */
#define MOST_NS     (4000 * MS) /* of a case, however busy the machine */
#define OK          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define A           "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
#define A_OK        "GET /a 200 answered\n"
#define B           "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
#define B_OK        "GET /b 200 answered\n"

static const char *unavailable; /* why two segments cannot be had at once here */
static struct http2 *h2;

static struct {
	unsigned int connections, rounds;
	unsigned int incomplete, unsaid; /* connections of which an exchange is missing, and nothing was said of that */
	unsigned int surplus;            /* with an exchange that was not asked for: see struct round */
	unsigned int miscounted;         /* that were not counted once */
	struct tw_ledger_row at_begin;   /* of the connection */
	uint64_t lost_at_begin;
	uint64_t began;
	char due[ROUNDS * 128]; /* exchanges of the connection */
} tally;

/* ---- what is counted ----------------------------------------------------------------------------------------------
 */

static void h2_on_record(const void *record, size_t len)
{
	http2__record(h2, record, len); /* it counts those that are none */
}

static void h2_begun(void *arg, const struct h2_exchange *e)
{
}

/* As rig.h renders one of HTTP/1. */
static void h2_ended(void *arg, const struct h2_exchange *e)
{
	rig.log_len += (size_t)snprintf(rig.log + rig.log_len, RIG_LOG - rig.log_len, "%.*s %u %s\n", (int)e->len,
	                                e->text ? e->text : "?", e->status, rig_outcome(e->outcome));
	assert_true(rig.log_len < RIG_LOG);
}

static struct h2_counts h2_seen(void)
{
	struct h2_counts c;

	http2__counts(h2, &c);
	return c;
}

/* The ways of saying that two have met, and that something could not be followed. */
static uint64_t said(void)
{
	static const int ways[] = { TW_L_DESYNC, TW_L_CONTENDED, TW_L_LOST_EXCHANGES, TW_L_LOST_EVENTS };
	struct tw_ledger_row row = rig_row(RIG_SERVER_VERSION);
	uint64_t n = h2_seen().desynchronised - tally.lost_at_begin;

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		n += row.c[ways[i]] - tally.at_begin.c[ways[i]];
	return n;
}

/* Requests of the socket's connection that nothing has ended. */
static uint32_t in_flight_at(int fd)
{
	size_t size = bpf_map__value_size(rig.skel->maps.conns);
	char *conn = calloc(1, size);
	uint32_t head = 0, tail = 0;

	assert_non_null(conn);
	if (!bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.conns), &fd, conn)) {
		memcpy(&head, conn + rig_offset("tw_conn", "head"), sizeof(head));
		memcpy(&tail, conn + rig_offset("tw_conn", "tail"), sizeof(tail));
	}
	free(conn);
	return head - tail;
}

static void first_of_its_kind(unsigned int n, const char *what)
{
	char gained[512];

	if (n > 1)
		return;
	rig_gained(RIG_SERVER_VERSION, gained, sizeof(gained));
	print_message("connection %u %s: \"%.200s\" for \"%.200s\"; all so far: %s\n", tally.connections, what, rig.log,
	              tally.due, gained);
}

static void connection_is_incomplete(void)
{
	tally.incomplete++;
	if (!said())
		first_of_its_kind(++tally.unsaid, "is not as it was, and nothing is said of that");
}

/* ---- connections --------------------------------------------------------------------------------------------------
 */

static struct tun_client client_;
static int server_ = -1;

static void connection_opens(void)
{
	tally.at_begin = rig_row(RIG_SERVER_VERSION);
	tally.lost_at_begin = h2_seen().desynchronised;
	tally.due[0] = '\0';
	rig_forget_log();
	server_ = tun_connect(&client_);
	tally.connections++;
}

static void server_closes(void)
{
	assert_int_equal(close(server_), 0);
	while (!client_.finished)
		tun_take(&client_);
	tun_send(&client_, ACK, NULL, 0);
}

/* Held against what was sent: all of it has ended. left: requests in flight when its server closed. */
static void connection_is_over(uint32_t left)
{
	const struct tw_ledger_row *before = &tally.at_begin;
	struct tw_ledger_row row;
	uint64_t ended;

	rig_drain();
	row = rig_row(RIG_SERVER_VERSION);
	ended = row.c[TW_L_ENDED] + row.c[TW_L_LOST_EXCHANGES] - before->c[TW_L_ENDED] - before->c[TW_L_LOST_EXCHANGES];
	if (strncmp(rig.log, tally.due, strlen(tally.due)))
		connection_is_incomplete();
	else if (left || rig.log[strlen(tally.due)] || row.c[TW_L_REQUESTS] - before->c[TW_L_REQUESTS] != ended)
		tally.surplus++;
	if (row.c[TW_L_CONNECTIONS] != before->c[TW_L_CONNECTIONS] + 1 || h2_seen().open)
		first_of_its_kind(++tally.miscounted, "is miscounted");
}

static void connection_closes(void)
{
	uint32_t left;

	tun_send(&client_, FIN | ACK, NULL, 0);
	assert_int_equal(recv(server_, (char[1]){ 0 }, 1, 0), 0);
	left = in_flight_at(server_);
	server_closes();
	connection_is_over(left);
}

/* Does a case go on? There is an end to it on a machine that has no time. */
static bool goes_on(unsigned int done, unsigned int most)
{
	return done < most && now() - tally.began < MOST_NS;
}

/* ---- rounds -------------------------------------------------------------------------------------------------------
 */

struct piece {
	const void *data;
	size_t len;
	uint32_t at; /* behind what has been sent before */
	uint8_t flags;
};

#define PIECE(text, place)                                                                 \
	{                                                                                  \
		.data = (text), .len = sizeof(text) - 1, .at = (place), .flags = ACK | PSH \
	}

/* What is asked in two segments, and answered. */
struct round {
	struct piece first, second;
	size_t asked; /* bytes that the server reads */
	const void *answer;
	size_t answer_len;
	const char *due; /* exchanges */
	bool again;      /* both are the same segment: taken for two they may be counted twice */
};

static void server_reads(size_t asked)
{
	char sink[2048];
	ssize_t n;

	for (size_t got = 0; got < asked; got += (size_t)n) {
		n = recv(server_, sink, asked - got, 0);
		assert_true(n > 0);
	}
}

/* Either may be the one that comes later, and by each of the two threads. */
static void both_at_once(const struct round *r)
{
	const int64_t later = (int64_t)(tally.rounds * 37 % (2 * SWEEP)) - SWEEP;

	struct tun_packet p[2];
	int turned = tally.rounds & 1;

	tun_build(&p[0], &client_, r->first.at, r->first.flags, r->first.data, r->first.len);
	tun_build(&p[1], &client_, r->second.at, r->second.flags, r->second.data, r->second.len);
	pair_write(&p[turned], &p[!turned], later);
	client_.seq += (uint32_t)r->asked + !!(r->second.flags & FIN);
	tally.rounds++;
}

static void server_answers(const void *answer, size_t len)
{
	assert_int_equal(send(server_, answer, len, MSG_NOSIGNAL), len);
	tun_await(&client_, client_.ack + (uint32_t)len);
}

static void due(const char *exchanges)
{
	size_t len = strlen(tally.due);

	snprintf(tally.due + len, sizeof(tally.due) - len, "%s", exchanges);
}

static void play(const struct round *r)
{
	both_at_once(r);
	server_reads(r->asked);
	if (r->answer)
		server_answers(r->answer, r->answer_len);
	due(r->due);
}

/* In one segment, as it mostly is. */
static void ask_plainly(const void *asked, size_t len, const void *answer, size_t answer_len, const char *exchange)
{
	tun_send(&client_, ACK | PSH, asked, len);
	server_reads(len);
	server_answers(answer, answer_len);
	due(exchange);
}

static void ask_for_a(void)
{
	ask_plainly(A, sizeof(A) - 1, OK, sizeof(OK) - 1, A_OK);
}

/* ---- cases --------------------------------------------------------------------------------------------------------
 */

/* The names, which two connections at once could both announce. */
static void names_are_known(void)
{
	connection_opens();
	ask_for_a();
	ask_plainly(B, sizeof(B) - 1, OK, sizeof(OK) - 1, B_OK);
	connection_closes();
	assert_int_equal(tally.incomplete, 0);
}

static void begin_case(void)
{
	if (unavailable) {
		print_message("skipped: %s\n", unavailable);
		skip();
	}
	memset(&tally, 0, sizeof(tally));
	tally.began = now();
	pair_begin();
	names_are_known();
}

static void end_case(const struct round *r)
{
	struct tw_ledger_row row = rig_row(RIG_SERVER_VERSION);

	pair_end();
	print_message(
		"%u connections, %u meetings in %u ms: contended %lld, reordered %lld, desync %lld, h2 lost %llu; "
		"incomplete %u, of which unsaid %u; surplus %u; miscounted %u\n",
		tally.connections, tally.rounds, (unsigned int)((now() - tally.began) / MS),
		(long long)row.c[TW_L_CONTENDED], (long long)row.c[TW_L_REORDERED], (long long)row.c[TW_L_DESYNC],
		(unsigned long long)h2_seen().desynchronised, tally.incomplete, tally.unsaid, tally.surplus,
		tally.miscounted);
	assert_int_equal(h2_seen().bad_records, 0);
	assert_int_equal(tally.unsaid, 0);
	assert_int_equal(tally.miscounted, 0);
	assert_true(tally.incomplete * SELDOM <= tally.connections);
	if (!r->again)
		assert_int_equal(tally.surplus, 0);
}

/* A round on each of many connections, at its very beginning. */
static void at_the_beginning(const struct round *r)
{
	begin_case();
	while (goes_on(tally.rounds, CONNECTIONS)) {
		connection_opens();
		play(r);
		connection_closes();
	}
	end_case(r);
}

/* Many rounds on each of some connections, behind an exchange that showed what it speaks. */
static void later_on(void (*open)(void), const struct round *r)
{
	begin_case();
	while (goes_on(tally.rounds, 2 * CONNECTIONS)) {
		connection_opens();
		open();
		for (unsigned int i = 0; i < ROUNDS; i++)
			play(r);
		connection_closes();
	}
	end_case(r);
}

/* ---- HTTP/1 -------------------------------------------------------------------------------------------------------
 */

#define HALF_1 "GET /a HTTP/1.1\r\nHo"
#define HALF_2 "st: x\r\n\r\n"

static const struct round head_in_two = {
	.first = PIECE(HALF_1, 0),
	.second = PIECE(HALF_2, sizeof(HALF_1) - 1),
	.asked = sizeof(HALF_1 HALF_2) - 1,
	.answer = OK,
	.answer_len = sizeof(OK) - 1,
	.due = A_OK,
};

static const struct round pipeline_of_two = {
	.first = PIECE(A, 0),
	.second = PIECE(B, sizeof(A) - 1),
	.asked = sizeof(A B) - 1,
	.answer = OK OK,
	.answer_len = sizeof(OK OK) - 1,
	.due = A_OK B_OK,
};

#define POST_HEAD "POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\n"

static const struct round head_and_body = {
	.first = PIECE(POST_HEAD, 0),
	.second = PIECE("body", sizeof(POST_HEAD) - 1),
	.asked = sizeof(POST_HEAD) - 1 + 4,
	.answer = OK,
	.answer_len = sizeof(OK) - 1,
	.due = "POST /a 200 answered\n",
};

static const struct round sent_again = {
	.first = PIECE(A, 0),
	.second = PIECE(A, 0),
	.asked = sizeof(A) - 1,
	.answer = OK,
	.answer_len = sizeof(OK) - 1,
	.due = A_OK,
	.again = true,
};

static void a_request_in_the_first_two_segments(void **state)
{
	at_the_beginning(&head_in_two);
}

static void two_requests_as_the_first_two_segments(void **state)
{
	at_the_beginning(&pipeline_of_two);
}

static void a_head_and_its_body_as_the_first_two_segments(void **state)
{
	at_the_beginning(&head_and_body);
}

static void the_first_segment_and_its_copy(void **state)
{
	at_the_beginning(&sent_again);
}

static void a_request_in_two_segments_of_a_kept_connection(void **state)
{
	later_on(ask_for_a, &head_in_two);
}

static void two_requests_in_two_segments_of_a_kept_connection(void **state)
{
	later_on(ask_for_a, &pipeline_of_two);
}

static void a_head_and_its_body_on_a_kept_connection(void **state)
{
	later_on(ask_for_a, &head_and_body);
}

static void a_segment_and_its_copy_on_a_kept_connection(void **state)
{
	later_on(ask_for_a, &sent_again);
}

/* ---- closes -------------------------------------------------------------------------------------------------------
 */

#define LAST_AND_FIN(result, ...)                                                                                    \
	{                                                                                                            \
		.first = PIECE(A, 0), .second = { .at = sizeof(A) - 1, .flags = FIN | ACK }, .asked = sizeof(A) - 1, \
		.due = (result), __VA_ARGS__                                                                         \
	}

static const struct round last_and_fin = LAST_AND_FIN(A_OK, .answer = OK, .answer_len = sizeof(OK) - 1);
static const struct round last_and_fin_unanswered = LAST_AND_FIN("GET /a - client_abandoned\n", .answer = NULL);

static void closing(void (*open)(void), const struct round *r)
{
	begin_case();
	while (goes_on(tally.rounds, CONNECTIONS)) {
		connection_opens();
		if (open)
			open();
		play(r);
		assert_int_equal(recv(server_, (char[1]){ 0 }, 1, 0), 0);
		server_closes();
		connection_is_over(0);
	}
	end_case(r);
}

static void the_only_segment_and_the_clients_close(void **state)
{
	closing(NULL, &last_and_fin);
}

static void the_last_segment_and_the_clients_close(void **state)
{
	closing(ask_for_a, &last_and_fin);
}

static void the_only_segment_and_a_close_that_nothing_answers(void **state)
{
	closing(NULL, &last_and_fin_unanswered);
}

static void the_last_segment_and_a_close_that_nothing_answers(void **state)
{
	closing(ask_for_a, &last_and_fin_unanswered);
}

/* ---- HTTP/2 -------------------------------------------------------------------------------------------------------
 */

#define PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS    "\0\0\0\x04\0\0\0\0\0"
#define SETTINGS_OK "\0\0\0\x04\x01\0\0\0\0"
/* Whole messages (END_STREAM, END_HEADERS) in the static table's words: GET, http, /; and 200. */
#define ASK(id)    "\0\0\x03\x01\x05\0\0\0" id "\x82\x86\x84"
#define ANSWER(id) "\0\0\x01\x01\x05\0\0\0" id "\x88"
#define H2_OK      "GET / 200 answered\n"

static const struct round h2_begins = {
	.first = PIECE(PREFACE SETTINGS, 0),
	.second = PIECE(ASK("\x01"), sizeof(PREFACE SETTINGS) - 1),
	.asked = sizeof(PREFACE SETTINGS ASK("\x01")) - 1,
	.answer = SETTINGS SETTINGS_OK ANSWER("\x01"),
	.answer_len = sizeof(SETTINGS SETTINGS_OK ANSWER("\x01")) - 1,
	.due = H2_OK,
};

static const struct round h2_begins_again = {
	.first = PIECE(PREFACE SETTINGS ASK("\x01"), 0),
	.second = PIECE(PREFACE SETTINGS ASK("\x01"), 0),
	.asked = sizeof(PREFACE SETTINGS ASK("\x01")) - 1,
	.answer = SETTINGS SETTINGS_OK ANSWER("\x01"),
	.answer_len = sizeof(SETTINGS SETTINGS_OK ANSWER("\x01")) - 1,
	.due = H2_OK,
};

static void ask_h2(void)
{
	static const char asked[] = PREFACE SETTINGS ASK("\x01"), answer[] = SETTINGS SETTINGS_OK ANSWER("\x01");

	ask_plainly(asked, sizeof(asked) - 1, answer, sizeof(answer) - 1, H2_OK);
}

static void the_preface_and_the_first_request_of_http2(void **state)
{
	at_the_beginning(&h2_begins);
}

static void the_first_segment_of_http2_and_its_copy(void **state)
{
	at_the_beginning(&h2_begins_again);
}

/* Requests of two streams, with numbers of their own in each round. */
static void later_on_h2(bool twice)
{
	char asked[2][sizeof(ASK("\x01"))] = { ASK("\x03"), ASK("\x05") };
	char answer[2 * sizeof(ANSWER("\x01"))] = ANSWER("\x03") ANSWER("\x05");
	const size_t one = sizeof(ASK("\x01")) - 1, reply = sizeof(ANSWER("\x01")) - 1;
	struct round r = {
		.first = { asked[0], one, 0, ACK | PSH },
		.second = { asked[!twice], one, twice ? 0 : (uint32_t)one, ACK | PSH },
		.asked = twice ? one : 2 * one,
		.answer = answer,
		.answer_len = twice ? reply : 2 * reply,
		.due = twice ? H2_OK : H2_OK H2_OK,
	};

	begin_case();
	while (goes_on(tally.rounds, 2 * CONNECTIONS)) {
		connection_opens();
		ask_h2();
		for (uint8_t i = 0; i < ROUNDS; i++) {
			asked[0][8] = answer[8] = (char)(4 * i + 3);
			asked[1][8] = answer[reply + 8] = (char)(4 * i + 5);
			play(&r);
		}
		connection_closes();
	}
	end_case(&r);
}

static void two_requests_of_http2_in_two_segments(void **state)
{
	later_on_h2(false);
}

static void a_segment_of_http2_and_its_copy(void **state)
{
	later_on_h2(true);
}

/* ---- around the tests ---------------------------------------------------------------------------------------------
 */

static int before(void **state)
{
	const struct h2_limits limits = { .memory = 16 << 20,
		                          .connections = 4 * CONNECTIONS,
		                          .streams = 1000,
		                          .header_list = 65536,
		                          .long_lived = 60000 * MS };
	const struct h2_sink sink = { h2_begun, h2_ended, h2_begun, NULL };

	rig_reset();
	h2 = http2__new(&limits, &sink);
	assert_non_null(h2);
	return 0;
}

static int after(void **state)
{
	pair_end();
	http2__free(h2);
	assert_int_equal(rig_busy_lanes(), 0);
	return 0;
}

static int set_up(void **state)
{
	static char why[200];
	const char *no_device;

	rig_on_h2 = h2_on_record;
	wire_set_up(state);
	no_device = tun_open();
	if (no_device)
		snprintf(why, sizeof(why), "no TUN device, on which segments could be given to two CPUs: %s",
		         no_device);
	else if (!pair_open())
		snprintf(why, sizeof(why), "one CPU, which never meets another");
	else
		tun_listen();
	unavailable = *why ? why : NULL;
	return 0;
}

static int tear_down(void **state)
{
	rig_on_h2 = NULL;
	if (!unavailable) {
		close(tun.listener);
		pair_close();
	}
	tun_close();
	return wire_tear_down(state);
}

#define AT_ONCE(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AT_ONCE(a_request_in_the_first_two_segments),
		AT_ONCE(two_requests_as_the_first_two_segments),
		AT_ONCE(a_head_and_its_body_as_the_first_two_segments),
		AT_ONCE(the_first_segment_and_its_copy),
		AT_ONCE(the_preface_and_the_first_request_of_http2),
		AT_ONCE(the_first_segment_of_http2_and_its_copy),
		AT_ONCE(a_request_in_two_segments_of_a_kept_connection),
		AT_ONCE(two_requests_in_two_segments_of_a_kept_connection),
		AT_ONCE(a_head_and_its_body_on_a_kept_connection),
		AT_ONCE(a_segment_and_its_copy_on_a_kept_connection),
		AT_ONCE(two_requests_of_http2_in_two_segments),
		AT_ONCE(a_segment_of_http2_and_its_copy),
		AT_ONCE(the_only_segment_and_the_clients_close),
		AT_ONCE(the_last_segment_and_the_clients_close),
		AT_ONCE(the_only_segment_and_a_close_that_nothing_answers),
		AT_ONCE(the_last_segment_and_a_close_that_nothing_answers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
