/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reaching the socket tables of other network namespaces. The only call that enters one is made on a thread of its own,
 * which ends there: the calling thread never leaves its namespace.
 */
#ifndef TW_NETNS_H
#define TW_NETNS_H

#include <stddef.h>
#include <stdint.h>

#include "capture/procfs.h"

#define NETNS_MAX 256

struct netns {
	uint32_t inode;
	pid_t pid;    /* a process that lives in it; 0: our own */
	int sockdiag; /* a diag socket in it, or a negative errno */
};

/*
 * Fills v with our own namespace (first) and those of the table's processes, each with an open diag socket or the
 * reason why there is none. Returns how many (at most max), or a negative errno. *left_out: namespaces beyond max.
 */
int netns__open_all(struct proctable *t, struct netns *v, size_t max, size_t *left_out);
/* A diag socket in the namespace of this process, or a negative errno. */
int netns__open_of(pid_t pid);
void netns__close_all(struct netns *v, size_t n);

#endif
