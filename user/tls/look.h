/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One look into a process: what of TLS is in the code that it runs now, and the programs that belong there.
 *
 * Invariant: a program is never twice in the same place. What was let go of in a process must be gone before anything
 * is attached there again.
 */
#ifndef TW_TLS_LOOK_H
#define TW_TLS_LOOK_H

#include "tls/targets.h"

struct tls_look {
	struct loader *loader; /* NULL: nothing is attached */
	struct closer *closer;
	struct tls_files *files;
};

/*
 * Reads its mappings and follows: what is there no longer is let go of, what is new is kept in mind. 0, or a negative
 * errno: -ESRCH when it has gone; others are noted in the target.
 */
int tls_look__scan(struct tls_look *l, struct tls_target *at);
/* Attaches what was found. 0, -ESRCH, or -EAGAIN: not yet, something is still to be let go of there. */
int tls_look__attach(struct tls_look *l, struct tls_target *at);
/* Lets go of everything in it, and goes on knowing what there was. */
void tls_look__let_go(struct tls_look *l, struct tls_target *at);
/* The same, and forgets it. */
void tls_look__forget(struct tls_look *l, struct tls_target *at);

#endif
