/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The decoder's state, shared by its own files and nobody else. */
#ifndef TW_TICKLOG_DECODER_H
#define TW_TICKLOG_DECODER_H

#include "ticklog/decode.h"
#include "ticklog/fields.h"

/* Of an endpoint in a tick: latency and waited, of both arms. */
#define HISTOGRAMS 4

/* Texts of their own. */
struct kept {
	char **s; /* [cap] */
	size_t n, cap;
};

struct log_decoder {
	uint32_t check; /* of the latest line */
	bool trust;     /* whatever the lines' checks are */
	bool failed, started, ended;
	cJSON *json; /* of the latest line */

	struct kept endpoints, cutovers, owners; /* names, which outlive their lines; of owners some are missing */

	uint64_t n_ticks;
	struct log_counts *counts;        /* of the latest tick: [cap_counts] */
	struct histogram *histograms;     /* [HISTOGRAMS * cap_counts] */
	struct connection_groups *groups; /* [2 * cap_counts] */
	size_t cap_counts;
};

/* decode_tick.c: the fields of a tick, all but the check. */
int decode_tick(struct reading *r, const cJSON *json, struct log_tick *out);
/* decode_policy.c: struct tw_rule; struct gate_policy */
int field_rule(struct reading *r, const struct field *f, const cJSON *v);
int field_policy(struct reading *r, const struct field *f, const cJSON *v);
/* Takes the field "crc", which was looked at before. */
int read_nothing(struct reading *r, const struct field *f, const cJSON *v);
/* enum verdict_kind, or an error. */
int read_kind(struct reading *r, const struct field *f, const cJSON *v);

#endif
