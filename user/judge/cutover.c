/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cut-over units: each is judged as if it were the whole release, by its own endpoints, with its own weighted mean.
 *
 * What is said of all units together is not held to alpha: with twenty of them, one in twenty or so may be accused of
 * nothing. So a unit never rolls the release back; it holds it, and its owner is named.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "judge/steps.h"

static void __attribute__((format(printf, 2, 3))) tell(struct verdict_cutover *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, args);
	va_end(args);
}

/* Data is asked for endpoint by endpoint: another unit that lacks it is no reason for this one to wait. */
static bool all_but_data(const struct verdict *out)
{
	for (size_t i = 0; i < out->n_guards; i++)
		if (!out->guards[i].ok && strcmp(out->guards[i].name, "minimum_data"))
			return false;
	return true;
}

static void call(const struct picture *p, const struct guards_result *guards, bool ready, struct verdict_cutover *f)
{
	const char *what = p->strongest.slow ? "slow" : "failing", *where;

	where = p->strongest.ep ? p->strongest.ep->def.name : "-";
	if (!guards->valid) {
		f->kind = VERDICT_INVALID;
		tell(f, "the counts cannot be trusted");
	} else if (p->worse && !guards->comparable) {
		f->kind = VERDICT_HOLD;
		tell(f, "it looks worse, but that is not to be relied on while a guard says so");
	} else if (p->worse && p->answered) {
		f->kind = VERDICT_HOLD;
		tell(f, "worse than the baseline (%.60s: %s requests), but shown to be within the margins", where,
		     what);
	} else if (p->worse) {
		f->kind = VERDICT_ROLLBACK;
		tell(f, "worse than the baseline, most of it on %.60s: %s requests; chance would do this to %s", where,
		     what, one_in(p->log_e_bad).s);
	} else if (p->deciding && p->certified == p->deciding && ready && !p->leans) {
		f->kind = VERDICT_PROMOTE;
		tell(f, "as good as the baseline on all %zu endpoints that decide", p->deciding);
	} else {
		f->kind = VERDICT_HOLD;
		tell(f, "nothing shows that it is worse; %zu of %zu endpoints that decide are certified to be as good",
		     p->certified, p->deciding);
	}
}

void judge_cutovers(struct judge *j, struct guards_result guards, struct verdict *out)
{
	bool ready = all_but_data(out);

	for (size_t i = 0; i < j->n_cutovers; i++) {
		struct judged_cutover *c = &j->cutovers[i];
		struct verdict_cutover *f = &j->cutover_figures[i];

		*f = (struct verdict_cutover){
			.name = c->def.name,
			.owner = c->def.owner,
			.n_endpoints = c->picture.n_endpoints,
			.deciding = c->picture.deciding,
			.certified = c->picture.certified,
			.log_e_bad = c->picture.log_e_bad,
		};
		call(&c->picture, &guards, ready, f);
		c->objects = c->picture.worse && guards.valid && guards.comparable;
	}
	out->cutovers = j->cutover_figures;
	out->n_cutovers = j->n_cutovers;
}

const struct verdict_cutover *objecting_cutover(const struct verdict *v, const struct judge *j)
{
	const struct verdict_cutover *holds = NULL;

	for (size_t i = 0; i < j->n_cutovers; i++) {
		if (!j->cutovers[i].objects)
			continue;
		if (v->cutovers[i].kind == VERDICT_ROLLBACK)
			return &v->cutovers[i];
		if (!holds)
			holds = &v->cutovers[i];
	}
	return holds;
}

void tell_cutovers(const struct judge *j, struct verdict *out)
{
	for (size_t i = 0; i < j->n_cutovers; i++) {
		const struct verdict_cutover *f = &out->cutovers[i];
		const char *owner = f->owner ? f->owner : "not named";

		if (!j->cutovers[i].objects)
			continue;
		if (f->kind == VERDICT_ROLLBACK)
			reason(out, "unit_worse", NULL,
			       "unit %.63s (owner: %.40s) would be rolled back by itself: %.150s", f->name, owner,
			       f->text);
		else
			reason(out, "unit_within_margin", NULL,
			       "unit %.63s (owner: %.40s) is for its owner to decide: %.150s", f->name, owner, f->text);
	}
}
