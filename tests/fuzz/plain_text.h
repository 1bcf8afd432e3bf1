/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * May this text reach a terminal? Worked out here from the standards: no control character of either kind (ECMA-48) but
 * the line feed, where lines are allowed, and nothing that is not UTF-8 (RFC 3629, 4).
 */
#ifndef TW_FUZZ_PLAIN_TEXT_H
#define TW_FUZZ_PLAIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool in_range(uint8_t b, uint8_t from, uint8_t to)
{
	return b >= from && b <= to;
}

/* Bytes of the well-formed sequence at p, of n; 0: there is none. The rows of table 3-7 of Unicode. */
static inline size_t well_formed(const uint8_t *p, size_t n)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	len = in_range(p[0], 0xc2, 0xdf) ? 2 : in_range(p[0], 0xe0, 0xef) ? 3 : in_range(p[0], 0xf0, 0xf4) ? 4 : 0;
	if (!len || len > n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	if (p[0] == 0xed)
		high = 0x9f;
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xf4)
		high = 0x8f;
	if (!in_range(p[1], low, high))
		return 0;
	for (size_t i = 2; i < len; i++)
		if (!in_range(p[i], 0x80, 0xbf))
			return 0;
	return len;
}

static inline bool is_utf8(const char *text, size_t n)
{
	size_t i, len = 1;

	for (i = 0; i < n && len; i += len)
		len = well_formed((const uint8_t *)text + i, n - i);
	return len;
}

static inline bool is_plain_text(const char *text, size_t n, bool lines)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0, len; i < n; i += len) {
		len = well_formed(p + i, n - i);
		if (!len)
			return false;
		if ((p[i] < 0x20 && !(lines && p[i] == '\n')) || p[i] == 0x7f || (p[i] == 0xc2 && p[i + 1] < 0xa0))
			return false;
	}
	return true;
}

#endif
