/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Places the kernel programs at the sites of one library in one process.
 *
 * Invariants: of a function all sites are watched or none, because a call that was seen to begin and not to end would
 * be mistaken for a later one; a call's end is watched before its beginning, and let go of after it; what ends a
 * session is watched before what reads and writes, and without it nothing is.
 */
#ifndef TW_TLS_ATTACH_H
#define TW_TLS_ATTACH_H

#include <stddef.h>
#include <sys/types.h>

#include "capture/closer.h"
#include "capture/loader.h"
#include "tls/library.h"

/* What is watched in one process by way of one library. */
struct tls_hold {
	int *fds; /* the first are to be closed before the others, which see the end of what those see the beginning of
	           */
	size_t first, n;
	unsigned int attached, failed; /* sites */
	char note[160];                /* why some failed, or "" */
};

/*
 * fd: of the library's file. 0, whatever part of it could be watched (the hold says), or -ESRCH: the process has gone;
 * in both cases the hold's descriptors are the caller's.
 */
int tls_attach(struct loader *l, struct closer *c, pid_t pid, int fd, const struct tls_library *lib,
               struct tls_hold *hold);
/* Lets go of it in a while: closer__busy(c, pid) until then. What the hold says of it stays. */
void tls_detach(struct closer *c, pid_t pid, struct tls_hold *hold);

#endif
