// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The ordinary exchange, which the kernel counts in one column that stands for six, and those that differ from it in
 * one respect. Oracle: the definitions of the latencies in include/tw_abi.h, and the times at which the test has had
 * each exchange asked (read from the connection's state), read and answered.
 */
#include "talk.h"
#include "slots.h"
#include "state.h"

#include "tw_status.h"

#define OK       "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A        "GET /a HTTP/1.1\r\n\r\n"
#define POST     "POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\n"
#define CHUNKED  "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LIMIT    (2000 * MS)
#define ENDPOINT 3
#define SLOT     5
#define NOT      TW_NOT_MEASURED

/* ---- what is expected ---------------------------------------------------------------------------------------------
 */

/* When it happened: ns of the programs' clock; 0: it did not. */
struct story {
	uint64_t asked, whole, read, first, last;
	bool unaccepted;
};

static uint64_t from_to(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

static void by_definition(const struct story *s, uint64_t *lat)
{
	bool read = s->read >= s->asked && s->read;

	lat[TW_LAT_TOTAL] = from_to(s->asked, s->last);
	lat[TW_LAT_FIRST_BYTE] = from_to(s->asked, s->first);
	lat[TW_LAT_QUEUE] = read ? from_to(s->asked, s->read) : NOT;
	lat[TW_LAT_SERVICE] = read ? from_to(s->read, s->first) : NOT;
	lat[TW_LAT_SERVER] = from_to(s->whole, s->last);
	lat[TW_LAT_UPLOAD] = from_to(s->asked, s->whole);
	lat[TW_LAT_SEND] = from_to(s->first, s->last);
	lat[TW_LAT_ACCEPT] = !read ? NOT : s->unaccepted ? lat[TW_LAT_QUEUE] : 0;
	lat[TW_LAT_DRAIN] = lat[TW_LAT_WAITED] = NOT;
}

/* ---- what happens -------------------------------------------------------------------------------------------------
 */

/* The number of the request that came last. */
static uint32_t latest(void)
{
	return state_u32("head") - 1;
}

static uint64_t time_of(const char *member)
{
	uint64_t t;

	state_read(state_of(member, latest()), &t, sizeof(t));
	return t;
}

/* A request in one piece, whole when it came. */
static struct story asked(const char *text)
{
	struct story s = { 0 };

	client(text);
	s.asked = s.whole = time_of("t_start");
	return s;
}

/* One that needs more than a glance, or, with `more`, a second segment. */
static struct story asked_in_parts(const char *text, const char *more)
{
	const uint64_t before = now();
	uint64_t after;
	struct story s = { 0 };

	client(text);
	after = now();
	if (more)
		client(more);
	s.asked = time_of("t_start");
	s.whole = time_of("t_body");
	assert_in_range(s.asked, before, after);
	assert_in_range(s.whole, more ? after : s.asked, more ? now() : after);
	return s;
}

static void read_at(struct story *s, uint64_t t)
{
	note_read(latest(), t);
	s->read = t;
}

static void answered_at(struct story *s, uint64_t t)
{
	answer_at(t, OK);
	s->first = s->last = t;
}

static struct story ordinary(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked + 3 * MS);
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

static struct story read_and_answered_at_once(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked);
	answered_at(&s, s.asked);
	return s;
}

static struct story answered_when_it_was_read(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked + 7 * MS);
	answered_at(&s, s.asked + 7 * MS);
	return s;
}

static struct story answered_after_an_interim_answer(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked + 1 * MS);
	answer_at(s.asked + 5 * MS, "HTTP/1.1 103 Early Hints\r\n\r\n");
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

static struct story answered_just_in_time(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked + 1 * MS);
	answered_at(&s, s.asked + LIMIT);
	return s;
}

static struct story answered_too_late(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked + 1 * MS);
	answered_at(&s, s.asked + LIMIT + 1);
	return s;
}

static struct story with_a_body_in_its_segment(void)
{
	struct story s = asked_in_parts(POST "123456", NULL);

	read_at(&s, s.asked + 3 * MS);
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

static struct story with_chunks_in_its_segment(void)
{
	struct story s = asked_in_parts(CHUNKED "1\r\nx\r\n0\r\n\r\n", NULL);

	read_at(&s, s.asked + 3 * MS);
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

static struct story with_a_body_that_comes_later(void)
{
	struct story s = asked_in_parts(POST "123", "456");

	read_at(&s, s.asked + 3 * MS);
	answered_at(&s, s.whole + 10 * MS);
	return s;
}

static struct story with_chunks_that_come_later(void)
{
	struct story s = asked_in_parts(CHUNKED, "1\r\nx\r\n0\r\n\r\n");

	read_at(&s, s.asked + 3 * MS);
	answered_at(&s, s.whole + 10 * MS);
	return s;
}

static struct story with_a_head_in_two_segments(void)
{
	struct story s = asked_in_parts("GET /a HT", "TP/1.1\r\n\r\n");

	read_at(&s, s.asked + 3 * MS);
	answered_at(&s, s.whole + 10 * MS);
	return s;
}

static struct story answered_in_two_segments(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked + 3 * MS);
	s.first = s.asked + 10 * MS;
	s.last = s.asked + 25 * MS;
	answer_at(s.first, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123");
	answer_at(s.last, "456");
	return s;
}

static struct story never_read(void)
{
	struct story s = asked(A);

	answered_at(&s, s.asked + 10 * MS);
	return s;
}

/* An earlier one was, and its time is still there: it came late, with the beginning of this one. */
static struct story never_read_where_another_was(void)
{
	struct story s = asked(A);
	uint64_t t = s.asked + 3 * MS;

	state_write(state_of("t_read", latest()), &t, sizeof(t));
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

/* The time is one of an earlier request that lay in the same place. */
static struct story read_before_it_came(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked - 1);
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

/* TCP stamps what leaves before the program that saw the read looks at the clock. */
static struct story read_after_its_answer(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked + 10 * MS + 1);
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

static struct story answered_before_it_came(void)
{
	struct story s = asked(A);

	read_at(&s, s.asked);
	answered_at(&s, s.asked - 1 * MS);
	return s;
}

static struct story not_accepted_when_it_came(void)
{
	size_t flags = rig_offset("tw_conn", "in") + rig_offset("tw_pending", "flags");
	struct story s = asked(A);
	uint8_t f;

	state_read(flags, &f, sizeof(f));
	f |= 2; /* TW_P_UNACCEPTED */
	state_write(flags, &f, sizeof(f));
	s.unaccepted = true;
	read_at(&s, s.asked + 3 * MS);
	answered_at(&s, s.asked + 10 * MS);
	return s;
}

struct exchange {
	struct story (*play)(void);
	enum tw_outcome outcome;
};

static const struct exchange alike[] = {
	{ .play = ordinary },
	{ .play = read_and_answered_at_once },
	{ .play = answered_when_it_was_read },
	{ .play = answered_after_an_interim_answer },
	{ .play = answered_just_in_time },
};

static const struct exchange others[] = {
	{ .play = answered_too_late, .outcome = TW_TIMEOUT },
	{ .play = with_a_body_in_its_segment },
	{ .play = with_chunks_in_its_segment },
	{ .play = with_a_body_that_comes_later },
	{ .play = with_chunks_that_come_later },
	{ .play = with_a_head_in_two_segments },
	{ .play = answered_in_two_segments },
	{ .play = never_read },
	{ .play = never_read_where_another_was },
	{ .play = read_before_it_came },
	{ .play = read_after_its_answer },
	{ .play = answered_before_it_came },
	{ .play = not_accepted_when_it_came },
};

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* On a connection of its own. */
static void play(const struct exchange *x, uint64_t *lat)
{
	struct story s;

	done();
	begin();
	s = x->play();
	by_definition(&s, lat);
}

/* ---- how it is counted --------------------------------------------------------------------------------------------
 */

/* One exchange took `ns` of this kind, or it was not measured. */
static void expect_one(const struct tw_series *s, int kind, uint64_t ns)
{
	unsigned int n = 0;

	for (int i = 0; i < TW_BUCKETS; i++)
		n += s->b[i][kind];
	assert_int_equal(n, ns != NOT);
	if (n)
		assert_int_equal(s->b[histogram_bucket(ns)][kind], 1);
	assert_int_equal(s->c.sum[kind], n ? ns : 0);
	assert_int_equal(s->c.max[kind], n ? ns : 0);
}

static void expect_counted(const struct exchange *x, const uint64_t *lat)
{
	struct tw_series s = slot_sum(SLOT);

	assert_int_equal(s.c.exchanges, 1);
	assert_int_equal(s.c.outcome[x->outcome], 1);
	assert_int_equal(s.c.status[tw_status_index[200]], 1);
	for (int kind = 0; kind < TW_LAT_NR; kind++)
		expect_one(&s, kind, lat[kind]);
	expect_exchanges("");
}

static void an_ordinary_exchange_is_counted_in_one_column_that_stands_for_six(void **state)
{
	uint64_t lat[TW_LAT_NR];

	for (size_t i = 0; i < COUNT(alike); i++) {
		struct tw_series columns;

		slot_clear(SLOT);
		play(&alike[i], lat);
		columns = slot_columns(SLOT);
		for (int kind = 0; kind < TW_LAT_NR; kind++)
			if (kind != TW_LAT_QUEUE && kind != TW_LAT_SERVICE)
				expect_one(&columns, kind, NOT);
		expect_one(&columns, TW_LAT_PLAIN, lat[TW_LAT_TOTAL]);
		expect_counted(&alike[i], lat);
	}
}

static void one_that_differs_in_any_respect_is_counted_in_full(void **state)
{
	uint64_t lat[TW_LAT_NR];

	for (size_t i = 0; i < COUNT(others); i++) {
		struct tw_series columns;

		slot_clear(SLOT);
		play(&others[i], lat);
		columns = slot_columns(SLOT);
		expect_one(&columns, TW_LAT_PLAIN, NOT);
		expect_counted(&others[i], lat);
	}
}

static void thousands_of_either_add_up(void **state)
{
	static struct histogram expected[TW_LAT_NR];
	uint64_t plain = 0, lat[TW_LAT_NR];
	struct tw_series s;

	memset(expected, 0, sizeof(expected));
	slot_clear(SLOT);
	rig.skel->bss->drain_mask = ~0U; /* the next request would acknowledge */
	for (unsigned int i = 0; i < 3000; i++) {
		struct story x;

		if (i % 7 == 0) {
			done();
			begin();
		}
		x = asked(A);
		if (i % 4)
			read_at(&x, x.asked + i * 7919 % 5000 * 1000);
		answered_at(&x, x.asked + 5 * MS + i * 104729 % 900000 * 1000);
		by_definition(&x, lat);
		for (int kind = 0; kind < TW_LAT_NR; kind++)
			if (lat[kind] != NOT)
				histogram_add(&expected[kind], lat[kind]);
		plain += i % 4 != 0;
	}
	s = slot_columns(SLOT);
	for (int i = 0; i < TW_BUCKETS; i++)
		plain -= s.b[i][TW_LAT_PLAIN];
	assert_int_equal(plain, 0);
	s = slot_sum(SLOT);
	for (int kind = 0; kind < TW_LAT_NR; kind++) {
		assert_int_equal(s.c.sum[kind], expected[kind].sum);
		assert_int_equal(s.c.max[kind], expected[kind].max);
		for (int i = 0; i < TW_BUCKETS; i++)
			assert_int_equal(s.b[i][kind], expected[kind].b[i]);
	}
}

/* ---- as a record --------------------------------------------------------------------------------------------------
 */

static void expect_recorded(const struct exchange *x)
{
	uint64_t lat[TW_LAT_NR];

	play(x, lat);
	rig_drain();
	assert_int_equal(rig.n_ended, 1);
	assert_int_equal(rig.last.outcome, x->outcome);
	for (int kind = 0; kind < TW_LAT_NR; kind++)
		assert_true(rig.last.lat[kind] == lat[kind]);
	rig_forget_log();
}

static void without_a_slot_each_leaves_a_record_with_all_its_times(void **state)
{
	give_slot(ENDPOINT, TW_SLOT_NONE);
	for (size_t i = 0; i < COUNT(alike); i++)
		expect_recorded(&alike[i]);
	for (size_t i = 0; i < COUNT(others); i++)
		expect_recorded(&others[i]);
}

static void in_anothers_turn_it_leaves_a_record_although_there_is_a_slot(void **state)
{
	slot_clear(SLOT);
	rig_hold_lane(1);
	for (size_t i = 0; i < COUNT(alike); i++)
		expect_recorded(&alike[i]);
	for (size_t i = 0; i < COUNT(others); i++)
		expect_recorded(&others[i]);
	rig_hold_lane(0);
	assert_int_equal(slot_sum(SLOT).c.exchanges, 0);
}

/* Both routes are known and named, and have a slot. */
static int before(void **state)
{
	talk_before(state);
	client(A);
	client(POST "123456");
	server(OK OK);
	rig_drain();
	rig_forget_log();
	assert_int_equal(rig.n_names, 2);
	name_route(rig.names[0].hash, ENDPOINT);
	name_route(rig.names[1].hash, ENDPOINT);
	give_slot(ENDPOINT, SLOT);
	return 0;
}

static int set_up(void **state)
{
	rig_timeout = LIMIT;
	return talk_set_up(state);
}

#define PLAIN(f) cmocka_unit_test_setup_teardown(f, before, talk_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(an_ordinary_exchange_is_counted_in_one_column_that_stands_for_six),
		PLAIN(one_that_differs_in_any_respect_is_counted_in_full),
		PLAIN(thousands_of_either_add_up),
		PLAIN(without_a_slot_each_leaves_a_record_with_all_its_times),
		PLAIN(in_anothers_turn_it_leaves_a_record_although_there_is_a_slot),
	};

	return cmocka_run_group_tests(tests, set_up, talk_tear_down);
}
