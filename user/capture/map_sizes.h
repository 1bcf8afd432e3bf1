/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sizes of the kernel's maps that differ from those of bpf/: with small ones, tests fill them. */
#ifndef TW_CAPTURE_MAP_SIZES_H
#define TW_CAPTURE_MAP_SIZES_H

#define MAP_SIZES_VARIABLE "TILLWATCH_MAP_SIZES"

struct bpf_object;

/*
 * Before load: as TILLWATCH_MAP_SIZES says, "name=entries" apart from each other by blanks; of the ring, bytes. Only
 * what may fill up has another size: arrays are as large as what indexes them. 0 or -EINVAL, with the reason said.
 */
int map_sizes__set(struct bpf_object *o);

#endif
