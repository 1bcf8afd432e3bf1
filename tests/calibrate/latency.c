/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Each piece is a table of its quantiles, in sixteenths of octaves: a draw is a random entry, and many draws are a
 * multinomial count of the buckets that the entries fall into.
 */
#include "latency.h"

#include <math.h>
#include <stdlib.h>

#include "judge/stats/normal.h"

#define ENTRIES 2048
#define MANY    3000 /* draws: above that by bucket */

struct latencies {
	double x[2][ENTRIES]; /* ascending */
};

struct latencies *latencies__new(double median, double sigma, double tail)
{
	struct latencies *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	for (int i = 0; i < ENTRIES; i++) {
		double u = (i + 0.5) / ENTRIES;

		l->x[LATENCY_BODY][i] = 16 * (log2(median) + sigma * M_LOG2E * normal_quantile(u * (1 - tail)));
		l->x[LATENCY_TAIL][i] = 16 * (log2(median) + sigma * M_LOG2E * normal_quantile(1 - tail + u * tail));
	}
	return l;
}

void latencies__free(struct latencies *l)
{
	free(l);
}

static unsigned int bucket_of(double x)
{
	double above = x - 16 * TW_BUCKET_MIN_EXP;

	if (above <= 0)
		return 0;
	/* The number of bounds below, which are the whole numbers. */
	return above >= TW_BUCKETS - 1 ? TW_BUCKETS - 1 : (unsigned int)(above + (1 - 1e-12));
}

static void by_bucket(const double *x, struct random *r, struct histogram *h, uint64_t n, double shift)
{
	unsigned int from = 0;

	while (from < ENTRIES && n > 0) {
		unsigned int bucket = bucket_of(x[from] + shift), to = from + 1;
		uint64_t k;

		while (to < ENTRIES && bucket_of(x[to] + shift) == bucket)
			to++;
		k = random__binomial(r, n, (double)(to - from) / (ENTRIES - from));
		h->b[bucket] += k;
		n -= k;
		from = to;
	}
}

uint64_t latencies__draw(const struct latencies *l, struct random *r, struct histogram *h, uint64_t n, double scale,
                         enum latency_piece piece, int beyond)
{
	uint64_t before = beyond < 0 ? 0 : histogram_above(h, (unsigned int)beyond);
	const double *x = l->x[piece];
	double shift = 16 * log2(scale);

	h->count += n;
	if (n > MANY)
		by_bucket(x, r, h, n, shift);
	else
		for (uint64_t i = 0; i < n; i++)
			h->b[bucket_of(x[random__below(r, ENTRIES)] + shift)]++;
	return beyond < 0 ? 0 : histogram_above(h, (unsigned int)beyond) - before;
}
