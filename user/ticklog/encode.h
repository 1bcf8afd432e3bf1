/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records to lines.
 *
 * Invariants: a count below 2^53 is a JSON number and a larger one a string of digits (most readers of JSON hold
 * numbers as doubles); other numbers are the shortest that read back as the same double; a line that could not be
 * made whole is never sealed.
 */
#ifndef TW_TICKLOG_ENCODE_H
#define TW_TICKLOG_ENCODE_H

#include "ticklog/record.h"

/* Counts up to this one are exact in a double, and no larger one is read as one of them. */
#define EXACT_COUNT ((UINT64_C(1) << 53) - 1)

/* ,"crc":"0123abcd"} */
#define SEAL_LEN 18

/* A growing text; zeroed at first, its s is to be freed. */
struct log_text {
	char *s;
	size_t len, room;
	int err;
};

/*
 * Replaces t with one whole line. *check is the check of the line before, 0 before the first, and becomes this line's
 * once it is sealed. Returns 0, -ENOMEM, or -EINVAL for what no log can hold (a number that is not finite); *check
 * stays then.
 */
int log_text__record(struct log_text *t, const struct log_record *r, uint32_t *check);

/* The seal of a line that begins with body: CRC-32 (zlib) over it, continued from the line before. */
void log_seal(char seal[SEAL_LEN + 1], const char *body, size_t len, uint32_t *check);

#endif
