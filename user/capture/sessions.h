/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sessions of another protocol (WebSocket) that a version's server has cut, since the programs were loaded. */
#ifndef TW_SESSIONS_H
#define TW_SESSIONS_H

#include <stdint.h>

#include "capture/loader.h"

/* Reset by the server, or closed without saying so; what a client ended is not among them. 0 or a negative errno. */
int sessions__cut(const struct loader *l, unsigned int version, uint64_t *n);

#endif
