/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why, in plain English. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "judge/steps.h"

/* phi from which on bursts are mentioned. */
#define WORTH_TELLING 1.5

void reason(struct verdict *out, const char *code, const char *endpoint, const char *fmt, ...)
{
	struct reason *r;
	va_list args;

	if (out->n_reasons == VERDICT_MAX_REASONS)
		return;
	r = &out->reasons[out->n_reasons++];
	r->code = code;
	r->endpoint = endpoint;
	va_start(args, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, args);
	va_end(args);
}

struct text {
	char s[80];
};

static struct text duration(double seconds)
{
	struct text t;

	if (seconds < 1)
		snprintf(t.s, sizeof(t.s), "%.3g ms", seconds * 1e3);
	else
		snprintf(t.s, sizeof(t.s), "%.3g s", seconds);
	return t;
}

static double percent(uint64_t part, uint64_t of)
{
	return of ? 100 * (double)part / (double)of : 0;
}

/* How rare such evidence is where nothing is wrong, by Ville's inequality. */
static struct text one_in(double log_e)
{
	struct text t;

	if (log_e > log(1e6))
		snprintf(t.s, sizeof(t.s), "less than 1 release in a million");
	else
		snprintf(t.s, sizeof(t.s), "at most 1 release in %.0f", fmax(1, floor(exp(log_e))));
	return t;
}

static double margin_percent(const struct judge *j)
{
	return 100 * (exp2(j->tests.shift / 16.0) - 1);
}

/* What no status tells: that most of the canary's failures are ends of one kind that the server brought about. */
static struct text cause_of(const struct evidence *ev)
{
	static const char *const words[TW_OUTCOME_NR] = {
		[TW_UNANSWERED] = "closed by the server without an answer",
		[TW_TRUNCATED] = "cut off by the server inside the answer",
		[TW_RESET_BY_SERVER] = "reset by the server",
		[TW_TIMEOUT] = "not answered in time",
	};
	struct text t = { "" };
	int most = TW_ANSWERED;

	for (int i = 0; i < TW_OUTCOME_NR; i++)
		if (words[i] && (!words[most] || ev->outcome_c[i] > ev->outcome_c[most]))
			most = i;
	if (words[most] && 2 * ev->outcome_c[most] >= ev->bad_c)
		snprintf(t.s, sizeof(t.s), " (%" PRIu64 " %s)", ev->outcome_c[most], words[most]);
	return t;
}

/* That bad events come in bursts, and that this has been allowed for. */
static struct text bursts_of(const struct evidence *ev, const struct dispersion *d)
{
	struct text t = { "" };
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
			snprintf(times, sizeof(times), ", %.2g times as many (%.2g to %.2g)", ratio, low, high);
		else
			snprintf(times, sizeof(times), ", %.2g times as many (at least %.2g)", ratio, low);
	}
	reason(out, "errors_worse", ep->def.name,
	       "%.50s: %.2g %% of %" PRIu64 " canary requests failed%s, %.2g %% of %" PRIu64
	       " on the baseline%s; chance would do this to %s%s",
	       ep->def.name, percent(ev->bad_c, ev->n_c), ev->n_c, cause_of(ev).s, percent(ev->bad_b, ev->n_b), ev->n_b,
	       times, one_in(errors_evidence(ep)).s, bursts_of(ev, &ev->bad_dispersion).s);
}

static void tell_slow(const struct judge *j, const struct judged_endpoint *ep, struct verdict *out)
{
	const struct evidence *ev = &ep->ev;
	char limit[112] = "";

	if (ev->slo.set && ratio_test__log_e(&ev->beyond_margin) > ratio_test__log_e(&ev->slow_bad)) {
		reason(out, "latency_worse", ep->def.name,
		       "%.60s: the slowest canary requests take over %.3g %% longer than the baseline's; chance would do "
		       "this to %s",
		       ep->def.name, margin_percent(j), one_in(ratio_test__log_e(&ev->beyond_margin)).s);
		return;
	}
	if (ev->threshold.set)
		snprintf(limit, sizeof(limit), " (latest limit %s)", duration(histogram_upper(ev->threshold.bucket)).s);
	reason(out, "latency_worse", ep->def.name,
	       "%.50s: %.2g %% of canary requests were slow%s, %.2g %% on the baseline; chance would do this to %s%s",
	       ep->def.name, percent(ev->slow_c, ev->timed_c), limit, percent(ev->slow_b, ev->timed_b),
	       one_in(ratio_test__log_e(&ev->slow_bad)).s, bursts_of(ev, &ev->slow_dispersion).s);
}

/* Those that are conclusive alone; else the one that weighs most, with the remark that it took all together. */
void tell_culprits(const struct judge *j, const struct picture *p, struct verdict *out)
{
	bool told = false;

	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		bool errors = errors_conclusive(j, ep);
		bool slow = slow_conclusive(j, ep);

		if (errors)
			tell_errors(j, ep, out);
		if (slow)
			tell_slow(j, ep, out);
		told |= errors || slow;
	}
	if (told || !p->strongest)
		return;
	reason(out, "together_worse", NULL,
	       "the canary is worse: no endpoint shows it alone, all of them together do (chance: %s); most of it is this",
	       one_in(out->log_e_bad).s);
	if (p->strongest_slow)
		tell_slow(j, p->strongest, out);
	else
		tell_errors(j, p->strongest, out);
}

void tell_certified(const struct judge *j, const struct picture *p, struct verdict *out)
{
	const struct tests *t = &j->tests;

	reason(out, "certified", NULL,
	       "the canary is as good as the baseline on all %zu endpoints that decide: latency less than %.3g %% slower, "
	       "errors within %.3g times the baseline's or under the floor (a release beyond these limits gets here "
	       "in at most %.3g %% of cases)",
	       p->deciding, margin_percent(j), t->policy.max_error_ratio, 100 * t->policy.alpha);
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		const struct evidence *ev = &ep->ev;

		if (!judge__decides(j, p->who, ep) || ratio_test__log_e(&ev->errors_good) >= t->need)
			continue;
		reason(out, "errors_below_floor", ep->def.name,
		       "%.60s: too few errors for a ratio (canary %" PRIu64 " of %" PRIu64 ", baseline %" PRIu64
		       " of %" PRIu64 "), but shown to be below %.3g %% on the canary",
		       ep->def.name, ev->bad_c, ev->n_c, ev->bad_b, ev->n_b, 100 * ev->floor.p0);
	}
}

static void tell_missing_latency(const struct judge *j, const struct judged_endpoint *ep, struct verdict *out)
{
	if (!j->tests.shift)
		reason(out, "latency_not_certified", ep->def.name,
		       "%.60s: a latency margin of %.3g %% is finer than the 4.4 %% this can measure; raise "
		       "max_latency_increase to let an equal canary pass",
		       ep->def.name, 100 * j->tests.policy.max_latency_increase);
	else if (!ep->ev.timed_b && !ep->ev.timed_c)
		reason(out, "latency_not_certified", ep->def.name, "%.60s: no latencies to compare yet", ep->def.name);
	else
		reason(out, "latency_not_certified", ep->def.name,
		       "%.60s: not yet shown that the canary is less than %.3g %% slower", ep->def.name,
		       margin_percent(j));
}

void tell_missing(const struct judge *j, const struct picture *p, struct verdict *out)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		const struct evidence *ev = &ep->ev;

		if (!judge__decides(j, p->who, ep))
			continue;
		if (!evidence__errors_certified(ev, &j->tests))
			reason(out, "errors_not_certified", ep->def.name,
			       "%.60s: not yet shown that errors stay below %.3g times the baseline's or %.3g %% (canary "
			       "%" PRIu64 " of %" PRIu64 ", baseline %" PRIu64 " of %" PRIu64 ")",
			       ep->def.name, j->tests.policy.max_error_ratio, 100 * ev->floor.p0, ev->bad_c, ev->n_c,
			       ev->bad_b, ev->n_b);
		if (!evidence__latency_certified(ev, &j->tests))
			tell_missing_latency(j, ep, out);
	}
}

void tell_failed_guards(struct verdict *out)
{
	for (size_t i = 0; i < out->n_guards; i++) {
		if (!out->guards[i].ok)
			reason(out, out->guards[i].name, NULL, "%s", out->guards[i].text);
	}
}
