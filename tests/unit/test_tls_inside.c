/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading watched inside the library: where in real ones, by objdump's text of the place, and what is refused, by a
 * library made like them (tls_inside.S) that is wrong in one respect at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "dice.h"
#include "tls_files.h"

#define FLIPS 400

static char dir[] = "/tmp/tw-inside-XXXXXX";
static char file[sizeof(dir) + 16];

static int make_dir(void **state)
{
	snprintf(file, sizeof(file), "%s/lib.so", mkdtemp(dir) ? dir : "");
	return !dir[0];
}

static int remove_dir(void **state)
{
	unlink(file);
	return rmdir(dir);
}

/* The library of tls_inside.S, wrong in the ways that are named ("A=1,B=1"). */
static struct tls_library *built(const char *wrong)
{
	struct tls_library *lib;
	char command[512];
	struct err e;

	snprintf(command, sizeof(command),
	         "gcc -shared -nostdlib -Wl,-z,noexecstack %s%s -o %s -x assembler tests/unit/tls_inside.S",
	         *wrong ? "-Wa,--defsym," : "", wrong, file);
	assert_int_equal(system(command), 0);
	assert_int_equal(look_into(file, &lib, &e), 0);
	assert_int_equal(lib->kind, TLS_OPENSSL);
	return lib;
}

static size_t n_read_at(const struct tls_library *lib)
{
	size_t n = 0;

	for (size_t i = 0; i < lib->n_inside; i++)
		n += lib->inside[i].job == TLS_READ_AT;
	return n;
}

static void is_refused(const char *wrong)
{
	struct tls_library *lib = built(wrong);

	if (lib->n_inside)
		fail_msg("%s: places inside were found", wrong);
	assert_non_null(lib->outside);
	assert_non_null(site_of(lib, "SSL_read", TLS_READ_IN));
	assert_non_null(site_of(lib, "SSL_read", TLS_READ_OUT));
	tls_library__free(lib);
}

static uint64_t symbol(const char *name)
{
	char command[256], *text;
	uint64_t addr;

	snprintf(command, sizeof(command), "nm %s | grep ' %s$'", file, name);
	text = output_of(command);
	assert_non_null(text);
	addr = strtoull(text, NULL, 16);
	free(text);
	return addr;
}

static void the_made_library_is_watched_where_its_labels_say(void **state)
{
	struct tls_library *lib = built("");

	assert_null(lib->outside);
	assert_int_equal(n_read_at(lib), 2);
	assert_int_equal(lib->inside[0].offset, symbol("place_first"));
	assert_int_equal(lib->inside[1].offset, symbol("place_second"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(lib->inside[i].how, TLS_EMULATED);
		/* rbx, rbp, r14; r13 is the flag */
		assert_int_equal(lib->inside[i].where, TLS_WHERE(0, 1, 4, 3));
	}
	tls_library__free(lib);
}

static void the_two_lists_differ_in_reading_only(void **state)
{
	struct tls_library *lib = built("");
	const struct tls_site *in, *out;
	size_t n_in, n_out;

	in = tls_library__sites(lib, true, &n_in);
	out = tls_library__sites(lib, false, &n_out);
	assert_ptr_not_equal(in, out);
	for (size_t i = 0; i < n_in; i++) {
		bool found = in[i].job == TLS_READ_AT;

		assert_true(in[i].job != TLS_READ_IN && in[i].job != TLS_READ_EX_IN);
		for (size_t j = 0; j < n_out; j++)
			found = found || !memcmp(&in[i], &out[j], sizeof(in[i]));
		assert_true(found);
	}
	for (size_t j = 0; j < n_out; j++) {
		bool found = !strncmp(out[j].name, "SSL_read", 8);

		assert_true(out[j].job != TLS_READ_AT);
		for (size_t i = 0; i < n_in; i++)
			found = found || !memcmp(&in[i], &out[j], sizeof(in[i]));
		assert_true(found);
	}
	tls_library__free(lib);
}

static void a_register_that_was_spilled_and_is_back_will_do(void **state)
{
	struct tls_library *lib = built("KEPT_ON_THE_STACK=1");

	assert_int_equal(n_read_at(lib), 2);
	tls_library__free(lib);
}

static void arguments_that_are_not_there_on_every_path_are_refused(void **state)
{
	is_refused("SPOILT_ON_ONE_PATH=1");
	is_refused("HALF_BUFFER=1");
	is_refused("KEPT_WHERE_OTHERS_WRITE=1");
	is_refused("KEPT_AND_WRITTEN_OVER=1");
}

static void a_path_without_a_place_is_refused(void **state)
{
	is_refused("RETURNS_EARLY=1");
	is_refused("JUMPS_ANYWHERE=1");
}

static void a_result_that_may_be_another_when_it_is_returned_is_refused(void **state)
{
	is_refused("AGAIN_IF_READ=1");
	is_refused("AGAIN_IF_SOME=1");
	is_refused("RESULT_BEHIND=1");
}

static void bytes_that_may_be_counted_later_are_refused(void **state)
{
	is_refused("COUNTS_BEHIND=1");
	is_refused("CALLS_BEHIND=1");
}

static void tables_that_differ_are_refused(void **state)
{
	is_refused("KNOWN_TABLE_DIFFERS=1");
	is_refused("HIDDEN_TABLE_DIFFERS=1");
	is_refused("FIELD_DIFFERS=1");
}

static void a_look_that_cannot_be_told_from_a_read_is_refused(void **state)
{
	is_refused("PEEK_IS_READ=1");
	is_refused("PEEK_CALLS=1");
}

static void bytes_that_may_come_another_way_are_refused(void **state)
{
	is_refused("READ_POSITIVE=1");
	is_refused("READ_HALF_SESSION=1");
	is_refused("EX_OTHER_WAY=1");
	is_refused("EARLY_READS_ITSELF=1");
	is_refused("WAY_SPOILT=1");
	is_refused("ASYNC_ELSEWHERE=1");
}

/* ---- real libraries -----------------------------------------------------------------------------------------------
 */

/* objdump's first two lines from an address on; the caller frees them. */
static char *lines_at(const char *path, uint64_t addr)
{
	char command[512];

	snprintf(command, sizeof(command),
	         "objdump -d --no-show-raw-insn --start-address=%#llx --stop-address=%#llx %s"
	         " | grep -P '^ +[0-9a-f]+:\\t' | head -2",
	         (unsigned long long)addr, (unsigned long long)addr + 11, path);
	return output_of(command);
}

/* base: what code is further in memory than in the file. */
static void check_real(const char *path, uint64_t base)
{
	struct tls_library *lib;
	char *first, *second;
	struct err e;

	assert_int_equal(look_into(path, &lib, &e), 0);
	assert_null(lib->outside);
	assert_int_equal(n_read_at(lib), 2);
	/* The result is compared with -1, to read again after a handshake; that has it in the end, too. */
	first = lines_at(path, base + lib->inside[0].offset - strlen("\x83\xf8\xff"));
	assert_non_null(first);
	assert_non_null(strstr(first, "cmp    $0xffffffff,%eax"));
	assert_non_null(strstr(first, "\tje "));
	second = lines_at(path, base + lib->inside[1].offset);
	assert_non_null(second);
	assert_non_null(strstr(second, "\tjmp "));
	free(first);
	free(second);
	for (size_t i = 0; i < lib->n_inside; i++)
		assert_true(strncmp(lib->inside[i].name, "SSL_read", 8) || lib->inside[i].job == TLS_READ_AT);
	tls_library__free(lib);
}

static void debians_openssl_3_is_watched_inside(void **state)
{
	NEED_FILE(HOST_LIB "libssl.so.3", "libssl3");
	check_real(HOST_LIB "libssl.so.3", 0);
}

static void debians_openssl_1_1_is_watched_inside(void **state)
{
	NEED_FOREIGN(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libssl.so.1.1");
	check_real(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libssl.so.1.1", 0);
}

static void debians_openssl_3_5_is_watched_inside(void **state)
{
	NEED_FOREIGN(FOREIGN "trixie-amd64/usr/lib/x86_64-linux-gnu/libssl.so.3");
	check_real(FOREIGN "trixie-amd64/usr/lib/x86_64-linux-gnu/libssl.so.3", 0);
}

/* Linked to an address, with its tables in constant data. */
static void nodes_openssl_is_watched_inside(void **state)
{
	NEED_FILE("/usr/bin/node", "nodejs");
	check_real("/usr/bin/node", 0x400000);
}

static void boringssl_is_watched_at_its_functions(void **state)
{
	struct tls_library *lib;
	struct err e;

	NEED_FILE(HOST_LIB "android/libssl.so.0", "Debian's android-libboringssl");
	assert_int_equal(look_into(HOST_LIB "android/libssl.so.0", &lib, &e), 0);
	assert_int_equal(lib->kind, TLS_BORINGSSL);
	assert_int_equal(lib->n_inside, 0);
	tls_library__free(lib);
}

/* ---- damage -------------------------------------------------------------------------------------------------------
 */

static void look_at_bytes(const uint8_t *bytes, size_t len)
{
	FILE *f = fopen(file, "w");
	struct tls_library *lib;
	struct err e;

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	fclose(f);
	if (look_into(file, &lib, &e))
		assert_true(strlen(e.text) > 0);
	tls_library__free(lib);
}

static void damaged_code_and_tables_are_looked_at_and_survived(void **state)
{
	struct dice d = { 5 };
	struct stat st;
	uint8_t *bytes;
	FILE *f;

	tls_library__free(built(""));
	assert_int_equal(stat(file, &st), 0);
	bytes = malloc((size_t)st.st_size);
	f = fopen(file, "r");
	assert_non_null(bytes);
	assert_non_null(f);
	assert_int_equal(fread(bytes, 1, (size_t)st.st_size, f), st.st_size);
	fclose(f);
	for (int i = 0; i < FLIPS; i++) {
		/* Mostly in the code, which is small. */
		size_t at = i % 2 ? 0x1000 + dice_below(&d, 0x300) : dice_below(&d, (uint32_t)st.st_size);
		uint8_t was = bytes[at];

		bytes[at] ^= (uint8_t)(1u << dice_below(&d, 8));
		look_at_bytes(bytes, (size_t)st.st_size);
		bytes[at] = was;
	}
	for (size_t len = 0; len < (size_t)st.st_size; len += 97)
		look_at_bytes(bytes, len);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_made_library_is_watched_where_its_labels_say),
		cmocka_unit_test(the_two_lists_differ_in_reading_only),
		cmocka_unit_test(a_register_that_was_spilled_and_is_back_will_do),
		cmocka_unit_test(arguments_that_are_not_there_on_every_path_are_refused),
		cmocka_unit_test(a_path_without_a_place_is_refused),
		cmocka_unit_test(a_result_that_may_be_another_when_it_is_returned_is_refused),
		cmocka_unit_test(bytes_that_may_be_counted_later_are_refused),
		cmocka_unit_test(tables_that_differ_are_refused),
		cmocka_unit_test(a_look_that_cannot_be_told_from_a_read_is_refused),
		cmocka_unit_test(bytes_that_may_come_another_way_are_refused),
		cmocka_unit_test(debians_openssl_3_is_watched_inside),
		cmocka_unit_test(debians_openssl_1_1_is_watched_inside),
		cmocka_unit_test(debians_openssl_3_5_is_watched_inside),
		cmocka_unit_test(nodes_openssl_is_watched_inside),
		cmocka_unit_test(boringssl_is_watched_at_its_functions),
		cmocka_unit_test(damaged_code_and_tables_are_looked_at_and_survived),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
