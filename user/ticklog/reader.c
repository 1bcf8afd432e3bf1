// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ticklog/decode.h"

/* A tick of 512 endpoints with every bucket and group in use takes less than half of it. */
#define LINE_MOST  (16U << 20)
#define READ_AHEAD (64U << 10)

struct log_reader {
	char *file;
	int fd;
	unsigned long line; /* the latest, from 1 */
	char *buf;          /* [room]; what is not read yet is at [from, to) */
	size_t from, to, room;
	bool at_end, cut;
	struct log_decoder *decoder;
};

int log_reader__error(const struct log_reader *r, int code, struct err *e, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, code, "%.200s:%lu: %s", r->file, r->line, text);
}

struct log_reader *log_reader__new(const char *file, struct err *e)
{
	struct log_reader *r = calloc(1, sizeof(*r));

	if (r) {
		r->fd = -1;
		r->decoder = log_decoder__new();
		r->file = strdup(file);
		r->room = READ_AHEAD;
		r->buf = malloc(r->room);
	}
	if (!r || !r->decoder || !r->file || !r->buf) {
		err_set(e, ENOMEM, "out of memory");
		log_reader__free(r);
		return NULL;
	}
	r->fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (r->fd < 0) {
		err_set(e, errno, "cannot open %.200s: %s", file, strerror(errno));
		log_reader__free(r);
		return NULL;
	}
	return r;
}

void log_reader__free(struct log_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	log_decoder__free(r->decoder);
	free(r->file);
	free(r->buf);
	free(r);
}

enum log_ending log_reader__ending(const struct log_reader *r)
{
	return r->cut ? LOG_CUT : log_decoder__ended(r->decoder) ? LOG_WHOLE : LOG_OPEN;
}

/* Reads on behind what is there. 0 or a negative errno. */
static int fill(struct log_reader *r, struct err *e)
{
	ssize_t n;

	if (r->from) {
		memmove(r->buf, r->buf + r->from, r->to - r->from);
		r->to -= r->from;
		r->from = 0;
	}
	if (r->to == r->room) {
		char *grown = r->room < LINE_MOST ? realloc(r->buf, 2 * r->room) : NULL;

		if (r->room >= LINE_MOST)
			return log_reader__error(r, EBADMSG, e, "a line of more than %u MiB", LINE_MOST >> 20);
		if (!grown)
			return log_reader__error(r, ENOMEM, e, "out of memory");
		r->buf = grown;
		r->room *= 2;
	}
	do {
		n = read(r->fd, r->buf + r->to, r->room - r->to);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return log_reader__error(r, errno, e, "cannot read on: %s", strerror(errno));
	r->to += (size_t)n;
	r->at_end = n == 0;
	return 0;
}

/* The next line without its newline: 1; 0: no more. *whole is unset when the file ends before the newline. */
static int next_line(struct log_reader *r, const char **line, size_t *len, bool *whole, struct err *e)
{
	size_t looked = 0;

	r->line++;
	for (;;) {
		char *start = r->buf + r->from, *newline = memchr(start + looked, '\n', r->to - r->from - looked);
		int err;

		*line = start;
		*whole = newline != NULL;
		*len = newline ? (size_t)(newline - start) : r->to - r->from;
		if (newline || r->at_end) {
			r->from += *len + *whole;
			return *len || *whole;
		}
		looked = *len;
		err = fill(r, e);
		if (err)
			return err;
	}
}

int log_reader__next(struct log_reader *r, struct log_record *out, struct err *e)
{
	struct err why = { "" };
	const char *line;
	size_t len;
	bool whole, ended = log_decoder__ended(r->decoder);
	int err = next_line(r, &line, &len, &whole, e);

	if (err < 0)
		return err;
	if (!err)
		return r->line == 1 ? log_reader__error(r, EBADMSG, e, "the file is empty") : 0;
	err = log_decoder__line(r->decoder, line, len, out, &why);
	if (!err)
		return 1;
	/* What was being written when everything ended; a first line holds nothing to go by. */
	if (!whole && !ended && r->line > 1 && err == -EBADMSG) {
		r->cut = true;
		return 0;
	}
	return log_reader__error(r, -err, e, "%s", why.text);
}
