// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* Up to 15 significant digits are exact in a double, and so is every power of ten used here: one rounding in all. */
#define MAX_DIGITS 15

struct decimal {
	uint64_t digits; /* value = digits / 10^scale */
	int scale;
	const char *end; /* the first character behind it */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int read_decimal(const char *text, struct decimal *d)
{
	const char *p = text;
	int significant = 0;
	bool fraction = false;

	*d = (struct decimal){ 0 };
	for (; is_digit(*p) || (*p == '.' && !fraction && p > text && is_digit(p[1])); p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		significant += significant || *p != '0';
		d->scale += fraction;
		if (significant > MAX_DIGITS || d->scale > MAX_DIGITS)
			return -ERANGE;
		d->digits = d->digits * 10 + (uint64_t)(*p - '0');
	}
	d->end = p;
	return p == text ? -EINVAL : 0;
}

static double decimal_value(const struct decimal *d, uint64_t factor, int more_scale)
{
	static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
		                        1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18 };

	return (double)(d->digits * factor) / power[d->scale + more_scale];
}

int parse_number(const char *text, double *value)
{
	struct decimal d;
	int err = read_decimal(text, &d);

	if (err)
		return err;
	if (*d.end)
		return -EINVAL;
	*value = decimal_value(&d, 1, 0);
	return 0;
}

int parse_count(const char *text, uint64_t *value)
{
	struct decimal d;
	int err = read_decimal(text, &d);

	if (err)
		return err;
	if (*d.end || d.scale)
		return -EINVAL;
	*value = d.digits;
	return 0;
}

int parse_share(const char *text, double *fraction)
{
	struct decimal d;
	int err = read_decimal(text, &d);

	if (err)
		return err;
	if (strcmp(d.end, "%") == 0) {
		*fraction = decimal_value(&d, 1, 2);
		return 0;
	}
	if (*d.end)
		return -EINVAL;
	if (decimal_value(&d, 1, 0) >= 1.0)
		return -EDOM;
	*fraction = decimal_value(&d, 1, 0);
	return 0;
}

/* No run lasts thirty years, and nanoseconds up to here fit into 64 bits. */
#define MAX_SECONDS 1e9

int parse_duration(const char *text, double *seconds)
{
	static const struct {
		const char *unit;
		uint64_t factor;
		int scale;
	} units[] = { { "ms", 1, 3 }, { "s", 1, 0 }, { "m", 60, 0 }, { "h", 3600, 0 } };
	struct decimal d;

	if (read_decimal(text, &d))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double value;

		if (strcmp(d.end, units[i].unit) != 0)
			continue;
		value = decimal_value(&d, units[i].factor, units[i].scale);
		if (value > MAX_SECONDS)
			return -EINVAL;
		*seconds = value;
		return 0;
	}
	return -EINVAL;
}

int parse_money(const char *text, struct money *m)
{
	struct decimal d;
	int err = read_decimal(text, &d);

	if (err)
		return err;
	if (d.end[0] != ' ' || strlen(d.end) != 4)
		return -EINVAL;
	for (int i = 1; i < 4; i++)
		if (d.end[i] < 'A' || d.end[i] > 'Z')
			return -EINVAL;
	*m = (struct money){ .set = true, .amount = decimal_value(&d, 1, 0) };
	memcpy(m->currency, d.end + 1, sizeof(m->currency));
	return 0;
}

static int parse_port(const char *text, uint16_t *port)
{
	uint32_t value = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 5 || text[0] == '0')
		return -EINVAL;
	for (; *text; text++) {
		if (!is_digit(*text))
			return -EINVAL;
		value = value * 10 + (uint32_t)(*text - '0');
	}
	if (value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

static void map_ipv4(uint8_t addr[16])
{
	memmove(addr + 12, addr, 4);
	memset(addr, 0, 10);
	addr[10] = addr[11] = 0xff;
}

static int parse_host(const char *text, size_t len, uint8_t addr[16])
{
	char host[INET6_ADDRSTRLEN + 2];
	bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';

	if (bracketed) {
		text++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = 0;
	if (bracketed)
		return inet_pton(AF_INET6, host, addr) == 1 ? 0 : -EINVAL;
	if (inet_pton(AF_INET, host, addr) != 1)
		return -EINVAL;
	map_ipv4(addr);
	return 0;
}

/* 0.0.0.0 and :: name no address a connection could have: they stand for every one. */
static bool is_unspecified(const uint8_t addr[16])
{
	static const uint8_t any6[16], any4[16] = { [10] = 0xff, [11] = 0xff };

	return memcmp(addr, any6, 16) == 0 || memcmp(addr, any4, 16) == 0;
}

int parse_endpoint_addr(const char *text, struct endpoint_addr *out)
{
	struct endpoint_addr a = { 0 };
	const char *colon = strrchr(text, ':');

	if (parse_port(colon ? colon + 1 : text, &a.port))
		return -EINVAL;
	a.any_addr = !colon;
	if (colon && parse_host(text, (size_t)(colon - text), a.addr))
		return -EINVAL;
	if (is_unspecified(a.addr)) {
		memset(a.addr, 0, sizeof(a.addr));
		a.any_addr = true;
	}
	*out = a;
	return 0;
}
