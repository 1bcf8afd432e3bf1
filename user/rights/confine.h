/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From attaching on: only the capabilities that later finds need, no_new_privs, and a filter of system calls.
 *
 * Invariants: nothing of it can be undone by this process; what is refused fails with EPERM (a call that is newer than
 * this filter with ENOSYS, for a libc to fall back), is written to the kernel's log, and ends nothing: a tool that
 * watches others must not die of a library's new habits. Only calls of another machine's kind (32 bits on 64) kill,
 * which no library makes.
 */
#ifndef TW_CONFINE_H
#define TW_CONFINE_H

#include <stdbool.h>

#include "base/err.h"

struct confine_options {
	bool perf_uprobes; /* programs are placed in processes that are found later, by perf_event_open(2) */
	bool writes_a_new; /* one file that is not there yet may be made and written (init -o) */
};

/* For all threads. 0, or a negative errno with what could not be done in e; the rest is done. */
int confine(const struct confine_options *o, struct err *e);

/* The same for the keeper (keeper.h). */
int confine__keeper(void);

#endif
