/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state behind loader.h, shared by its parts (loader.c: load, attach, let go; loader_maps.c: what is read from and
 * written to the programs' maps; loader_tls.c: TLS libraries; spending.c: what they cost). Nothing else includes this.
 */
#ifndef TW_LOADER_STATE_H
#define TW_LOADER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/features.h"
#include "capture/loader.h"
#include "capture/programs.h"
#include "tillwatch.skel.h"
#include "tw_series.h"

/* One cgroup we are attached to. */
struct attachment {
	uint64_t id;
	int ingress, egress; /* descriptors of links */
	bool wanted;
};

/* Of a tracepoint's programs, as it was read last. */
struct passed_over_seen {
	uint64_t missed, made_good; /* by the first; by the second */
	uint64_t lost;              /* missed by both since the start */
};

struct loader {
	struct tillwatch_bpf *skel; /* the maps; the programs are: */
	struct programs programs;
	int hooks[FEATURE_NR];   /* descriptors of links; 0: none */
	int second[TW_TWICE_NR]; /* the same of those that passed_over.c loads */
	struct passed_over_seen passed_over[FEATURE_NR];
	struct ring_buffer *ring;
	struct inflight *inflight; /* NULL: the kernel has no iterators */
	struct attachment *attached;
	size_t n_attached;
	struct id_place *places;
	size_t n_places;
	struct id_process *processes;
	size_t n_processes;
	unsigned int slots, next_slot;
	bool tls; /* what watches TLS libraries is loaded */
	int cpus;
	struct tw_series *per_cpu; /* [cpus], for reading */
	char *lanes;               /* [cpus] values of the lanes map */
	size_t lane_size;
	int (*fn)(void *arg, void *data, size_t len);
	void *arg;
};

#endif
