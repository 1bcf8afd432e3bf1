// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Keeps the programs in the TLS libraries of the watched processes in step with these. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "session/internal.h"

/* At the beginning nothing else waits. */
#define BEGIN_SECONDS 2.0
/* Later there are records in the ring. */
#define WORK_SECONDS 0.01
/* Processes that connect to watched versions: proxies with their workers. */
#define CLIENTS_MAX 1024
/* Processes that are known to speak TLS: they are who is named when it cannot be read. */
#define READERS_MAX 4096

int tls_begin(struct session *s)
{
	if (!loader__tls(s->loader))
		return 0;
	s->tls = tls_targets__new(s->loader);
	return s->tls && tls_budget_begin(s) ? 0 : -ENOMEM;
}

static int by_tgid(const void *a, const void *b)
{
	const struct id_process *x = a, *y = b;

	return (x->tgid > y->tgid) - (x->tgid < y->tgid);
}

/* Those that have ended are forgotten; of another process with the same number nothing comes of it but a look. */
static void clients_keep(struct session *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n_tls_clients; i++)
		if (!kill(s->tls_clients[i].tgid, 0) || errno != ESRCH)
			s->tls_clients[kept++] = s->tls_clients[i];
	s->n_tls_clients = kept;
}

/* All that are to be watched: the versions' own processes, and those that connect to them. */
static int update(struct session *s, const struct id_snapshot *ids)
{
	size_t n = ids->n_processes + s->n_tls_clients;
	struct id_process *all;
	int err;

	if (!s->n_tls_clients)
		return tls_targets__update(s->tls, ids->processes, ids->n_processes);
	all = calloc(n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	memcpy(all, ids->processes, ids->n_processes * sizeof(*all));
	memcpy(all + ids->n_processes, s->tls_clients, s->n_tls_clients * sizeof(*all));
	qsort(all, n, sizeof(*all), by_tgid);
	err = tls_targets__update(s->tls, all, n);
	free(all);
	return err;
}

int tls_follow(struct session *s, const struct id_snapshot *ids)
{
	bool first = s->tls && !tls_targets__count(s->tls);
	int err;

	if (!s->tls)
		return 0;
	clients_keep(s);
	err = update(s, ids);
	if (!err && first)
		s->tls_due = tls_targets__work(s->tls, BEGIN_SECONDS);
	return err;
}

void tls_forked(struct session *s, pid_t child, uint16_t version)
{
	if (s->tls && tls_targets__forked(s->tls, child, version))
		log_warn("out of memory: process %d is watched later", (int)child);
}

void tls_execed(struct session *s, pid_t tgid, uint16_t version)
{
	if (s->tls && tls_targets__execed(s->tls, tgid, version))
		log_warn("out of memory: process %d is watched later", (int)tgid);
}

void tls_keep(struct session *s)
{
	if (s->tls)
		s->tls_due = tls_targets__work(s->tls, WORK_SECONDS);
}

static bool client_add(struct session *s, pid_t tgid, uint16_t version)
{
	struct id_process *grown;

	for (size_t i = 0; i < s->n_tls_clients; i++) {
		struct id_process *known = &s->tls_clients[i];

		if (known->tgid != tgid)
			continue;
		if (!known->version || known->version == version)
			return false;
		known->version = 0; /* of several */
		return true;
	}
	grown = s->n_tls_clients < CLIENTS_MAX ? reallocarray(s->tls_clients, s->n_tls_clients + 1, sizeof(*grown))
	                                       : NULL;
	if (!grown)
		return false;
	s->tls_clients = grown;
	grown[s->n_tls_clients++] = (struct id_process){ .tgid = tgid, .version = version };
	return true;
}

static int by_number(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Forgets those that have ended. */
static void readers_keep(struct session *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n_tls_readers; i++)
		if (!kill(s->tls_readers[i], 0) || errno != ESRCH)
			s->tls_readers[kept++] = s->tls_readers[i];
	s->n_tls_readers = kept;
}

bool tls_reads(const struct session *s, pid_t pid)
{
	return s->n_tls_readers && bsearch(&pid, s->tls_readers, s->n_tls_readers, sizeof(*s->tls_readers), by_number);
}

static void reader_add(struct session *s, pid_t pid)
{
	pid_t *grown;

	if (tls_reads(s, pid))
		return;
	if (s->n_tls_readers == READERS_MAX)
		readers_keep(s);
	grown = s->n_tls_readers < READERS_MAX ? reallocarray(s->tls_readers, s->n_tls_readers + 1, sizeof(*grown))
	                                       : NULL;
	if (!grown)
		return; /* it is not named, then */
	s->tls_readers = grown;
	grown[s->n_tls_readers++] = pid;
	qsort(grown, s->n_tls_readers, sizeof(*grown), by_number);
	tls_budget_deal(s);
}

void tls_unread(struct session *s, const struct tw_tls_record *r)
{
	int err = 0;

	reader_add(s, (pid_t)r->tgid);
	if (!s->tls || !is_version(s, r->version))
		return;
	if (r->client && client_add(s, (pid_t)r->tgid, (uint16_t)r->version))
		err = update(s, s->ids);
	else
		tls_targets__look_again(s->tls, (uint16_t)r->version);
	if (err)
		log_warn("out of memory: process %u is watched later", r->tgid);
	s->tls_due = tls_targets__work(s->tls, WORK_SECONDS);
}
