/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the arms' shares of slow exchanges differ from tick to tick, over the standard error that this difference has if
 * exchanges are independent: its variance about its own mean, which a canary that is slower all the time does not
 * change. What both arms go through at once cancels out.
 */
#ifndef TW_SPREAD_H
#define TW_SPREAD_H

struct spread {
	unsigned int ticks;
	double sum, squares, lagged, last;
};

/* k slow ones of n exchanges of each arm, n > 0. A tick in which none or all are slow tells nothing. */
void spread__add(struct spread *s, double k_c, double n_c, double k_b, double n_b);
/*
 * By how much more than independent ones the difference of sums over many ticks varies, at least 1: the variance (it
 * starts at 3 and has to be unlearned, six ticks being worth as much as that start), times what correlation from one
 * tick to the next adds, and some errors of the estimate on top.
 */
double spread__of_sums(const struct spread *s);

#endif
