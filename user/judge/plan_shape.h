/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Latencies that nobody has measured: the log-normal distribution through two quantiles, which is what the times of
 * services that wait for other services look like as long as nothing breaks.
 */
#ifndef TW_PLAN_SHAPE_H
#define TW_PLAN_SHAPE_H

#include "model/histogram.h"

/* p95 / p50 of a log-normal distribution with sigma = 0.8: what is assumed where nothing is known. */
#define PLAN_SHAPE_SPREAD 3.73

/* Seconds, 0 < p50 < p95. A billion exchanges, to the nearest whole one in each bucket; sum and max are not filled. */
void plan_shape__lognormal(struct histogram *h, double p50, double p95);

#endif
