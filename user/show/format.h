/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Figures and foreign text in the form people read.
 *
 * Invariants:
 *  - results are plain ASCII and never "nan" or "inf": what was not measured is "-";
 *  - the widths promised below hold for every argument, so that columns stay columns;
 *  - three significant digits, and rounding never shows a thousand of a unit ("1.00 ms", not "1000 us").
 *
 * The functions return a small struct by value: format_count(n).s is good until the end of the full expression.
 */
#ifndef TW_SHOW_FORMAT_H
#define TW_SHOW_FORMAT_H

#include <stddef.h>
#include <stdint.h>

struct text {
	char s[32];
};

#define DURATION_WIDTH 7
#define RATIO_WIDTH    5
#define PERCENT_WIDTH  6
#define SHORT_WIDTH    9
#define TINY_WIDTH     6

struct text format_duration(double seconds);   /* "950 ns", "1.24 ms", "12.3 s", "4m 10s", "2h 05m", "3d 04h" */
struct text format_span(double seconds);       /* whole seconds: "45 s", "4m 10s"; as wide as a duration */
struct text format_count(uint64_t n);          /* "1,234,567", every digit */
struct text format_count_short(uint64_t n);    /* every digit below ten million, then "12.3 M" */
struct text format_count_tiny(uint64_t n);     /* every digit below a hundred thousand, then "123 k" */
struct text format_rate(double per_second);    /* "0.25", "12.3", "1,234", "123 k"; TINY_WIDTH */
struct text format_ratio(double ratio);        /* "x1.46"; +infinity, something after nothing: "new" */
struct text format_percent(double share);      /* of a share between 0 and 1: "0%", "<0.01%", "0.42%", "12.3%" */
struct text format_bytes(uint64_t bytes);      /* "19.1 MiB" */
struct text format_joined(struct text spaced); /* without its spaces: "1.24ms", one word to awk */

/*
 * Decodes one code point of s (not at its end) and returns the bytes it takes, at least 1. What is not UTF-8 comes out
 * as U+FFFD, one byte at a time.
 */
size_t utf8_next(const char *s, uint32_t *code_point);
/*
 * The columns that a code point takes, never less than what a terminal uses; 0 for what must not reach a terminal:
 * control characters of both kinds, and those that reorder or hide the text around them.
 */
int terminal_columns(uint32_t code_point);
/* Columns of a text, with one for each character that is going to be replaced. */
int text_columns(const char *s);

#endif
