// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What fuzz_http2 starts from: connections of libnghttp2's client and server, into the directory given. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/h2_pair.h"
#include "http2_input.h"
#include "seed_file.h"

static FILE *out;
static struct pair p;

static void put(uint8_t step, const uint8_t *bytes, size_t n)
{
	uint8_t head[3] = { step, n, n >> 8 };

	fwrite(head, 1, step >> 4 >= STEP_GAP ? 1 : 3, out);
	if (n)
		fwrite(bytes, 1, n, out);
}

static void tap(void *arg, int d, const uint8_t *bytes, size_t n)
{
	put(STEP(STEP_SEGMENT, 1, d), bytes, n);
}

static void start(const char *dir, const char *name)
{
	out = seed_file(dir, name);
	fputc('s', out);
	pair_init_with(&p, 1, 65536);
	p.wire.tap = tap;
}

static void finish(void)
{
	fclose(out);
	pair_free(&p);
}

static void ask_all(void)
{
	static const char *const paths[] = { "/ok/3", "/status/404", "/empty",  "/early", "/reset/7",
		                             "/half", "/push",       "/events", "/never" };
	int32_t id;

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		pair_ask(&p, "GET", paths[i], NULL, 0);
	pair_ask(&p, "POST", "/pkg.Service/Call7", "application/grpc", 20);
	id = pair_ask(&p, "POST", "/pkg.Service/Only5", "application/grpc", 20);
	pair_ask(&p, "CONNECT", "/chat", NULL, 0);
	pair_pump(&p);
	nghttp2_submit_rst_stream(p.client, 0, id - 4, 8);
	nghttp2_submit_goaway(p.server, 0, id, 0, NULL, 0);
	pair_pump(&p);
}

/* The same as records. cut: bytes of a segment; 0: as many as there are. */
static void records(const char *dir, const char *name, size_t cut)
{
	out = seed_file(dir, name);
	fputc('r', out);
	pair_init(&p, 1);
	p.cut = cut;
	pair_settings(&p, NULL, 0, NULL, 0);
	ask_all();
	for (size_t i = 0; i < p.wire.n; i++) {
		uint8_t len[2] = { p.wire.records[i].len, p.wire.records[i].len >> 8 };

		fwrite(len, 1, 2, out);
		fwrite(p.wire.records[i].bytes, 1, p.wire.records[i].len, out);
	}
	finish();
}

int main(int argc, char **argv)
{
	nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 200 },
		                              { NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 65536 },
		                              { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 } };

	if (argc != 2)
		return 2;
	start(argv[1], "all");
	pair_settings(&p, settings + 1, 1, settings + 1, 2);
	ask_all();
	put(STEP(STEP_READ, 1, REQUESTS), NULL, 0);
	put(STEP(STEP_CLOSE, 1, ANSWERS), NULL, 0);
	put(STEP(STEP_GONE, 1, ANSWERS), NULL, 0);
	finish();
	start(argv[1], "padded-in-pieces");
	p.cut = 19;
	p.padding = 7;
	pair_settings(&p, settings, 1, settings, 1);
	ask_all();
	put(STEP(STEP_ABORT, 1, REQUESTS), NULL, 0);
	finish();
	start(argv[1], "losses");
	pair_settings(&p, NULL, 0, NULL, 0);
	for (int i = 0; i < 4; i++) {
		pair_ask(&p, "GET", "/ok/10", NULL, 0);
		pair_ask(&p, "POST", "/status/500", "text/plain", 30);
		pair_pump(&p);
		put(STEP(i % 2 ? STEP_GAP : STEP_LOST, 1, i / 2), NULL, 0);
		put(STEP(STEP_JOINED, 1, i / 2), NULL, 0);
	}
	finish();
	records(argv[1], "records", 0);
	records(argv[1], "records-in-pieces", 5);
	return 0;
}
