/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For targets that drive parts which speak to people: what these say goes nowhere, and what is found is still told. */
#ifndef TW_FUZZ_QUIET_H
#define TW_FUZZ_QUIET_H

#include <stdio.h>
#include <stdlib.h>

static FILE *loud;

static inline void fail(const char *what)
{
	fprintf(loud, "%s\n", what);
	abort();
}

/* From now on standard error is /dev/null; *out too, unless it is NULL. */
static inline void hush(FILE **out)
{
	FILE *nowhere = fopen("/dev/null", "w");

	loud = stderr;
	if (!nowhere)
		fail("no /dev/null");
	stderr = nowhere;
	if (out)
		*out = nowhere;
}

#endif
