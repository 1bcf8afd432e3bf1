// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `plan`: how long until a release can be called, from rates that are given or observed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/observe.h"
#include "cmd/plan_input.h"
#include "cmd/terminal.h"
#include "judge/endpoint.h"
#include "judge/plan_shape.h"
#include "session/session.h"
#include "show/figures.h"
#include "show/plan.h"

#define PROGRESS       5.0 /* s */
#define DEFAULT_WITHIN 1800.0
#define ASSUMED_P50    0.05 /* s; only the shape counts */

struct plan_options {
	const char *file, *share;
	struct text_list rates;
	double observe, within;
	bool json;
};

/* What is planned for: endpoints with their latencies, in the order of the comparison or of the config. */
struct traffic {
	struct plan_endpoint *endpoints;
	struct plan_subject *subjects;
	struct histogram *latencies;
	size_t n;
	double seconds; /* observed */
};

static int traffic_room(struct traffic *t, size_t n)
{
	t->endpoints = calloc(n + 1, sizeof(*t->endpoints));
	t->subjects = calloc(n + 1, sizeof(*t->subjects));
	t->latencies = calloc(n + 1, sizeof(*t->latencies));
	t->n = n;
	return t->endpoints && t->subjects && t->latencies ? 0 : -ENOMEM;
}

static void traffic_free(struct traffic *t)
{
	free(t->endpoints);
	free(t->subjects);
	free(t->latencies);
}

/* ---- given ------------------------------------------------------------------------------------------------------- */

static void take_rate(struct traffic *t, size_t at, const struct plan_rate *r)
{
	struct plan_endpoint *ep = &t->endpoints[at];

	ep->rate = r->rate;
	ep->errors = r->errors;
	ep->latency = &t->latencies[at];
	ep->shape_only = !r->has_latency;
	t->subjects[at].latency = r->has_latency ? LATENCY_GIVEN : LATENCY_ASSUMED;
	if (r->has_latency)
		plan_shape__lognormal(&t->latencies[at], r->p50, r->p95);
	else
		plan_shape__lognormal(&t->latencies[at], ASSUMED_P50, ASSUMED_P50 * PLAN_SHAPE_SPREAD);
}

/* All endpoints of the config: the stake is dealt among them, whether they have a rate or not. */
static int traffic_given(struct traffic *t, const struct config *c, const struct text_list *texts)
{
	struct plan_rate *rates = calloc(texts->n + 1, sizeof(*rates));
	struct err e = { "" };
	int code = TW_EXIT_FAILURE;

	if (!rates || traffic_room(t, c->n_routes)) {
		log_error("out of memory");
		goto cleanup;
	}
	if (plan_input__rates(c, texts->text, texts->n, rates, &e)) {
		code = usage_error(&cmd_plan, "%s", e.text);
		goto cleanup;
	}
	for (size_t i = 0; i < c->n_routes; i++) {
		t->endpoints[i] =
			(struct plan_endpoint){ .def = judge_endpoint__watched(c->routes[i].name, c, &c->routes[i]),
			                        .rate = NAN };
		for (size_t k = 0; k < texts->n; k++)
			if (rates[k].route == &c->routes[i])
				take_rate(t, i, &rates[k]);
	}
	code = TW_EXIT_OK;
cleanup:
	free(rates);
	return code;
}

/* ---- observed ---------------------------------------------------------------------------------------------------- */

static const struct route *route_of(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_routes; i++)
		if (!strcmp(c->routes[i].name, name))
			return &c->routes[i];
	return NULL;
}

/* What the judge counts: exchanges that were observed to their end. */
static uint64_t counted(const struct arm_figures *a)
{
	return a->requests - a->outcome[TW_UNOBSERVED];
}

/*
 * Errors and latencies are the baseline's. The rate is that of both arms: while a canary takes its share, the baseline
 * has that much less.
 */
static void take_observed(struct traffic *t, size_t at, const struct endpoint_figures *f, double seconds)
{
	const struct arm_figures *b = &f->arm[ARM_BASELINE], *c = &f->arm[ARM_CANARY];
	struct plan_endpoint *ep = &t->endpoints[at];
	struct plan_subject *s = &t->subjects[at];

	if (!b->present || !counted(b))
		return;
	s->requests = counted(b);
	s->errors = arm_errors(b) < s->requests ? arm_errors(b) : s->requests;
	ep->errors = (double)s->errors / (double)s->requests;
	ep->rate = (double)(s->requests + (c->present ? counted(c) : 0)) / seconds;
	latencies__histogram(b->lat, TW_LAT_SERVER, &t->latencies[at]);
	if (!t->latencies[at].count)
		return;
	ep->latency = &t->latencies[at];
	s->latency = LATENCY_OBSERVED;
}

static int traffic_of(struct traffic *t, const struct config *config, const struct comparison *c)
{
	uint64_t seen = 0;

	if (traffic_room(t, c->n_endpoints)) {
		log_error("out of memory");
		return TW_EXIT_FAILURE;
	}
	t->seconds = c->seconds;
	for (size_t i = 0; i < c->n_endpoints; i++) {
		const char *name = c->endpoints[i].name;

		t->endpoints[i].def = judge_endpoint__watched(name, config, route_of(config, name));
		take_observed(t, i, &c->endpoints[i], c->seconds);
		seen += t->subjects[i].requests;
	}
	if (!seen)
		log_warn("no request reached the baseline in %.0f s", c->seconds);
	if (!is_complete(c))
		log_warn("not all of the traffic could be seen (`tillwatch watch` says what): rates are too low");
	return TW_EXIT_OK;
}

static const struct comparison *observe(struct session *s, double seconds)
{
	const struct comparison *c;
	int more;

	session__until(s, seconds);
	log_info("observing for %.0f s", seconds);
	do {
		c = observe_for(s, PROGRESS, &more);
		if (!c)
			return NULL;
		if (more)
			log_info("%.0f s: %llu requests so far, %.0f s to go", c->seconds,
			         (unsigned long long)c->ledger.ended, session__remaining(s));
	} while (more);
	return c;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static int print_report(const struct plan_report *r, bool json)
{
	char *text;

	if (!json) {
		show_plan(stdout, r, stdout_options(NAN).columns);
		return TW_EXIT_OK;
	}
	text = json_plan(r);
	if (!text) {
		log_error("out of memory while writing JSON");
		return TW_EXIT_FAILURE;
	}
	puts(text);
	free(text);
	return TW_EXIT_OK;
}

static void fill_rows(const struct plan_report *r, const struct plan *p, struct plan_row *rows)
{
	for (size_t s = 0; s < r->n_shares; s++) {
		for (size_t i = 0; i < r->n; i++) {
			struct plan_row *row = &rows[s * r->n + i];

			plan__times(p, i, r->shares[s], &row->times);
			plan__advise(&r->policy, r->subjects[i].ep, r->shares[s], r->within, &row->advice);
		}
	}
}

static bool has_own_margins(const struct gate_policy *gate, const struct plan_endpoint *ep)
{
	struct margins m = plan__margins(gate, ep);

	return m.max_error_ratio != gate->max_error_ratio || m.max_latency_increase != gate->max_latency_increase;
}

static int plan_and_print(const struct config *c, struct traffic *t, const struct plan_shares *shares,
                          const struct plan_options *o)
{
	struct plan_report r = { .service = c->service,
		                 .policy = c->gate,
		                 .within = o->within,
		                 .observed = !isnan(o->observe),
		                 .seconds = t->seconds,
		                 .subjects = t->subjects,
		                 .n = t->n,
		                 .shares = shares->share,
		                 .n_shares = shares->n };
	struct plan_row *rows = calloc(t->n * shares->n + 1, sizeof(*rows));
	struct judge_cutover *units = calloc(c->n_units + 1, sizeof(*units));
	struct plan *p = NULL;
	int code = TW_EXIT_FAILURE;

	for (size_t i = 0; units && i < c->n_units; i++)
		units[i] = judge_cutover__of(c, i);
	if (units)
		p = plan__new(&c->gate, t->endpoints, t->n, units, c->n_units);
	if (rows && p) {
		for (size_t i = 0; i < t->n; i++) {
			t->subjects[i].ep = &t->endpoints[i];
			t->subjects[i].decides = plan__decides(p, i);
			r.own_margins |= has_own_margins(&c->gate, &t->endpoints[i]);
		}
		fill_rows(&r, p, rows);
		r.rows = rows;
		code = print_report(&r, o->json);
	} else {
		log_error("cannot plan: %s", strerror(errno));
	}
	plan__free(p);
	free(units);
	free(rows);
	return code;
}

static int plan_given(const struct config *c, const struct plan_shares *shares, const struct plan_options *o)
{
	struct traffic t = { 0 };
	int code = traffic_given(&t, c, &o->rates);

	if (!code)
		code = plan_and_print(c, &t, shares, o);
	traffic_free(&t);
	return code;
}

static int plan_observed(const struct config *c, const struct plan_shares *shares, const struct plan_options *o)
{
	struct session_options so = { .config = c };
	int code = TW_EXIT_FAILURE;
	struct traffic t = { 0 };
	struct err e = { "" };
	struct session *s;

	if (config__version_of_arm(c, ARM_BASELINE) < 0) {
		log_error("%s: --observe needs a version with arm: baseline", c->file);
		return TW_EXIT_USAGE;
	}
	s = session__new(&so, &e);
	if (s) {
		const struct comparison *seen = observe(s, o->observe);

		if (seen)
			code = traffic_of(&t, c, seen);
		if (seen && !code)
			code = plan_and_print(c, &t, shares, o);
	} else {
		log_error("%s", e.text);
	}
	traffic_free(&t);
	session__free(s);
	return code;
}

static int check_options(const struct plan_options *o)
{
	if (o->rates.n && !isnan(o->observe))
		return usage_error(&cmd_plan,
		                   "--rate says what the traffic is, --observe measures it: give one of them");
	if (!o->rates.n && isnan(o->observe))
		return usage_error(&cmd_plan,
		                   "what is the traffic? --rate \"POST /checkout=40/s,0.5%%\", or --observe 60s");
	if (!isnan(o->observe) && !(o->observe > 0))
		return usage_error(&cmd_plan, "--observe: in no time nothing can be observed; write 60s");
	if (o->within <= 0)
		return usage_error(&cmd_plan, "--within: nothing can be called in no time; write 30m");
	return TW_EXIT_OK;
}

/* What a plan supposes is a canary beside its baseline. */
static int can_be_planned(const struct config *c, struct err *e)
{
	if (c->gate.mode != GATE_CANARY)
		return err_set(e, ENOTSUP,
		               "%s: gate: a plan is made for mode: canary, where both versions serve side by side",
		               c->file);
	return config__decides(c, e);
}

static int run_plan(struct plan_options *o)
{
	struct config *c = NULL;
	struct plan_shares shares;
	struct err e = { "" };
	int code;

	if (o->share && plan_input__shares(o->share, &shares, &e))
		return usage_error(&cmd_plan, "%s", e.text);
	code = TW_EXIT_USAGE;
	if (config__load(&c, o->file, &e) || can_be_planned(c, &e)) {
		log_error("%s", e.text);
	} else {
		if (!o->share)
			plan_input__stages(c, &shares);
		if (isnan(o->within))
			o->within = c->gate.deadline > 0 ? c->gate.deadline : DEFAULT_WITHIN;
		code = isnan(o->observe) ? plan_given(c, &shares, o) : plan_observed(c, &shares, o);
	}
	config__free(c);
	return code;
}

static int plan(int argc, char **argv)
{
	struct plan_options p = { .observe = NAN, .within = NAN };
	const struct option_spec options[] = {
		{ "--config", 'c', OPTION_TEXT, "FILE", "the configuration", &p.file, true },
		{ "--rate", 0, OPTION_LIST, "SPEC", "ENDPOINT=RATE,ERRORS[,P50/P95], for each endpoint", &p.rates,
		  false },
		{ "--observe", 0, OPTION_DURATION, "T", "instead: attach, and measure the baseline that long",
		  &p.observe, false },
		{ "--share", 0, OPTION_TEXT, "LIST",
		  "the canary's part: 5%, or 5%,25%,50% (the config's stages, else 5%)", &p.share, false },
		{ "--within", 0, OPTION_DURATION, "T", "the time given for each share (the gate's deadline, else 30m)",
		  &p.within, false },
		{ "--json", 0, OPTION_FLAG, NULL, "one JSON document", &p.json, false },
	};
	int code;

	p.rates.text = calloc((size_t)argc + 1, sizeof(*p.rates.text));
	if (!p.rates.text) {
		log_error("out of memory");
		return TW_EXIT_FAILURE;
	}
	if (!options_parse(&cmd_plan, options, 6, argc, argv, &code)) {
		code = check_options(&p);
		if (!code)
			code = run_plan(&p);
	}
	free(p.rates.text);
	return code;
}

const struct command cmd_plan = {
	"plan", "Says how long until a release can be called, per endpoint and share",
	"-c FILE (--rate SPEC... | --observe T) [--share LIST] [--within T] [--json]",
	"A rate is what both versions serve together, the errors are the baseline's share; P50/P95 are its latencies:\n"
	"    --rate \"POST /checkout=40/s,0.5%\" --rate \"GET /cart/{id}=2400/m,0.1%,12ms/45ms\"\n"
	"SIGINT and SIGTERM end --observe early; what was seen is planned with.\n"
	"Exit codes: 0 there is a plan, whatever it says; 1 failure, 2 usage.",
	plan
};
