// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/features.h"
#include "capture/http1_table.h"
#include "capture/near_ports.h"
#include "model/histogram.h"
#include "tillwatch.skel.h"
#include "tw_series.h"

/* One cgroup we are attached to. */
struct attachment {
	uint64_t id;
	struct bpf_link *ingress, *egress;
	bool wanted;
};

struct loader {
	struct tillwatch_bpf *skel;
	struct ring_buffer *ring;
	struct inflight *inflight; /* NULL: the kernel has no iterators */
	struct attachment *attached;
	size_t n_attached;
	struct id_place *places;
	size_t n_places;
	struct id_process *processes;
	size_t n_processes;
	unsigned int slots, next_slot;
	int cpus;
	struct tw_series *per_cpu; /* [cpus], for reading */
	char *lanes;               /* [cpus] values of the lanes map */
	size_t lane_size;
	int (*fn)(void *arg, void *data, size_t len);
	void *arg;
};

/* A load log can have megabytes, with the reason at the end. */
#define LOG_TAIL 4096

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text, *rest, *line;
	int n;

	if (log_threshold < LOG_DEBUG)
		return 0;
	n = vasprintf(&text, fmt, ap);
	if (n < 0)
		return 0;
	rest = n > LOG_TAIL ? text + n - LOG_TAIL : text;
	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_debug("%s", line);
	free(text);
	return 0;
}

static int on_record(void *arg, void *data, size_t len)
{
	struct loader *l = arg;

	return l->fn ? l->fn(l->arg, data, len) : 0;
}

static void set_constants(struct tillwatch_bpf *skel, const struct loader_options *o)
{
	uint64_t bounds[TW_BOUNDS_TABLE];
	uint16_t cells[BUCKET_CELLS];
	struct timespec jiffy;

	http1_table_build();
	histogram_bounds(bounds);
	memcpy((void *)skel->rodata->h1_classes, h1_classes, sizeof(skel->rodata->h1_classes));
	memcpy((void *)skel->rodata->h1_transitions, h1_transitions, sizeof(skel->rodata->h1_transitions));
	memcpy((void *)skel->rodata->tw_bounds, bounds, sizeof(skel->rodata->tw_bounds));
	histogram_cells(cells);
	memcpy((void *)skel->rodata->tw_cells, cells, sizeof(skel->rodata->tw_cells));
	skel->rodata->hash_seed = o->seed;
	skel->rodata->endpoint_other = o->endpoint_other;
	skel->rodata->have_clients = o->have_clients;
	skel->rodata->watch_process = o->watch_process;
	skel->rodata->note_readers = o->note_readers;
	skel->rodata->ring_wakeup = 256 << 10;
	if (o->timeout)
		skel->rodata->response_timeout = o->timeout;
	/* What a tracepoint may do with socket storage, an iterator may: both came with 5.11. */
	skel->rodata->iterators_find_storage = features__try()[FEATURE_READ].ok;
	/* A coarse clock moves once a jiffy. */
	if (!clock_getres(CLOCK_MONOTONIC_COARSE, &jiffy))
		skel->bss->jiffy_ns = (uint32_t)jiffy.tv_nsec;
}

/* The one place where optional programs are switched on: those before `end` that this kernel takes. */
static void choose_programs(struct tillwatch_bpf *skel, int end)
{
	const struct feature_state *f = features__try();

	for (int i = FEATURE_PACKETS + 1; i < FEATURE_NR; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(skel->obj, f[i].name);

		if (p)
			bpf_program__set_autoload(p, i < end && f[i].ok);
	}
}

/* Opens, configures and loads the packet programs and the optional ones before `end`. 0 or a negative errno. */
static int load_programs(struct loader *l, const struct loader_options *o, int end)
{
	int err;

	tillwatch_bpf__destroy(l->skel);
	l->skel = tillwatch_bpf__open();
	if (!l->skel)
		return -errno;
	set_constants(l->skel, o);
	choose_programs(l->skel, end);
	err = bpf_map__set_max_entries(l->skel->maps.series, o->slots + 1);
	return err ? err : tillwatch_bpf__load(l->skel);
}

/*
 * An optional program can be refused although its trial passed. Which one it is shows when they are added one after the
 * other; the others stay. Without the optional ones refused as well: the packet programs are at fault.
 */
static int load_piecemeal(struct loader *l, const struct loader_options *o)
{
	const struct feature_state *f = features__try();
	int err = load_programs(l, o, FEATURE_PACKETS + 1);

	if (err)
		return err;
	log_info("the kernel refuses the programs as a whole: trying them one by one");
	for (int i = FEATURE_PACKETS + 1; i < FEATURE_NR; i++) {
		if (!f[i].ok)
			continue;
		err = load_programs(l, o, i + 1);
		if (err)
			features__refuse(i, -err);
	}
	return err ? load_programs(l, o, FEATURE_NR) : 0;
}

/*
 * Tracepoints apply to the host; their first question is whether the port is watched. One that cannot be attached is a
 * feature that this kernel lacks. Iterators are attached to their maps, by inflight.c.
 */
static void attach_hooks(struct loader *l)
{
	const struct feature_state *f = features__try();
	const struct bpf_object_skeleton *s = l->skel->skeleton;

	for (int i = FEATURE_PACKETS + 1; i < FEATURE_NR; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(l->skel->obj, f[i].name);
		struct bpf_link *link;

		/* What goes through a map is attached where the map is: losses.c, inflight.c. */
		if (p && bpf_program__expected_attach_type(p) == BPF_TRACE_ITER)
			continue;
		link = p && f[i].ok ? bpf_program__attach(p) : NULL;
		if (!link) {
			if (p && f[i].ok)
				features__refuse(i, errno);
			continue;
		}
		/* Owned by the skeleton from here on. */
		for (int k = 0; k < s->prog_cnt; k++)
			if (*s->progs[k].prog == p)
				*s->progs[k].link = link;
	}
}

static int load(struct loader *l, const struct loader_options *o, struct err *e)
{
	int err = load_programs(l, o, FEATURE_NR);

	if (err)
		err = load_piecemeal(l, o);
	if (err)
		return err_set(e, -err,
		               "the kernel refuses the programs: %s; `tillwatch doctor` says what this kernel allows, "
		               "`--verbose` shows the kernel's reason",
		               strerror(-err));
	l->ring = ring_buffer__new(bpf_map__fd(l->skel->maps.ring), on_record, l, NULL);
	if (!l->ring)
		return err_set(e, errno, "cannot map the ring buffer: %s", strerror(errno));
	attach_hooks(l);
	l->inflight = inflight__new(l->skel);
	return 0;
}

struct loader *loader__new(const struct loader_options *o, struct err *e)
{
	struct loader *l;

	libbpf_set_print(print_libbpf);
	if (features__required(e))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		goto no_memory;
	l->cpus = libbpf_num_possible_cpus();
	if (l->cpus < 1) {
		err_set(e, EINVAL, "cannot tell the number of CPUs from /sys/devices/system/cpu/possible");
		goto fail;
	}
	l->per_cpu = calloc((size_t)l->cpus, sizeof(*l->per_cpu));
	if (!l->per_cpu)
		goto no_memory;
	l->slots = o->slots;
	l->next_slot = 1;
	if (load(l, o, e))
		goto fail;
	l->lane_size = (bpf_map__value_size(l->skel->maps.lanes) + 7) & ~7U;
	l->lanes = calloc((size_t)l->cpus, l->lane_size);
	if (!l->lanes)
		goto no_memory;
	return l;
no_memory:
	err_set(e, ENOMEM, "out of memory");
fail:
	loader__free(l);
	return NULL;
}

void loader__stop(struct loader *l)
{
	for (size_t i = 0; i < l->n_attached; i++) {
		bpf_link__destroy(l->attached[i].ingress);
		bpf_link__destroy(l->attached[i].egress);
	}
	l->n_attached = 0;
}

void loader__free(struct loader *l)
{
	if (!l)
		return;
	loader__stop(l);
	free(l->attached);
	free(l->places);
	free(l->processes);
	ring_buffer__free(l->ring);
	inflight__free(l->inflight);
	tillwatch_bpf__destroy(l->skel);
	free(l->per_cpu);
	free(l->lanes);
	free(l);
}

/* ---- attachments ------------------------------------------------------------------------------------------------- */

static int attach_cgroup(struct loader *l, const struct id_cgroup *cg, struct err *e)
{
	struct attachment *grown = reallocarray(l->attached, l->n_attached + 1, sizeof(*grown));
	struct attachment a = { .id = cg->id, .wanted = true };
	int fd, err = 0;

	if (!grown)
		return err_set(e, ENOMEM, "out of memory");
	l->attached = grown;
	fd = open(cg->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, errno, "cannot open the cgroup %s: %s", cg->path, strerror(errno));
	a.ingress = bpf_program__attach_cgroup(l->skel->progs.tw_ingress, fd);
	err = a.ingress ? 0 : errno;
	if (!err) {
		a.egress = bpf_program__attach_cgroup(l->skel->progs.tw_egress, fd);
		err = a.egress ? 0 : errno;
	}
	close(fd);
	if (err) {
		bpf_link__destroy(a.ingress);
		return err_set(e, err, "cannot attach to the cgroup %s: %s%s", cg->path, strerror(err),
		               err == EPERM
		                       ? " (a program that forbids others is attached there: see `bpftool cgroup show`)"
		                       : "");
	}
	l->attached[l->n_attached++] = a;
	log_debug("attached to %s", cg->path);
	return 0;
}

static int apply_cgroups(struct loader *l, const struct id_snapshot *s, struct err *e)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n_attached; i++)
		l->attached[i].wanted = false;
	/* New ones first: where a parent takes over from its child, a packet is rather seen twice by TCP's sequence
	 * numbers, which count it once, than not at all. */
	for (size_t i = 0; i < s->n_cgroups; i++) {
		struct attachment *have = NULL;

		for (size_t j = 0; j < l->n_attached; j++)
			if (l->attached[j].id == s->cgroups[i].id)
				have = &l->attached[j];
		if (have)
			have->wanted = true;
		else if (attach_cgroup(l, &s->cgroups[i], e))
			return -1;
	}
	for (size_t i = 0; i < l->n_attached; i++) {
		if (l->attached[i].wanted) {
			l->attached[kept++] = l->attached[i];
			continue;
		}
		bpf_link__destroy(l->attached[i].ingress);
		bpf_link__destroy(l->attached[i].egress);
	}
	l->n_attached = kept;
	return 0;
}

static bool place_in(const struct id_place *p, size_t n, const struct tw_place *key)
{
	for (size_t i = 0; i < n; i++)
		if (!memcmp(&p[i].key, key, sizeof(*key)))
			return true;
	return false;
}

static void set_port(struct loader *l, uint16_t port, const struct id_snapshot *s)
{
	uint32_t key = port;
	uint8_t side = 0;

	for (size_t i = 0; i < s->n_places; i++)
		if (s->places[i].key.port == port)
			side |= s->places[i].key.client ? TW_PORT_CLIENT : TW_PORT_SERVER;
	bpf_map_update_elem(bpf_map__fd(l->skel->maps.ports), &key, &side, BPF_ANY);
}

/*
 * While the programs go on, that there are no others may only be said of ports that are all there. A plain store of it
 * before another one of it would be left out by the compiler.
 */
static void set_near_ports(struct loader *l, const struct id_snapshot *s)
{
	struct near_ports near = near_ports_of(s->places, s->n_places);
	struct tillwatch_bpf__bss *bss = l->skel->bss;

	if (!near.all)
		__atomic_store_n(&bss->near_all, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&bss->near_ports, near.ports, __ATOMIC_SEQ_CST);
	__atomic_store_n(&bss->near_all, near.all, __ATOMIC_SEQ_CST);
}

/* Places before ports: a port in the table is the sign that its places can be asked. */
static int apply_places(struct loader *l, const struct id_snapshot *s, struct err *e)
{
	int fd = bpf_map__fd(l->skel->maps.places);
	struct id_place *copy = calloc(s->n_places + 1, sizeof(*copy));

	if (!copy)
		return err_set(e, ENOMEM, "out of memory");
	memcpy(copy, s->places, s->n_places * sizeof(*copy));
	for (size_t i = 0; i < s->n_places; i++)
		if (bpf_map_update_elem(fd, &s->places[i].key, &s->places[i].value, BPF_ANY))
			log_warn("cannot watch port %u: %s", s->places[i].key.port, strerror(errno));
	for (size_t i = 0; i < s->n_places; i++)
		set_port(l, s->places[i].key.port, s);
	set_near_ports(l, s);
	for (size_t i = 0; i < l->n_places; i++) {
		if (place_in(s->places, s->n_places, &l->places[i].key))
			continue;
		set_port(l, l->places[i].key.port, s);
		bpf_map_delete_elem(fd, &l->places[i].key);
	}
	free(l->places);
	l->places = copy;
	l->n_places = s->n_places;
	return 0;
}

static int apply_processes(struct loader *l, const struct id_snapshot *s, struct err *e)
{
	int fd = bpf_map__fd(l->skel->maps.procs);
	struct id_process *copy = calloc(s->n_processes + 1, sizeof(*copy));

	if (!copy)
		return err_set(e, ENOMEM, "out of memory");
	memcpy(copy, s->processes, s->n_processes * sizeof(*copy));
	for (size_t i = 0; i < s->n_processes; i++) {
		uint32_t tgid = (uint32_t)s->processes[i].tgid, version = s->processes[i].version;

		/* One that serves places of two versions is listed twice: its reading tells nothing. */
		if ((i && s->processes[i - 1].tgid == s->processes[i].tgid) ||
		    (i + 1 < s->n_processes && s->processes[i + 1].tgid == s->processes[i].tgid))
			bpf_map_delete_elem(fd, &tgid);
		else
			bpf_map_update_elem(fd, &tgid, &version, BPF_ANY);
	}
	for (size_t i = 0; i < l->n_processes; i++) {
		uint32_t tgid = (uint32_t)l->processes[i].tgid;
		bool still = false;

		for (size_t j = 0; j < s->n_processes && !still; j++)
			still = s->processes[j].tgid == l->processes[i].tgid;
		if (!still)
			bpf_map_delete_elem(fd, &tgid);
	}
	free(l->processes);
	l->processes = copy;
	l->n_processes = s->n_processes;
	return 0;
}

int loader__apply(struct loader *l, const struct id_snapshot *s, struct err *e)
{
	int err = apply_processes(l, s, e);

	if (!err)
		err = apply_places(l, s, e);
	if (!err)
		err = apply_cgroups(l, s, e);
	return err;
}

/* ---- maps -------------------------------------------------------------------------------------------------------- */

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
	uint32_t value = version;

	if (!version) {
		bpf_map_delete_elem(bpf_map__fd(l->skel->maps.procs), &tgid);
		return 0;
	}
	return bpf_map_update_elem(bpf_map__fd(l->skel->maps.procs), &tgid, &value, BPF_ANY) ? -errno : 0;
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
		.run_live = features__try()[FEATURE_LIVE].ok ? l->skel->progs.tw_live : NULL,
		.cpus = l->cpus,
	};
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

int loader__run_time(struct loader *l, uint64_t *ns, uint64_t *runs)
{
	struct bpf_program *p;

	*ns = *runs = 0;
	bpf_object__for_each_program (p, l->skel->obj) {
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (!bpf_program__autoload(p) || bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			continue;
		*ns += info.run_time_ns;
		*runs += info.run_cnt;
	}
	return *runs ? 0 : -ENOTSUP;
}

void loader__describe(struct loader *l, char *text, size_t len)
{
	struct bpf_program *p;
	const char *largest = "";
	unsigned int n = 0, most = 0;

	bpf_object__for_each_program (p, l->skel->obj) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (!bpf_program__autoload(p) || bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &size))
			continue;
		n++;
		if (info.verified_insns > most) {
			most = info.verified_insns;
			largest = bpf_program__name(p);
		}
	}
	if (most)
		snprintf(text, len, "%u loaded; the verifier walked at most %u of 1000000 instructions (%s)", n, most,
		         largest);
	else
		snprintf(text, len, "%u loaded; this kernel does not tell how many instructions were verified", n);
}
