// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/resolve.h"

#define ANCESTORS_MAX 1024

/* --- scan
 * ------------------------------------------------------------------------------------------------------------------ */

static int plan_versions(struct resolve *r, struct err *e)
{
	if (r->c->n_versions >= TW_MAX_VERSIONS)
		return err_set(e, E2BIG, "%zu versions are too many: at most %d can be told apart", r->c->n_versions,
		               TW_MAX_VERSIONS - 1);
	r->versions = calloc(r->c->n_versions ? r->c->n_versions : 1, sizeof(*r->versions));
	if (!r->versions)
		return err_set(e, ENOMEM, "out of memory for %zu versions", r->c->n_versions);
	for (size_t i = 0; i < r->c->n_versions; i++) {
		const struct match *m = &r->c->versions[i].match;
		struct version_work *w = &r->versions[i];

		w->process_keys = match__has_process_keys(m);
		w->client = m->has_upstream;
		w->server = m->has_listen || !m->has_upstream;
		if (w->process_keys && w->server)
			r->server_mask |= 1ULL << i;
		if (w->process_keys && w->server && !m->has_listen)
			r->open_mask |= 1ULL << i;
		if (!w->process_keys && m->has_listen)
			r->address_mask |= 1ULL << i;
	}
	return 0;
}

static int scan(struct resolve *r, struct err *e)
{
	int err = plan_versions(r, e);

	if (err)
		return err;
	err = cgroup2__open(&r->cgroup2, e);
	if (err)
		return err;
	err = matcher__init(&r->matcher, r->c, &r->cgroup2);
	if (err)
		return err_set(e, -err, "out of memory for the versions' matches");
	err = proctable__new(&r->processes, e);
	if (err)
		return err;
	r->matcher.known = r->known->processes;
	r->matcher.n_known = r->known->n_processes;
	match__all(&r->matcher, r->processes);
	return sockets__scan(r->c, r->processes, &r->cgroup2, &r->sockets, e);
}

/* --- result
 * ---------------------------------------------------------------------------------------------------------------- */

/* The part of a member's cgroup2 path that is the unit, below which the unit's next listener will be made. */
static bool unit_cgroup(struct resolve *r, size_t version, uint64_t *id)
{
	const char *unit = r->c->versions[version].match.unit;

	for (size_t i = 0; unit && i < proctable__count(r->processes); i++) {
		struct process *p = proctable__at(r->processes, i);
		const char *path;
		char *cut;
		bool found;

		if (!(p->direct >> version & 1))
			continue;
		path = process__cgroup2(r->processes, p);
		path = path ? cgroup2__below_mount(&r->cgroup2, path) : NULL;
		cut = path ? strndup(path, cgroup_path__unit(path, unit)) : NULL;
		found = cut && *cut && !cgroup2__id(&r->cgroup2, cut, id);
		free(cut);
		if (found)
			return true;
	}
	return false;
}

/*
 * Where to listen for one version: at the cgroups of its sockets, since a connection belongs to the cgroup of the
 * listener it came from, whoever serves it. While there is none: in the cgroup it is known by, else everywhere, so that
 * the first request to a new listener is not missed.
 */
static int version_cgroups(struct resolve *r, size_t version)
{
	const struct match *m = &r->c->versions[version].match;
	struct version_work *w = &r->versions[version];
	bool has_home = false;
	uint64_t home;
	int err = 0;

	if (m->cgroup)
		has_home = !cgroup2__id(&r->cgroup2, m->cgroup, &home);
	else if (!w->n_sockets || w->client)
		has_home = unit_cgroup(r, version, &home);
	/* A proxy's connections come and go, its cgroup stays. */
	if (has_home && (!w->n_sockets || w->client))
		err = cgroup_set__add(&r->cgroups, &r->cgroup2, home);
	else if (!w->n_sockets) {
		w->watches_all = true;
		err = cgroup_set__add_root(&r->cgroups, &r->cgroup2);
	}
	for (size_t i = 0; i < r->sockets.n && !err; i++)
		if ((r->sockets.v[i].claimed | r->sockets.v[i].kept) >> version & 1)
			err = cgroup_set__add(&r->cgroups, &r->cgroup2, r->sockets.v[i].cgroup_id);
	return err;
}

static int result_cgroups(struct resolve *r, struct id_snapshot *s)
{
	for (size_t i = 0; i < r->c->n_versions; i++) {
		int err = version_cgroups(r, i);

		if (err)
			return err;
	}
	cgroup_set__reduce(&r->cgroups);
	s->cgroups = r->cgroups.v;
	s->n_cgroups = r->cgroups.n;
	r->cgroups = (struct cgroup_set){ 0 };
	return 0;
}

static int result_places(struct resolve *r, struct id_snapshot *s)
{
	s->places = calloc(r->n_places ? r->n_places : 1, sizeof(*s->places));
	if (!s->places)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_places; i++)
		s->places[s->n_places++] = (struct id_place){ .key = r->places[i].key, .value = r->places[i].value };
	return 0;
}

static int result_listeners(struct resolve *r, struct id_snapshot *s)
{
	s->listeners = calloc(r->sockets.n ? r->sockets.n : 1, sizeof(*s->listeners));
	if (!s->listeners)
		return -ENOMEM;
	for (size_t i = 0; i < r->sockets.n; i++) {
		const struct sock *sock = &r->sockets.v[i];

		if (!(sock->claimed | sock->kept) || sock->place.client)
			continue;
		s->listeners[s->n_listeners++] = (struct id_listener){
			.cookie = sock->cookie,
			.versions = sock->claimed | sock->kept,
			.place = sock->place,
			.family = sock->family,
			.own_netns = sock->own_netns,
			.netns = sock->netns,
			.holder = sock->n_holders ? proctable__at(r->processes, sock->holders[0])->pid : 0,
			.queue_limit = sock->queue_limit,
			.drops = sock->drops,
		};
	}
	return 0;
}

/*
 * The versions a process is listed under. One that matches two overlapping versions by itself is listed under neither;
 * one that is a version's only because it holds the listener is not when that listener is in dispute.
 */
static uint64_t listed_versions(const struct resolve *r, const struct process *p)
{
	uint64_t mask = p->own | p->by_place;

	for (size_t i = 0; i < r->c->n_versions; i++) {
		const uint64_t rivals = r->versions[i].conflict;

		if (!(mask >> i & 1))
			continue;
		if ((p->own >> i & 1 ? p->own & rivals : rivals))
			mask &= ~(1ULL << i);
	}
	return mask;
}

static int result_processes(struct resolve *r, struct id_snapshot *s)
{
	size_t cap = 0;

	for (size_t i = 0; i < proctable__count(r->processes); i++) {
		struct process *p = proctable__at(r->processes, i);
		uint64_t mask = p->own | p->by_place;

		if (!mask || !process__stat(r->processes, p))
			continue;
		for (size_t v = 0; v < r->c->n_versions; v++)
			r->versions[v].n_processes += mask >> v & 1;
		for (mask = listed_versions(r, p); mask; mask &= mask - 1) {
			if (s->n_processes == cap) {
				struct id_process *grown;

				cap = cap ? cap * 2 : 16;
				grown = reallocarray(s->processes, cap, sizeof(*grown));
				if (!grown)
					return -ENOMEM;
				s->processes = grown;
			}
			s->processes[s->n_processes++] =
				(struct id_process){ .tgid = p->pid,
				                     .version = (uint16_t)(__builtin_ctzll(mask) + 1),
				                     .age = process__age(r->processes, p),
				                     .start_ticks = p->start_ticks };
		}
	}
	return 0;
}

static int result_versions(struct resolve *r, struct id_snapshot *s)
{
	s->versions = calloc(r->c->n_versions ? r->c->n_versions : 1, sizeof(*s->versions));
	if (!s->versions)
		return -ENOMEM;
	s->n_versions = r->c->n_versions;
	for (size_t i = 0; i < s->n_versions; i++) {
		struct id_version *v = &s->versions[i];
		const struct version_work *w = &r->versions[i];

		v->state = w->conflict ? ID_CONFLICT : w->n_sockets ? ID_FOUND : ID_WAITING;
		v->n_processes = w->n_processes;
		v->n_listeners = w->n_sockets;
		resolve__note(r, i, v);
	}
	return 0;
}

static void resolve__free(struct resolve *r)
{
	free(r->versions);
	free(r->places);
	cgroup_set__free(&r->cgroups);
	socktable__free(&r->sockets);
	proctable__free(r->processes);
	matcher__free(&r->matcher);
	cgroup2__close(&r->cgroup2);
}

int identity__resolve(const struct config *c, struct id_snapshot **out, struct err *e)
{
	const struct id_known nothing = { 0 };

	return identity__resolve_knowing(c, &nothing, out, e);
}

int identity__resolve_knowing(const struct config *c, const struct id_known *known, struct id_snapshot **out,
                              struct err *e)
{
	struct resolve r = { .c = c, .known = known, .cgroup2 = { .fd = -1 }, .matcher = { .c = c } };
	struct id_snapshot *s = NULL;
	int err;

	*out = NULL;
	err = scan(&r, e);
	if (err)
		goto cleanup;
	s = calloc(1, sizeof(*s));
	err = s ? resolve__claim(&r) : -ENOMEM;
	if (err)
		goto report;
	resolve__decide_places(&r);
	err = result_cgroups(&r, s);
	if (!err)
		err = result_places(&r, s);
	if (!err)
		err = result_processes(&r, s);
	if (!err)
		err = result_listeners(&r, s);
	if (!err)
		err = result_versions(&r, s);
report:
	if (err)
		err_set(e, -err, "cannot put together which process is which version: %s", strerror(-err));
cleanup:
	resolve__free(&r);
	if (err) {
		id_snapshot__free(s);
		return err;
	}
	*out = s;
	return 0;
}

void id_snapshot__free(struct id_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_cgroups; i++)
		free(s->cgroups[i].path);
	free(s->cgroups);
	free(s->places);
	free(s->processes);
	free(s->listeners);
	free(s->versions);
	free(s);
}

/* --- one process
 * ------------------------------------------------------------------------------------------------------------ */

uint16_t identity__version_of(const struct config *c, pid_t tgid)
{
	struct cgroup2 g;
	struct matcher m;
	struct proctable *t = NULL;
	uint64_t mask = 0;

	if (c->n_versions >= TW_MAX_VERSIONS || proctable__new_empty(&t, NULL))
		return 0;
	if (matcher__init(&m, c, cgroup2__open(&g, NULL) ? NULL : &g))
		goto cleanup;
	for (int steps = 0; tgid > 0 && !mask && steps < ANCESTORS_MAX; steps++) {
		struct process *p = proctable__add(t, tgid);

		/* A table that only grows by its own ancestors tells a loop by not growing. */
		if (!p || proctable__count(t) != (size_t)steps + 1 || !process__stat(t, p))
			break;
		mask = match__direct(&m, t, p);
		tgid = p->ppid;
	}
cleanup:
	matcher__free(&m);
	cgroup2__close(&g);
	proctable__free(t);
	/* Two at once: where each has a place of its own the place tells, elsewhere nobody can. */
	return mask && !(mask & (mask - 1)) ? (uint16_t)(__builtin_ctzll(mask) + 1) : 0;
}
