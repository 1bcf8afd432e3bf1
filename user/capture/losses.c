// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/losses.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/features.h"
#include "capture/netns.h"
#include "capture/programs.h"
#include "capture/sockdiag.h"

#define TRACKED_MAX 1024

/* An address at which versions listen, or have listened; what its closed sockets came to. */
struct row {
	struct tw_place place;
	uint8_t family;
	bool own_netns;
	uint32_t netns;
	uint64_t versions;
	struct listener_figures past;
};

/* A listening socket. */
struct tracked {
	uint64_t cookie;
	size_t row;
	uint32_t netns;
	bool open, sampled, known; /* sampled: last_drops holds; known: it was found in a socket table */
	uint32_t queued, limit, deepest, last_drops;
	uint64_t last_full, overflows, drops, handshaking;
	struct tw_listener kernel; /* what the programs have counted */
};

struct door {
	struct tw_door key;
	uint32_t version;
	uint64_t credited, refused; /* refused while it was another version's; since then */
};

struct losses {
	struct loss_maps maps;
	int live; /* descriptor of the walk over open connections; -1: none */
	struct row *rows;
	size_t n_rows;
	struct tracked *tracked;
	size_t n_tracked;
	struct door *doors;
	size_t n_doors;
	struct netns spaces[NETNS_MAX];
	size_t n_spaces;
	uint32_t own_netns;
	uint64_t left_out; /* versions of which not every listener and door found room */
	bool followed;
	struct tw_losses *per_cpu, sum[TW_MAX_VERSIONS];
	struct tw_live open[TW_MAX_VERSIONS];
};

struct losses *losses__new(const struct loader *l)
{
	struct losses *x = calloc(1, sizeof(*x));
	struct stat st;

	if (!x)
		return NULL;
	x->live = -1;
	loader__loss_maps(l, &x->maps);
	x->per_cpu = calloc((size_t)x->maps.cpus, sizeof(*x->per_cpu));
	if (!x->per_cpu) {
		losses__free(x);
		return NULL;
	}
	x->own_netns = stat("/proc/self/ns/net", &st) ? 0 : (uint32_t)st.st_ino;
	if (programs__fd(x->maps.programs, "tw_live") >= 0) {
		x->live = programs__attach_walk(x->maps.programs, "tw_live", x->maps.conns);
		if (x->live < 0)
			features__refuse(FEATURE_LIVE, -x->live);
	}
	return x;
}

void losses__free(struct losses *x)
{
	if (!x)
		return;
	if (x->live >= 0)
		close(x->live);
	netns__close_all(x->spaces, x->n_spaces);
	free(x->per_cpu);
	free(x->doors);
	free(x->tracked);
	free(x->rows);
	free(x);
}

/* ---- what is followed -------------------------------------------------------------------------------------------- */

static int row_of(struct losses *x, const struct row *like)
{
	struct row *grown;

	for (size_t i = 0; i < x->n_rows; i++) {
		struct row *r = &x->rows[i];

		if (r->netns != like->netns || r->family != like->family || !place__same(&r->place, &like->place))
			continue;
		/* Versions that take turns at an address have a row each; those that share a socket have one. */
		if (r->versions == like->versions)
			return (int)i;
	}
	grown = reallocarray(x->rows, x->n_rows + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	x->rows = grown;
	x->rows[x->n_rows] = *like;
	return (int)x->n_rows++;
}

static struct tracked *tracked_find(struct losses *x, uint64_t cookie)
{
	for (size_t i = 0; i < x->n_tracked; i++)
		if (x->tracked[i].cookie == cookie)
			return &x->tracked[i];
	return NULL;
}

static struct tracked *track(struct losses *x, uint64_t cookie, int row)
{
	struct tracked *grown;

	if (x->n_tracked >= TRACKED_MAX)
		return NULL;
	grown = reallocarray(x->tracked, x->n_tracked + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	x->tracked = grown;
	x->tracked[x->n_tracked] =
		(struct tracked){ .cookie = cookie, .row = (size_t)row, .netns = x->rows[row].netns, .open = true };
	return &x->tracked[x->n_tracked++];
}

/* What is said of all their listeners and doors together is not measured from here on. */
static void leave_out(struct losses *x, uint64_t versions)
{
	if (!x->left_out)
		log_warn("more listeners than can be followed: what was attempted and refused is not measured");
	x->left_out |= versions;
}

static int follow_listener(struct losses *x, const struct id_listener *l)
{
	struct row like = { .place = l->place,
		            .family = l->family,
		            .netns = l->netns,
		            .own_netns = l->own_netns,
		            .versions = l->versions };
	struct tracked *t = tracked_find(x, l->cookie);
	int row = row_of(x, &like);

	if (row < 0)
		return row;
	if (!t)
		t = track(x, l->cookie, row);
	if (!t) {
		leave_out(x, l->versions);
		return 0;
	}
	t->row = (size_t)row;
	t->netns = l->netns;
	t->known = true;
	/* What one that was there before us had dropped by then is not ours to tell. */
	if (!x->followed && !t->sampled) {
		t->last_drops = l->drops;
		t->sampled = true;
	}
	return 0;
}

/* The door is this version's from now on. */
static int follow_door(struct losses *x, const struct tw_door *key, uint32_t version)
{
	struct tw_door_value v = { .version = version };
	struct door *d = NULL, *grown;

	for (size_t i = 0; i < x->n_doors && !d; i++)
		if (!memcmp(&x->doors[i].key, key, sizeof(*key)))
			d = &x->doors[i];
	if (d && d->version == version)
		return 0;
	if (!d) {
		grown = reallocarray(x->doors, x->n_doors + 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		x->doors = grown;
	}
	if (!bpf_map_lookup_elem(x->maps.doors, key, &v) && d)
		d->credited = v.refused;
	v.version = version;
	if (bpf_map_update_elem(x->maps.doors, key, &v, BPF_ANY)) {
		leave_out(x, 1ULL << (version - 1));
		return 0;
	}
	if (d)
		d->version = version;
	else
		x->doors[x->n_doors++] = (struct door){ .key = *key, .version = version };
	return 0;
}

/* Does nobody listen there, in whatever namespace? */
static bool is_empty(const struct id_snapshot *s, const struct tw_place *place)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (s->listeners[i].place.port == place->port &&
		    (place__is_any(place) || place__is_any(&s->listeners[i].place) ||
		     place__same(place, &s->listeners[i].place)))
			return false;
	return true;
}

static int follow_doors(struct losses *x, const struct id_snapshot *s)
{
	int err = 0;

	/* A place that waits for its listener is meant here, where we are. */
	for (size_t i = 0; i < s->n_places && !err; i++) {
		const struct id_place *p = &s->places[i];
		struct tw_door d = { .port = p->key.port, .netns = x->own_netns };

		memcpy(d.addr, p->key.addr, sizeof(d.addr));
		if (!p->key.client && p->value.version && is_empty(s, &p->key))
			err = follow_door(x, &d, p->value.version);
	}
	for (size_t i = 0; i < s->n_listeners && !err; i++) {
		const struct id_listener *l = &s->listeners[i];
		struct tw_door d = { .port = l->place.port, .netns = l->netns };

		memcpy(d.addr, l->place.addr, sizeof(d.addr));
		err = follow_door(x, &d, (uint32_t)__builtin_ctzll(l->versions) + 1);
	}
	return err;
}

static void follow_netns(struct losses *x, const struct id_listener *l)
{
	struct netns *ns;

	for (size_t i = 0; i < x->n_spaces; i++)
		if (x->spaces[i].inode == l->netns)
			return;
	if (x->n_spaces == NETNS_MAX || (!l->own_netns && !l->holder))
		return;
	ns = &x->spaces[x->n_spaces];
	*ns = (struct netns){ .inode = l->netns, .pid = l->holder };
	ns->sockdiag = l->own_netns ? sockdiag__open() : netns__open_of(l->holder);
	if (ns->sockdiag < 0)
		log_debug("queues in network namespace %u cannot be read: %s", l->netns, strerror(-ns->sockdiag));
	else
		x->n_spaces++;
}

int losses__follow(struct losses *x, const struct id_snapshot *s)
{
	int err = 0;

	for (size_t i = 0; i < s->n_listeners && !err; i++) {
		err = follow_listener(x, &s->listeners[i]);
		follow_netns(x, &s->listeners[i]);
	}
	if (!err)
		err = follow_doors(x, s);
	x->followed = true;
	return err;
}

/* ---- sampling ---------------------------------------------------------------------------------------------------- */

/* Drops since the last look: by overflow if the queue was full in between, or is. */
static void add_drops(struct losses *x, struct tracked *t, uint32_t drops, bool full)
{
	uint32_t d = drops - t->last_drops;

	t->last_drops = drops;
	t->sampled = true;
	if (!d)
		return;
	if (t->kernel.full != t->last_full || full)
		t->overflows += d;
	else
		t->drops += d;
	t->last_full = t->kernel.full;
}

static void sample_one(struct losses *x, struct tracked *t, const struct sock *s)
{
	bool was_full = t->limit && t->queued > t->limit;

	t->queued = s->queued;
	t->limit = s->queue_limit;
	if (t->queued > t->deepest)
		t->deepest = t->queued;
	t->known = true;
	if (s->drops == t->last_drops)
		return;
	bpf_map_lookup_elem(x->maps.listeners, &t->cookie, &t->kernel);
	add_drops(x, t, s->drops, was_full || t->queued > t->limit);
}

/* It is in no table any more; the programs may have seen it go. */
static void gone(struct losses *x, struct tracked *t)
{
	bool was_full = t->queued > t->limit;

	bpf_map_lookup_elem(x->maps.listeners, &t->cookie, &t->kernel);
	if (t->kernel.closed)
		add_drops(x, t, t->kernel.drops, was_full || t->kernel.unaccepted > t->limit);
	t->open = false;
	t->queued = 0;
}

void losses__sample(struct losses *x)
{
	for (size_t i = 0; i < x->n_spaces; i++) {
		struct socktable sockets = { 0 };
		int err = sockdiag__listeners(x->spaces[i].sockdiag, &sockets, NULL);

		for (size_t k = 0; k < x->n_tracked && !err; k++) {
			struct tracked *t = &x->tracked[k];
			bool there = false;

			if (!t->open || t->netns != x->spaces[i].inode)
				continue;
			for (size_t s = 0; s < sockets.n && !there; s++) {
				there = sockets.v[s].cookie == t->cookie;
				if (there)
					sample_one(x, t, &sockets.v[s]);
			}
			if (!there && t->known)
				gone(x, t);
		}
		socktable__free(&sockets);
	}
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* A diag socket keeps its namespace alive: one in which nothing is left to look at is closed. */
static void leave_netns(struct losses *x)
{
	size_t kept = 0;

	for (size_t i = 0; i < x->n_spaces; i++) {
		bool needed = false;

		for (size_t k = 0; k < x->n_tracked && !needed; k++)
			needed = x->tracked[k].open && x->tracked[k].netns == x->spaces[i].inode;
		if (needed)
			x->spaces[kept++] = x->spaces[i];
		else
			close(x->spaces[i].sockdiag);
	}
	x->n_spaces = kept;
}

/* Sockets that came and went between two looks at the host: what the programs know of them must do. */
static int find_untracked(struct losses *x)
{
	uint64_t key, *last = NULL;
	struct tw_listener l;

	for (; !bpf_map_get_next_key(x->maps.listeners, last, &key); last = &key) {
		struct row like = { .netns = x->own_netns, .own_netns = true };
		struct tracked *t;
		int row = -1;

		if (tracked_find(x, key) || bpf_map_lookup_elem(x->maps.listeners, &key, &l) || !l.closed)
			continue;
		if (!l.version || l.version >= TW_MAX_VERSIONS) {
			/* A stranger's, on a port that a version shares with it. */
			bpf_map_delete_elem(x->maps.listeners, &key);
			last = NULL;
			continue;
		}
		like.versions = 1ULL << (l.version - 1);
		like.place.port = l.port;
		for (size_t i = 0; i < x->n_rows && row < 0; i++)
			if (x->rows[i].versions == like.versions && x->rows[i].place.port == l.port)
				row = (int)i;
		memcpy(like.place.addr, l.addr, sizeof(l.addr));
		if (row < 0)
			row = row_of(x, &like);
		if (row < 0)
			return -ENOMEM;
		t = track(x, key, row);
		if (!t) {
			leave_out(x, like.versions);
			bpf_map_delete_elem(x->maps.listeners, &key);
			last = NULL;
			continue;
		}
		t->kernel = l;
		gone(x, t);
	}
	return 0;
}

static void read_handshakes(struct losses *x)
{
	struct tw_handshake h;
	struct tw_tuple key, *last = NULL;
	struct timespec now;
	uint64_t young;

	clock_gettime(CLOCK_MONOTONIC, &now);
	young = (uint64_t)(now.tv_sec - HANDSHAKE_SECONDS) * 1000000000ULL + (uint64_t)now.tv_nsec;
	for (size_t i = 0; i < x->n_tracked; i++)
		x->tracked[i].handshaking = 0;
	/* An entry that goes while we are at it begins the walk anew: bounded. */
	for (int n = 0; n < 20000 && !bpf_map_get_next_key(x->maps.handshakes, last, &key); n++, last = &key) {
		struct tracked *t;

		if (bpf_map_lookup_elem(x->maps.handshakes, &key, &h) || h.t < young)
			continue;
		t = tracked_find(x, h.listener);
		if (t)
			t->handshaking++;
	}
}

/* Its figures go over into its address, and the programs may forget it. */
static void fold(struct losses *x, struct tracked *t)
{
	struct listener_figures *f = &x->rows[t->row].past;
	const struct tw_listener *k = &t->kernel;

	f->attempts += k->attempts;
	f->established += k->established;
	f->repeated += k->again;
	f->overflows += t->overflows;
	f->drops += t->drops;
	f->unaccepted += k->unaccepted;
	if (t->deepest > f->backlog_max)
		f->backlog_max = t->deepest;
	if (k->backlog_max > f->backlog_max)
		f->backlog_max = k->backlog_max;
	if (t->limit)
		f->backlog_limit = t->limit;
	bpf_map_delete_elem(x->maps.listeners, &t->cookie);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Counters add up over CPUs, all 64 bits wide; of ages the largest counts. */
static int read_versions(struct losses *x)
{
	for (uint32_t v = 0; v < TW_MAX_VERSIONS; v++) {
		uint64_t *to = (uint64_t *)&x->sum[v];

		if (bpf_map_lookup_elem(x->maps.losses, &v, x->per_cpu))
			return -errno;
		memset(&x->sum[v], 0, sizeof(x->sum[v]));
		for (int cpu = 0; cpu < x->maps.cpus; cpu++) {
			const struct tw_losses *l = &x->per_cpu[cpu];
			uint64_t upgraded = larger(x->sum[v].upgraded.age_max, l->upgraded.age_max);
			uint64_t streaming = larger(x->sum[v].streaming.age_max, l->streaming.age_max);

			for (size_t i = 0; i < sizeof(*l) / sizeof(*to); i++)
				to[i] += ((const uint64_t *)l)[i];
			x->sum[v].upgraded.age_max = upgraded;
			x->sum[v].streaming.age_max = streaming;
		}
	}
	return 0;
}

static void read_live(struct losses *x)
{
	const struct tw_live none = { 0 };
	char nothing[64];
	int fd;

	memset(x->open, 0, sizeof(x->open));
	if (x->live < 0)
		return;
	for (uint32_t v = 0; v < TW_MAX_VERSIONS; v++)
		bpf_map_update_elem(x->maps.live, &v, &none, BPF_ANY);
	fd = bpf_iter_create(x->live);
	if (fd < 0)
		return;
	while (read(fd, nothing, sizeof(nothing)) > 0)
		;
	close(fd);
	for (uint32_t v = 0; v < TW_MAX_VERSIONS; v++)
		bpf_map_lookup_elem(x->maps.live, &v, &x->open[v]);
}

int losses__read(struct losses *x)
{
	size_t kept = 0;
	int err;

	losses__sample(x);
	err = find_untracked(x);
	/* Closed ones first: a connection that ends in between is missed for once, not counted twice. */
	if (!err)
		err = read_versions(x);
	if (err)
		return err;
	read_live(x);
	read_handshakes(x);
	for (size_t i = 0; i < x->n_tracked; i++) {
		struct tracked *t = &x->tracked[i];

		bpf_map_lookup_elem(x->maps.listeners, &t->cookie, &t->kernel);
		if (t->open || t->handshaking)
			x->tracked[kept++] = *t;
		else
			fold(x, t);
	}
	x->n_tracked = kept;
	leave_netns(x);
	for (size_t i = 0; i < x->n_doors; i++) {
		struct tw_door_value v;

		if (!bpf_map_lookup_elem(x->maps.doors, &x->doors[i].key, &v))
			x->doors[i].refused = v.refused - x->doors[i].credited;
	}
	return 0;
}

/* ---- by version -------------------------------------------------------------------------------------------------- */

static void fill_row(const struct losses *x, size_t row, struct listener_figures *f)
{
	const struct row *r = &x->rows[row];

	*f = r->past;
	place__text(&r->place, r->family, f->address, sizeof(f->address));
	f->shared = r->versions & (r->versions - 1);
	for (size_t i = 0; i < x->n_tracked; i++) {
		const struct tracked *t = &x->tracked[i];
		const struct tw_listener *k = &t->kernel;
		uint32_t deepest = t->deepest > k->backlog_max ? t->deepest : k->backlog_max;

		if (t->row != row)
			continue;
		f->sockets += t->open;
		f->backlog += t->queued;
		f->backlog_limit = t->limit ? t->limit : f->backlog_limit;
		f->backlog_max = deepest > f->backlog_max ? deepest : f->backlog_max;
		f->attempts += k->attempts;
		f->established += k->established;
		f->handshaking += t->handshaking;
		f->repeated += k->again;
		f->overflows += t->overflows;
		f->drops += t->drops;
		f->unaccepted += k->unaccepted;
	}
}

static void fill_sessions(const struct tw_sessions *from, struct session_figures *to)
{
	uint64_t n;

	for (int i = 0; i < TW_END_NR; i++)
		to->ended[i] = from->ended[i];
	n = sessions_abrupt(to);
	to->age_mean = n ? (double)from->age_sum / 1e9 / (double)n : NAN;
	to->age_max = n ? (double)from->age_max / 1e9 : NAN;
}

static void add_row(struct version_losses *out, const struct listener_figures *f)
{
	out->attempts += f->attempts;
	out->established += f->established;
	out->handshaking += f->handshaking;
	out->repeated += f->repeated;
	out->overflows += f->overflows;
	out->drops += f->drops;
	out->unaccepted += f->unaccepted;
}

int losses__of(const struct losses *x, unsigned int version, struct version_losses *out)
{
	const struct feature_state *f = features__try();
	const struct tw_losses *l = &x->sum[version];
	const uint64_t bit = 1ULL << (version - 1);
	bool shared = false, door = false;

	*out = (struct version_losses){ 0 };
	out->listeners = calloc(x->n_rows + 1, sizeof(*out->listeners));
	if (!out->listeners)
		return -ENOMEM;
	for (size_t i = 0; i < x->n_rows; i++) {
		struct listener_figures *row = &out->listeners[out->n_listeners];

		if (!(x->rows[i].versions & bit))
			continue;
		fill_row(x, i, row);
		shared |= row->shared;
		if (!row->shared)
			add_row(out, row);
		out->n_listeners++;
	}
	for (size_t i = 0; i < x->n_doors; i++)
		if (x->doors[i].version == version) {
			out->refused += x->doors[i].refused;
			door = true;
		}
	/* Two versions behind one socket: which of them a SYN was for cannot be told. */
	out->has_attempts = !shared && door && !(x->left_out & bit);
	out->has_established = out->has_attempts && f[FEATURE_HANDSHAKE].ok;
	out->has_refused = door && !(x->left_out & bit) && f[FEATURE_REFUSE].ok;
	out->has_segments = out->has_sessions = f[FEATURE_DESTROY].ok;
	out->untracked = l->untracked;
	out->uncounted = l->uncounted;
	out->sent_segments = l->segments + x->open[version].segments;
	out->retransmitted_segments = l->retransmitted + x->open[version].retransmitted;
	out->idle_resets_by_server = l->idle_resets[0];
	out->idle_resets_by_client = l->idle_resets[1];
	fill_sessions(&l->upgraded, &out->upgraded);
	fill_sessions(&l->streaming, &out->streaming);
	return 0;
}
