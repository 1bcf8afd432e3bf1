// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/generations.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture/procfs.h"

/* How long the word of a process that was just looked at is taken for it. */
#define CHECK_EVERY 0.1

struct generations {
	struct generation v[GENERATIONS_MAX];
	size_t n;
	struct id_process known[GENERATIONS_MAX];
};

static double clock_now(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct generations *generations__new(void)
{
	return calloc(1, sizeof(struct generations));
}

static void forget(struct generation *at)
{
	free(at->exe);
	free(at->build_id);
	memset(at, 0, sizeof(*at));
}

void generations__free(struct generations *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n; i++)
		forget(&g->v[i]);
	free(g);
}

static struct generation *lookup(struct generations *g, pid_t tgid)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].tgid == tgid)
			return &g->v[i];
	return NULL;
}

/* Its entry emptied, or a new one, or that of the process nobody has asked for longest. */
static struct generation *entry_for(struct generations *g, pid_t tgid)
{
	struct generation *at = lookup(g, tgid);

	if (!at && g->n < GENERATIONS_MAX)
		at = &g->v[g->n++];
	if (!at) {
		at = &g->v[0];
		for (size_t i = 1; i < g->n; i++)
			if (g->v[i].used < at->used)
				at = &g->v[i];
	}
	forget(at);
	at->tgid = tgid;
	at->used = at->checked = clock_now(CLOCK_MONOTONIC);
	return at;
}

static char *copy_of(const char *s)
{
	return s ? strdup(s) : NULL;
}

/* Reads what /proc says of a process that lives. */
static struct generation *learn(struct generations *g, struct proctable *t, struct process *p, uint16_t version)
{
	struct generation *at;

	if (!process__stat(t, p))
		return NULL;
	at = entry_for(g, p->pid);
	at->version = version;
	at->start_ticks = p->start_ticks;
	at->started = clock_now(CLOCK_REALTIME) - process__age(t, p);
	at->exe = copy_of(process__exe(t, p));
	at->build_id = copy_of(process__build_id(t, p));
	return at;
}

void generations__note(struct generations *g, const struct id_process *list, size_t n)
{
	struct proctable *t;

	if (proctable__new_empty(&t, NULL))
		return;
	for (size_t i = 0; i < n; i++) {
		struct generation *have = lookup(g, list[i].tgid);
		struct process *p;

		if (have && same_start(have->start_ticks, list[i].start_ticks)) {
			have->version = list[i].version;
			have->used = clock_now(CLOCK_MONOTONIC);
			continue;
		}
		p = proctable__add(t, list[i].tgid);
		if (p)
			learn(g, t, p, list[i].version);
	}
	proctable__free(t);
}

void generations__forked(struct generations *g, pid_t parent, pid_t child, uint16_t version, double t)
{
	double ago = clock_now(CLOCK_MONOTONIC) - t, ticks = (double)sysconf(_SC_CLK_TCK);
	const struct generation *from = generations__find(g, parent);
	char *exe = from ? copy_of(from->exe) : NULL, *build_id = from ? copy_of(from->build_id) : NULL;
	struct generation *at = entry_for(g, child); /* may be the one that `from` was */

	at->version = version;
	at->exe = exe;
	at->build_id = build_id;
	at->started = clock_now(CLOCK_REALTIME) - ago;
	at->start_ticks = (uint64_t)((clock_now(CLOCK_BOOTTIME) - ago) * ticks);
}

static struct generation *look(struct generations *g, pid_t tgid, uint16_t version)
{
	struct generation *at = NULL;
	struct proctable *t;
	struct process *p;

	if (proctable__new_empty(&t, NULL))
		return NULL;
	p = proctable__add(t, tgid);
	if (p)
		at = learn(g, t, p, version);
	proctable__free(t);
	return at;
}

void generations__execed(struct generations *g, pid_t tgid, uint16_t version)
{
	const struct generation *have = lookup(g, tgid);

	if (have || version)
		look(g, tgid, version);
}

/* Has its number been given to another process meanwhile? One that has gone is still the one we knew. */
static bool is_another(pid_t tgid, uint64_t start_ticks)
{
	struct proctable *t;
	struct process *p;
	bool another;

	if (proctable__new_empty(&t, NULL))
		return false;
	p = proctable__add(t, tgid);
	another = p && process__stat(t, p) && !same_start(p->start_ticks, start_ticks);
	proctable__free(t);
	return another;
}

const struct generation *generations__find(struct generations *g, pid_t tgid)
{
	struct generation *at = lookup(g, tgid);
	double now = clock_now(CLOCK_MONOTONIC);

	if (!tgid)
		return NULL;
	if (at && now - at->checked > CHECK_EVERY) {
		at->checked = now;
		if (is_another(tgid, at->start_ticks))
			at = NULL;
	}
	if (!at)
		return look(g, tgid, 0);
	at->used = now;
	return at;
}

const struct id_process *generations__known(struct generations *g, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i].version)
			g->known[(*n)++] = (struct id_process){ .tgid = g->v[i].tgid,
				                                .version = g->v[i].version,
				                                .start_ticks = g->v[i].start_ticks };
	return g->known;
}
