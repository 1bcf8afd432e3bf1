// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sockets of all reachable network namespaces, joined with the processes that hold them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture/netns.h"
#include "capture/resolve.h"

bool version__place(const struct version *v, bool client, struct tw_place *place)
{
	const struct endpoint_addr *a = client ? &v->match.upstream : &v->match.listen;
	static const uint8_t v4_any[16] = { [10] = 0xff, [11] = 0xff };

	if (client ? !v->match.has_upstream : !v->match.has_listen)
		return false;
	*place = (struct tw_place){ .port = a->port, .client = client };
	if (!a->any_addr && memcmp(a->addr, v4_any, sizeof(v4_any)))
		memcpy(place->addr, a->addr, sizeof(place->addr));
	return true;
}

/* Connections to every upstream, each port asked for once; those to other addresses are left out of the table. */
static int scan_connections(const struct config *c, int nl, struct socktable *out, struct err *e)
{
	size_t first = out->n, kept = first;
	int err = 0;

	for (size_t i = 0; i < c->n_versions && !err; i++) {
		const struct match *m = &c->versions[i].match;
		bool asked = !m->has_upstream;

		for (size_t k = 0; k < i && !asked; k++)
			asked = c->versions[k].match.has_upstream &&
			        c->versions[k].match.upstream.port == m->upstream.port;
		if (!asked)
			err = sockdiag__connections_to(nl, m->upstream.port, out, e);
	}
	for (size_t s = first; s < out->n; s++) {
		struct tw_place place;
		bool wanted = false;

		for (size_t i = 0; i < c->n_versions && !wanted; i++)
			wanted = version__place(&c->versions[i], true, &place) && place__covers(&place, &out->v[s]);
		if (wanted)
			out->v[kept++] = out->v[s];
	}
	out->n = kept;
	return err;
}

static int scan_namespaces(const struct config *c, struct proctable *t, struct socktable *out, struct err *e)
{
	struct netns spaces[NETNS_MAX];
	size_t left_out = 0;
	int n, err = 0;

	n = netns__open_all(t, spaces, NETNS_MAX, &left_out);
	if (n < 0)
		return err_set(e, -n, "cannot open a netlink socket for the socket tables: %s", strerror(-n));
	if (left_out)
		log_debug("sockets of %zu network namespaces are not looked at (limit %d)", left_out, NETNS_MAX);
	for (int i = 0; i < n && !err; i++) {
		/* Only our own namespace must be readable; another may have ended, or be closed to us. */
		struct err *why = i ? NULL : e;
		size_t first = out->n;

		if (spaces[i].sockdiag < 0) {
			log_debug("network namespace %u: %s", spaces[i].inode, strerror(-spaces[i].sockdiag));
			continue;
		}
		err = sockdiag__listeners(spaces[i].sockdiag, out, why);
		if (!err && c)
			err = scan_connections(c, spaces[i].sockdiag, out, why);
		for (size_t s = first; s < out->n; s++) {
			out->v[s].netns = spaces[i].inode;
			out->v[s].own_netns = i == 0;
		}
		if (i && err != -ENOMEM)
			err = 0;
	}
	netns__close_all(spaces, (size_t)n);
	return err;
}

struct holding {
	struct socktable *sockets;
	uint32_t process;
};

static void hold(void *arg, uint64_t inode)
{
	struct holding *h = arg;

	socktable__hold(h->sockets, inode, h->process);
}

/* Kernels before 5.9 do not tell the cgroup of a socket: it is taken to be that of a holder, as it is nearly always. */
static void guess_cgroups(struct proctable *t, const struct cgroup2 *g, struct socktable *sockets)
{
	for (size_t i = 0; i < sockets->n; i++) {
		struct sock *s = &sockets->v[i];

		for (size_t k = 0; k < s->n_holders && !s->cgroup_id; k++) {
			const char *path = process__cgroup2(t, proctable__at(t, s->holders[k]));

			path = path ? cgroup2__below_mount(g, path) : NULL;
			if (path)
				cgroup2__id(g, path, &s->cgroup_id);
		}
	}
}

int sockets__scan(const struct config *c, struct proctable *t, const struct cgroup2 *g, struct socktable *out,
                  struct err *e)
{
	struct holding h = { .sockets = out };
	int err;

	*out = (struct socktable){ 0 };
	err = scan_namespaces(c, t, out, e);
	if (err)
		goto cleanup;
	err = socktable__index(out);
	if (!err && out->n)
		for (h.process = 0; h.process < proctable__count(t); h.process++)
			process__each_socket(t, proctable__at(t, h.process), hold, &h);
	if (!err)
		err = out->error;
	if (err) {
		err_set(e, -err, "out of memory joining sockets and processes");
		goto cleanup;
	}
	if (g)
		guess_cgroups(t, g, out);
cleanup:
	if (err)
		socktable__free(out);
	return err;
}

int listeners__list(struct listener **out, size_t *n, struct err *e)
{
	struct proctable *t = NULL;
	struct socktable sockets = { 0 };
	struct cgroup2 g;
	bool have_cgroup2;
	int err;

	*out = NULL;
	*n = 0;
	have_cgroup2 = !cgroup2__open(&g, NULL);
	err = proctable__new(&t, e);
	if (!err)
		err = sockets__scan(NULL, t, have_cgroup2 ? &g : NULL, &sockets, e);
	if (err)
		goto cleanup;
	*out = calloc(sockets.n ? sockets.n : 1, sizeof(**out));
	if (!*out) {
		err = err_set(e, ENOMEM, "out of memory for the list of listeners");
		goto cleanup;
	}
	for (size_t i = 0; i < sockets.n; i++) {
		const struct sock *s = &sockets.v[i];
		struct listener *l = &(*out)[(*n)++];

		*l = (struct listener){ .place = s->place,
			                .inode = s->inode,
			                .cgroup_id = s->cgroup_id,
			                .netns = s->netns,
			                .by_own_netns = s->own_netns };
		for (size_t k = 0; k < s->n_holders && !l->tgid; k++) {
			struct process *p = proctable__at(t, s->holders[k]);

			if (!process__stat(t, p))
				continue;
			l->tgid = p->pid;
			memcpy(l->comm, p->comm, sizeof(l->comm));
		}
	}
cleanup:
	socktable__free(&sockets);
	proctable__free(t);
	cgroup2__close(&g);
	return err;
}
