/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/unit.h"

#include <math.h>
#include <string.h>

#define CAUTION       0.5
#define CAUTION_TICKS 12
#define THIN          0.3 /* of an even part: a lane with less of an arm's exchanges compares too little */

const char *const unit_names[] = {
	[UNIT_INDEPENDENT] = "independent",
	[UNIT_EXCHANGE] = "exchange",
};

void ratio_test__init(struct ratio_test *t, enum unit unit, double rho0, const double *lr, unsigned int m,
                      const struct alternative *bets, unsigned int n, double share)
{
	t->unit = unit;
	t->lanes = 1;
	eprocess__init(&t->lr, rho0, lr, m);
	bet__init(&t->bet, rho0, bets, n, share);
}

static struct pace whole_ticks(const struct dispersion *d)
{
	return (struct pace){ dispersion__phi(d), dispersion__serial(d), BET_LEAST };
}

/* In lanes most events are alone, and the fewer a block holds the less a bet is limited by it. */
static struct pace lanes_of_ticks(const struct dispersion *d, unsigned int lanes)
{
	double across = lanes > 1 ? dispersion__across(d) : 1;

	return (struct pace){ dispersion__phi(d), dispersion__serial(d) * across, lanes > 1 ? 1 : BET_LEAST };
}

/*
 * At a small share the baseline shows what bursts there are before the canary has one. At an even one the first is as
 * likely to be the canary's, and a few more on the same side are not rare: until there has been time to learn, evidence
 * counts less.
 */
static double caution(const struct dispersion *d, double share)
{
	double even = fmin(1, 2 * share);

	return 1 + CAUTION * even * even * CAUTION_TICKS / (dispersion__ticks(d) + CAUTION_TICKS);
}

void ratio_test__add(struct ratio_test *t, const struct pair *p, const struct habits *h)
{
	struct pace pace;

	if (t->unit == UNIT_INDEPENDENT) {
		eprocess__add(&t->lr, p->n_c, p->n_b, p->k_c, p->k_b);
		return;
	}
	if (p->n_c <= 0 || p->n_b <= 0)
		return;
	pace = whole_ticks(h->dispersion);
	pace.discount = fmax(pace.discount, caution(h->dispersion, p->n_c / (p->n_c + p->n_b)));
	bet__add(&t->bet, 0, p, &pace);
}

static bool is_balanced(const struct group_shares *s, unsigned int lanes)
{
	for (int arm = 0; arm < ARMS; arm++) {
		for (unsigned int lane = 0; lane < lanes; lane++) {
			double n = 0;

			for (unsigned int i = lane; i < TW_GROUPS; i += lanes)
				n += s->n[arm][i];
			if (n < THIN * s->total[arm] / lanes)
				return false;
		}
	}
	return s->total[ARM_IS_BASELINE] > 0 && s->total[ARM_IS_CANARY] > 0;
}

static unsigned int lanes_for(const struct group_shares *s)
{
	unsigned int lanes = TW_GROUPS;

	while (lanes > 1 && !is_balanced(s, lanes))
		lanes /= 2;
	return lanes;
}

/* Cuts a total into lanes as the groups are. Where they tell nothing, evenly. */
static void cut(double part[TW_GROUPS], double total, const double groups[TW_GROUPS], unsigned int lanes)
{
	double all = 0;

	memset(part, 0, lanes * sizeof(*part));
	for (unsigned int i = 0; i < TW_GROUPS; i++) {
		all += groups[i];
		part[i % lanes] += groups[i];
	}
	for (unsigned int i = 0; i < lanes; i++)
		part[i] = all > 0 ? total * (part[i] / all) : total / lanes;
}

static void bet_in_lanes(struct ratio_test *t, const struct pair *p, const struct by_group *g, const struct habits *h)
{
	unsigned int lanes = lanes_for(h->shares);
	struct pace pace = lanes_of_ticks(h->dispersion, lanes);
	struct by_group l;

	if (lanes != t->lanes)
		bet__settle(&t->bet, &pace);
	t->lanes = lanes;
	if (lanes == 1) {
		bet__add(&t->bet, 0, p, &pace);
		return;
	}
	cut(l.n_c, p->n_c, g->n_c, lanes);
	cut(l.n_b, p->n_b, g->n_b, lanes);
	cut(l.k_c, p->k_c, g->k_c, lanes);
	cut(l.k_b, p->k_b, g->k_b, lanes);
	for (unsigned int i = 0; i < lanes; i++) {
		const struct pair lane = { l.n_c[i], l.n_b[i], l.k_c[i], l.k_b[i] };

		bet__add(&t->bet, i, &lane, &pace);
	}
}

void ratio_test__certify(struct ratio_test *t, const struct pair *p, const struct by_group *g, const struct habits *h)
{
	double divide = 1;

	if (t->unit == UNIT_EXCHANGE && g->known) {
		bet_in_lanes(t, p, g, h);
		return;
	}
	if (t->unit == UNIT_EXCHANGE)
		divide = dispersion__of_sums(h->dispersion);
	eprocess__add(&t->lr, p->n_c, p->n_b, p->k_c / divide, p->k_b / divide);
}

/* Each tick goes into one of the two, so the product is an e-process. */
double ratio_test__log_e(const struct ratio_test *t)
{
	return eprocess__log_e(&t->lr) + bet__log_e(&t->bet);
}

void ratio_test__cap(struct ratio_test *t, double most)
{
	double excess = ratio_test__log_e(t) - most;

	if (excess > 0)
		bet__give(&t->bet, excess);
}

/* Has it been fed by groups, or is it going to be? */
static bool has_groups(const struct ratio_test *t, const struct group_shares *s)
{
	bool without = t->bet.blocks <= 0 && eprocess__log_e(&t->lr) != 0;

	return s->total[ARM_IS_BASELINE] > 0 && s->total[ARM_IS_CANARY] > 0 && !without;
}

/*
 * A block ends with the tick that brings it to `least` events of those that come alone: on average that is half a tick
 * later than they came. What blocks really held counts the more, the more there have been.
 */
static double block_size(const struct bet *b, const struct pace *pace, double a_tick)
{
	double least = pace->least * pace->phi, size = fmax(a_tick, least + a_tick / 2);

	return (b->size + size) / (b->blocks + 1);
}

double ratio_test__events_to(const struct ratio_test *t, double need, const struct prospect *p,
                             const struct group_shares *by_group)
{
	const struct dispersion *d = p->dispersion;
	unsigned int lanes = 1;
	struct pace pace;
	double events;

	if (t->unit == UNIT_INDEPENDENT)
		return eprocess__events_to(&t->lr, need - bet__log_e(&t->bet), p->share, p->rho);
	if (by_group && !has_groups(t, by_group)) {
		events = eprocess__events_to(&t->lr, need - bet__log_e(&t->bet), p->share, p->rho);
		return events > 0 ? events * dispersion__of_sums(d) : events;
	}
	pace = whole_ticks(d);
	if (by_group) {
		lanes = lanes_for(by_group);
		pace = lanes_of_ticks(d, lanes);
	} else {
		pace.discount = fmax(pace.discount, caution(d, p->share));
	}
	return bet__events_to(&t->bet, need - eprocess__log_e(&t->lr), p->share, p->rho, &pace,
	                      block_size(&t->bet, &pace, p->a_tick / lanes));
}
