// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture base
 *
 * Which ports the kernel programs are told beside their map. Oracle: a port that is watched must be found, in one of
 * the four numbers or, when these are said not to be all, in the map.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "capture/near_ports.h"

#define FOUR(a, b, c, d) ((uint64_t)(a) | (uint64_t)(b) << 16 | (uint64_t)(c) << 32 | (uint64_t)(d) << 48)

static struct id_place places[16];
static size_t n_places;

static int clear(void **state)
{
	n_places = 0;
	return 0;
}

/* host: the last byte of the address. */
static void place(uint8_t host, uint16_t port, bool client, uint16_t version)
{
	struct id_place p = { .key = { .port = port, .client = client }, .value = { .version = version } };

	p.key.addr[15] = host;
	places[n_places++] = p;
}

static void expect(uint64_t ports, bool all)
{
	struct near_ports near = near_ports_of(places, n_places);

	assert_true(near.ports == ports);
	assert_int_equal(near.all, all);
}

static void up_to_four_ports_are_all_there_are(void **state)
{
	place(1, 8081, false, 1);
	expect(FOUR(8081, 8081, 8081, 8081), true);
	place(1, 65535, false, 2);
	expect(FOUR(8081, 65535, 8081, 8081), true);
	place(1, 1, false, 1);
	expect(FOUR(8081, 65535, 1, 8081), true);
	place(1, 32768, false, 2);
	expect(FOUR(8081, 65535, 1, 32768), true);
}

static void of_more_than_four_the_first_are_near_and_the_others_are_known_to_exist(void **state)
{
	for (uint16_t i = 0; i < 5; i++)
		place(1, 8081 + i, false, 1 + i % 2);
	expect(FOUR(8081, 8082, 8083, 8084), false);
	place(1, 80, false, 1);
	expect(FOUR(8081, 8082, 8083, 8084), false);
}

static void a_port_of_several_addresses_and_versions_is_one(void **state)
{
	for (uint16_t i = 0; i < 4; i++)
		for (uint8_t host = 1; host < 4; host++)
			place(host, 8081 + i, false, host);
	expect(FOUR(8081, 8082, 8083, 8084), true);
	place(9, 8084, false, 3);
	expect(FOUR(8081, 8082, 8083, 8084), true);
	place(9, 8085, false, 3);
	expect(FOUR(8081, 8082, 8083, 8084), false);
}

static void the_far_end_of_a_proxys_connections_is_not_a_port_of_ours(void **state)
{
	for (uint16_t i = 0; i < 6; i++)
		place(1, 9000 + i, true, 1);
	expect(0, true);
	place(1, 8081, false, 1);
	expect(FOUR(8081, 8081, 8081, 8081), true);
	/* The same number may be both. */
	place(1, 9000, false, 2);
	expect(FOUR(8081, 9000, 8081, 8081), true);
}

static void without_a_place_no_port_is_near(void **state)
{
	expect(0, true);
}

#define TEST(f) cmocka_unit_test_setup(f, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(up_to_four_ports_are_all_there_are),
		TEST(of_more_than_four_the_first_are_near_and_the_others_are_known_to_exist),
		TEST(a_port_of_several_addresses_and_versions_is_one),
		TEST(the_far_end_of_a_proxys_connections_is_not_a_port_of_ours),
		TEST(without_a_place_no_port_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
