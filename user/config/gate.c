// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The gate: its defaults, the words it is told in, and what of it holds for one endpoint. */
#include "config/language.h"

#include <errno.h>
#include <string.h>

const char *const gate_mode_names[GATE_MODE_NR] = { "canary", "absolute", "before_after" };
const char *const at_deadline_names[DEADLINE_NR] = { "hold", "rollback" };

void gate_policy__defaults(struct gate_policy *p)
{
	*p = (struct gate_policy){
		.alpha = 0.05,
		.promote_alpha = 0.01,
		.max_error_ratio = 1.5,
		.max_latency_increase = 0.20,
		.min_requests = 500,
		.warmup = 10.0,
		.tick = 5.0,
		.timeout = 30.0,
		.share_tolerance = 0.10,
		.max_dropped_sessions = NO_DROP_LIMIT,
	};
	bad_events__defaults(&p->bad);
}

int read_gate(const struct source *s, const struct key *k, const struct ynode *v, void *gate_policy)
{
	struct gate_policy *p = gate_policy;

	p->line = v->line;
	return read_mapping(s, k, v, p);
}

int read_mode(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	int i = 0, err = want_word(s, k, v, gate_mode_names, GATE_MODE_NR, &i);

	*(enum gate_mode *)field = (enum gate_mode)i;
	return err;
}

int read_at_deadline(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	int i = 0, err = want_word(s, k, v, at_deadline_names, DEADLINE_NR, &i);

	*(enum at_deadline *)field = (enum at_deadline)i;
	return err;
}

static void prefer_margins(struct margins *m, const struct margins *own)
{
	if (own->max_error_ratio > 0)
		m->max_error_ratio = own->max_error_ratio;
	if (own->max_latency_increase > 0)
		m->max_latency_increase = own->max_latency_increase;
}

static void prefer_bad(struct tw_rule *r, const struct bad_events *own)
{
	if (own->has_statuses)
		memcpy(r->statuses, own->rule.statuses, sizeof(r->statuses));
	if (own->has_grpc)
		r->grpc = own->rule.grpc;
	if (own->has_outcomes)
		r->outcomes = own->rule.outcomes;
	if (own->has_slower_than)
		r->slower_than = own->rule.slower_than;
}

void config__policy(const struct config *c, const struct route *r, struct endpoint_policy *out)
{
	*out = (struct endpoint_policy){
		.margins = { c->gate.max_error_ratio, c->gate.max_latency_increase },
		.bad = c->gate.bad.rule,
		.unit = r ? r->in_unit : NULL,
	};
	if (out->unit) {
		prefer_margins(&out->margins, &out->unit->margins);
		prefer_bad(&out->bad, &out->unit->bad);
	}
	if (r) {
		prefer_margins(&out->margins, &r->margins);
		prefer_bad(&out->bad, &r->bad);
	}
}

static const char *unused_margin(const struct margins *m)
{
	if (m->max_error_ratio > 0)
		return "max_error_ratio";
	return m->max_latency_increase > 0 ? "max_latency_increase" : NULL;
}

/* Without a baseline there is nothing to be worse than, and what was announced is weighed evenly. */
int config__decides(const struct config *c, struct err *e)
{
	for (size_t i = 0; i < c->n_routes && c->gate.mode == GATE_ABSOLUTE; i++) {
		const struct route *r = &c->routes[i];
		const char *key = r->weight > 0 ? "weight" : unused_margin(&r->margins);

		if (!key && r->in_unit)
			key = unused_margin(&r->in_unit->margins);
		if (key)
			return err_set(e, ENOTSUP,
			               "%s:%d: endpoint %s: nothing acts upon %s in mode: absolute: leave it out",
			               c->file, r->line, r->name, key);
	}
	return 0;
}
