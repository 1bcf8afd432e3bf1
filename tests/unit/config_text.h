/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Configurations as texts: read, or refused with a line and a message. */
#ifndef TESTS_UNIT_CONFIG_TEXT_H
#define TESTS_UNIT_CONFIG_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"

#define HEAD "service: s\nversions:\n  v1: { arm: baseline, match: { listen: 8081 } }\n"

static inline void *at(const void *p)
{
	return (void *)(uintptr_t)p;
}

static inline struct config *parse_ok(const char *text)
{
	struct config *c = NULL;
	struct err e;

	if (config__parse(&c, text, strlen(text), "shop.yaml", &e))
		fail_msg("%s", e.text);
	assert_string_equal(e.text, "");
	return c;
}

/* The text is refused with a message that begins with "shop.yaml:LINE: " (line 0: no line) and holds every part. */
static inline void refuse_bytes(const char *text, size_t len, int line, const char *part)
{
	struct config *c = at(text);
	struct err e;
	char start[32];

	snprintf(start, sizeof(start), line ? "shop.yaml:%d: " : "shop.yaml: ", line);
	assert_int_equal(config__parse(&c, text, len, "shop.yaml", &e), -EINVAL);
	assert_null(c);
	if (strncmp(e.text, start, strlen(start)) != 0 || !strstr(e.text, part))
		fail_msg("wanted \"%s...%s\", got \"%s\"", start, part, e.text);
	for (const char *p = e.text; *p; p++)
		assert_true((unsigned char)*p >= ' ');
}

struct refusal {
	const char *text;
	int line;
	const char *part;
};

static inline void refuse_all(const struct refusal *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		refuse_bytes(r[i].text, strlen(r[i].text), r[i].line, r[i].part);
}
#define REFUSE_ALL(cases) refuse_all(cases, sizeof(cases) / sizeof((cases)[0]))

#endif
