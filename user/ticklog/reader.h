/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A tick log from a file, line by line.
 *
 * Invariant: every message begins with "FILE:LINE: ".
 */
#ifndef TW_TICKLOG_READER_H
#define TW_TICKLOG_READER_H

#include "base/err.h"
#include "ticklog/record.h"

struct log_reader;

/* How a log ends whose lines could all be read. */
enum log_ending {
	LOG_WHOLE, /* by its last line: the run was ended, and all of it is here */
	LOG_OPEN,  /* without one: the run still goes on, was killed, or its disk was full */
	LOG_CUT,   /* the same, in the middle of a line */
};

/* NULL with e set. */
struct log_reader *log_reader__new(const char *file, struct err *e);
void log_reader__free(struct log_reader *r);

/*
 * The next record: 1; 0 at the end (a last line that is not whole is no record); a negative errno with e set: the file
 * cannot be read, or the line is none of a tick log. *out is good until the next call, names of endpoints as long as
 * the reader.
 */
int log_reader__next(struct log_reader *r, struct log_record *out, struct err *e);
/* After the end. */
enum log_ending log_reader__ending(const struct log_reader *r);

/* "FILE:LINE: ..." about the latest line; returns -code. */
int log_reader__error(const struct log_reader *r, int code, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
