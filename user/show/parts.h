/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The pieces that the comparison and `top` have in common. Each function writes them in the way of the frame's mode:
 * sentences on a terminal; off it, lines that begin with a fixed word, with figures that hold no spaces.
 */
#ifndef TW_SHOW_PARTS_H
#define TW_SHOW_PARTS_H

#include "show/figures.h"
#include "show/screen.h"

/* What may be left out when the screen is low, last first. 0 stays. */
enum rank {
	RANK_STAYS,
	RANK_REASON,
	RANK_GUARD,
	RANK_COVERAGE,
	RANK_LEDGER,
	RANK_OVERHEAD,
	RANK_NOTE,
	RANK_HEADS,
	RANK_BLANK
};

void part_coverage(struct frame *f, const struct comparison *c);
/* TLS, if there is any, and loudly what of it cannot be read (tls.c). */
void part_tls(struct frame *f, const struct comparison *c);
/* A line for each version: requests seen, and what became of them; loud where they do not add up. */
void part_ledger(struct frame *f, const struct comparison *c);
void part_overhead(struct frame *f, const struct comparison *c);
/* What all of it costs, and may cost (cost.c); loud above that. */
void part_cost(struct frame *f, const struct comparison *c);
void part_notes(struct frame *f, const struct comparison *c, unsigned int rank);
/* One line of what the arms' exchanges came to when that was not an answer; nothing when all were answered. */
void part_outcomes(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep);
/* One line of the long-lived streams of an endpoint (streams.c); nothing where there are and were none. */
void part_streams(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep);
/* The line below an endpoint's ratios (sure.c): the intervals that the verdict has of them, or that there is none yet.
 */
void part_sure(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep);
/* What these intervals are of; on a terminal only. */
void part_sure_legend(struct frame *f, const struct comparison *c);
/* Who cut what, at most a handful of lines; nothing when no server did. */
void part_cuts(struct frame *f, const struct comparison *c);
/* "... and 12 more (3,456 requests)" for the endpoints from `first` on; nothing when there is none. */
void part_folded(struct frame *f, const struct endpoint_figures *const *list, size_t first, size_t n);
/* One line a version of what it lost without any endpoint knowing of it (losses.c); nothing where nothing was lost. */
void part_losses(struct frame *f, const struct comparison *c);
/* What the canary does beside what was announced for it, or found before it. */
void part_limits(struct frame *f, const struct verdict *v);
void part_blank(struct frame *f);

/* Adds one endpoint's lines to a frame. */
typedef void (*endpoint_block)(struct frame *f, const struct endpoint_figures *ep, const void *layout);
/*
 * As many blocks as go into `rows` lines, and the line for the rest. A block is shown whole or not at all; when not
 * even the first goes in, all of them are folded.
 */
void part_endpoints(struct frame *f, const struct endpoint_figures *const *list, size_t n, size_t rows,
                    endpoint_block block, const void *layout);

#endif
