/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Workload identity against real processes. The servers are the test's own program, started again as "serve", from
 * copies where a test needs programs that differ. A test calls identity_main() and marks its tests with T().
 */
#ifndef TW_TESTS_IDENTITY_RIG_H
#define TW_TESTS_IDENTITY_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/cgroup.h"
#include "capture/identity.h"

#include "capture/procfs.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLOWED 8 /* times, by the sanitizers */
#else
#define SLOWED 1
#endif

/* ---- the server ("serve ADDR PORT FLAGS [PROGRAM]") -------------------------------------------------------------- */

static inline int open_listener(const char *addr, uint16_t port, const char *flags)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	bool is_v6 = inet_pton(AF_INET6, addr, &v6.sin6_addr) == 1;
	int one = 1, only = strchr(flags, 'o') != NULL, s;

	if (!is_v6 && inet_pton(AF_INET, addr, &v4.sin_addr) != 1)
		return -1;
	s = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	if (is_v6)
		setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (strchr(flags, 'r'))
		setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (strchr(flags, 'c'))
		return connect(s, (struct sockaddr *)&v4, sizeof(v4)) ? -1 : s;
	if (bind(s, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, is_v6 ? sizeof(v6) : sizeof(v4)) ||
	    listen(s, 16))
		return -1;
	return s;
}

/*
 * Flags: r reuse the port, o IPv6 only, c connect instead of listening, n first enter a new network namespace,
 * i the listener is inherited, f serve from a forked child that alone holds the listener, x as f, but the child runs
 * PROGRAM and inherits the listener, - no socket at all.
 * Says its port on stdout when it is ready; ends with its parent.
 */
static inline int serve(int argc, char **argv)
{
	const char *flags = argc > 4 ? argv[4] : "";
	struct sockaddr_in6 name = { 0 };
	socklen_t len = sizeof(name);
	int s = 3;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (strchr(flags, 'n') && unshare(CLONE_NEWNET))
		return 1;
	if (strchr(flags, 'f') && fork())
		pause();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!strchr(flags, 'i') && !strchr(flags, '-'))
		s = open_listener(argv[2], (uint16_t)strtoul(argv[3], NULL, 10), flags);
	if (s < 0)
		return 1;
	if (strchr(flags, 'x') && argc > 5) {
		if (!fork()) {
			char *const next[] = { argv[5], "serve", argv[2], argv[3], "i", NULL };

			if (s != 3)
				dup2(s, 3);
			execv(argv[5], next);
			_exit(1);
		}
		signal(SIGCHLD, SIG_IGN); /* a child that ends is gone */
		pause();
	}
	if (!strchr(flags, '-') && getsockname(s, (struct sockaddr *)&name, &len))
		return 1;
	dprintf(STDOUT_FILENO, "%d %u\n", (int)getpid(), ntohs(name.sin6_port));
	for (;;)
		pause();
}

/* ---- fixture ----------------------------------------------------------------------------------------------------- */

#define CHILDREN_MAX 64

struct server {
	pid_t started; /* the process the test started */
	pid_t serving; /* the one that serves, often the same */
	uint16_t port;
};

static struct {
	char dir[64];     /* scratch */
	char program[96]; /* this one */
	char cgroup[128]; /* below the mount: "/tw-identity-PID"; empty: none to be had */
	char mount[256];
	pid_t children[CHILDREN_MAX];
	size_t n_children;
} fixture;

#define NEEDS_ROOT()                                                                   \
	do {                                                                           \
		if (geteuid() || !fixture.cgroup[0]) {                                 \
			print_message("skipped: needs root and a writable cgroup2\n"); \
			skip();                                                        \
		}                                                                      \
	} while (0)

#define NEEDS_IPV6()                                            \
	do {                                                    \
		int s_ = open_listener("::1", 0, "");           \
		if (s_ < 0) {                                   \
			print_message("skipped: needs IPv6\n"); \
			skip();                                 \
		}                                               \
		close(s_);                                      \
	} while (0)

struct start {
	const char *program, *addr, *flags, *cgroup, *env, *next;
	uint16_t port;
};

/* 0: the calling process. */
static inline bool move_to(pid_t pid, const char *cgroup)
{
	char procs[512];
	FILE *f;

	snprintf(procs, sizeof(procs), "%s%s/cgroup.procs", fixture.mount, cgroup);
	f = fopen(procs, "we");
	return f && fprintf(f, "%d\n", (int)pid) > 0 && !fclose(f);
}

static inline void child_runs(const struct start *s, int out)
{
	char port[8];
	char *const argv[] = { (char *)s->program, "serve", (char *)s->addr, port, (char *)s->flags,
		               (char *)s->next,    NULL };
	char *const envp[] = { "ASAN_OPTIONS=detect_leaks=0", (char *)s->env, NULL };

	snprintf(port, sizeof(port), "%u", s->port);
	if (s->cgroup && !move_to(0, s->cgroup))
		_exit(2);
	dup2(out, STDOUT_FILENO);
	close_range(3, 1000, 0);
	execve(s->program, argv, envp);
	_exit(3);
}

static inline struct server start(struct start s)
{
	struct server server = { 0 };
	int ready[2], serving = 0;
	unsigned int port = 0;
	FILE *f;

	s.program = s.program ? s.program : fixture.program;
	s.addr = s.addr ? s.addr : "127.0.0.1";
	s.flags = s.flags ? s.flags : "_";
	assert_true(fixture.n_children < CHILDREN_MAX);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	server.started = fork();
	assert_true(server.started >= 0);
	if (!server.started)
		child_runs(&s, ready[1]);
	fixture.children[fixture.n_children++] = server.started;
	close(ready[1]);
	f = fdopen(ready[0], "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d %u", &serving, &port), 2);
	fclose(f);
	server.serving = serving;
	server.port = (uint16_t)port;
	return server;
}

static inline void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (size_t i = 0; i < fixture.n_children; i++)
		if (fixture.children[i] == pid)
			fixture.children[i] = fixture.children[--fixture.n_children];
}

/* A cgroup below the test's own; returns its path below the mount, in static storage that lasts for three more calls.
 */
static inline const char *make_cgroup(const char *name)
{
	static char paths[4][256];
	static unsigned int turn;
	char *path = paths[turn++ & 3], full[600];

	snprintf(path, sizeof(paths[0]), "%s/%s", fixture.cgroup, name);
	snprintf(full, sizeof(full), "%s%s", fixture.mount, path);
	if (mkdir(full, 0755) && errno != EEXIST)
		fail_msg("mkdir %s: %s", full, strerror(errno));
	return path;
}

static inline const char *copy_program(const char *name)
{
	static char paths[4][128];
	static unsigned int turn;
	char *path = paths[turn++ & 3], buf[65536];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;
	ssize_t n;

	snprintf(path, sizeof(paths[0]), "%s/%s", fixture.dir, name);
	unlink(path);
	to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(from >= 0 && to >= 0);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		assert_int_equal(write(to, buf, (size_t)n), n);
	close(from);
	close(to);
	return path;
}

static inline int remove_cgroups(const char *path)
{
	char command[700];

	snprintf(command, sizeof(command), "find '%s' -depth -type d -exec rmdir {} + 2>/dev/null", path);
	return system(command);
}

static inline int each_teardown(void **state)
{
	char full[600];

	while (fixture.n_children)
		stop(fixture.children[0]);
	if (fixture.cgroup[0]) {
		snprintf(full, sizeof(full), "%s%s", fixture.mount, fixture.cgroup);
		/* Grandchildren die with their parents, a moment later. */
		for (int i = 0; i < 100; i++) {
			remove_cgroups(full);
			if (access(full, F_OK))
				break;
			usleep(10000);
		}
		mkdir(full, 0755);
	}
	return 0;
}

static inline int all_setup(void **state)
{
	char full[600];
	ssize_t n = readlink("/proc/self/exe", fixture.program, sizeof(fixture.program) - 1);

	assert_true(n > 0);
	snprintf(fixture.dir, sizeof(fixture.dir), "/tmp/tw-identity-XXXXXX");
	assert_non_null(mkdtemp(fixture.dir));
	if (cgroup2__mount(fixture.mount, sizeof(fixture.mount), NULL))
		return 0;
	snprintf(fixture.cgroup, sizeof(fixture.cgroup), "/tw-identity-%d", (int)getpid());
	snprintf(full, sizeof(full), "%s%s", fixture.mount, fixture.cgroup);
	if (mkdir(full, 0755))
		fixture.cgroup[0] = '\0';
	return 0;
}

static inline int all_teardown(void **state)
{
	char command[128], full[600];

	if (fixture.cgroup[0]) {
		snprintf(full, sizeof(full), "%s%s", fixture.mount, fixture.cgroup);
		rmdir(full);
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", fixture.dir);
	return system(command);
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

static inline struct endpoint_addr at(const char *addr, uint16_t port)
{
	struct endpoint_addr a = { .port = port };

	if (!addr) {
		a.any_addr = true;
	} else if (strchr(addr, ':')) {
		inet_pton(AF_INET6, addr, a.addr);
	} else {
		a.addr[10] = a.addr[11] = 0xff;
		inet_pton(AF_INET, addr, a.addr + 12);
	}
	return a;
}

#define LISTEN(addr, port)   .has_listen = true, .listen = at(addr, port)
#define UPSTREAM(addr, port) .has_upstream = true, .upstream = at(addr, port)

/* Resolves versions v1, v2, ... that match so. known: what belonged to one before. */
static inline struct id_snapshot *resolve(const struct match *matches, size_t n, const struct id_known *known)
{
	static char *const names[] = { "v1", "v2", "v3" };
	struct version versions[3] = { 0 };
	struct config c = { .versions = versions, .n_versions = n };
	struct id_snapshot *s = NULL;
	struct err e = { "" };

	assert_true(n <= 3);
	for (size_t i = 0; i < n; i++)
		versions[i] = (struct version){ .name = names[i], .match = matches[i] };
	if (identity__resolve_knowing(&c, known, &s, &e))
		fail_msg("identity__resolve: %s", e.text);
	for (size_t i = 0; i < n; i++)
		print_message("    v%zu: %s\n", i + 1, s->versions[i].note);
	return s;
}
#define RESOLVE_KNOWING(known, ...)                    \
	resolve((const struct match[]){ __VA_ARGS__ }, \
	        sizeof((const struct match[]){ __VA_ARGS__ }) / sizeof(struct match), known)
#define RESOLVE(...) RESOLVE_KNOWING(&(const struct id_known){ 0 }, __VA_ARGS__)

static inline uint16_t version_of_process(const struct id_snapshot *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_processes; i++)
		if (s->processes[i].tgid == pid)
			return s->processes[i].version;
	return 0;
}

static inline const struct tw_place_value *place(const struct id_snapshot *s, const char *addr, uint16_t port,
                                                 bool client)
{
	const struct endpoint_addr a = at(addr, port);

	for (size_t i = 0; i < s->n_places; i++) {
		const struct id_place *p = &s->places[i];

		if (p->key.port == port && p->key.client == client && !memcmp(p->key.addr, a.addr, 16))
			return &p->value;
	}
	fail_msg("no place %s port %u among %zu", addr ? addr : "any", port, s->n_places);
	return NULL;
}

#define assert_static(s, addr, port, v)                                            \
	do {                                                                       \
		const struct tw_place_value *value_ = place(s, addr, port, false); \
		assert_int_equal(value_->by_reader, 0);                            \
		assert_int_equal(value_->version, v);                              \
	} while (0)
/* The version's own, until a process of the other one reads there. */
#define assert_heirs(s, addr, port, v)                                             \
	do {                                                                       \
		const struct tw_place_value *value_ = place(s, addr, port, false); \
		assert_int_equal(value_->by_reader, 1);                            \
		assert_int_equal(value_->version, v);                              \
	} while (0)
#define assert_by_reader(s, addr, port)                                            \
	do {                                                                       \
		const struct tw_place_value *value_ = place(s, addr, port, false); \
		assert_int_equal(value_->by_reader, 1);                            \
		assert_int_equal(value_->version, 0);                              \
	} while (0)
#define assert_contains(text, part)                                  \
	do {                                                         \
		if (!strstr(text, part))                             \
			fail_msg("\"%s\" lacks \"%s\"", text, part); \
	} while (0)

/* The snapshot attaches exactly here (paths below the mount; "" is the mount itself). */
static inline void assert_cgroups(const struct id_snapshot *s, const char *first, const char *second)
{
	const char *want[] = { first, second };

	assert_int_equal(s->n_cgroups, second ? 2 : 1);
	for (size_t i = 0; i < s->n_cgroups; i++) {
		char full[600];
		struct stat st;

		snprintf(full, sizeof(full), "%s%s", fixture.mount, want[i]);
		assert_string_equal(s->cgroups[i].path, full);
		assert_int_equal(stat(full, &st), 0);
		assert_int_equal(s->cgroups[i].id, st.st_ino);
	}
}

#define T(name) cmocka_unit_test_teardown(name, each_teardown)

/* The test's main: with "serve" it is one of the servers. */
#define IDENTITY_MAIN(tests)                                                                    \
	int main(int argc, char **argv)                                                         \
	{                                                                                       \
		if (argc > 3 && !strcmp(argv[1], "serve"))                                      \
			return serve(argc, argv);                                               \
		return cmocka_run_group_tests_name("identity", tests, all_setup, all_teardown); \
	}

#endif
