// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "capture/elf_note.h"
#include "capture/proc_text.h"

#define PROC_MAX    (4 * 1024 * 1024) /* of pid_max: the kernel's own limit */
#define ENVIRON_MAX (4 * 1024 * 1024)

/* A program file and its build id, so that a thousand workers cost one read. */
struct program {
	dev_t dev;
	ino_t ino;
	char build_id[ELF_BUILD_ID_HEX];
	struct program *next;
};

struct proctable {
	int dir; /* /proc */
	struct process *v;
	size_t n, cap;
	struct program *programs;
	char *buf; /* last file read; holds an environment only within process__env */
	size_t buf_cap;
	long ticks;    /* per second */
	double uptime; /* when the table was made */
};

/* --- files of one process --------------------------------------------------------------------------------------------
 */

static int open_of(struct proctable *t, pid_t pid, const char *name, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	fd = openat(t->dir, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool buf_reserve(struct proctable *t, size_t want)
{
	size_t cap = t->buf_cap ? t->buf_cap : 4096;
	char *grown;

	if (want <= t->buf_cap)
		return true;
	while (cap < want)
		cap *= 2;
	/* Not realloc: what the old buffer held must not stay behind in freed memory. */
	grown = malloc(cap);
	if (!grown)
		return false;
	if (t->buf) {
		memcpy(grown, t->buf, t->buf_cap);
		explicit_bzero(t->buf, t->buf_cap);
		free(t->buf);
	}
	t->buf = grown;
	t->buf_cap = cap;
	return true;
}

/* Reads a whole file of a process into t->buf, NUL-terminated. Returns its length or a negative errno. */
static ssize_t slurp(struct proctable *t, pid_t pid, const char *name, size_t max)
{
	int fd = open_of(t, pid, name, O_RDONLY);
	size_t len = 0;
	ssize_t r;

	if (fd < 0)
		return fd;
	for (;;) {
		if (!buf_reserve(t, len + 2048)) {
			r = -ENOMEM;
			break;
		}
		r = read(fd, t->buf + len, t->buf_cap - len - 1);
		if (r < 0) {
			r = -errno;
			if (r == -EINTR)
				continue;
			break;
		}
		len += (size_t)r;
		if (r == 0 || len >= max)
			break;
	}
	close(fd);
	if (r < 0)
		return r;
	t->buf[len] = '\0';
	return (ssize_t)len;
}

/* Reads a magic link of a process; returns an allocated string or NULL. */
static char *link_of(struct proctable *t, pid_t pid, const char *name)
{
	char path[64], target[4096];
	ssize_t len;

	snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	len = readlinkat(t->dir, path, target, sizeof(target) - 1);
	if (len < 0)
		return NULL;
	target[len] = '\0';
	return strdup(target);
}

/* --- the table
 * --------------------------------------------------------------------------------------------------------- */

static struct process *append(struct proctable *t, pid_t pid)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 256;
		struct process *grown;

		if (cap > 2 * PROC_MAX)
			return NULL;
		grown = reallocarray(t->v, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		t->v = grown;
		t->cap = cap;
	}
	t->v[t->n] = (struct process){ .pid = pid };
	return &t->v[t->n++];
}

static int by_pid(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static int list(struct proctable *t)
{
	struct dirent *entry;
	int copy, err = 0;
	DIR *dir;

	copy = openat(t->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy < 0)
		return -errno;
	dir = fdopendir(copy);
	if (!dir) {
		err = -errno;
		close(copy);
		return err;
	}
	while ((entry = readdir(dir))) {
		char *end;
		long pid;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		pid = strtol(entry->d_name, &end, 10);
		if (*end || pid > INT32_MAX)
			continue;
		if (!append(t, (pid_t)pid)) {
			err = -ENOMEM;
			break;
		}
	}
	closedir(dir);
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), by_pid);
	return err;
}

int proctable__new_empty(struct proctable **out, struct err *e)
{
	struct proctable *t = calloc(1, sizeof(*t));
	struct timespec now;
	int err;

	*out = NULL;
	if (!t)
		return err_set(e, ENOMEM, "out of memory for the process table");
	t->dir = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir < 0) {
		err = errno;
		free(t);
		return err_set(e, err, "cannot open /proc: %s; is it mounted?", strerror(err));
	}
	clock_gettime(CLOCK_BOOTTIME, &now);
	t->uptime = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	t->ticks = sysconf(_SC_CLK_TCK);
	if (t->ticks <= 0)
		t->ticks = 100;
	*out = t;
	return 0;
}

int proctable__new(struct proctable **out, struct err *e)
{
	int err = proctable__new_empty(out, e);

	if (err)
		return err;
	err = list(*out);
	if (!err && !(*out)->n)
		err = -ENOENT;
	if (err) {
		proctable__free(*out);
		*out = NULL;
		return err_set(e, -err, "cannot list the processes in /proc: %s", strerror(-err));
	}
	return 0;
}

void proctable__free(struct proctable *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++) {
		free(t->v[i].exe);
		free(t->v[i].cgroup2);
		free(t->v[i].systemd);
	}
	while (t->programs) {
		struct program *next = t->programs->next;

		free(t->programs);
		t->programs = next;
	}
	free(t->buf);
	free(t->v);
	close(t->dir);
	free(t);
}

size_t proctable__count(const struct proctable *t)
{
	return t->n;
}

struct process *proctable__at(struct proctable *t, size_t i)
{
	return &t->v[i];
}

struct process *proctable__find(struct proctable *t, pid_t pid)
{
	struct process key = { .pid = pid };

	return t->n ? bsearch(&key, t->v, t->n, sizeof(*t->v), by_pid) : NULL;
}

struct process *proctable__add(struct proctable *t, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].pid == pid)
			return &t->v[i];
	return append(t, pid);
}

/* --- attributes
 * ---------------------------------------------------------------------------------------------------------- */

bool process__stat(struct proctable *t, struct process *p)
{
	if (p->has_stat)
		return !p->gone;
	p->has_stat = true;
	if (slurp(t, p->pid, "stat", 4096) <= 0 || !proc_text__stat(t->buf, p))
		p->gone = true;
	return !p->gone;
}

double process__age(struct proctable *t, struct process *p)
{
	double age;

	if (!process__stat(t, p))
		return 0;
	age = t->uptime - (double)p->start_ticks / (double)t->ticks;
	return age > 0 ? age : 0;
}

const char *process__exe(struct proctable *t, struct process *p)
{
	static const char deleted[] = " (deleted)";
	size_t len;

	if (p->has_exe)
		return p->exe;
	p->has_exe = true;
	p->exe = link_of(t, p->pid, "exe");
	if (!p->exe)
		return NULL;
	len = strlen(p->exe);
	if (len > sizeof(deleted) - 1 && !strcmp(p->exe + len - (sizeof(deleted) - 1), deleted))
		p->exe[len - (sizeof(deleted) - 1)] = '\0';
	return p->exe;
}

static void read_cgroup(struct proctable *t, struct process *p)
{
	if (p->has_cgroup)
		return;
	p->has_cgroup = true;
	if (slurp(t, p->pid, "cgroup", 1024 * 1024) > 0)
		proc_text__cgroup(t->buf, p);
}

const char *process__cgroup2(struct proctable *t, struct process *p)
{
	read_cgroup(t, p);
	return p->cgroup2;
}

const char *process__systemd(struct proctable *t, struct process *p)
{
	read_cgroup(t, p);
	return p->systemd;
}

const char *process__build_id(struct proctable *t, struct process *p)
{
	struct program *g;
	struct stat st;
	int fd;

	if (p->has_build_id)
		return p->build_id;
	p->has_build_id = true;
	/* The magic link leads to the very file that runs, deleted or in another mount namespace though it may be. */
	fd = open_of(t, p->pid, "exe", O_RDONLY);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st)) {
		close(fd);
		return NULL;
	}
	for (g = t->programs; g; g = g->next)
		if (g->dev == st.st_dev && g->ino == st.st_ino)
			break;
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (g) {
			g->dev = st.st_dev;
			g->ino = st.st_ino;
			elf__build_id(fd, g->build_id, sizeof(g->build_id));
			g->next = t->programs;
			t->programs = g;
		}
	}
	close(fd);
	p->build_id = g && g->build_id[0] ? g->build_id : NULL;
	return p->build_id;
}

enum env_match process__env(struct proctable *t, struct process *p, const char *assignment)
{
	size_t name = strcspn(assignment, "=") + 1; /* with its '=' */
	enum env_match found = ENV_ABSENT;
	ssize_t len = slurp(t, p->pid, "environ", ENVIRON_MAX);

	for (const char *s = t->buf; len > 0 && s < t->buf + len; s += strlen(s) + 1) {
		if (strncmp(s, assignment, name))
			continue;
		found = strcmp(s, assignment) ? ENV_OTHER_VALUE : ENV_EQUAL;
		break;
	}
	if (t->buf) /* all of it: a read that failed half-way has left something too */
		explicit_bzero(t->buf, len > 0 ? (size_t)len : t->buf_cap);
	return found;
}

/* --- namespaces and descriptors
 * ----------------------------------------------------------------------------------------- */

uint32_t process__netns(struct proctable *t, struct process *p)
{
	char path[64], target[64];
	unsigned int inode;
	ssize_t len;

	snprintf(path, sizeof(path), "%d/ns/net", (int)p->pid);
	len = readlinkat(t->dir, path, target, sizeof(target) - 1);
	if (len < 0)
		return 0;
	target[len] = '\0';
	return sscanf(target, "net:[%u]", &inode) == 1 ? inode : 0;
}

int process__open_netns(struct proctable *t, pid_t pid)
{
	return open_of(t, pid, "ns/net", O_RDONLY);
}

/* The inode of "socket:[123]" behind one descriptor, 0 when it is anything else. */
static uint64_t socket_behind(int dir, const char *name)
{
	static const char prefix[] = "socket:[";
	char target[48];
	ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);

	if (len < (ssize_t)sizeof(prefix) || memcmp(target, prefix, sizeof(prefix) - 1))
		return 0;
	target[len] = '\0';
	return strtoull(target + sizeof(prefix) - 1, NULL, 10);
}

void process__each_socket(struct proctable *t, struct process *p, void (*fn)(void *arg, uint64_t inode), void *arg)
{
	_Alignas(struct dirent64) char entries[8192];
	ssize_t len;
	int dir;

	if (p->has_stat && (p->kthread || p->gone))
		return;
	dir = open_of(t, p->pid, "fd", O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return;
	while ((len = getdents64(dir, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < len;) {
			const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
			uint64_t inode;

			at += entry->d_reclen;
			if (entry->d_name[0] == '.')
				continue;
			inode = socket_behind(dir, entry->d_name);
			if (inode)
				fn(arg, inode);
		}
	}
	close(dir);
}

bool process__has_gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}
