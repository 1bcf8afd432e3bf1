// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "judge/endpoint.h"

static double prefer(double own, double units)
{
	return own > 0 ? own : units;
}

void judge_endpoint__apply(struct judge_endpoint *e, const struct config *c, const struct route *r)
{
	const struct cutover_unit *unit = r->in_unit;

	e->named = true;
	e->critical = r->critical;
	e->fail_fast = r->fail_fast;
	e->weight = r->weight;
	e->slo_p50 = r->slo.p50;
	e->slo_p90 = r->slo.p90;
	e->slo_p95 = r->slo.p95;
	e->slo_p99 = r->slo.p99;
	e->slo_error_rate = r->slo.error_rate;
	e->margins = r->margins;
	if (unit) {
		e->margins.max_error_ratio = prefer(r->margins.max_error_ratio, unit->margins.max_error_ratio);
		e->margins.max_latency_increase =
			prefer(r->margins.max_latency_increase, unit->margins.max_latency_increase);
	}
	if (c->n_units)
		e->cutover = unit ? (unsigned int)(unit - c->units) + 1 : 0;
}

struct judge_endpoint judge_endpoint__watched(const char *name, const struct config *c, const struct route *r)
{
	struct judge_endpoint e = { .name = name, .unit = UNIT_EXCHANGE };

	if (r)
		judge_endpoint__apply(&e, c, r);
	return e;
}

struct judge_cutover judge_cutover__of(const struct config *c, size_t i)
{
	return (struct judge_cutover){ c->units[i].name, c->units[i].owner };
}
