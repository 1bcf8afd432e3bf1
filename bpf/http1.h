/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/1.x recogniser: where messages begin and end, and nothing else of them.
 *
 * Pure: no I/O, no allocation, no kernel helper; (buffer, length) in, an event and the bytes consumed out. The host
 * builds the same source for tests and fuzzing.
 *
 * Two engines give the same answers:
 *  - h1_scan_request_line, h1_scan_status_line and h1_scan_some_lines read eight bytes at a time and only take a head
 *    that lies whole and plain in the window; whatever they are not certain of, they leave (return 0) to
 *  - h1_run, a table-driven automaton that takes bytes as they come, split anywhere. Its table is built by h1_build
 *    (user/capture/http1_table.c) and is the specification of what is accepted.
 *
 * Invariants: a state is one byte plus one number; no engine reads beyond the length it was given to decide anything
 * (words may be loaded past it: the window has H1_SPARE bytes more, and what lies there can only make a scan fail).
 */
#ifndef TW_HTTP1_H
#define TW_HTTP1_H

#include "route_hash.h"
#include "http1_states.h"

#define H1_F_HAS_LENGTH   1
#define H1_F_CHUNKED      2
#define H1_F_OTHER_CODING 4
#define H1_F_HEAD         8  /* method HEAD */
#define H1_F_CONNECT      16 /* method CONNECT */

#define H1_GO_ON 2       /* of a scan: there is more than it looks at in one go */
#define H1_FIRST (~0ULL) /* no length is as large: see h1_digit */

/* One direction of one connection. */
struct h1 {
	__u64 left; /* Content-Length while in a head, then what is left of the body or chunk */
	__u16 status;
	__u8 state;
	__u8 flags;
	__u32 next; /* sequence number of the next byte; the caller's */
};

/* What the careful engine keeps of a request head that comes in pieces. */
struct h1_text {
	struct rh_stream hash;
	__u64 route;
	__u64 method; /* the first eight bytes */
	__u64 length; /* what Content-Length said before, while it is read again; or H1_FIRST */
	__u16 len;    /* of text */
	__u16 truncated;
	__u32 pad;
	char text[TW_PATH_MAX]; /* "METHOD /path" */
};

/* What a fast scan found. */
struct h1_head {
	__u64 hash;
	__u64 content_length;
	__u64 marks;    /* see h1_scan_some_lines */
	__u32 len;      /* bytes of the head */
	__u32 text_len; /* "METHOD /path" from the first byte on */
	__u16 status;
	__u8 flags;
	__u8 pad[5];
};

#define H1_WORD(s)                                                                                              \
	((__u64)(s)[0] | (__u64)(s)[1] << 8 | (__u64)(s)[2] << 16 | (__u64)(s)[3] << 24 | (__u64)(s)[4] << 32 | \
	 (__u64)(s)[5] << 40 | (__u64)(s)[6] << 48 | (__u64)(s)[7] << 56)
#define H1_LOWER     (RH_ONES * 0x20)
#define H1_LOW7BYTES (~0ULL >> 8)

static __always_inline __u8 h1_method_flags(__u64 word)
{
	if (word == H1_WORD("HEAD\0\0\0\0"))
		return H1_F_HEAD;
	if (word == H1_WORD("CONNECT\0"))
		return H1_F_CONNECT;
	return 0;
}

/*
 * A place in the window. Callers keep pos below H1_WINDOW; the mask shows that to the verifier, and the empty asm keeps
 * the compiler, which can see it too, from leaving the mask out.
 */
static __always_inline __u64 h1_at(__u64 pos)
{
	asm volatile("" : "+r"(pos));
	return pos & (H1_WINDOW - 1);
}

static __always_inline __u64 h1_load(const __u8 *window, __u64 pos)
{
#ifdef __bpf__
	/* memcpy would become eight loads of a byte: the compiler does not know that the kernel takes unaligned ones.
	 */
	return *(const __u64 *)(window + h1_at(pos));
#else
	__u64 w;

	__builtin_memcpy(&w, window + h1_at(pos), 8);
	return w;
#endif
}

/*
 * The same place, of which the verifier knows no more than the width: see h1_scan_some_lines. Wide enough for any place
 * behind the window, too.
 */
static __always_inline __u64 h1_hide(__u64 pos, __u64 zero)
{
	pos = (pos ^ zero) & 0xffff;
	asm volatile("" : "+r"(pos));
	return pos;
}

/* Are all bytes selected by `in` (bit 7 of each) upper-case letters or '-'? */
static __always_inline int h1_plain_method(__u64 w, __u64 in)
{
	__u64 y = w & RH_LOW7;
	__u64 upper = (y + RH_ONES * (0x80 - 'A')) & ~(y + RH_ONES * (0x80 - 'Z' - 1)) & ~w;
	__u64 dash = ~((y ^ (RH_ONES * '-')) + RH_LOW7) & ~w;

	return !(in & RH_HIGH & ~(upper | dash));
}

/* A decimal number and the end of its line (a CR only before its LF) at pos; returns 0 when it is not that plain. */
static __always_inline int h1_number(const __u8 *window, __u64 pos, __u64 *out)
{
	__u64 v = 0, i, digits = 0;

	if (window[h1_at(pos)] == ' ')
		pos++;
	for (i = 0; i < 16; i++) {
		__u8 c = window[h1_at(pos + i)];

		if (c == '\r' || c == '\n')
			break;
		if (c < '0' || c > '9')
			return 0;
		v = v * 10 + (c - '0');
		digits++;
	}
	*out = v;
	if (window[h1_at(pos + i)] == '\r' && window[h1_at(pos + i + 1)] != '\n')
		return 0;
	return digits > 0 && i < 16;
}

/*
 * Header lines from pos to the empty one: len, content_length and flags (added) of out. 1: the head lies whole and
 * plain in the window; 0: not certain; H1_GO_ON: after H1_LINES steps, len and marks of out are where to go on.
 * marks: 1 at the start of a line, and where the length and the coding of the body are said, once that is known.
 *
 * Places are 64 bits wide because BPF compares 32-bit ones only after two shifts.
 *
 * `zero` is 0, but the verifier does not know it. What a loop carries along is XORed with it: a value that the verifier
 * knows nothing of lets it merge the paths through the loop, where known ones would be followed one by one.
 */
static __always_inline int h1_scan_some_lines(const __u8 *window, __u64 pos, __u64 marks, __u64 n, __u64 zero,
                                              struct h1_head *out)
{
	__u64 length_at = marks >> 16 & 0xffff, coding_at = marks >> 32 & 0xffff, fresh = marks & 1, done = 0, i;

	for (i = 0; i < H1_LINES; i++) {
		__u64 w, m, k;

		if (pos >= n || pos >= H1_WINDOW)
			return 0;
		w = h1_load(window, pos);
		if (fresh) {
			__u64 l = w | H1_LOWER;

			if ((w & 0xff) == '\r') {
				if ((w & 0xff00) != 0x0a00)
					return 0;
				pos += 2;
				done = 1;
				break;
			}
			if ((w & 0xff) == '\n') {
				pos += 1;
				done = 1;
				break;
			}
			/* '-' and ':' are compared as they are: OR-ing 0x20 also maps CR onto '-'. */
			if (l == H1_WORD("content-") && w >> 56 == '-') {
				m = h1_load(window, pos + 8);
				if (((m | H1_LOWER) & H1_LOW7BYTES) == (H1_WORD("length:\0") & H1_LOW7BYTES) &&
				    (m >> 48 & 0xff) == ':') {
					if (length_at)
						return 0;
					length_at = h1_hide(pos + 15, zero);
				}
			} else if (l == H1_WORD("transfer")) {
				m = h1_load(window, pos + 8);
				if ((m | H1_LOWER) == H1_WORD("-encodin") && (m & 0xff) == '-') {
					if (coding_at)
						return 0;
					coding_at = h1_hide(pos + 16, zero);
				}
			}
		}
		/* Most lines end within four words. */
		for (k = 0; k < 4; k++) {
			m = rh_find(h1_load(window, pos), '\n');
			if (m)
				break;
			pos = h1_hide(pos + 8, zero);
		}
		fresh = m != 0;
		if (m)
			pos = h1_hide(pos + rh_through(m), zero);
	}
	out->len = pos;
	if (!done) {
		out->marks = fresh | length_at << 16 | coding_at << 32;
		return H1_GO_ON;
	}
	if (pos > n)
		return 0;
	out->content_length = 0;
	if (coding_at) {
		/* "g: chunked\r\n" and nothing else, or the careful engine. */
		__u64 a = h1_load(window, coding_at), b = h1_load(window, coding_at + 8);

		if ((a | H1_LOWER) != (H1_WORD("g: chunk") | H1_LOWER) || (a >> 8 & 0xffff) != 0x203a ||
		    ((b | H1_LOWER) & 0xffff) != 0x6465 || (b >> 16 & 0xffff) != 0x0a0d)
			return 0;
		out->flags |= H1_F_CHUNKED;
	}
	if (length_at) {
		if (!h1_number(window, length_at, &out->content_length))
			return 0;
		out->flags |= H1_F_HAS_LENGTH;
	}
	return 1;
}

#ifndef __bpf__
/* All of them: what verified.h does on the other side. */
static inline int h1_scan_lines(const __u8 *window, __u64 pos, __u64 fresh, __u64 n, __u64 zero, struct h1_head *out)
{
	int i, found = h1_scan_some_lines(window, pos, fresh, n, zero, out);

	for (i = 1; i < H1_HEADERS && found == H1_GO_ON; i++)
		found = h1_scan_some_lines(window, out->len, out->marks, n, zero, out);
	return found == 1;
}
#endif

/* The target at *pos: folds its path into *h and moves *pos to the version; *path_end is where the path ended. */
static __always_inline int h1_scan_target(const __u8 *window, __u64 *pos_, __u64 *h_, __u32 *path_end, __u64 n,
                                          __u64 zero)
{
	__u64 h = *h_, pos = *pos_, start, m, below, i;
	struct rh_segment s = { zero & 1, zero & 3, zero & 7, zero & 15 };
	__u8 c = window[h1_at(pos)];

	if (c <= ' ' || c == '?')
		return 0;
	if (c == '/')
		pos++;
	else
		h = rh_mix(h, RH_OTHER_FORM);
	start = h;
	pos ^= zero;
	for (i = 0; i < 64; i++) {
		__u64 w;

		if (pos >= n || pos >= H1_WINDOW)
			return 0;
		w = h1_load(window, pos);
		/* '/' and '?' differ in one bit. */
		m = (w | (RH_ONES * 0x10)) ^ (RH_ONES * 0x3f);
		m = (((m - RH_ONES) & ~m) | ((w - RH_ONES * 0x21) & ~w)) & RH_HIGH;
		if (!m) {
			rh_classify(&s, w, ~0ULL);
			h = rh_mix(h, w);
			s.len = (s.len + 8) ^ zero;
			pos = (pos + 8) ^ zero;
			continue;
		}
		below = rh_below(m);
		rh_classify(&s, w, below);
		s.len += rh_count(below);
		pos += rh_count(below);
		h = rh_segment_end(start, h, w & below, &s);
		c = window[h1_at(pos)];
		if (c != '/')
			break;
		pos = (pos + 1) ^ zero;
		start = h;
		s.not_digit = zero & 1;
		s.not_hex = zero & 3;
		s.digit = zero & 7;
		s.len = zero & 15;
	}
	if (i == 64)
		return 0;
	*path_end = pos;
	if (c == '?') {
		for (i = 0; i < H1_WINDOW / 8; i++) {
			if (pos >= n || pos >= H1_WINDOW)
				return 0;
			m = rh_find_below(h1_load(window, pos), 0x21);
			pos = (pos + (m ? rh_count(rh_below(m)) : 8)) ^ zero;
			if (m)
				break;
		}
		c = window[h1_at(pos)];
	}
	if (c != ' ')
		return 0;
	*pos_ = pos + 1;
	*h_ = h;
	return 1;
}

/*
 * A plain request line at the start of the window (n bytes of it are valid): where the header lines start, and hash,
 * text_len and flags of out; 0: not certain.
 */
static __always_inline __u32 h1_scan_request_line(const __u8 *window, __u64 n, __u64 seed, __u64 zero,
                                                  struct h1_head *out)
{
	__u64 w = h1_load(window, 0), m = rh_find(w, ' '), below, method, pos;
	__u32 path_end = 0;

	if (!m)
		return 0;
	below = rh_below(m);
	method = w & below;
	if (!below || !h1_plain_method(w, below))
		return 0;
	pos = rh_count(below);
	out->hash = rh_close(seed, method, pos);
	pos++;
	if (!h1_scan_target(window, &pos, &out->hash, &path_end, n, zero) || pos >= H1_WINDOW - 16)
		return 0;
	w = h1_load(window, pos);
	if ((w & H1_LOW7BYTES) != (H1_WORD("HTTP/1.\0") & H1_LOW7BYTES) || w >> 56 < '0' || w >> 56 > '9')
		return 0;
	w = h1_load(window, pos + 8);
	if ((w & 0xffff) != 0x0a0d)
		return 0;
	out->flags = h1_method_flags(method);
	out->text_len = path_end;
	return pos + 10;
}

static __always_inline int h1_starts_response(const __u8 *window)
{
	__u64 w = h1_load(window, 0);

	return (w & H1_LOW7BYTES) == (H1_WORD("HTTP/1.\0") & H1_LOW7BYTES) && w >> 56 >= '0' && w >> 56 <= '9';
}

/* The same for a status line; what it returns lies inside the line. */
static __always_inline __u32 h1_scan_status_line(const __u8 *window, __u32 n, struct h1_head *out)
{
	__u64 v = h1_load(window, 8);
	__u32 a = v >> 8 & 0xff, b = v >> 16 & 0xff, c = v >> 24 & 0xff, d = v >> 32 & 0xff;

	if (!h1_starts_response(window))
		return 0;
	if ((v & 0xff) != ' ' || a < '1' || a > '9' || b < '0' || b > '9' || c < '0' || c > '9')
		return 0;
	if (d != ' ' && (v >> 32 & 0xffff) != 0x0a0d)
		return 0;
	out->status = (a - '0') * 100 + (b - '0') * 10 + (c - '0');
	out->flags = 0;
	return 12;
}

/* At most four hexadecimal digits, those of w below `below`: *size. Returns how many; 0: they are not that. */
static __always_inline __u64 h1_hex(__u64 w, __u64 below, __u64 *size)
{
	__u64 y = w & RH_LOW7, z = y | H1_LOWER, k = rh_count(below), v;
	__u64 digit = (y + RH_ONES * 0x50) & ~(y + RH_ONES * 0x46) & ~w & RH_HIGH;
	__u64 alpha = (z + RH_ONES * 0x1f) & ~(z + RH_ONES * 0x19) & ~w & RH_HIGH;

	if (k > 4 || below & RH_HIGH & ~(digit | alpha))
		return 0;
	/* The value of each; the last one to the fourth byte; together. */
	v = (w & RH_ONES * 0xf) + (alpha >> 7) * 9;
	v = (v & below) << (32 - 8 * k);
	*size = (v & 0xff) << 12 | (v >> 8 & 0xff) << 8 | (v >> 16 & 0xff) << 4 | (v >> 24 & 0xff);
	return k;
}

/*
 * Whole plain chunks (size CR LF data CR LF, no extension, not the last one) at the start of the window: how many bytes
 * they take. What follows is the automaton's. Small chunks would otherwise cost two steps of the careful engine each.
 * inside: before them comes the CR LF that ends another chunk, which is where a segment that cuts a chunk leaves us.
 */
static __always_inline __u64 h1_walk_chunks(const __u8 *window, __u64 n, int inside, __u64 zero)
{
	__u64 pos, first, i;

	if (inside && (h1_load(window, 0) & 0xffff) != 0x0a0d)
		return 0;
	first = pos = (inside ? 2 : 0) ^ zero;
	for (i = 0; i < H1_WALK; i++) {
		__u64 w = h1_load(window, pos), m = rh_find(w, '\r'), size = 0, end, k;

		if (!m)
			break;
		k = h1_hex(w, rh_below(m), &size);
		end = (pos + k + 2 + size) ^ zero;
		if (!k || !size || end + 2 > n || end >= H1_WINDOW - 8)
			break;
		if ((h1_load(window, pos + k) & 0xffff) != 0x0a0d || (h1_load(window, end) & 0xffff) != 0x0a0d)
			break;
		pos = (end + 2) ^ zero;
	}
	return pos > first && pos <= n ? pos : 0;
}

/* How many of the n bytes in the window lie before the next LF: the rest of a long line goes by eight bytes at a time.
 */
static __always_inline __u32 h1_skip_line(const __u8 *window, __u64 n, __u64 zero)
{
	__u64 pos = zero & 1, i, m;

	for (i = 0; i < H1_WINDOW / 8; i++) {
		if (pos >= n || pos >= H1_WINDOW)
			break;
		m = rh_find(h1_load(window, pos), '\n');
		pos = (pos + (m ? rh_count(rh_below(m)) : 8)) ^ zero;
		if (m)
			break;
	}
	return pos < n ? pos : n;
}

static __always_inline void h1_text_put(struct h1_text *t, __u8 c)
{
	__u32 at = t->len;

	if (at < TW_PATH_MAX) {
		t->text[at & 0xff] = c;
		t->len = at + 1;
	} else {
		t->truncated = 1;
	}
}

/* The part of an action that concerns the request line; t is NULL on responses. */
static __always_inline void h1_request_action(struct h1_text *t, __u32 act, __u8 c, __u64 seed)
{
	if (act == H1_A_METHOD_FIRST) {
		rh_start(&t->hash, seed);
		t->len = t->truncated = 0;
		t->method = 0;
	}
	if (act == H1_A_METHOD_FIRST || act == H1_A_METHOD) {
		/* The text's length is the byte's place here: nothing came before the method. */
		if (t->hash.s.len < 8)
			t->method |= (__u64)c << (t->hash.s.len * 8 & 63);
		else
			t->method = ~0ULL;
		rh_byte(&t->hash, c);
	} else if (act == H1_A_METHOD_END) {
		rh_method_end(&t->hash);
	} else if (act == H1_A_PATH_FIRST) {
		rh_path_start(&t->hash, c);
	} else if (act == H1_A_PATH) {
		rh_byte(&t->hash, c);
	} else if (act == H1_A_SLASH) {
		rh_path_slash(&t->hash);
	} else {
		t->route = rh_path_end(&t->hash);
		return;
	}
	h1_text_put(t, c);
}

/* A digit of a length in base 10 or 16; a value that could overflow makes the message bad. */
static __always_inline int h1_digit(struct h1 *p, __u8 c, __u32 base)
{
	__u8 v = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

	if (p->left >> 56)
		return -1;
	p->left = p->left * base + v;
	return 0;
}

/*
 * The careful engine over at most H1_RUN bytes. *consumed says how many were taken; fewer than n only with an event
 * other than H1_MORE. *length is the caller's to keep with p, as h1_text.length says. H1_CLASS(c) and H1_NEXT(i) give
 * the tables.
 */
static __always_inline enum h1_event h1_run_some(struct h1 *p, struct h1_text *t, __u64 *length, const __u8 *buf,
                                                 __u32 n, __u64 seed, __u32 *consumed)
{
	__u32 state = p->state, act = 0, i;

	for (i = 0; i < H1_RUN; i++) {
		__u8 c;
		__u32 e;

		if (i >= n)
			break;
		c = buf[i];
		e = H1_NEXT((state * H1_CLASSES + H1_CLASS(c)) & (H1_STATES * H1_CLASSES - 1));
		state = e & 0xff;
		act = e >> 8;
		if (act == H1_A_NONE)
			continue;
		if (act >= H1_A_STOP)
			break;
		if (act <= H1_A_PATH_END) {
			if (t)
				h1_request_action(t, act, c, seed);
		} else if (act == H1_A_STATUS) {
			p->status = p->status * 10 + (c - '0');
		} else if (act == H1_A_CL_DONE) {
			if (*length != H1_FIRST && *length != p->left) {
				act = H1_A_BAD;
				break;
			}
		} else if (act == H1_A_CHUNKED) {
			p->flags |= H1_F_CHUNKED;
		} else if (act == H1_A_OTHER_CODING) {
			p->flags = (p->flags & ~H1_F_CHUNKED) | H1_F_OTHER_CODING;
		} else {
			if (act == H1_A_CL_FIRST) {
				*length = p->flags & H1_F_HAS_LENGTH ? p->left : H1_FIRST;
				p->flags |= H1_F_HAS_LENGTH;
			}
			if (act == H1_A_CHUNK_FIRST || act == H1_A_CL_FIRST)
				p->left = 0;
			if (h1_digit(p, c, act <= H1_A_CL_DIGIT ? 10 : 16)) {
				act = H1_A_BAD;
				break;
			}
		}
		act = 0;
	}
	p->state = state;
	*consumed = act >= H1_A_STOP ? i + 1 : n;
	switch (act) {
	case H1_A_HEAD_END:
		return H1_HEAD;
	case H1_A_CHUNK_GO:
		return H1_CHUNK_AT;
	case H1_A_END:
		return H1_END;
	case H1_A_BAD:
		p->state = H1_BAD;
		return H1_BROKEN;
	default:
		return H1_MORE;
	}
}

#ifndef __bpf__
/* The same over any number of bytes: what verified.h does on the other side. */
static inline enum h1_event h1_run(struct h1 *p, struct h1_text *t, __u64 *length, const __u8 *buf, __u32 n, __u64 seed,
                                   __u32 *consumed)
{
	enum h1_event e = H1_MORE;
	__u32 at = 0, used;

	while (at < n && e == H1_MORE) {
		e = h1_run_some(p, t, length, buf + at, n - at < H1_RUN ? n - at : H1_RUN, seed, &used);
		at += used;
	}
	*consumed = at;
	return e;
}
#endif

#endif
