/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many exchanges come of late. What an ETA is told in: the traffic of the last half minute, or, where there is
 * little, of as long as a hundred exchanges take.
 *
 * When they stop coming there is no rate any more, rather than one that fades away and an ETA that grows for ever: the
 * silence has lasted so long that SILENCE exchanges were due. By chance alone, exchanges coming one by one, such a one
 * begins once in exp(7), a thousand, exchanges.
 */
#ifndef TW_ARRIVALS_H
#define TW_ARRIVALS_H

#include <stdbool.h>

struct arrivals {
	double n, timed; /* exchanges, and those with a latency */
	double seconds;  /* in which they came */
	double silent;   /* seconds since */
};

struct rate {
	double n, timed; /* a second */
};

void arrivals__add(struct arrivals *a, double n, double timed, double seconds);
/* false: none have come, or none come any more. */
bool arrivals__rate(const struct arrivals *a, struct rate *out);

#endif
