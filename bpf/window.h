/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The server's own receive window. While it is shut inside the body of a request the client cannot go on, and what it
 * waits for is the application that does not read: that time is the server's, not the upload's.
 *
 * Invariants: an ordinary exchange comes here with no packet of its own; windows_shut counts the connections that have
 * shut_at, and one too many (a socket that went while no program could see it) costs time, never a figure.
 */
#ifndef TW_WINDOW_H
#define TW_WINDOW_H

/* What was shut until now counts, but not beyond the last byte of the body, should that have come meanwhile. */
static __always_inline __u64 window_shut_until(const struct tw_conn *c, __u64 now)
{
	__u32 n = c->shut_n - 1;
	__u64 end = (__s32)(c->complete - n) > 0 ? c->t_body[n & (TW_INLINE_PENDING - 1)] : now;

	return since(c->shut_at, end < now ? end : now);
}

/* A segment of the server's leaves at `now` with this window. */
static __always_inline void window_leaves(struct tw_conn *c, __u32 window, __u64 now)
{
	__u32 n = c->pushed;

	if (!window == !!c->shut_at)
		return;
	if (window) {
		c->shut_for += window_shut_until(c, now);
		c->shut_at = 0;
		__sync_fetch_and_add(&windows_shut, -1);
		return;
	}
	if (!is_in_body(c->rq.state))
		return;
	if (c->shut_n != n) {
		c->shut_n = n;
		c->shut_for = 0;
	}
	c->shut_at = now;
	__sync_fetch_and_add(&windows_shut, 1);
}

/* Of the upload of request n, complete at `end`: ns for which the window was shut. */
static __always_inline __u64 window_was_shut(const struct tw_conn *c, __u32 n, __u64 end)
{
	if (likely(c->shut_n != n + 1))
		return 0;
	return c->shut_for + (c->shut_at ? window_shut_until(c, end) : 0);
}

/* A pure acknowledgement that leaves. A function of its own, so that the hot path does not grow; always 1. */
__attribute__((noinline)) int window_told(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct tw_conn *c = 0;
	struct segment s;
	struct tw_tuple k;

	if (!sk || segment_parse(skb, &s) || ports_side(s.sport, s.dport) != TW_PORT_SERVER)
		return 1;
	if (!test_mode)
		c = bpf_sk_storage_get(&conns, sk, 0, 0);
	else if (!segment_tuple(skb, &s, 0, &k))
		c = bpf_map_lookup_elem(&early, &k);
	if (c && c->kind == TW_TLS && !test_mode) {
		__u64 cookie = bpf_get_socket_cookie(skb);
		struct tw_tls *tls = bpf_map_lookup_elem(&tls_conns, &cookie);

		c = tls ? &tls->c : 0;
	}
	if (c && c->kind == TW_HTTP)
		window_leaves(c, segment_window(skb, &s), skb->tstamp ? skb->tstamp : bpf_ktime_get_ns());
	return 1;
}

#endif
