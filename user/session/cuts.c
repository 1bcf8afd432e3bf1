// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "capture/procfs.h"
#include "session/internal.h"

/* The version a process belongs to, or belonged to when it lived. */
uint16_t version_of_process(struct session *s, uint32_t tgid)
{
	uint16_t version = identity__version_of(s->config, (pid_t)tgid);
	const struct generation *g = version ? NULL : generations__find(s->generations, (pid_t)tgid);

	return g ? g->version : version;
}

/*
 * Another program in a process: it may have inherited a version that this program does not belong to, or belong to one
 * now. Where versions are known by their places alone it stays what it is.
 */
void on_process(struct session *s, const struct tw_process_record *r)
{
	const struct generation *g = generations__find(s->generations, (pid_t)r->tgid);
	uint16_t before = g ? g->version : 0, version = before;
	bool by_pid = before && s->config->versions[before - 1].match.pid;

	/* Most that are short-lived have ended by now. */
	if (process__has_gone((pid_t)r->tgid)) {
		tls_execed(s, (pid_t)r->tgid, 0);
		return;
	}
	if (s->by_process) {
		version = identity__version_of(s->config, (pid_t)r->tgid);
		/* The chain of parents may be broken: the next look at the host decides. */
		if (version || !by_pid)
			loader__process(s->loader, r->tgid, version);
		else
			version = before;
		versions_look_again(s, RESOLVE_LATER);
	}
	generations__execed(s->generations, (pid_t)r->tgid, version);
	tls_execed(s, (pid_t)r->tgid, version);
}

void on_fork(struct session *s, const struct tw_fork_record *r)
{
	if (!is_version(s, r->version))
		return;
	generations__forked(s->generations, (pid_t)r->parent, (pid_t)r->tgid, (uint16_t)r->version, (double)r->t / 1e9);
	tls_forked(s, (pid_t)r->tgid, (uint16_t)r->version);
}

static bool is_same(const struct cut *a, const struct cut *b)
{
	return a->version_id == b->version_id && a->endpoint_id == b->endpoint_id && a->outcome == b->outcome &&
	       a->cause == b->cause && a->pid == b->pid &&
	       (a->process_started == b->process_started || (isnan(a->process_started) && isnan(b->process_started)));
}

/* The row for exchanges like this one. NULL: there is no room for another. */
static struct cut *cut_row(struct session *s, const struct cut *like, const struct generation *g)
{
	struct cut *row;

	for (size_t i = 0; i < s->n_cuts; i++)
		if (is_same(&s->cuts[i], like))
			return &s->cuts[i];
	if (!s->cuts)
		s->cuts = calloc(CUTS_MAX, sizeof(*s->cuts));
	if (!s->cuts || s->n_cuts == CUTS_MAX)
		return NULL;
	row = &s->cuts[s->n_cuts++];
	*row = *like;
	if (g) {
		row->exe = g->exe ? strdup(g->exe) : NULL;
		row->build_id = g->build_id ? strdup(g->build_id) : NULL;
	}
	return row;
}

void on_detail(struct session *s, const struct tw_detail_record *r)
{
	const struct generation *g;
	struct cut like = { .outcome = r->outcome % TW_OUTCOME_NR,
		            .cause = r->cause % TW_CAUSE_NR,
		            .pid = (pid_t)r->tgid,
		            .version_id = r->version };
	double at = (double)r->t_end / 1e9 - s->start;
	struct cut *row;

	if (!like.version_id && r->tgid)
		like.version_id = version_of_process(s, r->tgid);
	/* Read by a process of no version that shares the port: not ours. */
	like.endpoint_id = hash_endpoint(s, r->hash, r->endpoint);
	if (!is_version(s, like.version_id) || (!like.version_id && r->tgid) ||
	    like.endpoint_id > routes__count(s->routes))
		return;
	g = generations__find(s->generations, (pid_t)r->tgid);
	like.process_started = g ? g->started : NAN;
	row = cut_row(s, &like, g);
	if (!row) {
		s->cuts_other++;
		return;
	}
	if (!row->count++)
		row->first = at;
	row->last = at;
}

static int by_count(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->first < y->first ? -1 : x->first > y->first;
}

void cuts_fill(struct session *s, struct comparison *c)
{
	if (s->n_cuts)
		qsort(s->cuts, s->n_cuts, sizeof(*s->cuts), by_count);
	for (size_t i = 0; i < s->n_cuts; i++) {
		struct cut *row = &s->cuts[i];

		row->version = row->version_id ? s->config->versions[row->version_id - 1].name : NULL;
		row->arm = row->version_id ? (int)s->config->versions[row->version_id - 1].arm : -1;
		row->endpoint = row->endpoint_id ? routes__endpoint(s->routes, row->endpoint_id) : NULL;
	}
	c->cuts = s->cuts;
	c->n_cuts = s->n_cuts;
	c->cuts_other = s->cuts_other;
}

void cuts_free(struct session *s)
{
	for (size_t i = 0; i < s->n_cuts; i++) {
		free(s->cuts[i].exe);
		free(s->cuts[i].build_id);
	}
	free(s->cuts);
}
