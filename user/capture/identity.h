/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which process and which listening socket belongs to which version.
 *
 * identity__resolve looks at /proc, the socket tables and the cgroup tree once and returns plain facts; it changes
 * nothing. The caller puts the facts into the kernel's maps and calls again when a record says that something has
 * changed (a socket started to listen, a process started another program) and every half minute.
 *
 * Invariants of a snapshot:
 *  - version numbers are index in the config + 1; 0 means "not known";
 *  - a place (address, port, side) appears once; when processes of several versions, or of no version, share it,
 *    it is by_reader: the process that reads decides; an exact address goes before the wildcard of the same port;
 *  - a process that serves places of several versions is listed once for each, next to each other (by tgid);
 *  - a listening socket that was a version's stays watched while it lives, whoever holds it now: the process that
 *    reads decides;
 *  - cgroups are an antichain: none is an ancestor of another, so that no packet is seen twice.
 */
#ifndef TW_IDENTITY_H
#define TW_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "config/config.h"
#include "tw_abi.h"

struct id_process {
	pid_t tgid;
	uint16_t version;
	double age;           /* seconds since it was started (of the process, not of its program) */
	uint64_t start_ticks; /* since boot: with tgid, which process it is */
};

/* A start time taken from another clock, or at another moment of the fork, may be off by this many ticks. */
#define START_TICKS_SLACK 2
static inline bool same_start(uint64_t a, uint64_t b)
{
	return a > b ? a - b <= START_TICKS_SLACK : b - a <= START_TICKS_SLACK;
}

struct id_place {
	struct tw_place key;
	struct tw_place_value value;
};

struct id_cgroup {
	uint64_t id;
	char *path; /* in the file system, ready to open: begins with the cgroup2 mount */
};

/* A listening socket of one or more versions. */
struct id_listener {
	uint64_t cookie;
	uint64_t versions; /* bit i: version i of the config */
	struct tw_place place;
	uint8_t family;
	bool own_netns;
	uint32_t netns; /* inode */
	pid_t holder;   /* a process that holds it, 0: none was found */
	uint32_t queue_limit, drops;
};

enum id_state { ID_FOUND, ID_WAITING, ID_CONFLICT };

struct id_version {
	enum id_state state;
	size_t n_processes, n_listeners;
	char note[256]; /* "listening on 127.0.0.1:8081, 2 processes (pid 4711 nginx)", or what was found instead and
	                   what to do */
};

struct id_snapshot {
	struct id_process *processes;
	size_t n_processes;
	struct id_place *places;
	size_t n_places;
	struct id_cgroup *cgroups;
	size_t n_cgroups;
	struct id_listener *listeners;
	size_t n_listeners;
	struct id_version *versions; /* [n_versions of the config] */
	size_t n_versions;
};

/* Returns 0, or a negative errno with e saying what could not be read (no cgroup2 mount, no /proc, no permission). */
int identity__resolve(const struct config *c, struct id_snapshot **out, struct err *e);

/* What earlier looks have found. */
struct id_known {
	const struct id_process *processes;
	size_t n_processes;
	const struct id_listener *listeners;
	size_t n_listeners;
};

/*
 * The same, knowing which processes and listeners belonged to a version before: a descendant of a version's pid stays
 * one when the processes between them have gone (a server that replaces its own program leaves its old master behind).
 */
int identity__resolve_knowing(const struct config *c, const struct id_known *known, struct id_snapshot **out,
                              struct err *e);
void id_snapshot__free(struct id_snapshot *s);

/*
 * The version of one process as of now, 0 if it belongs to none, or to several. For records that carry a tgid not seen
 * before. Goes by process keys only: what is known by `listen` alone is told by its place, not by its reader.
 */
uint16_t identity__version_of(const struct config *c, pid_t tgid);

/* A listening TCP socket of this host (all network namespaces reachable through the processes found). */
struct listener {
	struct tw_place place;
	uint64_t inode, cgroup_id;
	uint32_t netns; /* inode of the namespace */
	pid_t tgid;     /* one of the processes that hold it; 0: not found */
	char comm[16];
	bool by_own_netns; /* in the namespace tillwatch runs in */
};

/* Every listening TCP socket. For `top`, `init`, `doctor` and for saying what was found instead. */
int listeners__list(struct listener **out, size_t *n, struct err *e);

/* The mount point of cgroup2 ("/sys/fs/cgroup" or "/sys/fs/cgroup/unified"), found, never assumed. */
int cgroup2__mount(char *path, size_t len, struct err *e);
/* Path of the cgroup with this id below the mount, "/" for the mount itself; -ENOENT when it has gone. */
int cgroup2__path_of(uint64_t id, char *path, size_t len);

#endif
