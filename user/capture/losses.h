/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Losses that never reach an endpoint: listeners' queues and drops, by asking the kernel's socket tables ten times a
 * second, joined with what the programs counted at the same sockets and connections.
 *
 * Invariants: a listening socket is known by its cookie; what it came to is kept when it closes, by address; everything
 * is counted since losses__new.
 */
#ifndef TW_CAPTURE_LOSSES_H
#define TW_CAPTURE_LOSSES_H

#include "capture/identity.h"
#include "capture/loader.h"
#include "model/losses.h"

struct losses;

/* NULL: out of memory. The loader must outlive it. */
struct losses *losses__new(const struct loader *l);
void losses__free(struct losses *x);

/* Follows the listeners of a new look at the host. 0 or a negative errno. */
int losses__follow(struct losses *x, const struct id_snapshot *s);
/* Looks at the queues; cheap, to be called ten times a second. */
void losses__sample(struct losses *x);
/* Reads everything up to now; then losses__of hands it out by version (number in the config + 1). */
int losses__read(struct losses *x);
/* out->listeners is the caller's to free(). 0 or -ENOMEM. */
int losses__of(const struct losses *x, unsigned int version, struct version_losses *out);

#endif
