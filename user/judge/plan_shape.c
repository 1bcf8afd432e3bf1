/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/plan_shape.h"

#include <math.h>
#include <string.h>

#include "judge/stats/normal.h"

#define EXCHANGES 1e9

void plan_shape__lognormal(struct histogram *h, double p50, double p95)
{
	double sigma = log(p95 / p50) / normal_quantile(0.95), before = 0;

	memset(h, 0, sizeof(*h));
	for (unsigned int i = 0; i < TW_BUCKETS; i++) {
		/* The last has no upper bound: infinity, below which is all. */
		double below = round(EXCHANGES * normal_below(log(histogram_upper(i) / p50) / sigma));

		h->b[i] = (uint64_t)(below - before);
		before = below;
	}
	h->count = (uint64_t)before;
}
