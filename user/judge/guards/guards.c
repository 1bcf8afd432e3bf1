/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The guards: what must hold before evidence means anything. Three kinds. Where counts cannot be trusted (lost events,
 * ledger), or an arm is not one version, the verdict is invalid. Where the two versions cannot be held against each
 * other (placebo, clock) there is neither promotion nor rollback on what they differ by. The others only stand in the
 * way of a promotion.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "judge/guards/guard.h"

#define IDLE_TICKS 3 /* without a request: the arm has no traffic */

bool guard(struct verdict *out, const char *name, bool ok, const char *fmt, ...)
{
	struct guard *g;
	va_list args;

	if (out->n_guards == VERDICT_MAX_GUARDS)
		return ok;
	g = &out->guards[out->n_guards++];
	g->name = name;
	g->ok = ok;
	va_start(args, fmt);
	vsnprintf(g->text, sizeof(g->text), fmt, args);
	va_end(args);
	return ok;
}

static bool minimum_data(const struct judge *j, struct verdict *out)
{
	uint64_t want = j->tests.policy.min_requests;
	const struct judged_endpoint *least = NULL;
	size_t deciding = 0, short_of = 0;

	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];

		if (!judge__decides(j, ep))
			continue;
		deciding++;
		if (evidence__enough(&ep->ev, &j->tests))
			continue;
		short_of++;
		if (!least || ep->ev.n_c < least->ev.n_c)
			least = ep;
	}
	if (!deciding)
		return guard(out, "minimum_data", false, "no endpoint has been served by %s yet",
		             is_side_by_side(j) ? "both versions" : "any version");
	if (!short_of)
		return guard(out, "minimum_data", true,
		             "at least %" PRIu64 " requests per version on each of %zu endpoints", want, deciding);
	if (j->tests.policy.mode == GATE_ABSOLUTE)
		return guard(out, "minimum_data", false,
		             "%zu of %zu endpoints have too few requests; %.60s: canary %" PRIu64 ", it needs %" PRIu64,
		             short_of, deciding, least->def.name, least->ev.n_c, want);
	return guard(out, "minimum_data", false,
	             "%zu of %zu endpoints have too few requests; %.60s: canary %" PRIu64 ", baseline %" PRIu64
	             ", each needs %" PRIu64,
	             short_of, deciding, least->def.name, least->ev.n_c, least->ev.n_b, want);
}

static bool warm_up(const struct judge *j, struct verdict *out)
{
	if (j->run.warming && j->run.forgotten && j->run.ticks == 1)
		return guard(out, "warm_up", false, "the observation has just begun");
	if (j->run.warming)
		return guard(out, "warm_up", false, "a process has just started and is still warming up");
	return guard(out, "warm_up", true, "no process is warming up");
}

/* Only the version counts that is to be served now. */
static bool no_traffic_alone(const struct judge *j, struct verdict *out)
{
	const struct run_state *r = &j->run;
	bool before = j->tests.policy.mode == GATE_BEFORE_AFTER && !r->after;

	if (before && r->served_b && r->idle_b < IDLE_TICKS)
		return guard(out, "no_traffic", false, "the canary has not been served yet: so far this is before it");
	if (r->served_c && r->idle_c < IDLE_TICKS)
		return guard(out, "no_traffic", true, "the canary is being served requests");
	return guard(out, "no_traffic", false, "no requests reach the %s%s", before ? "baseline" : "canary",
	             (before ? r->served_b : r->served_c) ? " any more" : "");
}

static bool no_traffic(const struct judge *j, struct verdict *out)
{
	const struct run_state *r = &j->run;
	bool c = r->served_c && r->idle_c < IDLE_TICKS, b = r->served_b && r->idle_b < IDLE_TICKS;
	const char *who = !c && !b ? "canary and baseline" : !c ? "canary" : "baseline";
	bool ever = (c || r->served_c) && (b || r->served_b);

	if (!is_side_by_side(j))
		return no_traffic_alone(j, out);
	if (c && b)
		return guard(out, "no_traffic", true, "both versions are being served requests");
	return guard(out, "no_traffic", false, "no requests reach the %s%s", who, ever ? " any more" : "");
}

static bool simultaneity(const struct judge *j, struct verdict *out)
{
	const struct run_state *r = &j->run;

	if (j->tests.policy.mode == GATE_ABSOLUTE)
		return guard(out, "simultaneity", true,
		             "not applicable: one version is held against what was announced");
	if (!is_side_by_side(j))
		return guard(
			out, "simultaneity", true,
			"not applicable: before against after, so whatever else changed in between counts as well");
	return guard(out, "simultaneity", r->shared > 0,
	             "both versions served requests in %" PRIu64 " of %" PRIu64 " judged ticks; only those count",
	             r->shared, r->judged);
}

static bool time_runs(const struct judge *j, struct verdict *out)
{
	if (j->run.refused)
		return guard(out, "time", false, "time ran backwards: a tick was refused");
	return guard(out, "time", true, "%.0f s were watched in %" PRIu64 " ticks", fmin(j->run.end, 1e12),
	             j->run.ticks);
}

struct guards_result judge__guards(const struct judge *j, struct verdict *out)
{
	struct guards_result result = { .valid = true, .sufficient = true, .comparable = true };
	bool time_mends;

	out->n_guards = 0;
	time_mends = minimum_data(j, out);
	time_mends &= warm_up(j, out);
	result.valid &= guard_lost_events(j, out);
	result.valid &= guard_differential_loss(j, out);
	result.valid &= guard_ledger(j, out);
	result.valid &= guard_purity(j, out);
	result.sufficient &= guard_opaque_tls(j, out);
	result.sufficient &= no_traffic(j, out);
	result.sufficient &= guard_vanished(j, out);
	result.sufficient &= simultaneity(j, out);
	result.sufficient &= guard_sample_ratio(j, out);
	result.sufficient &= guard_answers(j, out);
	result.sufficient &= guard_uncompared(j, out);
	result.sufficient &= guard_elsewhere(j, out);
	result.comparable &= guard_placebo(j, out);
	result.comparable &= guard_clock(j, out);
	result.sufficient &= time_runs(j, out);
	result.sufficient &= result.comparable;
	result.patient = result.sufficient;
	result.sufficient &= time_mends;
	return result;
}
