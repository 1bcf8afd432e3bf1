/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge once more, over the records of a log: under the policy it was watched with, or under another.
 *
 * Under another configuration its gate's limits hold, its cut-over units if it has any, and its entries for endpoints
 * of the same name; an endpoint that it does not name stays what it was, but for the unit if units are others. An
 * endpoint that only the configuration names was not served: it is judged as one, as it would have been. What was
 * counted stays as it was counted: tick, warmup, timeout and what makes an exchange bad are the log's.
 *
 * Invariant: without another configuration the judge is given what it was given then, in the same order.
 */
#ifndef TW_TICKLOG_REPLAY_H
#define TW_TICKLOG_REPLAY_H

#include "base/err.h"
#include "ticklog/record.h"

struct replay;

/* other: another configuration, which must outlive the replay; NULL: as it was. NULL: out of memory. */
struct replay *replay__new(const struct config *other);
void replay__free(struct replay *r);

/*
 * Takes the next record; names of endpoints and units must outlive the replay. 0, or a negative errno with e set: the
 * policy has no meaning, the judge refuses the tick.
 */
int replay__take(struct replay *r, const struct log_record *record, struct err *e);

/* After the header. */
const struct gate_policy *replay__policy(const struct replay *r);
void replay__verdict(struct replay *r, struct verdict *out);
/* The i-th endpoint that the configuration names and the log did not when its first tick came; NULL: no more. */
const char *replay__unserved(const struct replay *r, size_t i);

#endif
