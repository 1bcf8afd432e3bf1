// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Any bytes as a file of /proc: a process chooses its name, its cgroup and what it maps. The first letter says which
 * file: "s" stat, "c" cgroup, "i" a line of mountinfo, otherwise maps. It must hold that
 *  - a name may reach a terminal;
 *  - files with code are listed once, each with an inode and a path that ends where it is;
 *  - what is taken out of a text lies in it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/proc_text.h"
#include "plain_text.h"
#include "tls/maps.h"
#include "tls/process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void as_stat(const char *text)
{
	struct process p = { 0 };
	struct tls_process q = { .comm = "" };
	char *first = strdup(text), *second = strdup(text);

	if (!first || !second)
		abort();
	if (proc_text__stat(first, &p) && !is_plain_text(p.comm, strlen(p.comm), false))
		fail("a name that is not for a terminal");
	if (tls_process__parse(second, &q) && !is_plain_text(q.comm, strlen(q.comm), false))
		fail("a name that is not for a terminal, of one that speaks TLS");
	free(first);
	free(second);
}

static void as_cgroup(char *text, size_t size)
{
	struct process p = { 0 };

	proc_text__cgroup(text, &p);
	if ((p.cgroup2 && strlen(p.cgroup2) > size) || (p.systemd && strlen(p.systemd) > size))
		fail("a path that is not in the text");
	free(p.cgroup2);
	free(p.systemd);
}

static void as_mount(char *text, size_t size)
{
	char *root, *mount;

	if (!proc_text__cgroup2_mount(text, &root, &mount))
		return;
	if (root < text || mount < root + strlen(root) || mount + strlen(mount) > text + size)
		fail("a mount that is not in its line");
}

static void as_maps(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct maps m;

	if (fd < 0)
		fd = memfd_create("maps", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size || lseek(fd, 0, SEEK_SET))
		fail("no file to put it in");
	if (maps__read_from(fd, &m))
		fail("out of memory");
	for (size_t i = 0; i < m.n; i++) {
		if (!m.files[i].ino || m.files[i].start >= m.files[i].end || strlen(m.files[i].path) > size)
			fail("a file that is none");
		for (size_t k = 0; k < i; k++)
			if (m.files[k].ino == m.files[i].ino && m.files[k].dev == m.files[i].dev)
				fail("a file is listed twice");
	}
	maps__free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	/* A copy of its own: one byte read beyond it is noticed. */
	text = malloc(size);
	if (!text)
		abort();
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] == 's')
		as_stat(text);
	else if (data[0] == 'c')
		as_cgroup(text, size);
	else if (data[0] == 'i')
		as_mount(text, size);
	else
		as_maps(data + 1, size - 1);
	free(text);
	return 0;
}
