/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/judge.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "judge/state.h"

#define RESERVE         0.02 /* of the stake, for endpoints that appear later */
#define CRITICAL_PART   0.8  /* of what is dealt, when both kinds exist */
#define NEWCOMERS_HALF  16   /* newcomers after which half of the reserve is gone */
#define LOSS_LIMIT      0.001
#define BUSY_PART       0.01
#define OPINIONS_A_TICK 40 /* what they cost grows with the endpoints, and a tick has 20 ms for a thousand */

static bool policy_has_meaning(const struct gate_policy *p)
{
	return p && p->alpha > 0 && p->alpha < 1 && p->max_error_ratio > 0 && isfinite(p->max_error_ratio) &&
	       p->max_latency_increase >= 0 && isfinite(p->max_latency_increase);
}

struct judge *judge__new(const struct gate_policy *policy)
{
	struct judge *j;

	if (!policy_has_meaning(policy)) {
		errno = EINVAL;
		return NULL;
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	tests__init(&j->tests, policy);
	j->reserve = 1;
	return j;
}

void judge__free(struct judge *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++)
		free(j->eps[i]);
	free(j->eps);
	free(j->figures);
	free(j->terms);
	free(j->named);
	free(j->cutovers);
	free(j->cutover_figures);
	free(j);
}

static int make_room(struct judge *j)
{
	size_t cap = j->cap ? 2 * j->cap : 16;
	struct verdict_endpoint *figures;
	struct judged_endpoint **eps;
	double *terms;
	bool *named;

	if (j->n < j->cap)
		return 0;
	eps = reallocarray(j->eps, cap, sizeof(*eps));
	if (!eps)
		return -ENOMEM;
	j->eps = eps;
	figures = reallocarray(j->figures, cap, sizeof(*figures));
	if (!figures)
		return -ENOMEM;
	j->figures = figures;
	terms = reallocarray(j->terms, 2 * cap + 1, sizeof(*terms));
	if (!terms)
		return -ENOMEM;
	j->terms = terms;
	named = reallocarray(j->named, cap, sizeof(*named));
	if (!named)
		return -ENOMEM;
	j->named = named;
	j->cap = cap;
	return 0;
}

/* The m-th newcomer gets r (h/(h+m) - h/(h+m+1)): any number of them never overdraws the reserve r. */
static double newcomer_weight(unsigned int m)
{
	double h = NEWCOMERS_HALF;

	return RESERVE * (h / (h + m) - h / (h + m + 1));
}

int judge__add_endpoint(struct judge *j, const struct judge_endpoint *ep)
{
	struct judged_endpoint *added;
	int err;

	if (!ep || !ep->name || !isfinite(ep->weight) || !isfinite(ep->slo_p95) || !isfinite(ep->slo_error_rate) ||
	    !isfinite(ep->margins.max_error_ratio) || !isfinite(ep->margins.max_latency_increase) ||
	    ep->cutover > j->n_cutovers || j->n >= INT32_MAX)
		return -EINVAL;
	err = make_room(j);
	if (err)
		return err;
	added = calloc(1, sizeof(*added));
	if (!added)
		return -ENOMEM;
	added->def = *ep;
	j->named[j->n] = ep->named;
	evidence__init(&added->ev, &j->tests, ep);
	placebo__init(&added->placebo, &added->ev);
	if (j->dealt) {
		added->weight = newcomer_weight(j->newcomers++);
		j->reserve -= added->weight;
	}
	j->eps[j->n] = added;
	return (int)j->n++;
}

int judge__add_cutover(struct judge *j, const struct judge_cutover *c)
{
	struct verdict_cutover *figures;
	struct judge_cutover *grown;

	if (!c || !c->name || j->n_cutovers >= INT32_MAX)
		return -EINVAL;
	grown = reallocarray(j->cutovers, j->n_cutovers + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	j->cutovers = grown;
	figures = reallocarray(j->cutover_figures, j->n_cutovers + 1, sizeof(*figures));
	if (!figures)
		return -ENOMEM;
	j->cutover_figures = figures;
	j->cutovers[j->n_cutovers] = *c;
	return (int)j->n_cutovers++;
}

/*
 * Deals the stake when the first tick is judged. Weights that were asked for are given (scaled down if they are too
 * many); the rest goes to the others, most of it to critical ones.
 */
static void deal(struct judge *j)
{
	double asked = 0, rest, scale = 1, critical_part = CRITICAL_PART;
	size_t critical = 0, others = 0;

	if (j->dealt || !j->n)
		return;
	for (size_t i = 0; i < j->n; i++) {
		if (j->eps[i]->def.weight > 0)
			asked += j->eps[i]->def.weight;
		else if (j->eps[i]->def.critical)
			critical++;
		else
			others++;
	}
	rest = 1 - RESERVE;
	if (asked > 0 && (asked > rest || !(critical + others)))
		scale = rest / asked;
	rest = fmax(0, rest - asked * scale);
	if (!critical || !others)
		critical_part = critical ? 1 : 0;
	j->reserve = 1;
	for (size_t i = 0; i < j->n; i++) {
		struct judged_endpoint *ep = j->eps[i];

		if (ep->def.weight > 0)
			ep->weight = ep->def.weight * scale;
		else if (ep->def.critical)
			ep->weight = rest * critical_part / critical;
		else
			ep->weight = rest * (1 - critical_part) / others;
		j->reserve -= ep->weight;
	}
	j->dealt = true;
}

bool loss_is_high(uint64_t lost_events, uint64_t lost_exchanges, uint64_t seen)
{
	/* A lost exchange may be the one whose event was lost: the larger of the two, not their sum. */
	double lost = fmax((double)lost_events, (double)lost_exchanges);

	return lost > LOSS_LIMIT * (double)seen;
}

static int check(struct judge *j, const struct tick *t, size_t n_endpoints)
{
	if (n_endpoints != j->n || (n_endpoints && !t->endpoints))
		return -EINVAL;
	for (size_t i = 0; i < n_endpoints; i++) {
		const struct endpoint_tick *ep = &t->endpoints[i];

		if (ep->baseline.bad > ep->baseline.n || ep->canary.bad > ep->canary.n)
			return -EINVAL;
	}
	/* Not a number fails each comparison. */
	if (!(t->end > t->start) || !(t->start >= j->run.end - 1e-9) || !isfinite(t->end - t->start)) {
		j->run.refused = true;
		return -EINVAL;
	}
	return 0;
}

static bool is_judged(const struct run_state *run)
{
	return !run->lossy && !run->lossy_arm && !run->unbalanced && !run->warming && !run->jumped;
}

static bool serves_both(const struct endpoint_tick *ep)
{
	return ep->baseline.n && ep->canary.n;
}

static bool observe_arm(struct arm_state *a, const struct arm_run *t)
{
	a->seen += t->seen;
	a->lost_events += t->lost_events;
	a->lost_exchanges += t->lost_exchanges;
	if (t->builds > a->builds)
		a->builds = t->builds;
	a->gone = t->gone;
	return loss_is_high(t->lost_events, t->lost_exchanges, t->seen);
}

static void observe_clock(struct run_state *run, const struct tick *t, double planned)
{
	run->jumped = clock_has_jumped(t->clock_jump);
	if (run->jumped) {
		run->jump = t->clock_jump;
		run->jump_end = t->end;
	}
	if (tick_is_long(t->end - t->start, planned)) {
		run->long_tick = t->end - t->start;
		run->long_end = t->end;
	}
}

static void observe(struct run_state *run, const struct tick *t, size_t n)
{
	uint64_t n_c = 0, n_b = 0;

	for (size_t i = 0; i < n; i++) {
		n_c += t->endpoints[i].canary.n;
		n_b += t->endpoints[i].baseline.n;
	}
	run->ticks++;
	run->served_c += n_c;
	run->served_b += n_b;
	run->idle_c = n_c ? 0 : run->idle_c + 1;
	run->idle_b = n_b ? 0 : run->idle_b + 1;
	run->seen += t->seen;
	run->lost_events += t->lost_events;
	run->lost_exchanges += t->lost_exchanges;
	run->lossy = loss_is_high(t->lost_events, t->lost_exchanges, t->seen);
	run->lossy_arm = observe_arm(&run->canary, &t->canary);
	run->lossy_arm |= observe_arm(&run->baseline, &t->baseline);
	run->unbalanced = !t->ledger_unknown && !t->ledger_balanced;
	run->ledger_unknown = t->ledger_unknown;
	run->warming = t->warming;
	run->refused = false;
	run->end = t->end;
}

/* Second opinions that are due, in turn: with more endpoints than fit into a tick they wait for the next ones. */
static void form_opinions(struct judge *j)
{
	size_t formed = 0;

	for (size_t i = 0; i < j->n && formed < OPINIONS_A_TICK; i++) {
		struct evidence *ev = &j->eps[j->next_opinion++ % j->n]->ev;

		if (!opinion__is_due(&ev->opinion))
			continue;
		opinion__form(&ev->opinion, &j->tests.opinion, j->tests.shift);
		formed++;
	}
	j->next_opinion = j->n ? j->next_opinion % j->n : 0;
}

int judge__tick(struct judge *j, const struct tick *t, size_t n_endpoints)
{
	bool shared = false;
	int err;

	err = check(j, t, n_endpoints);
	if (err)
		return err;
	observe(&j->run, t, n_endpoints);
	observe_clock(&j->run, t, j->tests.policy.tick);
	if (!is_judged(&j->run))
		return 0;

	deal(j);
	split__tick(&j->run.split, t, n_endpoints, j->named);
	for (size_t i = 0; i < n_endpoints; i++) {
		placebo__tick(&j->eps[i]->placebo, &j->eps[i]->ev, &t->endpoints[i]);
		evidence__tick(&j->eps[i]->ev, &j->tests, &t->endpoints[i], t->end - t->start);
		evidence__learn(&j->eps[i]->ev, &t->endpoints[i]);
		if (!serves_both(&t->endpoints[i]))
			continue;
		shared = true;
		j->run.counted += t->endpoints[i].canary.n + t->endpoints[i].baseline.n;
	}
	form_opinions(j);
	j->run.judged++;
	j->run.shared += shared;
	return 0;
}

enum deciders judge__deciders(const struct judge *j)
{
	enum deciders who = DECIDE_BUSY;

	for (size_t i = 0; i < j->n; i++) {
		if (j->eps[i]->def.critical)
			return DECIDE_CRITICAL;
		if (j->eps[i]->def.named)
			who = DECIDE_NAMED;
	}
	return who;
}

bool judge__decides(const struct judge *j, enum deciders who, const struct judged_endpoint *ep)
{
	double counted = (double)j->run.counted;

	if (who == DECIDE_CRITICAL)
		return ep->def.critical;
	if (who == DECIDE_NAMED)
		return ep->def.named;
	return counted > 0 && (double)ep->ev.n_c + (double)ep->ev.n_b >= BUSY_PART * counted;
}

int judge__slow_bucket(const struct judge *j, size_t endpoint)
{
	struct threshold p95;

	if (endpoint >= j->n)
		return -1;
	p95 = slowness__threshold(&j->eps[endpoint]->ev.slowness);
	return p95.set ? (int)p95.bucket : -1;
}
