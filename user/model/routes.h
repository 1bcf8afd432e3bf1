/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Endpoints: from "METHOD target" texts to numbered endpoints.
 *
 * Order of rules: the most specific template of the config that matches (the first segment in which one has a literal
 * and the other a parameter decides, then an exact method beats "*"); else the target with ids collapsed
 * (/orders/8812 -> /orders/{id}); else, above the cap, "other". Targets without a path are "OPTIONS *" and
 * "CONNECT (authority)". A truncated target keeps its whole segments and ends in "/{...}"; it matches no template.
 * A segment is an id when it is all digits, or has at least 8 characters that are all hex digits or '-' with at least
 * one digit among them: exactly the rule of the kernel's route hash (bpf/route_hash.h), so that two targets with the
 * same hash always have the same name. Config templates must therefore not name a literal segment that is an id.
 *
 * Invariants: endpoint numbers are dense, start at 1 and never change during a run; 1..n_routes are the config's, in
 * its order; names are unique; no query string, fragment or authority is ever part of a name.
 */
#ifndef TW_ROUTES_H
#define TW_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct routes;

/* c may be NULL (no config). cap: the most endpoints named, config's included; "other" comes on top. */
struct routes *routes__new(const struct config *c, unsigned int cap);
void routes__free(struct routes *r);

/*
 * The endpoint of "METHOD target"; text needs no terminator and is foreign data: bytes outside printable ASCII, '"',
 * '\\', '{' and '}' come out percent-encoded in names; truncated: the target was longer than text. Returns the endpoint
 * number (>= 1); never fails for hostile input: what cannot be named is "other". *counted_as_other says that the cap
 * did that.
 */
uint16_t routes__name(struct routes *r, const char *text, size_t len, bool truncated, bool *counted_as_other);

size_t routes__count(const struct routes *r); /* endpoints 1..count exist */
const char *routes__endpoint(const struct routes *r, uint16_t endpoint);
/* The config entry, or NULL for a name that was found by normalising. */
const struct route *routes__config(const struct routes *r, uint16_t endpoint);
uint16_t routes__other(struct routes *r);
/* The endpoint of what is known to be a request, and not of which: "(unknown)". It is beyond the cap, as "other" is. */
uint16_t routes__unknown(struct routes *r);

/* Is this path segment an id by the rule above? */
bool route_segment_is_id(const char *segment, size_t len);

#endif
