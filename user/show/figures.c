/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "show/figures.h"

const char *const cause_names[TW_CAUSE_NR] = {
	[TW_CAUSE_READER] = "reader",
	[TW_CAUSE_CLOSER] = "closer",
};

const char *const latency_names[TW_LAT_NR] = {
	[TW_LAT_TOTAL] = "total",     [TW_LAT_FIRST_BYTE] = "first_byte", [TW_LAT_QUEUE] = "queue",
	[TW_LAT_SERVICE] = "service", [TW_LAT_SERVER] = "server",         [TW_LAT_UPLOAD] = "upload",
	[TW_LAT_SEND] = "send",       [TW_LAT_ACCEPT] = "accept",         [TW_LAT_DRAIN] = "drain",
	[TW_LAT_WAITED] = "waited",
};

const struct quantile table_quantiles[TABLE_QUANTILES] = {
	{ "p50", 0.5 },
	{ "p95", 0.95 },
	{ "p99", 0.99 },
};

uint64_t endpoint_requests(const struct endpoint_figures *ep)
{
	uint64_t n = 0;

	for (int arm = 0; arm < ARM_NR; arm++)
		n += ep->arm[arm].present ? ep->arm[arm].requests : 0;
	return n;
}

uint64_t arm_requests(const struct comparison *c, enum arm arm)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->n_endpoints; i++)
		n += c->endpoints[i].arm[arm].present ? c->endpoints[i].arm[arm].requests : 0;
	return n;
}

uint64_t comparison_requests(const struct comparison *c)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->n_endpoints; i++)
		n += endpoint_requests(&c->endpoints[i]);
	return n;
}

static int more_interesting(const void *pa, const void *pb)
{
	const struct endpoint_figures *a = *(const struct endpoint_figures *const *)pa;
	const struct endpoint_figures *b = *(const struct endpoint_figures *const *)pb;
	uint64_t n_a = endpoint_requests(a), n_b = endpoint_requests(b);

	if (a->critical != b->critical)
		return a->critical ? -1 : 1;
	if (n_a != n_b)
		return n_a > n_b ? -1 : 1;
	return strcmp(a->name, b->name); /* a fixed order, or equals would jump about from one screen to the next */
}

static bool has_streams(const struct endpoint_figures *ep)
{
	for (int arm = 0; arm < ARM_NR; arm++)
		if (arm_has_streams(&ep->arm[arm]))
			return true;
	return false;
}

const struct endpoint_figures **endpoints_by_interest(const struct comparison *c, size_t *n)
{
	const struct endpoint_figures **list = calloc(c->n_endpoints + 1, sizeof(const struct endpoint_figures *));

	*n = 0;
	if (!list)
		return NULL;
	for (size_t i = 0; i < c->n_endpoints; i++)
		if (c->endpoints[i].critical || endpoint_requests(&c->endpoints[i]) || has_streams(&c->endpoints[i]))
			list[(*n)++] = &c->endpoints[i];
	qsort(list, *n, sizeof(*list), more_interesting);
	return list;
}

double error_share(const struct arm_figures *a)
{
	return a->present && a->requests ? (double)arm_errors(a) / (double)a->requests : NAN;
}

double ratio_of(double canary, double baseline)
{
	if (isnan(canary) || isnan(baseline))
		return NAN;
	if (baseline == 0)
		return canary > 0 ? INFINITY : NAN;
	return canary / baseline;
}

bool has_abnormal_outcomes(const struct arm_figures *a)
{
	for (int i = TW_ANSWERED + 1; a->present && i < TW_OUTCOME_NR; i++)
		if (a->outcome[i])
			return true;
	return false;
}

const char *arm_label(const struct comparison *c, enum arm arm)
{
	return c->version_name[arm] ? c->version_name[arm] : arm_names[arm];
}

double agent_share(const struct comparison *c)
{
	return c->seconds > 0 ? c->overhead.agent_cpu_seconds / c->seconds : NAN;
}

bool is_complete(const struct comparison *c)
{
	return c->coverage.complete && !c->ledger.lost_exchanges && !c->ledger.lost_events && ledger_holds(&c->ledger);
}
