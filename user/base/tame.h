/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Foreign text for messages: names of processes, paths, what a file calls itself. Who chose it may mean harm to the
 * terminal or the reader of JSON that it comes to.
 */
#ifndef TW_TAME_H
#define TW_TAME_H

#include <stddef.h>

/*
 * In place: what is not UTF-8, control characters of both kinds but the line feed, and those that reorder the text
 * around them become one '?' a byte. Returns s.
 */
char *tame(char *s);
/* The line feed as well. */
char *tame_line(char *s);

/* A copy for one line, cut off with "..." when it is very long. */
struct tamed {
	char s[4200];
};
struct tamed tamed(const char *s);

#endif
