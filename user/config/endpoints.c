// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/language.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/routes.h"
#include "tw_abi.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char param_marks[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
static const char token_marks[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";

static int check_method(const struct source *s, const struct ynode *v, size_t len)
{
	static const char *const lower[] = { "get",   "head",    "post",    "put",  "delete",
		                             "patch", "options", "connect", "trace" };
	char buf[CLIP_LEN];

	if (strspn(v->text, token_marks) < len)
		return source_error(s, v->line,
		                    "route \"%s\" has no method: write \"GET /path\", or \"* /path\" for any",
		                    clip(v->text, buf));
	if (len == 4 && strncasecmp(v->text, "gRPC", len) == 0 && strncmp(v->text, "gRPC", len) != 0)
		return source_error(s, v->line, "route \"%s\": a call is written \"gRPC /package.Service/Method\"",
		                    clip(v->text, buf));
	for (size_t i = 0; i < sizeof(lower) / sizeof(lower[0]); i++)
		if (strlen(lower[i]) == len && strncmp(v->text, lower[i], len) == 0)
			return source_error(s, v->line,
			                    "route \"%s\": methods are case-sensitive, write it in capitals",
			                    clip(v->text, buf));
	return 0;
}

static int check_parameter(const struct source *s, const struct ynode *v, const char *segment, size_t len)
{
	char buf[CLIP_LEN];

	if (segment[0] == '{' && segment[len - 1] == '}' && len > 2 && strchr(letters, segment[1]) &&
	    strspn(segment + 1, param_marks) == len - 2)
		return 0;
	return source_error(
		s, v->line,
		"route \"%s\": a parameter is a whole segment and has a name of letters, digits, _ and -: write {id}",
		clip(v->text, buf));
}

static int check_segment(const struct source *s, const struct ynode *v, const char *segment, size_t len)
{
	char buf[CLIP_LEN];

	if (memchr(segment, '{', len) || memchr(segment, '}', len))
		return check_parameter(s, v, segment, len);
	if (route_segment_is_id(segment, len))
		return source_error(
			s, v->line,
			"route \"%s\": segment '%.*s' looks like an identifier and is counted as {id}: write {id}",
			clip(v->text, buf), (int)(len > 40 ? 40 : len), segment);
	if (strspn(segment, "*") >= len && len > 0)
		return source_error(s, v->line, "route \"%s\": '*' stands for no segment: write {name}",
		                    clip(v->text, buf));
	for (size_t i = 0; i < len; i++) {
		if (segment[i] > ' ' && segment[i] < 0x7f && segment[i] != '"' && segment[i] != '\\')
			continue;
		return source_error(
			s, v->line,
			"route \"%s\": write blanks, quotes and non-ASCII characters percent-encoded, as clients send them",
			clip(v->text, buf));
	}
	return 0;
}

static int check_path(const struct source *s, const struct ynode *v, const char *path)
{
	char buf[CLIP_LEN];
	int err = 0;

	if (strpbrk(path, "?#"))
		return source_error(s, v->line,
		                    "route \"%s\": leave out the query and the fragment, they are never kept",
		                    clip(v->text, buf));
	for (const char *p = path; *p == '/' && !err; p += 1 + strcspn(p + 1, "/"))
		err = check_segment(s, v, p + 1, strcspn(p + 1, "/"));
	return err;
}

/* The two forms without a path have a name of their own; init writes them as it saw them. */
static bool is_special(const char *text)
{
	return strcmp(text, "OPTIONS *") == 0 || strcmp(text, "CONNECT (authority)") == 0;
}

static int check_route(const struct source *s, const struct ynode *v, size_t method_len)
{
	const char *path = v->text + method_len + 1;
	char buf[CLIP_LEN];
	int err;

	if (strlen(v->text) > TW_PATH_MAX)
		return source_error(s, v->line, "route \"%s\" is longer than %d bytes", clip(v->text, buf),
		                    TW_PATH_MAX);
	if (is_special(v->text))
		return 0;
	err = check_method(s, v, method_len);
	if (err)
		return err;
	if (v->text[method_len] != ' ' || path[0] != '/')
		return source_error(s, v->line, "route \"%s\": write the method, one blank and the path, \"GET /path\"",
		                    clip(v->text, buf));
	return check_path(s, v, path);
}

int read_route(const struct source *s, const struct key *k, const struct ynode *v, void *route)
{
	struct route *r = route;
	const char *text;
	size_t method_len;
	int err = want_text(s, k, v, &text);

	if (err)
		return err;
	method_len = strcspn(text, " ");
	err = check_route(s, v, text[0] == '/' ? 1 : method_len);
	if (!err)
		err = copy_text(s, text, &r->name);
	if (!err)
		err = copy_text(s, text + method_len + 1, &r->path);
	if (err)
		return err;
	r->method = strndup(text, method_len);
	return r->method ? 0 : source_nomem(s);
}

bool same_template(const struct route *a, const struct route *b)
{
	const char *p = a->path, *q = b->path;

	if (strcmp(a->method, b->method) != 0)
		return false;
	while (*p == '/' && *q == '/') {
		size_t lp = strcspn(++p, "/"), lq = strcspn(++q, "/");
		bool both = *p == '{' && *q == '{';

		if (!both && (lp != lq || strncmp(p, q, lp) != 0))
			return false;
		p += lp;
		q += lq;
	}
	return strcmp(p, q) == 0;
}

static int read_endpoint(const struct source *s, const struct ynode *v, struct route *r)
{
	if (v->kind != YNODE_MAPPING)
		return source_error(s, v->line, "an entry of endpoints is %s and wants a mapping: write %s",
		                    ynode_kind_name(v), "- { route: \"GET /cart/{id}\" }");
	r->line = v->line;
	r->slo.error_rate = -1.0;
	return schema__read(s, &endpoint_schema, "endpoint", v, r);
}

int read_endpoints(const struct source *s, const struct key *k, const struct ynode *v, void *config)
{
	struct config *c = config;
	int err = want_kind(s, k, v, YNODE_SEQUENCE);

	if (err || v->n == 0)
		return err;
	c->routes = calloc(v->n, sizeof(*c->routes));
	if (!c->routes)
		return source_nomem(s);
	for (const struct ynode *n = v->first; n && !err; n = n->next)
		err = read_endpoint(s, n, &c->routes[c->n_routes++]);
	return err;
}
