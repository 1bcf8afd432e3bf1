/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The steps from evidence to a verdict, shared by their own files and nobody else: weigh the evidence (weigh.c), decide
 * (verdict.c), say why (reasons.c) and what else was seen (beside.c), say how long it will take (eta.c).
 */
#ifndef TW_JUDGE_STEPS_H
#define TW_JUDGE_STEPS_H

#include "judge/state.h"

/* What the evidence says, before the guards are asked. */
struct picture {
	enum deciders who;
	size_t deciding, certified;
	bool worse;
	const struct judged_endpoint *strongest; /* the largest part of the evidence for a rollback */
	bool strongest_slow;                     /* it is about latency */
	bool answered;                           /* worse, but each accusation is certified to lie within the margin */
};

/* weigh.c */
void look(const struct judge *j, struct picture *p, struct verdict *out);
/* log of the part of the whole stake that an endpoint's test of errors, or of latency, holds. */
double stake(const struct judged_endpoint *ep, bool slow);
double errors_evidence(const struct judged_endpoint *ep);
double slow_evidence(const struct judge *j, const struct judged_endpoint *ep);
/* Does one test alone carry the whole verdict? */
bool errors_conclusive(const struct judge *j, const struct judged_endpoint *ep);
bool slow_conclusive(const struct judge *j, const struct judged_endpoint *ep);

/* reasons.c */
void reason(struct verdict *out, const char *code, const char *endpoint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void tell_culprits(const struct judge *j, const struct picture *p, struct verdict *out);
void tell_certified(const struct judge *j, const struct picture *p, struct verdict *out);
void tell_missing(const struct judge *j, const struct picture *p, struct verdict *out);
void tell_failed_guards(struct verdict *out);

/* beside.c: what nothing is decided by */
void describe(const struct judged_endpoint *ep, double alpha, struct verdict_endpoint *f);
void tell_opinions(const struct judge *j, struct verdict *out);

/* eta.c */
void plan_rest(const struct judge *j, const struct picture *p, struct verdict *out);

#endif
