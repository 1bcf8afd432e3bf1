// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel's programs in the TLS libraries of processes of ours: in those that are watched and in no other. Oracles:
 * the kernel's own count of how often a program ran, and the bytes of the code as each process has it in memory.
 */
#include <sys/resource.h>
#include <time.h>

#include <bpf/bpf.h>

#include "../unit/tls_child.h"
#include "../unit/tls_table.h"
#include "capture/features.h"

#define LIBSSL "libssl.so.3"

static struct loader *loader;
static struct tls_child child, other;
static int stats = -1;

static void need_libssl(struct tls_child *c)
{
	void *here = dlopen(LIBSSL, RTLD_LAZY | RTLD_LOCAL);

	if (!here) {
		print_message("skipped: " LIBSSL " is not installed\n");
		skip();
	}
	dlclose(here);
	child_do(c, "load " LIBSSL);
}

static void watch_child(void)
{
	watch(&child.pid, 1);
}

static const struct tls_hold *hold_of(pid_t pid)
{
	return &use_of(pid)->hold;
}

static void expect_all_watched(pid_t pid)
{
	const struct tls_hold *h = hold_of(pid);

	assert_string_equal(h->note, "");
	assert_int_equal(h->failed, 0);
	assert_true(h->attached > 0);
}

/* How often our own program for SSL_free has run. */
static uint64_t runs(void)
{
	struct dirent *entry;
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	while ((entry = readdir(d))) {
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);
		char target_of[64], path[300];
		ssize_t got;

		snprintf(path, sizeof(path), "/proc/self/fd/%.20s", entry->d_name);
		got = readlink(path, target_of, sizeof(target_of) - 1);
		if (got < 0)
			continue;
		target_of[got] = '\0';
		if (strcmp(target_of, "anon_inode:bpf-prog") ||
		    bpf_obj_get_info_by_fd((int)strtol(entry->d_name, NULL, 10), &info, &len))
			continue;
		if (!strcmp(info.name, "tw_tls_free_in"))
			n += info.run_cnt;
	}
	closedir(d);
	return n;
}

static const unsigned char *own_ssl_free(void)
{
	return dlsym(dlopen(LIBSSL, RTLD_NOW | RTLD_LOCAL), "SSL_free");
}

/* How many of n bytes, from so far behind SSL_free on, differ from the file's, as the process has them. */
static unsigned int traps_at(pid_t pid, const char *address, ptrdiff_t distance, size_t n)
{
	uintptr_t at = strtoull(address, NULL, 16) + (uintptr_t)distance;
	const unsigned char *was = own_ssl_free() + distance;
	unsigned char is[64];
	unsigned int traps = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, is, n, (off_t)at), n);
	close(fd);
	for (size_t i = 0; i < n; i++)
		traps += is[i] != was[i];
	return traps;
}

static unsigned int traps_in(pid_t pid, const char *address)
{
	return traps_at(pid, address, 0, 64);
}

static double clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void every_call_in_a_watched_process_is_seen(void **state)
{
	uint64_t before;

	need_libssl(&child);
	watch_child();
	expect_all_watched(child.pid);
	before = runs();
	child_do(&child, "free 1000");
	assert_int_equal(runs() - before, 1000);
}

static void no_call_in_another_process_is_seen_nor_its_code_touched(void **state)
{
	char ours[64], theirs[64];
	uint64_t before;

	need_libssl(&child);
	snprintf(ours, sizeof(ours), "%s", child_do(&child, "load " LIBSSL));
	snprintf(theirs, sizeof(theirs), "%s", child_do(&other, "load " LIBSSL));
	watch_child();
	assert_true(traps_in(child.pid, ours) > 0);
	assert_int_equal(traps_in(other.pid, theirs), 0);
	before = runs();
	child_do(&other, "free 1000");
	assert_int_equal(runs() - before, 0);
	assert_int_equal(traps_in(other.pid, theirs), 0);
}

static void a_child_is_seen_from_its_record_on_and_each_call_once(void **state)
{
	uint64_t before;
	pid_t pid;

	need_libssl(&child);
	watch_child();
	before = runs();
	/* It has its parent's memory, traps and all; what it does before it is known is not seen. */
	pid = (pid_t)strtol(child_do(&child, "forkfree 100"), NULL, 10);
	assert_int_equal(runs() - before, 0);
	assert_int_equal(tls_targets__forked(table, pid, 1), 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	expect_all_watched(pid);
	child_do(&child, "free 10");
	assert_int_equal(runs() - before, 10);
}

static void what_a_child_of_no_version_inherited_is_taken_away(void **state)
{
	char address[64];
	pid_t pid;

	need_libssl(&child);
	snprintf(address, sizeof(address), "%s", child_do(&child, "load " LIBSSL));
	watch_child();
	pid = (pid_t)strtol(child_do(&child, "fork 1"), NULL, 10);
	assert_true(traps_in(pid, address) > 0);
	assert_int_equal(tls_targets__forked(table, pid, 1), 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	watch_child();
	for (int i = 0; i < 1000 && traps_in(pid, address); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	assert_int_equal(traps_in(pid, address), 0);
	assert_true(traps_in(child.pid, address) > 0);
}

static void a_process_that_is_let_go_of_is_as_it_was(void **state)
{
	size_t files = open_files();
	char address[64];
	uint64_t before;

	need_libssl(&child);
	snprintf(address, sizeof(address), "%s", child_do(&child, "load " LIBSSL));
	watch_child();
	assert_true(open_files() > files);
	tls_targets__stop(table);
	assert_int_equal(open_files(), files);
	assert_int_equal(traps_in(child.pid, address), 0);
	before = runs();
	child_do(&child, "free 100");
	assert_int_equal(runs() - before, 0);
	assert_true(hold_of(child.pid)->attached > 0); /* what was known is still told */
}

static void one_that_comes_and_goes_is_never_seen_twice(void **state)
{
	need_libssl(&child);
	for (int i = 0; i < 20; i++) {
		uint64_t before;

		watch_child();
		assert_int_equal(update(NULL, 0), 0);
		/* Still being let go of: what is seen now is seen by what is on its way out, if at all. */
		assert_int_equal(update(&child.pid, 1), 0);
		while (tls_targets__work(table, INFINITY) || !hold_of(child.pid)->attached)
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		before = runs();
		child_do(&child, "free 100");
		assert_int_equal(runs() - before, 100);
	}
}

static void a_look_that_finds_nothing_new_changes_nothing(void **state)
{
	size_t files;
	const int *fds;
	uint64_t before;

	need_libssl(&child);
	watch_child();
	child_do(&child, "free 1");
	files = open_files();
	fds = hold_of(child.pid)->fds;
	tls_targets__look_again(table, 1);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	assert_int_equal(update(&child.pid, 1), 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
	assert_ptr_equal(hold_of(child.pid)->fds, fds);
	assert_int_equal(open_files(), files);
	before = runs();
	child_do(&child, "free 100");
	assert_int_equal(runs() - before, 100);
}

static void another_program_in_the_process_is_seen_once(void **state)
{
	uint64_t before;

	need_libssl(&child);
	watch_child();
	child_do(&child, "exec");
	child_do(&child, "load " LIBSSL);
	assert_int_equal(tls_targets__execed(table, child.pid, 1), 0);
	do
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	while (tls_targets__work(table, INFINITY) || !hold_of(child.pid)->attached);
	expect_all_watched(child.pid);
	before = runs();
	child_do(&child, "free 100");
	assert_int_equal(runs() - before, 100);
}

static void a_library_replaced_on_disk_is_watched_where_it_still_runs(void **state)
{
	char path[] = "/tmp/tw-attach-XXXXXX", line[64];
	int fd = mkstemp(path);
	uint64_t before;
	Dl_info info;

	need_libssl(&other);
	close(fd);
	assert_int_not_equal(dladdr(dlsym(dlopen(LIBSSL, RTLD_NOW | RTLD_LOCAL), "SSL_free"), &info), 0);
	assert_int_equal(child_copy(info.dli_fname, path), 0);
	snprintf(line, sizeof(line), "load %s", path);
	child_do(&child, line);
	unlink(path);
	watch_child();
	expect_all_watched(child.pid);
	before = runs();
	child_do(&child, "free 100");
	assert_int_equal(runs() - before, 100);
}

static void a_process_that_ends_meanwhile_keeps_nobody_waiting(void **state)
{
	static struct tls_child brief[20]; /* all there at first: a fork waits for what is being let go of */
	size_t files;

	need_libssl(&child);
	for (int i = 0; i < 20; i++) {
		child_start(&brief[i]);
		child_do(&brief[i], "load " LIBSSL);
	}
	files = open_files();
	for (int i = 0; i < 20; i++) {
		pid_t pids[2] = { child.pid, brief[i].pid };

		assert_int_equal(update(pids, 2), 0);
		/* Anywhere between the list and the last place. */
		if (i % 2)
			kill(brief[i].pid, SIGKILL);
		tls_targets__work(table, INFINITY);
		child_end(&brief[i]);
		watch_child();
		expect_all_watched(child.pid);
	}
	tls_targets__stop(table);
	assert_int_equal(open_files(), files - 20); /* the sockets to those that have ended */
}

/* Of each function, all places that are watched have a trap, or none has. */
static bool whole_functions(pid_t pid, const char *address, const struct tls_library *lib)
{
	size_t n;
	const struct tls_site *sites = tls_library__sites(lib, loader__tls_told(loader), &n);
	ptrdiff_t base = 0;

	for (size_t i = 0; i < lib->n_sites; i++)
		if (!strcmp(lib->sites[i].name, "SSL_free"))
			base = (ptrdiff_t)(lib->sites[i].offset - lib->where[i].distance);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(sites[i].name, sites[k].name) &&
			    traps_at(pid, address, (ptrdiff_t)sites[i].offset - base, 1) !=
			            traps_at(pid, address, (ptrdiff_t)sites[k].offset - base, 1))
				return false;
	return true;
}

/* With room for so many files more. */
static void attach_with(rlim_t room)
{
	struct rlimit all, few;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	few = all;
	few.rlim_cur = open_files() - 3 + room; /* not ".", ".." and that of the directory */
	assert_int_equal(update(&child.pid, 1), 0);
	setrlimit(RLIMIT_NOFILE, &few);
	tls_targets__work(table, INFINITY);
	setrlimit(RLIMIT_NOFILE, &all);
}

static void too_few_files_are_reported_and_leave_no_half_watched_function(void **state)
{
	bool enough = false;
	char address[64];

	need_libssl(&child);
	snprintf(address, sizeof(address), "%s", child_do(&child, "load " LIBSSL));
	watch_child(); /* the file is known from here on */
	for (rlim_t room = 3; !enough; room++) {
		const struct tls_library *lib;
		const struct tls_hold *h;
		size_t n_sites;
		uint64_t before;

		assert_in_range(room, 3, 100);

		assert_int_equal(update(NULL, 0), 0);
		while (traps_in(child.pid, address))
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		tls_targets__stop(table);
		attach_with(room);
		h = hold_of(child.pid);
		lib = use_of(child.pid)->file->library;
		if (h->failed)
			assert_non_null(strstr(h->note, "limit of open files"));
		else
			assert_string_equal(h->note, "");
		enough = !h->failed;
		tls_library__sites(lib, loader__tls_told(loader), &n_sites);
		assert_int_equal(h->failed + h->attached, n_sites);
		before = runs();
		child_do(&child, "free 10");
		assert_int_equal(runs() - before, h->attached ? 10 : 0);
		/* What came half-way is let go of in the background. */
		for (int i = 0; i < 1000 && !whole_functions(child.pid, address, lib); i++)
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		assert_true(whole_functions(child.pid, address, lib));
	}
}

/* How long that takes is printed; that they are let go of at the same time is a matter of the closer. */
static void sixty_four_more_processes_need_as_many_files_each_and_give_all_back(void **state)
{
	pid_t pids[65] = { child.pid };
	size_t files = open_files(), each;
	double start, attached, gone;
	const char *at;
	char *end;

	need_libssl(&child);
	at = child_do(&child, "fork 64");
	for (int i = 1; i <= 64; i++, at = end)
		pids[i] = (pid_t)strtol(at, &end, 10);
	watch_child();
	each = open_files() - files;
	start = clock_now();
	watch(pids, 65);
	attached = clock_now();
	for (int i = 0; i < 65; i++)
		expect_all_watched(pids[i]);
	assert_int_equal(open_files() - files, 65 * each);
	tls_targets__stop(table);
	gone = clock_now();
	assert_int_equal(open_files(), files);
	print_message("64 processes more, %zu files each: attached in %.0f ms; 65 let go of in %.0f ms\n", each,
	              (attached - start) * 1e3, (gone - attached) * 1e3);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static int begin(void **state)
{
	table = tls_targets__new(loader);
	assert_non_null(table);
	child_start(&child);
	child_start(&other);
	return 0;
}

static int end(void **state)
{
	tls_targets__free(table);
	child_end(&child);
	child_end(&other);
	return 0;
}

static int load(void **state)
{
	struct loader_options o = { .seed = 1, .endpoint_other = 1, .slots = 8, .tls = true };
	struct err e = { "" };

	log_threshold = LOG_ERROR;
	loader = loader__new(&o, &e);
	if (!loader || !loader__tls(loader)) {
		print_message("cannot load: %s\n", e.text);
		return -1;
	}
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	return stats < 0 ? -1 : 0;
}

/* As on kernels before 6.6: a descriptor for each place. */
static int load_one_by_one(void **state)
{
	features__try();
	log_threshold = LOG_ERROR;
	features__refuse(FEATURE_UPROBE_MANY, ENOTSUP);
	return load(state);
}

static int unload(void **state)
{
	close(stats);
	loader__free(loader);
	return 0;
}

#define ATTACHES(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		ATTACHES(every_call_in_a_watched_process_is_seen),
		ATTACHES(no_call_in_another_process_is_seen_nor_its_code_touched),
		ATTACHES(a_child_is_seen_from_its_record_on_and_each_call_once),
		ATTACHES(what_a_child_of_no_version_inherited_is_taken_away),
		ATTACHES(a_process_that_is_let_go_of_is_as_it_was),
		ATTACHES(one_that_comes_and_goes_is_never_seen_twice),
		ATTACHES(a_look_that_finds_nothing_new_changes_nothing),
		ATTACHES(another_program_in_the_process_is_seen_once),
		ATTACHES(a_library_replaced_on_disk_is_watched_where_it_still_runs),
		ATTACHES(a_process_that_ends_meanwhile_keeps_nobody_waiting),
		ATTACHES(too_few_files_are_reported_and_leave_no_half_watched_function),
		ATTACHES(sixty_four_more_processes_need_as_many_files_each_and_give_all_back),
	};

	const struct CMUnitTest one_by_one[] = {
		ATTACHES(every_call_in_a_watched_process_is_seen),
		ATTACHES(no_call_in_another_process_is_seen_nor_its_code_touched),
		ATTACHES(a_child_is_seen_from_its_record_on_and_each_call_once),
		ATTACHES(a_library_replaced_on_disk_is_watched_where_it_still_runs),
		ATTACHES(too_few_files_are_reported_and_leave_no_half_watched_function),
	};

	if (is_tls_child(argv))
		return tls_child();
	return cmocka_run_group_tests(tests, load, unload) +
	       cmocka_run_group_tests(one_by_one, load_one_by_one, unload);
}
