// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/language.h"

#define DEFAULT_ENDPOINTS 500

static void version__clear(struct version *v)
{
	free(v->name);
	free(v->match.cgroup);
	free(v->match.exe);
	free(v->match.unit);
	free(v->match.env);
	free(v->match.build_id);
}

static void route__clear(struct route *r)
{
	free(r->method);
	free(r->path);
	free(r->name);
	free(r->unit);
}

static void unit__clear(struct cutover_unit *u)
{
	free(u->name);
	free(u->owner);
}

void config__free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_versions; i++)
		version__clear(&c->versions[i]);
	for (size_t i = 0; i < c->n_routes; i++)
		route__clear(&c->routes[i]);
	for (size_t i = 0; i < c->n_units; i++)
		unit__clear(&c->units[i]);
	free(c->versions);
	free(c->units);
	free(c->routes);
	free(c->stages);
	free(c->service);
	free(c->file);
	free(c);
}

int config__version_of_arm(const struct config *c, enum arm arm)
{
	for (size_t i = 0; i < c->n_versions; i++)
		if (c->versions[i].arm == arm)
			return (int)i;
	return -1;
}

static struct config *config__new(const char *name)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->file = strdup(name);
	c->max_endpoints = DEFAULT_ENDPOINTS;
	gate_policy__defaults(&c->gate);
	overhead_limits__defaults(&c->overhead);
	cost_limits__defaults(&c->cost);
	if (!c->file) {
		config__free(c);
		return NULL;
	}
	return c;
}

static int fill(struct config *c, const struct source *s, const struct ynode *root)
{
	int err;

	if (root->kind != YNODE_MAPPING)
		return source_error(s, root->line, "the file is %s and wants keys: begin with service: shop",
		                    ynode_kind_name(root));
	err = schema__read(s, &config_schema, config_schema.what, root, c);
	if (!err)
		err = link_units(s, c);
	return err ? err : check_config(s, c);
}

int config__parse(struct config **out, const char *text, size_t len, const char *name, struct err *e)
{
	struct source s = { name, e };
	struct ynode *root = NULL;
	struct config *c = NULL;
	int err;

	*out = NULL;
	if (e)
		e->text[0] = 0;
	err = ytree__parse(&root, &s, text, len);
	if (err)
		return err;
	c = config__new(name);
	err = c ? fill(c, &s, root) : source_nomem(&s);
	ytree__free(root);
	if (err)
		config__free(c);
	else
		*out = c;
	return err;
}

/* One byte more than is allowed, so that the parser can tell that there is more. */
#define READ_MAX (YTREE_BYTES + 1)

static int read_all(int fd, char *buf, size_t *len)
{
	*len = 0;
	while (*len < READ_MAX) {
		ssize_t n = read(fd, buf + *len, READ_MAX - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return 0;
}

int config__load(struct config **out, const char *file, struct err *e)
{
	struct source s = { file, e };
	char *buf = NULL;
	size_t len = 0;
	int fd, err;

	*out = NULL;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		return err_set(e, -err, "cannot open %s: %s", file, strerror(-err));
	}
	buf = malloc(READ_MAX);
	if (!buf) {
		err = source_nomem(&s);
		goto cleanup;
	}
	err = read_all(fd, buf, &len);
	if (err) {
		err_set(e, -err, "cannot read %s: %s", file, strerror(-err));
		goto cleanup;
	}
	err = config__parse(out, buf, len, file, e);
cleanup:
	free(buf);
	close(fd);
	return err;
}
