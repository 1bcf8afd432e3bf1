// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What it costs the kernel to prove the programs, which is most of what it takes to start. Oracle: the kernel's own
 * count of instructions walked.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/err.h"
#include "capture/loader.h"

/*
 * Thousands, of all programs and of one. It was 1450 and 153 (6.18), and half as much again on older kernels; a second
 * costs about 1500.
 */
#define ALL  2400
#define MOST 300

static void proving_all_programs_stays_within_its_budget(void **state)
{
	struct loader_options o = {
		.seed = 1, .endpoint_other = 1, .slots = 8, .have_clients = true, .watch_process = true, .tls = true
	};
	unsigned int n, all, most;
	struct err e = { "" };
	struct loader *l = loader__new(&o, &e);
	char text[256];

	if (!l)
		fail_msg("%s", e.text);
	loader__describe(l, text, sizeof(text));
	loader__free(l);
	if (sscanf(text, "%u loaded; the verifier walked %u instructions, at most %u", &n, &all, &most) != 3) {
		print_message("skipped: %s\n", text);
		skip();
	}
	if (all > ALL * 1000 || most > MOST * 1000)
		fail_msg("%s; the budget is %u and %u thousand (`tillwatch --verbose doctor` lists them)", text, ALL,
		         MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proving_all_programs_stays_within_its_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
