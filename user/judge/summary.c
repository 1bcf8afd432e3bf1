/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verdict in one sentence, for people who have never read anything about statistics: what was found, how sure that
 * is, what could not be ruled out, and what would change it. Figures and the words that go with them come below it.
 *
 * What it tells is chosen by the reasons that were given, so whoever adds a reason to a verdict adds its words here.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "judge/steps.h"

/* The four parts; together with what joins them they fit the summary. */
struct story {
	char found[224], sure[120], open[108], change[88];
};

#define SAY(part, ...) snprintf(part, sizeof(part), __VA_ARGS__)

struct short_text {
	char s[48];
};

static struct short_text name_of(const char *name)
{
	size_t len = strlen(name), keep = 40;
	struct short_text w;

	if (len <= keep) {
		SAY(w.s, "%s", name);
		return w;
	}
	while (keep && ((unsigned char)name[keep] & 0xc0) == 0x80)
		keep--;
	SAY(w.s, "%.*s...", (int)keep, name);
	return w;
}

static struct short_text time_of(double seconds)
{
	static const struct {
		double from, unit;
		const char *name;
	} units[] = { { 129600, 86400, "days" }, { 5400, 3600, "hours" }, { 90, 60, "minutes" }, { 0, 1, "seconds" } };
	struct short_text w = { "" };
	size_t i = 0;

	while (seconds < units[i].from)
		i++;
	SAY(w.s, "%u %s", (unsigned int)fmin(fmax(2, ceil(seconds / units[i].unit)), 99999), units[i].name);
	return w;
}

/* What the release is held against. */
static const char *the_old(const struct judge *j)
{
	return j->tests.policy.mode == GATE_ABSOLUTE ? "what was announced" : "the old one";
}

/* ---- guards ------------------------------------------------------------------------------------------------------ */

/* By what they say first where several fail. */
static const struct plain_guard {
	const char *name, *found, *change;
} plain_guards[] = {
	{ "ledger", "requests went missing from the count", "a count that adds up again" },
	{ "lost_events", "too many requests were lost from sight", "a measurement that loses fewer" },
	{ "no_traffic", "requests do not reach both versions", "requests to both of them" },
	{ "simultaneity", "the two versions have never been at work at the same time", "requests to both at once" },
	{ "warm_up", "a program has only just started", "time to warm up" },
	{ "time", "the clock went backwards", "a clock that runs on" },
	{ "minimum_data", "too few requests have been seen", "more requests to both versions" },
};

static const struct plain_guard unknown_guard = { NULL, "one of the checks of the measurement has failed",
	                                          "a measurement that passes this check" };

static const struct plain_guard *plain(const char *name)
{
	for (size_t i = 0; i < sizeof(plain_guards) / sizeof(*plain_guards); i++)
		if (!strcmp(plain_guards[i].name, name))
			return &plain_guards[i];
	return &unknown_guard;
}

/* NULL: all hold. */
static const struct plain_guard *first_failed(const struct verdict *v)
{
	const struct plain_guard *first = NULL;

	for (size_t i = 0; i < v->n_guards; i++) {
		const struct plain_guard *g = v->guards[i].ok ? NULL : plain(v->guards[i].name);

		/* One that is not in the table says the least and comes last but for the lack of data. */
		if (g && (!first || !strcmp(first->name ? first->name : "", "minimum_data") ||
		          (g->name && first->name && g < first)))
			first = g;
	}
	return first;
}

/* ---- accusations ------------------------------------------------------------------------------------------------- */

static bool mostly_dropped(const struct evidence *ev)
{
	const uint64_t *n = ev->outcome_c;
	double dropped = (double)n[TW_UNANSWERED] + (double)n[TW_TRUNCATED] + (double)n[TW_RESET_BY_SERVER] +
	                 (double)n[TW_TIMEOUT];

	return ev->bad_c && 2 * dropped >= (double)ev->bad_c;
}

static const char *deed(const struct accusation *a)
{
	if (a->slow)
		return "is slower than";
	return mostly_dropped(&a->ep->ev) ? "leaves more requests without a whole answer than"
	                                  : "fails more requests than";
}

/* How many endpoints are named, and whether for both kinds. */
static size_t count_named(const struct accusations *all, bool *both)
{
	size_t n = 0;
	bool slow = false, errors = false;

	for (size_t i = 0; i < all->n_named; i++) {
		const struct accusation *a = &all->of[all->order[i]];
		bool again = false;

		for (size_t k = 0; k < i && !again; k++)
			again = all->of[all->order[k]].ep == a->ep;
		n += !again;
		slow |= a->slow;
		errors |= !a->slow;
	}
	*both = slow && errors;
	return n;
}

static void found_worse(const struct judge *j, const struct picture *p, struct story *s, const char *but)
{
	const struct accusations *all = &j->accusations;
	const struct accusation *a = all->n_named ? &all->of[all->order[0]] : &p->strongest;
	bool both;
	size_t n = count_named(all, &both);
	char others[48] = "";

	if (n > 1)
		SAY(others, " and %zu other endpoint%s", n - 1, n > 2 ? "s" : "");
	if (!n)
		SAY(s->found,
		    "All endpoints together show that the new version is worse than %s, most of it on %s, though none does "
		    "so by itself%s",
		    the_old(j), name_of(a->ep->def.name).s, but);
	else if (both)
		SAY(s->found, "The new version fails more requests and is slower than %s on %s%s%s", the_old(j),
		    name_of(a->ep->def.name).s, others, but);
	else
		SAY(s->found, "The new version %s %s on %s%s%s", deed(a), the_old(j), name_of(a->ep->def.name).s,
		    others, but);
}

/* ---- one for each cause ------------------------------------------------------------------------------------------ */

static void worse(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	found_worse(j, p, s, "");
	SAY(s->sure, "and chance would do this to %.60s that is as good", one_in(v->log_e_bad).s);
	SAY(s->open, "whether the program or what it runs on is the cause cannot be told from outside");
	SAY(s->change, "only a release that does better would change this");
}

static void within_margin(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	found_worse(j, p, s, ", but by less than was agreed");
	SAY(s->sure, "and that it is worse at all chance would do to %.60s", one_in(v->log_e_bad).s);
	SAY(s->open, "whether so small a difference matters cannot be measured");
	SAY(s->change, "only its owner's decision would change this");
}

static void unit_objects(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const struct verdict_cutover *unit = objecting_cutover(v, j);
	const char *owner = unit->owner ? unit->owner : "nobody named";
	bool worse = unit->kind == VERDICT_ROLLBACK;

	SAY(s->found, "The unit %s (owner: %s) %s, while the release as a whole is not",
	    name_of(unit->name).s, name_of(owner).s,
	    worse ? "is worse and would be rolled back alone" : "is worse by less than was agreed");
	SAY(s->sure, "and chance would do this to %.60s", one_in(unit->log_e_bad).s);
	SAY(s->open, "that it is this unit's bad luck among many cannot be ruled out");
	SAY(s->change, "its owner's decision or more requests would change this");
}

static void promoted(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const char *only = NULL;

	for (size_t i = 0; i < j->n && p->deciding == 1 && !only; i++)
		if (judge__decides(j, j->eps[i]))
			only = j->eps[i]->def.name;
	if (only)
		SAY(s->found, "The new version is as good as %s on %s, the one endpoint that decides", the_old(j),
		    name_of(only).s);
	else
		SAY(s->found, "The new version is as good as %s on all %zu endpoints that decide", the_old(j),
		    p->deciding);
	SAY(s->sure, "and one that is worse than was agreed would get this far at most once in %.0f times",
	    floor(exp(j->tests.promote_need) + 1e-9));
	if (p->deciding < j->n)
		SAY(s->open, "differences smaller than agreed, or on endpoints that do not decide, cannot be ruled out");
	else
		SAY(s->open, "differences smaller than was agreed cannot be ruled out");
	SAY(s->change, "failures or delays that begin from now on would change this");
}

static bool is_too_fine(const struct judge *j)
{
	for (size_t i = 0; i < j->n; i++)
		if (judge__decides(j, j->eps[i]) && !j->eps[i]->ev.shift)
			return true;
	return false;
}

static void undecided(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const struct plain_guard *g = first_failed(v);

	if (g)
		SAY(s->found, "Nothing shows that the new version is worse than %s, but %s", the_old(j), g->found);
	else
		SAY(s->found,
		    "Nothing shows that the new version is worse than %s, but on %zu of %zu endpoints that decide it has "
		    "not been shown to be as good",
		    the_old(j), p->deciding - p->certified, p->deciding);
	SAY(s->sure, "and to go ahead now would be a guess");
	SAY(s->open, "that it is worse than was agreed cannot be ruled out");
	if (is_too_fine(j))
		SAY(s->change, "only a wider limit for slowness would change this, the one set cannot be measured");
	else if (v->has_eta)
		SAY(s->change, "about %.20s more of this traffic should settle it", time_of(v->eta_seconds).s);
	else
		SAY(s->change, "%s would change this", g ? g->change : "more requests to both versions");
}

static void invalid(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const struct plain_guard *g = first_failed(v);

	if (!g)
		g = &unknown_guard;
	SAY(s->found, "Nothing can be said about the new version because %s", g->found);
	SAY(s->sure, "and no figure below can be relied on");
	SAY(s->open, "neither that it is worse nor that it is as good can be ruled out");
	SAY(s->change, "%s would change this", g->change);
}

static void limit_broken(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const char *where = NULL;

	for (size_t i = 0; i < v->n_reasons && !where; i++)
		if (!strcmp(v->reasons[i].code, "slo_breached"))
			where = v->reasons[i].endpoint;
	SAY(s->found, "The new version is worse than was announced%s%s", where ? " for " : "",
	    where ? name_of(where).s : "");
	SAY(s->sure, "and chance would do this to at most 1 release in %.0f that keeps to it",
	    floor(1 / v->alpha + 1e-9));
	SAY(s->open, "whether the program or what it runs on is the cause cannot be told from outside");
	SAY(s->change, "only a release that does better would change this");
}

static void sessions_dropped(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	SAY(s->found, "The new version has dropped more sessions of its users than are allowed");
	SAY(s->sure, "and that was counted, so it is certain");
	SAY(s->open, "whether the program or what it runs on is the cause cannot be told from outside");
	SAY(s->change, "only a release that does better would change this");
}

/* By the code of the reason that made the verdict; one that is in none of them failed as a guard. */
static const struct cause {
	const char *code;
	void (*tell)(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s);
	const char *not_called; /* at the deadline: why it could not be */
} causes[] = {
	{ "certified", promoted, "it was not good enough when the time was over" },
	{ "undecided", undecided, "it has not been shown to be good enough" },
	{ "worse_within_margin", within_margin, "it is worse by less than was agreed" },
	{ "unit_worse", unit_objects, "one of its units is worse while the release as a whole is not" },
	{ "unit_within_margin", unit_objects, "one of its units is worse by less than was agreed" },
	{ "errors_worse", worse, NULL },
	{ "latency_worse", worse, NULL },
	{ "together_worse", worse, NULL },
	{ "slo_breached", limit_broken, NULL },
	{ "sessions_dropped", sessions_dropped, NULL },
};

static bool has_reason(const struct verdict *v, const char *code)
{
	for (size_t i = 0; i < v->n_reasons; i++)
		if (!strcmp(v->reasons[i].code, code))
			return true;
	return false;
}

static const struct cause *cause_of_verdict(const struct verdict *v)
{
	for (size_t i = 0; i < v->n_reasons; i++)
		for (size_t k = 0; k < sizeof(causes) / sizeof(*causes); k++)
			if (!strcmp(v->reasons[i].code, causes[k].code))
				return &causes[k];
	return NULL;
}

static void time_is_over(const struct cause *c, const struct verdict *v, struct story *s)
{
	SAY(s->found, "The time allowed is over and the new version could not be called, because %s",
	    c && c->not_called ? c->not_called : "it has not been shown to be good enough");
	if (v->kind == VERDICT_ROLLBACK) {
		SAY(s->sure, "and it is rolled back as was agreed for this case, not because it is sure to be worse");
		SAY(s->change, "a new run with more time or more requests would change this");
	} else {
		SAY(s->sure, "and neither to go ahead nor to go back would be sure to be right");
		SAY(s->change, "its owner's decision now, or a new run with more time, would change this");
	}
	SAY(s->open, "neither that it is worse than was agreed nor that it is as good can be ruled out");
}

void summarise(const struct judge *j, const struct picture *p, struct verdict *out)
{
	const struct cause *c = cause_of_verdict(out);
	bool weaker = has_reason(out, "weaker_mode");
	struct story s = { "", "", "", "" };

	if (out->kind == VERDICT_INVALID)
		invalid(j, p, out, &s);
	else if (has_reason(out, "deadline"))
		time_is_over(c, out, &s);
	else
		(c ? c->tell : undecided)(j, p, out, &s);
	snprintf(out->summary, sizeof(out->summary), "%s, %s; %s%s, and %s.", s.found, s.sure, s.open,
	         weaker ? ", nor that something else changed in between" : "", s.change);
}
