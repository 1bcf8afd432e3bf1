// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/frames.h"

#include <string.h>

#define END_STREAM  0x01
#define ACK         0x01
#define END_HEADERS 0x04
#define PADDED      0x08
#define PRIORITIES  0x20

#define GIVEN_MAX (TW_H2_FRAME_MAX - TW_H2_HEAD) /* bytes of a payload that are sent for certain */

/* What is to be done with the payload. */
enum step {
	STEP_SKIP,     /* nothing */
	STEP_TELL,     /* the head says it all */
	STEP_SMALL,    /* its first `need` bytes are wanted */
	STEP_SETTINGS, /* all of it, in sixes */
	STEP_PREFIX,   /* what comes before a header block: `need` bytes */
	STEP_FRAGMENT,
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

void h2_frames__begin(struct h2_frames *f, uint32_t place, bool joined)
{
	uint64_t *malformed = f->malformed;

	*f = (struct h2_frames){ .place = place, .joined = joined, .malformed = malformed };
}

/* Does the frame leave a part of its payload out, by the rules of the records? */
static bool is_left_out(const struct h2_frames *f)
{
	switch (f->type) {
	case H2_HEADERS:
	case H2_RST_STREAM:
	case H2_SETTINGS:
	case H2_PUSH_PROMISE:
	case H2_GOAWAY:
	case H2_CONTINUATION:
		return f->length - f->left >= GIVEN_MAX;
	default:
		return true;
	}
}

enum h2_place h2_frames__at(struct h2_frames *f, uint32_t place, bool at_head)
{
	uint32_t gap = place - f->place;

	if (gap >= 1U << 31)
		return H2_PLACE_BAD;
	if (gap) {
		if (f->have < TW_H2_HEAD || gap != f->left || !is_left_out(f))
			return H2_PLACE_GAP;
		f->place = place;
		f->cut = f->left > 0;
		f->left = 0;
	}
	return at_head == (f->left == 0 && (f->have == 0 || f->have == TW_H2_HEAD)) ? H2_PLACE_NEXT : H2_PLACE_BAD;
}

/* Bytes of the payload, or of the head, that are used up. */
static void use(struct h2_frames *f, const uint8_t **p, size_t *n, size_t k)
{
	*p += k;
	*n -= k;
	f->place += k;
}

/* RFC 9113, 6: the length that a frame of its type must have, and whether it belongs to a stream or to the connection.
 */
static bool is_malformed(const struct h2_frames *f)
{
	bool on_stream = f->stream != 0;

	switch (f->type) {
	case H2_DATA:
		return !on_stream || (f->flags & PADDED && !f->length);
	case H2_HEADERS:
	case H2_PUSH_PROMISE:
		return !on_stream; /* and see tell_prefix */
	case H2_PRIORITY:
		return !on_stream || f->length != 5;
	case H2_RST_STREAM:
		return !on_stream || f->length != 4;
	case H2_SETTINGS:
		return on_stream || (f->flags & ACK ? f->length != 0 : f->length % 6 != 0);
	case H2_PING:
		return on_stream || f->length != 8;
	case H2_GOAWAY:
		return on_stream || f->length < 8;
	case H2_WINDOW_UPDATE:
		return f->length != 4;
	case H2_CONTINUATION:
		return !f->in_block || f->stream != f->block_stream;
	default:
		return false;
	}
}

/* Bytes of the payload that come before the header block. */
static uint8_t prefix_of(const struct h2_frames *f)
{
	uint8_t n = f->flags & PADDED ? 1 : 0;

	if (f->type == H2_HEADERS)
		return n + (f->flags & PRIORITIES ? 5 : 0);
	return f->type == H2_PUSH_PROMISE ? n + 4 : 0;
}

static enum step step_of(struct h2_frames *f)
{
	switch (f->type) {
	case H2_DATA:
	case H2_WINDOW_UPDATE:
		return STEP_TELL;
	case H2_RST_STREAM:
		f->need = 4;
		return STEP_SMALL;
	case H2_GOAWAY:
		f->need = 8;
		return STEP_SMALL;
	case H2_SETTINGS:
		f->need = 6;
		return STEP_SETTINGS;
	case H2_HEADERS:
	case H2_PUSH_PROMISE:
		f->need = prefix_of(f);
		return STEP_PREFIX;
	case H2_CONTINUATION:
		f->fragment = f->left;
		return STEP_FRAGMENT;
	default:
		return STEP_SKIP;
	}
}

/* The head is complete. True: it interrupts a header block (RFC 9113, 6.10). */
static bool open_frame(struct h2_frames *f)
{
	bool interrupts, late, malformed;

	f->left = f->length = (uint32_t)f->head[0] << 16 | f->head[1] << 8 | f->head[2];
	f->type = f->head[3];
	f->flags = f->head[4];
	f->stream = be32(f->head + 5) & 0x7fffffff;
	f->n_small = f->need = 0;
	f->fragment = 0;
	f->cut = false;
	f->joined &= f->type == H2_CONTINUATION;
	late = f->joined;
	interrupts = f->in_block && (f->type != H2_CONTINUATION || f->stream != f->block_stream);
	malformed = !late && is_malformed(f);
	*f->malformed += malformed || interrupts;
	/* A block on a stream that cannot be is read all the same: it changes the table. */
	if (late || (malformed && f->type != H2_HEADERS && f->type != H2_PUSH_PROMISE))
		f->step = STEP_SKIP;
	else
		f->step = step_of(f);
	if (interrupts)
		f->in_block = false;
	return interrupts;
}

static bool take_head(struct h2_frames *f, const uint8_t **p, size_t *n, uint64_t t)
{
	size_t k = TW_H2_HEAD - f->have;

	if (k > *n)
		k = *n;
	if (!f->have && k) {
		f->t = f->since ? f->since : t;
		f->since = 0;
	}
	memcpy(f->head + f->have, *p, k);
	f->have += k;
	use(f, p, n, k);
	return f->have == TW_H2_HEAD;
}

/* The payload up to its `need`th byte, or its end. True: that is there. */
static bool take_small(struct h2_frames *f, const uint8_t **p, size_t *n)
{
	size_t k = f->need - f->n_small;

	if (k > f->left)
		k = f->left;
	if (k > *n)
		k = *n;
	memcpy(f->small + f->n_small, *p, k);
	f->n_small += k;
	f->left -= k;
	use(f, p, n, k);
	return f->n_small == f->need || !f->left;
}

static bool tell_block(struct h2_frames *f, const uint8_t **p, size_t *n, struct h2_frame *out)
{
	size_t k = f->fragment < *n ? f->fragment : *n, given = f->length - f->left;

	/* What is missing lies behind what was handed on. It is not waited for: its answer may come before it. */
	if (given >= GIVEN_MAX && f->fragment)
		f->cut = true;
	else if (k > GIVEN_MAX - given)
		k = GIVEN_MAX - given;
	if (f->cut)
		f->fragment = k = 0;
	else if (f->fragment && !k)
		return false;
	out->event = H2_EV_BLOCK;
	out->bytes = *p;
	out->n = k;
	out->cut = f->cut;
	f->fragment -= k;
	f->left -= f->cut ? 0 : k;
	use(f, p, n, k);
	if (f->fragment)
		return true;
	out->last = f->flags & END_HEADERS;
	if (out->last)
		f->in_block = false;
	f->step = STEP_SKIP;
	return true;
}

/* The bytes before a header block are there, or the frame is too short for them. */
static void tell_prefix(struct h2_frames *f, struct h2_frame *out)
{
	const uint8_t *p = f->small;
	uint32_t pad = f->flags & PADDED && f->n_small ? *p++ : 0;

	f->in_block = true;
	f->block_stream = f->stream;
	if (f->n_small < f->need || pad > f->left) {
		/* RFC 9113, 6.2: where the block ends cannot be told. */
		(*f->malformed)++;
		f->in_block = false;
		f->step = STEP_SKIP;
		out->event = H2_EV_ABORTED;
		return;
	}
	f->fragment = f->left - pad;
	f->step = STEP_FRAGMENT;
	out->event = f->type == H2_HEADERS ? H2_EV_HEADERS : H2_EV_PROMISE;
	out->end_stream = f->type == H2_HEADERS && f->flags & END_STREAM;
	if (f->type == H2_PUSH_PROMISE)
		out->value = be32(p) & 0x7fffffff;
}

static bool tell_setting(struct h2_frames *f, const uint8_t **p, size_t *n, struct h2_frame *out)
{
	if (!f->cut && (f->left || f->n_small)) {
		if (!take_small(f, p, n))
			return false;
		out->event = H2_EV_SETTING;
		out->id = f->small[0] << 8 | f->small[1];
		out->value = be32(f->small + 2);
		f->n_small = 0;
		return true;
	}
	out->event = H2_EV_SETTINGS;
	out->ack = f->flags & ACK;
	f->step = STEP_SKIP;
	return true;
}

static bool tell_small(struct h2_frames *f, const uint8_t **p, size_t *n, struct h2_frame *out)
{
	if (!take_small(f, p, n))
		return false;
	f->step = STEP_SKIP;
	if (f->type == H2_RST_STREAM) {
		out->event = H2_EV_RESET;
		out->value = be32(f->small);
	} else {
		out->event = H2_EV_GOAWAY;
		out->stream = be32(f->small) & 0x7fffffff;
		out->value = be32(f->small + 4);
	}
	return true;
}

/* The next thing of the frame that is open, if there is one in the bytes at hand. */
static bool tell(struct h2_frames *f, const uint8_t **p, size_t *n, struct h2_frame *out)
{
	switch (f->step) {
	case STEP_TELL:
		f->step = STEP_SKIP;
		out->event = f->type == H2_DATA ? H2_EV_DATA : H2_EV_WINDOW;
		out->length = f->length;
		out->end_stream = f->type == H2_DATA && f->flags & END_STREAM;
		out->padded = f->type == H2_DATA && f->flags & PADDED;
		return true;
	case STEP_SMALL:
		return tell_small(f, p, n, out);
	case STEP_SETTINGS:
		return tell_setting(f, p, n, out);
	case STEP_PREFIX:
		if (!take_small(f, p, n))
			return false;
		tell_prefix(f, out);
		return true;
	case STEP_FRAGMENT:
		return tell_block(f, p, n, out);
	default:
		return false;
	}
}

static void skip(struct h2_frames *f, const uint8_t **p, size_t *n)
{
	size_t k = f->left < *n ? f->left : *n;

	f->left -= k;
	use(f, p, n, k);
}

bool h2_frames__next(struct h2_frames *f, const uint8_t **p, size_t *n, uint64_t t, struct h2_frame *out)
{
	for (;;) {
		if (f->have < TW_H2_HEAD) {
			if (!take_head(f, p, n, t))
				return false;
			if (open_frame(f)) {
				*out = (struct h2_frame){ .event = H2_EV_ABORTED, .stream = f->stream, .t = f->t };
				return true;
			}
		}
		*out = (struct h2_frame){ .stream = f->stream, .t = f->t };
		if (tell(f, p, n, out))
			return true;
		if (f->step != STEP_SKIP)
			return false;
		skip(f, p, n);
		if (f->left)
			return false;
		f->have = 0;
		if (!*n)
			return false;
	}
}
