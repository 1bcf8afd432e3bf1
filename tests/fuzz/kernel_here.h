/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel programs' source on the host, as far as it walks TLS: what the kernel would lend a program is played by
 * the functions below, for one packet, one connection and one lane. To be included before anything else.
 */
#ifndef TW_FUZZ_KERNEL_HERE_H
#define TW_FUZZ_KERNEL_HERE_H

/* For the kernel's compiler most of what follows is an entry or a program by itself. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Waddress-of-packed-member"
#define preserve_access_index annotate("") /* only the loader of the kernel moves fields */
#include "vmlinux.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEC(name)
#define __uint(name, n)    int(*name)[n]
#define __type(name, what) typeof(what) *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define barrier()       asm volatile("" ::: "memory")
#define bpf_ntohs       __builtin_bswap16
#define bpf_htons       __builtin_bswap16
#define bpf_ntohl       __builtin_bswap32

#define BPF_CORE_READ_BITFIELD(s, field) ((s)->field)
#define bpf_core_read(to, n, from)       bpf_probe_read_kernel(to, n, from)

/* The packet. */
static struct {
	const uint8_t *bytes;
	size_t len;
} packet_here;

static long bpf_skb_load_bytes(const void *skb, __u32 off, void *to, __u32 len)
{
	if (!len || off > packet_here.len || len > packet_here.len - off)
		return -EFAULT;
	memcpy(to, packet_here.bytes + off, len);
	return 0;
}

static long bpf_probe_read_kernel(void *to, __u32 len, const void *from)
{
	memcpy(to, from, len);
	return 0;
}

static inline long bpf_probe_read_user(void *to, __u32 len, const void *from)
{
	return -EFAULT;
}

/* Maps: those with an entry are known to map_here(), which comes behind their definition. */
static void *map_here(const void *map);

static void *bpf_map_lookup_elem(void *map, const void *key)
{
	return map_here(map);
}

static long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	return -E2BIG;
}

static inline long bpf_map_delete_elem(void *map, const void *key)
{
	return -ENOENT;
}

static inline void *bpf_sk_storage_get(void *map, void *sk, void *value, __u64 flags)
{
	return NULL;
}
static inline void *bpf_skc_to_tcp_sock(void *sk)
{
	return NULL;
}
static inline struct bpf_tcp_sock *bpf_tcp_sock(struct bpf_sock *sk)
{
	return NULL;
}
static inline struct bpf_sock *bpf_sk_fullsock(struct bpf_sock *sk)
{
	return NULL;
}
static inline struct bpf_sock *bpf_skc_lookup_tcp(void *skb, void *tuple, __u32 n, __u64 ns, __u64 flags)
{
	return NULL;
}
static inline void bpf_sk_release(void *sk)
{
}
static inline __u64 bpf_get_socket_cookie(void *skb)
{
	return 1;
}
static inline __u64 bpf_ktime_get_ns(void)
{
	return 1;
}
static inline __u64 bpf_jiffies64(void)
{
	return 1;
}
static inline __u32 bpf_get_smp_processor_id(void)
{
	return 0;
}
static inline void *bpf_ringbuf_reserve(void *map, __u64 n, __u64 flags)
{
	return NULL;
}
static inline void bpf_ringbuf_submit(void *record, __u64 flags)
{
}
static inline long bpf_ringbuf_output(void *map, void *record, __u64 n, __u64 flags)
{
	return -EAGAIN;
}
static inline __u64 bpf_ringbuf_query(void *map, __u64 flags)
{
	return 0;
}
static inline long bpf_tail_call(void *skb, void *tails, __u32 i)
{
	return -ENOENT;
}

#include "tw_abi.h"

#include "capture/http1_table.h"
#include "tw_bucket.h"

#include "maps.h"
#include "tls_maps.h"
/* In the order of tillwatch.bpf.c. */
#include "lane.h"
#include "claim.h"
#include "line_memo.h"
#include "packet.h"
#include "verified.h"
#include "detail.h"
#include "conn.h"
#include "losses.h"
#include "window.h"
#include "exchange.h"
#include "segment.h"
#define H2_COPY_BYTES(to, from, n) memcpy(to, from, n)
#include "http2_walk.h"
#include "h2_maps.h"
#include "h2_send.h"
#include "h2_begin.h"
#include "h2_early.h"
#include "upgraded.h"
#include "stream.h"
#include "tails.h"
#include "closing.h"
#include "held.h"
#include "careful.h"
#include "h2_whole.h"
#include "h2_packet.h"
#include "tls_hello.h"
#include "tls_turns.h"
#include "tls_wire.h"
#pragma GCC diagnostic pop

#endif
