/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A judge of one endpoint that is fed tables of latencies, for tests of what stands beside its verdict. */
#ifndef TW_TESTS_OPINIONS_H
#define TW_TESTS_OPINIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "judge/judge.h"

#define FIRST 200 /* the bucket that tables of counts start at */

static const struct gate_policy policy = {
	.alpha = 0.05,
	.max_error_ratio = 1.5,
	.max_latency_increase = 0.1, /* two buckets, 9.05 % */
	.min_requests = 500,
	.tick = 5,
};

static inline void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.15g, want %.15g", got, want);
}

static inline struct judge *judge_of(const char *name)
{
	struct judge *j = judge__new(&policy);

	assert_int_equal(judge__add_endpoint(j, &(struct judge_endpoint){ .name = name, .critical = true }), 0);
	return j;
}

struct load {
	uint64_t bad_c, bad_b;
	struct histogram c, b, waited_c;
	const struct connection_groups *groups_c, *groups_b;
};

static double now;

static inline void tick(struct judge *j, const struct load *l)
{
	struct endpoint_tick ep = {
		.canary = { .n = l->c.count + l->waited_c.count, .bad = l->bad_c, .latency = &l->c },
		.baseline = { .n = l->b.count, .bad = l->bad_b, .latency = &l->b },
	};
	struct tick t = { .start = now, .end = now + 5, .seen = 1ull << 62, .ledger_balanced = true, .endpoints = &ep };

	ep.canary.waited = l->waited_c.count ? &l->waited_c : NULL;
	ep.canary.groups = l->groups_c;
	ep.baseline.groups = l->groups_b;
	assert_int_equal(judge__tick(j, &t, 1), 0);
	now += 5;
}

static inline struct verdict_endpoint figures(struct judge *j, struct verdict *v)
{
	static struct verdict unused;

	judge__verdict(j, v ? v : &unused);
	return (v ? v : &unused)->endpoints[0];
}

static inline void put(struct histogram *h, unsigned int bucket, uint64_t n)
{
	h->b[bucket] += n;
	h->count += n;
}

static inline void put_all(struct histogram *h, const uint64_t counts[8], uint64_t times)
{
	for (unsigned int i = 0; i < 8; i++)
		put(h, FIRST + i, counts[i] * times);
}

static const uint64_t before[8] = { 120, 340, 610, 480, 220, 90, 30, 10 }; /* 1900 */
static const uint64_t slow[8] = { 30, 110, 260, 280, 180, 90, 35, 15 };    /* 1000 */

#endif
