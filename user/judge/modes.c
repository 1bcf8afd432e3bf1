/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The modes in which the versions do not serve at the same time: what certifies an endpoint there, and what is said.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "judge/steps.h"

static double good(const struct judged_endpoint *ep, bool slow)
{
	return slow ? alone__log_e_slow_good(ep->alone) : alone__log_e_errors_good(ep->alone, &ep->ev);
}

bool within_before(const struct judge *j, const struct judged_endpoint *ep, bool slow)
{
	return good(ep, slow) >= j->tests.promote_need;
}

/* Evidence to the contrary is weighed against it: dividing by more than 1 is safe. */
static bool outweighs_before(const struct judge *j, const struct judged_endpoint *ep, bool slow)
{
	double log_e_bad = slow ? alone__log_e_slow(ep->alone) : alone__log_e_errors(ep->alone);

	return good(ep, slow) - fmax(0, log_e_bad) >= j->tests.promote_need;
}

bool certified_alone(const struct judge *j, const struct judged_endpoint *ep)
{
	if (!evidence__enough(&ep->ev, &j->tests))
		return false;
	if (j->tests.policy.mode == GATE_ABSOLUTE)
		return alone__is_kept(ep->alone, &j->tests);
	return outweighs_before(j, ep, false) && outweighs_before(j, ep, true);
}

void tell_certified_alone(const struct judge *j, const struct picture *p, struct verdict *out)
{
	double percent = 100 * j->tests.policy.promote_alpha;

	if (j->tests.policy.mode == GATE_ABSOLUTE)
		reason(out, "certified", NULL,
		       "the canary keeps what was announced on all %zu endpoints that decide (a release that does not "
		       "gets here in at most %.3g %% of cases)",
		       p->deciding, percent);
	else
		reason(out, "certified", NULL,
		       "the canary is as good as what was served before it on all %zu endpoints that decide (a release "
		       "beyond the margins gets here in at most %.3g %% of cases, if nothing else has changed)",
		       p->deciding, percent);
}

static void tell_not_kept(const struct judge *j, const struct judged_endpoint *ep, struct verdict *out)
{
	struct verdict_endpoint f = { 0 };

	alone__figures(ep->alone, &j->tests, &f);
	if (!f.n_limits)
		reason(out, "slo_missing", ep->def.name, "%.60s: nothing was announced that it could be held against",
		       ep->def.name);
	for (size_t i = 0; i < f.n_limits; i++) {
		const struct verdict_limit *l = &f.limits[i];

		if (l->log_e_below - fmax(0, l->log_e_above) >= j->tests.promote_need)
			continue;
		reason(out, "slo_not_certified", ep->def.name,
		       "%.60s: not yet shown that %s is kept: %" PRIu64 " of %" PRIu64
		       " requests lie beyond it, %.3g %% may",
		       ep->def.name, l->name, l->k, l->n, 100 * l->limit);
	}
}

static void tell_not_within(const struct judge *j, const struct judged_endpoint *ep, struct verdict *out)
{
	const struct evidence *ev = &ep->ev;

	if (!outweighs_before(j, ep, false))
		reason(out, "errors_not_certified", ep->def.name,
		       "%.60s: not yet shown that errors stay below %.3g times those before or %.3g %% (after %" PRIu64
		       " of %" PRIu64 ", before %" PRIu64 " of %" PRIu64 ")",
		       ep->def.name, ev->margins.max_error_ratio, 100 * ev->floor.p0, ev->bad_c, ev->n_c, ev->bad_b,
		       ev->n_b);
	if (!outweighs_before(j, ep, true))
		reason(out, "latency_not_certified", ep->def.name,
		       "%.60s: not yet shown that the canary is less than %.3g %% slower than what was before",
		       ep->def.name, 100 * (ev->shift ? exp2(ev->shift / 16.0) - 1 : ev->margins.max_latency_increase));
}

void tell_missing_alone(const struct judge *j, struct verdict *out)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];

		if (!judge__decides(j, ep) || ep->is_certified)
			continue;
		if (j->tests.policy.mode == GATE_ABSOLUTE)
			tell_not_kept(j, ep, out);
		else
			tell_not_within(j, ep, out);
	}
}

void tell_mode(const struct judge *j, struct verdict *out)
{
	if (j->tests.policy.mode != GATE_BEFORE_AFTER)
		return;
	if (out->n_reasons == VERDICT_MAX_REASONS)
		out->n_reasons--;
	reason(out, "weaker_mode", NULL,
	       "before against after is the weaker comparison: whatever else changed in between, the time of day, the "
	       "visitors, the load, counts as the release's doing");
}

static void figures_before(const struct judge *j, const struct judged_endpoint *ep, bool slow,
                           struct verdict_endpoint *f)
{
	const struct before *b = ep->alone->before;
	const struct absolute *then = slow ? &b->slow_b : &b->errors_b, *now = slow ? &b->slow_c : &b->errors_c;
	double alpha = j->tests.policy.alpha;

	f->limits[f->n_limits++] = (struct verdict_limit){
		.name = slow ? "slow_before" : "errors_before",
		.limit = absolute__upper(then, alpha),
		.seconds = slow && b->has_bucket ? histogram_upper(b->over) : 0,
		.n = (uint64_t)fmin(now->n, 0x1p63),
		.k = (uint64_t)fmin(now->k, 0x1p63),
		.lower = absolute__lower(now, alpha),
		.upper = absolute__upper(now, alpha),
		.log_e_above = slow ? alone__log_e_slow(ep->alone) : alone__log_e_errors(ep->alone),
		.log_e_below = good(ep, slow),
	};
}

void alone_figures(const struct judge *j, const struct judged_endpoint *ep, struct verdict_endpoint *f)
{
	if (!ep->alone)
		return;
	alone__figures(ep->alone, &j->tests, f);
	if (!ep->alone->before)
		return;
	f->log_e_good = good(ep, false);
	f->log_e_slow_bad = alone__log_e_slow(ep->alone);
	f->log_e_slow_good = good(ep, true);
	figures_before(j, ep, false, f);
	figures_before(j, ep, true, f);
}
