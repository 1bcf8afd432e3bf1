// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/features.h"
#include "tillwatch.skel.h"

enum { EARLY, SOCKETS, WALKS };

struct inflight {
	struct tillwatch_bpf *skel;
	struct bpf_link *walks[WALKS];
};

static struct bpf_link *attach(struct bpf_program *p, const struct bpf_map *m, enum feature which)
{
	union bpf_iter_link_info info = { .map.map_fd = (__u32)bpf_map__fd(m) };
	LIBBPF_OPTS(bpf_iter_attach_opts, o, .link_info = &info, .link_info_len = sizeof(info));
	struct bpf_link *link;

	if (!features__try()[which].ok)
		return NULL;
	link = bpf_program__attach_iter(p, &o);
	if (!link)
		features__refuse(which, errno);
	return link;
}

struct inflight *inflight__new(struct tillwatch_bpf *skel)
{
	struct inflight *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->skel = skel;
	f->walks[EARLY] = attach(skel->progs.tw_inflight_early, skel->maps.early, FEATURE_INFLIGHT_EARLY);
	f->walks[SOCKETS] = attach(skel->progs.tw_inflight, skel->maps.conns, FEATURE_INFLIGHT);
	if (f->walks[EARLY] && f->walks[SOCKETS])
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
		bpf_link__destroy(f->walks[i]);
	free(f);
}

/* The programs write nothing, so the first read goes all the way; it is repeated where the kernel takes a rest. */
static int walk(struct bpf_link *link)
{
	char nothing[64];
	int err = 0, fd = bpf_iter_create(bpf_link__fd(link));
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
		err = walk(f->walks[i]);
	memcpy(out->requests, b->inflight_requests, sizeof(out->requests));
	memcpy(out->connections, b->inflight_connections, sizeof(out->connections));
	memcpy(out->oldest, b->inflight_oldest, sizeof(out->oldest));
	out->overdue = b->inflight_overdue;
	return err;
}
