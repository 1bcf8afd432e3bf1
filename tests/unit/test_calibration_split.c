/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sample ratio on simulated routers: how often it cries wolf, and how soon it sees a split that is not what was
 * planned. A client opens some connections, each carries some requests at a pace; what a router deals out is the client
 * with all it does. Behind a proxy's pool the connections are a few kept ones, and what comes on them was dealt
 * client by client all the same. Seeded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "judge/guards/split.h"
#include "random.h"

#define TICK      5.0
#define HALF_HOUR 360
#define TOLERANCE 0.1
#define OPEN_MAX  20000

#ifdef __SANITIZE_ADDRESS__
#define RUNS 25
#else
#define RUNS 50
#endif

struct router {
	const char *name;
	double rate;          /* requests a second */
	double planned, real; /* the canary's share */
	double requests;      /* of a connection, mean of a geometric number */
	double pace;          /* seconds between them */
	double connections;   /* of a client, mean of a geometric number */
	unsigned int pool;    /* kept connections of a proxy, to each version; 0: clients connect directly */
	unsigned int ramp;    /* ticks in which the canary's share rises from planned to real; 0: it is real at once */
};

struct open_connection {
	bool canary;
	unsigned int group;
	uint64_t left;
	double next; /* s, in the tick that comes */
};

struct simulation {
	const struct router *r;
	struct random dice;
	struct open_connection open[OPEN_MAX];
	size_t n;
	unsigned int now;
	struct connection_groups groups[2];
	uint64_t opened[2];
};

static double share_now(const struct simulation *s)
{
	const struct router *r = s->r;

	if (s->now >= r->ramp)
		return r->real;
	return r->planned + (r->real - r->planned) * s->now / r->ramp;
}

static uint64_t arrivals(struct simulation *s)
{
	return random__poisson(&s->dice, s->r->rate * TICK / (s->r->requests * s->r->connections));
}

static void client_comes(struct simulation *s)
{
	bool canary = random__uniform(&s->dice) < share_now(s);
	uint64_t n = random__geometric(&s->dice, s->r->connections);
	double at = random__uniform(&s->dice) * TICK;

	for (uint64_t i = 0; i < n && s->n < OPEN_MAX; i++) {
		struct open_connection *c = &s->open[s->n++];
		unsigned int which = random__below(&s->dice, s->r->pool ? s->r->pool : TW_GROUPS);

		*c = (struct open_connection){ .canary = canary,
			                       .left = random__geometric(&s->dice, s->r->requests),
			                       .next = at };
		/* The canary's pool hashes into other groups. */
		c->group = s->r->pool && canary ? TW_GROUPS - 1 - which : which;
		s->opened[canary] += !s->r->pool;
	}
}

static void serve(struct simulation *s)
{
	for (size_t i = 0; i < s->n;) {
		struct open_connection *c = &s->open[i];

		while (c->left && c->next < TICK) {
			s->groups[c->canary].n[c->group % TW_GROUPS]++;
			c->left--;
			c->next += s->r->pace;
		}
		c->next -= TICK;
		if (c->left)
			i++;
		else
			*c = s->open[--s->n];
	}
}

/* Into a steady state before anybody looks: what is open then is seen with its next request. */
static void warm_up(struct simulation *s)
{
	double ticks = 4 * s->r->requests * s->r->pace / TICK;

	for (double i = 0; i < ticks; i++) {
		uint64_t clients = arrivals(s);

		while (clients--)
			client_comes(s);
		serve(s);
	}
	memset(s->opened, 0, sizeof(s->opened));
	for (size_t i = 0; i < s->n && !s->r->pool; i++)
		s->opened[s->open[i].canary]++;
}

static void simulate_tick(struct simulation *s, struct split *split)
{
	struct endpoint_tick ep = { 0 };
	struct tick t = { .endpoints = &ep, .planned_share = s->r->planned };
	uint64_t clients = arrivals(s);
	const bool named = true;

	memset(s->groups, 0, sizeof(s->groups));
	if (s->r->pool && !s->now)
		s->opened[0] = s->opened[1] = s->r->pool;
	for (uint64_t i = 0; i < clients; i++)
		client_comes(s);
	serve(s);
	for (int i = 0; i < TW_GROUPS; i++) {
		ep.baseline.n += s->groups[0].n[i];
		ep.canary.n += s->groups[1].n[i];
	}
	ep.baseline.groups = &s->groups[0];
	ep.canary.groups = &s->groups[1];
	t.baseline.opened = s->opened[0];
	t.canary.opened = s->opened[1];
	split__tick(split, &t, 1, &named);
	memset(s->opened, 0, sizeof(s->opened));
	s->now++;
}

/* The tick of the first mismatch, counted from 1; 0: none in half an hour. */
static unsigned int first_mismatch(struct simulation *s, const struct router *r, uint64_t seed)
{
	struct split split;

	memset(s, 0, sizeof(*s));
	memset(&split, 0, sizeof(split));
	s->r = r;
	random__seed(&s->dice, seed);
	warm_up(s);
	while (s->now < HALF_HOUR) {
		simulate_tick(s, &split);
		if (split__look(&split, TOLERANCE).mismatch)
			return s->now;
	}
	return 0;
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* How many of the runs saw a mismatch; *median: seconds until then, of all runs. */
static unsigned int mismatches(const struct router *r, unsigned int runs, double *median)
{
	struct simulation *s = calloc(1, sizeof(*s));
	double *times = calloc(runs, sizeof(*times));
	unsigned int n = 0;

	assert_non_null(s);
	assert_non_null(times);
	for (unsigned int i = 0; i < runs; i++) {
		unsigned int at = first_mismatch(s, r, i + 1);

		n += at > 0;
		times[i] = at ? at * TICK : 1e9;
	}
	qsort(times, runs, sizeof(*times), ascending);
	*median = times[runs / 2];
	free(times);
	free(s);
	print_message("%-48s %4u of %u, median %g s\n", r->name, n, runs, *median);
	return n;
}

#define CLEAN(r) .rate = r, .planned = 0.05, .real = 0.05

static const struct router clean[] = {
	{ "one request a connection", CLEAN(200), 1, 0, 1, 0, 0 },
	{ "one request a connection, 10 a second", CLEAN(10), 1, 0, 1, 0, 0 },
	{ "clients with six connections of three", CLEAN(200), 3, 0.5, 6, 0, 0 },
	{ "kept connections of twenty, 0.2 s apart", CLEAN(200), 20, 0.2, 1, 0, 0 },
	{ "kept connections of a hundred, 1 s apart", CLEAN(200), 100, 1, 1, 0, 0 },
	{ "kept connections of a thousand, 1 s apart", CLEAN(200), 1000, 1, 1, 0, 0 },
	{ "kept connections of twenty, 10 a second", CLEAN(10), 20, 0.5, 1, 0, 0 },
	{ "six kept connections of fifty a client", CLEAN(200), 50, 1, 6, 0, 0 },
	{ "a pool, requests dealt one by one", CLEAN(200), 1, 0, 1, 6, 0 },
	{ "a pool, clients in bursts of twenty", CLEAN(200), 20, 0.1, 1, 6, 0 },
	{ "a pool, clients in bursts of twenty, 10 a second", CLEAN(10), 20, 0.1, 1, 6, 0 },
	{ "a pool, clients of twenty, 1 s apart", CLEAN(200), 20, 1, 1, 6, 0 },
	{ "half, kept connections of twenty", .rate = 200, .planned = 0.5, .real = 0.5, 20, 0.2, 1, 0, 0 },
};

static void a_router_that_deals_as_planned_is_hardly_ever_blamed(void **state)
{
	unsigned int runs = 0, blamed = 0;

	for (size_t i = 0; i < sizeof(clean) / sizeof(*clean); i++) {
		double median;
		unsigned int n = mismatches(&clean[i], RUNS, &median);

		assert_true(n * 50 <= RUNS);
		blamed += n;
		runs += RUNS;
	}
	assert_true(blamed * 100 <= runs);
}

struct skewed_router {
	struct router r;
	double seconds; /* half of the runs see it within */
};

static const struct skewed_router skewed[] = {
	{ { "7 % for 5 %, one request a connection", 200, 0.05, 0.07, 1, 0, 1, 0, 0 }, 300 },
	{ { "7 % for 5 %, a pool", 200, 0.05, 0.07, 1, 0, 1, 6, 0 }, 300 },
	{ { "7 % for 5 %, a pool, clients of five", 200, 0.05, 0.07, 5, 0.1, 1, 6, 0 }, 600 },
	{ { "7 % for 5 %, kept connections of ten", 200, 0.05, 0.07, 10, 0.1, 1, 0, 0 }, 900 },
	{ { "all for 10 %", 200, 0.1, 0.999, 1, 0, 1, 0, 0 }, 60 },
	{ { "all for 10 %, kept connections", 200, 0.1, 0.999, 20, 0.2, 1, 0, 0 }, 60 },
	{ { "all for 10 %, a pool, 10 a second", 10, 0.1, 0.999, 1, 0, 1, 6, 0 }, 150 },
	/* As sticky sessions do it: whoever has met the canary once stays with it. */
	{ { "all for 10 % in five minutes, kept", 200, 0.1, 0.999, 20, 0.2, 1, 0, 60 }, 600 },
	{ { "all for 10 % in five minutes, a pool", 200, 0.1, 0.999, 100, 1, 1, 6, 60 }, 900 },
};

static void a_split_that_is_not_what_was_planned_is_seen_within_minutes(void **state)
{
	for (size_t i = 0; i < sizeof(skewed) / sizeof(*skewed); i++) {
		double median;

		mismatches(&skewed[i].r, RUNS, &median);
		assert_true(median <= skewed[i].seconds);
	}
}

/* Far from the plan by the counts, but within what is tolerated: a release is not held back for a percent. */
static void a_deviation_within_the_tolerance_is_no_mismatch_however_sure(void **state)
{
	const struct router r = { "5.3 % for 5 %", 5000, 0.05, 0.053, 1, 0, 1, 0, 0 };
	struct split split = { 0 };
	struct simulation *s = calloc(1, sizeof(*s));
	struct split_finding f;

	assert_non_null(s);
	s->r = &r;
	random__seed(&s->dice, 1);
	while (s->now < HALF_HOUR / 2)
		simulate_tick(s, &split);
	f = split__look(&split, TOLERANCE);
	assert_true(f.log_e > 10);
	assert_false(f.mismatch);
	assert_true(split__look(&split, 0.02).mismatch);
	free(s);
}

/* A tick by hand: both arms' requests, each on a connection of its own. */
static void hand_tick(struct split *split, double planned, uint64_t canary, uint64_t baseline)
{
	struct endpoint_tick ep = { .canary = { .n = canary }, .baseline = { .n = baseline } };
	struct tick t = { .endpoints = &ep, .planned_share = planned };
	const bool named = false;

	t.canary.opened = canary;
	t.baseline.opened = baseline;
	split__tick(split, &t, 1, &named);
}

static void a_new_stage_is_held_against_its_own_traffic(void **state)
{
	struct split split = { 0 };

	for (int i = 0; i < 40; i++)
		hand_tick(&split, 0.05, 250, 750);
	assert_true(split__look(&split, TOLERANCE).mismatch);
	/* In this tick the router was set to the new stage, or had been, or was about to. */
	hand_tick(&split, 0.25, 100, 900);
	assert_false(split__look(&split, TOLERANCE).checked);
	for (int i = 0; i < 120; i++)
		hand_tick(&split, 0.25, 250, 750);
	assert_true(split__look(&split, TOLERANCE).checked);
	assert_false(split__look(&split, TOLERANCE).mismatch);
	assert_true(split__look(&split, TOLERANCE).deviation < 1e-9);
}

/* Of the baseline one worker of four is read, of the canary its only one. */
static void what_is_left_out_for_the_budget_counts_where_it_was_dealt(void **state)
{
	struct endpoint_tick ep = { .canary = { .n = 50 }, .baseline = { .n = 237 } };
	struct tick t = { .endpoints = &ep,
		          .planned_share = 0.05,
		          .canary = { .seen = 50, .opened = 50 },
		          .baseline = { .seen = 237, .opened = 237, .withheld = 713 } };
	struct split split = { 0 }, without = { 0 };
	const bool named = false;

	for (int i = 0; i < 120; i++) {
		t.baseline.withheld = 713;
		split__tick(&split, &t, 1, &named);
		t.baseline.withheld = 0;
		split__tick(&without, &t, 1, &named);
	}
	assert_false(split__look(&split, TOLERANCE).mismatch);
	assert_true(split__look(&split, TOLERANCE).deviation < 1e-9);
	assert_true(split__look(&without, TOLERANCE).mismatch);
}

static void at_a_planned_share_of_everything_the_baseline_must_get_nothing(void **state)
{
	struct split split = { 0 };

	for (int i = 0; i < 20; i++)
		hand_tick(&split, 1, 1000, 50);
	assert_false(split__look(&split, TOLERANCE).mismatch);
	for (int i = 0; i < 20; i++)
		hand_tick(&split, 1, 500, 500);
	assert_true(split__look(&split, TOLERANCE).mismatch);
}

/* Probes come to both alike, whatever the split is: they are not what the stage is about. */
static void where_the_config_names_endpoints_only_those_are_dealt(void **state)
{
	struct endpoint_tick ep[2] = { { .canary = { .n = 50 }, .baseline = { .n = 950 } },
		                       { .canary = { .n = 500 }, .baseline = { .n = 500 } } };
	struct tick t = { .endpoints = ep, .planned_share = 0.05 };
	const bool named[2] = { true, false }, none[2] = { false, false };
	struct split with = { 0 }, without = { 0 };

	for (int i = 0; i < 80; i++) {
		split__tick(&with, &t, 2, named);
		split__tick(&without, &t, 2, none);
	}
	assert_false(split__look(&with, TOLERANCE).mismatch);
	assert_true(split__look(&without, TOLERANCE).mismatch);
}

static void counts_beyond_all_bounds_leave_every_figure_finite(void **state)
{
	struct split split = { 0 };
	struct split_finding f;

	for (int i = 0; i < 100; i++)
		hand_tick(&split, 0.05, i % 2 ? UINT64_MAX : 0, i % 3 ? UINT64_MAX / 2 : 0);
	f = split__look(&split, TOLERANCE);
	assert_true(isfinite(f.log_e) && isfinite(f.share) && isfinite(f.deviation) && isfinite(f.counted));
	memset(&split, 0, sizeof(split));
	for (int i = 0; i < 100; i++)
		hand_tick(&split, 1e-300, i, 1);
	f = split__look(&split, TOLERANCE);
	assert_false(isnan(f.log_e) || isnan(f.deviation));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_router_that_deals_as_planned_is_hardly_ever_blamed),
		cmocka_unit_test(a_split_that_is_not_what_was_planned_is_seen_within_minutes),
		cmocka_unit_test(a_deviation_within_the_tolerance_is_no_mismatch_however_sure),
		cmocka_unit_test(a_new_stage_is_held_against_its_own_traffic),
		cmocka_unit_test(what_is_left_out_for_the_budget_counts_where_it_was_dealt),
		cmocka_unit_test(at_a_planned_share_of_everything_the_baseline_must_get_nothing),
		cmocka_unit_test(where_the_config_names_endpoints_only_those_are_dealt),
		cmocka_unit_test(counts_beyond_all_bounds_leave_every_figure_finite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
