/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ticks of several endpoints for the judge, each served with fixed latencies and given errors. */
#ifndef TW_TEST_LOADS_H
#define TW_TEST_LOADS_H

#include <stdlib.h>
#include <string.h>

#include "judge/judge.h"

#define LOADS_MAX 64

struct load {
	uint64_t n_b, bad_b, n_c, bad_c;
	double ms_c;        /* the baseline's is 10 */
	uint64_t dropped_c; /* of the canary's bad ones: closed without an answer */
};

struct world {
	struct judge *j;
	double now, tick;
	size_t n;
	uint64_t lost;
	double clock_jump;
	bool unbalanced, warming;
	struct histogram h[2 * LOADS_MAX];
};

static inline struct world *world_new(const struct gate_policy *p)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->j = judge__new(p);
	assert_non_null(w->j);
	w->tick = 5;
	return w;
}

static inline void world_free(struct world *w)
{
	judge__free(w->j);
	free(w);
}

static inline void world_add(struct world *w, const struct judge_endpoint *ep)
{
	assert_true(w->n < LOADS_MAX);
	assert_int_equal(judge__add_endpoint(w->j, ep), (int)w->n);
	w->n++;
}

/* Nine in ten at ms, the rest at 1.5 to 3 times that. */
static inline void serve(struct histogram *h, uint64_t n, double ms)
{
	static const double spread[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 3 };

	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, (uint64_t)(ms * 1e6 * spread[i % 10]));
}

static inline int world_tick(struct world *w, const struct load *l)
{
	struct endpoint_tick ep[LOADS_MAX];
	struct tick t = { .start = w->now,
		          .end = w->now + w->tick,
		          .lost_exchanges = w->lost,
		          .ledger_balanced = !w->unbalanced,
		          .warming = w->warming,
		          .clock_jump = w->clock_jump,
		          .endpoints = ep };
	int err;

	memset(ep, 0, sizeof(ep));
	for (size_t i = 0; i < w->n; i++) {
		serve(&w->h[2 * i], l[i].n_b, 10);
		serve(&w->h[2 * i + 1], l[i].n_c, l[i].ms_c > 0 ? l[i].ms_c : 10);
		ep[i].baseline = (struct arm_tick){ .n = l[i].n_b, .bad = l[i].bad_b, .latency = &w->h[2 * i] };
		ep[i].canary = (struct arm_tick){ .n = l[i].n_c, .bad = l[i].bad_c, .latency = &w->h[2 * i + 1] };
		ep[i].canary.outcome[TW_UNANSWERED] = l[i].dropped_c;
		t.seen += l[i].n_b + l[i].n_c;
	}
	err = judge__tick(w->j, &t, w->n);
	w->now += err ? 0 : w->tick;
	return err;
}

static inline void world_ticks(struct world *w, int n, const struct load *l)
{
	while (n-- > 0)
		assert_int_equal(world_tick(w, l), 0);
}

static inline struct verdict world_verdict(struct world *w)
{
	struct verdict v;

	judge__verdict(w->j, &v);
	return v;
}

static inline const struct reason *reason_of(const struct verdict *v, const char *code)
{
	for (size_t i = 0; i < v->n_reasons; i++)
		if (!strcmp(v->reasons[i].code, code))
			return &v->reasons[i];
	return NULL;
}

#endif
