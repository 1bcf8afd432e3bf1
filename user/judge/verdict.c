/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision and its reasons. Reads the judge's state and changes nothing but the figures it hands out.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "judge/state.h"

const char *const verdict_names[] = {
	[VERDICT_PROMOTE] = "promote",
	[VERDICT_HOLD] = "hold",
	[VERDICT_ROLLBACK] = "rollback",
	[VERDICT_INVALID] = "invalid",
};

int verdict_exit_code(enum verdict_kind kind)
{
	switch (kind) {
	case VERDICT_PROMOTE:
		return TW_EXIT_PROMOTE;
	case VERDICT_ROLLBACK:
		return TW_EXIT_ROLLBACK;
	case VERDICT_HOLD:
		return TW_EXIT_HOLD;
	case VERDICT_INVALID:
		return TW_EXIT_INVALID;
	}
	return TW_EXIT_FAILURE;
}

/* What the evidence says, before the guards are asked. */
struct picture {
	enum deciders who;
	size_t deciding, certified;
	bool worse;
	const struct judged_endpoint *strongest; /* the largest part of the evidence for a rollback */
	bool strongest_slow;                     /* it is about latency */
	bool answered;                           /* worse, but each accusation is certified to lie within the margin */
};

static void __attribute__((format(printf, 4, 5)))
reason(struct verdict *out, const char *code, const char *endpoint, const char *fmt, ...)
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

/* Failing is the more urgent of the two tests of an endpoint and gets the larger part of its weight. */
#define ERRORS_PART 0.75
/* phi from which on bursts are mentioned. */
#define WORTH_TELLING 1.5

static double stake(const struct judged_endpoint *ep, bool slow)
{
	return ep->weight > 0 ? log(ep->weight * (slow ? 1 - ERRORS_PART : ERRORS_PART)) : -1e3;
}

static double errors_evidence(const struct judged_endpoint *ep)
{
	return ratio_test__log_e(&ep->ev.errors_bad);
}

/*
 * Failing is urgent, slow is not: latency speaks for a rollback only once there is the minimum of data. By then a
 * difference that is real but tiny has been certified to lie within the margin.
 */
static double slow_evidence(const struct judge *j, const struct judged_endpoint *ep)
{
	double log_e = evidence__slow_bad(&ep->ev);

	return evidence__enough(&ep->ev, &j->tests) ? log_e : fmin(log_e, 0);
}

/* Does one test alone carry the whole verdict? */
static bool errors_conclusive(const struct judge *j, const struct judged_endpoint *ep)
{
	return stake(ep, false) + errors_evidence(ep) >= j->tests.need;
}

static bool slow_conclusive(const struct judge *j, const struct judged_endpoint *ep)
{
	return stake(ep, true) + slow_evidence(j, ep) >= j->tests.need;
}

static double weigh(const struct judge *j, struct picture *p)
{
	double most = -1e300;
	unsigned int n = 0;

	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];

		for (int slow = 0; slow < 2; slow++) {
			double log_e = slow ? slow_evidence(j, ep) : errors_evidence(ep);
			double term = stake(ep, slow) + log_e;

			j->terms[n++] = term;
			if (term <= most)
				continue;
			most = term;
			p->strongest = ep;
			p->strongest_slow = slow;
		}
	}
	if (!j->dealt)
		return 0;
	j->terms[n++] = log(j->reserve);
	return log_sum_exp(j->terms, n);
}

/* An accusation of one kind is answered by a certificate of that kind on that endpoint. */
static bool answers(const struct judge *j, const struct judged_endpoint *ep, bool slow)
{
	return slow ? evidence__latency_certified(&ep->ev, &j->tests) : evidence__errors_certified(&ep->ev, &j->tests);
}

static void look(const struct judge *j, struct picture *p, struct verdict *out)
{
	memset(p, 0, sizeof(*p));
	p->who = judge__deciders(j);
	out->log_e_bad = weigh(j, p);
	p->worse = out->log_e_bad >= j->tests.need;
	p->answered = !p->strongest || answers(j, p->strongest, p->strongest_slow);
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];

		if (errors_conclusive(j, ep) && !answers(j, ep, false))
			p->answered = false;
		if (slow_conclusive(j, ep) && !answers(j, ep, true))
			p->answered = false;
		if (!judge__decides(j, p->who, ep))
			continue;
		p->deciding++;
		p->certified += evidence__certified(&ep->ev, &j->tests);
	}
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
static void tell_culprits(const struct judge *j, const struct picture *p, struct verdict *out)
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

static void tell_certified(const struct judge *j, const struct picture *p, struct verdict *out)
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

static void tell_missing(const struct judge *j, const struct picture *p, struct verdict *out)
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

static void tell_failed_guards(struct verdict *out)
{
	for (size_t i = 0; i < out->n_guards; i++) {
		if (!out->guards[i].ok)
			reason(out, out->guards[i].name, NULL, "%s", out->guards[i].text);
	}
}

/*
 *  counts trusted | worse | within the margins in what is worse | deciding endpoints certified, guards hold | verdict
 *  no             |       |                                     |                                           | invalid
 *  yes            | yes   | yes                                 |                                           | hold:
 * owner yes            | yes   | no                                  |                                           |
 * rollback yes            | no    |                                     | yes                                       |
 * promote yes            | no    |                                     | no                                        |
 * hold
 */
static void decide(const struct judge *j, const struct picture *p, struct guards_result guards, struct verdict *out)
{
	bool all = p->deciding && p->certified == p->deciding;

	out->kind = VERDICT_HOLD;
	if (!guards.valid) {
		out->kind = VERDICT_INVALID;
		tell_failed_guards(out);
	} else if (p->worse && p->answered) {
		reason(out, "worse_within_margin", NULL,
		       "the canary is worse than the baseline, but in that it is shown to be within the margins: the owner decides");
		tell_culprits(j, p, out);
	} else if (p->worse) {
		out->kind = VERDICT_ROLLBACK;
		tell_culprits(j, p, out);
	} else if (all && guards.sufficient) {
		out->kind = VERDICT_PROMOTE;
		tell_certified(j, p, out);
	} else {
		reason(out, "undecided", NULL,
		       "nothing shows that the canary is worse; %zu of %zu endpoints that decide are certified to be as good",
		       p->certified, p->deciding);
		tell_failed_guards(out);
		tell_missing(j, p, out);
	}
}

/* Until every deciding endpoint is certified, or if that cannot be told, until the strongest evidence makes a rollback.
 */
static void plan(const struct judge *j, const struct picture *p, struct verdict *out)
{
	double longest = p->deciding ? 0 : -1, seconds;

	for (size_t i = 0; i < j->n && longest >= 0; i++) {
		if (!judge__decides(j, p->who, j->eps[i]))
			continue;
		seconds = evidence__certify_seconds(&j->eps[i]->ev, &j->tests);
		longest = seconds < 0 ? -1 : fmax(longest, seconds);
	}
	if (longest < 0 && p->strongest && p->strongest->weight > 0)
		longest = evidence__rollback_seconds(&p->strongest->ev,
		                                     j->tests.need - stake(p->strongest, p->strongest_slow));
	out->has_eta = longest >= 0 && longest < 1e9;
	out->eta_seconds = out->has_eta ? longest : 0;
}

static void fill_figures(const struct judge *j, const struct judged_endpoint *ep, struct verdict_endpoint *f)
{
	const struct evidence *ev = &ep->ev;

	*f = (struct verdict_endpoint){
		.endpoint = ep->def.name,
		.critical = ep->def.critical,
		.n_c = ev->n_c,
		.n_b = ev->n_b,
		.bad_c = ev->bad_c,
		.bad_b = ev->bad_b,
		.log_e_bad = ratio_test__log_e(&ev->errors_bad),
		.log_e_good = evidence__errors_good(ev),
		.slow_c = ev->slow_c,
		.slow_b = ev->slow_b,
		.has_threshold = ev->threshold.set,
		.slow_threshold = ev->threshold.set ? histogram_upper(ev->threshold.bucket) : 0,
		.log_e_slow_bad = evidence__slow_bad(ev),
		.log_e_slow_good = ratio_test__log_e(&ev->slow_good),
		.certified = evidence__certified(ev, &j->tests),
		.unit = ev->unit,
		.has_dispersion_bad = dispersion__is_known(&ev->bad_dispersion),
		.has_dispersion_slow = dispersion__is_known(&ev->slow_dispersion),
		.dispersion_bad = dispersion__phi(&ev->bad_dispersion),
		.dispersion_slow = dispersion__phi(&ev->slow_dispersion),
	};
	f->has_ratio = ratio__estimate(&ev->ratio, &f->ratio);
	if (f->has_ratio)
		ratio__interval(&ev->ratio, &j->tests.grid, j->tests.policy.alpha, &f->ratio_low, &f->ratio_high);
}

void judge__verdict(struct judge *j, struct verdict *out)
{
	struct guards_result guards;
	struct picture p;

	memset(out, 0, sizeof(*out));
	out->alpha = j->tests.policy.alpha;
	look(j, &p, out);
	guards = judge__guards(j, out);
	decide(j, &p, guards, out);
	if (out->kind == VERDICT_HOLD && !p.worse && guards.traffic)
		plan(j, &p, out);
	for (size_t i = 0; i < j->n; i++)
		fill_figures(j, j->eps[i], &j->figures[i]);
	out->endpoints = j->figures;
	out->n_endpoints = j->n;
}
