/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* HTTP/2 frames (RFC 9113, 4.1): their heads, and the states of the walk over them. Pure: also built on the host. */
#ifndef TW_HTTP2_H
#define TW_HTTP2_H

#include "http1_states.h"
#include "tw_h2.h"

#define H2_INLINE static inline __attribute__((always_inline))

#define H2_PREFACE    24
#define H2_AGREED     16384 /* the largest payload that everybody takes */
#define H2_END_STREAM 1     /* a flag of DATA and HEADERS */

/* struct h1.state while it walks frames. What is below H1_BODY is sent, what is above is counted off: see held.h. */
#define H2_BREAK H1_LOST
#define H2_AT    1 /* before a frame's head, or inside it: h1.flags bytes of it have come */
#define H2_COPY  2 /* h1.left bytes of a payload to be sent */
#define H2_SKIP  H1_BODY

/* h1.status: what user space is to be told at the next byte. */
#define H2_TELL_NOTHING 0
#define H2_TELL_BEGINS  1
#define H2_TELL_JOINED  2
#define H2_JOINED       3 /* told; heads are still asked whether they are one */

#define H2_SENT                                                                                            \
	(1 << H2_HEADERS | 1 << H2_RST_STREAM | 1 << H2_SETTINGS | 1 << H2_PUSH_PROMISE | 1 << H2_GOAWAY | \
	 1 << H2_CONTINUATION)

#define H2_SIGNS (1 << H2_HEADERS | 1 << H2_PRIORITY | 1 << H2_RST_STREAM | 1 << H2_PING | 1 << H2_WINDOW_UPDATE)

H2_INLINE __u32 h2_length(const __u8 *b)
{
	return b[0] << 16 | b[1] << 8 | b[2];
}

H2_INLINE __u32 h2_stream(const __u8 *b)
{
	return (__u32)b[5] << 24 | b[6] << 16 | b[7] << 8 | b[8];
}

/* Nine bytes with a known type: is it on a stream where it belongs, with its length and flags? */
H2_INLINE int h2_is_proper(const __u8 *b)
{
	/* Of each type: its exact length and 1, or 0; flags that are defined; 1: on streams, 2: on the connection. */
	static const __u8 length[H2_TYPES] = {
		[H2_PRIORITY] = 6, [H2_RST_STREAM] = 5, [H2_PING] = 9, [H2_WINDOW_UPDATE] = 5
	};
	static const __u8 flags[H2_TYPES] = { 0x09, 0x2d, 0, 0, 1, 0x0c, 1, 0, 0, 4 };
	static const __u8 where[H2_TYPES] = { 1, 1, 1, 1, 2, 1, 2, 2, 3, 1 };
	__u32 type = b[3], len = h2_length(b), stream = h2_stream(b);

	if (type >= H2_TYPES || stream >> 31 || b[4] & ~flags[type])
		return 0;
	if (length[type] && len != length[type] - 1u)
		return 0;
	if (type == H2_SETTINGS && (len % 6 || (b[4] && len)))
		return 0;
	if (type == H2_GOAWAY && len < 8)
		return 0;
	return where[type] >> !stream & 1;
}

/* RFC 9218, 7.1. */
H2_INLINE int h2_is_priority_update(const __u8 *b)
{
	return b[3] == H2_PRIORITY_UPDATE && !b[4] && !h2_stream(b) && h2_length(b) >= 4;
}

/*
 * Can these nine bytes be the head of a frame, as peers send them: a known type, no larger than is taken without being
 * agreed on? Random bytes pass in some one of a million cases.
 */
H2_INLINE int h2_may_be_head(const __u8 *b)
{
	return h2_length(b) <= H2_AGREED && (h2_is_proper(b) || h2_is_priority_update(b));
}

/*
 * Can they, where a frame has ended? It may be larger, if that was agreed on before we came, and of a type that is not
 * known here. Random bytes pass in one of some thousand cases.
 */
H2_INLINE int h2_may_follow(const __u8 *b)
{
	if (b[3] < H2_TYPES)
		return h2_is_proper(b);
	return h2_length(b) <= H2_AGREED && !(b[5] >> 7);
}

/*
 * Does a connection that was found open speak HTTP/2, if a side of it goes on with them? The head of a request says so,
 * and any that has its length fixed: clients send such in front of a request.
 */
H2_INLINE int h2_is_sign(const __u8 *b)
{
	if (!h2_may_be_head(b))
		return 0;
	if (b[3] >= H2_TYPES)
		return 1;
	return 1u << b[3] & H2_SIGNS || (b[3] == H2_SETTINGS && b[4]);
}

/* Is this the first thing that a server says? Also one that says it before it has been asked. */
H2_INLINE int h2_is_settings(const __u8 *b)
{
	return b[3] == H2_SETTINGS && !b[4] && !h2_stream(b) && h2_length(b) % 6 == 0 && h2_length(b) <= 6 * 64;
}

#endif
