/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's route hash of a template, computed in user space. */
#ifndef TW_ROUTE_KEY_H
#define TW_ROUTE_KEY_H

#include <stdint.h>

/*
 * The hash that requests for "METHOD /path" have when every {parameter} holds an id. 0, or -EINVAL for a path whose
 * parameters are only part of a segment.
 */
int route_key(uint64_t seed, const char *method, const char *path, uint64_t *hash);

#endif
