/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/plan_advice.h"

#include <math.h>
#include <string.h>

#include "judge/slowness.h"

#define LARGEST_SHARE    50  /* %: beyond it the baseline is what there is too little of */
#define LARGEST_RATIO    100 /* tenths */
#define LARGEST_INCREASE 100 /* % */

bool plan__is_within(const struct plan_time *time, double within)
{
	return !time->never && time->seconds <= within;
}

static double enough_share(const struct gate_policy *policy, const struct plan_endpoint *ep, double share,
                           double within)
{
	struct plan_certificate c;

	for (int percent = (int)floor(100 * share + 1e-9) + 1; percent <= LARGEST_SHARE; percent++) {
		plan__certificate(policy, ep, percent / 100.0, &c);
		if (plan__is_within(&c.call, within))
			return percent / 100.0;
	}
	return 0;
}

static double enough_ratio(const struct gate_policy *policy, const struct plan_endpoint *ep, double share,
                           double within)
{
	double now = plan__margins(policy, ep).max_error_ratio;
	struct plan_endpoint wider = *ep;
	struct plan_certificate c;

	for (int tenths = (int)floor(10 * now + 1e-9) + 1; tenths <= LARGEST_RATIO; tenths++) {
		wider.def.margins.max_error_ratio = tenths / 10.0;
		plan__certificate(policy, &wider, share, &c);
		if (plan__is_within(&c.errors, within))
			return tenths / 10.0;
	}
	return 0;
}

/* Only a whole bucket more makes a difference. */
static double enough_increase(const struct gate_policy *policy, const struct plan_endpoint *ep, double share,
                              double within)
{
	unsigned int tried = margin_buckets(plan__margins(policy, ep).max_latency_increase);
	struct plan_endpoint wider = *ep;
	struct plan_certificate c;

	for (int percent = 1; percent <= LARGEST_INCREASE; percent++) {
		unsigned int buckets = margin_buckets(percent / 100.0);

		if (buckets <= tried)
			continue;
		tried = buckets;
		wider.def.margins.max_latency_increase = percent / 100.0;
		plan__certificate(policy, &wider, share, &c);
		if (plan__is_within(&c.latency, within))
			return percent / 100.0;
	}
	return 0;
}

void plan__advise(const struct gate_policy *policy, const struct plan_endpoint *ep, double share, double within,
                  struct plan_advice *out)
{
	struct plan_certificate now;
	bool errors, latency;

	memset(out, 0, sizeof(*out));
	plan__certificate(policy, ep, share, &now);
	if (!(ep->rate > 0) || plan__is_within(&now.call, within))
		return;
	out->share = enough_share(policy, ep, share, within);
	errors = !plan__is_within(&now.errors, within);
	latency = !plan__is_within(&now.latency, within);
	/* No margin makes up for too few requests. */
	if (!plan__is_within(&now.data, within))
		return;
	if (errors)
		out->max_error_ratio = enough_ratio(policy, ep, share, within);
	if (latency)
		out->max_latency_increase = enough_increase(policy, ep, share, within);
	/* One of two is not enough. */
	if ((errors && !out->max_error_ratio) || (latency && !out->max_latency_increase))
		out->max_error_ratio = out->max_latency_increase = 0;
}
