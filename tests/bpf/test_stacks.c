// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whose stack a program has. Oracle: the machine code that the kernel has made of it. Where it takes a stack of the
 * CPU's it begins so on x86-64: `movabs $stack,%r9; add %gs:this_cpu_off,%r9`.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "capture/loader_state.h"

static const uint8_t of_the_cpu[] = { 0x65, 0x4c, 0x03, 0x0c, 0x25 };

/* Does it take a stack of the CPU's, in any of its functions? -1: the kernel does not show its code. */
static int shares_stack(const struct program *p, uint32_t *type)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info), size;
	void *code;
	int yes = -1;

	assert_return_code(bpf_obj_get_info_by_fd(p->fd, &info, &len), 0);
	*type = info.type;
	size = info.jited_prog_len;
	code = malloc(size + 1);
	assert_non_null(code);
	info = (struct bpf_prog_info){ .jited_prog_len = size, .jited_prog_insns = (uintptr_t)code };
	len = sizeof(info);
	assert_return_code(bpf_obj_get_info_by_fd(p->fd, &info, &len), 0);
	if (size && info.jited_prog_insns)
		yes = !!memmem(code, size, of_the_cpu, sizeof(of_the_cpu));
	free(code);
	return yes;
}

/* Nothing keeps two threads from being inside one of these programs on one CPU: each must have a stack of its own. */
static void no_program_in_a_tls_library_shares_its_stack_with_another_thread(void **state)
{
	struct loader_options o = {
		.seed = 1, .endpoint_other = 1, .slots = 8, .have_clients = true, .watch_process = true, .tls = true
	};
	unsigned int others = 0, looked_at = 0;
	struct err e = { "" };
	struct loader *l = loader__new(&o, &e);

	if (!l)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < l->programs.n; i++) {
		const struct program *p = &l->programs.p[i];
		uint32_t type;
		int shares = shares_stack(p, &type);

		if (type != BPF_PROG_TYPE_KPROBE) {
			others += shares > 0;
			continue;
		}
		looked_at += shares >= 0;
		if (shares > 0)
			fail_msg("%s has a stack of the CPU's", p->name);
	}
	loader__free(l);
	/* Those of tracepoints have such, and may: the kernel keeps a second thread out of them. */
	if (!looked_at || !others) {
		print_message("skipped: this kernel gives no program a stack of the CPU's, or does not show it\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_program_in_a_tls_library_shares_its_stack_with_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
