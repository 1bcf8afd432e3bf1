/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Numbers are written by this file, as raw text, because cJSON would print them with 15 digits where that is "close
 * enough", and counts above 2^53 wrongly. Strings are made valid UTF-8 before cJSON escapes them.
 *
 * One flag collects what failed: cJSON takes NULL for a parent that could not be made, so a document is built to its
 * end and then thrown away when the flag is set.
 */
#ifndef TW_SHOW_DOCUMENT_H
#define TW_SHOW_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "model/comparison.h"

struct document {
	bool failed;
};

/* Put what they are given under key, or at the end of a list when key is NULL. Of a parent that is NULL: nothing. */
cJSON *put_item(struct document *d, cJSON *parent, const char *key, cJSON *item);
cJSON *put_object(struct document *d, cJSON *parent, const char *key);
cJSON *put_list(struct document *d, cJSON *parent, const char *key);
void put_bool(struct document *d, cJSON *parent, const char *key, bool value);
void put_null(struct document *d, cJSON *parent, const char *key);
void put_count(struct document *d, cJSON *parent, const char *key, uint64_t value);
void put_number(struct document *d, cJSON *parent, const char *key, double value);      /* NaN becomes null */
void put_string(struct document *d, cJSON *parent, const char *key, const char *value); /* NULL becomes null */

/* json_versions.c: what is known of each version as a whole. */
void put_versions(struct document *d, cJSON *root, const struct comparison *c);
void put_ledger(struct document *d, cJSON *parent, const struct ledger_figures *l);

#endif
