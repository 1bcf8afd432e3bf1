// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ticklog/fields.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ticklog/encode.h"

#define COUNT_DIGITS 20 /* of 2^64 - 1 */

int field_error(struct reading *r, const char *key, const char *fmt, ...)
{
	char what[160], where[128] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (r->has_endpoint)
		snprintf(where, sizeof(where), "endpoint %zu, %s", r->endpoint, r->in[r->depth - 1]);
	else if (r->depth)
		snprintf(where, sizeof(where), "%s", r->in[r->depth - 1]);
	if (key)
		return err_set(r->e, EBADMSG, "%s: \"%.40s\" %s", where, key, what);
	return err_set(r->e, EBADMSG, "%s %s", where, what);
}

int field_nomem(struct reading *r)
{
	return err_set(r->e, ENOMEM, "out of memory");
}

static const struct field *find(const struct field *fields, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].key, key) == 0)
			return &fields[i];
	return NULL;
}

static int read_each(struct reading *r, const cJSON *object, const struct field *fields, size_t n)
{
	bool seen[FIELDS_MAX] = { false };
	const cJSON *v;

	cJSON_ArrayForEach (v, object) {
		const struct field *f = find(fields, n, v->string);
		int err;

		if (!f)
			return field_error(r, v->string, "is not a field of a tick log");
		if (seen[f - fields])
			return field_error(r, f->key, "is there twice");
		seen[f - fields] = true;
		err = f->read(r, f, v);
		if (err)
			return err;
	}
	for (size_t i = 0; i < n; i++)
		if (!seen[i] && !fields[i].optional)
			return field_error(r, fields[i].key, "is missing");
	return 0;
}

int fields_read(struct reading *r, const char *what, const cJSON *object, const struct field *fields, size_t n)
{
	int err;

	r->in[r->depth++] = what;
	err = cJSON_IsObject(object) ? read_each(r, object, fields, n) : field_error(r, NULL, "is not an object");
	r->depth--;
	return err;
}

/* Digits only, none of them idle, and too many for a JSON number: each count has one form. */
static int large_count(const char *s, uint64_t *to)
{
	uint64_t n = 0;

	if (*s == '0' || !*s || strlen(s) > COUNT_DIGITS)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return -1;
	}
	*to = n;
	return n > EXACT_COUNT ? 0 : -1;
}

static int count_of(const cJSON *v, uint64_t *to)
{
	double x = v->valuedouble;

	if (cJSON_IsString(v))
		return large_count(v->valuestring, to);
	if (!cJSON_IsNumber(v) || !(x >= 0) || !(x <= (double)EXACT_COUNT) || x != floor(x))
		return -1;
	*to = (uint64_t)x;
	return 0;
}

int field_count(struct reading *r, const struct field *f, const cJSON *v)
{
	if (count_of(v, f->to))
		return field_error(r, f->key, "is not a count (from 2^53 on they are strings of digits)");
	return 0;
}

int field_number(struct reading *r, const struct field *f, const cJSON *v)
{
	if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble))
		return field_error(r, f->key, "is not a number");
	*(double *)f->to = v->valuedouble;
	return 0;
}

int field_share(struct reading *r, const struct field *f, const cJSON *v)
{
	if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= 1))
		return field_error(r, f->key, "is not a number from 0 to 1");
	*(double *)f->to = v->valuedouble;
	return 0;
}

int field_small(struct reading *r, const struct field *f, const cJSON *v)
{
	uint64_t n = 0;

	if (count_of(v, &n) || n > UINT_MAX)
		return field_error(r, f->key, "is not a count below 2^32");
	*(unsigned int *)f->to = (unsigned int)n;
	return 0;
}

int field_announced(struct reading *r, const struct field *f, const cJSON *v)
{
	double *to = f->to;

	*to = 0;
	if (cJSON_IsNull(v))
		return 0;
	if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble) || !(v->valuedouble > 0))
		return field_error(r, f->key, "is neither a number above 0 nor null");
	*to = v->valuedouble;
	return 0;
}

int field_bool(struct reading *r, const struct field *f, const cJSON *v)
{
	if (!cJSON_IsBool(v))
		return field_error(r, f->key, "is neither true nor false");
	*(bool *)f->to = cJSON_IsTrue(v);
	return 0;
}

int field_text(struct reading *r, const struct field *f, const cJSON *v)
{
	if (!cJSON_IsString(v))
		return field_error(r, f->key, "is not a text");
	*(const char **)f->to = v->valuestring;
	return 0;
}

int field_text_or_null(struct reading *r, const struct field *f, const cJSON *v)
{
	*(const char **)f->to = NULL;
	return cJSON_IsNull(v) ? 0 : field_text(r, f, v);
}

size_t fields_plain(struct field *fields, size_t n, const struct plain_fields *p, void *base)
{
	static int (*const readers[])(struct reading * r, const struct field *f, const cJSON *v) = {
		[PLAIN_COUNT] = field_count, [PLAIN_SMALL] = field_small,         [PLAIN_NUMBER] = field_number,
		[PLAIN_SHARE] = field_share, [PLAIN_ANNOUNCED] = field_announced, [PLAIN_BOOL] = field_bool,
	};

	for (size_t i = 0; i < p->n; i++)
		fields[n++] = (struct field){ p->f[i].key, readers[p->f[i].type], (char *)base + p->f[i].at, false };
	return n;
}

int field_word(struct reading *r, const struct field *f, const cJSON *v, const char *const *words, size_t n)
{
	if (!cJSON_IsString(v))
		return field_error(r, f->key, "is not a text");
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], v->valuestring) == 0)
			return (int)i;
	return field_error(r, f->key, "is \"%.40s\", which means nothing here", v->valuestring);
}

int field_sparse(struct reading *r, const struct field *f, const cJSON *v, uint64_t *to, size_t n)
{
	uint64_t next = 0, index;
	const cJSON *pair;

	memset(to, 0, n * sizeof(*to));
	if (!cJSON_IsArray(v))
		return field_error(r, f->key, "is not a list");
	cJSON_ArrayForEach (pair, v) {
		const cJSON *first = cJSON_IsArray(pair) ? pair->child : NULL;
		const cJSON *second = first ? first->next : NULL;

		if (!second || second->next || count_of(first, &index) || index < next || index >= n ||
		    count_of(second, &to[index]) || !to[index])
			return field_error(r, f->key, "is not a list of [index, count], indices rising and below %zu",
			                   n);
		next = index + 1;
	}
	return 0;
}
