/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which capabilities this tool makes use of, what for, and what is missing without each. The one table that messages,
 * `doctor` and what is kept after attaching (confine.h) are made of; the README's is held against it by a test.
 */
#ifndef TW_RIGHTS_H
#define TW_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum right {
	RIGHT_BPF,
	RIGHT_PERFMON,
	RIGHT_NET_ADMIN,
	RIGHT_PTRACE,
	RIGHT_READ,
	RIGHT_RESTORE,
	RIGHT_ADMIN,
	RIGHT_RESOURCE, /* the last one: only kernels before 5.11 ask for it */
	RIGHT_NR,
};

struct right_facts {
	const char *name; /* "CAP_BPF" */
	int cap;
	int stand_in;        /* another capability that does as well, or -1 */
	bool vital;          /* nothing is measured without it */
	bool later;          /* also after attaching: for what is found later */
	const char *gives;   /* what it is good for */
	const char *without; /* what is missing without it; see rights__without() */
};

extern const struct right_facts right_facts[RIGHT_NR];

/* It, or what stands in for it, is effective in this thread. */
bool rights__have(enum right r);
/* Is there anything that this kernel would not do without it? */
bool rights__wanted(enum right r);

/* What is missing without it on this host, as it is now. */
const char *rights__without(enum right r);

/* Are run-time statistics on, for everybody (kernel.bpf_stats_enabled)? */
bool rights__statistics_are_on(void);

/* May programs be loaded? Lifts the limit of locked memory, too. 0, or a negative errno with what to do in e. */
int rights__require(struct err *e);

/*
 * Where fewer files may be open than attaching takes, raises that limit as far as it goes. Returns what it is, if that
 * is still too few, or 0.
 */
unsigned long rights__too_few_files(void);

/* Says what an observation will not see for want of a right, a warning for each. */
void rights__warn(void);

/* Behind what is missing without it: how to have it, where rights__advice() has nothing of it. */
const char *rights__how(enum right r);

/* How to give a process the rights, as seen from here: of its file, or of its container. */
void rights__advice(char *text, size_t len);

/* Of this thread, none is left. For threads that need none. */
void rights__none_in_this_thread(void);

#endif
