/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What reading TLS costs the processes that are read: an estimate. The traps are counted, by job; what one of them
 * costs is measured (capture/trap.h); where the same job sits on instructions of different kinds, its traps are dealt
 * to them by the CPU time of the processes. Pure.
 */
#ifndef TW_TLS_COST_H
#define TW_TLS_COST_H

#include "capture/loader.h"
#include "capture/trap.h"
#include "tls/site.h"

/* Of each job, how much weight is on which kind of place. */
struct tls_mix {
	double of[TLS_JOB_NR][TLS_HOW_NR];
};

/* The sites of one library in one process; those of a job share the weight. */
void tls_mix__add(struct tls_mix *m, const struct tls_site *sites, size_t n, double weight);

struct tls_cost {
	double seconds; /* of CPU time: traps and programs; NaN: what a trap costs is not known */
	double traps[TLS_HOW_NR];
};

/* runs: what has been gained in the time in question. Jobs that have no place any more count as emulated. */
void tls_cost__of(const struct tls_mix *m, const struct tls_runs *runs, const struct trap_cost *trap,
                  struct tls_cost *out);

#endif
