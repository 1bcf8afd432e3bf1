/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is known of the files that watched processes run: which of them hold a TLS library. A file is read once, however
 * many processes map it.
 *
 * Invariants: a file is known by device, inode, size and time of change, so one that was written over is another file;
 * what no process uses is forgotten when tls_files__sweep finds it unused for the second time.
 */
#ifndef TW_TLS_FILES_H
#define TW_TLS_FILES_H

#include <sys/types.h>

#include "base/err.h"
#include "tls/library.h"
#include "tls/maps.h"

struct tls_file {
	uint64_t dev, ino; /* of the mapping */
	off_t size;
	struct timespec mtime;
	struct tls_library *library; /* NULL: it is no ELF file, or `error` says why it cannot be read */
	char *error;
	unsigned int users;
	bool unused; /* at the last sweep */
	struct tls_file *next;
};

struct tls_files;

struct tls_files *tls_files__new(void);
void tls_files__free(struct tls_files *f);

/* The file behind a mapping of a process; reads it if it is new. NULL with e: it cannot be looked at. */
struct tls_file *tls_files__get(struct tls_files *f, pid_t pid, const struct maps_file *m, struct err *e);
void tls_files__put(struct tls_file *file);
/* To be called every few seconds. */
void tls_files__sweep(struct tls_files *f);
/* How many have been read so far: as many as there were different files. */
unsigned int tls_files__read(const struct tls_files *f);
/* How many are known now. */
size_t tls_files__count(const struct tls_files *f);

#endif
