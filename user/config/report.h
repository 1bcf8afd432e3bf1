/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a fault in a configuration is told: "FILE:LINE: what, and the way out".
 *
 * Invariant: foreign text reaches a message only through clip(), so that no message is swallowed by a long value.
 */
#ifndef TW_CONFIG_REPORT_H
#define TW_CONFIG_REPORT_H

#include <stddef.h>

#include "base/err.h"

/* Where the text came from and where the message goes. */
struct source {
	const char *name;
	struct err *e;
};

#define CLIP_LEN 64

/* Formats "NAME:LINE: ..." (line 0: no line) and returns -EINVAL. */
int source_error(const struct source *s, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int source_nomem(const struct source *s);

/* text itself when it is short, else its beginning and "..." in buf, cut between two characters. */
const char *clip(const char *text, char buf[CLIP_LEN]);

/* The known word that text most likely stands for, NULL when none is near. */
const char *nearest_word(const char *text, const char *const *words, size_t n);
/* ": did you mean "x"?", or the known words when none is near. */
void suggest(const char *text, const char *const *words, size_t n, char *out, size_t len);

#endif
