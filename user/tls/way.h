/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a function that a program calls to the one inside the library that does it: OpenSSL's SSL_read hands over what
 * it was given to what the session's table of methods says. Internal to this folder.
 */
#ifndef TW_TLS_WAY_H
#define TW_TLS_WAY_H

#include "tls/flow.h"
#include "tls/reading.h"

/* The table is where the session says so, `field` bytes behind its beginning, the function's address `entry` bytes in
 * it. */
struct way {
	int32_t field;
	int64_t entry;
};

/* Who tells how many bytes were read? */
enum way_bytes {
	WAY_OWN,   /* the function itself, which has it told in memory of its own */
	WAY_ASKED, /* it is handed the address, as its fourth argument */
};

/*
 * Finds the one entry that the function goes through with its own first two arguments (and the fourth, or memory of its
 * own), and proves that a path that does not go through it returns one of `others` (enum value_sort).
 * 0, -ENOMEM, or -ENOTSUP: it is not like that, or not understood.
 */
int way__find(struct reading *r, const struct symbol *s, enum way_bytes bytes, unsigned int others, struct way *out);

/* Of a function that returns a field of its first argument: which. 0, -ENOMEM, -ENOTSUP. */
int way__field(struct reading *r, const struct symbol *s, int32_t *field);
/* Of a function that returns the same address always. 0, -ENOMEM, -ENOTSUP. */
int way__constant(struct reading *r, const struct symbol *s, uint64_t *addr);

/* The function at addr and all that can be known of it. Release with way__leave in any case. */
struct visit {
	struct graph g;
	struct flow f;
};

/* size 0: not known. 0, -ENOMEM, -ENOTSUP. */
int way__enter(struct reading *r, uint64_t addr, uint64_t size, struct visit *v);
void way__leave(struct visit *v);

#endif
