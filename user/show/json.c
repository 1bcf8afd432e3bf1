/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The documents as a whole: the comparison and the verdict. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "show/figures.h"
#include "show/json_put.h"
#include "show/show.h"
#include "ticklog/ticklog.h"

static void put_latency(struct document *d, cJSON *arm, const struct arm_figures *a)
{
	static const struct quantile quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p95", 0.95 }, { "p99", 0.99 } };
	cJSON *latency = put_object(d, arm, "latency"), *o;

	for (int kind = 0; kind < TW_LAT_NR; kind++) {
		struct histogram h;

		latencies__histogram(a->lat, kind, &h);
		o = put_object(d, latency, latency_names[kind]);
		put_count(d, o, "count", h.count);
		for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
			put_number(d, o, quantiles[i].name, a->present ? histogram_quantile(&h, quantiles[i].q) : NAN);
		put_number(d, o, "max", h.count ? (double)h.max / 1e9 : NAN);
		put_number(d, o, "mean", h.count ? histogram_mean(&h) : NAN);
	}
}

/* Where an ending that may come at any time cut the exchange off; the other outcomes say it by their names. */
static void put_cut(struct document *d, cJSON *arm, const struct arm_figures *a)
{
	static const enum tw_outcome cutting[] = { TW_RESET_BY_SERVER, TW_RESET_BY_CLIENT, TW_CLIENT_ABANDONED,
		                                   TW_TIMEOUT };
	cJSON *cut = put_object(d, arm, "cut"), *o;

	for (size_t i = 0; i < sizeof(cutting) / sizeof(*cutting); i++) {
		enum tw_outcome outcome = cutting[i];

		o = put_object(d, cut, outcome_names[outcome]);
		put_count(d, o, "before_first_byte", a->outcome[outcome] - a->cut[outcome]);
		put_count(d, o, "mid_response", a->cut[outcome]);
	}
}

static void put_streams(struct document *d, cJSON *arm, const struct comparison *c, const struct arm_figures *a)
{
	cJSON *streams = put_object(d, arm, "streams"), *o;

	put_count(d, streams, "open", a->streams->open);
	put_number(d, streams, "oldest", arm_oldest_stream(c, a));
	o = put_object(d, streams, "messages");
	put_count(d, o, "from_server", streams_messages(a->streams, STREAM_SERVER));
	put_count(d, o, "from_client", streams_messages(a->streams, STREAM_CLIENT));
	o = put_object(d, streams, "ended");
	for (int i = 0; i < TW_END_NR; i++)
		put_count(d, o, session_end_names[i], a->streams->ended[i]);
}

static void put_arm(struct document *d, cJSON *arms, const char *key, const struct comparison *c,
                    const struct arm_figures *a)
{
	cJSON *arm = put_object(d, arms, key), *o;
	char code[16];

	put_string(d, arm, "version", a->version);
	put_count(d, arm, "requests", a->requests);
	put_count(d, arm, "errors", arm_errors(a));
	put_count(d, arm, "connections", a->connections);
	o = put_object(d, arm, "status");
	for (unsigned int status = 1; a->n_status && status < STATUS_MAX; status++) {
		uint64_t n = arm_status(a, status);

		if (!n)
			continue;
		if (status == TW_STATUS_UNKNOWN)
			snprintf(code, sizeof(code), "unknown");
		else if (status >= TW_STATUS_GRPC)
			snprintf(code, sizeof(code), "grpc-%u", status - TW_STATUS_GRPC);
		else
			snprintf(code, sizeof(code), "%03u", status >= TW_STATUS_LOW ? status - TW_STATUS_LOW : status);
		put_count(d, o, code, n);
	}
	o = put_object(d, arm, "outcomes");
	for (int i = 0; i < TW_OUTCOME_NR; i++)
		put_count(d, o, outcome_names[i], a->outcome[i]);
	put_cut(d, arm, a);
	put_latency(d, arm, a);
	if (arm_has_streams(a))
		put_streams(d, arm, c, a);
}

static void put_endpoints(struct document *d, cJSON *root, const struct comparison *c)
{
	cJSON *list = put_list(d, root, "endpoints"), *o, *arms;

	for (size_t i = 0; i < c->n_endpoints && !d->failed; i++) {
		const struct endpoint_figures *ep = &c->endpoints[i];

		o = put_object(d, list, NULL);
		put_string(d, o, "endpoint", ep->name);
		put_bool(d, o, "critical", ep->critical);
		arms = put_object(d, o, "arms");
		for (int arm = 0; arm < ARM_NR; arm++)
			if (ep->arm[arm].present)
				put_arm(d, arms, arm_names[arm], c, &ep->arm[arm]);
	}
}

/* Of the ticks that were judged, how many can be replayed. */
static void put_log(struct document *d, cJSON *coverage, const struct ticklog_state *log)
{
	cJSON *o;

	if (!log) {
		put_null(d, coverage, "tick_log");
		return;
	}
	o = put_object(d, coverage, "tick_log");
	put_count(d, o, "ticks", log->ticks);
	put_bool(d, o, "complete", !log->stopped);
	put_string(d, o, "error", log->stopped);
}

static void put_http2(struct document *d, cJSON *coverage, const struct http2_coverage *c)
{
	cJSON *o = put_object(d, coverage, "http2");

	put_count(d, o, "connections", c->connections);
	put_count(d, o, "joined", c->joined);
	put_count(d, o, "requests", c->requests);
	put_count(d, o, "unknown", c->unknown);
	put_count(d, o, "open", c->open);
	put_count(d, o, "desynchronised", c->desynchronised);
	put_count(d, o, "resynchronised", c->resynchronised);
	put_count(d, o, "malformed", c->malformed);
	put_count(d, o, "withdrawn", c->withdrawn);
	put_count(d, o, "shed", c->shed);
	put_count(d, o, "memory_max", c->memory_max);
}

static void put_passed_over(struct document *d, cJSON *loss, const struct passed_over *p)
{
	cJSON *o;

	if (!p->known) {
		put_null(d, loss, "passed_over");
		return;
	}
	o = put_object(d, loss, "passed_over");
	put_count(d, o, "reads", p->reads);
	put_count(d, o, "ends", p->ends);
	put_count(d, o, "others", p->others);
}

static void put_coverage(struct document *d, cJSON *root, const struct comparison *c)
{
	const struct coverage *cov = &c->coverage;
	const struct ledger_figures *l = &c->ledger;
	cJSON *o = put_object(d, root, "coverage");

	put_count(d, o, "connections", cov->connections);
	put_count(d, o, "decoded", cov->decoded);
	put_count(d, o, "opaque_tls", cov->opaque_tls);
	put_tls(d, o, &cov->tls);
	put_http2(d, o, &cov->h2);
	put_count(d, o, "not_http", cov->not_http);
	put_count(d, o, "upgraded", cov->upgraded);
	put_count(d, o, "desynchronised", cov->desynchronised);
	put_count(d, o, "resynchronised", cov->resynchronised);
	put_count(d, o, "midstream", cov->midstream);
	put_count(d, o, "unattributed", cov->unattributed);
	put_count(d, o, "foreign", cov->foreign);
	put_count(d, o, "unnamed", cov->unnamed);
	put_count_if(d, o, "details_shed", c->cost.known, c->cost.details_shed);
	put_number(d, o, "details_shed_seconds", c->cost.known ? c->cost.shed_seconds : NAN);
	put_bool(d, o, "queue_measured", cov->queue_measured);
	put_bool(d, o, "in_flight_measured", l->in_flight_measured);
	put_bool(d, o, "complete", is_complete(c));
	put_log(d, o, c->log);

	put_ledger(d, root, l);

	o = put_object(d, root, "loss");
	put_count(d, o, "events", l->lost_events);
	put_count(d, o, "exchanges", l->lost_exchanges);
	put_passed_over(d, o, &c->passed_over);
}

static void put_overhead(struct document *d, cJSON *root, const struct overhead *overhead)
{
	cJSON *o = put_object(d, root, "overhead");

	put_number(d, o, "kernel_ns_per_request", overhead->kernel_ns_per_request);
	put_number(d, o, "agent_cpu_seconds", overhead->agent_cpu_seconds);
	put_count_if(d, o, "agent_rss_bytes", overhead->agent_rss_bytes, overhead->agent_rss_bytes);
	put_tls_overhead(d, o, &overhead->tls);
}

static void put_started(struct document *d, cJSON *root, time_t started)
{
	char text[64];
	struct tm tm;

	if (gmtime_r(&started, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		put_string(d, root, "started", text);
	else
		put_null(d, root, "started");
}

static void put_cuts(struct document *d, cJSON *root, const struct comparison *c)
{
	cJSON *list = put_list(d, root, "cuts"), *o;

	for (size_t i = 0; i < c->n_cuts && !d->failed; i++) {
		const struct cut *cut = &c->cuts[i];

		o = put_object(d, list, NULL);
		put_string(d, o, "version", cut->version);
		put_string(d, o, "arm", cut->arm < 0 ? NULL : arm_names[cut->arm]);
		put_string(d, o, "endpoint", cut->endpoint);
		put_string(d, o, "outcome", outcome_names[cut->outcome]);
		put_count_if(d, o, "pid", cut->pid, (uint64_t)cut->pid);
		put_string(d, o, "cause", cause_names[cut->cause]);
		put_string(d, o, "build_id", cut->build_id);
		put_string(d, o, "exe", cut->exe);
		if (isfinite(cut->process_started))
			put_started(d, o, (time_t)cut->process_started);
		else
			put_null(d, o, "started");
		put_count(d, o, "count", cut->count);
		put_number(d, o, "first", cut->first);
		put_number(d, o, "last", cut->last);
	}
	put_count(d, root, "cuts_other", c->cuts_other);
	put_count(d, root, "cuts_lost", c->cuts_lost);
}

static void put_limits(struct document *d, cJSON *o, const struct verdict_endpoint *ep)
{
	cJSON *list = put_list(d, o, "limits");

	for (size_t i = 0; i < ep->n_limits; i++) {
		const struct verdict_limit *l = &ep->limits[i];

		o = put_object(d, list, NULL);
		put_string(d, o, "name", l->name);
		put_number(d, o, "limit", l->limit);
		put_number(d, o, "seconds", l->seconds > 0 ? l->seconds : NAN);
		put_count(d, o, "n", l->n);
		put_count(d, o, "beyond", l->k);
		put_number(d, o, "share", l->n ? (double)l->k / (double)l->n : NAN);
		put_pair(d, o, "share_bounds", l->lower, l->upper);
		put_number(d, o, "log_e_above", l->log_e_above);
		put_number(d, o, "log_e_below", l->log_e_below);
	}
}

static void put_verdict_endpoint(struct document *d, cJSON *list, const struct verdict_endpoint *ep)
{
	cJSON *o = put_object(d, list, NULL);

	put_string(d, o, "endpoint", ep->endpoint);
	put_bool(d, o, "critical", ep->critical);
	put_count(d, o, "n_c", ep->n_c);
	put_count(d, o, "n_b", ep->n_b);
	put_count(d, o, "bad_c", ep->bad_c);
	put_count(d, o, "bad_b", ep->bad_b);
	put_number(d, o, "ratio", ep->has_ratio ? ep->ratio : NAN);
	if (ep->has_ratio)
		put_pair(d, o, "ratio_interval", ep->ratio_low, ep->ratio_high);
	else
		put_null(d, o, "ratio_interval");
	put_number(d, o, "log_e_bad", ep->log_e_bad);
	put_number(d, o, "log_e_good", ep->log_e_good);
	put_count(d, o, "slow_c", ep->slow_c);
	put_count(d, o, "slow_b", ep->slow_b);
	put_number(d, o, "slow_threshold", ep->has_threshold ? ep->slow_threshold : NAN);
	put_number(d, o, "log_e_slow_bad", ep->log_e_slow_bad);
	put_number(d, o, "log_e_slow_good", ep->log_e_slow_good);
	put_bool(d, o, "certified", ep->certified);
	put_bool(d, o, "fail_fast", ep->fail_fast);
	put_number(d, o, "max_error_ratio", ep->margins.max_error_ratio);
	put_number(d, o, "max_latency_increase", ep->margins.max_latency_increase);
	put_string(d, o, "unit", unit_names[ep->unit]);
	put_number(d, o, "dispersion", ep->has_dispersion_bad ? ep->dispersion_bad : NAN);
	put_number(d, o, "dispersion_slow", ep->has_dispersion_slow ? ep->dispersion_slow : NAN);
	put_limits(d, o, ep);
	put_opinion(d, o, ep);
}

static void put_units(struct document *d, cJSON *root, const struct verdict *v)
{
	cJSON *list = put_list(d, root, "units"), *o;

	for (size_t i = 0; i < v->n_cutovers; i++) {
		const struct verdict_cutover *u = &v->cutovers[i];

		o = put_object(d, list, NULL);
		put_string(d, o, "unit", u->name);
		put_string(d, o, "owner", u->owner);
		put_string(d, o, "verdict", verdict_names[u->kind]);
		put_count(d, o, "endpoints", u->n_endpoints);
		put_count(d, o, "deciding", u->deciding);
		put_count(d, o, "certified", u->certified);
		put_number(d, o, "log_e_bad", u->log_e_bad);
		put_string(d, o, "text", u->text);
	}
}

static void fill_verdict(struct document *d, cJSON *root, const struct verdict *v)
{
	cJSON *list, *o;

	put_string(d, root, "schema", "tillwatch.verdict/1");
	put_string(d, root, "verdict", verdict_names[v->kind]);
	put_string(d, root, "summary", v->summary);
	put_bool(d, root, "final", v->final);
	list = put_list(d, root, "reasons");
	for (size_t i = 0; i < v->n_reasons; i++) {
		o = put_object(d, list, NULL);
		put_string(d, o, "code", v->reasons[i].code);
		put_string(d, o, "endpoint", v->reasons[i].endpoint);
		put_string(d, o, "text", v->reasons[i].text);
	}
	put_number(d, root, "eta_seconds", v->has_eta ? v->eta_seconds : NAN);
	put_number(d, root, "alpha", v->alpha);
	put_number(d, root, "promote_alpha", v->promote_alpha);
	put_number(d, root, "log_e_bad", v->log_e_bad);
	list = put_list(d, root, "guards");
	for (size_t i = 0; i < v->n_guards; i++) {
		o = put_object(d, list, NULL);
		put_string(d, o, "name", v->guards[i].name);
		put_bool(d, o, "ok", v->guards[i].ok);
		put_string(d, o, "text", v->guards[i].text);
	}
	put_units(d, root, v);
	list = put_list(d, root, "endpoints");
	for (size_t i = 0; i < v->n_endpoints && !d->failed; i++)
		put_verdict_endpoint(d, list, &v->endpoints[i]);
}

static void fill_comparison(struct document *d, cJSON *root, const struct comparison *c)
{
	cJSON *o;

	put_string(d, root, "schema", "tillwatch.comparison/1");
	put_string(d, root, "service", c->service);
	put_string(d, root, "run", c->run);
	put_started(d, root, c->started.tv_sec);
	put_number(d, root, "seconds", c->seconds);
	put_number(d, root, "stage", c->stage > 0 ? c->stage : NAN);
	put_versions(d, root, c);
	put_endpoints(d, root, c);
	put_coverage(d, root, c);
	put_overhead(d, root, &c->overhead);
	put_cost(d, root, c);
	put_cuts(d, root, c);
	o = put_list(d, root, "notes");
	for (size_t i = 0; i < c->n_notes; i++)
		put_string(d, o, NULL, c->notes[i]);
	if (c->has_verdict)
		fill_verdict(d, put_object(d, root, "verdict"), &c->verdict);
	else
		put_null(d, root, "verdict");
}

char *json_comparison(const struct comparison *c)
{
	struct document d = { 0 };
	cJSON *root = cJSON_CreateObject();

	if (root)
		fill_comparison(&d, root, c);
	return document_finish(&d, root);
}

char *json_verdict(const struct verdict *v)
{
	struct document d = { 0 };
	cJSON *root = cJSON_CreateObject();

	if (root)
		fill_verdict(&d, root, v);
	return document_finish(&d, root);
}
