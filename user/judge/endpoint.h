/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a judge is told of a configuration, whether releases are watched, planned or replayed. */
#ifndef TW_JUDGE_ENDPOINT_H
#define TW_JUDGE_ENDPOINT_H

#include "judge/judge.h"

/* name must outlive the judge; r: the entry of c that names it, NULL if none does. */
struct judge_endpoint judge_endpoint__watched(const char *name, const struct config *c, const struct route *r);
/*
 * Sets only what a route decides: the unit of analysis stays what it is. Margins are the endpoint's own, else those of
 * its cut-over unit; what neither gives stays 0, the policy's. A configuration without cut-over units leaves the
 * endpoint in the one it is in; otherwise those of the judge must begin with the configuration's, in its order.
 */
void judge_endpoint__apply(struct judge_endpoint *e, const struct config *c, const struct route *r);
/* The configuration's unit i, which is i + 1 to the endpoints that are in it: judges get all of them in this order. */
struct judge_cutover judge_cutover__of(const struct config *c, size_t i);

#endif
