/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Random numbers that are the same everywhere: xoshiro256** 1.0 (Blackman & Vigna 2018), seeded by splitmix64, and
 * exact samplers on top of it. No global state: one generator for each simulated release, so that results do not depend
 * on how releases are dealt to processors.
 */
#ifndef TW_CALIBRATE_RANDOM_H
#define TW_CALIBRATE_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t s[4];
};

void random__seed(struct random *r, uint64_t seed);
uint64_t random__word(struct random *r);
/* In (0, 1), both ends excluded. */
double random__uniform(struct random *r);
/* Below n; n > 0. */
unsigned int random__below(struct random *r, unsigned int n);

/* mean >= 0; finite. */
uint64_t random__poisson(struct random *r, double mean);
/* 0 <= p <= 1. */
uint64_t random__binomial(struct random *r, uint64_t n, double p);
/* On 1, 2, ...: tries until the first success; mean >= 1. */
uint64_t random__geometric(struct random *r, double mean);

#endif
