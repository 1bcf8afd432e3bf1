/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calibration bench: how often clean releases are rolled back, how soon bad ones are, by the judge and by its
 * peers on the same traffic. Seeded: every run prints the same table. Exits 1 if a bar is missed.
 *
 *     calibrate [RUNS [PART]]    runs per clean cell (default 100), ten times as many for bad releases;
 *                                PART: only the lines that contain this text
 *
 * A cell of clean releases that is suspect after RUNS is run again with twenty times as many seeds, so that the worst
 * of hundreds of cells is not just the unluckiest one.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cells.h"
#include "release.h"

#define ALPHA           0.05
#define SUSPECT         0.04
#define PLACEBO_BAR     0.01
#define PLACEBO_SUSPECT 0.008
#define MORE            4
#define MOST            16
#define BAD_FACTOR      10
#define HEAVY           100 /* endpoints: a quarter of the runs has to do */
#define BUDGET_MS       20.0

static unsigned int runs = 100;
static const char *only = "";
static bool missed;

static const char *mark(bool ok)
{
	missed |= !ok;
	return ok ? "" : "  MISSED";
}

static void run(const struct scenario *s, unsigned int n, struct summary *sum)
{
	if (releases__run(s, n, sum)) {
		fprintf(stderr, "calibrate: out of memory\n");
		exit(1);
	}
}

static double percent(double part, double of)
{
	return of > 0 ? 100 * part / of : 0;
}

/* ---- clean releases --------------------------------------------------------------------------------------------- */

struct line {
	unsigned int cells;
	double runs, rolled_back, promoted, peer[PEERS];
	double worst, placebo, placebo_worst;
	char worst_name[CELL_NAME];
};

static bool is_suspect(const struct summary *sum)
{
	return (double)sum->rolled_back > SUSPECT * sum->runs || (double)sum->placebo > PLACEBO_SUSPECT * sum->runs;
}

static void add_cell(struct line *l, const struct cell *c)
{
	unsigned int n = c->s.endpoints >= HEAVY ? (runs + MORE - 1) / MORE : runs, most = MOST * n;
	struct summary sum;

	run(&c->s, n, &sum);
	l->cells++;
	l->runs += sum.runs;
	l->rolled_back += sum.rolled_back;
	l->promoted += sum.promoted;
	for (int k = 0; k < PEERS; k++)
		l->peer[k] += sum.peer[k];
	l->placebo += sum.placebo;
	while (is_suspect(&sum) && sum.runs < most)
		run(&c->s, sum.runs * MORE, &sum);
	l->placebo_worst = fmax(l->placebo_worst, percent(sum.placebo, sum.runs));
	if (percent(sum.rolled_back, sum.runs) <= l->worst)
		return;
	l->worst = percent(sum.rolled_back, sum.runs);
	memcpy(l->worst_name, c->name, sizeof(l->worst_name));
}

static void print_line(const char *label, const struct line *l)
{
	printf("| %-46s | %5u | %4.1f | %4.1f%s | %5.1f | %4.2f | %4.2f%s | %5.0f | %5.0f | %5.0f |%s%s\n", label,
	       l->cells, percent(l->rolled_back, l->runs), l->worst, mark(l->worst <= 100 * ALPHA),
	       percent(l->promoted, l->runs), percent(l->placebo, l->runs), l->placebo_worst,
	       mark(l->placebo_worst <= 100 * PLACEBO_BAR), percent(l->peer[PEER_THRESHOLD], l->runs),
	       percent(l->peer[PEER_Z], l->runs), percent(l->peer[PEER_MANN_WHITNEY], l->runs), l->worst > 0 ? " " : "",
	       l->worst_name);
	fflush(stdout);
}

static void clean_releases(void)
{
	struct cells_iter it = { 0 };
	struct line l = { 0 };
	struct cell c;
	char label[CELL_NAME] = "";

	printf("Clean releases, 30 minutes, a look every 5 s, alpha 5 %%: rolled back, in %% of %u releases a cell\n\n",
	       runs);
	printf("| %-46s | cells | mean | worst | promoted | placebo | worst | threshold | z-test | Mann-Whitney | worst cell\n",
	       "");
	printf("|---|---|---|---|---|---|---|---|---|---|\n");
	while (cells__next(&it, &c)) {
		if (!strstr(c.line, only))
			continue;
		if (l.cells && strcmp(label, c.line)) {
			print_line(label, &l);
			memset(&l, 0, sizeof(l));
		}
		memcpy(label, c.line, sizeof(label));
		add_cell(&l, &c);
	}
	if (l.cells)
		print_line(label, &l);
}

/* ---- bad releases ----------------------------------------------------------------------------------------------- */

static void put_seconds(char *to, size_t size, double seconds)
{
	if (isfinite(seconds))
		snprintf(to, size, "%.0f s", seconds);
	else
		snprintf(to, size, "-");
}

static void bad_releases(void)
{
	printf("\nWorse releases, 200 requests/s, 5 %% of them to the canary, baseline 1 %% errors: median time until the\n"
	       "evidence suffices, and promoted before anything else happened, in %% of %u releases\n\n",
	       runs * BAD_FACTOR);
	printf("| %-28s | found | within | promoted first | threshold | z-test | Mann-Whitney |\n", "");
	printf("|---|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < n_bad_cells; i++) {
		const struct bad_cell *b = &bad_cells[i];
		char found[16], peer[PEERS][16];
		struct summary sum;
		double promoted;

		if (!strstr(b->s.name, only))
			continue;
		run(&b->s, runs * BAD_FACTOR, &sum);
		promoted = percent(sum.promoted_first, sum.runs);
		put_seconds(found, sizeof(found), sum.found_median);
		for (int k = 0; k < PEERS; k++)
			put_seconds(peer[k], sizeof(peer[k]), sum.peer_median[k]);
		printf("| %-28s | %s%s | %.1f %% | %.1f %%%s | %s | %s | %s |\n", b->s.name, found,
		       mark(sum.found_median <= b->seconds), percent(sum.found, sum.runs), promoted,
		       mark(promoted <= b->promoted), peer[PEER_THRESHOLD], peer[PEER_Z], peer[PEER_MANN_WHITNEY]);
		fflush(stdout);
	}
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static void time_of_a_tick(void)
{
	const struct scenario s = {
		.rate = 50000, .share = { 0.25 }, .endpoints = 1000, .errors = 0.01, .ticks = 10, .gap = 0.1
	};
	struct latencies *l = traffic__latencies(&s);
	struct release r;
	double ms;

	if (!l || release__run(&s, l, 1, &r)) {
		fprintf(stderr, "calibrate: out of memory\n");
		exit(1);
	}
	ms = 1e3 * r.judge_seconds / s.ticks;
	printf("\nJudging a tick of %u endpoints, two arms: %.1f ms of %.0f ms%s\n", s.endpoints, ms, BUDGET_MS,
	       mark(ms <= BUDGET_MS));
	traffic__latencies_free(l);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		runs = (unsigned int)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		only = argv[2];
	if (!runs || argc > 3) {
		fprintf(stderr, "usage: calibrate [RUNS [PART]]\n");
		return 2;
	}
	clean_releases();
	bad_releases();
	if (!*only)
		time_of_a_tick();
	return missed;
}
