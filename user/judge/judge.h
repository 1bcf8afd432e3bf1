/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge: ticks of counts in, a verdict out. Pure computation: no clock, no I/O, no global state, so that the same
 * ticks give the same verdict when they are replayed.
 *
 * Invariants:
 *  - a threshold used for tick t depends on ticks before t only (predictable);
 *  - the verdict after a tick depends on the ticks and the policy only, not on how often it was asked for;
 *  - no figure is ever NaN or infinite where a number is promised; absent figures have their flag unset.
 */
#ifndef TW_JUDGE_H
#define TW_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "model/histogram.h"

enum verdict_kind { VERDICT_PROMOTE, VERDICT_HOLD, VERDICT_ROLLBACK, VERDICT_INVALID };
extern const char *const verdict_names[]; /* "promote", ... */
/* promote 0, rollback 10, hold 20, invalid 30 */
int verdict_exit_code(enum verdict_kind kind);

/* What one arm did on one endpoint within one tick. */
struct arm_tick {
	uint64_t n;			   /* exchanges ended */
	uint64_t bad;			   /* of these, errors */
	const struct histogram *latency;   /* of `total` in this tick; NULL: none */
};

struct endpoint_tick {
	struct arm_tick baseline, canary;
};

struct tick {
	double start, end; /* seconds since the run started */
	uint64_t lost_events, lost_exchanges; /* in this tick, both arms */
	uint64_t seen;			      /* exchanges seen in this tick, both arms */
	bool ledger_balanced;
	bool warming; /* inside the warm-up of a process of either arm: shown, not judged */
	const struct endpoint_tick *endpoints; /* [n_endpoints of the judge] */
};

struct judge_endpoint {
	const char *name; /* owned by the caller, must outlive the judge */
	bool critical;
	double weight;	  /* share of alpha; 0: derived (critical endpoints carry most) */
	double slo_p95;	  /* seconds; 0: the baseline's own p95 of the tick before is the threshold */
};

struct judge;

struct judge *judge__new(const struct gate_policy *policy);
void judge__free(struct judge *j);
/* Appends an endpoint (they may appear during a run) and returns its index, or a negative errno. */
int judge__add_endpoint(struct judge *j, const struct judge_endpoint *ep);
/* Takes one tick; n_endpoints must be the number added so far. Returns 0 or a negative errno (-EINVAL: time runs backwards). */
int judge__tick(struct judge *j, const struct tick *t, size_t n_endpoints);

struct reason {
	const char *code;     /* stable, "errors_worse" */
	const char *endpoint; /* or NULL */
	char text[256];	      /* plain English */
};

struct guard {
	const char *name; /* stable, "minimum_data" */
	bool ok;
	char text[200];
};

#define VERDICT_MAX_REASONS 16
#define VERDICT_MAX_GUARDS 12

struct verdict_endpoint {
	const char *endpoint;
	bool critical;
	uint64_t n_c, n_b, bad_c, bad_b;
	bool has_ratio;
	double ratio, ratio_low, ratio_high; /* of bad shares, with its confidence sequence */
	double log_e_bad, log_e_good;	     /* errors */
	uint64_t slow_c, slow_b;	     /* exceedances of the announced threshold */
	bool has_threshold;
	double slow_threshold; /* seconds, of the latest tick */
	double log_e_slow_bad, log_e_slow_good;
	bool certified; /* within the margins on errors and latency */
};

struct verdict {
	enum verdict_kind kind;
	struct reason reasons[VERDICT_MAX_REASONS];
	size_t n_reasons;
	struct guard guards[VERDICT_MAX_GUARDS];
	size_t n_guards;
	bool has_eta;
	double eta_seconds; /* until it can be called, at the present rates */
	double alpha;
	double log_e_bad; /* global */
	struct verdict_endpoint *endpoints; /* owned by the judge, valid until the next tick */
	size_t n_endpoints;
};

/* The verdict after the ticks so far. */
void judge__verdict(struct judge *j, struct verdict *out);

#endif
