/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Places inside a function that reads (session, buffer, size, bytes) at which the result is known and the arguments
 * still are: one trap a call instead of two. Internal to this folder.
 *
 * Invariants, proved or else there are none:
 *  - of a call that returns what is positive, exactly one place is passed with a positive result, and what is returned
 *    is that result; between there and the return nothing is called, and nothing written that could be the bytes;
 *  - a call that passes none, or only with a result that is not positive, returns what is not positive;
 *  - at each, the session, the buffer and the pointer to the number of bytes are in registers that are told, and where
 *    the function that only looks (peeks) passes it too, a register is 0 that is something else for that one.
 */
#ifndef TW_TLS_INSIDE_H
#define TW_TLS_INSIDE_H

#include "tls/place.h"
#include "tls/reading.h"

#define INSIDE_MAX 8

struct inside {
	struct place at[INSIDE_MAX];
	uint64_t where[INSIDE_MAX]; /* TLS_WHERE() */
	size_t n;
};

/* read, peek: the addresses of the two functions. 0, -ENOMEM, or -ENOTSUP: there are no such places. */
int inside__find(struct reading *r, uint64_t read, uint64_t peek, struct inside *out);

#endif
