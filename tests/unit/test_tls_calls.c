/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sites in real libraries, against the processor: a child speaks TLS with itself through a pair of buffers, its
 * parent steps through every call and looks at the sites.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <link.h>

#include "stepper.h"
#include "tls_files.h"
#include "tls_speak.h"

#define BULK (6 * RECORD) /* more than the buffer between the two holds */

static char bulk[BULK];

/* What is called, in this order, and what it is known to return. */
static const struct step {
	const char *name;
	int returns;
} steps[] = {
	{ "SSL_read", -1 },                        /* nothing there yet */
	{ "SSL_write", 5 },     { "SSL_read", 3 }, /* a part of it */
	{ "SSL_read", 2 },                         /* the rest */
	{ "SSL_read", -1 },                        /* a size below zero: leaves early */
	{ "SSL_write", -1 },    { "SSL_read_ex", 0 }, { "SSL_write_ex", 1 },
	{ "SSL_read_ex", 1 },   { "SSL_write", -1 },                     /* more than the buffer holds */
	{ "SSL_write", -1 },                                             /* and again, as one must */
	{ "SSL_read", RECORD }, { "SSL_free", 0 },    { "SSL_free", 0 }, /* of NULL */
};
#define N_STEPS (sizeof(steps) / sizeof(*steps))

#define READ(s, b, n)  STEPPED_CALL(got = a->read(s, b, n))
#define WRITE(s, b, n) STEPPED_CALL(got = a->write(s, b, n))

/* In the child. What it reads is compared here: the library must not notice that it is watched. */
static void speak(const struct tls_api *a)
{
	struct tls_pair p;
	size_t n = 0;
	int got = 0;

	if (tls_pair(a, &p))
		_exit(2);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	READ(p.server, bulk, 100);
	WRITE(p.client, "hello", 5);
	READ(p.server, bulk, 3);
	READ(p.server, bulk + 3, 100);
	if (got != 2 || memcmp(bulk, "hello", 5))
		_exit(3);
	READ(p.server, bulk, -1);
	WRITE(p.client, bulk, -1);
	STEPPED_CALL(got = a->read_ex(p.server, bulk, 100, &n));
	STEPPED_CALL(got = a->write_ex(p.client, "abc", 3, &n));
	STEPPED_CALL(got = a->read_ex(p.server, bulk, 100, &n));
	if (got != 1 || n != 3 || memcmp(bulk, "abc", 3))
		_exit(4);
	WRITE(p.client, bulk, BULK);
	WRITE(p.client, bulk, BULK);
	READ(p.server, bulk, BULK);
	STEPPED_CALL(a->free(p.client));
	STEPPED_CALL(a->free(NULL));
	_exit(0);
}

/* The spots of one function: first those for its arguments, then those for its result. */
static unsigned spots_of(const struct tls_library *lib, const char *name, uint64_t addr, struct stepped *s)
{
	unsigned n_in = 0;

	s->n_spots = 0;
	for (int out = 0; out < 2; out++)
		for (size_t i = 0; i < lib->n_sites; i++) {
			int job = lib->sites[i].job;
			int is_out = job == TLS_READ_OUT || job == TLS_READ_EX_OUT || job == TLS_WRITE_OUT ||
			             job == TLS_WRITE_EX_OUT;

			if (strcmp(lib->sites[i].name, name) || is_out != out || lib->sites[i].how == TLS_URETPROBE)
				continue;
			s->spots[s->n_spots++].addr = addr + lib->where[i].distance;
			n_in += !out;
		}
	return n_in;
}

static void check(const struct step *step, const struct stepped *s, unsigned n_in)
{
	const struct user_regs_struct *in = &s->spots[0].regs, *entry = &s->entry;
	unsigned results = 0;

	assert_int_equal(n_in, 1);
	assert_int_equal(s->spots[0].passed, 1);
	assert_int_equal(in->rdi, entry->rdi);
	if (!strcmp(step->name, "SSL_free")) {
		assert_int_equal(s->n_spots, 1);
		return;
	}
	assert_int_equal(in->rsi, entry->rsi);
	assert_int_equal((uint32_t)in->rdx, (uint32_t)entry->rdx);
	if (strstr(step->name, "_ex")) {
		assert_int_equal(in->rdx, entry->rdx);
		assert_int_equal(in->rcx, entry->rcx);
	}
	assert_int_equal((int)s->back.rax, step->returns);
	assert_true(s->n_spots > 1);
	for (unsigned i = 1; i < s->n_spots; i++) {
		results += s->spots[i].passed;
		if (s->spots[i].passed)
			assert_int_equal((int)s->spots[i].regs.rax, step->returns);
	}
	assert_int_equal(results, 1);
}

static void step_through(void *h, void *crypto)
{
	struct tls_library *lib;
	struct link_map *map;
	struct tls_api api;
	int status = 0;
	pid_t child;
	struct err e;

	assert_int_equal(dlinfo(h, RTLD_DI_LINKMAP, &map), 0);
	assert_int_equal(look_into(map->l_name, &lib, &e), 0);
	assert_true(tls_api(h, crypto, &api));
	child = fork();
	if (!child)
		speak(&api);
	for (size_t i = 0; i < N_STEPS; i++) {
		uint64_t addr = (uint64_t)dlsym(h, steps[i].name);
		unsigned n_in;
		struct stepped s = { .n_spots = 0 };

		n_in = spots_of(lib, steps[i].name, addr, &s);
		if (!i) {
			assert_int_equal(waitpid(child, &status, 0), child);
			assert_true(WIFSTOPPED(status));
		} else {
			assert_true(stepper_next(child, &status));
		}
		assert_true(stepper_call(child, addr, &s));
		check(&steps[i], &s, n_in);
	}
	assert_false(stepper_next(child, &status));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	tls_library__free(lib);
}

static void openssl_3_has_arguments_and_results_where_its_sites_are(void **state)
{
	void *h = dlopen("libssl.so.3", RTLD_NOW), *crypto = dlopen("libcrypto.so.3", RTLD_NOW);

	if (!h || !crypto) {
		printf("skipped: %s\n", dlerror());
		skip();
	}
	step_through(h, crypto);
}

static void openssl_1_1_too(void **state)
{
	static const char path[] = FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/";
	void *h, *crypto;

	NEED_FOREIGN(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libssl.so.1.1");
	crypto = dlopen(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libcrypto.so.1.1", RTLD_NOW);
	h = crypto ? dlopen(FOREIGN "bullseye-amd64/usr/lib/x86_64-linux-gnu/libssl.so.1.1", RTLD_NOW) : NULL;
	if (!h) {
		printf("skipped: %s cannot be loaded: %s\n", path, dlerror());
		skip();
	}
	step_through(h, crypto);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssl_3_has_arguments_and_results_where_its_sites_are),
		cmocka_unit_test(openssl_1_1_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
