/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * While somebody is inside a tracepoint's program, the kernel passes over that program for whoever comes to it on the
 * same CPU. Until 6.19 a tracepoint keeps its CPU, so that only an interrupt can come; from 7.0 on another thread may
 * take the CPU, and come to it. There the programs on which exchanges hang are loaded twice, one behind the other, and
 * the second makes good what the first was passed over for: see bpf/again.h.
 *
 * Invariant: what both have missed is counted, whosever it was. What the second counts too much, see there, hides no
 * more than a miss between the same two readings.
 */
#ifndef TW_PASSED_OVER_H
#define TW_PASSED_OVER_H

#include <stdbool.h>

#include "capture/features.h"
#include "model/passed_over.h"

struct loader;
struct tillwatch_bpf;

/* Switches the second programs on where they are needed: of features before `end` that this kernel has. 0 or -errno. */
int passed_over__choose(struct tillwatch_bpf *skel, int end);

/* Attaches those that are loaded. Without them more is missed, and counted. */
void passed_over__attach(struct loader *l);
void passed_over__detach(struct loader *l);

void passed_over__read(struct loader *l, struct passed_over *out);

#endif
