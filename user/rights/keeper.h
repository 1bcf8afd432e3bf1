/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CAP_SYS_ADMIN is nearly everything, and three small things want it again and again: switching run-time statistics on,
 * a netlink socket in another network namespace, and, on kernels without uprobe.multi, a uprobe. So a second process
 * keeps it, which can do these and nothing else, and reads nothing but small messages of fixed length from us; the
 * process that reads foreign bytes lets go of it.
 *
 * Invariants: it holds CAP_SYS_ADMIN alone and sits behind a filter of its own; it goes when we go, by whatever way.
 */
#ifndef TW_KEEPER_H
#define TW_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* While there is one thread. Does nothing without CAP_SYS_ADMIN. */
void keeper__start(void);
void keeper__stop(void);

/*
 * All of these: -ENOTCONN: there never was a keeper to do it. -EPIPE: there is none any more, as it has gone or has not
 * answered for two seconds; that is said once, and it is not asked again.
 */

/* Run-time statistics are on until what is returned is closed. A negative errno, never -ENOTCONN: they are not. */
int keeper__statistics(void);

/* A socket for sock_diag in the network namespace behind a descriptor. */
int keeper__sockdiag(int netns);

/*
 * A uprobe's perf event, at this offset of the file behind a descriptor, in one process; nothing is attached to it yet.
 * Linux ba677dbe77af ("perf: Revert to requiring CAP_SYS_ADMIN for uprobes", 6.13 and the stable kernels since) wants
 * more than CAP_PERFMON for it.
 */
int keeper__uprobe(int file, uint64_t offset, bool at_return, pid_t pid);

#endif
