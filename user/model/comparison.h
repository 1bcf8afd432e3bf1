/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The comparison: everything that watch, gate and top show, as plain data. Filled by the session, read by show/.
 *
 * Invariant: a figure that was not measured is NaN (double) or has its flag unset, never 0.
 */
#ifndef TW_COMPARISON_H
#define TW_COMPARISON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "config/config.h"
#include "tw_abi.h"
#include "judge/judge.h"
#include "model/cost.h"
#include "model/latencies.h"
#include "model/losses.h"
#include "model/passed_over.h"
#include "model/streams.h"
#include "model/tls_figures.h"

#define STATUS_MAX TW_STATUS_END

struct status_count {
	uint64_t n;
	uint16_t code;
};

/* What one arm did on one endpoint since the start. */
struct arm_figures {
	bool present; /* the arm has a version */
	const char *version;
	uint64_t requests; /* exchanges ended, and those that have waited too long for the first byte of an answer */
	uint64_t connections;
	uint64_t outcome[TW_OUTCOME_NR];
	uint64_t cut[TW_OUTCOME_NR]; /* of these, ended inside the response */
	uint64_t bad;                /* by the endpoint's rule */
	struct status_count *status; /* [n_status], in no order, each code once */
	size_t n_status;
	const struct latencies *lat;    /* NULL: nothing was measured */
	struct stream_figures *streams; /* NULL: it has had no long-lived ones */
};

struct endpoint_figures {
	const char *name;
	bool critical;
	struct arm_figures arm[ARM_NR];
};

/* HTTP/2 as a whole; monotone, since the start. */
struct http2_coverage {
	uint64_t connections, joined; /* found open */
	uint64_t requests;
	uint64_t unknown; /* of these, whose endpoint or status could not be told */
	uint64_t desynchronised, resynchronised;
	uint64_t malformed;
	uint64_t withdrawn; /* left out by a server that goes away in order: no exchanges */
	uint64_t shed;      /* connections and streams that were not followed, for want of room */
	uint64_t open;      /* streams, now */
	uint64_t memory_max;
};

bool http2_is_complete(const struct http2_coverage *c);

struct coverage {
	uint64_t connections, decoded, opaque_tls, http2, not_http, upgraded, desynchronised, resynchronised, midstream;
	uint64_t unattributed; /* exchanges whose version could not be told */
	uint64_t foreign;      /* exchanges that were read by a process of no version: others may share a port */
	uint64_t unnamed;      /* exchanges counted under "other" because naming was over its budget or cap */
	bool queue_measured;   /* the read hook is there */
	bool complete;
	struct tls_coverage tls;
	struct http2_coverage h2;
};

/* seen = ended + in_flight + lost_exchanges, but for what began or ended while in_flight was counted. */
struct ledger_figures {
	uint64_t seen, ended, in_flight, lost_exchanges, lost_events;
	bool in_flight_measured;   /* the kernel can walk the connections */
	bool checked;              /* and tells of sockets that vanish: then the books must balance */
	uint64_t missing, surplus; /* requests that are proved to be in none of the books, or in two */
};

/* What is known of a version as a whole. */
struct version_figures {
	const char *name;
	enum arm arm;
	bool has_losses;
	struct version_losses losses;
	struct ledger_figures ledger;
	uint64_t in_flight_max; /* the highest of the looks */
	double oldest;          /* seconds that the oldest request in flight has waited; NaN: none is */
	struct tls_version tls;
};

/* What reading TLS costs the processes that are read: traps are counted, what one costs is estimated. */
struct tls_overhead {
	bool watched;        /* some process has been */
	double per_exchange; /* seconds of CPU time; NaN: not measured, as all of these */
	double cores;        /* on average */
	double of_service;   /* the same as a part of the CPU time of the processes that speak TLS */
	double traps[3];     /* a second, by enum tls_how */
	struct {
		double emulated, stepped, returned; /* seconds each */
	} trap;
	double budget; /* of their CPU time; INFINITY: off */
	bool exceeded; /* and nothing can be left out any more */
};

struct overhead {
	double kernel_ns_per_request; /* NaN: run-time statistics are off */
	double agent_cpu_seconds;
	uint64_t agent_rss_bytes;
	struct tls_overhead tls;
};

/* Exchanges that were not answered, alike in all but their time. */
struct cut {
	uint16_t version_id, endpoint_id; /* 0: could not be told */
	uint8_t outcome, cause;           /* enum tw_outcome, enum tw_cause */
	pid_t pid;                        /* that is to answer for it; 0: not known */
	double process_started;           /* CLOCK_REALTIME, s; NaN: not known */
	char *exe, *build_id;             /* NULL: not known */
	uint64_t count;
	double first, last; /* s since the start of the run */
	const char *version, *endpoint;
	int arm; /* -1: no version */
};

#define CUTS_MAX 256 /* rows; exchanges beyond them are summed up */

struct ticklog_state;

/* What came to one service itself, where coverage is of all together. Requests by the protocol they came in. */
struct service_traffic {
	uint64_t connections, http1, http2;
	uint64_t in_flight; /* requests, at the latest look */
};

struct comparison {
	const char *service;
	char run[40];
	struct timespec started; /* CLOCK_REALTIME */
	double seconds;
	uint64_t looked_at; /* CLOCK_MONOTONIC, ns */
	double stage;       /* the canary's share of the traffic, as planned; 0: not told */
	struct endpoint_figures *endpoints;
	size_t n_endpoints;
	const char *version_name[ARM_NR];
	struct version_figures *versions; /* [n_versions], in the order of the config */
	size_t n_versions;
	struct coverage coverage;
	struct service_traffic traffic; /* 0 unless it is of a single version */
	struct ledger_figures ledger;   /* of its lost events, those of passed_over are part */
	struct passed_over passed_over;
	struct overhead overhead;
	struct cost_figures cost;
	const struct cut *cuts; /* [n_cuts], the largest first */
	size_t n_cuts;
	uint64_t cuts_other; /* exchanges for which there was no row */
	uint64_t cuts_lost;  /* records that did not come: of cuts, or of processes */
	bool has_verdict;
	struct verdict verdict;
	/* One line per version: "v1: listening on 127.0.0.1:8081, 2 processes" or what it waits for. */
	const char *const *notes;
	size_t n_notes;
	const struct ticklog_state *log; /* ticklog/ticklog.h; NULL: no tick log is kept */
};

/* Adds n to the count of a status code below STATUS_MAX. 0 or -ENOMEM. The list is the caller's to free(). */
int arm_status_add(struct arm_figures *a, unsigned int code, uint64_t n);
/* Responses with this status. */
uint64_t arm_status(const struct arm_figures *a, unsigned int code);

/* Are there long-lived streams, or were there? */
bool arm_has_streams(const struct arm_figures *a);
/* Seconds since the oldest of the open ones began; NaN: none is open. */
double arm_oldest_stream(const struct comparison *c, const struct arm_figures *a);

/* p50 or the like of a kind on an arm, NaN when there is nothing. */
double arm_quantile(const struct arm_figures *a, enum tw_latency kind, double q);
/* Was every request accounted for, as far as could be checked? */
bool ledger_holds(const struct ledger_figures *l);
/* Exchanges that count as errors: those that the endpoint's rule makes bad, as they are to the judge. */
uint64_t arm_errors(const struct arm_figures *a);

#endif
