/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The part of YAML that a configuration needs, as a tree with line numbers.
 *
 * Invariants of a tree that ytree__parse has returned:
 *  - at most YTREE_DEPTH levels and YTREE_NODES nodes, whatever the text;
 *  - no anchors, aliases, tags or second documents; keys are scalars and unique in their mapping;
 *  - every text is UTF-8 without control characters, so it can be printed and holds no NUL.
 */
#ifndef TW_CONFIG_YAML_TREE_H
#define TW_CONFIG_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/report.h"

#define YTREE_DEPTH 8
#define YTREE_NODES 20000
#define YTREE_BYTES (1024 * 1024)

enum ynode_kind { YNODE_SCALAR, YNODE_SEQUENCE, YNODE_MAPPING };

struct ynode {
	enum ynode_kind kind;
	int line;
	char *key;                         /* in a mapping */
	char *text;                        /* of a scalar */
	bool is_null;                      /* a scalar that says nothing: "key:", "~", "null" */
	struct ynode *first, *last, *next; /* children, in the order of the file */
	size_t n;                          /* number of children */
};

int ytree__parse(struct ynode **out, const struct source *s, const char *text, size_t len);
void ytree__free(struct ynode *root);

/* "a mapping", "a list", "a value": for messages. */
const char *ynode_kind_name(const struct ynode *n);

#endif
