/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the loaded programs cost: their runs and time, as far as the kernel's run-time statistics were on, and memory.
 *
 * Run-time statistics are the whole host's: while they are on, every program of it reads a clock twice a run. They are
 * on as long as anybody holds a descriptor of them, or the administrator wants them (kernel.bpf_stats_enabled).
 */
#ifndef TW_SPENDING_H
#define TW_SPENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/loader.h"
#include "model/cost.h"

/* How many programs are loaded; they stay the same, in their order. */
size_t spending__programs(const struct loader *l);
/* The i-th one, since it was loaded, without its memory. 0, or a negative errno: only its name and hook are told. */
int spending__program(const struct loader *l, size_t i, struct cost_program *out);
/* What it takes of memory; 0: this kernel does not tell. This, like the next one, takes some 20 us a file. */
uint64_t spending__program_bytes(const struct loader *l, size_t i);
/* Of all maps; 0: this kernel does not tell. What the observer's own memory holds of the ring is in it as well. */
uint64_t spending__map_bytes(const struct loader *l);

/* Switches run-time statistics on, until the descriptor is closed. A negative errno: they are not to be had. */
int statistics__on(void);
/* Are they on already, for everybody, without us? */
bool statistics__are_on(void);

/*
 * What they cost a run, by a program that does nothing, run often enough; some milliseconds each. It is loaded first,
 * while that is allowed: its descriptor, which the caller closes, or a negative errno, which will do. It is the least
 * that they cost: caches are warm, and nobody else wants the clock. First, while they are off, the ns that a run takes:
 * NaN where they are on after all. Then, while they are on, the ns that they show for one, and by how many it takes
 * longer; NaN where that cannot be told. 0, or a negative errno: then all of it is NaN.
 */
int statistics_cost__program(void);
int statistics_cost__off(int prog, double *plain);
int statistics_cost__on(int prog, double plain, double *shown, double *added);

#endif
