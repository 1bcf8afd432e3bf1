/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a frame means for the stream that it is on (RFC 9113, 5.1 and 8). d: the direction, H2_ANSWERS or H2_REQUESTS;
 * t: when its last byte was seen.
 */
#ifndef HTTP2_EVENTS_H
#define HTTP2_EVENTS_H

#include "http2/conn.h"

/* A header block is complete: a request, a promise, an interim or final response, or trailers. */
void h2_events__block(struct h2_conn *c, int d, const struct h2_fields *list, uint64_t t);

/* The head of DATA; unless its payload is empty, END_STREAM takes effect when the last byte of that has passed. */
void h2_events__data(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t);
void h2_events__ended(struct h2_conn *c, int d, uint32_t stream, uint64_t t);
void h2_events__reset(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t);
void h2_events__window(struct h2_conn *c, const struct h2_frame *f);
void h2_events__goaway(struct h2_conn *c, int d, const struct h2_frame *f, uint64_t t);

/* The HTTP/1 request that was upgraded to this connection: stream 1, half-closed by the client. */
void h2_events__asked(struct h2_conn *c, uint64_t hash, uint64_t t_start, uint64_t t);

#endif
