// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A tick's exchanges by groups of connections, for the judge to see what comes together: counters in, differences out,
 * and the announcement of what is slow. The kernel counts what lies beyond the bucket that was announced at the tick
 * before; it is asked of the versions that are compared.
 */
#include <string.h>

#include "session/internal.h"

void groups_add(struct cell *c, const struct tw_counters *now)
{
	const struct tw_counters *last = &c->last;

	for (int i = 0; i < TW_GROUPS; i++) {
		c->tick_groups.n[i] += (uint32_t)(now->group[i] - last->group[i]);
		c->tick_groups.bad[i] += (uint32_t)(now->group_bad[i] - last->group_bad[i]);
		c->tick_groups.slow[i] += (uint32_t)(now->group_slow[i] - last->group_slow[i]);
	}
}

/* Where it cannot be announced the judge is told that nothing was counted. */
static void announce(struct session *s, struct cell *c)
{
	int bucket = judge__slow_bucket(s->judge, c->endpoint - 1u);

	c->slow_from = 0;
	if (bucket < 0 || !c->slot)
		return;
	c->tick_groups.has_slow = !loader__slow_from(s->loader, c->version, c->endpoint, (unsigned int)bucket + 1);
	if (c->tick_groups.has_slow)
		c->slow_from = bucket + 1;
}

void groups_begin(struct session *s, int baseline, int canary)
{
	for (size_t i = 0; i < s->n_live; i++) {
		struct cell *c = s->live[i];

		memset(&c->tick_groups, 0, sizeof(c->tick_groups));
		if (c->version == baseline || c->version == canary)
			announce(s, c);
	}
}
