// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_BYTES (64 * 1024)

static int read_some(int fd, uint64_t off, void *buf, size_t len, size_t *got)
{
	*got = 0;
	while (*got < len) {
		ssize_t n = pread(fd, (char *)buf + *got, len - *got, (off_t)(off + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*got += (size_t)n;
	}
	return 0;
}

static bool within(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

int image__read(const struct image *img, uint64_t off, void *buf, size_t len, struct err *e)
{
	size_t got = 0;
	int err;

	if (!within(off, len, img->size))
		return err_set(e, ENOEXEC, "%s: broken ELF file: bytes %llu to %llu are wanted, it has %llu", img->name,
		               (unsigned long long)off, (unsigned long long)off + len, (unsigned long long)img->size);
	err = read_some(img->fd, off, buf, len, &got);
	if (err)
		return err_set(e, -err, "%s: cannot be read at byte %llu: %s", img->name, (unsigned long long)off,
		               strerror(-err));
	if (got < len)
		return err_set(e, ENOEXEC, "%s: became shorter while it was read", img->name);
	return 0;
}

/* A table of n entries of the size that this architecture has; *out is NULL when n is 0. */
static int read_table(const struct image *img, const char *what, uint64_t off, size_t n, size_t entry, void **out,
                      struct err *e)
{
	int err;

	*out = NULL;
	if (!n)
		return 0;
	if (!within(off, (uint64_t)n * entry, img->size))
		return err_set(e, ENOEXEC, "%s: broken ELF file: its %s reach beyond its end", img->name, what);
	*out = malloc(n * entry);
	if (!*out)
		return err_set(e, ENOMEM, "%s: out of memory", img->name);
	err = image__read(img, off, *out, n * entry, e);
	if (err) {
		free(*out);
		*out = NULL;
	}
	return err;
}

/* Sections only describe; a file whose section table is not there (or was cut off) still runs. */
static int read_sections(struct image *img, const Elf64_Ehdr *h, struct err *e)
{
	uint64_t n = h->e_shnum, index = h->e_shstrndx;
	const Elf64_Shdr *names;
	Elf64_Shdr first;
	void *table;
	int err;

	if (!h->e_shoff)
		return 0;
	if (h->e_shentsize != sizeof(Elf64_Shdr))
		return err_set(e, ENOEXEC, "%s: broken ELF file: section headers of %u bytes", img->name,
		               h->e_shentsize);
	err = image__read(img, h->e_shoff, &first, sizeof(first), e);
	if (err)
		return err;
	if (!n)
		n = first.sh_size;
	if (index == SHN_XINDEX)
		index = first.sh_link;
	if (n > IMAGE_SECTIONS_MAX)
		return err_set(e, ENOEXEC, "%s: %llu sections, more than %d", img->name, (unsigned long long)n,
		               IMAGE_SECTIONS_MAX);
	err = read_table(img, "section headers", h->e_shoff, n, sizeof(Elf64_Shdr), &table, e);
	if (err)
		return err;
	img->sections = table;
	img->n_sections = n;
	if (index >= n)
		return 0;
	names = &img->sections[index];
	if (names->sh_type != SHT_STRTAB || !names->sh_size)
		return 0;
	if (names->sh_size > IMAGE_TABLE_MAX)
		return err_set(e, ENOEXEC, "%s: broken ELF file: names of sections of %llu bytes", img->name,
		               (unsigned long long)names->sh_size);
	err = read_table(img, "names of sections", names->sh_offset, names->sh_size, 1, &table, e);
	if (err)
		return err;
	img->names = table;
	img->names_len = names->sh_size;
	img->names[img->names_len - 1] = '\0';
	return 0;
}

static int read_segments(struct image *img, const Elf64_Ehdr *h, struct err *e)
{
	void *table;
	int err;

	if (!h->e_phnum)
		return 0;
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum > IMAGE_SEGMENTS_MAX)
		return err_set(e, ENOEXEC, "%s: broken ELF file: %u program headers of %u bytes", img->name, h->e_phnum,
		               h->e_phentsize);
	err = read_table(img, "program headers", h->e_phoff, h->e_phnum, sizeof(Elf64_Phdr), &table, e);
	if (err)
		return err;
	img->segments = table;
	img->n_segments = h->e_phnum;
	return 0;
}

int image__open(struct image *img, int fd, const char *name, struct err *e)
{
	unsigned char ident[EI_NIDENT];
	struct stat st;
	Elf64_Ehdr h;
	int err;

	*img = (struct image){ .fd = fd, .name = name };
	if (fstat(fd, &st)) {
		err = errno;
		return err_set(e, err, "%s: %s", name, strerror(err));
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, ENOEXEC, "%s: not a file", name);
	img->size = (uint64_t)st.st_size;
	if (img->size < sizeof(ident))
		return err_set(e, ENOEXEC, "%s: no ELF file: it has %llu bytes", name, (unsigned long long)img->size);
	err = image__read(img, 0, ident, sizeof(ident), e);
	if (err)
		return err;
	if (memcmp(ident, ELFMAG, SELFMAG))
		return err_set(e, ENOEXEC, "%s: no ELF file", name);
	img->elf64 = ident[EI_CLASS] == ELFCLASS64 && ident[EI_DATA] == ELFDATA2LSB;
	if (!img->elf64)
		return 0;
	err = image__read(img, 0, &h, sizeof(h), e);
	if (err)
		return err;
	img->type = h.e_type;
	img->machine = h.e_machine;
	err = read_segments(img, &h, e);
	if (!err)
		err = read_sections(img, &h, e);
	if (err)
		image__close(img);
	return err;
}

void image__close(struct image *img)
{
	free(img->segments);
	free(img->sections);
	free(img->names);
	*img = (struct image){ .fd = -1 };
}

/* One whose content is not in the file (or beyond it) is as good as none. */
static bool usable(const struct image *img, const Elf64_Shdr *s)
{
	return s->sh_type != SHT_NOBITS && s->sh_type != SHT_NULL && within(s->sh_offset, s->sh_size, img->size);
}

const Elf64_Shdr *image__section(const struct image *img, const char *name)
{
	for (size_t i = 0; i < img->n_sections; i++) {
		const Elf64_Shdr *s = &img->sections[i];

		if (s->sh_name < img->names_len && !strcmp(img->names + s->sh_name, name) && usable(img, s))
			return s;
	}
	return NULL;
}

const Elf64_Shdr *image__section_of(const struct image *img, uint32_t type)
{
	for (size_t i = 0; i < img->n_sections; i++)
		if (img->sections[i].sh_type == type && usable(img, &img->sections[i]))
			return &img->sections[i];
	return NULL;
}

static const Elf64_Phdr *segment_of(const struct image *img, uint64_t addr, bool executable)
{
	for (size_t i = 0; i < img->n_segments; i++) {
		const Elf64_Phdr *p = &img->segments[i];

		if (p->p_type == PT_LOAD && addr >= p->p_vaddr && addr - p->p_vaddr < p->p_filesz &&
		    (!executable || (p->p_flags & PF_X)) && within(p->p_offset, p->p_filesz, img->size))
			return p;
	}
	return NULL;
}

bool image__offset(const struct image *img, uint64_t addr, bool executable, uint64_t *off)
{
	const Elf64_Phdr *p = segment_of(img, addr, executable);

	if (p)
		*off = p->p_offset + (addr - p->p_vaddr);
	return p != NULL;
}

const uint8_t *image_window__at(struct image_window *w, uint64_t off, size_t len)
{
	uint64_t left;

	if (len > WINDOW_BYTES || !within(off, len, w->img->size))
		return NULL;
	if (w->bytes && off >= w->at && off - w->at <= w->len && len <= w->len - (off - w->at))
		return w->bytes + (off - w->at);
	if (!w->bytes)
		w->bytes = malloc(WINDOW_BYTES);
	if (!w->bytes)
		return NULL;
	left = w->img->size - off;
	w->at = off;
	if (read_some(w->img->fd, off, w->bytes, left < WINDOW_BYTES ? left : WINDOW_BYTES, &w->len))
		w->len = 0;
	return len <= w->len ? w->bytes : NULL;
}

size_t image_window__code(struct image_window *w, uint64_t addr, uint8_t *buf, size_t len)
{
	const Elf64_Phdr *p = segment_of(w->img, addr, true);
	const uint8_t *bytes;
	uint64_t skip;

	if (!p)
		return 0;
	skip = addr - p->p_vaddr;
	if (len > p->p_filesz - skip)
		len = p->p_filesz - skip;
	bytes = image_window__at(w, p->p_offset + skip, len);
	if (!bytes)
		return 0;
	memcpy(buf, bytes, len);
	return len;
}

void image_window__close(struct image_window *w)
{
	free(w->bytes);
	w->bytes = NULL;
	w->len = 0;
}
