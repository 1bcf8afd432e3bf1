/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/guards/answers.h"

#include <inttypes.h>
#include <math.h>

#include "judge/guards/guard.h"
#include "judge/steps.h"

/*
 * As rarely as this a clean release is kept from its promotion, whatever belongs together inside a tick. What goes on
 * for ticks (a robot asking for pages that are not there) is not discounted: then its owner looks, and lets it pass.
 */
#define ANSWERS_ALPHA 0.01
/* Failures on an endpoint of the canary's own that no floor would pass, and by how much chance may exceed it. */
#define ALONE_SHARE 0.01
#define ALONE_SIGMA 3.0
#define ALONE_LEAST 20 /* requests */
/* By how much, and how many standard deviations, failures elsewhere must differ to be told. */
#define ELSEWHERE_MORE  0.01
#define ELSEWHERE_SIGMA 4.0

static const double more_often[] = { 1.5, 3, 10 };
static const struct alternative much_more[] = { { 1.5, 0.4 }, { 3, 0.4 }, { 10, 0.1 }, { 1, 0.1 } };

void answers__init(struct answers *a, const struct evidence *like)
{
	*a = (struct answers){ 0 };
	ratio_test__init(&a->turned_away, like->unit, 1, more_often, 3, much_more, 4, 0.001);
}

void answers__tick(struct answers *a, const struct evidence *ev, const struct endpoint_tick *tick)
{
	const struct arm_tick *c = &tick->canary, *b = &tick->baseline;
	const struct pair p = { (double)c->n, (double)b->n, (double)c->turned_away, (double)b->turned_away };
	const struct habits habits = { &ev->bad_dispersion, &ev->shares };

	a->baseline_serves |= b->n > 0;
	if (!a->baseline_serves) {
		a->only_c += c->n;
		a->only_bad_c += c->bad;
	}
	if (!c->n || !b->n)
		return;
	a->n_c += c->n;
	a->n_b += b->n;
	a->turned_c += c->turned_away;
	a->turned_b += b->turned_away;
	ratio_test__add(&a->turned_away, &p, &habits);
}

/* log of an endpoint's part of the mean; it has the weight that it has in the release. */
static double part_of(const struct judged_endpoint *ep)
{
	return ep->weight > 0 ? log(ep->weight) + ratio_test__log_e(&ep->answers.turned_away) : -INFINITY;
}

bool guard_answers(const struct judge *j, struct verdict *out)
{
	const struct judged_endpoint *most = NULL;
	double sum = log(j->stake.reserve);

	if (!is_side_by_side(j))
		return guard(out, "answers", true, "not applicable: the versions do not share the traffic");
	for (size_t i = 0; i < j->n; i++) {
		const double both[] = { sum, part_of(j->eps[i]) };

		sum = log_sum_exp(both, 2);
		if (!most || both[1] > part_of(most))
			most = j->eps[i];
	}
	if (!j->dealt || !most || sum < -log(ANSWERS_ALPHA))
		return guard(out, "answers", true, "the canary does not turn more requests away (3xx, 4xx)");
	return guard(out, "answers", false,
	             "%.60s: %.3g %% of the canary's answers turn requests away (3xx, 4xx), %.3g %% of the baseline's: "
	             "whether that is meant only its owner knows; if not, name those statuses in bad",
	             most->def.name, percent(most->answers.turned_c, most->answers.n_c),
	             percent(most->answers.turned_b, most->answers.n_b));
}

static bool fails_alone(const struct answers *a)
{
	double n = (double)a->only_c, most = ALONE_SHARE * n + ALONE_SIGMA * sqrt(ALONE_SHARE * n);

	return !a->baseline_serves && a->only_c >= ALONE_LEAST && (double)a->only_bad_c > fmax(most, 1);
}

bool guard_uncompared(const struct judge *j, struct verdict *out)
{
	const struct judged_endpoint *worst = NULL;
	size_t only = 0;

	if (!is_side_by_side(j))
		return guard(out, "uncompared", true, "not applicable: nothing is compared endpoint by endpoint");
	for (size_t i = 0; i < j->n; i++) {
		const struct answers *a = &j->eps[i]->answers;

		only += !a->baseline_serves && a->only_c;
		if (fails_alone(a) && (!worst || a->only_bad_c > worst->answers.only_bad_c))
			worst = j->eps[i];
	}
	if (!worst)
		return guard(out, "uncompared", true, "%zu endpoints are served by the canary only%s", only,
		             only ? ", and hardly anything fails there" : "");
	return guard(out, "uncompared", false,
	             "%.60s: only the canary serves it, and %s %% of %" PRIu64
	             " requests failed there: there is nothing to compare them with",
	             worst->def.name, figure(percent(worst->answers.only_bad_c, worst->answers.only_c)).s,
	             worst->answers.only_c);
}

/*
 * Not an e-value: it may be looked at too often, so it is asked to be far out, bursts allowed for, and it does no more
 * than to hold a promotion for as long as it is true.
 */
static bool fails_elsewhere(const struct evidence *ev)
{
	double n_c = (double)ev->n_c, n_b = (double)ev->n_b, all, more, sigma;

	if (ev->n_c < ALONE_LEAST || !ev->n_b)
		return false;
	all = (double)(ev->bad_c + ev->bad_b) / (n_c + n_b);
	more = (double)ev->bad_c / n_c - (double)ev->bad_b / n_b;
	sigma = sqrt(all * (1 - all) * (1 / n_c + 1 / n_b) * dispersion__phi(&ev->bad_dispersion));
	return more > ELSEWHERE_MORE && more > ELSEWHERE_SIGMA * sigma;
}

bool guard_elsewhere(const struct judge *j, struct verdict *out)
{
	const struct judged_endpoint *worst = NULL;

	if (!is_side_by_side(j))
		return guard(out, "elsewhere", true, "not applicable: nothing is compared endpoint by endpoint");
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];

		if (!judge__decides(j, ep) && fails_elsewhere(&ep->ev) && (!worst || ep->ev.bad_c > worst->ev.bad_c))
			worst = ep;
	}
	if (!worst)
		return guard(out, "elsewhere", true,
		             "endpoints that do not decide do not plainly fail more on the canary");
	return guard(out, "elsewhere", false,
	             "%.60s does not decide, but %s %% of %" PRIu64 " canary requests failed there, %s %% of %" PRIu64
	             " on the baseline",
	             worst->def.name, figure(percent(worst->ev.bad_c, worst->ev.n_c)).s, worst->ev.n_c,
	             figure(percent(worst->ev.bad_b, worst->ev.n_b)).s, worst->ev.n_b);
}
