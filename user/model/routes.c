// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A text is taken apart once, into a name (escaped, ids collapsed) with its segments; templates are compared with these
 * escaped segments, so that a name found by normalising can never be spelled like a template that did not match.
 *
 * A target that was cut off matches no template (the rest could say otherwise): its whole segments are kept and the
 * rest is "{...}". Braces of foreign targets are escaped, so no client can spell "{id}" or "{...}" itself.
 */
#include "model/routes.h"

#include <stdlib.h>
#include <string.h>

#include "tw_abi.h"

#define OTHER   "other"
#define UNKNOWN "(unknown)"
#define REST    "/{...}"
/* Every byte escaped, and a little room: "/" + "{id}" is longer than a one-digit segment. */
#define NAME_MAX_LEN (6 * TW_PATH_MAX + 16)
#define SEGMENTS_MAX TW_PATH_MAX
#define INDEX_SIZE   (2 * TW_MAX_ENDPOINTS)

struct segment {
	const char *text; /* in the name */
	uint16_t len;
};

/* A foreign text, taken apart. */
struct target {
	char name[NAME_MAX_LEN];
	size_t len;
	size_t method_len;
	size_t n;
	bool has_path, cut;
	struct segment seg[SEGMENTS_MAX];
};

struct template
{
	const struct route *route;
	size_t method_len; /* 0: any */
	size_t n;
	struct segment *seg; /* text NULL: a parameter */
	const char *special; /* "*" or "(authority)": a target without a path; NULL: a path */
};

struct routes {
	struct template *templates;
	size_t n_templates;
	size_t cap; /* named endpoints, without other */
	size_t count;
	uint16_t other, unknown;       /* 0: not needed yet */
	char *names[TW_MAX_ENDPOINTS]; /* by endpoint number; the config's are its own */
	uint16_t index[INDEX_SIZE];    /* open addressing by hash of the name: endpoint number or 0 */
	struct target scratch;
};

bool route_segment_is_id(const char *segment, size_t len)
{
	bool all_digits = true, all_hex = true, digit = false;

	for (size_t i = 0; i < len; i++) {
		char c = segment[i], lower = (char)(c | 0x20);

		if (c >= '0' && c <= '9') {
			digit = true;
			continue;
		}
		all_digits = false;
		all_hex = all_hex && (c == '-' || (lower >= 'a' && lower <= 'f'));
	}
	return len > 0 && (all_digits || (len >= 8 && all_hex && digit));
}

/* --- taking a text apart ----------------------------------------------------------------------------------------- */

static void put(struct target *t, const char *text, size_t len)
{
	if (len > sizeof(t->name) - 1 - t->len)
		len = sizeof(t->name) - 1 - t->len;
	memcpy(t->name + t->len, text, len);
	t->len += len;
}

static bool needs_escape(unsigned char c)
{
	return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '{' || c == '}';
}

static void put_escaped(struct target *t, const char *text, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		char escaped[3] = { '%', hex[c >> 4], hex[c & 15] };

		if (needs_escape(c))
			put(t, escaped, 3);
		else
			put(t, text + i, 1);
	}
}

static size_t find_byte(const char *text, size_t len, const char *set)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] && strchr(set, text[i]))
			return i;
	return len;
}

/* Bytes of "scheme://" at the beginning, 0 if there is none. */
static size_t scheme_len(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		char c = text[i], lower = (char)(c | 0x20);

		if (lower >= 'a' && lower <= 'z')
			continue;
		if (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))
			break;
	}
	return i > 0 && len - i >= 3 && memcmp(text + i, "://", 3) == 0 ? i + 3 : 0;
}

static void put_segment(struct target *t, const char *text, size_t len)
{
	struct segment *s = &t->seg[t->n++];

	put(t, "/", 1);
	s->text = t->name + t->len;
	if (route_segment_is_id(text, len))
		put(t, "{id}", 4);
	else
		put_escaped(t, text, len);
	s->len = (uint16_t)(t->name + t->len - s->text);
}

/* path starts with a slash, or is empty (an absolute form without one). */
static void put_path(struct target *t, const char *path, size_t len)
{
	t->has_path = true;
	if (len == 0 && !t->cut)
		put_segment(t, "", 0);
	while (len > 0) {
		size_t segment = find_byte(path + 1, len - 1, "/");

		if (t->cut && segment == len - 1)
			break;
		put_segment(t, path + 1, segment);
		path += 1 + segment;
		len -= 1 + segment;
	}
	if (t->cut)
		put(t, REST, strlen(REST));
}

static void put_target(struct target *t, const char *text, size_t len)
{
	size_t end = find_byte(text, len, "?#"), skip = scheme_len(text, len);

	if (end < len)
		t->cut = false; /* what is missing belongs to the query */
	len = end;
	if (skip && skip <= len) {
		skip += find_byte(text + skip, len - skip, "/");
		put_path(t, text + skip, len - skip);
	} else if (len && text[0] == '/') {
		put_path(t, text, len);
	} else if (len == 1 && text[0] == '*') {
		put(t, "*", 1);
	} else {
		put(t, "(authority)", strlen("(authority)"));
	}
}

/* False: there is no method or no target to name. */
static bool take_apart(struct target *t, const char *text, size_t len, bool truncated)
{
	size_t method;

	if (len > TW_PATH_MAX) {
		len = TW_PATH_MAX;
		truncated = true;
	}
	method = find_byte(text, len, " ");
	if (method == 0 || len - method < 2)
		return false;
	t->len = t->n = 0;
	t->has_path = false;
	t->cut = truncated;
	put_escaped(t, text, method);
	t->method_len = t->len;
	put(t, " ", 1);
	put_target(t, text + method + 1, len - method - 1);
	t->name[t->len] = 0;
	return true;
}

/* --- templates --------------------------------------------------------------------------------------------------- */

static int template__compile(struct template *tp, const struct route *route)
{
	const char *p = route->path;
	size_t n = 0;

	tp->route = route;
	tp->method_len = strcmp(route->method, "*") == 0 ? 0 : strlen(route->method);
	if (*p != '/') {
		tp->special = p;
		return 0;
	}
	for (const char *c = p; *c; c++)
		n += *c == '/';
	tp->seg = calloc(n, sizeof(*tp->seg));
	if (!tp->seg)
		return -1;
	while (*p == '/') {
		size_t len = strcspn(++p, "/");

		tp->seg[tp->n++] = (struct segment){ *p == '{' ? NULL : p, (uint16_t)len };
		p += len;
	}
	return 0;
}

static bool template__matches(const struct template *tp, const struct target *t)
{
	if (tp->method_len &&
	    (tp->method_len != t->method_len || memcmp(t->name, tp->route->method, t->method_len) != 0))
		return false;
	if (tp->special)
		return !t->has_path && strcmp(t->name + t->method_len + 1, tp->special) == 0;
	if (!t->has_path || t->n != tp->n)
		return false;
	for (size_t i = 0; i < t->n; i++) {
		const struct segment *want = &tp->seg[i], *is = &t->seg[i];

		if (!want->text ? is->len == 0 : is->len != want->len || memcmp(is->text, want->text, is->len) != 0)
			return false;
	}
	return true;
}

/* Both match the same target: the first segment in which one is literal decides, then the method. */
static bool more_specific(const struct template *a, const struct template *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (!a->seg[i].text != !b->seg[i].text)
			return a->seg[i].text != NULL;
	return a->method_len && !b->method_len;
}

static uint16_t match_templates(const struct routes *r, const struct target *t)
{
	const struct template *best = NULL;

	if (t->cut)
		return 0;
	for (size_t i = 0; i < r->n_templates; i++) {
		const struct template *tp = &r->templates[i];

		if (template__matches(tp, t) && (!best || more_specific(tp, best)))
			best = tp;
	}
	return best ? (uint16_t)(best - r->templates + 1) : 0;
}

/* --- numbers ----------------------------------------------------------------------------------------------------- */

/* Where the name is in the index, or where it would go. The index is never more than half full. */
static uint16_t *index_of(struct routes *r, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	size_t i;

	for (const char *c = name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	for (i = (hash ^ hash >> 32) % INDEX_SIZE; r->index[i]; i = (i + 1) % INDEX_SIZE)
		if (strcmp(routes__endpoint(r, r->index[i]), name) == 0)
			break;
	return &r->index[i];
}

uint16_t routes__other(struct routes *r)
{
	if (!r->other)
		r->other = (uint16_t)++r->count;
	return r->other;
}

uint16_t routes__unknown(struct routes *r)
{
	if (!r->unknown)
		r->unknown = (uint16_t)++r->count;
	return r->unknown;
}

static size_t named(const struct routes *r)
{
	return r->count - (r->other != 0) - (r->unknown != 0);
}

uint16_t routes__name(struct routes *r, const char *text, size_t len, bool truncated, bool *counted_as_other)
{
	struct target *t = &r->scratch;
	uint16_t *slot, endpoint;

	if (counted_as_other)
		*counted_as_other = false;
	if (!take_apart(t, text, len, truncated))
		return routes__other(r);
	endpoint = match_templates(r, t);
	if (endpoint)
		return endpoint;
	slot = index_of(r, t->name);
	if (*slot)
		return *slot;
	if (named(r) < r->cap) {
		char *name = strdup(t->name);

		if (name) {
			*slot = (uint16_t)++r->count;
			r->names[*slot] = name;
			return *slot;
		}
	}
	if (counted_as_other)
		*counted_as_other = true;
	return routes__other(r);
}

size_t routes__count(const struct routes *r)
{
	return r->count;
}

const struct route *routes__config(const struct routes *r, uint16_t endpoint)
{
	return endpoint >= 1 && endpoint <= r->n_templates ? r->templates[endpoint - 1].route : NULL;
}

const char *routes__endpoint(const struct routes *r, uint16_t endpoint)
{
	const struct route *route = routes__config(r, endpoint);

	if (route)
		return route->name;
	if (endpoint == 0 || endpoint > r->count)
		return NULL;
	if (endpoint == r->unknown)
		return UNKNOWN;
	return endpoint == r->other ? OTHER : r->names[endpoint];
}

/* --- life cycle -------------------------------------------------------------------------------------------------- */

static int add_templates(struct routes *r, const struct config *c)
{
	if (!c->n_routes)
		return 0;
	r->templates = calloc(c->n_routes, sizeof(*r->templates));
	if (!r->templates)
		return -1;
	for (size_t i = 0; i < c->n_routes; i++) {
		r->n_templates = ++r->count;
		if (template__compile(&r->templates[i], &c->routes[i]))
			return -1;
	}
	return 0;
}

struct routes *routes__new(const struct config *c, unsigned int cap)
{
	/* Numbers run from 1, and other and unknown need one each. */
	const unsigned int most = TW_MAX_ENDPOINTS - 3;
	struct routes *r;

	if (c && c->n_routes > most)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->cap = cap < most ? cap : most;
	if (c && add_templates(r, c)) {
		routes__free(r);
		return NULL;
	}
	if (r->cap < r->n_templates)
		r->cap = r->n_templates;
	return r;
}

void routes__free(struct routes *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_templates; i++)
		free(r->templates[i].seg);
	for (size_t i = 0; i < TW_MAX_ENDPOINTS; i++)
		free(r->names[i]);
	free(r->templates);
	free(r);
}
