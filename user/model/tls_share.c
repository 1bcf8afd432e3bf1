// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/tls_share.h"

#include <math.h>

#define NEW_WEIGHT 0.5 /* of a sample beside those before it */
#define IN_A_ROW   2   /* samples beyond the budget: one may be a burst */
#define UNSETTLED  2   /* samples after a change: exchanges in flight are followed for a while */
#define AIM        0.8 /* of the budget, when something has to go */
#define ROOM       0.7 /* of the budget: what a step up may come to */
#define PATIENCE   6
#define MOST       120

static double share_of(const struct tls_share *s)
{
	return s->share > 0 ? s->share : 1;
}

static unsigned int part(double share, unsigned int n)
{
	double k = ceil(share * n - 1e-9);

	return n == 0 ? 0 : k < 1 ? 1 : k > n ? n : (unsigned int)k;
}

unsigned int tls_share__of(const struct tls_share *s, unsigned int n)
{
	return part(share_of(s), n);
}

static double sum(double share, const unsigned int *workers, size_t n)
{
	double all = 0;

	for (size_t i = 0; i < n; i++)
		all += part(share, workers[i]);
	return all;
}

/* The largest share with at least one worker less; 0: every version is down to one. */
static double step_down(double share, const unsigned int *workers, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int k = part(share, workers[i]);

		if (k > 1)
			most = fmax(most, (k - 1.0) / workers[i]);
	}
	return most;
}

/* The smallest share with at least one worker more; 1: with all of them. */
static double step_up(double share, const unsigned int *workers, size_t n)
{
	double least = 1;

	for (size_t i = 0; i < n; i++) {
		unsigned int k = part(share, workers[i]);

		if (k < workers[i])
			least = fmin(least, (k + 1.0) / workers[i]);
	}
	return least;
}

static void smooth(double *value, double sample)
{
	*value = isfinite(*value) ? *value + NEW_WEIGHT * (sample - *value) : sample;
}

/* From here on it is another load. */
static void settle(struct tls_share *s, double share, bool up)
{
	s->share = share;
	s->cost_before = s->cost;
	s->service_before = s->service;
	s->cost = s->service = NAN;
	s->unsettled = UNSETTLED;
	s->over = s->room = 0;
	s->went_up = up;
}

static void begin(struct tls_share *s)
{
	*s = (struct tls_share){ .share = 1, .cost = NAN, .service = NAN, .patience = PATIENCE };
}

/*
 * What the cost may be, in cores, to take no more than this part of the service's time: what the service takes by
 * itself stays as it is.
 */
static double allowed(const struct tls_share *s, double part_of_time)
{
	double itself = fmax(s->service - s->cost, 0);

	return part_of_time < 1 ? fmax(part_of_time * itself / (1 - part_of_time), TLS_SHARE_FREE) : INFINITY;
}

static enum tls_share_step less(struct tls_share *s, double budget, const unsigned int *workers, size_t n)
{
	double least = step_down(s->share, workers, n), fits;

	s->exceeded = least <= 0;
	if (s->exceeded || ++s->over < IN_A_ROW)
		return TLS_SHARE_SAME;
	/* A failed attempt. */
	if (s->went_up)
		s->patience = s->patience * 2 > MOST ? MOST : s->patience * 2;
	fits = sum(s->share, workers, n) / sum(1, workers, n) * allowed(s, AIM * budget) / s->cost;
	settle(s, fmin(least, fits), false);
	return TLS_SHARE_LESS;
}

static enum tls_share_step more(struct tls_share *s, double budget, const unsigned int *workers, size_t n)
{
	double next = step_up(s->share, workers, n), now = sum(s->share, workers, n);

	if (s->share >= 1 || (now > 0 && s->cost * sum(next, workers, n) / now > allowed(s, ROOM * budget))) {
		s->room = 0;
		return TLS_SHARE_SAME;
	}
	if (++s->room < s->patience)
		return TLS_SHARE_SAME;
	/* The one before it has lasted. */
	if (s->went_up)
		s->patience = PATIENCE;
	settle(s, next, true);
	return TLS_SHARE_MORE;
}

enum tls_share_step tls_share__step(struct tls_share *s, const struct tls_share_sample *sample, double budget,
                                    const unsigned int *workers, size_t n_versions)
{
	if (s->share <= 0)
		begin(s);
	if (!isfinite(sample->cost) || !isfinite(sample->service))
		return TLS_SHARE_SAME;
	if (s->unsettled) {
		s->unsettled--;
		return TLS_SHARE_SAME;
	}
	smooth(&s->cost, sample->cost);
	smooth(&s->service, sample->service);
	if (s->cost > allowed(s, budget)) {
		s->room = 0;
		return less(s, budget, workers, n_versions);
	}
	s->over = 0;
	s->exceeded = false;
	return more(s, budget, workers, n_versions);
}
