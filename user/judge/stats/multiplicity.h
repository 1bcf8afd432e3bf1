/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many endpoints at once: one e-value from many, and which of them to name.
 *
 * E-values come as logarithms: -Inf (E = 0) and +Inf are taken. Weights need not sum to 1; one that is 0, negative or
 * not finite means "no stake", and that endpoint is never flagged by weight. The order of the endpoints does not
 * matter. n = 0 is allowed everywhere. `order` is scratch for n indices.
 */
#ifndef TW_STATS_MULTIPLICITY_H
#define TW_STATS_MULTIPLICITY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * log of the weighted mean of e-values, which is one under any dependence between them (Vovk and Wang, E-values:
 * calibration, combination and applications, Annals of Statistics 2021). No stake at all: 0, the e-value of not
 * betting.
 */
double log_e_mean(const double *log_e, const double *weight, size_t n);
/*
 * Flags those with w_i E_i >= 1/alpha, w normalised (weighted Bonferroni): the chance of any wrong flag is at most
 * alpha. Returns how many.
 */
size_t flag_weighted(const double *log_e, const double *weight, size_t n, double alpha, bool *flag);
/*
 * e-BH: flags the k largest for the largest k with k E_(k) / n >= 1/alpha; the expected part of wrong ones among the
 * flagged is at most alpha under any dependence (Wang and Ramdas, False discovery rate control with e-values, JRSS B
 * 2022). Returns k; order[] then lists all by falling E, those of equal E by index.
 */
size_t flag_e_bh(const double *log_e, size_t n, double alpha, size_t *order, bool *flag);

/* Adjusted p-values for reports, each <= 1: Holm (1979) for any wrong one, Benjamini and Hochberg (1995) for their
 * part. */
void p_adjust_holm(const double *p, size_t n, size_t *order, double *adjusted);
void p_adjust_bh(const double *p, size_t n, size_t *order, double *adjusted);

#endif
