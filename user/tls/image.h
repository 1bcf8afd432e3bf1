/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A foreign ELF file, read within bounds.
 *
 * Invariants: the file is only ever read (pread), never mapped: one that shrinks meanwhile is a short read, not a
 * SIGBUS. Every offset and size taken from it is compared with the file's size before it is used, and tables have a
 * highest length, so that whatever the file says, looking into it takes bounded memory and time.
 */
#ifndef TW_TLS_IMAGE_H
#define TW_TLS_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define IMAGE_SEGMENTS_MAX 1024
#define IMAGE_SECTIONS_MAX 16384
#define IMAGE_TABLE_MAX    (256ull << 20) /* bytes of one table or string section */

struct image {
	int fd; /* the caller's: stays open */
	const char *name;
	uint64_t size;
	uint16_t type, machine;
	bool elf64; /* a 64-bit little-endian file; of others nothing below is filled in */
	Elf64_Phdr *segments;
	size_t n_segments;
	Elf64_Shdr *sections; /* none: the file has no section table */
	size_t n_sections;
	char *names; /* of the sections, ends with NUL */
	size_t names_len;
};

/*
 * Reads the headers. name is kept for texts and must outlive the image. 0, or a negative errno with e: -ENOEXEC when
 * it is no ELF file or a broken one, -ENOMEM, what pread says. On an error there is nothing to close.
 */
int image__open(struct image *img, int fd, const char *name, struct err *e);
void image__close(struct image *img);

/* All of [off, off + len) of the file, or -ENOEXEC (beyond its end) or what pread says, with e. */
int image__read(const struct image *img, uint64_t off, void *buf, size_t len, struct err *e);

/* The section of that name, or NULL. What it says of itself has been compared with the file's size. */
const Elf64_Shdr *image__section(const struct image *img, const char *name);
/* The first section of that type (SHT_*), or NULL. */
const Elf64_Shdr *image__section_of(const struct image *img, uint32_t type);

/* Where in the file the byte of that address is; executable: only in segments that are mapped for execution. */
bool image__offset(const struct image *img, uint64_t addr, bool executable, uint64_t *off);
/*
 * A window on a range of the file, for reading it from front to back in small pieces. Zero-initialise, set img; close
 * with image_window__close.
 */
struct image_window {
	const struct image *img;
	uint8_t *bytes;
	uint64_t at; /* of bytes, in the file */
	size_t len;
};

/* A pointer to len bytes at off, good until the next call; NULL: not in the file (or len above 64 KiB, or no memory).
 */
const uint8_t *image_window__at(struct image_window *w, uint64_t off, size_t len);
/* Up to len bytes of code at the address, fewer where its segment ends; 0: there is no code there. */
size_t image_window__code(struct image_window *w, uint64_t addr, uint8_t *buf, size_t len);
void image_window__close(struct image_window *w);

#endif
