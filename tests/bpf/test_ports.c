// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which connections are watched: by four ports that the programs know, and by the map that has all. Oracle: a number is
 * one of the four, or it is not.
 */
#include "talk.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A    "GET /a HTTP/1.1\r\n\r\n"
#define A_OK "GET /a 200 answered\n"
#define SEEN "requests 1, ended 1, connections 1, decoded 1"

static void near(const uint16_t *ports, bool all)
{
	uint64_t four = 0;

	for (int i = 0; i < 4; i++)
		four |= (uint64_t)ports[i] << (16 * i);
	rig.skel->bss->near_ports = four;
	rig.skel->bss->near_all = all;
}

/* The map's word on a port: TW_PORT_*. */
static void map_says(uint16_t port, uint8_t side)
{
	uint32_t key = port;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(rig.skel->maps.ports), &key, &side, BPF_ANY), 0);
}

static void a_port_in_any_of_the_four_places_is_watched_without_the_map(void **state)
{
	map_says(RIG_SERVER_PORT, 0);
	for (int all = 0; all < 2; all++)
		for (int i = 0; i < 4; i++) {
			uint16_t ports[] = { 1, 80, 443, 65535 };

			ports[i] = RIG_SERVER_PORT;
			near(ports, all);
			rig_reset();
			begin_as(WATCHED_SERVER, i & 1);
			client(A);
			server(OK);
			expect_exchanges(A_OK);
			expect_ledger(SEEN);
			done();
		}
}

/* Does a packet to, or from, this port of ours make a state? */
static bool is_watched(uint16_t port, bool arriving)
{
	struct packet p;
	bool found;
	char *conn;

	talk.server_port = port;
	talk_key(&talk);
	packet_build(&p, &talk, arriving ? CLIENT : SERVER, 1, "x", 1, ACK);
	assert_int_equal(packet_run(&p, arriving, 0), 1);
	conn = calloc(1, bpf_map__value_size(rig.skel->maps.early));
	assert_non_null(conn);
	found = !bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.early), &talk.key, conn);
	free(conn);
	if (found)
		bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.early), &talk.key);
	return found;
}

static void of_all_numbers_there_are_only_the_four_are_watched(void **state)
{
	/* Neighbours, numbers that differ in the highest bit, and the ends. */
	static const uint16_t fours[][4] = {
		{ 1, 0x8000, 0xffff, 0x7fff },
		{ 8081, 8082, 8081 ^ 0x8000, 8083 },
		{ 0x0100, 0x0100, 0x0001, 0x0101 },
	};

	for (size_t f = 0; f < sizeof(fours) / sizeof(*fours); f++) {
		near(fours[f], true);
		for (uint32_t port = 1; port < 65536; port++) {
			bool one = false;

			for (int i = 0; i < 4; i++)
				one |= fours[f][i] == port;
			if (is_watched((uint16_t)port, (port ^ f) & 1) != one)
				fail_msg("port %u is %swatched, with %u, %u, %u and %u", port, one ? "not " : "",
				         fours[f][0], fours[f][1], fours[f][2], fours[f][3]);
		}
	}
}

static void what_only_the_map_has_is_watched_unless_the_four_are_said_to_be_all(void **state)
{
	static const uint16_t others[] = { 1, 80, 443, 65535 };

	near(others, true);
	client(A);
	server(OK);
	expect_exchanges("");
	expect_ledger("");
	near(others, false);
	begin();
	client(A);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger(SEEN);
}

static void the_far_end_is_asked_of_the_map_although_the_four_are_all(void **state)
{
	static const uint16_t others[] = { 1, 80, 443, 65535 };

	near(others, true);
	begin_as(WATCHED_CLIENT, false);
	client(A);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger(SEEN);
}

/* A client may happen to have the number of a watched upstream. */
static void a_watched_server_is_one_whatever_port_its_client_has(void **state)
{
	static const uint16_t four[] = { 1, 80, RIG_SERVER_PORT, 65535 }, others[] = { 1, 80, 443, 65535 };

	for (int by_map = 0; by_map < 2; by_map++) {
		near(by_map ? others : four, !by_map);
		rig_reset();
		begin();
		talk.client_port = RIG_UPSTREAM_PORT;
		talk_key(&talk);
		client(A);
		server(OK);
		expect_exchanges(A_OK);
		expect_ledger(SEEN);
		done();
	}
}

static int after(void **state)
{
	rig.skel->bss->near_ports = 0;
	rig.skel->bss->near_all = 0;
	map_says(RIG_SERVER_PORT, TW_PORT_SERVER);
	return talk_after(state);
}

#define PORTS(f) cmocka_unit_test_setup_teardown(f, talk_before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PORTS(a_port_in_any_of_the_four_places_is_watched_without_the_map),
		PORTS(of_all_numbers_there_are_only_the_four_are_watched),
		PORTS(what_only_the_map_has_is_watched_unless_the_four_are_said_to_be_all),
		PORTS(the_far_end_is_asked_of_the_map_although_the_four_are_all),
		PORTS(a_watched_server_is_one_whatever_port_its_client_has),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
