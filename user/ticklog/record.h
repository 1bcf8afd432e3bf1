/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The lines of a tick log as plain data: a header, cut-over units, endpoints as they appear, ticks, an end. See
 * README.md for the text.
 *
 * Invariants of a log:
 *  - units and endpoints are numbered 0, 1, ... and ticks 1, 2, ... in the order of their lines;
 *  - units come before the first endpoint;
 *  - a tick lists the endpoints on which either arm did anything, numbers rising; the others were all zero;
 *  - what stands in a tick is exactly what the judge was given, counts up to 2^64 - 1 included.
 */
#ifndef TW_TICKLOG_RECORD_H
#define TW_TICKLOG_RECORD_H

#include "judge/judge.h"
#include "tw_abi.h"

#define TICKLOG_FORMAT 3

struct log_header {
	const char *tillwatch; /* the version that wrote it */
	const char *run, *started, *service;
	double stage;                /* the canary's share of the traffic, as planned; 0: not told */
	const char *version[ARM_NR]; /* names of the baseline and the canary, NULL: none; ARM_OTHER is not logged */
	struct gate_policy policy;
};

struct log_cutover {
	size_t number;
	struct judge_cutover def;
};

struct log_endpoint {
	size_t number;
	struct judge_endpoint def;
	struct tw_rule bad; /* by which its exchanges were counted */
};

/* What both arms did on one endpoint. */
struct log_counts {
	size_t endpoint;
	int slow_bucket; /* that the groups' slow exchanges lie above: announced before the tick; -1: none was */
	struct arm_tick baseline, canary;
};

/* What was said after a tick. */
struct log_verdict {
	bool given; /* unset: the judge refused the tick */
	enum verdict_kind kind;
	double log_e_bad; /* NaN: not said */
};

struct log_tick {
	uint64_t number;
	struct tick told;                /* without its endpoints: NULL */
	const struct log_counts *counts; /* [n_counts] */
	size_t n_counts;
	struct log_verdict verdict;
};

struct log_end {
	uint64_t ticks;
	enum verdict_kind kind; /* the last one */
};

enum log_kind { LOG_HEADER, LOG_CUTOVER, LOG_ENDPOINT, LOG_TICK, LOG_END };

struct log_record {
	enum log_kind kind;
	union {
		struct log_header header;
		struct log_cutover cutover;
		struct log_endpoint endpoint;
		struct log_tick tick;
		struct log_end end;
	};
};

#endif
