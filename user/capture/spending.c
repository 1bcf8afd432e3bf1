// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/spending.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/loader_state.h"
#include "rights/keeper.h"
#include "rights/rights.h"

#define BATCHES 7 /* the least disturbed of them counts */
#define RUNS    2000

/* ---- programs and maps ------------------------------------------------------------------------------------------- */

/* What the kernel says an object of this descriptor takes; 0: it does not say. */
static uint64_t memory_of(int fd)
{
	char path[48], line[128];
	uint64_t bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %" SCNu64, &bytes) == 1)
			break;
	if (f)
		fclose(f);
	return bytes;
}

size_t spending__programs(const struct loader *l)
{
	return l->programs.n;
}

int spending__program(const struct loader *l, size_t i, struct cost_program *out)
{
	const struct program *p = &l->programs.p[i];
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	*out = (struct cost_program){ .called = programs__is_called(p->name) };
	/* An iterator runs when we read from it. */
	out->ours = !strncmp(p->hook, "iter", 4);
	memcpy(out->name, p->name, sizeof(out->name));
	memcpy(out->hook, p->hook, sizeof(out->hook));
	if (bpf_obj_get_info_by_fd(p->fd, &info, &len))
		return -errno;
	out->id = info.id;
	out->runs = info.run_cnt;
	out->ns = info.run_time_ns;
	return 0;
}

uint64_t spending__program_bytes(const struct loader *l, size_t i)
{
	return memory_of(l->programs.p[i].fd);
}

uint64_t spending__map_bytes(const struct loader *l)
{
	const struct bpf_map *map;
	uint64_t bytes = 0;

	bpf_object__for_each_map (map, l->skel->obj)
		if (bpf_map__fd(map) >= 0)
			bytes += memory_of(bpf_map__fd(map));
	return bytes;
}

/* ---- run-time statistics ----------------------------------------------------------------------------------------- */

int statistics__on(void)
{
	return keeper__statistics();
}

bool statistics__are_on(void)
{
	return rights__statistics_are_on();
}

int statistics_cost__program(void)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, "tw_nothing", "GPL", code, 2, NULL);

	return fd < 0 ? -errno : fd;
}

static int read_statistics(int prog, struct bpf_prog_info *info)
{
	uint32_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(prog, info, &len) ? -errno : 0;
}

/* The ns that a run takes, and those that the statistics show for it: NaN while they are off. */
static int measure_runs(int prog, double *took, double *shown)
{
	char packet[64] = { 0 };
	struct bpf_prog_info before, after;
	int err = 0;

	*took = *shown = INFINITY;
	for (int i = 0; i < BATCHES && !err; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = sizeof(packet), .repeat = RUNS);

		err = read_statistics(prog, &before);
		if (!err && bpf_prog_test_run_opts(prog, &o))
			err = -errno;
		if (!err)
			err = read_statistics(prog, &after);
		if (err)
			break;
		*took = fmin(*took, o.duration);
		if (after.run_cnt > before.run_cnt)
			*shown = fmin(*shown, (double)(after.run_time_ns - before.run_time_ns) /
			                              (double)(after.run_cnt - before.run_cnt));
	}
	if (isinf(*shown))
		*shown = NAN;
	return err;
}

static int measure(int prog, double *took, double *shown)
{
	int err = prog < 0 ? prog : measure_runs(prog, took, shown);

	if (err)
		*took = *shown = NAN;
	return err;
}

int statistics_cost__off(int prog, double *plain)
{
	double shown;
	int err = measure(prog, plain, &shown);

	if (!isnan(shown))
		*plain = NAN;
	return err;
}

int statistics_cost__on(int prog, double plain, double *shown, double *added)
{
	double took;
	int err = measure(prog, &took, shown);

	/* Also NaN where one of them is. */
	*added = took - plain;
	if (*added < 0)
		*added = 0;
	if (isnan(*shown))
		*added = NAN;
	return err;
}
