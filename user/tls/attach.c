// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In this order they are attached, and in the reverse one let go of. */
static const enum tls_job order[] = {
	TLS_FREE_IN,     TLS_HANDSHAKE_OUT, TLS_HANDSHAKE_IN, TLS_SENDFILE_OUT,     TLS_SENDFILE_IN,
	TLS_WRITE_OUT,   TLS_WRITE_IN,      TLS_WRITE_EX_OUT, TLS_WRITE_EX_IN,      TLS_READ_OUT,
	TLS_READ_IN,     TLS_READ_EX_OUT,   TLS_READ_EX_IN,   TLS_READ_AT,          TLS_GO_WRITE_OUT,
	TLS_GO_WRITE_IN, TLS_GO_READ_OUT,   TLS_GO_READ_IN,   TLS_GO_HANDSHAKE_OUT, TLS_GO_HANDSHAKE_IN,
};
_Static_assert(sizeof(order) / sizeof(*order) == TLS_JOB_NR, "a job is missing");

/* A descriptor, and what it watches. */
struct held {
	int fd;
	const struct tls_site *like;
	unsigned int sites;
};

struct attaching {
	struct loader *loader;
	pid_t pid;
	char path[40];
	const struct tls_library *lib;
	const struct tls_site *sites; /* of lib: one of its two lists */
	size_t n_sites;
	struct held *held;
	size_t n_held;
	const char **bad; /* functions that cannot be watched */
	size_t n_bad;
	uint64_t *offsets, *cookies;
	int error; /* the first */
};

static bool is_bad(const struct attaching *a, const char *function)
{
	for (size_t i = 0; i < a->n_bad; i++)
		if (!strcmp(a->bad[i], function))
			return true;
	return false;
}

/* Watches n places with one descriptor. */
static int attach_places(struct attaching *a, const struct tls_site *like, size_t n)
{
	int fd = loader__tls_attach(a->loader, like->job, like->how == TLS_URETPROBE, a->pid, a->path, a->offsets,
	                            like->job == TLS_READ_AT ? a->cookies : NULL, n);

	if (fd < 0) {
		if (!a->error)
			a->error = fd;
		a->bad[a->n_bad++] = like->name;
		return fd;
	}
	a->held[a->n_held++] = (struct held){ fd, like, (unsigned int)n };
	return 0;
}

static bool alike(const struct tls_site *x, const struct tls_site *y)
{
	return x->job == y->job && (x->how == TLS_URETPROBE) == (y->how == TLS_URETPROBE) && !strcmp(x->name, y->name);
}

/* Has an earlier site of the list stood for this one already? */
static bool is_first(const struct attaching *a, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (alike(&a->sites[i], &a->sites[at]))
			return false;
	return true;
}

/* Watches all sites that are like this one. */
static int attach_alike(struct attaching *a, size_t at)
{
	const struct tls_site *sites = a->sites;
	bool many = loader__tls_many(a->loader);
	size_t n = 0;
	int err = 0;

	for (size_t i = at; i < a->n_sites && !err; i++) {
		if (!alike(&sites[i], &sites[at]))
			continue;
		a->offsets[n] = sites[i].offset;
		a->cookies[n++] = sites[i].where;
		if (!many) {
			err = attach_places(a, &sites[at], 1);
			n = 0;
		}
	}
	return err || !n ? err : attach_places(a, &sites[at], n);
}

/* 0, or a reason to go no further. */
static int attach_job(struct attaching *a, enum tls_job job)
{
	for (size_t i = 0; i < a->n_sites; i++) {
		const struct tls_site *site = &a->sites[i];
		int err;

		if (site->job != job || is_bad(a, site->name) || !is_first(a, i))
			continue;
		err = attach_alike(a, i);
		if (err == -ESRCH || (err && job == TLS_FREE_IN))
			return err;
	}
	return 0;
}

/* Does the program there keep in mind what another one is to find? */
static bool begins_a_call(const struct tls_site *site)
{
	return site->job == TLS_READ_IN || site->job == TLS_READ_EX_IN || site->job == TLS_WRITE_IN ||
	       site->job == TLS_WRITE_EX_IN || site->job == TLS_SENDFILE_IN || site->job == TLS_HANDSHAKE_IN ||
	       site->job == TLS_GO_READ_IN || site->job == TLS_GO_WRITE_IN || site->job == TLS_GO_HANDSHAKE_IN;
}

/* Puts into the hold what begins calls, or what does not. */
static void keep(const struct attaching *a, bool begins, struct tls_hold *hold)
{
	for (size_t i = a->n_held; i-- > 0;) {
		const struct held *h = &a->held[i];

		if (begins_a_call(h->like) != begins || is_bad(a, h->like->name))
			continue;
		hold->fds[hold->n++] = h->fd;
		hold->attached += h->sites;
	}
	if (begins)
		hold->first = hold->n;
}

/* Of functions that are bad nothing is kept: half a function is worse than none. */
static void drop(const struct attaching *a, struct closer *c)
{
	int *dropped = calloc(a->n_held + 1, sizeof(*dropped));
	size_t n = 0;

	for (size_t i = a->n_held; i-- > 0;) {
		if (!is_bad(a, a->held[i].like->name))
			continue;
		if (dropped)
			dropped[n++] = a->held[i].fd;
		else
			close(a->held[i].fd);
	}
	closer__add(c, dropped, 0, n, a->pid);
}

static void explain(const struct attaching *a, struct tls_hold *hold)
{
	const char *advice = a->error == -EMFILE ? " (raise the limit of open files)" : "";
	char others[32] = "";

	if (!a->error)
		return;
	if (hold->attached == 0) {
		snprintf(hold->note, sizeof(hold->note), "nothing is watched: %s: %s%s", a->bad[0], strerror(-a->error),
		         advice);
		return;
	}
	if (a->n_bad > 1)
		snprintf(others, sizeof(others), " and %zu more", a->n_bad - 1);
	snprintf(hold->note, sizeof(hold->note), "%s%s not watched: %s%s", a->bad[0], others, strerror(-a->error),
	         advice);
}

/* Where sessions are seen to begin and not to end, each is taken for the next one at the same address. */
static void nothing_at_all(struct attaching *a)
{
	for (size_t i = 0; i < a->n_held; i++)
		if (!is_bad(a, a->held[i].like->name))
			a->bad[a->n_bad++] = a->held[i].like->name;
}

static int attach_all(struct attaching *a, struct closer *c, struct tls_hold *hold)
{
	int err = a->lib->kind == TLS_GO ? loader__tls_goes(a->loader, a->pid) : 0;

	if (err) {
		a->error = err;
		a->bad[a->n_bad++] = "its goroutines";
	}
	for (int i = 0; i < TLS_JOB_NR && !err; i++)
		err = attach_job(a, order[i]);
	if (err && err != -ESRCH)
		nothing_at_all(a);
	keep(a, true, hold);
	keep(a, false, hold);
	hold->failed = (unsigned int)a->n_sites - hold->attached;
	explain(a, hold);
	drop(a, c);
	return err == -ESRCH ? err : 0;
}

int tls_attach(struct loader *l, struct closer *c, pid_t pid, int fd, const struct tls_library *lib,
               struct tls_hold *hold)
{
	struct attaching a = { .loader = l, .pid = pid, .lib = lib };
	size_t room;
	int err = 0;

	a.sites = tls_library__sites(lib, loader__tls_told(l), &a.n_sites);
	room = a.n_sites + 1;
	*hold = (struct tls_hold){ 0 };
	snprintf(a.path, sizeof(a.path), "/proc/self/fd/%d", fd);
	a.held = calloc(room, sizeof(*a.held));
	a.bad = calloc(2 * room, sizeof(*a.bad));
	a.offsets = calloc(room, sizeof(*a.offsets));
	a.cookies = calloc(room, sizeof(*a.cookies));
	hold->fds = calloc(room, sizeof(*hold->fds));
	if (a.held && a.bad && a.offsets && a.cookies && hold->fds) {
		err = attach_all(&a, c, hold);
	} else {
		hold->failed = (unsigned int)a.n_sites;
		snprintf(hold->note, sizeof(hold->note), "nothing is watched: out of memory");
	}
	free(a.held);
	free(a.bad);
	free(a.offsets);
	free(a.cookies);
	return err;
}

void tls_detach(struct closer *c, pid_t pid, struct tls_hold *hold)
{
	closer__add(c, hold->fds, hold->first, hold->n, pid);
	hold->fds = NULL;
	hold->first = hold->n = 0;
}
