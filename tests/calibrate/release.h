/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Releases of one scenario, each judged at every tick by the judge itself and by its peers, and what came of them. */
#ifndef TW_CALIBRATE_RELEASE_H
#define TW_CALIBRATE_RELEASE_H

#include "peers.h"
#include "traffic.h"

/* Ticks are counted from 1; 0: it never happened. */
struct release {
	unsigned int found;       /* the evidence suffices for a rollback; the owner may be asked instead */
	unsigned int rolled_back; /* the first such verdict */
	unsigned int promoted;
	unsigned int placebo; /* the placebo arm says that the measurement is not to be trusted */
	bool promoted_first;  /* the first verdict that was not hold */
	unsigned int peer[PEERS];
	double judge_seconds; /* of processor time, for its ticks and verdicts */
};

struct summary {
	unsigned int runs, found, rolled_back, promoted, promoted_first, placebo, peer[PEERS];
	/* seconds over all runs; infinite where fewer than half got there */
	double found_median, promoted_median, peer_median[PEERS];
};

extern const struct gate_policy release_policy;

/* One release; 0 or -ENOMEM. l: of the scenario. */
int release__run(const struct scenario *s, const struct latencies *l, uint64_t seed, struct release *out);
/* Runs the seeds 1 to runs, runs > 0, spread over the processors; 0 or -ENOMEM. */
int releases__run(const struct scenario *s, unsigned int runs, struct summary *out);

#endif
