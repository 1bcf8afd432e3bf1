// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * TLS connections that nobody can read: records made by hand on a real connection, without a library that could be
 * watched. Oracles: RFC 8446, 5 for records and hellos; the pauses of this test's own; who sent what, and who closed.
 */
#include "wire.h"

#define HELLO 22
#define ALERT 21
#define DATA  23

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void send_all(enum end from, const uint8_t *bytes, size_t len)
{
	static uint8_t sink[WIRE_MOST];
	size_t got = 0;
	ssize_t n;

	assert_int_equal(send(net.end[from], bytes, len, 0), len);
	while (got < len) {
		n = recv(net.end[!from], sink, sizeof(sink), 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
}

static void record(enum end from, uint8_t type, const uint8_t *body, size_t len)
{
	static uint8_t bytes[20000];

	bytes[0] = type;
	bytes[1] = bytes[2] = 3;
	put16(bytes + 3, (unsigned int)len);
	memset(bytes + 5, 0xa5, len);
	if (body)
		memcpy(bytes + 5, body, len);
	send_all(from, bytes, 5 + len);
}

static void data(enum end from, size_t len)
{
	record(from, DATA, NULL, len);
}

static void alert(enum end from)
{
	record(from, ALERT, NULL, 26);
}

/* Both hellos: version, random, no session, one cipher, no compression, with TLS 1.3 the extension that says so. */
static void hellos(bool tls13)
{
	uint8_t client[128] = { 1, 0, 0, 39, 3, 3 }, server[128] = { 2, 0, 0, 38, 3, 3 };
	static const uint8_t versions[] = { 0, 6, 0, 43, 0, 2, 3, 4 };

	client[40] = 2; /* bytes of ciphers */
	client[41] = server[39] = 0x13;
	client[42] = server[40] = 0x01;
	client[43] = 1; /* of compression */
	if (tls13) {
		server[3] += sizeof(versions);
		memcpy(server + 42, versions, sizeof(versions));
	}
	record(CLIENT, HELLO, client, 45);
	record(SERVER, HELLO, server, tls13 ? 42 + sizeof(versions) : 42);
	if (tls13)
		data(CLIENT, 53); /* "finished", disguised */
}

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static struct tw_turns turns(void)
{
	uint32_t version = RIG_SERVER_VERSION;
	struct tw_turns t;

	memset(&t, 0, sizeof(t));
	bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.tls_turns), &version, &t);
	return t;
}

static void expect_turns(uint64_t begun, enum tw_outcome outcome, uint64_t ended)
{
	struct tw_turns t = turns();

	for (int i = 0; i < TW_OUTCOME_NR; i++)
		if (t.outcome[i] != (i == (int)outcome ? ended : 0))
			fail_msg("%d turns %s, not %d %s", (int)t.outcome[i], rig_outcome((uint8_t)i), (int)ended,
			         rig_outcome(outcome));
	assert_int_equal(t.begun, begun);
}

static uint64_t timed(const struct tw_turns *t, enum tw_turn_time kind)
{
	uint64_t n = 0;

	for (int i = 0; i < TW_BUCKETS; i++)
		n += t->b[kind][i];
	return n;
}

static void pause_for(unsigned int ms)
{
	const struct timespec t = { 0, (long)(ms * MS) };

	nanosleep(&t, NULL);
}

static void reset(enum end who)
{
	const struct linger now = { 1, 0 };

	setsockopt(net.end[who], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(net.end[who]);
	net.end[who] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* for the tear-down */
}

static int before(void **state)
{
	uint32_t version = RIG_SERVER_VERSION;

	bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.tls_turns), &version);
	return wire_before(state);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void a_handshake_alone_is_no_turn_and_not_opaque(void **state)
{
	hellos(true);
	data(SERVER, 250); /* tickets */
	data(SERVER, 250);
	expect_ledger("connections 1, tls 1");
	expect_turns(0, TW_ANSWERED, 0);
}

static void data_that_is_answered_unread_is_a_turn_once_the_client_goes_on(void **state)
{
	hellos(true);
	data(CLIENT, 300);
	data(SERVER, 900);
	expect_ledger("connections 1, opaque_tls 1, tls 1");
	expect_turns(1, TW_ANSWERED, 0);
	for (int i = 0; i < 3; i++) {
		data(CLIENT, 300);
		data(CLIENT, 5000);
		data(SERVER, 900);
		data(SERVER, 16000);
	}
	expect_turns(4, TW_ANSWERED, 3);
	/* And the connection is counted once, in no ledger of requests. */
	expect_ledger("connections 1, opaque_tls 1, tls 1");
	expect_exchanges("");
}

static void the_times_of_a_turn_are_those_of_its_records(void **state)
{
	struct tw_turns t;
	uint64_t spent = now();

	hellos(false);
	data(CLIENT, 300);
	pause_for(40);
	data(SERVER, 900);
	pause_for(30);
	data(SERVER, 900);
	spent = now() - spent;
	pause_for(50); /* belongs to nobody */
	data(CLIENT, 300);
	t = turns();
	assert_int_equal(timed(&t, TW_TURN_FIRST), 1);
	assert_int_equal(timed(&t, TW_TURN_LAST), 1);
	assert_true(t.sum[TW_TURN_FIRST] >= 40 * MS && t.sum[TW_TURN_FIRST] <= t.sum[TW_TURN_LAST] - 30 * MS);
	assert_true(t.sum[TW_TURN_LAST] >= 70 * MS && t.sum[TW_TURN_LAST] <= spent);
	assert_int_equal(t.max[TW_TURN_LAST], t.sum[TW_TURN_LAST]);
}

/* What came in several records before the connection was known to be opaque is one turn, from the first of them on. */
static void the_first_turn_begins_with_the_first_record_behind_the_handshake(void **state)
{
	struct tw_turns t;

	hellos(true);
	pause_for(30);
	data(CLIENT, 300);
	pause_for(40);
	data(CLIENT, 9000);
	data(SERVER, 900);
	data(CLIENT, 300);
	t = turns();
	assert_int_equal(timed(&t, TW_TURN_FIRST), 1);
	assert_true(t.sum[TW_TURN_FIRST] >= 40 * MS && t.sum[TW_TURN_FIRST] < 70 * MS);
}

static void the_end_of_a_connection_ends_an_answered_turn_as_answered(void **state)
{
	hellos(false);
	data(CLIENT, 300);
	data(SERVER, 900);
	shutdown(net.end[CLIENT], SHUT_WR);
	expect_turns(1, TW_ANSWERED, 0);
	shutdown(net.end[SERVER], SHUT_WR);
	expect_turns(1, TW_ANSWERED, 1);
}

static void alerts_are_no_answers(void **state)
{
	hellos(false);
	data(CLIENT, 300);
	data(SERVER, 900);
	data(CLIENT, 300);
	alert(SERVER);
	shutdown(net.end[SERVER], SHUT_WR);
	assert_int_equal(turns().outcome[TW_ANSWERED], 1);
	assert_int_equal(turns().outcome[TW_UNANSWERED], 1);
}

static void alerts_disguised_as_data_are_none_either(void **state)
{
	hellos(true);
	data(CLIENT, 300);
	data(SERVER, 900);
	data(CLIENT, 300);
	data(SERVER, 19);
	shutdown(net.end[SERVER], SHUT_WR);
	assert_int_equal(turns().outcome[TW_ANSWERED], 1);
	assert_int_equal(turns().outcome[TW_UNANSWERED], 1);
}

/* After an answered turn, one that is not: by a reset of either side, or when the client leaves first. */
static void a_turn_without_an_answer_has_the_outcome_of_its_end(void **state)
{
	hellos(false);
	data(CLIENT, 300);
	data(SERVER, 900);
	data(CLIENT, 300);
	reset(*state ? CLIENT : SERVER);
	assert_int_equal(turns().outcome[TW_ANSWERED], 1);
	assert_int_equal(turns().outcome[*state ? TW_RESET_BY_CLIENT : TW_RESET_BY_SERVER], 1);
	assert_int_equal(turns().begun, 2);
}

static void reset_by_the_server(void **state)
{
	void *client = NULL;

	a_turn_without_an_answer_has_the_outcome_of_its_end(&client);
}

static void reset_by_the_client(void **state)
{
	void *client = net.path;

	a_turn_without_an_answer_has_the_outcome_of_its_end(&client);
}

static void a_client_that_leaves_first_has_abandoned_its_turn(void **state)
{
	hellos(false);
	data(CLIENT, 300);
	data(SERVER, 900);
	data(CLIENT, 300);
	shutdown(net.end[CLIENT], SHUT_WR);
	shutdown(net.end[SERVER], SHUT_WR);
	assert_int_equal(turns().outcome[TW_ANSWERED], 1);
	assert_int_equal(turns().outcome[TW_CLIENT_ABANDONED], 1);
}

static void where_records_are_lost_the_open_turn_is_dropped(void **state)
{
	uint8_t garbage[64];

	memset(garbage, 0xff, sizeof(garbage));
	hellos(false);
	data(CLIENT, 300);
	data(SERVER, 900);
	send_all(SERVER, garbage, sizeof(garbage));
	data(CLIENT, 300);
	expect_turns(2, TW_ANSWERED, 0);
	expect_ledger("connections 1, opaque_tls 1, tls 1, tls_unframed 1");
}

int main(void)
{
#define TURN(f) cmocka_unit_test_setup_teardown(f, before, wire_after)
	const struct CMUnitTest tests[] = {
		TURN(a_handshake_alone_is_no_turn_and_not_opaque),
		TURN(data_that_is_answered_unread_is_a_turn_once_the_client_goes_on),
		TURN(the_times_of_a_turn_are_those_of_its_records),
		TURN(the_first_turn_begins_with_the_first_record_behind_the_handshake),
		TURN(the_end_of_a_connection_ends_an_answered_turn_as_answered),
		TURN(alerts_are_no_answers),
		TURN(alerts_disguised_as_data_are_none_either),
		TURN(reset_by_the_server),
		TURN(reset_by_the_client),
		TURN(a_client_that_leaves_first_has_abandoned_its_turn),
		TURN(where_records_are_lost_the_open_turn_is_dropped),
	};

	return cmocka_run_group_tests(tests, wire_set_up, wire_tear_down);
}
