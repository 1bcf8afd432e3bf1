/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What watching costs, as plain data; and the budget: whether it is more than it may be, and what is to be done about
 * it. Pure: costs go in, steps come out.
 *
 * The budget is a part of one core for each COST_RATE requests a second: 2 % are 2 us a request, kernel and observer
 * together. At few requests a second what is left is the observer's own housekeeping, which nobody notices: below the
 * floor nothing is too much.
 *
 * Invariants: a single look decides nothing; at a constant load the steps come to an end or come ever more rarely, as
 * a resumption that does not last doubles the time to the next one.
 */
#ifndef TW_COST_H
#define TW_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

#define COST_RATE  10000 /* requests a second, that the budget is for */
#define COST_LEAST 50    /* exchanges; below that no cost of one is given */

/* Of one look, over some seconds. */
struct cost_sample {
	double rate;   /* exchanges ended a second */
	double kernel; /* cores; NaN: not measured, and counted as nothing */
	double agent;  /* cores */
};

struct cost_budget {
	double used, allowed;                    /* cores, at the latest look; NaN: there was none */
	bool over;                               /* it is more than it may be */
	bool shed;                               /* so details are not asked for */
	bool resumed;                            /* they have been asked for again, at some time */
	unsigned int above, within, room;        /* looks in a row */
	unsigned int patience, since_resumption; /* looks */
};

enum cost_step {
	COST_SAME,
	COST_OVER,    /* too much from now on: details are not asked for */
	COST_WITHIN,  /* no longer; details are still not asked for */
	COST_RESUMED, /* well below: they are asked for again */
};

/* What may be used at this rate, cores. */
double cost_allowed(const struct cost_limits *l, double rate);
/* All zero before the first look. To be called every few seconds. */
enum cost_step cost_budget__look(struct cost_budget *b, const struct cost_sample *s, const struct cost_limits *l);

/* One kernel program. */
struct cost_program {
	char name[40];
	char hook[48]; /* "cgroup_skb/ingress" */
	uint32_t id;
	bool called; /* by tail call: its time is in that of the program that it is reached from, and its runs are not
	                known */
	bool ours;   /* it runs when the observer asks for it, on its CPU time: counted there, and not once more */
	uint64_t runs, ns; /* while run-time statistics were on */
	uint64_t bytes;    /* of memory; 0: not known */
};

/*
 * Kernel time is sampled: run-time statistics, which cost every program of the host some time a run, are on in short
 * windows only.
 */
struct cost_kernel {
	const char *why_not; /* it is not measured; NULL: it is */
	bool refused;        /* the statistics are not to be had, or not any more: nothing is told of what they said */
	double per_run;      /* ns that the statistics show for a program that does nothing; NaN: not measured */
	double added;        /* ns that they cost every program a run; NaN: not measured */
	uint64_t windows, ended; /* exchanges that ended in them */
	double seconds;          /* all windows together */
	uint64_t runs, ns;       /* of the programs that are not ours, in them */
};

struct cost_figures {
	bool known; /* there is a session that counts them */
	struct cost_kernel kernel;
	const struct cost_program *programs; /* [n_programs] */
	size_t n_programs;
	uint64_t map_bytes, program_bytes; /* 0: not known */
	uint64_t ended;                    /* since the start, for what part of them was sampled */
	struct cost_limits limits;
	struct cost_budget budget;
	struct cost_sample look; /* the latest */
	uint64_t details_shed;   /* records of who cut an exchange that were not asked for */
	double shed_seconds;     /* how long they were not, and draining was not either */
};

/* Is there anything to tell of it? */
bool cost_measured(const struct cost_kernel *k);
/* ns of kernel time an exchange, as the statistics have it; NaN: not measured, or too few. */
double cost_gross(const struct cost_kernel *k);
/* The same less what they show for nothing; NaN: that is not measured. */
double cost_net(const struct cost_kernel *k);
/* Cores, in the windows: net, or gross where there is no net. */
double cost_cores(const struct cost_kernel *k);

#endif
