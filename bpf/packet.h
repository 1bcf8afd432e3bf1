/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP/IP headers of a packet at the cgroup_skb hook, by direct access: they lie in the linear part. */
#ifndef TW_PACKET_H
#define TW_PACKET_H

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04

struct segment {
	__u32 off; /* of the payload in the packet */
	__u32 len; /* of the payload */
	__u32 seq; /* of its first byte */
	__u32 ack;
	__u32 l4;           /* of the TCP header in the packet */
	__u16 sport, dport; /* host order */
	__u8 tcp_flags;
	__u8 v6;
};

/* Which end of a watched port is this? TW_PORT_SERVER, TW_PORT_CLIENT, or 0. */
static __always_inline __u8 ports_side(__u32 local, __u32 remote)
{
	__u64 x = near_ports ^ (local & 0xffff) * 0x0001000100010001ULL;
	__u8 *v;

	/* Is one of its four numbers 0? */
	if (likely((x - 0x0001000100010001ULL) & ~x & 0x8000800080008000ULL))
		return TW_PORT_SERVER;
	v = near_all ? 0 : bpf_map_lookup_elem(&ports, &local);
	if (v && *v & TW_PORT_SERVER)
		return TW_PORT_SERVER;
	if (!have_clients)
		return 0;
	v = bpf_map_lookup_elem(&ports, &remote);
	return v ? *v & TW_PORT_CLIENT : 0;
}

/* 0: s is filled; -1: not TCP, or not readable. */
static __always_inline int segment_parse(struct __sk_buff *skb, struct segment *s)
{
	__u8 *data = (__u8 *)(long)skb->data, *end = (__u8 *)(long)skb->data_end, *t;
	__u32 l4;

	if (unlikely(data + 40 > end))
		return -1;
	if (likely(data[0] >> 4 == 4)) {
		if (unlikely(data[9] != 6))
			return -1;
		l4 = (data[0] & 15) * 4;
		s->v6 = 0;
	} else {
		if (data[0] >> 4 != 6 || data[6] != 6)
			return -1;
		l4 = 40;
		s->v6 = 1;
	}
	t = data + l4;
	if (unlikely(t + 20 > end))
		return -1;
	s->l4 = l4;
	s->sport = t[0] << 8 | t[1];
	s->dport = t[2] << 8 | t[3];
	s->tcp_flags = t[13];
	/* A SYN stands before the data it may carry (fast open). */
	s->seq = bpf_ntohl(*(__u32 *)(t + 4)) + (s->tcp_flags >> 1 & 1);
	s->ack = bpf_ntohl(*(__u32 *)(t + 8));
	s->off = l4 + (t[12] >> 4) * 4;
	if (unlikely(s->off > skb->len))
		return -1;
	s->len = skb->len - s->off;
	return 0;
}

/* The receive window that it tells of, as it stands there. A segment that cannot be read is not told apart: 1. */
static __always_inline __u32 segment_window(struct __sk_buff *skb, const struct segment *s)
{
	__u8 *data = (__u8 *)(long)skb->data, *end = (__u8 *)(long)skb->data_end, *t = data + (s->l4 & 63);

	return unlikely(t + 20 > end) ? 1 : t[14] | t[15];
}

static __always_inline void v4_mapped(__u8 *to, const __u8 *from)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, from, 4);
}

/* The connection's addresses as seen from this end. 0, or -1 when the packet's headers cannot be read. */
static __always_inline int segment_tuple(struct __sk_buff *skb, const struct segment *s, int ingress,
                                         struct tw_tuple *k)
{
	__u8 *data = (__u8 *)(long)skb->data, *end = (__u8 *)(long)skb->data_end;

	__builtin_memset(k, 0, sizeof(*k));
	if (data + 40 > end)
		return -1;
	if (s->v6) {
		__builtin_memcpy(k->local, data + (ingress ? 24 : 8), 16);
		__builtin_memcpy(k->remote, data + (ingress ? 8 : 24), 16);
	} else {
		v4_mapped(k->local, data + (ingress ? 16 : 12));
		v4_mapped(k->remote, data + (ingress ? 12 : 16));
	}
	k->local_port = ingress ? s->dport : s->sport;
	k->remote_port = ingress ? s->sport : s->dport;
	return 0;
}

#endif
