// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <math.h>
#include <time.h>

#include "session/internal.h"

#define TRIES   5
#define AT_ONCE 0.001 /* seconds between two readings that count as one moment */

static double read_clock(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Between two readings we may be stopped for any time: then they are taken again. */
static double apart(clockid_t which)
{
	double before, other, after;
	int tries = 0;

	do {
		before = read_clock(CLOCK_MONOTONIC);
		other = read_clock(which);
		after = read_clock(CLOCK_MONOTONIC);
	} while (after - before > AT_ONCE && ++tries < TRIES);
	return other - (before + after) / 2;
}

/* A host that slept shows in both, unless somebody has set the clock back meanwhile. */
double clock_shift(struct clock_watch *c)
{
	double wall = apart(CLOCK_REALTIME), boot = apart(CLOCK_BOOTTIME), moved = wall - c->wall,
	       slept = boot - c->boot;
	bool known = c->known;

	*c = (struct clock_watch){ .known = true, .wall = wall, .boot = boot };
	if (!known)
		return 0;
	return fabs(moved) >= fabs(slept) ? moved : slept;
}
