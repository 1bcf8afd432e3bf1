// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/latencies.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct latency_row *row_at(const struct latencies *l, unsigned int i)
{
	return &l->chunk[i / LATENCY_CHUNK][i % LATENCY_CHUNK];
}

static struct latency_row *row_get(struct latencies *l, unsigned int bucket)
{
	struct latency_row **chunk = &l->chunk[l->n_rows / LATENCY_CHUNK];

	if (l->row_of[bucket])
		return row_at(l, l->row_of[bucket] - 1u);
	if (l->n_rows % LATENCY_CHUNK == 0)
		*chunk = calloc(LATENCY_CHUNK, sizeof(**chunk));
	if (!*chunk)
		return NULL;
	l->row_of[bucket] = (uint16_t)++l->n_rows;
	return row_at(l, l->n_rows - 1);
}

int latencies__add(struct latencies *l, enum tw_latency kind, uint64_t ns)
{
	struct latency_row *row = row_get(l, histogram_bucket(ns));

	if (!row)
		return -ENOMEM;
	row->n[kind]++;
	l->count[kind]++;
	l->sum[kind] += ns;
	if (ns > l->max[kind])
		l->max[kind] = ns;
	return 0;
}

static bool row_is_empty(const uint32_t *n)
{
	for (int kind = 0; kind < TW_LAT_NR; kind++)
		if (n[kind])
			return false;
	return true;
}

/* The times that lie beside the buckets. */
static void follow_sums(struct latencies *l, const struct tw_counters *now, struct histogram *const gained[TW_LAT_NR])
{
	for (int k = 0; k < TW_LAT_NR; k++) {
		if (gained[k]) {
			gained[k]->sum += now->sum[k] - l->seen_sum[k];
			if (now->max[k] > gained[k]->max)
				gained[k]->max = now->max[k];
		}
		l->sum[k] += now->sum[k] - l->seen_sum[k];
		l->seen_sum[k] = now->sum[k];
		if (now->max[k] > l->max[k])
			l->max[k] = now->max[k];
	}
}

int latencies__follow(struct latencies *l, const struct tw_series *now, struct histogram *const gained[TW_LAT_NR])
{
	for (unsigned int i = 0; i < TW_BUCKETS; i++) {
		struct latency_row *row;

		if (!l->row_of[i] && row_is_empty(now->b[i]))
			continue;
		row = row_get(l, i);
		if (!row)
			return -ENOMEM;
		for (int k = 0; k < TW_LAT_NR; k++) {
			uint32_t n = now->b[i][k] - row->seen[k];

			row->n[k] += n;
			row->seen[k] = now->b[i][k];
			l->count[k] += n;
			if (gained[k]) {
				gained[k]->b[i] += n;
				gained[k]->count += n;
			}
		}
	}
	follow_sums(l, &now->c, gained);
	return 0;
}

void latencies__histogram(const struct latencies *l, enum tw_latency kind, struct histogram *out)
{
	memset(out, 0, sizeof(*out));
	if (!l)
		return;
	for (unsigned int i = 0; i < TW_BUCKETS; i++)
		if (l->row_of[i])
			out->b[i] = row_at(l, l->row_of[i] - 1u)->n[kind];
	out->count = l->count[kind];
	out->sum = l->sum[kind];
	out->max = l->max[kind];
}

void latencies__free(struct latencies *l)
{
	for (unsigned int i = 0; i < LATENCY_CHUNKS; i++)
		free(l->chunk[i]);
	memset(l, 0, sizeof(*l));
}
