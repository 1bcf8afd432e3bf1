// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/files.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS 256

struct tls_files {
	struct tls_file *bucket[BUCKETS];
	size_t n;
	unsigned int read;
};

struct tls_files *tls_files__new(void)
{
	return calloc(1, sizeof(struct tls_files));
}

static void file_free(struct tls_file *file)
{
	tls_library__free(file->library);
	free(file->error);
	free(file);
}

void tls_files__free(struct tls_files *f)
{
	if (!f)
		return;
	for (int i = 0; i < BUCKETS; i++)
		while (f->bucket[i]) {
			struct tls_file *next = f->bucket[i]->next;

			file_free(f->bucket[i]);
			f->bucket[i] = next;
		}
	free(f);
}

static struct tls_file **bucket_of(struct tls_files *f, const struct maps_file *m)
{
	return &f->bucket[(m->ino ^ m->ino >> 8 ^ m->dev) % BUCKETS];
}

static bool is_same(const struct tls_file *file, const struct maps_file *m, const struct stat *st)
{
	return file->ino == m->ino && file->dev == m->dev && file->size == st->st_size &&
	       file->mtime.tv_sec == st->st_mtim.tv_sec && file->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static bool is_elf(int fd)
{
	char magic[4];

	return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && !memcmp(magic, "\177ELF", sizeof(magic));
}

/* Programs also map what is no program: code that they made themselves, or what another machine's format holds. */
static int look(struct tls_files *f, struct tls_file *file, int fd, const char *name)
{
	struct err e = { "" };
	int err;

	if (!is_elf(fd))
		return 0;
	f->read++;
	err = tls_library__read(fd, name, &file->library, &e);
	/* Disassembling has taken what will not be wanted again. */
	if (err || file->library->kind != TLS_NONE)
		malloc_trim(0);
	if (err == -ENOMEM)
		return err;
	if (!err)
		return 0;
	file->library = NULL;
	file->error = strdup(e.text);
	return file->error ? 0 : -ENOMEM;
}

static struct tls_file *add(struct tls_files *f, pid_t pid, const struct maps_file *m, struct err *e)
{
	struct tls_file *file = calloc(1, sizeof(*file)), **bucket = bucket_of(f, m);
	struct stat st;
	int fd = -1;

	if (!file) {
		err_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	fd = maps__open(pid, m, &st, e);
	if (fd < 0) {
		free(file);
		return NULL;
	}
	file->dev = m->dev;
	file->ino = m->ino;
	file->size = st.st_size;
	file->mtime = st.st_mtim;
	if (look(f, file, fd, m->path)) {
		err_set(e, ENOMEM, "out of memory reading %s", m->path);
		file_free(file);
		close(fd);
		return NULL;
	}
	close(fd);
	file->next = *bucket;
	*bucket = file;
	f->n++;
	return file;
}

struct tls_file *tls_files__get(struct tls_files *f, pid_t pid, const struct maps_file *m, struct err *e)
{
	char way[MAPS_WAY_MAX];
	struct tls_file *file;
	struct stat st;

	if (maps__find(pid, m, &st, way, e))
		return NULL;
	for (file = *bucket_of(f, m); file; file = file->next)
		if (is_same(file, m, &st))
			break;
	if (!file)
		file = add(f, pid, m, e);
	if (file) {
		file->users++;
		file->unused = false;
	}
	return file;
}

void tls_files__put(struct tls_file *file)
{
	if (file)
		file->users--;
}

void tls_files__sweep(struct tls_files *f)
{
	for (int i = 0; i < BUCKETS; i++)
		for (struct tls_file **at = &f->bucket[i], *file; (file = *at);) {
			if (file->users || !file->unused) {
				file->unused = !file->users;
				at = &file->next;
				continue;
			}
			*at = file->next;
			file_free(file);
			f->n--;
		}
}

unsigned int tls_files__read(const struct tls_files *f)
{
	return f->read;
}

size_t tls_files__count(const struct tls_files *f)
{
	return f->n;
}
