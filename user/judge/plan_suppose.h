/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Evidence for a release that has not begun: it has seen nothing yet, and it is at home in a service of which rates and
 * shares are supposed. This is the one place where a plan knows what the tests of an endpoint are made of.
 *
 * Supposed is a service whose bad events come one by one, over many connections. A test whose wealth is 1 but that
 * knows this is what evidence__certify_seconds and evidence__rollback_seconds can be asked about; left to a fresh
 * judge's first guess (bursts that reach over three groups, no blocks yet) they would answer three times as long.
 */
#ifndef TW_PLAN_SUPPOSE_H
#define TW_PLAN_SUPPOSE_H

#include "judge/evidence.h"
#include "judge/plan.h"

/* The exchanges that say what the shares are, exact to 15 digits: the tests have not seen them. */
#define PLAN_MANY UINT64_C(1000000000000000)

/* What an endpoint is supposed to do, and for how long it has been watched doing it. */
struct supposition {
	const struct tests *t;
	const struct plan_endpoint *ep;
	double share;
	double errors; /* share of them, the baseline's */
	double ratio;  /* the canary has that many times the bad events */
	double seconds;
};

void plan_suppose__evidence(struct evidence *ev, const struct supposition *s);

#endif
