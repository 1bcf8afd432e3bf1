/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One release under a judge, tick by tick, and what it says of it. */
#ifndef TW_TESTS_JUDGE_RUN_H
#define TW_TESTS_JUDGE_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "judge/judge.h"

static const double worked[4][4] = {
	{ 300, 5700, 4, 52 }, { 310, 5690, 6, 61 }, { 290, 5710, 5, 49 }, { 1500, 4500, 31, 44 }
};

static inline void assert_close(double got, double want, double relative)
{
	if (!(fabs(got - want) <= relative * fabs(want)))
		fail_msg("got %.12g, want %.12g", got, want);
}

static inline void assert_finite(double x, const char *what)
{
	if (!isfinite(x))
		fail_msg("%s is %g", what, x);
}

static const struct gate_policy policy = { USUAL_POLICY, .warmup = 10 };

/* One endpoint that is served with fixed latencies and given errors; the run's state is kept between calls. */
struct run {
	struct judge *j;
	double now;
	double ms_b, ms_c;
	uint64_t lost, seen, unanswered_c;
	uint64_t gave_up_c, gave_up_b; /* of those asked, after `patience` ms */
	double patience;
	bool unbalanced, unknown, warming;
};

static inline struct run start(const struct gate_policy *p, const struct judge_endpoint *ep)
{
	struct run r = { .j = judge__new(p), .ms_b = 10, .ms_c = 10 };

	assert_non_null(r.j);
	if (ep)
		assert_int_equal(judge__add_endpoint(r.j, ep), 0);
	return r;
}

/* Nine in ten at ms, the rest at 1.5 to 3 times that. */
static inline void serve(struct histogram *h, uint64_t n, double ms)
{
	static const double spread[10] = { 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 3 };

	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, (uint64_t)(ms * 1e6 * spread[i % 10]));
}

static inline void give_up(struct histogram *h, uint64_t n, double ms)
{
	memset(h, 0, sizeof(*h));
	for (uint64_t i = 0; i < n; i++)
		histogram_add(h, (uint64_t)(ms * 1e6));
}

static inline int tick(struct run *r, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c)
{
	struct histogram b, c, waited_b, waited_c;
	struct endpoint_tick ep = { .baseline = { .n = n_b, .bad = bad_b, .latency = &b },
		                    .canary = { .n = n_c, .bad = bad_c, .latency = &c } };
	struct tick t = { .start = r->now,
		          .end = r->now + 5,
		          .lost_exchanges = r->lost,
		          .seen = r->seen ? r->seen : n_b + n_c,
		          .ledger_balanced = !r->unbalanced,
		          .ledger_unknown = r->unknown,
		          .warming = r->warming,
		          .endpoints = &ep };
	int err;

	ep.canary.outcome[TW_UNANSWERED] = r->unanswered_c;
	serve(&b, n_b < 100000 ? n_b : 100000, r->ms_b);
	serve(&c, n_c < 100000 ? n_c : 100000, r->ms_c);
	give_up(&waited_b, r->gave_up_b, r->patience);
	give_up(&waited_c, r->gave_up_c, r->patience);
	ep.baseline.waited = &waited_b;
	ep.canary.waited = r->gave_up_c ? &waited_c : NULL;
	err = judge__tick(r->j, &t, 1);
	if (!err)
		r->now += 5;
	return err;
}

static inline void ticks(struct run *r, int n, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(tick(r, n_b, bad_b, n_c, bad_c), 0);
}

static inline bool says(const struct verdict *v, const char *code)
{
	for (size_t i = 0; i < v->n_reasons; i++) {
		if (!strcmp(v->reasons[i].code, code))
			return true;
	}
	return false;
}

static inline const struct guard *guard_of(const struct verdict *v, const char *name)
{
	for (size_t i = 0; i < v->n_guards; i++) {
		if (!strcmp(v->guards[i].name, name))
			return &v->guards[i];
	}
	fail_msg("no guard %s", name);
	return NULL;
}

static inline struct verdict verdict_of(struct run *r)
{
	struct verdict v;

	judge__verdict(r->j, &v);
	return v;
}

static inline void expect(struct run *r, enum verdict_kind kind, const char *code)
{
	struct verdict v = verdict_of(r);

	if (v.kind != kind || !says(&v, code))
		fail_msg("%s (%s: %s), expected %s for %s", verdict_names[v.kind], v.n_reasons ? v.reasons[0].code : "",
		         v.n_reasons ? v.reasons[0].text : "", verdict_names[kind], code);
}

static const struct judge_endpoint checkout = { .name = "POST /checkout", .critical = true };

#endif
