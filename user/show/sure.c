/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the verdict is sure of about an endpoint's ratios, in the line below them. */
#include <math.h>
#include <string.h>

#include "show/format.h"
#include "show/parts.h"

#define NO_LIMIT 0x1p20 /* of a ratio's interval: see judge.h */

static const struct verdict_endpoint *judged(const struct comparison *c, const char *name)
{
	for (size_t i = 0; c->has_verdict && i < c->verdict.n_endpoints; i++)
		if (!strcmp(c->verdict.endpoints[i].endpoint, name))
			return &c->verdict.endpoints[i];
	return NULL;
}

/* The two limits as text; an empty one: there is no such limit yet. */
struct limits {
	struct text low, high;
};

static void put_limits(struct line *l, const struct frame *f, const char *what, const struct limits *x)
{
	bool low = x->low.s[0], high = x->high.s[0];

	if (!f->terminal)
		line_put(l, " %s=%s%s%s", what, x->low.s, low || high ? ".." : "none", x->high.s);
	else if (low && high)
		line_put(l, "%s %s to %s", what, x->low.s, x->high.s);
	else if (low || high)
		line_put(l, "%s at %s %s", what, low ? "least" : "most", low ? x->low.s : x->high.s);
	else
		line_put(l, "%s none yet", what);
}

static struct limits errors_limits(const struct verdict_endpoint *ep)
{
	struct limits x = { { "" }, { "" } };

	if (ep && ep->has_ratio && ep->ratio_low > 0)
		x.low = format_ratio(ep->ratio_low);
	if (ep && ep->has_ratio && ep->ratio_high < NO_LIMIT)
		x.high = format_ratio(ep->ratio_high);
	return x;
}

static struct limits p95_limits(const struct verdict_endpoint *ep)
{
	struct limits x = { { "" }, { "" } };

	if (ep && ep->p95.has_ratio_low)
		x.low = format_ratio(ep->p95.ratio_low);
	if (ep && ep->p95.has_ratio_high)
		x.high = format_ratio(ep->p95.ratio_high);
	return x;
}

static struct text signed_duration(const struct frame *f, double seconds)
{
	struct text t = format_duration(fabs(seconds)), with_sign;

	if (!f->terminal)
		t = format_joined(t);
	snprintf(with_sign.s, sizeof(with_sign.s), "%c%.20s", seconds < 0 ? '-' : '+', t.s);
	return with_sign;
}

static struct limits difference_limits(const struct frame *f, const struct verdict_endpoint *ep)
{
	struct limits x = { { "" }, { "" } };

	if (ep && ep->p95.has_difference_low)
		x.low = signed_duration(f, ep->p95.difference_low);
	if (ep && ep->p95.has_difference_high)
		x.high = signed_duration(f, ep->p95.difference_high);
	return x;
}

/* What the intervals are of: the server's own time, not the total that the endpoint's line shows. */
static void put_server_p95(struct line *l, const struct comparison *c, const struct verdict_endpoint *ep)
{
	if (!ep || !ep->p95.has_p95_b || !ep->p95.has_p95_c)
		return;
	line_put(l, " server_p95 %s=%s %s=%s", arm_label(c, ARM_BASELINE),
	         format_joined(format_duration(ep->p95.p95_b)).s, arm_label(c, ARM_CANARY),
	         format_joined(format_duration(ep->p95.p95_c)).s);
}

void part_sure(struct frame *f, const struct comparison *c, const struct endpoint_figures *ep)
{
	const struct verdict_endpoint *v = judged(c, ep->name);
	struct limits errors = errors_limits(v), p95 = p95_limits(v), difference = difference_limits(f, v);
	double sure = 100 * (1 - c->verdict.alpha);
	struct line l;

	if (!c->has_verdict || !ep->arm[ARM_BASELINE].requests || !ep->arm[ARM_CANARY].requests)
		return;
	line_init_long(&l);
	if (!f->terminal)
		line_put(&l, "sure \"%s\" %.4g%%", ep->name, sure);
	else
		line_put(&l, "%.4g%% sure: ", sure);
	put_limits(&l, f, "errors", &errors);
	if (f->terminal)
		line_put(&l, ", ");
	put_limits(&l, f, "p95", &p95);
	if (f->terminal && (difference.low.s[0] || difference.high.s[0]))
		put_limits(&l, f, ",", &difference);
	else if (!f->terminal)
		put_limits(&l, f, "p95_difference", &difference);
	if (!f->terminal) {
		line_put(&l, " p50=none p99=none");
		put_server_p95(&l, c, v);
	}
	frame_prose(f, RANK_STAYS, f->terminal ? DIM : PLAIN, f->terminal ? 2 : 0, "%s", l.text);
}

void part_sure_legend(struct frame *f, const struct comparison *c)
{
	if (f->terminal && c->has_verdict)
		frame_prose(
			f, RANK_NOTE, DIM, 0,
			"Ratios are of all that was seen. What is sure holds at every look, of ticks that were judged; p95 "
			"there is of the server's own time. p50 and p99 have no such interval.");
}
