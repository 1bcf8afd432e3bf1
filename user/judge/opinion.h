/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A second opinion on latency: the p95 of the canary against the baseline's, over all judged ticks that both served,
 * by an anytime-valid test (stats/quantile.h), with a confidence sequence for how far they are apart. It never decides.
 *
 * It is another look than the test that does (slowness.h): that one asks tick by tick whether the canary's part of the
 * slow exchanges is larger than its part of the traffic, so every tick weighs alike; this one adds the ticks up and
 * compares the p95 of the two sums, so it knows the size of a difference, and is mostly about the slowest minutes.
 *
 * A tick's counts are given weights of at most 1, fixed before its latencies are looked at: e-values of independent
 * exchanges raised to such powers stay e-values (Jensen). Two things go into them:
 *  - in every tick the baseline weighs twice what the canary does, whichever has too many being scaled down. So both
 *    sums are of the same mixture of ticks, and latencies that swing while shares of traffic change mislead nobody;
 *  - both are divided by a dispersion that the ticks before have shown: of slow exchanges over the groups of
 * connections (dispersion.h), or of the arms' difference from tick to tick (spread.h), whichever is larger; more in the
 * first minutes. For bursts that is an approximation, held against simulated releases (test_calibration_opinion.c), and
 *    one more reason not to decide by it.
 *
 * The intervals: ratio by inverting the test over shifts of whole buckets (each side at a quarter of alpha), the
 * baseline's p95 by the two-sided share test (half of alpha), and the difference p95_b (ratio - 1) from the ends of
 * these two: all three hold at once with probability 1 - alpha whatever the dependence between them (union bound). The
 * ends lie on bucket bounds, a factor of 2^(1/16) apart.
 *
 * Clients that gave up count where they had waited beyond the threshold of the tick, in the bucket of what they had
 * waited, as in the test that decides.
 *
 * An opinion is formed when either arm has a sixteenth more counts than at the last one: what is shown is at most that
 * far behind, and a run of hours costs hardly more than one of minutes. When that is depends on ticks only.
 *
 * Invariant: after a tick all figures depend on the ticks so far only; each is finite.
 */
#ifndef TW_OPINION_H
#define TW_OPINION_H

#include "judge/dispersion.h"
#include "judge/judge.h"
#include "judge/slowness.h"
#include "judge/spread.h"
#include "judge/stats/quantile.h"

/* What is the same for all endpoints of a run. */
struct opinion_test {
	struct quantile_test quantile;
	double alpha;
	double t_opt_baseline, alpha_opt;
};

struct opinion {
	double c[TW_BUCKETS], b[TW_BUCKETS]; /* counts times weights */
	double n_c, n_b;                     /* their sums */
	double weighed;                      /* the same before that division */
	double formed_c, formed_b;           /* n_c and n_b when an opinion was last formed */
	struct spread spread;
	struct second_opinion said;
	struct descriptive described; /* the rank sum only */
};

/* alpha of the intervals, inside (0, 1). The test is sharpest once the canary has twice the minimum of data. */
void opinion_test__init(struct opinion_test *t, double alpha, uint64_t min_requests);

/*
 * One judged tick. x: the baseline's p95, habits: how slow exchanges come, both by the ticks before. habits NULL: they
 * are known to have nothing to do with one another.
 */
void opinion__add(struct opinion *o, const struct endpoint_tick *tick, const struct threshold *x,
                  const struct dispersion *habits);
/* Have counts grown enough for a new one? */
bool opinion__is_due(const struct opinion *o);
/* Forms one. margin in buckets. */
void opinion__form(struct opinion *o, const struct opinion_test *t, unsigned int margin);

#endif
