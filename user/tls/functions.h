/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which functions of a C library are watched, and their sites. Internal to this folder. */
#ifndef TW_TLS_FUNCTIONS_H
#define TW_TLS_FUNCTIONS_H

#include "tls/reading.h"

/*
 * Adds the sites of every function of r->lib->kind (one of the C libraries) that the file defines, and notes what
 * cannot be watched. 0, or a negative errno with e.
 */
int functions__find(struct reading *r, struct err *e);

#endif
