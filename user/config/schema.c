// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/schema.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/value.h"

static const struct key *key_of(const struct schema *sc, const char *name)
{
	for (size_t i = 0; i < sc->n; i++)
		if (strcmp(sc->keys[i].name, name) == 0)
			return &sc->keys[i];
	return NULL;
}

static int unknown_key(const struct source *s, const struct schema *sc, const char *title, const struct ynode *v)
{
	const char *words[SCHEMA_MAX_KEYS];
	char buf[CLIP_LEN], hint[240];

	for (size_t i = 0; i < n_schemas; i++)
		if (all_schemas[i] != sc && key_of(all_schemas[i], v->key))
			return source_error(s, v->line, "unknown key \"%s\" in %s: it is a key of %s",
			                    clip(v->key, buf), title, all_schemas[i]->what);
	for (size_t i = 0; i < sc->n; i++)
		words[i] = sc->keys[i].name;
	suggest(v->key, words, sc->n, hint, sizeof(hint));
	return source_error(s, v->line, "unknown key \"%s\" in %s%s", clip(v->key, buf), title, hint);
}

static int check_required(const struct source *s, const struct schema *sc, const char *title, const struct ynode *map)
{
	for (size_t i = 0; i < sc->n; i++) {
		const struct ynode *v = map->first;

		if (!sc->keys[i].required)
			continue;
		while (v && strcmp(v->key, sc->keys[i].name) != 0)
			v = v->next;
		if (!v)
			return source_error(s, map->line, "%s has no \"%s\": add %s: %s", title, sc->keys[i].name,
			                    sc->keys[i].name, sc->keys[i].example);
	}
	return 0;
}

int schema__read(const struct source *s, const struct schema *sc, const char *title, const struct ynode *map,
                 void *object)
{
	for (const struct ynode *v = map->first; v; v = v->next) {
		const struct key *k = key_of(sc, v->key);
		int err;

		if (!k)
			return unknown_key(s, sc, title, v);
		err = k->read(s, k, v, (char *)object + k->offset);
		if (err)
			return err;
	}
	return check_required(s, sc, title, map);
}

int want_kind(const struct source *s, const struct key *k, const struct ynode *v, enum ynode_kind kind)
{
	static const char *const wanted[] = { "a single value", "a list", "a mapping" };

	if (v->kind == kind && !v->is_null)
		return 0;
	return source_error(s, v->line, "%s is %s and wants %s: write %s: %s", k->name, ynode_kind_name(v),
	                    wanted[kind], k->name, k->example);
}

int want_text(const struct source *s, const struct key *k, const struct ynode *v, const char **text)
{
	int err = want_kind(s, k, v, YNODE_SCALAR);

	if (err)
		return err;
	if (!*v->text)
		return source_error(s, v->line, "%s is empty: write %s: %s", k->name, k->name, k->example);
	*text = v->text;
	return 0;
}

int copy_text(const struct source *s, const char *text, char **out)
{
	*out = strdup(text);
	return *out ? 0 : source_nomem(s);
}

#define NAME_MAX_LEN 63

int check_name(const struct source *s, const struct ynode *n, const char *what)
{
	char buf[CLIP_LEN];
	size_t len = strlen(n->key);
	bool good = len > 0 && len <= NAME_MAX_LEN;

	/* No blanks, and nothing that would have to be escaped. */
	for (size_t i = 0; i < len; i++)
		good = good && n->key[i] > ' ' && n->key[i] < 0x7f && !strchr("\"\\{},", n->key[i]);
	if (good)
		return 0;
	return source_error(s, n->line,
	                    "%s name \"%s\": use 1 to %d letters, digits and marks such as . _ + -, without blanks",
	                    what, clip(n->key, buf), NAME_MAX_LEN);
}

int want_word(const struct source *s, const struct key *k, const struct ynode *v, const char *const *words, size_t n,
              int *index)
{
	const char *text;
	char buf[CLIP_LEN], hint[200];
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(text, words[i]) == 0) {
			*index = (int)i;
			return 0;
		}
	}
	suggest(text, words, n, hint, sizeof(hint));
	return source_error(s, v->line, "unknown %s \"%s\"%s", k->name, clip(text, buf), hint);
}

int read_mapping(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	int err = want_kind(s, k, v, YNODE_MAPPING);

	return err ? err : schema__read(s, k->sub, k->sub->what, v, field);
}

int read_bool(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	char buf[CLIP_LEN];
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return source_error(s, v->line, "%s is \"%s\": write true or false", k->name, clip(text, buf));
	*(bool *)field = text[0] == 't';
	return 0;
}

/* "what" says what the text is not; err is what the parser returned. */
static int bad_value(const struct source *s, const struct key *k, const struct ynode *v, int err, const char *what)
{
	char buf[CLIP_LEN];

	if (err == -ERANGE)
		return source_error(s, v->line, "%s \"%s\" has more than 15 digits: write %s: %s", k->name,
		                    clip(v->text, buf), k->name, k->example);
	return source_error(s, v->line, "%s \"%s\" is not %s: write %s: %s", k->name, clip(v->text, buf), what, k->name,
	                    k->example);
}

/* Bounds are shown in the unit in which the value was written. */
static int check_bounds(const struct source *s, const struct key *k, const struct ynode *v, double value, double unit,
                        const char *suffix)
{
	char buf[CLIP_LEN];

	if (value >= k->min && value <= k->max)
		return 0;
	return source_error(s, v->line, "%s \"%s\" is out of range: it must be from %.12g%s to %.12g%s", k->name,
	                    clip(v->text, buf), k->min / unit, suffix, k->max / unit, suffix);
}

int read_number(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	err = parse_number(text, field);
	return err ? bad_value(s, k, v, err, "a plain number") : check_bounds(s, k, v, *(double *)field, 1.0, "");
}

int read_share(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	char buf[CLIP_LEN];
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	err = parse_share(text, field);
	if (err == -EDOM)
		return source_error(s, v->line,
		                    "%s \"%s\" is ambiguous without a unit: write %s%%, or a fraction such as 0.2",
		                    k->name, clip(text, buf), text);
	return err ? bad_value(s, k, v, err, "a percentage") : check_bounds(s, k, v, *(double *)field, 0.01, "%");
}

int read_duration(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	char buf[CLIP_LEN];
	double number;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (parse_duration(text, field) == 0)
		return check_bounds(s, k, v, *(double *)field, 1.0, "s");
	if (parse_number(text, &number) == 0)
		return source_error(s, v->line, "%s \"%s\" has no unit: write %sms or %ss (units are ms, s, m, h)",
		                    k->name, clip(text, buf), text, text);
	return bad_value(s, k, v, -EINVAL, "a duration (units are ms, s, m, h)");
}

int read_count(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	err = parse_count(text, field);
	if (err)
		return bad_value(s, k, v, err, "a whole number");
	return check_bounds(s, k, v, (double)*(uint64_t *)field, 1.0, "");
}

int read_uint(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	uint64_t value = 0;
	int err = read_count(s, k, v, &value);

	if (!err)
		*(unsigned int *)field = (unsigned int)value;
	return err;
}

int read_money(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	struct money *m = field;
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	err = parse_money(text, m);
	if (err)
		return bad_value(s, k, v, err, "an amount and a currency");
	return check_bounds(s, k, v, m->amount, 1.0, "");
}
