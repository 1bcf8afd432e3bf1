// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/features.h"
#include "capture/programs.h"
#include "tillwatch.skel.h"

enum { EARLY, SOCKETS, TLS, WALKS };

struct inflight {
	struct tillwatch_bpf *skel;
	int walks[WALKS]; /* descriptors; -1: none */
};

/* -1: it cannot be had, which the feature tells from now on; or it is not wanted. */
static int attach(const struct programs *p, const char *name, const struct bpf_map *m, enum feature which)
{
	int fd;

	if (programs__fd(p, name) < 0 || !features__try()[which].ok)
		return -1;
	fd = programs__attach_walk(p, name, bpf_map__fd(m));
	if (fd < 0)
		features__refuse(which, -fd);
	return fd < 0 ? -1 : fd;
}

struct inflight *inflight__new(const struct programs *p, struct tillwatch_bpf *skel)
{
	struct inflight *f = calloc(1, sizeof(*f));
	/* A process that decrypts is seen by programs which this kernel may not have. */
	bool tls = programs__fd(p, "tw_inflight_tls") >= 0;

	if (!f)
		return NULL;
	f->skel = skel;
	f->walks[EARLY] = attach(p, "tw_inflight_early", skel->maps.early, FEATURE_INFLIGHT_EARLY);
	f->walks[SOCKETS] = attach(p, "tw_inflight", skel->maps.conns, FEATURE_INFLIGHT);
	f->walks[TLS] = attach(p, "tw_inflight_tls", skel->maps.tls_conns, FEATURE_INFLIGHT_EARLY);
	if (f->walks[EARLY] >= 0 && f->walks[SOCKETS] >= 0 && (f->walks[TLS] >= 0 || !tls))
		return f;
	inflight__free(f);
	errno = ENOTSUP;
	return NULL;
}

void inflight__free(struct inflight *f)
{
	if (!f)
		return;
	for (int i = 0; i < WALKS; i++)
		if (f->walks[i] >= 0)
			close(f->walks[i]);
	free(f);
}

/* The programs write nothing, so the first read goes all the way; it is repeated where the kernel takes a rest. */
static int walk(int link)
{
	char nothing[64];
	int err = 0, fd = bpf_iter_create(link);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, nothing, sizeof(nothing));
		err = n < 0 ? -errno : 0;
	} while (n > 0 || err == -EAGAIN || err == -EINTR);
	close(fd);
	return err;
}

int inflight__count(struct inflight *f, struct inflight_counts *out)
{
	struct tillwatch_bpf__bss *b = f->skel->bss;
	int err = 0;

	memset(b->inflight_requests, 0, sizeof(b->inflight_requests));
	memset(b->inflight_connections, 0, sizeof(b->inflight_connections));
	memset(b->inflight_oldest, 0, sizeof(b->inflight_oldest));
	memset(b->inflight_overdue, 0, sizeof(b->inflight_overdue));
	/* Connections move from the early ones to their sockets: in this order none is missed. */
	for (int i = 0; i < WALKS && !err; i++)
		err = f->walks[i] >= 0 ? walk(f->walks[i]) : 0;
	memcpy(out->requests, b->inflight_requests, sizeof(out->requests));
	memcpy(out->connections, b->inflight_connections, sizeof(out->connections));
	memcpy(out->oldest, b->inflight_oldest, sizeof(out->oldest));
	out->overdue = b->inflight_overdue;
	return err;
}
