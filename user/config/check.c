// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What can only be seen when everything has been read: how the entries stand to each other. */
#include "config/language.h"

#include <errno.h>
#include <string.h>

static int check_arms(const struct source *s, const struct config *c)
{
	for (size_t i = 0; i < c->n_versions; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct version *a = &c->versions[j], *b = &c->versions[i];

			if (a->arm != b->arm || a->arm == ARM_OTHER)
				continue;
			return source_error(s, b->line,
			                    "two versions are %s, \"%s\" (line %d) and \"%s\": make one of them %s",
			                    arm_names[a->arm], a->name, a->line, b->name,
			                    a->arm == ARM_BASELINE ? "canary or other" : "other");
		}
	}
	return 0;
}

static bool has_key(const struct match *m)
{
	return m->has_listen || m->has_upstream || m->cgroup || m->exe || m->unit || m->env || m->build_id || m->pid;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Build ids may be given as prefixes. */
static bool same_build(const char *a, const char *b)
{
	size_t la, lb;

	if (!a || !b)
		return a == b;
	la = strlen(a);
	lb = strlen(b);
	return strncmp(a, b, la < lb ? la : lb) == 0;
}

static bool addr_overlaps(const struct endpoint_addr *a, const struct endpoint_addr *b)
{
	return a->port == b->port && (a->any_addr || b->any_addr || memcmp(a->addr, b->addr, sizeof(a->addr)) == 0);
}

/* The same keys with values that hold together: whatever fits one may fit the other. */
static bool match_overlaps(const struct match *a, const struct match *b)
{
	if (a->has_listen != b->has_listen || a->has_upstream != b->has_upstream)
		return false;
	if (a->has_listen && !addr_overlaps(&a->listen, &b->listen))
		return false;
	if (a->has_upstream && !addr_overlaps(&a->upstream, &b->upstream))
		return false;
	return same_text(a->cgroup, b->cgroup) && same_text(a->exe, b->exe) && same_text(a->unit, b->unit) &&
	       same_text(a->env, b->env) && same_build(a->build_id, b->build_id) && a->pid == b->pid;
}

static int check_matches(const struct source *s, const struct config *c)
{
	for (size_t i = 0; i < c->n_versions; i++) {
		const struct version *b = &c->versions[i];

		if (!has_key(&b->match))
			return source_error(
				s, b->line,
				"version \"%s\" matches by nothing: add match: { listen: \"127.0.0.1:8081\" }",
				b->name);
		for (size_t j = 0; j < i; j++)
			if (match_overlaps(&c->versions[j].match, &b->match))
				return source_error(
					s, b->line,
					"versions \"%s\" (line %d) and \"%s\" match the same: add a key that differs, "
					"such as exe, env or build_id",
					c->versions[j].name, c->versions[j].line, b->name);
	}
	return 0;
}

static int check_slo(const struct source *s, const struct route *r)
{
	static const char *const names[] = { "p50", "p90", "p95", "p99" };
	const double value[] = { r->slo.p50, r->slo.p90, r->slo.p95, r->slo.p99 };
	int below = -1;

	for (int i = 0; i < 4; i++) {
		if (value[i] <= 0.0)
			continue;
		if (below >= 0 && value[i] < value[below])
			return source_error(s, r->line, "endpoint \"%s\": slo %s is below %s, which no data can meet",
			                    r->name, names[i], names[below]);
		below = i;
	}
	return 0;
}

/* What no exchange can be is not watched for, and a release would be certified by that. */
static int check_bad(const struct source *s, const struct tw_rule *bad, const char *what, int line)
{
	bool is_call = !strncmp(what, "gRPC ", 5);
	char buf[CLIP_LEN];

	for (size_t i = 0; i < sizeof(bad->statuses) / sizeof(bad->statuses[0]); i++)
		if (bad->statuses[i])
			return 0;
	if ((is_call && bad->grpc) || bad->outcomes || bad->slower_than != TW_NEVER_SLOW)
		return 0;
	return source_error(s, line,
	                    "%s: by what its bad says nothing can be bad: name statuses, outcomes or slower_than",
	                    clip(what, buf));
}

static int check_policies(const struct source *s, const struct config *c)
{
	double weights = 0;

	for (size_t i = 0; i < c->n_routes; i++) {
		const struct route *r = &c->routes[i];
		struct endpoint_policy p;
		int err;

		config__policy(c, r, &p);
		err = check_bad(s, &p.bad, r->name, r->line);
		if (err)
			return err;
		weights += r->weight;
		/* A hundred thousandths for those who divide a hundred by three. */
		if (weights > 1.00001)
			return source_error(s, r->line,
			                    "weights add up to %.6g%% with this one: they are shares of 100%%",
			                    weights * 100);
	}
	return check_bad(s, &c->gate.bad.rule, "gate", c->gate.line);
}

static int check_units(const struct source *s, const struct config *c)
{
	for (size_t i = 0; i < c->n_units; i++) {
		const struct cutover_unit *u = &c->units[i];
		bool used = false;

		for (size_t j = 0; j < c->n_routes && !used; j++)
			used = c->routes[j].in_unit == u;
		if (!used)
			return source_error(s, u->line,
			                    "unit \"%s\" has no endpoint: add unit: %s to one, or take it out", u->name,
			                    u->name);
	}
	return 0;
}

static bool is_announced(const struct slo *slo)
{
	return slo->error_rate >= 0 || slo->p50 > 0 || slo->p90 > 0 || slo->p95 > 0 || slo->p99 > 0;
}

/* Without a baseline, each endpoint that decides (the critical ones, else all that are named) must say what is good. */
static int check_absolute(const struct source *s, const struct config *c)
{
	bool critical = false;
	char buf[CLIP_LEN];

	if (config__version_of_arm(c, ARM_CANARY) < 0)
		return source_error(s, c->gate.line, "mode: absolute judges the canary: give one version arm: canary");
	if (!c->n_routes)
		return source_error(s, c->gate.line,
		                    "mode: absolute holds endpoints against their slo: name endpoints with one");
	for (size_t i = 0; i < c->n_routes; i++)
		critical |= c->routes[i].critical;
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct route *r = &c->routes[i];

		if ((r->critical || !critical) && !is_announced(&r->slo))
			return source_error(s, r->line,
			                    "endpoint \"%s\" has no slo, which mode: absolute needs: add slo: %s",
			                    clip(r->name, buf), "{ p95: 300ms, error_rate: 0.5% }");
	}
	return 0;
}

static int check_gate(const struct source *s, const struct config *c)
{
	const struct gate_policy *p = &c->gate;

	if (p->deadline > 0 && p->deadline < p->warmup + p->tick)
		return source_error(s, c->gate.line,
		                    "gate: deadline %.6gs is over before warmup and one tick, %.6gs: %s", p->deadline,
		                    p->warmup + p->tick, "nothing could be judged by then");
	if (p->at_deadline != DEADLINE_HOLD && p->deadline <= 0)
		return source_error(s, c->gate.line,
		                    "gate: at_deadline says what happens at the deadline: add deadline: 30m");
	if (p->mode == GATE_ABSOLUTE)
		return check_absolute(s, c);
	if (p->mode == GATE_BEFORE_AFTER &&
	    (config__version_of_arm(c, ARM_BASELINE) < 0 || config__version_of_arm(c, ARM_CANARY) < 0))
		return source_error(s, c->gate.line,
		                    "mode: before_after compares two versions: give one %s, and one %s",
		                    "arm: baseline (before)", "arm: canary (after)");
	return 0;
}

static int check_routes(const struct source *s, const struct config *c)
{
	char buf[CLIP_LEN], other[CLIP_LEN];

	if (c->n_routes > c->max_endpoints)
		return source_error(s, c->routes[c->max_endpoints].line,
		                    "%zu endpoints with limits: { endpoints: %u }: %s", c->n_routes, c->max_endpoints,
		                    c->max_endpoints < 500 ? "name fewer or raise the limit (at most 500)"
		                                           : "name fewer, there can be no more");
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct route *b = &c->routes[i];
		int err = check_slo(s, b);

		if (err)
			return err;
		for (size_t j = 0; j < i; j++)
			if (same_template(&c->routes[j], b))
				return source_error(
					s, b->line, "route \"%s\" matches the same as \"%s\" (line %d): keep one",
					clip(b->name, buf), clip(c->routes[j].name, other), c->routes[j].line);
	}
	return 0;
}

int check_config(const struct source *s, const struct config *c)
{
	int err = check_arms(s, c);

	if (!err)
		err = check_matches(s, c);
	if (!err)
		err = check_routes(s, c);
	if (!err)
		err = check_units(s, c);
	if (!err)
		err = check_policies(s, c);
	if (!err)
		err = check_gate(s, c);
	return err;
}
