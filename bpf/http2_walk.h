/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Walks the frames of one direction of an HTTP/2 connection, and puts together what user space is sent of them: see
 * tw_h2.h. Pure: also built on the host. Who includes it defines H2_COPY_BYTES(to, from, n), which copies at most
 * H2_CHUNK bytes.
 *
 * Invariants: of a payload that is not sent no byte is looked at; a step takes at least one byte, or the walk ends;
 * frames that no peer may send are walked past like others, as what they mean is decided in user space. Only where a
 * stream was joined is a head asked whether it can be one.
 */
#ifndef TW_HTTP2_WALK_H
#define TW_HTTP2_WALK_H

#include "http2.h"
#include "tw_h2.h"

#define H2_CHUNK  256
#define H2_WINDOW 512 /* bytes looked at in one go */
#define H2_STEPS  128 /* the most that they take: a frame of nothing but a head is one step, any other two */
#define H2_ROOM   4096
#define H2_SINCE  24  /* in the head's buffer */
#define H2_WHOLE  256 /* a segment no larger may be taken at once */
#define H2_WHOLES 4   /* that has no more frames */

/*
 * A walk, and the record that it fills. All of it lies in memory, for the verifier to know nothing of it. A window adds
 * at most 20 bytes to the record for every 9 of its own.
 */
struct h2_work {
	struct tw_h2_record r;
	char items[H2_ROOM + 2 * H2_CHUNK];
	__u32 pos;
	__u32 run;   /* place of the open TW_H2_BYTES item, and 1; 0: none is */
	__u32 asked; /* heads of HEADERS frames */
	__u32 seq;   /* place of the window in the stream */
	__u64 now;   /* when the segment came */
	struct h1 half;
	/* Of the frame, as far as it has come; from H2_SINCE on, when its first byte came, if it comes in pieces. */
	__u8 head[32];
	__u8 window[H2_WINDOW + H2_CHUNK];
};

H2_INLINE __u32 h2_pos(const struct h2_work *w)
{
	__u32 pos = w->pos;

	asm volatile("" : "+r"(pos)); /* keeps the mask for the verifier, see h1_at */
	return pos & (H2_ROOM - 1);
}

/* Must the record be sent before another window? */
H2_INLINE int h2_is_full(const struct h2_work *w)
{
	return w->pos > H2_ROOM / 2;
}

/* The run of bytes ends: what follows is no neighbour of it. */
H2_INLINE void h2_run_ends(struct h2_work *w)
{
	w->run = 0;
	w->pos = (w->pos + 3) & ~3u;
}

H2_INLINE struct tw_h2_item *h2_item(struct h2_work *w, __u8 what, __u32 at)
{
	struct tw_h2_item *i;

	h2_run_ends(w);
	i = (struct tw_h2_item *)(w->items + h2_pos(w));
	i->at = at;
	i->len = 0;
	i->what = what;
	i->flags = 0;
	w->pos += sizeof(*i);
	return i;
}

H2_INLINE void h2_item_u64(struct h2_work *w, __u8 what, __u32 at, __u64 value)
{
	struct tw_h2_item *i = h2_item(w, what, at);
	__u32 *to = (__u32 *)(i + 1);

	i->len = 8;
	to[0] = (__u32)value;
	to[1] = (__u32)(value >> 32);
	w->pos += 8;
}

H2_INLINE void h2_run_begins(struct h2_work *w, __u32 at, __u8 flags)
{
	if (w->run)
		return;
	h2_item(w, TW_H2_BYTES, at)->flags = flags;
	w->run = w->pos - (__u32)sizeof(struct tw_h2_item) + 1;
}

/* n bytes have been put at the end. */
H2_INLINE void h2_run_grows(struct h2_work *w, __u32 n)
{
	__u32 run = w->run - 1;
	struct tw_h2_item *i;

	asm volatile("" : "+r"(run));
	i = (struct tw_h2_item *)(w->items + (run & (H2_ROOM - 4)));
	i->len += n;
	w->pos += n;
}

/* Is the payload of a frame with this head sent? */
H2_INLINE int h2_is_sent(const __u8 *b)
{
	return b[3] < H2_TYPES && 1u << b[3] & H2_SENT;
}

/* What the frame with this head is to the walk. */
H2_INLINE void h2_frame(struct h1 *p, const __u8 *b)
{
	p->left = h2_length(b);
	p->flags = 0;
	if (!p->left)
		p->state = H2_AT;
	else if (h2_is_sent(b) && p->left <= TW_H2_FRAME_MAX)
		p->state = H2_COPY;
	else
		p->state = H2_SKIP;
}

/* User space is to know when it began; a window may as well have ended inside it. */
H2_INLINE void h2_head_came_in_pieces(struct h2_work *w, __u32 at)
{
	__u64 since;

	__builtin_memcpy(&since, w->head + H2_SINCE, sizeof(since));
	if (since != w->now)
		h2_item_u64(w, TW_H2_SINCE, at, since);
}

/*
 * A segment that is nothing but whole frames, of which only the last may have a payload that is not sent, is its own
 * record, as the walk would put it together. Of the n bytes at `pos` of the items, from the head of a frame on: returns
 * how many are sent; 0: it is not so, and is to be walked over. *asked: heads of HEADERS frames; *ends: a payload that
 * is not sent ends its stream.
 */
H2_INLINE __u32 h2_whole(const struct h2_work *w, __u32 pos, __u32 n, __u32 *asked, __u32 *ends)
{
	__u32 at = 0, len, i;
	const __u8 *b;

	for (i = 0; i < H2_WHOLES; i++) {
		if (n - at < TW_H2_HEAD)
			return 0;
		b = (const __u8 *)w->items + ((pos + at) & (H2_ROOM - 1));
		len = h2_length(b);
		if (len > n - at - TW_H2_HEAD)
			return 0;
		*asked += b[3] == H2_HEADERS;
		at += TW_H2_HEAD + len;
		if (at == n) {
			if (!len || h2_is_sent(b))
				return n;
			*ends = b[3] == H2_DATA && b[4] & H2_END_STREAM;
			return n - len;
		}
		if (len && !h2_is_sent(b))
			return 0;
	}
	return 0;
}

/* The n bytes, which stand at w->seq of the stream, are put into the record, behind what is in it. */
H2_INLINE void h2_whole_is_sent(struct h2_work *w, __u32 n, __u32 kept, __u32 ends)
{
	h2_run_begins(w, w->seq, TW_H2_AT_HEAD);
	h2_run_grows(w, kept);
	if (ends)
		h2_item(w, TW_H2_ENDED, w->seq + n);
}

/* n bytes of a payload that is not sent have passed, up to `at` in the stream. */
H2_INLINE void h2_skipped(struct h2_work *w, __u32 n, __u32 at)
{
	struct h1 *p = &w->half;

	p->left -= n;
	if (p->left)
		return;
	p->state = H2_AT;
	if (w->head[3] == H2_DATA && w->head[4] & H2_END_STREAM)
		h2_item(w, TW_H2_ENDED, at);
}

/* A byte of a frame's head, or the nine of it; returns how many, 0: it is none. */
H2_INLINE __u32 h2_step_head(struct h2_work *w, __u32 at, __u32 n)
{
	struct h1 *p = &w->half;
	__u32 have = p->flags & 15, take = TW_H2_HEAD - have, i, pos;

	if (have >= TW_H2_HEAD)
		return 0;
	if (take > n)
		take = n;
	for (i = 0; i < TW_H2_HEAD; i++)
		if (i < take)
			w->head[have + i] = w->window[at + i];
	have += take;
	if (have < TW_H2_HEAD) {
		if (have == take)
			__builtin_memcpy(w->head + H2_SINCE, &w->now, sizeof(w->now));
		p->flags = have;
		return take;
	}
	if (p->status == H2_JOINED && !h2_may_follow(w->head))
		return 0;
	w->asked += w->head[3] == H2_HEADERS;
	if (take < TW_H2_HEAD)
		h2_head_came_in_pieces(w, w->seq + at + take - TW_H2_HEAD);
	h2_run_begins(w, w->seq + at + take - TW_H2_HEAD, TW_H2_AT_HEAD);
	pos = h2_pos(w);
	for (i = 0; i < TW_H2_HEAD; i++)
		w->items[pos + i] = w->head[i];
	h2_run_grows(w, TW_H2_HEAD);
	h2_frame(p, w->head);
	if (p->state == H2_SKIP)
		h2_run_ends(w);
	return take;
}

/* A piece of a payload that is sent. */
H2_INLINE __u32 h2_step_copy(struct h2_work *w, __u32 at, __u32 n)
{
	struct h1 *p = &w->half;

	if (n > p->left)
		n = p->left;
	if (n > H2_CHUNK)
		n = H2_CHUNK;
	h2_run_begins(w, w->seq + at, 0);
	asm volatile("" : "+r"(n)); /* see window_load */
	n = ((n - 1) & (H2_CHUNK - 1)) + 1;
	H2_COPY_BYTES(w->items + h2_pos(w), w->window + at, n);
	h2_run_grows(w, n);
	p->left -= n;
	if (!p->left)
		p->state = H2_AT;
	return n;
}

/* One step over window[at..n): returns the bytes that it took; 0: they are no frame's, or there are none. */
H2_INLINE __u32 h2_step(struct h2_work *w, __u32 at, __u32 n)
{
	struct h1 *p = &w->half;

	if (at >= n || n > H2_WINDOW)
		return 0;
	n -= at;
	asm volatile("" : "+r"(at));
	at &= H2_WINDOW - 1;
	if (p->state == H2_AT)
		return h2_step_head(w, at, n);
	if (p->state == H2_COPY)
		return h2_step_copy(w, at, n);
	if (n > p->left)
		n = p->left;
	h2_skipped(w, n, w->seq + at + n);
	return n;
}

#endif
