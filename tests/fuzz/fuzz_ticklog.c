// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any bytes as a tick log: as a file, and line by line with checks that are taken for granted, so that what stands
 * behind them is reached. It must hold that
 *  - a file is refused with its name, the line and a reason, or read to its end;
 *  - no verdict along the way has a figure that is not a number;
 *  - a record that was read is written as a line that is read as the same record.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ticklog/decode.h"
#include "ticklog/encode.h"
#include "ticklog/reader.h"
#include "ticklog/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void look_at_verdict(struct replay *r)
{
	struct verdict v;

	replay__verdict(r, &v);
	if (v.n_endpoints && !isfinite(v.log_e_bad))
		fail("the evidence is not a number");
	if (!isfinite(v.eta_seconds))
		fail("the time left is not a number");
	for (size_t i = 0; i < v.n_endpoints; i++) {
		const struct verdict_endpoint *ep = &v.endpoints[i];

		if (!isfinite(ep->log_e_bad + ep->log_e_good + ep->log_e_slow_bad + ep->log_e_slow_good))
			fail("an endpoint's evidence is not a number");
		if (ep->has_ratio && !isfinite(ep->ratio + ep->ratio_low + ep->ratio_high))
			fail("a ratio is not a number");
	}
}

/* Two logs side by side: what was read, and what is written of it. */
struct logs {
	struct log_decoder *in, *back;
	struct replay *replay;
	struct log_text text, again;
	uint32_t check;
	bool replays;
};

static void write_and_read(struct logs *l, const struct log_record *r)
{
	struct err e = { "" };
	struct log_record copy;
	uint32_t check = l->check;

	if (log_text__record(&l->text, r, &check))
		fail("what was read cannot be written");
	if (log_decoder__line(l->back, l->text.s, l->text.len - 1, &copy, &e))
		fail(e.text);
	check = l->check;
	if (log_text__record(&l->again, &copy, &check))
		fail("what was read again cannot be written");
	if (l->text.len != l->again.len || memcmp(l->text.s, l->again.s, l->text.len))
		fail("a line is not what it was");
	l->check = check;
}

static bool take_line(struct logs *l, const char *line, size_t len)
{
	struct err e = { "" };
	struct log_record r;

	if (log_decoder__line(l->in, line, len, &r, &e)) {
		if (!e.text[0])
			fail("a line is refused without a word");
		return false;
	}
	write_and_read(l, &r);
	if (l->replays && replay__take(l->replay, &r, &e))
		l->replays = false;
	if (l->replays)
		look_at_verdict(l->replay);
	return true;
}

static void as_file(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char name[40];
	struct err e = { "" };
	struct log_reader *r;
	struct log_record record;
	int err;

	if (fd < 0) {
		fd = memfd_create("log", MFD_CLOEXEC);
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		fail("no file to put it in");
	r = log_reader__new(name, &e);
	if (!r)
		fail(e.text);
	do {
		err = log_reader__next(r, &record, &e);
	} while (err > 0);
	if (err && strncmp(e.text, name, strlen(name)))
		fail("a file is refused without its name");
	log_reader__free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct logs l = { log_decoder__new(), log_decoder__new(), replay__new(NULL), .replays = true };
	const char *line = (const char *)data, *end;

	if (!l.in || !l.back || !l.replay)
		abort();
	as_file(data, size);
	log_decoder__trust(l.in);
	while (size) {
		/* A copy of its own: one byte read beyond the line is noticed. */
		size_t len;
		char *copy;
		bool go_on;

		end = memchr(line, '\n', size);
		len = end ? (size_t)(end - line) : size;
		copy = malloc(len);
		if (len && !copy)
			abort();
		memcpy(copy, line, len);
		go_on = take_line(&l, copy, len);
		free(copy);
		if (!go_on)
			break;
		line += len + (end != NULL);
		size -= len + (end != NULL);
	}
	replay__free(l.replay);
	log_decoder__free(l.in);
	log_decoder__free(l.back);
	free(l.text.s);
	free(l.again.s);
	return 0;
}
