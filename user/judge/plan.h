/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long a release has to be watched: from traffic and a test to bad events, exchanges and seconds.
 *
 * An e-process grows by KL(theta_j || theta_0) per bad event if its alternative j is the truth (Wald 1945), so it takes
 * about (log(1/alpha) + log(1/w_j)) / KL of them; they come at rate * bad * ((1 - share) + share * ratio) a second.
 * That leaves out that E may end well beyond 1/alpha in one tick and that luck helps as often as not: in simulations
 * the median was half to three quarters of it.
 */
#ifndef TW_PLAN_H
#define TW_PLAN_H

#include <stdbool.h>

#include "judge/eprocess.h"

struct plan_traffic {
	double rate;  /* exchanges a second, both arms */
	double share; /* the canary's part of them, inside (0, 1) */
	double bad;   /* the baseline's share of bad ones (errors; 0.05 for those beyond its own p95), inside (0, 1) */
};

struct plan_need {
	double events;    /* bad ones, both arms */
	double exchanges; /* both arms */
	double seconds;
};

/*
 * Until a test reaches 1/alpha when the canary's bad share is `ratio` times the baseline's. To detect a regression: a
 * test of "ratio <= 1", asked at that regression. To certify a margin: a test of "ratio >= margin", asked at 1. The
 * test counts from where it stands, so a fresh one plans a release and a running one says what is left.
 *
 * false: never (the test has no alternative on that side), or the traffic is empty or not possible.
 */
bool plan__until(const struct eprocess *test, const struct plan_traffic *traffic, double ratio, double alpha,
                 struct plan_need *need);

#endif
