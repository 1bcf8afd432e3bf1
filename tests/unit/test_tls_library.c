/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS libraries found in real files. The oracles are the file's own makers' tools: nm and readelf say where functions
 * are, objdump (for arm64, which it may not know, llvm-objdump) what lies there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>

#include "own_dir.h"
#include "tls_files.h"

/* Where the loader would put the byte at that offset, by readelf. */
static uint64_t address_of(const char *path, uint64_t offset)
{
	char command[512], *text, *line;
	uint64_t addr = 0;

	snprintf(command, sizeof(command), "readelf -lW '%s' | grep ' LOAD .* R E '", path);
	text = output_of(command);
	assert_non_null(text);
	for (line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		uint64_t off, vaddr, paddr, size;

		assert_int_equal(
			sscanf(line, " LOAD %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &off, &vaddr, &paddr, &size),
			4);
		if (offset >= off && offset - off < size)
			addr = vaddr + offset - off;
	}
	free(text);
	assert_true(addr);
	return addr;
}

/* What nm says of the functions, dynamic symbols and others; the caller frees it. */
static char *functions_of(const char *path)
{
	char command[512], *text;

	snprintf(command, sizeof(command), "(nm -D '%s'; nm '%s') 2>/dev/null | grep -E ' [Tt] (SSL_|gnutls_)'; true",
	         path, path);
	text = output_of(command);
	assert_non_null(text);
	return text;
}

static bool nm_says(const char *functions, const char *name, uint64_t addr)
{
	char want[96];
	size_t len;

	for (const char *type = "Tt"; *type; type++) {
		const char *p;

		len = (size_t)snprintf(want, sizeof(want), "%016" PRIx64 " %c %s", addr, *type, name);
		p = strstr(functions, want);
		if (p && (p[len] == '\n' || p[len] == '@'))
			return true;
	}
	return false;
}

/* The instruction at `addr` when everything from `from` on is disassembled, without its operands; "" when none begins
 * there. */
static void disassembled(const char *path, bool arm64, uint64_t from, uint64_t addr, char *out, size_t len)
{
	char command[512], key[32], *text, *line;

	snprintf(command, sizeof(command),
	         "%s -d --no-show-raw-insn --start-address=0x%" PRIx64 " --stop-address=0x%" PRIx64 " '%s'",
	         arm64 ? "llvm-objdump" : "objdump", from, addr + 16, path);
	text = output_of(command);
	assert_non_null(text);
	snprintf(key, sizeof(key), "%" PRIx64 ":", addr);
	line = strstr(text, key);
	out[0] = '\0';
	if (line)
		sscanf(line + strlen(key), " %15s", out);
	assert_true(strlen(out) < len);
	free(text);
}

/* Every site is where the tools see the function and an instruction of that kind. */
static void agrees_with_the_tools(const char *path, const struct tls_library *lib, bool arm64)
{
	char *functions = functions_of(path);

	for (size_t i = 0; i < lib->n_sites; i++) {
		const struct tls_site *s = &lib->sites[i];
		const struct tls_where *w = &lib->where[i];
		uint64_t at = address_of(path, s->offset), function = at - w->distance;
		char insn[16];

		if (lib->kind != TLS_GO)
			assert_true(nm_says(functions, s->name, function));
		if (s->how == TLS_URETPROBE) {
			assert_int_equal(w->distance, 0);
			assert_int_equal(s->offset, lib->sites[i - 1].offset); /* looked at just now */
			continue;
		}
		disassembled(path, arm64, function, at, insn, sizeof(insn));
		if (strncmp(insn, w->insn, strlen(w->insn)))
			fail_msg("%s: %s + %#" PRIx64 " is '%s', not '%s'", path, s->name, w->distance, insn, w->insn);
	}
	free(functions);
}

static struct tls_library *expect(const char *path, enum tls_kind kind, const char *version, size_t at_least)
{
	struct tls_library *lib;
	struct err e;

	if (look_into(path, &lib, &e))
		fail_msg("%s: %s", path, e.text);
	assert_int_equal(lib->kind, kind);
	if (strncmp(lib->version, version, strlen(version)))
		fail_msg("%s: version '%s', not '%s'", path, lib->version, version);
	assert_true(lib->n_sites >= at_least);
	return lib;
}

static void is(const struct tls_library *lib, const char *name, int job, enum tls_how how, const char *insn)
{
	const struct tls_site *s = site_of(lib, name, job);

	if (!s)
		fail_msg("no site of %s", name);
	assert_int_equal(s->how, how);
	assert_string_equal(where_of(lib, name, job)->insn, insn);
}

static void reads_and_writes_at_two_emulated_jumps(const struct tls_library *lib)
{
	is(lib, "SSL_read", TLS_READ_IN, TLS_EMULATED, "js");
	is(lib, "SSL_read", TLS_READ_OUT, TLS_EMULATED, "jne");
	is(lib, "SSL_write", TLS_WRITE_IN, TLS_EMULATED, "js");
	is(lib, "SSL_write", TLS_WRITE_OUT, TLS_EMULATED, "jne");
	is(lib, "SSL_read_ex", TLS_READ_EX_IN, TLS_EMULATED, "call");
	is(lib, "SSL_write_ex", TLS_WRITE_EX_IN, TLS_EMULATED, "call");
	is(lib, "SSL_free", TLS_FREE_IN, TLS_EMULATED, "je");
	/* They only jump to SSL_do_handshake, which is watched; and peeking is not reading. */
	assert_null(site_of(lib, "SSL_accept", TLS_HANDSHAKE_IN));
	assert_null(site_of(lib, "SSL_connect", TLS_HANDSHAKE_IN));
	assert_non_null(site_of(lib, "SSL_do_handshake", TLS_HANDSHAKE_IN));
	assert_null(site_of(lib, "SSL_peek", TLS_READ_IN));
}

static void openssl_3_is_read_and_written_at_emulated_jumps(void **state)
{
	const char *path = HOST_LIB "libssl.so.3";
	struct tls_library *lib;

	NEED_FILE(path, "Debian's libssl3");
	lib = expect(path, TLS_OPENSSL, "OpenSSL 3", 18);
	reads_and_writes_at_two_emulated_jumps(lib);
	assert_non_null(site_of(lib, "SSL_sendfile", TLS_SENDFILE_IN));
	assert_int_equal(strlen(lib->build_id), 40);
	agrees_with_the_tools(path, lib, false);
	tls_library__free(lib);
}

static void the_switch_asks_for_first_bytes_or_for_no_place_inside(void **state)
{
	const char *path = HOST_LIB "libssl.so.3", *name = "TILLWATCH_TLS_PLACEMENT";
	struct tls_library *lib;
	struct err e;

	NEED_FILE(path, "Debian's libssl3");
	setenv(name, "functions", 1);
	lib = expect(path, TLS_OPENSSL, "OpenSSL 3", 18);
	reads_and_writes_at_two_emulated_jumps(lib);
	assert_int_equal(lib->n_inside, 0);
	tls_library__free(lib);
	setenv(name, "plain", 1);
	lib = expect(path, TLS_OPENSSL, "OpenSSL 3", 18);
	assert_int_equal(lib->n_inside, 0);
	for (size_t i = 0; i < lib->n_sites; i++)
		assert_int_equal(lib->where[i].distance, 0);
	assert_int_equal(site_of(lib, "SSL_read", TLS_READ_OUT)->how, TLS_URETPROBE);
	agrees_with_the_tools(path, lib, false);
	tls_library__free(lib);
	setenv(name, "nonsense", 1);
	assert_int_equal(look_into(path, &lib, &e), -EINVAL);
	assert_non_null(strstr(e.text, "nonsense"));
	unsetenv(name);
	lib = expect(path, TLS_OPENSSL, "OpenSSL 3", 18);
	assert_int_not_equal(lib->n_inside, 0);
	tls_library__free(lib);
}

static void openssl_1_1_too(void **state)
{
	const char *path = FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libssl.so.1.1";
	struct tls_library *lib;

	NEED_FOREIGN(path);
	lib = expect(path, TLS_OPENSSL, "OpenSSL 1.1.1", 16);
	reads_and_writes_at_two_emulated_jumps(lib);
	agrees_with_the_tools(path, lib, false);
	tls_library__free(lib);
}

static void boringssl_is_told_apart(void **state)
{
	const char *path = HOST_LIB "android/libssl.so.0";
	struct tls_library *lib;

	NEED_FILE(path, "Debian's android-libboringssl");
	lib = expect(path, TLS_BORINGSSL, "", 8);
	is(lib, "SSL_read", TLS_READ_IN, TLS_EMULATED, "push");
	is(lib, "SSL_write", TLS_WRITE_IN, TLS_EMULATED, "push");
	agrees_with_the_tools(path, lib, false);
	tls_library__free(lib);
}

static void gnutls_is_written_where_the_inner_function_is(void **state)
{
	const char *path = HOST_LIB "libgnutls.so.30";
	struct tls_library *lib;

	NEED_FILE(path, "Debian's libgnutls30");
	lib = expect(path, TLS_GNUTLS, "GnuTLS 3.", 9);
	is(lib, "gnutls_record_send2", TLS_WRITE_IN, TLS_EMULATED, "push");
	assert_null(site_of(lib, "gnutls_record_send", TLS_WRITE_IN));
	assert_non_null(site_of(lib, "gnutls_record_recv", TLS_READ_OUT));
	assert_non_null(site_of(lib, "gnutls_deinit", TLS_FREE_IN));
	assert_non_null(strstr(lib->note, "gnutls_record_recv_packet"));
	agrees_with_the_tools(path, lib, false);
	tls_library__free(lib);
}

static void node_has_one_built_in(void **state)
{
	struct tls_library *lib;

	NEED_FILE("/usr/bin/node", "Debian's nodejs");
	lib = expect("/usr/bin/node", TLS_OPENSSL, "", 0);
	if (!lib->n_sites) {
		printf("skipped: this node has no library of its own\n");
		tls_library__free(lib);
		skip();
	}
	assert_non_null(site_of(lib, "SSL_read", TLS_READ_OUT));
	assert_non_null(site_of(lib, "SSL_write", TLS_WRITE_IN));
	agrees_with_the_tools("/usr/bin/node", lib, false);
	tls_library__free(lib);
}

/* The number of returns that objdump sees in the function that ends where the table of Go says. */
static void every_return_is_a_site(const char *path, const struct tls_library *lib, const char *name, int in, int out)
{
	const struct tls_site *first = site_of(lib, name, in);
	uint64_t function = address_of(path, first->offset) - where_of(lib, name, in)->distance, last = 0;
	size_t sites = 0, seen = 0;
	char command[512], *text;

	for (size_t i = 0; i < lib->n_sites; i++)
		if (!strcmp(lib->sites[i].name, name) && lib->sites[i].job == out) {
			sites++;
			last = lib->where[i].distance;
		}
	/* Up to the padding behind the function: Go fills it with int3. */
	snprintf(command, sizeof(command),
	         "objdump -d --no-show-raw-insn --start-address=0x%" PRIx64 " --stop-address=0x%" PRIx64
	         " '%s' | sed '/\\tint3/q' | grep -cP '\\tret'",
	         function, function + last + 4096, path);
	text = output_of(command);
	assert_non_null(text);
	seen = strtoul(text, NULL, 10);
	free(text);
	assert_true(sites > 1);
	assert_int_equal(sites, seen);
}

static void go_program(const char *path)
{
	struct tls_library *lib = expect(path, TLS_GO, "go1.", 4);

	/* Where every path comes by, with the arguments in place. */
	assert_int_equal(site_of(lib, "crypto/tls.(*Conn).Read", TLS_GO_READ_IN)->how, TLS_EMULATED);
	assert_int_equal(site_of(lib, "crypto/tls.(*Conn).Write", TLS_GO_WRITE_IN)->how, TLS_EMULATED);
	for (size_t i = 0; i < lib->n_sites; i++)
		assert_int_not_equal(lib->sites[i].how, TLS_URETPROBE);
	every_return_is_a_site(path, lib, "crypto/tls.(*Conn).Read", TLS_GO_READ_IN, TLS_GO_READ_OUT);
	every_return_is_a_site(path, lib, "crypto/tls.(*Conn).Write", TLS_GO_WRITE_IN, TLS_GO_WRITE_OUT);
	agrees_with_the_tools(path, lib, false);
	tls_library__free(lib);
}

static void stripped_programs_of_go_are_read_at_every_return(void **state)
{
	NEED_FILE("/usr/bin/caddy", "Debian's caddy");
	go_program("/usr/bin/caddy");
	NEED_FILE("/usr/bin/prometheus", "Debian's prometheus");
	go_program("/usr/bin/prometheus");
}

static void arm64_is_read_with_its_own_instructions(void **state)
{
	const char *ssl = FOREIGN "bookworm-arm64/usr/lib/aarch64-linux-gnu/libssl.so.3";
	const char *go = FOREIGN "bookworm-arm64/usr/bin/prometheus";
	struct tls_library *lib;

	NEED_FOREIGN(ssl);
	NEED_FOREIGN(go);
	lib = expect(ssl, TLS_OPENSSL, "OpenSSL 3", 18);
	is(lib, "SSL_read", TLS_READ_IN, TLS_EMULATED, "adrp");
	is(lib, "SSL_read", TLS_READ_OUT, TLS_EMULATED, "ret");
	is(lib, "SSL_write", TLS_WRITE_OUT, TLS_EMULATED, "ret");
	is(lib, "SSL_read_ex", TLS_READ_EX_IN, TLS_EMULATED, "bl");
	assert_null(site_of(lib, "SSL_accept", TLS_HANDSHAKE_IN));
	agrees_with_the_tools(ssl, lib, true);
	tls_library__free(lib);
	lib = expect(go, TLS_GO, "go1.", 4);
	assert_int_equal(site_of(lib, "crypto/tls.(*Conn).Read", TLS_GO_READ_OUT)->how, TLS_EMULATED);
	agrees_with_the_tools(go, lib, true);
	tls_library__free(lib);
}

static const char client[] =
	"int SSL_read(), SSL_write(), SSL_accept(), SSL_connect(), SSL_new(), SSL_CTX_new(),"
	"TLS_method(), SSL_read_ex(), SSL_write_ex();\n"
	"int main(void) { return SSL_read() + SSL_write() + SSL_accept() + SSL_connect() + SSL_new() +"
	"SSL_CTX_new() + TLS_method() + SSL_read_ex() + SSL_write_ex(); }\n";

static void linked_statically_it_is_found_by_symbols_or_said_to_be_stripped(void **state)
{
	char path[64], command[256], *text;
	struct tls_library *lib;

	snprintf(path, sizeof(path), "%s/static", dir);
	NEED_FILE(HOST_LIB "libssl.a", "Debian's libssl-dev");
	assert_int_equal(build_file(dir, "static", client, "-static -lssl -lcrypto"), 0);
	lib = expect(path, TLS_OPENSSL, "", 17);
	is(lib, "SSL_read", TLS_READ_IN, TLS_EMULATED, "js");
	is(lib, "SSL_read", TLS_READ_OUT, TLS_EMULATED, "jne");
	assert_null(site_of(lib, "SSL_accept", TLS_HANDSHAKE_IN));
	agrees_with_the_tools(path, lib, false);
	tls_library__free(lib);
	snprintf(command, sizeof(command), "strip '%s'", path);
	text = output_of(command);
	assert_non_null(text);
	free(text);
	lib = expect(path, TLS_NONE, "", 0);
	assert_non_null(strstr(lib->note, "stripped"));
	assert_int_equal(lib->n_sites, 0);
	tls_library__free(lib);
}

static void a_program_that_calls_a_shared_one_has_none_of_its_own(void **state)
{
	struct tls_library *lib;
	char path[64];

	NEED_FILE(HOST_LIB "libssl.so", "Debian's libssl-dev");
	assert_int_equal(build_file(dir, "client", client, "-lssl -lcrypto"), 0);
	snprintf(path, sizeof(path), "%s/client", dir);
	lib = expect(path, TLS_NONE, "", 0);
	assert_string_equal(lib->note, "");
	tls_library__free(lib);
}

/* Small libraries with the names that tell. */
static void note_of(const char *source, const char *flags, const char *word)
{
	struct tls_library *lib;
	char path[64];

	assert_int_equal(build_file(dir, "small", source, flags), 0);
	snprintf(path, sizeof(path), "%s/small", dir);
	lib = expect(path, TLS_NONE, "", 0);
	if (!strstr(lib->note, word))
		fail_msg("the note is '%s'", lib->note);
	assert_int_equal(lib->n_sites, 0);
	tls_library__free(lib);
}

static void what_is_not_watched_is_named(void **state)
{
	note_of("int JNI_CreateJavaVM(void) { return 0; }", "-shared -fPIC", "Java");
	note_of("int SSL_ImportFD(void) { return 0; }", "-shared -fPIC", "NSS");
	note_of("int mbedtls_ssl_read(void) { return 0; }", "-shared -fPIC", "Mbed TLS");
	note_of("#include <stdio.h>\nint main(void) { return puts(\"/cargo/registry/rustls-0.21.7/src/conn.rs\"); }",
	        "", "rustls");
	note_of("int gnutls_record_recv(), gnutls_record_send();\nint SSL_read() { return gnutls_record_recv(); }\n"
	        "int SSL_write() { return gnutls_record_send(); }",
	        "-shared -fPIC", "GnuTLS");
	note_of("int main(void) { return 0; } __attribute__((section(\".go.buildinfo\"))) char b[64];", "",
	        "without its table");
}

/* The stack check fails in the middle of the function, not at its end. */
static const char checks[] =
	"int SSL_write(void) { return 1; }\n"
	"__asm__(\".globl SSL_read\\n.type SSL_read,@function\\nSSL_read: sub $8,%rsp\\n test %edx,%edx\\n js 2f\\n mov $1,%eax\\n\"\n"
	"\"1: cmp %rsp,%rbp\\n jne 3f\\n add $8,%rsp\\n ret\\n 3: call __stack_chk_fail@PLT\\n 2: mov $-1,%eax\\n jmp 1b\\n\"\n"
	"\".size SSL_read,.-SSL_read\\n\");\n";

static void the_stack_check_is_known_by_its_name_through_the_linkers_stub(void **state)
{
	struct tls_library *lib;
	char path[64];

	snprintf(path, sizeof(path), "%s/checks", dir);
	for (int i = 0; i < 3; i++) {
		static const char *const flags[] = { "-shared -fPIC", "-shared -fPIC -Wl,-z,now,-z,ibtplt",
			                             "-static-pie" };
		char source[2048];

		snprintf(source, sizeof(source), "%s%s", checks, i == 2 ? "int main(void) { return 0; }" : "");
		assert_int_equal(build_file(dir, "checks", source, flags[i]), 0);
		lib = expect(path, TLS_OPENSSL, "", 3);
		is(lib, "SSL_read", TLS_READ_OUT, TLS_EMULATED, "jne");
		agrees_with_the_tools(path, lib, false);
		tls_library__free(lib);
	}
}

static void a_program_for_another_machine_is_said_to_be_one(void **state)
{
	/* The head of a 32-bit file, and of one for RISC-V with nothing in it. */
	char head[64] = "\177ELF\1\1\1";
	struct tls_library *lib;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/head", dir);
	for (int i = 0; i < 2; i++) {
		f = fopen(path, "w");
		assert_non_null(f);
		fwrite(head, 1, sizeof(head), f);
		fclose(f);
		lib = expect(path, TLS_NONE, "", 0);
		if (!i)
			assert_non_null(strstr(lib->note, "64-bit"));
		tls_library__free(lib);
		head[4] = 2;
		head[18] = (char)243;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssl_3_is_read_and_written_at_emulated_jumps),
		cmocka_unit_test(the_switch_asks_for_first_bytes_or_for_no_place_inside),
		cmocka_unit_test(openssl_1_1_too),
		cmocka_unit_test(boringssl_is_told_apart),
		cmocka_unit_test(gnutls_is_written_where_the_inner_function_is),
		cmocka_unit_test(node_has_one_built_in),
		cmocka_unit_test(stripped_programs_of_go_are_read_at_every_return),
		cmocka_unit_test(arm64_is_read_with_its_own_instructions),
		cmocka_unit_test(linked_statically_it_is_found_by_symbols_or_said_to_be_stripped),
		cmocka_unit_test(a_program_that_calls_a_shared_one_has_none_of_its_own),
		cmocka_unit_test(what_is_not_watched_is_named),
		cmocka_unit_test(the_stack_check_is_known_by_its_name_through_the_linkers_stub),
		cmocka_unit_test(a_program_for_another_machine_is_said_to_be_one),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
