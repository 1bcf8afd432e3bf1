/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "show/format.h"

#define REPLACEMENT 0xfffd

static struct text words(const char *s)
{
	struct text t;

	snprintf(t.s, sizeof(t.s), "%s", s);
	return t;
}

static struct text nothing(void)
{
	return words("-");
}

/* How many decimals make three significant digits of v after rounding: 9.996 is "10.0". */
static int decimals(double v)
{
	return v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
}

/* v in the first unit that keeps it below a thousand after rounding, or in the last. */
static struct text scaled(double v, double step, const char *const *units, size_t n)
{
	struct text t;
	size_t i = 0;

	while (i + 1 < n && v >= step - 0.5) {
		v /= step;
		i++;
	}
	snprintf(t.s, sizeof(t.s), "%.*f %s", decimals(v), v, units[i]);
	return t;
}

struct text format_span(double seconds)
{
	struct text t;
	unsigned long long s;

	if (!isfinite(seconds) || seconds < 0)
		return nothing();
	if (seconds >= 1000 * 86400.0)
		return words(">999d");
	s = llround(seconds);
	if (s < 60)
		snprintf(t.s, sizeof(t.s), "%llu s", s);
	else if (s < 3600)
		snprintf(t.s, sizeof(t.s), "%llum %02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(t.s, sizeof(t.s), "%lluh %02llum", s / 3600, s / 60 % 60);
	else if (s < 100 * 86400)
		snprintf(t.s, sizeof(t.s), "%llud %02lluh", s / 86400, s / 3600 % 24);
	else
		snprintf(t.s, sizeof(t.s), "%llud", s / 86400);
	return t;
}

struct text format_duration(double seconds)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };

	if (!isfinite(seconds) || seconds < 0)
		return nothing();
	if (seconds >= 59.95)
		return format_span(seconds);
	if (seconds < 9.995e-9) /* a clock that counts nanoseconds has no tenths of them */
		return words(seconds > 0 ? "<10 ns" : "0 ns");
	return scaled(seconds * 1e9, 1000, units, 4);
}

struct text format_count(uint64_t n)
{
	char digits[24];
	struct text t;
	size_t len, i, at = 0;

	len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			t.s[at++] = ',';
		t.s[at++] = digits[i];
	}
	t.s[at] = '\0';
	return t;
}

static struct text abbreviated(double n)
{
	static const char *const units[] = { "k", "M", "G", "T", "P", "E" };

	return scaled(n / 1000, 1000, units, 6);
}

struct text format_count_short(uint64_t n)
{
	return n < 10 * 1000 * 1000 ? format_count(n) : abbreviated((double)n);
}

struct text format_count_tiny(uint64_t n)
{
	return n < 100 * 1000 ? format_count(n) : abbreviated((double)n);
}

struct text format_rate(double per_second)
{
	struct text t;

	if (!isfinite(per_second) || per_second < 0)
		return nothing();
	if (per_second >= 1e18)
		return words(">999 P");
	if (per_second >= 99.95)
		return format_count_tiny((uint64_t)llround(per_second));
	snprintf(t.s, sizeof(t.s), "%.*f", decimals(per_second), per_second);
	return t;
}

struct text format_ratio(double ratio)
{
	struct text t;

	if (isnan(ratio) || ratio < 0)
		return nothing();
	if (isinf(ratio))
		return words("new");
	if (ratio > 0 && ratio < 0.005)
		return words("<x.01");
	if (ratio >= 999.5e3)
		return words(">x1M");
	if (ratio >= 999.5)
		snprintf(t.s, sizeof(t.s), "x%.0fk", ratio / 1000);
	else
		snprintf(t.s, sizeof(t.s), "x%.*f", decimals(ratio), ratio);
	return t;
}

struct text format_percent(double share)
{
	struct text t;
	double percent = share * 100;

	if (!isfinite(share) || share < 0)
		return nothing();
	if (share == 0)
		return words("0%");
	if (percent < 0.01)
		return words("<0.01%");
	if (share >= 1)
		return words(share > 1 ? ">100%" : "100%");
	if (percent >= 99.95) /* a hundred per cent means all of them */
		return words(">99.9%");
	snprintf(t.s, sizeof(t.s), "%.*f%%", decimals(percent), percent);
	return t;
}

struct text format_bytes(uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

	return scaled((double)bytes / 1024, 1024, units, 6);
}

struct text format_joined(struct text spaced)
{
	struct text t;
	size_t at = 0;

	for (const char *p = spaced.s; *p; p++)
		if (*p != ' ')
			t.s[at++] = *p;
	t.s[at] = '\0';
	return t;
}

size_t utf8_next(const char *s, uint32_t *code_point)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *u = (const unsigned char *)s;
	size_t len = u[0] < 0x80 ? 1 : u[0] >> 5 == 6 ? 2 : u[0] >> 4 == 14 ? 3 : u[0] >> 3 == 30 ? 4 : 0;
	uint32_t c;

	*code_point = REPLACEMENT;
	if (!len)
		return 1;
	c = len == 1 ? u[0] : u[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (u[i] >> 6 != 2) /* the terminating zero is caught here, too */
			return 1;
		c = c << 6 | (u[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 1;
	*code_point = c;
	return len;
}

/* Characters that hide or turn the direction of what follows: a name must not rearrange the table. And not-a-character.
 */
static int is_invisible(uint32_t c)
{
	return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff0 && c <= REPLACEMENT) || c >= 0xe0000;
}

int terminal_columns(uint32_t code_point)
{
	if (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) || is_invisible(code_point))
		return 0;
	/* From Hangul on a character may be double width. Counting all of them so is too much for some, never too
	 * little. */
	return code_point < 0x1100 ? 1 : 2;
}

int text_columns(const char *s)
{
	int columns = 0, c;
	uint32_t code_point;

	while (*s) {
		s += utf8_next(s, &code_point);
		c = terminal_columns(code_point);
		columns += c ? c : 1;
	}
	return columns;
}
