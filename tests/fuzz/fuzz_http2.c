// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any bytes as HTTP/2 connections. The first byte says how: as records, or as what peers send, made into records as the
 * kernel programs do it, with losses and closes in between (see http2_input.h). It must hold that
 *  - every stream that began has ended once or is open; when all is freed, it has ended;
 *  - memory stays within its limit, and none is left;
 *  - what is told makes sense: a known outcome, a name of at most TW_PATH_MAX bytes, a status of three digits.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http2/http2.h"
#include "http2_input.h"

#define MEMORY 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	uint64_t begun, ended, withdrawn;
	size_t letters;
};

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void begun(void *arg, const struct h2_exchange *e)
{
	struct told *t = arg;

	t->begun++;
}

static void look(struct told *t, const struct h2_exchange *e)
{
	if (e->len > TW_PATH_MAX || (e->len && !e->text))
		fail("a name is too long, or missing");
	for (size_t i = 0; i < e->len; i++)
		t->letters += e->text[i] != 0;
	if ((unsigned int)e->outcome >= TW_OUTCOME_NR || (unsigned int)e->how >= TW_END_NR)
		fail("no such outcome");
	if (e->status &&
	    (e->status < 200 || (e->status > 999 && e->status < TW_STATUS_LOW) || e->status >= TW_STATUS_END))
		fail("no such status");
	/* A call of gRPC that has failed says 200 as well, and so does what may be one. */
	if (e->status && e->status != 200 && e->status_unknown && !e->grpc)
		fail("a status is known and unknown");
	if (e->grpc_status < H2_GRPC_NONE || e->grpc_status > 9999)
		fail("no such status of gRPC");
	if (e->cut && e->outcome == TW_ANSWERED)
		fail("answered in full, and cut");
}

static void ended(void *arg, const struct h2_exchange *e)
{
	struct told *t = arg;

	t->ended++;
	look(t, e);
}

static void withdrawn(void *arg, const struct h2_exchange *e)
{
	struct told *t = arg;

	t->withdrawn++;
}

static void open_one(void *arg, const struct h2_exchange *e)
{
	struct told *t = arg;

	t->begun--;
	look(t, e);
}

static void check(const struct http2 *h, const struct told *t)
{
	struct h2_counts c;

	http2__counts(h, &c);
	if (c.requests != t->begun || c.ended != t->ended || c.withdrawn != t->withdrawn ||
	    c.requests != c.ended + c.withdrawn + c.open)
		fail("streams do not add up");
	if (c.memory > MEMORY || c.memory_max > MEMORY)
		fail("memory beyond the limit");
	if (c.resynchronised > c.desynchronised)
		fail("found more often than lost");
}

static void feed(void *arg, const void *record, size_t len)
{
	/* A copy of its own: one byte read beyond it is noticed. */
	void *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, record, len);
	http2__record(arg, copy, len);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct h2_limits limits = {
		.memory = MEMORY, .connections = 3, .streams = 20, .header_list = 2000, .long_lived = 1000000
	};
	struct told told = { 0 }, open;
	struct h2_sink sink = { begun, ended, withdrawn, &told };
	struct http2 *h = http2__new(&limits, &sink);

	if (!h)
		abort();
	http2__timeout(h, 500000);
	http2_input(data, size, feed, h);
	check(h, &told);
	open = told;
	http2__each_open(h, open_one, &open);
	if (open.begun != told.ended + told.withdrawn)
		fail("open streams do not add up");
	http2__free(h);
	if (told.begun != told.ended + told.withdrawn)
		fail("a stream has not ended");
	return 0;
}
