/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Closes descriptors whose closing takes long: taking a uprobe away waits for every CPU to have left its programs, 50
 * ms on an ordinary machine, and a host with 64 workers has some 500 of them. Threads do that, many batches at a time;
 * they do nothing else, and there are none while there is nothing to close.
 *
 * Invariants: the first descriptors of a batch are closed before the others are begun with; closer__free returns when
 * all are closed.
 */
#ifndef TW_CLOSER_H
#define TW_CLOSER_H

#include <stdbool.h>
#include <stddef.h>

struct closer;

struct closer *closer__new(void);
void closer__free(struct closer *c);

/* Takes fds[n] (from malloc) over, of which the first ones go first. owner: whose they are, for closer__busy. */
void closer__add(struct closer *c, int *fds, size_t first, size_t n, int owner);
/* Is any descriptor of this owner still open? */
bool closer__busy(struct closer *c, int owner);
/* Waits until everything is closed. */
void closer__wait(struct closer *c);

#endif
