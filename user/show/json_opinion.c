/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What stands beside an endpoint's verdict and decides nothing: the p95 of both arms, and the descriptive figures. */
#include <math.h>

#include "judge/judge.h"
#include "show/json_put.h"

/* [low, high], null in the place of a limit that there is none of yet; null for both: no interval at all. */
static void put_interval(struct document *d, cJSON *parent, const char *key, double low, double high)
{
	if (!isfinite(low) && !isfinite(high))
		put_null(d, parent, key);
	else
		put_pair(d, parent, key, low, high);
}

static double if_any(bool has, double value)
{
	return has ? value : NAN;
}

static void put_p95(struct document *d, cJSON *o, const struct second_opinion *s)
{
	bool both = s->has_p95_c && s->has_p95_b, formed = s->dispersion > 0;

	put_number(d, o, "p95_c", if_any(s->has_p95_c, s->p95_c));
	put_number(d, o, "p95_b", if_any(s->has_p95_b, s->p95_b));
	put_number(d, o, "p95_difference", if_any(both, s->p95_c - s->p95_b));
	put_interval(d, o, "p95_interval", if_any(s->has_difference_low, s->difference_low),
	             if_any(s->has_difference_high, s->difference_high));
	put_number(d, o, "p95_ratio", if_any(both && s->p95_b > 0, s->p95_c / s->p95_b));
	put_interval(d, o, "p95_ratio_interval", if_any(s->has_ratio_low, s->ratio_low),
	             if_any(s->has_ratio_high, s->ratio_high));
	put_number(d, o, "log_e_p95_slower", if_any(formed, s->log_e_slower));
	put_number(d, o, "log_e_p95_within", if_any(formed, s->log_e_within));
	put_number(d, o, "dispersion_p95", if_any(formed, s->dispersion));
}

static void put_descriptive(struct document *d, cJSON *parent, const struct descriptive *f)
{
	cJSON *o = put_object(d, parent, "descriptive"), *u;

	put_string(d, o, "note", "looked at once only; nothing is decided by it");
	put_number(d, o, "excess_bad", if_any(f->has_difference, f->excess));
	put_interval(d, o, "excess_bad_interval", if_any(f->has_difference, f->excess_low),
	             if_any(f->has_difference, f->excess_high));
	put_number(d, o, "error_share_difference", if_any(f->has_difference, f->difference));
	put_interval(d, o, "error_share_difference_interval", if_any(f->has_difference, f->difference_low),
	             if_any(f->has_difference, f->difference_high));
	u = put_object(d, o, "mann_whitney");
	put_number(d, u, "z", if_any(f->has_rank_sum, f->z));
	put_number(d, u, "p", if_any(f->has_rank_sum, f->p));
	put_number(d, u, "cles", if_any(f->has_rank_sum, f->cles));
}

void put_opinion(struct document *d, cJSON *endpoint, const struct verdict_endpoint *ep)
{
	put_p95(d, endpoint, &ep->p95);
	put_descriptive(d, endpoint, &ep->descriptive);
}
