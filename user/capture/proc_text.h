/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Texts of /proc. Who starts a process, makes a cgroup or mounts a file system writes parts of them: each may hold
 * anything. They are taken apart in place; nothing is read or opened here.
 */
#ifndef TW_PROC_TEXT_H
#define TW_PROC_TEXT_H

#include <stdbool.h>

#include "capture/procfs.h"

/* /proc/PID/stat: comm, ppid, start_ticks and kthread of p. False: it cannot be read, or the process is dead. */
bool proc_text__stat(char *text, struct process *p);
/* /proc/PID/cgroup: cgroup2 and systemd of p, allocated; NULL where there is no such line, or memory ran out. */
void proc_text__cgroup(char *text, struct process *p);
/* A line of /proc/self/mountinfo. True: of a cgroup2 mount; its root and mount point are parts of the line. */
bool proc_text__cgroup2_mount(char *line, char **root, char **mount);

#endif
