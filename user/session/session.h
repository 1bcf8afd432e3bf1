/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One observation, from attach to detach.
 *
 * Invariants: one thread; every counter is read as a difference from what it was at the last reading; whatever the
 * kernel could not count and whatever could not be attributed shows in coverage or loss, never nowhere.
 */
#ifndef TW_SESSION_H
#define TW_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/config.h"
#include "model/comparison.h"
#include "ticklog/ticklog.h"

struct session;

struct session_options {
	const struct config *config; /* its versions may grow while the session runs (top); everything else is fixed */
	bool judge;                  /* keep a verdict: needs a baseline and a canary */
	bool until_final;            /* ends as soon as the verdict is final */
	double stage;                /* the canary's share of the traffic, as planned for now; 0: not told */
	struct ticklog *log; /* NULL, or where the ticks go; not started yet, and the caller's to free afterwards */
	bool writes_a_new;   /* a file that is not there yet is made at the end (init) */
	bool losses;         /* look at listeners' queues, too: the comparison has losses by version */
};

/* Loads, resolves the versions and attaches. NULL on error, with e saying what and what to do. */
struct session *session__new(const struct session_options *o, struct err *e);
void session__free(struct session *s);

/*
 * Runs until `seconds` from now have passed (NaN: no end), SIGINT or SIGTERM came, or `due` seconds (NaN: none) have
 * passed for the next refresh. Returns 1 when it is time to refresh, 0 at the end, or a negative errno.
 */
int session__run(struct session *s, double refresh);
/* Sets the end: seconds from now; NaN: until interrupted. */
void session__until(struct session *s, double seconds);
double session__remaining(const struct session *s);
bool session__interrupted(const struct session *s);

/* Everything up to now. Owned by the session, valid until the next call. NULL: out of memory. */
const struct comparison *session__compare(struct session *s);
/* The same for one version by itself, as ARM_BASELINE (top). To be freed with session__comparison_free. */
struct comparison *session__of_version(struct session *s, size_t version);
void session__comparison_free(struct comparison *c);

/* A new listener was seen since the last call (top). */
bool session__listeners_changed(struct session *s);
/* The config's versions have grown: resolve and attach again. */
int session__versions_changed(struct session *s, struct err *e);

#endif
