/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/arrivals.h"

#define FULL    100 /* exchanges: below that nothing is forgotten */
#define KEEPS   0.8
#define SILENCE 7

void arrivals__add(struct arrivals *a, double n, double timed, double seconds)
{
	double keeps = a->n >= FULL ? KEEPS : 1;

	if (n <= 0) {
		a->silent += seconds;
		return;
	}
	a->n = a->n * keeps + n;
	a->timed = a->timed * keeps + timed;
	a->seconds = a->seconds * keeps + a->silent + seconds;
	a->silent = 0;
}

bool arrivals__rate(const struct arrivals *a, struct rate *out)
{
	if (a->n <= 0 || a->seconds <= 0 || a->silent * (a->n / a->seconds) >= SILENCE)
		return false;
	out->n = a->n / (a->seconds + a->silent);
	out->timed = a->timed / (a->seconds + a->silent);
	return true;
}
