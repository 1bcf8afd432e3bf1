// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What watching costs: the kernel's time in short windows, ours all the time. Held against the budget; beyond it
 * details are not asked for.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "session/internal.h"

/* Run-time statistics cost every program of the host some time a run: they are on in a twentieth of the time. */
#define WINDOW_FIRST 0.5
#define WINDOW_EVERY 5.0
#define WINDOW       0.25
#define TRIES        5 /* windows that may begin with it */

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t resident_bytes(void)
{
	unsigned long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of all versions, at the latest reading of the ledger. */
static uint64_t all_of(const struct session *s, enum tw_ledger what)
{
	struct tw_ledger_row t;

	ledger_total(s, &t);
	return t.c[what];
}

/* ---- the kernel's time ------------------------------------------------------------------------------------------- */

static void let_go_of_nothing(struct session_cost *c)
{
	if (c->nothing > 0)
		close(c->nothing);
	c->nothing = -1;
}

/* Why they cannot be switched on. */
static void say_why_not(struct session_cost *c)
{
	const char *reason = c->fd == -EPIPE ? "the process that keeps CAP_SYS_ADMIN is gone" : strerror(-c->fd);

	snprintf(c->why_not, sizeof(c->why_not), "run-time statistics cannot be switched on: %s%s", reason,
	         c->fd == -EPERM ? " (it takes CAP_SYS_ADMIN, or kernel.bpf_stats_enabled=1)" : "");
}

/*
 * The first window begins with what the statistics themselves cost, measured without them and with them. Where somebody
 * else had them on just then a later one does, or in the end none.
 */
static void switch_on(struct session_cost *c)
{
	bool measure = isnan(c->kernel.added) && c->tries < TRIES && !c->why_not[0];
	double plain = NAN;

	if (measure)
		statistics_cost__off(c->nothing, &plain);
	c->fd = statistics__on();
	c->counting = c->fd >= 0 || statistics__are_on();
	if (!c->counting) {
		say_why_not(c);
		return;
	}
	c->why_not[0] = 0;
	if (!measure)
		return;
	c->tries++;
	statistics_cost__on(c->nothing, plain, &c->kernel.per_run, &c->kernel.added);
	if (!isnan(c->kernel.added) || c->tries == TRIES)
		let_go_of_nothing(c);
	log_debug("run-time statistics show %.1f ns for a run that does nothing, and add %.1f ns to one",
	          c->kernel.per_run, c->kernel.added);
}

static void open_window(struct session *s)
{
	struct session_cost *c = &s->cost;

	switch_on(c);
	for (size_t i = 0; i < c->n && c->counting; i++)
		c->counting = !spending__program(s->loader, i, &c->before[i]);
	c->opened = session_now();
	c->ended_before = all_of(s, TW_L_ENDED);
	if (c->counting)
		tls_budget_open(s, c->opened);
	c->at = c->opened + WINDOW;
	c->open = true;
}

/* Adds what the programs have done in the window. */
static void sum_up(struct session *s, struct cost_kernel *window)
{
	struct session_cost *c = &s->cost;

	for (size_t i = 0; i < c->n; i++) {
		struct cost_program *all = &c->programs[i], now;

		if (spending__program(s->loader, i, &now))
			continue;
		now.ns -= c->before[i].ns;
		now.runs -= c->before[i].runs;
		all->ns += now.ns;
		all->runs += now.runs;
		if (now.ours)
			continue;
		window->ns += now.ns;
		window->runs += now.runs;
	}
	c->kernel.windows++;
	c->kernel.seconds += window->seconds;
	c->kernel.ended += window->ended;
	c->kernel.ns += window->ns;
	c->kernel.runs += window->runs;
}

/* ---- the budget -------------------------------------------------------------------------------------------------- */

static double shed_seconds(const struct session *s)
{
	const struct session_cost *c = &s->cost;

	return c->shed_for + (c->budget.shed ? session_now() - c->shed_at : 0);
}

static void act(struct session *s, enum cost_step step, bool was_shed, double now)
{
	struct session_cost *c = &s->cost;
	const struct cost_budget *b = &c->budget;

	if (b->shed != was_shed) {
		loader__shed_details(s->loader, b->shed);
		c->shed_for += b->shed ? 0 : now - c->shed_at;
		c->shed_at = now;
		s->drain.at = 0; /* at once */
	}
	if (step == COST_OVER)
		log_warn("watching takes %.3g %% of a core at %.3g requests/s, more than the budget of %.3g %%: %s",
		         100 * b->used, c->look.rate, 100 * b->allowed,
		         was_shed ? "details are still not asked for"
		                  : "from now on it is not asked who cut an exchange, nor how long answers drain");
	else if (step == COST_WITHIN)
		log_info(
			"watching takes %.3g %% of a core, within the budget of %.3g %%; details are not asked for yet",
			100 * b->used, 100 * b->allowed);
	else if (step == COST_RESUMED)
		log_info(
			"watching takes %.3g %% of a core, well below the budget of %.3g %%: details are asked for again",
			100 * b->used, 100 * b->allowed);
}

/* What a window came to holds for the time around it: by the exchange, where there were enough, or else by the second.
 */
static double kernel_cores(const struct session_cost *c, const struct cost_kernel *window)
{
	double each = isfinite(cost_net(window)) ? cost_net(window) : cost_gross(window);

	if (!c->counting)
		return NAN;
	return isfinite(each) ? each / 1e9 * c->look.rate : cost_cores(window);
}

/* The first one is there for the others to be differences from: what comes with the start is not what goes on. */
static void look(struct session *s, const struct cost_kernel *window, double now)
{
	struct session_cost *c = &s->cost;
	double cpu = cpu_seconds(), seconds = now - c->looked;
	uint64_t ended = all_of(s, TW_L_ENDED);
	bool first = !c->looked, was_shed = c->budget.shed;

	if (!first) {
		c->look.rate = (double)(ended - c->ended) / seconds;
		c->look.agent = (cpu - c->cpu) / seconds;
		c->look.kernel = kernel_cores(c, window);
		act(s, cost_budget__look(&c->budget, &c->look, &c->limits), was_shed, now);
	}
	c->looked = now;
	c->cpu = cpu;
	c->ended = ended;
}

static void close_window(struct session *s)
{
	struct session_cost *c = &s->cost;
	double now = session_now();
	struct cost_kernel window = { .per_run = c->kernel.per_run,
		                      .seconds = now - c->opened,
		                      .ended = all_of(s, TW_L_ENDED) - c->ended_before };

	/* Those of others may have gone meanwhile. */
	c->counting = c->counting && (c->fd >= 0 || statistics__are_on());
	if (c->counting) {
		sum_up(s, &window);
		tls_budget_close(s, now);
	}
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->open = false;
	look(s, &window, now);
	c->at = now + WINDOW_EVERY;
}

void cost_keep(struct session *s, double now)
{
	if (now < s->cost.at || ledger_read(s))
		return;
	if (s->cost.open)
		close_window(s);
	else
		open_window(s);
}

/* ---- its life, and what is said of it ---------------------------------------------------------------------------- */

bool cost_begin(struct session *s)
{
	struct session_cost *c = &s->cost;

	c->n = spending__programs(s->loader);
	c->programs = calloc(c->n + 1, sizeof(*c->programs));
	c->before = calloc(c->n + 1, sizeof(*c->before));
	if (!c->programs || !c->before)
		return false;
	for (size_t i = 0; i < c->n; i++) {
		spending__program(s->loader, i, &c->programs[i]);
		c->programs[i].runs = c->programs[i].ns = 0;
		c->programs[i].bytes = spending__program_bytes(s->loader, i);
	}
	c->limits = s->config->cost;
	c->kernel.per_run = c->kernel.added = NAN;
	c->budget.used = c->budget.allowed = NAN;
	c->look = (struct cost_sample){ NAN, NAN, NAN };
	c->nothing = statistics_cost__program();
	return true;
}

void cost_starts(struct session *s)
{
	s->cost.at = s->start + WINDOW_FIRST;
	s->cpu_at_start = cpu_seconds();
}

void cost_end(struct session *s)
{
	if (s->cost.fd >= 0)
		close(s->cost.fd);
	let_go_of_nothing(&s->cost);
	free(s->cost.programs);
	free(s->cost.before);
}

static const char *why_not(const struct session_cost *c)
{
	if (c->why_not[0])
		return c->why_not;
	if (!c->kernel.windows)
		return "nothing has been sampled yet";
	return c->kernel.ended < COST_LEAST ? "too few exchanges have ended in the samples" : NULL;
}

void cost_fill(struct session *s, struct comparison *c)
{
	struct session_cost *from = &s->cost;
	struct cost_figures *to = &c->cost;

	if (session_now() >= from->maps_at) {
		from->map_bytes = spending__map_bytes(s->loader);
		from->maps_at = session_now() + WINDOW_EVERY;
	}
	*to = (struct cost_figures){ .known = true,
		                     .kernel = from->kernel,
		                     .programs = from->programs,
		                     .n_programs = from->n,
		                     .map_bytes = from->map_bytes,
		                     .ended = all_of(s, TW_L_ENDED),
		                     .limits = from->limits,
		                     .budget = from->budget,
		                     .look = from->look,
		                     .details_shed = all_of(s, TW_L_SHED_DETAILS),
		                     .shed_seconds = shed_seconds(s) };
	to->kernel.why_not = why_not(from);
	to->kernel.refused = from->why_not[0];
	for (size_t i = 0; i < from->n; i++)
		to->program_bytes += from->programs[i].bytes;
	c->overhead.kernel_ns_per_request = cost_gross(&to->kernel);
	c->overhead.agent_rss_bytes = resident_bytes();
	c->overhead.agent_cpu_seconds = cpu_seconds() - s->cpu_at_start;
	tls_overhead_fill(s, &c->overhead.tls);
}
