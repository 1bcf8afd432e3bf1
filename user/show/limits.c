// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What was announced, or found before, beside what the canary does. */
#include <math.h>

#include "show/format.h"
#include "show/parts.h"

static void put_limit(struct frame *f, const char *endpoint, const struct verdict_limit *l)
{
	struct text share = format_percent(l->n ? (double)l->k / (double)l->n : NAN);
	struct text low = format_percent(l->lower), high = format_percent(l->upper), limit = format_percent(l->limit);
	struct text seconds = { "" };

	if (l->seconds > 0)
		seconds = format_duration(l->seconds);
	if (f->terminal)
		frame_prose(f, RANK_REASON, PLAIN, 2, "%s: %s%s%s %s (%s to %s), limit %s", endpoint, l->name,
		            l->seconds > 0 ? " beyond " : "", seconds.s, share.s, low.s, high.s, limit.s);
	else
		frame_prose(f, RANK_STAYS, PLAIN, 0, "limit \"%s\" %s%s%s share=%s bounds=%s..%s limit=%s", endpoint,
		            l->name, l->seconds > 0 ? " beyond=" : "", format_joined(seconds).s, share.s, low.s, high.s,
		            limit.s);
}

void part_limits(struct frame *f, const struct verdict *v)
{
	for (size_t i = 0; i < v->n_endpoints; i++)
		for (size_t k = 0; k < v->endpoints[i].n_limits; k++)
			put_limit(f, v->endpoints[i].endpoint, &v->endpoints[i].limits[k]);
}
