/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/bet.h"

#include <math.h>
#include <string.h>

#include "judge/stats/logspace.h"

#define MOST       0.98 /* of the wealth, at stake in one block */
#define SIZE_KEEPS 0.9

void bet__init(struct bet *b, double rho0, const struct alternative *a, unsigned int n, double share)
{
	memset(b, 0, sizeof(*b));
	b->n = n;
	b->rho0 = rho0;
	b->share = share;
	for (unsigned int j = 0; j < n; j++) {
		b->rho[j] = a[j].rho;
		b->w[j] = a[j].weight;
		b->l[j] = log(a[j].weight);
	}
}

static double canary_part(double rho, double share)
{
	return rho * share / (1 + (rho - 1) * share);
}

/* causes: at least 1. */
static double stake(double mu, double theta0, double causes)
{
	double lambda = mu / (theta0 * (1 - theta0) / causes + mu * mu * (1 - 1 / causes));

	return mu > 0 ? fmin(lambda, MOST / theta0) : fmax(lambda, -MOST / (1 - theta0));
}

/* Deals a part of the wealth anew. */
static void redeal(struct bet *b)
{
	double all;

	if (b->share <= 0)
		return;
	all = log_sum_exp(b->l, b->n);
	for (unsigned int j = 0; j < b->n; j++) {
		const double both[2] = { b->l[j] + log1p(-b->share), all + log(b->share * b->w[j]) };

		b->l[j] = log_sum_exp(both, 2);
	}
}

static void settle(struct bet *b, struct block *k, const struct pace *pace)
{
	double share = k->share / k->bad, theta0 = k->null / k->bad, z = k->canary / k->bad;
	double causes = fmax(1, k->bad / pace->phi);

	b->size = b->size * SIZE_KEEPS + k->bad;
	b->blocks = b->blocks * SIZE_KEEPS + 1;
	memset(k, 0, sizeof(*k));
	/* A share so extreme that a double rounds it to all or nothing: whose the events are was known beforehand. */
	if (theta0 <= 0 || theta0 >= 1)
		return;
	for (unsigned int j = 0; j < b->n; j++) {
		double lambda = stake(canary_part(b->rho[j], share) - theta0, theta0, causes);

		b->l[j] += log1p(lambda * (z - theta0)) / pace->discount;
	}
	redeal(b);
}

static bool is_closed(const struct block *k, const struct pace *pace)
{
	return k->bad >= pace->least * pace->phi || (k->ticks >= BET_LONGEST && k->bad >= pace->least);
}

void bet__add(struct bet *b, unsigned int lane, const struct pair *p, const struct pace *pace)
{
	struct block *k = lane ? &b->more[lane - 1] : &b->first;
	double share, bad = p->k_c + p->k_b;

	k->ticks++;
	if (p->n_c > 0 && p->n_b > 0 && bad > 0) {
		share = p->n_c / (p->n_c + p->n_b);
		k->bad += bad;
		k->canary += p->k_c;
		k->share += bad * share;
		k->null += bad * canary_part(b->rho0, share);
	}
	if (k->bad > 0 && is_closed(k, pace))
		settle(b, k, pace);
}

void bet__settle(struct bet *b, const struct pace *pace)
{
	if (b->first.bad > 0)
		settle(b, &b->first, pace);
	for (unsigned int i = 0; b->more && i < TW_GROUPS - 1; i++)
		if (b->more[i].bad > 0)
			settle(b, &b->more[i], pace);
}

double bet__log_e(const struct bet *b)
{
	return log_sum_exp(b->l, b->n);
}

void bet__give(struct bet *b, double excess)
{
	for (unsigned int j = 0; j < b->n; j++)
		b->l[j] -= excess;
}

#define FEW_CAUSES 12

/*
 * What a block of m causes adds to log E on average if each is the canary's with probability theta, for alternative j:
 * exactly where they are few and E moves in leaps, else to second order in the scatter of z.
 */
static double growth_of(double mu, double theta0, double theta, double m)
{
	double lambda = stake(mu, theta0, m), gain = 1 + lambda * (theta - theta0), scatter = lambda / gain;
	double sum = 0, p = pow(1 - theta, m);

	if (m > FEW_CAUSES)
		return log(gain) - scatter * scatter * theta * (1 - theta) / m / 2;
	for (double k = 0; k <= m; k++) {
		sum += p * log1p(lambda * (k / m - theta0));
		p *= (m - k) / (k + 1) * theta / (1 - theta);
	}
	return sum;
}

/* The same of blocks of that size on average. */
static double growth(double mu, double theta0, double theta, double causes)
{
	double m = floor(causes), part = causes - m, more;

	if (causes > FEW_CAUSES)
		return growth_of(mu, theta0, theta, causes);
	more = part > 0 ? part * growth_of(mu, theta0, theta, m + 1) : 0;
	return (1 - part) * growth_of(mu, theta0, theta, m) + more;
}

#define STEPS 3

/*
 * Where the sum of what all alternatives will have reaches need, rather than the best of them alone: Newton's steps
 * from there, which for a sum of exponentials never go too far.
 */
static double together(const struct bet *b, const double *a_block, double need, double blocks)
{
	for (int i = 0; i < STEPS; i++) {
		double l[BET_MAX], all, slope = 0;

		for (unsigned int j = 0; j < b->n; j++)
			l[j] = b->l[j] + a_block[j] * blocks;
		all = log_sum_exp(l, b->n);
		for (unsigned int j = 0; j < b->n; j++)
			slope += a_block[j] * exp(l[j] - all);
		if (!(slope > 0))
			break;
		blocks = fmax(0, blocks - (all - need) / slope);
	}
	return blocks;
}

double bet__events_to(const struct bet *b, double need, double share, double rho, const struct pace *pace, double size)
{
	double theta0 = canary_part(b->rho0, share), theta = canary_part(rho, share), best = -1;
	double causes = fmax(1, size / pace->phi), a_block[BET_MAX];

	if (theta0 <= 0 || theta0 >= 1 || theta >= 1)
		return -1;
	for (unsigned int j = 0; j < b->n; j++) {
		double blocks, mu = canary_part(b->rho[j], share) - theta0;

		a_block[j] = growth(mu, theta0, theta, causes) / pace->discount;
		blocks = fmax(0, need - b->l[j]) / a_block[j];
		if (a_block[j] > 1e-12 && (best < 0 || blocks < best))
			best = blocks;
	}
	return best < 0 ? -1 : together(b, a_block, need, best) * size;
}
