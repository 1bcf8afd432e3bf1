/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A client and a server, both of libnghttp2, talking to each other through a wire (h2_wire.h). What they told each
 * other is kept as they have it: that is the truth which the library under test is held against.
 *
 * The server answers by the path: see pair_answer().
 */
#ifndef TW_TESTS_H2_PAIR_H
#define TW_TESTS_H2_PAIR_H

#include <stdio.h>

#include <nghttp2/nghttp2.h>

#include "dice.h"
#include "h2_wire.h"

#define PAIR_STREAMS 1024

/* A stream as both ends have seen it. */
struct pair_stream {
	int32_t id;
	char method[32], path[400], type[64]; /* as the server has received it, or, of a promise, the client */
	int status;                           /* as the client has received it */
	int grpc_status;                      /* in trailers; -1 */
	bool client_done, server_done;        /* END_STREAM has been received by the other end */
	bool asked, reset_by_client, reset_by_server, pushed;
	uint32_t error;
	/* What the server still has to do: */
	size_t to_send; /* bytes of the body */
	bool trailers, never;
};

struct pair {
	struct wire wire;
	nghttp2_session *client, *server;
	struct pair_stream streams[PAIR_STREAMS];
	size_t n;
	size_t cut;        /* bytes of a segment, at most; 0: as much as there is */
	struct dice *dice; /* else segments of any length, if it is there */
	size_t sent[2];
	size_t skip;       /* bytes of the preface that are still to come */
	bool stop_answers; /* the server's bytes get lost on the way to the client, but are seen */
	char padding;      /* bytes, where there is room */
};

static inline struct pair_stream *pair_stream(struct pair *p, int32_t id)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->streams[i].id == id)
			return &p->streams[i];
	if (p->n == PAIR_STREAMS)
		abort();
	p->streams[p->n] = (struct pair_stream){ .id = id, .grpc_status = -1 };
	return &p->streams[p->n++];
}

static inline void pair_copy(char *to, size_t room, const uint8_t *from, size_t n)
{
	snprintf(to, room, "%.*s", (int)n, (const char *)from);
}

static inline bool pair_is(const uint8_t *name, size_t n, const char *what)
{
	return n == strlen(what) && !memcmp(name, what, n);
}

static inline nghttp2_nv pair_nv(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE };
}

/* The first number in the text. */
static inline int pair_number(const char *text, int otherwise)
{
	const char *digits = text + strcspn(text, "0123456789");

	return *digits ? (int)strtol(digits, NULL, 10) : otherwise;
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

static inline void pair_trailers(struct pair *p, struct pair_stream *s)
{
	char status[16];
	nghttp2_nv nv[2];

	snprintf(status, sizeof(status), "%d", pair_number(s->path, 0));
	nv[0] = pair_nv("grpc-status", status);
	nv[1] = pair_nv("grpc-message", "of the server");
	nghttp2_submit_trailer(p->server, s->id, nv, 2);
}

static inline ssize_t pair_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                                nghttp2_data_source *source, void *arg)
{
	struct pair *p = arg;
	struct pair_stream *s = pair_stream(p, id);
	size_t k = s->to_send < room ? s->to_send : room;

	if (s->never && !k)
		return NGHTTP2_ERR_DEFERRED;
	memset(buf, 'x', k);
	s->to_send -= k;
	if (!s->to_send && !s->never) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->trailers) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			pair_trailers(p, s);
		}
	}
	return k;
}

/*
 * "/ok/..." 200 with a body of so many bytes; "/status/NNN"; "/empty" no body; "/early" two interim responses before;
 * "/never" no answer; "/half" an answer without an end; "/reset/N" RST_STREAM with that code; "/reset-half" the same
 * inside the answer; "/push" with a promise of /pushed; "/pkg.Service/CallN" gRPC, status N, "/pkg.Service/OnlyN" the
 * same without anything but trailers, "/pkg.Service/Proxy" a 502 that is no gRPC; "/events" a stream of events without
 * an end; "/chat" and CONNECT: a session.
 */
static inline void pair_answer(struct pair *p, struct pair_stream *s)
{
	char status[16] = "200", length[24] = "-";
	nghttp2_data_provider body = { .read_callback = pair_body };
	nghttp2_nv nv[5] = { pair_nv(":status", status), pair_nv("server", "of nghttp2"), pair_nv("x-request", s->path),
		             pair_nv("content-type", "text/plain"), pair_nv("content-length", length) };
	bool has_body = true;

	if (!strncmp(s->path, "/never", 6))
		return;
	if (!strncmp(s->path, "/reset/", 7)) {
		nghttp2_submit_rst_stream(p->server, 0, s->id, pair_number(s->path, 0));
		return;
	}
	s->to_send = pair_number(s->path, 100);
	if (!strncmp(s->path, "/status/", 8)) {
		snprintf(status, sizeof(status), "%d", pair_number(s->path, 200));
		s->to_send = 10;
	} else if (!strncmp(s->path, "/empty", 6)) {
		has_body = false;
	} else if (!strncmp(s->path, "/early", 6)) {
		nghttp2_nv early[2] = { pair_nv(":status", "103"), pair_nv("link", "</style.css>; rel=preload") };
		nghttp2_nv go_on = pair_nv(":status", "100");

		nghttp2_submit_headers(p->server, 0, s->id, NULL, &go_on, 1, NULL);
		nghttp2_submit_headers(p->server, 0, s->id, NULL, early, 2, NULL);
	} else if (!strncmp(s->path, "/half", 5) || !strncmp(s->path, "/reset-half", 11)) {
		s->never = true;
		s->to_send = 50;
	} else if (!strncmp(s->path, "/events", 7)) {
		nv[3] = pair_nv("content-type", "text/event-stream");
		s->never = true;
		s->to_send = 50;
	} else if (!strncmp(s->path, "/push", 5)) {
		nghttp2_nv request[4] = { pair_nv(":method", "GET"), pair_nv(":scheme", "http"),
			                  pair_nv(":authority", "shop"), pair_nv(":path", "/pushed?by=server") };
		int32_t id = nghttp2_submit_push_promise(p->server, 0, s->id, request, 4, NULL);

		nghttp2_submit_response(p->server, id, nv, 4, &body);
		s = pair_stream(p, s->id); /* it may have moved on */
	} else if (!strncmp(s->path, "/pkg.Service/", 13)) {
		if (!strncmp(s->path + 13, "Proxy", 5)) {
			nv[0] = pair_nv(":status", "502");
			nghttp2_submit_response(p->server, s->id, nv, 4, &body);
			return;
		}
		nv[3] = pair_nv("content-type", "application/grpc+proto");
		s->to_send = 30;
		s->trailers = true;
		if (!strncmp(s->path + 13, "Only", 4)) {
			snprintf(length, sizeof(length), "%d", pair_number(s->path, 0));
			nv[4] = pair_nv("grpc-status", length);
			nghttp2_submit_response(p->server, s->id, nv, 5, NULL);
			return;
		}
	} else if (!strcmp(s->method, "CONNECT")) {
		s->never = true;
		s->to_send = 20;
	}
	nghttp2_submit_response(p->server, s->id, nv, 4, has_body ? &body : NULL);
	if (!strncmp(s->path, "/reset-half", 11)) {
		/* Behind the data, which is sent first. */
		s->error = 2;
	}
}

static inline int pair_server_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                                     size_t n, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct pair_stream *s = pair_stream(arg, frame->hd.stream_id);

	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s->asked = true;
		if (pair_is(name, n, ":method"))
			pair_copy(s->method, sizeof(s->method), value, len);
		if (pair_is(name, n, ":path"))
			pair_copy(s->path, sizeof(s->path), value, len);
		if (pair_is(name, n, "content-type"))
			pair_copy(s->type, sizeof(s->type), value, len);
	}
	return 0;
}

static inline int pair_server_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct pair *p = arg;
	struct pair_stream *s;

	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		s = pair_stream(p, frame->hd.stream_id);
		s->reset_by_client = true;
		s->error = frame->rst_stream.error_code;
		return 0;
	}
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	s = pair_stream(p, frame->hd.stream_id);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		s->client_done = true;
	if (s->client_done || !strcmp(s->method, "CONNECT")) {
		if (!s->server_done && frame->hd.type == NGHTTP2_HEADERS + 0 * s->id)
			pair_answer(p, s);
		else if (frame->hd.type == NGHTTP2_DATA && s->client_done)
			pair_answer(p, s);
	}
	return 0;
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

static inline int pair_client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                                     size_t n, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct pair *p = arg;
	struct pair_stream *s;

	if (frame->hd.type == NGHTTP2_PUSH_PROMISE) {
		s = pair_stream(p, frame->push_promise.promised_stream_id);
		s->pushed = s->asked = true;
		if (pair_is(name, n, ":method"))
			pair_copy(s->method, sizeof(s->method), value, len);
		if (pair_is(name, n, ":path"))
			pair_copy(s->path, sizeof(s->path), value, len);
		return 0;
	}
	s = pair_stream(p, frame->hd.stream_id);
	if (pair_is(name, n, ":status") && value[0] != '1')
		s->status = pair_number((const char *)value, 0);
	if (pair_is(name, n, "grpc-status"))
		s->grpc_status = pair_number((const char *)value, 0);
	return 0;
}

static inline int pair_client_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct pair_stream *s;

	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		s = pair_stream(arg, frame->hd.stream_id);
		s->reset_by_server = true;
		s->error = frame->rst_stream.error_code;
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		pair_stream(arg, frame->hd.stream_id)->server_done = true;
	return 0;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

static inline ssize_t pair_padding(nghttp2_session *session, const nghttp2_frame *frame, size_t max, void *arg)
{
	struct pair *p = arg;
	size_t n = frame->hd.length + (p->padding ? (size_t)p->padding : 0);

	return n < max ? n : max;
}

/* table: what the encoders make use of, at most. */
static inline void pair_init_with(struct pair *p, uint64_t conn, size_t table)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;

	memset(p, 0, sizeof(*p));
	wire_init(&p->wire, conn);
	p->skip = 24;
	nghttp2_option_new(&option);
	nghttp2_option_set_max_deflate_dynamic_table_size(option, table);
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_select_padding_callback(cb, pair_padding);
	nghttp2_session_callbacks_set_on_header_callback(cb, pair_server_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, pair_server_frame);
	nghttp2_session_server_new2(&p->server, cb, p, option);
	nghttp2_session_callbacks_set_on_header_callback(cb, pair_client_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, pair_client_frame);
	nghttp2_session_client_new2(&p->client, cb, p, option);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
}

static inline void pair_init(struct pair *p, uint64_t conn)
{
	pair_init_with(p, conn, 4096);
}

static inline void pair_free(struct pair *p)
{
	nghttp2_session_del(p->client);
	nghttp2_session_del(p->server);
	wire_free(&p->wire);
}

static inline void pair_settings(struct pair *p, const nghttp2_settings_entry *client, size_t n_client,
                                 const nghttp2_settings_entry *server, size_t n_server)
{
	nghttp2_submit_settings(p->client, 0, client, n_client);
	nghttp2_submit_settings(p->server, 0, server, n_server);
}

static inline void pair_carry(struct pair *p, int d, const uint8_t *bytes, size_t n)
{
	p->sent[d] += n;
	if (d == REQUESTS && p->skip) {
		size_t k = p->skip < n ? p->skip : n;

		p->skip -= k;
		bytes += k;
		n -= k;
	}
	while (n) {
		size_t k = p->dice ? 1 + dice_below(p->dice, 40) : p->cut ? p->cut : n;

		k = k < n ? k : n;
		wire_segment(&p->wire, d, bytes, k);
		bytes += k;
		n -= k;
	}
}

/* Lets one side send what it has. True: there was something. */
static inline bool pair_pump_one(struct pair *p, int d)
{
	nghttp2_session *from = d == REQUESTS ? p->client : p->server, *to = d == REQUESTS ? p->server : p->client;
	const uint8_t *bytes;
	bool any = false;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(from, &bytes)) > 0) {
		uint8_t *copy = malloc(n);

		if (!copy)
			abort();
		memcpy(copy, bytes, n);
		pair_carry(p, d, copy, n);
		if (!(d == ANSWERS && p->stop_answers) && nghttp2_session_mem_recv(to, copy, n) != n)
			abort();
		free(copy);
		any = true;
	}
	if (n < 0)
		abort();
	return any;
}

static inline void pair_pump(struct pair *p)
{
	bool any;

	do {
		any = pair_pump_one(p, REQUESTS);
		any |= pair_pump_one(p, ANSWERS);
	} while (any);
}

static inline ssize_t pair_upload(nghttp2_session *session, int32_t id, uint8_t *buf, size_t room, uint32_t *flags,
                                  nghttp2_data_source *source, void *arg)
{
	size_t left = (size_t)source->ptr & 0xffffff, k = left < room ? left : room;
	bool open = (size_t)source->ptr & 0x1000000;

	if (!k && open)
		return NGHTTP2_ERR_DEFERRED;
	memset(buf, 'u', k);
	source->ptr = (void *)(((size_t)source->ptr) - k);
	if (k == left && !open)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return k;
}

/* A request with a body of so many bytes, `type` its content-type or NULL; open: it does not end. */
static inline int32_t pair_ask_open(struct pair *p, const char *method, const char *path, const char *type, size_t body,
                                    bool open)
{
	nghttp2_data_provider data = { .source.ptr = (void *)(body | (open ? 0x1000000 : 0)),
		                       .read_callback = pair_upload };
	nghttp2_nv nv[8];
	size_t n = 0;

	nv[n++] = pair_nv(":method", method);
	if (path && !strcmp(method, "CONNECT"))
		nv[n++] = pair_nv(":protocol", "websocket");
	if (path) {
		nv[n++] = pair_nv(":scheme", "http");
		nv[n++] = pair_nv(":path", path);
	}
	nv[n++] = pair_nv(":authority", "shop");
	nv[n++] = pair_nv("user-agent", "a client of libnghttp2");
	nv[n++] = pair_nv("x-session", "0123456789abcdef");
	if (type)
		nv[n++] = pair_nv("content-type", type);
	return nghttp2_submit_request(p->client, NULL, nv, n, body || open ? &data : NULL, NULL);
}

static inline int32_t pair_ask(struct pair *p, const char *method, const char *path, const char *type, size_t body)
{
	return pair_ask_open(p, method, path, type, body, false);
}

#endif
