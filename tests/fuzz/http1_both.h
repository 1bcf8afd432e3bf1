/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Both engines of the HTTP/1 recogniser over the same bytes, and a follower of whole streams that does on each event
 * what bpf/stream.h does. Shared by the unit tests and the fuzzer, so that they ask the same questions.
 *
 * Invariants: http1_table_build() has been called; nothing here allocates; a follower's messages lie end to end.
 */
#ifndef TW_TEST_HTTP1_BOTH_H
#define TW_TEST_HTTP1_BOTH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "capture/http1_table.h"

#define FRAMING      (H1_F_HAS_LENGTH | H1_F_CHUNKED | H1_F_OTHER_CODING)
#define MESSAGES_MAX 16

static inline size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- one head ---------------------------------------------------------------------------------------------------- */

/* What the careful engine makes of a head. */
struct careful_head {
	enum h1_event event;
	struct h1 h1;
	struct h1_text text;
	__u32 len;
};

static inline void careful_head(struct careful_head *c, bool requests, const __u8 *bytes, __u32 n, __u64 seed)
{
	memset(c, 0, sizeof(*c));
	c->event = H1_MORE;
	c->h1.state = requests ? H1_REQ : H1_RES;
	while (c->event == H1_MORE && c->len < n) {
		__u32 used, step = (__u32)least(n - c->len, H1_CAREFUL);

		c->event =
			h1_run(&c->h1, requests ? &c->text : NULL, &c->text.length, bytes + c->len, step, seed, &used);
		c->len += used;
	}
}

/* window has H1_WINDOW + H1_SPARE bytes, n of which are the segment's. */
static inline bool fast_head(struct h1_head *h, bool requests, const __u8 *window, __u32 n, __u64 seed)
{
	__u32 pos;

	memset(h, 0xa5, sizeof(*h));
	pos = requests ? h1_scan_request_line(window, n, seed, 0, h) : h1_scan_status_line(window, n, h);
	return pos && h1_scan_lines(window, pos, requests, n, 0, h);
}

/* NULL, or in what the engines differ where the fast one was certain. *certain says whether it was. */
static inline const char *heads_differ(bool requests, const __u8 *window, __u32 n, __u64 seed, bool *certain)
{
	struct careful_head c;
	struct h1_head h;
	__u8 method;

	*certain = fast_head(&h, requests, window, n, seed);
	if (!*certain)
		return NULL;
	careful_head(&c, requests, window, n, seed);
	if (c.event != H1_HEAD)
		return c.event == H1_BROKEN ? "the careful engine says it is broken" : "the head does not end in it";
	if (h.len != c.len)
		return "length of the head";
	if ((h.flags & FRAMING) != c.h1.flags)
		return "flags";
	if (h.content_length != c.h1.left)
		return "Content-Length";
	if (!requests)
		return h.status != c.h1.status ? "status" : NULL;
	method = h.flags & ~FRAMING;
	if (method != h1_method_flags(c.text.method))
		return "method flags";
	if (h.hash != c.text.route)
		return "route hash";
	if (least(h.text_len, TW_PATH_MAX) != c.text.len || (h.text_len > TW_PATH_MAX) != c.text.truncated)
		return "length of the text";
	return memcmp(window, c.text.text, c.text.len) != 0 ? "text" : NULL;
}

/* ---- whole streams ----------------------------------------------------------------------------------------------- */

struct message {
	size_t start, head_end, end; /* end 0: not ended yet */
	__u64 route, length;
	__u16 status, text_len, truncated;
	__u8 flags;
	char text[TW_PATH_MAX];
};

enum fate {
	IN_STEP,
	BROKEN,
	LEFT, /* left HTTP: 101 or CONNECT */
};

/* One direction of one connection. */
struct follower {
	bool requests;
	enum fate fate;
	struct h1 h1;
	struct h1_text text;
	const __u8 *asked; /* method flags of the requests that the responses answer; those beyond are GETs */
	size_t n_asked, answered;
	__u64 seed;
	size_t at, start, n;
	struct message m[MESSAGES_MAX];
};

static inline void follower__init(struct follower *f, bool requests, const __u8 *asked, size_t n_asked, __u64 seed)
{
	memset(f, 0, sizeof(*f));
	f->requests = requests;
	f->asked = asked;
	f->n_asked = n_asked;
	f->seed = seed;
	f->h1.state = requests ? H1_REQ : H1_RES;
}

static inline void message_ends(struct follower *f)
{
	if (f->n <= MESSAGES_MAX)
		f->m[f->n - 1].end = f->at;
	f->start = f->at;
	f->h1 = (struct h1){ .state = f->requests ? H1_REQ : H1_RES };
}

/* RFC 9112, 6.3: what follows a request's head. */
static inline void request_follows(struct follower *f)
{
	struct h1 *p = &f->h1;

	if (p->flags & H1_F_CHUNKED) {
		p->left = 0;
		p->state = H1_CHUNK;
	} else if (p->flags & H1_F_OTHER_CODING) {
		f->fate = BROKEN;
	} else if (p->left) {
		p->state = H1_BODY;
	} else {
		message_ends(f);
	}
}

/* The same for a response's. */
static inline void response_follows(struct follower *f)
{
	struct h1 *p = &f->h1;
	__u8 asked;

	if (p->status < 200 && p->status != 101) {
		message_ends(f);
		return;
	}
	asked = f->answered < f->n_asked ? f->asked[f->answered] : 0;
	f->answered++;
	if (p->status == 101 || (asked & H1_F_CONNECT && p->status / 100 == 2)) {
		message_ends(f);
		f->fate = LEFT;
	} else if (asked & H1_F_HEAD || p->status == 204 || p->status == 304) {
		message_ends(f);
	} else if (p->flags & H1_F_CHUNKED) {
		p->left = 0;
		p->state = H1_CHUNK;
	} else if (p->flags & H1_F_HAS_LENGTH && !(p->flags & H1_F_OTHER_CODING)) {
		p->state = H1_BODY;
		if (!p->left)
			message_ends(f);
	} else {
		p->state = H1_UNTIL_CLOSE;
	}
}

static inline void head_ends(struct follower *f)
{
	f->n++;
	if (f->n <= MESSAGES_MAX) {
		struct message *m = &f->m[f->n - 1];

		m->start = f->start;
		m->head_end = f->at;
		m->status = f->h1.status;
		m->length = f->h1.left;
		m->flags = f->h1.flags;
		if (f->requests) {
			m->flags |= h1_method_flags(f->text.method);
			m->route = f->text.route;
			m->text_len = f->text.len;
			m->truncated = f->text.truncated;
			memcpy(m->text, f->text.text, f->text.len);
		}
	}
	if (f->requests)
		request_follows(f);
	else
		response_follows(f);
}

/* Body bytes: counted, not looked at. Returns how many. */
static inline size_t body_follows(struct follower *f, size_t n)
{
	struct h1 *p = &f->h1;

	if (p->state != H1_UNTIL_CLOSE) {
		n = least(n, p->left);
		p->left -= n;
	}
	f->at += n;
	if (p->state == H1_UNTIL_CLOSE || p->left)
		return n;
	if (p->state == H1_CHUNK_DATA)
		p->state = H1_CHUNK_END;
	else
		message_ends(f);
	return n;
}

/* Bytes as they come; what comes after the stream was lost is not looked at. */
static inline void follower__feed(struct follower *f, const __u8 *bytes, size_t n)
{
	while (n && f->fate == IN_STEP) {
		enum h1_event e;
		__u32 used;

		if (f->h1.state >= H1_BODY) {
			used = (__u32)body_follows(f, n);
			bytes += used;
			n -= used;
			continue;
		}
		e = h1_run(&f->h1, f->requests ? &f->text : NULL, &f->text.length, bytes, (__u32)least(n, H1_CAREFUL),
		           f->seed, &used);
		bytes += used;
		n -= used;
		f->at += used;
		if (e == H1_BROKEN)
			f->fate = BROKEN;
		else if (e == H1_HEAD)
			head_ends(f);
		else if (e == H1_CHUNK_AT)
			f->h1.state = f->h1.left ? H1_CHUNK_DATA : H1_TRAILER;
		else if (e == H1_END)
			message_ends(f);
	}
}

/* NULL, or in what two followers of the same bytes differ. */
static inline const char *followers_differ(const struct follower *a, const struct follower *b)
{
	if (a->fate != b->fate)
		return "fate";
	if (a->at != b->at)
		return "place";
	if (a->n != b->n)
		return "number of messages";
	if (a->h1.state != b->h1.state || a->h1.left != b->h1.left || a->h1.flags != b->h1.flags ||
	    a->h1.status != b->h1.status)
		return "state";
	for (size_t i = 0; i < least(a->n, MESSAGES_MAX); i++) {
		const struct message *m = &a->m[i], *o = &b->m[i];

		if (m->start != o->start || m->head_end != o->head_end || m->end != o->end)
			return "boundaries";
		if (m->status != o->status || m->flags != o->flags || m->length != o->length)
			return "what a head says";
		if (m->route != o->route || m->truncated != o->truncated || m->text_len != o->text_len ||
		    memcmp(m->text, o->text, m->text_len) != 0)
			return "route";
	}
	return NULL;
}

#endif
