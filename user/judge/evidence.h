/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All tests of one endpoint. Knows nothing of other endpoints, guards or the verdict.
 *
 * Invariant: what a tick adds depends on that tick's counts and on thresholds announced by the ticks before.
 */
#ifndef TW_EVIDENCE_H
#define TW_EVIDENCE_H

#include "judge/arrivals.h"
#include "judge/eprocess.h"
#include "judge/judge.h"
#include "judge/opinion.h"
#include "judge/ratio.h"
#include "judge/slowness.h"
#include "judge/unit.h"

/*
 * Stakes of the two ways to certify errors. The floor looks at the canary alone, so nothing that happens to both arms
 * at once cancels out in it: it gets the smaller one and has to be the surer.
 */
#define RATIO_STAKE 0.9
#define FLOOR_STAKE (1 - RATIO_STAKE)
#define FLOOR_FEW   0.1 /* of the floor: a baseline with more errors has enough for a ratio */
/* Certificates keep up to a hundred times the evidence they need. */
#define CERTIFICATE_SLACK 4.605170186

/* What is the same for all endpoints of a run. */
struct tests {
	struct gate_policy policy;
	double need;         /* log(1/alpha): for a rollback */
	double promote_need; /* log(1/promote_alpha): for a certificate */
	struct ratio_grid grid;
	struct opinion_test opinion;
};

/* Points into itself: not to be copied. */
struct evidence {
	/* counted so far, in judged ticks that both arms served */
	uint64_t n_c, n_b, bad_c, bad_b;
	uint64_t outcome_c[TW_OUTCOME_NR];
	uint64_t timed_c, timed_b, slow_c, slow_b; /* those that could have been slow, and those that were */
	struct arrivals arrivals_c, arrivals_b;

	struct margins margins; /* what it may be worse by, both given */
	unsigned int shift;     /* the latency margin in buckets */

	enum unit unit;
	struct group_shares shares;
	struct dispersion bad_dispersion, slow_dispersion;

	struct ratio_test errors_bad, errors_good;
	struct block errors_lanes[TW_GROUPS - 1], slow_lanes[TW_GROUPS - 1]; /* of the two certificates */
	struct floor_test floor;
	struct ratio ratio;

	struct slowness slowness;
	struct threshold slo;            /* set: replaces the baseline's p95 as what counts as slow */
	struct threshold threshold;      /* in use in the latest tick, for people to read */
	struct ratio_test slow_bad;      /* more often beyond the threshold */
	struct ratio_test beyond_margin; /* with an SLO only: slower than the baseline by more than the margin */
	struct ratio_test slow_good;
	struct opinion opinion; /* beside them */
};

void tests__init(struct tests *t, const struct gate_policy *policy);
void evidence__init(struct evidence *ev, const struct tests *t, const struct judge_endpoint *ep);

/* One judged tick. */
void evidence__tick(struct evidence *ev, const struct tests *t, const struct endpoint_tick *tick, double seconds);
/* The baseline's latencies of any tick without a warm-up, after the tick was judged. */
void evidence__learn(struct evidence *ev, const struct endpoint_tick *tick);

/* The baseline has so few errors that the canary's may be shown to be below the floor instead. */
bool evidence__floor_applies(const struct evidence *ev);
double evidence__errors_good(const struct evidence *ev);
double evidence__slow_bad(const struct evidence *ev);
bool evidence__enough(const struct evidence *ev, const struct tests *t);
bool evidence__errors_certified(const struct evidence *ev, const struct tests *t);
bool evidence__latency_certified(const struct evidence *ev, const struct tests *t);
bool evidence__certified(const struct evidence *ev, const struct tests *t);

#endif
