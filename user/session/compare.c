// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

static const struct cell *cell_of(const struct session *s, int version, size_t endpoint)
{
	return version ? s->cells[(size_t)version * TW_MAX_ENDPOINTS + endpoint] : NULL;
}

/* Fills one arm of one endpoint; an arm that has a version is present even when it saw nothing. */
static void arm_fill(const struct session *s, struct arm_figures *a, int version, size_t endpoint)
{
	const struct cell *c = cell_of(s, version, endpoint);

	memset(a, 0, sizeof(*a));
	if (!version)
		return;
	if (c) {
		/* What waits too long has become a timeout, whatever its end will be. */
		*a = c->total;
		a->requests += cell_overdue(c);
		a->outcome[TW_TIMEOUT] += cell_overdue(c);
		a->bad += c->overdue_is_bad ? cell_overdue(c) : 0;
	}
	a->present = true;
	a->version = s->config->versions[version - 1].name;
}

static void header_fill(struct session *s, struct comparison *c)
{
	c->service = s->config->service;
	memcpy(c->run, s->run, sizeof(c->run));
	c->started = s->started;
	c->seconds = session_now() - s->start;
	c->stage = s->stage;
	ledger_fill(s, c);
	overhead_fill(s, &c->overhead);
	cuts_fill(s, c);
	c->n_notes = 0;
	for (size_t i = 0; i < s->ids->n_versions; i++)
		if (s->ids->versions[i].state != ID_FOUND)
			s->notes[c->n_notes++] = s->ids->versions[i].note;
	c->notes = s->notes;
}

/* Endpoints of the config always, others once somebody asked for them. versions: by arm, 0 where there is none. */
static int endpoints_fill(struct session *s, struct comparison *c, const int versions[ARM_NR], bool all)
{
	size_t n = routes__count(s->routes);
	struct endpoint_figures *grown = reallocarray(c->endpoints, n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	c->endpoints = grown;
	c->n_endpoints = 0;
	for (size_t ep = 1; ep <= n; ep++) {
		const struct route *r = routes__config(s->routes, (uint16_t)ep);
		struct endpoint_figures *f = &c->endpoints[c->n_endpoints];
		uint64_t requests = 0;

		for (int arm = 0; arm < ARM_NR; arm++) {
			arm_fill(s, &f->arm[arm], versions[arm], ep);
			requests += f->arm[arm].requests;
		}
		if (!requests && !(all && r))
			continue;
		f->name = routes__endpoint(s->routes, (uint16_t)ep);
		f->critical = r && r->critical;
		c->n_endpoints++;
	}
	return 0;
}

const struct comparison *session__compare(struct session *s)
{
	struct comparison *c = &s->comparison;
	int versions[ARM_NR];

	if (cells_read(s) || inflight_look(s))
		return NULL;
	for (int arm = 0; arm < ARM_NR; arm++) {
		versions[arm] = versions_arm(s, arm);
		c->version_name[arm] = versions[arm] ? s->config->versions[versions[arm] - 1].name : NULL;
	}
	if (endpoints_fill(s, c, versions, true))
		return NULL;
	header_fill(s, c);
	if (versions_fill(s, c))
		return NULL;
	c->has_verdict = s->judge != NULL;
	if (s->judge)
		judge__verdict(s->judge, &c->verdict);
	return c;
}

struct comparison *session__of_version(struct session *s, size_t version)
{
	const int versions[ARM_NR] = { (int)version + 1 };
	struct comparison *c = calloc(1, sizeof(*c));

	if (!c || ledger_read(s) || endpoints_fill(s, c, versions, false)) {
		session__comparison_free(c);
		return NULL;
	}
	header_fill(s, c);
	c->service = s->config->versions[version].name;
	c->version_name[ARM_BASELINE] = s->config->versions[version].name;
	c->n_notes = c->n_versions = 0;
	return c;
}

void session__comparison_free(struct comparison *c)
{
	if (!c)
		return;
	free(c->endpoints);
	free(c);
}

/* ---- ticks ------------------------------------------------------------------------------------------------------- */

/* Tells the judge of endpoints that have appeared since. */
static int judge_endpoints(struct session *s)
{
	for (; s->n_judged < routes__count(s->routes); s->n_judged++) {
		uint16_t ep = (uint16_t)(s->n_judged + 1);
		const struct route *r = routes__config(s->routes, ep);
		struct judge_endpoint e = { .name = routes__endpoint(s->routes, ep), .unit = UNIT_EXCHANGE };
		int err;

		if (r) {
			e.named = true;
			e.critical = r->critical;
			e.weight = r->weight;
			e.slo_p95 = r->slo.p95;
			e.slo_error_rate = r->slo.error_rate;
		}
		err = judge__add_endpoint(s->judge, &e);
		if (err < 0)
			return err;
	}
	return 0;
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
	/* What was not observed says nothing of the version: it counts as lost. */
	t->n = c->tick_n + overdue - c->tick_outcome[TW_UNOBSERVED];
	bad = (int64_t)(c->tick_bad + overdue);
	t->bad = bad < 0 ? 0 : (uint64_t)bad < t->n ? (uint64_t)bad : t->n;
	memcpy(t->outcome, c->tick_outcome, sizeof(t->outcome));
	t->outcome[TW_TIMEOUT] += overdue;
	t->latency = t->n ? &c->tick_latency : NULL;
	t->waited = c->tick_waited.count ? &c->tick_waited : NULL;
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
		c->tick_n = c->tick_bad = 0;
		memset(c->tick_outcome, 0, sizeof(c->tick_outcome));
		memset(&c->tick_latency, 0, sizeof(c->tick_latency));
		memset(&c->tick_waited, 0, sizeof(c->tick_waited));
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
		tick.lost_exchanges += s->live[i]->tick_outcome[TW_UNOBSERVED];
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
	tick.endpoints = e;
	err = judge__tick(s->judge, &tick, s->n_judged);
	free(e);
	s->tick_ledger = t;
	s->tick_start = now;
	ticks_reset(s);
	groups_begin(s, baseline, canary);
	return err;
}
