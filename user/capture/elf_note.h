/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * GNU build ids of program files. The file is foreign data: it is read, never mapped (a file that shrinks under a
 * mapping would kill us with SIGBUS), and nothing in it is believed without a bound.
 */
#ifndef TW_ELF_NOTE_H
#define TW_ELF_NOTE_H

#include <stddef.h>

#define ELF_BUILD_ID_MAX 64 /* bytes; the usual ones have 16 or 20 */
#define ELF_BUILD_ID_HEX (2 * ELF_BUILD_ID_MAX + 1)

/*
 * Writes the build id as lower-case hex. On error hex is empty and the return value a negative errno: -ENODATA when
 * the file has none, -ENOEXEC when it is no ELF file or a broken one, -ERANGE when it does not fit.
 */
int elf__build_id(int fd, char *hex, size_t len);

#endif
