/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading watched inside the library, in one trap a call. Internal to this folder. */
#ifndef TW_TLS_DEEP_H
#define TW_TLS_DEEP_H

#include "tls/inside.h"
#include "tls/reading.h"

/*
 * Is every byte that SSL_read, SSL_read_ex and SSL_read_early_data return seen at a few places inside, and none that
 * SSL_peek returns? Then makes r->lib's list with those places instead of the sites of these functions; else says why
 * not. All sites are there already. 0, or a negative errno with e.
 */
int deep__find(struct reading *r, struct err *e);

#endif
