// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

const struct cell *cell_of(const struct session *s, int version, size_t endpoint)
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
	const char *note;

	c->service = s->config->service;
	memcpy(c->run, s->run, sizeof(c->run));
	c->started = s->started;
	c->looked_at = (uint64_t)(session_now() * 1e9);
	c->seconds = (double)c->looked_at / 1e9 - s->start;
	c->stage = s->stage;
	ledger_fill(s, c);
	cost_fill(s, c);
	cuts_fill(s, c);
	c->n_notes = 0;
	for (size_t v = 1; v <= s->config->n_versions; v++)
		if ((note = joined_note(s, v)))
			s->notes[c->n_notes++] = note;
	for (size_t i = 0; i < s->ids->n_versions; i++)
		if (s->ids->versions[i].state != ID_FOUND)
			s->notes[c->n_notes++] = s->ids->versions[i].note;
	c->log = ticklog__state(s->log);
	if (c->log && c->log->stopped)
		s->notes[c->n_notes++] = c->log->stopped;
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
		bool seen = false;

		for (int arm = 0; arm < ARM_NR; arm++) {
			arm_fill(s, &f->arm[arm], versions[arm], ep);
			seen |= f->arm[arm].requests || arm_has_streams(&f->arm[arm]);
		}
		if (!seen && !(all && r))
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
	http2_streams_look(s);
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

static void traffic_fill(const struct session *s, struct service_traffic *t, size_t row)
{
	const uint64_t requests = s->now[row].c[TW_L_REQUESTS];

	t->connections = s->now[row].c[TW_L_CONNECTIONS];
	t->http2 = http2_requests(s, row);
	t->http1 = requests > t->http2 ? requests - t->http2 : 0;
	t->in_flight = s->inflight.counts.requests[row];
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
	traffic_fill(s, &c->traffic, version + 1);
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
