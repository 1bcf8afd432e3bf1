/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "session/judged.h"

struct judge_endpoint judged__endpoint(const struct config *c, const struct route *r, const char *name)
{
	struct judge_endpoint e = { .name = name, .unit = UNIT_EXCHANGE };
	struct endpoint_policy policy;

	config__policy(c, r, &policy);
	e.margins = policy.margins;
	e.cutover = policy.unit ? (unsigned int)(policy.unit - c->units) + 1 : 0;
	if (r) {
		e.named = true;
		e.critical = r->critical;
		e.weight = r->weight;
		e.slo_p50 = r->slo.p50;
		e.slo_p90 = r->slo.p90;
		e.slo_p95 = r->slo.p95;
		e.slo_p99 = r->slo.p99;
		e.slo_error_rate = r->slo.error_rate;
		e.fail_fast = r->fail_fast;
	}
	return e;
}

struct judge_cutover judged__unit(const struct config *c, size_t i)
{
	return (struct judge_cutover){ c->units[i].name, c->units[i].owner };
}
