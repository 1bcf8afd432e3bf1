// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the judge is told of each arm as a whole. */
#include <errno.h>
#include <signal.h>

#include "capture/readers.h"
#include "capture/sessions.h"
#include "session/internal.h"

static uint64_t gained(const struct session *s, int version, enum tw_ledger what)
{
	return s->now[version].c[what] - s->arms[version].ledger.c[what];
}

/* ---- builds ----------------------------------------------------------------------------------------------------- */

static void on_reader(void *arg, const struct tw_reader *r)
{
	struct session *s = arg;
	const struct generation *g = generations__find(s->generations, (pid_t)r->tgid);

	if (g && r->version < TW_MAX_VERSIONS)
		builds__add(&s->arms[r->version].builds, g->exe, g->build_id, r->port);
}

/* ---- whether it is still there ---------------------------------------------------------------------------------- */

static bool some_process_lives(const struct session *s, int version)
{
	bool any = false;

	for (size_t i = 0; i < s->ids->n_processes; i++) {
		if (s->ids->processes[i].version != version)
			continue;
		any = true;
		if (!kill(s->ids->processes[i].tgid, 0) || errno != ESRCH)
			return true;
	}
	return !any; /* known by its places alone */
}

/*
 * Nothing tells when a process ends, or stops to listen, so it is asked for; what has come in its place is found by
 * looking again.
 */
static bool is_gone(struct session *s, int version, bool idle)
{
	bool found = s->ids->versions[version - 1].state == ID_FOUND;

	if (found && idle)
		versions_look_again(s, RESOLVE_LATER);
	if (found)
		s->arms[version].found = true;
	if (found && !some_process_lives(s, version)) {
		versions_look_again(s, RESOLVE_SOON);
		return true;
	}
	return s->arms[version].found && !found;
}

/* ---- what it lost ----------------------------------------------------------------------------------------------- */

static const enum tw_outcome server_dropped[] = { TW_UNANSWERED, TW_TRUNCATED, TW_RESET_BY_SERVER };

static void outcomes_fill(const struct session *s, struct arm_run *a, int version)
{
	for (size_t i = 0; i < s->n_live; i++) {
		const struct cell *c = s->live[i];

		if (c->version != version)
			continue;
		a->lost_exchanges += cell_lost(c);
		for (size_t k = 0; k < sizeof(server_dropped) / sizeof(*server_dropped); k++)
			a->dropped += c->tick_outcome[server_dropped[k]];
	}
}

static void arm_fill(struct session *s, struct arm_run *a, int version)
{
	uint64_t seen = gained(s, version, TW_L_REQUESTS), moved = gained(s, version, TW_L_MOVED);
	struct arm_watch *w = &s->arms[version];
	uint64_t cut = w->cut, turns = tls_turns_begun(s, (unsigned int)version, w->turns);
	uint64_t withheld = tls_turns_withheld(s, (unsigned int)version, w->withheld);

	a->seen = seen > moved ? seen - moved : 0;
	a->lost_events = gained(s, version, TW_L_LOST_EVENTS);
	a->lost_exchanges = gained(s, version, TW_L_LOST_EXCHANGES);
	a->opened = gained(s, version, TW_L_DECODED);
	outcomes_fill(s, a, version);
	/* Answers without a length are exchanges, as all streams of HTTP/2 are, and in the outcomes already. */
	if (!sessions__cut(s->loader, (unsigned int)version, &cut)) {
		a->dropped += cut - w->cut;
		w->cut = cut;
	}
	/* What was begun may be taken back. */
	a->unread = turns > w->turns ? turns - w->turns : 0;
	w->turns += a->unread;
	a->withheld = withheld > w->withheld ? withheld - w->withheld : 0;
	w->withheld += a->withheld;
	a->builds = builds__count(&w->builds);
	a->gone = is_gone(s, version, !a->seen);
}

void arms_fill(struct session *s, struct tick *tick, int baseline, int canary)
{
	readers__take(loader__readers(s->loader), on_reader, s);
	if (baseline)
		arm_fill(s, &tick->baseline, baseline);
	if (canary)
		arm_fill(s, &tick->canary, canary);
	/* Nobody had read them yet, and their port is shared: it is not known whose they are. */
	if (gained(s, 0, TW_L_DECODED))
		tick->baseline.opened = tick->canary.opened = 0;
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		s->arms[v].ledger = s->now[v];
}

void arms_free(struct session *s)
{
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		builds__free(&s->arms[v].builds);
}
