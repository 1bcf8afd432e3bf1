/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs of tracepoints that are there twice, where the kernel may pass over the first: see
 * user/capture/passed_over.h. Of each event the first notes that it has run; the second, which comes next in the same
 * thread, finds that, and is done, or does the first one's work and counts it.
 *
 * Where two events that share a place in the table come in one moment, the second program works though the first has.
 * That changes nothing but its count, which is one too high: of events that come within 50 ns of each other one in
 * 16,384.
 */
#ifndef TW_AGAIN_H
#define TW_AGAIN_H

#define AGAIN_PLACES 16384 /* of 128 KiB; a thread's own is rarely in another's line of the cache */

const volatile __u8 run_twice;
__u64 made_good[TW_TWICE_NR]; /* events that the second program alone has seen */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, AGAIN_PLACES);
	__type(key, __u32);
	__type(value, __u64);
} first_runs SEC(".maps");

static __always_inline __u64 *again_place(__u64 event)
{
	__u32 i = event * RH_MUL >> 50;

	return bpf_map_lookup_elem(&first_runs, &i);
}

/* A socket's address, as a number: the first argument of a tracepoint. `what` tells its events apart. Never 0. */
static __always_inline __u64 again_socket(const void *ctx, enum tw_twice what)
{
	__u64 sk = 0;

	bpf_probe_read_kernel(&sk, sizeof(sk), ctx);
	return sk << 2 | (what + 1);
}

/* A thread's read: the same thread has no two up to one place of a stream. */
static __always_inline __u64 again_read(const void *ctx, const struct sock *sk)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u32 copied = 0;

	bpf_core_read(&copied, sizeof(copied), &tp->copied_seq);
	return bpf_get_current_pid_tgid() << 32 | (__u32)(again_socket(ctx, TW_TWICE_READ) >> 8 ^ copied);
}

/* In the first program. */
static __always_inline void again_first(__u64 event)
{
	__u64 *place = again_place(event);

	if (place)
		*(volatile __u64 *)place = event;
}

/* In the second: has the first one been passed over? */
static __always_inline int again_is_needed(__u64 event, enum tw_twice what)
{
	__u64 *place = again_place(event);

	if (place && *(volatile __u64 *)place == event) {
		*(volatile __u64 *)place = 0; /* the next such event is another one */
		return 0;
	}
	__sync_fetch_and_add(&made_good[what], 1);
	return 1;
}

#endif
