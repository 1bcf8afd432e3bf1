// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/plain.h"

#include "judge/judge.h"

/* clang-format off */
#define COUNT(a)              (sizeof(a) / sizeof(*(a)))
#define FIELD(type, is, m)    { #m, PLAIN_##is, offsetof(struct type, m) }
#define NAMED(k, type, is, m) { k, PLAIN_##is, offsetof(struct type, m) }
#define TABLE(name)           const struct plain_fields plain_##name = { name##_fields, COUNT(name##_fields) }

/*
 * A field that the judge is given and that is not logged would make another verdict of a replay, and nobody would know
 * why. So each struct is spelled out here, and one field more is an error. Who adds it
 *  - gives it a line in the table of its struct, which is all that a plain one needs; or carries it through encode.c
 *    and decode*.c, if it is not plain;
 *  - gives it its zero here;
 *  - raises TICKLOG_FORMAT: logs without it cannot be read as if it had been 0.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wmissing-field-initializers"
#define ALL_OF static const __attribute__((unused)) struct

ALL_OF tick a_tick = {
	0, 0,         /* start, end */
	0, 0, 0,      /* lost_events, lost_exchanges, seen */
	false, false, /* ledger_balanced, warming */
	NULL,         /* endpoints: encode.c */
	false,        /* ledger_unknown */
	{ 0 }, { 0 }, /* baseline, canary: encode.c */
	0, 0,         /* planned_share, clock_jump */
};
ALL_OF arm_run an_arm_run = {
	0, 0, 0,  /* seen, lost_events, lost_exchanges */
	0, 0,     /* opened, dropped */
	0, false, /* builds, gone */
	0, 0,     /* unread, withheld */
};
ALL_OF endpoint_tick an_endpoint_tick = {
	{ 0 }, { 0 }, /* baseline, canary: encode.c */
};
ALL_OF arm_tick an_arm_tick = {
	0, 0,       /* n, bad */
	NULL, NULL, /* latency, waited: encode.c */
	{ 0 },      /* outcome: encode.c */
	NULL,       /* groups: encode.c */
	0,          /* turned_away */
};
ALL_OF connection_groups some_groups = {
	{ 0 }, { 0 }, { 0 }, false, /* n, bad, slow, has_slow: encode.c */
};
ALL_OF histogram a_histogram = {
	0, 0, 0, /* count, sum, max */
	{ 0 },   /* b: encode.c */
};
ALL_OF judge_endpoint an_endpoint = {
	NULL,          /* name: encode.c */
	false, false,  /* critical, named */
	0, 0, 0,       /* weight, slo_p95, slo_error_rate */
	0, 0, 0,       /* slo_p50, slo_p90, slo_p99 */
	UNIT_EXCHANGE, /* unit: encode.c */
	{ 0, 0 },      /* margins */
	false,         /* fail_fast */
	0,             /* cutover: encode.c */
};
ALL_OF margins some_margins = { 0, 0 };
ALL_OF judge_cutover a_cutover = { NULL, NULL }; /* encode.c */
#pragma GCC diagnostic pop

static const struct plain_field tick_fields[] = {
	FIELD(tick, NUMBER, start),        FIELD(tick, NUMBER, end),           FIELD(tick, COUNT, seen),
	FIELD(tick, COUNT, lost_events),   FIELD(tick, COUNT, lost_exchanges), FIELD(tick, BOOL, ledger_balanced),
	FIELD(tick, BOOL, ledger_unknown), FIELD(tick, BOOL, warming),         FIELD(tick, SHARE, planned_share),
	FIELD(tick, NUMBER, clock_jump),
};
TABLE(tick);

static const struct plain_field arm_run_fields[] = {
	FIELD(arm_run, COUNT, seen),   FIELD(arm_run, COUNT, lost_events), FIELD(arm_run, COUNT, lost_exchanges),
	FIELD(arm_run, COUNT, opened), FIELD(arm_run, COUNT, dropped),     FIELD(arm_run, SMALL, builds),
	FIELD(arm_run, BOOL, gone),    FIELD(arm_run, COUNT, unread),      FIELD(arm_run, COUNT, withheld),
};
TABLE(arm_run);

static const struct plain_field arm_fields[] = {
	FIELD(arm_tick, COUNT, n),
	FIELD(arm_tick, COUNT, bad),
	FIELD(arm_tick, COUNT, turned_away),
};
TABLE(arm);

static const struct plain_field endpoint_fields[] = {
	FIELD(judge_endpoint, BOOL, critical),
	FIELD(judge_endpoint, BOOL, named),
	FIELD(judge_endpoint, BOOL, fail_fast),
	FIELD(judge_endpoint, ANNOUNCED, weight),
	FIELD(judge_endpoint, ANNOUNCED, slo_p50),
	FIELD(judge_endpoint, ANNOUNCED, slo_p90),
	FIELD(judge_endpoint, ANNOUNCED, slo_p95),
	FIELD(judge_endpoint, ANNOUNCED, slo_p99),
	FIELD(judge_endpoint, ANNOUNCED, slo_error_rate),
	NAMED("max_error_ratio", judge_endpoint, ANNOUNCED, margins.max_error_ratio),
	NAMED("max_latency_increase", judge_endpoint, ANNOUNCED, margins.max_latency_increase),
};
TABLE(endpoint);

static const struct plain_field histogram_fields[] = {
	FIELD(histogram, COUNT, count),
	FIELD(histogram, COUNT, sum),
	FIELD(histogram, COUNT, max),
};
TABLE(histogram);
/* clang-format on */
