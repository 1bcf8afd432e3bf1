// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/fields.h"

#include <string.h>
#include <strings.h>

#include "http2/grpc.h"
#include "http2/http2.h"

void h2_fields__begin(struct h2_fields *f, size_t limit)
{
	*f = (struct h2_fields){ .limit = limit, .grpc_status = H2_GRPC_NONE, .length = H2_LENGTH_NONE };
}

static bool is_name(const struct h2_nv *nv, const char *name)
{
	return !memcmp(nv->name, name, nv->name_len);
}

static void add_method(struct h2_fields *f, const struct h2_nv *nv)
{
	size_t len = nv->value_len < H2_METHOD_MAX ? nv->value_len : H2_METHOD_MAX;

	memcpy(f->method_text, nv->value, len);
	f->method_len = len;
	f->truncated |= len < nv->value_len;
	f->method = len > 0;
	f->connect = nv->value_len == 7 && !memcmp(nv->value, "CONNECT", 7);
}

/* As in an HTTP/1 request, the path ends at its query, at a space and at any control character. */
static void add_path(struct h2_fields *f, const struct h2_nv *nv)
{
	size_t len = 0;

	while (len < nv->value_len && len < TW_PATH_MAX && nv->value[len] > ' ' && nv->value[len] != '?')
		len++;
	memcpy(f->path_text, nv->value, len);
	f->path_len = len;
	f->truncated |= len == TW_PATH_MAX && nv->value_len > len && nv->value[len] > ' ' && nv->value[len] != '?';
	f->path = true;
}

/* RFC 9110, 15: three digits. */
static void add_status(struct h2_fields *f, const struct h2_nv *nv)
{
	unsigned int status = 0;

	if (nv->value_len != 3)
		return;
	for (int i = 0; i < 3; i++) {
		if (nv->value[i] < '0' || nv->value[i] > '9')
			return;
		status = status * 10 + nv->value[i] - '0';
	}
	f->status = status < 100 ? status + TW_STATUS_LOW : status;
}

static void add_type(struct h2_fields *f, const struct h2_nv *nv)
{
	static const char events[] = "text/event-stream";
	const size_t n = sizeof(events) - 1;

	f->type = H2_TYPE_OTHER;
	if (h2_is_grpc(nv->value, nv->value_len))
		f->type = H2_TYPE_GRPC;
	else if (nv->value_len >= n && !strncasecmp((const char *)nv->value, events, n) &&
	         (nv->value_len == n || nv->value[n] == ';' || nv->value[n] == ' '))
		f->type = H2_TYPE_EVENTS;
}

/* RFC 9110, 8.6: digits; of two that differ neither is believed. */
static void add_length(struct h2_fields *f, const struct h2_nv *nv)
{
	int64_t length = 0;

	if (!nv->value_len || nv->value_len > 18)
		return;
	for (size_t i = 0; i < nv->value_len; i++) {
		if (nv->value[i] < '0' || nv->value[i] > '9')
			return;
		length = length * 10 + nv->value[i] - '0';
	}
	f->length = f->length == H2_LENGTH_NONE || f->length == length ? length : H2_LENGTH_DIFFERS;
}

static void add_pseudo(struct h2_fields *f, const struct h2_nv *nv)
{
	f->pseudo = true;
	if (nv->name_len == 5 && is_name(nv, ":path"))
		add_path(f, nv);
	else if (nv->name_len == 7 && is_name(nv, ":method"))
		add_method(f, nv);
	else if (nv->name_len == 7 && is_name(nv, ":status"))
		add_status(f, nv);
	else if (nv->name_len == 9 && is_name(nv, ":protocol"))
		f->protocol = true;
}

void h2_fields__add(void *arg, const struct h2_nv *nv)
{
	struct h2_fields *f = arg;

	f->n++;
	f->size += nv->name_len + nv->value_len;
	if (f->size > f->limit) {
		/* What comes behind it may be what is looked for. */
		f->too_large = f->unknown = true;
		return;
	}
	if (!nv->known)
		f->unknown = true;
	else if (!nv->name_len)
		return;
	else if (nv->name[0] == ':')
		add_pseudo(f, nv);
	else if (nv->name_len == 12 && is_name(nv, "content-type"))
		add_type(f, nv);
	else if (nv->name_len == 14 && is_name(nv, "content-length"))
		add_length(f, nv);
	else if (nv->name_len == 11 && is_name(nv, "grpc-status"))
		f->grpc_status = h2_grpc_status(nv->value, nv->value_len);
}

size_t h2_fields__text(const struct h2_fields *f, char *to, bool *truncated)
{
	size_t n = f->method_len, room = TW_PATH_MAX - n - 1;

	/* A plain CONNECT has no path (RFC 9113, 8.5), which must be known. */
	if (!f->method || (!f->path && (!f->connect || f->unknown)))
		return 0;
	memcpy(to, f->method_text, n);
	*truncated = f->truncated || (f->path && f->path_len > room);
	if (!f->path)
		return n;
	to[n] = ' ';
	memcpy(to + n + 1, f->path_text, f->path_len < room ? f->path_len : room);
	return n + 1 + (f->path_len < room ? f->path_len : room);
}
