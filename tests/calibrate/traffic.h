/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Synthetic traffic of a release: ticks of counts as the capture layer delivers them, of both arms and any number of
 * endpoints.
 *
 * Each endpoint of each arm is a Poisson stream of exchanges. Two kinds of events happen to them, independently: bad
 * ones (a share `errors` of all) and slow ones (a twentieth: latencies from the upper end of a log-normal
 * distribution, sigma 0.8; the others are from the rest of it). Both come in bursts of geometric size. What is the same
 * for both arms is exactly the same: a clean release draws canary and baseline from one distribution.
 *
 * A burst is one connection's, or all connections' of an arm (across). On short connections a burst is a run of extra
 * exchanges, `gap` seconds apart, so a long one reaches into the next ticks. On kept-alive ones it is a run of
 * consecutive exchanges of that connection, however long that takes.
 */
#ifndef TW_CALIBRATE_TRAFFIC_H
#define TW_CALIBRATE_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>

#include "judge/judge.h"

#define STAGES_MAX   4
#define TICK_SECONDS 5.0

struct scenario {
	const char *name;
	double rate;                 /* exchanges a second, of both arms and all endpoints */
	double share[STAGES_MAX];    /* the canary's part of them, in stages of equal length; 0: no more stages */
	unsigned int endpoints;      /* their traffic falls as 1/k; the first two are critical; 0: one */
	unsigned int fail_fast;      /* so many of them, the busiest, must not wait */
	double errors;               /* share of bad exchanges */
	double error_ratio;          /* the canary's is that many times as large; 0: 1 */
	double slower;               /* the canary's latencies are that many times as long; 0: 1 */
	double burst;                /* mean size; 0: 1 */
	bool across;                 /* bursts hit all connections of an arm, not one */
	double gap;                  /* seconds between the exchanges of a burst */
	unsigned int kept_c, kept_b; /* kept-alive connections that carry everything; 0: short ones */
	double drift;                /* rates and latencies swing by this factor, once in the whole time; 0: 1 */
	double steady;               /* sigma of the latencies instead of 0.8; 0: 0.8 */
	unsigned int ticks;
};

struct traffic;
struct latencies;

/* Of the scenario, for any number of releases; NULL: no memory. */
struct latencies *traffic__latencies(const struct scenario *s);
void traffic__latencies_free(struct latencies *l);
/* NULL: no memory. s and l must outlive it. */
struct traffic *traffic__new(const struct scenario *s, const struct latencies *l, uint64_t seed);
void traffic__free(struct traffic *t);
/*
 * The next tick; false: it was the last one. slow_bucket[endpoint]: beyond which bucket a group's exchange is counted
 * as slow (judge__slow_bucket). What the tick points to is overwritten by the next.
 */
bool traffic__next(struct traffic *t, const int *slow_bucket, struct tick *tick);
size_t traffic__endpoints(const struct traffic *t);

#endif
