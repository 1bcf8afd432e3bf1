/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plain fields of what the judge is given, in one table for writing and for reading.
 *
 * Invariant: a struct of the judge that has a field more does not compile in plain.c, so that none is forgotten.
 */
#ifndef TW_TICKLOG_PLAIN_H
#define TW_TICKLOG_PLAIN_H

#include <stddef.h>

enum plain_type {
	PLAIN_COUNT,     /* uint64_t */
	PLAIN_SMALL,     /* unsigned int */
	PLAIN_NUMBER,    /* double, finite */
	PLAIN_SHARE,     /* double, from 0 to 1 */
	PLAIN_ANNOUNCED, /* double, above 0; what is not is null, and read as 0 */
	PLAIN_BOOL,      /* bool */
};

struct plain_field {
	const char *key;
	enum plain_type type;
	size_t at; /* in the struct */
};

struct plain_fields {
	const struct plain_field *f;
	size_t n;
};

extern const struct plain_fields plain_tick;      /* struct tick: all but arms and endpoints */
extern const struct plain_fields plain_arm_run;   /* struct arm_run: all of it */
extern const struct plain_fields plain_arm;       /* struct arm_tick: n and bad */
extern const struct plain_fields plain_endpoint;  /* struct judge_endpoint: all but name, unit and cut-over unit */
extern const struct plain_fields plain_histogram; /* struct histogram: all but its buckets */

#endif
