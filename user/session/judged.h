/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a judge is told of a config, whether releases are watched or planned. */
#ifndef TW_SESSION_JUDGED_H
#define TW_SESSION_JUDGED_H

#include "config/config.h"
#include "judge/judge.h"

/* r: NULL for an endpoint that no entry names. name must outlive the judge. */
struct judge_endpoint judged__endpoint(const struct config *c, const struct route *r, const char *name);
/* The config's unit i, which is i + 1 to the endpoints that are in it: the judge is told of all of them in this order.
 */
struct judge_cutover judged__unit(const struct config *c, size_t i);

#endif
