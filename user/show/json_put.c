// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "show/json_put.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "show/format.h"

/* Puts item under key, or at the end of a list when key is NULL. Returns it, or NULL when there is no such item. */
cJSON *put_item(struct document *d, cJSON *parent, const char *key, cJSON *item)
{
	cJSON_bool done = key ? cJSON_AddItemToObject(parent, key, item) : cJSON_AddItemToArray(parent, item);

	if (done)
		return item;
	cJSON_Delete(item);
	d->failed = true;
	return NULL;
}

cJSON *put_object(struct document *d, cJSON *parent, const char *key)
{
	return put_item(d, parent, key, cJSON_CreateObject());
}

cJSON *put_list(struct document *d, cJSON *parent, const char *key)
{
	return put_item(d, parent, key, cJSON_CreateArray());
}

void put_bool(struct document *d, cJSON *parent, const char *key, bool value)
{
	put_item(d, parent, key, cJSON_CreateBool(value));
}

void put_null(struct document *d, cJSON *parent, const char *key)
{
	put_item(d, parent, key, cJSON_CreateNull());
}

void put_count(struct document *d, cJSON *parent, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_item(d, parent, key, cJSON_CreateRaw(text));
}

void put_count_if(struct document *d, cJSON *parent, const char *key, bool measured, uint64_t value)
{
	if (measured)
		put_count(d, parent, key, value);
	else
		put_null(d, parent, key);
}

/* null for what was not measured. */
void put_number(struct document *d, cJSON *parent, const char *key, double value)
{
	if (isfinite(value))
		put_item(d, parent, key, cJSON_CreateRaw(number_text(value).s));
	else
		put_null(d, parent, key);
}

void put_pair(struct document *d, cJSON *parent, const char *key, double first, double second)
{
	cJSON *list = put_list(d, parent, key);

	put_number(d, list, NULL, first);
	put_number(d, list, NULL, second);
}

/* A copy in which bytes that are not UTF-8 are U+FFFD; cJSON_free() it. */
static char *valid_utf8(const char *s)
{
	char *copy = cJSON_malloc(3 * strlen(s) + 1), *to = copy;
	uint32_t code_point;
	size_t n;

	if (!copy)
		return NULL;
	for (; *s; s += n) {
		n = utf8_next(s, &code_point);
		if (n == 1 && code_point >= 0x80) {
			memcpy(to, "\xef\xbf\xbd", 3);
			to += 3;
		} else {
			memcpy(to, s, n);
			to += n;
		}
	}
	*to = '\0';
	return copy;
}

/* NULL becomes null. */
void put_string(struct document *d, cJSON *parent, const char *key, const char *value)
{
	cJSON *item = NULL;
	char *copy;

	if (!value) {
		put_null(d, parent, key);
		return;
	}
	copy = valid_utf8(value);
	if (copy)
		item = cJSON_CreateString(copy);
	cJSON_free(copy);
	put_item(d, parent, key, item);
}

char *document_finish(const struct document *d, cJSON *root)
{
	char *text = d->failed || !root ? NULL : cJSON_PrintUnformatted(root);

	cJSON_Delete(root);
	return text;
}
