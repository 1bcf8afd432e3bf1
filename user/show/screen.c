/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "show/format.h"
#include "show/screen.h"

#define ELLIPSIS     "..."
#define COLOUR_BYTES 8 /* the longest of the sequences below, kept free for the one that ends a line */

static const char *const colours[] = {
	[PLAIN] = "\033[0m",  [BOLD] = "\033[1m",    [DIM] = "\033[2m",      [RED] = "\033[31m",
	[GREEN] = "\033[32m", [YELLOW] = "\033[33m", [MAGENTA] = "\033[35m",
};

void line_init(struct line *l, const struct frame *f)
{
	l->text[0] = '\0';
	l->len = 0;
	l->columns = 0;
	l->limit = f->limit;
	l->colour = f->colour;
	l->paint = PLAIN;
}

void line_init_long(struct line *l)
{
	static const struct frame unlimited = { .limit = INT_MAX };

	line_init(l, &unlimited);
}

int line_room(const struct line *l)
{
	return l->limit - l->columns;
}

static bool has_bytes(const struct line *l, size_t n)
{
	return l->len + n + COLOUR_BYTES < sizeof(l->text);
}

/* The only way of foreign bytes into a line. Returns the bytes consumed, 0 when there is no room. */
static size_t put_char(struct line *l, const char *s)
{
	uint32_t code_point;
	size_t n = utf8_next(s, &code_point);
	int columns = terminal_columns(code_point);

	if (line_room(l) < (columns ? columns : 1) || !has_bytes(l, n))
		return 0;
	if (columns) {
		memcpy(l->text + l->len, s, n);
		l->len += n;
		l->columns += columns;
	} else {
		l->text[l->len++] = '?';
		l->columns++;
	}
	l->text[l->len] = '\0';
	return n;
}

static void put_text(struct line *l, const char *s)
{
	size_t n;

	for (; *s; s += n) {
		n = put_char(l, s);
		if (!n)
			return;
	}
}

void line_put(struct line *l, const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	put_text(l, text);
}

void line_paint(struct line *l, enum paint paint)
{
	size_t n = strlen(colours[paint]);

	if (!l->colour || paint == l->paint)
		return;
	/* Back to plain always fits: that is what has_bytes keeps room for. */
	if (paint != PLAIN && !has_bytes(l, n))
		return;
	memcpy(l->text + l->len, colours[paint], n + 1);
	l->len += n;
	l->paint = paint;
}

static void put_spaces(struct line *l, int n)
{
	while (n-- > 0)
		put_text(l, " ");
}

/* Keeps the method and the last segments, which tell endpoints apart better than the middle does. */
static void put_cut(struct line *l, const char *name, int width)
{
	int all = text_columns(name), head, tail, columns, done = 0;
	uint32_t code_point;
	size_t n;

	if (all <= width) {
		put_text(l, name);
		return;
	}
	tail = width > 6 ? (width - 3) / 2 : 0;
	head = width > 6 ? width - 3 - tail : width;
	for (; *name; name += n, done += columns) {
		n = utf8_next(name, &code_point);
		columns = terminal_columns(code_point);
		columns = columns ? columns : 1;
		if (done + columns > head)
			break;
		put_char(l, name);
	}
	if (!tail)
		return;
	put_text(l, ELLIPSIS);
	while (*name && text_columns(name) > tail)
		name += utf8_next(name, &code_point);
	put_text(l, name);
}

void line_name(struct line *l, const char *name, int width, bool pad)
{
	int before = l->columns;

	put_cut(l, name ? name : "-", width);
	if (pad)
		put_spaces(l, width - (l->columns - before));
}

void line_label(struct line *l, const char *name, int width)
{
	name = name ? name : "-";
	put_spaces(l, width - text_columns(name));
	put_cut(l, name, width);
}

void frame_init(struct frame *f, const struct show_options *o)
{
	memset(f, 0, sizeof(*f));
	f->terminal = o->mode == SHOW_TERMINAL;
	f->colour = o->colour && f->terminal;
	f->limit = f->rows = INT_MAX;
	if (!f->terminal)
		return;
	f->limit = (o->columns > 0 ? o->columns : 80) - 1;
	f->rows = (o->rows > 0 ? o->rows : 24) - 1;
}

void frame_fini(struct frame *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->lines[i].text);
	free(f->lines);
	f->lines = NULL;
	f->n = f->capacity = 0;
}

/* Takes text over. */
static void frame_push(struct frame *f, char *text, unsigned int rank, bool continued)
{
	size_t capacity = f->capacity ? 2 * f->capacity : 32;
	void *lines;

	if (!text)
		return;
	if (f->n == f->capacity) {
		lines = reallocarray(f->lines, capacity, sizeof(*f->lines));
		if (!lines) {
			free(text);
			return;
		}
		f->lines = lines;
		f->capacity = capacity;
	}
	f->lines[f->n].text = text;
	f->lines[f->n].rank = rank;
	f->lines[f->n].continued = continued && f->n;
	f->n++;
}

/* The text of a finished line, without the spaces at its end. */
static char *finished(struct line *l)
{
	line_paint(l, PLAIN);
	while (l->len && l->text[l->len - 1] == ' ')
		l->text[--l->len] = '\0';
	return strdup(l->text);
}

void frame_add(struct frame *f, struct line *l, unsigned int rank)
{
	frame_push(f, finished(l), rank, false);
}

void frame_continue(struct frame *f, struct line *l)
{
	frame_push(f, finished(l), f->n ? f->lines[f->n - 1].rank : 0, true);
}

void frame_init_like(struct frame *f, const struct frame *other)
{
	*f = *other;
	f->lines = NULL;
	f->n = f->capacity = 0;
}

void frame_append(struct frame *to, struct frame *from)
{
	for (size_t i = 0; i < from->n; i++)
		frame_push(to, from->lines[i].text, from->lines[i].rank, from->lines[i].continued);
	from->n = 0;
	frame_fini(from);
}

static void prose_begin(struct line *l, const struct frame *f, enum paint paint, int indent)
{
	line_init(l, f);
	put_spaces(l, indent);
	line_paint(l, paint);
}

void frame_prose(struct frame *f, unsigned int rank, enum paint paint, int indent, const char *fmt, ...)
{
	char text[LINE_BYTES], *word, *end;
	bool first = true, continued = false;
	struct line l;
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);

	prose_begin(&l, f, paint, indent);
	for (word = text; *word; word = end) {
		word += strspn(word, " ");
		end = word + strcspn(word, " ");
		if (*end)
			*end++ = '\0';
		if (!first && text_columns(word) + 1 > line_room(&l)) {
			frame_push(f, finished(&l), rank, continued);
			prose_begin(&l, f, paint, indent + 2);
			first = continued = true;
		}
		if (!first)
			put_text(&l, " ");
		put_cut(&l, word, line_room(&l));
		first = false;
	}
	frame_push(f, finished(&l), rank, continued);
}

/* The first line of the last paragraph among those with the highest rank. */
static size_t least_wanted(const struct frame *f)
{
	size_t victim = 0;

	for (size_t i = 1; i < f->n; i++)
		if (!f->lines[i].continued && f->lines[i].rank >= f->lines[victim].rank)
			victim = i;
	return victim;
}

void frame_shrink(struct frame *f, size_t rows)
{
	while (f->n > rows) {
		size_t victim = least_wanted(f), after = victim;

		if (!f->lines[victim].rank)
			return;
		do {
			free(f->lines[after++].text);
		} while (after < f->n && f->lines[after].continued);
		memmove(f->lines + victim, f->lines + after, (f->n - after) * sizeof(*f->lines));
		f->n -= after - victim;
	}
}

void frame_draw(const struct frame *f, FILE *out)
{
	size_t size = 0, n = f->n;
	char *buffer = NULL;
	FILE *memory;

	if (n > (size_t)f->rows)
		n = f->rows;
	/* In one piece, so that a terminal never shows half of it. */
	memory = open_memstream(&buffer, &size);
	if (!memory)
		return;
	if (f->terminal)
		fputs("\033[H", memory);
	for (size_t i = 0; i < n; i++)
		fprintf(memory, "%s%s\n", f->lines[i].text, f->terminal ? "\033[K" : "");
	if (f->terminal)
		fputs("\033[J", memory);
	if (fclose(memory) == 0) {
		fwrite(buffer, 1, size, out);
		fflush(out);
	}
	free(buffer);
}
