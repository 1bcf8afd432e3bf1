/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Losses that never reach an endpoint, as tracepoints show them: handshakes completed, listeners closed, connections
 * refused, segments sent again. All optional; what is missing is null in the figures.
 */
#ifndef TW_LOSS_HOOKS_H
#define TW_LOSS_HOOKS_H

static __always_inline struct tw_door_value *door_find(const __u8 *addr, __u16 port, __u32 netns)
{
	struct tw_door d = { .port = port, .netns = netns };
	struct tw_door_value *v;

	__builtin_memcpy(d.addr, addr, 16);
	v = bpf_map_lookup_elem(&doors, &d);
	if (v)
		return v;
	__builtin_memset(d.addr, 0, 16);
	return bpf_map_lookup_elem(&doors, &d);
}

/* ---- listeners --------------------------------------------------------------------------------------------------- */

/* A connection has been made. Its SYN has told whose it is; else the door does, if it is one that is watched. */
static __always_inline void handshake_done(struct sock *sk)
{
	struct tw_door_value *door;
	struct tw_listener *l = 0;
	struct tw_losses *lost;
	struct tw_handshake *h;
	struct tw_tuple k;

	sock_tuple(sk, &k);
	h = bpf_map_lookup_elem(&handshakes, &k);
	if (h) {
		__u64 cookie = h->listener;

		l = bpf_map_lookup_elem(&listeners, &cookie);
		if (l)
			ADD(l->established, 1);
		bpf_map_delete_elem(&handshakes, &k);
		return;
	}
	door = door_find(k.local, k.local_port, sk->__sk_common.skc_net.net->ns.inum);
	lost = door ? losses_of(door->version) : 0;
	if (lost)
		ADD(lost->untracked, 1);
}

/* The last that can be learned of a listener; who waits in its queue will be reset. */
static __always_inline void listener_closed(struct sock *sk)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;
	struct tw_listener *l = bpf_map_lookup_elem(&listeners, &cookie), fresh = {};

	if (!l) {
		struct tw_place_value *place;
		struct tw_tuple k;

		/* Nobody ever knocked, but it may have been asked for its drops: those since are wanted, too. */
		sock_tuple(sk, &k);
		place = cookie ? place_find(k.local, k.local_port, 0) : 0;
		if (!place)
			return;
		fresh.version = place->version;
		fresh.port = k.local_port;
		__builtin_memcpy(fresh.addr, k.local, 16);
		if (bpf_map_update_elem(&listeners, &cookie, &fresh, BPF_NOEXIST))
			return;
		l = bpf_map_lookup_elem(&listeners, &cookie);
		if (!l)
			return;
	}
	l->drops = sk->sk_drops.counter;
	l->unaccepted = sk->sk_ack_backlog;
	if (l->unaccepted > l->backlog_max)
		l->backlog_max = l->unaccepted;
	l->closed = 1;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(tw_handshake, struct sock *sk, int from, int to)
{
	__u32 port = sk->__sk_common.skc_num;
	__u8 *side;

	/* By now a port that the kernel had chosen has been put back, and is 0: its cookie tells what it was. */
	if (from == BPF_TCP_LISTEN)
		listener_closed(sk);
	if (!(from == BPF_TCP_SYN_RECV && to == BPF_TCP_ESTABLISHED))
		return 0;
	side = bpf_map_lookup_elem(&ports, &port);
	if (side && *side & TW_PORT_SERVER)
		handshake_done(sk);
	return 0;
}

/* ---- refused ----------------------------------------------------------------------------------------------------- */

/* Headers of a packet on its way through TCP, by reading kernel memory: network headers up to ports and flags. */
static __always_inline int refused_syn(const struct sk_buff *skb)
{
	unsigned char *head = 0;
	struct tw_door_value *door;
	struct net_device *dev = 0;
	struct net *net = 0;
	__u16 network = 0, transport = 0;
	__u8 addr[16], ip[40], tcp[14];
	__u32 netns = 0;

	bpf_core_read(&head, sizeof(head), &skb->head);
	bpf_core_read(&network, sizeof(network), &skb->network_header);
	bpf_core_read(&transport, sizeof(transport), &skb->transport_header);
	if (bpf_probe_read_kernel(ip, 20, head + network) || bpf_probe_read_kernel(tcp, sizeof(tcp), head + transport))
		return 0;
	if ((tcp[13] & (TCP_SYN | 0x10)) != TCP_SYN)
		return 0;
	if (ip[0] >> 4 == 4)
		v4_mapped(addr, ip + 16);
	else if (bpf_probe_read_kernel(addr, sizeof(addr), head + network + 24))
		return 0;
	bpf_core_read(&dev, sizeof(dev), &skb->dev);
	bpf_core_read(&net, sizeof(net), &dev->nd_net.net);
	bpf_core_read(&netns, sizeof(netns), &net->ns.inum);
	door = door_find(addr, tcp[2] << 8 | tcp[3], netns);
	if (door)
		ADD(door->refused, 1);
	return 0;
}

/* With a reason, as it has been since 6.10 (19822a980e19), it also tells of resets that no socket sends. */
SEC("?tp_btf/tcp_send_reset")
int BPF_PROG(tw_refuse, const struct sock *sk, const struct sk_buff *skb, int reason)
{
	/* Or the three questions become one sum, and pointers cannot be added. */
	asm volatile("" : "+r"(reason));
	if (reason < 0 || !skb)
		return 0;
	if (sk)
		return 0;
	return refused_syn(skb);
}

/* The same from 5.17 (c504e5c2f964) to 6.9, by the reason for which the SYN itself is dropped. */
SEC("?tp_btf/kfree_skb")
int BPF_PROG(tw_drop, const struct sk_buff *skb, void *location, enum skb_drop_reason reason)
{
	if (reason != bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NO_SOCKET))
		return 0;
	return refused_syn(skb);
}

/* ---- segments, and the end of a connection ----------------------------------------------------------------------- */

static __always_inline void segments_read(struct sock *sk, const struct tw_conn *c, struct tw_live *out)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u32 sent = 0, again = 0;

	bpf_core_read(&sent, sizeof(sent), &tp->segs_out);
	bpf_core_read(&again, sizeof(again), &tp->total_retrans);
	out->segments = (__u32)(sent - c->segments_before);
	out->retransmitted = (__u32)(again - c->retransmitted_before);
}

static __always_inline void conn_gone(struct sock *sk, struct tw_conn *c)
{
	struct tw_losses *lost;
	struct tw_live n;

	if (c->kind == TW_H2)
		h2_gone(c, 0, sk->sk_err);
	if (c->shut_at)
		__sync_fetch_and_add(&windows_shut, -1);
	if (!c->version)
		return;
	lost = losses_of(c->version);
	if (!lost)
		return;
	segments_read(sk, c, &n);
	ADD(lost->segments, n.segments);
	if (n.retransmitted)
		ADD(lost->retransmitted, n.retransmitted);
	if (is_upgraded(c))
		session_ended(&lost->upgraded, upgraded_end(c, sk->sk_err), c->t_last);
}

/* Run by user space: adds up what open connections have sent. */
SEC("?iter/bpf_sk_storage_map")
int tw_live(struct bpf_iter__bpf_sk_storage_map *at)
{
	struct tw_conn *c = at->value;
	struct sock *sk = at->sk;
	struct tw_live n, *sum;
	__u32 version;

	if (!c || !sk)
		return 0;
	version = c->version & (TW_MAX_VERSIONS - 1);
	sum = bpf_map_lookup_elem(&live, &version);
	if (!sum)
		return 0;
	segments_read(sk, c, &n);
	sum->segments += n.segments;
	sum->retransmitted += n.retransmitted;
	return 0;
}

#endif
