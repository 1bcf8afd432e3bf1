/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the calibration bench is made of. Oracles: the reference implementation's output of the generator, exact
 * probabilities of the distributions, R's order statistics and prop.test, and the rates that a scenario asks for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "judge/stats/normal.h"
#include "peers.h"
#include "random.h"
#include "traffic.h"

static void the_generator_is_xoshiro256_starstar(void **state)
{
	static const uint64_t want[] = { 11520u,
		                         0u,
		                         1509978240u,
		                         1215971899390074240u,
		                         1216172134540287360u,
		                         607988272756665600u,
		                         16172922978634559625u,
		                         8476171486693032832u,
		                         10595114339597558777u,
		                         2904607092377533576u };
	struct random r = { { 1, 2, 3, 4 } };

	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		assert_true(random__word(&r) == want[i]);
}

/* ---- samplers against their probabilities ------------------------------------------------------------------------ */

enum law { POISSON, BINOMIAL, GEOMETRIC };

struct sampled {
	enum law law;
	double n, p; /* mean in p, where there is no n */
};

static double log_p(const struct sampled *s, double k)
{
	switch (s->law) {
	case POISSON:
		return k * log(s->p) - s->p - lgamma(k + 1);
	case BINOMIAL:
		return lgamma(s->n + 1) - lgamma(k + 1) - lgamma(s->n - k + 1) + k * log(s->p) +
		       (s->n - k) * log1p(-s->p);
	case GEOMETRIC:
		return k < 1 ? -1e9 : (k - 1) * log1p(-1 / s->p) - log(s->p);
	}
	return 0;
}

static uint64_t draw(const struct sampled *s, struct random *r)
{
	switch (s->law) {
	case POISSON:
		return random__poisson(r, s->p);
	case BINOMIAL:
		return random__binomial(r, (uint64_t)s->n, s->p);
	case GEOMETRIC:
		return random__geometric(r, s->p);
	}
	return 0;
}

#define VALUES 1024
#define DRAWS  200000

/* Pearson's chi-square over the values that are expected ten times or more; the others are one cell. */
static double chi_square_p(const struct sampled *s, struct random *r)
{
	static double seen[VALUES];
	double rest = DRAWS, rest_seen = DRAWS, chi = 0;
	unsigned int cells = 0;

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < DRAWS; i++) {
		uint64_t k = draw(s, r);

		seen[k < VALUES ? k : VALUES - 1]++;
	}
	for (int k = 0; k < VALUES - 1; k++) {
		double want = s->law == BINOMIAL && k > s->n ? 0 : DRAWS * exp(log_p(s, k));

		if (want < 10)
			continue;
		chi += (seen[k] - want) * (seen[k] - want) / want;
		rest -= want;
		rest_seen -= seen[k];
		cells++;
	}
	if (rest > 1)
		chi += (rest_seen - rest) * (rest_seen - rest) / rest;
	return chi_square_above(chi, cells);
}

static void samples_follow_their_distributions(void **state)
{
	static const struct sampled laws[] = {
		{ POISSON, 0, 0.02 },    { POISSON, 0, 3 },        { POISSON, 0, 9.9 },       { POISSON, 0, 10.1 },
		{ POISSON, 0, 250 },     { BINOMIAL, 1, 0.3 },     { BINOMIAL, 50, 0.05 },    { BINOMIAL, 50, 0.9 },
		{ BINOMIAL, 400, 0.03 }, { BINOMIAL, 1000, 0.25 }, { BINOMIAL, 1000, 0.5 },   { BINOMIAL, 20000, 0.01 },
		{ GEOMETRIC, 0, 1.5 },   { GEOMETRIC, 0, 5 },      { BINOMIAL, 900, 0.0001 }, { GEOMETRIC, 0, 20 },
	};
	struct random r;

	random__seed(&r, 20261121);
	for (size_t i = 0; i < sizeof(laws) / sizeof(*laws); i++) {
		double p = chi_square_p(&laws[i], &r);

		if (p < 1e-4)
			fail_msg("law %d, n %g, p %g: chance of this %g", laws[i].law, laws[i].n, laws[i].p, p);
	}
}

static void samplers_keep_to_their_range_at_its_ends(void **state)
{
	struct random r;

	random__seed(&r, 1);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(random__binomial(&r, 40, 0), 0);
		assert_int_equal(random__binomial(&r, 40, 1), 40);
		assert_int_equal(random__binomial(&r, 0, 0.5), 0);
		assert_int_equal(random__poisson(&r, 0), 0);
		assert_int_equal(random__geometric(&r, 1), 1);
		assert_true(random__binomial(&r, 30, 0.5) <= 30);
		assert_true(random__below(&r, 7) < 7);
	}
}

/* ---- traffic ----------------------------------------------------------------------------------------------------- */

struct counted {
	double n[2], bad[2], beyond[2], slow[2];
	double bad_squares, ticks; /* of the baseline */
};

static void count(struct counted *c, const struct scenario *s)
{
	struct latencies *l = traffic__latencies(s);
	struct traffic *t = traffic__new(s, l, 7);
	/* The p95 of the scenario's latencies: 50 ms, sigma 0.8. */
	const int p95 = (int)histogram_bucket(186440000);
	struct tick tick;

	memset(c, 0, sizeof(*c));
	while (traffic__next(t, &p95, &tick)) {
		const struct arm_tick *arms[2] = { &tick.endpoints->baseline, &tick.endpoints->canary };

		for (int i = 0; i < 2; i++) {
			c->n[i] += (double)arms[i]->n;
			c->bad[i] += (double)arms[i]->bad;
			c->beyond[i] += (double)histogram_above(arms[i]->latency, (unsigned int)p95);
			assert_int_equal(arms[i]->latency->count, arms[i]->n);
			for (int g = 0; g < TW_GROUPS; g++) {
				c->slow[i] += (double)arms[i]->groups->slow[g];
				assert_true(arms[i]->groups->bad[g] <= arms[i]->groups->n[g]);
			}
		}
		c->bad_squares += (double)arms[0]->bad * (double)arms[0]->bad;
		c->ticks++;
	}
	traffic__free(t);
	traffic__latencies_free(l);
}

static void assert_near(double got, double want, double within)
{
	if (!(fabs(got - want) <= within))
		fail_msg("got %g, want %g", got, want);
}

static void traffic_has_the_rates_that_were_asked_for(void **state)
{
	static const struct scenario scenarios[] = {
		{ .rate = 1000, .share = { 0.2 }, .errors = 0.02, .error_ratio = 2, .gap = 0.1, .ticks = 2000 },
		{ .rate = 1000,
		  .share = { 0.2 },
		  .errors = 0.02,
		  .error_ratio = 2,
		  .burst = 5,
		  .gap = 0.1,
		  .ticks = 2000 },
		{ .rate = 1000,
		  .share = { 0.2 },
		  .errors = 0.02,
		  .error_ratio = 2,
		  .burst = 5,
		  .kept_c = 4,
		  .kept_b = 8,
		  .ticks = 2000 },
	};

	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		struct counted c;

		count(&c, &scenarios[i]);
		assert_near(c.n[0] / 8e6, 1, 0.005);
		assert_near(c.n[1] / 2e6, 1, 0.005);
		assert_near(c.bad[0] / c.n[0], 0.02, 0.0005);
		assert_near(c.bad[1] / c.n[1], 0.04, 0.002);
		/* The p95 lies inside its bucket: 4.4 % wide, 0.054 sigma, 0.6 % of the exchanges. */
		assert_near(c.beyond[0] / c.n[0], 0.05, 0.006);
		assert_near(c.slow[0] / c.beyond[0], 1, 0.01);
		assert_near(c.slow[1] / c.beyond[1], 1, 0.02);
	}
}

/* A geometric burst of mean 5 has E[x^2]/E[x] = 9. */
static void bursts_have_the_variance_of_their_sizes(void **state)
{
	struct scenario s = { .rate = 1000, .share = { 0.2 }, .errors = 0.01, .ticks = 4000 };
	struct counted c;
	double mean;

	count(&c, &s);
	mean = c.bad[0] / c.ticks;
	assert_near((c.bad_squares / c.ticks - mean * mean) / mean, 1, 0.1);
	s.burst = 5;
	count(&c, &s);
	mean = c.bad[0] / c.ticks;
	assert_near((c.bad_squares / c.ticks - mean * mean) / mean, 9, 0.9);
}

static void the_share_climbs_in_stages_and_a_slower_canary_is_slower(void **state)
{
	struct scenario s = { .rate = 1000, .share = { 0.05, 0.25, 0.5, 1 }, .slower = 1.1, .ticks = 400 };
	struct counted c;

	count(&c, &s);
	assert_near(c.n[1] / (c.n[0] + c.n[1]), (0.05 + 0.25 + 0.5 + 1) / 4, 0.002);
	/* 10 % slower at sigma 0.8 is 1.27 times as many beyond the p95. */
	assert_near((c.beyond[1] / c.n[1]) / (c.beyond[0] / c.n[0]), 1.27, 0.03);
}

static void every_cell_of_the_bench_is_a_scenario_that_can_be_run(void **state)
{
	struct cells_iter it = { 0 };
	struct cell c;
	int n = 0;

	while (cells__next(&it, &c)) {
		assert_true(c.s.rate > 0 && c.s.share[0] > 0 && c.s.ticks == 360);
		assert_true(*c.line && *c.name);
		n++;
	}
	assert_int_equal(n, 3 * 4 * 4 * 4 + 3 * 2 * 4 + 2 * 2 * 2 + 3 * 4 * 4 + 3 * 3 * 4);
}

/* ---- peers ------------------------------------------------------------------------------------------------------- */

/* R: d <- sort(outer(x, y, "-")); median(d); d[qwilcox(.025, 9, 9)], Hollander & Wolfe's depression scores. */
static void the_shift_and_its_interval_are_rs(void **state)
{
	static const double x[] = { 1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30 };
	static const double y[] = { 0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29 };
	double shift, low;

	assert_int_equal(peers__shift(y, x, 9, normal_quantile(0.975), &shift, &low), 0);
	assert_near(shift, 0.56, 1e-12);
	assert_near(low, -0.37, 1e-12);
}

static void feed(struct peers *p, int ticks, uint64_t n_b, uint64_t bad_b, uint64_t n_c, uint64_t bad_c, double ms_c)
{
	for (int i = 0; i < ticks; i++) {
		struct histogram b = { 0 }, c = { 0 };
		struct endpoint_tick ep = { .baseline = { .n = n_b, .bad = bad_b, .latency = &b },
			                    .canary = { .n = n_c, .bad = bad_c, .latency = &c } };

		b.count = b.b[histogram_bucket(20000000 + 1000000 * (unsigned int)(i % 5))] = n_b;
		c.count = c.b[histogram_bucket((uint64_t)((20 + i % 5) * ms_c * 1e6))] = n_c;
		peers__tick(p, &(struct tick){ .start = 5.0 * i, .end = 5.0 * i + 5, .endpoints = &ep }, 1);
	}
}

/* R: sqrt(prop.test(c(12, 95), c(500, 9500), correct=FALSE)$statistic) is 2.97; with 9 instead of 12 it is 1.72. */
static void the_z_test_rejects_where_it_should(void **state)
{
	struct peers *p = calloc(1, sizeof(*p));

	feed(p, 1, 9500, 95, 500, 9, 1);
	assert_int_equal(p->rolled_back[PEER_Z], 0);
	feed(p, 1, 0, 0, 0, 3, 1);
	assert_int_equal(p->rolled_back[PEER_Z], 2);
	free(p);
}

static void the_threshold_rolls_back_at_the_fifth_failed_check(void **state)
{
	struct peers *p = calloc(1, sizeof(*p));

	feed(p, 29, 950, 0, 50, 1, 1);
	assert_int_equal(p->rolled_back[PEER_THRESHOLD], 0);
	feed(p, 1, 950, 0, 50, 1, 1);
	assert_int_equal(p->rolled_back[PEER_THRESHOLD], 30);
	free(p);
	p = calloc(1, sizeof(*p));
	feed(p, 360, 950, 20, 200, 2, 1); /* 99 % is good enough */
	assert_int_equal(p->rolled_back[PEER_THRESHOLD], 0);
	free(p);
}

static void mann_whitney_waits_for_ten_points_and_sees_what_is_plain(void **state)
{
	struct peers *p = calloc(1, sizeof(*p));

	feed(p, 59, 950, 0, 50, 0, 2);
	assert_int_equal(p->rolled_back[PEER_MANN_WHITNEY], 0);
	feed(p, 1, 950, 0, 50, 0, 2);
	assert_int_equal(p->rolled_back[PEER_MANN_WHITNEY], 60);
	free(p);
	p = calloc(1, sizeof(*p));
	feed(p, 360, 950, 9, 50, 0, 1);
	assert_int_equal(p->rolled_back[PEER_MANN_WHITNEY], 0);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_generator_is_xoshiro256_starstar),
		cmocka_unit_test(samples_follow_their_distributions),
		cmocka_unit_test(samplers_keep_to_their_range_at_its_ends),
		cmocka_unit_test(traffic_has_the_rates_that_were_asked_for),
		cmocka_unit_test(bursts_have_the_variance_of_their_sizes),
		cmocka_unit_test(the_share_climbs_in_stages_and_a_slower_canary_is_slower),
		cmocka_unit_test(every_cell_of_the_bench_is_a_scenario_that_can_be_run),
		cmocka_unit_test(the_shift_and_its_interval_are_rs),
		cmocka_unit_test(the_z_test_rejects_where_it_should),
		cmocka_unit_test(the_threshold_rolls_back_at_the_fifth_failed_check),
		cmocka_unit_test(mann_whitney_waits_for_ten_points_and_sees_what_is_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
