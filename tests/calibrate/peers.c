/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "peers.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUCCESS       0.99
#define P95_LIMIT     0.3
#define SLOW_LIMIT_NS 186440000 /* the p95 of a log-normal distribution of median 50 ms and sigma 0.8 */
#define FAILED_CHECKS 5
#define Z_LIMIT       1.959963985 /* one-sided at 2.5 % */
#define LOOK_POINTS   10
#define MW_Z          2.326347874 /* two-sided 98 % */
#define MW_TOLERANCE  0.25

static void count(struct peer_arm *a, const struct arm_tick *t)
{
	a->n += t->n;
	a->bad += t->bad;
	a->point_n += t->n;
	a->point_bad += t->bad;
	if (!t->latency)
		return;
	a->slow += histogram_above(t->latency, histogram_bucket(SLOW_LIMIT_NS));
	histogram_merge(&a->point_latency, t->latency);
}

static double p95(const struct peer_arm *a)
{
	struct histogram h = a->point_latency;

	h.max = UINT64_MAX; /* the traffic does not say it */
	return histogram_quantile(&h, 0.95);
}

static bool check_fails(const struct peer_arm *canary)
{
	if (!canary->point_n)
		return false;
	return (double)canary->point_bad > (1 - SUCCESS) * (double)canary->point_n || p95(canary) > P95_LIMIT;
}

static bool z_rejects(double k_b, double n_b, double k_c, double n_c)
{
	double p, scatter;

	if (n_b <= 0 || n_c <= 0)
		return false;
	p = (k_b + k_c) / (n_b + n_c);
	scatter = sqrt(p * (1 - p) * (1 / n_b + 1 / n_c));
	return scatter > 0 && (k_c / n_c - k_b / n_b) / scatter > Z_LIMIT;
}

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int peers__shift(const double *a, const double *b, unsigned int n, double z, double *shift, double *low)
{
	size_t pairs = (size_t)n * n, at = 0;
	double *d = malloc(pairs * sizeof(*d)), rank;

	if (!d)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < n; k++)
			d[at++] = b[k] - a[i];
	qsort(d, pairs, sizeof(*d), ascending);
	*shift = (d[(pairs - 1) / 2] + d[pairs / 2]) / 2;
	rank = floor((double)pairs / 2 - z * sqrt((double)pairs * (2.0 * n + 1) / 12));
	*low = d[rank < 1 ? 0 : (size_t)rank - 1];
	free(d);
	return 0;
}

static double mean(const double *x, unsigned int n)
{
	double sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += x[i];
	return sum / n;
}

static bool mann_whitney_fails(const struct peers *p, enum peer_metric m)
{
	const double *b = p->arm[0].points[m], *c = p->arm[1].points[m];
	double shift, low;

	if (mean(c, p->points) <= mean(b, p->points) || peers__shift(b, c, p->points, MW_Z, &shift, &low))
		return false;
	return low > MW_TOLERANCE * fabs(shift);
}

static void close_point(struct peers *p)
{
	bool served = p->arm[0].point_n && p->arm[1].point_n && p->points < PEER_POINTS_MAX;

	p->failed += check_fails(&p->arm[1]);
	for (int i = 0; i < 2; i++) {
		struct peer_arm *a = &p->arm[i];

		if (served) {
			a->points[PEER_ERRORS][p->points] = (double)a->point_bad / (double)a->point_n;
			a->points[PEER_LATENCY][p->points] = p95(a);
		}
		a->point_n = a->point_bad = 0;
		memset(&a->point_latency, 0, sizeof(a->point_latency));
	}
	p->points += served;
}

static void note(struct peers *p, enum peer who, bool rolls_back)
{
	if (rolls_back && !p->rolled_back[who])
		p->rolled_back[who] = p->ticks;
}

void peers__tick(struct peers *p, const struct tick *t, size_t n_endpoints)
{
	const struct peer_arm *b = &p->arm[0], *c = &p->arm[1];
	unsigned int points = p->points;

	for (size_t i = 0; i < n_endpoints; i++) {
		count(&p->arm[0], &t->endpoints[i].baseline);
		count(&p->arm[1], &t->endpoints[i].canary);
	}
	p->ticks++;
	note(p, PEER_Z, z_rejects((double)b->bad, (double)b->n, (double)c->bad, (double)c->n));
	note(p, PEER_Z, z_rejects((double)b->slow, (double)b->n, (double)c->slow, (double)c->n));
	if (p->ticks % PEER_CHECK_TICKS)
		return;
	close_point(p);
	note(p, PEER_THRESHOLD, p->failed >= FAILED_CHECKS);
	if (p->points > points && p->points % LOOK_POINTS == 0)
		note(p, PEER_MANN_WHITNEY, mann_whitney_fails(p, PEER_ERRORS) || mann_whitney_fails(p, PEER_LATENCY));
}
