/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of HTTP/2, and what they hold. */
#ifndef TW_H2_MAPS_H
#define TW_H2_MAPS_H

/* Records that are being put together, one a lane. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TW_LANES);
	__type(key, __u32);
	__type(value, struct h2_work);
} h2_works SEC(".maps");

/* Names of connections that have gone, where the record found no room. As many as user space follows; it empties it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} h2_unsaid SEC(".maps");

/* ---- segments that came before others, see h2_early.h ---- */

#define H2_EARLY       128 /* a window of 6 MiB, the most that TCP has by default, of large segments */
#define H2_CHUNK_BYTES 4096
#define H2_CHUNKS      4096

struct h2_early_segment {
	__u64 t;
	__u32 seq, len; /* len 0: nothing is here yet */
	__u32 busy;     /* the place is taken; more than 1: by somebody who is just giving it up again */
	__u32 requests;
};

struct h2_early {
	struct h2_early_segment s[H2_EARLY];
};

struct h2_chunk_key {
	__u64 name; /* of the connection */
	__u32 seq;
	__u32 requests;
};

struct h2_chunk {
	__u64 t; /* when it was put here, ns */
	char bytes[H2_CHUNK_BYTES];
};
_Static_assert(sizeof(struct h2_chunk) <= sizeof(((struct h2_work *)0)->items), "a chunk is put together there");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct h2_early);
} h2_earlies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, H2_CHUNKS);
	__type(key, struct h2_chunk_key);
	__type(value, struct h2_chunk);
} h2_chunks SEC(".maps");

static const struct h2_early h2_nothing_early;

#endif
