// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/loader_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "capture/http1_table.h"
#include "capture/map_sizes.h"
#include "capture/near_ports.h"
#include "capture/passed_over.h"
#include "capture/uprobe.h"
#include "model/histogram.h"
#include "rights/rights.h"

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
	skel->rodata->sockets_tell_of_their_end = features__try()[FEATURE_DESTROY].ok;
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

/* What watches TLS libraries: the jobs, and the programs that they hand over to. All of one kind, or they could not. */
static void choose_tls(struct loader *l, const struct loader_options *o, int end)
{
	const struct feature_state *f = features__try();
	bool many = FEATURE_UPROBE_MANY < end && f[FEATURE_UPROBE_MANY].ok;
	struct bpf_program *p;

	/* Those of perf may want CAP_SYS_ADMIN, see keeper__uprobe(); uprobe.multi does not. */
	l->tls = o->tls && ((FEATURE_UPROBE < end && f[FEATURE_UPROBE].ok) || many);
	bpf_object__for_each_program (p, l->skel->obj) {
		if (bpf_program__type(p) != BPF_PROG_TYPE_KPROBE)
			continue;
		bpf_program__set_autoload(p, l->tls);
		if (many)
			bpf_program__set_expected_attach_type(p, UPROBE_MANY_TYPE);
	}
}

static void choose_tls_walk(struct loader *l, int end)
{
	bool ok = FEATURE_INFLIGHT_EARLY < end && features__try()[FEATURE_INFLIGHT_EARLY].ok;

	bpf_program__set_autoload(l->skel->progs.tw_inflight_tls, ok && l->tls);
}

/* Opens, configures and loads the packet programs and the optional ones before `end`. 0 or a negative errno. */
static int load_programs(struct loader *l, const struct loader_options *o, int end)
{
	int err;

	programs__free(&l->programs);
	tillwatch_bpf__destroy(l->skel);
	l->skel = tillwatch_bpf__open();
	if (!l->skel)
		return -errno;
	set_constants(l->skel, o);
	choose_programs(l->skel, end);
	choose_tls(l, o, end);
	choose_tls_walk(l, end);
	programs__choose(l->skel, o->have_clients);
	err = bpf_map__set_max_entries(l->skel->maps.series, o->slots + 1);
	if (!err)
		err = passed_over__choose(l->skel, end);
	if (!err)
		err = map_sizes__set(l->skel->obj);
	return err ? err : programs__load(&l->programs, l->skel);
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

	for (int i = FEATURE_PACKETS + 1; i < FEATURE_NR; i++) {
		/* What goes through a map is attached where the map is: losses.c, inflight.c. */
		if (i == FEATURE_LIVE || i == FEATURE_INFLIGHT || i == FEATURE_INFLIGHT_EARLY)
			continue;
		if (!f[i].ok || programs__fd(&l->programs, f[i].name) < 0)
			continue;
		l->hooks[i] = programs__attach_trace(&l->programs, f[i].name);
		if (l->hooks[i] < 0)
			features__refuse(i, -l->hooks[i]);
	}
}

/* Below this many even the errors are of other kinds: libbpf cannot read the kernel's types. */
#define HARDLY_ANY_FILES 64

static bool lacks_files(unsigned long few, int err)
{
	return few && (err == -EMFILE || (err && few < HARDLY_ANY_FILES));
}

static int load(struct loader *l, const struct loader_options *o, struct err *e)
{
	unsigned long few = rights__too_few_files();
	int err = load_programs(l, o, FEATURE_NR);

	if (lacks_files(few, err))
		return err_set(
			e, EMFILE,
			"the programs cannot be loaded: only %lu files may be open at once: raise that limit to 1024 "
			"(`ulimit -n 1024`, or LimitNOFILE=1024 of a unit)",
			few);
	if (err)
		err = load_piecemeal(l, o);
	if (err)
		return err_set(e, -err,
		               "the kernel refuses the programs: %s; `tillwatch doctor` says what this kernel allows, "
		               "`tillwatch --verbose COMMAND` shows the kernel's reason",
		               strerror(-err));
	l->ring = ring_buffer__new(bpf_map__fd(l->skel->maps.ring), on_record, l, NULL);
	if (!l->ring)
		return err_set(e, errno, "cannot map the ring buffer: %s", strerror(errno));
	attach_hooks(l);
	passed_over__attach(l);
	l->inflight = inflight__new(&l->programs, l->skel);
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
	/* First this: a connection that closes when its packets are not seen any more has not failed. */
	if (l->skel)
		l->skel->bss->stopped = 1;
	for (size_t i = 0; i < l->n_attached; i++) {
		close(l->attached[i].ingress);
		close(l->attached[i].egress);
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
	for (int i = 0; i < FEATURE_NR; i++)
		if (l->hooks[i] > 0)
			close(l->hooks[i]);
	passed_over__detach(l);
	programs__free(&l->programs);
	tillwatch_bpf__destroy(l->skel);
	free(l->per_cpu);
	free(l->lanes);
	free(l);
}

/* ---- attachments ------------------------------------------------------------------------------------------------- */

/* It was there when the host was looked at, a moment ago. */
#define CGROUP_GONE 1

/* 0, CGROUP_GONE, or -1 with the reason said. */
static int attach_cgroup(struct loader *l, const struct id_cgroup *cg, struct err *e)
{
	struct attachment *grown = reallocarray(l->attached, l->n_attached + 1, sizeof(*grown));
	struct attachment a = { .id = cg->id, .wanted = true };
	int fd, err = 0;

	if (!grown)
		return err_set(e, ENOMEM, "out of memory");
	l->attached = grown;
	fd = open(cg->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return CGROUP_GONE;
	if (fd < 0)
		return err_set(e, errno, "cannot open the cgroup %s: %s", cg->path, strerror(errno));
	a.ingress = programs__attach_cgroup(&l->programs, "tw_ingress", fd, true);
	err = a.ingress < 0 ? -a.ingress : 0;
	if (!err) {
		a.egress = programs__attach_cgroup(&l->programs, "tw_egress", fd, false);
		err = a.egress < 0 ? -a.egress : 0;
	}
	close(fd);
	if (err) {
		if (a.ingress >= 0)
			close(a.ingress);
		if (err == ENODEV)
			return CGROUP_GONE;
		return err_set(
			e, err, "cannot attach to the cgroup %s: %s%s", cg->path, strerror(err),
			err == EPERM
				? " (a program that forbids others is attached there: see `bpftool cgroup show`; or "
				  "CAP_NET_ADMIN is missing, where CAP_SYS_ADMIN does not stand in for it)"
				: "");
	}
	l->attached[l->n_attached++] = a;
	log_debug("attached to %s", cg->path);
	return 0;
}

static int apply_cgroups(struct loader *l, const struct id_snapshot *s, struct err *e)
{
	size_t kept = 0;
	int err, gone = 0;

	for (size_t i = 0; i < l->n_attached; i++)
		l->attached[i].wanted = false;
	/* New ones first: where a parent takes over from its child, a packet is rather seen twice by TCP's sequence
	 * numbers, which count it once, than not at all. */
	for (size_t i = 0; i < s->n_cgroups; i++) {
		struct attachment *have = NULL;

		for (size_t j = 0; j < l->n_attached; j++)
			if (l->attached[j].id == s->cgroups[i].id)
				have = &l->attached[j];
		if (have) {
			have->wanted = true;
			continue;
		}
		err = attach_cgroup(l, &s->cgroups[i], e);
		if (err < 0)
			return err;
		gone |= err;
	}
	for (size_t i = 0; i < l->n_attached; i++) {
		if (l->attached[i].wanted) {
			l->attached[kept++] = l->attached[i];
			continue;
		}
		close(l->attached[i].ingress);
		close(l->attached[i].egress);
	}
	l->n_attached = kept;
	return gone;
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
	if (s->n_places)
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
	if (s->n_processes)
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

/* ---- what is loaded ------------------------------------------------------------------------------------------ */

void loader__describe(struct loader *l, char *text, size_t len)
{
	unsigned int n = 0, most = 0, all = 0;
	const char *largest = "";

	for (size_t i = 0; i < l->programs.n; i++) {
		const struct program *p = &l->programs.p[i];
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (bpf_obj_get_info_by_fd(p->fd, &info, &size))
			continue;
		n++;
		all += info.verified_insns;
		log_debug("%s: %u instructions verified", p->name, info.verified_insns);
		if (info.verified_insns > most) {
			most = info.verified_insns;
			largest = p->name;
		}
	}
	if (most)
		snprintf(text, len,
		         "%u loaded; the verifier walked %u instructions, at most %u of 1000000 for one (%s)", n, all,
		         most, largest);
	else
		snprintf(text, len, "%u loaded; this kernel does not tell how many instructions were verified", n);
}
