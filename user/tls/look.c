// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/look.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What of a file is worth watching, or saying. */
static bool matters(const struct tls_file *file)
{
	return file->error || (file->library && (file->library->n_sites || file->library->note[0]));
}

static bool has(struct tls_file *const *files, size_t n, const struct tls_file *file)
{
	for (size_t i = 0; i < n; i++)
		if (files[i] == file)
			return true;
	return false;
}

static void use_free(struct tls_look *l, pid_t tgid, struct tls_use *u)
{
	tls_detach(l->closer, tgid, &u->hold);
	free(u->where.path);
}

static void put_files(struct tls_file **files, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tls_files__put(files[i]);
	free(files);
}

static void not_ready(struct tls_look *l, pid_t tgid)
{
	if (l->loader && loader__tls_ready(l->loader, tgid, false))
		log_debug("process %d is still taken for one that is seen", (int)tgid);
}

void tls_look__let_go(struct tls_look *l, struct tls_target *at)
{
	not_ready(l, at->tgid);
	for (size_t i = 0; i < at->n_uses; i++)
		tls_detach(l->closer, at->tgid, &at->uses[i].hold);
}

void tls_look__forget(struct tls_look *l, struct tls_target *at)
{
	if (at->n_uses)
		not_ready(l, at->tgid);
	for (size_t i = 0; i < at->n_uses; i++)
		use_free(l, at->tgid, &at->uses[i]);
	free(at->uses);
	put_files(at->files, at->n_files);
	at->uses = NULL;
	at->files = NULL;
	at->n_uses = at->n_files = 0;
	at->note[0] = '\0';
}

/* ---- what is there ----------------------------------------------------------------------------------------------- */

static void drop_uses(struct tls_look *l, struct tls_target *at, struct tls_file *const *files, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < at->n_uses; i++) {
		if (has(files, n, at->uses[i].file)) {
			at->uses[kept++] = at->uses[i];
			continue;
		}
		log_debug("process %d (%s) has let go of %s", (int)at->tgid, at->comm, at->uses[i].where.path);
		use_free(l, at->tgid, &at->uses[i]);
	}
	if (at->n_uses && !kept)
		not_ready(l, at->tgid);
	at->n_uses = kept;
}

static int add_use(struct tls_target *at, struct tls_file *file, const struct maps_file *m)
{
	struct tls_use *grown, u = { .file = file, .where = *m };

	u.where.path = strdup(m->path);
	if (!u.where.path)
		return -ENOMEM;
	for (size_t i = 0; i < at->n_uses; i++)
		if (at->uses[i].file == file) {
			free(at->uses[i].where.path);
			at->uses[i].where = u.where;
			return 0;
		}
	grown = reallocarray(at->uses, at->n_uses + 1, sizeof(*grown));
	if (!grown) {
		free(u.where.path);
		return -ENOMEM;
	}
	at->uses = grown;
	grown[at->n_uses++] = u;
	return 0;
}

/* files[i]: that of m->files[i], NULL when it cannot be looked at; the first of these is noted by name. */
static void get_files(struct tls_look *l, struct tls_target *at, const struct maps *m, struct tls_file **files)
{
	bool failed = false;
	struct err e;

	for (size_t i = 0; i < m->n; i++) {
		files[i] = tls_files__get(l->files, at->tgid, &m->files[i], &e);
		if (!files[i] && !failed)
			snprintf(at->note, sizeof(at->note), "%.*s", (int)sizeof(at->note) - 1, e.text);
		failed |= !files[i];
	}
	if (m->truncated && !failed)
		snprintf(at->note, sizeof(at->note), "runs more than %d files; the rest was not looked at",
		         MAPS_FILES_MAX);
}

static int follow(struct tls_look *l, struct tls_target *at, const struct maps *m)
{
	struct tls_file **files = calloc(m->n + 1, sizeof(*files));
	int err = 0;

	if (!files)
		return -ENOMEM;
	get_files(l, at, m, files);
	drop_uses(l, at, files, m->n);
	for (size_t i = 0; i < m->n && !err; i++)
		if (files[i] && matters(files[i]))
			err = add_use(at, files[i], &m->files[i]);
	put_files(at->files, at->n_files);
	at->files = files;
	at->n_files = m->n;
	return err;
}

int tls_look__scan(struct tls_look *l, struct tls_target *at)
{
	struct maps m;
	int err = maps__read(at->tgid, &m);

	at->note[0] = '\0';
	if (!err) {
		err = follow(l, at, &m);
		maps__free(&m);
	}
	if (err && err != -ESRCH)
		snprintf(at->note, sizeof(at->note), "cannot read which files it runs: %s%s", strerror(-err),
		         err == -EACCES || err == -EPERM ? " (needs CAP_SYS_PTRACE)" : "");
	return err;
}

/* ---- what belongs there ------------------------------------------------------------------------------------------ */

/* Its sessions are taken for what they are from now on. */
static void ready(struct tls_look *l, struct tls_target *at, struct tls_use *u)
{
	int err = loader__tls_ready(l->loader, at->tgid, true);

	if (!err)
		return;
	u->hold.failed++;
	snprintf(u->hold.note, sizeof(u->hold.note), "nothing is read: %s", strerror(-err));
}

static int attach_use(struct tls_look *l, struct tls_target *at, struct tls_use *u)
{
	const struct tls_library *lib = u->file->library;
	struct err e = { "" };
	struct stat st;
	size_t n;
	int fd = maps__open(at->tgid, &u->where, &st, &e), err;

	u->tried = true;
	if (fd < 0) {
		tls_library__sites(lib, loader__tls_told(l->loader), &n);
		u->hold.failed = (unsigned int)n;
		snprintf(u->hold.note, sizeof(u->hold.note), "nothing is watched: %.*s", 120, e.text);
		return fd == -ESRCH ? fd : 0;
	}
	err = tls_attach(l->loader, l->closer, at->tgid, fd, lib, &u->hold);
	close(fd);
	if (!err && u->hold.attached)
		ready(l, at, u);
	return err;
}

int tls_look__attach(struct tls_look *l, struct tls_target *at)
{
	int err = 0;

	for (size_t i = 0; i < at->n_uses && !err; i++) {
		struct tls_use *u = &at->uses[i];

		if (u->tried || !l->loader || !u->file->library || !u->file->library->n_sites)
			continue;
		if (closer__busy(l->closer, at->tgid))
			return -EAGAIN;
		err = attach_use(l, at, u);
		if (!err)
			log_debug("process %d (%s), %s: %u of %u places watched%s%s", (int)at->tgid, at->comm,
			          u->where.path, u->hold.attached, u->hold.attached + u->hold.failed,
			          u->hold.note[0] ? ": " : "", u->hold.note);
	}
	return err;
}
