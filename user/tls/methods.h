/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * OpenSSL's tables of methods, one for each version of the protocol, as they lie in the file. Internal to this folder.
 */
#ifndef TW_TLS_METHODS_H
#define TW_TLS_METHODS_H

#include "tls/reading.h"

/*
 * What all tables for TLS have `entry` bytes behind their beginning: those that an exported function returns, and those
 * that look like them (which one takes the place of another once the version is agreed on is nobody's to see). *addr is
 * that function. 0, -ENOMEM, or -ENOTSUP: they do not have the same, or cannot be read.
 */
int methods__entry(struct reading *r, int64_t entry, uint64_t *addr);

#endif
