/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The placebo: a canary that is none. Some groups of the baseline's connections are held against its others by the same
 * tests that hold the canary against the baseline. Nothing can be wrong with them, so if these tests find something,
 * they cannot be believed about the canary either: connections differ by themselves, or bursts last longer than a tick.
 *
 * The groups are taken in their order, as many as come nearest to the canary's part of the traffic by what each carried
 * in the ticks before; at least one and at most half. Which connections are in them is a matter of their hash, and no
 * outcome is looked at, so it is a fair bet like the real one, and a clean release is hit as rarely as the limit says.
 *
 * It is a sample of one: what is wrong with connections that are not in these groups, it does not see.
 */
#ifndef TW_PLACEBO_H
#define TW_PLACEBO_H

#include "judge/evidence.h"

struct placebo {
	struct ratio_test errors, slow;
	double exchanges; /* of the pseudo-canary */
};

/* The same bets as those of the endpoint, which begin when it does. */
void placebo__init(struct placebo *p, const struct evidence *like);
/* One judged tick, before the endpoint's evidence has taken it. */
void placebo__tick(struct placebo *p, const struct evidence *ev, const struct endpoint_tick *tick);

#endif
