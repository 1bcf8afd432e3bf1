/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines to records, one after the other, from the first line of a log on. No I/O.
 *
 * Invariants: a record that comes out obeys everything record.h promises, whatever bytes went in; every field of a line
 * is known, there once, of its type and inside its bounds; a line whose check does not fit it and the lines before it
 * is refused before it is understood. After an error the decoder refuses everything.
 */
#ifndef TW_TICKLOG_DECODE_H
#define TW_TICKLOG_DECODE_H

#include "base/err.h"
#include "ticklog/record.h"

struct log_decoder;

/* NULL: out of memory. */
struct log_decoder *log_decoder__new(void);
void log_decoder__free(struct log_decoder *d);

/*
 * Takes the next line, without its newline. *out is good until the next call, names of endpoints until the decoder is
 * freed. 0, -EBADMSG (not a line of a log, or not one that can follow the last) or -ENOMEM, and e says what is wrong
 * with it, without saying where it is.
 */
int log_decoder__line(struct log_decoder *d, const char *line, size_t len, struct log_record *out, struct err *e);

/* The same without looking at the check, for those who ask what comes behind it (a fuzzer). */
void log_decoder__trust(struct log_decoder *d);

/* The line that ends a log was there. */
bool log_decoder__ended(const struct log_decoder *d);

#endif
