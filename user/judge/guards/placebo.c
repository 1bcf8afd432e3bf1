// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "judge/guards/placebo.h"

#include <math.h>

#include "judge/guards/guard.h"
#include "judge/stats/logspace.h"
#include "judge/steps.h"

/* Clean releases are to be hit in at most 1 %; where bursts last for long, in twice as many as this. */
#define PLACEBO_ALPHA 0.005

void placebo__init(struct placebo *p, const struct evidence *like)
{
	p->errors = like->errors_bad;
	p->slow = like->slow_bad;
	p->exchanges = 0;
}

/* By what the ticks before have shown: the first `*n` of the groups. false: nothing to choose from. */
static bool choose(const struct group_shares *s, unsigned int *n)
{
	double canary = s->total[ARM_IS_CANARY], baseline = s->total[ARM_IS_BASELINE], want, have = 0;
	unsigned int used = 0, most, taken = 0, i;

	for (i = 0; i < TW_GROUPS; i++)
		used += s->n[ARM_IS_BASELINE][i] > 0;
	if (used < 2 || canary <= 0)
		return false;
	want = baseline * fmin(0.5, canary / (canary + baseline));
	most = used / 2;
	for (i = 0; i < TW_GROUPS && taken < most; i++) {
		double part = s->n[ARM_IS_BASELINE][i];

		if (part <= 0)
			continue;
		if (taken && fabs(have + part - want) >= fabs(have - want))
			break;
		have += part;
		taken++;
	}
	*n = i;
	return true;
}

static struct pair deal(const uint64_t *n, const uint64_t *k, unsigned int groups)
{
	struct pair p = { 0, 0, 0, 0 };

	for (unsigned int i = 0; i < TW_GROUPS; i++) {
		*(i < groups ? &p.n_c : &p.n_b) += (double)n[i];
		*(i < groups ? &p.k_c : &p.k_b) += (double)k[i];
	}
	return p;
}

void placebo__tick(struct placebo *p, const struct evidence *ev, const struct endpoint_tick *tick)
{
	const struct connection_groups *g = tick->baseline.groups;
	const struct habits bad = { &ev->bad_dispersion, &ev->shares }, slow = { &ev->slow_dispersion, &ev->shares };
	struct pair pair;
	unsigned int n;

	if (!g || !choose(&ev->shares, &n))
		return;
	pair = deal(g->n, g->bad, n);
	p->exchanges += pair.n_c;
	ratio_test__add(&p->errors, &pair, &bad);
	if (!g->has_slow)
		return;
	pair = deal(g->n, g->slow, n);
	ratio_test__add(&p->slow, &pair, &slow);
}

static void add(double *log_sum, double term)
{
	const double both[] = { *log_sum, term };

	*log_sum = log_sum_exp(both, 2);
}

/* Weighed as the evidence against the canary is. */
static double weigh(const struct judge *j)
{
	double sum = log(j->stake.reserve);

	if (!j->dealt)
		return 0;
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];

		add(&sum, stake(ep, false) + ratio_test__log_e(&ep->placebo.errors));
		add(&sum, stake(ep, true) + ratio_test__log_e(&ep->placebo.slow));
	}
	return sum;
}

bool guard_placebo(const struct judge *j, struct verdict *out)
{
	double log_e, exchanges = 0;

	if (!is_side_by_side(j))
		return guard(out, "placebo", true, "not applicable: the versions do not share the traffic");
	for (size_t i = 0; i < j->n; i++)
		exchanges += j->eps[i]->placebo.exchanges;
	if (exchanges <= 0)
		return guard(out, "placebo", true,
		             "not checked: the baseline's connections are not told apart, or too few");
	log_e = weigh(j);
	if (log_e < -log(PLACEBO_ALPHA))
		return guard(
			out, "placebo", true,
			"some of the baseline's own connections, held against the others, are no worse (%.3g requests)",
			fmin(exchanges, 1e15));
	return guard(out, "placebo", false,
	             "some of the baseline's own connections look worse than its others, as if they were a bad canary: "
	             "connections differ by themselves, so a difference shows nothing");
}
