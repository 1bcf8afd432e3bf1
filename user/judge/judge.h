/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The judge: ticks of counts in, a verdict out. Pure computation: no clock, no I/O, no global state, so that the same
 * ticks give the same verdict when they are replayed.
 *
 * Invariants:
 *  - a threshold used for tick t depends on ticks before t only (predictable);
 *  - the verdict after a tick depends on the ticks and the policy only, not on how often it was asked for;
 *  - for the unit UNIT_EXCHANGE a false rollback stays as rare as alpha says whatever bursts there are inside a tick;
 *  - no figure is ever NaN or infinite where a number is promised; absent figures have their flag unset;
 *  - evidence comes from ticks in which nobody warmed up, at most 0.1 % was lost and the ledger balanced, and there
 *    from the endpoints that both arms served; other ticks are shown, not judged.
 *
 * What the verdict rests on (alpha is the policy's for a rollback, promote_alpha that for a certificate):
 *  - rollback: the weighted mean of the e-values of all endpoints and tests reaches 1/alpha. A mean of e-values is one
 *    under any dependence (Vovk & Wang 2021): the chance that a release which is nowhere worse is ever rolled back is
 *    at most alpha, however often one looks. Errors need no minimum of data (an e-value is as valid after ten
 *    exchanges), latency waits for it: failing is urgent, slow is not. Fail-fast endpoints hold half of the stake,
 * their latency does not wait, and a rollback to which one of them alone is enough is final.
 *  - culprits are named by e-BH over all endpoints and both kinds of evidence, with the stakes as weights: the expected
 *    part of wrong names is at most alpha.
 *  - promote: every endpoint that decides is certified on errors and on latency, each at promote_alpha
 *    (intersection-union), by its own margins, all guards hold, and the evidence as a whole does not lean towards worse
 *    (three to one: the release may be within its margins and still be about to be found worse). Those that decide are
 * the critical ones; if there is none, those the config names; if there is none either, every one with at least 1 % of
 * the exchanges.
 *  - cut-over units are judged by the same rules, each as if it were the whole release: own deciders, own weighted
 * mean. The release is promoted when all of them would be. One that would be rolled back, or is worse within its
 * margins, holds the release, for its owner; it never rolls it back, because what is said of several units is not held
 * to alpha.
 *  - the deadline: what is still hold (or invalid) in the first tick that ends at it or beyond was not called in time.
 * It becomes what at_deadline says, and is not promoted later. Every verdict from then on is final.
 *  - errors are certified by the weighted mean of two e-values (0.9 and 0.1), so by either at that price:
 *      ratio: the canary's error share is below max_error_ratio times the baseline's;
 *      floor: the canary's error share is below 1 %, or below the endpoint's announced error rate if that is lower.
 *    The floor is for endpoints with few errors or none, of which no ratio can be told (without a bad event the
 *    conditional test learns nothing): (1-p)^-n grows with every good exchange, the zero-failure demonstration in
 *    Ville's form. It counts while the baseline's own share is at most a tenth of the floor, and is divided by the
 *    evidence that errors have become worse. What it cannot do is tell a canary far worse than the baseline from a good
 *    one below the floor: announce a lower error rate where that matters.
 *  - latency is certified when the canary's tail beyond the baseline's p95 moved up by floor(16 log2(1 +
 *    max_latency_increase)) buckets is lighter than the baseline's beyond its p95: its tail is less than that much
 *    slower, whatever the distribution. A margin under 4.4 % is finer than a bucket and can never be certified.
 *  - what counts as slow for a rollback: beyond the baseline's p95 of the ticks before; with an announced p95, beyond
 *    that, or slower than the baseline by more than the margin (the mean of both e-values).
 *  - certificates keep at most a hundred times the evidence they need, so that one is withdrawn soon after things
 * change.
 *  - worse, but in what it is worse at certified within the margin: hold, for the owner to decide.
 */
#ifndef TW_JUDGE_H
#define TW_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "model/histogram.h"

enum verdict_kind { VERDICT_PROMOTE, VERDICT_HOLD, VERDICT_ROLLBACK, VERDICT_INVALID };
extern const char *const verdict_names[]; /* "promote", ... */
/* promote 0, rollback 10, hold 20, invalid 30 */
int verdict_exit_code(enum verdict_kind kind);

/* What n, bad and latency of an endpoint's ticks count. */
enum unit {
	UNIT_INDEPENDENT, /* events known to have nothing to do with one another: each is evidence of its own */
	UNIT_EXCHANGE, /* exchanges: one cause may make many of them bad, so bursts are allowed for (unit.h says how) */
	UNIT_NR,
};
extern const char *const unit_names[]; /* "independent", "exchange" */

/*
 * One arm's exchanges of an endpoint within one tick by a hash of their connection, the same for both arms: all of a
 * connection's exchanges are in one group. Proportions matter, not sums: an exchange that is counted elsewhere but not
 * here does no harm. slow: those in buckets above what judge__slow_bucket announced before the tick, for both arms;
 * has_slow is unset where that was not counted.
 */
struct connection_groups {
	uint64_t n[TW_GROUPS], bad[TW_GROUPS], slow[TW_GROUPS];
	bool has_slow;
};

/* What one arm did on one endpoint within one tick. */
struct arm_tick {
	uint64_t n;                      /* exchanges ended */
	uint64_t bad;                    /* of these, errors */
	const struct histogram *latency; /* the server's own time in this tick; NULL: none */
	/* What clients that gave up had waited: the least that the server would have taken; NULL: none did. */
	const struct histogram *waited;
	uint64_t outcome[TW_OUTCOME_NR];        /* of n: told as a reason, nothing is decided by it */
	const struct connection_groups *groups; /* NULL: not known, or the unit does not ask for them */
	uint64_t turned_away;                   /* of n: answered with a 3xx or 4xx that is no error by the rule */
};

struct endpoint_tick {
	struct arm_tick baseline, canary;
};

/* What is known of one arm as a whole: of this tick, where nothing else is said. */
struct arm_run {
	uint64_t seen;                        /* exchanges seen, lost ones included */
	uint64_t lost_events, lost_exchanges; /* those that were not followed to their end are lost as well */
	uint64_t opened;                      /* connections on which a first request came */
	uint64_t dropped; /* sessions the server dropped: exchanges and upgraded connections it did not end in order */
	unsigned int builds; /* different programs that have served it since the run started; 0: not known */
	bool gone;           /* it was found once, and nothing of it is left */
	uint64_t unread;     /* requests, at least, in TLS that could not be read: not among those seen */
	/*
	 * The same in TLS that was not read for the sake of the overhead budget, in workers drawn by chance: those that
	 * were seen are a fair sample.
	 */
	uint64_t withheld;
};

struct tick {
	double start, end;                    /* seconds since the run started */
	uint64_t lost_events, lost_exchanges; /* in this tick, both arms */
	uint64_t seen;                        /* exchanges seen in this tick, both arms, lost ones included */
	bool ledger_balanced;
	bool warming;                          /* inside the warm-up of a process of either arm: shown, not judged */
	const struct endpoint_tick *endpoints; /* [n_endpoints of the judge] */
	bool ledger_unknown;                   /* it could not be checked: ledger_balanced says nothing */
	struct arm_run baseline, canary;
	double planned_share; /* of the traffic, for the canary; 0: not told */
	double clock_jump;    /* seconds by which the wall clock moved more than the tick lasted; negative: less */
};

struct judge_endpoint {
	const char *name; /* owned by the caller, must outlive the judge */
	bool critical;
	bool named;                       /* by the config, as opposed to found by watching */
	double weight;                    /* share of alpha; 0: derived (critical endpoints carry most) */
	double slo_p95;                   /* seconds; 0: the baseline's own p95 of the ticks before is the threshold */
	double slo_error_rate;            /* fraction; 0 or negative: none was announced */
	double slo_p50, slo_p90, slo_p99; /* seconds; 0: not announced */
	enum unit unit;
	struct margins margins; /* 0 in either: the policy's */
	bool fail_fast;         /* one that must not wait for the others */
	unsigned int cutover;   /* from judge__add_cutover, plus 1; 0: in none */
};

/* Endpoints that are called together, by an owner of their own. Strings are the caller's and must outlive the judge. */
struct judge_cutover {
	const char *name, *owner; /* owner: NULL if none was named */
};

struct judge;

/* NULL with errno set: ENOMEM, or EINVAL for a policy that has no meaning (alpha outside (0, 1), a negative margin). */
struct judge *judge__new(const struct gate_policy *policy);
void judge__free(struct judge *j);
/* Appends an endpoint (they may appear during a run) and returns its index, or a negative errno. */
int judge__add_endpoint(struct judge *j, const struct judge_endpoint *ep);
/* The same for a cut-over unit: all of them before the first endpoint that is in one. */
int judge__add_cutover(struct judge *j, const struct judge_cutover *c);
/*
 * Takes one tick; n_endpoints must be the number added so far. Returns 0 or a negative errno (-EINVAL: time runs
 * backwards, or more bad exchanges than exchanges), and then the tick counts for nothing.
 */
int judge__tick(struct judge *j, const struct tick *t, size_t n_endpoints);
/* The bucket of histogram.h beyond which an exchange of the next tick is slow; -1: none yet, or no such endpoint. */
int judge__slow_bucket(const struct judge *j, size_t endpoint);

struct reason {
	const char *code;     /* stable, "errors_worse" */
	const char *endpoint; /* or NULL */
	char text[320];       /* plain English */
};

struct guard {
	const char *name; /* stable, "minimum_data" */
	bool ok;
	char text[200];
};

#define VERDICT_MAX_REASONS 16
#define VERDICT_MAX_GUARDS  20

/*
 * Something that was announced, or, before against after, what was found before: the canary's share that lies beyond,
 * with bounds that hold at all times at once with probability 1 - alpha each (0 and 1: none yet).
 */
struct verdict_limit {
	const char *name; /* "error_rate", "p95", ...; "errors_before", "slow_before" */
	double limit;     /* the share that is allowed beyond; of what was before its upper bound */
	double seconds;   /* of a latency: beyond what; 0: it is about errors */
	uint64_t n, k;    /* exchanges of the canary, and those beyond */
	double lower, upper;
	double log_e_above, log_e_below; /* evidence that the share is above the limit, below it */
};

#define VERDICT_MAX_LIMITS 7

/*
 * The p95 of both arms over all judged ticks, and what an anytime-valid test of it says (opinion.h): a second opinion
 * beside the test that decides. Intervals hold at all ticks at once, both of them, with probability 1 - alpha.
 */
struct second_opinion {
	bool has_p95_c, has_p95_b; /* there were latencies, and it lies below the last bound */
	double p95_c, p95_b;       /* seconds */
	bool has_ratio_low, has_ratio_high, has_difference_low, has_difference_high; /* there is such a limit yet */
	double ratio_low, ratio_high;                                                /* of p95_c / p95_b */
	double difference_low, difference_high;                                      /* of p95_c - p95_b, seconds */
	double log_e_slower; /* evidence that the canary's p95 is higher */
	double log_e_within; /* that it is less than the latency margin higher */
	double dispersion;   /* what the counts were divided by, at least 1; 0: no opinion yet */
};

/* What a report may say at one look. Nothing is decided by it. */
struct descriptive {
	double excess, excess_low, excess_high;             /* k_c - n_c k_b / n_b, bad events */
	double difference, difference_low, difference_high; /* of the bad shares, canary less baseline (Newcombe) */
	bool has_difference;                                /* and excess: both arms served */
	bool has_rank_sum;                                  /* Mann and Whitney's, of latencies with ties */
	double z, p, cles;                                  /* two-sided p; P(canary's is longer) + half of the ties */
};

struct verdict_endpoint {
	const char *endpoint;
	bool critical;
	uint64_t n_c, n_b, bad_c, bad_b;
	bool has_ratio;                      /* the baseline had errors */
	double ratio, ratio_low, ratio_high; /* of bad shares, with its confidence sequence; high 2^20: no limit yet */
	double log_e_bad, log_e_good;        /* errors: evidence of being worse; of being within the margin */
	uint64_t slow_c, slow_b;             /* exceedances of the announced threshold */
	bool has_threshold;
	double slow_threshold; /* seconds, of the latest tick */
	double log_e_slow_bad, log_e_slow_good;
	bool certified; /* within the margins on errors and latency */
	struct margins margins;
	bool fail_fast;
	enum unit unit;
	/* phi, at least 1: of bad and of slow exchanges, how many of them come together (dispersion.h) */
	bool has_dispersion_bad,
		has_dispersion_slow; /* the unit asks for it, and there was something to tell it from */
	double dispersion_bad, dispersion_slow;
	struct verdict_limit limits[VERDICT_MAX_LIMITS];
	size_t n_limits;
	struct second_opinion p95;
	struct descriptive descriptive;
};

/* What would be said of a cut-over unit if it were the whole release; the deadline is the release's alone. */
struct verdict_cutover {
	const char *name, *owner;
	enum verdict_kind kind;
	size_t n_endpoints, deciding, certified;
	double log_e_bad;
	char text[320];
};

struct verdict {
	enum verdict_kind kind;
	char summary[600]; /* one sentence of plain English: what was found, how sure, what not, what would change it */
	struct reason reasons[VERDICT_MAX_REASONS];
	size_t n_reasons;
	struct guard guards[VERDICT_MAX_GUARDS];
	size_t n_guards;
	bool has_eta;
	double eta_seconds; /* until it can be called, at the present rates */
	double alpha, promote_alpha;
	double log_e_bad;                   /* global */
	struct verdict_endpoint *endpoints; /* owned by the judge, valid until the next tick */
	size_t n_endpoints;
	struct verdict_cutover *cutovers; /* owned by the judge, valid until the next tick */
	size_t n_cutovers;
	bool final; /* nothing that comes later could be waited for: a fail-fast endpoint, a hard stop, the deadline */
};

/* The verdict after the ticks so far. */
void judge__verdict(struct judge *j, struct verdict *out);

#endif
