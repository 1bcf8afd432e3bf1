/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All tests of one endpoint in which the canary stands alone: against what was announced for it (in every mode, as a
 * hard stop; in mode absolute for the promotion as well), and in mode before_after against the baseline that was served
 * before it.
 *
 * An announced quantile of s seconds is a share: beyond s lies at most 5 % for a p95. Latencies are known by bucket, so
 * what lies in the bucket of s counts for "met" and not for "breached".
 *
 * Before against after: the baseline's ticks count until the first tick in which the canary was served anything
 * anywhere, and then no more. What is slow is told by the first PILOT latencies of the baseline, which then count for
 * nothing else. A canary is worse if more of its exchanges than of the baseline's lie beyond the baseline's p95 bucket;
 * its latency is certified if fewer of its exchanges lie beyond the bucket before that one, moved up by the margin,
 * than of the baseline's beyond that bucket unmoved.
 *
 * Invariants: what a tick adds depends on that tick's counts, and on choices made by the ticks before.
 */
#ifndef TW_ALONE_H
#define TW_ALONE_H

#include "judge/absolute.h"
#include "judge/evidence.h"

#define PILOT 200

enum limit_kind { LIMIT_ERRORS, LIMIT_P50, LIMIT_P90, LIMIT_P95, LIMIT_P99, LIMIT_NR };

/* How an arm's bad and slow exchanges come. */
struct habit {
	struct group_shares shares;
	struct dispersion bad, slow;
};

struct limit {
	struct absolute *test;  /* NULL: not announced */
	double seconds;         /* of a quantile */
	unsigned int over, may; /* beyond the one it is slower than announced, beyond the other it may be */
};

struct before {
	struct habit habit;
	struct histogram pilot;
	bool has_bucket;
	unsigned int over, may; /* the p95's bucket, and the one before it */
	struct absolute errors_b, errors_c, slow_b, slow_c;
};

struct alone {
	struct limit limit[LIMIT_NR];
	unsigned int n_limits;
	enum limit_kind grouped; /* the quantile whose slow exchanges are asked for by group; LIMIT_ERRORS: none */
	struct habit habit;      /* the canary's */
	struct before *before;   /* NULL: another mode, or not served before */
};

/* NULL in *out where there is nothing to test. 0 or -ENOMEM. */
int alone__new(struct alone **out, const struct gate_policy *policy, const struct judge_endpoint *ep);
void alone__free(struct alone *a);

/* One judged tick of the canary: against what was announced. */
void alone__limits(struct alone *a, const struct tests *t, const struct arm_tick *canary);
/* Mode before_after: before the first tick of the baseline. 0 or -ENOMEM. */
int alone__begin(struct alone *a, const struct evidence *ev);
/* One judged tick before the canary's first traffic, and one after it (this one in mode absolute as well). */
void alone__before(struct alone *a, struct evidence *ev, const struct arm_tick *baseline);
void alone__after(struct alone *a, struct evidence *ev, const struct tests *t, const struct arm_tick *canary);
/* Beyond which bucket exchanges are to be counted by group, -1: not known yet, or it does not matter. */
int alone__slow_bucket(const struct alone *a);

/* Mean of the e-values against all that was announced; log, and 0 where nothing was. */
double alone__log_e_breach(const struct alone *a);
/* Everything announced is shown to be kept, at promote_alpha, whatever speaks against it weighed in. */
bool alone__is_kept(const struct alone *a, const struct tests *t);

/* Mode before_after: worse than before, and certified to be within the margins. */
double alone__log_e_errors(const struct alone *a);
double alone__log_e_slow(const struct alone *a);
double alone__log_e_errors_good(const struct alone *a, const struct evidence *ev);
double alone__log_e_slow_good(const struct alone *a);

/* Whether errors are too few before for a ratio: then the canary's have to be below the floor. */
bool alone__by_floor(const struct evidence *ev);

/* Fills f's limits. */
void alone__figures(const struct alone *a, const struct tests *t, struct verdict_endpoint *f);

#endif
