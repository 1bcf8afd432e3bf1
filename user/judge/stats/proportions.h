/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The difference of two shares at one look, for reports. k1 of n1 against k2 of n2, the difference being p1 - p2; 0 <=
 * k <= n. Intervals have probability 1 - alpha, two-sided; without data in one of the arms they are all of [-1, 1].
 */
#ifndef TW_STATS_PROPORTIONS_H
#define TW_STATS_PROPORTIONS_H

#include <stdbool.h>

/*
 * The hybrid score interval, method 10 of R. G. Newcombe, Interval estimation for the difference between independent
 * proportions, Statistics in Medicine 17 (1998) 873-890.
 */
void difference_newcombe(double k1, double n1, double k2, double n2, double alpha, double *low, double *high);

enum score_variance {
	SCORE_MEE,                /* also Farrington and Manning's: variance under the hypothesis */
	SCORE_MIETTINEN_NURMINEN, /* the same, times N / (N-1) */
};

/*
 * The score statistic against p1 - p2 = delta, -1 <= delta <= 1, with both shares estimated under that hypothesis
 * (Miettinen and Nurminen, Statistics in Medicine 4 (1985) 213-226; Mee, Biometrics 40 (1984) 1175-1176). Below
 * -1.645: less than delta worse, at a one-sided 5 %. 0 without data; an impossible hypothesis gives an infinite one.
 */
double difference_score(double k1, double n1, double k2, double n2, double delta, enum score_variance variance);
/* All delta that it does not reject. */
void difference_score_interval(double k1, double n1, double k2, double n2, double alpha, enum score_variance variance,
                               double *low, double *high);

/* Bad events of the canary beyond what the baseline's share would have made of its exchanges. */
struct excess {
	double events;    /* k_c - n_c k_b / n_b; negative: fewer */
	double low, high; /* n_c times Newcombe's interval of the difference */
};

/* false: the baseline had no exchange, there is nothing to compare with. */
bool excess_events(double k_c, double n_c, double k_b, double n_b, double alpha, struct excess *out);

#endif
