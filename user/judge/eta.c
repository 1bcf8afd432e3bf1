/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long it will take. */
#include <math.h>

#include "judge/steps.h"

/* Until every deciding endpoint is certified, or if that cannot be told, until the strongest evidence makes a rollback.
 */
void plan_rest(const struct judge *j, const struct picture *p, struct verdict *out)
{
	const struct accusation *strongest = &p->strongest;
	double longest = p->deciding ? 0 : -1, seconds;

	for (size_t i = 0; i < j->n && longest >= 0; i++) {
		if (!judge__decides(j, j->eps[i]))
			continue;
		seconds = evidence__certify_seconds(&j->eps[i]->ev, &j->tests);
		longest = seconds < 0 ? -1 : fmax(longest, seconds);
	}
	if (longest < 0 && strongest->ep && strongest->ep->weight > 0)
		longest = evidence__rollback_seconds(&strongest->ep->ev,
		                                     j->tests.need - stake(strongest->ep, strongest->slow));
	out->has_eta = longest >= 0 && longest < 1e9;
	out->eta_seconds = out->has_eta ? longest : 0;
}
