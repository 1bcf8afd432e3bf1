/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long a release has to be watched: from traffic and a test to bad events, exchanges and seconds.
 *
 * An e-process grows by KL(theta_j || theta_0) per bad event if its alternative j is the truth (Wald 1945), so it takes
 * about (log(1/alpha) + log(1/w_j)) / KL of them; they come at rate * bad * ((1 - share) + share * ratio) a second.
 * That leaves out that E may end well beyond 1/alpha in one tick and that luck helps as often as not: in simulations
 * the median was half to three quarters of it.
 *
 * plan__until is that formula for one test. A release as a whole (struct plan) is planned with what the running verdict
 * takes its ETA from (outlook.h): it is asked about evidence that has seen nothing, with the traffic that is supposed.
 * Nothing else of how the judge decides is repeated here; what each test has to win with is taken from a judge.
 *
 * Supposed is a service whose bad events come one by one, over many connections.
 */
#ifndef TW_PLAN_H
#define TW_PLAN_H

#include <stdbool.h>

#include "judge/eprocess.h"
#include "judge/judge.h"

struct plan_traffic {
	double rate;  /* exchanges a second, both arms */
	double share; /* the canary's part of them, inside (0, 1) */
	double bad;   /* the baseline's share of bad ones (errors; 0.05 for those beyond its own p95), inside (0, 1) */
};

struct plan_need {
	double events;    /* bad ones, both arms */
	double exchanges; /* both arms */
	double seconds;
};

/*
 * Until a test reaches 1/alpha when the canary's bad share is `ratio` times the baseline's. To detect a regression: a
 * test of "ratio <= 1", asked at that regression. To certify a margin: a test of "ratio >= margin", asked at 1. The
 * test counts from where it stands, so a fresh one plans a release and a running one says what is left.
 *
 * false: never (the test has no alternative on that side), or the traffic is empty or not possible.
 */
bool plan__until(const struct eprocess *test, const struct plan_traffic *traffic, double ratio, double alpha,
                 struct plan_need *need);

/* --- a release ---------------------------------------------------------------------------------------------------- */

/* What is known of an endpoint before the release. */
struct plan_endpoint {
	struct judge_endpoint def;
	double rate;   /* exchanges a second, both arms; 0: none */
	double errors; /* the share of errors, the baseline's, in [0, 1) */
	const struct histogram
		*latency; /* the baseline's server time; however many, only its shape counts. NULL: not known */
	bool shape_only;  /* its scale means nothing: an announced p95 cannot be placed in it */
};

/* Why it will never be. Names are stable: they are part of the JSON. */
enum plan_never {
	PLAN_WILL,
	PLAN_NOT_KNOWN,     /* nobody said how often it is asked */
	PLAN_NO_TRAFFIC,    /* nobody asks */
	PLAN_NO_ERRORS,     /* nothing to multiply */
	PLAN_MORE_THAN_ALL, /* that many times the errors are more than all exchanges */
	PLAN_NO_LATENCY,    /* not known, or too few to place a p95 */
	PLAN_NONE_SLOW,     /* no exchange of the baseline is beyond the announced p95: nothing to multiply */
	PLAN_FINE_MARGIN,   /* the latency margin is finer than a bucket */
	PLAN_BEYOND_RANGE,  /* the p95 moved up by the margin is beyond the last bucket */
	PLAN_WIDE_TAIL,     /* beyond the p95 moved up by the margin there is hardly less than beyond the p95 */
	PLAN_NO_GROWTH,     /* the evidence does not grow */
	PLAN_NEVER_NR,
};
extern const char *const plan_never_names[PLAN_NEVER_NR];

/* Seconds of judged time, whole ticks; or never. */
struct plan_time {
	double seconds;
	enum plan_never never;
};

/* Until an endpoint counts as certified if its canary is what the baseline is. */
struct plan_certificate {
	struct plan_time data;    /* the minimum of requests on each arm */
	struct plan_time errors;  /* below max_error_ratio times the baseline's, or below the floor */
	struct plan_time latency; /* less than max_latency_increase slower */
	struct plan_time call;    /* all three */
	bool by_floor;            /* errors: the floor is the sooner of the two ways */
	double floor;             /* the share that errors are shown to be below then */
};

#define PLAN_RATIOS 3
extern const double plan_ratios[PLAN_RATIOS]; /* 1.5, 2, 5 */

struct plan_times {
	struct plan_time worse[PLAN_RATIOS]; /* until a rollback if errors are that many times the baseline's */
	struct plan_time slower;             /* until a rollback if all takes longer by the margin, in whole buckets */
	struct plan_certificate certify;
};

struct plan;

/*
 * The endpoints of a release together, and the cut-over units that they are in: what one of them has to win with
 * depends on all of them. They are owned by the caller and must outlive the plan. NULL with errno set: ENOMEM, or
 * EINVAL for a policy that has no meaning.
 */
struct plan *plan__new(const struct gate_policy *policy, const struct plan_endpoint *endpoints, size_t n,
                       const struct judge_cutover *units, size_t n_units);
void plan__free(struct plan *p);
/* Must this endpoint be certified for a promotion? */
bool plan__decides(const struct plan *p, size_t endpoint);
/* At this share of the traffic for the canary, inside (0, 1). */
void plan__times(const struct plan *p, size_t endpoint, double share, struct plan_times *out);
/* The certificate alone: of one endpoint, whatever the others are. */
void plan__certificate(const struct gate_policy *policy, const struct plan_endpoint *ep, double share,
                       struct plan_certificate *out);
/* An endpoint's own margins, or else the policy's. */
struct margins plan__margins(const struct gate_policy *policy, const struct plan_endpoint *ep);
/* The latency margin that is tested: max_latency_increase in whole buckets, rounded down. */
double plan__latency_margin(double increase);

#endif
