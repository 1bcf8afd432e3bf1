/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `plan` is told on its command line, as checked numbers. Units are never guessed. */
#ifndef TW_CMD_PLAN_INPUT_H
#define TW_CMD_PLAN_INPUT_H

#include "base/err.h"
#include "config/config.h"

#define PLAN_MAX_SHARES    20
#define PLAN_DEFAULT_SHARE 0.05

struct plan_rate {
	const struct route *route; /* of the config */
	double rate;               /* requests a second, above 0 */
	double errors;             /* their share, [0, 1) */
	bool has_latency;
	double p50, p95; /* seconds, 0 < p50 < p95 */
};

/*
 * "POST /checkout=40/s,0.5%" or "POST /checkout=40/s,0.5%,12ms/45ms" (p50 and p95): endpoints of the config, each at
 * most once. n texts into out[n]. 0, or a negative errno with e saying which text, what and the way out.
 */
int plan_input__rates(const struct config *c, const char *const *texts, size_t n, struct plan_rate *out, struct err *e);

struct plan_shares {
	double share[PLAN_MAX_SHARES]; /* inside (0, 1), rising */
	size_t n;
};

/* "5%" or "5%,25%,50%". 0, or a negative errno with e. */
int plan_input__shares(const char *text, struct plan_shares *out, struct err *e);
/* The config's stages but for 100 %, where there is no baseline; PLAN_DEFAULT_SHARE where there is none. */
void plan_input__stages(const struct config *c, struct plan_shares *out);

#endif
