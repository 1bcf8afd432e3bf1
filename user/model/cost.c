// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/cost.h"

#include <math.h>

#define IN_A_ROW      2   /* looks above, or within: one may be a burst */
#define ROOM          0.7 /* of what is allowed: what it must be below for details to be asked for again */
#define PATIENCE      3   /* looks with room before they are */
#define PATIENCE_MOST 96
#define LASTED        12 /* looks after which a resumption has not failed */

double cost_allowed(const struct cost_limits *l, double rate)
{
	double allowed = l->budget * rate / COST_RATE;

	if (!isfinite(l->budget))
		return INFINITY;
	return allowed > l->floor ? allowed : l->floor;
}

static void count_looks(struct cost_budget *b)
{
	bool above = b->used > b->allowed;

	b->above = above ? b->above + 1 : 0;
	b->within = above ? 0 : b->within + 1;
	b->room = b->used < ROOM * b->allowed ? b->room + 1 : 0;
	b->since_resumption++;
	/* A second resumption is not held against the first when that has lasted. */
	if (!b->patience || (!b->shed && b->since_resumption > LASTED))
		b->patience = PATIENCE;
}

static enum cost_step shed(struct cost_budget *b)
{
	/* The first time nothing has been resumed, and nothing has failed. */
	if (!b->shed && b->resumed && b->since_resumption <= LASTED && b->patience < PATIENCE_MOST)
		b->patience *= 2;
	b->over = b->shed = true;
	return COST_OVER;
}

enum cost_step cost_budget__look(struct cost_budget *b, const struct cost_sample *s, const struct cost_limits *l)
{
	b->used = s->agent + (isfinite(s->kernel) ? s->kernel : 0);
	b->allowed = cost_allowed(l, s->rate);
	count_looks(b);
	if (!b->over && b->above >= IN_A_ROW)
		return shed(b);
	if (b->shed && b->room >= b->patience) {
		b->over = b->shed = false;
		b->resumed = true;
		b->since_resumption = 0;
		return COST_RESUMED;
	}
	if (b->over && b->within >= IN_A_ROW) {
		b->over = false;
		return COST_WITHIN;
	}
	return COST_SAME;
}

bool cost_measured(const struct cost_kernel *k)
{
	return k->windows && !k->refused;
}

double cost_gross(const struct cost_kernel *k)
{
	return k->ended >= COST_LEAST && !k->refused ? (double)k->ns / (double)k->ended : NAN;
}

static double net_ns(const struct cost_kernel *k)
{
	double net = (double)k->ns - k->per_run * (double)k->runs;

	return net < 0 ? 0 : net;
}

double cost_net(const struct cost_kernel *k)
{
	return k->ended >= COST_LEAST && !k->refused && isfinite(k->per_run) ? net_ns(k) / (double)k->ended : NAN;
}

double cost_cores(const struct cost_kernel *k)
{
	if (k->seconds <= 0 || k->refused)
		return NAN;
	return (isfinite(k->per_run) ? net_ns(k) : (double)k->ns) / 1e9 / k->seconds;
}
