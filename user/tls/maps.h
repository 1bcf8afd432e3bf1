/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The files whose code a process runs, as /proc/PID/maps tells, and how to open the very ones it runs: a library may
 * have been replaced on disk since, or lie in another mount namespace.
 *
 * Invariants: each file (device and inode) is listed once; what the process chose (paths) is never believed without
 * comparing inodes; nothing but regular files is opened.
 */
#ifndef TW_MAPS_H
#define TW_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"

/* More files with code than any process has; those beyond are not looked at. */
#define MAPS_FILES_MAX 1024

struct maps_file {
	uint64_t dev, ino;   /* dev: as makedev() puts it together */
	uint64_t start, end; /* its first mapping with code */
	char *path;          /* as the process sees it, or saw it; "": longer than anything can be opened by */
	bool deleted;        /* the name has gone from the file system */
};

struct maps {
	struct maps_file *files;
	size_t n;
	bool truncated; /* there were more than MAPS_FILES_MAX */
};

/*
 * One line without its end. 1: code of a file, f is filled and *path, *path_len are the rest of the line, as it is
 * there; 0: anything else, or a line that nobody can read.
 */
int maps__line(const char *line, size_t len, struct maps_file *f, const char **path, size_t *path_len);

/* 0 or a negative errno: -ESRCH when the process has gone, -EACCES when it may not be looked into. */
int maps__read(pid_t pid, struct maps *m);
/* The same text from anywhere. */
int maps__read_from(int fd, struct maps *m);
void maps__free(struct maps *m);

/*
 * What stat() says of a mapped file, and a path by which this process can open that very file: written to `way`, which
 * lasts as long as the mapping. 0; -ESTALE: another file is there by now; or a negative errno, with e saying what was
 * tried.
 */
#define MAPS_WAY_MAX 4200
int maps__find(pid_t pid, const struct maps_file *f, struct stat *st, char way[MAPS_WAY_MAX], struct err *e);
/* Opens it for reading. A descriptor or a negative errno, with e. */
int maps__open(pid_t pid, const struct maps_file *f, struct stat *st, struct err *e);

#endif
