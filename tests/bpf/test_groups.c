// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Groups of connections: what comes together on a few connections must be told from what is spread over many. Oracle:
 * the conversations themselves, and the slot's other counters, which know nothing of groups.
 */
#include "talk.h"
#include "slots.h"

#include "model/histogram.h"

#define A    "GET /a HTTP/1.1\r\n\r\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define GONE "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
#define DOWN "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

#define ENDPOINT 3
#define SLOT     7

static struct tw_series before;

/* /a has a slot, in which nothing is counted yet that matters. */
static void counted_by_slot(void)
{
	client(A);
	server(OK);
	expect_exchanges("GET /a 200 answered\n");
	name_route(rig.names[0].hash, ENDPOINT);
	give_slot(ENDPOINT, SLOT);
	before = slot_sum(SLOT);
	done();
}

static void slow_is(unsigned int bucket)
{
	uint32_t key = RIG_SERVER_VERSION * TW_MAX_ENDPOINTS + ENDPOINT;
	struct tw_slot value = { .slot = SLOT, .slow_from = (uint16_t)bucket };

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.slots), &key, &value, BPF_ANY), 0);
}

static uint32_t gained(const uint32_t *now, const uint32_t *then)
{
	uint32_t n = 0;

	for (int i = 0; i < TW_GROUPS; i++)
		n += now[i] - then[i];
	return n;
}

static void all_exchanges_of_a_connection_are_in_one_group_and_connections_are_spread(void **state)
{
	uint32_t used[TW_GROUPS] = { 0 };
	int groups = 0;

	counted_by_slot();
	for (int i = 0; i < 256; i++) {
		struct tw_series now;
		int in = 0;

		begin();
		for (int k = 0; k < 3; k++) {
			client(A);
			server(OK);
		}
		done();
		now = slot_sum(SLOT);
		for (int g = 0; g < TW_GROUPS; g++) {
			if (now.c.group[g] == before.c.group[g])
				continue;
			assert_int_equal(now.c.group[g] - before.c.group[g], 3);
			used[g]++;
			in++;
		}
		assert_int_equal(in, 1);
		before = now;
	}
	/* 256 balls into 16 urns: 16 each, 3.9 the standard deviation. */
	for (int g = 0; g < TW_GROUPS; g++) {
		assert_in_range(used[g], 1, 40);
		groups += used[g] > 0;
	}
	assert_int_equal(groups, TW_GROUPS);
}

static void a_group_counts_as_bad_what_is_the_servers_fault_and_nothing_twice(void **state)
{
	struct tw_series now;

	counted_by_slot();
	begin();
	client(A);
	server(OK);
	client(A);
	server(GONE);
	client(A);
	server(DOWN);
	client(A);
	rst(CLIENT);
	done();
	begin();
	client(A);
	server("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nhalf");
	fin(SERVER);
	done();
	begin();
	client(A);
	fin(SERVER);
	done();
	now = slot_sum(SLOT);
	assert_int_equal(now.c.exchanges - before.c.exchanges, 6);
	assert_int_equal(gained(now.c.group, before.c.group), 6);
	assert_int_equal(gained(now.c.group_bad, before.c.group_bad), 3);
	assert_int_equal(gained(now.c.group_slow, before.c.group_slow), 0);
}

/* One exchange whose server takes this long, less the little it takes to ask. */
static uint32_t slow_after(uint64_t took)
{
	uint64_t asked = now();
	struct tw_series after;
	uint32_t n;

	begin();
	client(A);
	answer_at(asked + took, OK);
	done();
	after = slot_sum(SLOT);
	n = gained(after.c.group_slow, before.c.group_slow);
	before = after;
	return n;
}

static void slow_is_what_lies_in_the_bucket_told_or_beyond_it(void **state)
{
	unsigned int bucket = histogram_bucket(60 * MS);

	counted_by_slot();
	assert_int_equal(slow_after(1000 * MS), 0);
	slow_is(bucket);
	assert_int_equal(slow_after(30 * MS), 0);
	assert_int_equal(slow_after(62 * MS), 1);
	assert_int_equal(slow_after(500 * MS), 1);
	slow_is(0);
	assert_int_equal(slow_after(500 * MS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_exchanges_of_a_connection_are_in_one_group_and_connections_are_spread),
		TEST(a_group_counts_as_bad_what_is_the_servers_fault_and_nothing_twice),
		TEST(slow_is_what_lies_in_the_bucket_told_or_beyond_it),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
