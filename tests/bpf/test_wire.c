// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What only sockets have: a receive window that is shut, and a peer that is gone. Oracles: how long this client did not
 * read, and what TCP_INFO says of it; the README's definitions of `server` and of a bad exchange, by which a client
 * that vanishes inside an answer is not the server's error, but a 5xx is.
 */
#include "wire.h"
#include "slots.h"

#include <linux/bpf.h>
#include <poll.h>

#include "capture/features.h"
#include "session/internal.h"
#include "tw_status.h"

#define A        "GET /a HTTP/1.1\r\n\r\n"
#define A_OK     "GET /a 200 answered\n"
#define ENDPOINT 3
#define SLOT     6

/* ---- a client that does not read ----------------------------------------------------------------------------------
 */

#define LENGTH (4U << 20)
#define PAUSE  (300 * MS)

static void sleep_for(uint64_t ns)
{
	const struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	nanosleep(&t, NULL);
}

/* As much of what is left as the socket takes at once. */
static size_t push(size_t left)
{
	static const char filler[65536];
	ssize_t n;

	do {
		n = send(net.end[SERVER], filler, left < sizeof(filler) ? left : sizeof(filler), MSG_DONTWAIT);
		left -= n > 0 ? (size_t)n : 0;
	} while (left && n > 0);
	return left;
}

static size_t pull(void)
{
	static char sink[65536];
	ssize_t n = recv(net.end[CLIENT], sink, sizeof(sink), MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

/* An answer larger than the client's window. The client reads nothing for PAUSE, then all. */
static void answer_a_client_that_pauses(void)
{
	struct pollfd p = { .fd = net.end[CLIENT], .events = POLLIN };
	size_t left, got = 0, all;
	char head[64];

	wire_send(CLIENT, A);
	all = LENGTH + (size_t)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", LENGTH);
	assert_int_equal(send(net.end[SERVER], head, strlen(head), MSG_MORE), strlen(head));
	left = push(LENGTH);
	sleep_for(PAUSE);
	while (got < all) {
		left = push(left);
		assert_int_equal(poll(&p, 1, 2000), 1);
		got += pull();
	}
	expect_exchanges(A_OK);
	assert_true(rig.last.lat[TW_LAT_TOTAL] >= PAUSE);
	assert_int_equal(rig.last.lat[TW_LAT_UPLOAD], 0);
}

/* ns in all for which the client's window has kept the server from sending, as TCP tells its own. */
static uint64_t shut_for(void)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(net.end[SERVER], IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_true(len >= offsetof(struct tcp_info, tcpi_rwnd_limited) + sizeof(info.tcpi_rwnd_limited));
	return info.tcpi_rwnd_limited * 1000;
}

static void the_time_a_clients_window_is_shut_is_taken_off_the_servers(void **state)
{
	struct timespec jiffy;
	uint64_t shut, off, slack;

	assert_int_equal(clock_getres(CLOCK_MONOTONIC_COARSE, &jiffy), 0);
	slack = 2 * (uint64_t)jiffy.tv_nsec;
	rig.skel->bss->jiffy_ns = (uint32_t)jiffy.tv_nsec;
	answer_a_client_that_pauses();
	shut = shut_for();
	off = rig.last.lat[TW_LAT_TOTAL] - rig.last.lat[TW_LAT_SERVER];
	/* Until the first acknowledgement the server does not know; a delayed one takes 40 ms. */
	assert_true(shut >= PAUSE - 100 * MS);
	assert_in_range(off, shut - slack, shut + slack);
}

static void where_the_length_of_a_jiffy_is_not_known_nothing_is_taken_off(void **state)
{
	assert_int_equal(rig.skel->bss->jiffy_ns, 0);
	answer_a_client_that_pauses();
	assert_true(shut_for() >= PAUSE - 100 * MS);
	assert_int_equal(rig.last.lat[TW_LAT_SERVER], rig.last.lat[TW_LAT_TOTAL]);
}

/* ---- a client that is gone ----------------------------------------------------------------------------------------
 */

static struct bpf_link *fail_link;

/* From now on no packet arrives in the cgroup. Returns what to close to have them arrive again. */
static int lose_all(void)
{
	const struct bpf_insn drop[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = BPF_CGROUP_INET_INGRESS);
	int prog = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "tw_lose_all", "GPL", drop, 2, &o), cgroup, link;

	assert_true(prog >= 0);
	cgroup = open(net.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(cgroup >= 0);
	link = bpf_link_create(prog, cgroup, BPF_CGROUP_INET_INGRESS, NULL);
	assert_true(link >= 0);
	close(cgroup);
	close(prog);
	return link;
}

/* The client vanishes inside this answer, and TCP gives up. */
static void vanish_inside(const char *head)
{
	const unsigned int patience = 200; /* ms */
	int lost;

	wire_send(CLIENT, A);
	wire_send(SERVER, head);
	lost = lose_all();
	assert_int_equal(setsockopt(net.end[SERVER], IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof(patience)), 0);
	assert_int_equal(send(net.end[SERVER], "12", 2, 0), 2);
	assert_int_equal(recv(net.end[SERVER], (char[1]){ 0 }, 1, 0), -1);
	assert_int_equal(errno, ETIMEDOUT);
	close(lost);
}

/* The counters' gain while the client vanishes, as user space adds it up; its status is the caller's to free. */
static struct cell count_vanishing(const char *head)
{
	static const struct tw_rule rule = { .outcomes = TW_FAULTS, .slower_than = TW_NEVER_SLOW };
	struct cell cell = { .last = slot_sum(SLOT).c };
	struct tw_series seen;

	cell_rule(&cell, &rule, 30);
	vanish_inside(head);
	expect_exchanges("");
	seen = slot_sum(SLOT);
	assert_int_equal(cell_add(&cell, &seen.c), 0);
	assert_int_equal(cell.total.requests, 1);
	assert_int_equal(cell.total.outcome[TW_TIMEOUT], 1);
	assert_int_equal(cell.total.cut[TW_TIMEOUT], 1);
	return cell;
}

static void name_a(void)
{
	wire_send(CLIENT, A);
	wire_send(SERVER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	expect_exchanges(A_OK);
	name_route(rig.names[0].hash, ENDPOINT);
	give_slot(ENDPOINT, SLOT);
}

/*
 * TCP has given up, and no packet shows it: only the tracepoint at which a socket's state changes does, whose program
 * must find what was kept with that socket.
 */
static void need_fail_link(void)
{
	const struct feature_state *s = &features__try()[FEATURE_FAIL];

	if (fail_link)
		return;
	print_message(
		"skipped: %s is refused (%s), without which nobody tells that TCP gave up: since 5.11 programs at "
		"tracepoints may look into what is kept with a socket\n",
		s->hook, strerror(s->error));
	skip();
}

static void a_client_that_vanishes_inside_an_answer_leaves_no_error_behind(void **state)
{
	struct cell c;

	need_fail_link();
	name_a();
	c = count_vanishing("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
	assert_int_equal(arm_errors(&c.total), 0);
	assert_int_equal(c.tick_bad, 0);
	free(c.total.status);
}

static void a_failure_inside_which_the_client_vanishes_is_one_error(void **state)
{
	struct cell c;

	need_fail_link();
	name_a();
	c = count_vanishing("HTTP/1.1 503 Sorry\r\nContent-Length: 6\r\n\r\n");
	assert_int_equal(arm_status(&c.total, 503), 1);
	assert_int_equal(arm_errors(&c.total), 1);
	assert_int_equal(c.tick_bad, 1);
	free(c.total.status);
}

/* ---- a socket that goes, seen twice -------------------------------------------------------------------------------
 */

/* Sessions of another protocol that have ended, by whichever end. */
static uint64_t sessions_ended(void)
{
	struct tw_losses *per_cpu = calloc((size_t)rig.cpus, sizeof(*per_cpu));
	uint32_t version = RIG_SERVER_VERSION;
	uint64_t n = 0;

	assert_non_null(per_cpu);
	assert_int_equal(bpf_map__value_size(rig.skel->maps.losses), sizeof(*per_cpu));
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.losses), &version, per_cpu), 0);
	for (int i = 0; i < rig.cpus; i++)
		for (int how = 0; how < TW_END_NR; how++)
			n += per_cpu[i].upgraded.ended[how];
	free(per_cpu);
	return n;
}

/* The kernel resets the client, and the server's socket goes before close() is back. */
static void throw_away(enum end end)
{
	const struct linger at_once = { .l_onoff = 1 };

	assert_int_equal(setsockopt(net.end[end], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(net.end[end]);
	net.end[end] = -1;
}

/*
 * The second program may take the first for passed over though it was not: see bpf/again.h. Here the first leaves no
 * mark at all, as on kernels that pass nothing over, so both do the work for each socket.
 */
static void a_socket_that_two_programs_see_going_has_gone_once(void **state)
{
	struct bpf_link *first, *second;
	uint64_t before = sessions_ended();

	need_fail_link();
	assert_int_equal(rig.skel->rodata->run_twice, 0);
	first = bpf_program__attach(rig.skel->progs.tw_destroy);
	second = bpf_program__attach(rig.skel->progs.tw_destroy_again);
	assert_non_null(first);
	assert_non_null(second);
	wire_send(CLIENT, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	wire_send(SERVER, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
	expect_exchanges("GET /ws 101 answered\n");
	throw_away(SERVER);
	assert_true(rig.skel->bss->made_good[TW_TWICE_END] > 0);
	assert_int_equal(sessions_ended() - before, 1);
	bpf_link__destroy(first);
	bpf_link__destroy(second);
}

/* ---- around the tests ---------------------------------------------------------------------------------------------
 */

static int set_up(void **state)
{
	rig_with_ends = features__try()[FEATURE_FAIL].ok && features__try()[FEATURE_DESTROY].ok;
	wire_set_up(state);
	if (rig_with_ends) {
		fail_link = bpf_program__attach(rig.skel->progs.tw_fail);
		assert_non_null(fail_link);
	}
	return 0;
}

static int tear_down(void **state)
{
	bpf_link__destroy(fail_link);
	return wire_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WIRE(the_time_a_clients_window_is_shut_is_taken_off_the_servers),
		WIRE(where_the_length_of_a_jiffy_is_not_known_nothing_is_taken_off),
		WIRE(a_client_that_vanishes_inside_an_answer_leaves_no_error_behind),
		WIRE(a_failure_inside_which_the_client_vanishes_is_one_error),
		WIRE(a_socket_that_two_programs_see_going_has_gone_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
