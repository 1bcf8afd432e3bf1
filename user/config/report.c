// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_SHOWN 160

static const char *end_of_name(const char *name, const char **dots)
{
	size_t len = strlen(name);

	*dots = len > NAME_SHOWN ? "..." : "";
	return len > NAME_SHOWN ? name + len - NAME_SHOWN : name;
}

int source_error(const struct source *s, int line, const char *fmt, ...)
{
	char text[sizeof(((struct err *)0)->text)];
	const char *dots, *name = end_of_name(s->name, &dots);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (line > 0)
		return err_set(s->e, EINVAL, "%s%s:%d: %s", dots, name, line, text);
	return err_set(s->e, EINVAL, "%s%s: %s", dots, name, text);
}

int source_nomem(const struct source *s)
{
	const char *dots, *name = end_of_name(s->name, &dots);

	return err_set(s->e, ENOMEM, "%s%s: out of memory", dots, name);
}

const char *clip(const char *text, char buf[CLIP_LEN])
{
	size_t keep = CLIP_LEN - 4;

	if (strlen(text) < CLIP_LEN)
		return text;
	while (keep && ((unsigned char)text[keep] & 0xc0) == 0x80)
		keep--;
	memcpy(buf, text, keep);
	memcpy(buf + keep, "...", 4);
	return buf;
}

#define WORD_MAX 32

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; both at most WORD_MAX long. */
static size_t edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= la; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			size_t replace = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			d[i][j] = least(replace, least(d[i - 1][j], d[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[la][lb];
}

const char *nearest_word(const char *text, const char *const *words, size_t n)
{
	size_t len = strlen(text), best = WORD_MAX;
	const char *found = NULL;

	if (len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t lw = strlen(words[i]), distance;

		if (lw > WORD_MAX)
			continue;
		distance = edit_distance(text, len, words[i], lw);
		/* A word of which more than half has to change was not meant. */
		if (distance < best && 2 * distance <= (len > lw ? len : lw)) {
			best = distance;
			found = words[i];
		}
	}
	return found;
}

void suggest(const char *text, const char *const *words, size_t n, char *out, size_t len)
{
	const char *near = nearest_word(text, words, n);
	size_t used;

	if (near) {
		snprintf(out, len, ": did you mean \"%s\"?", near);
		return;
	}
	snprintf(out, len, "; known are ");
	for (size_t i = 0; i < n; i++) {
		used = strlen(out);
		snprintf(out + used, len - used, "%s%s", i ? ", " : "", words[i]);
	}
}
