/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tables compute from a comparison before they show it. Invariant: not measured stays NaN.
 */
#ifndef TW_SHOW_FIGURES_H
#define TW_SHOW_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/comparison.h"

extern const char *const cause_names[TW_CAUSE_NR];     /* "reader", "closer"; NULL: not known */
extern const char *const session_end_names[TW_END_NR]; /* "closed", "cut", ... */
extern const char *const latency_names[TW_LAT_NR];     /* "total", "first_byte", ... */

/* The quantiles that the tables show, of `total`. */
#define TABLE_QUANTILES 3
extern const struct quantile {
	const char *name;
	double q;
} table_quantiles[TABLE_QUANTILES];

/* Endpoints with traffic or marked critical: critical ones first, then the busiest. free() it; NULL: no memory. */
const struct endpoint_figures **endpoints_by_interest(const struct comparison *c, size_t *n);

uint64_t endpoint_requests(const struct endpoint_figures *ep); /* of all arms */
uint64_t arm_requests(const struct comparison *c, enum arm arm);
uint64_t comparison_requests(const struct comparison *c);

/* Errors by requests; NaN before the first request. */
double error_share(const struct arm_figures *a);
/* canary / baseline; +infinity: something after nothing; NaN: nothing to compare. */
double ratio_of(double canary, double baseline);
bool has_abnormal_outcomes(const struct arm_figures *a);
/* What people call an arm: its version's name, or the arm's when no version has it. */
const char *arm_label(const struct comparison *c, enum arm arm);
/* Fraction of one core since the start; NaN when there is no time to divide by. */
double agent_share(const struct comparison *c);
/* Nothing was lost, and all of it was understood. */
bool is_complete(const struct comparison *c);

#endif
