// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Looking at the whole host: while processes come and go, its listeners, its cgroups, and what a look costs. Oracles:
 * /proc/net/tcp*, and a plain walk over /proc. */
#include <dirent.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/vfs.h>
#include <time.h>

#include "identity_rig.h"

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

/* ---- the pieces ----------------------------------------------------------------------------------------------- */

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

/* ---- cost ----------------------------------------------------------------------------------------------------- */

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

static const struct CMUnitTest tests[] = {
	T(processes_may_end_during_the_scan),
	T(the_listeners_of_this_host_are_those_of_proc_net_tcp),
	T(the_cgroup2_mount_is_one_and_ids_lead_to_paths),
	T(without_the_capability_to_open_handles_ids_lead_to_paths_by_a_walk),
	T(cgroups_are_reduced_to_those_without_an_ancestor_in_the_set),
	T(unit_names_match_whole_components_only),
	T(a_scan_of_a_thousand_processes_stays_cheap),
};

IDENTITY_MAIN(tests)
