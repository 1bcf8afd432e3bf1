// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <string.h>

#include "session/internal.h"

/* How often the host is looked at when nothing says that something has changed. */
#define RESOLVE_EVERY 30.0
/* While a version has not been found, or the kernel cannot tell of changes. */
#define RESOLVE_WAITING 1.0
/* After records were lost. */
#define RESOLVE_LOSING 3.0

void versions_look_again(struct session *s, double spacing)
{
	double at = s->resolved_at + spacing;

	if (at < s->resolve_at)
		s->resolve_at = at;
}

/* A record that found no room, or a program that was passed over, may have told of a listener or a process. */
void versions_after_losses(struct session *s)
{
	struct tw_ledger_row t;
	uint64_t lost;

	ledger_total(s, &t);
	lost = t.c[TW_L_LOST_EVENTS] + t.c[TW_L_LOST_DETAILS] + s->passed_over.others;
	if (lost != s->lost_records)
		versions_look_again(s, RESOLVE_LOSING);
	s->lost_records = lost;
}

static bool waiting(const struct id_snapshot *ids)
{
	for (size_t i = 0; i < ids->n_versions; i++)
		if (ids->versions[i].state == ID_WAITING)
			return true;
	return false;
}

/* Says what was found or lost, once: what else listens meanwhile is no news. */
static void note_changes(const struct session *s, const struct id_snapshot *old)
{
	for (size_t i = 0; i < s->ids->n_versions; i++) {
		const struct id_version *v = &s->ids->versions[i];
		bool bad = v->state != ID_FOUND;

		if (old && i < old->n_versions && old->versions[i].state == v->state)
			continue;
		/* A version that no file names (top) may come and go without a word. */
		if (bad && s->config->versions[i].line)
			log_warn("%s: %s", s->config->versions[i].name, v->note);
		else if (old && s->config->versions[i].line)
			log_info("%s: %s", s->config->versions[i].name, v->note);
		else
			log_debug("%s: %s", s->config->versions[i].name, v->note);
	}
}

static void note_ages(struct session *s, double now)
{
	for (int v = 0; v < TW_MAX_VERSIONS; v++)
		s->process_start[v] = NAN;
	for (size_t i = 0; i < s->ids->n_processes; i++) {
		const struct id_process *p = &s->ids->processes[i];
		double start = now - p->age;

		if (p->version < TW_MAX_VERSIONS && !(s->process_start[p->version] <= start))
			s->process_start[p->version] = start;
	}
}

static bool is_known(const struct id_process *p, const struct id_process *known, size_t n_known)
{
	for (size_t i = 0; i < n_known; i++)
		if (known[i].tgid == p->tgid && same_start(known[i].start_ticks, p->start_ticks))
			return true;
	return false;
}

static bool some_are_new(const struct id_snapshot *ids, const struct id_process *known, size_t n_known)
{
	for (size_t i = 0; i < ids->n_processes; i++)
		if (!is_known(&ids->processes[i], known, n_known))
			return true;
	return false;
}

/*
 * The children of a process are told of from when the kernel knows it: those that it had while it was being found are
 * found by looking once more. A host on which there is always somebody new is not looked at all the time.
 */
static void look_for_born(struct session *s, bool some)
{
	if (some)
		versions_look_again(s, s->looked_for_born ? RESOLVE_LATER : RESOLVE_SOON);
	s->looked_for_born = some;
}

int versions_resolve(struct session *s, struct err *e)
{
	struct id_snapshot *old = s->ids, *ids = NULL;
	double now = session_now();
	struct id_known known = { .listeners = old ? old->listeners : NULL, .n_listeners = old ? old->n_listeners : 0 };
	int gone, err;
	bool some;

	known.processes = generations__known(s->generations, &known.n_processes);
	err = identity__resolve_knowing(s->config, &known, &ids, e);
	if (err)
		return err;
	some = some_are_new(ids, known.processes, known.n_processes);
	/* First who reads, then what is watched: what is asked from the first packet on is read, too. */
	if (tls_follow(s, ids))
		log_warn("out of memory: new processes are watched later");
	gone = loader__apply(s->loader, ids, e);
	err = gone < 0 ? gone : 0;
	if (!err && s->losses && losses__follow(s->losses, ids))
		err = err_set(e, ENOMEM, "out of memory following listeners");
	if (err) {
		id_snapshot__free(ids);
		return err;
	}
	loader__processes_sweep(s->loader);
	s->ids = ids;
	s->resolved_at = now;
	s->resolve_at = now + (waiting(ids) || gone ? RESOLVE_WAITING : RESOLVE_EVERY);
	look_for_born(s, some);
	note_changes(s, old);
	note_ages(s, now);
	generations__note(s->generations, ids->processes, ids->n_processes);
	id_snapshot__free(old);
	return 0;
}

/* A service is warming up for the first seconds of its life, and no longer when a single worker is replaced. */
bool versions_warming(const struct session *s, double now)
{
	for (size_t v = 1; v <= s->config->n_versions; v++) {
		enum arm arm = s->config->versions[v - 1].arm;

		if (arm == ARM_OTHER || (arm == ARM_BASELINE && s->config->gate.mode == GATE_ABSOLUTE))
			continue;
		if (now - s->process_start[v] < s->config->gate.warmup)
			return true;
	}
	return false;
}

int versions_arm(const struct session *s, enum arm arm)
{
	int i = config__version_of_arm(s->config, arm);

	return i < 0 ? 0 : i + 1;
}
