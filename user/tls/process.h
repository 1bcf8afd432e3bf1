/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The little that tells whether a process is still the one it was, with the program and the code it had. */
#ifndef TW_TLS_PROCESS_H
#define TW_TLS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tls_process {
	char comm[16]; /* printable */
	pid_t parent;
	uint64_t start_ticks; /* since boot: with its number, which process it is */
	uint64_t program;     /* where its program and its stack begin: another one after nearly every exec */
	uint64_t code;        /* kB of mappings with code: another one when a library has come or gone */
	uint64_t cpu;         /* clock ticks of CPU time so far, all threads */
};

/* 0, or a negative errno: -ESRCH when it has gone, or ended and was not waited for. */
int tls_process__read(pid_t pid, struct tls_process *out);
/* What its /proc/PID/stat says, taken apart in place. False: nothing that can be read, or it is dead. */
bool tls_process__parse(char *text, struct tls_process *p);

/* Have both one address space, as between vfork and exec? False where the kernel cannot tell. */
bool tls_process__share_memory(pid_t a, pid_t b);

#endif
