/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program at instructions of a file, in one process: all its threads, and no other process is touched.
 *
 * By descriptor, without libbpf: closing the descriptor takes the program away. One descriptor for many places of a
 * file needs Linux 6.6 with the process filter of 6.10, which libbpf 1.1 does not know; it is also the only kind that
 * several threads can close at a time (see closer.h).
 */
#ifndef TW_UPROBE_H
#define TW_UPROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* BPF_TRACE_UPROBE_MULTI, what a program must be loaded for that uprobe__attach_many is to place. */
#define UPROBE_MANY_TYPE 48

struct uprobe {
	int prog;         /* descriptor of the program */
	pid_t pid;        /* of the process */
	const char *path; /* of the file, as this process can open it: a link in /proc will do */
	bool at_return;   /* when the function that begins there returns, instead of there */
};

/*
 * cookie: what the program is told there, 0: nothing (others need Linux 5.15).
 * A descriptor or a negative errno: -ESRCH when the process has gone, -EMFILE, -ENOTSUP: not on that instruction.
 */
int uprobe__attach(const struct uprobe *u, uint64_t offset, uint64_t cookie);
/* The same at n places: all of them or none. cookies: NULL if there are none. */
int uprobe__attach_many(const struct uprobe *u, const uint64_t *offsets, const uint64_t *cookies, size_t n);

/* Does this kernel keep uprobe__attach_many's programs to a process? Earlier ones kept them to one thread of it. */
bool uprobe__many_know_processes(int prog);

/* Where a function of the program that runs is in its file. 0 or -ENOENT. */
int uprobe__own_offset(const void *function, uint64_t *offset);

#endif
