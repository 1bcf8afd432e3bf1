/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is at hand while one file is looked into: its bytes, the symbols that mean something to us, a disassembler, and
 * the library that is being described. Internal to this folder.
 */
#ifndef TW_TLS_READING_H
#define TW_TLS_READING_H

#include "tls/graph.h"
#include "tls/image.h"
#include "tls/library.h"
#include "tls/place.h"
#include "tls/symbols.h"

#define READING_SLOTS_MAX 64

struct reading {
	struct image img;
	struct image_window code_window, stub_window;
	struct code code;
	struct symbol symbols[SYMBOLS_MAX]; /* of reading_names, see reading.c */
	size_t n_symbols;
	uint64_t slots[READING_SLOTS_MAX]; /* pointers through which it reaches those of other files */
	uint8_t slot_of[READING_SLOTS_MAX];
	size_t n_slots;
	struct tls_library *lib;
};

/* 0, or a negative errno with e. lib is filled in by the other functions. Release with reading__close in any case. */
int reading__open(struct reading *r, int fd, const char *name, struct tls_library *lib, struct err *e);
void reading__close(struct reading *r);

/* What the symbol tables say of one of the names we look for; asking for another is a bug. */
const struct symbol *reading__symbol(const struct reading *r, const char *name);

/* Which of our names a call or jump arrives at, through the linker's stub or not; NULL: none of them. */
const struct symbol *reading__callee(struct reading *r, const struct insn *in);

/*
 * Adds a site to the library. function: its first byte. 0, -ENOMEM; a place outside of the file's executable segments
 * cannot be and is -ENOEXEC.
 */
int reading__add_site(struct reading *r, const char *function, uint64_t addr, uint8_t job, const struct place *p,
                      const char *why);

/* Adds one that is known already. 0, -ENOMEM. */
int reading__copy_site(struct reading *r, const struct tls_site *site, const struct tls_where *where);

/* Appends to the library's note, after "; " if there is one. */
void reading__note(struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
