// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: tls capture base
 *
 * Which process has which TLS library, found by looking alone, in processes of ours that do what they are told.
 * Oracles: what they were told, and the sonames that readelf shows.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "tls_child.h"
#include "tls_table.h"

#define LIBSSL "libssl.so.3"

static char dir[] = "/tmp/tw-targets-XXXXXX";
static char libssl[512]; /* where it is; "": nowhere */
static struct tls_child child;

static void need_libssl(void)
{
	if (!libssl[0]) {
		print_message("skipped: " LIBSSL " is not installed\n");
		skip();
	}
}

static void need_root(const char *what)
{
	if (geteuid()) {
		print_message("skipped: not root, which %s needs\n", what);
		skip();
	}
}

static void watch_child(void)
{
	watch(&child.pid, 1);
}

/* Every process is looked at again, as when its turn has come. */
static void look_again(void)
{
	tls_targets__look_again(table, 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
}

/* How many libraries that can be watched it has whose path ends like this. */
static unsigned int libraries(pid_t pid, const char *end)
{
	const struct tls_target *at = target(pid);
	unsigned int n = 0;

	for (size_t i = 0; at && i < at->n_uses; i++) {
		const char *path = at->uses[i].where.path;
		size_t len = strlen(path), want = strlen(end);

		n += at->uses[i].file->library && at->uses[i].file->library->n_sites && len >= want &&
		     !strcmp(path + len - want, end);
	}
	return n;
}

static void order(const char *what, const char *path)
{
	char line[1200];

	snprintf(line, sizeof(line), "%s %s", what, path);
	child_do(&child, line);
}

static const char *copy_of_libssl(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(child_copy(libssl, path), 0);
	return path;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void a_process_without_a_library_has_none(void **state)
{
	watch_child();
	assert_non_null(target(child.pid));
	assert_true(target(child.pid)->looked);
	assert_int_equal(libraries(child.pid, ""), 0);
	assert_string_equal(target(child.pid)->comm, "exe");
	assert_int_equal(target(child.pid)->version, 1);
}

static void a_library_is_found_and_so_is_one_that_is_loaded_later(void **state)
{
	need_libssl();
	watch_child();
	order("load", LIBSSL);
	look_again();
	assert_int_equal(libraries(child.pid, LIBSSL), 1);
	assert_int_equal(use_of(child.pid)->file->library->kind, TLS_OPENSSL);
}

static void a_library_that_is_loaded_later_is_found_without_being_asked_for(void **state)
{
	struct timespec pause = { 0, 20000000 }, start, now;

	need_libssl();
	watch_child();
	order("load", LIBSSL);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do { /* the clock is what is waited for: nothing tells of a library */
		nanosleep(&pause, NULL);
		tls_targets__work(table, 0.01);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!libraries(child.pid, LIBSSL) && now.tv_sec - start.tv_sec < 10);
	assert_int_equal(libraries(child.pid, LIBSSL), 1);
	assert_true(now.tv_sec - start.tv_sec <= 4);
}

static void a_library_that_is_unloaded_is_forgotten(void **state)
{
	need_libssl();
	order("map", copy_of_libssl("a.so"));
	watch_child();
	assert_int_equal(libraries(child.pid, "/a.so"), 1);
	child_do(&child, "unmap");
	look_again();
	assert_int_equal(libraries(child.pid, "/a.so"), 0);
}

static void another_program_in_the_process_has_none_of_its_libraries(void **state)
{
	need_libssl();
	order("load", LIBSSL);
	watch_child();
	assert_int_equal(libraries(child.pid, LIBSSL), 1);
	child_do(&child, "exec");
	assert_int_equal(tls_targets__execed(table, child.pid, 2), 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	assert_int_equal(libraries(child.pid, LIBSSL), 0);
	assert_int_equal(target(child.pid)->version, 2);
}

static void another_program_is_noticed_when_nothing_tells_of_it(void **state)
{
	need_libssl();
	order("load", LIBSSL);
	watch_child();
	child_do(&child, "exec");
	look_again();
	assert_int_equal(libraries(child.pid, LIBSSL), 0);
}

static void a_program_of_no_version_is_not_looked_at(void **state)
{
	watch_child();
	assert_int_equal(tls_targets__execed(table, child.pid, 0), 0);
	assert_null(target(child.pid));
	assert_int_equal(tls_targets__execed(table, child.pid, 0), 0);
}

static void a_process_that_ends_is_forgotten_and_the_rest_goes_on(void **state)
{
	struct tls_child other = { 0 };
	pid_t pids[2];

	need_libssl();
	child_start(&other);
	order("load", LIBSSL);
	pids[0] = child.pid;
	pids[1] = other.pid;
	assert_int_equal(tls_targets__update(table, processes(pids, 2), 2), 0);
	child_end(&other);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	assert_null(target(pids[1]));
	assert_int_equal(libraries(child.pid, LIBSSL), 1);
}

static void one_that_has_ended_and_was_not_waited_for_is_forgotten(void **state)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	watch(&pid, 1);
	assert_null(target(pid));
	waitpid(pid, NULL, 0);
}

static void a_number_given_to_another_process_is_that_of_another_process(void **state)
{
	struct id_process *p;

	need_libssl();
	order("load", LIBSSL);
	watch_child();
	/* Of one that was started long before. */
	p = processes(&child.pid, 1);
	p->start_ticks -= 1000;
	assert_int_equal(tls_targets__update(table, p, 1), 0);
	assert_int_equal(target(child.pid)->n_uses, 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	assert_null(target(child.pid)); /* and that one has gone */
}

static void children_are_watched_from_their_record_on_and_until_the_list_says_otherwise(void **state)
{
	pid_t pid;

	need_libssl();
	order("load", LIBSSL);
	watch_child();
	pid = (pid_t)strtol(child_do(&child, "fork 1"), NULL, 10);
	assert_int_equal(tls_targets__forked(table, pid, 1), 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	assert_int_equal(libraries(pid, LIBSSL), 1);
	watch_child();
	assert_null(target(pid));
	assert_int_equal(tls_targets__forked(table, 0x7ffffffe, 1), 0);
	assert_int_equal(tls_targets__count(table), 1);
}

static void a_library_that_sixty_four_processes_share_is_read_once(void **state)
{
	pid_t pids[65] = { child.pid };
	unsigned int before;
	const char *at;
	char *end;

	need_libssl();
	order("load", LIBSSL);
	watch_child();
	before = tls_targets__files_read(table);
	assert_true(before >= 1);
	at = child_do(&child, "fork 64");
	for (int i = 1; i <= 64; i++, at = end)
		pids[i] = (pid_t)strtol(at, &end, 10);
	watch(pids, 65);
	assert_int_equal(tls_targets__count(table), 65);
	for (int i = 0; i < 65; i++)
		assert_int_equal(libraries(pids[i], LIBSSL), 1);
	assert_int_equal(tls_targets__files_read(table), before);
}

static void a_file_written_over_in_place_is_read_again(void **state)
{
	const char *path;
	struct timespec later[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };
	unsigned int before;

	need_libssl();
	path = copy_of_libssl("same.so");
	order("load", path);
	watch_child();
	before = tls_targets__files_read(table);
	look_again();
	assert_int_equal(tls_targets__files_read(table), before);
	assert_int_equal(utimensat(AT_FDCWD, path, later, 0), 0);
	for (int i = 0; i < 500 && tls_targets__files_read(table) == before; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		look_again();
	}
	assert_int_equal(tls_targets__files_read(table), before + 1);
	assert_int_equal(libraries(child.pid, "/same.so"), 1);
}

static void asking_again_and_again_costs_a_few_looks_a_second(void **state)
{
	double first, last;

	watch_child();
	look_again();
	first = last = target(child.pid)->due;
	for (int i = 0; i < 100; i++) {
		look_again();
		last = target(child.pid)->due;
	}
	/* Not looked at since: or the time of the next look would have moved. */
	assert_true(last <= first);
	assert_true(first - last > 1);
}

static void after_an_upgrade_old_and_new_processes_have_their_own_library(void **state)
{
	struct tls_child fresh = { 0 };
	char path[512], line[600];
	pid_t pids[2];

	need_libssl();
	need_root("the deleted file");
	snprintf(path, sizeof(path), "%s", copy_of_libssl("libup.so"));
	order("load", path);
	assert_int_equal(rename(copy_of_libssl("libup.so.new"), path), 0);
	child_start(&fresh);
	snprintf(line, sizeof(line), "load %s", path);
	child_do(&fresh, line);
	pids[0] = child.pid;
	pids[1] = fresh.pid;
	watch(pids, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(libraries(pids[i], "/libup.so"), 1);
	assert_true(use_of(pids[0])->where.deleted);
	assert_false(use_of(pids[1])->where.deleted);
	assert_ptr_not_equal(use_of(pids[0])->file, use_of(pids[1])->file);
	child_end(&fresh);
}

static void a_library_in_a_mount_namespace_of_its_own_is_found(void **state)
{
	char line[1200], hidden[600];

	need_libssl();
	need_root("a mount namespace");
	snprintf(line, sizeof(line), "hide %s %s", dir, libssl);
	child_do(&child, line);
	snprintf(hidden, sizeof(hidden), "%s/libssl-hidden.so", dir);
	assert_int_equal(access(hidden, F_OK), -1); /* not here */
	watch_child();
	assert_int_equal(libraries(child.pid, "/libssl-hidden.so"), 1);
}

/* Writes a file and lets the child map it as code. */
static void map_bytes(const char *name, const void *bytes, size_t len)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	assert_int_equal(ftruncate(fd, 8192), 0);
	close(fd);
	order("map", path);
}

static void a_broken_program_file_is_reported_and_the_rest_goes_on(void **state)
{
	unsigned char broken[64] = "\177ELF\2\1\1";
	bool reported = false;

	need_libssl();
	memset(broken + 16, 0xff, sizeof(broken) - 16);
	map_bytes("broken.so", broken, sizeof(broken));
	order("load", LIBSSL);
	watch_child();
	for (size_t i = 0; i < target(child.pid)->n_uses; i++) {
		const struct tls_use *u = &target(child.pid)->uses[i];

		reported |= strstr(u->where.path, "broken.so") && u->file->error && strstr(u->file->error, "broken.so");
	}
	assert_true(reported);
	assert_int_equal(libraries(child.pid, LIBSSL), 1);
}

static void code_that_is_no_program_file_is_not_worth_a_word(void **state)
{
	map_bytes("jit", "\x90\x90\xc3", 3);
	watch_child();
	for (size_t i = 0; i < target(child.pid)->n_uses; i++)
		assert_null(strstr(target(child.pid)->uses[i].where.path, "/jit"));
	assert_string_equal(target(child.pid)->note, "");
}

static void work_is_done_in_pieces_when_there_is_little_time(void **state)
{
	pid_t pids[65] = { child.pid };
	size_t left, rounds = 0;
	const char *at = child_do(&child, "fork 64");
	char *end;

	for (int i = 1; i <= 64; i++, at = end)
		pids[i] = (pid_t)strtol(at, &end, 10);
	assert_int_equal(tls_targets__update(table, processes(pids, 65), 65), 0);
	do {
		left = tls_targets__work(table, 0);
		rounds++;
	} while (left && rounds < 1000);
	assert_int_equal(left, 0);
	assert_int_equal(rounds, 65);
	for (int i = 0; i < 65; i++)
		assert_true(target(pids[i])->looked);
}

static void looking_leaves_no_file_open(void **state)
{
	size_t before = open_files();

	if (libssl[0])
		order("load", LIBSSL);
	for (int i = 0; i < 20; i++) {
		watch_child();
		look_again();
		assert_int_equal(tls_targets__update(table, NULL, 0), 0);
	}
	assert_int_equal(open_files(), before);
}

static void a_process_that_may_not_be_looked_into_says_so(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		/* As nobody, for whom this program's other processes are closed. */
		if (!geteuid() && setresuid(65534, 65534, 65534))
			_exit(2);
		tls_targets__update(table, processes((const pid_t[]){ 1 }, 1), 1);
		tls_targets__work(table, INFINITY);
		_exit(target(1) && strstr(target(1)->note, "Permission denied") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static int begin(void **state)
{
	table = tls_targets__new(NULL);
	assert_non_null(table);
	child_start(&child);
	return 0;
}

static int end(void **state)
{
	tls_targets__free(table);
	child_end(&child);
	return 0;
}

/* Where the loader finds it. */
static int find_libssl(void **state)
{
	char *found;
	FILE *f;

	if (!mkdtemp(dir))
		return -1;
	f = popen("ldconfig -p 2>/dev/null | sed -n 's|.*=> \\(.*/" LIBSSL "\\)$|\\1|p' | head -n 1", "re");
	found = f ? fgets(libssl, sizeof(libssl), f) : NULL;
	if (f)
		pclose(f);
	libssl[found ? strcspn(libssl, "\n") : 0] = '\0';
	return 0;
}

static int remove_dir(void **state)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	char path[512];

	while ((entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%.200s", dir, entry->d_name);
		unlink(path);
	}
	closedir(d);
	return rmdir(dir);
}

#define LOOKS(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LOOKS(a_process_without_a_library_has_none),
		LOOKS(a_library_is_found_and_so_is_one_that_is_loaded_later),
		LOOKS(a_library_that_is_loaded_later_is_found_without_being_asked_for),
		LOOKS(a_library_that_is_unloaded_is_forgotten),
		LOOKS(another_program_in_the_process_has_none_of_its_libraries),
		LOOKS(another_program_is_noticed_when_nothing_tells_of_it),
		LOOKS(a_program_of_no_version_is_not_looked_at),
		LOOKS(a_process_that_ends_is_forgotten_and_the_rest_goes_on),
		LOOKS(one_that_has_ended_and_was_not_waited_for_is_forgotten),
		LOOKS(a_number_given_to_another_process_is_that_of_another_process),
		LOOKS(children_are_watched_from_their_record_on_and_until_the_list_says_otherwise),
		LOOKS(a_library_that_sixty_four_processes_share_is_read_once),
		LOOKS(a_file_written_over_in_place_is_read_again),
		LOOKS(asking_again_and_again_costs_a_few_looks_a_second),
		LOOKS(after_an_upgrade_old_and_new_processes_have_their_own_library),
		LOOKS(a_library_in_a_mount_namespace_of_its_own_is_found),
		LOOKS(a_broken_program_file_is_reported_and_the_rest_goes_on),
		LOOKS(code_that_is_no_program_file_is_not_worth_a_word),
		LOOKS(work_is_done_in_pieces_when_there_is_little_time),
		LOOKS(looking_leaves_no_file_open),
		LOOKS(a_process_that_may_not_be_looked_into_says_so),
	};

	if (is_tls_child(argv))
		return tls_child();
	return cmocka_run_group_tests(tests, find_libssl, remove_dir);
}
