/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A few names looked up in the symbol tables of a foreign ELF file.
 *
 * Neither the tables nor their strings are ever held whole: they are read through a window, so that a program with a
 * million symbols costs time, not memory.
 */
#ifndef TW_TLS_SYMBOLS_H
#define TW_TLS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/image.h"

#define SYMBOLS_MAX 64 /* names in one search */

struct symbol {
	const char *name;    /* the caller's: what is looked for */
	bool defined;        /* the file has it: addr and size are filled in */
	bool imported;       /* the file wants it of another one */
	uint32_t dynamic;    /* its place in .dynsym, 0: not there */
	uint64_t addr, size; /* size 0: the table does not say */
};

/*
 * Looks in .dynsym and, for what is not defined there, in .symtab. 0, or a negative errno with e: -ENOEXEC for tables
 * that contradict themselves, -ENOMEM, -E2BIG for more than SYMBOLS_MAX names. No table at all is no error.
 */
int symbols__find(const struct image *img, struct symbol *wanted, size_t n, struct err *e);

/*
 * Through which slots (addresses of pointers that the dynamic linker fills in) the file reaches the n symbols, from
 * what symbols__find said of them. of[i] is the index in wanted that slots[i] belongs to. Returns how many, at most
 * max; a relocation table that cannot be read is as good as none.
 */
size_t symbols__slots(const struct image *img, const struct symbol *wanted, size_t n, uint64_t *slots, uint8_t *of,
                      size_t max);

#endif
