/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What no test of errors looks at, and what would make a promotion a mistake all the same:
 *  - answers that turn people away (3xx, 4xx) without being errors by the rule: a canary that knows a page no more, or
 *    sends everybody to the login, is fast and free of errors;
 *  - endpoints that only the canary serves: there is nothing to compare them with;
 *  - endpoints that do not decide and on which the canary plainly fails more, before the evidence suffices to call it:
 *    errors may have moved to where nobody asked for a certificate.
 *
 * Neither rolls anything back: what such an answer means, only the owner knows.
 */
#ifndef TW_ANSWERS_H
#define TW_ANSWERS_H

#include "judge/evidence.h"

struct answers {
	struct ratio_test turned_away; /* more often than by the baseline */
	uint64_t n_c, n_b, turned_c, turned_b;
	bool baseline_serves;
	uint64_t only_c, only_bad_c; /* in ticks before the baseline served it */
};

void answers__init(struct answers *a, const struct evidence *like);
/* One judged tick of both versions, before the endpoint's evidence has taken it. */
void answers__tick(struct answers *a, const struct evidence *ev, const struct endpoint_tick *tick);

#endif
