/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The configuration: YAML in, one checked structure out.
 *
 * Invariants of a struct config that config__load has returned:
 *  - at least one version; at most one baseline and at most one canary arm; names are unique;
 *  - every version has at least one match key; matches are conjunctive (all keys given must hold);
 *  - routes are in template form ("METHOD /path/{name}") and unique after normalisation of the parameter names;
 *  - every unit has an endpoint; every endpoint has a way to be bad; weights add up to 1 at most;
 *  - the mode has what it needs: arms, announced limits; nothing is due before it can be judged;
 *  - every number lies within the bounds the manual gives.
 * Unknown keys are errors that name the line and the nearest known key.
 */
#ifndef TW_CONFIG_H
#define TW_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tw_abi.h"

enum arm { ARM_BASELINE, ARM_CANARY, ARM_OTHER, ARM_NR };
extern const char *const arm_names[ARM_NR]; /* "baseline", "canary", "other" */

/* An address and a port; any_addr: every local address of either family. addr is IPv6 or ::ffff:a.b.c.d. */
struct endpoint_addr {
	uint8_t addr[16];
	uint16_t port;
	bool any_addr;
};

/* Keys that are absent are NULL, 0 or have their flag unset. */
struct match {
	bool has_listen, has_upstream;
	struct endpoint_addr listen;   /* "8081", "127.0.0.1:8081", "[::1]:8081" */
	struct endpoint_addr upstream; /* "10.0.0.7:8080": the remote end of a proxy's connections */
	char *cgroup;                  /* cgroup v2 path, "/shop-v2.slice" */
	char *exe;                     /* absolute path of the program file */
	char *unit;                    /* systemd unit, "shop-v2.service" */
	char *env;                     /* "NAME=VALUE" */
	char *build_id;                /* lower-case hex, or a prefix of at least 8 digits */
	int32_t pid;                   /* this process and its descendants; 0: absent */
};

struct version {
	char *name;
	enum arm arm;
	struct match match;
	int line; /* in the file */
};

struct money {
	bool set;
	double amount;
	char currency[4];
};

struct slo {
	double p50, p90, p95, p99; /* seconds; 0: absent */
	double error_rate;         /* fraction; negative: absent */
};

/* In the words of the configuration and of the documents: "answered", "unanswered", ... */
extern const char *const outcome_names[TW_OUTCOME_NR];

/* What makes an exchange bad, as far as it was given; only that part of the rule means anything. */
struct bad_events {
	bool has_statuses, has_grpc, has_outcomes, has_slower_than;
	struct tw_rule rule;
};

/* What a canary may be worse by, as far as it was given. */
struct margins {
	double max_error_ratio;      /* 0: not given */
	double max_latency_increase; /* 0: not given */
};

/* A cut-over unit: endpoints that move, and are called, together. */
struct cutover_unit {
	char *name;
	char *owner; /* NULL: none was named */
	struct margins margins;
	struct bad_events bad;
	int line;
};

struct route {
	char *method; /* "POST"; "*" matches any method */
	char *path;   /* template, "/cart/{id}" */
	char *name;   /* "POST /cart/{id}" */
	bool critical;
	bool fail_fast; /* one that must not wait for the others: authentication, payment, integrations */
	double weight;  /* share of the stake on a rollback; 0: the judge deals it */
	struct money value;
	struct slo slo;
	struct margins margins;
	struct bad_events bad;
	char *unit; /* name; NULL: in none */
	const struct cutover_unit *in_unit;
	int line;
};

/* What a release is held against. */
enum gate_mode {
	GATE_CANARY,       /* the baseline in the same seconds */
	GATE_ABSOLUTE,     /* the announced slo: there is no baseline */
	GATE_BEFORE_AFTER, /* the baseline before: weaker, because whatever else has changed since counts, too */
	GATE_MODE_NR,
};

/* What becomes of a release that cannot be called in time. */
enum at_deadline { DEADLINE_HOLD, DEADLINE_ROLLBACK, DEADLINE_NR };

#define NO_DROP_LIMIT UINT64_MAX

struct gate_policy {
	double alpha;                  /* 0.05: of rolling back one that is as good */
	double max_error_ratio;        /* 1.5: promote only when certified below */
	double max_latency_increase;   /* 0.20 */
	uint64_t min_requests;         /* 500, per arm and critical endpoint */
	double warmup;                 /* seconds, 10 */
	double tick;                   /* seconds, 5 */
	double timeout;                /* seconds, 30: an answer that has not begun by then is none */
	double promote_alpha;          /* 0.01: of certifying one that is beyond a margin */
	double deadline;               /* seconds since the start; 0: none */
	enum at_deadline at_deadline;  /* hold */
	double share_tolerance;        /* 0.10: either version's share may be off by this part of what was planned */
	uint64_t max_dropped_sessions; /* on the canary, before it is stopped whatever the rest says; NO_DROP_LIMIT */
	enum gate_mode mode;           /* canary */
	struct bad_events bad;         /* all of it given: a 5xx, or an outcome of TW_FAULTS, however long it took */
	int line;                      /* in the file; 0: it has none */
};

/* What being watched may cost a service. */
struct overhead_limits {
	double budget; /* of its own CPU time, for reading TLS: 0.25; INFINITY: off */
};

/* What all of watching may cost, kernel and observer together: see model/cost.h. */
struct cost_limits {
	double budget; /* cores for each 10,000 requests a second: 0.02; INFINITY: off */
	double floor;  /* cores that are never too much: 0.02 */
};

#define COST_BUDGET_LEAST 0.0001
#define COST_BUDGET_MOST  1

struct config {
	char *file;
	char *service;
	struct version *versions;
	size_t n_versions;
	struct cutover_unit *units;
	size_t n_units;
	struct route *routes;
	size_t n_routes;
	unsigned int max_endpoints; /* limits: { endpoints: 500 } */
	struct overhead_limits overhead;
	struct cost_limits cost;
	struct gate_policy gate;
	double *stages; /* fractions, rising */
	size_t n_stages;
};

/*
 * Reads and checks FILE. On error returns a negative errno and puts "FILE:LINE: what, and the way out" into e.
 * config__parse does the same for text in memory; name stands for the file in messages.
 */
int config__load(struct config **out, const char *file, struct err *e);
int config__parse(struct config **out, const char *text, size_t len, const char *name, struct err *e);
void config__free(struct config *c);

/* The index of the version that has this arm, or -1. */
int config__version_of_arm(const struct config *c, enum arm arm);

/*
 * What --stage says: the share of the traffic that the canary has now, "25%"; one of the config's stages, where it has
 * some, and then exactly that one. Returns 0, or -EINVAL with the way out in e.
 */
int config__stage(const struct config *c, const char *text, double *share, struct err *e);

/* What --cost-budget says, in place of the config's: "2%", or "off". 0, or -EINVAL with the way out in e. */
int config__cost_budget(const char *text, double *budget, struct err *e);

/* Fill p with the documented defaults (no file needed, for `top` and `init`). */
void gate_policy__defaults(struct gate_policy *p);
void overhead_limits__defaults(struct overhead_limits *p);
void cost_limits__defaults(struct cost_limits *p);

/*
 * The policy as a list of fields, by the names and bounds that they have in the configuration: for those who write it
 * down and read it again. What makes an exchange bad is none of them.
 */
struct policy_field {
	const char *name;
	double min, max;
	const char *const *words; /* [n_words] of a choice, whose value is a place in it; NULL: a number */
	int n_words;
	bool may_be_absent; /* NaN: not given */
};

#define POLICY_FIELDS 13
struct policy_field gate_policy__field(size_t i);
double gate_policy__get(const struct gate_policy *p, size_t i);
/* 0, or -EINVAL for a value that no configuration can give it. */
int gate_policy__set(struct gate_policy *p, size_t i, double value);

/* What holds for one endpoint in the end. */
struct endpoint_policy {
	struct margins margins; /* both given */
	struct tw_rule bad;
	const struct cutover_unit *unit; /* NULL: in none */
};

/*
 * Each value is the endpoint's own, else its unit's, else the gate's. r is one of c->routes, or NULL for an endpoint
 * that no entry names.
 */
void config__policy(const struct config *c, const struct route *r, struct endpoint_policy *out);
/*
 * A part of the policy that the language has and that nothing acts upon: who writes it counts on it, so it must not be
 * passed over in silence. 0, or -ENOTSUP with its name in *e.
 */
int config__decides(const struct config *c, struct err *e);

/* "30s", "5m", "1h", "300ms" to seconds; returns -EINVAL on anything else, on negatives and on overflow. */
int parse_duration(const char *text, double *seconds);
/* "8081", "127.0.0.1:8081", "[::1]:8081". */
int parse_endpoint_addr(const char *text, struct endpoint_addr *out);

#endif
