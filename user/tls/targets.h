/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which watched process has which TLS library, and the kernel programs in exactly those processes, over time: processes
 * come and go, start other programs and load libraries later.
 *
 * Whoever owns the table tells it of processes (update, forked, execed) and calls tls_targets__work often; everything
 * that takes time happens there, a bounded piece at a time.
 *
 * Invariants: a program is placed in a process only while that is in the table; never twice in the same place, so that
 * what is let go of is really gone before the place is taken again; one process that cannot be looked into, or ends
 * meanwhile, says so and keeps nobody else waiting.
 */
#ifndef TW_TLS_TARGETS_H
#define TW_TLS_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/identity.h"
#include "capture/loader.h"
#include "tls/attach.h"
#include "tls/files.h"
#include "tls/process.h"

/* A file of a process with something to say of TLS. */
struct tls_use {
	struct tls_file *file; /* its library has sites, or only a note; or there is none, and the file's error */
	struct maps_file where;
	bool tried; /* to attach: the hold says what became of it */
	struct tls_hold hold;
};

/* Is the plaintext of a process read? */
enum tls_reading {
	TLS_READ,
	TLS_LEAVING,  /* until a moment from now: what is in flight is followed to its end */
	TLS_AWAY,     /* no: no program is in it */
	TLS_RETURNING /* as soon as the programs are in it again */
};

struct tls_target {
	pid_t tgid;
	uint16_t version; /* 0: of several */
	char comm[16];
	bool looked;    /* its mappings have been read since it was last known to change */
	char note[200]; /* what could not be looked into, or "" */
	struct tls_use *uses;
	size_t n_uses;
	enum tls_reading reading;
	double cpu; /* cores it used between the latest two tls_targets__measure; NaN: not known */

	/* For targets.c. */
	struct tls_process was;  /* at the last look */
	struct tls_file **files; /* all it maps */
	size_t n_files;
	double due;   /* when to look again, CLOCK_MONOTONIC, s */
	double asked; /* when that was last asked for, and granted */
	bool wanted;
	double leave_at;                     /* TLS_LEAVING */
	double cpu_at;                       /* CLOCK_MONOTONIC, s; 0: never */
	uint64_t cpu_ticks, cpu_start_ticks; /* as of then */
};

struct tls_targets;

/* l: NULL to look and not to attach; it must outlive the table. NULL: out of memory. */
struct tls_targets *tls_targets__new(struct loader *l);
void tls_targets__free(struct tls_targets *t);

/* All processes of watched versions as of now. Others are let go of. 0 or -ENOMEM: then nothing has changed. */
int tls_targets__update(struct tls_targets *t, const struct id_process *p, size_t n);
/* One more, until the next update: the child of one of them. 0 or -ENOMEM. */
int tls_targets__forked(struct tls_targets *t, pid_t child, uint16_t version);
/* It runs another program, which belongs to this version, or to none (0). 0 or -ENOMEM. */
int tls_targets__execed(struct tls_targets *t, pid_t tgid, uint16_t version);
/* Something of the version could not be read: its processes may have loaded a library. 0: of any version. May be called
 * often. */
void tls_targets__look_again(struct tls_targets *t, uint16_t version);

/*
 * The process is read no more, or again. What it has in flight is followed for a moment, then the programs are taken
 * out of it; what is in flight even then becomes opaque. It holds until the process runs another program. Idempotent.
 */
void tls_targets__withhold(struct tls_targets *t, pid_t tgid, bool withhold);
/* Reads how much CPU time each process takes: at intervals of some seconds. */
void tls_targets__measure(struct tls_targets *t);

/*
 * Looks, attaches and lets go, for about so many seconds (a single file takes as long as it takes). Returns how many
 * processes are left that should be looked at now.
 */
size_t tls_targets__work(struct tls_targets *t, double seconds);
/* Lets go of every process, and waits until that is done. What is known of them stays. */
void tls_targets__stop(struct tls_targets *t);

/* By process number. Valid until the next call of any function above. */
size_t tls_targets__count(const struct tls_targets *t);
const struct tls_target *tls_targets__at(const struct tls_targets *t, size_t i);
/* Files read so far, see files.h. */
unsigned int tls_targets__files_read(const struct tls_targets *t);

#endif
