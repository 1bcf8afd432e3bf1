/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live comparison on a terminal. The columns of a screen of 80 do not hold two arms with three quantiles and their
 * ratios, so there are three layouts: one line an endpoint on wide screens, two lines (counts, then latencies) on usual
 * ones, and a line for each figure on narrow ones. A figure is shown whole or not at all.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "show/format.h"
#include "show/lines.h"
#include "show/parts.h"

enum shape { TALL, NARROW, WIDE };

struct layout {
	const struct comparison *c;
	enum shape shape;
	int name; /* columns of the endpoint's name */
	int gap;  /* between quantiles on the second line of NARROW */
};

#define MARK_WIDTH     2
#define REQUESTS_WIDTH (SHORT_WIDTH + 1 + SHORT_WIDTH)
#define SHARE_WIDTH    (TINY_WIDTH + 1 + PERCENT_WIDTH)
#define ERRORS_WIDTH   (SHARE_WIDTH + 1 + SHARE_WIDTH + 1 + RATIO_WIDTH)
#define QUANTILE_WIDTH (DURATION_WIDTH + 1 + DURATION_WIDTH + 1 + RATIO_WIDTH)
#define LABELLED_WIDTH (4 + QUANTILE_WIDTH)
#define COUNTS_WIDTH   (MARK_WIDTH + 1 + REQUESTS_WIDTH + 1 + ERRORS_WIDTH)
#define NAME_MIN       12
/* The fewest exchanges of each arm that make a ratio worth a colour. */
#define COLOUR_MIN 30

static void put_requests(struct line *l, const struct endpoint_figures *ep)
{
	if (line_room(l) < REQUESTS_WIDTH)
		return;
	for (int arm = ARM_BASELINE; arm <= ARM_CANARY; arm++)
		line_put(l, "%*s", SHORT_WIDTH + (arm > 0),
		         ep->arm[arm].present ? format_count_short(ep->arm[arm].requests).s : "-");
}

static void put_ratio(struct line *l, double ratio, const struct endpoint_figures *ep)
{
	bool enough = ep->arm[ARM_BASELINE].requests >= COLOUR_MIN && ep->arm[ARM_CANARY].requests >= COLOUR_MIN;

	if (enough && ratio >= 1.2)
		line_paint(l, ratio >= 1.5 ? RED : YELLOW);
	line_put(l, " %*s", RATIO_WIDTH, format_ratio(ratio).s);
	line_paint(l, PLAIN);
}

static void put_errors(struct line *l, const struct endpoint_figures *ep)
{
	if (line_room(l) < ERRORS_WIDTH)
		return;
	for (int arm = ARM_BASELINE; arm <= ARM_CANARY; arm++) {
		const struct arm_figures *a = &ep->arm[arm];

		line_put(l, "%*s %*s", TINY_WIDTH + (arm > 0), a->present ? format_count_tiny(arm_errors(a)).s : "-",
		         PERCENT_WIDTH, format_percent(error_share(a)).s);
	}
	put_ratio(l, ratio_of(error_share(&ep->arm[ARM_CANARY]), error_share(&ep->arm[ARM_BASELINE])), ep);
}

static double total_quantile(const struct arm_figures *a, double q)
{
	return a->present ? arm_quantile(a, TW_LAT_TOTAL, q) : NAN;
}

static void put_quantile(struct line *l, const struct endpoint_figures *ep, double q)
{
	double baseline = total_quantile(&ep->arm[ARM_BASELINE], q), canary = total_quantile(&ep->arm[ARM_CANARY], q);

	if (line_room(l) < QUANTILE_WIDTH)
		return;
	line_put(l, "%*s %*s", DURATION_WIDTH, format_duration(baseline).s, DURATION_WIDTH, format_duration(canary).s);
	put_ratio(l, ratio_of(canary, baseline), ep);
}

static void put_endpoint_name(struct line *l, const struct endpoint_figures *ep, int width, bool pad)
{
	if (ep->critical)
		line_paint(l, BOLD);
	line_put(l, "%s", ep->critical ? "* " : "  ");
	line_name(l, ep->name, width, pad);
	line_paint(l, PLAIN);
}

/* One line with the counts; WIDE goes on with the quantiles, NARROW puts them below. */
static void rows_of_columns(struct frame *f, const struct endpoint_figures *ep, const struct layout *lay)
{
	struct line l;

	line_init(&l, f);
	put_endpoint_name(&l, ep, lay->name, true);
	line_put(&l, " ");
	put_requests(&l, ep);
	line_put(&l, " ");
	put_errors(&l, ep);
	if (lay->shape == NARROW) {
		frame_add(f, &l, RANK_STAYS);
		line_init(&l, f);
	}
	for (int i = 0; i < TABLE_QUANTILES; i++) {
		if (lay->shape == WIDE)
			line_put(&l, "  ");
		else
			line_put(&l, "%*s%s ", i ? lay->gap : 2, "", table_quantiles[i].name);
		put_quantile(&l, ep, table_quantiles[i].q);
	}
	frame_add(f, &l, RANK_STAYS);
}

static void tall_rows(struct frame *f, const struct endpoint_figures *ep)
{
	struct line l;

	line_init(&l, f);
	put_endpoint_name(&l, ep, f->limit - MARK_WIDTH, false);
	frame_add(f, &l, RANK_STAYS);
	line_init(&l, f);
	line_put(&l, "  req ");
	put_requests(&l, ep);
	frame_add(f, &l, RANK_STAYS);
	line_init(&l, f);
	line_put(&l, "  err ");
	put_errors(&l, ep);
	frame_add(f, &l, RANK_STAYS);
	for (int i = 0; i < TABLE_QUANTILES; i++) {
		line_init(&l, f);
		line_put(&l, "  %s ", table_quantiles[i].name);
		put_quantile(&l, ep, table_quantiles[i].q);
		frame_add(f, &l, RANK_STAYS);
	}
}

static void comparison_block(struct frame *f, const struct endpoint_figures *ep, const void *layout)
{
	const struct layout *lay = layout;

	if (lay->shape == TALL)
		tall_rows(f, ep);
	else
		rows_of_columns(f, ep, lay);
	part_sure(f, lay->c, ep);
	part_outcomes(f, lay->c, ep);
	part_streams(f, lay->c, ep);
}

static void choose_layout(struct layout *lay, const struct frame *f, const struct endpoint_figures *const *list,
                          size_t n)
{
	int wide = COUNTS_WIDTH + TABLE_QUANTILES * (2 + QUANTILE_WIDTH), longest = NAME_MIN;
	int spare = f->limit - 2 - TABLE_QUANTILES * LABELLED_WIDTH;

	for (size_t i = 0; i < n; i++)
		if (text_columns(list[i]->name) > longest)
			longest = text_columns(list[i]->name);
	lay->shape = f->limit >= wide + 2 * NAME_MIN ? WIDE : f->limit >= COUNTS_WIDTH + NAME_MIN ? NARROW : TALL;
	lay->name = f->limit - (lay->shape == WIDE ? wide : COUNTS_WIDTH);
	if (lay->name > longest)
		lay->name = longest;
	lay->gap = spare >= 8 ? 4 : spare >= 2 ? spare / 2 : 1;
}

static void put_column_heads(struct frame *f, const struct layout *lay)
{
	const char *baseline = arm_label(lay->c, ARM_BASELINE), *canary = arm_label(lay->c, ARM_CANARY);
	struct line l;

	if (lay->shape == TALL)
		return;
	line_init(&l, f);
	line_paint(&l, DIM);
	line_put(&l, "  %-*s %*s %*s", lay->name, "ENDPOINT", REQUESTS_WIDTH, "REQUESTS", ERRORS_WIDTH, "ERRORS");
	for (int i = 0; lay->shape == WIDE && i < TABLE_QUANTILES; i++)
		line_put(&l, "  %*s", QUANTILE_WIDTH, table_quantiles[i].name);
	frame_add(f, &l, RANK_HEADS);

	line_init(&l, f);
	line_paint(&l, DIM);
	line_put(&l, "  %-*s ", lay->name, "(* critical)");
	line_label(&l, baseline, SHORT_WIDTH);
	line_put(&l, " ");
	line_label(&l, canary, SHORT_WIDTH);
	line_put(&l, " ");
	line_label(&l, baseline, SHARE_WIDTH);
	line_put(&l, " ");
	line_label(&l, canary, SHARE_WIDTH);
	line_put(&l, " ratio");
	for (int i = 0; lay->shape == WIDE && i < TABLE_QUANTILES; i++) {
		line_put(&l, "  ");
		line_label(&l, baseline, DURATION_WIDTH);
		line_put(&l, " ");
		line_label(&l, canary, DURATION_WIDTH);
		line_put(&l, " ratio");
	}
	frame_continue(f, &l);
}

static void put_title(struct frame *f, const struct comparison *c, const struct show_options *o)
{
	struct line l;

	line_init_long(&l);
	line_put(&l, "%s: ", c->service ? c->service : "-");
	if (c->version_name[ARM_CANARY] && !c->version_name[ARM_BASELINE])
		line_put(&l, "%s (canary)", arm_label(c, ARM_CANARY));
	else
		line_put(&l, "%s (baseline) against %s (canary)", arm_label(c, ARM_BASELINE), arm_label(c, ARM_CANARY));
	if (c->version_name[ARM_OTHER])
		line_put(&l, ", also %s (other)", c->version_name[ARM_OTHER]);
	line_put(&l, ", run %s", format_span(c->seconds).s);
	if (isfinite(o->remaining))
		line_put(&l, ", %s left", format_span(o->remaining > 0 ? o->remaining : 0).s);
	else
		line_put(&l, ", until Ctrl-C");
	frame_prose(f, RANK_STAYS, BOLD, 0, "%s", l.text);
}

/* Says which arm has had no request yet. True when none of them had any. */
static bool put_waiting(struct frame *f, const struct comparison *c)
{
	bool baseline = arm_requests(c, ARM_BASELINE), canary = arm_requests(c, ARM_CANARY);
	bool lone = c->version_name[ARM_CANARY] && !c->version_name[ARM_BASELINE];

	if ((baseline || lone) && canary)
		return false;
	if (!baseline && !canary && !lone)
		frame_prose(f, RANK_STAYS, YELLOW, 0,
		            "No request has ended yet: waiting for %s (baseline) and %s (canary)",
		            arm_label(c, ARM_BASELINE), arm_label(c, ARM_CANARY));
	else
		frame_prose(f, RANK_STAYS, YELLOW, 0, "Waiting for the first request to end on %s (%s)",
		            arm_label(c, baseline || lone ? ARM_CANARY : ARM_BASELINE),
		            arm_names[baseline || lone ? ARM_CANARY : ARM_BASELINE]);
	return !comparison_requests(c);
}

static struct text in_capitals(const char *word)
{
	struct text t;
	size_t i;

	for (i = 0; word[i] && i + 1 < sizeof(t.s); i++)
		t.s[i] = (char)toupper((unsigned char)word[i]);
	t.s[i] = '\0';
	return t;
}

static void put_verdict(struct frame *f, const struct comparison *c)
{
	static const enum paint paint[] = {
		[VERDICT_PROMOTE] = GREEN,
		[VERDICT_HOLD] = YELLOW,
		[VERDICT_ROLLBACK] = RED,
		[VERDICT_INVALID] = MAGENTA,
	};
	const struct verdict *v = &c->verdict;

	if (!c->has_verdict) {
		frame_prose(f, RANK_STAYS, PLAIN, 0, "Verdict: none yet");
		return;
	}
	frame_prose(f, RANK_STAYS, paint[v->kind], 0, "Verdict: %s%s", in_capitals(verdict_names[v->kind]).s,
	            v->final ? " (final)" : "");
	if (*v->summary)
		frame_prose(f, RANK_STAYS, PLAIN, 0, "%s", v->summary);
	for (size_t i = 0; i < v->n_cutovers; i++) {
		const struct verdict_cutover *u = &v->cutovers[i];

		frame_prose(f, RANK_REASON, paint[u->kind], 2, "%s %s (%s): %s", in_capitals(verdict_names[u->kind]).s,
		            u->name, u->owner ? u->owner : "no owner named", u->text);
	}
	for (size_t i = 0; i < v->n_reasons; i++) {
		const struct reason *r = &v->reasons[i];
		/* The text may name its endpoint itself. */
		bool named = !r->endpoint || strstr(r->text, r->endpoint);

		frame_prose(f, i || *v->summary ? RANK_REASON : RANK_STAYS, PLAIN, 2, "%s%s%s",
		            named ? "" : r->endpoint, named ? "" : ": ", r->text);
	}
	for (size_t i = 0; i < v->n_guards; i++)
		if (!v->guards[i].ok)
			frame_prose(f, RANK_GUARD, YELLOW, 2, "guard %s: %s", v->guards[i].name, v->guards[i].text);
	part_limits(f, v);
	if (v->has_eta && isfinite(v->eta_seconds))
		frame_prose(f, RANK_REASON, PLAIN, 2, "can be called in about %s", format_span(v->eta_seconds).s);
}

/* The lines that the endpoints get before anything below them is left out: what they need, up to two fifths. */
static size_t rows_kept_for(const struct endpoint_figures *const *list, size_t n, const struct layout *lay, size_t rows)
{
	static const size_t lines_of[] = { [TALL] = 4 + TABLE_QUANTILES, [NARROW] = 3, [WIDE] = 2 };
	size_t need = n * lines_of[lay->shape], least = lines_of[lay->shape] + 2;

	for (size_t i = 0; i < n; i++)
		need += (has_abnormal_outcomes(&list[i]->arm[ARM_BASELINE]) ||
		         has_abnormal_outcomes(&list[i]->arm[ARM_CANARY])) +
		        (arm_has_streams(&list[i]->arm[ARM_BASELINE]) || arm_has_streams(&list[i]->arm[ARM_CANARY]));
	rows = rows * 2 / 5 > least ? rows * 2 / 5 : least;
	return need < rows ? need : rows;
}

static void terminal_comparison(struct frame *f, const struct comparison *c, const struct show_options *o,
                                const struct endpoint_figures *const *list, size_t n)
{
	struct layout lay = { .c = c };
	size_t rows = f->rows, kept = 0;
	struct frame tail;
	bool idle;

	put_title(f, c, o);
	part_blank(f);
	frame_init_like(&tail, f);
	idle = put_waiting(&tail, c);
	if (!idle)
		part_sure_legend(&tail, c);
	part_losses(&tail, c);
	part_cuts(&tail, c);
	part_coverage(&tail, c);
	part_tls(&tail, c);
	part_ledger(&tail, c);
	part_overhead(&tail, c);
	part_cost(&tail, c);
	part_notes(&tail, c, idle ? RANK_STAYS : RANK_NOTE);
	part_blank(&tail);
	put_verdict(&tail, c);

	if (!idle) {
		choose_layout(&lay, f, list, n);
		put_column_heads(f, &lay);
		kept = rows_kept_for(list, n, &lay, rows) + 1;
	}
	frame_shrink(&tail, rows > f->n + kept ? rows - f->n - kept : 0);
	if (!idle && rows > f->n + tail.n)
		part_endpoints(f, list, n, rows - f->n - tail.n, comparison_block, &lay);
	if (!idle && f->n + tail.n < rows)
		part_blank(f);
	frame_append(f, &tail);
	frame_shrink(f, rows);
}

void show_comparison(FILE *out, const struct comparison *c, const struct show_options *o)
{
	const struct endpoint_figures **list;
	struct frame f;
	size_t n;

	list = endpoints_by_interest(c, &n);
	frame_init(&f, o);
	if (f.terminal)
		terminal_comparison(&f, c, o, list, n);
	else
		lines_comparison(&f, c, o, list, n);
	frame_draw(&f, out);
	frame_fini(&f);
	free(list);
}
