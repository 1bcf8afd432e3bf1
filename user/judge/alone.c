/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/alone.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "judge/stats/logspace.h"

#define FLOOR_FEW 0.1         /* of the floor: with more errors than that before there is enough for a ratio */
#define SLACK     4.605170186 /* a certificate keeps up to a hundred times the evidence it needs */
#define UNUSED    0.5         /* the limit of a test that is only asked by its grid */

static const struct {
	const char *name;
	double share; /* that may lie beyond; 0: announced */
} kinds[LIMIT_NR] = {
	[LIMIT_ERRORS] = { "error_rate", 0 }, [LIMIT_P50] = { "p50", 0.5 },  [LIMIT_P90] = { "p90", 0.1 },
	[LIMIT_P95] = { "p95", 0.05 },        [LIMIT_P99] = { "p99", 0.01 },
};

/* ---- what was announced ------------------------------------------------------------------------------------------ */

static int announce(struct alone *a, enum limit_kind kind, double value)
{
	struct limit *l = &a->limit[kind];
	double share = kind == LIMIT_ERRORS ? value : kinds[kind].share;

	if (!(value > 0) || !(share < 1))
		return 0;
	if (kind != LIMIT_ERRORS) {
		l->seconds = value;
		l->over = histogram_bucket((uint64_t)fmin(value * 1e9, 1e18));
		/* Beyond the last bound nothing can be told apart. */
		if (l->over >= TW_BUCKETS - 1)
			return 0;
		l->may = l->over && histogram_upper(l->over) > value * (1 + 1e-9) ? l->over - 1 : l->over;
		a->grouped = kind;
	}
	l->test = malloc(sizeof(*l->test));
	if (!l->test)
		return -ENOMEM;
	absolute__init(l->test, share, 1);
	a->n_limits++;
	return 0;
}

int alone__new(struct alone **out, const struct gate_policy *policy, const struct judge_endpoint *ep)
{
	const double value[LIMIT_NR] = { ep->slo_error_rate, ep->slo_p50, ep->slo_p90, ep->slo_p95, ep->slo_p99 };
	struct alone *a = calloc(1, sizeof(*a));

	*out = NULL;
	if (!a)
		return -ENOMEM;
	for (int i = 0; i < LIMIT_NR; i++) {
		if (announce(a, i, value[i])) {
			alone__free(a);
			return -ENOMEM;
		}
	}
	if (a->n_limits || policy->mode != GATE_CANARY)
		*out = a;
	else
		alone__free(a);
	return 0;
}

void alone__free(struct alone *a)
{
	if (!a)
		return;
	for (int i = 0; i < LIMIT_NR; i++)
		free(a->limit[i].test);
	free(a->before);
	free(a);
}

int alone__slow_bucket(const struct alone *a)
{
	if (a->before)
		return a->before->has_bucket ? (int)a->before->over : -1;
	return a->grouped != LIMIT_ERRORS ? (int)a->limit[a->grouped].may : -1;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* Cuts n exchanges, k of them to count, into lanes as the groups are; the first lane takes all where they are not
 * known. */
static void cut(struct lanes *l, const struct connection_groups *g, const uint64_t *of, double n, double k)
{
	double all_n = 0, all_k = 0;

	for (int i = 0; g && of && i < TW_GROUPS; i++) {
		all_n += (double)g->n[i];
		all_k += (double)of[i];
	}
	l->count = all_n > 0 ? TW_GROUPS : 1;
	l->n[0] = n;
	l->k[0] = k;
	for (int i = 0; all_n > 0 && i < TW_GROUPS; i++) {
		double part = (double)g->n[i] / all_n;

		l->n[i] = n * part;
		l->k[i] = k * (all_k > 0 ? (double)of[i] / all_k : part);
	}
}

static void lanes_of_bad(struct lanes *l, const struct arm_tick *a)
{
	l->k_above = (double)a->bad;
	cut(l, a->groups, a->groups ? a->groups->bad : NULL, (double)a->n, l->k_above);
}

/* Those of an arm beyond a bucket. A client that gave up had waited the least that the server would have taken. */
static double beyond(const struct arm_tick *a, unsigned int bucket)
{
	double k = a->latency ? (double)histogram_above(a->latency, bucket) : 0;

	return k + (a->waited ? (double)histogram_above(a->waited, bucket) : 0);
}

/* Of those that gave up earlier nothing is known: they are left out. */
static double timed(const struct arm_tick *a, unsigned int bucket)
{
	double n = a->latency ? (double)a->latency->count : 0;

	return n + (a->waited ? (double)histogram_above(a->waited, bucket) : 0);
}

/* above, below: the buckets beyond which an exchange counts for the one question and the other. */
static void lanes_of_slow(struct lanes *l, const struct arm_tick *a, unsigned int above, unsigned int below,
                          bool grouped)
{
	unsigned int lower = above < below ? above : below;

	l->k_above = beyond(a, above);
	cut(l, a->groups, grouped && a->groups && a->groups->has_slow ? a->groups->slow : NULL, timed(a, lower),
	    beyond(a, below));
}

/* After the tests: for the ticks after it. */
static void learn(struct habit *h, const struct arm_tick *a, unsigned int bucket, bool grouped)
{
	const struct connection_groups *g = a->groups;
	const struct events bad[ARMS] = { { (double)a->n, (double)a->bad, g ? g->bad : NULL } };
	const struct events slow[ARMS] = { { timed(a, bucket), beyond(a, bucket),
		                             grouped && g && g->has_slow ? g->slow : NULL } };

	group_shares__add(&h->shares, ARM_IS_BASELINE, g);
	dispersion__add(&h->bad, &h->shares, bad);
	dispersion__add(&h->slow, &h->shares, slow);
}

void alone__limits(struct alone *a, const struct tests *t, const struct arm_tick *canary)
{
	bool grouped = t->policy.mode == GATE_ABSOLUTE;
	const struct discount errors = absolute__discount(&a->habit.bad), slow = absolute__discount(&a->habit.slow);

	for (int i = 0; i < LIMIT_NR; i++) {
		const struct limit *l = &a->limit[i];
		struct lanes lanes;

		if (!l->test)
			continue;
		if (i == LIMIT_ERRORS)
			lanes_of_bad(&lanes, canary);
		else
			lanes_of_slow(&lanes, canary, l->over, l->may, grouped && (enum limit_kind)i == a->grouped);
		absolute__add(l->test, &lanes, i == LIMIT_ERRORS ? &errors : &slow);
		absolute__cap_below(l->test, t->promote_need + SLACK);
	}
	if (t->policy.mode != GATE_BEFORE_AFTER)
		learn(&a->habit, canary, a->limit[a->grouped].may, grouped);
}

double alone__log_e_breach(const struct alone *a)
{
	double log_e[LIMIT_NR];
	size_t n = 0;

	for (int i = 0; i < LIMIT_NR; i++)
		if (a->limit[i].test)
			log_e[n++] = absolute__log_e_above(a->limit[i].test);
	return n ? log_sum_exp(log_e, n) - log((double)n) : 0;
}

/* A certificate that evidence to the contrary is weighed against: dividing by more than 1 is safe. */
static bool outweighs(double log_e_good, double log_e_bad, double need)
{
	return log_e_good - fmax(0, log_e_bad) >= need;
}

bool alone__is_kept(const struct alone *a, const struct tests *t)
{
	for (int i = 0; i < LIMIT_NR; i++) {
		const struct absolute *test = a->limit[i].test;

		if (test && !outweighs(absolute__log_e_below(test), absolute__log_e_above(test), t->promote_need))
			return false;
	}
	return a->n_limits > 0;
}

/* ---- before and after -------------------------------------------------------------------------------------------- */

static int before_begin(struct alone *a, const struct evidence *ev)
{
	struct before *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	absolute__init(&b->errors_b, UNUSED, 1);
	absolute__init(&b->slow_b, UNUSED, 1);
	absolute__init(&b->errors_c, ev->floor.p0, ev->margins.max_error_ratio);
	absolute__init(&b->slow_c, UNUSED, 1);
	a->before = b;
	return 0;
}

/* Whether the tick belonged to the pilot. */
static bool fly_pilot(struct before *b, const struct arm_tick *a)
{
	struct slowness s = { 0 };
	struct threshold p95;

	if (b->has_bucket)
		return false;
	if (a->latency)
		histogram_merge(&b->pilot, a->latency);
	if (b->pilot.count < PILOT)
		return true;
	slowness__learn(&s, &b->pilot);
	p95 = slowness__threshold(&s);
	b->has_bucket = p95.set;
	b->over = p95.bucket;
	b->may = p95.bucket ? p95.bucket - 1 : 0;
	return true;
}

int alone__begin(struct alone *a, const struct evidence *ev)
{
	return a->before ? 0 : before_begin(a, ev);
}

void alone__before(struct alone *a, struct evidence *ev, const struct arm_tick *baseline)
{
	struct before *b = a->before;
	struct lanes l;
	struct discount d;

	ev->n_b += baseline->n;
	ev->bad_b += baseline->bad;
	lanes_of_bad(&l, baseline);
	d = absolute__discount(&b->habit.bad);
	absolute__add(&b->errors_b, &l, &d);
	if (!fly_pilot(b, baseline)) {
		lanes_of_slow(&l, baseline, b->may, b->over, true);
		d = absolute__discount(&b->habit.slow);
		absolute__add(&b->slow_b, &l, &d);
		ev->timed_b += (uint64_t)timed(baseline, b->over);
		ev->slow_b += (uint64_t)beyond(baseline, b->over);
		ev->threshold = (struct threshold){ .set = true, .bucket = b->over };
	}
	learn(&b->habit, baseline, b->over, true);
}

void alone__after(struct alone *a, struct evidence *ev, const struct tests *t, const struct arm_tick *canary)
{
	struct before *b = a->before;
	unsigned int shifted;
	struct lanes l;
	struct discount d;

	ev->n_c += canary->n;
	ev->bad_c += canary->bad;
	for (int i = 0; i < TW_OUTCOME_NR; i++)
		ev->outcome_c[i] += canary->outcome[i];
	if (b) {
		lanes_of_bad(&l, canary);
		d = absolute__discount(&a->habit.bad);
		absolute__add(&b->errors_c, &l, &d);
		absolute__cap_below(&b->errors_c, t->promote_need + SLACK);
	}
	shifted = b ? b->may + ev->shift : 0;
	if (b && b->has_bucket && shifted < TW_BUCKETS - 1) {
		lanes_of_slow(&l, canary, b->over, shifted, true);
		d = absolute__discount(&a->habit.slow);
		absolute__add(&b->slow_c, &l, &d);
		ev->timed_c += (uint64_t)timed(canary, b->over);
		ev->slow_c += (uint64_t)beyond(canary, b->over);
	}
	if (t->policy.mode == GATE_BEFORE_AFTER)
		learn(&a->habit, canary, b ? b->over : 0, true);
}

double alone__log_e_errors(const struct alone *a)
{
	return a->before ? absolute__log_e_more(&a->before->errors_b, &a->before->errors_c) : 0;
}

double alone__log_e_slow(const struct alone *a)
{
	return a->before ? absolute__log_e_more(&a->before->slow_b, &a->before->slow_c) : 0;
}

bool alone__by_floor(const struct evidence *ev)
{
	return (double)ev->bad_b <= FLOOR_FEW * ev->floor.p0 * (double)ev->n_b;
}

/* By the one or the other: which one was settled before the canary was served. */
double alone__log_e_errors_good(const struct alone *a, const struct evidence *ev)
{
	const struct before *b = a->before;

	if (!b)
		return 0;
	return alone__by_floor(ev) ? absolute__log_e_below(&b->errors_c)
	                           : absolute__log_e_within(&b->errors_b, &b->errors_c);
}

double alone__log_e_slow_good(const struct alone *a)
{
	return a->before ? absolute__log_e_within(&a->before->slow_b, &a->before->slow_c) : 0;
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static uint64_t whole(double count)
{
	return (uint64_t)fmin(count, 0x1p63);
}

static struct verdict_limit figures(const char *name, const struct absolute *test, double alpha)
{
	return (struct verdict_limit){
		.name = name,
		.limit = test->limit.p,
		.n = whole(test->n),
		.k = whole(test->k),
		.lower = absolute__lower(test, alpha),
		.upper = absolute__upper(test, alpha),
		.log_e_above = absolute__log_e_above(test),
		.log_e_below = absolute__log_e_below(test),
	};
}

void alone__figures(const struct alone *a, const struct tests *t, struct verdict_endpoint *f)
{
	double alpha = t->policy.alpha;

	f->n_limits = 0;
	for (int i = 0; i < LIMIT_NR; i++) {
		if (!a->limit[i].test)
			continue;
		f->limits[f->n_limits] = figures(kinds[i].name, a->limit[i].test, alpha);
		f->limits[f->n_limits++].seconds = a->limit[i].seconds;
	}
}
