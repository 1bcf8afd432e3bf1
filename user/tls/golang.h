/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs of Go and their crypto/tls. Internal to this folder.
 *
 * Functions are found by the table that every Go program carries for its own stack traces (.gopclntab), which is still
 * there when the program was stripped.
 */
#ifndef TW_TLS_GOLANG_H
#define TW_TLS_GOLANG_H

#include "tls/reading.h"

/* Is it a Go program? By the sections that its linker writes. */
bool golang__is(const struct reading *r);

/*
 * Fills in kind, version, note and sites of r->lib. kind is TLS_GO when crypto/tls is in the program, also where its
 * calls cannot be watched (the note says why). 0, or a negative errno with e.
 */
int golang__find(struct reading *r, struct err *e);

#endif
