/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Program files to look into: of this host, fetched by scripts/foreign, and built on the spot. */
#ifndef TW_TESTS_TLS_FILES_H
#define TW_TESTS_TLS_FILES_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls/library.h"

#define HOST_LIB "/usr/lib/x86_64-linux-gnu/"
#define FOREIGN  "build/foreign/"

/* Prints why and skips the test when the file is not there. */
#define NEED_FILE(path, how)                                        \
	do {                                                        \
		if (access(path, R_OK)) {                           \
			printf("skipped: no %s (%s)\n", path, how); \
			skip();                                     \
		}                                                   \
	} while (0)
#define NEED_FOREIGN(path) NEED_FILE(path, "scripts/foreign fetches it")

/* Looks into the file; what it returns is errno's, lib is NULL on an error. */
static inline int look_into(const char *path, struct tls_library **lib, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	e->text[0] = '\0';
	*lib = NULL;
	if (fd < 0)
		return -1;
	err = tls_library__read(fd, path, lib, e);
	close(fd);
	return err;
}

/* Runs a shell command and returns what it printed; the caller frees it. NULL: it failed. */
static inline char *output_of(const char *command)
{
	FILE *p = popen(command, "r");
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);

	while (p && text) {
		size_t n = fread(text + len, 1, room - len - 1, p);

		if (!n)
			break;
		len += n;
		if (room - len < 4096)
			text = realloc(text, room *= 2);
	}
	if (text)
		text[len] = '\0';
	if (p && !pclose(p))
		return text;
	free(text);
	return NULL;
}

/* Compiles a C text with gcc into a file of that name in that directory. */
static inline int build_file(const char *where, const char *name, const char *source, const char *flags)
{
	char command[1024];
	FILE *p;

	snprintf(command, sizeof(command), "gcc -x c -O2 -w -o '%s/%s' - %s 2>'%s/log'", where, name, flags, where);
	p = popen(command, "w");
	if (!p)
		return -1;
	fputs(source, p);
	return pclose(p);
}

static inline const struct tls_site *site_of(const struct tls_library *lib, const char *name, int job)
{
	for (size_t i = 0; i < lib->n_sites; i++)
		if (!strcmp(lib->sites[i].name, name) && lib->sites[i].job == job)
			return &lib->sites[i];
	return NULL;
}

static inline const struct tls_where *where_of(const struct tls_library *lib, const char *name, int job)
{
	const struct tls_site *s = site_of(lib, name, job);

	return s ? &lib->where[s - lib->sites] : NULL;
}

#endif
