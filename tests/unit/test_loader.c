// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture model base
 *
 * A kernel that refuses a program although its trial passed is played here: libbpf's function that loads an
 * object is replaced by one that fails while that program is switched on. So is one that has no coarse clock: the
 * function that asks for its resolution is replaced. Everything else is this machine's kernel.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/libbpf.h>

#include "capture/features.h"
#include "capture/loader.h"
#include "tillwatch.skel.h"

static const char *refused[4];
static int loads;
static uint32_t jiffy_ns; /* that the latest programs were loaded with */

static bool no_coarse_clock;
static const long coarse_ns = 10000000; /* of a kernel with 100 ticks a second */

int clock_getres(clockid_t clock, struct timespec *t)
{
	if (clock != CLOCK_MONOTONIC_COARSE || no_coarse_clock) {
		errno = EINVAL;
		return -1;
	}
	*t = (struct timespec){ .tv_nsec = coarse_ns };
	return 0;
}

static void note_jiffy(const struct bpf_object_skeleton *s)
{
	const struct tillwatch_bpf__bss *bss;

	if (strcmp(s->name, "tillwatch_bpf"))
		return;
	for (int i = 0; i < s->map_cnt; i++)
		if (strstr(s->maps[i].name, ".bss")) {
			bss = *s->maps[i].mmaped;
			jiffy_ns = bss->jiffy_ns;
		}
}

int bpf_object__load_skeleton(struct bpf_object_skeleton *s)
{
	static int (*real)(struct bpf_object_skeleton *);

	loads++;
	note_jiffy(s);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "bpf_object__load_skeleton");
	return real(s);
}

/* By several threads at once. */
int bpf_object__load(struct bpf_object *o)
{
	int (*real)(struct bpf_object *);
	struct bpf_program *p;

	bpf_object__for_each_program (p, o)
		for (int k = 0; k < 4 && refused[k]; k++)
			if (!strcmp(bpf_program__name(p), refused[k]) && bpf_program__autoload(p))
				return -EINVAL;
	*(void **)&real = dlsym(RTLD_NEXT, "bpf_object__load");
	return real(o);
}

static struct loader *load_without(const char *first, const char *second, struct err *e)
{
	struct loader_options o = { .seed = 1, .endpoint_other = 1, .slots = 8 };

	refused[0] = first;
	refused[1] = second;
	loads = 0;
	log_threshold = LOG_ERROR;
	return loader__new(&o, e);
}

static void need_features(void)
{
	struct err e = { "" };

	if (features__required(&e)) {
		print_message("skipped: %s\n", e.text);
		skip();
	}
}

static void only_what_is_refused_is_switched_off(void **state)
{
	const struct feature_state *f = features__try();
	struct feature_state before[FEATURE_NR];
	struct err e = { "" };
	struct loader *l;

	memcpy(before, f, sizeof(before));
	if (!f[FEATURE_FORK].ok || !f[FEATURE_EXIT].ok) {
		print_message("skipped: this kernel does not tell of processes that begin and end\n");
		skip();
	}
	need_features();
	l = load_without("tw_fork", "tw_exit", &e);
	assert_non_null(l);
	assert_string_equal(e.text, "");
	for (int i = 0; i < FEATURE_NR; i++) {
		bool was_refused = i == FEATURE_FORK || i == FEATURE_EXIT;

		assert_int_equal(f[i].ok, before[i].ok && !was_refused);
		assert_int_equal(f[i].error, was_refused ? EINVAL : before[i].error);
	}
	loader__free(l);
	/* Known from now on: the next load does not try again. */
	l = load_without("tw_fork", "tw_exit", &e);
	assert_non_null(l);
	assert_int_equal(loads, 1);
	loader__free(l);
}

static void refused_packet_programs_are_an_error_that_says_so(void **state)
{
	struct err e = { "" };
	struct loader *l;

	need_features();
	features__try();
	l = load_without("tw_ingress", NULL, &e);
	assert_null(l);
	assert_non_null(strstr(e.text, "refuses the programs"));
	assert_int_equal(loads, 2);
}

static void without_a_coarse_clock_a_jiffy_has_no_length(void **state)
{
	struct err e = { "" };

	need_features();
	for (int i = 0; i < 2; i++) {
		struct loader *l;

		no_coarse_clock = i;
		jiffy_ns = 12345;
		l = load_without(NULL, NULL, &e);
		assert_non_null(l);
		assert_int_equal(jiffy_ns, no_coarse_clock ? 0 : coarse_ns);
		loader__free(l);
	}
	no_coarse_clock = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_packet_programs_are_an_error_that_says_so),
		cmocka_unit_test(without_a_coarse_clock_a_jiffy_has_no_length),
		cmocka_unit_test(only_what_is_refused_is_switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
