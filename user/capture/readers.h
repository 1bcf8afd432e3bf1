/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which processes read what comes to the versions: those that serve, as opposed to those that merely belong to one. A
 * process is noted when it reads from a connection for the first time.
 */
#ifndef TW_READERS_H
#define TW_READERS_H

#include "tw_abi.h"

/*
 * Hands out those that were noted since the last call, and forgets them. fd: of loader__readers. Returns how many, or a
 * negative errno.
 */
int readers__take(int fd, void (*fn)(void *arg, const struct tw_reader *r), void *arg);

#endif
