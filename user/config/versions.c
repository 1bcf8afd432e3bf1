// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/language.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tw_abi.h"

#define UNIT_MAX 200
/* Version 0 means "not known". */
#define VERSIONS_MAX (TW_MAX_VERSIONS - 1)

const char *const arm_names[ARM_NR] = { "baseline", "canary", "other" };

static int read_version(const struct source *s, const struct key *k, const struct ynode *v, struct version *version)
{
	char title[CLIP_LEN + 16];
	int err = check_name(s, v, "version");

	if (err)
		return err;
	snprintf(title, sizeof(title), "version \"%s\"", v->key);
	if (v->kind != YNODE_MAPPING)
		return source_error(s, v->line, "%s is %s and wants a mapping: write %s: %s", title, ynode_kind_name(v),
		                    v->key, "{ arm: baseline, match: { listen: \"127.0.0.1:8081\" } }");
	version->line = v->line;
	err = copy_text(s, v->key, &version->name);
	return err ? err : schema__read(s, &version_schema, title, v, version);
}

int read_versions(const struct source *s, const struct key *k, const struct ynode *v, void *config)
{
	struct config *c = config;
	int err = want_kind(s, k, v, YNODE_MAPPING);

	if (err)
		return err;
	if (v->n == 0)
		return source_error(s, v->line, "versions is empty: add one, %s", k->example);
	if (v->n > VERSIONS_MAX)
		return source_error(s, v->line, "%zu versions: at most %d can be watched at once", v->n, VERSIONS_MAX);
	c->versions = calloc(v->n, sizeof(*c->versions));
	if (!c->versions)
		return source_nomem(s);
	for (const struct ynode *n = v->first; n && !err; n = n->next)
		err = read_version(s, k, n, &c->versions[c->n_versions++]);
	return err;
}

int read_arm(const struct source *s, const struct key *k, const struct ynode *v, void *version)
{
	int arm = 0, err = want_word(s, k, v, arm_names, ARM_NR, &arm);

	if (!err)
		((struct version *)version)->arm = (enum arm)arm;
	return err;
}

/* "FIELD "TEXT": why: write FIELD: EXAMPLE" */
static int bad_match(const struct source *s, const struct key *k, const struct ynode *v, const char *why)
{
	char buf[CLIP_LEN];

	return source_error(s, v->line, "%s \"%s\" %s: write %s: %s", k->name, clip(v->text, buf), why, k->name,
	                    k->example);
}

static int read_addr(const struct source *s, const struct key *k, const struct ynode *v, struct endpoint_addr *out)
{
	const char *text;
	int err;

	/* [::1]:8081 without quotes is a YAML list. */
	if (v->kind != YNODE_SCALAR)
		return source_error(s, v->line, "%s is %s: quote the address, as in %s: \"[::1]:8081\"", k->name,
		                    ynode_kind_name(v), k->name);
	err = want_text(s, k, v, &text);
	if (err)
		return err;
	if (parse_endpoint_addr(text, out))
		return bad_match(s, k, v, "is not a port, IPv4:port or [IPv6]:port (numbers only, no host names)");
	return 0;
}

int read_listen(const struct source *s, const struct key *k, const struct ynode *v, void *match)
{
	struct match *m = match;

	m->has_listen = true;
	return read_addr(s, k, v, &m->listen);
}

int read_upstream(const struct source *s, const struct key *k, const struct ynode *v, void *match)
{
	struct match *m = match;

	m->has_upstream = true;
	return read_addr(s, k, v, &m->upstream);
}

/* Starts with a slash and has no empty, "." or ".." component; a trailing slash is the caller's. */
static bool is_clean_path(const char *path)
{
	for (const char *p = path; *p == '/'; p += 1 + strcspn(p + 1, "/")) {
		size_t len = strcspn(p + 1, "/");

		if (len == 0 || (len == 1 && p[1] == '.') || (len == 2 && p[1] == '.' && p[2] == '.'))
			return false;
	}
	return path[0] == '/';
}

int read_cgroup(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	static const char mount[] = "/sys/fs/cgroup/";
	char **path = field;
	const char *text;
	size_t len;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (strncmp(text, mount, sizeof(mount) - 1) == 0)
		return bad_match(s, k, v,
		                 "is a path of the file system, and the path below the cgroup2 mount is wanted");
	err = copy_text(s, text, path);
	if (err)
		return err;
	for (len = strlen(*path); len > 1 && (*path)[len - 1] == '/'; len--)
		(*path)[len - 1] = 0;
	if (strcmp(*path, "/") != 0 && !is_clean_path(*path))
		return bad_match(s, k, v, "is not a path from the cgroup root without . and ..");
	return 0;
}

int read_exe(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (!is_clean_path(text))
		return bad_match(s, k, v, "is not the absolute path of a program");
	return copy_text(s, text, field);
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a > b && strcmp(text + a - b, end) == 0;
}

int read_unit(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	char **unit = field, name[UNIT_MAX + sizeof(".service")];
	const char *text;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	if (strpbrk(text, "/ ") || strlen(text) > UNIT_MAX)
		return bad_match(s, k, v, "is not the name of a systemd unit");
	if (ends_with(text, ".service") || ends_with(text, ".scope") || ends_with(text, ".slice"))
		return copy_text(s, text, unit);
	/* As systemctl does. */
	snprintf(name, sizeof(name), "%s.service", text);
	return copy_text(s, name, unit);
}

int read_env(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	const char *text;
	size_t name;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	name = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
	if (name == 0 || isdigit((unsigned char)text[0]) || text[name] != '=')
		return bad_match(s, k, v, "is not NAME=VALUE");
	return copy_text(s, text, field);
}

int read_build_id(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	char **id = field;
	const char *text;
	size_t len;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	len = strlen(text);
	if (len < 8 || len > 64 || strspn(text, "0123456789abcdefABCDEF") != len)
		return bad_match(s, k, v, "is not 8 to 64 hex digits (readelf -n PROGRAM shows them)");
	err = copy_text(s, text, id);
	for (char *p = *id; p && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return err;
}

int read_pid(const struct source *s, const struct key *k, const struct ynode *v, void *field)
{
	uint64_t value = 0;
	int err = read_count(s, k, v, &value);

	if (!err)
		*(int32_t *)field = (int32_t)value;
	return err;
}
