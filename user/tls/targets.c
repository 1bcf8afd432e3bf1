// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/look.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Nothing tells of a library that is loaded later, so processes are asked. */
#define CHECK_EVERY 2.0
/* However often one asks. */
#define ASKED_EVERY 0.5
/* With more processes than this takes, each is asked less often. */
#define CHECKS_A_SECOND 100.0
/* What has to wait for something short, as the end of a vfork. */
#define SOON        0.1
#define SWEEP_EVERY 10.0
/* How long exchanges in flight are followed in a process that is read no more. */
#define LEAVE_AFTER 5.0
/* Files that some process has in it at a time; more than the usual limit, which 60 workers would reach. */
#define FILES_WANTED 65536

struct tls_targets {
	struct tls_look look;
	struct tls_target **v; /* by tgid */
	size_t n, cap;
	size_t at; /* where the next round of work goes on */
	double sweep_at;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Every place that is watched in a process is an open file of ours. */
static void raise_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= FILES_WANTED)
		return;
	if (r.rlim_max < FILES_WANTED) {
		struct rlimit more = { FILES_WANTED, FILES_WANTED };

		if (!setrlimit(RLIMIT_NOFILE, &more))
			return;
	}
	r.rlim_cur = r.rlim_max < FILES_WANTED ? r.rlim_max : FILES_WANTED;
	setrlimit(RLIMIT_NOFILE, &r);
}

struct tls_targets *tls_targets__new(struct loader *l)
{
	struct tls_targets *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->look = (struct tls_look){ l, closer__new(), tls_files__new() };
	if (!t->look.closer || !t->look.files) {
		tls_targets__free(t);
		return NULL;
	}
	if (l)
		raise_limit();
	return t;
}

/* ---- letting go -------------------------------------------------------------------------------------------------- */

/* Forgets what was found in the process, and takes the programs out of it. */
static void clear(struct tls_targets *t, struct tls_target *at)
{
	tls_look__forget(&t->look, at);
	if (at->reading != TLS_READ)
		loader__tls_withhold(t->look.loader, at->tgid, 0);
	at->reading = TLS_READ;
	at->looked = false;
	at->due = 0;
}

static void target_free(struct tls_targets *t, struct tls_target *at)
{
	clear(t, at);
	free(at);
}

void tls_targets__stop(struct tls_targets *t)
{
	for (size_t i = 0; i < t->n; i++)
		tls_look__let_go(&t->look, t->v[i]);
	closer__wait(t->look.closer);
}

void tls_targets__free(struct tls_targets *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		target_free(t, t->v[i]);
	closer__free(t->look.closer);
	tls_files__free(t->look.files);
	free(t->v);
	free(t);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* Where it is, or would be. */
static size_t place_of(const struct tls_targets *t, pid_t tgid)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->v[mid]->tgid < tgid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct tls_target *find(const struct tls_targets *t, pid_t tgid)
{
	size_t at = place_of(t, tgid);

	return at < t->n && t->v[at]->tgid == tgid ? t->v[at] : NULL;
}

static int add(struct tls_targets *t, pid_t tgid, struct tls_target **out)
{
	size_t at = place_of(t, tgid);
	struct tls_target *fresh;

	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		struct tls_target **grown = reallocarray(t->v, cap, sizeof(struct tls_target *));

		if (!grown)
			return -ENOMEM;
		t->v = grown;
		t->cap = cap;
	}
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	fresh->tgid = tgid;
	fresh->cpu = NAN;
	memmove(t->v + at + 1, t->v + at, (t->n - at) * sizeof(*t->v));
	t->v[at] = fresh;
	t->n++;
	*out = fresh;
	return 0;
}

/* start_ticks 0: not known. */
static int want(struct tls_targets *t, pid_t tgid, uint64_t start_ticks, uint16_t version)
{
	struct tls_target *at = find(t, tgid);
	int err;

	if (at && start_ticks && at->was.start_ticks && !same_start(at->was.start_ticks, start_ticks)) {
		clear(t, at);
		at->was = (struct tls_process){ .start_ticks = start_ticks };
	}
	if (!at) {
		err = add(t, tgid, &at);
		if (err)
			return err;
		at->was.start_ticks = start_ticks;
	}
	at->version = at->wanted && at->version != version ? 0 : version;
	at->wanted = true;
	return 0;
}

/* Takes out of the table what nobody wants. */
static void drop_unwanted(struct tls_targets *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i]->wanted) {
			t->v[kept++] = t->v[i];
			continue;
		}
		log_debug("process %d (%s) is of no version any more", (int)t->v[i]->tgid, t->v[i]->comm);
		target_free(t, t->v[i]);
	}
	t->n = kept;
}

int tls_targets__update(struct tls_targets *t, const struct id_process *p, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < t->n; i++)
		t->v[i]->wanted = false;
	for (size_t i = 0; i < n && !err; i++)
		err = want(t, p[i].tgid, p[i].start_ticks, p[i].version);
	if (!err)
		drop_unwanted(t);
	for (size_t i = 0; i < t->n; i++)
		t->v[i]->wanted = true;
	return err;
}

/* What a record says of a process, apart from the list of all. */
static int learn(struct tls_targets *t, pid_t tgid, uint16_t version, struct tls_target **out)
{
	struct tls_process is;
	int err = tls_process__read(tgid, &is);

	*out = NULL;
	if (err)
		return 0; /* it has gone again */
	err = want(t, tgid, is.start_ticks, version);
	if (!err) {
		*out = find(t, tgid);
		(*out)->version = version;
	}
	return err;
}

int tls_targets__forked(struct tls_targets *t, pid_t child, uint16_t version)
{
	struct tls_target *at;

	return learn(t, child, version, &at);
}

static void forget(struct tls_targets *t, size_t i)
{
	target_free(t, t->v[i]);
	memmove(t->v + i, t->v + i + 1, (t->n - i - 1) * sizeof(*t->v));
	t->n--;
}

int tls_targets__execed(struct tls_targets *t, pid_t tgid, uint16_t version)
{
	struct tls_target *at = find(t, tgid);
	int err = 0;

	if (at && !version)
		forget(t, place_of(t, tgid));
	if (version)
		err = learn(t, tgid, version, &at);
	if (version && at)
		clear(t, at);
	return err;
}

void tls_targets__look_again(struct tls_targets *t, uint16_t version)
{
	double time = now();

	for (size_t i = 0; i < t->n; i++) {
		struct tls_target *at = t->v[i];

		if (version && at->version && at->version != version)
			continue;
		at->was.code = 0;
		if (at->due > at->asked + ASKED_EVERY)
			at->due = at->asked + ASKED_EVERY;
		if (at->due <= time)
			at->asked = time;
	}
}

size_t tls_targets__count(const struct tls_targets *t)
{
	return t->n;
}

const struct tls_target *tls_targets__at(const struct tls_targets *t, size_t i)
{
	return t->v[i];
}

unsigned int tls_targets__files_read(const struct tls_targets *t)
{
	return tls_files__read(t->look.files);
}

/* ---- reading it or not ------------------------------------------------------------------------------------------- */

static void leave(struct tls_targets *t, struct tls_target *at)
{
	bool away = at->reading == TLS_RETURNING;

	if (loader__tls_withhold(t->look.loader, at->tgid, away ? TW_WITHHELD_ALL : TW_WITHHELD_BETWEEN)) {
		log_warn("process %d (%s) cannot be left to itself: it goes on being read", (int)at->tgid, at->comm);
		return;
	}
	at->reading = away ? TLS_AWAY : TLS_LEAVING;
	at->leave_at = now() + LEAVE_AFTER;
	if (away)
		tls_look__let_go(&t->look, at);
	else if (at->due > at->leave_at)
		at->due = at->leave_at;
}

static void come_back(struct tls_targets *t, struct tls_target *at)
{
	if (at->reading == TLS_LEAVING) {
		loader__tls_withhold(t->look.loader, at->tgid, 0);
		at->reading = TLS_READ;
		return;
	}
	for (size_t i = 0; i < at->n_uses; i++)
		at->uses[i].tried = false;
	at->reading = TLS_RETURNING;
	at->due = 0;
}

void tls_targets__withhold(struct tls_targets *t, pid_t tgid, bool withhold)
{
	struct tls_target *at = find(t, tgid);

	if (!at || !t->look.loader)
		return;
	if (withhold && (at->reading == TLS_READ || at->reading == TLS_RETURNING))
		leave(t, at);
	else if (!withhold && (at->reading == TLS_LEAVING || at->reading == TLS_AWAY))
		come_back(t, at);
}

void tls_targets__measure(struct tls_targets *t)
{
	double tick = (double)sysconf(_SC_CLK_TCK);

	for (size_t i = 0; i < t->n; i++) {
		struct tls_target *at = t->v[i];
		struct tls_process is;
		double time = now();

		if (tls_process__read(at->tgid, &is))
			continue; /* it goes at the next look */
		at->cpu = NAN;
		if (at->cpu_at > 0 && at->cpu_start_ticks == is.start_ticks && is.cpu >= at->cpu_ticks)
			at->cpu = (double)(is.cpu - at->cpu_ticks) / tick / (time - at->cpu_at);
		at->cpu_at = time;
		at->cpu_ticks = is.cpu;
		at->cpu_start_ticks = is.start_ticks;
	}
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

static bool shares_memory(const struct tls_targets *t, const struct tls_target *at, pid_t parent)
{
	return find(t, parent) && tls_process__share_memory(at->tgid, parent);
}

/*
 * Is it still what it was? 0: nothing has changed; 1: it is to be looked into; -EAGAIN: later; -ESRCH: it has gone,
 * or its number is another's, whose version nobody has said.
 */
static int has_changed(struct tls_targets *t, struct tls_target *at)
{
	struct tls_process is;
	bool changed;
	int err = tls_process__read(at->tgid, &is);

	if (err) {
		snprintf(at->note, sizeof(at->note), "cannot read its state: %s", strerror(-err));
		return err == -ESRCH ? err : -EAGAIN;
	}
	if (at->was.start_ticks && !same_start(at->was.start_ticks, is.start_ticks))
		return -ESRCH;
	/* What is placed in a child that still runs in its parent's memory would be seen in the parent, twice. */
	if (!at->looked && shares_memory(t, at, is.parent))
		return -EAGAIN;
	if (at->was.program && at->was.program != is.program) {
		log_debug("process %d (%s) runs another program", (int)at->tgid, at->comm);
		clear(t, at);
	}
	changed = !at->looked || at->was.code != is.code;
	at->was = is;
	memcpy(at->comm, is.comm, sizeof(at->comm));
	return changed;
}

/* Attaches what belongs there: nothing while it is away. */
static int attach(struct tls_targets *t, struct tls_target *at, double time)
{
	int err;

	if (at->reading == TLS_LEAVING && time >= at->leave_at) {
		/* First that is said, then they go: whose last exchange is cut short is not told by half a call. */
		loader__tls_withhold(t->look.loader, at->tgid, TW_WITHHELD_ALL);
		tls_look__let_go(&t->look, at);
		at->reading = TLS_AWAY;
	}
	if (at->reading == TLS_AWAY)
		return 0;
	err = tls_look__attach(&t->look, at);
	if (!err && at->reading == TLS_RETURNING) {
		loader__tls_withhold(t->look.loader, at->tgid, 0);
		at->reading = TLS_READ;
	}
	return err;
}

/* 0, or -ESRCH: it has gone. Sets when it is due again. */
static int step(struct tls_targets *t, struct tls_target *at, double time)
{
	double spread = (double)t->n / CHECKS_A_SECOND;
	int err = has_changed(t, at);

	at->due = time + (spread > CHECK_EVERY ? spread : CHECK_EVERY);
	if (err > 0) {
		err = tls_look__scan(&t->look, at);
		at->looked = !err;
	}
	if (!err)
		err = attach(t, at, time);
	if (err == -EAGAIN)
		at->due = time + SOON;
	if (at->reading == TLS_LEAVING && at->due > at->leave_at)
		at->due = at->leave_at;
	return err == -ESRCH ? err : 0;
}

size_t tls_targets__work(struct tls_targets *t, double seconds)
{
	double start = now(), time = start;
	size_t due = 0;

	for (size_t left = t->n; left && time - start <= seconds; left--, time = now()) {
		if (t->at >= t->n)
			t->at = 0;
		if (t->v[t->at]->due > start)
			t->at++;
		else if (step(t, t->v[t->at], time))
			forget(t, t->at);
		else
			t->at++;
	}
	for (size_t i = 0; i < t->n; i++)
		due += t->v[i]->due <= start;
	if (time >= t->sweep_at) {
		tls_files__sweep(t->look.files);
		t->sweep_at = time + SWEEP_EVERY;
	}
	return due;
}
