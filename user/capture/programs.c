// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tillwatch.skel.h"

/* ---- which programs ---------------------------------------------------------------------------------------------- */

/* In the order of bpf/tails.h. */
static const char *const ingress_tails[] = {
	"ingress_requests",
	"ingress_responses",
	"ingress_hold_requests",
	"ingress_hold_responses",
	"ingress_flush",
	"ingress_tls",
	NULL, /* nothing leaves by arriving */
	"ingress_tls_flush",
	"ingress_h2_first",
	"ingress_h2_upgrade",
	"ingress_h2",
	"ingress_h2_early",
};
static const char *const egress_tails[] = {
	"egress_requests",
	"egress_responses",
	NULL,
	NULL,
	"egress_flush",
	"egress_tls",
	"egress_tls_gone",
	"egress_tls_flush",
	"egress_h2_first",
	"egress_h2_upgrade",
	"egress_h2",
	NULL,
};

/* In the order of bpf/tls_plain.h. */
static const char *const tls_runs[] = {
	"tls_run_requests",
	"tls_run_responses",
	"tls_run_requests_careful",
	"tls_run_responses_careful",
	"tls_run_flush",
	"tls_run_gone",
	"tls_run_client_requests",
	"tls_run_client_responses",
	"tls_run_client_requests_careful",
	"tls_run_client_responses_careful",
	"tls_run_h2_requests",
	"tls_run_h2_responses",
};

/* Reached only where we are the client. */
static const char *const of_clients[] = {
	"ingress_responses",
	"ingress_hold_responses",
	"egress_requests",
	"tls_run_client_requests",
	"tls_run_client_requests_careful",
	"tls_run_client_responses",
	"tls_run_client_responses_careful",
};

#define PARTS        4 /* at most, and no more than there are CPUs */
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

void programs__choose(struct tillwatch_bpf *maps, bool have_clients)
{
	for (size_t i = 0; i < COUNT(of_clients) && !have_clients; i++)
		bpf_program__set_autoload(bpf_object__find_program_by_name(maps->obj, of_clients[i]), false);
}

static int link_table(const struct programs *p, const struct bpf_map *table, const char *const *names, size_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int fd = names[i] ? programs__fd(p, names[i]) : -1;

		if (fd >= 0 && bpf_map_update_elem(bpf_map__fd(table), &i, &fd, BPF_ANY))
			return -errno;
	}
	return 0;
}

int programs__link(const struct programs *p, const struct tillwatch_bpf *maps)
{
	int err = link_table(p, maps->maps.ingress_tails, ingress_tails, COUNT(ingress_tails));

	if (!err)
		err = link_table(p, maps->maps.egress_tails, egress_tails, COUNT(egress_tails));
	if (!err)
		err = link_table(p, maps->maps.tls_runs, tls_runs, COUNT(tls_runs));
	return err;
}

static bool is_in(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (names[i] && !strcmp(names[i], name))
			return true;
	return false;
}

bool programs__is_called(const char *name)
{
	return is_in(ingress_tails, COUNT(ingress_tails), name) || is_in(egress_tails, COUNT(egress_tails), name) ||
	       is_in(tls_runs, COUNT(tls_runs), name);
}

int programs__fd(const struct programs *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->p[i].name, name))
			return p->p[i].fd;
	return -1;
}

/* ---- attaching --------------------------------------------------------------------------------------------------- */

int programs__attach_trace(const struct programs *p, const char *name)
{
	int fd = bpf_raw_tracepoint_open(NULL, programs__fd(p, name));

	return fd < 0 ? -errno : fd;
}

int programs__attach_walk(const struct programs *p, const char *name, int map)
{
	union bpf_iter_link_info info = { .map.map_fd = (uint32_t)map };
	LIBBPF_OPTS(bpf_link_create_opts, o, .iter_info = &info, .iter_info_len = sizeof(info));
	int fd = bpf_link_create(programs__fd(p, name), 0, BPF_TRACE_ITER, &o);

	return fd < 0 ? -errno : fd;
}

int programs__attach_cgroup(const struct programs *p, const char *name, int cgroup, bool ingress)
{
	int fd = bpf_link_create(programs__fd(p, name), cgroup,
	                         ingress ? BPF_CGROUP_INET_INGRESS : BPF_CGROUP_INET_EGRESS, NULL);

	return fd < 0 ? -errno : fd;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

/*
 * Thousands of instructions that a verifier walked for those that take long, to share them out evenly: where they are
 * wrong, loading takes longer and is no less right. `doctor --verbose` tells them.
 */
static const struct {
	const char *name;
	unsigned int cost;
} heavy[] = {
	{ "ingress_responses", 155 },
	{ "egress_responses", 148 },
	{ "ingress_requests", 128 },
	{ "ingress_h2", 123 },
	{ "tw_ingress", 110 },
	{ "egress_requests", 109 },
	{ "tw_destroy", 87 },
	{ "tw_destroy_again", 87 },
	{ "ingress_h2_early", 83 },
	{ "tw_fail", 73 },
	{ "tw_fail_again", 73 },
	{ "tls_run_requests_careful", 66 },
	{ "tls_run_client_requests_careful", 66 },
	{ "egress_h2", 66 },
	{ "ingress_h2_first", 61 },
	{ "tw_egress", 61 },
	{ "tls_run_requests", 56 },
	{ "tls_run_client_responses_careful", 53 },
	{ "tls_run_client_requests", 48 },
	{ "ingress_flush", 45 },
	{ "egress_flush", 45 },
	{ "ingress_tls", 44 },
	{ "egress_tls", 43 },
	{ "tls_run_responses_careful", 39 },
	{ "egress_h2_first", 29 },
	{ "tw_read", 28 },
	{ "tw_read_again", 28 },
	{ "tw_inflight", 26 },
	{ "tw_inflight_tls", 26 },
	{ "tls_run_client_responses", 23 },
	{ "tls_run_h2_requests", 21 },
	{ "tls_run_h2_responses", 20 },
	{ "ingress_hold_requests", 17 },
	{ "ingress_hold_responses", 17 },
	{ "egress_tls_gone", 15 },
	{ "tls_run_responses", 13 },
	{ "tls_run_gone", 12 },
};

/* The parts while they are loaded. */
struct part {
	struct tillwatch_bpf *skel;
	pthread_t thread;
	bool started;
	int err;
};

static void switch_on(struct part *part, const struct bpf_program *like, bool on)
{
	struct bpf_program *p = bpf_object__find_program_by_name(part->skel->obj, bpf_program__name(like));

	bpf_program__set_autoload(p, on);
	if (on)
		bpf_program__set_expected_attach_type(p, bpf_program__expected_attach_type(like));
}

/* The heavy ones in order, each to the part that has least to do so far; the others to the first. */
static void share_out(struct part *parts, size_t n, const struct tillwatch_bpf *maps)
{
	unsigned int load[PARTS] = { 0 };
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, maps->obj)
		for (size_t i = 0; i < n; i++)
			switch_on(&parts[i], prog, !i && bpf_program__autoload(prog));
	for (size_t k = 0; k < COUNT(heavy); k++) {
		size_t to = 0;

		prog = bpf_object__find_program_by_name(maps->obj, heavy[k].name);
		if (!prog || !bpf_program__autoload(prog))
			continue;
		for (size_t i = 1; i < n; i++)
			to = load[i] < load[to] ? i : to;
		load[to] += heavy[k].cost;
		switch_on(&parts[0], prog, false);
		switch_on(&parts[to], prog, true);
	}
}

static int share_maps(struct part *part, const struct tillwatch_bpf *maps)
{
	const struct bpf_map *from = NULL;
	struct bpf_map *to;
	int err = 0;

	bpf_object__for_each_map (to, part->skel->obj) {
		from = bpf_object__next_map(maps->obj, from);
		err = from ? bpf_map__reuse_fd(to, bpf_map__fd(from)) : -EINVAL;
		if (err)
			break;
	}
	return err;
}

static void *load_part(void *arg)
{
	struct part *part = arg;

	part->err = bpf_object__load(part->skel->obj);
	return NULL;
}

/* All at once; 0 or the first error. */
static int load_parts(struct part *parts, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		/* The last one is for this thread; so is what no other can be had for. */
		parts[i].started = i + 1 < n && !pthread_create(&parts[i].thread, NULL, load_part, &parts[i]);
		if (!parts[i].started)
			load_part(&parts[i]);
	}
	for (size_t i = 0; i < n; i++) {
		if (parts[i].started)
			pthread_join(parts[i].thread, NULL);
		if (!err)
			err = parts[i].err;
	}
	return err;
}

static size_t count_parts(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? PARTS : CPU_COUNT(&set);

	return n > PARTS ? PARTS : (size_t)n;
}

static int take_one(struct programs *p, const struct bpf_program *prog)
{
	struct program *to;

	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;

		to = reallocarray(p->p, room, sizeof(*to));
		if (!to)
			return -ENOMEM;
		p->p = to;
		p->room = room;
	}
	to = &p->p[p->n];
	if (snprintf(to->name, sizeof(to->name), "%s", bpf_program__name(prog)) >= (int)sizeof(to->name))
		return -ENAMETOOLONG;
	snprintf(to->hook, sizeof(to->hook), "%s", bpf_program__section_name(prog));
	to->fd = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 0);
	if (to->fd < 0)
		return -errno;
	p->n++;
	return 0;
}

int programs__take(struct programs *p, const struct bpf_object *object)
{
	struct bpf_program *prog;
	int err = 0;

	bpf_object__for_each_program (prog, object) {
		if (bpf_program__fd(prog) >= 0)
			err = take_one(p, prog);
		if (err)
			break;
	}
	return err;
}

int programs__load(struct programs *p, struct tillwatch_bpf *maps)
{
	struct part parts[PARTS] = { 0 };
	size_t n = count_parts();
	struct bpf_program *prog;
	int err = 0;

	*p = (struct programs){ 0 };
	for (size_t i = 0; i < n && !err; i++) {
		parts[i].skel = tillwatch_bpf__open();
		err = parts[i].skel ? 0 : -errno;
	}
	if (err)
		goto cleanup;
	share_out(parts, n, maps);
	bpf_object__for_each_program (prog, maps->obj)
		bpf_program__set_autoload(prog, false);
	err = tillwatch_bpf__load(maps);
	for (size_t i = 0; i < n && !err; i++)
		err = share_maps(&parts[i], maps);
	if (!err)
		err = load_parts(parts, n);
	for (size_t i = 0; i < n && !err; i++)
		err = programs__take(p, parts[i].skel->obj);
	if (!err)
		err = programs__link(p, maps);
cleanup:
	for (size_t i = 0; i < n; i++)
		tillwatch_bpf__destroy(parts[i].skel);
	malloc_trim(0); /* or what a thread had freed stays with us */
	return err;
}

void programs__free(struct programs *p)
{
	for (size_t i = 0; i < p->n; i++)
		close(p->p[i].fd);
	free(p->p);
	*p = (struct programs){ 0 };
}
