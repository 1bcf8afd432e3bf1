/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all connections share. */
#ifndef HTTP2_ENGINE_H
#define HTTP2_ENGINE_H

#include "http2/http2.h"
#include "http2/memory.h"

struct h2_engine {
	struct h2_limits limits;
	struct h2_sink sink;
	struct h2_counts counts;
	struct h2_memory memory;
	struct h2_pool streams; /* struct h2_stream */
	struct h2_pool lists;   /* struct h2_fields */
	uint64_t timeout;       /* ns */
	uint64_t now;           /* of the records: the latest */
	uint32_t seed;
};

#endif
