/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What would make an endpoint callable within a time in which it is not: more traffic for the canary, or wider margins.
 */
#ifndef TW_PLAN_ADVICE_H
#define TW_PLAN_ADVICE_H

#include "judge/plan.h"

/* Each by itself is enough, margins together. 0: no help, or not needed. */
struct plan_advice {
	double share;                /* the smallest whole per cent up to half that is enough */
	double max_error_ratio;      /* the smallest tenth up to 10, where errors are what takes too long */
	double max_latency_increase; /* the smallest whole per cent up to 100, where latency is */
};

/* For an endpoint that cannot be certified within so many seconds at this share. */
void plan__advise(const struct gate_policy *policy, const struct plan_endpoint *ep, double share, double within,
                  struct plan_advice *out);

/* Is it, and not later? */
bool plan__is_within(const struct plan_time *time, double within);

#endif
