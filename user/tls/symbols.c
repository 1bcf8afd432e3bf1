// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK     (256 * 1024)
#define NAME_MAX_ 64 /* bytes of a name, with its NUL */
/* The linker merges equal strings; a file in which a name is found more often than this is no linker's. */
#define PLACES_MAX 256

/* .rela.dyn and .rela.plt, and some to spare. */
#define RELOCATION_TABLES_MAX 4

/* Where in the string table the wanted names are. */
struct places {
	uint32_t offset[PLACES_MAX];
	uint8_t name[PLACES_MAX]; /* index in wanted */
	size_t n;
};

/* A name may also be the tail of a longer one: linkers share such strings. So names are recognised by their end. */
static void match_end(const struct symbol *wanted, size_t n, const char *end, size_t before, uint64_t offset,
                      struct places *p)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(wanted[i].name);

		if (len <= before && p->n < PLACES_MAX && end[-1] == wanted[i].name[len - 1] &&
		    !memcmp(end - len, wanted[i].name, len)) {
			p->offset[p->n] = (uint32_t)(offset - len);
			p->name[p->n++] = (uint8_t)i;
		}
	}
}

static int find_names(const struct image *img, const Elf64_Shdr *strings, const struct symbol *wanted, size_t n,
                      struct places *p, struct err *e)
{
	char *buf = malloc(NAME_MAX_ + CHUNK), *fresh;
	uint64_t at = 0;
	size_t kept = 0; /* bytes of the chunk before, in front of fresh */
	int err = 0;

	p->n = 0;
	if (!buf)
		return err_set(e, ENOMEM, "%s: out of memory", img->name);
	fresh = buf + NAME_MAX_;
	while (at < strings->sh_size && !err) {
		size_t len = strings->sh_size - at < CHUNK ? strings->sh_size - at : CHUNK;
		const char *s = fresh, *end = fresh + len;

		err = image__read(img, strings->sh_offset + at, fresh, len, e);
		while (!err && s < end && (s = memchr(s, '\0', (size_t)(end - s)))) {
			size_t before = (size_t)(s - fresh) + kept;

			if (before && s[-1])
				match_end(wanted, n, s, before, at + (size_t)(s - fresh), p);
			s++;
		}
		kept = len < NAME_MAX_ ? len : NAME_MAX_;
		memmove(fresh - kept, end - kept, kept);
		at += len;
	}
	free(buf);
	return err;
}

static void take(const Elf64_Sym *s, uint32_t index, bool dynamic, struct symbol *w)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);

	if (dynamic && !w->dynamic)
		w->dynamic = index;
	if (s->st_shndx == SHN_UNDEF) {
		w->imported = w->imported || dynamic;
		return;
	}
	if (w->defined || (type != STT_FUNC && type != STT_NOTYPE) || !s->st_value)
		return;
	w->defined = true;
	w->addr = s->st_value;
	w->size = s->st_size;
}

static int find_in(const struct image *img, const Elf64_Shdr *table, struct symbol *wanted, size_t n, struct err *e)
{
	struct image_window w = { .img = img };
	const Elf64_Shdr *strings;
	struct places p;
	uint64_t count = table->sh_size / sizeof(Elf64_Sym);
	int err;

	if (table->sh_entsize != sizeof(Elf64_Sym) || table->sh_link >= img->n_sections)
		return err_set(e, ENOEXEC, "%s: broken ELF file: a symbol table with entries of %llu bytes", img->name,
		               (unsigned long long)table->sh_entsize);
	strings = &img->sections[table->sh_link];
	if (strings->sh_type != SHT_STRTAB || strings->sh_size > IMAGE_TABLE_MAX || table->sh_size > IMAGE_TABLE_MAX)
		return err_set(e, ENOEXEC, "%s: broken ELF file: a symbol table of %llu bytes with names of %llu",
		               img->name, (unsigned long long)table->sh_size, (unsigned long long)strings->sh_size);
	err = find_names(img, strings, wanted, n, &p, e);
	if (err || !p.n)
		return err;
	for (uint64_t i = 1; i < count; i++) {
		const uint8_t *bytes =
			image_window__at(&w, table->sh_offset + i * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
		Elf64_Sym s;

		if (!bytes) {
			err = err_set(e, ENOEXEC, "%s: its symbols cannot be read", img->name);
			break;
		}
		memcpy(&s, bytes, sizeof(s));
		for (size_t j = 0; j < p.n; j++)
			if (p.offset[j] == s.st_name)
				take(&s, (uint32_t)i, table->sh_type == SHT_DYNSYM, &wanted[p.name[j]]);
	}
	image_window__close(&w);
	return err;
}

int symbols__find(const struct image *img, struct symbol *wanted, size_t n, struct err *e)
{
	static const uint32_t tables[] = { SHT_DYNSYM, SHT_SYMTAB };
	int err = 0;

	if (n > SYMBOLS_MAX)
		return err_set(e, E2BIG, "%zu names are looked for", n);
	for (size_t i = 0; i < 2 && !err; i++) {
		const Elf64_Shdr *table = image__section_of(img, tables[i]);

		if (table)
			err = find_in(img, table, wanted, n, e);
	}
	return err;
}

static size_t slots_in(const struct image *img, const Elf64_Shdr *table, const struct symbol *wanted, size_t n,
                       uint64_t *slots, uint8_t *of, size_t max)
{
	struct image_window w = { .img = img };
	size_t found = 0;

	if (table->sh_entsize != sizeof(Elf64_Rela) || table->sh_size > IMAGE_TABLE_MAX)
		return 0;
	for (uint64_t i = 0; i < table->sh_size / sizeof(Elf64_Rela) && found < max; i++) {
		const uint8_t *bytes =
			image_window__at(&w, table->sh_offset + i * sizeof(Elf64_Rela), sizeof(Elf64_Rela));
		Elf64_Rela r;

		if (!bytes)
			break;
		memcpy(&r, bytes, sizeof(r));
		for (size_t j = 0; j < n && found < max; j++)
			if (wanted[j].dynamic && wanted[j].dynamic == ELF64_R_SYM(r.r_info)) {
				slots[found] = r.r_offset;
				of[found++] = (uint8_t)j;
			}
	}
	image_window__close(&w);
	return found;
}

size_t symbols__slots(const struct image *img, const struct symbol *wanted, size_t n, uint64_t *slots, uint8_t *of,
                      size_t max)
{
	size_t found = 0, tables = 0;

	for (size_t i = 0; i < img->n_sections && tables < RELOCATION_TABLES_MAX; i++) {
		const Elf64_Shdr *s = &img->sections[i];

		if (s->sh_type != SHT_RELA || s->sh_link >= img->n_sections ||
		    img->sections[s->sh_link].sh_type != SHT_DYNSYM)
			continue;
		tables++;
		found += slots_in(img, s, wanted, n, slots + found, of + found, max - found);
	}
	return found;
}
