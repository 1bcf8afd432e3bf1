/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What part of the connections is asked how long their answers drain. It is seen in the clients' pure acknowledgements,
 * which cost as much as a request: at few requests a second nobody notices, at many one connection in eight is asked.
 *
 * Invariant: the share follows the rate between the latest two looks, both ways.
 */
#ifndef TW_DRAIN_H
#define TW_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#define DRAIN_ALL  5000   /* requests a second up to which every connection is asked */
#define DRAIN_PART 7      /* the mask above that: one in eight */
#define DRAIN_NONE 0x7fff /* none: there is no connection from a port that it lets through */

/* All zero before the first look. */
struct drain_share {
	double at; /* of the latest look, s; 0: there was none */
	uint64_t requests;
	unsigned int mask; /* connections whose number has one of these bits are not asked */
};

/* Has a second passed since the latest look? Reading the counters costs something, too. */
bool drain_is_due(const struct drain_share *d, double now);
/*
 * Looks at the counter of requests, all versions together. now: s, later than at the latest look, and never 0. Returns
 * the mask.
 */
unsigned int drain_look(struct drain_share *d, double now, uint64_t requests);

#endif
