/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a trap costs on this host: the way into the kernel and back, which the run-time statistics of programs leave
 * out. Measured with empty programs at functions of our own, in our own process.
 */
#ifndef TW_TRAP_H
#define TW_TRAP_H

#include <stdbool.h>

#include "capture/closer.h"

/* Seconds a trap, without what the program there does. */
struct trap_cost {
	double emulated; /* at an instruction that the kernel emulates */
	double stepped;  /* at one that it has to single-step */
	double returned; /* at a return address that was replaced, beside the trap that replaces it */
};

/* Loads the empty program, for a time when none may be loaded any more. 0, or a negative errno. */
int trap_cost__prepare(void);

/* Takes some milliseconds. The probes go in a while, by the closer. 0, or a negative errno: then all of it is NaN. */
int trap_cost__measure(struct closer *closer, struct trap_cost *out);

#endif
