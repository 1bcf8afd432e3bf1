/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The histogram bucket of a latency: exact, without a search and without a branch (a mispredicted one costs as much as
 * the rest).
 *
 * Pure: also built on the host, which fills the tables and tests this against its own search. ns < 2^63.
 *
 * A cell is a span [2^e * (1 + m/32), 2^e * (1 + (m+1)/32)) of nanoseconds. Bounds lie a factor of 2^(1/16) apart, more
 * than 33/32, so at most one lies inside a cell: the bucket of the cell's first value is looked up, and one comparison
 * decides.
 */
#ifndef TW_BUCKET_H
#define TW_BUCKET_H

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define BUCKET_CELLS (64 * 32)

/* Place of the highest bit of v, whose bits below it are all set: v's product with this has them at the top. */
#define BUCKET_DE_BRUIJN 0x03f79d71b4cb0a89ULL
static const __u8 bucket_log2[64] = {
	0,  47, 1,  56, 48, 27, 2,  60, 57, 49, 41, 37, 28, 16, 3,  61, 54, 58, 35, 52, 50, 42,
	21, 44, 38, 32, 29, 23, 17, 11, 4,  62, 46, 55, 26, 59, 40, 36, 15, 53, 34, 51, 20, 43,
	31, 22, 10, 45, 25, 39, 14, 33, 19, 30, 9,  24, 13, 18, 8,  12, 7,  6,  5,  63,
};

static __always_inline __u32 bucket_cell(__u64 ns)
{
	__u64 v = ns | 32, e;

	v |= v >> 1;
	v |= v >> 2;
	v |= v >> 4;
	v |= v >> 8;
	v |= v >> 16;
	v |= v >> 32;
	e = bucket_log2[(v * BUCKET_DE_BRUIJN) >> 58];
	/* Below 32 ns everything is in the first bucket, whatever its cell. */
	return e << 5 | (ns >> ((e - 5) & 63) & 31);
}

/* bounds: ascending, padded with the largest signed number; cells: the bucket of each cell's first value. */
#define BUCKET_OF(bounds, bounds_nr, cells, ns)                                    \
	({                                                                         \
		__u64 ns_ = (ns), c_ = bucket_cell(ns_), i_;                       \
		asm volatile("" : "+r"(c_)); /* keeps the mask for the verifier */ \
		i_ = (cells)[c_ & (BUCKET_CELLS - 1)] & ((bounds_nr)-1);           \
		(__u32)(i_ + (((bounds)[i_] - ns_) >> 63));                        \
	})

#endif
