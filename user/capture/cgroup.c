// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/proc_text.h"

#define WALK_DEPTH_MAX 32
#define WALK_DIRS_MAX  20000
#define FILEID_KERNFS  0xfe /* linux/exportfs.h: 64-bit kernfs id (since 5.5) */

/* --- the mount
 * ------------------------------------------------------------------------------------------------------------ */

/* Of several mounts the one that shows the whole hierarchy is taken, else the first. */
static int find_mount(char **mount_out, char **root_out, struct err *e)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *root, *mount;
	size_t cap = 0;
	int err = 0;

	*mount_out = *root_out = NULL;
	if (!f) {
		err = errno;
		return err_set(e, err, "cannot read /proc/self/mountinfo: %s", strerror(err));
	}
	while (getline(&line, &cap, f) > 0) {
		if (!proc_text__cgroup2_mount(line, &root, &mount) || (*mount_out && strcmp(root, "/")))
			continue;
		free(*mount_out);
		free(*root_out);
		*mount_out = strdup(mount);
		*root_out = strdup(root);
		if (!*mount_out || !*root_out)
			err = -ENOMEM;
		if (err || !strcmp(*root_out, "/"))
			break;
	}
	free(line);
	fclose(f);
	if (err)
		return err_set(e, ENOMEM, "out of memory looking for the cgroup2 mount");
	if (!*mount_out)
		return err_set(e, ENOENT,
		               "no cgroup2 file system is mounted; try: mkdir -p /sys/fs/cgroup/unified && "
		               "mount -t cgroup2 none /sys/fs/cgroup/unified");
	return 0;
}

int cgroup2__open(struct cgroup2 *g, struct err *e)
{
	int err;

	*g = (struct cgroup2){ .fd = -1 };
	err = find_mount(&g->mount, &g->root, e);
	if (err)
		goto cleanup;
	g->fd = open(g->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->fd < 0) {
		err = -errno;
		err_set(e, -err, "cannot open the cgroup2 mount %s: %s", g->mount, strerror(-err));
	}
cleanup:
	if (err)
		cgroup2__close(g);
	return err;
}

void cgroup2__close(struct cgroup2 *g)
{
	if (g->fd >= 0)
		close(g->fd);
	free(g->mount);
	free(g->root);
	*g = (struct cgroup2){ .fd = -1 };
}

int cgroup2__mount(char *path, size_t len, struct err *e)
{
	char *mount, *root;
	int err = find_mount(&mount, &root, e);

	if (!err && strlen(mount) >= len)
		err = err_set(e, ENAMETOOLONG, "the path of the cgroup2 mount is longer than %zu bytes", len);
	if (!err)
		snprintf(path, len, "%s", mount);
	free(mount);
	free(root);
	return err;
}

/* --- ids
 * ------------------------------------------------------------------------------------------------------------------ */

union kernfs_handle {
	struct file_handle h;
	char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

/* -ENOENT: gone for certain. Anything else negative: this way is closed (capability, kernel), try another. */
static int path_by_handle(const struct cgroup2 *g, uint64_t id, char *path, size_t len)
{
	union kernfs_handle handle = { .h = { .handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS } };
	char link[40], full[PATH_MAX];
	size_t mount = strlen(g->mount);
	ssize_t n;
	int fd;

	memcpy(handle.h.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(g->fd, &handle.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ESTALE || errno == ENOENT ? -ENOENT : -EOPNOTSUPP;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, full, sizeof(full) - 1);
	close(fd);
	if (n < 0)
		return -EOPNOTSUPP;
	full[n] = '\0';
	if (!cgroup_path__within(full, g->mount))
		return -ENOENT;
	n = snprintf(path, len, "%s", full[mount] ? full + mount : "/");
	return (size_t)n < len ? 0 : -ENAMETOOLONG;
}

/* Depth first over the directories, which are few; path is extended and cut back in place. */
static int walk(int dir, uint64_t id, char *path, size_t at, size_t len, int depth, int *budget)
{
	DIR *d = fdopendir(dir);
	struct dirent *entry;
	int err = -ENOENT;

	if (!d) {
		close(dir);
		return -ENOENT;
	}
	while (err == -ENOENT && (entry = readdir(d))) {
		int n, child;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		if ((*budget)-- <= 0)
			break;
		n = snprintf(path + at, len - at, "/%s", entry->d_name);
		if ((size_t)n >= len - at)
			continue;
		if (entry->d_ino == id) {
			err = 0;
			break;
		}
		if (depth >= WALK_DEPTH_MAX)
			continue;
		child = openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			err = walk(child, id, path, at + (size_t)n, len, depth + 1, budget);
	}
	closedir(d);
	return err;
}

static int path_by_walk(const struct cgroup2 *g, uint64_t id, char *path, size_t len)
{
	int budget = WALK_DIRS_MAX;
	struct stat st;
	int dir;

	if (!fstat(g->fd, &st) && st.st_ino == id) {
		snprintf(path, len, "/");
		return 0;
	}
	dir = openat(g->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : walk(dir, id, path, 0, len, 0, &budget);
}

int cgroup2__path(const struct cgroup2 *g, uint64_t id, char *path, size_t len)
{
	int err;

	if (!id || len < 2)
		return -ENOENT;
	err = path_by_handle(g, id, path, len);
	return err == -EOPNOTSUPP ? path_by_walk(g, id, path, len) : err;
}

int cgroup2__path_of(uint64_t id, char *path, size_t len)
{
	struct cgroup2 g;
	int err = cgroup2__open(&g, NULL);

	if (err)
		return err;
	err = cgroup2__path(&g, id, path, len);
	cgroup2__close(&g);
	return err;
}

int cgroup2__id(const struct cgroup2 *g, const char *path, uint64_t *id)
{
	struct stat st;

	while (*path == '/')
		path++;
	/* Since 5.5 the id is the inode number on every 64-bit kernel; AT_EMPTY_PATH is for the root. */
	if (fstatat(g->fd, path, &st, AT_EMPTY_PATH))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	*id = st.st_ino;
	return 0;
}

/* --- paths
 * ---------------------------------------------------------------------------------------------------------------- */

bool cgroup_path__within(const char *path, const char *ancestor)
{
	size_t len = strlen(ancestor);

	while (len && ancestor[len - 1] == '/')
		len--;
	return !strncmp(path, ancestor, len) && (path[len] == '\0' || path[len] == '/');
}

const char *cgroup2__below_mount(const struct cgroup2 *g, const char *proc_path)
{
	size_t root = strlen(g->root);

	if (!strcmp(g->root, "/"))
		return proc_path;
	if (!cgroup_path__within(proc_path, g->root))
		return NULL;
	return proc_path[root] ? proc_path + root : "/";
}

size_t cgroup_path__unit(const char *path, const char *unit)
{
	size_t len;

	while (*unit == '/')
		unit++;
	len = strlen(unit);
	if (!len)
		return 0;
	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/'))
		if (!strncmp(at + 1, unit, len) && (at[1 + len] == '\0' || at[1 + len] == '/'))
			return (size_t)(at + 1 + len - path);
	return 0;
}

/* --- the antichain
 * -------------------------------------------------------------------------------------------------------- */

void cgroup_set__free(struct cgroup_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].path);
	free(s->v);
	*s = (struct cgroup_set){ 0 };
}

static int add(struct cgroup_set *s, const struct cgroup2 *g, uint64_t id, const char *path)
{
	char *full;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].id == id)
			return 0;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct id_cgroup *grown = reallocarray(s->v, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		s->v = grown;
		s->cap = cap;
	}
	if (asprintf(&full, "%s%s", g->mount, strcmp(path, "/") ? path : "") < 0)
		return -ENOMEM;
	s->v[s->n++] = (struct id_cgroup){ .id = id, .path = full };
	return 0;
}

int cgroup_set__add_root(struct cgroup_set *s, const struct cgroup2 *g)
{
	uint64_t id;
	int err = cgroup2__id(g, "", &id);

	return err ? err : add(s, g, id, "/");
}

int cgroup_set__add(struct cgroup_set *s, const struct cgroup2 *g, uint64_t id)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].id == id)
			return 0;
	if (!id || cgroup2__path(g, id, path, sizeof(path)))
		return cgroup_set__add_root(s, g);
	return add(s, g, id, path);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct id_cgroup *)a)->path, ((const struct id_cgroup *)b)->path);
}

void cgroup_set__reduce(struct cgroup_set *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_path);
	for (size_t i = 0; i < s->n; i++) {
		bool below = false;

		/* An ancestor sorts before its descendants, though not always right before ("/a", "/a-b", "/a/c"). */
		for (size_t k = 0; k < kept && !below; k++)
			below = cgroup_path__within(s->v[i].path, s->v[k].path);
		if (below)
			free(s->v[i].path);
		else
			s->v[kept++] = s->v[i];
	}
	s->n = kept;
}
