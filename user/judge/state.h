/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge's state, shared by its own files and nobody else.
 *
 * Invariants: the weights of the endpoints and the reserve sum to 1 once they are dealt; a weight never changes after
 * that. The reserve is the stake not yet bet (an e-value of 1), so an endpoint that appears later is given a part of it
 * and starts at 1 as well: the weighted mean stays an e-process. Which endpoint appears may depend on the traffic,
 * never on how it ended.
 */
#ifndef TW_JUDGE_STATE_H
#define TW_JUDGE_STATE_H

#include "judge/evidence.h"
#include "judge/guards/placebo.h"
#include "judge/guards/split.h"
#include "judge/judge.h"

struct judged_endpoint {
	struct judge_endpoint def;
	double weight;
	struct evidence ev;
	struct placebo placebo;
};

/* One arm as a whole. */
struct arm_state {
	uint64_t seen, lost_events, lost_exchanges;
	unsigned int builds; /* the most that have served it */
	bool gone;           /* in the latest tick */
};

/* What the guards look at. */
struct run_state {
	double end;                     /* of the latest tick */
	uint64_t ticks, judged, shared; /* shared: judged, and both arms served some endpoint in it */
	uint64_t counted;               /* exchanges in judged ticks on endpoints that both arms served */
	uint64_t served_c, served_b;    /* exchanges, judged or not */
	unsigned int idle_c, idle_b;    /* ticks without any since the last one */
	uint64_t seen, lost_events, lost_exchanges;
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
};

struct judge {
	struct tests tests;
	struct judged_endpoint **eps;
	size_t n, cap;
	struct verdict_endpoint *figures; /* [cap] */
	double *terms;                    /* [2 * cap + 1], scratch for the weighted mean */
	bool *named;                      /* [cap] by the config */
	bool dealt;
	unsigned int newcomers;
	double reserve;
	struct judge_cutover *cutovers; /* [n_cutovers] */
	struct verdict_cutover *cutover_figures;
	size_t n_cutovers;
	struct run_state run;
	size_t next_opinion; /* the endpoint whose turn it is */
};

/* More than 0.1 % of what was seen. */
bool loss_is_high(uint64_t lost_events, uint64_t lost_exchanges, uint64_t seen);

/* arms.c of the guards. */
bool clock_has_jumped(double jump);
/* Much longer than planned; planned 0: never. */
bool tick_is_long(double seconds, double planned);

/* The endpoints that must be certified for a promotion: who they are depends on what there is. */
enum deciders { DECIDE_CRITICAL, DECIDE_NAMED, DECIDE_BUSY };
enum deciders judge__deciders(const struct judge *j);
bool judge__decides(const struct judge *j, enum deciders who, const struct judged_endpoint *ep);

struct guards_result {
	bool valid;      /* false: the counts cannot be trusted, nothing may be concluded */
	bool sufficient; /* false: no promotion yet */
	bool traffic;    /* false: rates say nothing about the future */
	bool comparable; /* false: what the versions differ by shows nothing, one way or the other; also not sufficient
	                  */
};

struct guards_result judge__guards(const struct judge *j, struct verdict *out);

#endif
