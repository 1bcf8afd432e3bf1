// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What watching costs, for people: a line beside the comparison, and a table of the kernel programs (`--stats`). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "show/format.h"
#include "show/parts.h"

/* ---- the line ---------------------------------------------------------------------------------------------------- */

static struct text per_exchange(double ns)
{
	return format_duration(ns / 1e9);
}

/* For programs: no separators. */
static struct text plain(double value)
{
	struct text t = { "-" };

	if (isfinite(value))
		snprintf(t.s, sizeof(t.s), "%.2f", value);
	return t;
}

static void put_line(struct frame *f, const struct cost_figures *c)
{
	const struct cost_kernel *k = &c->kernel;
	struct line l;

	line_init_long(&l);
	line_put(&l, "cost used=%s allowed=%s rate=%s over=%s details=%s", format_percent(c->budget.used).s,
	         format_percent(c->budget.allowed).s, plain(c->look.rate).s, c->budget.over ? "yes" : "no",
	         c->budget.shed ? "shed" : "asked");
	line_put(&l, " kernel_net=%s kernel_gross=%s sampled=%" PRIu64 "/%" PRIu64,
	         format_joined(per_exchange(cost_net(k))).s, format_joined(per_exchange(cost_gross(k))).s, k->ended,
	         c->ended);
	line_put(&l, " maps=%s", c->map_bytes ? format_joined(format_bytes(c->map_bytes)).s : "-");
	frame_prose(f, c->budget.over ? RANK_STAYS : RANK_OVERHEAD, PLAIN, 0, "%s", l.text);
}

static void put_sentence(struct frame *f, const struct cost_figures *c)
{
	bool over = c->budget.over;
	struct line l;

	line_init_long(&l);
	line_put(&l, over ? "WATCHING COSTS MORE THAN IT MAY: " : "Cost: ");
	if (isfinite(c->budget.used))
		line_put(&l, "%s of a core in all at %s requests/s", format_percent(c->budget.used).s,
		         format_rate(c->look.rate).s);
	else
		line_put(&l, "not measured yet");
	if (isfinite(c->budget.allowed))
		line_put(&l, ", the budget is %s", format_percent(c->budget.allowed).s);
	if (isfinite(cost_net(&c->kernel)))
		line_put(&l, "; kernel %s per request without what measuring it adds",
		         per_exchange(cost_net(&c->kernel)).s);
	if (isfinite(c->budget.used) && !isfinite(c->look.kernel))
		line_put(&l, "; without the kernel's part, which is not measured");
	if (c->map_bytes)
		line_put(&l, "; %s of kernel memory", format_bytes(c->map_bytes + c->program_bytes).s);
	if (c->budget.shed)
		line_put(&l, "; details are not asked for");
	frame_prose(f, over ? RANK_STAYS : RANK_OVERHEAD, over ? RED : DIM, 0, "%s", l.text);
}

void part_cost(struct frame *f, const struct comparison *c)
{
	if (!c->cost.known)
		return;
	if (f->terminal)
		put_sentence(f, &c->cost);
	else
		put_line(f, &c->cost);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static int longest(const void *a, const void *b)
{
	const struct cost_program *x = *(const struct cost_program *const *)a,
				  *y = *(const struct cost_program *const *)b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* All of them, those first that took longest. free() it; NULL: no memory. */
static const struct cost_program **by_time(const struct cost_figures *c)
{
	const struct cost_program **list = calloc(c->n_programs + 1, sizeof(*list));

	for (size_t i = 0; list && i < c->n_programs; i++)
		list[i] = &c->programs[i];
	if (list)
		qsort(list, c->n_programs, sizeof(*list), longest);
	return list;
}

/* What of one program that ran is shown. */
struct row {
	struct text runs, run, exchange, cores;
};

static struct row row_of(const struct cost_program *p, const struct cost_kernel *k)
{
	double ns = (double)p->ns, runs = (double)p->runs;

	return (struct row){
		.runs = format_rate(runs / k->seconds),
		.run = format_duration(ns / runs / 1e9),
		.exchange = format_duration(k->ended >= COST_LEAST ? ns / (double)k->ended / 1e9 : NAN),
		.cores = format_percent(ns / 1e9 / k->seconds),
	};
}

/* Of those that ran. */
static void put_program_line(struct frame *f, const struct cost_program *p, const struct cost_kernel *k)
{
	const struct row r = row_of(p, k);

	frame_prose(f, RANK_STAYS, PLAIN, 0,
	            "program %s id=%" PRIu32 " hook=%s runs=%" PRIu64 " ns=%" PRIu64
	            " runs_per_second=%s per_run=%s per_request=%s cores=%s%s",
	            p->name, p->id, p->hook, p->runs, p->ns, plain((double)p->runs / k->seconds).s,
	            format_joined(r.run).s, format_joined(r.exchange).s, r.cores.s, p->ours ? " on_agent_time" : "");
}

#define NAME_WIDTH 26
#define HOOK_WIDTH 30

static void put_heads(struct frame *f)
{
	struct line l;

	line_init(&l, f);
	line_paint(&l, DIM);
	line_put(&l, "  %-*s %-*s %*s %*s %*s %*s", NAME_WIDTH, "PROGRAM", HOOK_WIDTH, "HOOK", TINY_WIDTH, "RUNS/S",
	         DURATION_WIDTH, "A RUN", DURATION_WIDTH, "REQUEST", PERCENT_WIDTH, "A CORE");
	frame_add(f, &l, RANK_HEADS);
}

static void put_program_row(struct frame *f, const struct cost_program *p, const struct cost_kernel *k)
{
	const struct row r = row_of(p, k);
	struct line l;

	line_init(&l, f);
	line_put(&l, "  ");
	line_name(&l, p->name, NAME_WIDTH, true);
	line_put(&l, " ");
	line_name(&l, p->hook, HOOK_WIDTH, true);
	line_put(&l, " %*s %*s %*s %*s", TINY_WIDTH, r.runs.s, DURATION_WIDTH, r.run.s, DURATION_WIDTH, r.exchange.s,
	         PERCENT_WIDTH, r.cores.s);
	frame_add(f, &l, RANK_STAYS);
}

/* Those that ran; of the others, how many there are: the document of --json has them all. */
static void put_table(struct frame *f, const struct cost_figures *c, const struct cost_program *const *list)
{
	size_t quiet = 0, called = 0;

	if (f->terminal)
		put_heads(f);
	for (size_t i = 0; i < c->n_programs; i++) {
		called += list[i]->called;
		quiet += !list[i]->runs && !list[i]->called;
		if (list[i]->runs && !list[i]->called)
			(f->terminal ? put_program_row : put_program_line)(f, list[i], &c->kernel);
	}
	if (!f->terminal)
		frame_prose(f, RANK_STAYS, PLAIN, 0, "programs tail_called=%zu not_run=%zu", called, quiet);
	if (f->terminal && called)
		frame_prose(f, RANK_NOTE, DIM, 2, "... and %zu that these go on to, whose time is in theirs", called);
	if (f->terminal && quiet)
		frame_prose(f, RANK_NOTE, DIM, 2, "... and %zu that did not run", quiet);
}

/* Off a terminal the figures are in the lines already. */
static void put_how(struct frame *f, const struct cost_figures *c)
{
	const struct cost_kernel *k = &c->kernel;

	if (k->why_not)
		frame_prose(f, RANK_STAYS, YELLOW, 0,
		            f->terminal ? "Kernel time is not measured: %s" : "kernel not_measured %s", k->why_not);
	if (!f->terminal) {
		frame_prose(f, RANK_STAYS, PLAIN, 0,
		            "kernel windows=%" PRIu64 " seconds=%.3f statistics_per_run=%s added_per_run=%s",
		            k->windows, k->seconds, format_joined(per_exchange(k->per_run)).s,
		            format_joined(per_exchange(k->added)).s);
		return;
	}
	if (!cost_measured(k))
		return;
	frame_prose(
		f, RANK_NOTE, PLAIN, 0,
		"Kernel: sampled for %s in all, %s of %s requests; the table has it as the kernel shows it, with %s a run "
		"that it shows for nothing. While a sample lasts, every BPF program of the host takes %s longer a run.",
		format_duration(k->seconds).s, format_count(k->ended).s, format_count(c->ended).s,
		per_exchange(k->per_run).s, per_exchange(k->added).s);
}

void show_cost(FILE *out, const struct comparison *c, const struct show_options *o)
{
	const struct cost_program **list = by_time(&c->cost);
	struct frame f;

	frame_init(&f, o);
	frame_prose(&f, RANK_STAYS, BOLD, 0, f.terminal ? "%s: what watching costs, run %s" : "stats %s seconds=%s",
	            c->service ? c->service : "-", format_joined(format_span(c->seconds)).s);
	if (list && !c->cost.kernel.refused)
		put_table(&f, &c->cost, list);
	put_how(&f, &c->cost);
	part_overhead(&f, c);
	part_cost(&f, c);
	if (!f.terminal)
		part_blank(&f);
	frame_shrink(&f, f.rows);
	frame_draw(&f, out);
	frame_fini(&f);
	free(list);
}
