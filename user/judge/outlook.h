/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long the tests of one endpoint will still take, if what comes is what is expected. The running verdict takes its
 * ETA from here, with what has come so far as the outlook; a plan asks the same functions about evidence that has seen
 * nothing yet, with an outlook that is supposed.
 *
 * A test that bets on blocks grows by a known amount a block if its alternative is the truth, so it takes about (need -
 * log E) / growth of them (Wald 1945). By how much its evidence is discounted until then is taken from how bad events
 * come, as that will be known halfway there. These are times that about half of all releases need less than.
 *
 * Times are seconds, 0 or more; negative: it cannot be told, or never.
 */
#ifndef TW_OUTLOOK_H
#define TW_OUTLOOK_H

#include "judge/evidence.h"

struct outlook {
	struct rate c, b;    /* exchanges a second: canary, baseline */
	double bad_c, bad_b; /* shares of bad ones, for a certificate */
	bool floor;          /* the baseline has so few that the floor may certify */
	double worse;        /* for a rollback: the canary has that many times bad_b; 1 or less: it does not come */
	double slow_b;       /* the baseline's share beyond what counts as slow */
	double slower;       /* the canary has that many times as many of them; 1 or less: none */
};

/*
 * What comes if it goes on like this. A canary that is not clearly different from the baseline is taken to be like it,
 * and one is worse only if the evidence speaks for that. false: requests do not come on both arms, or not any more.
 */
bool outlook__of(const struct evidence *ev, const struct tests *t, struct outlook *out);

/* When both times have passed. */
double outlook__later(double a, double b);
/* Until the minimum of requests is there on both arms. */
double outlook__data(const struct evidence *ev, const struct tests *t, const struct outlook *o);
/* Until it counts as certified on errors: by_floor, which of the two ways is the sooner. */
double outlook__errors_good(const struct evidence *ev, const struct tests *t, const struct outlook *o, bool *by_floor);
/* The same on latency, if the canary's are the baseline's. */
double outlook__latency_good(const struct evidence *ev, const struct tests *t, const struct outlook *o);
/* Until all three are there. */
double outlook__good(const struct evidence *ev, const struct tests *t, const struct outlook *o);
/* Until the test of errors, or of latency, has log E = need. A rollback for latency waits for the minimum of data, too.
 */
double outlook__errors_worse(const struct evidence *ev, const struct tests *t, const struct outlook *o, double need);
double outlook__slow_worse(const struct evidence *ev, const struct tests *t, const struct outlook *o, double need);

#endif
