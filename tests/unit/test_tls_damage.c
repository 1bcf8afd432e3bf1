/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Libraries that were cut off, changed and that change while they are read: refused with a reason or understood, in
 * bounded time, and never a site outside of the file. What breaks memory breaks under SAN=1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "dice.h"
#include "own_dir.h"
#include "tls_files.h"

#define SECONDS_MAX 10.0 /* for one file, on a busy machine and under the sanitizers; usually milliseconds */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct file {
	uint8_t *bytes;
	size_t len;
	int fd; /* a copy in memory */
};

static struct file load(const char *path)
{
	struct file f = { .fd = memfd_create("damaged", MFD_CLOEXEC) };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && f.fd >= 0 && !fstat(fd, &st));
	f.len = (size_t)st.st_size;
	f.bytes = malloc(f.len);
	assert_non_null(f.bytes);
	for (size_t at = 0; at < f.len;) {
		ssize_t n = read(fd, f.bytes + at, f.len - at);

		assert_true(n > 0);
		at += (size_t)n;
	}
	close(fd);
	assert_int_equal(pwrite(f.fd, f.bytes, f.len, 0), f.len);
	return f;
}

static void unload(struct file *f)
{
	free(f->bytes);
	close(f->fd);
}

/* Whatever comes of it is in order. Returns 0 or -ENOEXEC. */
static int look(const struct file *f, size_t len)
{
	struct tls_library *lib;
	struct err e = { "" };
	double began = now();
	int err = tls_library__read(f->fd, "damaged", &lib, &e);

	assert_true(now() - began < SECONDS_MAX);
	if (err) {
		assert_int_equal(err, -ENOEXEC);
		assert_null(lib);
		assert_non_null(strstr(e.text, "damaged"));
		return err;
	}
	assert_int_equal(e.text[0], 0);
	for (size_t i = 0; i < lib->n_sites; i++) {
		assert_true(lib->sites[i].offset < len);
		assert_true(lib->sites[i].job < TLS_JOB_NR);
	}
	tls_library__free(lib);
	return 0;
}

static void cut_off_everywhere(const char *path, size_t step)
{
	struct file f = load(path);
	size_t refused = 0, cuts = 0;

	assert_int_equal(look(&f, f.len), 0);
	for (size_t len = f.len; len > 0; len -= len > step ? step : len > 64 ? 64 : 1) {
		assert_int_equal(ftruncate(f.fd, (off_t)len), 0);
		refused += look(&f, len) != 0 && len < f.len;
		cuts++;
	}
	assert_int_equal(ftruncate(f.fd, 0), 0);
	assert_int_equal(look(&f, 0), -ENOEXEC);
	/* What describes a file lies at its end, so that nearly every cut is noticed. */
	assert_true(refused + 2 >= cuts * 9 / 10);
	unload(&f);
}

static void a_library_that_was_cut_off_is_refused_with_a_reason(void **state)
{
	NEED_FILE(HOST_LIB "libssl.so.3", "Debian's libssl3");
	cut_off_everywhere(HOST_LIB "libssl.so.3", 4099);
}

static void a_program_of_go_that_was_cut_off_is_refused_with_a_reason(void **state)
{
	NEED_FILE("/usr/bin/caddy", "Debian's caddy");
	cut_off_everywhere("/usr/bin/caddy", 700001);
}

/* Sets n bytes at `at` to what, looks, and puts them back. */
static void change(const struct file *f, size_t at, const void *what, size_t n)
{
	assert_int_equal(pwrite(f->fd, what, n, (off_t)at), n);
	look(f, f->len);
	assert_int_equal(pwrite(f->fd, f->bytes + at, n, (off_t)at), n);
}

/* Every number of the headers and of a few tables, with values that mean too much. */
static void change_words(const struct file *f, size_t from, size_t to, size_t step)
{
	static const uint64_t odd[] = { 0,          1,          0xff,       0xffff, 0x7fffffff,
		                        0xffffffff, 1ull << 40, 1ull << 63, ~0ull,  ~0ull - 64 };

	assert_true(to <= f->len);
	for (size_t at = from; at + 8 <= to; at += step)
		for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
			for (size_t n = 1; n <= 8; n *= 2)
				change(f, at, &odd[i], n);
}

static const char small[] =
	"int ERR(void);\n"
	"static __attribute__((noinline)) int inner(void *s, void *b, long n, long *d) { *d = n; return ERR(); }\n"
	"#define CALL(name) int name(void *s, void *b, int n) { long d; char x[9]; "
	"if (n < 0) { ERR(); return -1; } return inner(s, b, n, &d) > 0 ? d : (x[n] = ERR()); }\n"
	"CALL(SSL_read) CALL(SSL_write)\n"
	"void SSL_free(void *s) { if (s) ERR(); }\n";

static struct file small_library(void)
{
	char path[64];

	assert_int_equal(build_file(dir, "small", small, "-shared -fPIC -fstack-protector-all"), 0);
	snprintf(path, sizeof(path), "%s/small", dir);
	return load(path);
}

static void headers_that_lie_do_not_lead_astray(void **state)
{
	struct file f = small_library();
	Elf64_Ehdr h;

	memcpy(&h, f.bytes, sizeof(h));
	assert_int_equal(look(&f, f.len), 0);
	change_words(&f, 0, sizeof(h), 2);
	change_words(&f, h.e_phoff, h.e_phoff + (size_t)h.e_phnum * h.e_phentsize, 8);
	change_words(&f, h.e_shoff, h.e_shoff + (size_t)h.e_shnum * h.e_shentsize, 8);
	unload(&f);
}

static void bytes_changed_at_random_do_no_harm(void **state)
{
	struct file f = small_library();
	struct dice d = { 5 };

	for (int i = 0; i < 4000; i++) {
		uint8_t value[4];
		size_t n = 1 + dice_below(&d, 4), at = dice_below(&d, (unsigned)(f.len - n));

		for (size_t j = 0; j < n; j++)
			value[j] = (uint8_t)dice_word(&d);
		change(&f, at, value, n);
	}
	unload(&f);
}

static void code_changed_at_random_gives_other_places_or_the_plain_ones(void **state)
{
	struct file f = small_library();
	struct dice d = { 6 };
	char command[128], *text;
	unsigned long at = 0, len = 0;

	snprintf(command, sizeof(command), "readelf -SW '%s/small' | sed -n 's/.* .text *PROGBITS *[^ ]* //p'", dir);
	text = output_of(command);
	assert_non_null(text);
	assert_int_equal(sscanf(text, "%lx %lx", &at, &len), 2);
	free(text);
	for (int i = 0; i < 4000; i++) {
		uint8_t value = (uint8_t)dice_word(&d);

		change(&f, at + dice_below(&d, (unsigned)len), &value, 1);
	}
	unload(&f);
}

static void a_table_of_go_that_lies_does_not_lead_astray(void **state)
{
	unsigned long at = 0;
	struct file f;
	char *text;

	NEED_FILE("/usr/bin/caddy", "Debian's caddy");
	f = load("/usr/bin/caddy");
	text = output_of("readelf -SW /usr/bin/caddy | sed -n 's/.* .gopclntab *PROGBITS *[^ ]* //p'");
	assert_non_null(text);
	assert_int_equal(sscanf(text, "%lx", &at), 1);
	free(text);
	for (size_t i = 0; i < 72; i += 4) {
		static const uint32_t odd[] = { 0, 1, 0x7fffffff, 0xffffffff };

		for (size_t j = 0; j < 4; j++)
			change(&f, at + i, &odd[j], sizeof(odd[j]));
	}
	unload(&f);
}

static void a_file_that_shrinks_while_it_is_read_is_a_short_read(void **state)
{
	struct file f = small_library();

	/* The size is asked once; from then on the file may be any length. */
	for (size_t keep = 0; keep < f.len; keep += 512) {
		struct tls_library *lib = NULL;
		struct err e = { "" };
		pid_t child = fork();
		int status;

		if (!child) {
			for (;;)
				if (ftruncate(f.fd, (off_t)keep) || ftruncate(f.fd, (off_t)f.len) ||
				    pwrite(f.fd, f.bytes, f.len, 0) < 0)
					_exit(1);
		}
		for (int i = 0; i < 20; i++) {
			if (!tls_library__read(f.fd, "shrinking", &lib, &e))
				tls_library__free(lib);
			else
				assert_true(e.text[0]);
			e.text[0] = '\0';
		}
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	unload(&f);
}

static void what_is_not_a_file_is_refused(void **state)
{
	struct tls_library *lib;
	struct err e;

	assert_int_equal(look_into("/dev/null", &lib, &e), -ENOEXEC);
	assert_int_equal(look_into("/tmp", &lib, &e), -ENOEXEC);
	assert_int_equal(look_into("/etc/passwd", &lib, &e), -ENOEXEC);
	assert_non_null(strstr(e.text, "/etc/passwd"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_library_that_was_cut_off_is_refused_with_a_reason),
		cmocka_unit_test(a_program_of_go_that_was_cut_off_is_refused_with_a_reason),
		cmocka_unit_test(headers_that_lie_do_not_lead_astray),
		cmocka_unit_test(bytes_changed_at_random_do_no_harm),
		cmocka_unit_test(code_changed_at_random_gives_other_places_or_the_plain_ones),
		cmocka_unit_test(a_table_of_go_that_lies_does_not_lead_astray),
		cmocka_unit_test(a_file_that_shrinks_while_it_is_read_is_a_short_read),
		cmocka_unit_test(what_is_not_a_file_is_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
