/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why, in plain English. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "judge/steps.h"

/* phi from which on bursts are mentioned. */
#define WORTH_TELLING 1.5

static void __attribute__((format(printf, 4, 0)))
put(struct reason *r, const char *code, const char *endpoint, const char *fmt, va_list args)
{
	r->code = code;
	r->endpoint = endpoint;
	vsnprintf(r->text, sizeof(r->text), fmt, args);
}

void reason(struct verdict *out, const char *code, const char *endpoint, const char *fmt, ...)
{
	va_list args;

	if (out->n_reasons == VERDICT_MAX_REASONS)
		return;
	va_start(args, fmt);
	put(&out->reasons[out->n_reasons++], code, endpoint, fmt, args);
	va_end(args);
}

void reason_first(struct verdict *out, const char *code, const char *endpoint, const char *fmt, ...)
{
	va_list args;

	if (out->n_reasons < VERDICT_MAX_REASONS)
		out->n_reasons++;
	memmove(&out->reasons[1], &out->reasons[0], (out->n_reasons - 1) * sizeof(out->reasons[0]));
	va_start(args, fmt);
	put(&out->reasons[0], code, endpoint, fmt, args);
	va_end(args);
}

static struct words duration(double seconds)
{
	struct words t;

	if (seconds < 1)
		snprintf(t.s, sizeof(t.s), "%.3g ms", seconds * 1e3);
	else
		snprintf(t.s, sizeof(t.s), "%.3g s", seconds);
	return t;
}

double percent(double part, double of)
{
	return of > 0 ? 100 * part / of : 0;
}

struct words figure(double x)
{
	struct words t;

	if (fabs(x) >= 99.5)
		snprintf(t.s, sizeof(t.s), "%.0f", x);
	else if (x != 0 && fabs(x) < 1e-4)
		snprintf(t.s, sizeof(t.s), "%.6f", x);
	else
		snprintf(t.s, sizeof(t.s), "%.2g", x);
	return t;
}

/* How rare such evidence is where nothing is wrong, by Ville's inequality. */
struct words one_in(double log_e)
{
	struct words t;

	if (log_e > log(1e6))
		snprintf(t.s, sizeof(t.s), "less than 1 release in a million");
	else
		snprintf(t.s, sizeof(t.s), "at most 1 release in %.0f", fmax(1, floor(exp(log_e))));
	return t;
}

/* The latency margin as it is tested, in whole buckets. */
static double margin_percent(const struct evidence *ev)
{
	return 100 * (exp2(ev->shift / 16.0) - 1);
}

/* What no status tells: that most of the canary's failures are ends of one kind that the server brought about. */
static struct words cause_of(const struct evidence *ev)
{
	static const char *const words[TW_OUTCOME_NR] = {
		[TW_UNANSWERED] = "closed by the server without an answer",
		[TW_TRUNCATED] = "cut off by the server inside the answer",
		[TW_RESET_BY_SERVER] = "reset by the server",
		[TW_TIMEOUT] = "not answered in time",
	};
	struct words t = { "" };
	int most = TW_ANSWERED;

	for (int i = 0; i < TW_OUTCOME_NR; i++)
		if (words[i] && (!words[most] || ev->outcome_c[i] > ev->outcome_c[most]))
			most = i;
	if (words[most] && 2 * ev->outcome_c[most] >= ev->bad_c)
		snprintf(t.s, sizeof(t.s), " (%" PRIu64 " %s)", ev->outcome_c[most], words[most]);
	return t;
}

/* That bad events come in bursts, and that this has been allowed for. */
static struct words bursts_of(const struct evidence *ev, const struct dispersion *d)
{
	struct words t = { "" };
	double phi = dispersion__phi(d);

	if (ev->unit == UNIT_EXCHANGE && phi >= WORTH_TELLING)
		snprintf(t.s, sizeof(t.s), ", bursts of them (dispersion %.2g) allowed for", phi);
	return t;
}

static void tell_errors(const struct judge *j, const struct judged_endpoint *ep, struct verdict *out)
{
	const struct evidence *ev = &ep->ev;
	double ratio, low, high;
	char times[64] = "";

	if (ratio__estimate(&ev->ratio, &ratio)) {
		ratio__interval(&ev->ratio, &j->tests.grid, j->tests.policy.alpha, &low, &high);
		if (high < RATIO_MAX)
			snprintf(times, sizeof(times), ", %.12s times as many (%.12s to %.12s)", figure(ratio).s,
			         figure(low).s, figure(high).s);
		else
			snprintf(times, sizeof(times), ", %.12s times as many (at least %.12s)", figure(ratio).s,
			         figure(low).s);
	}
	reason(out, "errors_worse", ep->def.name,
	       "%.50s: %s %% of %" PRIu64 " canary requests failed%s, %s %% of %" PRIu64
	       " on the baseline%s; chance would do this to %s%s",
	       ep->def.name, figure(percent(ev->bad_c, ev->n_c)).s, ev->n_c, cause_of(ev).s,
	       figure(percent(ev->bad_b, ev->n_b)).s, ev->n_b, times, one_in(errors_evidence(ep)).s,
	       bursts_of(ev, &ev->bad_dispersion).s);
}

static void tell_slow(const struct judged_endpoint *ep, struct verdict *out)
{
	const struct evidence *ev = &ep->ev;
	char limit[112] = "";

	if (ev->slo.set && ratio_test__log_e(&ev->beyond_margin) > ratio_test__log_e(&ev->slow_bad)) {
		reason(out, "latency_worse", ep->def.name,
		       "%.60s: the slowest canary requests take over %.3g %% longer than the baseline's; chance would do "
		       "this to %s",
		       ep->def.name, margin_percent(ev), one_in(ratio_test__log_e(&ev->beyond_margin)).s);
		return;
	}
	if (ev->threshold.set)
		snprintf(limit, sizeof(limit), " (latest limit %s)", duration(histogram_upper(ev->threshold.bucket)).s);
	reason(out, "latency_worse", ep->def.name,
	       "%.50s: %s %% of canary requests were slow%s, %s %% on the baseline; chance would do this to %s%s",
	       ep->def.name, figure(percent(ev->slow_c, ev->timed_c)).s, limit,
	       figure(percent(ev->slow_b, ev->timed_b)).s,
	       one_in(ratio_test__log_e(&ev->slow_bad) + (ep->alone ? alone__log_e_slow(ep->alone) : 0)).s,
	       bursts_of(ev, &ev->slow_dispersion).s);
}

static void tell(const struct judge *j, const struct accusation *a, struct verdict *out)
{
	if (a->slow)
		tell_slow(a->ep, out);
	else
		tell_errors(j, a->ep, out);
}

/* Room for what else there is to say. */
#define CULPRITS_TOLD (VERDICT_MAX_REASONS - 4)

/* Those that are named, the strongest first; else the one that weighs most, with the remark that it took all together.
 */
void tell_culprits(const struct judge *j, const struct picture *p, struct verdict *out)
{
	const struct accusations *all = &j->accusations;

	for (size_t i = 0; i < all->n_named && i < CULPRITS_TOLD; i++)
		tell(j, &all->of[all->order[i]], out);
	if (all->n_named > CULPRITS_TOLD)
		reason(out, "more_worse", NULL, "%zu more of this kind: see the figures of each endpoint",
		       all->n_named - CULPRITS_TOLD);
	if (all->n_named || !p->strongest.ep)
		return;
	reason(out, "together_worse", NULL,
	       "the canary is worse: no endpoint shows it alone, all of them together do (chance: %s); most of it is this",
	       one_in(out->log_e_bad).s);
	tell(j, &p->strongest, out);
}

void tell_fail_fast(const struct judge *j, struct verdict *out)
{
	const struct judged_endpoint *first = fail_fast_enough(j);

	if (first)
		reason(out, "fail_fast", first->def.name,
		       "%.60s must not wait for the others, and what it shows is enough: nothing else is waited for",
		       first->def.name);
}

struct limits {
	double latency[2], errors[2]; /* least and most */
};

static struct limits limits_of(const struct judge *j)
{
	struct limits l = { { INFINITY, 0 }, { INFINITY, 0 } };

	for (size_t i = 0; i < j->n; i++) {
		const struct evidence *ev = &j->eps[i]->ev;

		if (!judge__decides(j, j->eps[i]))
			continue;
		l.latency[0] = fmin(l.latency[0], margin_percent(ev));
		l.latency[1] = fmax(l.latency[1], margin_percent(ev));
		l.errors[0] = fmin(l.errors[0], ev->margins.max_error_ratio);
		l.errors[1] = fmax(l.errors[1], ev->margins.max_error_ratio);
	}
	return l;
}

static struct words between(const double range[2])
{
	struct words w;

	if (range[0] < range[1])
		snprintf(w.s, sizeof(w.s), "%.3g to %.3g", range[0], range[1]);
	else
		snprintf(w.s, sizeof(w.s), "%.3g", range[0]);
	return w;
}

void tell_certified(const struct judge *j, const struct picture *p, struct verdict *out)
{
	const struct tests *t = &j->tests;
	struct limits l = limits_of(j);

	if (t->policy.mode != GATE_CANARY) {
		tell_certified_alone(j, p, out);
		return;
	}
	reason(out, "certified", NULL,
	       "the canary is as good as the baseline on all %zu endpoints that decide: latency less than %s %% slower, "
	       "errors within %s times the baseline's or under the floor (a release beyond these limits gets here "
	       "in at most %.3g %% of cases)",
	       p->deciding, between(l.latency).s, between(l.errors).s, 100 * t->policy.promote_alpha);
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		const struct evidence *ev = &ep->ev;

		if (!judge__decides(j, ep) || ratio_test__log_e(&ev->errors_good) >= t->promote_need)
			continue;
		reason(out, "errors_below_floor", ep->def.name,
		       "%.60s: too few errors for a ratio (canary %" PRIu64 " of %" PRIu64 ", baseline %" PRIu64
		       " of %" PRIu64 "), but shown to be below %.3g %% on the canary",
		       ep->def.name, ev->bad_c, ev->n_c, ev->bad_b, ev->n_b, 100 * ev->floor.p0);
	}
}

static void tell_missing_latency(const struct judged_endpoint *ep, struct verdict *out)
{
	const struct evidence *ev = &ep->ev;

	if (!ev->shift)
		reason(out, "latency_not_certified", ep->def.name,
		       "%.60s: a latency margin of %.3g %% is finer than the 4.4 %% this can measure; raise "
		       "max_latency_increase to let an equal canary pass",
		       ep->def.name, 100 * ev->margins.max_latency_increase);
	else if (!ev->timed_b && !ev->timed_c)
		reason(out, "latency_not_certified", ep->def.name, "%.60s: no latencies to compare yet", ep->def.name);
	else
		reason(out, "latency_not_certified", ep->def.name,
		       "%.60s: not yet shown that the canary is less than %.3g %% slower", ep->def.name,
		       margin_percent(ev));
}

void tell_missing(const struct judge *j, struct verdict *out)
{
	if (j->tests.policy.mode != GATE_CANARY) {
		tell_missing_alone(j, out);
		return;
	}
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		const struct evidence *ev = &ep->ev;

		if (!judge__decides(j, ep))
			continue;
		if (!evidence__errors_certified(ev, &j->tests))
			reason(out, "errors_not_certified", ep->def.name,
			       "%.60s: not yet shown that errors stay below %.3g times the baseline's or %.3g %% (canary "
			       "%" PRIu64 " of %" PRIu64 ", baseline %" PRIu64 " of %" PRIu64 ")",
			       ep->def.name, ev->margins.max_error_ratio, 100 * ev->floor.p0, ev->bad_c, ev->n_c,
			       ev->bad_b, ev->n_b);
		if (!evidence__latency_certified(ev, &j->tests))
			tell_missing_latency(ep, out);
	}
}

void tell_failed_guards(struct verdict *out)
{
	for (size_t i = 0; i < out->n_guards; i++) {
		if (!out->guards[i].ok)
			reason(out, out->guards[i].name, NULL, "%s", out->guards[i].text);
	}
}
