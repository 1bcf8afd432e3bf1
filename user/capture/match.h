/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Process keys (cgroup, pid, exe, unit, env, build_id): which versions a process matches.
 *
 * Invariants: bit i of a mask is version i of the config; only versions that have a process key are ever in a mask.
 */
#ifndef TW_MATCH_H
#define TW_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/cgroup.h"
#include "capture/identity.h"
#include "capture/procfs.h"
#include "config/config.h"

/* Cheap ones first: this is the order in which they are asked. */
enum match_key { MATCH_PID, MATCH_CGROUP, MATCH_UNIT, MATCH_EXE, MATCH_ENV, MATCH_BUILD_ID, MATCH_KEYS };

struct matcher {
	const struct config *c;
	const struct cgroup2 *cgroup2;  /* NULL: no cgroup2, the cgroup key matches nothing */
	char **real_exe;                /* per version: where the symbolic links of its exe lead, NULL: nowhere */
	const struct id_process *known; /* belonged to a version before; for the pid key */
	size_t n_known;
};

int matcher__init(struct matcher *m, const struct config *c, const struct cgroup2 *g);
void matcher__free(struct matcher *m);

bool match__has_process_keys(const struct match *m);
bool match__has_key(const struct match *m, enum match_key key);
/* Does the process satisfy this one key of the version? The key must be there. */
bool match__key_holds(const struct matcher *m, struct proctable *t, struct process *p, size_t version,
                      enum match_key key);
/* Versions whose process keys all hold for the process itself. */
uint64_t match__direct(const struct matcher *m, struct proctable *t, struct process *p);
/* Fills direct and own of every process: what matches, and what their descendants take over from them. */
void match__all(const struct matcher *m, struct proctable *t);

#endif
