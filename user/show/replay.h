/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two faces of a replayed tick log: what changed for people, one document for machines. A log may be long, so both
 * come in pieces, as the log is read.
 */
#ifndef TW_SHOW_REPLAY_H
#define TW_SHOW_REPLAY_H

#include <stdio.h>

#include "judge/judge.h"
#include "ticklog/record.h"

struct replay_head {
	const struct log_header *log;
	const struct gate_policy *policy; /* in force now */
	const char *config;               /* it is from this file; NULL: the log's own */
};

struct replay_tick {
	const struct log_tick *log;
	const struct verdict *now;
};

struct replay_sum {
	uint64_t ticks;
	double seconds;             /* until the end of the last one */
	uint64_t other, inexact;    /* ticks with another verdict than then; of the others, with other figures */
	const struct verdict *last; /* NULL: nothing was replayed */
	bool whole;                 /* the log has its end */
	const char *error;          /* why not all of it could be read; NULL: it could */
};

/* Another verdict than when it was watched; the same, with other figures. */
bool replay_differs(const struct replay_tick *t);
bool replay_inexact(const struct replay_tick *t);

void show_replay_head(FILE *out, const struct replay_head *h);
void show_replay_tick(FILE *out, const struct replay_tick *t);
/* reasons: those of the last verdict were not shown before. */
void show_replay_sum(FILE *out, const struct replay_sum *s, bool reasons);

/*
 * The document tillwatch.replay/1 is the head, the ticks with a comma between each two, and the sum. Each returns a
 * string to free(), or NULL when memory ran out.
 */
char *json_replay_head(const struct replay_head *h);
char *json_replay_tick(const struct replay_tick *t);
char *json_replay_sum(const struct replay_sum *s);

#endif
