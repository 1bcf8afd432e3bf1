/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two faces of a comparison: tables for people, JSON for machines. Reads struct comparison, changes nothing.
 */
#ifndef TW_SHOW_H
#define TW_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "model/comparison.h"

enum show_mode {
	SHOW_LINES,    /* off a terminal: plain lines, no cursor movement, no colour */
	SHOW_TERMINAL, /* redraws in place */
};

struct show_options {
	enum show_mode mode;
	bool colour;
	/* Of the terminal; 0: unknown. SHOW_LINES takes rows for the most endpoints it lists a service, 0: 20. */
	int columns, rows;
	double remaining; /* seconds until the end; NaN: until interrupted */
};

/* The live comparison of two arms. */
void show_comparison(FILE *out, const struct comparison *c, const struct show_options *o);
/* `top`: one arm a listening service, per endpoint, busiest first. `arm` of the figures is ARM_BASELINE throughout. */
void show_top(FILE *out, const struct comparison *const *services, size_t n, const struct show_options *o);

/* What watching costs, program by program, instead of the comparison (`--stats`). */
void show_cost(FILE *out, const struct comparison *c, const struct show_options *o);

/*
 * The documents tillwatch.comparison/1 and tillwatch.verdict/1. Returns a string to free(), or NULL when memory ran
 * out. Counts above 2^53 are written exactly (cJSON holds doubles: such counts are written as raw numbers). No NaN:
 * null.
 */
char *json_comparison(const struct comparison *c);
char *json_verdict(const struct verdict *v);

#endif
