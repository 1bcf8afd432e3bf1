// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What watching may cost, as it is told on the command line. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "config/report.h"
#include "config/value.h"

int config__cost_budget(const char *text, double *budget, struct err *e)
{
	char buf[CLIP_LEN];
	int err;

	if (!strcmp(text, "off")) {
		*budget = INFINITY;
		return 0;
	}
	err = parse_share(text, budget);
	if (err == -EDOM)
		return err_set(e, EINVAL, "--cost-budget %s is ambiguous without a unit: write %s%%", clip(text, buf),
		               text);
	if (err || *budget < COST_BUDGET_LEAST || *budget > COST_BUDGET_MOST)
		return err_set(
			e, EINVAL,
			"--cost-budget %s is no share of a core from %g%% to %g%%: write --cost-budget 2%%, or off",
			clip(text, buf), 100 * COST_BUDGET_LEAST, 100.0 * COST_BUDGET_MOST);
	return 0;
}
