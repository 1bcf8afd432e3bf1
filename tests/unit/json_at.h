/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Documents of JSON, read by cJSON's parser, and what stands at a place of one: "coverage.tls.names.0.name". */
#ifndef TW_TESTS_JSON_AT_H
#define TW_TESTS_JSON_AT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

/* Frees the text. */
static inline cJSON *parsed(char *text)
{
	cJSON *root;

	assert_non_null(text);
	root = cJSON_Parse(text);
	assert_non_null(root);
	free(text);
	return root;
}

/* Numbers are places in lists. It must be there. */
static inline const cJSON *at(const cJSON *o, const char *path)
{
	char copy[128], *rest = copy, *key;

	snprintf(copy, sizeof(copy), "%s", path);
	while (o && (key = strsep(&rest, ".")))
		o = cJSON_IsArray(o) ? cJSON_GetArrayItem(o, (int)strtol(key, NULL, 10))
		                     : cJSON_GetObjectItemCaseSensitive(o, key);
	if (!o)
		fail_msg("there is no %s", path);
	return o;
}

static inline void number_is_about(const cJSON *root, const char *path, double want, double within)
{
	const cJSON *o = at(root, path);

	if (!cJSON_IsNumber(o) || !(fabs(o->valuedouble - want) <= within))
		fail_msg("%s is %.17g, not %.17g", path, cJSON_IsNumber(o) ? o->valuedouble : NAN, want);
}

static inline void number_is(const cJSON *root, const char *path, double want)
{
	number_is_about(root, path, want, 0);
}

static inline void text_is(const cJSON *root, const char *path, const char *want)
{
	if (!cJSON_IsString(at(root, path)))
		fail_msg("%s is no text", path);
	assert_string_equal(at(root, path)->valuestring, want);
}

static inline void null_is(const cJSON *root, const char *path)
{
	if (!cJSON_IsNull(at(root, path)))
		fail_msg("%s is not null", path);
}

static inline void truth_is(const cJSON *root, const char *path, bool want)
{
	if (!cJSON_IsBool(at(root, path)) || cJSON_IsTrue(at(root, path)) != want)
		fail_msg("%s is not %s", path, want ? "true" : "false");
}

static inline void size_is(const cJSON *root, const char *path, int want)
{
	assert_int_equal(cJSON_GetArraySize(at(root, path)), want);
}

#endif
