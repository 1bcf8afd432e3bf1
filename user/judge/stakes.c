/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stakes.h"

#include <math.h>

#include "judge/state.h"

#define RESERVE        0.02 /* of the stake, for endpoints that appear later */
#define FAIL_FAST_PART 0.5  /* of what is dealt, where there are such endpoints */
#define CRITICAL_PART  0.8  /* of what is left of it, when both kinds exist */
#define LEFT_PART      0.05 /* of the stake, for those that asked for none, even if others asked for all */
#define NEWCOMERS_HALF 16   /* newcomers after which half of the reserve is gone */

/* Who is there to be dealt to, apart from those that asked for a weight. */
struct claims {
	double asked;
	size_t fail_fast, critical, others;
};

static struct claims claims_of(struct judged_endpoint *const *eps, size_t n)
{
	struct claims c = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct judge_endpoint *def = &eps[i]->def;

		if (def->weight > 0) {
			c.asked += def->weight;
			continue;
		}
		c.fail_fast += def->fail_fast;
		c.critical += def->critical;
		c.others += !def->critical;
	}
	return c;
}

/* Fail-fast endpoints come on top of what they are otherwise: one that is critical as well is never worse off for it.
 */
static void deal_release(struct stake *s, struct judged_endpoint *const *eps, size_t n)
{
	struct claims c = claims_of(eps, n);
	double rest = 1 - RESERVE - s->hard, most = rest, scale = 1, fast, critical;

	/* Whatever was asked for: what has no stake cannot be found to be worse. */
	if (c.critical + c.others)
		most = rest * (1 - LEFT_PART);
	if (c.asked > 0 && (c.asked > most || !(c.critical + c.others)))
		scale = most / c.asked;
	rest = fmax(0, rest - c.asked * scale);
	fast = c.fail_fast ? rest * FAIL_FAST_PART : 0;
	rest -= fast;
	critical = !c.critical ? 0 : !c.others ? rest : rest * CRITICAL_PART;
	s->reserve = 1 - s->hard;
	for (size_t i = 0; i < n; i++) {
		struct judged_endpoint *ep = eps[i];

		if (ep->def.weight > 0)
			ep->weight = ep->def.weight * scale;
		else
			ep->weight = (ep->def.critical ? critical / (double)c.critical
			                               : (rest - critical) / (double)c.others) +
			             (ep->def.fail_fast ? fast / (double)c.fail_fast : 0);
		s->reserve -= ep->weight;
	}
}

static void deal_unit(struct stake *s, struct judged_endpoint *const *eps, size_t n, unsigned int unit)
{
	double all = 0;

	for (size_t i = 0; i < n; i++)
		if (eps[i]->def.cutover == unit)
			all += eps[i]->weight;
	s->reserve = 1;
	for (size_t i = 0; i < n && all > 0; i++) {
		if (eps[i]->def.cutover != unit)
			continue;
		eps[i]->weight_in_unit = (1 - RESERVE) * eps[i]->weight / all;
		s->reserve -= eps[i]->weight_in_unit;
	}
}

void stakes__deal(struct stake *release, struct judged_endpoint *const *eps, size_t n, struct judged_cutover *units,
                  size_t n_units)
{
	deal_release(release, eps, n);
	for (size_t i = 0; i < n_units; i++)
		deal_unit(&units[i].stake, eps, n, (unsigned int)i + 1);
}

/* The m-th newcomer gets r (h/(h+m) - h/(h+m+1)): any number of them never overdraws the reserve r. */
double stake__newcomer(struct stake *s)
{
	double h = NEWCOMERS_HALF, m = s->newcomers++;
	double weight = RESERVE * (h / (h + m) - h / (h + m + 1));

	s->reserve -= weight;
	return weight;
}
