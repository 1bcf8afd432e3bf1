/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two faces of a plan: tables with plain sentences for people, JSON for machines. Reads the report, changes
 * nothing.
 */
#ifndef TW_SHOW_PLAN_H
#define TW_SHOW_PLAN_H

#include <stdio.h>

#include "judge/plan.h"
#include "judge/plan_advice.h"

/* Where the latencies of an endpoint come from. */
enum plan_latency { LATENCY_NONE, LATENCY_ASSUMED, LATENCY_GIVEN, LATENCY_OBSERVED };

struct plan_subject {
	const struct plan_endpoint *ep;
	enum plan_latency latency;
	uint64_t requests, errors; /* observed: what the figures rest on, the baseline's */
	bool decides;
};

/* One endpoint at one share. */
struct plan_row {
	struct plan_times times;
	struct plan_advice advice; /* where it cannot be called in time */
};

struct plan_report {
	const char *service;
	struct gate_policy policy;
	double within;                       /* seconds: the time given */
	bool observed;                       /* else the rates were given */
	double seconds;                      /* of the observation */
	const struct plan_subject *subjects; /* [n] */
	size_t n;
	bool own_margins;     /* of some endpoints, other than the policy's */
	const double *shares; /* [n_shares] */
	size_t n_shares;
	const struct plan_row *rows; /* [n_shares * n], share by share */
};

/* columns: of the screen, 0: as wide as it takes. */
void show_plan(FILE *out, const struct plan_report *r, int columns);
/* The document tillwatch.plan/1. Returns a string to free(), or NULL when memory ran out. */
char *json_plan(const struct plan_report *r);

/*
 * Until all endpoints that decide are certified, with the last of them in *last; never if one of them never is, or none
 * decides (*last is r->n then).
 */
struct plan_time plan_call(const struct plan_report *r, size_t share, size_t *last);

#endif
