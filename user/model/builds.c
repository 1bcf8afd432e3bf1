// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "model/builds.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *file_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

static bool same_name(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static bool stand_in(const struct build *a, const struct build *b)
{
	return a->port == b->port || same_name(a->name, b->name);
}

int builds__add(struct builds *b, const char *exe, const char *id, uint16_t port)
{
	const char *name = file_name(exe);
	struct build add = { .port = port };

	if (!id || b->n == BUILDS_MAX)
		return 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].port == port && !strcmp(b->v[i].id, id) &&
		    (same_name(b->v[i].name, name) || (!name && !b->v[i].name)))
			return 0;
	add.id = strdup(id);
	add.name = name ? strdup(name) : NULL;
	if (!add.id || (name && !add.name)) {
		free(add.id);
		free(add.name);
		return -ENOMEM;
	}
	b->v[b->n++] = add;
	return 0;
}

/* How many builds stood in for this one, itself included. */
static unsigned int with(const struct builds *b, const struct build *one)
{
	unsigned int n = 0;

	for (size_t i = 0; i < b->n; i++) {
		bool again = !stand_in(one, &b->v[i]);

		for (size_t j = 0; j < i && !again; j++)
			again = stand_in(one, &b->v[j]) && !strcmp(b->v[i].id, b->v[j].id);
		n += !again;
	}
	return n;
}

unsigned int builds__count(const struct builds *b)
{
	unsigned int most = 0;

	for (size_t i = 0; i < b->n; i++) {
		unsigned int n = with(b, &b->v[i]);

		if (n > most)
			most = n;
	}
	return most;
}

void builds__free(struct builds *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->v[i].name);
		free(b->v[i].id);
	}
	b->n = 0;
}
