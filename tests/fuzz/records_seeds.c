// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What fuzz_records starts from: records as the kernel programs make them, into the directory given. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tw_abi.h"
#include "tw_h2.h"
#include "seed_file.h"

static FILE *out;

static void put(const void *record, size_t n)
{
	const uint8_t len[2] = { n & 0xff, n >> 8 };

	fwrite(len, 1, sizeof(len), out);
	fwrite(record, 1, n, out);
}

/* what: see fuzz_records.c. */
static void start(const char *dir, const char *name, int what, const char *asked_for)
{
	out = seed_file(dir, name);
	fputc(what, out);
	fputc((int)strlen(asked_for), out);
	fputs(asked_for, out);
}

static void route(uint64_t hash, const char *text)
{
	struct tw_route_record r = { .type = TW_R_ROUTE, .len = (uint16_t)strlen(text), .hash = hash };

	memcpy(r.text, text, r.len);
	put(&r, sizeof(r));
}

static void exchange(uint64_t hash, uint16_t version, uint16_t status, uint8_t outcome)
{
	struct tw_exchange_record r = { .type = TW_R_EXCHANGE,
		                        .tgid = 2,
		                        .hash = hash,
		                        .t_start = 1000000,
		                        .waited = 5000,
		                        .version = version,
		                        .status = status,
		                        .outcome = outcome,
		                        .new_connection = 1,
		                        .group = 3 };

	for (int k = 0; k < TW_LAT_NR; k++)
		r.lat[k] = k == TW_LAT_WAITED ? TW_NOT_MEASURED : 1000000ULL << k;
	put(&r, sizeof(r));
}

static void detail(uint64_t hash, uint32_t tgid, uint8_t outcome)
{
	struct tw_detail_record r = { .type = TW_R_DETAIL,
		                      .tgid = tgid,
		                      .hash = hash,
		                      .t_end = 2000000,
		                      .age = 500,
		                      .version = 2,
		                      .outcome = outcome,
		                      .cause = TW_CAUSE_READER };

	put(&r, sizeof(r));
}

static void others(uint64_t hash)
{
	struct tw_fork_record fork = { .type = TW_R_FORK, .tgid = 12345678, .parent = 12345677, .version = 2, .t = 9 };
	struct tw_process_record process = { TW_R_PROCESS, 12345678 };
	struct tw_listen_record listen = { TW_R_LISTEN, 80, 2 };
	struct tw_drain_record drain = { .type = TW_R_DRAIN, .hash = hash, .took = 77, .version = 1 };
	struct tw_tls_record tls = { TW_R_TLS, 12345678, 2, 1 };

	put(&fork, sizeof(fork));
	put(&process, sizeof(process));
	put(&listen, sizeof(listen));
	put(&drain, sizeof(drain));
	put(&tls, sizeof(tls));
}

/* A stream of HTTP/2, and an item of a record: RFC 9113, 4.1, and RFC 7541, C.4.1. */
static void h2(uint8_t flags, const uint8_t *bytes, size_t n)
{
	struct {
		struct tw_h2_record r;
		struct tw_h2_item begins, item;
		uint8_t bytes[64];
	} x = { .r = { .type = TW_R_H2, .flags = flags, .conn = 7, .t = 1000 + flags, .tgid = 1, .version = 1 },
		.begins = { .what = TW_H2_BEGINS },
		.item = { .len = (uint16_t)n, .what = TW_H2_BYTES, .flags = TW_H2_AT_HEAD } };

	memcpy(x.bytes, bytes, n);
	x.r.len = (uint16_t)(sizeof(x.begins) + sizeof(x.item) + ((n + 3) & ~3UL));
	put(&x, sizeof(x.r) + x.r.len);
}

int main(int argc, char **argv)
{
	static const uint8_t asks[] = { 0,    0,    17,   1,    5,    0,    0,    0,    1,    0x82, 0x86, 0x84, 0x41,
		                        0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff };
	static const uint8_t answers[] = { 0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88 };

	if (argc != 2)
		return 2;
	start(argv[1], "answers", 3, "shop.example");
	route(1, "POST /checkout");
	route(2, "GET /cart/17");
	route(3, "GET /other");
	for (uint16_t version = 1; version <= 2; version++)
		for (uint64_t hash = 1; hash <= 3; hash++)
			exchange(hash, version, 200, TW_ANSWERED);
	fclose(out);
	start(argv[1], "losses", 4, "\x1b[2J\xc2\x9b");
	route(1, "GET /a\x1b%20\xff");
	for (uint8_t outcome = 0; outcome < TW_OUTCOME_NR; outcome++) {
		exchange(1, 2, outcome ? 0 : 503, outcome);
		detail(1, 2 + outcome, outcome);
	}
	others(1);
	fclose(out);
	start(argv[1], "http2", 8, "");
	h2(TW_H2_REQUESTS, asks, sizeof(asks));
	h2(0, answers, sizeof(answers));
	fclose(out);
	return 0;
}
