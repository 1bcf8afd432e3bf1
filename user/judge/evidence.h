/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All tests of one endpoint. Knows nothing of other endpoints, guards or the verdict.
 *
 * Invariant: what a tick adds depends on that tick's counts and on thresholds announced by the ticks before.
 */
#ifndef TW_EVIDENCE_H
#define TW_EVIDENCE_H

#include "judge/eprocess.h"
#include "judge/judge.h"
#include "judge/opinion.h"
#include "judge/ratio.h"
#include "judge/slowness.h"
#include "judge/unit.h"

/* What is the same for all endpoints of a run. */
struct tests {
	struct gate_policy policy;
	double need;        /* log(1/alpha) */
	unsigned int shift; /* the latency margin in buckets */
	struct ratio_grid grid;
	struct opinion_test opinion;
};

struct evidence {
	/* counted so far, in judged ticks that both arms served */
	uint64_t n_c, n_b, bad_c, bad_b;
	uint64_t outcome_c[TW_OUTCOME_NR];
	uint64_t timed_c, timed_b, slow_c, slow_b; /* those that could have been slow, and those that were */
	/* the same of late: fades by a fifth with every tick, for present rates */
	double late_c, late_b, late_timed_c, late_timed_b, late_seconds;

	enum unit unit;
	struct group_shares shares;
	struct dispersion bad_dispersion, slow_dispersion;

	struct ratio_test errors_bad, errors_good;
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

double evidence__errors_good(const struct evidence *ev);
double evidence__slow_bad(const struct evidence *ev);
bool evidence__enough(const struct evidence *ev, const struct tests *t);
bool evidence__errors_certified(const struct evidence *ev, const struct tests *t);
bool evidence__latency_certified(const struct evidence *ev, const struct tests *t);
bool evidence__certified(const struct evidence *ev, const struct tests *t);

/* Seconds at present rates until it is certified, or until a test has log E = need; negative: cannot be told. */
double evidence__certify_seconds(const struct evidence *ev, const struct tests *t);
double evidence__rollback_seconds(const struct evidence *ev, double need);

#endif
