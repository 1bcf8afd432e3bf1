// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `watch` shows the comparison while it grows, `gate` waits for its verdict: the same observation, two endings. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/observe.h"
#include "cmd/terminal.h"
#include "session/session.h"
#include "show/show.h"
#include "ticklog/ticklog.h"

/* Off a terminal a line block every so often; on one a redraw a second. */
#define REFRESH_TERMINAL 1.0
#define REFRESH_LINES    5.0

#define STAGE_HELP "the stage that is running: the canary's share of the traffic, as planned"
#define LOG_HELP   "a new file for a tick log, to `tillwatch replay`"

struct watch_options {
	const char *file, *stage, *log, *cost_budget;
	double seconds;
	bool json, stats, until_final;
};

static void announce(const struct config *c, double seconds)
{
	const char *names[ARM_NR] = { NULL };

	for (size_t i = 0; i < c->n_versions; i++)
		names[c->versions[i].arm] = c->versions[i].name;
	if (names[ARM_BASELINE] && names[ARM_CANARY])
		log_info("watching %s: %s (baseline) and %s (canary)%s", c->service, names[ARM_BASELINE],
		         names[ARM_CANARY], isnan(seconds) ? ", until interrupted" : "");
	else if (names[ARM_CANARY])
		log_info("watching %s: %s (canary)%s", c->service, names[ARM_CANARY],
		         isnan(seconds) ? ", until interrupted" : "");
	else
		log_info("watching %s%s", c->service, isnan(seconds) ? ", until interrupted" : "");
}

/* Progress for people when the data comes at the end only. */
static void progress(const struct comparison *c, const struct session *s)
{
	double left = session__remaining(s);
	uint64_t n = c->ledger.ended;

	if (isnan(left))
		log_info("%.0f s: %llu requests so far", c->seconds, (unsigned long long)n);
	else
		log_info("%.0f s: %llu requests so far, %.0f s to go%s%s", c->seconds, (unsigned long long)n, left,
		         c->has_verdict ? ", " : "", c->has_verdict ? verdict_names[c->verdict.kind] : "");
}

static int print_document(char *text)
{
	if (!text) {
		log_error("out of memory while writing JSON");
		return TW_EXIT_FAILURE;
	}
	puts(text);
	free(text);
	if (fflush(stdout) || ferror(stdout)) {
		return TW_EXIT_FAILURE; /* main says it */
	}
	return TW_EXIT_OK;
}

/* Without a baseline a canary can be held against what was announced. */
static bool is_judged(const struct config *c)
{
	return config__version_of_arm(c, ARM_CANARY) >= 0 &&
	       (c->gate.mode == GATE_ABSOLUTE || config__version_of_arm(c, ARM_BASELINE) >= 0);
}

/*
 * Runs to the end, or until nobody reads what it shows. quiet: no table on stdout; stats: that of the cost. Returns the
 * final comparison, or NULL with the reason said, or for main to say.
 */
static const struct comparison *observe(struct session *s, bool quiet, bool stats)
{
	const double refresh = !quiet && isatty(STDOUT_FILENO) ? REFRESH_TERMINAL : REFRESH_LINES;
	double wait = quiet ? refresh : REFRESH_FIRST;
	const struct comparison *c;
	struct show_options show;
	int more;

	for (;; wait = refresh) {
		c = observe_for(s, wait, &more);
		if (!c)
			return NULL;
		show = stdout_options(session__remaining(s));
		if (!more)
			show.remaining = 0;
		if (!quiet)
			(stats ? show_cost : show_comparison)(stdout, c, &show);
		else if (more)
			progress(c, s);
		if (fflush(stdout) || ferror(stdout))
			return NULL;
		if (!more)
			return c;
	}
}

struct watching {
	struct config *config;
	double stage; /* 0: not told */
	struct ticklog *log;
	struct session *session;
};

static void stop(struct watching *x)
{
	session__free(x->session);
	ticklog__free(x->log);
	config__free(x->config);
}

/* What can be known to fail does so before anything is attached. Returns an exit code with the reason said, or 0. */
static int prepare(const struct watch_options *w, struct watching *x, bool verdict)
{
	struct err e = { "" };

	if (config__load(&x->config, w->file, &e) || config__decides(x->config, &e) ||
	    (w->stage && config__stage(x->config, w->stage, &x->stage, &e)) ||
	    (w->cost_budget && config__cost_budget(w->cost_budget, &x->config->cost.budget, &e))) {
		log_error("%s", e.text);
		return TW_EXIT_USAGE;
	}
	if ((verdict || w->log) && !is_judged(x->config)) {
		log_error("%s: a %s needs one version with arm: baseline and one with arm: canary, or, without a "
		          "baseline, gate: { mode: absolute }",
		          w->file, verdict ? "verdict" : "tick log");
		return TW_EXIT_USAGE;
	}
	if (w->log)
		x->log = ticklog__new(w->log, &e);
	if (w->log && !x->log) {
		log_error("%s", e.text);
		return TW_EXIT_FAILURE;
	}
	return 0;
}

/* verdict: it is about nothing else. Returns an exit code with the reason said, or 0; stop() is due in any case. */
static int start(const struct watch_options *w, struct watching *x, bool verdict)
{
	struct session_options o = { .losses = true };
	struct err e = { "" };
	int code = prepare(w, x, verdict);

	if (code)
		return code;
	o.config = x->config;
	o.judge = is_judged(x->config);
	o.stage = x->stage;
	o.log = x->log;
	o.until_final = w->until_final;
	x->session = session__new(&o, &e);
	if (!x->session) {
		log_error("%s", e.text);
		return TW_EXIT_FAILURE;
	}
	session__until(x->session, w->seconds);
	announce(x->config, w->seconds);
	return 0;
}

static int watch(int argc, char **argv)
{
	struct watch_options w = { .seconds = NAN };
	const struct option_spec options[] = {
		{ "--config", 'c', OPTION_TEXT, "FILE", "the configuration", &w.file, true },
		{ "--for", 0, OPTION_DURATION, "T", "how long: 30s, 5m, 1h; without it until interrupted", &w.seconds,
		  false },
		{ "--json", 0, OPTION_FLAG, NULL, "one JSON document at the end instead of the table", &w.json, false },
		{ "--stage", 0, OPTION_TEXT, "SHARE", STAGE_HELP, &w.stage, false },
		{ "--log", 0, OPTION_TEXT, "FILE", LOG_HELP, &w.log, false },
		{ "--stats", 0, OPTION_FLAG, NULL, "what watching costs, by kernel program, instead of the table",
		  &w.stats, false },
		{ "--cost-budget", 0, OPTION_TEXT, "SHARE", COST_BUDGET_HELP, &w.cost_budget, false },
	};
	const struct comparison *c = NULL;
	struct watching x = { NULL };
	int code;

	if (options_parse(&cmd_watch, options, 7, argc, argv, &code))
		return code;
	if (w.json && w.stats)
		return usage_error(&cmd_watch,
		                   "--stats is a table, and what it shows is in the document of --json: leave one out");
	code = start(&w, &x, false);
	if (!code) {
		code = TW_EXIT_FAILURE;
		c = observe(x.session, w.json, w.stats);
	}
	if (c)
		code = w.json ? print_document(json_comparison(c)) : TW_EXIT_OK;
	stop(&x);
	return code;
}

static void print_verdict(const struct verdict *v)
{
	printf("%s: %s\n", verdict_names[v->kind], v->summary);
	/* Reasons name their endpoint, and a guard that is not ok is among them. */
	for (size_t i = 0; i < v->n_cutovers; i++)
		printf("  unit %s (owner: %s): %s: %s\n", v->cutovers[i].name,
		       v->cutovers[i].owner ? v->cutovers[i].owner : "-", verdict_names[v->cutovers[i].kind],
		       v->cutovers[i].text);
	for (size_t i = 0; i < v->n_reasons; i++)
		printf("  %s\n", v->reasons[i].text);
	if (v->has_eta)
		printf("  can be called in about %.0f s at the present traffic\n", v->eta_seconds);
}

static int gate(int argc, char **argv)
{
	struct watch_options w = { .seconds = NAN, .until_final = true };
	const struct option_spec options[] = {
		{ "--config", 'c', OPTION_TEXT, "FILE", "the configuration", &w.file, true },
		{ "--for", 0, OPTION_DURATION, "T", "how long to watch before the verdict", &w.seconds, true },
		{ "--json", 0, OPTION_FLAG, NULL, "the verdict as a JSON document", &w.json, false },
		{ "--stage", 0, OPTION_TEXT, "SHARE", STAGE_HELP, &w.stage, false },
		{ "--log", 0, OPTION_TEXT, "FILE", LOG_HELP, &w.log, false },
		{ "--cost-budget", 0, OPTION_TEXT, "SHARE", COST_BUDGET_HELP, &w.cost_budget, false },
	};
	const struct comparison *c = NULL;
	struct watching x = { NULL };
	int code;

	if (options_parse(&cmd_gate, options, 6, argc, argv, &code))
		return code;
	code = start(&w, &x, true);
	if (!code) {
		code = TW_EXIT_FAILURE;
		c = observe(x.session, true, false);
	}
	if (c) {
		code = w.json ? print_document(json_verdict(&c->verdict)) : TW_EXIT_OK;
		if (!w.json)
			print_verdict(&c->verdict);
		if (!code)
			code = verdict_exit_code(c->verdict.kind);
		/* A table has its notes for this. */
		if (c->log && c->log->stopped)
			log_warn("%s: what came after cannot be replayed", c->log->stopped);
	}
	stop(&x);
	return code;
}

const struct command cmd_watch = {
	"watch", "Attaches, shows the live comparison and ends with the final one",
	"-c FILE [--for T] [--stage SHARE] [--json | --stats] [--log FILE] [--cost-budget SHARE]",
	"On a terminal the table is redrawn every second; elsewhere a block of lines comes every five.\n"
	"SIGINT and SIGTERM end it early with the same final output.",
	watch
};

const struct command cmd_gate = {
	"gate", "Watches for a while and gives the verdict as the exit code",
	"-c FILE --for T [--stage SHARE] [--json] [--log FILE] [--cost-budget SHARE]",
	"Ends before T when nothing is left to wait for: what a fail_fast endpoint shows is enough for a\n"
	"rollback, a hard stop has come, or the config's deadline has passed.\n"
	"Exit codes: 0 promote, 10 rollback, 20 hold, 30 invalid, 1 failure, 2 usage.",
	gate
};
