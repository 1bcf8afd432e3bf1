/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/stats/rank_sum.h"

#include <math.h>

#include "judge/stats/normal.h"

struct totals {
	double x, y, ties; /* ties: sum of t^3 - t */
};

static struct totals totals_of(const double *x, const double *y, unsigned int n)
{
	struct totals t = { 0 };

	for (unsigned int i = 0; i < n; i++) {
		double both = x[i] + y[i];

		t.x += x[i];
		t.y += y[i];
		t.ties += both * (both * both - 1);
	}
	return t;
}

struct rank_sum rank_sum(const double *x, const double *y, unsigned int n, bool continuity)
{
	const struct totals t = totals_of(x, y, n);
	struct rank_sum r = { .p_two_sided = 1, .p_greater = 1, .p_less = 1, .cles = 0.5 };
	double all = t.x + t.y, half = continuity ? 0.5 : 0, off = 0, below = 0;

	if (t.x <= 0 || t.y <= 0)
		return r;
	/* U less its mean, bucket by bucket: of huge counts the difference keeps its digits. */
	for (unsigned int i = 0; i < n; i++) {
		off += x[i] * (below + y[i] / 2 - t.y / 2);
		below += y[i];
	}
	r.u = off + t.x / 2 * t.y;
	r.cles = 0.5 + off / t.x / t.y;
	if (all < 2)
		return r;
	r.sigma = sqrt(fmax(0, t.x / 12 * t.y * (all + 1) * (1 - t.ties / (all * (all * all - 1)))));
	if (r.sigma <= 0)
		return r;
	r.z = (off - (off > 0 ? half : off < 0 ? -half : 0)) / r.sigma;
	r.p_two_sided = fmin(1, 2 * normal_below(-fabs(r.z)));
	r.p_greater = normal_below(-(off - half) / r.sigma);
	r.p_less = normal_below((off + half) / r.sigma);
	return r;
}
