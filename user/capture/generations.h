/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The processes that serve, or served: a generation is one process with the program it runs. What a record says of a
 * process may come when it has gone, so what was known of it is kept.
 *
 * Invariants:
 *  - bounded: at GENERATIONS_MAX the one that was asked for longest ago makes room;
 *  - a process number that was given again is told from the one before by its start time;
 *  - what could not be learnt is NULL or 0, never a guess.
 */
#ifndef TW_GENERATIONS_H
#define TW_GENERATIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/identity.h"

#define GENERATIONS_MAX 1024

struct generation {
	pid_t tgid;
	uint16_t version;
	uint64_t start_ticks; /* since boot, as in /proc/PID/stat */
	double started;       /* CLOCK_REALTIME, s */
	char *exe;            /* NULL: not known */
	char *build_id;       /* lower-case hex; NULL: it has none, or it is not known */
	double used, checked; /* CLOCK_MONOTONIC, s */
};

struct generations;

struct generations *generations__new(void);
void generations__free(struct generations *g);

/* Learns of processes while they live; what is known of them already is kept. */
void generations__note(struct generations *g, const struct id_process *list, size_t n);
/* The child of a process; t: CLOCK_MONOTONIC, s. Works when both have gone, if the parent was known. */
void generations__forked(struct generations *g, pid_t parent, pid_t child, uint16_t version, double t);
/* It has started another program. version 0: of no version. Only what is known, or has a version, is looked at. */
void generations__execed(struct generations *g, pid_t tgid, uint16_t version);

/* NULL when nothing is known of it any more. Valid until the next call of any of these functions. */
const struct generation *generations__find(struct generations *g, pid_t tgid);

/* The processes known with their versions, for identity__resolve_knowing. */
const struct id_process *generations__known(struct generations *g, size_t *n);

#endif
