/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A plan for people: one table a share, below it what cannot be called in time and what would help, at the end what the
 * times mean. Columns that a narrow screen has no room for are left out whole, the least telling first.
 */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "show/format.h"
#include "show/parts.h"
#include "show/plan.h"
#include "show/plan_words.h"

#define NAME_LEAST 12
#define NAME_MOST  40
#define MARK       2
#define MOST_ROWS  40 /* of endpoints that do not decide */

enum column { RATE, ERRORS, WORSE_1, WORSE_2, WORSE_3, SLOWER, C_ERRORS, C_LATENCY, C_DATA, CALL, BY, COLUMNS };

static const struct {
	int width;
	unsigned int rank; /* the highest goes first; 0 stays */
	bool group;        /* the first of a group: more space before it */
} layout[COLUMNS] = {
	[RATE] = { TINY_WIDTH, 2, false },
	[ERRORS] = { PERCENT_WIDTH, 1, false },
	[WORSE_1] = { DURATION_WIDTH, 0, true },
	[WORSE_2] = { DURATION_WIDTH, 0, false },
	[WORSE_3] = { DURATION_WIDTH, 0, false },
	[SLOWER] = { DURATION_WIDTH, 0, false },
	[C_ERRORS] = { DURATION_WIDTH, 0, true },
	[C_LATENCY] = { DURATION_WIDTH, 0, false },
	[C_DATA] = { DURATION_WIDTH, 3, false },
	[CALL] = { DURATION_WIDTH, 0, false },
	[BY] = { 5, 4, false },
};

struct table {
	const struct plan_report *r;
	int name;
	bool shown[COLUMNS];
};

static int width_of(enum column c)
{
	return 1 + layout[c].group + layout[c].width;
}

static int table_width(const struct table *t)
{
	int width = MARK + t->name;

	for (int c = 0; c < COLUMNS; c++)
		width += t->shown[c] ? width_of(c) : 0;
	return width;
}

static void fit(struct table *t, int limit)
{
	size_t n = t->r->n;

	t->name = NAME_LEAST;
	for (int c = 0; c < COLUMNS; c++)
		t->shown[c] = true;
	for (unsigned int rank = 4; rank > 0 && table_width(t) > limit; rank--)
		for (int c = 0; c < COLUMNS; c++)
			if (layout[c].rank == rank)
				t->shown[c] = false;
	for (size_t i = 0; i < n; i++) {
		int want = text_columns(t->r->subjects[i].ep->def.name);

		want = want > NAME_MOST ? NAME_MOST : want;
		if (want <= t->name)
			continue;
		if (table_width(t) + want - t->name > limit)
			want = t->name + limit - table_width(t);
		t->name = want > t->name ? want : t->name;
	}
}

static struct text time_text(const struct plan_time *time)
{
	struct text t = { "-" };

	if (!time->never)
		return format_span(time->seconds);
	if (time->never != PLAN_NOT_KNOWN && time->never != PLAN_NO_LATENCY)
		snprintf(t.s, sizeof(t.s), "never");
	return t;
}

static struct text head_text(const struct table *t, enum column c)
{
	static const char *const heads[COLUMNS] = {
		[RATE] = "/S",        [ERRORS] = "ERRORS", [C_ERRORS] = "errors", [C_LATENCY] = "latency",
		[C_DATA] = "minimum", [CALL] = "ALL",      [BY] = "by",
	};
	struct text text = { "" };

	if (c >= WORSE_1 && c <= WORSE_3)
		snprintf(text.s, sizeof(text.s), "x%.3g", plan_ratios[c - WORSE_1]);
	else if (c == SLOWER && t->r->own_margins)
		snprintf(text.s, sizeof(text.s), "slower");
	else if (c == SLOWER)
		snprintf(text.s, sizeof(text.s), "+%.8s", plan_margin(t->r->policy.max_latency_increase).s);
	else
		snprintf(text.s, sizeof(text.s), "%s", heads[c]);
	return text;
}

static struct text cell_text(const struct plan_subject *s, const struct plan_row *row, enum column c)
{
	const struct plan_certificate *good = &row->times.certify;
	struct text by = { "-" };

	switch (c) {
	case RATE:
		return format_rate(s->ep->rate);
	case ERRORS:
		return format_percent(s->ep->rate > 0 ? s->ep->errors : NAN);
	case SLOWER:
		return time_text(&row->times.slower);
	case C_ERRORS:
		return time_text(&good->errors);
	case C_LATENCY:
		return time_text(&good->latency);
	case C_DATA:
		return time_text(&good->data);
	case CALL:
		return time_text(&good->call);
	case BY:
		if (!good->errors.never)
			snprintf(by.s, sizeof(by.s), good->by_floor ? "floor" : "ratio");
		return by;
	default:
		return time_text(&row->times.worse[c - WORSE_1]);
	}
}

static void put_heads(struct frame *f, const struct table *t)
{
	struct line l;

	line_init_long(&l);
	line_put(&l, "  %-*s", t->name, "");
	for (int c = RATE; c <= ERRORS; c++)
		line_put(&l, "%*s", t->shown[c] ? width_of(c) : 0, "");
	line_put(&l, "%*s", 1 + 4 * (1 + DURATION_WIDTH), "A WORSE CANARY IS ROLLED BACK");
	line_put(&l, "%*s", 1 + (3 + t->shown[C_DATA]) * (1 + DURATION_WIDTH),
	         t->shown[C_DATA] ? "AN EQUAL ONE IS CERTIFIED" : "AN EQUAL ONE CERTIFIED");
	frame_add(f, &l, RANK_HEADS);

	line_init_long(&l);
	line_put(&l, "  %-*s", t->name, "ENDPOINT");
	for (int c = 0; c < COLUMNS; c++)
		if (t->shown[c])
			line_put(&l, "%*s", width_of(c), head_text(t, c).s);
	frame_continue(f, &l);
}

static void put_row(struct frame *f, const struct table *t, size_t share, size_t i)
{
	const struct plan_subject *s = &t->r->subjects[i];
	struct line l;

	line_init_long(&l);
	line_put(&l, s->decides ? "* " : "  ");
	line_name(&l, s->ep->def.name, t->name, true);
	for (int c = 0; c < COLUMNS; c++)
		if (t->shown[c])
			line_put(&l, "%*s", width_of(c), cell_text(s, &t->r->rows[share * t->r->n + i], c).s);
	frame_add(f, &l, RANK_STAYS);
}

/* Those that decide all of them, of the others as many as go on a screen: JSON has every one. */
static void put_table(struct frame *f, const struct table *t, size_t share)
{
	const struct plan_report *r = t->r;
	size_t others = 0;

	frame_prose(f, RANK_STAYS, PLAIN, 0, "%.3g%% of the traffic to the canary:", 100 * r->shares[share]);
	put_heads(f, t);
	for (size_t i = 0; i < r->n; i++)
		if (r->subjects[i].decides)
			put_row(f, t, share, i);
	for (size_t i = 0; i < r->n; i++) {
		if (r->subjects[i].decides)
			continue;
		if (others++ < MOST_ROWS)
			put_row(f, t, share, i);
	}
	if (others > MOST_ROWS)
		frame_prose(f, RANK_STAYS, PLAIN, 2, "... and %zu more that do not decide", others - MOST_ROWS);
	plan_words_share(f, r, share);
	part_blank(f);
}

static void put_title(struct frame *f, const struct plan_report *r)
{
	struct text promote = { "" };
	struct line l;

	if (r->policy.promote_alpha != r->policy.alpha)
		snprintf(promote.s, sizeof(promote.s), " (promotion: %.3g%%)", 100 * r->policy.promote_alpha);
	line_init_long(&l);
	line_put(&l,
	         "%s: when a release can be called at alpha %.3g%%%s, with errors below x%.3g and latency less than %s "
	         "above the baseline's%s; traffic as ",
	         r->service, 100 * r->policy.alpha, promote.s, r->policy.max_error_ratio,
	         plan_margin(r->policy.max_latency_increase).s, r->own_margins ? " where nothing else is said" : "");
	if (r->observed)
		line_put(&l, "observed for %s", format_span(r->seconds).s);
	else
		line_put(&l, "given");
	frame_prose(f, RANK_STAYS, PLAIN, 0, "%s", l.text);
}

void show_plan(FILE *out, const struct plan_report *r, int columns)
{
	const struct show_options o = { .mode = SHOW_LINES };
	struct table t = { .r = r };
	struct frame f;

	frame_init(&f, &o);
	f.limit = columns > 0 ? columns - 1 : 120;
	if (f.limit < 40)
		f.limit = 40;
	put_title(&f, r);
	part_blank(&f);
	fit(&t, f.limit);
	for (size_t s = 0; s < r->n_shares; s++)
		put_table(&f, &t, s);
	plan_words_end(&f, r);
	frame_draw(&f, out);
	frame_fini(&f);
}
