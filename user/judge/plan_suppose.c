/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/plan_suppose.h"

#include <math.h>

/*
 * Bad events in a block on average, if a tick has Poisson many of them and a block ends with the tick that brings it to
 * least: by Wald's identity the mean of a tick times the ticks, whose number exceeds t while a Poisson count of mean
 * t times as much is below least.
 */
static double block_size(double a_tick, unsigned int least)
{
	double ticks = 0, more = 1;

	if (a_tick < 0.01)
		return least;
	for (unsigned int t = 0; more > 1e-9; t++) {
		double term = exp(-a_tick * t);

		more = 0;
		for (unsigned int k = 0; k < least; k++) {
			more += term;
			term *= a_tick * t / (k + 1);
		}
		ticks += more;
	}
	return a_tick * ticks;
}

/* Most of what there is to learn of how bad events come is learned by then. */
#define LEARNED 300 /* ticks */

/*
 * What is known of bad events that come one by one, over many connections: no more dispersion than chance has. How well
 * that is known is left to the ticks of the baseline; it is never known well where there are few.
 */
static void learn_pace(struct dispersion *d, const struct supposition *s, double bad)
{
	double n = s->ep->rate * (1 - s->share) * s->t->policy.tick, ticks = s->seconds / s->t->policy.tick;
	const struct events arms[ARMS] = { [ARM_IS_BASELINE] = { .n = n, .k = n * bad } };
	const struct group_shares nobody = { .total = { 0 } };
	struct dispersion seen = { 0 };

	for (int i = 0; i < LEARNED && i < ticks; i++)
		dispersion__add(&seen, &nobody, arms);
	d->grouped = true;
	d->change = d->change_weight = seen.change_weight;
}

/* Bets in blocks of their usual size; lanes: as many as there are groups where a tick is cut into them. */
static void learn_size(struct ratio_test *test, const struct supposition *s, double bad, bool in_lanes)
{
	double a_tick = s->ep->rate * s->t->policy.tick * bad * (1 - s->share + s->share * s->ratio);

	test->lanes = in_lanes ? TW_GROUPS : 1;
	test->bet.blocks = 1;
	test->bet.size = block_size(a_tick / test->lanes, in_lanes ? 1 : BET_LEAST);
}

void plan_suppose__evidence(struct evidence *ev, const struct supposition *s)
{
	evidence__init(ev, s->t, &s->ep->def);
	ev->late_seconds = 1;
	ev->late_c = ev->late_timed_c = s->ep->rate * s->share;
	ev->late_b = ev->late_timed_b = s->ep->rate * (1 - s->share);
	ev->n_c = ev->n_b = PLAN_MANY;
	ev->bad_c = ev->bad_b = (uint64_t)(s->errors * PLAN_MANY);
	learn_pace(&ev->bad_dispersion, s, s->errors);
	learn_pace(&ev->slow_dispersion, s, SLOW_SHARE);
	learn_size(&ev->errors_bad, s, s->errors, false);
	learn_size(&ev->errors_good, s, s->errors, true);
	learn_size(&ev->slow_bad, s, SLOW_SHARE, false);
	learn_size(&ev->slow_good, s, SLOW_SHARE, true);
}
