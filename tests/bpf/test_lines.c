// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Request lines met before, which the kernel knows again byte for byte. Oracles: the text that was sent, which names
 * the route; the same request in two segments, which only the careful engine can read; and the hash that user space
 * computes of a method and a path. What is kept is read from the kernel's map.
 */
#include "kept.h"

#include "capture/route_key.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define REST "X: ~~~~~~~~~~~~\r\n\r\n" /* no line that is sent has a '~', but where a test puts one */

/* For the next length: names have an end, see RIG_NAMES. */
static void begin_afresh(void)
{
	expect_balance();
	rig_reset();
	left_in_flight = 0;
	forget_lines();
}

static int set_up(void **state)
{
	talk_set_up(state);
	kept_open();
	return 0;
}

static int tear_down(void **state)
{
	free(kept.value);
	return talk_tear_down(state);
}

static int before(void **state)
{
	talk_before(state);
	forget_lines();
	return 0;
}

#define LINES(f) cmocka_unit_test_setup_teardown(f, before, talk_after)

/* ---- asking -------------------------------------------------------------------------------------------------------
 */

/* The bytes from `from` to `to` of the line and what follows it, in one segment. */
static void say(const struct line *l, size_t from, size_t to)
{
	char all[MOST + sizeof(REST)];

	memcpy(all, l->text, l->len);
	memcpy(all + l->len, REST, sizeof(REST));
	bytes(CLIENT, all + from, to - from);
}

static size_t all_of(const struct line *l)
{
	return l->len + strlen(REST);
}

/* On a connection of its own, in two segments if `cut`. What came of it is in rig.log until the next one. */
static void ask(const struct line *l, size_t cut)
{
	rig_forget_log();
	begin();
	if (cut)
		say(l, 0, cut);
	say(l, cut, all_of(l));
	server(OK);
	rig_drain();
	done();
}

static void a_line_of_16_to_48_bytes_is_kept_whole_and_nothing_behind_it(void **state)
{
	for (size_t len = LEAST; len <= MOST; len++) {
		struct line l = line_of(len), found;
		uint64_t hash, there;
		char name[MOST];

		begin_afresh();
		ask(&l, 0);
		assert_int_equal(kept_count(), KEPT(len));
		if (!kept_find())
			continue;
		found = kept_line();
		assert_int_equal(found.len, l.len);
		assert_memory_equal(found.text, l.text, l.len);
		name_of(&l, name, sizeof(name));
		assert_int_equal(route_key(RIG_SEED, "GET", name + 4, &hash), 0);
		memcpy(&there, kept_mine() + kept.hash, sizeof(there));
		assert_true(there == hash);
	}
}

static void a_line_that_is_kept_is_not_scanned_again(void **state)
{
	const uint64_t mark = 0x1122334455667788ULL;

	for (size_t len = LEAST; len <= MOST; len++) {
		struct line l = line_of(len);

		begin_afresh();
		ask(&l, 0);
		if (kept_find()) {
			memcpy(kept_mine() + kept.hash, &mark, sizeof(mark));
			keep_everywhere();
		}
		ask(&l, 0);
		assert_int_equal(rig.n_ended, 1);
		assert_int_equal(rig.last.hash == mark, KEPT(len));
	}
}

/* A route that has been pushed out of the map is announced again, by a request whose line is known. */
static void a_kept_line_still_knows_its_name(void **state)
{
	for (size_t len = LEAST; len <= MOST; len++) {
		struct line l = line_of(len);
		char name[MOST];

		name_of(&l, name, sizeof(name));
		for (int i = 0; i < 3; i++) {
			rig_reset();
			ask(&l, 0);
			assert_int_equal(rig.n_names, 1);
			assert_string_equal(rig.names[0].text, name);
		}
	}
}

/* Asked whole, as the other line was, then once more, then by the careful engine alone. */
static void expect_own_route(const struct line *l, const struct line *other)
{
	char name[MOST], expected[100] = "", first[200] = "";

	name_of(l, name, sizeof(name));
	if (*name)
		snprintf(expected, sizeof(expected), "%s 200 answered\n", name);
	ask(l, 0);
	assert_true(rig.log_len < sizeof(first));
	memcpy(first, rig.log, rig.log_len);
	if (*name && strcmp(first, expected))
		fail_msg("after \"%s\" \"%s\" counts as: %s", other->text, l->text, first);
	for (size_t cut = 0; cut <= l->len / 2; cut += l->len / 2) {
		ask(l, cut);
		if (strcmp(rig.log, first))
			fail_msg("after \"%s\" \"%s\" counts as: %s, and %s as: %s", other->text, l->text, first,
			         cut ? "in two segments" : "again", rig.log);
	}
	assert_false(rig.named_twice);
}

static void a_line_that_differs_in_one_byte_has_a_route_of_its_own(void **state)
{
	for (size_t len = LEAST; len <= MOST; len++) {
		struct line l = line_of(len), other;
		char *entry = malloc((size_t)rig.cpus * kept.size);

		assert_non_null(entry);
		begin_afresh();
		ask(&l, 0);
		ask(&l, 0);
		kept_find();
		memcpy(entry, kept.value, (size_t)rig.cpus * kept.size);
		for (size_t i = 0; i < len; i++) {
			const char to[] = {
				'Q', 'y', '-', '/', '?', '0', ' ', '\n', (char)(l.text[i] ^ 1), (char)(l.text[i] ^ 128)
			};

			for (size_t k = 0; k < sizeof(to); k++) {
				other = l;
				other.text[i] = to[k];
				/* As if all its bytes led to the same place. */
				memcpy(kept.value, entry, (size_t)rig.cpus * kept.size);
				keep_everywhere();
				if (to[k] != l.text[i])
					expect_own_route(&other, &l);
			}
		}
		free(entry);
	}
}

static void what_follows_a_kept_line_is_read_anew(void **state)
{
	static const char line[] = "POST /orders/new HTTP/1.1\r\n";
	static const char *const rest[] = { "\r\n", "Content-Length: 3\r\n\r\nabc", "Content-Length: 5\r\n\r\nabcde",
		                            "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "A: b\r\n\r\n" };
	char text[100];

	for (int i = 0; i < 25; i++) {
		/* Wrongly framed, it would swallow what comes next, or leave a part of it. */
		snprintf(text, sizeof(text), "%s%s", line, rest[i * 7 % 5]);
		client(text);
		server(OK);
		expect_exchanges("POST /orders/new 200 answered\n");
	}
	assert_int_equal(kept_count(), 1);
	expect_ledger("requests 25, ended 25, connections 1, decoded 1");
}

static void a_kept_head_still_has_an_answer_without_a_body(void **state)
{
	for (int i = 0; i < 4; i++) {
		client("HEAD /pictures HTTP/1.1\r\n\r\n");
		server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		expect_exchanges("HEAD /pictures 200 answered\n");
	}
	assert_int_equal(kept_count(), 1);
}

static void a_kept_connect_still_leaves_http(void **state)
{
	for (int i = 0; i < 3; i++) {
		begin();
		client("CONNECT a.example:443 HTTP/1.1\r\n\r\n");
		server("HTTP/1.1 200 OK\r\n\r\n");
		client("GET /within HTTP/1.1\r\n\r\n");
		server(OK);
		expect_exchanges("CONNECT a.example:443 200 answered\n");
		done();
	}
	assert_int_equal(kept_count(), 1);
	expect_ledger("requests 3, ended 3, connections 3, decoded 3, upgraded 3");
}

/* ---- what is private ----------------------------------------------------------------------------------------------
 */

static void a_line_with_a_query_is_never_kept(void **state)
{
	for (size_t len = LEAST; len <= MOST; len++) {
		const struct line plain = line_of(len);
		size_t path = (size_t)(strchr(plain.text, '/') - plain.text), asked = 0;

		rig_reset();
		for (size_t i = path + 1; i < len - 11; i++) {
			struct line l = plain;

			l.text[i] = '?';
			for (int again = 0; again < 3; again++)
				ask(&l, again == 2 ? len / 2 : 0);
			assert_int_equal(rig.n_ended, 1);
			asked++;
		}
		assert_int_equal(asked, len < 16 ? 0 : len - 16);
		assert_int_equal(kept_count(), 0);
	}
}

static void neither_is_one_whose_query_has_the_looks_of_a_line(void **state)
{
	static const char *const lines[] = { "GET /?HTTP/1.1 HTTP/1.1\r\n", "GET /a?b/c HTTP/1.1\r\n",
		                             "GET http://a/?b HTTP/1.1\r\n", "OPTIONS *?a HTTP/1.1\r\n",
		                             "GET /%20??a HTTP/1.1\r\n" };

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct line l = { .len = strlen(lines[i]) };

		memcpy(l.text, lines[i], l.len);
		ask(&l, 0);
		ask(&l, 0);
		assert_int_equal(rig.n_ended, 1);
	}
	assert_int_equal(kept_count(), 0);
}

/* ---- a part of a line
 * --------------------------------------------------------------------------------------------------
 */

/* Is the text at the start of this CPU's window? */
static bool in_window(const struct line *l)
{
	const char *lane = (const char *)rig_lane_rows(0, 0) + (size_t)kept.cpu * rig.lane_size;

	return !memcmp(lane + rig_offset("tw_lane", "window"), l->text, l->len);
}

/*
 * The first `have` bytes of a request whose line is kept come alone, and the rest of it still lies behind them: another
 * connection has just sent it. Then comes the rest of another one.
 */
static void a_part_comes(const struct line *whole, const struct line *other, size_t have)
{
	char expected[100], name[MOST];
	struct talk mine, theirs;

	begin();
	say(whole, 0, all_of(whole));
	server(OK);
	mine = talk;
	begin();
	say(whole, 0, all_of(whole));
	theirs = talk;
	talk = mine;
	rig_drain();
	rig_forget_log();
	assert_true(in_window(whole));
	say(whole, 0, have);
	assert_true(in_window(whole));
	assert_int_equal(in_flight(), 0);
	say(other, have, all_of(other));
	assert_int_equal(in_flight(), 1);
	server(OK);
	name_of(other, name, sizeof(name));
	snprintf(expected, sizeof(expected), "%s 200 answered\n", name);
	expect_exchanges(expected);
	done();
	talk = theirs;
	done();
}

static void a_part_of_a_line_is_not_taken_for_the_whole_that_lay_there_before(void **state)
{
	for (size_t len = LEAST; len <= MOST; len++) {
		struct line whole = line_of(len), other = whole;
		size_t last = len - 12; /* of the path */

		begin_afresh();
		if (other.text[last] != '/')
			other.text[last] = 'Y';
		for (size_t have = 1; have < all_of(&whole); have++)
			a_part_comes(&whole, have <= last ? &other : &whole, have);
	}
}

static void programs_that_interrupt_another_neither_keep_a_line_nor_ask_for_one(void **state)
{
	const uint64_t mark = 0x1122334455667788ULL;
	struct line l = line_of(30);

	rig_hold_lane(1);
	ask(&l, 0);
	assert_int_equal(kept_count(), 0);
	rig_hold_lane(0);
	ask(&l, 0);
	assert_true(kept_find());
	memcpy(kept_mine() + kept.hash, &mark, sizeof(mark));
	keep_everywhere();
	rig_hold_lane(1);
	ask(&l, 0);
	rig_hold_lane(0);
	assert_int_equal(rig.n_ended, 1);
	assert_true(rig.last.hash != mark);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINES(a_line_of_16_to_48_bytes_is_kept_whole_and_nothing_behind_it),
		LINES(a_line_that_is_kept_is_not_scanned_again),
		LINES(a_kept_line_still_knows_its_name),
		LINES(a_line_that_differs_in_one_byte_has_a_route_of_its_own),
		LINES(what_follows_a_kept_line_is_read_anew),
		LINES(a_kept_head_still_has_an_answer_without_a_body),
		LINES(a_kept_connect_still_leaves_http),
		LINES(a_line_with_a_query_is_never_kept),
		LINES(neither_is_one_whose_query_has_the_looks_of_a_line),
		LINES(a_part_of_a_line_is_not_taken_for_the_whole_that_lay_there_before),
		LINES(programs_that_interrupt_another_neither_keep_a_line_nor_ask_for_one),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
