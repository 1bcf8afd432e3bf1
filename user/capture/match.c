// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int matcher__init(struct matcher *m, const struct config *c, const struct cgroup2 *g)
{
	*m = (struct matcher){ .c = c, .cgroup2 = g };
	m->real_exe = calloc(c->n_versions ? c->n_versions : 1, sizeof(*m->real_exe));
	if (!m->real_exe)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_versions; i++)
		if (c->versions[i].match.exe)
			m->real_exe[i] = realpath(c->versions[i].match.exe, NULL);
	return 0;
}

void matcher__free(struct matcher *m)
{
	for (size_t i = 0; m->real_exe && i < m->c->n_versions; i++)
		free(m->real_exe[i]);
	free(m->real_exe);
	*m = (struct matcher){ 0 };
}

bool match__has_key(const struct match *m, enum match_key key)
{
	switch (key) {
	case MATCH_PID:
		return m->pid != 0;
	case MATCH_CGROUP:
		return m->cgroup;
	case MATCH_UNIT:
		return m->unit;
	case MATCH_EXE:
		return m->exe;
	case MATCH_ENV:
		return m->env;
	case MATCH_BUILD_ID:
		return m->build_id;
	case MATCH_KEYS:
		break;
	}
	return false;
}

bool match__has_process_keys(const struct match *m)
{
	for (enum match_key key = 0; key < MATCH_KEYS; key++)
		if (match__has_key(m, key))
			return true;
	return false;
}

static bool cgroup_holds(const struct matcher *m, struct proctable *t, struct process *p, const char *cgroup)
{
	const char *path = m->cgroup2 ? process__cgroup2(t, p) : NULL;

	if (path)
		path = cgroup2__below_mount(m->cgroup2, path);
	return path && cgroup_path__within(path, cgroup);
}

/* systemd's own tree may be cgroup2, or name=systemd beside it on hosts that still use cgroup v1. */
static bool unit_holds(struct proctable *t, struct process *p, const char *unit)
{
	const char *path = process__cgroup2(t, p);

	if (path && cgroup_path__unit(path, unit))
		return true;
	path = process__systemd(t, p);
	return path && cgroup_path__unit(path, unit);
}

bool match__key_holds(const struct matcher *m, struct proctable *t, struct process *p, size_t version,
                      enum match_key key)
{
	const struct match *want = &m->c->versions[version].match;
	const char *have;

	switch (key) {
	case MATCH_PID:
		return p->pid == want->pid;
	case MATCH_CGROUP:
		return cgroup_holds(m, t, p, want->cgroup);
	case MATCH_UNIT:
		return unit_holds(t, p, want->unit);
	case MATCH_EXE:
		have = process__exe(t, p);
		return have &&
		       (!strcmp(have, want->exe) || (m->real_exe[version] && !strcmp(have, m->real_exe[version])));
	case MATCH_ENV:
		return process__env(t, p, want->env) == ENV_EQUAL;
	case MATCH_BUILD_ID:
		have = process__build_id(t, p);
		return have && !strncmp(have, want->build_id, strlen(want->build_id));
	case MATCH_KEYS:
		break;
	}
	return false;
}

uint64_t match__direct(const struct matcher *m, struct proctable *t, struct process *p)
{
	uint64_t mask = 0;

	if (p->kthread || p->gone)
		return 0;
	for (size_t i = 0; i < m->c->n_versions; i++) {
		const struct match *want = &m->c->versions[i].match;
		bool any = false, all = true;

		for (enum match_key key = 0; key < MATCH_KEYS && all; key++) {
			if (!match__has_key(want, key))
				continue;
			any = true;
			all = match__key_holds(m, t, p, i, key);
		}
		if (any && all)
			mask |= 1ULL << i;
	}
	return mask;
}

/*
 * A descendant of the version's pid stays one when the chain between them is broken: its parent may have gone, and its
 * grandparent's number with it. The other keys still have to hold.
 */
static void match_known(const struct matcher *m, struct proctable *t)
{
	for (size_t i = 0; i < m->n_known; i++) {
		const struct id_process *k = &m->known[i];
		size_t version = (size_t)k->version - 1;
		struct process *p = proctable__find(t, k->tgid);
		const struct match *want;
		bool all = true;

		if (!p || p->gone || !k->version || version >= m->c->n_versions)
			continue;
		want = &m->c->versions[version].match;
		if (!want->pid || !same_start(p->start_ticks, k->start_ticks))
			continue;
		for (enum match_key key = MATCH_PID + 1; key < MATCH_KEYS && all; key++)
			all = !match__has_key(want, key) || match__key_holds(m, t, p, version, key);
		if (all)
			p->direct |= 1ULL << version;
	}
}

/* Walks up to the first ancestor that knows, then tells all those passed on the way. */
static void inherit(struct proctable *t, struct process *p)
{
	size_t steps = proctable__count(t); /* a table read while processes change may hold a loop */
	struct process *at = p;
	uint64_t own = 0;

	while (at && !at->own_known && !at->direct && steps--)
		at = proctable__find(t, at->ppid);
	if (at)
		own = at->own_known ? at->own : at->direct;
	for (; p && p != at && !p->own_known; p = proctable__find(t, p->ppid)) {
		p->own = own;
		p->own_known = true;
	}
	if (at && !at->own_known) {
		at->own = own;
		at->own_known = true;
	}
}

void match__all(const struct matcher *m, struct proctable *t)
{
	struct process *self;
	bool wanted = false;

	for (size_t i = 0; i < m->c->n_versions; i++)
		wanted |= match__has_process_keys(&m->c->versions[i].match);
	if (!wanted)
		return;
	for (size_t i = 0; i < proctable__count(t); i++) {
		struct process *p = proctable__at(t, i);

		process__stat(t, p);
		p->direct = match__direct(m, t, p);
	}
	match_known(m, t);
	for (size_t i = 0; i < proctable__count(t); i++)
		inherit(t, proctable__at(t, i));
	/* The observer watches; it never serves what it is asked to judge (it may share the environment, say). */
	self = proctable__find(t, getpid());
	if (self)
		self->own = self->direct = 0;
}
