// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Pipelines on both sides of the limit of four requests, beyond which the others lie in a map of their own: into it and
 * out of it again. Oracle: answers belong to requests in the order in which these were sent (RFC 9112, 9.3.2); every
 * request here has a route and an answer that no other one has.
 */
#include "talk.h"
#include "state.h"

#define INLINE 4
#define MOST   10

/* ---- what is said -------------------------------------------------------------------------------------------------
 */

static void put_request(char *to, size_t size, unsigned int n)
{
	snprintf(to, size, "GET /%c HTTP/1.1\r\n\r\n", 'a' + n % MOST);
}

static void put_answer(char *to, size_t size, unsigned int n)
{
	snprintf(to, size, "HTTP/1.1 %u OK\r\nContent-Length: 0\r\n\r\n", 200 + n % MOST);
}

/* Requests, or answers, from number `n` on, in one segment. */
static void say(enum end from, unsigned int n, unsigned int count)
{
	char text[MOST * 64];
	size_t len = 0;

	assert_true(count <= MOST);
	for (unsigned int i = n; i < n + count; i++, len += strlen(text + len))
		(from == CLIENT ? put_request : put_answer)(text + len, sizeof(text) - len, i);
	bytes(from, text, len);
}

/* What has ended since the last time is requests 0 to n - 1, each with its own answer. */
static void expect_in_order(unsigned int n, const char *pattern)
{
	char expected[64 * 40];
	size_t len = 0;

	assert_true(n <= 64);
	for (unsigned int i = 0; i < n; i++)
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "GET /%c %u answered\n", 'a' + i % MOST,
		                        200 + i % MOST);
	rig_drain();
	if (strcmp(rig.log, n ? expected : ""))
		fail_msg("%s:\n%s", pattern, rig.log);
	rig_forget_log();
}

/* ---- patterns -----------------------------------------------------------------------------------------------------
 */

/*
 * Every way in which n requests and their answers can follow one another: bit i of the pattern is set where the i-th
 * segment is a request. 0: this is none, or more than `deep` would be in flight.
 */
static bool is_pattern(uint32_t bits, unsigned int n, int deep)
{
	int flying = 0;

	for (unsigned int i = 0; i < 2 * n; i++) {
		flying += bits >> i & 1 ? 1 : -1;
		if (flying < 0 || flying > deep)
			return false;
	}
	return !flying;
}

/* "((()))()": an opening bracket is a request, a closing one an answer. */
static void play(uint32_t bits, unsigned int n)
{
	unsigned int said[2] = { 0, 0 };
	char pattern[2 * MOST + 1] = "";

	for (unsigned int i = 0; i < 2 * n; i++) {
		enum end from = bits >> i & 1 ? CLIENT : SERVER;

		pattern[i] = from == CLIENT ? '(' : ')';
		say(from, said[from]++, 1);
	}
	expect_in_order(n, pattern);
}

/* The numbers of Catalan: so many patterns there are of n requests. */
static const unsigned int catalan[MOST + 1] = { 1, 1, 2, 5, 14, 42, 132, 429, 1430, 4862, 16796 };

static void ten_requests_are_answered_in_order_whatever_follows_what(void **state)
{
	unsigned int found = 0;

	for (uint32_t bits = 0; bits < 1U << 2 * MOST; bits++) {
		if (!is_pattern(bits, MOST, MOST))
			continue;
		found++;
		begin();
		may_pipeline();
		play(bits, MOST);
		done();
	}
	assert_int_equal(found, catalan[MOST]);
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_DESYNC], 0);
}

static void any_pattern_may_follow_any_other_on_a_connection(void **state)
{
	uint32_t patterns[200];
	size_t n = 0;

	/* Six in flight, then none, five, then none, and so on. */
	for (uint32_t bits = 0; bits < 1U << 12; bits++)
		if (is_pattern(bits, 6, 6))
			patterns[n++] = bits;
	assert_int_equal(n, catalan[6]);
	may_pipeline();
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			play(patterns[i], 6);
			play(patterns[k], 6);
		}
	assert_int_equal(in_flight(), 0);
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_DESYNC], 0);
}

static void four_in_flight_need_no_room_however_many_have_been_answered(void **state)
{
	unsigned int found = 0;

	for (uint32_t bits = 0; bits < 1U << 2 * MOST; bits++) {
		if (!is_pattern(bits, MOST, INLINE))
			continue;
		found++;
		begin();
		play(bits, MOST);
		done();
	}
	assert_true(found > 1000);
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_PIPELINE_FULL], 0);
}

static void once_all_are_answered_four_in_flight_need_no_room_again(void **state)
{
	unsigned int found = 0;

	for (uint32_t beyond = 0; beyond < 1U << 14; beyond++) {
		if (!is_pattern(beyond, 7, 7) || is_pattern(beyond, 7, INLINE))
			continue;
		for (uint32_t within = 0; within < 1U << 10; within++) {
			if (!is_pattern(within, 5, INLINE))
				continue;
			found++;
			done();
			begin();
			may_pipeline();
			play(beyond, 7);
			assert_int_equal(bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.test_pipes), &talk.key), 0);
			play(within, 5);
		}
	}
	assert_true(found > 1000);
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_PIPELINE_FULL], 0);
}

static void a_segment_may_bring_any_number_of_requests_and_of_answers(void **state)
{
	for (unsigned int asked = 1; asked <= MOST; asked++)
		for (unsigned int answered = 1; answered <= MOST; answered++) {
			unsigned int said = 0;
			char pattern[64];

			snprintf(pattern, sizeof(pattern), "%u requests, %u answers at a time", asked, answered);
			done();
			begin();
			may_pipeline();
			/* At least one more has been asked when the next answers leave; all are answered at the end. */
			for (unsigned int n = asked; n <= 50; n += asked) {
				say(CLIENT, n - asked, asked);
				if (n - said >= answered) {
					say(SERVER, said, answered);
					said += answered;
				}
				if (n + asked > 50)
					for (; said < n; said++)
						say(SERVER, said, 1);
			}
			expect_in_order(said, pattern);
			assert_int_equal(in_flight(), 0);
		}
}

/* ---- times --------------------------------------------------------------------------------------------------------
 */

/* Request n has been read at that time; those from number `from` on lie in the map. */
static void note_piped_read(uint32_t n, uint32_t from, uint64_t t)
{
	int fd = bpf_map__fd(rig.skel->maps.test_pipes);
	char *pipe = calloc(1, bpf_map__value_size(rig.skel->maps.test_pipes));
	uint32_t rd = n + 1;

	if (n < from)
		note_read(n, t);
	assert_non_null(pipe);
	assert_int_equal(bpf_map_lookup_elem(fd, &talk.key, pipe), 0);
	if (n >= from)
		memcpy(pipe + rig_offset("tw_pipe", "t_read") + sizeof(t) * (n % TW_PIPELINE_MAX), &t, sizeof(t));
	assert_int_equal(bpf_map_update_elem(fd, &talk.key, pipe, BPF_ANY), 0);
	state_write(rig_offset("tw_conn", "rd"), &rd, sizeof(rd));
	free(pipe);
}

static void each_request_of_a_pipeline_has_times_of_its_own(void **state)
{
	uint64_t before[MOST], after[MOST], t;

	may_pipeline();
	for (unsigned int i = 0; i < MOST; i++) {
		before[i] = now();
		say(CLIENT, i, 1);
		after[i] = now();
	}
	t = now();
	for (unsigned int i = 0; i < MOST; i++)
		note_piped_read(i, INLINE, t + (i + 1) * MS);
	for (unsigned int i = 0; i < MOST; i++) {
		talk.departure = t + (20 + i * i) * MS;
		say(SERVER, i, 1);
		rig_drain();
		assert_int_equal(rig.n_ended, i + 1);
		assert_in_range(rig.last.t_start, before[i], after[i]);
		assert_int_equal(rig.last.lat[TW_LAT_TOTAL], talk.departure - rig.last.t_start);
		assert_int_equal(rig.last.lat[TW_LAT_QUEUE], t + (i + 1) * MS - rig.last.t_start);
		assert_int_equal(rig.last.lat[TW_LAT_SERVICE], talk.departure - t - (i + 1) * MS);
	}
	expect_in_order(MOST, "times");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ten_requests_are_answered_in_order_whatever_follows_what),
		TEST(any_pattern_may_follow_any_other_on_a_connection),
		TEST(four_in_flight_need_no_room_however_many_have_been_answered),
		TEST(once_all_are_answered_four_in_flight_need_no_room_again),
		TEST(a_segment_may_bring_any_number_of_requests_and_of_answers),
		TEST(each_request_of_a_pipeline_has_times_of_its_own),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
