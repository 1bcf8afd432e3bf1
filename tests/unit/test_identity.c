// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Workload identity against real processes. The servers are this program itself, started again as "serve", from copies
 * where a test needs programs that differ. Oracles: what the test itself has set up, /proc/net/tcp*, and readelf.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/cgroup.h"
#include "capture/elf_note.h"
#include "capture/identity.h"
#include "capture/procfs.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLOWED 8 /* times, by the sanitizers */
#else
#define SLOWED 1
#endif

/* --- the server ("serve ADDR PORT FLAGS [PROGRAM]")
 * ------------------------------------------------------------------------ */

static int open_listener(const char *addr, uint16_t port, const char *flags)
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
static int serve(int argc, char **argv)
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
		pause();
	}
	if (!strchr(flags, '-') && getsockname(s, (struct sockaddr *)&name, &len))
		return 1;
	dprintf(STDOUT_FILENO, "%d %u\n", (int)getpid(), ntohs(name.sin6_port));
	for (;;)
		pause();
}

/* --- fixture
 * ------------------------------------------------------------------------------------------------------------------ */

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

static void child_runs(const struct start *s, int out)
{
	char port[8], procs[512];
	char *const argv[] = { (char *)s->program, "serve", (char *)s->addr, port, (char *)s->flags,
		               (char *)s->next,    NULL };
	char *const envp[] = { "ASAN_OPTIONS=detect_leaks=0", (char *)s->env, NULL };

	snprintf(port, sizeof(port), "%u", s->port);
	if (s->cgroup) {
		FILE *f;

		snprintf(procs, sizeof(procs), "%s%s/cgroup.procs", fixture.mount, s->cgroup);
		f = fopen(procs, "we");
		if (!f || fprintf(f, "0\n") < 0 || fclose(f))
			_exit(2);
	}
	dup2(out, STDOUT_FILENO);
	close_range(3, 1000, 0);
	execve(s->program, argv, envp);
	_exit(3);
}

static struct server start(struct start s)
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

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (size_t i = 0; i < fixture.n_children; i++)
		if (fixture.children[i] == pid)
			fixture.children[i] = fixture.children[--fixture.n_children];
}

/* A cgroup below the test's own; returns its path below the mount, in static storage that lasts for three more calls.
 */
static const char *make_cgroup(const char *name)
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

static const char *copy_program(const char *name)
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

static int remove_cgroups(const char *path)
{
	char command[700];

	snprintf(command, sizeof(command), "find '%s' -depth -type d -exec rmdir {} + 2>/dev/null", path);
	return system(command);
}

static int each_teardown(void **state)
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

static int all_setup(void **state)
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

static int all_teardown(void **state)
{
	char command[128], full[600];

	if (fixture.cgroup[0]) {
		snprintf(full, sizeof(full), "%s%s", fixture.mount, fixture.cgroup);
		rmdir(full);
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", fixture.dir);
	return system(command);
}

/* --- asking
 * -------------------------------------------------------------------------------------------------------------------
 */

static struct endpoint_addr at(const char *addr, uint16_t port)
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

/* Resolves versions v1, v2, ... that match so. known: a process that belonged to one before, or NULL. */
static struct id_snapshot *resolve(const struct match *matches, size_t n, const struct id_process *known)
{
	static char *const names[] = { "v1", "v2", "v3" };
	struct version versions[3] = { 0 };
	struct config c = { .versions = versions, .n_versions = n };
	struct id_snapshot *s = NULL;
	struct err e = { "" };

	assert_true(n <= 3);
	for (size_t i = 0; i < n; i++)
		versions[i] = (struct version){ .name = names[i], .match = matches[i] };
	if (identity__resolve_knowing(&c, known, !!known, &s, &e))
		fail_msg("identity__resolve: %s", e.text);
	for (size_t i = 0; i < n; i++)
		print_message("    v%zu: %s\n", i + 1, s->versions[i].note);
	return s;
}
#define RESOLVE_KNOWING(known, ...)                    \
	resolve((const struct match[]){ __VA_ARGS__ }, \
	        sizeof((const struct match[]){ __VA_ARGS__ }) / sizeof(struct match), known)
#define RESOLVE(...) RESOLVE_KNOWING(NULL, __VA_ARGS__)

static uint16_t version_of_process(const struct id_snapshot *s, pid_t pid)
{
	for (size_t i = 0; i < s->n_processes; i++)
		if (s->processes[i].tgid == pid)
			return s->processes[i].version;
	return 0;
}

static const struct tw_place_value *place(const struct id_snapshot *s, const char *addr, uint16_t port, bool client)
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
static void assert_cgroups(const struct id_snapshot *s, const char *first, const char *second)
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

/* --- listen
 * -------------------------------------------------------------------------------------------------------------------
 */

static void a_listen_match_finds_the_ipv4_listener_its_process_and_its_cgroup(void **state)
{
	NEEDS_ROOT();
	const char *cgroup = make_cgroup("a");
	struct server a = start((struct start){ .cgroup = cgroup });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) });
	char text[64];

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[0].n_listeners, 1);
	assert_int_equal(s->versions[0].n_processes, 1);
	assert_int_equal(s->n_places, 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_true(s->processes[0].age >= 0 && s->processes[0].age < 60);
	assert_cgroups(s, cgroup, NULL);
	snprintf(text, sizeof(text), "listening on 127.0.0.1:%u, 1 process (pid %d ", a.port, (int)a.serving);
	assert_contains(s->versions[0].note, text);
	id_snapshot__free(s);
}

static void a_listen_match_finds_the_ipv6_listener(void **state)
{
	NEEDS_IPV6();
	struct server a = start((struct start){ .addr = "::1" });
	struct id_snapshot *s = RESOLVE({ LISTEN("::1", a.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_static(s, "::1", a.port, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_contains(s->versions[0].note, "[::1]:");
	id_snapshot__free(s);
}

static void a_bare_port_takes_listeners_on_every_address(void **state)
{
	struct server a = start((struct start){ 0 });
	struct server b = start((struct start){ .addr = "127.0.0.2", .port = a.port });
	struct id_snapshot *s = RESOLVE({ LISTEN(NULL, a.port) });

	assert_int_equal(s->versions[0].n_listeners, 2);
	assert_int_equal(s->n_places, 1);
	assert_static(s, NULL, a.port, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 1);
	id_snapshot__free(s);
}

static void a_bare_port_leaves_the_address_that_another_version_names_to_it(void **state)
{
	struct server a = start((struct start){ 0 });
	struct server b = start((struct start){ .addr = "127.0.0.2", .port = a.port });
	struct id_snapshot *s = RESOLVE({ LISTEN(NULL, a.port) }, { LISTEN("127.0.0.2", a.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	id_snapshot__free(s);
}

static void an_address_is_found_behind_a_wildcard_listener_but_not_behind_one_for_ipv6_only(void **state)
{
	NEEDS_IPV6();
	struct server dual = start((struct start){ .addr = "::" });
	struct server only = start((struct start){ .addr = "::", .flags = "o" });
	struct server v4 = start((struct start){ .addr = "0.0.0.0" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", dual.port) }, { LISTEN("127.0.0.1", only.port) },
	                                { LISTEN("127.0.0.1", v4.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_static(s, "127.0.0.1", dual.port, 1);
	assert_int_equal(version_of_process(s, dual.serving), 1);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	assert_int_equal(s->versions[2].state, ID_FOUND);
	id_snapshot__free(s);
	s = RESOLVE({ LISTEN("::1", dual.port) }, { LISTEN("::1", v4.port) });
	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	id_snapshot__free(s);
}

static void a_listener_of_its_own_beats_the_wildcard_listener_on_that_address(void **state)
{
	struct server wild = start((struct start){ .addr = "0.0.0.0", .flags = "r" });
	struct server exact = start((struct start){ .addr = "127.0.0.1", .port = wild.port, .flags = "r" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", wild.port) });

	assert_int_equal(s->versions[0].n_listeners, 1);
	assert_int_equal(version_of_process(s, exact.serving), 1);
	assert_int_equal(version_of_process(s, wild.serving), 0);
	id_snapshot__free(s);
}

static void a_port_nobody_listens_on_is_a_place_already_and_says_what_listens_instead(void **state)
{
	NEEDS_ROOT();
	struct server other = start((struct start){ .addr = "127.0.0.3" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", other.port) });
	char text[80];

	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_static(s, "127.0.0.1", other.port, 1);
	assert_int_equal(s->n_processes, 0);
	snprintf(text, sizeof(text), "nothing listens on 127.0.0.1:%u; listening now: 127.0.0.3:%u (", other.port,
	         other.port);
	assert_contains(s->versions[0].note, text);
	assert_contains(s->versions[0].note, "waiting for it, watching every cgroup");
	assert_cgroups(s, "", NULL);
	id_snapshot__free(s);
}

static void one_process_may_serve_the_places_of_two_versions(void **state)
{
	struct server a = start((struct start){ .addr = "0.0.0.0" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) }, { LISTEN("127.0.0.2", a.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_static(s, "127.0.0.1", a.port, 1);
	assert_static(s, "127.0.0.2", a.port, 2);
	assert_int_equal(s->n_processes, 2); /* once for each */
	id_snapshot__free(s);
}

/* --- process keys
 * -------------------------------------------------------------------------------------------------------------- */

static void a_cgroup_match_takes_the_processes_below_it_and_where_they_listen(void **state)
{
	NEEDS_ROOT();
	const char *parent = make_cgroup("shop.slice"), *child = make_cgroup("shop.slice/web");
	const char *near = make_cgroup("shop.slice-old");
	struct server a = start((struct start){ .cgroup = child });
	struct server b = start((struct start){ .cgroup = near });
	struct id_snapshot *s = RESOLVE({ .cgroup = (char *)parent }, { .cgroup = (char *)near });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	assert_heirs(s, "127.0.0.1", a.port, 1);
	assert_heirs(s, "127.0.0.1", b.port, 2);
	assert_int_equal(s->n_places, 2);
	assert_cgroups(s, near, child);
	id_snapshot__free(s);
}

static void a_process_that_moved_after_it_listened_is_attached_where_its_socket_is(void **state)
{
	NEEDS_ROOT();
	const char *made = make_cgroup("made"), *moved = make_cgroup("moved");
	struct server a = start((struct start){ .cgroup = made });
	struct id_snapshot *s;
	char procs[600];
	FILE *f;

	snprintf(procs, sizeof(procs), "%s%s/cgroup.procs", fixture.mount, moved);
	f = fopen(procs, "we");
	assert_non_null(f);
	fprintf(f, "%d\n", (int)a.serving);
	assert_int_equal(fclose(f), 0);
	s = RESOLVE({ .cgroup = (char *)moved });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_cgroups(s, made, NULL);
	id_snapshot__free(s);
}

static void a_pid_match_takes_descendants_too(void **state)
{
	struct server a = start((struct start){ .flags = "f" });
	struct id_snapshot *s = RESOLVE({ .pid = a.started });

	assert_int_not_equal(a.started, a.serving);
	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[0].n_processes, 2);
	assert_int_equal(version_of_process(s, a.started), 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
}

static void a_descendant_of_a_pid_that_has_gone_stays_its_versions(void **state)
{
	struct server a = start((struct start){ .flags = "f" });
	struct id_snapshot *s = RESOLVE({ .pid = a.started });
	struct id_process known = { 0 };

	for (size_t i = 0; i < s->n_processes; i++)
		if (s->processes[i].tgid == a.serving)
			known = s->processes[i];
	id_snapshot__free(s);
	assert_int_equal(known.version, 1);
	s = RESOLVE_KNOWING(&known, { .pid = INT32_MAX });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
	/* Its number may have been given to another. */
	known.start_ticks += 100;
	s = RESOLVE_KNOWING(&known, { .pid = INT32_MAX });
	assert_int_equal(version_of_process(s, a.serving), 0);
	id_snapshot__free(s);
}

static void a_descendant_that_matches_another_version_itself_belongs_to_that_one(void **state)
{
	const char *master = copy_program("master"), *worker = copy_program("worker");
	struct server a = start((struct start){ .program = master, .flags = "x", .next = worker });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)master }, { .exe = (char *)worker });

	assert_int_equal(version_of_process(s, a.started), 1);
	assert_int_equal(version_of_process(s, a.serving), 2);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void an_exe_match_follows_symbolic_links_and_survives_the_deletion_of_the_file(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program });
	struct id_snapshot *s;
	char link[160];

	snprintf(link, sizeof(link), "%s/current", fixture.dir);
	unlink(link);
	assert_int_equal(symlink(program, link), 0);
	s = RESOLVE({ .exe = link });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
	assert_int_equal(unlink(program), 0);
	s = RESOLVE({ .exe = (char *)program });
	assert_int_equal(version_of_process(s, a.serving), 1);
	id_snapshot__free(s);
}

static void a_unit_match_finds_the_cgroup_of_that_name_and_what_is_below(void **state)
{
	NEEDS_ROOT();
	make_cgroup("tw-shop.service");
	const char *below = make_cgroup("tw-shop.service/payload"), *other = make_cgroup("other-tw-shop.service");
	struct server a = start((struct start){ .cgroup = below });
	struct server b = start((struct start){ .cgroup = other });
	struct id_snapshot *s = RESOLVE({ .unit = "tw-shop.service" });

	assert_int_equal(s->versions[0].n_processes, 1);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 0);
	assert_cgroups(s, below, NULL);
	id_snapshot__free(s);
}

static void an_env_match_compares_the_whole_value_and_tells_nothing_about_environments(void **state)
{
	struct server a = start((struct start){ .env = "TW_RELEASE=secret-2" });
	struct server b = start((struct start){ .env = "TW_RELEASE=secret-21" });
	struct id_snapshot *s = RESOLVE({ .env = "TW_RELEASE=secret-2" }, { .env = "TW_RELEASE=secret-3" });

	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 0);
	assert_heirs(s, "127.0.0.1", a.port, 1);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	assert_contains(s->versions[1].note, "TW_RELEASE (2 with another)");
	for (size_t i = 0; i < s->n_versions; i++)
		assert_null(strstr(s->versions[i].note, "secret"));
	id_snapshot__free(s);
}

static void keys_are_conjunctive(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program, .env = "TW_RELEASE=1" });
	struct server b = start((struct start){ .program = program, .env = "TW_RELEASE=2" });
	struct server c = start((struct start){ .env = "TW_RELEASE=1" });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)program, .env = "TW_RELEASE=1" },
	                                { .exe = (char *)program, .pid = c.serving });

	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 0);
	assert_int_equal(version_of_process(s, c.serving), 0);
	assert_contains(s->versions[1].note, "no process matches all of it (pid: 1, exe: 2)");
	id_snapshot__free(s);
}

static void a_process_key_with_listen_is_narrowed_to_that_place(void **state)
{
	struct server a = start((struct start){ .env = "TW_RELEASE=1" });
	struct server b = start((struct start){ .env = "TW_RELEASE=1" });
	struct id_snapshot *s = RESOLVE({ .env = "TW_RELEASE=1", LISTEN("127.0.0.1", a.port) },
	                                { .env = "TW_RELEASE=1", LISTEN("127.0.0.1", b.port) });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_int_equal(s->versions[0].n_listeners, 1);
	assert_int_equal(s->n_places, 2);
	assert_static(s, "127.0.0.1", a.port, 1);
	assert_static(s, "127.0.0.1", b.port, 2);
	id_snapshot__free(s);
	s = RESOLVE({ .pid = a.serving, LISTEN("127.0.0.1", b.port) });
	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_by_reader(s, "127.0.0.1", b.port);
	assert_contains(s->versions[0].note, "not listening on 127.0.0.1:");
	assert_contains(s->versions[0].note, "it listens on 127.0.0.1:");
	id_snapshot__free(s);
	/* Whoever will listen there may be of another version. */
	s = RESOLVE({ .pid = a.serving, LISTEN("127.0.0.9", a.port) });
	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_by_reader(s, "127.0.0.9", a.port);
	id_snapshot__free(s);
}

/* --- shared places
 * --------------------------------------------------------------------------------------------------------------- */

static void two_versions_on_one_reuseport_port_are_told_apart_by_the_reader(void **state)
{
	NEEDS_ROOT();
	const char *ca = make_cgroup("a"), *cb = make_cgroup("b");
	struct server a = start((struct start){ .cgroup = ca, .flags = "r" });
	struct server b = start((struct start){ .cgroup = cb, .flags = "r", .port = a.port });
	struct id_snapshot *s = RESOLVE({ .cgroup = (char *)ca }, { .cgroup = (char *)cb });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->versions[1].state, ID_FOUND);
	assert_int_equal(s->n_places, 1);
	assert_by_reader(s, "127.0.0.1", a.port);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	assert_cgroups(s, ca, cb);
	assert_contains(s->versions[0].note, "told apart by the process that reads");
	id_snapshot__free(s);
	/* Alone on the port with a stranger, it still must not take the stranger's requests. */
	s = RESOLVE({ .cgroup = (char *)ca, LISTEN("127.0.0.1", a.port) });
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void reuseport_workers_of_one_version_make_a_static_place(void **state)
{
	struct server a = start((struct start){ .flags = "r", .env = "TW_RELEASE=1" });
	struct server b = start((struct start){ .flags = "r", .env = "TW_RELEASE=1", .port = a.port });
	struct id_snapshot *s = RESOLVE({ .env = "TW_RELEASE=1" });

	assert_int_equal(version_of_process(s, b.serving), 1);
	assert_int_equal(s->versions[0].n_listeners, 2);
	assert_int_equal(s->n_places, 1);
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
}

static void a_listener_inherited_from_a_master_of_another_program_is_read_by_its_workers(void **state)
{
	const char *master = copy_program("master"), *worker = copy_program("worker");
	struct server a = start((struct start){ .program = master, .flags = "x", .next = worker });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)worker });

	assert_int_not_equal(a.started, a.serving);
	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(version_of_process(s, a.started), 0);
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
	/* Taken as a family, both belong to it. */
	s = RESOLVE({ .exe = (char *)master });
	assert_static(s, "127.0.0.1", a.port, 1);
	id_snapshot__free(s);
}

static void the_same_port_in_another_network_namespace_is_found(void **state)
{
	NEEDS_ROOT();
	const char *cgroup = make_cgroup("pod");
	struct server a = start((struct start){ .addr = "0.0.0.0", .flags = "n", .cgroup = cgroup });
	struct id_snapshot *s = RESOLVE({ .pid = a.serving });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_static(s, NULL, a.port, 1);
	assert_cgroups(s, cgroup, NULL);
	id_snapshot__free(s);
}

/* --- upstream
 * -----------------------------------------------------------------------------------------------------------------------
 */

static void an_upstream_is_a_client_place_attached_at_those_who_are_connected(void **state)
{
	NEEDS_ROOT();
	const char *ca = make_cgroup("app"), *cp = make_cgroup("proxy");
	struct server app = start((struct start){ .cgroup = ca });
	struct server proxy = start((struct start){ .cgroup = cp, .flags = "c", .port = app.port });
	struct id_snapshot *s = RESOLVE({ UPSTREAM("127.0.0.1", app.port) });
	char text[64];

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(s->n_places, 1);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->version, 1);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->by_reader, 0);
	assert_cgroups(s, cp, NULL);
	snprintf(text, sizeof(text), "1 connection to 127.0.0.1:%u from pid %d ", app.port, (int)proxy.serving);
	assert_contains(s->versions[0].note, text);
	id_snapshot__free(s);
}

static void an_upstream_without_connections_watches_everywhere_or_in_the_cgroup_given(void **state)
{
	NEEDS_ROOT();
	const char *cp = make_cgroup("proxy");
	struct server app = start((struct start){ 0 });
	struct id_snapshot *s = RESOLVE({ UPSTREAM("127.0.0.1", app.port) });

	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->version, 1);
	assert_cgroups(s, "", NULL);
	assert_contains(s->versions[0].note, "no connection to 127.0.0.1:");
	id_snapshot__free(s);
	s = RESOLVE({ UPSTREAM("127.0.0.1", app.port), .cgroup = (char *)cp });
	assert_cgroups(s, cp, NULL);
	id_snapshot__free(s);
}

static void an_upstream_of_two_proxies_is_told_apart_by_the_proxy_that_reads(void **state)
{
	NEEDS_ROOT();
	const char *c1 = make_cgroup("p1"), *c2 = make_cgroup("p2");
	struct server app = start((struct start){ 0 });

	start((struct start){ .cgroup = c1, .flags = "c", .port = app.port });
	start((struct start){ .cgroup = c2, .flags = "c", .port = app.port });
	struct id_snapshot *s = RESOLVE({ UPSTREAM("127.0.0.1", app.port), .cgroup = (char *)c1 },
	                                { UPSTREAM("127.0.0.1", app.port), .cgroup = (char *)c2 });

	assert_int_equal(s->versions[0].state, ID_FOUND);
	assert_int_equal(place(s, "127.0.0.1", app.port, true)->by_reader, 1);
	assert_cgroups(s, c1, c2);
	id_snapshot__free(s);
}

/* --- nothing found, and too much
 * -------------------------------------------------------------------------------------------------- */

static void what_finds_nothing_says_what_was_found_instead(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program });
	struct id_snapshot *s;

	s = RESOLVE({ .exe = "/nowhere/shop" }, { .pid = INT32_MAX }, { .unit = "tw-absent.service" });
	assert_contains(s->versions[0].note, "there is no file /nowhere/shop");
	assert_contains(s->versions[0].note, program);
	assert_contains(s->versions[1].note, "there is no process 2147483647; waiting for it");
	assert_contains(s->versions[2].note, "no process is in unit tw-absent.service");
	id_snapshot__free(s);
	s = RESOLVE({ .cgroup = "/tw-absent.slice" }, { .build_id = "0123456789abcdef" });
	assert_contains(s->versions[0].note, "there is no cgroup /tw-absent.slice below /");
	assert_contains(s->versions[1].note, "no process runs a program with build id 0123456789abcdef");
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s->versions[i].state, ID_WAITING);
		assert_contains(s->versions[i].note, "waiting for it");
	}
	id_snapshot__free(s);
	stop(a.started);
}

static void a_version_that_waits_in_its_own_cgroup_does_not_make_us_watch_all_others(void **state)
{
	NEEDS_ROOT();
	const char *empty = make_cgroup("empty"), *unit = make_cgroup("tw-wait.service");
	struct id_snapshot *s;

	start((struct start){ .cgroup = unit, .flags = "-" });
	s = RESOLVE({ .cgroup = (char *)empty }, { .unit = "tw-wait.service" });
	assert_int_equal(s->versions[0].state, ID_WAITING);
	assert_int_equal(s->versions[1].state, ID_WAITING);
	assert_int_equal(s->versions[1].n_processes, 1);
	assert_cgroups(s, empty, unit);
	assert_contains(s->versions[0].note, "no process is in cgroup ");
	assert_contains(s->versions[1].note, "not listening on any port");
	id_snapshot__free(s);
}

static void a_process_that_two_versions_match_is_a_conflict_that_names_both(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program, .env = "TW_RELEASE=1" });
	struct id_snapshot *s = RESOLVE({ .exe = (char *)program }, { .env = "TW_RELEASE=1" });
	char text[64];

	snprintf(text, sizeof(text), "process %d (", (int)a.serving);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s->versions[i].state, ID_CONFLICT);
		assert_contains(s->versions[i].note, text);
		assert_contains(s->versions[i].note, i ? "claimed by v2 and by v1" : "claimed by v1 and by v2");
	}
	assert_int_equal(version_of_process(s, a.serving), 0);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void a_place_that_two_versions_name_is_a_conflict(void **state)
{
	struct server a = start((struct start){ 0 });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) }, { LISTEN("127.0.0.1", a.port) });

	assert_int_equal(s->versions[0].state, ID_CONFLICT);
	assert_int_equal(s->versions[1].state, ID_CONFLICT);
	assert_int_equal(s->n_places, 1);
	assert_by_reader(s, "127.0.0.1", a.port);
	id_snapshot__free(s);
}

static void a_listener_named_by_one_version_and_held_by_another_is_a_conflict(void **state)
{
	const char *program = copy_program("shop");
	struct server a = start((struct start){ .program = program, .addr = "0.0.0.0" });
	struct id_snapshot *s = RESOLVE({ LISTEN("127.0.0.1", a.port) }, { .exe = (char *)program });

	assert_int_equal(s->versions[0].state, ID_CONFLICT);
	assert_int_equal(s->versions[1].state, ID_CONFLICT);
	assert_by_reader(s, "127.0.0.1", a.port);
	assert_by_reader(s, NULL, a.port);
	assert_int_equal(version_of_process(s, a.serving), 2); /* its own program leaves no doubt */
	id_snapshot__free(s);
}

/* --- one process
 * ----------------------------------------------------------------------------------------------------------------- */

static void the_version_of_one_process_is_that_of_its_nearest_matching_ancestor(void **state)
{
	const char *master = copy_program("master"), *worker = copy_program("worker");
	struct server a = start((struct start){ .program = master, .flags = "x", .next = worker });
	struct server b = start((struct start){ .program = master, .flags = "f" });
	struct version versions[] = { { .name = "v1", .match = { .exe = (char *)master } },
		                      { .name = "v2", .match = { .exe = (char *)worker } },
		                      { .name = "v3", .match = { .pid = b.serving } } };
	struct config c = { .versions = versions, .n_versions = 2 };

	assert_int_equal(identity__version_of(&c, a.started), 1);
	assert_int_equal(identity__version_of(&c, a.serving), 2);
	assert_int_equal(identity__version_of(&c, b.serving), 1);
	assert_int_equal(identity__version_of(&c, getpid()), 0);
	c.n_versions = 3; /* v1 and v3 both match it now: nobody can tell */
	assert_int_equal(identity__version_of(&c, b.serving), 0);
	stop(a.started);
	assert_int_equal(identity__version_of(&c, a.started), 0);
}

static void *come_and_go(void *arg)
{
	atomic_bool *over = arg;

	while (!atomic_load(over)) {
		pid_t pid = vfork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	return NULL;
}

static void processes_may_end_during_the_scan(void **state)
{
	atomic_bool over = false;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, come_and_go, &over), 0);
	for (int i = 0; i < 30; i++) {
		struct server a = start((struct start){ .flags = i & 1 ? "f" : "r", .env = "TW_RELEASE=1" });
		struct match m[] = { { .env = "TW_RELEASE=1" }, { .build_id = "00000000" }, { LISTEN(NULL, 1) } };
		struct version v[] = { { .name = "v1", .match = m[0] },
			               { .name = "v2", .match = m[1] },
			               { .name = "v3", .match = m[2] } };
		struct config c = { .versions = v, .n_versions = 3 };
		struct id_snapshot *s;

		if (i % 3)
			kill(a.started, SIGKILL); /* a zombie, or still on its way out */
		assert_int_equal(identity__resolve(&c, &s, NULL), 0);
		if (i % 3 == 0)
			assert_int_equal(version_of_process(s, a.serving), 1);
		id_snapshot__free(s);
		stop(a.started);
	}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
}

/* --- the pieces
 * ----------------------------------------------------------------------------------------------------------------------
 */

/* "sl local_address rem_address st ..." with the address as native 32-bit words in hex, the port in hex, 0A = LISTEN.
 */
static size_t count_in_proc_net(const char *file)
{
	FILE *f = fopen(file, "re");
	char line[512];
	size_t count = 0;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned int st;

		count += sscanf(line, " %*d: %*[0-9A-F]:%*x %*[0-9A-F]:%*x %x", &st) == 1 && st == 0x0a;
	}
	if (f)
		fclose(f);
	return count;
}

static void the_listeners_of_this_host_are_those_of_proc_net_tcp(void **state)
{
	NEEDS_IPV6();
	struct server a = start((struct start){ 0 });
	struct server b = start((struct start){ .addr = "::1" });
	struct listener *l;
	size_t n, own, proc, found = 0;

	/* Others may start and stop servers meanwhile: compare when the oracle agrees with itself. */
	for (int attempt = 0;; attempt++) {
		struct err e = { "" };

		proc = count_in_proc_net("/proc/net/tcp") + count_in_proc_net("/proc/net/tcp6");
		if (listeners__list(&l, &n, &e))
			fail_msg("%s", e.text);
		own = 0;
		for (size_t i = 0; i < n; i++)
			own += l[i].by_own_netns;
		if (own == proc || attempt == 20)
			break;
		free(l);
	}
	assert_int_equal(own, proc);
	for (size_t i = 0; i < n; i++) {
		const struct server *want = l[i].place.port == a.port ? &a : l[i].place.port == b.port ? &b : NULL;

		if (!want || !l[i].by_own_netns)
			continue;
		found++;
		assert_int_equal(l[i].tgid, want->serving);
		assert_memory_equal(l[i].comm, program_invocation_short_name,
		                    strnlen(program_invocation_short_name, sizeof(l[i].comm) - 1));
		assert_true(l[i].inode && l[i].cgroup_id && l[i].netns);
	}
	assert_int_equal(found, 2);
	free(l);
}

static void the_cgroup2_mount_is_one_and_ids_lead_to_paths(void **state)
{
	NEEDS_ROOT();
	const char *cgroup = make_cgroup("with blank");
	char full[600], path[256];
	struct statfs fs;
	struct stat st;

	assert_int_equal(statfs(fixture.mount, &fs), 0);
	assert_int_equal(fs.f_type, CGROUP2_SUPER_MAGIC);
	snprintf(full, sizeof(full), "%s%s", fixture.mount, cgroup);
	assert_int_equal(stat(full, &st), 0);
	assert_int_equal(cgroup2__path_of(st.st_ino, path, sizeof(path)), 0);
	assert_string_equal(path, cgroup);
	assert_int_equal(cgroup2__path_of(st.st_ino, path, 4), -ENAMETOOLONG);
	assert_int_equal(rmdir(full), 0);
	assert_int_equal(cgroup2__path_of(st.st_ino, path, sizeof(path)), -ENOENT);
	assert_int_equal(stat(fixture.mount, &st), 0);
	assert_int_equal(cgroup2__path_of(st.st_ino, path, sizeof(path)), 0);
	assert_string_equal(path, "/");
	assert_int_equal(cgroup2__path_of(0, path, sizeof(path)), -ENOENT);
}

static void without_the_capability_to_open_handles_ids_lead_to_paths_by_a_walk(void **state)
{
	NEEDS_ROOT();
	make_cgroup("deep");
	const char *cgroup = make_cgroup("deep/er");
	char full[600], path[256];
	struct stat st;
	int status;
	pid_t pid;

	snprintf(full, sizeof(full), "%s%s", fixture.mount, cgroup);
	assert_int_equal(stat(full, &st), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		bool found =
			!setuid(65534) && !cgroup2__path_of(st.st_ino, path, sizeof(path)) && !strcmp(path, cgroup);

		_exit(!found || cgroup2__path_of(1ULL << 60, path, sizeof(path)) != -ENOENT);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void cgroups_are_reduced_to_those_without_an_ancestor_in_the_set(void **state)
{
	NEEDS_ROOT();
	static const char *const names[] = { "a/b/c", "a-b", "a", "a/d", "z" };
	struct cgroup_set set = { 0 };
	struct cgroup2 g;
	uint64_t id;

	make_cgroup("a");
	make_cgroup("a/b");
	assert_int_equal(cgroup2__open(&g, NULL), 0);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(cgroup2__id(&g, make_cgroup(names[i]), &id), 0);
		assert_int_equal(cgroup_set__add(&set, &g, id), 0);
		assert_int_equal(cgroup_set__add(&set, &g, id), 0);
	}
	assert_int_equal(set.n, 5);
	cgroup_set__reduce(&set);
	assert_int_equal(set.n, 3);
	assert_non_null(strstr(set.v[0].path, "/a"));
	assert_non_null(strstr(set.v[1].path, "/a-b"));
	assert_non_null(strstr(set.v[2].path, "/z"));
	assert_int_equal(cgroup_set__add(&set, &g, 1ULL << 60), 0); /* gone: only the root is sure to see it */
	cgroup_set__reduce(&set);
	assert_int_equal(set.n, 1);
	assert_string_equal(set.v[0].path, g.mount);
	cgroup_set__free(&set);
	cgroup2__close(&g);
}

static void unit_names_match_whole_components_only(void **state)
{
	assert_int_equal(cgroup_path__unit("/system.slice/shop.service", "shop.service"), 26);
	assert_int_equal(cgroup_path__unit("/system.slice/shop.service/sub", "shop.service"), 26);
	assert_int_equal(cgroup_path__unit("/a.slice/app.slice/shop.service", "app.slice/shop.service"), 31);
	assert_int_equal(cgroup_path__unit("/system.slice/my-shop.service", "shop.service"), 0);
	assert_int_equal(cgroup_path__unit("/system.slice/shop.service.d", "shop.service"), 0);
	assert_int_equal(cgroup_path__unit("/system.slice/shop.service", ""), 0);
	assert_true(cgroup_path__within("/a/b", "/a"));
	assert_true(cgroup_path__within("/a", "/a/"));
	assert_true(cgroup_path__within("/a", "/"));
	assert_false(cgroup_path__within("/ab", "/a"));
	assert_false(cgroup_path__within("/a", "/a/b"));
}

/* --- build ids
 * ------------------------------------------------------------------------------------------------------------------------
 */

static bool readelf_says(const char *file, char *hex, size_t len)
{
	char command[300], line[512];
	bool found = false;
	FILE *f;

	snprintf(command, sizeof(command), "readelf -n '%s' 2>/dev/null", file);
	f = popen(command, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, "Build ID: ");

		if (!at)
			continue;
		at[strcspn(at, "\n")] = '\0';
		snprintf(hex, len, "%s", at + strlen("Build ID: "));
		found = true;
	}
	if (f)
		pclose(f);
	return found;
}

static int build_id_of(const char *file, char *hex)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), err;

	assert_true(fd >= 0);
	err = elf__build_id(fd, hex, ELF_BUILD_ID_HEX);
	close(fd);
	return err;
}

/* Turns every bit of the id's first byte over, wherever in the file it is. */
static void change_build_id(const char *file, const char *hex)
{
	unsigned char id[ELF_BUILD_ID_MAX], *bytes, *at;
	size_t n = strlen(hex) / 2;
	struct stat st;
	int fd = open(file, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && !fstat(fd, &st));
	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		id[i] = (unsigned char)byte;
	}
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	at = memmem(bytes, (size_t)st.st_size, id, n);
	assert_non_null(at);
	*at ^= 0xff;
	munmap(bytes, (size_t)st.st_size);
	close(fd);
}

static void a_build_id_match_tells_two_builds_at_one_path_apart(void **state)
{
	const char *program = copy_program("shop");
	char old[ELF_BUILD_ID_HEX], new[ELF_BUILD_ID_HEX], said[ELF_BUILD_ID_HEX];
	struct server a, b;
	struct id_snapshot *s;

	if (!readelf_says(program, said, sizeof(said))) {
		print_message("skipped: no readelf, or built without a build id\n");
		skip();
	}
	assert_int_equal(build_id_of(program, old), 0);
	assert_string_equal(old, said);
	a = start((struct start){ .program = program });
	copy_program("shop"); /* deployed over the running one */
	change_build_id(program, old);
	assert_int_equal(build_id_of(program, new), 0);
	assert_string_not_equal(old, new);
	b = start((struct start){ .program = program });
	new[8] = '\0';
	s = RESOLVE({ .exe = (char *)program, .build_id = old }, { .exe = (char *)program, .build_id = new });
	assert_int_equal(version_of_process(s, a.serving), 1);
	assert_int_equal(version_of_process(s, b.serving), 2);
	assert_heirs(s, "127.0.0.1", a.port, 1);
	assert_heirs(s, "127.0.0.1", b.port, 2);
	id_snapshot__free(s);
}

static int build_id_of_bytes(int fd, const unsigned char *bytes, size_t n, char *hex)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, bytes, n, 0), (ssize_t)n);
	return elf__build_id(fd, hex, ELF_BUILD_ID_HEX);
}

static void a_truncated_or_corrupt_program_file_is_an_error_and_never_a_crash(void **state)
{
	unsigned char *bytes, head[4096], text[] = "#!/bin/sh\necho no ELF at all\n";
	const char *program = copy_program("broken");
	int from = open(program, O_RDONLY | O_CLOEXEC), fd = memfd_create("broken", MFD_CLOEXEC);
	char hex[ELF_BUILD_ID_HEX];
	unsigned int seed = 4711;

	assert_true(from >= 0 && fd >= 0);
	bytes = malloc(sizeof(head));
	assert_non_null(bytes);
	assert_int_equal(read(from, head, sizeof(head)), (ssize_t)sizeof(head));
	for (size_t n = 0; n < 300; n++) /* before any note is whole */
		assert_true(build_id_of_bytes(fd, head, n, hex) < 0 && !hex[0]);
	for (size_t n = 300; n < sizeof(head); n += 7)
		build_id_of_bytes(fd, head, n, hex);
	for (int i = 0; i < 3000; i++) {
		memcpy(bytes, head, sizeof(head));
		for (int flips = 1 + i % 8; flips; flips--) {
			size_t where = (size_t)rand_r(&seed) % (i & 1 ? 1024 : 64);

			bytes[where] = (unsigned char)rand_r(&seed);
		}
		if (build_id_of_bytes(fd, bytes, sizeof(head), hex))
			assert_int_equal(hex[0], '\0');
	}
	assert_int_equal(build_id_of_bytes(fd, text, sizeof(text), hex), -ENOEXEC);
	assert_int_equal(elf__build_id(-1, hex, sizeof(hex)), -ENOEXEC);
	free(bytes);
	close(fd);
	close(from);
}

/* --- cost
 * -----------------------------------------------------------------------------------------------------------------------------
 */

#define CROWD 1000

static double ms_since(const struct timespec *from)
{
	struct timespec to;

	clock_gettime(CLOCK_MONOTONIC, &to);
	return (double)(to.tv_sec - from->tv_sec) * 1e3 + (double)(to.tv_nsec - from->tv_nsec) / 1e6;
}

/* What reading one small file of each process takes: the best of seven, as below. */
static double walk_ms(void)
{
	double best = 1e9;

	for (int i = 0; i < 7; i++) {
		DIR *proc = opendir("/proc");
		char path[300], text[512];
		struct timespec from;
		struct dirent *e;
		double ms;

		assert_non_null(proc);
		clock_gettime(CLOCK_MONOTONIC, &from);
		while ((e = readdir(proc))) {
			int fd;

			if (e->d_name[0] < '0' || e->d_name[0] > '9')
				continue;
			snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (read(fd, text, sizeof(text)) < 0)
				text[0] = 0;
			close(fd);
		}
		ms = ms_since(&from);
		closedir(proc);
		best = ms < best ? ms : best;
	}
	return best;
}

static double resolve_ms(const struct match *m)
{
	struct version v = { .name = "v1", .match = *m };
	struct config c = { .versions = &v, .n_versions = 1 };
	double best = 1e9;

	for (int i = 0; i < 7; i++) {
		struct timespec from;
		struct id_snapshot *s;
		double ms;

		clock_gettime(CLOCK_MONOTONIC, &from);
		assert_int_equal(identity__resolve(&c, &s, NULL), 0);
		ms = ms_since(&from);
		id_snapshot__free(s);
		best = ms < best ? ms : best;
	}
	return best;
}

static void a_scan_of_a_thousand_processes_stays_cheap(void **state)
{
	struct server a = start((struct start){ .env = "TW_RELEASE=1" });
	const struct match listen = { LISTEN("127.0.0.1", a.port) }, env = { .env = "TW_RELEASE=1" };
	const struct match exe = { .exe = fixture.program };
	double by_listen, by_env, by_exe, walk;
	pid_t crowd[CROWD];

	for (size_t i = 0; i < CROWD; i++) {
		crowd[i] = vfork();
		assert_true(crowd[i] >= 0);
		if (!crowd[i]) {
			execl("/bin/sleep", "sleep", "60", NULL);
			_exit(1);
		}
	}
	by_listen = resolve_ms(&listen);
	by_env = resolve_ms(&env);
	by_exe = resolve_ms(&exe);
	walk = walk_ms();
	for (size_t i = 0; i < CROWD; i++) {
		kill(crowd[i], SIGKILL);
		waitpid(crowd[i], NULL, 0);
	}
	print_message("    %d processes: listen %.1f ms, env %.1f ms, exe %.1f ms; a walk %.1f ms\n", CROWD, by_listen,
	              by_env, by_exe, walk);
	/* A handful of files of each process, not its descriptors or its maps: a ratio, as machines differ. */
	assert_true(by_listen < 25 * SLOWED * walk);
	assert_true(by_env < 25 * SLOWED * walk);
	assert_true(by_exe < 25 * SLOWED * walk);
}

#define T(name) cmocka_unit_test_teardown(name, each_teardown)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		T(a_listen_match_finds_the_ipv4_listener_its_process_and_its_cgroup),
		T(a_listen_match_finds_the_ipv6_listener),
		T(a_bare_port_takes_listeners_on_every_address),
		T(a_bare_port_leaves_the_address_that_another_version_names_to_it),
		T(an_address_is_found_behind_a_wildcard_listener_but_not_behind_one_for_ipv6_only),
		T(a_listener_of_its_own_beats_the_wildcard_listener_on_that_address),
		T(a_port_nobody_listens_on_is_a_place_already_and_says_what_listens_instead),
		T(one_process_may_serve_the_places_of_two_versions),
		T(a_cgroup_match_takes_the_processes_below_it_and_where_they_listen),
		T(a_process_that_moved_after_it_listened_is_attached_where_its_socket_is),
		T(a_pid_match_takes_descendants_too),
		T(a_descendant_of_a_pid_that_has_gone_stays_its_versions),
		T(a_descendant_that_matches_another_version_itself_belongs_to_that_one),
		T(an_exe_match_follows_symbolic_links_and_survives_the_deletion_of_the_file),
		T(a_unit_match_finds_the_cgroup_of_that_name_and_what_is_below),
		T(an_env_match_compares_the_whole_value_and_tells_nothing_about_environments),
		T(keys_are_conjunctive),
		T(a_process_key_with_listen_is_narrowed_to_that_place),
		T(two_versions_on_one_reuseport_port_are_told_apart_by_the_reader),
		T(reuseport_workers_of_one_version_make_a_static_place),
		T(a_listener_inherited_from_a_master_of_another_program_is_read_by_its_workers),
		T(the_same_port_in_another_network_namespace_is_found),
		T(an_upstream_is_a_client_place_attached_at_those_who_are_connected),
		T(an_upstream_without_connections_watches_everywhere_or_in_the_cgroup_given),
		T(an_upstream_of_two_proxies_is_told_apart_by_the_proxy_that_reads),
		T(what_finds_nothing_says_what_was_found_instead),
		T(a_version_that_waits_in_its_own_cgroup_does_not_make_us_watch_all_others),
		T(a_process_that_two_versions_match_is_a_conflict_that_names_both),
		T(a_place_that_two_versions_name_is_a_conflict),
		T(a_listener_named_by_one_version_and_held_by_another_is_a_conflict),
		T(the_version_of_one_process_is_that_of_its_nearest_matching_ancestor),
		T(processes_may_end_during_the_scan),
		T(the_listeners_of_this_host_are_those_of_proc_net_tcp),
		T(the_cgroup2_mount_is_one_and_ids_lead_to_paths),
		T(without_the_capability_to_open_handles_ids_lead_to_paths_by_a_walk),
		T(cgroups_are_reduced_to_those_without_an_ancestor_in_the_set),
		T(unit_names_match_whole_components_only),
		T(a_build_id_match_tells_two_builds_at_one_path_apart),
		T(a_truncated_or_corrupt_program_file_is_an_error_and_never_a_crash),
		T(a_scan_of_a_thousand_processes_stays_cheap),
	};

	if (argc > 3 && !strcmp(argv[1], "serve"))
		return serve(argc, argv);
	return cmocka_run_group_tests_name("identity", tests, all_setup, all_teardown);
}
