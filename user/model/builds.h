/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The builds that have served one version. A version may be more than one program (an application and the proxy before
 * it): they answer at different ports under different names, and that is no mixture. Two builds are one only if they
 * stood in for each other: they served the same port, or bear the same file name.
 *
 * Invariants: what has no build id is not counted; bounded: at BUILDS_MAX nothing new is taken in, by when there are
 * two long since.
 */
#ifndef TW_BUILDS_H
#define TW_BUILDS_H

#include <stddef.h>
#include <stdint.h>

#define BUILDS_MAX 64

struct build {
	char *name; /* of the file, without its folder; NULL: not known */
	char *id;
	uint16_t port;
};

struct builds {
	struct build v[BUILDS_MAX];
	size_t n;
};

/* A program has served at a port. exe, id: NULL where not known. 0 or -ENOMEM. */
int builds__add(struct builds *b, const char *exe, const char *id, uint16_t port);
/* The most that stood in for one another; 0: none is known. */
unsigned int builds__count(const struct builds *b);
void builds__free(struct builds *b);

#endif
