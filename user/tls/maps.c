// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A path may be four times as long as any that can be opened: line feeds are written as \012. */
#define LINE_MAX_BYTES (4 * PATH_MAX + 128)

#ifndef BTRFS_SUPER_MAGIC
#define BTRFS_SUPER_MAGIC 0x9123683E
#endif

/* ---- lines ------------------------------------------------------------------------------------------------------- */

struct cursor {
	const char *at, *end;
};

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A number that `after` follows. False: there is none, or it has no room. */
static bool number(struct cursor *c, unsigned int base, char after, uint64_t *out)
{
	const char *first = c->at;
	uint64_t n = 0;

	for (; c->at < c->end; c->at++) {
		int digit = digit_of(*c->at);

		if (digit < 0 || (unsigned int)digit >= base)
			break;
		if (n > (UINT64_MAX - (unsigned int)digit) / base)
			return false;
		n = n * base + (unsigned int)digit;
	}
	if (c->at == first || c->at == c->end || *c->at != after)
		return false;
	c->at++;
	*out = n;
	return true;
}

/* "7f00-7f10 r-xp 00002000 fe:00 247134                     /usr/bin/cat" */
int maps__line(const char *line, size_t len, struct maps_file *f, const char **path, size_t *path_len)
{
	struct cursor c = { line, line + len };
	uint64_t offset, major, minor;
	bool code;

	*f = (struct maps_file){ 0 };
	if (!number(&c, 16, '-', &f->start) || !number(&c, 16, ' ', &f->end) || f->start >= f->end ||
	    c.end - c.at < 5 || c.at[4] != ' ')
		return 0;
	code = c.at[2] == 'x';
	c.at += 5;
	if (!number(&c, 16, ' ', &offset) || !number(&c, 16, ':', &major) || !number(&c, 16, ' ', &minor) ||
	    !number(&c, 10, ' ', &f->ino))
		return 0;
	if (!code || !f->ino || major > UINT32_MAX || minor > UINT32_MAX)
		return 0;
	f->dev = makedev((unsigned int)major, (unsigned int)minor);
	while (c.at < c.end && *c.at == ' ')
		c.at++;
	*path = c.at;
	*path_len = (size_t)(c.end - c.at);
	return 1;
}

/* The kernel writes a line feed in a name as \012, and nothing else in another way than it is. */
static char *path_copy(const char *path, size_t len, bool *deleted)
{
	static const char gone[] = " (deleted)";
	char *copy, *to;

	*deleted = len >= sizeof(gone) - 1 && !memcmp(path + len - (sizeof(gone) - 1), gone, sizeof(gone) - 1);
	if (*deleted)
		len -= sizeof(gone) - 1;
	copy = to = malloc(len + 1);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (len - i >= 4 && !memcmp(path + i, "\\012", 4)) {
			*to++ = '\n';
			i += 3;
		} else {
			*to++ = path[i];
		}
	}
	*to = '\0';
	return copy;
}

/* ---- a process --------------------------------------------------------------------------------------------------- */

/* The mappings of a file lie side by side as a rule, so the last one is asked first. */
static bool known(const struct maps *m, const struct maps_file *f)
{
	for (size_t i = m->n; i-- > 0;)
		if (m->files[i].ino == f->ino && m->files[i].dev == f->dev)
			return true;
	return false;
}

static int keep(struct maps *m, struct maps_file *f, const char *path, size_t len)
{
	struct maps_file *grown;

	if (known(m, f))
		return 0;
	if (m->n == MAPS_FILES_MAX) {
		m->truncated = true;
		return 0;
	}
	if (!(m->n & (m->n - 1)) || !m->n) {
		grown = reallocarray(m->files, m->n ? m->n * 2 : 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		m->files = grown;
	}
	f->path = path_copy(path, len, &f->deleted);
	if (!f->path)
		return -ENOMEM;
	m->files[m->n++] = *f;
	return 0;
}

static int take_line(struct maps *m, const char *line, size_t len, bool cut)
{
	struct maps_file f;
	const char *path;
	size_t path_len;

	if (!maps__line(line, len, &f, &path, &path_len))
		return 0;
	return keep(m, &f, path, cut ? 0 : path_len);
}

/* Takes the whole lines of buf, and returns how many bytes are left over; of a line that is too long, its beginning. */
static ssize_t take_lines(struct maps *m, char *buf, size_t len, size_t room, bool *skip)
{
	char *at = buf, *end = buf + len, *feed;
	int err = 0;

	while (!err && (feed = memchr(at, '\n', (size_t)(end - at)))) {
		if (!*skip)
			err = take_line(m, at, (size_t)(feed - at), false);
		*skip = false;
		at = feed + 1;
	}
	if (err)
		return err;
	if (at == buf && len == room) {
		if (!*skip)
			err = take_line(m, at, len, true);
		*skip = true;
		return err;
	}
	memmove(buf, at, (size_t)(end - at));
	return end - at;
}

int maps__read_from(int fd, struct maps *m)
{
	char *buf = malloc(LINE_MAX_BYTES);
	bool skip = false;
	ssize_t left = 0, n;

	*m = (struct maps){ 0 };
	if (!buf)
		return -ENOMEM;
	for (;;) {
		n = read(fd, buf + left, (size_t)(LINE_MAX_BYTES - left));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			left = n < 0 ? -errno : 0;
			break;
		}
		left = take_lines(m, buf, (size_t)(left + n), LINE_MAX_BYTES, &skip);
		if (left < 0)
			break;
	}
	free(buf);
	if (left)
		maps__free(m);
	return (int)left;
}

int maps__read(pid_t pid, struct maps *m)
{
	char path[32];
	int fd, err;

	*m = (struct maps){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	err = maps__read_from(fd, m);
	close(fd);
	return err;
}

void maps__free(struct maps *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->files[i].path);
	free(m->files);
	*m = (struct maps){ 0 };
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/*
 * Is this the file that is mapped? Where a file system shows files under a device of its own making, as overlayfs and
 * btrfs do, the mapping has the device of what lies below, and the inode alone must do.
 */
static bool is_mapped(int fd, const struct stat *st, const struct maps_file *f)
{
	struct statfs fs;

	if (st->st_ino != f->ino)
		return false;
	if (st->st_dev == f->dev)
		return true;
	return !fstatfs(fd, &fs) &&
	       ((uint32_t)fs.f_type == OVERLAYFS_SUPER_MAGIC || (uint32_t)fs.f_type == (uint32_t)BTRFS_SUPER_MAGIC);
}

/* By a name that may lead to anything: it is looked at before it is opened for reading. */
static int try_name(const char *name, const struct maps_file *f, struct stat *st)
{
	int fd = open(name, O_PATH | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, st))
		err = -errno;
	else if (!is_mapped(fd, st, f))
		err = -ESTALE;
	close(fd);
	return err;
}

int maps__find(pid_t pid, const struct maps_file *f, struct stat *st, char way[MAPS_WAY_MAX], struct err *e)
{
	int by_mapping = 0, by_name, n;

	/* The mapping itself: exact, whatever has become of the name. Root, or CAP_CHECKPOINT_RESTORE. */
	n = snprintf(way, MAPS_WAY_MAX, "/proc/%d/map_files/%llx-%llx", (int)pid, (unsigned long long)f->start,
	             (unsigned long long)f->end);
	if (n < MAPS_WAY_MAX && stat(way, st))
		by_mapping = -errno;
	if (!by_mapping)
		return S_ISREG(st->st_mode) ? 0 : err_set(e, EINVAL, "%s is not a regular file", f->path);
	n = snprintf(way, MAPS_WAY_MAX, "/proc/%d/root%s", (int)pid, f->path);
	by_name = n < MAPS_WAY_MAX && f->path[0] == '/' ? try_name(way, f, st) : -ENAMETOOLONG;
	if (by_name) {
		snprintf(way, MAPS_WAY_MAX, "/proc/%d/exe", (int)pid);
		if (!try_name(way, f, st))
			by_name = 0;
	}
	if (!by_name)
		return S_ISREG(st->st_mode) ? 0 : err_set(e, EINVAL, "%s is not a regular file", f->path);
	if (by_mapping == -ENOENT && by_name == -ENOENT)
		return err_set(e, ESRCH, "%s is not mapped any more", f->path);
	return err_set(e, -by_name, "cannot open %s: by its mapping: %s%s, by its name: %s", f->path,
	               strerror(-by_mapping), by_mapping == -EPERM ? " (CAP_CHECKPOINT_RESTORE would do)" : "",
	               by_name == -ESTALE ? "another file is there by now" : strerror(-by_name));
}

/* Looks once more, at what is open by then: what is compared is what is read. */
int maps__open(pid_t pid, const struct maps_file *f, struct stat *st, struct err *e)
{
	char way[MAPS_WAY_MAX];
	struct stat found;
	int place, fd = -1, err = maps__find(pid, f, &found, way, e);

	if (err)
		return err;
	place = open(way, O_PATH | O_CLOEXEC);
	if (place < 0)
		return err_set(e, errno, "cannot open %s: %s", f->path, strerror(errno));
	if (fstat(place, st) || st->st_ino != found.st_ino || st->st_dev != found.st_dev) {
		close(place);
		return err_set(e, ESTALE, "%s was replaced while it was opened", f->path);
	}
	snprintf(way, sizeof(way), "/proc/self/fd/%d", place);
	fd = open(way, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	err = fd < 0 ? err_set(e, errno, "cannot open %s: %s", f->path, strerror(errno)) : 0;
	close(place);
	return err ? err : fd;
}
