// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `watch` shows the comparison while it grows, `gate` waits for its verdict: the same observation, two endings. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "session/session.h"
#include "show/show.h"

/* Off a terminal a line block every so often; on one a redraw a second. */
#define REFRESH_TERMINAL 1.0
#define REFRESH_LINES    5.0

#define STAGE_HELP "the stage that is running: the canary's share of the traffic, as planned"

struct watch_options {
	const char *file, *stage;
	double seconds;
	bool json, until_final;
};

static void screen(struct show_options *o, double remaining)
{
	struct winsize w;

	o->mode = isatty(STDOUT_FILENO) ? SHOW_TERMINAL : SHOW_LINES;
	o->colour = o->mode == SHOW_TERMINAL && !getenv("NO_COLOR");
	o->columns = o->rows = 0;
	o->remaining = remaining;
	if (o->mode == SHOW_TERMINAL && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w)) {
		o->columns = w.ws_col;
		o->rows = w.ws_row;
	}
}

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

/* Runs to the end. quiet: no table on stdout. Returns the final comparison, or NULL with the reason said. */
static const struct comparison *observe(struct session *s, bool quiet)
{
	const struct comparison *c;
	struct show_options show;
	int more;

	do {
		bool terminal = !quiet && isatty(STDOUT_FILENO);

		more = session__run(s, terminal ? REFRESH_TERMINAL : REFRESH_LINES);
		if (more < 0) {
			log_error("the observation ended early: error %d", -more);
			return NULL;
		}
		c = session__compare(s);
		if (!c) {
			log_error("cannot read the kernel's counters");
			return NULL;
		}
		screen(&show, session__remaining(s));
		if (!more)
			show.remaining = 0;
		if (!quiet)
			show_comparison(stdout, c, &show);
		else if (more)
			progress(c, s);
		fflush(stdout);
	} while (more);
	return c;
}

/* NULL with the reason said, and the exit code in *code: a config that cannot be used is a matter of usage. */
static struct session *start(const struct watch_options *w, struct config **config, int *code)
{
	struct session_options o = { 0 };
	struct err e = { "" };
	struct session *s;

	*code = TW_EXIT_USAGE;
	if (config__load(config, w->file, &e) || config__decides(*config, &e)) {
		log_error("%s", e.text);
		return NULL;
	}
	if (w->stage && config__stage(*config, w->stage, &o.stage, &e)) {
		log_error("%s", e.text);
		return NULL;
	}
	*code = TW_EXIT_FAILURE;
	o.config = *config;
	o.judge = is_judged(*config);
	o.losses = true;
	o.until_final = w->until_final;
	s = session__new(&o, &e);
	if (!s) {
		log_error("%s", e.text);
		return NULL;
	}
	session__until(s, w->seconds);
	announce(*config, w->seconds);
	return s;
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
	};
	const struct comparison *c;
	struct config *config = NULL;
	struct session *s;
	int code;

	if (options_parse(&cmd_watch, options, 4, argc, argv, &code))
		return code;
	s = start(&w, &config, &code);
	c = s ? observe(s, w.json) : NULL;
	if (c)
		code = w.json ? print_document(json_comparison(c)) : TW_EXIT_OK;
	session__free(s);
	config__free(config);
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
	};
	const struct comparison *c;
	struct config *config = NULL;
	struct session *s;
	int code;

	if (options_parse(&cmd_gate, options, 4, argc, argv, &code))
		return code;
	s = start(&w, &config, &code);
	if (s && !is_judged(config)) {
		log_error(
			"%s: a verdict needs one version with arm: baseline and one with arm: canary, or, without a baseline, "
			"gate: { mode: absolute }",
			w.file);
		session__free(s);
		config__free(config);
		return TW_EXIT_USAGE;
	}
	c = s ? observe(s, true) : NULL;
	if (c) {
		code = w.json ? print_document(json_verdict(&c->verdict)) : TW_EXIT_OK;
		if (!w.json)
			print_verdict(&c->verdict);
		if (!code)
			code = verdict_exit_code(c->verdict.kind);
	}
	session__free(s);
	config__free(config);
	return code;
}

const struct command cmd_watch = {
	"watch", "Attaches, shows the live comparison and ends with the final one",
	"-c FILE [--for T] [--stage SHARE] [--json]",
	"On a terminal the table is redrawn every second; elsewhere a block of lines comes every five.\n"
	"SIGINT and SIGTERM end it early with the same final output.",
	watch
};

const struct command cmd_gate = {
	"gate", "Watches for a while and gives the verdict as the exit code",
	"-c FILE --for T [--stage SHARE] [--json]",
	"Ends before T when nothing is left to wait for: what a fail_fast endpoint shows is enough for a\n"
	"rollback, or the config's deadline has passed.\n"
	"Exit codes: 0 promote, 10 rollback, 20 hold, 30 invalid, 1 failure, 2 usage.",
	gate
};
