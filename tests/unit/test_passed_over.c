// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture model base
 *
 * Which kernel this is, and how often it has passed over a program, is played here: the functions that ask for it are
 * replaced. That a program was passed over is made so by taking it away. Everything else is this machine's kernel.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "capture/loader_state.h"
#include "capture/passed_over.h"

static const char *release;
static struct {
	const char *name;
	uint64_t n;
} misses[4];
static bool is_not_told;

/* From now on the kernel says that it has passed over this program so many times. */
static void has_missed(const char *program, uint64_t n)
{
	size_t i = 0;

	while (misses[i].name && strcmp(misses[i].name, program)) {
		i++;
		assert_true(i < sizeof(misses) / sizeof(*misses));
	}
	misses[i].name = program;
	misses[i].n = n;
}

int uname(struct utsname *u)
{
	*u = (struct utsname){ .sysname = "Linux" };
	snprintf(u->release, sizeof(u->release), "%s", release);
	return 0;
}

int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *len)
{
	struct bpf_prog_info *p = info;
	int (*real)(int, void *, __u32 *), err;

	*(void **)&real = dlsym(RTLD_NEXT, "bpf_obj_get_info_by_fd");
	err = real(fd, info, len);
	if (err || *len < sizeof(*p))
		return err;
	if (is_not_told)
		*len = offsetof(struct bpf_prog_info, recursion_misses);
	p->recursion_misses = 0;
	for (int i = 0; i < 4 && misses[i].name; i++)
		/* The kernel keeps 15 characters. */
		if (!strncmp(p->name, misses[i].name, sizeof(p->name) - 1))
			p->recursion_misses = misses[i].n;
	return 0;
}

static struct loader *loaded(const char *kernel)
{
	struct loader_options o = { .seed = 1, .endpoint_other = 1, .slots = 8 };
	struct err e = { "" };
	struct loader *l;

	release = kernel;
	is_not_told = false;
	memset(misses, 0, sizeof(misses));
	log_threshold = LOG_ERROR;
	if (features__required(&e)) {
		print_message("skipped: %s\n", e.text);
		skip();
	}
	if (!features__try()[FEATURE_READ].ok) {
		print_message("skipped: this kernel's tracepoints cannot ask a socket what it carries\n");
		skip();
	}
	l = loader__new(&o, &e);
	assert_string_equal(e.text, "");
	assert_non_null(l);
	return l;
}

/* A connection that is opened, read from, and closed by both. */
static void talk(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int s = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), d;
	socklen_t len = sizeof(a);
	char b;

	assert_return_code(bind(s, (struct sockaddr *)&a, len), 0);
	assert_return_code(listen(s, 1), 0);
	assert_return_code(getsockname(s, (struct sockaddr *)&a, &len), 0);
	assert_return_code(connect(c, (struct sockaddr *)&a, len), 0);
	d = accept(s, NULL, NULL);
	assert_int_equal(write(c, "x", 1), 1);
	assert_int_equal(read(d, &b, 1), 1);
	close(c);
	assert_int_equal(read(d, &b, 1), 0);
	close(d);
	close(s);
}

static uint64_t good(const struct loader *l, enum tw_twice what)
{
	return l->skel->bss->made_good[what];
}

static void only_from_7_0_on_are_there_second_programs(void **state)
{
	static const struct {
		const char *release;
		bool second;
	} kernels[] = {
		{ "6.19.3", false },
		{ "strange", false },
		{ "7.0.0-rc1", true },
		{ "10.1.0", true },
	};

	for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++) {
		struct loader *l = loaded(kernels[i].release);

		for (int k = 0; k < TW_TWICE_NR; k++)
			assert_int_equal(l->second[k] > 0, kernels[i].second);
		loader__free(l);
	}
}

static void the_second_program_has_nothing_to_do_where_the_first_has_run(void **state)
{
	struct loader *l = loaded("7.2.13");

	for (int i = 0; i < 100; i++)
		talk();
	for (int k = 0; k < TW_TWICE_NR; k++)
		assert_int_equal(good(l, k), 0);
	loader__free(l);
}

static void the_second_program_makes_good_what_the_first_was_passed_over_for(void **state)
{
	static const enum feature first[TW_TWICE_NR] = { FEATURE_READ, FEATURE_DESTROY, FEATURE_FAIL };
	struct loader *l = loaded("7.2.13");

	for (int k = 0; k < TW_TWICE_NR; k++) {
		talk();
		assert_int_equal(good(l, k), 0);
		close(l->hooks[first[k]]);
		l->hooks[first[k]] = 0;
		talk();
		assert_true(good(l, k) > 0);
	}
	loader__free(l);
}

static void what_was_made_good_is_not_missed(void **state)
{
	struct loader *l = loaded("7.2.13");
	struct passed_over p;

	has_missed("tw_read", 5);
	has_missed("tw_destroy", 3);
	has_missed("tw_fail", 7);
	has_missed("tw_fork", 2);
	l->skel->bss->made_good[TW_TWICE_READ] = 4;
	l->skel->bss->made_good[TW_TWICE_END] = 3;
	l->skel->bss->made_good[TW_TWICE_FAIL] = 6;
	passed_over__read(l, &p);
	assert_true(p.known);
	assert_int_equal(p.reads, 1);
	assert_int_equal(p.ends, 0);
	assert_int_equal(p.others, 1 + 2);
	assert_int_equal(passed_over_lost(&p), 1);
	/* One may be made good late; what was told stays so. */
	l->skel->bss->made_good[TW_TWICE_READ] = 5;
	passed_over__read(l, &p);
	assert_int_equal(p.reads, 1);
	has_missed("tw_read", 8);
	passed_over__read(l, &p);
	assert_int_equal(p.reads, 4);
	/* Nor does what the second has counted too much hide what is missed later. */
	l->skel->bss->made_good[TW_TWICE_READ] += 100;
	passed_over__read(l, &p);
	has_missed("tw_read", 9);
	passed_over__read(l, &p);
	assert_int_equal(p.reads, 5);
	loader__free(l);
}

static void a_kernel_that_does_not_tell_leaves_it_unknown(void **state)
{
	struct loader *l = loaded("5.10.0");
	struct passed_over p;

	has_missed("tw_read", 5);
	is_not_told = true;
	passed_over__read(l, &p);
	assert_false(p.known);
	assert_int_equal(passed_over_lost(&p), 0);
	is_not_told = false;
	passed_over__read(l, &p);
	assert_true(p.known);
	assert_int_equal(p.reads, 5);
	loader__free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_from_7_0_on_are_there_second_programs),
		cmocka_unit_test(the_second_program_has_nothing_to_do_where_the_first_has_run),
		cmocka_unit_test(the_second_program_makes_good_what_the_first_was_passed_over_for),
		cmocka_unit_test(what_was_made_good_is_not_missed),
		cmocka_unit_test(a_kernel_that_does_not_tell_leaves_it_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
