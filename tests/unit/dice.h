/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Seeded random numbers for tests that repeat an experiment: splitmix64, the same on every machine. */
#ifndef TW_TESTS_DICE_H
#define TW_TESTS_DICE_H

#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline uint64_t dice_word(struct dice *d)
{
	uint64_t z = (d->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Inside (0, 1). */
static inline double dice_uniform(struct dice *d)
{
	return ((double)(dice_word(d) >> 11) + 0.5) / 9007199254740992.0;
}

static inline unsigned int dice_below(struct dice *d, unsigned int n)
{
	return (unsigned int)(dice_word(d) % n);
}

static inline unsigned int dice_binomial(struct dice *d, unsigned int n, double p)
{
	unsigned int k = 0;

	for (unsigned int i = 0; i < n; i++)
		k += dice_uniform(d) < p;
	return k;
}

#endif
