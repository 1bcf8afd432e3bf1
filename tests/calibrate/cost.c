/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cost.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "release.h"

#define TIMES 5 /* the best of them: what others do to the caches only adds */
#define TICKS 10

static double thread_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double cost__clean(unsigned int endpoints)
{
	const struct scenario s = { .rate = 50.0 * endpoints,
		                    .share = { 0.25 },
		                    .endpoints = endpoints,
		                    .errors = 0.01,
		                    .gap = 0.1,
		                    .ticks = TICKS };
	struct latencies *l = traffic__latencies(&s);
	double best = l ? INFINITY : -1;

	for (int i = 0; l && i < TIMES && best >= 0; i++) {
		struct release r;
		int err = release__run(&s, l, 1, &r);

		best = err ? -1 : fmin(best, r.judge_seconds / TICKS);
	}
	traffic__latencies_free(l);
	return best;
}

/* ---- all worse -------------------------------------------------------------------------------------------------- */

struct worse {
	struct judge *judge;
	struct endpoint_tick *ep;
	char (*names)[16];
	struct histogram b, c;
	size_t n;
};

static void worse_end(struct worse *w)
{
	judge__free(w->judge);
	free(w->ep);
	free(w->names);
}

static int worse_begin(struct worse *w, unsigned int endpoints, unsigned int units)
{
	*w = (struct worse){ .judge = judge__new(&release_policy), .n = endpoints };
	w->ep = calloc(endpoints, sizeof(*w->ep));
	w->names = calloc(endpoints, sizeof(*w->names));
	if (!w->judge || !w->ep || !w->names)
		return -1;
	for (int i = 0; i < 950; i++)
		histogram_add(&w->b, 10000000);
	for (int i = 0; i < 50; i++)
		histogram_add(&w->c, 30000000);
	for (unsigned int i = 0; i < units; i++)
		if (judge__add_cutover(w->judge, &(struct judge_cutover){ "unit", "owner" }) < 0)
			return -1;
	for (unsigned int i = 0; i < endpoints; i++) {
		struct judge_endpoint ep = { .name = w->names[i],
			                     .named = true,
			                     .critical = i % 2,
			                     .unit = UNIT_EXCHANGE,
			                     .cutover = i % (units + 1) };

		snprintf(w->names[i], sizeof(w->names[i]), "GET /%u", i);
		if (judge__add_endpoint(w->judge, &ep) < 0)
			return -1;
		w->ep[i].baseline = (struct arm_tick){ .n = 950, .bad = 9, .latency = &w->b };
		w->ep[i].canary = (struct arm_tick){ .n = 50, .bad = 3, .latency = &w->c };
	}
	return 0;
}

/* Seconds a tick, or negative. */
static double worse_judged(struct worse *w)
{
	double before = thread_seconds();
	struct verdict v;

	for (int i = 0; i < TICKS; i++) {
		struct tick t = { .start = TICK_SECONDS * i,
			          .end = TICK_SECONDS * (i + 1),
			          .seen = 1000 * w->n,
			          .ledger_balanced = true,
			          .endpoints = w->ep };

		if (judge__tick(w->judge, &t, w->n))
			return -1;
		judge__verdict(w->judge, &v);
	}
	return (thread_seconds() - before) / TICKS;
}

double cost__all_worse(unsigned int endpoints, unsigned int units)
{
	double best = INFINITY;

	for (int i = 0; i < TIMES && best >= 0; i++) {
		struct worse w;

		best = worse_begin(&w, endpoints, units) ? -1 : fmin(best, worse_judged(&w));
		worse_end(&w);
	}
	return best;
}
