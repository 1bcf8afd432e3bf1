/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of this folder share; nobody else includes it. Each guard adds one line to the verdict, says in it
 * what was found, and returns whether it holds.
 */
#ifndef TW_GUARD_H
#define TW_GUARD_H

#include "judge/state.h"

bool guard(struct verdict *out, const char *name, bool ok, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Both versions are judged in the same seconds: what is said of how they stand to each other has a meaning. */
static inline bool is_side_by_side(const struct judge *j)
{
	return j->tests.policy.mode == GATE_CANARY;
}

/* loss.c */
bool guard_lost_events(const struct judge *j, struct verdict *out);
bool guard_differential_loss(const struct judge *j, struct verdict *out);
bool guard_ledger(const struct judge *j, struct verdict *out);
bool guard_opaque_tls(const struct judge *j, struct verdict *out);

/* arms.c */
bool guard_purity(const struct judge *j, struct verdict *out);
bool guard_vanished(const struct judge *j, struct verdict *out);
bool guard_clock(const struct judge *j, struct verdict *out);

/* answers.c */
bool guard_answers(const struct judge *j, struct verdict *out);
bool guard_uncompared(const struct judge *j, struct verdict *out);
bool guard_elsewhere(const struct judge *j, struct verdict *out);

/* split.c, placebo.c */
bool guard_sample_ratio(const struct judge *j, struct verdict *out);
bool guard_placebo(const struct judge *j, struct verdict *out);

#endif
