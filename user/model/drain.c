// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/drain.h"

#define EVERY 1.0 /* s */

bool drain_is_due(const struct drain_share *d, double now)
{
	return now >= d->at + EVERY;
}

unsigned int drain_look(struct drain_share *d, double now, uint64_t requests)
{
	/* Not all CPUs are read at one moment: what moves from one row to another may be missing in both. */
	uint64_t n = requests > d->requests ? requests - d->requests : 0;

	/* The first look has nothing to compare with. A later one may be late: the time is what has really passed. */
	if (d->at > 0)
		d->mask = (double)n > DRAIN_ALL * (now - d->at) ? DRAIN_PART : 0;
	d->at = now;
	d->requests = requests;
	return d->mask;
}
