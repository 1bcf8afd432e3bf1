/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The route hash: one pass over "METHOD target" that collapses ids, so that /orders/8812 and /orders/9 are one route.
 *
 * Pure: also built on the host, for the tests, the fuzzer and for naming routes before the first request.
 *
 * Rule: the method and every segment between '/' are folded eight bytes at a time, little-endian, the last word padded
 * with zeros and tagged with the length. A segment that is an id (all digits; or >= 8 characters, all hex digits or
 * '-', with a digit among them) is folded as one constant. The target ends at '?', at a space and at any control
 * character. Two implementations give the same value: one reads words (rh_target), one takes bytes as they come
 * (rh_byte).
 */
#ifndef TW_ROUTE_HASH_H
#define TW_ROUTE_HASH_H

#define RH_ONES       0x0101010101010101ULL
#define RH_HIGH       0x8080808080808080ULL
#define RH_LOW7       0x7f7f7f7f7f7f7f7fULL
#define RH_MUL        0x9e3779b97f4a7c15ULL
#define RH_ID         0x7d64697bULL /* "{id}" */
#define RH_OTHER_FORM 0x3a2f2fULL   /* the target does not start with '/' */

static __always_inline __u64 rh_mix(__u64 h, __u64 w)
{
	h = (h ^ w) * RH_MUL;
	return h ^ (h >> 29);
}

/* The method, at most eight bytes of it in w, the rest zero; longer ones are folded byte by byte (rh_byte). */
static __always_inline __u64 rh_close(__u64 h, __u64 w, __u64 len)
{
	return rh_mix(h, w ^ ((len & 0xff) << 56));
}

/* What is known of a segment so far: bit 7 of each byte position that spoils the property. */
struct rh_segment {
	__u64 not_digit;
	__u64 not_hex;
	__u64 digit;
	__u64 len;
};

/* Classifies the bytes of w below `valid` (a mask of whole low bytes). No byte carries into its neighbour. */
static __always_inline void rh_classify(struct rh_segment *s, __u64 w, __u64 valid)
{
	__u64 y = w & RH_LOW7, z = y | (RH_ONES * 0x20), high = w & RH_HIGH, in = valid & RH_HIGH;
	__u64 digit = (y + RH_ONES * 0x50) & ~(y + RH_ONES * 0x46) & ~high;
	__u64 alpha = (z + RH_ONES * 0x1f) & ~(z + RH_ONES * 0x19) & ~high;
	__u64 dash = ~((y ^ (RH_ONES * '-')) + RH_LOW7) & ~high;

	s->not_digit |= in & ~digit;
	s->not_hex |= in & ~(digit | alpha | dash);
	s->digit |= in & digit;
}

/* All bits, if any is set in x. The empty asm keeps the compiler from making a branch of it; see h1_scan_some_lines. */
static __always_inline __u64 rh_any(__u64 x)
{
	__u64 n = -x;

	asm volatile("" : "+r"(n));
	return (__s64)(x | n) >> 63;
}

/* All bits, if the segment is an id: all digits; or eight or more hexadecimal ones and dashes, with a digit. */
static __always_inline __u64 rh_is_id(const struct rh_segment *s)
{
	return rh_any(s->len) &
	       (~rh_any(s->not_digit) | (rh_any(s->len >> 3) & ~rh_any(s->not_hex) & rh_any(s->digit)));
}

/* Ends a segment: h has the whole words, w the rest. */
static __always_inline __u64 rh_segment_end(__u64 start, __u64 h, __u64 w, const struct rh_segment *s)
{
	__u64 id = rh_is_id(s);

	asm volatile("" : "+r"(id)); /* see rh_any */
	return (rh_mix(start, RH_ID) & id) | (rh_close(h, w, s->len) & ~id);
}

/* Bit 7 of the lowest byte equal to c (and possibly of higher ones: only the lowest set bit is exact). */
static __always_inline __u64 rh_find(__u64 w, __u8 c)
{
	__u64 x = w ^ (RH_ONES * c);

	return (x - RH_ONES) & ~x & RH_HIGH;
}

/* The same for the lowest byte below n (n <= 128). */
static __always_inline __u64 rh_find_below(__u64 w, __u8 n)
{
	return (w - RH_ONES * n) & ~w & RH_HIGH;
}

/* A mask of the whole bytes below the lowest set bit of m (m != 0), and their number. */
static __always_inline __u64 rh_below(__u64 m)
{
	return ((m & -m) >> 7) - 1;
}

static __always_inline __u64 rh_count(__u64 below)
{
	return ((below & RH_ONES) * RH_ONES) >> 56;
}

/* How many bytes there are up to and with the lowest set bit of m (m != 0). */
static __always_inline __u64 rh_through(__u64 m)
{
	return (((m ^ (m - 1)) & RH_ONES) * RH_ONES) >> 56;
}

/* The byte-wise form; start it with rh_start, give it every byte of the method, rh_method_end, then of the path. */
struct rh_stream {
	__u64 h, start, w;
	struct rh_segment s;
};

static __always_inline void rh_start(struct rh_stream *r, __u64 seed)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->h = r->start = seed;
}

static __always_inline void rh_byte(struct rh_stream *r, __u8 c)
{
	__u64 k = r->s.len & 7;
	__u64 w = r->w | (__u64)c << (k * 8);

	rh_classify(&r->s, c, 0xff);
	r->s.len++;
	if (k == 7) {
		r->h = rh_mix(r->h, w);
		w = 0;
	}
	r->w = w;
}

static __always_inline void rh_next(struct rh_stream *r)
{
	r->start = r->h;
	r->w = 0;
	__builtin_memset(&r->s, 0, sizeof(r->s));
}

static __always_inline void rh_method_end(struct rh_stream *r)
{
	r->h = rh_close(r->h, r->w, r->s.len);
	rh_next(r);
}

/* The first byte of the target decides its form; a leading '/' is not part of a segment. */
static __always_inline void rh_path_start(struct rh_stream *r, __u8 c)
{
	if (c == '/')
		return;
	r->h = r->start = rh_mix(r->h, RH_OTHER_FORM);
	rh_byte(r, c);
}

static __always_inline void rh_path_slash(struct rh_stream *r)
{
	r->h = rh_segment_end(r->start, r->h, r->w, &r->s);
	rh_next(r);
}

static __always_inline __u64 rh_path_end(struct rh_stream *r)
{
	return rh_segment_end(r->start, r->h, r->w, &r->s);
}

#endif
