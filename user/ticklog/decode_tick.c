// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The fields of a tick. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/comparison.h"
#include "ticklog/decoder.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

int read_kind(struct reading *r, const struct field *f, const cJSON *v)
{
	return field_word(r, f, v, verdict_names, VERDICT_INVALID + 1);
}

static int read_verdict(struct reading *r, const struct field *f, const cJSON *v)
{
	struct log_verdict *verdict = f->to;
	int kind;

	if (cJSON_IsNull(v))
		return 0;
	kind = read_kind(r, f, v);
	if (kind < 0)
		return kind;
	verdict->given = true;
	verdict->kind = (enum verdict_kind)kind;
	return 0;
}

/* --- one arm --------------------------------------------------------------------------------------------------- */

static int read_outcomes(struct reading *r, const struct field *f, const cJSON *v)
{
	struct field fields[TW_OUTCOME_NR];

	for (size_t i = 0; i < TW_OUTCOME_NR; i++)
		fields[i] = (struct field){ outcome_names[i], field_count, (uint64_t *)f->to + i, true };
	return fields_read(r, f->key, v, fields, TW_OUTCOME_NR);
}

static int read_bucket_counts(struct reading *r, const struct field *f, const cJSON *v)
{
	return field_sparse(r, f, v, f->to, TW_BUCKETS);
}

static int read_group_counts(struct reading *r, const struct field *f, const cJSON *v)
{
	return field_sparse(r, f, v, f->to, TW_GROUPS);
}

static int read_slow_groups(struct reading *r, const struct field *f, const cJSON *v)
{
	struct connection_groups *g = f->to;

	g->has_slow = true;
	return field_sparse(r, f, v, g->slow, TW_GROUPS);
}

static int read_histogram(struct reading *r, const struct field *f, const cJSON *v)
{
	struct histogram *h = f->to;
	struct field fields[FIELDS_MAX] = { { "b", read_bucket_counts, h->b, false } };
	size_t n = fields_plain(fields, 1, &plain_histogram, h);
	uint64_t sum = 0;
	int err;

	memset(h, 0, sizeof(*h));
	err = fields_read(r, f->key, v, fields, n);
	if (err)
		return err;
	for (unsigned int i = 0; i < TW_BUCKETS; i++)
		if (__builtin_add_overflow(sum, h->b[i], &sum))
			return field_error(r, f->key, "counts more than 2^64 exchanges");
	if (sum != h->count)
		return field_error(r, f->key, "counts %" PRIu64 " exchanges in its buckets and %" PRIu64 " in all", sum,
		                   h->count);
	return 0;
}

static int read_groups(struct reading *r, const struct field *f, const cJSON *v)
{
	struct connection_groups *g = f->to;
	const struct field fields[] = {
		{ "n", read_group_counts, g->n, false },
		{ "bad", read_group_counts, g->bad, false },
		{ "slow", read_slow_groups, g, true },
	};

	memset(g, 0, sizeof(*g));
	return fields_read(r, f->key, v, fields, COUNT(fields));
}

/* An arm, and the room for what it may have. */
struct arm_place {
	struct arm_tick *arm;
	struct histogram *latency, *waited;
	struct connection_groups *groups;
};

static int read_arm(struct reading *r, const struct field *f, const cJSON *v)
{
	const struct arm_place *p = f->to;
	struct arm_tick *a = p->arm;
	struct field fields[FIELDS_MAX] = {
		{ "outcomes", read_outcomes, a->outcome, false },
		{ "latency", read_histogram, p->latency, true },
		{ "waited", read_histogram, p->waited, true },
		{ "groups", read_groups, p->groups, true },
	};
	size_t n = fields_plain(fields, 4, &plain_arm, a);

	/* Found again here, because reading them does not say that they were there. */
	a->latency = cJSON_GetObjectItemCaseSensitive(v, "latency") ? p->latency : NULL;
	a->waited = cJSON_GetObjectItemCaseSensitive(v, "waited") ? p->waited : NULL;
	a->groups = cJSON_GetObjectItemCaseSensitive(v, "groups") ? p->groups : NULL;
	return fields_read(r, f->key, v, fields, n);
}

static int read_bucket(struct reading *r, const struct field *f, const cJSON *v)
{
	uint64_t bucket;
	const struct field count = { f->key, field_count, &bucket, false };
	int err = field_count(r, &count, v);

	if (err)
		return err;
	if (bucket >= TW_BUCKETS)
		return field_error(r, f->key, "is not a bucket");
	*(int *)f->to = (int)bucket;
	return 0;
}

/* --- all endpoints --------------------------------------------------------------------------------------------- */

static int make_room(struct reading *r, size_t n)
{
	struct log_decoder *d = r->d;
	struct log_counts *counts;
	struct histogram *histograms;
	struct connection_groups *groups;

	if (n <= d->cap_counts)
		return 0;
	counts = reallocarray(d->counts, n, sizeof(*counts));
	if (!counts)
		return field_nomem(r);
	d->counts = counts;
	histograms = reallocarray(d->histograms, n, HISTOGRAMS * sizeof(*histograms));
	if (!histograms)
		return field_nomem(r);
	d->histograms = histograms;
	groups = reallocarray(d->groups, n, 2 * sizeof(*groups));
	if (!groups)
		return field_nomem(r);
	d->groups = groups;
	d->cap_counts = n;
	return 0;
}

static int read_endpoint(struct reading *r, const cJSON *v, size_t at, size_t next)
{
	struct log_decoder *d = r->d;
	struct log_counts *c = &d->counts[at];
	struct histogram *h = &d->histograms[HISTOGRAMS * at];
	struct arm_place baseline = { &c->baseline, &h[0], &h[1], &d->groups[2 * at] };
	struct arm_place canary = { &c->canary, &h[2], &h[3], &d->groups[2 * at + 1] };
	uint64_t endpoint = 0;
	const struct field fields[] = {
		{ "i", field_count, &endpoint, false },
		{ "slow_bucket", read_bucket, &c->slow_bucket, true },
		{ "baseline", read_arm, &baseline, false },
		{ "canary", read_arm, &canary, false },
	};
	int err;

	memset(c, 0, sizeof(*c));
	c->slow_bucket = -1;
	r->has_endpoint = true;
	r->endpoint = at;
	if (v->child && cJSON_IsNumber(v->child) && v->child->valuedouble >= 0 &&
	    v->child->valuedouble < d->endpoints.n)
		r->endpoint = (size_t)v->child->valuedouble;
	err = fields_read(r, "counts", v, fields, COUNT(fields));
	if (!err && (endpoint < next || endpoint >= d->endpoints.n))
		err = field_error(r, "i", "is not the number of an endpoint that can come here");
	r->has_endpoint = false;
	c->endpoint = (size_t)endpoint;
	return err;
}

static int read_endpoints(struct reading *r, const struct field *f, const cJSON *v)
{
	struct log_tick *t = f->to;
	size_t at = 0, next = 0;
	const cJSON *item;
	int err;

	if (!cJSON_IsArray(v))
		return field_error(r, f->key, "is not a list");
	err = make_room(r, (size_t)cJSON_GetArraySize(v));
	cJSON_ArrayForEach (item, v) {
		if (err)
			return err;
		err = read_endpoint(r, item, at, next);
		next = r->d->counts[at++].endpoint + 1;
	}
	t->counts = r->d->counts;
	t->n_counts = at;
	return err;
}

static int read_run(struct reading *r, const struct field *f, const cJSON *v)
{
	struct field fields[FIELDS_MAX];
	size_t n = fields_plain(fields, 0, &plain_arm_run, f->to);

	return fields_read(r, f->key, v, fields, n);
}

int decode_tick(struct reading *r, const cJSON *json, struct log_tick *out)
{
	struct field fields[FIELDS_MAX] = {
		{ "tick", field_count, &out->number, false },
		{ "baseline", read_run, &out->told.baseline, false },
		{ "canary", read_run, &out->told.canary, false },
		{ "endpoints", read_endpoints, out, false },
		{ "verdict", read_verdict, &out->verdict, false },
		{ "log_e_bad", field_number, &out->verdict.log_e_bad, true },
		{ "crc", read_nothing, NULL, true },
	};
	size_t n = fields_plain(fields, 7, &plain_tick, &out->told);
	int err;

	out->verdict.log_e_bad = NAN;
	err = fields_read(r, "tick", json, fields, n);
	if (err)
		return err;
	if (out->number != r->d->n_ticks + 1)
		return err_set(r->e, EBADMSG, "tick %" PRIu64 " where tick %" PRIu64 " should be", out->number,
		               r->d->n_ticks + 1);
	r->d->n_ticks++;
	return 0;
}
