/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/slowness.h"

#include <math.h>

#define HISTORY_FULL  400 /* exchanges: below that nothing is forgotten */
#define HISTORY_KEEPS 0.8
#define HISTORY_MIN   20 /* the p95 of fewer is their maximum */

void slowness__learn(struct slowness *s, const struct histogram *baseline)
{
	double keeps = s->total >= HISTORY_FULL ? HISTORY_KEEPS : 1, total = 0;

	if (!baseline || !baseline->count)
		return;
	for (unsigned int i = 0; i < TW_BUCKETS; i++) {
		s->seen[i] = s->seen[i] * keeps + baseline->b[i];
		total += s->seen[i];
	}
	s->total = total;
}

struct threshold slowness__threshold(const struct slowness *s)
{
	struct threshold x = { .set = false };
	double tail = s->total * SLOW_SHARE, above = 0;
	unsigned int i = TW_BUCKETS - 1;

	if (s->total < HISTORY_MIN)
		return x;
	while (i > 0 && above + s->seen[i] < tail)
		above += s->seen[i--];
	x.bucket = i;
	x.part = s->seen[i] > 0 ? fmin(1, fmax(0, (tail - above) / s->seen[i])) : 0;
	x.set = i < TW_BUCKETS - 1;
	return x;
}

double slowness__tail_ratio(const struct slowness *s, const struct threshold *x, unsigned int shift)
{
	unsigned int from = x->bucket + shift;
	double tail;

	if (s->total <= 0 || from >= TW_BUCKETS)
		return 0;
	tail = x->part * s->seen[from];
	for (unsigned int i = from + 1; i < TW_BUCKETS; i++)
		tail += s->seen[i];
	return tail / (s->total * SLOW_SHARE);
}

double tail_above(const struct histogram *h, const struct threshold *x, unsigned int shift)
{
	unsigned int from = x->bucket + shift;

	if (!h || from >= TW_BUCKETS)
		return 0;
	return (double)histogram_above(h, from) + x->part * (double)h->b[from];
}

unsigned int margin_buckets(double increase)
{
	double k = 16 * log2(1 + increase);

	/* A margin that was meant as a whole number of buckets must not lose one to rounding. */
	return k > 0 ? (unsigned int)fmin(k + 1e-9, TW_BUCKETS) : 0;
}
