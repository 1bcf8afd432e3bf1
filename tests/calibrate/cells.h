/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The scenarios of the bench: clean ones as a grid, in lines of the table, and worse ones with their bars. */
#ifndef TW_CALIBRATE_CELLS_H
#define TW_CALIBRATE_CELLS_H

#include "traffic.h"

#define CELL_NAME 96

struct cell {
	char line[CELL_NAME]; /* of the table */
	char name[CELL_NAME]; /* within the line */
	struct scenario s;
};

struct cells_iter {
	unsigned int part, at;
};

/* The next clean cell, line by line; false: there are no more. it starts zeroed. */
bool cells__next(struct cells_iter *it, struct cell *c);

struct bad_cell {
	struct scenario s;
	double seconds;  /* the median time to find it must not exceed this */
	double promoted; /* nor the % promoted first this */
};

extern const struct bad_cell bad_cells[];
extern const size_t n_bad_cells;

#endif
