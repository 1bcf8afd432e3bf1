/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long it will take. */
#include <math.h>

#include "judge/outlook.h"
#include "judge/steps.h"

/* Until every deciding endpoint is certified; negative: it cannot be told. */
static double promotion_seconds(const struct judge *j, const struct picture *p)
{
	double longest = p->deciding ? 0 : -1;

	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		struct outlook o;
		double seconds;

		if (!judge__decides(j, ep))
			continue;
		seconds = outlook__of(&ep->ev, &j->tests, &o) ? outlook__good(&ep->ev, &j->tests, &o) : -1;
		if (seconds < 0)
			return -1;
		longest = fmax(longest, seconds);
	}
	return longest;
}

static double rollback_seconds(const struct judge *j, const struct picture *p)
{
	const struct judged_endpoint *ep = p->strongest.ep;
	struct outlook o;
	double need;

	if (!ep || ep->weight <= 0 || !outlook__of(&ep->ev, &j->tests, &o))
		return -1;
	need = j->tests.need - stake(ep, p->strongest.slow);
	if (!p->strongest.slow)
		return outlook__errors_worse(&ep->ev, &j->tests, &o, need);
	if (ep->def.fail_fast)
		return outlook__slow_worse(&ep->ev, &j->tests, &o, need);
	return outlook__later(outlook__data(&ep->ev, &j->tests, &o), outlook__slow_worse(&ep->ev, &j->tests, &o, need));
}

/*
 * Until it can be promoted, or if that cannot be told, until the strongest evidence makes a rollback. Where all that
 * decide are certified it is a guard that stands in the way, and no rate tells for how long.
 */
void plan_rest(const struct judge *j, const struct picture *p, struct verdict *out)
{
	double seconds;

	if (p->deciding && p->certified == p->deciding)
		return;
	seconds = promotion_seconds(j, p);
	if (seconds < 0)
		seconds = rollback_seconds(j, p);
	out->has_eta = seconds >= 0 && seconds < 1e9;
	/* A verdict comes at the end of a tick. */
	out->eta_seconds = out->has_eta ? fmax(seconds, j->tests.policy.tick) : 0;
}
