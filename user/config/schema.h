/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The language as tables: one row a key, with how to read its value, the bounds, and what a right value looks like.
 *
 * Invariant: a reader fills the object in place, field by field, so that config__free can take it at any point.
 */
#ifndef TW_CONFIG_SCHEMA_H
#define TW_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "config/report.h"
#include "config/yaml_tree.h"

struct key;

/* Reads v into field, which lies at the key's offset of the object. Returns 0 or a negative errno with the message set.
 */
typedef int (*read_fn)(const struct source *s, const struct key *k, const struct ynode *v, void *field);

struct key {
	const char *name;
	size_t offset;
	read_fn read;
	double min, max;     /* of numbers, both included */
	const char *example; /* a right value, as one would write it */
	bool required;
	const struct schema *sub; /* of a mapping */
};

struct schema {
	const char *what; /* "version": for messages */
	const struct key *keys;
	size_t n;
};

#define SCHEMA_MAX_KEYS 16

/* Every mapping of the language, so that a key in the wrong one can be told where it belongs. */
extern const struct schema *const all_schemas[];
extern const size_t n_schemas;

/* Reads every key of the mapping by the table; title names the mapping in messages. */
int schema__read(const struct source *s, const struct schema *sc, const char *title, const struct ynode *map,
                 void *object);

/* -EINVAL with the message "... wants <example>" unless v is of this kind. */
int want_kind(const struct source *s, const struct key *k, const struct ynode *v, enum ynode_kind kind);
/* The text of a scalar; its message quotes the key and the example. */
int want_text(const struct source *s, const struct key *k, const struct ynode *v, const char **text);
int copy_text(const struct source *s, const char *text, char **out);
/* A name that becomes a column, a label and a JSON string: the key of n, which names a "version". */
int check_name(const struct source *s, const struct ynode *n, const char *what);
/* The index of a scalar among the words; title names the thing in messages. */
int want_word(const struct source *s, const struct key *k, const struct ynode *v, const char *const *words, size_t n,
              int *index);

/* Readers of single values; the type of the field is in the comment. */
int read_mapping(const struct source *s, const struct key *k, const struct ynode *v, void *field);  /* by k->sub */
int read_bool(const struct source *s, const struct key *k, const struct ynode *v, void *field);     /* bool */
int read_number(const struct source *s, const struct key *k, const struct ynode *v, void *field);   /* double */
int read_share(const struct source *s, const struct key *k, const struct ynode *v, void *field);    /* double */
int read_duration(const struct source *s, const struct key *k, const struct ynode *v, void *field); /* double, s */
int read_count(const struct source *s, const struct key *k, const struct ynode *v, void *field);    /* uint64_t */
int read_uint(const struct source *s, const struct key *k, const struct ynode *v, void *field);     /* unsigned int */
int read_money(const struct source *s, const struct key *k, const struct ynode *v, void *field);    /* struct money */

#endif
