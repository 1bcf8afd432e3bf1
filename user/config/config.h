/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The configuration: YAML in, one checked structure out.
 *
 * Invariants of a struct config that config__load has returned:
 *  - at least one version; at most one baseline and at most one canary arm; names are unique;
 *  - every version has at least one match key; matches are conjunctive (all keys given must hold);
 *  - routes are in template form ("METHOD /path/{name}") and unique after normalisation of the parameter names;
 *  - every number lies within the bounds the manual gives.
 * Unknown keys are errors that name the line and the nearest known key.
 */
#ifndef TW_CONFIG_H
#define TW_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

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

struct route {
	char *method; /* "POST"; "*" matches any method */
	char *path;   /* template, "/cart/{id}" */
	char *name;   /* "POST /cart/{id}" */
	bool critical;
	struct money value;
	struct slo slo;
	int line;
};

struct gate_policy {
	double alpha;                /* 0.05 */
	double max_error_ratio;      /* 1.5: promote only when certified below */
	double max_latency_increase; /* 0.20 */
	uint64_t min_requests;       /* 500, per arm and critical endpoint */
	double warmup;               /* seconds, 10 */
	double tick;                 /* seconds, 5 */
	double timeout;              /* seconds, 30: an answer that has not begun by then is none */
};

struct config {
	char *file;
	char *service;
	struct version *versions;
	size_t n_versions;
	struct route *routes;
	size_t n_routes;
	unsigned int max_endpoints; /* limits: { endpoints: 500 } */
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

/* Fills p with the documented defaults (no file needed, for `top` and `init`). */
void gate_policy__defaults(struct gate_policy *p);

/* "30s", "5m", "1h", "300ms" to seconds; returns -EINVAL on anything else, on negatives and on overflow. */
int parse_duration(const char *text, double *seconds);
/* "8081", "127.0.0.1:8081", "[::1]:8081". */
int parse_endpoint_addr(const char *text, struct endpoint_addr *out);

#endif
