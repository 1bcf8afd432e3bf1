/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How often the kernel has passed over a program of a tracepoint instead of running it: see capture/passed_over.h. */
#ifndef TW_MODEL_PASSED_OVER_H
#define TW_MODEL_PASSED_OVER_H

#include <stdbool.h>
#include <stdint.h>

/* Monotone, since the programs were loaded. */
struct passed_over {
	bool known;      /* this kernel tells */
	uint64_t reads;  /* a process has read from a connection, of whichever service: not seen */
	uint64_t ends;   /* a socket has gone: not seen */
	uint64_t others; /* what is noticed a little later as well, or is a figure beside the exchanges */
};

/* Those of which an exchange may hang. */
static inline uint64_t passed_over_lost(const struct passed_over *p)
{
	return p->known ? p->reads + p->ends : 0;
}

#endif
