/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The comparison as plain lines, for logs and pipes. Invariant: the first word of a line says what it is ("watch",
 * "endpoint", "sure", "outcomes", "cut", "more", "waiting", "coverage", "tls", "opaque", "turns", "overhead", "note",
 * "verdict", "reason", "guard", "eta"), figures are label=value without spaces, and each block ends with an empty line.
 */
#ifndef TW_SHOW_LINES_H
#define TW_SHOW_LINES_H

#include "show/figures.h"
#include "show/screen.h"

/* How many endpoints one block lists when the caller gives no number of rows. */
#define LINES_ENDPOINTS 20

void lines_comparison(struct frame *f, const struct comparison *c, const struct show_options *o,
                      const struct endpoint_figures *const *list, size_t n);

#endif
