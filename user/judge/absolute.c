/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/absolute.h"

#include <math.h>
#include <string.h>

#include "judge/stats/logspace.h"

#define LOWEST_OCTAVE (-14)
#define SHARE         0.001    /* of the wealth, dealt anew after each block */
#define ALL           0.999999 /* a share of 1 cannot be bet against: E is smaller for a smaller one, which is safe */

#define CAUTION_TICKS 12.0
#define USUAL_KEEPS   0.9
#define MOST_USUAL    4     /* a lane with more than that many usual ones is bet on as that many */
#define LEFT          0.001 /* what a bet leaves of its stake where more exchanges counted than a lane usually has */

/* Small ones for shares that scatter (bursts, few exchanges), large ones for a version that fails altogether. */
static const double above_bets[ABOVE_BETS + 1] = { 0.01, 0.03, 0.1, 0.3, 0.6, 0.95, 0 };
static const double above_weights[ABOVE_BETS + 1] = { 0.1, 0.15, 0.25, 0.2, 0.15, 0.1, 0.05 };
static const double below_bets[BELOW_BETS] = { 0.1, 0.4, 0.98 };
static const double below_weights[BELOW_BETS] = { 0.15, 0.25, 0.6 };

static void against_init(struct against *g, double p, double scale)
{
	g->p = p;
	g->q = fmin(p * scale, ALL);
	for (int i = 0; i <= ABOVE_BETS; i++)
		g->above[i] = log(above_weights[i]);
	for (int i = 0; i < BELOW_BETS; i++)
		g->below[i] = log(below_weights[i]);
}

void absolute__init(struct absolute *a, double limit, double scale)
{
	memset(a, 0, sizeof(*a));
	against_init(&a->limit, limit, 1);
	against_init(&a->grid[0], 0, 1);
	for (int i = 1; i < ABSOLUTE_GRID; i++)
		against_init(&a->grid[i], exp2(LOWEST_OCTAVE + (double)(i - 1) / ABSOLUTE_STEPS), scale);
}

/* Deals a part of the wealth anew. */
static void redeal(struct against *g)
{
	double all = log_sum_exp(g->above, ABOVE_BETS + 1);

	for (int i = 0; i <= ABOVE_BETS; i++)
		g->above[i] = log_mix(SHARE, all + log(above_weights[i]), g->above[i]);
}

static void bet_above(struct against *g, double x, double discount)
{
	for (int i = 0; i < ABOVE_BETS; i++)
		g->above[i] += log1p(above_bets[i] * (x - g->p) / g->p) / discount;
	g->log_e_above = log_sum_exp(g->above, ABOVE_BETS + 1);
}

static void close_block(struct absolute *a, double discount)
{
	double x = a->block_k / a->block_n;

	bet_above(&a->limit, x, discount);
	redeal(&a->limit);
	/* Nothing is above no share at all: the first point is asked for below only. */
	for (int i = 1; i < ABSOLUTE_GRID; i++)
		bet_above(&a->grid[i], x, discount);
	a->block_n = a->block_k = 0;
}

/* The lanes that are closed by this tick, in units of what one usually holds. */
struct closed {
	unsigned int count;
	double n[TW_GROUPS], k[TW_GROUPS];
};

/* A product first: one logarithm does for all lanes. */
static void bet_below(struct against *g, const struct closed *c, double discount)
{
	for (int i = 0; i < BELOW_BETS; i++) {
		double lambda = below_bets[i] / (1 - g->q), product = 1;

		for (unsigned int k = 0; k < c->count; k++)
			product *= fmax(LEFT, 1 + lambda * (g->q * c->n[k] - c->k[k]));
		g->below[i] += log(product) / discount;
	}
	g->log_e_below = log_sum_exp(g->below, BELOW_BETS);
}

static void close_lanes(struct absolute *a, const struct lanes *l, double discount)
{
	double usual = a->usual_blocks > 0 ? a->usual_n / a->usual_blocks : 0;
	double n = 0, blocks = 0;
	struct closed c = { 0 };

	for (unsigned int i = 0; i < l->count; i++) {
		a->lane_n[i] += l->n[i];
		a->lane_k[i] += l->k[i];
		if (a->lane_n[i] < ABSOLUTE_LANE)
			continue;
		n += a->lane_n[i];
		blocks++;
		if (usual > 0) {
			double unit = fmax(usual, a->lane_n[i] / MOST_USUAL);

			c.n[c.count] = a->lane_n[i] / unit;
			c.k[c.count++] = a->lane_k[i] / unit;
		}
		a->lane_n[i] = a->lane_k[i] = 0;
	}
	if (!(blocks > 0))
		return;
	a->usual_n = a->usual_n * USUAL_KEEPS + n;
	a->usual_blocks = a->usual_blocks * USUAL_KEEPS + blocks;
	bet_below(&a->limit, &c, discount);
	for (int i = 0; i < ABSOLUTE_GRID; i++)
		bet_below(&a->grid[i], &c, discount);
}

/* Until there has been time to learn how they come, evidence counts half. */
struct discount absolute__discount(const struct dispersion *d)
{
	double above = fmax(dispersion__serial(d), 1 + CAUTION_TICKS / (dispersion__ticks(d) + CAUTION_TICKS));
	double across = dispersion__is_known(d) ? dispersion__across(d) : 1;

	return (struct discount){ above, above * across };
}

void absolute__add(struct absolute *a, const struct lanes *l, const struct discount *d)
{
	for (unsigned int i = 0; i < l->count; i++) {
		a->n += l->n[i];
		a->block_n += l->n[i];
	}
	a->k += l->k_above;
	a->block_k += l->k_above;
	if (a->block_n >= ABSOLUTE_LEAST)
		close_block(a, d->above);
	close_lanes(a, l, d->below);
}

double absolute__log_e_above(const struct absolute *a)
{
	return a->limit.log_e_above;
}

double absolute__log_e_below(const struct absolute *a)
{
	return a->limit.log_e_below;
}

void absolute__cap_below(struct absolute *a, double most)
{
	double excess = a->limit.log_e_below - most;

	if (!(excess > 0))
		return;
	for (int i = 0; i < BELOW_BETS; i++)
		a->limit.below[i] -= excess;
	a->limit.log_e_below = most;
}

double absolute__lower(const struct absolute *a, double alpha)
{
	double need = -log(alpha), lower = 0;

	for (int i = 1; i < ABSOLUTE_GRID && a->grid[i].log_e_above >= need; i++)
		lower = a->grid[i].p;
	return a->limit.log_e_above >= need ? fmax(lower, a->limit.p) : lower;
}

double absolute__upper(const struct absolute *a, double alpha)
{
	double need = -log(alpha), upper = 1;

	for (int i = ABSOLUTE_GRID - 1; i > 0 && a->grid[i].log_e_below >= need; i--)
		upper = a->grid[i].q;
	return a->limit.log_e_below >= need ? fmin(upper, a->limit.q) : upper;
}

double absolute__log_e_more(const struct absolute *before, const struct absolute *after)
{
	double least = INFINITY;

	for (int i = 0; i + 1 < ABSOLUTE_GRID; i++)
		least = fmin(least, before->grid[i].log_e_below + after->grid[i + 1].log_e_above);
	return least;
}

double absolute__log_e_within(const struct absolute *before, const struct absolute *after)
{
	double least = INFINITY;

	for (int i = 0; i + 1 < ABSOLUTE_GRID; i++)
		least = fmin(least, before->grid[i + 1].log_e_above + after->grid[i].log_e_below);
	return least;
}
