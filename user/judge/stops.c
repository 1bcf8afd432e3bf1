/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hard stops: what must not happen however the baseline does. They act whatever the guards say, and nothing is waited
 * for after them.
 *
 *  - What was announced is broken: the canary's share of errors, or of exchanges beyond an announced latency, is shown
 *    to be above it. All of it together holds a part of the whole stake, dealt evenly to the endpoints that announce
 *    something, so that the release's level stays what it is. A limit is a limit: that the baseline breaks it as well
 *    is told, but it changes nothing.
 *  - Sessions dropped, counted in every tick, judged or not. A count needs no test.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "judge/stats/logspace.h"
#include "judge/steps.h"

#define TOLD 8 /* endpoints' limits; more are seen in the figures */

/* One more than those that hold a stake: terms are added one by one. */
static double log_add(double a, double b)
{
	double most = fmax(a, b);

	return most + log1p(exp(fmin(a, b) - most));
}

double hard_evidence(const struct judge *j)
{
	double sum = -1e300;

	if (!j->dealt || !j->n_hard)
		return -1e3;
	for (size_t i = 0; i < j->n; i++)
		if (j->eps[i]->hard)
			sum = log_add(sum, alone__log_e_breach(j->eps[i]->alone));
	return sum + log(j->stake.hard) - log((double)j->n_hard);
}

struct words_of_limit {
	char what[96], limit[48];
};

static struct words_of_limit words_of(const struct limit *l, enum limit_kind kind)
{
	struct words_of_limit w;
	double share = 100 * l->test->limit.p;

	if (kind == LIMIT_ERRORS) {
		snprintf(w.what, sizeof(w.what), "failed");
		snprintf(w.limit, sizeof(w.limit), "%.3g %%", share);
	} else {
		snprintf(w.what, sizeof(w.what), "took longer than %.3g %s",
		         l->seconds < 1 ? l->seconds * 1e3 : l->seconds, l->seconds < 1 ? "ms" : "s");
		snprintf(w.limit, sizeof(w.limit), "%.3g %%", share);
	}
	return w;
}

/* The baseline's number beside it, where there is one and it was counted at the same time. */
static void tell_baseline(const struct judged_endpoint *ep, enum limit_kind kind, char *text, size_t len)
{
	const struct evidence *ev = &ep->ev;

	text[0] = '\0';
	if (kind == LIMIT_ERRORS && ev->n_b)
		snprintf(text, len, "; the baseline's %.12s %%", figure(percent((double)ev->bad_b, (double)ev->n_b)).s);
	else if (kind == LIMIT_P95 && ev->slo.set && ev->timed_b)
		snprintf(text, len, "; the baseline's %.12s %%",
		         figure(percent((double)ev->slow_b, (double)ev->timed_b)).s);
}

static void tell_breach(const struct judge *j, const struct judged_endpoint *ep, enum limit_kind kind,
                        struct verdict *out)
{
	const struct limit *l = &ep->alone->limit[kind];
	const struct absolute *t = l->test;
	struct words_of_limit w = words_of(l, kind);
	double lower = absolute__lower(t, j->tests.policy.alpha);
	char least[48] = "", baseline[64];

	tell_baseline(ep, kind, baseline, sizeof(baseline));
	if (lower > 0)
		snprintf(least, sizeof(least), " (at least %.3g %%)", 100 * lower);
	reason(out, "slo_breached", ep->def.name,
	       "%.60s: %s %% of %.0f canary requests %s%s, announced are at most %s%s; chance would do this to %s that "
	       "keeps to it",
	       ep->def.name, figure(percent(t->k, t->n)).s, t->n, w.what, least, w.limit, baseline,
	       one_in(absolute__log_e_above(t)).s);
}

/* Those that are conclusive alone; else the strongest. */
static void tell_breaches(const struct judge *j, struct verdict *out)
{
	const struct judged_endpoint *strongest = NULL;
	enum limit_kind kind = LIMIT_ERRORS;
	double most = -1e300;
	size_t told = 0;

	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];

		for (int k = 0; ep->hard && k < LIMIT_NR; k++) {
			double log_e, part = log(j->stake.hard / (double)j->n_hard / ep->alone->n_limits);

			if (!ep->alone->limit[k].test)
				continue;
			log_e = absolute__log_e_above(ep->alone->limit[k].test);
			if (log_e + part >= j->tests.need && told++ < TOLD)
				tell_breach(j, ep, k, out);
			if (log_e <= most)
				continue;
			most = log_e;
			strongest = ep;
			kind = k;
		}
	}
	if (!told && strongest)
		tell_breach(j, strongest, kind, out);
}

static void tell_dropped(const struct judge *j, struct verdict *out)
{
	const struct run_state *r = &j->run;
	char baseline[80] = "";

	if (j->tests.policy.mode == GATE_CANARY)
		snprintf(baseline, sizeof(baseline), "; the baseline %" PRIu64 " (%.12s %%)", r->dropped_b,
		         figure(percent((double)r->dropped_b, (double)r->served_b)).s);
	reason(out, "sessions_dropped", NULL,
	       "the canary has dropped %" PRIu64 " sessions (%s %% of its requests), of which %" PRIu64
	       " are allowed%s",
	       r->dropped_c, figure(percent((double)r->dropped_c, (double)r->served_c)).s,
	       j->tests.policy.max_dropped_sessions, baseline);
}

bool stopped_hard(const struct judge *j, const struct picture *p, struct verdict *out)
{
	double breach = hard_evidence(j);
	bool dropped = j->run.dropped_c > j->tests.policy.max_dropped_sessions;
	bool breached = breach >= j->tests.need || (p->worse && breach > p->strongest_share);

	if (dropped)
		tell_dropped(j, out);
	if (breached)
		tell_breaches(j, out);
	out->final |= dropped || breached;
	return dropped || breached;
}
