/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A directory for the files of a test program, from the beginning of its group of tests to the end. */
#ifndef TW_TESTS_OWN_DIR_H
#define TW_TESTS_OWN_DIR_H

#include <stdio.h>
#include <stdlib.h>

static char dir[] = "/tmp/tw-unit-XXXXXX";

static inline int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static inline int remove_dir(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	return system(command);
}

#endif
