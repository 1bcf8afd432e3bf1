/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Weighs the evidence of all endpoints: whether the canary is worse, and what speaks for it. */
#include <math.h>
#include <string.h>

#include "judge/steps.h"

/* Failing is the more urgent of the two tests of an endpoint and gets the larger part of its weight. */
#define ERRORS_PART 0.75

double stake(const struct judged_endpoint *ep, bool slow)
{
	return ep->weight > 0 ? log(ep->weight * (slow ? 1 - ERRORS_PART : ERRORS_PART)) : -1e3;
}

double errors_evidence(const struct judged_endpoint *ep)
{
	return ratio_test__log_e(&ep->ev.errors_bad);
}

/*
 * Failing is urgent, slow is not: latency speaks for a rollback only once there is the minimum of data. By then a
 * difference that is real but tiny has been certified to lie within the margin.
 */
double slow_evidence(const struct judge *j, const struct judged_endpoint *ep)
{
	double log_e = evidence__slow_bad(&ep->ev);

	return evidence__enough(&ep->ev, &j->tests) ? log_e : fmin(log_e, 0);
}

bool errors_conclusive(const struct judge *j, const struct judged_endpoint *ep)
{
	return stake(ep, false) + errors_evidence(ep) >= j->tests.need;
}

bool slow_conclusive(const struct judge *j, const struct judged_endpoint *ep)
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

void look(const struct judge *j, struct picture *p, struct verdict *out)
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
