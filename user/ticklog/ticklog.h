/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes a tick log while the judge is fed: what it is told goes through here, with or without a log.
 *
 * Invariants:
 *  - a file with anything in it is never written to, and two logs never write to one;
 *  - a line is written whole, with one write; where that fails the file is cut back to the lines before it, the log
 *    stops for good and says why, and the judge is fed on;
 *  - only a log that took every tick and was ended has its last line, "end".
 */
#ifndef TW_TICKLOG_H
#define TW_TICKLOG_H

#include "base/err.h"
#include "judge/judge.h"
#include "ticklog/record.h"

struct ticklog;

/*
 * Takes the file for a log, which must not be there yet or be empty. NULL with e set. A file that this made and that
 * was never written to goes with ticklog__free.
 */
struct ticklog *ticklog__new(const char *file, struct err *e);
void ticklog__free(struct ticklog *log);
/* Writes the first line. 0 or a negative errno with e set: the log cannot be kept. */
int ticklog__start(struct ticklog *log, const struct log_header *header, struct err *e);

/*
 * judge__add_cutover, judge__add_endpoint (bad: by what its exchanges are counted) and judge__tick with the same
 * results, and what they took goes into the log. log may be NULL. Faults of the log itself are no errors here.
 */
int ticklog__add_cutover(struct ticklog *log, struct judge *j, const struct judge_cutover *c);
int ticklog__add_endpoint(struct ticklog *log, struct judge *j, const struct judge_endpoint *ep,
                          const struct tw_rule *bad);
int ticklog__tick(struct ticklog *log, struct judge *j, const struct tick *t, size_t n_endpoints);
/* The run is over: writes the last line. */
void ticklog__end(struct ticklog *log);

struct ticklog_state {
	const char *file;
	uint64_t ticks;      /* in it */
	const char *stopped; /* why it does not go on; NULL: it does, or was ended */
};

/* Good as long as the log; NULL for no log. */
const struct ticklog_state *ticklog__state(const struct ticklog *log);

#endif
