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
#include "tls/site.h"
#include "tw_abi.h"

struct loader_options {
	uint64_t seed;           /* of the route hash */
	uint16_t endpoint_other; /* what routes count for that may not be announced */
	bool have_clients;
	bool watch_process;
	bool tls;           /* load what watches TLS libraries, if this kernel can attach it */
	bool note_readers;  /* see readers.h */
	uint64_t timeout;   /* ns: a response that has not begun by then is a timeout; 0: none ever is */
	unsigned int slots; /* (version, endpoint) pairs that can be counted in the kernel */
};

struct loader;
struct programs;

/* NULL on error, with e saying what failed and what to do. */
struct loader *loader__new(const struct loader_options *o, struct err *e);
void loader__free(struct loader *l);

/*
 * Attaches to the cgroups and places of the snapshot and detaches from those it no longer names. 0, or 1: a cgroup has
 * gone since the host was looked at; or negative.
 */
int loader__apply(struct loader *l, const struct id_snapshot *s, struct err *e);

/* Names a route: requests with this hash count for the endpoint from now on. */
int loader__route(struct loader *l, uint64_t hash, uint16_t endpoint);
/* The endpoint of a hash, TW_EP_PENDING or 0. */
uint16_t loader__route_find(struct loader *l, uint64_t hash);
/* Connections that this process reads belong to the version; 0: to none. */
int loader__process(struct loader *l, uint32_t tgid, uint16_t version);
/* Forgets processes that had ended when their version was entered: what takes them out at their end came before. */
void loader__processes_sweep(struct loader *l);
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
/* Who cut an exchange is not asked for, to save its cost; or is. */
void loader__shed_details(struct loader *l, bool shed);

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
	const struct programs *programs;
	int cpus;
};
void loader__loss_maps(const struct loader *l, struct loss_maps *out);

/* Calls fn for every HTTP/2 connection (tw_h2_record.conn) whose end found no room in the ring, and forgets it. */
void loader__h2_unsaid(struct loader *l, void (*fn)(void *arg, uint64_t conn, uint32_t err), void *arg);

/*
 * Takes out what segments that came too early have left in the kernel since before that time (ns): what nobody will ask
 * for any more, and all of connections that nothing `follows`.
 */
void loader__h2_forget(struct loader *l, uint64_t before, bool (*follows)(void *arg, uint64_t conn), void *arg);

/* The map that readers.h reads. */
int loader__readers(const struct loader *l);

int loader__ring_fd(const struct loader *l);
/* Hands every record to fn. */
int loader__drain(struct loader *l, int (*fn)(void *arg, void *data, size_t len), void *arg);

/* Can programs be placed in TLS libraries? Only if it was asked for, and this kernel takes them. */
bool loader__tls(const struct loader *l);
/* Can one descriptor hold many places? */
bool loader__tls_many(const struct loader *l);
/* Can programs be told where they are? Not before Linux 5.15. */
bool loader__tls_told(const struct loader *l);
/*
 * Places the program of a job at n places in one process, all or none: in every thread of it, and in no other process.
 * n is 1 unless loader__tls_many. cookies: what the programs are told there, or NULL. path: of the file as this process
 * can open it; offsets: in the file. Returns a descriptor, to be closed (which takes its time: see closer.h) before the
 * loader is freed, or a negative errno.
 */
int loader__tls_attach(struct loader *l, enum tls_job job, bool uretprobe, pid_t pid, const char *path,
                       const uint64_t *offsets, const uint64_t *cookies, size_t n);

/* From now on, or no longer, all its calls are seen: only then its sessions are joined to sockets. 0, or a negative
 * errno. */
int loader__tls_ready(struct loader *l, pid_t tgid, bool ready);

/* Its goroutines, not its threads, are who reads: to be said before its sites are taken. 0 or a negative errno. */
int loader__tls_goes(struct loader *l, pid_t tgid);

/*
 * TLS connections by name, in no order: fn is handed each with its connections so far. 0 or a negative errno: what was
 * handed over until then is right.
 */
int loader__tls_names(const struct loader *l, void (*fn)(void *arg, const struct tw_tls_name *name, uint64_t n),
                      void *arg);

/* Turns of the version's opaque TLS connections, or, with TW_TURNS_WITHHELD added to it, of those that were left to
 * themselves; all 0 when there was none. 0 or a negative errno. */
int loader__tls_turns(const struct loader *l, uint16_t version, struct tw_turns *out);

/* How much of the process is not read: 0 for nothing. 0 or a negative errno. */
int loader__tls_withhold(struct loader *l, pid_t tgid, enum tw_withheld how);

/* What the programs in TLS libraries have done while run-time statistics were on, by enum tls_job. */
struct tls_runs {
	uint64_t runs[TLS_JOB_NR], ns[TLS_JOB_NR];
};

/* False: they are not loaded, or this kernel does not tell. */
bool loader__tls_runs(const struct loader *l, struct tls_runs *out);

/* "12 programs, 640,000 instructions verified in all, at most 250,000 for one (tw_egress)". */
void loader__describe(struct loader *l, char *text, size_t len);

#endif
