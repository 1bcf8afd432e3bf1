/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision. Reads the judge's state and changes nothing but the figures it hands out.
 */
#include <string.h>

#include "judge/steps.h"

const char *const verdict_names[] = {
	[VERDICT_PROMOTE] = "promote",
	[VERDICT_HOLD] = "hold",
	[VERDICT_ROLLBACK] = "rollback",
	[VERDICT_INVALID] = "invalid",
};

int verdict_exit_code(enum verdict_kind kind)
{
	switch (kind) {
	case VERDICT_PROMOTE:
		return TW_EXIT_PROMOTE;
	case VERDICT_ROLLBACK:
		return TW_EXIT_ROLLBACK;
	case VERDICT_HOLD:
		return TW_EXIT_HOLD;
	case VERDICT_INVALID:
		return TW_EXIT_INVALID;
	}
	return TW_EXIT_FAILURE;
}

/*
 *  counts   | worse | within the margins | a unit is worse | deciding endpoints     | verdict
 *  trusted  |       | in what is worse   | by itself       | certified, guards hold, |
 *           |       |                    |                 | nothing leans to worse |
 *  whatever, and a hard stop has come                                                | rollback
 *  no       |       |                    |                 |                        | invalid
 *  yes      | yes, but nothing that differs shows anything                          | hold
 *  yes      | yes   | yes                |                 |                        | hold: the owner decides
 *  yes      | yes   | no                 |                 |                        | rollback
 *  yes      | no    |                    | yes             |                        | hold: the unit's owner decides
 *  yes      | no    |                    | no              | yes                    | promote
 *  yes      | no    |                    | no              | no                     | hold
 */
static void decide(const struct judge *j, const struct picture *p, struct guards_result guards, struct verdict *out)
{
	bool all = p->deciding && p->certified == p->deciding;

	out->kind = VERDICT_HOLD;
	if (stopped_hard(j, p, out)) {
		out->kind = VERDICT_ROLLBACK;
	} else if (!guards.valid) {
		out->kind = VERDICT_INVALID;
		tell_failed_guards(out);
	} else if (p->worse && !guards.comparable) {
		reason(out, "not_comparable", NULL,
		       "the canary looks worse, but that is not to be relied on while this holds");
		tell_failed_guards(out);
		tell_culprits(j, p, out);
	} else if (p->worse && p->answered) {
		reason(out, "worse_within_margin", NULL,
		       "the canary is worse than the baseline, but in that it is shown to be within the margins: the owner decides");
		tell_culprits(j, p, out);
	} else if (p->worse) {
		out->kind = VERDICT_ROLLBACK;
		tell_culprits(j, p, out);
	} else if (objecting_cutover(out, j)) {
		tell_cutovers(j, out);
	} else if (all && guards.sufficient && !p->leans) {
		out->kind = VERDICT_PROMOTE;
		tell_certified(j, p, out);
	} else {
		reason(out, "undecided", NULL,
		       "nothing shows that the canary is worse; %zu of %zu endpoints that decide are certified to be as good",
		       p->certified, p->deciding);
		if (all && p->leans)
			reason(out, "leaning", NULL,
			       "what was seen leans towards the canary being worse, though not by enough to say so: it is not "
			       "promoted while it does");
		tell_failed_guards(out);
		tell_missing(j, out);
	}
}

/* What was not called in time becomes what the policy says, and is not promoted any more. */
static void apply_deadline(const struct judge *j, struct verdict *out)
{
	const struct gate_policy *policy = &j->tests.policy;
	bool roll_back = policy->at_deadline == DEADLINE_ROLLBACK;

	if (!j->run.overdue)
		return;
	out->final = true;
	if (!j->run.uncalled || out->kind == VERDICT_INVALID || out->kind == VERDICT_ROLLBACK)
		return;
	out->kind = roll_back ? VERDICT_ROLLBACK : VERDICT_HOLD;
	reason_first(out, "deadline", NULL, "the release could not be called within %.6g s: %s", policy->deadline,
	             roll_back ? "it is rolled back, as at_deadline says" : "the owner decides");
}

static void fill_figures(const struct judge *j, const struct judged_endpoint *ep, struct verdict_endpoint *f)
{
	const struct evidence *ev = &ep->ev;

	*f = (struct verdict_endpoint){
		.endpoint = ep->def.name,
		.critical = ep->def.critical,
		.n_c = ev->n_c,
		.n_b = ev->n_b,
		.bad_c = ev->bad_c,
		.bad_b = ev->bad_b,
		.log_e_bad = ep->log_e_errors,
		.log_e_good = evidence__errors_good(ev),
		.slow_c = ev->slow_c,
		.slow_b = ev->slow_b,
		.has_threshold = ev->threshold.set,
		.slow_threshold = ev->threshold.set ? histogram_upper(ev->threshold.bucket) : 0,
		.log_e_slow_bad = evidence__slow_bad(ev),
		.log_e_slow_good = ratio_test__log_e(&ev->slow_good),
		.certified = ep->is_certified,
		.margins = ev->margins,
		.fail_fast = ep->def.fail_fast,
		.unit = ev->unit,
		.has_dispersion_bad = dispersion__is_known(&ev->bad_dispersion),
		.has_dispersion_slow = dispersion__is_known(&ev->slow_dispersion),
		.dispersion_bad = dispersion__phi(&ev->bad_dispersion),
		.dispersion_slow = dispersion__phi(&ev->slow_dispersion),
	};
	alone_figures(j, ep, f);
	f->has_ratio = ratio__estimate(&ev->ratio, &f->ratio);
	if (f->has_ratio)
		ratio__interval(&ev->ratio, &j->tests.grid, j->tests.policy.alpha, &f->ratio_low, &f->ratio_high);
	describe(ep, j->tests.policy.alpha, f);
}

void judge__verdict(struct judge *j, struct verdict *out)
{
	struct guards_result guards;
	struct picture p;

	memset(out, 0, sizeof(*out));
	out->alpha = j->tests.policy.alpha;
	out->promote_alpha = j->tests.policy.promote_alpha;
	look(j, &p);
	out->log_e_bad = p.log_e_bad;
	guards = judge__guards(j, out);
	judge_cutovers(j, guards, out);
	decide(j, &p, guards, out);
	tell_mode(j, out);
	if (out->kind == VERDICT_ROLLBACK && fail_fast_enough(j)) {
		out->final = true;
		tell_fail_fast(j, out);
	}
	apply_deadline(j, out);
	tell_opinions(j, out);
	if (out->kind == VERDICT_HOLD && !p.worse && !objecting_cutover(out, j) && guards.patient && !out->final)
		plan_rest(j, &p, out);
	for (size_t i = 0; i < j->n; i++)
		fill_figures(j, j->eps[i], &j->figures[i]);
	out->endpoints = j->figures;
	out->n_endpoints = j->n;
	summarise(j, &p, out);
}
