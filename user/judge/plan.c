/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/plan.h"

#include <math.h>

static bool possible(const struct plan_traffic *t, double ratio, double alpha)
{
	return isfinite(t->rate) && t->rate > 0 && t->share > 0 && t->share < 1 && t->bad > 0 && t->bad < 1 &&
	       ratio >= 0 && t->bad * ratio <= 1 && alpha > 0 && alpha < 1;
}

bool plan__until(const struct eprocess *test, const struct plan_traffic *traffic, double ratio, double alpha,
                 struct plan_need *need)
{
	double bad;

	if (!possible(traffic, ratio, alpha))
		return false;
	need->events = eprocess__events_to(test, -log(alpha), traffic->share, ratio);
	if (need->events < 0)
		return false;
	bad = traffic->bad * (1 - traffic->share + traffic->share * ratio);
	need->exchanges = need->events / bad;
	need->seconds = need->exchanges / traffic->rate;
	return isfinite(need->seconds);
}
