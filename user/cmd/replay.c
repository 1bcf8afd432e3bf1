// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `replay`: the verdicts of a tick log once more, under its own policy or another. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "config/config.h"
#include "show/replay.h"
#include "ticklog/reader.h"
#include "ticklog/replay.h"

struct run {
	const char *file, *config_file;
	bool json;
	struct config *config;
	struct log_reader *reader;
	struct replay *replay;

	struct replay_sum sum;
	struct verdict verdict; /* after the latest tick */
	bool begun;             /* the header was there */
	bool shown;             /* the latest verdict's reasons were */
	enum verdict_kind kind; /* shown last, and what was said then */
	struct log_verdict then;
};

/* Takes text over. 0 or a negative errno. */
static int print(char *text)
{
	if (!text) {
		log_error("out of memory while writing JSON");
		return -ENOMEM;
	}
	fputs(text, stdout);
	free(text);
	return 0;
}

/* What was counted cannot be counted again. */
static void warn_of_counting(const struct gate_policy *then, const struct gate_policy *now, const char *file)
{
	if (then->tick != now->tick)
		log_warn("%s: tick stays %g s, as it was watched", file, then->tick);
	if (then->warmup != now->warmup)
		log_warn("%s: warmup stays %g s, as it was watched", file, then->warmup);
	if (then->timeout != now->timeout)
		log_warn("%s: timeout stays %g s, as it was watched", file, then->timeout);
	if (memcmp(&then->bad.rule, &now->bad.rule, sizeof(now->bad.rule)))
		log_warn("%s: what is bad stays as it was watched", file);
}

static int on_header(struct run *r, const struct log_header *h)
{
	struct replay_head head = { h, replay__policy(r->replay), r->config_file };

	r->begun = true;
	if (r->config)
		warn_of_counting(&h->policy, &r->config->gate, r->config_file);
	if (r->json)
		return print(json_replay_head(&head));
	show_replay_head(stdout, &head);
	return 0;
}

static void warn_of_unserved(const struct run *r)
{
	const char *name;

	for (size_t i = 0; (name = replay__unserved(r->replay, i)); i++)
		log_warn("%s names \"%s\", which the log does not: it is judged as not served", r->config_file, name);
}

/* The configuration's rule for an endpoint of that name. */
static void warn_of_rule(const struct run *r, const struct log_endpoint *ep)
{
	struct endpoint_policy p;

	for (size_t i = 0; r->config && i < r->config->n_routes; i++) {
		const struct route *route = &r->config->routes[i];

		if (strcmp(route->name, ep->def.name))
			continue;
		config__policy(r->config, route, &p);
		if (memcmp(&p.bad, &ep->bad, sizeof(p.bad)))
			log_warn("%s: what is bad on \"%s\" stays as it was watched", r->config_file, route->name);
	}
}

static bool changed(const struct run *r, const struct log_tick *t)
{
	return r->sum.ticks == 1 || r->verdict.kind != r->kind || t->verdict.given != r->then.given ||
	       t->verdict.kind != r->then.kind;
}

static int on_tick(struct run *r, const struct log_tick *t)
{
	struct replay_tick tick = { t, &r->verdict };
	int err = 0;

	if (++r->sum.ticks == 1)
		warn_of_unserved(r);
	r->sum.seconds = t->told.end;
	replay__verdict(r->replay, &r->verdict);
	r->sum.other += replay_differs(&tick);
	r->sum.inexact += replay_inexact(&tick);
	if (r->json) {
		fputs(r->sum.ticks > 1 ? ",\n" : "\n", stdout);
		err = print(json_replay_tick(&tick));
	} else {
		r->shown = changed(r, t);
		if (r->shown)
			show_replay_tick(stdout, &tick);
	}
	r->kind = r->verdict.kind;
	r->then = t->verdict;
	return err;
}

/* All there is to read. 0, or a negative errno with e set, if anything is to be said. */
static int go_through(struct run *r, struct err *e)
{
	struct err why = { "" };
	struct log_record record;
	int more, err;

	while ((more = log_reader__next(r->reader, &record, e)) > 0) {
		err = replay__take(r->replay, &record, &why);
		if (err)
			return log_reader__error(r->reader, -err, e, "%s", why.text);
		if (record.kind == LOG_HEADER)
			err = on_header(r, &record.header);
		if (record.kind == LOG_ENDPOINT)
			warn_of_rule(r, &record.endpoint);
		if (record.kind == LOG_TICK)
			err = on_tick(r, &record.tick);
		if (err || ferror(stdout))
			return err ? err : -EIO;
	}
	return more;
}

/* A log that could be read but does not end as one should. */
static void look_at_end(struct run *r, struct err *e)
{
	enum log_ending ending = log_reader__ending(r->reader);

	r->sum.whole = ending == LOG_WHOLE;
	if (ending == LOG_CUT)
		log_reader__error(r->reader, EBADMSG, e,
		                  "the line is cut off: the run did not end, or this is not all of its log");
	if (ending == LOG_OPEN)
		log_reader__error(r->reader, EBADMSG, e,
		                  "the end is missing: the run did not end, or this is not all of its log");
}

static int finish(struct run *r, int err, struct err *e)
{
	int code = TW_EXIT_FAILURE;

	if (!err)
		look_at_end(r, e);
	if (r->begun) {
		if (!r->sum.ticks)
			replay__verdict(r->replay, &r->verdict);
		r->sum.last = &r->verdict;
		r->sum.error = e->text[0] ? e->text : NULL;
		if (r->sum.whole)
			code = verdict_exit_code(r->verdict.kind);
	}
	if (r->begun && !r->json)
		show_replay_sum(stdout, &r->sum, !r->shown);
	if (r->begun && r->json && (print(json_replay_sum(&r->sum)) || puts("") < 0))
		code = TW_EXIT_FAILURE;
	if (err)
		log_error("%s", e->text[0] ? e->text : "the output cannot be written");
	else if (e->text[0])
		log_warn("%s; replayed the %" PRIu64 " tick%s before", e->text, r->sum.ticks,
		         r->sum.ticks == 1 ? "" : "s");
	if (r->sum.inexact && !r->config)
		log_warn("the figures are not those of then: another build, another libm, or a log that was made up");
	return code;
}

static int start(struct run *r, struct err *e)
{
	if (r->config_file && (config__load(&r->config, r->config_file, e) || config__decides(r->config, e)))
		return TW_EXIT_USAGE;
	r->reader = log_reader__new(r->file, e);
	if (!r->reader)
		return TW_EXIT_FAILURE;
	r->replay = replay__new(r->config);
	if (!r->replay) {
		err_set(e, ENOMEM, "out of memory");
		return TW_EXIT_FAILURE;
	}
	return 0;
}

static int replay(int argc, char **argv)
{
	struct run r = { NULL };
	const struct option_spec options[] = {
		{ "FILE", 0, OPTION_TEXT, NULL, "the tick log", &r.file, true },
		{ "--config", 'c', OPTION_TEXT, "FILE", "judge by the gate and endpoints of this configuration",
		  &r.config_file, false },
		{ "--json", 0, OPTION_FLAG, NULL, "one JSON document with the verdict of every tick", &r.json, false },
	};
	struct err e = { "" };
	int code;

	if (options_parse(&cmd_replay, options, 3, argc, argv, &code))
		return code;
	code = start(&r, &e);
	if (code)
		log_error("%s", e.text);
	else
		code = finish(&r, go_through(&r, &e), &e);
	/* The judge holds names that are the reader's and the configuration's. */
	replay__free(r.replay);
	log_reader__free(r.reader);
	config__free(r.config);
	return code;
}

const struct command cmd_replay = {
	"replay", "Recomputes the verdicts of a tick log, also under another policy", "FILE [-c FILE] [--json]",
	"Shows each verdict that differs from the one before, and the last. Exit codes: those of `gate`, by the last\n"
	"verdict; 1 also for a log that is damaged or has no end, and then what could be read is replayed.",
	replay
};
