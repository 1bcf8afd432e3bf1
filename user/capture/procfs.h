/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The process table as /proc shows it, read no further than asked: listing costs one directory scan, and every
 * attribute of a process is fetched the first time it is wanted and kept.
 *
 * Invariants:
 *  - a process may end at any time: its attributes are then absent (NULL, false, 0) and `gone` is set; nothing fails;
 *  - processes are sorted by pid and do not move while the table lives, except by proctable__add;
 *  - an environment is compared in place and wiped; no part of it is kept, returned or printed.
 */
#ifndef TW_PROCFS_H
#define TW_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct process {
	pid_t pid, ppid;
	char comm[16];
	uint64_t start_ticks; /* since boot */
	char *exe;            /* without " (deleted)" */
	char *cgroup2;        /* as "0::" gives it */
	char *systemd;        /* in the name=systemd hierarchy of cgroup v1 */
	const char *build_id; /* owned by the table */
	bool kthread, gone;
	bool has_stat, has_exe, has_cgroup, has_build_id;

	/* Versions, as bit masks; filled by the matcher and the resolver. */
	uint64_t direct;   /* matches their process keys itself */
	uint64_t own;      /* direct, or else what its nearest matching ancestor has */
	uint64_t by_place; /* holds a listener of a version that is given by its address alone */
	bool own_known;
};

struct proctable;

/* Lists every process. */
int proctable__new(struct proctable **out, struct err *e);
/* Lists none; proctable__add brings them in one by one. */
int proctable__new_empty(struct proctable **out, struct err *e);
void proctable__free(struct proctable *t);

size_t proctable__count(const struct proctable *t);
struct process *proctable__at(struct proctable *t, size_t i);
/* NULL when it is not in the table. */
struct process *proctable__find(struct proctable *t, pid_t pid);
/* Finds or appends; NULL when memory ran out. Moves the processes. Only for tables made empty. */
struct process *proctable__add(struct proctable *t, pid_t pid);

/* Fetches pid, ppid, comm, start time. False when it has gone. */
bool process__stat(struct proctable *t, struct process *p);
/* Seconds since it was started; 0 when it has gone. */
double process__age(struct proctable *t, struct process *p);
const char *process__exe(struct proctable *t, struct process *p);
const char *process__cgroup2(struct proctable *t, struct process *p);
const char *process__systemd(struct proctable *t, struct process *p);
/* GNU build id of its program in lower-case hex, NULL when there is none. Read once per program file. */
const char *process__build_id(struct proctable *t, struct process *p);

enum env_match { ENV_ABSENT, ENV_OTHER_VALUE, ENV_EQUAL };
/* Does its environment have exactly this NAME=VALUE, another value of NAME, or no NAME? */
enum env_match process__env(struct proctable *t, struct process *p, const char *assignment);

/* Has it ended, and been waited for? */
bool process__has_gone(pid_t pid);

/* Inode of its network namespace, 0 when unknown. */
uint32_t process__netns(struct proctable *t, struct process *p);
/* A descriptor of /proc/PID/ns/net, or a negative errno. */
int process__open_netns(struct proctable *t, pid_t pid);

/* Calls fn with the inode of every socket it holds. */
void process__each_socket(struct proctable *t, struct process *p, void (*fn)(void *arg, uint64_t inode), void *arg);

#endif
