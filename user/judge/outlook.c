/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/outlook.h"

#include <math.h>

/* Seconds until that much has happened at that rate. */
static double seconds_for(double amount, double rate)
{
	if (amount <= 0)
		return amount < 0 ? -1 : 0;
	return rate > 0 ? amount / rate : -1;
}

/* The sooner of two times of which either may be unknown (negative). */
static double sooner(double a, double b)
{
	if (a < 0 || b < 0)
		return fmax(a, b);
	return fmin(a, b);
}

static double share_bad(uint64_t bad, uint64_t n)
{
	return n ? (double)bad / (double)n : 0;
}

/* --- what comes */

static void expect_errors(const struct evidence *ev, const struct tests *t, struct outlook *o)
{
	double ratio, low = 0, high = RATIO_MAX;

	o->worse = 1;
	if (ratio__estimate(&ev->ratio, &ratio)) {
		ratio__interval(&ev->ratio, &t->grid, t->policy.alpha, &low, &high);
		if (ratio_test__log_e(&ev->errors_bad) > 0)
			o->worse = ratio;
	}
	o->bad_c = share_bad(ev->bad_c, ev->n_c);
	o->bad_b = share_bad(ev->bad_b, ev->n_b);
	if (low <= 1 && high >= 1)
		o->bad_c = o->bad_b = ((double)ev->bad_c + (double)ev->bad_b) / ((double)ev->n_c + (double)ev->n_b);
	o->floor = evidence__floor_applies(ev);
}

static void expect_slow(const struct evidence *ev, struct outlook *o)
{
	o->slower = 1;
	o->slow_b = share_bad(ev->slow_b, ev->timed_b);
	if (ev->slow_b && ratio_test__log_e(&ev->slow_bad) > 0)
		o->slower = share_bad(ev->slow_c, ev->timed_c) / o->slow_b;
}

bool outlook__of(const struct evidence *ev, const struct tests *t, struct outlook *out)
{
	if (!arrivals__rate(&ev->arrivals_c, &out->c) || !arrivals__rate(&ev->arrivals_b, &out->b))
		return false;
	if (!ev->n_c || !ev->n_b)
		return false;
	expect_errors(ev, t, out);
	expect_slow(ev, out);
	return true;
}

/* --- how long a test takes */

/* Bad events of one kind, and the test that counts them. */
struct way {
	const struct ratio_test *test;
	const struct dispersion *dispersion;
	const struct group_shares *shares; /* set: it is fed by groups of connections */
	double need;
	double rate_c, rate_b; /* exchanges a second */
	double bad_c, bad_b;   /* their shares of bad events */
};

#define ROUNDS 4

/*
 * The longer it takes, the better is known how bad events come, and the sooner it is over: by what is known halfway,
 * approached from both sides.
 */
static double seconds_to(const struct way *w, double tick)
{
	double events_b = w->rate_b * w->bad_b, rate = events_b + w->rate_c * w->bad_c, seconds = -1;
	struct dispersion known = *w->dispersion;
	const struct prospect p = { .share = w->rate_c / (w->rate_c + w->rate_b),
		                    .rho = w->bad_b > 0 ? w->bad_c / w->bad_b : -1,
		                    .a_tick = rate * tick,
		                    .dispersion = &known };

	if (!(rate > 0) || p.rho < 0 || p.share <= 0 || p.share >= 1)
		return -1;
	for (int i = 0; i < ROUNDS; i++) {
		double next = seconds_for(ratio_test__events_to(w->test, w->need, &p, w->shares), rate);

		seconds = i && next > 0 ? (seconds + next) / 2 : next;
		if (seconds <= 0)
			break;
		known = *w->dispersion;
		dispersion__ahead(&known, seconds / tick / 2, events_b * tick);
	}
	return seconds;
}

/* --- certificates */

double outlook__data(const struct evidence *ev, const struct tests *t, const struct outlook *o)
{
	double want = (double)t->policy.min_requests;

	return outlook__later(seconds_for(fmax(0, want - (double)ev->n_c), o->c.n),
	                      seconds_for(fmax(0, want - (double)ev->n_b), o->b.n));
}

/* What a certificate needs on top of evidence to the contrary, against which it is weighed. */
static double certificate_need(const struct tests *t, double log_e_bad)
{
	return t->promote_need + fmax(0, log_e_bad);
}

static double by_ratio(const struct evidence *ev, const struct tests *t, const struct outlook *o, double need)
{
	const struct way w = { &ev->errors_good, &ev->bad_dispersion,
		               &ev->shares,      need - log(RATIO_STAKE),
		               o->c.n,           o->b.n,
		               o->bad_c,         o->bad_b };

	return seconds_to(&w, t->policy.tick);
}

/* Exchanges that come together count as one. */
static double by_floor(const struct evidence *ev, const struct outlook *o, double need)
{
	double phi = ev->unit == UNIT_EXCHANGE ? dispersion__phi(&ev->bad_dispersion) : 1;

	return seconds_for(phi * floor_test__exchanges_to(&ev->floor, need - log(FLOOR_STAKE), o->bad_c), o->c.n);
}

double outlook__errors_good(const struct evidence *ev, const struct tests *t, const struct outlook *o, bool *floor)
{
	double worse = ratio_test__log_e(&ev->errors_bad), need = certificate_need(t, worse);
	double ratio, floored = -1;

	*floor = false;
	if (evidence__errors_good(ev) >= need)
		return 0;
	ratio = by_ratio(ev, t, o, need);
	/* The floor's own evidence is weighed against errors that have become worse as well. */
	if (o->floor)
		floored = by_floor(ev, o, need + fmax(0, worse));
	*floor = floored >= 0 && (ratio < 0 || floored < ratio);
	return sooner(ratio, floored);
}

double outlook__latency_good(const struct evidence *ev, const struct tests *t, const struct outlook *o)
{
	double need = certificate_need(t, evidence__slow_bad(ev));
	struct threshold p95 = slowness__threshold(&ev->slowness);
	struct way w = { &ev->slow_good, &ev->slow_dispersion, &ev->shares, need,
		         o->c.timed,     o->b.timed,           SLOW_SHARE,  SLOW_SHARE };

	if (ratio_test__log_e(&ev->slow_good) >= need)
		return 0;
	if (!p95.set || p95.bucket + ev->shift >= TW_BUCKETS - 1)
		return -1;
	/* If the canary has the baseline's latencies, its tail beyond the margin is what the baseline's is there. */
	w.bad_c *= slowness__tail_ratio(&ev->slowness, &p95, ev->shift);
	return seconds_to(&w, t->policy.tick);
}

double outlook__later(double a, double b)
{
	return a < 0 || b < 0 ? -1 : fmax(a, b);
}

double outlook__good(const struct evidence *ev, const struct tests *t, const struct outlook *o)
{
	bool floor;

	return outlook__later(outlook__data(ev, t, o),
	                      outlook__later(outlook__errors_good(ev, t, o, &floor), outlook__latency_good(ev, t, o)));
}

/* --- rollback */

double outlook__errors_worse(const struct evidence *ev, const struct tests *t, const struct outlook *o, double need)
{
	const struct way w = { &ev->errors_bad, &ev->bad_dispersion, NULL,    need, o->c.n,
		               o->b.n,          o->bad_b * o->worse, o->bad_b };

	return o->worse > 1 ? seconds_to(&w, t->policy.tick) : -1;
}

/* Beside an announced p95 there is a second test, and each of them has half of the stake. */
double outlook__slow_worse(const struct evidence *ev, const struct tests *t, const struct outlook *o, double need)
{
	const struct way w = {
		&ev->slow_bad, &ev->slow_dispersion,  NULL,     ev->slo.set ? need + M_LN2 : need, o->c.timed,
		o->b.timed,    o->slow_b * o->slower, o->slow_b
	};

	return o->slower > 1 ? seconds_to(&w, t->policy.tick) : -1;
}
