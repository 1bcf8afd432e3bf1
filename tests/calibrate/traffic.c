/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "traffic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "latency.h"
#include "random.h"

#define AHEAD      8 /* ticks that a burst may still reach into; what would lie beyond falls into the last */
#define SLOW_PART  0.05
#define MEDIAN_SEC 0.05

enum { BAD, SLOW, KINDS };

/* One kept-alive connection. */
struct kept {
	unsigned int group;
	uint64_t left[KINDS]; /* of the burst that it is in */
};

struct stream {
	bool canary;
	double weight;                            /* of its endpoint's traffic in all */
	uint32_t coming[KINDS][AHEAD][TW_GROUPS]; /* a ring of ticks */
	struct kept *kept;
	unsigned int n_kept;
	struct connection_groups groups;
	struct histogram latency;
};

struct traffic {
	const struct scenario *s;
	struct random r;
	const struct latencies *latencies;
	struct stream *streams; /* baseline and canary of each endpoint in turn */
	struct endpoint_tick *ticks;
	size_t n;
	unsigned int now;
	double phase;
};

static double or_one(double x)
{
	return x > 0 ? x : 1;
}

static void keep_alive(struct traffic *t, struct stream *st)
{
	st->n_kept = st->canary ? t->s->kept_c : t->s->kept_b;
	st->kept = calloc(st->n_kept + 1, sizeof(*st->kept));
	for (unsigned int i = 0; st->kept && i < st->n_kept; i++)
		st->kept[i].group = random__below(&t->r, TW_GROUPS);
}

struct latencies *traffic__latencies(const struct scenario *s)
{
	return latencies__new(MEDIAN_SEC, s->steady > 0 ? s->steady : 0.8, SLOW_PART);
}

void traffic__latencies_free(struct latencies *l)
{
	latencies__free(l);
}

struct traffic *traffic__new(const struct scenario *s, const struct latencies *l, uint64_t seed)
{
	struct traffic *t = calloc(1, sizeof(*t));
	double all = 0;

	if (!t)
		return NULL;
	t->s = s;
	t->n = s->endpoints ? s->endpoints : 1;
	random__seed(&t->r, seed);
	t->phase = random__uniform(&t->r) * 2 * M_PI;
	t->latencies = l;
	t->streams = calloc(2 * t->n, sizeof(*t->streams));
	t->ticks = calloc(t->n, sizeof(*t->ticks));
	if (!t->streams || !t->ticks) {
		traffic__free(t);
		return NULL;
	}
	for (size_t i = 0; i < t->n; i++)
		all += 1.0 / (double)(i + 1);
	for (size_t i = 0; i < 2 * t->n; i++) {
		t->streams[i].canary = i & 1;
		t->streams[i].weight = 1.0 / (double)(i / 2 + 1) / all;
		keep_alive(t, &t->streams[i]);
	}
	return t;
}

void traffic__free(struct traffic *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->streams && i < 2 * t->n; i++)
		free(t->streams[i].kept);
	free(t->streams);
	free(t->ticks);
	free(t);
}

size_t traffic__endpoints(const struct traffic *t)
{
	return t->n;
}

/* A swing between 1/sqrt(drift) and sqrt(drift). */
static double swing(const struct traffic *t)
{
	return pow(or_one(t->s->drift), 0.5 * sin(2 * M_PI * t->now / t->s->ticks + t->phase));
}

static double share(const struct traffic *t)
{
	unsigned int stages = 0;

	while (stages < STAGES_MAX && t->s->share[stages] > 0)
		stages++;
	return t->s->share[t->now * stages / t->s->ticks];
}

/* One burst on short connections, from its start on. */
static void burst(struct traffic *t, struct stream *st, int kind)
{
	uint64_t size = random__geometric(&t->r, or_one(t->s->burst));
	double start = random__uniform(&t->r) * TICK_SECONDS;
	unsigned int group = random__below(&t->r, TW_GROUPS);

	for (uint64_t i = 0; i < size; i++) {
		double ahead = fmin((start + (double)i * t->s->gap) / TICK_SECONDS, AHEAD - 1);

		if (t->s->across)
			group = random__below(&t->r, TW_GROUPS);
		st->coming[kind][(t->now + (unsigned int)ahead) % AHEAD][group]++;
	}
}

/* Exchanges of this tick by group; mean[kind]: how many of them are to be bad, slow. */
static void on_short(struct traffic *t, struct stream *st, double n, const double mean[KINDS], uint64_t *slow)
{
	double ordinary = fmax(0, n - mean[BAD] - mean[SLOW]);

	for (int kind = 0; kind < KINDS; kind++) {
		uint64_t bursts = random__poisson(&t->r, mean[kind] / or_one(t->s->burst));

		for (uint64_t i = 0; i < bursts; i++)
			burst(t, st, kind);
	}
	for (int g = 0; g < TW_GROUPS; g++) {
		uint32_t *bad = &st->coming[BAD][t->now % AHEAD][g], *late = &st->coming[SLOW][t->now % AHEAD][g];

		st->groups.n[g] = random__poisson(&t->r, ordinary / TW_GROUPS) + *bad + *late;
		st->groups.bad[g] = *bad;
		slow[g] = *late;
		*bad = *late = 0;
	}
}

/* How many of the connection's next n exchanges lie in bursts of this kind, a share p of all in the long run. */
static uint64_t run_through(struct traffic *t, uint64_t *left, uint64_t n, double p)
{
	double size = or_one(t->s->burst), begin = p / (size * (1 - p));
	uint64_t hit = 0;

	while (n > 0) {
		uint64_t part = *left < n ? *left : n, skip;

		hit += part;
		*left -= part;
		n -= part;
		if (!n || p <= 0)
			break;
		skip = begin < 1 ? random__geometric(&t->r, 1 / begin) - 1 : 0;
		if (skip >= n)
			break;
		n -= skip;
		*left = random__geometric(&t->r, size);
	}
	return hit;
}

static void on_kept(struct traffic *t, struct stream *st, double n, const double mean[KINDS], uint64_t *slow)
{
	for (unsigned int i = 0; i < st->n_kept; i++) {
		struct kept *k = &st->kept[i];
		uint64_t mine = random__poisson(&t->r, n / st->n_kept);

		st->groups.n[k->group] += mine;
		st->groups.bad[k->group] += run_through(t, &k->left[BAD], mine, n > 0 ? mean[BAD] / n : 0);
		slow[k->group] += run_through(t, &k->left[SLOW], mine, n > 0 ? mean[SLOW] / n : 0);
	}
}

/* Latencies of the tick; the groups' slow ones are those beyond the bucket, in the groups that their bursts hit. */
static void take_time(struct traffic *t, struct stream *st, uint64_t n, const uint64_t *slow, double scale, int beyond)
{
	uint64_t late = 0, above[2];

	for (int g = 0; g < TW_GROUPS; g++)
		late += slow[g];
	memset(&st->latency, 0, sizeof(st->latency));
	above[0] = latencies__draw(t->latencies, &t->r, &st->latency, n - late, scale, LATENCY_BODY, beyond);
	above[1] = latencies__draw(t->latencies, &t->r, &st->latency, late, scale, LATENCY_TAIL, beyond);
	st->groups.has_slow = beyond >= 0;
	for (int g = 0; g < TW_GROUPS; g++) {
		double body = n > late ? (double)above[0] / (double)(n - late) : 0;
		double tail = late ? (double)above[1] / (double)late : 0;

		st->groups.slow[g] = random__binomial(&t->r, st->groups.n[g] - slow[g], body) +
		                     random__binomial(&t->r, slow[g], tail);
	}
}

static void serve(struct traffic *t, struct stream *st, struct arm_tick *a, int beyond)
{
	const struct scenario *s = t->s;
	double part = st->canary ? share(t) : 1 - share(t), now = swing(t);
	double n = s->rate * now * part * st->weight * TICK_SECONDS;
	double bad = s->errors * now * (st->canary ? or_one(s->error_ratio) : 1);
	const double mean[KINDS] = { n * fmin(1, bad), n * SLOW_PART };
	uint64_t slow[TW_GROUPS] = { 0 };

	memset(&st->groups, 0, sizeof(st->groups));
	if (st->n_kept)
		on_kept(t, st, n, mean, slow);
	else
		on_short(t, st, n, mean, slow);
	*a = (struct arm_tick){ .groups = &st->groups, .latency = &st->latency };
	for (int g = 0; g < TW_GROUPS; g++) {
		a->n += st->groups.n[g];
		a->bad += st->groups.bad[g];
	}
	take_time(t, st, a->n, slow, now * (st->canary ? or_one(s->slower) : 1), beyond);
}

bool traffic__next(struct traffic *t, const int *slow_bucket, struct tick *tick)
{
	if (t->now == t->s->ticks)
		return false;
	*tick = (struct tick){ .start = TICK_SECONDS * t->now,
		               .end = TICK_SECONDS * (t->now + 1),
		               .ledger_balanced = true,
		               .endpoints = t->ticks };
	for (size_t i = 0; i < t->n; i++) {
		serve(t, &t->streams[2 * i], &t->ticks[i].baseline, slow_bucket[i]);
		serve(t, &t->streams[2 * i + 1], &t->ticks[i].canary, slow_bucket[i]);
		tick->seen += t->ticks[i].baseline.n + t->ticks[i].canary.n;
	}
	t->now++;
	return true;
}
