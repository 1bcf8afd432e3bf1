/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A service of which ticks are made by hand, for what is learned from them of how bad events come. */
#ifndef TW_TESTS_SERVICE_H
#define TW_TESTS_SERVICE_H

#include <string.h>

#include "dice.h"
#include "judge/dispersion.h"

/* Both arms' exchanges are spread evenly over the groups. */
struct service {
	struct dispersion d;
	struct group_shares shares;
	struct dice dice;
	uint64_t bad[ARMS][TW_GROUPS];
};

#define N_BASELINE 960.0
#define N_CANARY   160.0

static inline void begin(struct service *s)
{
	struct connection_groups g;

	memset(s, 0, sizeof(*s));
	s->dice.state = 11;
	for (int i = 0; i < TW_GROUPS; i++)
		g.n[i] = 60;
	group_shares__add(&s->shares, ARM_IS_BASELINE, &g);
	group_shares__add(&s->shares, ARM_IS_CANARY, &g);
}

static inline void end_tick(struct service *s, bool grouped)
{
	struct events e[ARMS] = { { .n = N_BASELINE }, { .n = N_CANARY } };

	for (int arm = 0; arm < ARMS; arm++) {
		for (int i = 0; i < TW_GROUPS; i++)
			e[arm].k += (double)s->bad[arm][i];
		e[arm].group = grouped ? s->bad[arm] : NULL;
	}
	dispersion__add(&s->d, &s->shares, e);
	memset(s->bad, 0, sizeof(s->bad));
}

/* Bursts of one size in random groups, each exchange in a group of its own when across. */
static inline void bursts(struct service *s, unsigned int mean, unsigned int size, bool across)
{
	unsigned int n = dice_binomial(&s->dice, 10 * mean, 0.1);

	for (unsigned int i = 0; i < n; i++) {
		unsigned int group = dice_below(&s->dice, TW_GROUPS);

		for (unsigned int k = 0; k < size; k++)
			s->bad[ARM_IS_BASELINE][across ? dice_below(&s->dice, TW_GROUPS) : group]++;
	}
}

#endif
