/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "release.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 16

const struct gate_policy release_policy = {
	.alpha = 0.05,
	.promote_alpha = 0.01,
	.max_error_ratio = 1.5,
	.max_latency_increase = 0.2,
	.min_requests = 500,
	.warmup = 10,
	.tick = TICK_SECONDS,
	.timeout = 30,
};

/* A release on its way. */
struct course {
	struct judge *judge;
	struct traffic *traffic;
	struct peers *peers;
	char (*names)[32];
	int *slow_bucket;
	size_t n;
};

static void course_end(struct course *c)
{
	judge__free(c->judge);
	traffic__free(c->traffic);
	free(c->peers);
	free(c->names);
	free(c->slow_bucket);
}

static int course_begin(struct course *c, const struct scenario *s, const struct latencies *l, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	c->judge = judge__new(&release_policy);
	c->traffic = traffic__new(s, l, seed);
	c->peers = calloc(1, sizeof(*c->peers));
	if (!c->judge || !c->traffic || !c->peers)
		return -ENOMEM;
	c->n = traffic__endpoints(c->traffic);
	c->names = calloc(c->n, sizeof(*c->names));
	c->slow_bucket = calloc(c->n, sizeof(*c->slow_bucket));
	if (!c->names || !c->slow_bucket)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++) {
		struct judge_endpoint ep = { .critical = i < 2, .fail_fast = i < s->fail_fast, .unit = UNIT_EXCHANGE };
		int err;

		snprintf(c->names[i], sizeof(c->names[i]), "GET /%zu", i);
		ep.name = c->names[i];
		err = judge__add_endpoint(c->judge, &ep);
		if (err < 0)
			return err;
	}
	return 0;
}

static bool fails(const struct verdict *v, const char *guard)
{
	for (size_t i = 0; i < v->n_guards; i++)
		if (!strcmp(v->guards[i].name, guard))
			return !v->guards[i].ok;
	return false;
}

static double processor_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int judge_tick(struct course *c, const struct tick *tick, unsigned int now, struct release *out, bool *decided)
{
	double before = processor_seconds();
	struct verdict v;
	int err = judge__tick(c->judge, tick, c->n);

	if (err)
		return err;
	judge__verdict(c->judge, &v);
	out->judge_seconds += processor_seconds() - before;
	if (!out->found && v.log_e_bad >= -log(release_policy.alpha))
		out->found = now;
	if (!out->rolled_back && v.kind == VERDICT_ROLLBACK)
		out->rolled_back = now;
	if (!out->promoted && v.kind == VERDICT_PROMOTE)
		out->promoted = now;
	if (!out->placebo && fails(&v, "placebo"))
		out->placebo = now;
	if (!*decided && v.kind != VERDICT_HOLD) {
		out->promoted_first = v.kind == VERDICT_PROMOTE;
		*decided = true;
	}
	return 0;
}

int release__run(const struct scenario *s, const struct latencies *l, uint64_t seed, struct release *out)
{
	struct course c;
	struct tick tick;
	bool decided = false;
	int err;

	memset(out, 0, sizeof(*out));
	err = course_begin(&c, s, l, seed);
	for (unsigned int now = 1; !err; now++) {
		for (size_t i = 0; i < c.n; i++)
			c.slow_bucket[i] = judge__slow_bucket(c.judge, i);
		if (!traffic__next(c.traffic, c.slow_bucket, &tick))
			break;
		err = judge_tick(&c, &tick, now, out, &decided);
		peers__tick(c.peers, &tick, c.n);
	}
	if (c.peers)
		memcpy(out->peer, c.peers->rolled_back, sizeof(out->peer));
	course_end(&c);
	return err;
}

/* ---- many ------------------------------------------------------------------------------------------------------- */

struct batch {
	const struct scenario *s;
	struct latencies *latencies;
	struct release *done;
	unsigned int runs;
	atomic_uint next;
	atomic_int err;
};

static void *work(void *arg)
{
	struct batch *b = arg;

	for (;;) {
		unsigned int i = atomic_fetch_add(&b->next, 1);
		int err;

		if (i >= b->runs || atomic_load(&b->err))
			return NULL;
		err = release__run(b->s, b->latencies, i + 1, &b->done[i]);
		if (err)
			atomic_store(&b->err, err);
	}
}

static void work_on_all_processors(struct batch *b)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t workers[WORKERS_MAX];
	int n = 0;

	while (n + 1 < processors && n < WORKERS_MAX && !pthread_create(&workers[n], NULL, work, b))
		n++;
	work(b);
	while (n > 0)
		pthread_join(workers[--n], NULL);
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double seconds(unsigned int tick)
{
	return tick ? tick * TICK_SECONDS : INFINITY;
}

static double median(double *times, unsigned int n)
{
	qsort(times, n, sizeof(*times), ascending);
	return times[n / 2];
}

static void sum_up(const struct batch *b, double *times, struct summary *out)
{
	*out = (struct summary){ .runs = b->runs };
	for (unsigned int i = 0; i < b->runs; i++) {
		const struct release *r = &b->done[i];

		out->found += !!r->found;
		out->rolled_back += !!r->rolled_back;
		out->promoted += !!r->promoted;
		out->placebo += !!r->placebo;
		out->promoted_first += r->promoted_first;
		times[i] = seconds(r->found);
	}
	out->found_median = median(times, b->runs);
	for (unsigned int i = 0; i < b->runs; i++)
		times[i] = seconds(b->done[i].promoted);
	out->promoted_median = median(times, b->runs);
	for (int k = 0; k < PEERS; k++) {
		for (unsigned int i = 0; i < b->runs; i++) {
			out->peer[k] += !!b->done[i].peer[k];
			times[i] = seconds(b->done[i].peer[k]);
		}
		out->peer_median[k] = median(times, b->runs);
	}
}

int releases__run(const struct scenario *s, unsigned int runs, struct summary *out)
{
	struct batch b = { .s = s, .runs = runs };
	double *times = calloc(runs + 1, sizeof(*times));
	int err = -ENOMEM;

	b.latencies = traffic__latencies(s);
	b.done = calloc(runs + 1, sizeof(*b.done));
	if (runs && times && b.latencies && b.done) {
		work_on_all_processors(&b);
		err = atomic_load(&b.err);
		if (!err)
			sum_up(&b, times, out);
	}
	traffic__latencies_free(b.latencies);
	free(b.done);
	free(times);
	return err;
}
