// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ticklog/decoder.h"
#include "ticklog/encode.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define SLO_MOST 1e6 /* seconds; far beyond all histograms */

static void kept_free(struct kept *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->s[i]);
	free(k->s);
}

struct log_decoder *log_decoder__new(void)
{
	return calloc(1, sizeof(struct log_decoder));
}

void log_decoder__free(struct log_decoder *d)
{
	if (!d)
		return;
	kept_free(&d->endpoints);
	kept_free(&d->cutovers);
	kept_free(&d->owners);
	free(d->counts);
	free(d->histograms);
	free(d->groups);
	cJSON_Delete(d->json);
	free(d);
}

void log_decoder__trust(struct log_decoder *d)
{
	d->trust = true;
}

bool log_decoder__ended(const struct log_decoder *d)
{
	return d->ended && !d->failed;
}

int read_nothing(struct reading *r, const struct field *f, const cJSON *v)
{
	return 0;
}

static int read_kind_to(struct reading *r, const struct field *f, const cJSON *v)
{
	int kind = read_kind(r, f, v);

	if (kind < 0)
		return kind;
	*(enum verdict_kind *)f->to = (enum verdict_kind)kind;
	return 0;
}

/* --- header ---------------------------------------------------------------------------------------------------- */

/* Counts in other buckets would mean other latencies. */
static int read_buckets(struct reading *r, const struct field *f, const cJSON *v)
{
	double schema, min_exp, n;
	const struct field fields[] = {
		{ "schema", field_number, &schema, false },
		{ "min_exp", field_number, &min_exp, false },
		{ "n", field_number, &n, false },
	};
	int err = fields_read(r, "buckets", v, fields, COUNT(fields));

	if (err)
		return err;
	if (schema != TW_BUCKET_SCHEMA || min_exp != TW_BUCKET_MIN_EXP || n != TW_BUCKETS)
		return field_error(r, f->key, "are not those of this tillwatch: its latencies cannot be read");
	return 0;
}

static int decode_header(struct reading *r, const cJSON *json, struct log_header *out)
{
	uint64_t format = 0;
	const struct field fields[] = {
		{ "ticklog", field_count, &format, false },
		{ "tillwatch", field_text, &out->tillwatch, false },
		{ "run", field_text, &out->run, false },
		{ "started", field_text, &out->started, false },
		{ "service", field_text, &out->service, false },
		{ "baseline", field_text_or_null, &out->version[ARM_BASELINE], false },
		{ "canary", field_text_or_null, &out->version[ARM_CANARY], false },
		{ "stage", field_announced, &out->stage, false },
		{ "buckets", read_buckets, NULL, false },
		{ "policy", field_policy, &out->policy, false },
		{ "crc", read_nothing, NULL, true },
	};
	const cJSON *first = json->child;

	/* The other fields of a format that is not known may be anything. */
	if (first && !strcmp(first->string, "ticklog") && !(first->valuedouble == TICKLOG_FORMAT))
		return err_set(r->e, EBADMSG, "format %.0f; this tillwatch reads tick logs of format %d",
		               first->valuedouble, TICKLOG_FORMAT);
	return fields_read(r, "header", json, fields, COUNT(fields));
}

/* --- cut-over units and endpoints ------------------------------------------------------------------------------ */

static int keep(struct reading *r, struct kept *k, const char **text)
{
	char *copy;

	if (k->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 16;
		char **grown = reallocarray(k->s, cap, sizeof(*grown));

		if (!grown)
			return field_nomem(r);
		k->s = grown;
		k->cap = cap;
	}
	copy = strdup(*text);
	if (!copy)
		return field_nomem(r);
	k->s[k->n++] = copy;
	*text = copy;
	return 0;
}

/* The next one of its kind, under a name of its own, which is kept. */
static int keep_next(struct reading *r, struct kept *k, const char *what, uint64_t number, const char **name)
{
	if (number != k->n)
		return err_set(r->e, EBADMSG, "%s %" PRIu64 " where %s %zu should be", what, number, what, k->n);
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->s[i], *name))
			return err_set(r->e, EBADMSG, "%s %" PRIu64 " has the name of %s %zu", what, number, what, i);
	return keep(r, k, name);
}

static int decode_cutover(struct reading *r, const cJSON *json, struct log_cutover *out)
{
	uint64_t number = 0;
	const struct field fields[] = {
		{ "cutover", field_count, &number, false },
		{ "name", field_text, &out->def.name, false },
		{ "owner", field_text_or_null, &out->def.owner, false },
		{ "crc", read_nothing, NULL, true },
	};
	int err = fields_read(r, "cut-over unit", json, fields, COUNT(fields));

	if (!err && r->d->endpoints.n)
		err = err_set(r->e, EBADMSG, "cut-over unit %" PRIu64 " after the first endpoint", number);
	if (!err)
		err = keep_next(r, &r->d->cutovers, "cut-over unit", number, &out->def.name);
	if (!err && out->def.owner)
		err = keep(r, &r->d->owners, &out->def.owner);
	out->number = (size_t)number;
	return err;
}

static int read_unit(struct reading *r, const struct field *f, const cJSON *v)
{
	int unit = field_word(r, f, v, unit_names, UNIT_NR);

	if (unit < 0)
		return unit;
	*(enum unit *)f->to = (enum unit)unit;
	return 0;
}

static int read_cutover(struct reading *r, const struct field *f, const cJSON *v)
{
	unsigned int number = 0;
	const struct field count = { f->key, field_small, &number, false };
	int err;

	if (cJSON_IsNull(v))
		return 0;
	err = field_small(r, &count, v);
	if (err)
		return err;
	if (number >= r->d->cutovers.n)
		return field_error(r, f->key, "is not the number of a cut-over unit");
	*(unsigned int *)f->to = number + 1;
	return 0;
}

/* A margin of an endpoint's own has the bounds of the policy's. */
static bool can_be(const char *margin, double value)
{
	for (size_t i = 0; i < POLICY_FIELDS; i++) {
		const struct policy_field f = gate_policy__field(i);

		if (!strcmp(f.name, margin))
			return value == 0 || (value >= f.min && value <= f.max);
	}
	return false;
}

static bool endpoint_can_be(const struct judge_endpoint *def)
{
	return def->weight <= 1 && def->slo_error_rate <= 1 && def->slo_p50 <= SLO_MOST && def->slo_p90 <= SLO_MOST &&
	       def->slo_p95 <= SLO_MOST && def->slo_p99 <= SLO_MOST &&
	       can_be("max_error_ratio", def->margins.max_error_ratio) &&
	       can_be("max_latency_increase", def->margins.max_latency_increase);
}

static int decode_endpoint(struct reading *r, const cJSON *json, struct log_endpoint *out)
{
	uint64_t number = 0;
	struct field fields[FIELDS_MAX] = {
		{ "endpoint", field_count, &number, false },  { "name", field_text, &out->def.name, false },
		{ "unit", read_unit, &out->def.unit, false }, { "cutover", read_cutover, &out->def.cutover, false },
		{ "bad", field_rule, &out->bad, false },      { "crc", read_nothing, NULL, true },
	};
	size_t n = fields_plain(fields, 6, &plain_endpoint, &out->def);
	int err = fields_read(r, "endpoint", json, fields, n);

	if (err)
		return err;
	if (!endpoint_can_be(&out->def))
		return err_set(r->e, EBADMSG, "endpoint %" PRIu64 ": a weight or limit that no endpoint can have",
		               number);
	out->number = (size_t)number;
	return keep_next(r, &r->d->endpoints, "endpoint", number, &out->def.name);
}

/* --- end ------------------------------------------------------------------------------------------------------- */

static int decode_end(struct reading *r, const cJSON *json, struct log_end *out)
{
	const struct field fields[] = {
		{ "end", field_count, &out->ticks, false },
		{ "verdict", read_kind_to, &out->kind, false },
		{ "crc", read_nothing, NULL, true },
	};
	int err = fields_read(r, "end", json, fields, COUNT(fields));

	if (!err && out->ticks != r->d->n_ticks)
		return err_set(r->e, EBADMSG, "the end of %" PRIu64 " ticks after %" PRIu64 " of them", out->ticks,
		               r->d->n_ticks);
	return err;
}

/* --- lines ----------------------------------------------------------------------------------------------------- */

static int look_at_seal(struct log_decoder *d, const char *line, size_t len, struct err *e)
{
	char seal[SEAL_LEN + 1];

	if (d->trust)
		return 0;
	if (len >= SEAL_LEN) {
		log_seal(seal, line, len - SEAL_LEN, &d->check);
		if (!memcmp(seal, line + len - SEAL_LEN, SEAL_LEN))
			return 0;
	}
	return err_set(e, EBADMSG, "%s",
	               d->started ? "the check does not fit: this line was changed, or lines before it are missing"
	                          : "this is not the first line of a tick log, or it was changed");
}

static int parse(struct log_decoder *d, const char *line, size_t len, struct err *e)
{
	const char *end = NULL;

	cJSON_Delete(d->json);
	d->json = cJSON_ParseWithLengthOpts(line, len, &end, false);
	/* The line's last byte belongs to the object, or something stands behind it. */
	if (!d->json || !cJSON_IsObject(d->json) || end != line + len)
		return err_set(e, EBADMSG, "this is not a JSON object");
	return 0;
}

/* The first field says what a line is. */
static int kind_of(const cJSON *json, enum log_kind *kind)
{
	static const char *const first[] = { [LOG_HEADER] = "ticklog",
		                             [LOG_CUTOVER] = "cutover",
		                             [LOG_ENDPOINT] = "endpoint",
		                             [LOG_TICK] = "tick",
		                             [LOG_END] = "end" };

	for (size_t i = 0; json->child && i < COUNT(first); i++)
		if (!strcmp(json->child->string, first[i])) {
			*kind = (enum log_kind)i;
			return 0;
		}
	return -EBADMSG;
}

static int decode(struct reading *r, struct log_record *out)
{
	struct log_decoder *d = r->d;

	if (kind_of(d->json, &out->kind))
		return err_set(r->e, EBADMSG, "this is no line of a tick log");
	if (d->started != (out->kind != LOG_HEADER))
		return err_set(r->e, EBADMSG, d->started ? "a second header" : "the first line is not a header");
	switch (out->kind) {
	case LOG_HEADER:
		d->started = true;
		return decode_header(r, d->json, &out->header);
	case LOG_CUTOVER:
		return decode_cutover(r, d->json, &out->cutover);
	case LOG_ENDPOINT:
		return decode_endpoint(r, d->json, &out->endpoint);
	case LOG_TICK:
		return decode_tick(r, d->json, &out->tick);
	case LOG_END:
		d->ended = true;
		return decode_end(r, d->json, &out->end);
	}
	return -EBADMSG;
}

int log_decoder__line(struct log_decoder *d, const char *line, size_t len, struct log_record *out, struct err *e)
{
	struct reading r = { .d = d, .e = e };
	int err;

	memset(out, 0, sizeof(*out));
	if (d->failed)
		return err_set(e, EBADMSG, "a line before this one could not be read");
	err = d->ended ? err_set(e, EBADMSG, "a line after the end") : look_at_seal(d, line, len, e);
	if (!err)
		err = parse(d, line, len, e);
	if (!err)
		err = decode(&r, out);
	d->failed = err != 0;
	return err;
}
