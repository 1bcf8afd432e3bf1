/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values of the configuration as text: pure, without allocation, and independent of the locale. Each takes the whole
 * text or refuses it: -EINVAL (not of this form), -ERANGE (too many digits), -EDOM (ambiguous without a unit).
 */
#ifndef TW_CONFIG_VALUE_H
#define TW_CONFIG_VALUE_H

#include <stdint.h>

#include "config/config.h"

/* "1.5": digits with an optional fraction; no sign, exponent or blank. */
int parse_number(const char *text, double *value);
/* "500": digits only. */
int parse_count(const char *text, uint64_t *value);
/* "20%" or a fraction below one, "0.2". -EDOM: "20" or "1", which could mean either. */
int parse_share(const char *text, double *fraction);
/* "62.50 EUR" */
int parse_money(const char *text, struct money *m);

#endif
