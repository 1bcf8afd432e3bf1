/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Words in a file's constant data: what a library says of itself, what gives away one without symbols. Reads at most
 * SCAN_BYTES_MAX of a section.
 */
#ifndef TW_TLS_SCAN_H
#define TW_TLS_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "tls/image.h"

#define SCAN_BYTES_MAX (64ull << 20)

/*
 * Looks for prefix followed by a number ("OpenSSL " and "3.0.15") in the section of that name and writes both to out.
 * dated: only where a day of the month follows, as in the libraries' own texts. false, and out untouched: not there.
 */
bool scan__version(const struct image *img, const char *section, const char *prefix, bool dated, char *out, size_t len);

bool scan__contains(const struct image *img, const char *section, const char *word);

#endif
