/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Go's table of functions, as Go 1.16 to 1.17, 1.18 to 1.19 and 1.20 and later write it (runtime.pcHeader). */
#ifndef TW_TLS_GOTABLE_H
#define TW_TLS_GOTABLE_H

#include "tls/image.h"

struct gotable {
	const struct image *img;
	uint64_t at, size;         /* the table, in the file */
	uint64_t names, names_len; /* of functions, from the table's start */
	uint64_t functions, count; /* pairs of (where its code begins, where it is described) */
	uint64_t text;             /* what the code's places count from */
	unsigned word;             /* bytes of each of a pair */
	unsigned since;            /* 16, 18 or 20: Go 1.x writes it like that */
};

struct gofunction {
	uint64_t addr, size; /* to the next function, padding included; addr 0: the program does not have it */
};

/*
 * Reads the header. 0; -ENODATA: no table; -ENOTSUP: a table of another version; -ENOEXEC with e: one that contradicts
 * itself.
 */
int gotable__open(struct gotable *t, const struct image *img, struct err *e);

/* Finds n functions by their full names. 0, or a negative errno with e. */
int gotable__find(const struct gotable *t, const char *const *names, struct gofunction *out, size_t n, struct err *e);

#endif
