/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A tick as the judge takes it, to a record and back.
 *
 * Invariant: from a record back comes what the judge was given, but for what only sounds different: endpoints on which
 * nothing happened have no groups of connections, and what was not announced is 0.
 */
#ifndef TW_TICKLOG_JUDGED_H
#define TW_TICKLOG_JUDGED_H

#include "ticklog/record.h"

/* A record of a tick, with room of its own; zeroed at first. */
struct tick_record {
	struct log_tick tick; /* number and verdict are the caller's */
	struct log_counts *counts;
	size_t cap;
};

/* The tick that j is going to be given. Good as long as *t and until the next call. 0 or -ENOMEM. */
int tick_record__fill(struct tick_record *r, const struct judge *j, const struct tick *t, size_t n_endpoints);
void tick_record__free(struct tick_record *r);

/* A tick for the judge, with room of its own; zeroed at first. */
struct tick_given {
	struct tick tick;
	struct endpoint_tick *endpoints;  /* [cap] */
	struct connection_groups *groups; /* [2 * cap] */
	size_t cap;
};

/*
 * The tick that a record holds, for a judge with n_endpoints. place[i] is the judge's number of the log's endpoint i.
 * Slow exchanges by groups were counted beyond what was announced then; where j would have announced another bucket
 * they are not known. Good as long as what r points to and until the next call. 0 or -ENOMEM.
 */
int tick_given__fill(struct tick_given *g, const struct judge *j, const struct log_tick *r, const size_t *place,
                     size_t n_endpoints);
void tick_given__free(struct tick_given *g);

#endif
