// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/methods.h"

#include <errno.h>
#include <string.h>

#include "tls/way.h"

/* Of TLS and SSL; those for DTLS have nothing to do with connections. */
static const char *const names[] = {
	"TLS_method",     "TLS_server_method",     "TLS_client_method",
	"TLSv1_2_method", "TLSv1_2_server_method", "TLSv1_2_client_method",
	"TLSv1_1_method", "TLSv1_1_server_method", "TLSv1_1_client_method",
	"TLSv1_method",   "TLSv1_server_method",   "TLSv1_client_method",
};
#define KNOWN_MAX (sizeof(names) / sizeof(*names))

#define WORDS_MAX  64 /* of a table that are looked at */
#define ALIKE_MAX  256
#define ALIKE_PART 4 /* a table that has one in so many of the functions in the same place is one too */

struct tables {
	const struct image *img;
	const Elf64_Shdr *section; /* that they are in */
	uint64_t known[KNOWN_MAX];
	size_t n_known, words;
	uint64_t content[KNOWN_MAX][WORDS_MAX];
	uint64_t common[WORDS_MAX]; /* functions that all known tables have in the same place; 0: there is none */
	size_t n_common;
	uint64_t alike[ALIKE_MAX];
	unsigned int hits[ALIKE_MAX];
	uint64_t entry_of[ALIKE_MAX];
	size_t n_alike, at; /* at: the word that the entry is */
	bool too_many;
};

typedef void take_fn(struct tables *t, uint64_t addr, uint64_t value);

static bool in_section(const struct tables *t, uint64_t addr)
{
	return addr >= t->section->sh_addr && addr - t->section->sh_addr < t->section->sh_size && !(addr % 8);
}

/* Pointers that the dynamic linker fills in. */
static bool each_relocated(struct tables *t, take_fn *take)
{
	bool any = false;

	for (size_t i = 0; i < t->img->n_sections; i++) {
		const Elf64_Shdr *s = &t->img->sections[i];
		struct image_window w = { .img = t->img };

		if (s->sh_type != SHT_RELA || s->sh_entsize != sizeof(Elf64_Rela) || s->sh_size > IMAGE_TABLE_MAX)
			continue;
		for (uint64_t k = 0; k < s->sh_size / sizeof(Elf64_Rela); k++) {
			const uint8_t *bytes =
				image_window__at(&w, s->sh_offset + k * sizeof(Elf64_Rela), sizeof(Elf64_Rela));
			Elf64_Rela r;

			if (!bytes)
				break;
			memcpy(&r, bytes, sizeof(r));
			if (ELF64_R_TYPE(r.r_info) != R_X86_64_RELATIVE || !in_section(t, r.r_offset))
				continue;
			take(t, r.r_offset, (uint64_t)r.r_addend);
			any = true;
		}
		image_window__close(&w);
	}
	return any;
}

/* Pointers that are in the file as they are: of a program that is not moved, or relocated in a shorter form. */
static void each_written(struct tables *t, take_fn *take)
{
	struct image_window w = { .img = t->img };
	const Elf64_Shdr *s = t->section;

	for (uint64_t off = 0; off + 8 <= s->sh_size; off += 8) {
		const uint8_t *bytes = image_window__at(&w, s->sh_offset + off, 8);
		uint64_t value;

		if (!bytes)
			break;
		memcpy(&value, bytes, sizeof(value));
		if (value)
			take(t, s->sh_addr + off, value);
	}
	image_window__close(&w);
}

static void each(struct tables *t, take_fn *take)
{
	if (!each_relocated(t, take))
		each_written(t, take);
}

static void take_known(struct tables *t, uint64_t addr, uint64_t value)
{
	for (size_t i = 0; i < t->n_known; i++)
		if (addr - t->known[i] < t->words * 8)
			t->content[i][(addr - t->known[i]) / 8] = value;
}

static void take_alike(struct tables *t, uint64_t addr, uint64_t value)
{
	for (size_t k = 0; k < t->words; k++) {
		uint64_t base = addr - k * 8;
		size_t i = 0;

		if (k == t->at || !t->common[k] || value != t->common[k])
			continue;
		while (i < t->n_alike && t->alike[i] != base)
			i++;
		if (i == ALIKE_MAX) {
			t->too_many = true;
			return;
		}
		if (i == t->n_alike)
			t->alike[t->n_alike++] = base;
		t->hits[i]++;
	}
}

static void take_entries(struct tables *t, uint64_t addr, uint64_t value)
{
	for (size_t i = 0; i < t->n_alike; i++)
		if (addr == t->alike[i] + t->at * 8)
			t->entry_of[i] = value;
}

static const Elf64_Shdr *section_at(const struct image *img, uint64_t addr)
{
	for (size_t i = 0; i < img->n_sections; i++) {
		const Elf64_Shdr *s = &img->sections[i];

		if (s->sh_type == SHT_PROGBITS && (s->sh_flags & SHF_ALLOC) && addr >= s->sh_addr &&
		    addr - s->sh_addr < s->sh_size && s->sh_offset <= img->size &&
		    s->sh_size <= img->size - s->sh_offset && !(s->sh_offset % 8))
			return s;
	}
	return NULL;
}

static int find_known(struct reading *r, struct tables *t)
{
	for (size_t i = 0; i < KNOWN_MAX; i++) {
		const struct symbol *s = reading__symbol(r, names[i]);
		uint64_t addr;
		int err;

		if (!s->defined)
			continue;
		err = way__constant(r, s, &addr);
		if (err)
			return err;
		t->known[t->n_known++] = addr;
	}
	t->section = t->n_known ? section_at(t->img, t->known[0]) : NULL;
	for (size_t i = 0; t->section && i < t->n_known; i++)
		if (!in_section(t, t->known[i]))
			return -ENOTSUP;
	return t->section ? 0 : -ENOTSUP;
}

/* A table ends where the next one begins, at the latest. */
static size_t words_of(const struct tables *t)
{
	uint64_t least = WORDS_MAX * 8;

	for (size_t i = 0; i < t->n_known; i++)
		for (size_t j = 0; j < t->n_known; j++)
			if (t->known[j] > t->known[i] && t->known[j] - t->known[i] < least)
				least = t->known[j] - t->known[i];
	return least / 8;
}

static void agree(struct tables *t)
{
	uint64_t off;

	for (size_t k = 0; k < t->words; k++) {
		bool all = image__offset(t->img, t->content[0][k], true, &off);

		for (size_t i = 1; i < t->n_known; i++)
			all = all && t->content[i][k] == t->content[0][k];
		t->common[k] = all ? t->content[0][k] : 0;
		t->n_common += all;
	}
}

int methods__entry(struct reading *r, int64_t entry, uint64_t *addr)
{
	struct tables t = { .img = &r->img };
	int err = find_known(r, &t);

	if (err)
		return err;
	t.words = words_of(&t);
	if (entry < 0 || entry % 8 || (uint64_t)entry / 8 >= t.words)
		return -ENOTSUP;
	t.at = (size_t)entry / 8;
	each(&t, take_known);
	agree(&t);
	*addr = t.common[t.at];
	if (!*addr)
		return -ENOTSUP;
	each(&t, take_alike);
	each(&t, take_entries);
	for (size_t i = 0; i < t.n_alike; i++)
		if (t.hits[i] * ALIKE_PART >= t.n_common && t.entry_of[i] != *addr)
			return -ENOTSUP;
	return t.too_many ? -ENOTSUP : 0;
}
