/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of processes with TLS libraries, as tests fill it with theirs and ask it for them. */
#ifndef TW_TESTS_TLS_TABLE_H
#define TW_TESTS_TLS_TABLE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <math.h>

#include "tls/targets.h"

static struct tls_targets *table;

/* The processes, with the start times that /proc shows. */
static inline struct id_process *processes(const pid_t *pids, size_t n)
{
	static struct id_process p[256];

	for (size_t i = 0; i < n; i++) {
		struct tls_process is;

		p[i] = (struct id_process){ .tgid = pids[i], .version = 1 };
		if (!tls_process__read(pids[i], &is))
			p[i].start_ticks = is.start_ticks;
	}
	return p;
}

static inline int update(const pid_t *pids, size_t n)
{
	return tls_targets__update(table, processes(pids, n), n);
}

static inline void watch(const pid_t *pids, size_t n)
{
	assert_int_equal(update(pids, n), 0);
	assert_int_equal(tls_targets__work(table, INFINITY), 0);
}

static inline const struct tls_target *target(pid_t pid)
{
	for (size_t i = 0; i < tls_targets__count(table); i++)
		if (tls_targets__at(table, i)->tgid == pid)
			return tls_targets__at(table, i);
	return NULL;
}

/* Its use of the first library that can be watched. */
static inline const struct tls_use *use_of(pid_t pid)
{
	const struct tls_target *at = target(pid);

	for (size_t i = 0; at && i < at->n_uses; i++)
		if (at->uses[i].file->library && at->uses[i].file->library->n_sites)
			return &at->uses[i];
	fail_msg("process %d has no library", (int)pid);
	return NULL;
}

/* Of this process. */
static inline size_t open_files(void)
{
	size_t n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
