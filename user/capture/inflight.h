/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is in flight, counted by the kernel's iterators over all connections; see bpf/inflight.h.
 *
 * Invariant: the count is independent of every counter, so that the two can be held against each other.
 */
#ifndef TW_INFLIGHT_USER_H
#define TW_INFLIGHT_USER_H

#include <stdint.h>

#include "tw_abi.h"

struct programs;
struct tillwatch_bpf;
struct inflight;

/* What a walk found. By version; requests whose version is not known yet are version 0's. */
struct inflight_counts {
	uint64_t requests[TW_MAX_VERSIONS];
	uint64_t connections[TW_MAX_VERSIONS]; /* open ones that carry HTTP */
	uint64_t oldest[TW_MAX_VERSIONS];      /* arrival of the oldest request, CLOCK_MONOTONIC ns; 0: none */
	/* [TW_MAX_VERSIONS * TW_MAX_ENDPOINTS]: requests that wait too long; valid until the next walk */
	const uint32_t *overdue;
};

/* After load; skel has the maps. NULL with errno set when the kernel does not take the iterators; the features know it
 * then. */
struct inflight *inflight__new(const struct programs *p, struct tillwatch_bpf *skel);
void inflight__free(struct inflight *f);
/* Walks all connections. 0 or a negative errno. */
int inflight__count(struct inflight *f, struct inflight_counts *out);

#endif
