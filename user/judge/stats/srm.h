/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sample-ratio mismatch: does the traffic split as the stage says? Units must be what the router deals out (new
 * connections, sessions), not exchanges.
 *
 * Sequential: the Bayes factor of a Dirichlet-multinomial against the planned multinomial (Lindon and Malek,
 * Anytime-valid inference for multinomial count data, NeurIPS 2022), E = Gamma(A) / Gamma(A+N) prod_i Gamma(a_i+S_i) /
 * Gamma(a_i) prod_i share_i^-S_i,   a_i = concentration * share_i, a martingale if the plan holds, so it may be looked
 * at after every tick. Only the sums S matter: hosts are merged by adding. With enough units every real router is found
 * to deviate a little, so a mismatch that matters takes both: the evidence, and a deviation beyond a tolerance.
 *
 * An arm with a planned share of 0 (a finished stage) is left out. Every result is finite and never NaN.
 */
#ifndef TW_STATS_SRM_H
#define TW_STATS_SRM_H

#include <stdbool.h>

#define SRM_ARMS          4
#define SRM_CONCENTRATION 10000.0 /* looks for deviations of about a hundredth of a share */

struct srm {
	unsigned int arms;
	double concentration;
	double share[SRM_ARMS];   /* planned; they sum to 1 */
	double counted[SRM_ARMS]; /* since the plan was made */
	double before;            /* log E of earlier plans */
	double most;              /* the highest log E so far, at least 0 */
};

/* 2 <= arms <= SRM_ARMS; shares in any unit (5 and 95 will do), none negative; concentration > 0. No positive share: no
 * evidence. */
void srm__init(struct srm *s, const double *share, unsigned int arms, double concentration);
/* The plan changes (the next stage): the evidence stays, the counts start again. */
void srm__plan(struct srm *s, const double *share);
/* One tick: units of every arm. */
void srm__add(struct srm *s, const double *units);
/* log E so far: evidence that the plan does not hold. */
double srm__log_e(const struct srm *s);
/* min over time of 1/E, at most 1: the chance that it ever gets this low if the plan holds is at most p. */
double srm__p(const struct srm *s);
/* The largest of |share - plan| / plan over the arms, under the present plan; 0 before the first unit. */
double srm__deviation(const struct srm *s);
/* p <= alpha and the deviation beyond the tolerance (0.1: a tenth of the planned share). */
bool srm__mismatch(const struct srm *s, double alpha, double tolerance);

/*
 * One-shot chi-square test of counts against a plan, for reports: p, and the statistic where asked for. Valid once, not
 * at every look. Fewer than two arms with a share, or nothing counted: 1 and 0.
 */
double srm_chi_square(const double *units, const double *share, unsigned int arms, double *statistic);

#endif
