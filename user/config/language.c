// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The configuration language: every mapping, every key, its bounds and an example.
 *
 * A value that needs a unit has one in its example, because the messages quote it.
 */
#include "config/language.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STAGES  20
#define SERVICE_MAX 128

static int read_service(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (strlen(text) > SERVICE_MAX)
		return source_error(s, v->line, "service is longer than %d bytes: give it a short name", SERVICE_MAX);
	return copy_text(s, text, field);
}

static int read_stages(const struct source *s, const struct key *k, const struct ynode *v, void *config)
{
	static const struct key stage = { "stage", 0, read_share, 0.0001, 1.0, "25%", false, NULL };
	struct config *c = config;
	char buf[CLIP_LEN];
	int err = want_kind(s, k, v, YNODE_SEQUENCE);

	if (err)
		return err;
	if (v->n < 1 || v->n > MAX_STAGES)
		return source_error(s, v->line, "stages has %zu entries: give 1 to %d, e.g. %s", v->n, MAX_STAGES,
		                    k->example);
	c->stages = calloc(v->n, sizeof(*c->stages));
	if (!c->stages)
		return source_nomem(s);
	for (const struct ynode *n = v->first; n; n = n->next) {
		double *share = &c->stages[c->n_stages];

		err = read_share(s, &stage, n, share);
		if (err)
			return err;
		if (c->n_stages && *share <= share[-1])
			return source_error(s, n->line,
			                    "stage \"%s\" does not rise: each must be larger than the one before",
			                    clip(n->text, buf));
		c->n_stages++;
	}
	return 0;
}

/* A share, or the word off. */
static int read_budget(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	if (v->kind != YNODE_SCALAR || v->is_null || strcmp(v->text, "off") != 0)
		return read_share(s, k, v, field);
	*(double *)field = INFINITY;
	return 0;
}

void overhead_limits__defaults(struct overhead_limits *p)
{
	p->budget = 0.25;
}

void cost_limits__defaults(struct cost_limits *p)
{
	p->budget = 0.02;
	p->floor = 0.02;
}

#define COUNT(keys)        (sizeof(keys) / sizeof((keys)[0]))
#define FIELD(type, field) #field, offsetof(struct type, field)
#define SCHEMA(name, text)                                                        \
	_Static_assert(COUNT(name##_keys) <= SCHEMA_MAX_KEYS, "SCHEMA_MAX_KEYS"); \
	const struct schema name##_schema = { text, name##_keys, COUNT(name##_keys) }

/* clang-format off */
static const struct key match_keys[] = {
	{ "listen",   0,			 read_listen,	0, 0,	    "\"127.0.0.1:8081\"", false, NULL },
	{ "upstream", 0,			 read_upstream, 0, 0,	    "\"10.0.0.7:8080\"",  false, NULL },
	{ FIELD(match, cgroup),			 read_cgroup,	0, 0,	    "\"/shop-v2.slice\"", false, NULL },
	{ FIELD(match, exe),			 read_exe,	0, 0,	    "/opt/shop-v2/shop",  false, NULL },
	{ FIELD(match, unit),			 read_unit,	0, 0,	    "shop-v2.service",	  false, NULL },
	{ FIELD(match, env),			 read_env,	0, 0,	    "SHOP_VERSION=2",	  false, NULL },
	{ FIELD(match, build_id),		 read_build_id, 0, 0,	    "\"9f3a41c0\"",	  false, NULL },
	{ FIELD(match, pid),			 read_pid,	1, 4194304, "4711",		  false, NULL },
};
SCHEMA(match, "match");

static const struct key version_keys[] = {
	{ "arm", 0,				 read_arm,	0, 0, "baseline", true, NULL },
	{ FIELD(version, match),		 read_mapping,	0, 0, "{ listen: \"127.0.0.1:8081\" }", true, &match_schema },
};
SCHEMA(version, "version");

/* No histogram reaches beyond 256 s. */
static const struct key slo_keys[] = {
	{ FIELD(slo, p50),			 read_duration, 1e-6, 256, "20ms",  false, NULL },
	{ FIELD(slo, p90),			 read_duration, 1e-6, 256, "100ms", false, NULL },
	{ FIELD(slo, p95),			 read_duration, 1e-6, 256, "300ms", false, NULL },
	{ FIELD(slo, p99),			 read_duration, 1e-6, 256, "1s",    false, NULL },
	{ FIELD(slo, error_rate),		 read_share,	0,    1,   "0.5%",  false, NULL },
};
SCHEMA(slo, "slo");

static const struct key bad_keys[] = {
	{ "statuses", 0,			 read_statuses,	   0,	  0,	"[5xx, 429]",	false, NULL },
	{ "outcomes", 0,			 read_outcomes,	   0,	  0,	"[unanswered, truncated, reset_by_server, timeout]", false, NULL },
	{ "slower_than", 0,			 read_slower_than, 0.001, 3600, "2s",		false, NULL },
};
SCHEMA(bad, "bad");

#define EXAMPLE_BAD  "{ statuses: [5xx, 429], slower_than: 2s }"
#define MARGIN_KEYS(type)                                                                                               \
	{ "max_error_ratio", offsetof(struct type, margins.max_error_ratio), read_number, 1.01, 100, "1.2", false, NULL }, \
	{ "max_latency_increase", offsetof(struct type, margins.max_latency_increase), read_share, 0.01, 10, "10%", false, NULL }

static const struct key unit_keys[] = {
	{ FIELD(cutover_unit, owner),		 read_text,	0, 0,	 "\"team-pay\"",       false, NULL },
	MARGIN_KEYS(cutover_unit),
	{ FIELD(cutover_unit, bad),		 read_mapping,	0, 0,	 EXAMPLE_BAD,	       false, &bad_schema },
};
SCHEMA(unit, "unit");

static const struct key endpoint_keys[] = {
	{ "route", 0,				 read_route,	0, 0,	 "\"GET /cart/{id}\"", true,  NULL },
	{ FIELD(route, critical),		 read_bool,	0, 0,	 "true",	       false, NULL },
	{ FIELD(route, value),			 read_money,	0, 1e12, "\"62.50 EUR\"",      false, NULL },
	{ FIELD(route, slo),			 read_mapping,	0, 0,	 "{ p95: 300ms, error_rate: 0.5% }", false, &slo_schema },
	{ FIELD(route, weight),			 read_share,	0.001, 1, "30%",	       false, NULL },
	{ FIELD(route, fail_fast),		 read_bool,	0, 0,	 "true",	       false, NULL },
	{ FIELD(route, unit),			 read_text,	0, 0,	 "checkout",	       false, NULL },
	MARGIN_KEYS(route),
	{ FIELD(route, bad),			 read_mapping,	0, 0,	 EXAMPLE_BAD,	       false, &bad_schema },
};
SCHEMA(endpoint, "endpoint");

static const struct key gate_keys[] = {
	{ FIELD(gate_policy, alpha),		 read_share,	0.0001, 0.5,  "1%", false, NULL },
	{ FIELD(gate_policy, max_error_ratio),	 read_number,	1.01,	100,  "1.5",  false, NULL },
	{ FIELD(gate_policy, max_latency_increase), read_share, 0.01,	10,   "20%",  false, NULL },
	{ FIELD(gate_policy, min_requests),	 read_count,	1,	1e9,  "500",  false, NULL },
	{ FIELD(gate_policy, warmup),		 read_duration, 0,	3600, "10s",  false, NULL },
	{ FIELD(gate_policy, tick),		 read_duration, 0.1,	300,  "5s",   false, NULL },
	{ FIELD(gate_policy, timeout),		 read_duration, 0.01,	3600, "30s",  false, NULL },
	{ FIELD(gate_policy, promote_alpha),	 read_share,	0.0001, 0.5,  "1%", false, NULL },
	{ FIELD(gate_policy, deadline),		 read_duration, 1,	604800, "30m", false, NULL },
	{ FIELD(gate_policy, at_deadline),	 read_at_deadline, 0,	0,    "rollback", false, NULL },
	{ FIELD(gate_policy, share_tolerance),	 read_share,	0.01,	1,    "10%",  false, NULL },
	{ FIELD(gate_policy, max_dropped_sessions), read_count, 0,	1e9,  "25",   false, NULL },
	{ FIELD(gate_policy, mode),		 read_mode,	0,	0,    "canary", false, NULL },
	{ FIELD(gate_policy, bad),		 read_mapping,	0,	0,    EXAMPLE_BAD, false, &bad_schema },
};
SCHEMA(gate, "gate");

static const struct key limits_keys[] = {
	{ "endpoints", offsetof(struct config, max_endpoints), read_uint, 1, 500, "500", false, NULL },
};
SCHEMA(limits, "limits");

static const struct key overhead_keys[] = {
	{ FIELD(overhead_limits, budget),	 read_budget,	0.001,	1,    "25%, or off", false, NULL },
};
SCHEMA(overhead, "overhead");

static const struct key cost_keys[] = {
	{ FIELD(cost_limits, budget),		 read_budget,	COST_BUDGET_LEAST, COST_BUDGET_MOST, "2%, or off", false, NULL },
	{ FIELD(cost_limits, floor),		 read_share,	0,	1,    "2%", false, NULL },
};
SCHEMA(cost, "cost");

static const struct key config_keys[] = {
	{ FIELD(config, service),		 read_service,	 0, 0, "shop", true, NULL },
	{ "versions", 0,			 read_versions,	 0, 0,
	  "{ v1: { arm: baseline, match: { listen: \"127.0.0.1:8081\" } } }", true, NULL },
	{ "endpoints", 0,			 read_endpoints, 0, 0, "[ { route: \"GET /cart/{id}\" } ]", false, NULL },
	{ FIELD(config, gate),			 read_gate,	 0, 0, "{ alpha: 0.05, warmup: 10s }", false, &gate_schema },
	{ "stages", 0,				 read_stages,	 0, 0, "[5%, 25%, 50%, 100%]", false, NULL },
	{ "limits", 0,				 read_mapping,	 0, 0, "{ endpoints: 500 }", false, &limits_schema },
	{ FIELD(config, overhead),		 read_mapping,	 0, 0, "{ budget: 25% }", false, &overhead_schema },
	{ FIELD(config, cost),			 read_mapping,	 0, 0, "{ budget: 2% }", false, &cost_schema },
	{ "units", 0,				 read_units,	 0, 0, "{ checkout: { owner: \"team-pay\" } }", false, NULL },
};
SCHEMA(config, "configuration");
/* clang-format on */

const struct schema *const all_schemas[] = { &config_schema,   &version_schema,  &match_schema, &unit_schema,
	                                     &endpoint_schema, &slo_schema,      &bad_schema,   &gate_schema,
	                                     &limits_schema,   &overhead_schema, &cost_schema };
const size_t n_schemas = COUNT(all_schemas);
