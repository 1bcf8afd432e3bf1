/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real connections, on loopback: the programs are attached to a cgroup of the test's own, and state lies with the
 * sockets, as in service. For what crafted packets have not got: segments beyond a page, a window, a socket that fails.
 *
 * Invariants: one connection a test, both ends of it in this process; nothing outside the cgroup is seen.
 */
#ifndef TW_TEST_WIRE_H
#define TW_TEST_WIRE_H

#include "talk.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/cgroup.h"

#define WIRE_MOST 60000 /* bytes of one wire_send() */

static struct {
	struct bpf_link *links[2];
	char path[256], home[256];
	int listener, end[2]; /* by enum end */
} net;

/* ---- the wire -----------------------------------------------------------------------------------------------------
 */

static inline void wire_send(enum end from, const char *text)
{
	size_t len = strlen(text), got = 0;
	static char sink[WIRE_MOST];
	ssize_t n;

	assert_true(len <= WIRE_MOST);
	assert_int_equal(send(net.end[from], text, len, 0), len);
	while (got < len) {
		n = recv(net.end[!from], sink, sizeof(sink), 0);
		assert_true(n > 0);
		got += (size_t)n;
	}
}

static inline void wire_open(void)
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

static inline int wire_before(void **state)
{
	rig_reset();
	wire_open();
	return 0;
}

static inline int wire_after(void **state)
{
	for (int i = 0; i < 2; i++)
		close(net.end[i]);
	close(net.listener);
	assert_int_equal(rig_busy_lanes(), 0);
	return 0;
}

/* ---- the cgroup ---------------------------------------------------------------------------------------------------
 */

static inline bool wire_move_to(const char *dir)
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
static inline void wire_find_home(const struct cgroup2 *g)
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

static inline int wire_set_up(void **state)
{
	struct cgroup2 g;
	struct err e;
	int fd;

	rig_open(false);
	if (cgroup2__open(&g, &e))
		fail_msg("%s", e.text);
	wire_find_home(&g);
	snprintf(net.path, sizeof(net.path), "%.200s/tw-test-%d", g.mount, getpid());
	cgroup2__close(&g);
	assert_int_equal(mkdir(net.path, 0755), 0);
	assert_true(wire_move_to(net.path));
	fd = open(net.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	net.links[0] = bpf_program__attach_cgroup(rig.skel->progs.tw_ingress, fd);
	net.links[1] = bpf_program__attach_cgroup(rig.skel->progs.tw_egress, fd);
	assert_non_null(net.links[0]);
	assert_non_null(net.links[1]);
	close(fd);
	return 0;
}

static inline int wire_tear_down(void **state)
{
	bpf_link__destroy(net.links[0]);
	bpf_link__destroy(net.links[1]);
	rig_close();
	wire_move_to(net.home);
	return rmdir(net.path);
}

#define WIRE(f) cmocka_unit_test_setup_teardown(f, wire_before, wire_after)

#endif
