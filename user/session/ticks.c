// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Ticks: what the counters have gained since the last one, for the judge. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "judge/endpoint.h"
#include "session/internal.h"

/* Tells the judge of the config's units. */
int judge_units(struct session *s)
{
	for (size_t i = 0; i < s->config->n_units; i++) {
		const struct judge_cutover unit = judge_cutover__of(s->config, i);
		int err = ticklog__add_cutover(s->log, s->judge, &unit);

		if (err < 0)
			return err;
	}
	return 0;
}

/* Tells the judge of endpoints that have appeared since. */
static int judge_endpoints(struct session *s)
{
	for (; s->n_judged < routes__count(s->routes); s->n_judged++) {
		uint16_t ep = (uint16_t)(s->n_judged + 1);
		struct judge_endpoint e = judge_endpoint__watched(routes__endpoint(s->routes, ep), s->config,
		                                                  routes__config(s->routes, ep));
		int err;

		err = ticklog__add_endpoint(s->log, s->judge, &e, &s->rules[ep < s->n_rules ? ep : 0]);
		if (err < 0)
			return err;
	}
	return 0;
}

/* What was not observed, or not understood, says nothing of the version. */
uint64_t cell_lost(const struct cell *c)
{
	return c->tick_outcome[TW_UNOBSERVED] + c->tick_undecided;
}

void cell_tick(const struct cell *c, struct arm_tick *t)
{
	uint64_t overdue = 0;
	int64_t bad;

	/*
	 * Those that are bad already are told of while they wait; what the others come to shows when they end. One that
	 * was told of, and has ended now, is in both counts: then the difference is below 0.
	 */
	if (c->overdue_is_bad)
		overdue = cell_overdue(c) - c->tick_overdue;
	t->n = c->tick_n + overdue - cell_lost(c);
	bad = (int64_t)(c->tick_bad + overdue);
	t->bad = bad < 0 ? 0 : (uint64_t)bad < t->n ? (uint64_t)bad : t->n;
	t->turned_away = c->tick_turned_away < t->n - t->bad ? c->tick_turned_away : t->n - t->bad;
	memcpy(t->outcome, c->tick_outcome, sizeof(t->outcome));
	t->outcome[TW_TIMEOUT] += overdue;
	t->latency = t->n ? &c->tick_latency : NULL;
	t->waited = c->tick_waited && c->tick_waited->count ? c->tick_waited : NULL;
	/* Without a slot nothing is counted by group. */
	t->groups = c->slot ? &c->tick_groups : NULL;
}

static void arm_tick_fill(const struct session *s, struct arm_tick *t, int version, size_t endpoint)
{
	const struct cell *c = cell_of(s, version, endpoint);

	if (c)
		cell_tick(c, t);
}

static void ticks_reset(struct session *s)
{
	for (size_t i = 0; i < s->n_live; i++) {
		struct cell *c = s->live[i];

		c->tick_overdue = cell_overdue(c);
		if (!c->tick_n)
			continue;
		c->tick_n = c->tick_bad = c->tick_turned_away = c->tick_undecided = 0;
		memset(c->tick_outcome, 0, sizeof(c->tick_outcome));
		memset(&c->tick_latency, 0, sizeof(c->tick_latency));
		if (c->tick_waited)
			memset(c->tick_waited, 0, sizeof(*c->tick_waited));
	}
}

/* Closes the tick that ends now and gives it to the judge. */
int tick_close(struct session *s, double now)
{
	int baseline = versions_arm(s, ARM_BASELINE), canary = versions_arm(s, ARM_CANARY), err;
	struct endpoint_tick *e;
	struct tw_ledger_row t;
	struct tick tick = { .start = s->tick_start - s->start, .end = now - s->start };

	err = cells_read(s);
	if (!err)
		err = inflight_look(s);
	if (!err)
		err = judge_endpoints(s);
	if (err)
		return err;
	e = calloc(s->n_judged + 1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_live; i++)
		tick.lost_exchanges += cell_lost(s->live[i]);
	for (size_t i = 0; i < s->n_judged; i++) {
		arm_tick_fill(s, &e[i].baseline, baseline, i + 1);
		arm_tick_fill(s, &e[i].canary, canary, i + 1);
	}
	ledger_total(s, &t);
	t.c[TW_L_LOST_EXCHANGES] += s->lost_in_user_space;
	tick.lost_events = t.c[TW_L_LOST_EVENTS] - s->tick_ledger.c[TW_L_LOST_EVENTS];
	tick.lost_exchanges += t.c[TW_L_LOST_EXCHANGES] - s->tick_ledger.c[TW_L_LOST_EXCHANGES];
	tick.seen = t.c[TW_L_REQUESTS] - s->tick_ledger.c[TW_L_REQUESTS];
	tick.ledger_unknown = !ledger_is_checked(s);
	tick.ledger_balanced = tick.ledger_unknown || ledger_balances(s);
	/* A tick warms if any part of it does. */
	tick.warming = versions_warming(s, s->tick_start);
	tick.planned_share = s->stage;
	tick.clock_jump = clock_shift(&s->clock);
	arms_fill(s, &tick, baseline, canary);
	tick.endpoints = e;
	err = ticklog__tick(s->log, s->judge, &tick, s->n_judged);
	free(e);
	s->tick_ledger = t;
	s->tick_start = now;
	ticks_reset(s);
	groups_begin(s, baseline, canary);
	return err;
}
