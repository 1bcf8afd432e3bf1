// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/comparison.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

int arm_status_add(struct arm_figures *a, unsigned int code, uint64_t n)
{
	struct status_count *grown;

	for (size_t i = 0; i < a->n_status; i++)
		if (a->status[i].code == code) {
			a->status[i].n += n;
			return 0;
		}
	grown = reallocarray(a->status, a->n_status + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	a->status = grown;
	a->status[a->n_status++] = (struct status_count){ .code = (uint16_t)code, .n = n };
	return 0;
}

uint64_t arm_status(const struct arm_figures *a, unsigned int code)
{
	for (size_t i = 0; i < a->n_status; i++)
		if (a->status[i].code == code)
			return a->status[i].n;
	return 0;
}

double arm_quantile(const struct arm_figures *a, enum tw_latency kind, double q)
{
	struct histogram h;

	if (!a->present)
		return NAN;
	latencies__histogram(a->lat, kind, &h);
	return histogram_quantile(&h, q);
}

bool arm_has_streams(const struct arm_figures *a)
{
	return a->present && a->streams && streams_any(a->streams);
}

double arm_oldest_stream(const struct comparison *c, const struct arm_figures *a)
{
	if (!arm_has_streams(a) || !a->streams->open)
		return NAN;
	return c->looked_at > a->streams->oldest ? (double)(c->looked_at - a->streams->oldest) / 1e9 : 0;
}

bool ledger_holds(const struct ledger_figures *l)
{
	return !l->checked || (!l->missing && !l->surplus);
}

bool http2_is_complete(const struct http2_coverage *c)
{
	return !c->desynchronised && !c->shed && !c->unknown;
}

uint64_t arm_errors(const struct arm_figures *a)
{
	return a->bad;
}
