/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The pieces of a JSON document. Each puts a value under key, or at the end of a list when key is NULL.
 *
 * Numbers are written here, as raw text, because cJSON would print them with 15 digits where that is "close enough",
 * and counts above 2^53 wrongly. Strings are made valid UTF-8 before cJSON escapes them.
 *
 * One flag collects what failed: cJSON takes NULL for a parent that could not be made, so a document is built to its
 * end and then thrown away when the flag is set.
 */
#ifndef TW_SHOW_JSON_PUT_H
#define TW_SHOW_JSON_PUT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct ledger_figures;
struct tls_coverage;
struct comparison;
struct tls_overhead;
struct tls_version;
struct verdict_endpoint;

struct document {
	bool failed;
};

/* Returns item, or NULL when there is no such item. */
cJSON *put_item(struct document *d, cJSON *parent, const char *key, cJSON *item);
cJSON *put_object(struct document *d, cJSON *parent, const char *key);
cJSON *put_list(struct document *d, cJSON *parent, const char *key);
void put_bool(struct document *d, cJSON *parent, const char *key, bool value);
void put_null(struct document *d, cJSON *parent, const char *key);
void put_count(struct document *d, cJSON *parent, const char *key, uint64_t value);
/* null where it was not measured. */
void put_count_if(struct document *d, cJSON *parent, const char *key, bool measured, uint64_t value);
/* null for what is not finite: not measured. */
void put_number(struct document *d, cJSON *parent, const char *key, double value);
/* A list of two numbers. */
void put_pair(struct document *d, cJSON *parent, const char *key, double first, double second);
/* NULL becomes null. */
void put_string(struct document *d, cJSON *parent, const char *key, const char *value);
/* The document's text, to be freed; NULL when something failed. Takes root over, which may be NULL. */
char *document_finish(const struct document *d, cJSON *root);

/* json_versions.c: "versions", a list of what is known of each version as a whole. */
void put_versions(struct document *d, cJSON *root, const struct comparison *c);
void put_ledger(struct document *d, cJSON *parent, const struct ledger_figures *l);
/* json_tls.c: "tls", of all versions and of one. */
void put_tls(struct document *d, cJSON *coverage, const struct tls_coverage *t);
void put_tls_version(struct document *d, cJSON *version, const struct tls_version *t);
/* "cost" (json_cost.c). */
void put_cost(struct document *d, cJSON *root, const struct comparison *c);
/* "tls" of "overhead". */
void put_tls_overhead(struct document *d, cJSON *overhead, const struct tls_overhead *t);
/* json_opinion.c: what stands beside an endpoint's verdict and decides nothing. */
void put_opinion(struct document *d, cJSON *endpoint, const struct verdict_endpoint *ep);

#endif
