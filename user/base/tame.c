// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/tame.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Decodes the character at s (RFC 3629). Returns its bytes; 0: it is none. */
static size_t decode(const unsigned char *s, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *s < 0x80 ? 1 : *s < 0xc0 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf8 ? 4 : 0;
	uint32_t c = n > 1 ? *s & (0x7f >> n) : *s;

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) /* the end of the text, too */
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	*out = c;
	return n && c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

static bool is_harmless(uint32_t c)
{
	if (c < 0xa0)
		return c == '\n' || (c >= 0x20 && c < 0x7f);
	return !(c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069));
}

char *tame(char *s)
{
	uint32_t c;

	for (char *at = s; *at;) {
		size_t n = decode((unsigned char *)at, &c);

		if (!n || !is_harmless(c)) {
			n = n ? n : 1;
			memset(at, '?', n);
		}
		at += n;
	}
	return s;
}

char *tame_line(char *s)
{
	tame(s);
	for (char *at = strchr(s, '\n'); at; at = strchr(at, '\n'))
		*at = '?';
	return s;
}

struct tamed tamed(const char *s)
{
	struct tamed t;
	int n = snprintf(t.s, sizeof(t.s), "%s", s);

	if (n >= (int)sizeof(t.s))
		memcpy(t.s + sizeof(t.s) - 4, "...", 4);
	tame_line(t.s);
	return t;
}
