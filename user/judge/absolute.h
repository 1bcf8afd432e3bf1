/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One version's share of something (bad exchanges, exchanges beyond a latency) against fixed numbers, to be looked at
 * as often as one likes. There is no other version that goes through the same and in which it would cancel out, so
 * nothing is assumed of how events come within a block.
 *
 * Let x = k/n be the share in a block of exchanges. If the share is at most p, whatever went before, then for 0 < f < 1
 *
 *   E *= 1 + f (x - p) / p            "above": loses at most f, in a block without any
 *
 * is a fair bet or a losing one; if it is at least p, so is
 *
 *   E *= 1 + f (p - x) / (1 - p)      "below": loses at most f, in a block with nothing else
 *
 * (betting on a bounded mean: Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS B
 * 2024). E is the mean over a few fixed f, so that nothing has to be estimated. Ville: the chance that E ever reaches
 * 1/alpha is at most alpha.
 *
 *  - above: a block is whole ticks, of at least ABSOLUTE_LEAST exchanges, so that one of three does not stand for a
 *    third, and is closed by their number, never by what became of them. Whatever happens within it is one observation.
 *    A part of the wealth is dealt anew after each block, and a part is never bet: a long good time cannot be so sure
 *    that a sudden change takes as long again to be believed (bet.h).
 *  - below: by the same means each tick could only add p: ten hours for 0.05 %. So hash groups of connections are lanes
 *    with blocks of their own. What that trusts: one cause hits one group of connections, or many of them so often that
 *    it is seen. A version that fails as a whole for some seconds every hour cannot be told from a good one in minutes.
 *
 * All of it is done for every p of a grid, which gives a confidence sequence: the shares that are not rejected.
 * E above falls with p and E below grows with it, for every course of things, so what holds at the two points around a
 * share holds between them.
 *
 * Invariants: exchanges of no number (0) change nothing; every figure is finite; low <= high.
 */
#ifndef TW_ABSOLUTE_H
#define TW_ABSOLUTE_H

#include "judge/dispersion.h"
#include "judge/judge.h"

#define ABSOLUTE_LEAST 100 /* exchanges in a block of the whole version */
#define ABSOLUTE_LANE  40  /* exchanges in a block of one lane */
#define ABSOLUTE_GRID  58  /* 0, quarter octaves from 2^-14 to 1 */
#define ABSOLUTE_STEPS 4
#define ABOVE_BETS     6 /* and the part that is not bet */
#define BELOW_BETS     3

/*
 * One tick of one version: by lane, or in the first alone where they are not known. What counts may differ between the
 * two questions, where a limit lies inside a bucket: k is for "below", k_above for "above", of all lanes together.
 */
struct lanes {
	unsigned int count;
	double n[TW_GROUPS], k[TW_GROUPS], k_above;
};

/* Log wealth against one number. */
struct against {
	double p, q; /* for "above"; for "below": p times the scale */
	double above[ABOVE_BETS + 1], below[BELOW_BETS];
	double log_e_above, log_e_below; /* their sums, as of the latest block */
};

struct absolute {
	double n, k;          /* counted so far, for "above" */
	struct against limit; /* the number that matters */
	struct against grid[ABSOLUTE_GRID];
	double block_n, block_k;
	double lane_n[TW_GROUPS], lane_k[TW_GROUPS];
	double usual_n, usual_blocks; /* exchanges in blocks of lanes of late, and the number of these */
};

/* limit: inside (0, 1). scale: positive; of the grid, "below" is asked for scale times each point. */
void absolute__init(struct absolute *a, double limit, double scale);
/*
 * One tick. discount, at least 1: by what evidence of being above is divided, and that of being below, for bursts that
 * blocks cannot hold (bet.h).
 */
struct discount {
	double above, below;
};

/* By how bad events came in the ticks before: serial bursts and, for lanes, bursts over many of them. */
struct discount absolute__discount(const struct dispersion *d);
void absolute__add(struct absolute *a, const struct lanes *l, const struct discount *d);
/* Evidence that the share is above the limit, below it. */
double absolute__log_e_above(const struct absolute *a);
double absolute__log_e_below(const struct absolute *a);
/* Gives away what exceeds log E = most, of the evidence of being below. */
void absolute__cap_below(struct absolute *a, double most);
/*
 * The share is at least this, and at most that (scale 1), at all times at once with probability 1 - alpha each: mean of
 * the blocks' expectations where it changes. Grid points, rounded outwards; 0 and 1: no limit yet.
 */
double absolute__lower(const struct absolute *a, double alpha);
double absolute__upper(const struct absolute *a, double alpha);

/*
 * Two versions that were served one after the other, the first to its end before the second began; the same grid, the
 * second's scaled by what it may be worse by. Where the first's share is p, the first's evidence against "at least p"
 * times the second's against "at most p" is evidence against "the second's is at most the first's": the least of these
 * products over all p is (each starts at 1, and goes on from where the other ended).
 */
double absolute__log_e_more(const struct absolute *before, const struct absolute *after);
/* Against "the second's share is at least scale times the first's". */
double absolute__log_e_within(const struct absolute *before, const struct absolute *after);

#endif
