// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/encode.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/number.h"
#include "model/comparison.h"
#include "ticklog/plain.h"
#include "tw_rule.h"

static bool make_room(struct log_text *t, size_t more)
{
	size_t room = t->room ? t->room : 1024;
	char *grown;

	while (room - t->len < more && room < SIZE_MAX / 2)
		room *= 2;
	if (room == t->room)
		return true;
	grown = realloc(t->s, room);
	if (!grown) {
		t->err = -ENOMEM;
		return false;
	}
	t->s = grown;
	t->room = room;
	return true;
}

static void put(struct log_text *t, const char *text, size_t len)
{
	if (t->err || !make_room(t, len + 1))
		return;
	memcpy(t->s + t->len, text, len);
	t->len += len;
	t->s[t->len] = '\0';
}

/* For pieces of bounded length; foreign text goes through put_string. */
static void __attribute__((format(printf, 2, 3))) put_format(struct log_text *t, const char *fmt, ...)
{
	char piece[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(piece))
		t->err = -EINVAL;
	else
		put(t, piece, (size_t)n);
}

static void put_count(struct log_text *t, uint64_t n)
{
	put_format(t, n <= EXACT_COUNT ? "%" PRIu64 : "\"%" PRIu64 "\"", n);
}

/* Bytes above 0x7f stay as they are: names are UTF-8 by the configuration, and ASCII where they come from requests. */
static void put_string(struct log_text *t, const char *s)
{
	put(t, "\"", 1);
	for (; s && *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			put_format(t, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			put_format(t, "\\u%04x", c);
		else
			put(t, s, 1);
	}
	put(t, "\"", 1);
}

/* ,"key": */
static void put_key(struct log_text *t, const char *key)
{
	bool first = !t->len || t->s[t->len - 1] == '{';

	put_format(t, first ? "\"%s\":" : ",\"%s\":", key);
}

static void key_count(struct log_text *t, const char *key, uint64_t n)
{
	put_key(t, key);
	put_count(t, n);
}

static void key_string(struct log_text *t, const char *key, const char *s)
{
	put_key(t, key);
	put_string(t, s);
}

static void key_bool(struct log_text *t, const char *key, bool b)
{
	put_key(t, key);
	put_format(t, b ? "true" : "false");
}

static void key_number(struct log_text *t, const char *key, double x)
{
	put_key(t, key);
	if (!isfinite(x))
		t->err = -EINVAL;
	put_format(t, "%s", number_text(x).s);
}

static void key_null(struct log_text *t, const char *key)
{
	put_key(t, key);
	put_format(t, "null");
}

static void key_text(struct log_text *t, const char *key, const char *s)
{
	if (s)
		key_string(t, key, s);
	else
		key_null(t, key);
}

/* A quantity that is set to more than 0, or null. */
static void key_announced(struct log_text *t, const char *key, double x)
{
	if (x > 0 || !isfinite(x))
		key_number(t, key, x);
	else
		key_null(t, key);
}

static void put_plain(struct log_text *t, const struct plain_fields *fields, const void *from)
{
	for (size_t i = 0; i < fields->n; i++) {
		const struct plain_field *f = &fields->f[i];
		const char *at = (const char *)from + f->at;

		switch (f->type) {
		case PLAIN_COUNT:
			key_count(t, f->key, *(const uint64_t *)at);
			break;
		case PLAIN_SMALL:
			key_count(t, f->key, *(const unsigned int *)at);
			break;
		case PLAIN_NUMBER:
		case PLAIN_SHARE:
			key_number(t, f->key, *(const double *)at);
			break;
		case PLAIN_ANNOUNCED:
			key_announced(t, f->key, *(const double *)at);
			break;
		case PLAIN_BOOL:
			key_bool(t, f->key, *(const bool *)at);
			break;
		}
	}
}

/* [[index, count], ...] of those that are not 0. */
static void key_sparse(struct log_text *t, const char *key, const uint64_t *n, unsigned int size)
{
	bool first = true;

	put_key(t, key);
	put(t, "[", 1);
	for (unsigned int i = 0; i < size; i++) {
		if (!n[i])
			continue;
		put_format(t, first ? "[%u," : ",[%u,", i);
		put_count(t, n[i]);
		put(t, "]", 1);
		first = false;
	}
	put(t, "]", 1);
}

static bool has_status(const struct tw_rule *rule, unsigned int status)
{
	return rule->statuses[status >> 6] >> (status & 63) & 1;
}

/* [[first, last], ...] */
static void key_statuses(struct log_text *t, const struct tw_rule *rule)
{
	const char *separator = "";

	put_key(t, "statuses");
	put(t, "[", 1);
	for (unsigned int first = 0, last; first < TW_RULE_STATUSES; first = last + 1) {
		last = first;
		if (!has_status(rule, first))
			continue;
		while (last + 1 < TW_RULE_STATUSES && has_status(rule, last + 1))
			last++;
		put_format(t, "%s[%u,%u]", separator, first, last);
		separator = ",";
	}
	put(t, "]", 1);
}

/* [status, ...]; one that has none says nothing of it. */
static void key_grpc(struct log_text *t, uint32_t grpc)
{
	const char *separator = "";

	put_key(t, "grpc");
	put(t, "[", 1);
	for (unsigned int i = 0; i < TW_GRPC_NR; i++) {
		if (!(grpc >> i & 1))
			continue;
		put_format(t, "%s%u", separator, i);
		separator = ",";
	}
	put(t, "]", 1);
}

/* What makes an exchange bad. */
static void key_rule(struct log_text *t, const struct tw_rule *rule)
{
	const char *separator = "";

	put_key(t, "bad");
	put(t, "{", 1);
	key_statuses(t, rule);
	put_key(t, "outcomes");
	put(t, "[", 1);
	for (int i = 0; i < TW_OUTCOME_NR; i++) {
		if (!(rule->outcomes >> i & 1))
			continue;
		put_format(t, "%s\"%s\"", separator, outcome_names[i]);
		separator = ",";
	}
	put(t, "]", 1);
	if (rule->slower_than == TW_NEVER_SLOW)
		key_null(t, "slower_than");
	else
		key_count(t, "slower_than", rule->slower_than);
	if (rule->grpc)
		key_grpc(t, rule->grpc);
	put(t, "}", 1);
}

static void put_policy(struct log_text *t, const struct gate_policy *p)
{
	put_key(t, "policy");
	put(t, "{", 1);
	for (size_t i = 0; i < POLICY_FIELDS; i++) {
		struct policy_field f = gate_policy__field(i);
		double value = gate_policy__get(p, i);

		if (isnan(value) && f.may_be_absent)
			key_null(t, f.name);
		else if (f.words)
			key_string(t, f.name, f.words[(int)value]);
		else
			key_number(t, f.name, value);
	}
	key_rule(t, &p->bad.rule);
	put(t, "}", 1);
}

static void put_header(struct log_text *t, const struct log_header *h)
{
	key_count(t, "ticklog", TICKLOG_FORMAT);
	key_string(t, "tillwatch", h->tillwatch);
	key_string(t, "run", h->run);
	key_string(t, "started", h->started);
	key_string(t, "service", h->service);
	key_text(t, "baseline", h->version[ARM_BASELINE]);
	key_text(t, "canary", h->version[ARM_CANARY]);
	key_announced(t, "stage", h->stage);
	put_key(t, "buckets");
	put_format(t, "{\"schema\":%d,\"min_exp\":%d,\"n\":%d}", TW_BUCKET_SCHEMA, TW_BUCKET_MIN_EXP, TW_BUCKETS);
	put_policy(t, &h->policy);
}

static void put_cutover(struct log_text *t, const struct log_cutover *c)
{
	key_count(t, "cutover", c->number);
	key_string(t, "name", c->def.name);
	key_text(t, "owner", c->def.owner);
}

static void put_endpoint(struct log_text *t, const struct log_endpoint *e)
{
	key_count(t, "endpoint", e->number);
	key_string(t, "name", e->def.name);
	put_plain(t, &plain_endpoint, &e->def);
	key_string(t, "unit", unit_names[e->def.unit]);
	if (e->def.cutover)
		key_count(t, "cutover", e->def.cutover - 1);
	else
		key_null(t, "cutover");
	key_rule(t, &e->bad);
}

static void key_histogram(struct log_text *t, const char *key, const struct histogram *h)
{
	put_key(t, key);
	put(t, "{", 1);
	put_plain(t, &plain_histogram, h);
	key_sparse(t, "b", h->b, TW_BUCKETS);
	put(t, "}", 1);
}

static void put_groups(struct log_text *t, const struct connection_groups *g)
{
	put_key(t, "groups");
	put(t, "{", 1);
	key_sparse(t, "n", g->n, TW_GROUPS);
	key_sparse(t, "bad", g->bad, TW_GROUPS);
	if (g->has_slow)
		key_sparse(t, "slow", g->slow, TW_GROUPS);
	put(t, "}", 1);
}

static void put_arm(struct log_text *t, const char *key, const struct arm_tick *a)
{
	put_key(t, key);
	put(t, "{", 1);
	put_plain(t, &plain_arm, a);
	put_key(t, "outcomes");
	put(t, "{", 1);
	for (int i = 0; i < TW_OUTCOME_NR; i++)
		if (a->outcome[i])
			key_count(t, outcome_names[i], a->outcome[i]);
	put(t, "}", 1);
	if (a->latency)
		key_histogram(t, "latency", a->latency);
	if (a->waited)
		key_histogram(t, "waited", a->waited);
	if (a->groups)
		put_groups(t, a->groups);
	put(t, "}", 1);
}

static void put_counts(struct log_text *t, const struct log_counts *c)
{
	put(t, "{", 1);
	key_count(t, "i", c->endpoint);
	if (c->slow_bucket >= 0)
		key_count(t, "slow_bucket", (uint64_t)c->slow_bucket);
	put_arm(t, "baseline", &c->baseline);
	put_arm(t, "canary", &c->canary);
	put(t, "}", 1);
}

static void put_run(struct log_text *t, const char *key, const struct arm_run *run)
{
	put_key(t, key);
	put(t, "{", 1);
	put_plain(t, &plain_arm_run, run);
	put(t, "}", 1);
}

static void put_tick(struct log_text *t, const struct log_tick *tick)
{
	key_count(t, "tick", tick->number);
	put_plain(t, &plain_tick, &tick->told);
	put_run(t, "baseline", &tick->told.baseline);
	put_run(t, "canary", &tick->told.canary);
	put_key(t, "endpoints");
	put(t, "[", 1);
	for (size_t i = 0; i < tick->n_counts; i++) {
		if (i)
			put(t, ",", 1);
		put_counts(t, &tick->counts[i]);
	}
	put(t, "]", 1);
	if (!tick->verdict.given) {
		key_null(t, "verdict");
		return;
	}
	key_string(t, "verdict", verdict_names[tick->verdict.kind]);
	if (isfinite(tick->verdict.log_e_bad))
		key_number(t, "log_e_bad", tick->verdict.log_e_bad);
}

static void put_end(struct log_text *t, const struct log_end *end)
{
	key_count(t, "end", end->ticks);
	key_string(t, "verdict", verdict_names[end->kind]);
}

void log_seal(char seal[SEAL_LEN + 1], const char *body, size_t len, uint32_t *check)
{
	*check = (uint32_t)crc32_z(*check, (const Bytef *)body, len);
	snprintf(seal, SEAL_LEN + 1, ",\"crc\":\"%08" PRIx32 "\"}", *check);
}

int log_text__record(struct log_text *t, const struct log_record *r, uint32_t *check)
{
	char seal[SEAL_LEN + 1];

	t->len = 0;
	t->err = 0;
	put(t, "{", 1);
	switch (r->kind) {
	case LOG_HEADER:
		put_header(t, &r->header);
		break;
	case LOG_CUTOVER:
		put_cutover(t, &r->cutover);
		break;
	case LOG_ENDPOINT:
		put_endpoint(t, &r->endpoint);
		break;
	case LOG_TICK:
		put_tick(t, &r->tick);
		break;
	case LOG_END:
		put_end(t, &r->end);
		break;
	}
	/* Room for the seal first, so that a check is never taken over by a line that is not written. */
	if (t->err || !make_room(t, SEAL_LEN + 2))
		return t->err;
	log_seal(seal, t->s, t->len, check);
	put(t, seal, SEAL_LEN);
	put(t, "\n", 1);
	return 0;
}
