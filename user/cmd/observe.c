// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A step of an observation, for the commands that show how it goes and for those that do not. */
#include "cmd/observe.h"

#include "base/err.h"

const struct comparison *observe_for(struct session *s, double seconds, int *more)
{
	const struct comparison *c;

	*more = session__run(s, seconds);
	if (*more < 0) {
		log_error("the observation ended early: error %d", -*more);
		return NULL;
	}
	c = session__compare(s);
	if (!c)
		log_error("cannot read the kernel's counters");
	return c;
}
