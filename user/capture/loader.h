/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel programs as an object: open, configure, load, attach, read, detach.
 *
 * Invariants: constants are set before load, the "ready" state (a filled port table) last; attachments are links, so
 * that the kernel takes everything down when this process ends, by whatever way.
 */
#ifndef TW_LOADER_H
#define TW_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "capture/identity.h"
#include "capture/inflight.h"
#include "tw_abi.h"

struct loader_options {
	uint64_t seed;           /* of the route hash */
	uint16_t endpoint_other; /* what routes count for that may not be announced */
	bool have_clients;
	bool watch_process;
	bool note_readers;  /* see readers.h */
	uint64_t timeout;   /* ns: a response that has not begun by then is a timeout; 0: none ever is */
	unsigned int slots; /* (version, endpoint) pairs that can be counted in the kernel */
};

struct loader;
struct bpf_program;

/* NULL on error, with e saying what failed and what to do. */
struct loader *loader__new(const struct loader_options *o, struct err *e);
void loader__free(struct loader *l);

/* Attaches to the cgroups and places of the snapshot and detaches from those it no longer names. */
int loader__apply(struct loader *l, const struct id_snapshot *s, struct err *e);

/* Names a route: requests with this hash count for the endpoint from now on. */
int loader__route(struct loader *l, uint64_t hash, uint16_t endpoint);
/* The endpoint of a hash, TW_EP_PENDING or 0. */
uint16_t loader__route_find(struct loader *l, uint64_t hash);
/* Connections that this process reads belong to the version; 0: to none. */
int loader__process(struct loader *l, uint32_t tgid, uint16_t version);
/* Gives (version, endpoint) a slot of its own. Returns the slot, or -ENOSPC. Idempotent. */
int loader__slot(struct loader *l, uint16_t version, uint16_t endpoint);
/*
 * What makes the exchanges of an endpoint bad: rules[endpoint], or rules[0] for those from n on. Before the first slot
 * is given; until then, nothing is counted. 0 or a negative errno.
 */
int loader__rules(struct loader *l, const struct tw_rule *rules, size_t n);
/* From which bucket on its slot counts the server's time as slow; 0: not at all. 0 or a negative errno. */
int loader__slow_from(struct loader *l, uint16_t version, uint16_t endpoint, unsigned int bucket);
/* Lets go of all packets: what has been counted can be read, and does not change any more. */
void loader__stop(struct loader *l);
/* How many new routes may be announced until the next call. */
void loader__route_budget(struct loader *l, unsigned int n);
/* Connections whose client port, halved, has one of these bits are not asked how long they drain. */
void loader__drain_mask(struct loader *l, unsigned int mask);
/* The same for records of who cut an exchange and of new processes. */
void loader__detail_budget(struct loader *l, unsigned int n);

/*
 * The slot's counters summed over CPUs: 32-bit ones modulo 2^32, so that differences of two readings are exact as long
 * as fewer events lie between them; latency maxima are the greatest so far. 0 or a negative errno.
 */
int loader__read_slot(struct loader *l, unsigned int slot, struct tw_series *out);

/* The ledger of one version, summed over lanes and CPUs: fills rows[TW_MAX_VERSIONS]. */
int loader__read_ledger(struct loader *l, struct tw_ledger_row *rows);
/* What is in flight now. -ENOTSUP: this kernel has no iterators; see FEATURE_INFLIGHT. */
int loader__inflight(struct loader *l, struct inflight_counts *out);
/* Programs that found no working space; see lanes_exhausted in bpf/maps.h. */
uint64_t loader__lanes_exhausted(const struct loader *l);

/* What losses.c reads of the kernel's; descriptors stay the loader's. */
struct loss_maps {
	int doors, listeners, handshakes, losses, live, conns;
	struct bpf_program *run_live; /* NULL: this kernel has none */
	int cpus;
};
void loader__loss_maps(const struct loader *l, struct loss_maps *out);

/* The map that readers.h reads. */
int loader__readers(const struct loader *l);

int loader__ring_fd(const struct loader *l);
/* Hands every record to fn. */
int loader__drain(struct loader *l, int (*fn)(void *arg, void *data, size_t len), void *arg);

/* Kernel time spent by all programs, ns, and runs; -ENOTSUP while run-time statistics are off. */
int loader__run_time(struct loader *l, uint64_t *ns, uint64_t *runs);

/* "12 programs, 640,000 instructions verified in all, at most 250,000 for one (tw_egress)". */
void loader__describe(struct loader *l, char *text, size_t len);

#endif
