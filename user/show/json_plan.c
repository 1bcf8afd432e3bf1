/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The plan as a document. */
#include <math.h>

#include "show/json_put.h"
#include "show/plan.h"

static const char *const latency_sources[] = {
	[LATENCY_NONE] = NULL,
	[LATENCY_ASSUMED] = "assumed",
	[LATENCY_GIVEN] = "given",
	[LATENCY_OBSERVED] = "observed",
};

static cJSON *put_time(struct document *d, cJSON *parent, const char *key, const struct plan_time *t)
{
	cJSON *o = put_object(d, parent, key);

	put_number(d, o, "seconds", t->never ? NAN : t->seconds);
	put_string(d, o, "never", plan_never_names[t->never]);
	return o;
}

static void put_policy(struct document *d, cJSON *root, const struct gate_policy *p)
{
	cJSON *o = put_object(d, root, "policy");

	put_number(d, o, "alpha", p->alpha);
	put_number(d, o, "promote_alpha", p->promote_alpha);
	put_number(d, o, "max_error_ratio", p->max_error_ratio);
	put_number(d, o, "max_latency_increase", p->max_latency_increase);
	put_number(d, o, "latency_margin", plan__latency_margin(p->max_latency_increase));
	put_count(d, o, "min_requests", p->min_requests);
	put_number(d, o, "warmup", p->warmup);
	put_number(d, o, "tick", p->tick);
}

static void put_subjects(struct document *d, cJSON *root, const struct plan_report *r)
{
	cJSON *list = put_list(d, root, "traffic"), *o;

	for (size_t i = 0; i < r->n && !d->failed; i++) {
		const struct plan_subject *s = &r->subjects[i];
		struct margins m = plan__margins(&r->policy, s->ep);

		o = put_object(d, list, NULL);
		put_string(d, o, "endpoint", s->ep->def.name);
		put_bool(d, o, "critical", s->ep->def.critical);
		put_bool(d, o, "decides", s->decides);
		put_number(d, o, "max_error_ratio", m.max_error_ratio);
		put_number(d, o, "max_latency_increase", m.max_latency_increase);
		put_number(d, o, "latency_margin", plan__latency_margin(m.max_latency_increase));
		put_number(d, o, "requests_per_second", s->ep->rate);
		put_number(d, o, "error_share", s->ep->rate > 0 ? s->ep->errors : NAN);
		put_string(d, o, "latency", s->ep->rate > 0 ? latency_sources[s->latency] : NULL);
		put_count_if(d, o, "baseline_requests", r->observed, s->requests);
		put_count_if(d, o, "baseline_errors", r->observed, s->errors);
	}
}

static void put_advice(struct document *d, cJSON *row, const struct plan_advice *a)
{
	cJSON *o = put_object(d, row, "would_do");

	put_number(d, o, "share", a->share > 0 ? a->share : NAN);
	put_number(d, o, "max_error_ratio", a->max_error_ratio > 0 ? a->max_error_ratio : NAN);
	put_number(d, o, "max_latency_increase", a->max_latency_increase > 0 ? a->max_latency_increase : NAN);
}

static void put_row(struct document *d, cJSON *list, const struct plan_report *r, size_t share, size_t i)
{
	const struct plan_row *row = &r->rows[share * r->n + i];
	const struct plan_certificate *c = &row->times.certify;
	cJSON *o = put_object(d, list, NULL), *x, *errors;
	bool in_time = plan__is_within(&c->call, r->within);

	put_string(d, o, "endpoint", r->subjects[i].ep->def.name);
	x = put_object(d, o, "detect");
	errors = put_list(d, x, "errors");
	for (int k = 0; k < PLAN_RATIOS; k++)
		put_number(d, put_time(d, errors, NULL, &row->times.worse[k]), "ratio", plan_ratios[k]);
	put_time(d, x, "latency", &row->times.slower);
	x = put_object(d, o, "certify");
	errors = put_time(d, x, "errors", &c->errors);
	put_string(d, errors, "by", c->errors.never ? NULL : c->by_floor ? "floor" : "ratio");
	put_number(d, errors, "floor", c->by_floor ? c->floor : NAN);
	put_time(d, x, "latency", &c->latency);
	put_time(d, x, "minimum_data", &c->data);
	put_time(d, x, "all", &c->call);
	put_bool(d, o, "in_time", in_time);
	if (in_time)
		put_null(d, o, "would_do");
	else
		put_advice(d, o, &row->advice);
}

static void put_shares(struct document *d, cJSON *root, const struct plan_report *r)
{
	cJSON *list = put_list(d, root, "shares"), *o, *rows;

	for (size_t s = 0; s < r->n_shares && !d->failed; s++) {
		size_t last;
		struct plan_time call = plan_call(r, s, &last);

		o = put_object(d, list, NULL);
		put_number(d, o, "share", r->shares[s]);
		put_time(d, o, "call", &call);
		put_string(d, o, "last_endpoint", last < r->n ? r->subjects[last].ep->def.name : NULL);
		put_bool(d, o, "in_time", plan__is_within(&call, r->within));
		rows = put_list(d, o, "endpoints");
		for (size_t i = 0; i < r->n && !d->failed; i++)
			put_row(d, rows, r, s, i);
	}
}

char *json_plan(const struct plan_report *r)
{
	struct document d = { 0 };
	cJSON *root = cJSON_CreateObject();

	if (root) {
		put_string(&d, root, "schema", "tillwatch.plan/1");
		put_string(&d, root, "service", r->service);
		put_string(&d, root, "source", r->observed ? "observed" : "given");
		put_number(&d, root, "observed_seconds", r->observed ? r->seconds : NAN);
		put_number(&d, root, "within", r->within);
		put_policy(&d, root, &r->policy);
		put_subjects(&d, root, r);
		put_shares(&d, root, r);
	}
	return document_finish(&d, root);
}
