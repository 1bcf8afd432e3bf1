// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Cut-over units: their entries, and which endpoint is in which. */
#include "config/language.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNITS_MAX 64
#define TEXT_MAX  128

int read_text(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (strlen(text) > TEXT_MAX)
		return source_error(s, v->line, "%s is longer than %d bytes: write %s: %s", k->name, TEXT_MAX, k->name,
		                    k->example);
	return copy_text(s, text, field);
}

static int read_unit_entry(const struct source *s, const struct ynode *v, struct cutover_unit *u)
{
	char title[CLIP_LEN + 16];
	int err = check_name(s, v, "unit");

	if (err)
		return err;
	snprintf(title, sizeof(title), "unit \"%s\"", v->key);
	if (v->kind != YNODE_MAPPING)
		return source_error(s, v->line, "%s is %s and wants a mapping: write %s: { owner: \"team-pay\" }",
		                    title, ynode_kind_name(v), v->key);
	u->line = v->line;
	err = copy_text(s, v->key, &u->name);
	return err ? err : schema__read(s, &unit_schema, title, v, u);
}

int read_units(const struct source *s, const struct key *k, const struct ynode *v, void *config)
{
	struct config *c = config;
	int err = want_kind(s, k, v, YNODE_MAPPING);

	if (err || v->n == 0)
		return err;
	if (v->n > UNITS_MAX)
		return source_error(s, v->line, "%zu units: at most %d", v->n, UNITS_MAX);
	c->units = calloc(v->n, sizeof(*c->units));
	if (!c->units)
		return source_nomem(s);
	for (const struct ynode *n = v->first; n && !err; n = n->next)
		err = read_unit_entry(s, n, &c->units[c->n_units++]);
	return err;
}

static const struct cutover_unit *unit_of(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_units; i++)
		if (strcmp(c->units[i].name, name) == 0)
			return &c->units[i];
	return NULL;
}

static int unknown_unit(const struct source *s, const struct config *c, const struct route *r)
{
	const char *words[UNITS_MAX];
	char buf[CLIP_LEN], name[CLIP_LEN], hint[200] = ": add units: { checkout: {} }, with its name";

	for (size_t i = 0; i < c->n_units; i++)
		words[i] = c->units[i].name;
	if (c->n_units)
		suggest(r->unit, words, c->n_units, hint, sizeof(hint));
	return source_error(s, r->line, "endpoint \"%s\": unknown unit \"%s\"%s", clip(r->name, buf),
	                    clip(r->unit, name), hint);
}

int link_units(const struct source *s, struct config *c)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		struct route *r = &c->routes[i];

		if (!r->unit)
			continue;
		r->in_unit = unit_of(c, r->unit);
		if (!r->in_unit)
			return unknown_unit(s, c, r);
	}
	return 0;
}
