/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cells.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a)  (sizeof(a) / sizeof(*(a)))
#define HALF_HOUR 360  /* ticks */
#define PACE      0.1  /* seconds between the exchanges of one connection's burst */
#define HICCUP    0.02 /* the same where the whole arm has it */

static const double rates[] = { 10, 200, 5000 };
static const double bursts[] = { 1, 2, 5, 20 };
static const double errors[] = { 0, 0.001, 0.01, 0.05 };

static const struct split {
	const char *name;
	double share[STAGES_MAX];
} splits[] = {
	{ "5 %", { 0.05 } },
	{ "25 %", { 0.25 } },
	{ "50 %", { 0.5 } },
	{ "5-25-50-100 %", { 0.05, 0.25, 0.5, 1 } },
};

/* Takes one digit of a mixed-radix number: cells are counted through, the last digit fastest. */
static unsigned int digit(unsigned int *at, size_t base)
{
	unsigned int d = *at % (unsigned int)base;

	*at /= (unsigned int)base;
	return d;
}

static void split_set(struct cell *c, const struct split *s)
{
	memcpy(c->s.share, s->share, sizeof(c->s.share));
	c->s.ticks = HALF_HOUR;
}

/* Each part fills in cell number at and returns whether there is one. */
typedef bool part_fn(unsigned int at, struct cell *c);

static bool grid(unsigned int at, struct cell *c)
{
	const struct split *s = &splits[digit(&at, COUNT(splits))];
	double p = errors[digit(&at, COUNT(errors))], burst = bursts[digit(&at, COUNT(bursts))];

	if (at >= COUNT(rates))
		return false;
	c->s = (struct scenario){ .rate = rates[at], .errors = p, .burst = burst, .gap = PACE };
	split_set(c, s);
	snprintf(c->line, sizeof(c->line), "%g requests/s, bursts of %g", rates[at], burst);
	snprintf(c->name, sizeof(c->name), "%s, errors %g %%", s->name, 100 * p);
	return true;
}

static bool drifting(unsigned int at, struct cell *c)
{
	const struct split *s = &splits[digit(&at, COUNT(splits))];
	double burst = bursts[2 * digit(&at, 2)];

	if (at >= COUNT(rates))
		return false;
	c->s = (struct scenario){ .rate = rates[at], .errors = 0.01, .burst = burst, .gap = PACE, .drift = 2 };
	split_set(c, s);
	snprintf(c->line, sizeof(c->line), "drift x2, %g requests/s", rates[at]);
	snprintf(c->name, sizeof(c->name), "%s, bursts of %g", s->name, burst);
	return true;
}

static bool many_endpoints(unsigned int at, struct cell *c)
{
	static const unsigned int endpoints[] = { 20, 200 };
	const struct split *s = &splits[2 * digit(&at, 2)];
	double burst = bursts[2 * digit(&at, 2)];

	if (at >= COUNT(endpoints))
		return false;
	c->s = (struct scenario){
		.rate = 200, .errors = 0.01, .burst = burst, .gap = PACE, .endpoints = endpoints[at]
	};
	split_set(c, s);
	snprintf(c->line, sizeof(c->line), "%u endpoints, 200 requests/s", endpoints[at]);
	snprintf(c->name, sizeof(c->name), "%s, bursts of %g", s->name, burst);
	return true;
}

static bool few_connections(unsigned int at, struct cell *c)
{
	const struct split *s = &splits[digit(&at, COUNT(splits))];
	double burst = bursts[digit(&at, COUNT(bursts))];

	if (at >= COUNT(rates))
		return false;
	c->s = (struct scenario){ .rate = rates[at], .errors = 0.01, .burst = burst, .kept_c = 4, .kept_b = 8 };
	split_set(c, s);
	snprintf(c->line, sizeof(c->line), "4 + 8 kept-alive connections, %g requests/s", rates[at]);
	snprintf(c->name, sizeof(c->name), "%s, bursts of %g", s->name, burst);
	return true;
}

static bool hiccups(unsigned int at, struct cell *c)
{
	const struct split *s = &splits[digit(&at, COUNT(splits))];
	double burst = bursts[1 + digit(&at, COUNT(bursts) - 1)];

	if (at >= COUNT(rates))
		return false;
	c->s = (struct scenario){ .rate = rates[at], .errors = 0.01, .burst = burst, .across = true, .gap = HICCUP };
	split_set(c, s);
	snprintf(c->line, sizeof(c->line), "bursts over all connections, %g requests/s", rates[at]);
	snprintf(c->name, sizeof(c->name), "%s, bursts of %g", s->name, burst);
	return true;
}

bool cells__next(struct cells_iter *it, struct cell *c)
{
	static part_fn *const parts[] = { grid, drifting, many_endpoints, few_connections, hiccups };

	for (; it->part < COUNT(parts); it->part++, it->at = 0) {
		memset(c, 0, sizeof(*c));
		if (parts[it->part](it->at, c)) {
			it->at++;
			return true;
		}
	}
	return false;
}

#define CANARY_5_PERCENT .rate = 200, .share = { 0.05 }, .errors = 0.01, .gap = PACE, .ticks = HALF_HOUR

const struct bad_cell bad_cells[] = {
	{ { CANARY_5_PERCENT, .name = "errors x1.5 (the margin)", .error_ratio = 1.5 }, 300, 1 },
	{ { CANARY_5_PERCENT, .name = "errors x2", .error_ratio = 2 }, 120, 1 },
	{ { CANARY_5_PERCENT, .name = "errors x5", .error_ratio = 5 }, 60, 1 },
	{ { CANARY_5_PERCENT, .name = "everything fails", .error_ratio = 100 }, 20, 1 },
	/* Within the margin of 20 %: shown to be slower, and often shown to be no more slower than is agreed. */
	{ { CANARY_5_PERCENT, .name = "latency +10 % (in the margin)", .slower = 1.1 }, 300, 100 },
	{ { CANARY_5_PERCENT, .name = "latency +20 % (the margin)", .slower = 1.2 }, 120, 1 },
	{ { CANARY_5_PERCENT, .name = "latency +25 %", .slower = 1.25 }, 120, 1 },
	{ { CANARY_5_PERCENT, .name = "errors x2, bursts of 2", .error_ratio = 2, .burst = 2 }, INFINITY, 1 },
	{ { CANARY_5_PERCENT, .name = "errors x2, bursts of 5", .error_ratio = 2, .burst = 5 }, INFINITY, 1 },
	{ { CANARY_5_PERCENT, .name = "errors x10, bursts of 20", .error_ratio = 10, .burst = 20 }, INFINITY, 1 },
};
const size_t n_bad_cells = COUNT(bad_cells);
