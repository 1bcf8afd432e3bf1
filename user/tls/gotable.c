// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/gotable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK      (256 * 1024)
#define WANTED_MAX 8
#define NAME_BYTES 64 /* of a wanted name with a NUL before and behind it */
#define HEADER_MAX 72
#define COUNT_MAX  (16u << 20)
#define NOT_THERE  UINT64_MAX

static uint64_t number(const uint8_t *bytes, unsigned len)
{
	uint64_t v = 0;

	for (unsigned i = len; i--;)
		v = v << 8 | bytes[i];
	return v;
}

static int broken(const struct gotable *t, struct err *e, const char *what)
{
	return err_set(e, ENOEXEC, "%s: broken table of Go functions: %s", t->img->name, what);
}

/* The words behind the first 8 bytes. 1.18 put the start of the text in between. */
static int read_header(struct gotable *t, const uint8_t *h, struct err *e)
{
	unsigned first = t->since >= 18 ? 1 : 0;
	uint64_t cu, pcln;

	t->count = number(h + 8, 8);
	t->text = first ? number(h + 24, 8) : 0;
	t->names = number(h + 24 + first * 8, 8);
	cu = number(h + 32 + first * 8, 8);
	pcln = number(h + 56 + first * 8, 8);
	t->word = first ? 4 : 8;
	if (t->names > t->size || cu > t->size || cu < t->names)
		return broken(t, e, "its names are not within it");
	if (pcln > t->size || t->count > COUNT_MAX || (2 * t->count + 1) * t->word > t->size - pcln)
		return broken(t, e, "its functions are not within it");
	t->names_len = cu - t->names;
	t->functions = pcln;
	return 0;
}

int gotable__open(struct gotable *t, const struct image *img, struct err *e)
{
	const Elf64_Shdr *s = image__section(img, ".gopclntab");
	uint8_t h[HEADER_MAX];
	int err;

	if (!s)
		s = image__section(img, ".data.rel.ro.gopclntab");
	if (!s)
		return -ENODATA;
	*t = (struct gotable){ .img = img, .at = s->sh_offset, .size = s->sh_size };
	if (t->size < sizeof(h))
		return broken(t, e, "it is too short");
	err = image__read(img, t->at, h, sizeof(h), e);
	if (err)
		return err;
	switch (number(h, 4)) {
	case 0xfffffffa:
		t->since = 16;
		break;
	case 0xfffffff0:
		t->since = 18;
		break;
	case 0xfffffff1:
		t->since = 20;
		break;
	default:
		return -ENOTSUP;
	}
	if (h[7] != 8)
		return -ENOTSUP;
	return read_header(t, h, e);
}

/* Where among the names each wanted one begins. */
static int find_names(const struct gotable *t, const char *const *names, uint64_t *offset, size_t n, struct err *e)
{
	char *buf = malloc(CHUNK);
	uint64_t at = 0;
	int err = 0;

	if (!buf)
		return err_set(e, ENOMEM, "%s: out of memory", t->img->name);
	while (at < t->names_len && !err) {
		size_t len = t->names_len - at < CHUNK ? t->names_len - at : CHUNK;

		err = image__read(t->img, t->at + t->names + at, buf, len, e);
		for (size_t i = 0; i < n && !err; i++) {
			char word[NAME_BYTES] = "";
			size_t word_len = strlen(names[i]) + 2;
			const char *p;

			memcpy(word + 1, names[i], word_len - 2);
			p = offset[i] == NOT_THERE ? memmem(buf, len, word, word_len) : NULL;
			if (p)
				offset[i] = at + (size_t)(p - buf) + 1;
		}
		if (len < CHUNK)
			break;
		at += len - NAME_BYTES;
	}
	free(buf);
	return err;
}

/* One of the pairs; its second word is 0 for the last, which only has the end of the text. */
static bool pair(struct image_window *w, const struct gotable *t, uint64_t i, uint64_t *addr, uint64_t *where)
{
	size_t len = i < t->count ? 2 * t->word : t->word;
	const uint8_t *p = image_window__at(w, t->at + t->functions + i * 2 * t->word, len);

	if (!p)
		return false;
	*addr = t->text + number(p, t->word);
	*where = i < t->count ? number(p + t->word, t->word) : 0;
	return true;
}

/* A description begins with the function's place, as wide as in the pairs, and then its name's offset. */
static bool name_of(struct image_window *w, const struct gotable *t, uint64_t where, uint64_t *name)
{
	const uint8_t *p;

	if (where > t->size - t->functions || t->word + 4 > t->size - t->functions - where)
		return false;
	p = image_window__at(w, t->at + t->functions + where, t->word + 4);
	if (p)
		*name = number(p + t->word, 4);
	return p != NULL;
}

int gotable__find(const struct gotable *t, const char *const *names, struct gofunction *out, size_t n, struct err *e)
{
	struct image_window pairs = { .img = t->img }, descriptions = { .img = t->img };
	uint64_t offset[WANTED_MAX], addr, next, where, name;
	size_t left = n;
	int err;

	if (n > WANTED_MAX)
		return err_set(e, E2BIG, "%zu functions are looked for", n);
	memset(out, 0, n * sizeof(*out));
	for (size_t i = 0; i < n; i++)
		offset[i] = NOT_THERE;
	err = find_names(t, names, offset, n, e);
	for (uint64_t i = 0; i < t->count && !err && left; i++) {
		uint64_t unused;

		if (!pair(&pairs, t, i, &addr, &where) || !name_of(&descriptions, t, where, &name) ||
		    !pair(&pairs, t, i + 1, &next, &unused)) {
			err = broken(t, e, "a function is not within it");
			break;
		}
		for (size_t j = 0; j < n; j++)
			if (offset[j] == name && !out[j].addr && next > addr) {
				out[j] = (struct gofunction){ addr, next - addr };
				left--;
			}
	}
	image_window__close(&pairs);
	image_window__close(&descriptions);
	return err;
}
