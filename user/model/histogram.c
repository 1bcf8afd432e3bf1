// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/histogram.h"

#include <math.h>

/*
 * floor(2^(r/16) * 2^62) for r = 0..15. Integers, so that the table is the same on every machine and with every libm;
 * with 62 bits below the point the floor of 2^(i/16) * 1e9 is exact for every bound of the range.
 */
#define ROOT_SHIFT 62
static const uint64_t root16[16] = {
	0x4000000000000000, 0x42d561b3e6243d8a, 0x45cae0f1f545eb73, 0x48e1e9b9d588e19b,
	0x4c1bf828c6dc54b7, 0x4f7a993048d088d6, 0x52ff6b54d8a89c75, 0x56ac1f752150a563,
	0x5a827999fcef3242, 0x5e8451cfac061b5f, 0x62b39508aa836d6e, 0x6712460a8fc24071,
	0x6ba27e656b4eb57a, 0x70666f76154a7088, 0x75606373ee921c97, 0x7a92be8a92436616,
};

#define NS_PER_S 1000000000ULL

static uint64_t search_table[TW_BOUNDS_TABLE];

static uint64_t bound_ns(unsigned int i)
{
	int exponent = (int)(i / 16) + TW_BUCKET_MIN_EXP;

	return (uint64_t)(((unsigned __int128)root16[i % 16] * NS_PER_S) >> (ROOT_SHIFT - exponent));
}

void histogram_bounds(uint64_t table[TW_BOUNDS_TABLE])
{
	for (unsigned int i = 0; i < TW_BOUNDS_TABLE; i++)
		table[i] = i < TW_BUCKET_BOUNDS ? bound_ns(i) : INT64_MAX;
}

void histogram_cells(uint16_t table[BUCKET_CELLS])
{
	for (unsigned int i = 0; i < BUCKET_CELLS; i++) {
		unsigned int e = i / 32, m = i % 32;
		uint64_t first = e < 5 ? 0 : ((uint64_t)32 + m) << (e - 5);

		table[i] = histogram_bucket(first > INT64_MAX ? INT64_MAX : first);
	}
}

/* Before main, so that no reader needs a lock or a check. */
__attribute__((constructor)) static void fill_search_table(void)
{
	histogram_bounds(search_table);
}

unsigned int histogram_bucket(uint64_t ns)
{
	unsigned int below = 0;

	if (ns > INT64_MAX)
		ns = INT64_MAX;
	for (unsigned int step = TW_BOUNDS_TABLE / 2; step; step /= 2)
		if (search_table[below + step - 1] < ns)
			below += step;
	return below;
}

double histogram_upper(unsigned int bucket)
{
	if (bucket >= TW_BUCKETS - 1)
		return INFINITY;
	return exp2(bucket / 16.0 + TW_BUCKET_MIN_EXP);
}

static double lower_of(unsigned int bucket)
{
	return bucket ? histogram_upper(bucket - 1) : 0.0;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	h->count++;
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
	h->b[histogram_bucket(ns)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	to->count += from->count;
	to->sum += from->sum;
	if (from->max > to->max)
		to->max = from->max;
	for (unsigned int i = 0; i < TW_BUCKETS; i++)
		to->b[i] += from->b[i];
}

/* How many observations must lie at or below the quantile; q * n without the rounding that would push it past k. */
static double rank_of(double q, uint64_t n)
{
	double rank = q * (double)n, whole = nearbyint(rank);

	return fabs(rank - whole) < 1e-9 * (whole + 1.0) ? whole : rank;
}

/*
 * Where the observations of a bucket end. The maximum cuts the bucket it lies in. A maximum below the bucket
 * contradicts it (the figures were read while they were being written, or carry no maximum): the bucket is believed.
 */
static double end_of(const struct histogram *h, unsigned int bucket)
{
	double lower = lower_of(bucket), upper = histogram_upper(bucket), max = (double)h->max / NS_PER_S;

	if (h->max == 0 && bucket == 0)
		return 0.0;
	if (max > lower)
		return fmin(upper, max);
	return isinf(upper) ? lower : upper;
}

double histogram_quantile(const struct histogram *h, double q)
{
	double rank, before = 0.0, lower, end, value;
	unsigned int last = TW_BUCKETS;

	if (h->count == 0 || isnan(q))
		return NAN;
	rank = rank_of(fmin(fmax(q, 0.0), 1.0), h->count);
	for (unsigned int i = 0; i < TW_BUCKETS; i++) {
		if (h->b[i] == 0)
			continue;
		last = i;
		if (before + (double)h->b[i] >= rank)
			break;
		before += (double)h->b[i];
	}
	if (last == TW_BUCKETS)
		return NAN;
	lower = lower_of(last);
	end = end_of(h, last);
	value = lower + (end - lower) * fmin((rank - before) / (double)h->b[last], 1.0);
	return fmin(value, end);
}

double histogram_mean(const struct histogram *h)
{
	return h->count ? (double)h->sum / (double)h->count / NS_PER_S : NAN;
}

uint64_t histogram_above(const struct histogram *h, unsigned int bucket)
{
	uint64_t n = 0;

	for (unsigned int i = bucket; i < TW_BUCKETS - 1; i++)
		n += h->b[i + 1];
	return n;
}
