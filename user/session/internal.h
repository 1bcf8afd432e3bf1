/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of this folder share; nobody else but their tests includes it. */
#ifndef TW_SESSION_INTERNAL_H
#define TW_SESSION_INTERNAL_H

#include <time.h>

#include "capture/generations.h"
#include "capture/identity.h"
#include "capture/loader.h"
#include "capture/losses.h"
#include "capture/spending.h"
#include "model/books.h"
#include "model/builds.h"
#include "model/cost.h"
#include "model/drain.h"
#include "model/routes.h"
#include "model/tls_share.h"
#include "http2/http2.h"
#include "session/session.h"
#include "tls/cost.h"
#include "tls/targets.h"

/* Figures of one (version, endpoint). */
struct cell {
	uint16_t version, endpoint;
	int slot; /* in the kernel; 0: none was free, everything comes as records */
	const struct tw_rule *rule;
	bool overdue_is_bad; /* by the rule, whatever will end it */
	struct tw_counters last;
	struct latencies lat;
	struct arm_figures total;                    /* since the start */
	uint64_t tick_n, tick_bad, tick_turned_away; /* since the last tick */
	uint64_t tick_undecided;                     /* of tick_n, neither good nor bad: no status could be told */
	uint64_t tick_outcome[TW_OUTCOME_NR];
	struct histogram tick_latency;
	struct histogram *tick_waited; /* NULL: no client has given up yet, as on most endpoints */
	struct connection_groups tick_groups;
	int slow_from;         /* the bucket that was announced for this tick; 0: none was */
	uint64_t timeouts;     /* as far as is known: ended, or waiting too long; see cell_overdue() */
	uint64_t tick_overdue; /* those waiting at the last tick: in it already */
};

/* What the looks at the connections found. */
struct inflight_state {
	bool measured; /* by the latest look */
	double look_at;
	struct inflight_counts counts;
	uint64_t most[TW_MAX_VERSIONS];
	struct books books[TW_MAX_VERSIONS];
};

/* Of a version, at the last tick. */
struct arm_watch {
	bool found; /* it has been, at some time */
	struct tw_ledger_row ledger;
	uint64_t cut;      /* upgraded sessions */
	uint64_t turns;    /* of its opaque TLS connections */
	uint64_t withheld; /* of those that are left to themselves */
	struct builds builds;
};

/* Of a version's long-lived streams of HTTP/2, see losses.h of model. */
struct session_streams {
	uint64_t begun, open; /* tunnels: that have ended, and open ones at the latest look */
	struct tw_sessions upgraded, streaming;
};

/* Versions whose endpoints are hidden by connections that are older than we are: see joined.c. */
struct joined_watch {
	char *notes[TW_MAX_VERSIONS]; /* NULL: it never was one */
	bool warned[TW_MAX_VERSIONS];
	double at; /* when to look again */
};

/* How far apart the clocks were. */
struct clock_watch {
	bool known;
	double wall, boot; /* less CLOCK_MONOTONIC, s */
};

/* What reading TLS costs, in the moments while run-time statistics are on, and how much of it goes on. */
struct tls_budget {
	struct tls_share share;
	unsigned int workers[TW_MAX_VERSIONS], read[TW_MAX_VERSIONS]; /* by version, at the latest look */
	bool watched;                                                 /* some process has been, at some time */
	bool calibrated;
	struct trap_cost trap;
	struct closer *closer;
	/* Of the moment that lasts; NaN: nothing can be told. */
	double opened;
	struct tls_runs runs;
	uint64_t exchanges;
	/* All moments together. */
	double measured, seconds, traps[TLS_HOW_NR];
	uint64_t sampled;
	double sampled_at, service, serviced; /* CPU time of the workers, and in which time */
};

/* What watching costs, and what is done about it: see cost.c. */
struct session_cost {
	struct cost_program *programs; /* [n]: in all windows together */
	struct cost_program *before;   /* [n]: when the one that lasts began */
	size_t n;
	struct cost_kernel kernel;
	struct cost_budget budget;
	struct cost_sample look;
	struct cost_limits limits;
	char why_not[160];
	double at; /* when a window is to begin, or to end */
	bool open, counting;
	unsigned int tries; /* to measure what run-time statistics cost */
	int fd;             /* while they are on for us; -1: they are not */
	int nothing;        /* the program that shows it; not above 0: there is none */
	double opened;
	uint64_t ended_before;
	/* At the latest look. */
	double looked, cpu;
	uint64_t ended;
	uint64_t map_bytes;
	double maps_at;           /* when they are to be looked at again */
	double shed_at, shed_for; /* since when details are not asked for; and all times before that, s */
};

struct session {
	const struct config *config;
	struct loader *loader;
	struct routes *routes;
	uint64_t seed;

	struct tw_rule *rules; /* [n_rules]: of the config's endpoints; 0 is that of all others */
	size_t n_rules;

	struct id_snapshot *ids;
	double process_start[TW_MAX_VERSIONS]; /* of the oldest process, on the session's clock; NaN: none known */
	double resolved_at, resolve_at;        /* the last look at the host and the next one */
	uint64_t lost_records;                 /* by the latest look at the ledger */
	bool listeners_changed;
	bool looked_for_born; /* the last look was for children of those that the one before it had found */
	bool by_process;      /* some version is known by its processes */
	struct generations *generations;
	struct tls_targets *tls; /* NULL: this kernel cannot look into TLS */
	size_t tls_due;          /* processes that wait to be looked into */
	struct tls_budget tls_budget;
	/* Processes that connect to a version by TLS: nothing but their reading tells of them. */
	struct id_process *tls_clients;
	size_t n_tls_clients;
	pid_t *tls_readers; /* [n_tls_readers] by number: have read from a TLS connection that was not joined yet */
	size_t n_tls_readers;
	struct cut *cuts; /* [n_cuts] */
	size_t n_cuts;
	uint64_t cuts_other; /* exchanges for which there was no row */

	struct cell **cells; /* [version * TW_MAX_ENDPOINTS + endpoint], NULL where nothing was seen */
	struct cell **live;  /* those that exist */
	size_t n_live;

	struct tw_ledger_row first[TW_MAX_VERSIONS], now[TW_MAX_VERSIONS];
	struct inflight_state inflight;
	struct passed_over passed_over;
	uint64_t lost_in_user_space, unattributed, foreign, unnamed;

	struct session_http2 *http2;
	struct joined_watch joined;
	struct session_streams streams[TW_MAX_VERSIONS];

	struct judge *judge;
	struct ticklog *log; /* not ours; NULL: nobody asked */
	size_t n_judged;     /* endpoints the judge knows: 1..n_judged */
	double tick_at, tick_start;
	struct tw_ledger_row tick_ledger;
	struct arm_watch arms[TW_MAX_VERSIONS];
	struct clock_watch clock;

	struct drain_share drain;

	struct session_cost cost;

	unsigned int records_left; /* of this round of draining the ring */
	struct timespec started;
	double cpu_at_start; /* what loading took is not what observing costs */
	double start, end;   /* CLOCK_MONOTONIC, s */
	char run[40];
	double stage;
	int epoll_fd, signal_fd, timer_fd;
	bool until_final, decided; /* ends with a final verdict; there was one */
	bool interrupted;
	bool ring_empty; /* it was when it was last looked into */

	struct losses *losses; /* NULL: nobody asked */
	double sample_at;

	struct comparison comparison;
	const char *notes[2 * TW_MAX_VERSIONS + 1]; /* of the versions, their old connections, and the log */
};

/* session.c */
double session_now(void);

/* Can a record say this? 0: not known. What else is in memory is found by this number, so it is believed of nobody. */
static inline bool is_version(const struct session *s, uint64_t version)
{
	return version < TW_MAX_VERSIONS && version <= s->config->n_versions;
}

/* cells.c */
struct cell *cell_get(struct session *s, uint16_t version, uint16_t endpoint);
int cells_read(struct session *s);
/* Adds what a slot's counters have gained since c->last to the totals and the tick. 0 or -ENOMEM. */
int cell_add(struct cell *c, const struct tw_counters *now);
/* Exchanges that wait too long and have not ended: n of them were counted just now. */
void cell_overdue_enter(struct cell *c, uint64_t n);
uint64_t cell_overdue(const struct cell *c);
/* What makes an exchange of this endpoint bad; timeout: that of the config, s. */
void cell_rule(struct cell *c, const struct tw_rule *rule, double timeout);
void cells_free(struct session *s);
uint16_t hash_endpoint(struct session *s, uint64_t hash, uint16_t endpoint);
int record_handle(void *arg, void *data, size_t len);
int routes_announce_config(struct session *s);

/* An exchange that the kernel has not counted. Gives where it was entered; NULL: nowhere. */
struct cell *exchange_enter(struct session *s, const struct tw_exchange_record *r);

/* http2.c */
int http2_begin(struct session *s); /* 0 or -ENOMEM */
void http2_end(struct session *s);
void http2_record(struct session *s, const void *record, size_t len);
/* Forgets connections that have gone while the ring was full: from time to time, and at once, when it is empty. */
void http2_keep(struct session *s, double now);
void http2_sweep(struct session *s);
/* Adds what the kernel's ledger does not know of. */
void http2_ledger_add(const struct session *s, struct tw_ledger_row *rows);
/* Of a ledger row's requests, those that came in HTTP/2. */
uint64_t http2_requests(const struct session *s, size_t row);
/* Of the version's that have ended, those on connections found open whose endpoint could not be told. */
uint64_t http2_joined_unknown(const struct session *s, size_t version);
/* And to what is in flight. */
void http2_inflight_add(struct session *s, struct inflight_counts *f);
/* Of the streams open at that time, those that had waited too long for an answer. */
uint32_t http2_overdue(const struct session *s, size_t version, size_t endpoint);
void http2_coverage_fill(const struct session *s, struct http2_coverage *c);
/* Looks at the long-lived streams that are open. */
void http2_streams_look(struct session *s);

/* joined.c */
/* Warns of each such version once. */
void joined_keep(struct session *s, double now);
/* NULL: most of the version's requests can be told, or are too few. The ledger has been read. */
const char *joined_note(struct session *s, size_t version);
void joined_free(struct session *s);

/* streams.c */
/* One has ended, and was entered there; those that are not long-lived are none. */
void streams_enter(struct session *s, struct cell *c, const struct h2_exchange *e);
/* A look begins; then each long-lived one that is open. version: not 0. */
void streams_look_begins(struct session *s);
void streams_look_at(struct session *s, uint16_t version, uint16_t endpoint, const struct h2_exchange *e);
/* Adds them to what is known of the version. */
void streams_version_fill(const struct session *s, struct version_losses *l, size_t version);

/* groups.c */
void groups_add(struct cell *c, const struct tw_counters *now);
/* A tick begins: forgets the last one's, and announces what is slow in this one. */
void groups_begin(struct session *s, int baseline, int canary);

/* cuts.c */
uint16_t version_of_process(struct session *s, uint32_t tgid);
void on_detail(struct session *s, const struct tw_detail_record *r);
void on_fork(struct session *s, const struct tw_fork_record *r);
void on_process(struct session *s, const struct tw_process_record *r);
void cuts_fill(struct session *s, struct comparison *c);
void cuts_free(struct session *s);

/* versions.c: how long after the last look at the host the next one may follow, so that bursts of changes cost one */
#define RESOLVE_SOON  0.05
#define RESOLVE_LATER 1.0
void versions_look_again(struct session *s, double spacing);
/* After each look at the ledger. */
void versions_after_losses(struct session *s);
int versions_resolve(struct session *s, struct err *e);
bool versions_warming(const struct session *s, double now);
int versions_arm(const struct session *s, enum arm arm);

/* tls.c: which processes' TLS is watched. Nothing happens where the kernel cannot. */
int tls_begin(struct session *s);
/* The processes of the versions are known anew. 0 or -ENOMEM. */
int tls_follow(struct session *s, const struct id_snapshot *ids);
void tls_forked(struct session *s, pid_t child, uint16_t version);
void tls_execed(struct session *s, pid_t tgid, uint16_t version);
void tls_keep(struct session *s);
/* A process reads from a TLS connection whose plaintext is not seen. */
void tls_unread(struct session *s, const struct tw_tls_record *r);
/* Has this process read from a TLS connection before its plaintext was seen? All that speak TLS do. */
bool tls_reads(const struct session *s, pid_t pid);

/* tls_budget.c: nothing happens where the kernel cannot look into TLS. */
bool tls_budget_begin(struct session *s); /* false: out of memory */
void tls_budget_end(struct session *s);
/* Run-time statistics are on from here, and to here. The ledger has been read. */
void tls_budget_open(struct session *s, double now);
void tls_budget_close(struct session *s, double now);
/* There are other workers than before. */
void tls_budget_deal(struct session *s);
void tls_overhead_fill(const struct session *s, struct tls_overhead *o);

/* tls_say.c: what of TLS was seen and read, and why some of it was not. total: of all versions. */
void tls_coverage_fill(const struct session *s, struct tls_coverage *t, const struct tw_ledger_row *total);
void tls_version_fill(const struct session *s, struct tls_version *t, unsigned int row);
/* Turns that the version's opaque connections have begun; `before` where that cannot be read. */
uint64_t tls_turns_begun(const struct session *s, unsigned int row, uint64_t before);
/* The same of connections that are left to themselves for the sake of the budget; they are in none of the former. */
uint64_t tls_turns_withheld(const struct session *s, unsigned int row, uint64_t before);

/* ledger.c */
int ledger_read(struct session *s);
void drain_adjust(struct session *s, double now);
void ledger_total(const struct session *s, struct tw_ledger_row *out);
void ledger_fill(struct session *s, struct comparison *c);

/* cost.c: from the start on, to the end. */
bool cost_begin(struct session *s);  /* before rights go. false: out of memory */
void cost_starts(struct session *s); /* with the observation, at session.start */
void cost_end(struct session *s);
void cost_keep(struct session *s, double now);
void cost_fill(struct session *s, struct comparison *c);

/* losses.c: of versions, what no endpoint knows of. Nothing happens when nobody asked. */
#define SAMPLE_EVERY 0.1
void losses_keep(struct session *s, double now);
int versions_fill(struct session *s, struct comparison *c);
void versions_free(struct comparison *c);
/* ledger.c */
void version_ledger_fill(const struct session *s, struct version_figures *v, unsigned int row);

/* inflight.c */
int inflight_look(struct session *s); /* reads the ledger as well */
int inflight_keep_in_step(struct session *s, double now);
bool ledger_is_checked(const struct session *s);
bool ledger_balances(const struct session *s);

/* compare.c: NULL: nothing has been seen there; version 0: there is none */
const struct cell *cell_of(const struct session *s, int version, size_t endpoint);

/* arms.c */
/* What the judge is told of each arm as a whole; version 0: there is none. Once a tick, which it closes. */
void arms_fill(struct session *s, struct tick *tick, int baseline, int canary);
void arms_free(struct session *s);

/* clock.c */
/* Seconds by which the wall clock moved, or the host slept, since the last call; 0 at the first. */
double clock_shift(struct clock_watch *c);

/* ticks.c */
/* What the judge is told of a cell's tick that ends now. */
void cell_tick(const struct cell *c, struct arm_tick *t);
/* Of its exchanges in this tick, those that the judge cannot be told of: lost to it. */
uint64_t cell_lost(const struct cell *c);
int tick_close(struct session *s, double now);
/* Tells the judge of the config's cut-over units, before the first endpoint. 0 or a negative errno. */
int judge_units(struct session *s);

#endif
