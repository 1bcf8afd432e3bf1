// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/loader_state.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/procfs.h"
#include "model/histogram.h"

int loader__route(struct loader *l, uint64_t hash, uint16_t endpoint)
{
	uint32_t value = endpoint;

	return bpf_map_update_elem(bpf_map__fd(l->skel->maps.routes), &hash, &value, BPF_ANY);
}

uint16_t loader__route_find(struct loader *l, uint64_t hash)
{
	uint32_t value = 0;

	bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.routes), &hash, &value);
	return (uint16_t)value;
}

int loader__process(struct loader *l, uint32_t tgid, uint16_t version)
{
	int fd = bpf_map__fd(l->skel->maps.procs);
	uint32_t value = version;

	if (!version) {
		bpf_map_delete_elem(fd, &tgid);
		return 0;
	}
	return bpf_map_update_elem(fd, &tgid, &value, BPF_ANY) ? -errno : 0;
}

void loader__processes_sweep(struct loader *l)
{
	int fd = bpf_map__fd(l->skel->maps.procs);
	uint32_t tgid, next;
	bool more;

	for (more = !bpf_map_get_next_key(fd, NULL, &tgid); more; tgid = next) {
		more = !bpf_map_get_next_key(fd, &tgid, &next);
		if (process__has_gone((pid_t)tgid))
			bpf_map_delete_elem(fd, &tgid);
	}
}

int loader__rules(struct loader *l, const struct tw_rule *rules, size_t n)
{
	int fd = bpf_map__fd(l->skel->maps.rules);

	for (uint32_t ep = 0; ep < TW_MAX_ENDPOINTS; ep++)
		if (bpf_map_update_elem(fd, &ep, &rules[ep < n ? ep : 0], BPF_ANY))
			return -errno;
	return 0;
}

/* The lowest bucket that holds something too slow by the endpoint's rule. */
static uint16_t bad_from(const struct loader *l, uint32_t endpoint)
{
	struct tw_rule rule;

	if (bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.rules), &endpoint, &rule) ||
	    rule.slower_than == TW_NEVER_SLOW)
		return 0;
	return (uint16_t)histogram_bucket(rule.slower_than + 1);
}

int loader__slot(struct loader *l, uint16_t version, uint16_t endpoint)
{
	uint32_t key = version * TW_MAX_ENDPOINTS + endpoint;
	struct tw_slot slot = { 0 };
	int fd = bpf_map__fd(l->skel->maps.slots);

	if (version >= TW_MAX_VERSIONS || endpoint >= TW_MAX_ENDPOINTS)
		return -EINVAL;
	if (!bpf_map_lookup_elem(fd, &key, &slot) && slot.slot)
		return (int)slot.slot;
	if (l->next_slot > l->slots)
		return -ENOSPC;
	slot.slot = l->next_slot;
	slot.bad_from = bad_from(l, endpoint);
	if (bpf_map_update_elem(fd, &key, &slot, BPF_ANY))
		return -errno;
	l->next_slot++;
	return (int)slot.slot;
}

int loader__slow_from(struct loader *l, uint16_t version, uint16_t endpoint, unsigned int bucket)
{
	uint32_t key = version * TW_MAX_ENDPOINTS + endpoint;
	int fd = bpf_map__fd(l->skel->maps.slots);
	struct tw_slot slot;

	if (version >= TW_MAX_VERSIONS || endpoint >= TW_MAX_ENDPOINTS)
		return -EINVAL;
	if (bpf_map_lookup_elem(fd, &key, &slot))
		return -errno;
	if (slot.slow_from == bucket)
		return 0;
	slot.slow_from = (uint16_t)bucket;
	return bpf_map_update_elem(fd, &key, &slot, BPF_ANY) ? -errno : 0;
}

void loader__drain_mask(struct loader *l, unsigned int mask)
{
	struct timespec now;

	if (l->skel->bss->drain_mask == mask)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	l->skel->bss->drain_since = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	l->skel->bss->drain_mask = mask;
}

void loader__route_budget(struct loader *l, unsigned int n)
{
	l->skel->bss->route_budget = n;
}

void loader__detail_budget(struct loader *l, unsigned int n)
{
	l->skel->bss->detail_budget = n;
}

void loader__shed_details(struct loader *l, bool shed)
{
	l->skel->bss->detail_shed = shed;
}

int loader__read_slot(struct loader *l, unsigned int slot, struct tw_series *out)
{
	uint32_t key = slot;

	memset(out, 0, sizeof(*out));
	if (bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.series), &key, l->per_cpu))
		return -errno;
	for (int i = 0; i < l->cpus; i++)
		tw_series_add(out, &l->per_cpu[i]);
	tw_series_expand(out);
	return 0;
}

int loader__read_ledger(struct loader *l, struct tw_ledger_row *rows)
{
	memset(rows, 0, sizeof(*rows) * TW_MAX_VERSIONS);
	for (uint32_t lane = 0; lane < TW_LANES; lane++) {
		if (bpf_map_lookup_elem(bpf_map__fd(l->skel->maps.lanes), &lane, l->lanes))
			return -errno;
		for (int cpu = 0; cpu < l->cpus; cpu++) {
			const struct tw_ledger_row *from = (const void *)(l->lanes + (size_t)cpu * l->lane_size);

			for (int v = 0; v < TW_MAX_VERSIONS; v++)
				for (int i = 0; i < TW_L_NR; i++)
					rows[v].c[i] += from[v].c[i];
		}
	}
	return 0;
}

int loader__inflight(struct loader *l, struct inflight_counts *out)
{
	return l->inflight ? inflight__count(l->inflight, out) : -ENOTSUP;
}

uint64_t loader__lanes_exhausted(const struct loader *l)
{
	return l->skel->bss->lanes_exhausted;
}

void loader__loss_maps(const struct loader *l, struct loss_maps *out)
{
	*out = (struct loss_maps){
		.doors = bpf_map__fd(l->skel->maps.doors),
		.listeners = bpf_map__fd(l->skel->maps.listeners),
		.handshakes = bpf_map__fd(l->skel->maps.handshakes),
		.losses = bpf_map__fd(l->skel->maps.losses),
		.live = bpf_map__fd(l->skel->maps.live),
		.conns = bpf_map__fd(l->skel->maps.conns),
		.programs = &l->programs,
		.cpus = l->cpus,
	};
}

void loader__h2_unsaid(struct loader *l, void (*fn)(void *arg, uint64_t conn, uint32_t err), void *arg)
{
	int fd = bpf_map__fd(l->skel->maps.h2_unsaid);
	uint32_t err;
	uint64_t conn;

	while (!bpf_map_get_next_key(fd, NULL, &conn)) {
		if (!bpf_map_lookup_elem(fd, &conn, &err))
			fn(arg, conn, err);
		if (bpf_map_delete_elem(fd, &conn))
			return;
	}
}

static void forget_chunks(int fd, uint64_t before)
{
	static struct {
		uint64_t t;
		char bytes[4096];
	} chunk;
	struct {
		uint64_t name;
		uint32_t seq, pad;
	} key, next;
	bool more;

	for (more = !bpf_map_get_next_key(fd, NULL, &key); more; key = next) {
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (!bpf_map_lookup_elem(fd, &key, &chunk) && chunk.t < before)
			bpf_map_delete_elem(fd, &key);
	}
}

/* Where nothing follows the connection: it has gone, or it turned out to speak something else. */
static void forget_places(int fd, uint64_t before, bool (*follows)(void *arg, uint64_t conn), void *arg)
{
	static struct {
		uint64_t t;
		uint32_t rest[4];
	} places[128];
	uint64_t conn, next, latest;
	bool more;

	for (more = !bpf_map_get_next_key(fd, NULL, &conn); more; conn = next) {
		more = !bpf_map_get_next_key(fd, &conn, &next);
		if (follows(arg, conn) || bpf_map_lookup_elem(fd, &conn, places))
			continue;
		latest = 0;
		for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
			latest = places[i].t > latest ? places[i].t : latest;
		if (latest < before)
			bpf_map_delete_elem(fd, &conn);
	}
}

void loader__h2_forget(struct loader *l, uint64_t before, bool (*follows)(void *arg, uint64_t conn), void *arg)
{
	const struct bpf_map *chunks = l->skel->maps.h2_chunks, *places = l->skel->maps.h2_earlies;

	/* As bpf/h2_maps.h has them. */
	if (bpf_map__value_size(chunks) == 8 + 4096 && bpf_map__key_size(chunks) == 16)
		forget_chunks(bpf_map__fd(chunks), before);
	if (bpf_map__value_size(places) == 128 * 24 && bpf_map__key_size(places) == 8)
		forget_places(bpf_map__fd(places), before, follows, arg);
}

int loader__readers(const struct loader *l)
{
	return bpf_map__fd(l->skel->maps.readers);
}

int loader__ring_fd(const struct loader *l)
{
	return ring_buffer__epoll_fd(l->ring);
}

int loader__drain(struct loader *l, int (*fn)(void *arg, void *data, size_t len), void *arg)
{
	l->fn = fn;
	l->arg = arg;
	return ring_buffer__consume(l->ring);
}
