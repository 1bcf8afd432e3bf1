// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What counts against the server, from the packets to what the judge and the reader of the comparison are told. Each
 * conversation is one exchange and is counted twice over: by the kernel in its slot, and from the record that it leaves
 * where there is none. Oracle: the README's definition of a bad exchange (a 5xx, or the server closed, cut or reset it,
 * or no answer began in time), by which an exchange that is bad for two reasons is still one.
 */
#include "talk.h"
#include "slots.h"

#include "session/internal.h"
#include "tw_status.h"

#define A        "GET /a HTTP/1.1\r\n\r\n"
#define LIMIT    (2000 * MS)
#define ENDPOINT 3
#define SLOT     6

/* ---- ways to end --------------------------------------------------------------------------------------------------
 */

static void begin_answer(const char *status_line)
{
	server(status_line);
	server("Content-Length: 5\r\n\r\nso");
}

static void server_closes(const char *status_line)
{
	begin_answer(status_line);
	fin(SERVER);
}

static void server_resets(const char *status_line)
{
	begin_answer(status_line);
	rst(SERVER);
}

static void client_resets(const char *status_line)
{
	begin_answer(status_line);
	rst(CLIENT);
}

static void client_leaves(const char *status_line)
{
	begin_answer(status_line);
	fin(CLIENT);
	fin(SERVER);
}

static void answer_is_late(const char *status_line)
{
	talk.departure = now() + LIMIT + MS;
	begin_answer(status_line);
	server("rry");
}

static void answer_is_late_and_cut(const char *status_line)
{
	talk.departure = now() + LIMIT + MS;
	begin_answer(status_line);
	fin(SERVER);
}

static void answer_is_whole(const char *status_line)
{
	begin_answer(status_line);
	server("rry");
}

static const struct way {
	void (*end)(const char *status_line);
	enum tw_outcome outcome;
	bool cut;   /* inside the answer */
	bool fault; /* of the server, by the way it ended */
} ways[] = {
	{ server_closes, TW_TRUNCATED, true, true },
	{ server_resets, TW_RESET_BY_SERVER, true, true },
	{ client_resets, TW_RESET_BY_CLIENT, true, false },
	{ client_leaves, TW_CLIENT_ABANDONED, true, false },
	{ answer_is_late, TW_TIMEOUT, false, true },
	{ answer_is_late_and_cut, TW_TIMEOUT, false, true }, /* over before its first byte */
	{ answer_is_whole, TW_ANSWERED, false, false },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static const struct answer {
	const char *line;
	unsigned int status;
	bool failure; /* of the server, by its status */
} answers[] = {
	{ "HTTP/1.1 503 Sorry\r\n", 503, true },
	{ "HTTP/1.1 500 Oh\r\n", 500, true },
	{ "HTTP/1.1 404 No\r\n", 404, false },
	{ "HTTP/1.1 200 OK\r\n", 200, false },
};

#define ANSWERS (sizeof(answers) / sizeof(answers[0]))

/* ---- user space ---------------------------------------------------------------------------------------------------
 */

/* The figures of /a on the watched version; a session finds them here. */
static struct cell cell;
static struct session *session;

static void forget(void)
{
	free(cell.total.status);
	latencies__free(&cell.lat);
	memset(&cell, 0, sizeof(cell));
	cell.total.lat = &cell.lat;
}

static int before(void **state)
{
	talk_before(state);
	session = calloc(1, sizeof(*session));
	assert_non_null(session);
	session->cells = calloc((size_t)TW_MAX_VERSIONS * TW_MAX_ENDPOINTS, sizeof(*session->cells));
	assert_non_null(session->cells);
	session->cells[RIG_SERVER_VERSION * TW_MAX_ENDPOINTS + ENDPOINT] = &cell;
	session->records_left = 1000;
	client(A);
	answer_is_whole("HTTP/1.1 200 OK\r\n");
	expect_exchanges("GET /a 200 answered\n");
	done();
	name_route(rig.names[0].hash, ENDPOINT);
	return 0;
}

static int after(void **state)
{
	forget();
	free(session->cells);
	free(session);
	return talk_after(state);
}

static void expect_one(const struct way *w, const struct answer *a)
{
	const struct arm_figures *t = &cell.total;
	uint64_t bad = w->fault || a->failure;

	assert_int_equal(t->requests, 1);
	assert_int_equal(t->outcome[w->outcome], 1);
	assert_int_equal(t->cut[w->outcome], w->cut);
	assert_int_equal(arm_status(t, a->status), 1);
	assert_int_equal(t->double_faults, w->fault && a->failure);
	assert_int_equal(arm_errors(t), bad);
	assert_int_equal(cell.tick_n, 1);
	assert_int_equal(cell.tick_bad, bad);
}

static void converse(const struct way *w, const struct answer *a)
{
	begin();
	client(A);
	w->end(a->line);
	done();
	rig_drain();
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static void an_exchange_counted_in_the_kernel_is_bad_once_however_it_failed(void **state)
{
	struct tw_series seen;

	give_slot(ENDPOINT, SLOT);
	for (size_t i = 0; i < WAYS * ANSWERS; i++) {
		const struct way *w = &ways[i / ANSWERS];
		const struct answer *a = &answers[i % ANSWERS];

		forget();
		cell.last = slot_sum(SLOT).c;
		converse(w, a);
		assert_int_equal(rig.n_ended, 0);
		seen = slot_sum(SLOT);
		assert_int_equal(cell_add(&cell, &seen.c), 0);
		expect_one(w, a);
	}
}

static void an_exchange_that_leaves_a_record_is_bad_once_however_it_failed(void **state)
{
	for (size_t i = 0; i < WAYS * ANSWERS; i++) {
		const struct way *w = &ways[i / ANSWERS];
		const struct answer *a = &answers[i % ANSWERS];

		forget();
		converse(w, a);
		assert_int_equal(rig.n_ended, 1);
		rig_forget_log();
		assert_int_equal(record_handle(session, &rig.last, sizeof(rig.last)), 0);
		expect_one(w, a);
	}
}

static int set_up(void **state)
{
	rig_timeout = LIMIT;
	return talk_set_up(state);
}

#define EXCHANGE(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EXCHANGE(an_exchange_counted_in_the_kernel_is_bad_once_however_it_failed),
		EXCHANGE(an_exchange_that_leaves_a_record_is_bad_once_however_it_failed),
	};

	return cmocka_run_group_tests(tests, set_up, talk_tear_down);
}
