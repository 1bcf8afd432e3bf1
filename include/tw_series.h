/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading the kernel's counters: sums over CPUs, and what one column stands for.
 *
 * Invariant: everything is added, nothing is a difference; so what is read while an exchange is being counted is at
 * most late, and never less than what was read before.
 */
#ifndef TW_SERIES_H
#define TW_SERIES_H

#include "tw_abi.h"

static inline void tw_series_add(struct tw_series *to, const struct tw_series *from)
{
	to->c.exchanges += from->c.exchanges;
	to->c.connections += from->c.connections;
	to->c.bad += from->c.bad;
	for (int i = 0; i < TW_OUTCOME_NR; i++) {
		to->c.outcome[i] += from->c.outcome[i];
		to->c.cut[i] += from->c.cut[i];
	}
	for (int i = 0; i < TW_STATUS_NR; i++)
		to->c.status[i] += from->c.status[i];
	for (int i = 0; i < TW_GROUPS; i++) {
		to->c.group[i] += from->c.group[i];
		to->c.group_bad[i] += from->c.group_bad[i];
		to->c.group_slow[i] += from->c.group_slow[i];
	}
	for (int k = 0; k < TW_SERIES_KINDS; k++) {
		to->c.sum[k] += from->c.sum[k];
		if (from->c.max[k] > to->c.max[k])
			to->c.max[k] = from->c.max[k];
	}
	for (int i = 0; i < TW_BUCKETS; i++)
		for (int k = 0; k < TW_SERIES_KINDS; k++)
			to->b[i][k] += from->b[i][k];
}

/* Counts plain exchanges under the kinds they stand for. Once, when all CPUs have been added. */
static inline void tw_series_expand(struct tw_series *s)
{
	static const enum tw_latency alike[] = { TW_LAT_TOTAL, TW_LAT_FIRST_BYTE, TW_LAT_SERVER };
	static const enum tw_latency none[] = { TW_LAT_UPLOAD, TW_LAT_SEND, TW_LAT_ACCEPT };

	for (int k = 0; k < 3; k++) {
		s->c.sum[alike[k]] += s->c.sum[TW_LAT_PLAIN];
		if (s->c.max[TW_LAT_PLAIN] > s->c.max[alike[k]])
			s->c.max[alike[k]] = s->c.max[TW_LAT_PLAIN];
	}
	for (int i = 0; i < TW_BUCKETS; i++) {
		for (int k = 0; k < 3; k++) {
			s->b[i][alike[k]] += s->b[i][TW_LAT_PLAIN];
			s->b[0][none[k]] += s->b[i][TW_LAT_PLAIN];
		}
	}
}

#endif
