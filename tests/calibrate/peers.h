/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What other ways of judging say to the same ticks. They see a service as a whole, as the metrics do that they are
 * usually given.
 *
 *  - Threshold: every 30 s the canary's success rate must be 99 % and its p95 at most 300 ms (the baseline's at its
 *    usual load is 186 ms); the fifth failed check rolls back.
 *  - Repeated z-test: at every tick, on all counts so far, two proportions compared with pooled variance, once for
 *    errors and once for requests over 186 ms, each one-sided at half of alpha.
 *  - Mann-Whitney: points of 30 s, the error rate and the p95 of each arm; every 5 minutes all points so far are
 *    compared, and the canary fails where the 98 % confidence interval of the Hodges-Lehmann shift lies above a quarter
 *    of the shift itself and the mean has risen (the interval and the tolerance are those of a widely used judge).
 *
 * Nothing is judged on a check or a point without requests.
 */
#ifndef TW_CALIBRATE_PEERS_H
#define TW_CALIBRATE_PEERS_H

#include "judge/judge.h"

#define PEER_CHECK_TICKS 6
#define PEER_POINTS_MAX  512

enum peer { PEER_THRESHOLD, PEER_Z, PEER_MANN_WHITNEY, PEERS };
enum peer_metric { PEER_ERRORS, PEER_LATENCY, PEER_METRICS };

struct peer_arm {
	uint64_t n, bad, slow;       /* so far */
	uint64_t point_n, point_bad; /* in the point that is being filled */
	struct histogram point_latency;
	double points[PEER_METRICS][PEER_POINTS_MAX];
};

struct peers {
	struct peer_arm arm[2]; /* baseline, canary */
	unsigned int ticks, failed, points;
	unsigned int rolled_back[PEERS]; /* tick of it, counted from 1; 0: not so far */
};

/* p must be zeroed before the first tick. */
void peers__tick(struct peers *p, const struct tick *t, size_t n_endpoints);

/*
 * The Hodges-Lehmann estimate of the shift from a to b (n values each, n <= PEER_POINTS_MAX) and the lower end of its
 * distribution-free confidence interval with normal quantile z (Hollander & Wolfe, "Nonparametric Statistical Methods",
 * ch. 4). Returns 0 or -ENOMEM.
 */
int peers__shift(const double *a, const double *b, unsigned int n, double z, double *shift, double *low);

#endif
