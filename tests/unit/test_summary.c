/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sentence that every verdict begins with. Whatever comes together, it is one sentence of plain words; and for the
 * usual cases it is the one that is written here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "judge/steps.h"
#include "loads.h"

/* ---- what every sentence has to be ---------------------------------------------------------------------------------
 */

static const char *const jargon[] = {
	"alpha",     "e-value",    "e-process", "p95",      "percentile", "quantile", "certif",   "dispersion",
	"baseline",  "canary",     "null",      "hypothes", "confidence", "interval", "ratio ",   "margin",
	"evidence",  "martingale", "n_c",       "log e",    "ledger",     "guard",    "exchange", "tick",
	"threshold", "statistic",  "signific",  "slo ",     "latency",    "verdict",  "sigma",    "error rate",
	"simultane", "p-value",    "5xx",       "_",        "%",
};

static void check_sentence(const char *s, const char *names)
{
	size_t len = strlen(s);
	char lower[600];

	if (len < 80 || len >= 599 || s[len - 1] != '.' || !isupper((unsigned char)s[0]))
		fail_msg("%zu bytes: %s", len, s);
	for (size_t i = 0; i < len; i++) {
		lower[i] = (char)tolower((unsigned char)s[i]);
		if ((s[i] == '.' || s[i] == '!' || s[i] == '?') && i + 1 < len && s[i + 1] == ' ' && i &&
		    s[i - 1] != '.')
			fail_msg("more than one sentence: %s", s);
		if (s[i] == '\n' || (s[i] == ' ' && s[i + 1] == ' '))
			fail_msg("white space: %s", s);
	}
	lower[len] = 0;
	for (size_t i = 0; i < sizeof(jargon) / sizeof(*jargon); i++)
		if (strstr(lower, jargon[i]) && !strstr(names, jargon[i]))
			fail_msg("\"%s\" in: %s", jargon[i], s);
	if (strstr(lower, " nan") || strstr(lower, " inf ") || strstr(lower, "(null)"))
		fail_msg("not a number in: %s", s);
	/* Four parts: what and how sure; what not, and what would change it. */
	if (!strstr(s, ", and ") || !strstr(s, "; "))
		fail_msg("parts are missing: %s", s);
}

/* ---- golden --------------------------------------------------------------------------------------------------------
 */

struct golden {
	enum verdict_kind kind;
	const char *want;
	struct gate_policy policy;
	int units, endpoints, ticks;
	struct judge_endpoint ep[3];
	struct load l[3];
	bool unbalanced, warming;
};

#define USUAL .alpha = 0.05, .max_error_ratio = 1.5, .max_latency_increase = 0.2, .min_requests = 500
#define PAY                                                         \
	{                                                           \
		.name = "POST /pay", .critical = true, .cutover = 0 \
	}
#define CART                                                        \
	{                                                           \
		.name = "GET /cart", .critical = true, .cutover = 0 \
	}
#define ONE .policy = { USUAL }, .endpoints = 1, .ep = { PAY }
#define GOOD                         \
	{                            \
		950, 2, 50, 0, 10, 0 \
	}
#define CHANCE ", and chance would make less than 1 release in a million that is as good look like this; "
#define CAUSE  "whether the program or what it runs on is the cause cannot be told from outside, "
#define BETTER "and only a release that does better would change this."
#define GUESS  ", and to go ahead now would be a guess; that it is worse than was agreed cannot be ruled out, and "

static const struct golden goldens[] = {
	{ VERDICT_PROMOTE,
	  "The new version is as good as the old one on POST /pay, the one endpoint that decides, and one that is worse "
	  "than was agreed would get this far at most once in 20 times; differences smaller than was agreed cannot be "
	  "ruled out, and failures or delays that begin from now on would change this.",
	  ONE, .ticks = 60, .l = { GOOD } },
	{ VERDICT_PROMOTE,
	  "The new version is as good as the old one on both endpoints that decide, and one that is worse than was "
	  "agreed would get this far at most once in 10 times; differences smaller than agreed, or on endpoints that do "
	  "not decide, cannot be ruled out, and failures or delays that begin from now on would change this.",
	  .policy = { USUAL, .promote_alpha = 0.1 }, .endpoints = 3, .ep = { PAY, CART, { .name = "GET /" } },
	  .ticks = 60, .l = { GOOD, GOOD, GOOD } },
	{ VERDICT_HOLD,
	  "Nothing shows that the new version is worse than the old one, but requests do not reach both versions" GUESS
	  "requests to both of them would change this.",
	  ONE, .ticks = 3, .l = { { 950, 2, 0, 0, 10, 0 } } },
	/* 1,000 more at 10 a second. */
	{ VERDICT_HOLD,
	  "Nothing shows that the new version is worse than the old one, but too few requests have been seen" GUESS
	  "about 2 minutes more of this traffic should settle it.",
	  .policy = { .alpha = 0.05, .max_error_ratio = 1.5, .max_latency_increase = 0.2, .min_requests = 2000 },
	  .endpoints = 1, .ep = { PAY }, .ticks = 20, .l = { { 950, 0, 50, 0, 10, 0 } } },
	{ VERDICT_HOLD,
	  "Nothing shows that the new version is worse than the old one, but it has not been shown to be as good on 1 of "
	  "2 endpoints" GUESS "about 65 seconds more of this traffic should settle it.",
	  .policy = { USUAL }, .endpoints = 2, .ep = { PAY, CART }, .ticks = 30,
	  .l = { { 950, 19, 50, 1, 10, 0 }, { 950, 0, 50, 0, 10, 0 } } },
	{ VERDICT_HOLD,
	  "Nothing shows that the new version is worse than the old one, but a program has only just started" GUESS
	  "time to warm up would change this.",
	  ONE, .ticks = 3, .l = { GOOD }, .warming = true },
	{ VERDICT_HOLD,
	  "Nothing shows that the new version is worse than the old one, but it has not been shown to be as good" GUESS
	  "only a wider limit for slowness would change this, the one set cannot be measured.",
	  .policy = { .alpha = 0.05, .max_error_ratio = 1.5, .max_latency_increase = 0.02, .min_requests = 500 },
	  .endpoints = 1, .ep = { PAY }, .ticks = 30, .l = { GOOD } },
	{ VERDICT_HOLD,
	  "The new version is slower than the old one on POST /pay, but by less than was agreed" CHANCE
	  "whether so small a difference matters cannot be measured, and only its owner's decision would change this.",
	  ONE, .ticks = 12, .l = { { 950, 0, 50, 0, 11, 0 } } },
	{ VERDICT_HOLD,
	  "The unit seo (owner: nobody named) is worse and would be rolled back alone, while the release as a whole is "
	  "not, and chance would make at most 1 release in 32 that is as good look like this; that this is the bad luck "
	  "of one unit among several cannot be ruled out, and its owner's decision or more requests would change this.",
	  .policy = { USUAL }, .units = 2, .endpoints = 3, .ticks = 0,
	  .ep = { { .name = "POST /pay", .critical = true, .cutover = 1 },
	          { .name = "GET /map", .named = true, .cutover = 2 },
	          { .name = "GET /b", .named = true, .cutover = 2 } },
	  .l = { GOOD, GOOD, { 950, 10, 50, 2, 10, 0 } } },
	{ VERDICT_ROLLBACK, "The new version fails more requests than the old one on POST /pay" CHANCE CAUSE BETTER,
	  ONE, .ticks = 4, .l = { { 950, 9, 50, 10, 10, 0 } } },
	{ VERDICT_ROLLBACK,
	  "The new version leaves more requests without a whole answer than the old one on POST /pay" CHANCE CAUSE
	          BETTER,
	  ONE, .ticks = 4, .l = { { 950, 9, 50, 10, 10, 9 } } },
	{ VERDICT_ROLLBACK, "The new version is slower than the old one on POST /pay" CHANCE CAUSE BETTER, ONE,
	  .ticks = 12, .l = { { 950, 0, 50, 0, 30, 0 } } },
	{ VERDICT_ROLLBACK,
	  "The new version fails more requests and is slower than the old one on POST /pay and one other endpoint" CHANCE
	          CAUSE BETTER,
	  .policy = { USUAL }, .endpoints = 2, .ep = { PAY, CART }, .ticks = 12,
	  .l = { { 950, 9, 50, 30, 30, 0 }, { 950, 9, 50, 29, 30, 0 } } },
	{ VERDICT_ROLLBACK,
	  "The time allowed is over and nothing was decided about the new version, because it has not been shown to be "
	  "good enough, and it is rolled back as was agreed for this case, not because it is sure to be worse; neither "
	  "that it is worse than was agreed nor that it is as good can be ruled out, and a new run with more time or more "
	  "requests would change this.",
	  .policy = { USUAL, .deadline = 10, .at_deadline = DEADLINE_ROLLBACK }, .endpoints = 1, .ep = { PAY },
	  .ticks = 2, .l = { GOOD } },
	{ VERDICT_HOLD,
	  "The time allowed is over and nothing was decided about the new version, because it is worse by less than was "
	  "agreed, and neither to go ahead nor to go back would be sure to be right; neither that it is worse than was "
	  "agreed nor that it is as good can be ruled out, and its owner's decision now, or a new run with more time, "
	  "would change this.",
	  .policy = { USUAL, .deadline = 60 }, .endpoints = 1, .ep = { PAY }, .ticks = 12,
	  .l = { { 950, 0, 50, 0, 11, 0 } } },
	{ VERDICT_INVALID,
	  "Nothing can be said about the new version because requests went missing from the count, and no figure below "
	  "can be relied on; neither that it is worse nor that it is as good can be ruled out, and a count that adds up "
	  "again would change this.",
	  ONE, .ticks = 3, .l = { GOOD }, .unbalanced = true },
};

/* As many ticks as are said; 0: until a unit objects. */
static void run_golden(struct world *w, const struct golden *g)
{
	struct verdict v;

	world_ticks(w, g->ticks, g->l);
	for (int i = 0; !g->ticks && i < 100; i++) {
		world_ticks(w, 1, g->l);
		v = world_verdict(w);
		if (reason_of(&v, "unit_worse"))
			return;
	}
}

static void the_usual_cases_have_the_sentences_that_are_written_here(void **state)
{
	for (size_t i = 0; i < sizeof(goldens) / sizeof(*goldens); i++) {
		const struct golden *g = &goldens[i];
		struct world *w = world_new(&g->policy);
		struct verdict v;

		for (int k = 0; k < g->units; k++)
			judge__add_cutover(w->j, &(struct judge_cutover){ k ? "seo" : "checkout", k ? NULL : "team" });
		for (int k = 0; k < g->endpoints; k++)
			world_add(w, &g->ep[k]);
		w->unbalanced = g->unbalanced;
		w->warming = g->warming;
		run_golden(w, g);
		v = world_verdict(w);
		assert_string_equal(v.summary, g->want);
		assert_int_equal(v.kind, g->kind);
		check_sentence(v.summary, "");
		world_free(w);
	}
}

/* ---- everything with everything -----------------------------------------------------------------------------------
 */

static const char *const codes[] = { "certified",    "undecided",        "worse_within_margin", "unit_worse",
	                             "errors_worse", "latency_worse",    "together_worse",      "unit_within_margin",
	                             "slo_breached", "sessions_dropped", "not_comparable",      "something_new" };
static const char *const guards[] = { NULL,      "ledger",       "lost_events",  "differential_loss", "version_purity",
	                              "placebo", "arm_vanished", "no_traffic",   "sample_ratio",      "clock",
	                              "time",    "warm_up",      "simultaneity", "minimum_data",      "something_new" };
static const double etas[] = { -1, 0, 89, 5000, 100000, 9e8 };
/* A name of 200 bytes of which the 40th is inside a character. */
#define LONG                                                                                                                    \
	"GET /\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4" \
	"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
static const char *const names[] = { "POST /pay", LONG };

static void fabricate(struct verdict *v, const char *name, size_t code, size_t guard, size_t eta, unsigned int with)
{
	v->n_reasons = v->n_guards = 0;
	if (with & 1)
		v->reasons[v->n_reasons++] = (struct reason){ .code = "deadline" };
	v->reasons[v->n_reasons++] = (struct reason){ .code = codes[code], .endpoint = code % 2 ? name : NULL };
	if (with & 2)
		v->reasons[v->n_reasons++] = (struct reason){ .code = "weaker_mode" };
	if (guards[guard])
		v->guards[v->n_guards++] = (struct guard){ .name = guards[guard] };
	v->guards[v->n_guards++] = (struct guard){ .name = "clock", .ok = true };
	v->has_eta = etas[eta] >= 0;
	v->eta_seconds = fmax(0, etas[eta]);
}

static void every_combination_is_one_sentence_of_plain_words(void **state)
{
	struct load l[3] = { { 950, 9, 50, 30, 30, 30 }, { 950, 9, 50, 30, 30, 0 }, { 950, 0, 50, 0, 10, 0 } };
	unsigned int n = 0;

	for (unsigned int world = 0; world < 12; world++) {
		struct gate_policy p = goldens[0].policy;
		struct picture picture;
		struct world *w;
		struct verdict v;

		p.mode = world % 3 == 1 ? GATE_ABSOLUTE : GATE_CANARY;
		w = world_new(&p);
		judge__add_cutover(w->j, &(struct judge_cutover){ names[world / 3 % 2], names[world / 6] });
		for (int i = 0; i < 3; i++)
			world_add(w, &(struct judge_endpoint){ .name = names[(world / 3 + (unsigned int)i) % 2],
			                                       .critical = i == 0,
			                                       .cutover = 1 });
		world_ticks(w, world % 3 == 2 ? 1 : 12, l);
		judge__verdict(w->j, &v);
		look(w->j, &picture);
		for (size_t i = 0; i < 4 * 12 * 15 * 6 * 4; i++) {
			/* Without a unit that objects this reason is not given: in mode absolute none does. */
			if (!strncmp(codes[i / 4 % 12], "unit_", 5) && !objecting_cutover(&v, w->j))
				continue;
			fabricate(&v, names[world / 6], i / 4 % 12, i / 48 % 15, i / 720 % 6, (unsigned int)(i / 4320));
			v.kind = (enum verdict_kind)(i % 4);
			summarise(w->j, &picture, &v);
			check_sentence(v.summary, "");
			n++;
		}
		world_free(w);
	}
	assert_true(n > 100000);
}

static void a_judge_that_has_seen_nothing_says_so_in_a_sentence(void **state)
{
	struct world *w = world_new(&goldens[0].policy);
	struct verdict v = world_verdict(w);

	check_sentence(v.summary, "");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_usual_cases_have_the_sentences_that_are_written_here),
		cmocka_unit_test(every_combination_is_one_sentence_of_plain_words),
		cmocka_unit_test(a_judge_that_has_seen_nothing_says_so_in_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
