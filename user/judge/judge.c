/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "judge/judge.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "judge/steps.h"

#define LOSS_LIMIT      0.001
#define BUSY_PART       0.01
#define OPINIONS_A_TICK 40 /* what they cost grows with the endpoints, and a tick has 20 ms for a thousand */

static bool policy_has_meaning(const struct gate_policy *p)
{
	return p && p->alpha > 0 && p->alpha < 1 && p->promote_alpha >= 0 && p->promote_alpha < 1 &&
	       p->max_error_ratio > 0 && isfinite(p->max_error_ratio) && p->max_latency_increase >= 0 &&
	       isfinite(p->max_latency_increase) && p->deadline >= 0 && isfinite(p->deadline);
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
	j->stake.reserve = 1;
	j->who = DECIDE_BUSY;
	return j;
}

void judge__free(struct judge *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < j->n; i++) {
		alone__free(j->eps[i]->alone);
		free(j->eps[i]);
	}
	free(j->eps);
	free(j->figures);
	free(j->named);
	accusations__free(&j->accusations);
	free(j->cutovers);
	free(j->cutover_figures);
	free(j);
}

static int make_room(struct judge *j)
{
	size_t cap = j->cap ? 2 * j->cap : 16;
	struct verdict_endpoint *figures;
	struct judged_endpoint **eps;
	bool *named;
	int err;

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
	named = reallocarray(j->named, cap, sizeof(*named));
	if (!named)
		return -ENOMEM;
	j->named = named;
	err = accusations__reserve(&j->accusations, 2 * cap);
	if (err)
		return err;
	j->cap = cap;
	return 0;
}

static bool has_meaning(const struct judge *j, const struct judge_endpoint *ep)
{
	return ep && ep->name && isfinite(ep->weight) && isfinite(ep->slo_p95) && isfinite(ep->slo_error_rate) &&
	       isfinite(ep->slo_p50) && isfinite(ep->slo_p90) && isfinite(ep->slo_p99) &&
	       isfinite(ep->margins.max_error_ratio) && ep->margins.max_error_ratio >= 0 &&
	       isfinite(ep->margins.max_latency_increase) && ep->margins.max_latency_increase >= 0 &&
	       ep->cutover <= j->n_cutovers;
}

static enum deciders narrower(enum deciders who, const struct judge_endpoint *ep)
{
	if (ep->critical)
		return DECIDE_CRITICAL;
	return ep->named && who == DECIDE_BUSY ? DECIDE_NAMED : who;
}

static void note_who_decides(struct judge *j, const struct judge_endpoint *ep)
{
	j->who = narrower(j->who, ep);
	if (ep->cutover)
		j->cutovers[ep->cutover - 1].who = narrower(j->cutovers[ep->cutover - 1].who, ep);
}

int judge__add_endpoint(struct judge *j, const struct judge_endpoint *ep)
{
	struct judged_endpoint *added;
	int err;

	if (!has_meaning(j, ep) || j->n >= INT32_MAX)
		return -EINVAL;
	err = make_room(j);
	if (err)
		return err;
	added = calloc(1, sizeof(*added));
	if (!added)
		return -ENOMEM;
	err = alone__new(&added->alone, &j->tests.policy, ep);
	if (err) {
		free(added);
		return err;
	}
	added->def = *ep;
	j->named[j->n] = ep->named;
	evidence__init(&added->ev, &j->tests, ep);
	placebo__init(&added->placebo, &added->ev);
	answers__init(&added->answers, &added->ev);
	note_who_decides(j, ep);
	if (j->dealt)
		added->weight = stake__newcomer(&j->stake);
	if (j->dealt && ep->cutover)
		added->weight_in_unit = stake__newcomer(&j->cutovers[ep->cutover - 1].stake);
	j->eps[j->n] = added;
	return (int)j->n++;
}

int judge__add_cutover(struct judge *j, const struct judge_cutover *c)
{
	struct verdict_cutover *figures;
	struct judged_cutover *grown;

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
	j->cutovers[j->n_cutovers] = (struct judged_cutover){ .def = *c, .who = DECIDE_BUSY, .stake.reserve = 1 };
	return (int)j->n_cutovers++;
}

/*
 * Part of the stake that hard stops hold. Where the canary stands alone against what was announced there is no other
 * evidence, and bursts over all of its connections that last longer than a tick have nothing to cancel out in: half of
 * the stake is kept back.
 */
#define HARD_PART          0.1
#define HARD_PART_ABSOLUTE 0.5

static double deal_hard(struct judge *j)
{
	for (size_t i = 0; i < j->n; i++) {
		j->eps[i]->hard = j->eps[i]->alone && j->eps[i]->alone->n_limits;
		j->n_hard += j->eps[i]->hard;
	}
	if (!j->n_hard)
		return 0;
	return j->tests.policy.mode == GATE_ABSOLUTE ? HARD_PART_ABSOLUTE : HARD_PART;
}

/* When the first tick is judged: the endpoints of the config are known by then. */
static void deal(struct judge *j)
{
	if (j->dealt || !j->n)
		return;
	j->stake.hard = deal_hard(j);
	stakes__deal(&j->stake, j->eps, j->n, j->cutovers, j->n_cutovers);
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

		if (ep->baseline.bad > ep->baseline.n || ep->canary.bad > ep->canary.n ||
		    ep->baseline.turned_away > ep->baseline.n || ep->canary.turned_away > ep->canary.n)
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

static uint64_t add_up(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/*
 * What a program lets through unread when it has just been found says nothing of what comes later, nor does what was
 * under way when the observation began, unless nothing was read at all.
 */
static void observe_unread(struct arm_state *a, const struct arm_run *t, bool aside)
{
	if (aside && (t->seen || a->read))
		return;
	a->read += t->seen;
	a->unread = add_up(a->unread, t->unread);
}

static bool observe_arm(struct arm_state *a, const struct arm_run *t, bool aside)
{
	observe_unread(a, t, aside);
	a->withheld = add_up(a->withheld, t->withheld);
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
	bool aside = t->warming || !run->ticks;
	uint64_t n_c = 0, n_b = 0;

	for (size_t i = 0; i < n; i++) {
		n_c += t->endpoints[i].canary.n;
		n_b += t->endpoints[i].baseline.n;
	}
	run->dropped_c = add_up(run->dropped_c, t->canary.dropped);
	run->dropped_b = add_up(run->dropped_b, t->baseline.dropped);
	run->after |= n_c > 0;
	run->ticks++;
	run->served_c += n_c;
	run->served_b += n_b;
	run->idle_c = n_c ? 0 : run->idle_c + 1;
	run->idle_b = n_b ? 0 : run->idle_b + 1;
	run->seen += t->seen;
	run->lost_events += t->lost_events;
	run->lost_exchanges += t->lost_exchanges;
	run->lossy = loss_is_high(t->lost_events, t->lost_exchanges, t->seen);
	run->lossy_arm = observe_arm(&run->canary, &t->canary, aside);
	run->lossy_arm |= observe_arm(&run->baseline, &t->baseline, aside);
	run->unbalanced = !t->ledger_unknown && !t->ledger_balanced;
	run->ledger_unknown = t->ledger_unknown;
	run->warming = t->warming;
	run->refused = false;
	run->end = t->end;
}

/* The canary against the baseline in the same seconds; true if both were served. */
static bool take_both(struct judge *j, struct judged_endpoint *ep, const struct endpoint_tick *tick, double seconds)
{
	placebo__tick(&ep->placebo, &ep->ev, tick);
	answers__tick(&ep->answers, &ep->ev, tick);
	evidence__tick(&ep->ev, &j->tests, tick, seconds);
	evidence__learn(&ep->ev, tick);
	if (!serves_both(tick))
		return false;
	j->run.counted += tick->canary.n + tick->baseline.n;
	return true;
}

/* One of them: the canary, or, in mode before_after and before it came, the baseline. */
static void take_one(struct judge *j, struct judged_endpoint *ep, const struct endpoint_tick *tick)
{
	bool before = j->tests.policy.mode == GATE_BEFORE_AFTER && !j->run.after;
	const struct arm_tick *arm = before ? &tick->baseline : &tick->canary;

	if (!arm->n)
		return;
	if (before)
		alone__before(ep->alone, &ep->ev, arm);
	else
		alone__after(ep->alone, &ep->ev, &j->tests, arm);
	j->run.counted += arm->n;
}

/* Second opinions that are due, in turn: with more endpoints than fit into a tick they wait for the next ones. */
static void form_opinions(struct judge *j)
{
	size_t formed = 0;

	for (size_t i = 0; i < j->n && formed < OPINIONS_A_TICK; i++) {
		struct evidence *ev = &j->eps[j->next_opinion++ % j->n]->ev;

		if (!opinion__is_due(&ev->opinion))
			continue;
		opinion__form(&ev->opinion, &j->tests.opinion, ev->shift);
		formed++;
	}
	j->next_opinion = j->n ? j->next_opinion % j->n : 0;
}

static void take(struct judge *j, const struct tick *t, size_t n_endpoints)
{
	bool shared = false;

	deal(j);
	split__tick(&j->run.split, t, n_endpoints, j->named);
	for (size_t i = 0; i < n_endpoints; i++) {
		struct judged_endpoint *ep = j->eps[i];
		const struct endpoint_tick *tick = &t->endpoints[i];

		if (ep->alone && tick->canary.n)
			alone__limits(ep->alone, &j->tests, &tick->canary);
		if (j->tests.policy.mode == GATE_CANARY)
			shared |= take_both(j, ep, tick, t->end - t->start);
		else
			take_one(j, ep, tick);
	}
	form_opinions(j);
	j->run.judged++;
	j->run.shared += shared;
}

/* A release is called at its deadline at the latest, so what it was called then is kept. */
static void note_deadline(struct judge *j)
{
	struct verdict v;

	if (j->run.overdue || !(j->tests.policy.deadline > 0) || j->run.end < j->tests.policy.deadline)
		return;
	judge__verdict(j, &v);
	j->run.overdue = true;
	j->run.uncalled = v.kind == VERDICT_HOLD || v.kind == VERDICT_INVALID;
}

/* All that a tick may need and that may fail, before it counts for anything. */
static int make_ready(struct judge *j, const struct tick *t, size_t n)
{
	int err = 0;

	if (j->tests.policy.mode != GATE_BEFORE_AFTER || j->run.after)
		return 0;
	for (size_t i = 0; i < n && !err; i++)
		if (t->endpoints[i].baseline.n)
			err = alone__begin(j->eps[i]->alone, &j->eps[i]->ev);
	return err;
}

/*
 * What was under way when the observation began cannot always be followed to its end. That says nothing of the rest, so
 * a first tick that lost too much is not judged, as if it were a warm-up, and what it lost is told apart.
 */
static bool began_in(const struct run_state *run, const struct tick *t)
{
	const struct arm_run *c = &t->canary, *b = &t->baseline;

	return !run->ticks && (loss_is_high(t->lost_events, t->lost_exchanges, t->seen) ||
	                       loss_is_high(c->lost_events, c->lost_exchanges, c->seen) ||
	                       loss_is_high(b->lost_events, b->lost_exchanges, b->seen));
}

static void forget_losses(struct run_state *run, struct tick *t)
{
	run->forgotten = t->lost_events > t->lost_exchanges ? t->lost_events : t->lost_exchanges;
	t->lost_events = t->lost_exchanges = 0;
	t->canary.lost_events = t->canary.lost_exchanges = 0;
	t->baseline.lost_events = t->baseline.lost_exchanges = 0;
	t->warming = true;
}

int judge__tick(struct judge *j, const struct tick *t, size_t n_endpoints)
{
	struct tick first;
	int err;

	err = check(j, t, n_endpoints);
	if (!err)
		err = make_ready(j, t, n_endpoints);
	if (err)
		return err;
	if (began_in(&j->run, t)) {
		first = *t;
		forget_losses(&j->run, &first);
		t = &first;
	}
	observe(&j->run, t, n_endpoints);
	observe_clock(&j->run, t, j->tests.policy.tick);
	if (is_judged(&j->run))
		take(j, t, n_endpoints);
	note_deadline(j);
	return 0;
}

bool judge__decides(const struct judge *j, const struct judged_endpoint *ep)
{
	enum deciders who = ep->def.cutover ? j->cutovers[ep->def.cutover - 1].who : j->who;
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
	if (j->tests.policy.mode != GATE_CANARY)
		return alone__slow_bucket(j->eps[endpoint]->alone);
	p95 = slowness__threshold(&j->eps[endpoint]->ev.slowness);
	return p95.set ? (int)p95.bucket : -1;
}
