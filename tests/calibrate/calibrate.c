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

#include "cells.h"
#include "cost.h"
#include "release.h"

#define ALPHA           0.05
#define SUSPECT         0.04
#define PLACEBO_BAR     0.01
#define PLACEBO_SUSPECT 0.008
#define MORE            4
#define MOST            16
#define BAD_FACTOR      10
#define HEAVY           100 /* endpoints: a quarter of the runs has to do */
#define FEW             100 /* endpoints, to compare MANY with */
#define MANY            1000
#define UNITS           64 /* as many as a config may have */
#define GROWS_BAR       10.0
#define TOLD_BAR        2.0

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

/* As ratios in one run, for machines differ. Ten times as many endpoints are ten times the work, and no more. */
static void time_of_a_tick(void)
{
	double few = cost__clean(FEW), many = cost__clean(MANY), worse = cost__all_worse(MANY, UNITS);
	double grows = many / few, told = worse / many;

	if (few < 0 || many < 0 || worse < 0) {
		fprintf(stderr, "calibrate: out of memory\n");
		exit(1);
	}
	printf("\nJudging a tick, two arms, processor time: %.2f ms for %d endpoints, %.1f ms for %d (x%.1f, at most x%.0f)%s,\n"
	       "%.1f ms when all of them are worse, in %d units (x%.1f, at most x%.0f)%s: %.2f %% of a tick's %.0f s\n",
	       1e3 * few, FEW, 1e3 * many, MANY, grows, GROWS_BAR, mark(grows <= GROWS_BAR), 1e3 * worse, UNITS, told,
	       TOLD_BAR, mark(told <= TOLD_BAR), percent(fmax(many, worse), TICK_SECONDS), TICK_SECONDS);
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
	if (strstr("time of a tick", only))
		time_of_a_tick();
	return missed;
}
