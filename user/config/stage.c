// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The stage that is running, as it is told on the command line. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/report.h"
#include "config/value.h"

/* "5%, 25%" */
static void list_stages(const struct config *c, char *out, size_t len)
{
	out[0] = 0;
	for (size_t i = 0; i < c->n_stages; i++) {
		size_t used = strlen(out);

		snprintf(out + used, len - used, "%s%.6g%%", i ? ", " : "", c->stages[i] * 100);
	}
}

int config__stage(const struct config *c, const char *text, double *share, struct err *e)
{
	char buf[CLIP_LEN], known[200];
	int err = parse_share(text, share);

	if (err == -EDOM)
		return err_set(e, EINVAL, "--stage %s is ambiguous without a unit: write %s%%", clip(text, buf), text);
	if (err || *share <= 0 || *share > 1)
		return err_set(e, EINVAL, "--stage %s is no share of the traffic: write --stage 25%%", clip(text, buf));
	if (!c->n_stages)
		return 0;
	for (size_t i = 0; i < c->n_stages; i++)
		if (fabs(c->stages[i] - *share) < 1e-9) {
			*share = c->stages[i];
			return 0;
		}
	list_stages(c, known, sizeof(known));
	return err_set(e, EINVAL, "--stage %s is none of the stages of %s: %s", clip(text, buf), c->file, known);
}
