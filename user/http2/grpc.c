// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/grpc.h"

#include <string.h>
#include <strings.h>

#include "http2/http2.h"

bool h2_is_grpc(const uint8_t *type, size_t len)
{
	static const char grpc[] = "application/grpc";
	const size_t n = sizeof(grpc) - 1;

	if (len < n || strncasecmp((const char *)type, grpc, n))
		return false;
	return len == n || type[n] == '+' || type[n] == ';' || type[n] == ' ' || type[n] == '\t';
}

int h2_grpc_status(const uint8_t *value, size_t len)
{
	int status = 0;

	if (!len || len > 4)
		return H2_GRPC_NONE;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return H2_GRPC_NONE;
		status = status * 10 + value[i] - '0';
	}
	return status;
}

bool h2_is_grpc_path(const char *path, size_t len)
{
	const char *second;

	if (len < 4 || path[0] != '/')
		return false;
	second = memchr(path + 1, '/', len - 1);
	if (!second || second == path + 1 || second == path + len - 1)
		return false;
	return !memchr(second + 1, '/', path + len - second - 1);
}
