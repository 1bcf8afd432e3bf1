/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <math.h>
#include <string.h>

#include "judge/plan_shape.h"
#include "show/format.h"
#include "show/parts.h"
#include "show/plan_words.h"

struct text plan_margin(double increase)
{
	double tested = round(100 * plan__latency_margin(increase));
	struct text t;

	snprintf(t.s, sizeof(t.s), "%.3g%%", tested > 0 ? tested : 100 * increase);
	return t;
}

#define MOST_NAMES 5  /* in one sentence */
#define FEW_ERRORS 10 /* a share that rests on fewer may be off by a third and more */
#define X2         1  /* plan_ratios[] */

/* Never is the latest of all; not to be told comes before it, for it hides how long the others take. */
static int lateness(const struct plan_time *t)
{
	return !t->never ? 0 : t->never == PLAN_NOT_KNOWN ? 1 : 2;
}

struct plan_time plan_call(const struct plan_report *r, size_t share, size_t *last)
{
	struct plan_time call = { .never = PLAN_NOT_KNOWN };

	*last = r->n;
	for (size_t i = 0; i < r->n; i++) {
		const struct plan_time *t = &r->rows[share * r->n + i].times.certify.call;
		int later = lateness(t) - lateness(&call);

		if (!r->subjects[i].decides)
			continue;
		if (*last < r->n && (later < 0 || (!later && t->seconds <= call.seconds)))
			continue;
		call = *t;
		*last = i;
	}
	return call;
}

/* Names in one sentence: "A, B and 3 more". */
struct names {
	struct line l;
	size_t n;
};

static void name_add(struct names *x, const char *name)
{
	if (!x->n)
		line_init_long(&x->l);
	if (x->n++ < MOST_NAMES)
		line_put(&x->l, "%s%s", x->n > 1 ? ", " : "", name);
}

static const char *names_text(struct names *x)
{
	if (x->n > MOST_NAMES)
		line_put(&x->l, " and %zu more", x->n - MOST_NAMES);
	return x->l.text;
}

static const char *because(enum plan_never never)
{
	static const char *const words[PLAN_NEVER_NR] = {
		[PLAN_NOT_KNOWN] = "its rate was not given",
		[PLAN_NO_TRAFFIC] = "no request reached the baseline",
		[PLAN_NO_ERRORS] = "there are no errors to multiply",
		[PLAN_MORE_THAN_ALL] = "that many errors are more than all requests",
		[PLAN_NO_LATENCY] = "its latency is not known",
		[PLAN_NONE_SLOW] = "nothing on the baseline is slower than its announced p95",
		[PLAN_FINE_MARGIN] = "a latency margin under 4.4 % is finer than what can be measured",
		[PLAN_BEYOND_RANGE] = "its p95 with the margin on top is longer than can be measured",
		[PLAN_WIDE_TAIL] = "its slowest requests take so long that the margin makes no difference to them",
		[PLAN_NO_GROWTH] = "the evidence does not grow",
	};

	return words[never];
}

/* Which of the three parts is the one that takes longest. */
static const char *hindrance(const struct plan_certificate *c)
{
	if (c->data.seconds >= c->call.seconds)
		return "the minimum of requests";
	return c->errors.seconds >= c->call.seconds ? "its errors" : "its latency";
}

static void put_help(struct line *l, const struct plan_advice *a)
{
	const char *before = "; would do: ";

	if (a->share > 0) {
		line_put(l, "%s%.0f%% of the traffic", before, 100 * a->share);
		before = ", or ";
	}
	if (a->max_error_ratio > 0) {
		line_put(l, "%smax_error_ratio: %.3g", before, a->max_error_ratio);
		before = " with ";
	}
	if (a->max_latency_increase > 0)
		line_put(l, "%smax_latency_increase: %.0f%%", before, 100 * a->max_latency_increase);
	if (!a->share && !a->max_error_ratio && !a->max_latency_increase)
		line_put(l, "; neither a larger share nor wider margins are enough");
}

static void put_late(struct frame *f, const struct plan_subject *s, const struct plan_row *row)
{
	const struct plan_certificate *c = &row->times.certify;
	struct line l;

	line_init_long(&l);
	if (c->call.never == PLAN_NOT_KNOWN)
		line_put(&l, "%s cannot be told: %s", s->ep->def.name, because(c->call.never));
	else if (c->call.never)
		line_put(&l, "%s never: %s", s->ep->def.name, because(c->call.never));
	else
		line_put(&l, "%s not before %s, for %s", s->ep->def.name, format_span(c->call.seconds).s, hindrance(c));
	if (s->ep->rate > 0)
		put_help(&l, &row->advice);
	frame_prose(f, RANK_STAYS, PLAIN, 2, "%s", l.text);
}

static void put_callable(struct frame *f, const struct plan_report *r, size_t share)
{
	size_t deciding = 0, callable = 0, last;
	struct plan_time call = plan_call(r, share, &last);
	struct line l;

	for (size_t i = 0; i < r->n; i++) {
		deciding += r->subjects[i].decides;
		callable += r->subjects[i].decides &&
		            plan__is_within(&r->rows[share * r->n + i].times.certify.call, r->within);
	}
	line_init_long(&l);
	if (!deciding)
		line_put(&l, "No endpoint decides, so nothing can be called: there is no traffic");
	else if (callable == deciding)
		line_put(&l, "A good release can be called after %s", format_span(call.seconds).s);
	else if (call.never)
		line_put(&l, call.never == PLAN_NOT_KNOWN ? "When a good release can be called is not known"
		                                          : "A good release can never be called");
	else
		line_put(&l, "A good release cannot be called within %s, but after %s", format_span(r->within).s,
		         format_span(call.seconds).s);
	if (deciding)
		line_put(&l, ": %zu of the %zu endpoints that decide (*) are certified within %s", callable, deciding,
		         format_span(r->within).s);
	frame_prose(f, RANK_STAYS, PLAIN, 0, "%s.", l.text);
}

/* What a rollback for twice the errors does not come in time for. */
static void put_unseen(struct frame *f, const struct plan_report *r, size_t share)
{
	struct names late = { .n = 0 };

	for (size_t i = 0; i < r->n; i++) {
		const struct plan_time *t = &r->rows[share * r->n + i].times.worse[X2];

		if (r->subjects[i].ep->rate > 0 && t->never != PLAN_NO_ERRORS && !plan__is_within(t, r->within))
			name_add(&late, r->subjects[i].ep->def.name);
	}
	if (late.n)
		frame_prose(f, RANK_STAYS, PLAIN, 0, "Twice the errors would not be found within %s on: %s.",
		            format_span(r->within).s, names_text(&late));
}

void plan_words_share(struct frame *f, const struct plan_report *r, size_t share)
{
	struct names waived = { .n = 0 };

	put_callable(f, r, share);
	for (size_t i = 0; i < r->n; i++) {
		const struct plan_row *row = &r->rows[share * r->n + i];

		if (plan__is_within(&row->times.certify.call, r->within))
			continue;
		if (r->subjects[i].decides)
			put_late(f, &r->subjects[i], row);
		else if (r->subjects[i].ep->rate > 0)
			name_add(&waived, r->subjects[i].ep->def.name);
	}
	if (waived.n)
		frame_prose(f, RANK_STAYS, PLAIN, 0, "Not certified by then either, but not needed for it: %s.",
		            names_text(&waived));
	put_unseen(f, r, share);
}

static void put_margins(struct frame *f, const struct plan_report *r)
{
	struct names own = { .n = 0 };

	for (size_t i = 0; i < r->n && r->own_margins; i++) {
		struct margins m = plan__margins(&r->policy, r->subjects[i].ep);
		char name[160];

		if (m.max_error_ratio == r->policy.max_error_ratio &&
		    m.max_latency_increase == r->policy.max_latency_increase)
			continue;
		snprintf(name, sizeof(name), "%.120s (x%.3g, %.16s)", r->subjects[i].ep->def.name, m.max_error_ratio,
		         plan_margin(m.max_latency_increase).s);
		name_add(&own, name);
	}
	if (own.n)
		frame_prose(f, RANK_STAYS, PLAIN, 0, "Margins of their own (errors, latency): %s.", names_text(&own));
}

/* Below a floor is another promise than within a margin. */
static void put_floor(struct frame *f, const struct plan_report *r)
{
	struct names floor = { .n = 0 };

	for (size_t i = 0; i < r->n; i++) {
		const struct plan_certificate *c = &r->rows[i].times.certify;
		char name[160];

		if (!r->n_shares || !c->by_floor)
			continue;
		snprintf(name, sizeof(name), "%.140s (%.3g%%)", r->subjects[i].ep->def.name, 100 * c->floor);
		name_add(&floor, name);
	}
	if (floor.n)
		frame_prose(f, RANK_STAYS, PLAIN, 0,
		            "By the floor, errors are shown to be below a share, not below the margin: %s.",
		            names_text(&floor));
}

static void put_basis(struct frame *f, const struct plan_report *r)
{
	struct names assumed = { .n = 0 }, few = { .n = 0 }, no_slo = { .n = 0 }, none = { .n = 0 }, idle = { .n = 0 };

	for (size_t i = 0; i < r->n; i++) {
		const struct plan_subject *s = &r->subjects[i];

		if (!(s->ep->rate > 0)) {
			name_add(&idle, s->ep->def.name);
			continue;
		}
		if (!(s->ep->errors > 0))
			name_add(&none, s->ep->def.name);
		if (s->latency == LATENCY_ASSUMED)
			name_add(&assumed, s->ep->def.name);
		if (s->latency == LATENCY_ASSUMED && s->ep->def.slo_p95 > 0)
			name_add(&no_slo, s->ep->def.name);
		if (r->observed && s->errors < FEW_ERRORS)
			name_add(&few, s->ep->def.name);
	}
	if (idle.n)
		frame_prose(f, RANK_STAYS, PLAIN, 0,
		            r->observed ? "No request reached the baseline on: %s." : "No rate was given for: %s.",
		            names_text(&idle));
	if (none.n)
		frame_prose(f, RANK_STAYS, PLAIN, 0,
		            "No errors to multiply on: %s. There a canary's failures count by themselves.",
		            names_text(&none));
	put_margins(f, r);
	put_floor(f, r);
	if (assumed.n)
		frame_prose(
			f, RANK_STAYS, PLAIN, 0,
			"Latencies were not given for %s: a log-normal spread is assumed, p95 = %.3g x p50. The less they "
			"spread, the sooner a difference shows; RATE,ERRORS,P50/P95 says it.",
			names_text(&assumed), PLAN_SHAPE_SPREAD);
	if (no_slo.n)
		frame_prose(f, RANK_STAYS, PLAIN, 0,
		            "An announced p95 is what counts as slow on %s: how often it is exceeded is not known.",
		            names_text(&no_slo));
	if (few.n)
		frame_prose(
			f, RANK_STAYS, PLAIN, 0,
			"Fewer than %d errors were seen on: %s. Their share is rough; observe longer for a surer plan.",
			FEW_ERRORS, names_text(&few));
}

void plan_words_end(struct frame *f, const struct plan_report *r)
{
	put_basis(f, r);
	frame_prose(
		f, RANK_STAYS, PLAIN, 0,
		"These are expected times: in simulations the median release took between half and 1.3 times as long, "
		"nine in ten less than 3 times. They count from the end of the warm-up (%g s), in ticks of %g s, each "
		"share by itself, and rest on traffic that stays as it is, over many connections, and errors that come "
		"one by one: bursts make them longer.",
		r->policy.warmup, r->policy.tick);
}
