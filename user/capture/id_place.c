// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which version takes which socket and place, where the reader has to decide, and where versions overlap. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/resolve.h"

static struct place_claim *place_of(struct resolve *r, const struct tw_place *key)
{
	struct place_claim *grown;

	for (size_t i = 0; i < r->n_places; i++)
		if (place__same(&r->places[i].key, key))
			return &r->places[i];
	grown = reallocarray(r->places, r->n_places + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	r->places = grown;
	grown[r->n_places] = (struct place_claim){ .key = *key };
	return &grown[r->n_places++];
}

/*
 * Does traffic to the place arrive at this socket? As in the kernel, a wildcard listener gets nothing for an address
 * that has a listener of its own in the same namespace.
 */
static bool serves(const struct resolve *r, const struct tw_place *place, const struct sock *s)
{
	if (!place__covers(place, s))
		return false;
	if (place->client || place__is_any(place) || place__same(place, &s->place))
		return true;
	for (size_t i = 0; i < r->sockets.n; i++)
		if (r->sockets.v[i].netns == s->netns && place__same(place, &r->sockets.v[i].place))
			return false;
	return true;
}

static bool held_by(const struct resolve *r, const struct sock *s, size_t version)
{
	for (size_t i = 0; i < s->n_holders; i++) {
		const struct process *p = proctable__at(r->processes, s->holders[i]);

		if (!p->gone && (p->own >> version & 1))
			return true;
	}
	return false;
}

/* "8081" also means 127.0.0.1:8081, unless another version names just that. */
static bool named_by_another(const struct resolve *r, size_t version, const struct sock *s)
{
	for (size_t i = 0; i < r->c->n_versions; i++) {
		struct tw_place place;

		if (i != version && version__place(&r->c->versions[i], false, &place) && !place__is_any(&place) &&
		    place__same(&place, &s->place))
			return true;
	}
	return false;
}

/* With a plain address our own namespace is meant; others count when nobody listens there. */
static bool in_own_netns(const struct resolve *r, const struct tw_place *place)
{
	for (size_t i = 0; i < r->sockets.n; i++)
		if (r->sockets.v[i].own_netns && place__covers(place, &r->sockets.v[i]))
			return true;
	return false;
}

static void take(struct resolve *r, size_t version, struct sock *s)
{
	const struct version_work *w = &r->versions[version];

	s->claimed |= 1ULL << version;
	r->versions[version].n_sockets++;
	if (w->process_keys || s->place.client)
		return;
	for (size_t i = 0; i < s->n_holders; i++)
		proctable__at(r->processes, s->holders[i])->by_place |= 1ULL << version;
}

/* What the version takes on one side. */
static int claim_side(struct resolve *r, size_t version, bool client)
{
	const struct version_work *w = &r->versions[version];
	const uint64_t bit = 1ULL << version;
	struct place_claim *claim;
	struct tw_place key;
	bool named = version__place(&r->c->versions[version], client, &key);
	bool own_only = named && !client && !w->process_keys && in_own_netns(r, &key);

	if (named) {
		claim = place_of(r, &key);
		if (!claim)
			return -ENOMEM;
		*(w->process_keys ? &claim->by_process : &claim->by_address) |= bit;
	}
	for (size_t i = 0; i < r->sockets.n; i++) {
		struct sock *s = &r->sockets.v[i];

		if (s->place.client != client || (named && !serves(r, &key, s)) || (own_only && !s->own_netns))
			continue;
		if (w->process_keys ? !held_by(r, s, version) : named_by_another(r, version, s))
			continue;
		take(r, version, s);
		if (named)
			continue;
		claim = place_of(r, &s->place);
		if (!claim)
			return -ENOMEM;
		claim->by_process |= bit;
	}
	return 0;
}

/* The versions that are known by their processes and listened here before; 0: none did. */
static uint64_t listened_before(const struct resolve *r, const struct sock *s)
{
	for (size_t i = 0; i < r->known->n_listeners; i++)
		if (r->known->listeners[i].cookie == s->cookie)
			return r->known->listeners[i].versions & r->server_mask;
	return 0;
}

/*
 * Between two releases nobody may hold a listener but the service manager, and clients wait in its queue for the next
 * one: were it not watched, the first of what that one serves would not be seen.
 */
static int keep_listeners(struct resolve *r)
{
	for (size_t i = 0; i < r->sockets.n; i++) {
		struct sock *s = &r->sockets.v[i];
		struct place_claim *claim;

		s->kept = s->claimed || s->place.client ? 0 : listened_before(r, s);
		if (!s->kept)
			continue;
		claim = place_of(r, &s->place);
		if (!claim)
			return -ENOMEM;
		claim->by_process |= s->kept;
	}
	return 0;
}

/* --- conflicts
 * ------------------------------------------------------------------------------------------------------------- */

/* The first thing a version overlaps on is what its note tells. */
static void conflict(struct resolve *r, uint64_t versions, const char *what)
{
	for (size_t i = 0; i < r->c->n_versions; i++) {
		struct version_work *w = &r->versions[i];

		if (!(versions >> i & 1))
			continue;
		if (!w->conflict)
			snprintf(w->conflict_on, sizeof(w->conflict_on), "%s", what);
		w->conflict |= versions & ~(1ULL << i);
	}
}

static bool several(uint64_t mask)
{
	return mask & (mask - 1);
}

/*
 * A process that matches two versions by itself: nobody can tell which one it is. Two versions that are each narrowed
 * to a place of their own may share processes, since there the place tells.
 */
static void find_process_conflicts(struct resolve *r)
{
	for (size_t i = 0; i < proctable__count(r->processes); i++) {
		struct process *p = proctable__at(r->processes, i);
		uint64_t mask = p->own & r->server_mask;
		char what[64];

		if (!several(mask) || !(mask & r->open_mask) || !process__stat(r->processes, p))
			continue;
		snprintf(what, sizeof(what), "process %d (%s)", (int)p->pid, p->comm);
		conflict(r, mask, what);
	}
}

/* A listener taken by its address for one version, and by its holders for another. */
static void find_socket_conflicts(struct resolve *r)
{
	for (size_t i = 0; i < r->sockets.n; i++) {
		const struct sock *s = &r->sockets.v[i];
		uint64_t by_process = s->claimed & r->open_mask;
		char what[80];

		if (!(s->claimed & r->address_mask) || !by_process)
			continue;
		place__text(&s->place, s->family, what, sizeof(what));
		conflict(r, (s->claimed & r->address_mask) | by_process, what);
	}
}

static void find_place_conflicts(struct resolve *r)
{
	for (size_t i = 0; i < r->n_places; i++) {
		const struct place_claim *claim = &r->places[i];
		uint64_t all = claim->by_address | claim->by_process;
		char what[80];

		place__text(&claim->key, 0, what, sizeof(what));
		if (claim->by_address && several(all))
			conflict(r, all, what);
		for (size_t s = 0; s < r->sockets.n && several(claim->by_process); s++) {
			const struct sock *sock = &r->sockets.v[s];

			for (size_t h = 0; h < sock->n_holders && serves(r, &claim->key, sock); h++) {
				const struct process *p = proctable__at(r->processes, sock->holders[h]);

				if (!p->gone && several(p->own & claim->by_process))
					conflict(r, p->own & claim->by_process, what);
			}
		}
	}
}

int resolve__claim(struct resolve *r)
{
	int err = 0;

	for (size_t i = 0; i < r->c->n_versions; i++) {
		if (r->versions[i].server)
			err = claim_side(r, i, false);
		if (!err && r->versions[i].client)
			err = claim_side(r, i, true);
		if (err)
			return err;
	}
	err = keep_listeners(r);
	if (err)
		return err;
	find_process_conflicts(r);
	find_socket_conflicts(r);
	find_place_conflicts(r);
	return 0;
}

/* --- static or by reader
 * --------------------------------------------------------------------------------------------------- */

/* An exact place beats a wildcard one, so what arrives at a listener that has its own place is not the wildcard's. */
static bool has_exact_place(const struct resolve *r, const struct tw_place *place, const struct sock *s)
{
	if (!place__is_any(place) || place__is_any(&s->place))
		return false;
	for (size_t i = 0; i < r->n_places; i++)
		if (place__same(&r->places[i].key, &s->place))
			return true;
	return false;
}

/* Everyone who could read there belongs to the version, and all of them are known. */
static bool held_only_by(struct resolve *r, const struct tw_place *place, size_t version)
{
	bool any = false;

	for (size_t i = 0; i < r->sockets.n; i++) {
		const struct sock *s = &r->sockets.v[i];

		if (!serves(r, place, s) || has_exact_place(r, place, s))
			continue;
		if (!s->n_holders && s->place.client) /* closed by its process, on its way out */
			continue;
		if (!s->n_holders)
			return false;
		for (size_t h = 0; h < s->n_holders; h++)
			if (!(proctable__at(r->processes, s->holders[h])->own >> version & 1))
				return false;
		any = true;
	}
	return any;
}

/*
 * Could another version take this place over before the next look at the host? A new release that is handed the socket
 * serves at once, and connections that it takes stay with it.
 */
static bool has_heirs(const struct resolve *r, const struct tw_place *place, size_t version)
{
	struct tw_place other;

	if (place->client)
		return false;
	for (size_t i = 0; i < r->c->n_versions; i++) {
		if (i == version || !(r->server_mask >> i & 1))
			continue;
		if (r->open_mask >> i & 1)
			return true;
		if (version__place(&r->c->versions[i], false, &other) && other.port == place->port)
			return true;
	}
	return false;
}

static void decide(struct resolve *r, struct place_claim *claim)
{
	uint64_t all = claim->by_address | claim->by_process;
	size_t version = (size_t)__builtin_ctzll(all);
	bool certain = !several(all) && !r->versions[version].conflict &&
	               (claim->by_address || held_only_by(r, &claim->key, version));

	claim->value = (struct tw_place_value){ .version = certain ? (uint16_t)(version + 1) : 0,
		                                .by_reader = !certain || (!claim->by_address &&
		                                                          has_heirs(r, &claim->key, version)) };
	for (size_t i = 0; i < r->c->n_versions; i++)
		if (!certain && (all >> i & 1))
			r->versions[i].shared = true;
}

void resolve__decide_places(struct resolve *r)
{
	for (size_t i = 0; i < r->n_places; i++)
		decide(r, &r->places[i]);
}
