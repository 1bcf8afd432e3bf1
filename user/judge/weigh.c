/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Weighs the evidence of all endpoints, for the release and for each of its units: whether the canary is worse, and
 * what speaks for it.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "judge/stats/multiplicity.h"
#include "judge/steps.h"

/* Failing is the more urgent of the two tests of an endpoint and gets the larger part of its weight. */
#define ERRORS_PART 0.75

static double part_of(double weight, bool slow)
{
	return weight > 0 ? log(weight * (slow ? 1 - ERRORS_PART : ERRORS_PART)) : -1e3;
}

double stake(const struct judged_endpoint *ep, bool slow)
{
	return part_of(ep->weight, slow);
}

/* In mode before_after the ratio tests stay at 1, and in the others those of before and after. */
double errors_evidence(const struct judged_endpoint *ep)
{
	return ratio_test__log_e(&ep->ev.errors_bad) + (ep->alone ? alone__log_e_errors(ep->alone) : 0);
}

/*
 * Failing is urgent, slow is not: latency speaks for a rollback only once there is the minimum of data. By then a
 * difference that is real but tiny has been certified to lie within the margin. A fail-fast endpoint does not wait.
 */
double slow_evidence(const struct judge *j, const struct judged_endpoint *ep)
{
	double log_e = evidence__slow_bad(&ep->ev) + (ep->alone ? alone__log_e_slow(ep->alone) : 0);

	return ep->def.fail_fast || evidence__enough(&ep->ev, &j->tests) ? log_e : fmin(log_e, 0);
}

/* An accusation of one kind is answered by a certificate of that kind on that endpoint. */
bool is_answered(const struct judge *j, const struct accusation *a)
{
	if (j->tests.policy.mode == GATE_BEFORE_AFTER)
		return within_before(j, a->ep, a->slow);
	return a->slow ? evidence__latency_certified(&a->ep->ev, &j->tests)
	               : evidence__errors_certified(&a->ep->ev, &j->tests);
}

/* ---- one release, or one unit ------------------------------------------------------------------------------------ */

static double log_add(double a, double b)
{
	double most = fmax(a, b);

	return most + log1p(exp(fmin(a, b) - most));
}

static void picture_begin(struct picture *p, const struct stake *s)
{
	*p = (struct picture){ .log_e_bad = s->reserve > 0 ? log(s->reserve) : -1e3, .strongest_share = -1e300 };
}

static void picture_add(struct picture *p, const struct accusation *a, double share)
{
	p->log_e_bad = log_add(p->log_e_bad, share);
	if (share <= p->strongest_share)
		return;
	p->strongest_share = share;
	p->strongest = *a;
}

/* Three to one: a release may be within its margins and still be about to be found worse. */
#define LEANS 1.0986122887 /* log 3 */

/* Every accusation that is named has to be answered, and the strongest where none is. */
static void picture_end(const struct judge *j, struct picture *p, struct accusations *all)
{
	p->worse = p->log_e_bad >= j->tests.need;
	p->leans = !p->worse && p->log_e_bad >= LEANS;
	all->n_named = 0;
	if (!p->worse)
		return;
	accusations__name(all, j->tests.policy.alpha);
	p->answered = !p->strongest.ep || is_answered(j, &p->strongest);
	for (size_t i = 0; i < all->n_named && p->answered; i++)
		p->answered = is_answered(j, &all->of[all->order[i]]);
}

/* unit: its number plus 1; 0: the release. */
static void weigh(struct judge *j, struct picture *p, const struct stake *s, unsigned int unit)
{
	struct accusations *all = &j->accusations;

	picture_begin(p, s);
	all->n = 0;
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		bool decides;

		if (unit && ep->def.cutover != unit)
			continue;
		for (int slow = 0; slow < 2; slow++) {
			struct accusation a = { ep, slow };
			double share = part_of(unit ? ep->weight_in_unit : ep->weight, slow) +
			               (slow ? ep->log_e_slow : ep->log_e_errors);

			picture_add(p, &a, share);
			all->part[all->n] = share;
			all->of[all->n++] = a;
		}
		decides = judge__decides(j, ep);
		p->n_endpoints++;
		p->deciding += decides;
		p->certified += decides && ep->is_certified;
	}
	if (!unit)
		p->log_e_bad = log_add(p->log_e_bad, hard_evidence(j));
	if (!j->dealt)
		p->log_e_bad = 0;
	picture_end(j, p, all);
}

/* What every picture asks of an endpoint, once. */
static void look_at_endpoint(const struct judge *j, struct judged_endpoint *ep)
{
	ep->log_e_errors = errors_evidence(ep);
	ep->log_e_slow = slow_evidence(j, ep);
	if (j->tests.policy.mode == GATE_CANARY)
		ep->is_certified = evidence__certified(&ep->ev, &j->tests);
	else
		ep->is_certified = certified_alone(j, ep);
}

void look(struct judge *j, struct picture *p)
{
	for (size_t i = 0; i < j->n; i++)
		look_at_endpoint(j, j->eps[i]);
	for (size_t i = 0; i < j->n_cutovers; i++)
		weigh(j, &j->cutovers[i].picture, &j->cutovers[i].stake, (unsigned int)i + 1);
	weigh(j, p, &j->stake, 0);
}

const struct judged_endpoint *fail_fast_enough(const struct judge *j)
{
	for (size_t i = 0; i < j->n; i++) {
		const struct judged_endpoint *ep = j->eps[i];
		double alone = -1e300;

		if (!ep->def.fail_fast)
			continue;
		for (int slow = 0; slow < 2; slow++) {
			struct accusation a = { ep, slow };

			if (!is_answered(j, &a))
				alone = log_add(alone, stake(ep, slow) + (slow ? ep->log_e_slow : ep->log_e_errors));
		}
		if (alone >= j->tests.need)
			return ep;
	}
	return NULL;
}

/* ---- who is to be named ------------------------------------------------------------------------------------------ */

void accusations__free(struct accusations *a)
{
	free(a->of);
	free(a->part);
	free(a->log_e);
	free(a->order);
	free(a->named);
}

int accusations__reserve(struct accusations *a, size_t n)
{
	struct accusation *of = reallocarray(a->of, n, sizeof(*of));
	double *part, *log_e;
	size_t *order;
	bool *named;

	a->of = of ? of : a->of;
	part = reallocarray(a->part, n, sizeof(*part));
	a->part = part ? part : a->part;
	log_e = reallocarray(a->log_e, n, sizeof(*log_e));
	a->log_e = log_e ? log_e : a->log_e;
	order = reallocarray(a->order, n, sizeof(*order));
	a->order = order ? order : a->order;
	named = reallocarray(a->named, n, sizeof(*named));
	a->named = named ? named : a->named;
	return of && part && log_e && order && named ? 0 : -ENOMEM;
}

/*
 * e-BH with the stakes as weights: K times its stake times E, where K is their number, are e-values of mean weight 1 at
 * most, so the expected part of wrong names stays below alpha (Wang & Ramdas 2022). It names the k strongest if each of
 * them holds at least 1/(k alpha) of the weighted mean: one that is conclusive alone is always named, and none is where
 * the mean is not.
 */
void accusations__name(struct accusations *a, double alpha)
{
	for (size_t i = 0; i < a->n; i++)
		a->log_e[i] = a->part[i] + log((double)a->n);
	a->n_named = flag_e_bh(a->log_e, a->n, alpha, a->order, a->named);
}
