/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/spread.h"

#include <math.h>

#define PRIOR_TICKS  6
#define PRIOR_SPREAD 3
#define MOST_SERIAL  0.9
#define ERRORS       4 /* of the estimate, over the root of the ticks: bursts are rare and weigh much */

void spread__add(struct spread *s, double k_c, double n_c, double k_b, double n_b)
{
	double p = (k_c + k_b) / (n_c + n_b), variance = p * (1 - p) * (1 / n_c + 1 / n_b), z;

	if (!(variance > 0))
		return;
	z = (k_c / n_c - k_b / n_b) / sqrt(variance);
	s->squares += z * z;
	s->lagged += z * s->last;
	s->sum += z;
	s->ticks++;
	s->last = z;
}

double spread__of_sums(const struct spread *s)
{
	double n = s->ticks, mean = n > 0 ? s->sum / n : 0, squares = s->squares - n * mean * mean, r = 0;

	if (squares > 0)
		r = fmin(MOST_SERIAL, fmax(0, (s->lagged - n * mean * mean) / squares - 1 / sqrt(n)));
	squares = fmax(1, (squares + PRIOR_TICKS * PRIOR_SPREAD) / (n + PRIOR_TICKS));
	return squares * (1 + r) / (1 - r) * (1 + ERRORS / sqrt(n + 1));
}
