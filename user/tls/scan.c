// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/scan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK   (1024 * 1024)
#define OVERLAP 128 /* the longest text that is looked at, as long as a prefix and a version */

/* Says whether what was found at s (`left` bytes follow) is what is wanted. */
typedef bool (*look)(const char *s, size_t left, void *arg);

/* Every place of word in the section, until one is what is wanted. */
static bool scan(const struct image *img, const char *section, const char *word, look f, void *arg)
{
	const Elf64_Shdr *s = image__section(img, section);
	uint64_t size, at = 0;
	bool found = false;
	char *buf;

	if (!s)
		return false;
	size = s->sh_size < SCAN_BYTES_MAX ? s->sh_size : SCAN_BYTES_MAX;
	buf = malloc(CHUNK);
	while (buf && at < size && !found) {
		size_t len = size - at < CHUNK ? size - at : CHUNK;
		const char *p = buf, *end = buf + len;

		if (image__read(img, s->sh_offset + at, buf, len, NULL))
			break;
		while (!found && (p = memmem(p, (size_t)(end - p), word, strlen(word)))) {
			found = f(p, (size_t)(end - p), arg);
			p++;
		}
		if (len < CHUNK)
			break;
		at += len - OVERLAP;
	}
	free(buf);
	return found;
}

struct version {
	size_t prefix;
	bool dated;
	char *out;
	size_t len;
};

static bool is_version(const char *s, size_t left, void *arg)
{
	const struct version *v = arg;
	size_t n = v->prefix, rest;

	if (left > OVERLAP)
		left = OVERLAP;
	if (n >= left || !isdigit((unsigned char)s[n]))
		return false;
	while (n < left && (isalnum((unsigned char)s[n]) || strchr(".+-", s[n])) && s[n])
		n++;
	rest = n;
	while (rest < left && s[rest] == ' ')
		rest++;
	if (v->dated && (rest == n || rest >= left || !isdigit((unsigned char)s[rest])))
		return false;
	snprintf(v->out, v->len, "%.*s", (int)n, s);
	return true;
}

bool scan__version(const struct image *img, const char *section, const char *prefix, bool dated, char *out, size_t len)
{
	struct version v = { strlen(prefix), dated, out, len };

	return scan(img, section, prefix, is_version, &v);
}

static bool is_it(const char *s, size_t left, void *arg)
{
	return true;
}

bool scan__contains(const struct image *img, const char *section, const char *word)
{
	return scan(img, section, word, is_it, NULL);
}
