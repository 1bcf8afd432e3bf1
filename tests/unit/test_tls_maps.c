// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: tls capture base
 *
 * Which files a process runs. Oracles: proc(5) for the lines, stat() for the files.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tls/maps.h"

static char dir[] = "/tmp/tw-maps-XXXXXX";

static int line(const char *text, struct maps_file *f, char *path, size_t room)
{
	const char *at;
	size_t len;
	int got = maps__line(text, strlen(text), f, &at, &len);

	path[0] = '\0';
	if (got)
		snprintf(path, room, "%.*s", (int)len, at);
	return got;
}

static void a_line_with_code_of_a_file_is_taken_apart(void **state)
{
	struct maps_file f;
	char path[256];

	assert_int_equal(line("7f1589f3f000-7f1589f4e000 r-xp 00020000 103:02 18446744073709551615 "
	                      "           /usr/lib/libssl.so.3 (deleted)",
	                      &f, path, sizeof(path)),
	                 1);
	assert_int_equal(f.start, 0x7f1589f3f000);
	assert_int_equal(f.end, 0x7f1589f4e000);
	assert_int_equal(f.dev, makedev(0x103, 2));
	assert_true(f.ino == UINT64_MAX);
	assert_string_equal(path, "/usr/lib/libssl.so.3 (deleted)");
}

static void names_with_blanks_and_no_names_are_kept_as_they_are(void **state)
{
	struct maps_file f;
	char path[256];

	assert_int_equal(line("1000-2000 rwxs 00000000 00:01 7       /memfd:jit code  (x)", &f, path, sizeof(path)), 1);
	assert_string_equal(path, "/memfd:jit code  (x)");
	assert_int_equal(line("1000-2000 r-xp 00000000 00:01 7 ", &f, path, sizeof(path)), 1);
	assert_string_equal(path, "");
}

static void what_is_no_code_or_no_file_is_passed_over(void **state)
{
	static const char *const lines[] = {
		"7f00-7f10 r--p 00000000 fe:00 24 /usr/bin/cat", /* data */
		"7f00-7f10 r-xp 00000000 00:00 0 [vdso]",        /* no file */
		"7f00-7f10 r-xp 00000000 00:00 0 ",              /* made by the program */
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]",
	};
	struct maps_file f;
	char path[256];

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		assert_int_equal(line(lines[i], &f, path, sizeof(path)), 0);
}

static void a_line_cut_anywhere_is_passed_over_or_has_its_numbers(void **state)
{
	static const char whole[] = "7f15-7f16 r-xp 00020000 fe:00 14884881 /usr/lib/libssl.so.3";
	char cut[sizeof(whole)];
	struct maps_file f;
	const char *path;
	size_t len;

	for (size_t n = 0; n < sizeof(whole); n++) {
		char *edge = malloc(n ? n : 1); /* for the sanitizers to guard its end */

		memcpy(edge, whole, n);
		memcpy(cut, whole, n);
		if (maps__line(edge, n, &f, &path, &len)) {
			assert_true(n > strlen("7f15-7f16 r-xp 00020000 fe:00 14884881"));
			assert_int_equal(f.ino, 14884881);
			assert_true(path + len == edge + n);
		}
		free(edge);
	}
}

static void lines_that_nobody_writes_are_passed_over(void **state)
{
	static const char *const lines[] = {
		"",
		"-",
		"7f00-7f10",
		"7f10-7f00 r-xp 00000000 fe:00 24 /x",
		"7f00-7f00 r-xp 00000000 fe:00 24 /x",
		"7f00-7f10 r-xp 00000000 fe:00 18446744073709551616 /x",
		"10000000000000000-10000000000000001 r-xp 00000000 fe:00 24 /x",
		"7f00-7f10 r-xp 00000000 fe:100000000 24 /x",
		"7f00-7f10 r-xp 00000000 fe:00 24a /x",
		"7f00-7f10 r-x",
		"zz-7f10 r-xp 00000000 fe:00 24 /x",
	};
	struct maps_file f;
	char path[256];

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		assert_int_equal(line(lines[i], &f, path, sizeof(path)), 0);
}

/* ---- this process ------------------------------------------------------------------------------------------------ */

/* A page of code from a file of this name in our folder, or from fd. */
static void *map_code(const char *path, int fd, off_t offset)
{
	void *at;
	int own = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0755) : fd;

	assert_true(own >= 0);
	assert_int_equal(ftruncate(own, 16 * 4096), 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, own, offset);
	assert_true(at != MAP_FAILED);
	if (path)
		close(own);
	return at;
}

static const struct maps_file *file_at(const struct maps *m, const void *address)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->files[i].start <= (uintptr_t)address && (uintptr_t)address < m->files[i].end)
			return &m->files[i];
	return NULL;
}

static void expect_inode(const struct maps_file *f, const struct stat *is)
{
	struct stat st;
	struct err e = { "" };
	int fd = maps__open(getpid(), f, &st, &e);

	if (fd < 0)
		fail_msg("%s", e.text);
	assert_int_equal(st.st_ino, is->st_ino);
	assert_int_equal(st.st_dev, is->st_dev);
	close(fd);
}

static void every_file_with_code_is_listed_once(void **state)
{
	struct maps m;
	Dl_info info;
	struct stat st;
	unsigned int libc = 0, own = 0;

	assert_int_not_equal(dladdr((void *)(uintptr_t)printf, &info), 0);
	assert_int_equal(stat("/proc/self/exe", &st), 0);
	assert_int_equal(maps__read(getpid(), &m), 0);
	assert_false(m.truncated);
	for (size_t i = 0; i < m.n; i++) {
		libc += strstr(m.files[i].path, "libc.so") != NULL;
		own += m.files[i].ino == st.st_ino;
		for (size_t k = 0; k < i; k++)
			assert_false(m.files[k].ino == m.files[i].ino && m.files[k].dev == m.files[i].dev);
	}
	assert_int_equal(libc, 1);
	assert_int_equal(own, 1);
	maps__free(&m);
}

static void a_name_with_a_line_feed_leads_to_its_file(void **state)
{
	char path[256];
	const struct maps_file *f;
	struct maps m;
	struct stat st;
	void *code;

	snprintf(path, sizeof(path), "%s/a b\nc\\012 (deleted)x", dir);
	code = map_code(path, -1, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(maps__read(getpid(), &m), 0);
	f = file_at(&m, code);
	assert_non_null(f);
	assert_false(f->deleted);
	expect_inode(f, &st);
	maps__free(&m);
	munmap(code, 4096);
	unlink(path);
}

static void a_file_that_was_replaced_or_deleted_is_opened_all_the_same(void **state)
{
	char path[256], other[256];
	const struct maps_file *f;
	struct maps m;
	struct stat st;
	void *code;
	int fd;

	if (geteuid()) {
		print_message("skipped: without root a deleted file cannot be opened by its mapping\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/lib.so", dir);
	snprintf(other, sizeof(other), "%s/new.so", dir);
	code = map_code(path, -1, 0);
	assert_int_equal(stat(path, &st), 0);
	fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0755);
	close(fd);
	for (int step = 0; step < 2; step++) {
		assert_int_equal(step ? unlink(path) : rename(other, path), 0);
		assert_int_equal(maps__read(getpid(), &m), 0);
		f = file_at(&m, code);
		assert_non_null(f);
		assert_true(f->deleted);
		assert_string_equal(f->path, path);
		expect_inode(f, &st);
		maps__free(&m);
	}
	munmap(code, 4096);
}

static void another_file_under_the_same_name_is_not_taken_for_it(void **state)
{
	struct maps_file f = { .start = 1, .end = 2 }; /* no such mapping: only the name is left */
	char path[256];
	struct err e = { "" };
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/other.so", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0755);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	f.path = path;
	f.dev = st.st_dev;
	f.ino = st.st_ino;
	expect_inode(&f, &st);
	f.ino++;
	assert_int_equal(maps__open(getpid(), &f, &st, &e), -ESTALE);
	assert_non_null(strstr(e.text, "another file"));
	unlink(path);
}

static void a_fifo_in_the_place_of_a_library_is_not_waited_for(void **state)
{
	struct maps_file f = { .start = 1, .end = 2 };
	char path[256];
	struct err e = { "" };
	struct stat st;

	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(stat(path, &st), 0);
	f.path = path;
	f.dev = st.st_dev;
	f.ino = st.st_ino;
	assert_int_equal(maps__open(getpid(), &f, &st, &e), -EINVAL);
	unlink(path);
}

static void code_in_a_memfd_is_a_file_like_any_other(void **state)
{
	int fd = memfd_create("jit", MFD_CLOEXEC);
	void *code = map_code(NULL, fd, 0);
	const struct maps_file *f;
	struct maps m;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(maps__read(getpid(), &m), 0);
	f = file_at(&m, code);
	assert_non_null(f);
	assert_true(f->deleted);
	if (!geteuid())
		expect_inode(f, &st);
	maps__free(&m);
	munmap(code, 4096);
	close(fd);
}

static void a_thousand_mappings_and_more_files_than_anybody_has_are_bounded(void **state)
{
	static void *code[MAPS_FILES_MAX + 50];
	struct maps m;

	for (int i = 0; i < MAPS_FILES_MAX + 50; i++) {
		int fd = memfd_create("x", MFD_CLOEXEC);

		code[i] = map_code(NULL, fd, 0);
		close(fd);
	}
	assert_int_equal(maps__read(getpid(), &m), 0);
	assert_int_equal(m.n, MAPS_FILES_MAX);
	assert_true(m.truncated);
	maps__free(&m);
	for (int i = 0; i < MAPS_FILES_MAX + 50; i++)
		munmap(code[i], 4096);
}

static void the_longest_name_there_can_be_is_read(void **state)
{
	char cwd[4096], name[256], path[4096];
	const struct maps_file *f;
	struct maps m;
	struct stat st;
	void *code;
	size_t len = 0;
	int fd, depth = 0;

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(dir), 0);
	memset(name, '\n', 200); /* each is written as four characters */
	name[200] = '\0';
	for (; depth < 15; depth++) {
		assert_int_equal(mkdir(name, 0700), 0);
		assert_int_equal(chdir(name), 0);
	}
	fd = open("lib.so", O_RDWR | O_CREAT | O_CLOEXEC, 0755);
	assert_int_equal(fstat(fd, &st), 0);
	code = map_code(NULL, fd, 0);
	close(fd);
	assert_int_equal(maps__read(getpid(), &m), 0);
	f = file_at(&m, code);
	assert_non_null(f);
	assert_int_equal(f->ino, st.st_ino);
	for (int i = 0; i < depth; i++)
		len += (size_t)snprintf(path + len, sizeof(path) - len, "/%s", name);
	assert_non_null(strstr(f->path, path));
	maps__free(&m);
	munmap(code, 4096);
	unlink("lib.so");
	while (depth--) {
		assert_int_equal(chdir(".."), 0);
		rmdir(name);
	}
	assert_int_equal(chdir(cwd), 0);
}

static void a_process_that_is_not_there_is_said_to_be_gone(void **state)
{
	struct maps m;

	assert_int_equal(maps__read(0x7ffffffe, &m), -ESRCH);
	assert_int_equal(m.n, 0);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_with_code_of_a_file_is_taken_apart),
		cmocka_unit_test(names_with_blanks_and_no_names_are_kept_as_they_are),
		cmocka_unit_test(what_is_no_code_or_no_file_is_passed_over),
		cmocka_unit_test(a_line_cut_anywhere_is_passed_over_or_has_its_numbers),
		cmocka_unit_test(lines_that_nobody_writes_are_passed_over),
		cmocka_unit_test(every_file_with_code_is_listed_once),
		cmocka_unit_test(a_name_with_a_line_feed_leads_to_its_file),
		cmocka_unit_test(a_file_that_was_replaced_or_deleted_is_opened_all_the_same),
		cmocka_unit_test(another_file_under_the_same_name_is_not_taken_for_it),
		cmocka_unit_test(a_fifo_in_the_place_of_a_library_is_not_waited_for),
		cmocka_unit_test(code_in_a_memfd_is_a_file_like_any_other),
		cmocka_unit_test(a_thousand_mappings_and_more_files_than_anybody_has_are_bounded),
		cmocka_unit_test(the_longest_name_there_can_be_is_read),
		cmocka_unit_test(a_process_that_is_not_there_is_said_to_be_gone),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
