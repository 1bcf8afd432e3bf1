/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TW_CMD_TERMINAL_H
#define TW_CMD_TERMINAL_H

#include "show/show.h"

/* How to write to stdout as it is now: a terminal has a size, and colours unless NO_COLOR is set. */
struct show_options stdout_options(double remaining);

#endif
