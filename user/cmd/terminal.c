// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What stdout is. */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/terminal.h"

struct show_options stdout_options(double remaining)
{
	struct show_options o = { .mode = isatty(STDOUT_FILENO) ? SHOW_TERMINAL : SHOW_LINES, .remaining = remaining };
	struct winsize w;

	o.colour = o.mode == SHOW_TERMINAL && !getenv("NO_COLOR");
	if (o.mode == SHOW_TERMINAL && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w)) {
		o.columns = w.ws_col;
		o.rows = w.ws_row;
	}
	return o;
}
