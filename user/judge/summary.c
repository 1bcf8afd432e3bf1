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

/* Where several fail, the first of these is told. */
static const struct plain_guard {
	const char *name, *found, *change;
} plain_guards[] = {
	{ "ledger", "requests went missing from the count", "a count that adds up again" },
	{ "lost_events", "too many requests were lost from sight", "a measurement that loses fewer" },
	{ "differential_loss", "more was lost from sight of one version than of the other",
	  "a measurement that sees both alike" },
	{ "version_purity", "what is taken for one version was more than one program",
	  "a run in which each version is one program" },
	{ "placebo", "two halves of the same old version look different as well",
	  "traffic that treats all connections alike" },
	{ "opaque_tls", "requests come by TLS that cannot be read", "TLS that can be read, or a look behind it" },
	{ "arm_vanished", "one of the versions has gone", "its return" },
	{ "no_traffic", "requests do not reach both versions", "requests to both of them" },
	{ "sample_ratio", "the new version does not get the part of the traffic that was planned for it",
	  "the planned part of the traffic" },
	{ "answers", "it turns more requests away", "its owner's word that this is meant, or an answer that is not" },
	{ "elsewhere", "it plainly fails more where nothing was asked to be as good",
	  "requests there that do not fail" },
	{ "uncompared", "what it alone has to offer fails", "requests there that do not fail" },
	{ "clock", "the clock has jumped", "time in which the clock runs evenly" },
	{ "time", "the clock went backwards", "a clock that runs on" },
	{ "warm_up", "a program has only just started", "time to warm up" },
	{ "simultaneity", "the two versions have never been at work at the same time", "requests to both at once" },
	{ NULL, "one of the checks of the measurement has failed", "a measurement that passes this check" },
	{ "minimum_data", "too few requests have been seen", "more requests to both versions" },
};
#define UNKNOWN_GUARD (sizeof(plain_guards) / sizeof(*plain_guards) - 2)

/* Where the versions are not served at the same time. */
static const struct plain_guard alone_guards[] = {
	{ "no_traffic", "no requests reach it now", "requests to the new version" },
	{ "minimum_data", "too few requests have been seen", "more requests" },
};

static size_t place_of(const char *name)
{
	for (size_t i = 0; i < sizeof(plain_guards) / sizeof(*plain_guards); i++)
		if (plain_guards[i].name && !strcmp(plain_guards[i].name, name))
			return i;
	return UNKNOWN_GUARD;
}

/* NULL: all hold. */
static const struct plain_guard *first_failed(const struct judge *j, const struct verdict *v)
{
	size_t first = SIZE_MAX;

	for (size_t i = 0; i < v->n_guards; i++)
		if (!v->guards[i].ok && place_of(v->guards[i].name) < first)
			first = place_of(v->guards[i].name);
	for (size_t i = 0; i < 2 && first < SIZE_MAX && j->tests.policy.mode != GATE_CANARY; i++)
		if (plain_guards[first].name && !strcmp(plain_guards[first].name, alone_guards[i].name))
			return &alone_guards[i];
	return first < SIZE_MAX ? &plain_guards[first] : NULL;
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

/* How many endpoints are named, and whether for both kinds. An endpoint's two accusations stand side by side. */
static size_t count_named(const struct accusations *all, bool *both)
{
	size_t n = 0, slow = 0, errors = 0;

	for (size_t i = 0; i < all->n_named; i++) {
		size_t at = all->order[i];

		n += !(at % 2) || !all->named[at - 1];
		slow += all->of[at].slow;
		errors += !all->of[at].slow;
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
		SAY(others, n > 2 ? " and %zu other endpoints" : " and one other endpoint", n - 1);
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
	SAY(s->sure, "and chance would make %.60s that is as good look like this", one_in(v->log_e_bad).s);
	SAY(s->open, "whether the program or what it runs on is the cause cannot be told from outside");
	SAY(s->change, "only a release that does better would change this");
}

static void within_margin(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	found_worse(j, p, s, ", but by less than was agreed");
	SAY(s->sure, "and chance would make %.60s that is as good look like this", one_in(v->log_e_bad).s);
	SAY(s->open, "whether so small a difference matters cannot be measured");
	SAY(s->change, "only its owner's decision would change this");
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
	else if (p->deciding == 2)
		SAY(s->found, "The new version is as good as %s on both endpoints that decide", the_old(j));
	else
		SAY(s->found, "The new version is as good as %s on all %zu endpoints that decide", the_old(j),
		    p->deciding);
	SAY(s->sure, "and one that is worse than was agreed would get this far at most once in %.0f times",
	    floor(exp(j->tests.promote_need) + 1e-9));
	if (p->deciding < j->n)
		SAY(s->open,
		    "differences smaller than agreed, or on endpoints that do not decide, cannot be ruled out");
	else
		SAY(s->open, "differences smaller than was agreed cannot be ruled out");
	SAY(s->change, "failures or delays that begin from now on would change this");
}

static struct short_text where_not(const struct picture *p)
{
	struct short_text w = { "" };

	if (p->deciding > 1 && p->certified)
		SAY(w.s, " on %u of %u endpoints", (unsigned int)(p->deciding - p->certified),
		    (unsigned int)p->deciding);
	return w;
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
	const struct plain_guard *g = first_failed(j, v);

	if (g)
		SAY(s->found, "Nothing shows that the new version is worse than %s, but %s", the_old(j), g->found);
	else if (p->leans && p->deciding && p->certified == p->deciding)
		SAY(s->found, "Nothing shows that the new version is worse than %s, but what was seen leans that way",
		    the_old(j));
	else
		SAY(s->found,
		    "Nothing shows that the new version is worse than %s, but it has not been shown to be as good%s",
		    the_old(j), where_not(p).s);
	SAY(s->sure, "and to go ahead now would be a guess");
	if (p->deciding && p->certified == p->deciding)
		SAY(s->open, "differences smaller than was agreed cannot be ruled out");
	else
		SAY(s->open, "that it is worse than was agreed cannot be ruled out");
	if (is_too_fine(j))
		SAY(s->change, "only a wider limit for slowness would change this, the one set cannot be measured");
	else if (v->has_eta)
		SAY(s->change, "about %.20s more of this traffic should settle it", time_of(v->eta_seconds).s);
	else
		SAY(s->change, "%s would change this",
		    g                                     ? g->change
		    : j->tests.policy.mode == GATE_CANARY ? "more requests to both versions"
		                                          : "more requests");
}

static void unit_objects(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const struct verdict_cutover *unit = objecting_cutover(v, j);
	const char *owner = unit && unit->owner ? unit->owner : "nobody named";
	bool worse = unit && unit->kind == VERDICT_ROLLBACK;

	if (!unit) {
		undecided(j, p, v, s);
		return;
	}
	SAY(s->found, "The unit %s (owner: %s) %s, while the release as a whole is not", name_of(unit->name).s,
	    name_of(owner).s, worse ? "is worse and would be rolled back alone" : "is worse by less than was agreed");
	SAY(s->sure, "and chance would make %.60s that is as good look like this", one_in(unit->log_e_bad).s);
	SAY(s->open, "that this is the bad luck of one unit among several cannot be ruled out");
	SAY(s->change, "its owner's decision or more requests would change this");
}

static void not_comparable(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const struct plain_guard *g = first_failed(j, v);

	if (!g)
		g = &plain_guards[UNKNOWN_GUARD];
	SAY(s->found, "The new version looks worse than %s, but %s", the_old(j), g->found);
	SAY(s->sure, "and so it is not sure that it is");
	SAY(s->open, "neither that it is worse nor that it is as good can be ruled out");
	SAY(s->change, "%s would change this", g->change);
}

static void invalid(const struct judge *j, const struct picture *p, const struct verdict *v, struct story *s)
{
	const struct plain_guard *g = first_failed(j, v);

	if (!g)
		g = &plain_guards[UNKNOWN_GUARD];
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
	{ "not_comparable", not_comparable, "what it differs by cannot be relied on" },
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
	SAY(s->found, "The time allowed is over and nothing was decided about the new version, because %s",
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
