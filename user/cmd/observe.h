/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What commands that compare do between two refreshes. */
#ifndef TW_CMD_OBSERVE_H
#define TW_CMD_OBSERVE_H

#include "session/session.h"

/* s: what is shown again and again is shown first when there may be figures. */
#define REFRESH_FIRST 0.2

/*
 * Runs for so many seconds, or to the end, and gives everything up to then; NULL with the reason said. *more is 1 when
 * it goes on, 0 when that was the end.
 */
const struct comparison *observe_for(struct session *s, double seconds, int *more);

#endif
