/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a plan says in sentences. */
#ifndef TW_SHOW_PLAN_WORDS_H
#define TW_SHOW_PLAN_WORDS_H

#include "show/format.h"
#include "show/plan.h"
#include "show/screen.h"

/* A latency margin as it is tested, in steps of what can be told; one that is finer than that as it was given. */
struct text plan_margin(double increase);
/* Below the table of a share: what can be called in the time given, what cannot, and what would help. */
void plan_words_share(struct frame *f, const struct plan_report *r, size_t share);
/* At the end: what the times mean and what they rest on. */
void plan_words_end(struct frame *f, const struct plan_report *r);

#endif
