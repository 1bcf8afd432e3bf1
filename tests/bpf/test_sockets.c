// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Segments larger than a test run takes: the same programs, attached to a cgroup of this test's own, on loopback, whose
 * segments hold up to 64 KB. State lies with the sockets here, as in service. Oracle: the numbers sent.
 * One write of up to 60 KB is one segment, seldom two: the peer has taken everything before it.
 */
#include "talk.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/cgroup.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A    "GET /a HTTP/1.1\r\n\r\n"
#define A_OK "GET /a 200 answered\n"
#define BIG  60000

static struct {
	struct bpf_link *links[2];
	char path[256], home[256];
	int listener, end[2]; /* by enum end */
} net;

static char big[BIG + 1];

/* ---- the wire -----------------------------------------------------------------------------------------------------
 */

static void wire_send(enum end from, const char *text)
{
	size_t len = strlen(text), got = 0;
	static char sink[BIG];
	ssize_t n;

	assert_true(len <= BIG);
	assert_int_equal(send(net.end[from], text, len, 0), len);
	while (got < len) {
		n = recv(net.end[!from], sink, sizeof(sink), 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
}

/* prefix, then as many copies of text as fit, then suffix; returns how many. */
static size_t fill(const char *prefix, const char *text, size_t most, const char *suffix)
{
	size_t len = strlen(prefix), one = strlen(text), n = 0;

	memcpy(big, prefix, len);
	for (; n < most && len + one + strlen(suffix) <= BIG; n++, len += one)
		memcpy(big + len, text, one);
	memcpy(big + len, suffix, strlen(suffix) + 1);
	return n;
}

static void wire_open(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int on = 1, size = 1 << 20;

	net.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(net.listener >= 0);
	setsockopt(net.listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	assert_int_equal(bind(net.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(net.listener, 1), 0);
	assert_int_equal(getsockname(net.listener, (struct sockaddr *)&at, &len), 0);
	rig_watch_port(ntohs(at.sin_port), RIG_SERVER_VERSION, false);
	net.end[CLIENT] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(net.end[CLIENT], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	assert_int_equal(connect(net.end[CLIENT], (struct sockaddr *)&at, sizeof(at)), 0);
	net.end[SERVER] = accept4(net.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(net.end[SERVER] >= 0);
	for (int i = 0; i < 2; i++)
		setsockopt(net.end[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int before(void **state)
{
	rig_reset();
	wire_open();
	return 0;
}

static int after(void **state)
{
	for (int i = 0; i < 2; i++)
		close(net.end[i]);
	close(net.listener);
	assert_int_equal(rig_busy_lanes(), 0);
	return 0;
}

/* ---- the cgroup ---------------------------------------------------------------------------------------------------
 */

static bool write_pid(const char *dir)
{
	char path[300], pid[16];
	int fd, n = snprintf(pid, sizeof(pid), "%d", getpid());
	bool ok;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, pid, (size_t)n) == n;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The cgroup2 directory this process is in now. */
static void find_home(const struct cgroup2 *g)
{
	char line[256];
	FILE *f = fopen("/proc/self/cgroup", "re");

	assert_non_null(f);
	snprintf(net.home, sizeof(net.home), "%s", g->mount);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "0::/", 4)) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(net.home, sizeof(net.home), "%.100s%.150s", g->mount, line + 3);
		}
	fclose(f);
}

static int set_up(void **state)
{
	struct cgroup2 g;
	struct err e;
	int fd;

	rig_open(false);
	if (cgroup2__open(&g, &e))
		fail_msg("%s", e.text);
	find_home(&g);
	snprintf(net.path, sizeof(net.path), "%.200s/tw-test-%d", g.mount, getpid());
	cgroup2__close(&g);
	assert_int_equal(mkdir(net.path, 0755), 0);
	assert_true(write_pid(net.path));
	fd = open(net.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	net.links[0] = bpf_program__attach_cgroup(rig.skel->progs.tw_ingress, fd);
	net.links[1] = bpf_program__attach_cgroup(rig.skel->progs.tw_egress, fd);
	assert_non_null(net.links[0]);
	assert_non_null(net.links[1]);
	close(fd);
	return 0;
}

static int tear_down(void **state)
{
	bpf_link__destroy(net.links[0]);
	bpf_link__destroy(net.links[1]);
	rig_close();
	write_pid(net.home);
	return rmdir(net.path);
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

static void a_body_of_60_kb_is_one_segment_of_an_exchange(void **state)
{
	fill("POST /a HTTP/1.1\r\nContent-Length: 59000\r\n\r\n", "x", 59000, "");
	wire_send(CLIENT, big);
	fill("HTTP/1.1 200 OK\r\nContent-Length: 59500\r\n\r\n", "y", 59500, "");
	wire_send(SERVER, big);
	expect_exchanges("POST /a 200 answered\n");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

static void bodies_and_heads_of_several_messages_may_share_60_kb(void **state)
{
	char *message = calloc(1, 8000), expected[512] = "";

	snprintf(message, 8000, "POST /a HTTP/1.1\r\nContent-Length: 7000\r\n\r\n%07000d", 0);
	assert_int_equal(fill("", message, 8, ""), 8);
	wire_send(CLIENT, big);
	snprintf(message, 8000, "HTTP/1.1 200 OK\r\nContent-Length: 7200\r\n\r\n%07200d", 0);
	assert_int_equal(fill("", message, 8, ""), 8);
	wire_send(SERVER, big);
	for (size_t i = 0, n = 0; i < 8; i++)
		n += (size_t)snprintf(expected + n, sizeof(expected) - n, "POST /a 200 answered\n");
	expect_exchanges(expected);
	expect_ledger("requests 8, ended 8, connections 1, decoded 1");
	free(message);
}

static void a_full_pipeline_in_one_segment_is_counted_to_the_last(void **state)
{
	char one[256];

	/* A request of up to 128 bytes takes one step. */
	snprintf(one, sizeof(one), "GET /a HTTP/1.1\r\nX: %080d\r\n\r\n", 0);
	assert_int_equal(fill("", one, TW_PIPELINE_MAX, ""), TW_PIPELINE_MAX);
	wire_send(CLIENT, big);
	assert_int_equal(fill("", OK, TW_PIPELINE_MAX, ""), TW_PIPELINE_MAX);
	wire_send(SERVER, big);
	rig_drain();
	assert_int_equal(rig.n_ended, TW_PIPELINE_MAX);
	assert_string_equal(rig.log + rig.log_len - strlen(A_OK), A_OK);
	expect_ledger("requests 128, ended 128, connections 1, decoded 1");
}

static void sixty_chunks_of_a_kilobyte_are_read_in_one_segment(void **state)
{
	char chunk[1100];

	snprintf(chunk, sizeof(chunk), "3e0\r\n%0992d\r\n", 0);
	wire_send(CLIENT, A);
	assert_true(fill("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, 60, "0\r\n\r\n") >= 59);
	wire_send(SERVER, big);
	expect_exchanges(A_OK);
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

static void thousands_of_chunks_are_read_in_one_segment(void **state)
{
	wire_send(CLIENT, A);
	assert_true(fill("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 9000, "0\r\n\r\n") >
	            8000);
	wire_send(SERVER, big);
	expect_exchanges("GET /a 200 answered\n");
	expect_ledger("requests 1, ended 1, connections 1, decoded 1");
}

static void requests_in_pieces_keep_their_text_with_the_socket(void **state)
{
	for (int i = 0; i < 20; i++) {
		wire_send(CLIENT, "GET /a/lo");
		wire_send(CLIENT, "ng/path?q HTT");
		wire_send(CLIENT, "P/1.1\r\n\r\n");
		wire_send(SERVER, "HTTP/1.");
		wire_send(SERVER, "1 200 OK\r\nContent-Length: 0\r\n\r\n");
		expect_exchanges("GET /a/long/path 200 answered\n");
	}
	expect_ledger("requests 20, ended 20, connections 1, decoded 1");
}

#define WIRE(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WIRE(a_body_of_60_kb_is_one_segment_of_an_exchange),
		WIRE(bodies_and_heads_of_several_messages_may_share_60_kb),
		WIRE(a_full_pipeline_in_one_segment_is_counted_to_the_last),
		WIRE(sixty_chunks_of_a_kilobyte_are_read_in_one_segment),
		WIRE(thousands_of_chunks_are_read_in_one_segment),
		WIRE(requests_in_pieces_keep_their_text_with_the_socket),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
