/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The figures beside the verdict: what people want to know and nothing is decided by. */
#include <math.h>
#include <stdio.h>

#include "judge/stats/proportions.h"
#include "judge/steps.h"

#define MOST_TOLD 3

/* Counts divided by the dispersion of bad events, so that bursts do not make the intervals too narrow. */
static void describe_errors(const struct evidence *ev, double alpha, struct descriptive *d)
{
	double phi = ev->unit == UNIT_EXCHANGE ? dispersion__phi(&ev->bad_dispersion) : 1;
	double n_c = (double)ev->n_c, n_b = (double)ev->n_b, k_c = (double)ev->bad_c, k_b = (double)ev->bad_b;
	struct excess x;

	if (n_c <= 0 || !excess_events(k_c / phi, n_c / phi, k_b / phi, n_b / phi, alpha, &x))
		return;
	d->has_difference = true;
	d->excess = x.events * phi;
	d->excess_low = x.low * phi;
	d->excess_high = x.high * phi;
	d->difference = k_c / n_c - k_b / n_b;
	d->difference_low = d->excess_low / n_c;
	d->difference_high = d->excess_high / n_c;
}

void describe(const struct judged_endpoint *ep, double alpha, struct verdict_endpoint *f)
{
	f->p95 = ep->ev.opinion.said;
	f->descriptive = ep->ev.opinion.described;
	describe_errors(&ep->ev, alpha, &f->descriptive);
}

/*
 * One of the two looks at latency accuses, and the other one not only fails to: it has the evidence of a certificate
 * that the canary is within the margin, and rather less than none that it is slower.
 */
enum dissent { AGREE, ONLY_TICKS, ONLY_SUMS };

static enum dissent dissent(const struct judge *j, const struct judged_endpoint *ep)
{
	const struct evidence *ev = &ep->ev;
	const struct second_opinion *s = &ev->opinion.said;
	double slow_bad = evidence__slow_bad(ev), slow_good = ratio_test__log_e(&ev->slow_good), need = j->tests.need,
	       certain = j->tests.promote_need;

	if (!evidence__enough(ev, &j->tests))
		return AGREE;
	if (slow_bad >= need && s->log_e_slower < 0 && s->log_e_within >= certain)
		return ONLY_TICKS;
	if (s->log_e_slower >= need && slow_bad < 0 && slow_good >= certain)
		return ONLY_SUMS;
	return AGREE;
}

/* "12.3 ms against 12 ms, -3 % to +8 %" */
struct text {
	char s[128];
};

static struct text sums_of(const struct second_opinion *s)
{
	struct text t = { "" };
	int n;

	if (!s->has_p95_c || !s->has_p95_b)
		return t;
	n = snprintf(t.s, sizeof(t.s), " (%.3g ms against %.3g ms", s->p95_c * 1e3, s->p95_b * 1e3);
	if (s->has_ratio_low && s->has_ratio_high)
		snprintf(t.s + n, sizeof(t.s) - (size_t)n, ", %+.3g %% to %+.3g %%)", 100 * (s->ratio_low - 1),
		         100 * (s->ratio_high - 1));
	else
		snprintf(t.s + n, sizeof(t.s) - (size_t)n, ")");
	return t;
}

void tell_opinions(const struct judge *j, struct verdict *out)
{
	unsigned int told = 0;

	for (size_t i = 0; i < j->n && told < MOST_TOLD; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		enum dissent which = dissent(j, ep);

		if (which == AGREE)
			continue;
		told++;
		reason(out, "opinions_differ", ep->def.name,
		       which == ONLY_TICKS
		               ? "%.60s: tick by tick more canary requests are slow, but all ticks together show the slowest "
		                 "to be less than %.3g %% slower%s; the verdict goes by the first, as the second is mostly about "
		                 "the slowest minutes"
		               : "%.60s: all ticks together show the slowest canary requests to be slower, but tick by tick "
		                 "they are shown to be less than %.3g %% slower%s; the verdict goes by the second, as the first is "
		                 "mostly about the slowest minutes",
		       ep->def.name, 100 * (exp2(ep->ev.shift / 16.0) - 1), sums_of(&ep->ev.opinion.said).s);
	}
}
