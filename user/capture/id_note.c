// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What people are told about a version: where it is, or what was found instead and what happens next.
 *
 * Invariant: of an environment only the name in the config is ever written, no value and no other name.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture/resolve.h"

#define SHOWN 3 /* examples in a note */

/* A note under construction; what does not fit is cut off with "...". */
struct note {
	char *text;
	size_t len, cap;
};

static void __attribute__((format(printf, 2, 3))) say(struct note *n, const char *fmt, ...)
{
	va_list ap;
	int want;

	va_start(ap, fmt);
	want = vsnprintf(n->text + n->len, n->cap - n->len, fmt, ap);
	va_end(ap);
	if (want < 0)
		return;
	if ((size_t)want < n->cap - n->len) {
		n->len += (size_t)want;
		return;
	}
	n->len = n->cap - 1;
	if (n->cap > 4)
		memcpy(n->text + n->cap - 4, "...", 4);
}

/* Up to SHOWN different texts after "head", and how many there were beyond them. */
struct examples {
	char seen[SHOWN][120];
	size_t n, total;
};

static void example(struct examples *x, const char *text)
{
	for (size_t i = 0; i < x->n; i++)
		if (!strcmp(x->seen[i], text))
			return;
	x->total++;
	if (x->n < SHOWN)
		snprintf(x->seen[x->n++], sizeof(x->seen[0]), "%s", text);
}

static void say_examples(struct note *n, const char *head, const struct examples *x)
{
	if (!x->n)
		return;
	say(n, "%s", head);
	for (size_t i = 0; i < x->n; i++)
		say(n, "%s%s", i ? ", " : "", x->seen[i]);
	if (x->total > x->n)
		say(n, " and %zu more", x->total - x->n);
}

/* --- pieces
 * ---------------------------------------------------------------------------------------------------------------- */

/* "2 processes (pid 4711 nginx)": the first of them, which is mostly the master. */
static void say_processes(struct note *n, struct resolve *r, size_t version)
{
	size_t count = r->versions[version].n_processes;

	say(n, "%zu process%s", count, count == 1 ? "" : "es");
	for (size_t i = 0; i < proctable__count(r->processes); i++) {
		struct process *p = proctable__at(r->processes, i);

		if (!resolve__is_member(r, p, version) || !process__stat(r->processes, p))
			continue;
		say(n, " (pid %d %s)", (int)p->pid, p->comm);
		return;
	}
}

/* "0.0.0.0:80 (nginx, pid 12)" */
static void describe(struct resolve *r, const struct sock *s, char *text, size_t len)
{
	char place[80];

	place__text(&s->place, s->family, place, sizeof(place));
	for (size_t h = 0; h < s->n_holders; h++) {
		struct process *p = proctable__at(r->processes, s->holders[h]);

		if (!process__stat(r->processes, p))
			continue;
		snprintf(text, len, "%s (%s, pid %d)", place, p->comm, (int)p->pid);
		return;
	}
	snprintf(text, len, "%s", place);
}

/* Nearest to what was looked for first: the same port, then our own namespace, then the rest. */
static void say_listening(struct note *n, struct resolve *r, const char *head, const struct tw_place *wanted,
                          uint64_t held_by)
{
	struct examples x = { .n = 0 };

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < r->sockets.n; i++) {
			const struct sock *s = &r->sockets.v[i];
			bool same_port = wanted && s->place.port == wanted->port, mine = !held_by;
			char text[120];

			for (size_t h = 0; h < s->n_holders && !mine; h++)
				mine = proctable__at(r->processes, s->holders[h])->own & held_by;
			if (s->place.client || !mine || round != (same_port ? 0 : s->own_netns ? 1 : 2))
				continue;
			describe(r, s, text, sizeof(text));
			example(&x, text);
		}
	}
	if (x.n)
		say_examples(n, head, &x);
	else if (!held_by)
		say(n, "; nothing else listens either");
}

static void wanted_text(const struct resolve *r, size_t version, bool client, char *text, size_t len)
{
	struct tw_place place;

	if (version__place(&r->c->versions[version], client, &place))
		place__text(&place, 0, text, len);
	else
		snprintf(text, len, "any port");
}

/* --- nothing found: why, key by key
 * --------------------------------------------------------------------------------------------- */

static void say_no_cgroup(struct note *n, struct resolve *r, const char *cgroup)
{
	struct examples x = { .n = 0 };
	uint64_t id;

	if (!cgroup2__id(&r->cgroup2, cgroup, &id)) {
		say(n, "no process is in cgroup %s", cgroup);
		return;
	}
	say(n, "there is no cgroup %s below %s", cgroup, r->cgroup2.mount);
	for (size_t i = 0; i < proctable__count(r->processes); i++) {
		const char *path = process__cgroup2(r->processes, proctable__at(r->processes, i));

		path = path ? cgroup2__below_mount(&r->cgroup2, path) : NULL;
		if (path && strcmp(path, "/"))
			example(&x, path);
	}
	say_examples(n, "; processes are in ", &x);
}

/* The last component of a path that looks like a systemd unit. */
static void example_unit(struct examples *x, const char *path)
{
	const char *last = path ? strrchr(path, '/') : NULL, *dot = last ? strrchr(last, '.') : NULL;

	if (dot && (!strcmp(dot, ".service") || !strcmp(dot, ".scope")))
		example(x, last + 1);
}

static void say_no_unit(struct note *n, struct resolve *r, const char *unit)
{
	struct examples x = { .n = 0 };

	say(n, "no process is in unit %s", unit);
	for (size_t i = 0; i < proctable__count(r->processes); i++) {
		struct process *p = proctable__at(r->processes, i);

		example_unit(&x, process__cgroup2(r->processes, p));
		example_unit(&x, process__systemd(r->processes, p));
	}
	say_examples(n, "; running units: ", &x);
}

static void say_no_exe(struct note *n, struct resolve *r, const char *exe)
{
	const char *name = strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe;
	struct examples x = { .n = 0 };

	if (access(exe, F_OK))
		say(n, "there is no file %s, and no process runs it", exe);
	else
		say(n, "no process runs %s", exe);
	for (size_t i = 0; i < proctable__count(r->processes); i++) {
		struct process *p = proctable__at(r->processes, i);
		const char *have = process__exe(r->processes, p);
		char text[120];

		if (!have || !strrchr(have, '/') || strcmp(strrchr(have, '/') + 1, name))
			continue;
		snprintf(text, sizeof(text), "%s (pid %d)", have, (int)p->pid);
		example(&x, text);
	}
	say_examples(n, "; of that name runs ", &x);
}

static void say_no_env(struct note *n, struct resolve *r, const char *assignment)
{
	int name = (int)strcspn(assignment, "=");
	size_t others = 0;

	for (size_t i = 0; i < proctable__count(r->processes); i++)
		others += process__env(r->processes, proctable__at(r->processes, i), assignment) == ENV_OTHER_VALUE;
	say(n, "no process was started with this value of %.*s (%zu with another)", name, assignment, others);
}

static void say_no_build_id(struct note *n, struct resolve *r, const char *build_id)
{
	struct examples x = { .n = 0 };

	say(n, "no process runs a program with build id %s", build_id);
	for (size_t i = 0; i < r->sockets.n; i++) {
		const struct sock *s = &r->sockets.v[i];

		for (size_t h = 0; h < s->n_holders; h++) {
			struct process *p = proctable__at(r->processes, s->holders[h]);
			const char *have = process__build_id(r->processes, p);
			char text[120];

			if (!have || !process__stat(r->processes, p))
				continue;
			snprintf(text, sizeof(text), "%.12s (%s)", have, p->comm);
			example(&x, text);
		}
	}
	say_examples(n, "; programs that listen have ", &x);
}

static void say_no_match_of(struct note *n, struct resolve *r, const struct match *m, enum match_key key)
{
	switch (key) {
	case MATCH_PID:
		say(n, "there is no process %d", (int)m->pid);
		break;
	case MATCH_CGROUP:
		say_no_cgroup(n, r, m->cgroup);
		break;
	case MATCH_UNIT:
		say_no_unit(n, r, m->unit);
		break;
	case MATCH_EXE:
		say_no_exe(n, r, m->exe);
		break;
	case MATCH_ENV:
		say_no_env(n, r, m->env);
		break;
	case MATCH_BUILD_ID:
		say_no_build_id(n, r, m->build_id);
		break;
	case MATCH_KEYS:
		break;
	}
}

/* The first key that nothing satisfies explains it; when each has its processes, the combination does. */
static void say_no_process(struct note *n, struct resolve *r, size_t version)
{
	static const char *const names[] = { "pid", "cgroup", "unit", "exe", "env", "build_id" };
	const struct match *m = &r->c->versions[version].match;
	size_t count[MATCH_KEYS] = { 0 };
	const char *separator = "";

	for (enum match_key key = 0; key < MATCH_KEYS; key++) {
		if (!match__has_key(m, key))
			continue;
		for (size_t i = 0; i < proctable__count(r->processes); i++) {
			struct process *p = proctable__at(r->processes, i);

			if (process__stat(r->processes, p) && !p->kthread && p->pid != getpid())
				count[key] += match__key_holds(&r->matcher, r->processes, p, version, key);
		}
		if (!count[key]) {
			say_no_match_of(n, r, m, key);
			return;
		}
	}
	say(n, "no process matches all of it (");
	for (enum match_key key = 0; key < MATCH_KEYS; key++) {
		if (!match__has_key(m, key))
			continue;
		say(n, "%s%s: %zu", separator, names[key], count[key]);
		separator = ", ";
	}
	say(n, ")");
}

/* --- whole notes
 * ----------------------------------------------------------------------------------------------------------------- */

static void say_waiting(struct note *n, struct resolve *r, size_t version)
{
	const struct version_work *w = &r->versions[version];
	struct tw_place place;
	char where[80];
	bool named = version__place(&r->c->versions[version], false, &place);

	wanted_text(r, version, !w->server, where, sizeof(where));
	if (w->process_keys && !w->n_processes) {
		say_no_process(n, r, version);
	} else if (!w->server) {
		say(n, "no connection to %s", where);
		if (w->process_keys) {
			say(n, " from ");
			say_processes(n, r, version);
		}
	} else if (w->process_keys) {
		say_processes(n, r, version);
		say(n, "%s on %s", w->n_processes == 1 ? ", not listening" : ", none listening", where);
		say_listening(n, r, w->n_processes == 1 ? "; it listens on " : "; they listen on ", NULL,
		              1ULL << version);
	} else {
		say(n, "nothing listens on %s", where);
		say_listening(n, r, "; listening now: ", named ? &place : NULL, 0);
	}
}

/* The sockets of the version on one side, each place once. */
static void say_places(struct note *n, struct resolve *r, size_t version, bool client, const char *head)
{
	struct examples x = { .n = 0 };

	for (size_t i = 0; i < r->sockets.n; i++) {
		const struct sock *s = &r->sockets.v[i];
		char text[80];

		if (s->place.client == client && (s->claimed >> version & 1))
			example(&x, place__text(&s->place, s->family, text, sizeof(text)));
	}
	say_examples(n, head, &x);
}

static size_t count_connections(const struct resolve *r, size_t version)
{
	size_t count = 0;

	for (size_t i = 0; i < r->sockets.n; i++)
		count += r->sockets.v[i].place.client && (r->sockets.v[i].claimed >> version & 1);
	return count;
}

static void say_found(struct note *n, struct resolve *r, size_t version)
{
	const struct version_work *w = &r->versions[version];
	size_t connections = count_connections(r, version);
	struct examples x = { .n = 0 };

	if (connections) {
		say(n, "%zu connection%s", connections, connections == 1 ? "" : "s");
		say_places(n, r, version, true, " to ");
	}
	for (size_t i = 0; i < r->sockets.n && connections; i++) {
		const struct sock *s = &r->sockets.v[i];

		for (size_t h = 0; h < s->n_holders && s->place.client && (s->claimed >> version & 1); h++) {
			struct process *p = proctable__at(r->processes, s->holders[h]);
			char text[48];

			if (!process__stat(r->processes, p))
				continue;
			snprintf(text, sizeof(text), "pid %d %s", (int)p->pid, p->comm);
			example(&x, text);
		}
	}
	say_examples(n, " from ", &x);
	if (connections < w->n_sockets)
		say_places(n, r, version, false, connections ? ", listening on " : "listening on ");
	if (w->n_processes) {
		say(n, ", ");
		say_processes(n, r, version);
	}
	if (w->shared)
		say(n, "; shared with others: told apart by the process that reads");
}

static void say_conflict(struct note *n, struct resolve *r, size_t version)
{
	const struct version_work *w = &r->versions[version];
	const char *separator = "";

	say(n, "overlap: %s is claimed by %s and by ", w->conflict_on, r->c->versions[version].name);
	for (size_t i = 0; i < r->c->n_versions; i++) {
		if (!(w->conflict >> i & 1))
			continue;
		say(n, "%s%s", separator, r->c->versions[i].name);
		separator = ", ";
	}
	say(n, "; narrow one of the matches");
}

void resolve__note(struct resolve *r, size_t version, struct id_version *out)
{
	const char *tail = "";
	struct note n = { .text = out->note, .cap = sizeof(out->note) };

	if (out->state == ID_WAITING)
		tail = r->versions[version].watches_all ? "; waiting for it, watching every cgroup meanwhile"
		                                        : "; waiting for it";
	out->note[0] = '\0';
	n.cap -= strlen(tail);
	if (out->state == ID_CONFLICT)
		say_conflict(&n, r, version);
	else if (out->state == ID_WAITING)
		say_waiting(&n, r, version);
	else
		say_found(&n, r, version);
	n.cap += strlen(tail);
	say(&n, "%s", tail);
}
