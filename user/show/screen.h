/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of limited width, and frames of them that are drawn in one piece.
 *
 * Invariants:
 *  - every byte of text passes line_put: nothing but printable characters and our own colours reaches the output;
 *  - on a terminal a line is at least one column narrower than the screen and a frame one row lower, so that neither
 *    wraps or scrolls and erasing to the end of a line never takes its last character;
 *  - memory that runs out costs lines, never a crash: what is left is drawn.
 */
#ifndef TW_SHOW_SCREEN_H
#define TW_SHOW_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "show/show.h"

#define LINE_BYTES 4096

enum paint { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, MAGENTA };

struct line {
	char text[LINE_BYTES];
	size_t len;
	int columns; /* so far */
	int limit;   /* the most */
	bool colour;
	enum paint paint;
};

/* Paragraphs with a rank above 0 may be left out when room is short, the highest rank first. */
struct frame {
	struct {
		char *text;
		unsigned int rank;
		bool continued; /* belongs to the line before: both stay or none */
	} * lines;
	size_t n, capacity;
	int limit; /* columns of a line */
	int rows;  /* lines of the frame on a terminal, INT_MAX elsewhere */
	bool terminal, colour;
};

void frame_init(struct frame *f, const struct show_options *o);
void frame_init_like(struct frame *f, const struct frame *other); /* an empty one with the same limits */
void frame_fini(struct frame *f);
void frame_add(struct frame *f, struct line *l, unsigned int rank);
void frame_continue(struct frame *f, struct line *l); /* with the rank of the line before */
/* Adds a text of any length, broken at its spaces; lines after the first are indented by two more columns. */
void frame_prose(struct frame *f, unsigned int rank, enum paint paint, int indent, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Leaves out paragraphs that may be, until at most `rows` lines are left or none of them may. */
void frame_shrink(struct frame *f, size_t rows);
/* Moves the lines of `from` to the end of `to`. */
void frame_append(struct frame *to, struct frame *from);
/* Writes all lines with one call. */
void frame_draw(const struct frame *f, FILE *out);

void line_init(struct line *l, const struct frame *f);
void line_init_long(struct line *l); /* no limit but its bytes: for a text that frame_prose is going to break */
void line_put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_paint(struct line *l, enum paint paint);
int line_room(const struct line *l);
/* A foreign name, its middle replaced by "..." where it is wider than width; padded on the right when `pad` is set. */
void line_name(struct line *l, const char *name, int width, bool pad);
/* The same, aligned to the right. */
void line_label(struct line *l, const char *name, int width);

#endif
