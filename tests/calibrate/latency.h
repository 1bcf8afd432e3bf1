/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Latencies: a log-normal distribution in two pieces, below and above its upper `tail` quantile, straight into buckets.
 */
#ifndef TW_CALIBRATE_LATENCY_H
#define TW_CALIBRATE_LATENCY_H

#include "model/histogram.h"
#include "random.h"

enum latency_piece { LATENCY_BODY, LATENCY_TAIL };

struct latencies;

/* median in seconds; NULL: no memory. */
struct latencies *latencies__new(double median, double sigma, double tail);
void latencies__free(struct latencies *l);
/* Draws n of one piece, all times scale, into h. Returns how many lie above the bucket `beyond` (negative: 0). */
uint64_t latencies__draw(const struct latencies *l, struct random *r, struct histogram *h, uint64_t n, double scale,
                         enum latency_piece piece, int beyond);

#endif
