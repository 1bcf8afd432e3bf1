/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The judge's state, shared by its own files and nobody else. */
#ifndef TW_JUDGE_STATE_H
#define TW_JUDGE_STATE_H

#include "judge/alone.h"
#include "judge/evidence.h"
#include "judge/guards/answers.h"
#include "judge/guards/placebo.h"
#include "judge/guards/split.h"
#include "judge/judge.h"
#include "judge/stakes.h"

struct judged_endpoint {
	struct judge_endpoint def;
	double weight, weight_in_unit; /* parts of the release's stake, and of its unit's */
	struct evidence ev;
	struct placebo placebo;
	struct answers answers;
	struct alone *alone; /* NULL: nothing was announced, and it is not asked for */
	bool hard;           /* holds a part of the stake on hard stops */
	/* for the latest verdict */
	double log_e_errors, log_e_slow;
	bool is_certified;
};

/* One arm as a whole. */
struct arm_state {
	uint64_t seen, lost_events, lost_exchanges;
	unsigned int builds; /* the most that have served it */
	bool gone;           /* in the latest tick */
	uint64_t unread;     /* requests, at least, in TLS that could not be read, while nothing warmed up */
	uint64_t read;       /* seen meanwhile */
	uint64_t withheld;   /* requests, at least, that were not read for the sake of the overhead budget */
};

/* The endpoints that must be certified for a promotion: who they are depends on what there is. */
enum deciders { DECIDE_CRITICAL, DECIDE_NAMED, DECIDE_BUSY };

/*
 * What the evidence of a release, or of one of its units, says before the guards are asked. An accusation is one kind
 * of evidence against one endpoint.
 */
struct accusation {
	const struct judged_endpoint *ep; /* NULL: there is none */
	bool slow;                        /* about latency; else about errors */
};

struct picture {
	size_t n_endpoints, deciding, certified;
	double log_e_bad; /* the weighted mean */
	bool worse;
	bool leans; /* towards worse, but it is not enough: there is more evidence for it than against it */
	struct accusation strongest; /* the largest part of the evidence */
	double strongest_share;      /* log of that part, its stake included */
	bool answered;               /* worse, but each accusation is certified to lie within the margin */
};

struct judged_cutover {
	struct judge_cutover def;
	enum deciders who;
	struct stake stake;
	struct picture picture; /* of the latest verdict */
	bool objects;           /* worse, as far as that can be told, so that the release must not be promoted */
};

/* The accusations of a release or a unit, and which of them are to be named; scratch. */
struct accusations {
	struct accusation *of; /* all arrays: [2 * cap] */
	double *part;          /* log of the part of the mean */
	double *log_e;
	size_t *order;
	bool *named;
	size_t n, n_named; /* those named are the first of order, the strongest first */
};

/* What the guards look at. */
struct run_state {
	double end;                     /* of the latest tick */
	uint64_t ticks, judged, shared; /* shared: judged, and both arms served some endpoint in it */
	uint64_t counted;               /* exchanges in judged ticks on endpoints that both arms served */
	uint64_t served_c, served_b;    /* exchanges, judged or not */
	unsigned int idle_c, idle_b;    /* ticks without any since the last one */
	uint64_t seen, lost_events, lost_exchanges;
	uint64_t forgotten;              /* lost in the first tick, which is left out for it */
	bool warming, unbalanced, lossy; /* the latest tick */
	bool lossy_arm;                  /* the latest tick; one arm by itself */
	bool ledger_unknown;             /* in the latest tick */
	bool refused;                    /* a tick was, since the latest one taken: time ran backwards */
	struct arm_state canary, baseline;
	bool jumped;           /* the clock did, in the latest tick */
	double jump, jump_end; /* the last one, and the end of its tick; 0: there was none */
	double long_tick,
		long_end; /* the last tick that was much longer than planned, and its end; 0: there was none */
	struct split split;
	uint64_t dropped_c, dropped_b; /* sessions, in judged ticks and others */
	bool after;                    /* the canary has been served something */
	bool overdue;                  /* the deadline has passed */
	bool uncalled;                 /* and at that time there was neither a promotion nor a rollback */
};

struct judge {
	struct tests tests;
	struct judged_endpoint **eps;
	size_t n, cap;
	struct verdict_endpoint *figures; /* [cap] */
	bool *named;                      /* [cap] by the config */
	struct accusations accusations;   /* the release's, after look() */
	bool dealt;
	struct stake stake;
	enum deciders who;               /* among all endpoints: counts for those that are in no unit */
	struct judged_cutover *cutovers; /* [n_cutovers] */
	struct verdict_cutover *cutover_figures;
	size_t n_cutovers;
	size_t n_hard; /* endpoints that hold a part of the stake on hard stops */
	struct run_state run;
	size_t next_opinion; /* the endpoint whose turn it is */
};

/* More than 0.1 % of what was seen. */
bool loss_is_high(uint64_t lost_events, uint64_t lost_exchanges, uint64_t seen);

/* arms.c of the guards. */
bool clock_has_jumped(double jump);
/* Much longer than planned; planned 0: never. */
bool tick_is_long(double seconds, double planned);

/*
 * Does it have to be certified for a promotion? The critical ones do; if there is none, those the config names; if
 * there is none either, every one with at least 1 % of the exchanges. "If there is none" is asked of its unit for an
 * endpoint that is in one, and of all endpoints for the others.
 */
bool judge__decides(const struct judge *j, const struct judged_endpoint *ep);

struct guards_result {
	bool valid;      /* false: the counts cannot be trusted, nothing may be concluded */
	bool sufficient; /* false: no promotion yet */
	bool patient;    /* what fails, if anything, is only a matter of time: data, warm-up */
	bool comparable; /* false: what the versions differ by shows nothing, one way or the other; also not sufficient
	                  */
};

struct guards_result judge__guards(const struct judge *j, struct verdict *out);

#endif
