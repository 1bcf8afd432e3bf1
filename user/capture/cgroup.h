/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The cgroup2 tree: where it is mounted, ids to paths and back, and the smallest set of cgroups to attach to.
 *
 * Invariants: a "path" is below the mount and begins with '/', the mount itself is "/"; ids are what the kernel calls a
 * cgroup's id (the inode number of its directory).
 */
#ifndef TW_CGROUP_H
#define TW_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/identity.h"

struct cgroup2 {
	int fd; /* of the mount point */
	char *mount;
	char *root; /* which part of the hierarchy is mounted there; "/" but for bind mounts and containers */
};

int cgroup2__open(struct cgroup2 *g, struct err *e);
void cgroup2__close(struct cgroup2 *g);

/* -ENOENT when there is no such cgroup (any more), or none that can be reached below the mount. */
int cgroup2__path(const struct cgroup2 *g, uint64_t id, char *path, size_t len);
int cgroup2__id(const struct cgroup2 *g, const char *path, uint64_t *id);
/* A path as /proc/PID/cgroup gives it, turned into one below the mount; NULL when it lies outside. */
const char *cgroup2__below_mount(const struct cgroup2 *g, const char *proc_path);

/* Is path this cgroup or one below it? A trailing '/' does not matter. */
bool cgroup_path__within(const char *path, const char *ancestor);
/*
 * Do whole components of path spell this unit ("shop.service", "app.slice/shop.service")? Returns the length of the
 * path up to its end, 0 when not. What lies below a unit's cgroup belongs to the unit.
 */
size_t cgroup_path__unit(const char *path, const char *unit);

/* Cgroups on their way to an antichain. */
struct cgroup_set {
	struct id_cgroup *v;
	size_t n, cap;
};

void cgroup_set__free(struct cgroup_set *s);
/* Adds the cgroup unless it is there; one that has gone, and id 0, count as the root, which sees everything. */
int cgroup_set__add(struct cgroup_set *s, const struct cgroup2 *g, uint64_t id);
int cgroup_set__add_root(struct cgroup_set *s, const struct cgroup2 *g);
/* Drops every cgroup that has an ancestor in the set, and sorts the rest by path. */
void cgroup_set__reduce(struct cgroup_set *s);

#endif
