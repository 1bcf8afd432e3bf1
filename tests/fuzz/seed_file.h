/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files that a program of seeds writes. */
#ifndef TW_FUZZ_SEED_FILE_H
#define TW_FUZZ_SEED_FILE_H

#include <stdio.h>
#include <stdlib.h>

static inline FILE *seed_file(const char *dir, const char *name)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

#endif
