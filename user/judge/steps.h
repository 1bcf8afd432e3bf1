/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The steps from evidence to a verdict, shared by their own files and nobody else: weigh the evidence (weigh.c), decide
 * (verdict.c, cutover.c), say why (reasons.c, summary.c) and what else was seen (beside.c), say how long it will take
 * (eta.c).
 */
#ifndef TW_JUDGE_STEPS_H
#define TW_JUDGE_STEPS_H

#include "judge/state.h"

/* weigh.c */
/* Fills p, the units' pictures, and the release's accusations. */
void look(struct judge *j, struct picture *p);
/* log of the part of the whole stake that an endpoint's test of errors, or of latency, holds. */
double stake(const struct judged_endpoint *ep, bool slow);
double errors_evidence(const struct judged_endpoint *ep);
double slow_evidence(const struct judge *j, const struct judged_endpoint *ep);
bool is_answered(const struct judge *j, const struct accusation *a);
/* A fail-fast endpoint that shows enough for a rollback without all others, and no certificate answers; or NULL. */
const struct judged_endpoint *fail_fast_enough(const struct judge *j);

void accusations__free(struct accusations *a);
int accusations__reserve(struct accusations *a, size_t n);
void accusations__name(struct accusations *a, double alpha);

/* stops.c */
/* log of the part of the weighted mean that what was announced holds. */
double hard_evidence(const struct judge *j);
/* A hard stop, whatever else: says so. */
bool stopped_hard(const struct judge *j, const struct picture *p, struct verdict *out);

/* modes.c: where the versions do not serve at the same time. */
bool certified_alone(const struct judge *j, const struct judged_endpoint *ep);
bool within_before(const struct judge *j, const struct judged_endpoint *ep, bool slow);
void tell_certified_alone(const struct judge *j, const struct picture *p, struct verdict *out);
void tell_missing_alone(const struct judge *j, struct verdict *out);
/* What the mode takes away from the verdict. */
void tell_mode(const struct judge *j, struct verdict *out);
void alone_figures(const struct judge *j, const struct judged_endpoint *ep, struct verdict_endpoint *f);

/* cutover.c */
/* The units' verdicts, after look() and the guards. */
void judge_cutovers(struct judge *j, struct guards_result guards, struct verdict *out);
/*
 * A unit whose own verdict forbids to promote the release: it would be rolled back, or is worse within its margins. Of
 * several one that would be rolled back; NULL: none.
 */
const struct verdict_cutover *objecting_cutover(const struct verdict *v, const struct judge *j);
void tell_cutovers(const struct judge *j, struct verdict *out);

/* reasons.c */
void reason(struct verdict *out, const char *code, const char *endpoint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Before all others. */
void reason_first(struct verdict *out, const char *code, const char *endpoint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void tell_culprits(const struct judge *j, const struct picture *p, struct verdict *out);
void tell_certified(const struct judge *j, const struct picture *p, struct verdict *out);
void tell_missing(const struct judge *j, struct verdict *out);
void tell_fail_fast(const struct judge *j, struct verdict *out);
void tell_failed_guards(struct verdict *out);
struct words {
	char s[80];
};
/* 100 part / of; of nothing it is 0. */
double percent(double part, double of);
/* Two significant digits, and never an exponent: "0.021", "5.4", "120". */
struct words figure(double x);
/* "at most 1 release in 30": how rare such evidence is where nothing is wrong. */
struct words one_in(double log_e);

/* summary.c */
/* The one sentence, after everything else was said. */
void summarise(const struct judge *j, const struct picture *p, struct verdict *out);

/* beside.c: what nothing is decided by */
void describe(const struct judged_endpoint *ep, double alpha, struct verdict_endpoint *f);
void tell_opinions(const struct judge *j, struct verdict *out);

/* eta.c */
void plan_rest(const struct judge *j, const struct picture *p, struct verdict *out);

#endif
