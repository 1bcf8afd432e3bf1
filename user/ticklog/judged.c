// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/judged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t any_of(const uint64_t *n, size_t size)
{
	uint64_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= n[i];
	return any;
}

static bool did_anything(const struct arm_tick *a)
{
	const struct connection_groups *g = a->groups;

	return a->n || a->bad || a->latency || a->waited || any_of(a->outcome, TW_OUTCOME_NR) ||
	       (g && (any_of(g->n, TW_GROUPS) || any_of(g->bad, TW_GROUPS) || any_of(g->slow, TW_GROUPS)));
}

int tick_record__fill(struct tick_record *r, const struct judge *j, const struct tick *t, size_t n_endpoints)
{
	struct log_counts *grown;

	if (n_endpoints > r->cap) {
		grown = reallocarray(r->counts, n_endpoints, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		r->counts = grown;
		r->cap = n_endpoints;
	}
	r->tick = (struct log_tick){ .told = *t, .counts = r->counts };
	r->tick.told.endpoints = NULL;
	for (size_t i = 0; i < n_endpoints; i++) {
		const struct endpoint_tick *ep = &t->endpoints[i];

		if (did_anything(&ep->baseline) || did_anything(&ep->canary))
			r->counts[r->tick.n_counts++] =
				(struct log_counts){ i, judge__slow_bucket(j, i), ep->baseline, ep->canary };
	}
	return 0;
}

void tick_record__free(struct tick_record *r)
{
	free(r->counts);
}

/* --- back ------------------------------------------------------------------------------------------------------ */

static int make_room(struct tick_given *g, size_t n)
{
	struct connection_groups *groups;
	struct endpoint_tick *endpoints;

	if (n <= g->cap)
		return 0;
	endpoints = reallocarray(g->endpoints, n, sizeof(*endpoints));
	if (!endpoints)
		return -ENOMEM;
	g->endpoints = endpoints;
	groups = reallocarray(g->groups, n, 2 * sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	g->groups = groups;
	g->cap = n;
	return 0;
}

/* copy: room for groups that are not as they were. */
static void arm_given(struct arm_tick *a, const struct arm_tick *r, bool same_bucket, struct connection_groups *copy)
{
	*a = *r;
	if (!r->groups || same_bucket || !r->groups->has_slow)
		return;
	*copy = *r->groups;
	copy->has_slow = false;
	memset(copy->slow, 0, sizeof(copy->slow));
	a->groups = copy;
}

int tick_given__fill(struct tick_given *g, const struct judge *j, const struct log_tick *r, const size_t *place,
                     size_t n_endpoints)
{
	if (make_room(g, n_endpoints))
		return -ENOMEM;
	if (n_endpoints)
		memset(g->endpoints, 0, n_endpoints * sizeof(*g->endpoints));
	g->tick = r->told;
	g->tick.endpoints = g->endpoints;
	for (size_t i = 0; i < r->n_counts; i++) {
		const struct log_counts *c = &r->counts[i];
		size_t at = place[c->endpoint];
		bool same = judge__slow_bucket(j, at) == c->slow_bucket;

		arm_given(&g->endpoints[at].baseline, &c->baseline, same, &g->groups[2 * at]);
		arm_given(&g->endpoints[at].canary, &c->canary, same, &g->groups[2 * at + 1]);
	}
	return 0;
}

void tick_given__free(struct tick_given *g)
{
	free(g->endpoints);
	free(g->groups);
}
