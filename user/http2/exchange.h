/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A stream as it is told: when it begins, while it is open, and how it ended. */
#ifndef HTTP2_EXCHANGE_H
#define HTTP2_EXCHANGE_H

#include "http2/conn.h"

/* It is open and counted. */
void h2_exchange__begun(const struct h2_conn *c, const struct h2_stream *s);

/* The server has said that it never looked at it; forgotten, as if it had not begun. */
void h2_exchange__withdraw(struct h2_conn *c, struct h2_stream *s);

/* As it is now, at the time of the latest record. */
void h2_exchange__open(const struct h2_conn *c, struct h2_stream *s, struct h2_exchange *to);

/*
 * Tells its end at t and counts it; the stream itself stays where it is. Of an answer that had not begun nothing is
 * known after `until`. outcome: TW_UNANSWERED is TW_TRUNCATED where the answer has begun.
 */
void h2_exchange__ended(const struct h2_conn *c, struct h2_stream *s, enum tw_outcome outcome, uint32_t error,
                        uint64_t until, uint64_t t);

/* The same, and the stream is forgotten. */
void h2_exchange__end(struct h2_conn *c, struct h2_stream *s, enum tw_outcome outcome, uint32_t error, uint64_t t);
void h2_exchange__end_all(struct h2_conn *c, enum tw_outcome outcome, uint64_t until, uint64_t t);

#endif
