// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel half of tillwatch: programs at the sockets of the watched services. They observe: every packet program
 * returns 1, no map is unbounded, no loop is.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#include "tw_abi.h"
#include "http1_states.h"

/* The automaton's tables, set before load. */
const volatile __u8 h1_classes[256];
const volatile __u16 h1_transitions[H1_STATES * H1_CLASSES];
#define H1_CLASS(c) h1_classes[c]
#define H1_NEXT(i)  h1_transitions[i]
#include "http1.h"
#include "tw_bucket.h"
#include "maps.h"
#include "tls_maps.h"
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
#define H2_COPY_BYTES(to, from, n) bpf_probe_read_kernel(to, n, from)
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
#include "tls_budget.h"
#include "tls_packet.h"

char LICENSE[] SEC("license") = "GPL";

/* What the first programs hand over to; filled by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, TAIL_NR);
	__type(key, __u32);
	__type(value, __u32);
} ingress_tails SEC(".maps"), egress_tails SEC(".maps");

/* Which end of which watched port is this? 0: none. */
static __always_inline __u8 packet_side(const struct segment *s, int ingress)
{
	return ports_side(ingress ? s->dport : s->sport, ingress ? s->sport : s->dport);
}

/* The same of one that speaks HTTP/2, or may do so from now on. */
static __always_inline void packet_h2(struct ctx *x, int requests, void *tails)
{
	x->l = lane_claim(&x->lane);
	if (!x->l)
		return;
	if (!likely(is_h2(x->c)) || !likely(h2_straight(x, requests, tails)))
		packet_tail(x, tails, x->c->kind == TW_IGNORED ? TAIL_H2_UPGRADE : TAIL_H2_FIRST);
	lane_release(x->l);
}

/* Finds or makes the connection's state. 0: this packet is not for us; the lane is claimed otherwise. */
static __always_inline int packet_conn(struct ctx *x, __u8 side, void *tails)
{
	int client = side == TW_PORT_CLIENT;

	x->by_tuple = test_mode || (x->ingress && is_listener(x->sk));
	x->c = unlikely(x->by_tuple) ? 0 : bpf_sk_storage_get(&conns, x->sk, 0, 0);
	if (likely(x->c)) {
		if (unlikely(x->c->kind >= TW_IGNORED)) {
			if (x->c->kind == TW_TLS)
				packet_tls(x, tails);
			else if (is_h2(x->c) || may_be_upgraded(x, client))
				packet_h2(x, client != x->ingress, tails);
			else
				upgraded_packet(x, client);
			return 0;
		}
	} else if (!x->s.len && !conn_waits(x, client)) {
		if (x->s.tcp_flags & TCP_RST)
			unused_reset(x->skb, x->ingress, client);
		return 0;
	}
	x->l = lane_claim(&x->lane);
	if (unlikely(!x->l))
		return 0;
	if (unlikely(!x->c))
		x->c = x->by_tuple ? conn_by_tuple(x, client) : conn_create(x, client);
	if (unlikely(!x->c || x->c->kind >= TW_IGNORED)) {
		lane_release(x->l);
		if (x->c && x->c->kind == TW_TLS)
			packet_tls(x, tails);
		else if (x->c && (is_h2(x->c) || may_be_upgraded(x, client)))
			packet_h2(x, client != x->ingress, tails);
		return 0;
	}
	if (unlikely(!(x->c->flags & TW_C_COUNTED)) && x->s.len) {
		x->c->flags |= TW_C_COUNTED;
		count(x->l, x->c->version, TW_L_CONNECTIONS);
	}
	return 1;
}

static __always_inline int packet_segment(struct ctx *x, int requests, void *tails)
{
	struct tw_conn *c = x->c;
	struct h1 *p = requests ? &c->rq : &c->rs;
	__u32 *expected = requests ? &c->rq.next : &c->rs.next;
	enum next next = NEXT_DONE;
	__u32 flush, end, starts = 0;

	if (likely(x->s.len)) {
		if (unlikely(c->kind == TW_NEW))
			starts = start_claim(c);
		if (!requests && unlikely(c->rq_lost))
			c->spoke = 1;
		if (!requests && !x->ingress && unlikely(c->shut_at))
			window_leaves(c, segment_window(x->skb, &x->s), x->now);
		next = segment_order(x, *expected, p->state == H1_LOST);
		/* What precedes it may have shown meanwhile, on another CPU, what the connection speaks. */
		if (likely(next == NEXT_CAREFUL) && unlikely(is_h2(c)))
			next = NEXT_H2;
		if (likely(next == NEXT_CAREFUL)) {
			/*
			 * A load of what was copied just now waits until every store before it is done, also
			 * one to a line that another CPU holds: the state is written after the scan.
			 */
			end = x->s.seq + x->s.len;
			turn_take(x);
			next = requests ? request_segment(x) : response_segment(x);
			if (likely(next == NEXT_DONE))
				turn_end(x);
			/* Or it is the walk's to say, see h2_order, and the careful engine's, when it is done. */
			if (likely(next != NEXT_H2 && next != NEXT_CAREFUL))
				*expected = end;
			if (!requests)
				response_goes_on(x);
		}
		if (unlikely(starts))
			claim_release(&c->starting);
	}
	/* It is not its turn; and HTTP/2 sees to its own order. */
	if (unlikely(next == NEXT_HOLD || next == NEXT_H2))
		x->turns = 0;
	/* What follows a 101 in its segment. */
	if (unlikely(c->kind == TW_IGNORED) && !requests && c->rs.status == 101 && x->s.len) {
		*expected = x->s.seq;
		next = NEXT_H2;
	}
	if (unlikely(next == NEXT_TLS)) {
		turn_end(x);
		lane_release(x->l);
		packet_tls(x, tails);
		return 1;
	}
	if (unlikely(next == NEXT_H2 || (next == NEXT_HOLD && x->ingress && is_undecided(c)))) {
		packet_tail_as(x, tails, c->kind == TW_IGNORED ? TAIL_H2_UPGRADE : TAIL_H2_FIRST,
		               next == NEXT_HOLD ? TAIL_AS_UNDECIDED : 0);
		return packet_done(x);
	}
	if (unlikely(next == NEXT_CAREFUL || (next == NEXT_DONE && x->ingress && c->held)))
		packet_tail(x, tails, requests ? TAIL_REQUESTS : TAIL_RESPONSES);
	else if (unlikely(next == NEXT_HOLD && x->ingress))
		packet_tail(x, tails, TAIL_HOLD + (requests ? TAIL_REQUESTS : TAIL_RESPONSES));
	flush = stream_close(x, x->s.tcp_flags, requests);
	if (unlikely(next != NEXT_DONE))
		flush = conn_lost(x);
	return packet_end(x, tails, flush);
}

static __always_inline int packet(struct __sk_buff *skb, int ingress, void *tails)
{
	struct ctx x = { .skb = skb, .ingress = ingress };
	__u8 side;

	if (unlikely(segment_parse(skb, &x.s)))
		return 1;
	if (!x.s.len && !(x.s.tcp_flags & (TCP_FIN | TCP_RST))) {
		if (ingress && unlikely(x.s.tcp_flags & TCP_SYN))
			return syn_arrived(skb);
		if (!ingress && unlikely(windows_shut || !segment_window(skb, &x.s)))
			return window_told(skb);
		if (!(ingress && is_drain_watched(&x.s, 1)))
			return 1;
	}
	side = packet_side(&x.s, ingress);
	if (!side)
		return 1;
	/*
	 * Reading the clock waits for every load that is under way: before the state is touched, which often comes from
	 * another CPU's cache, there are few.
	 */
	if (x.s.len)
		x.now = segment_time(&x);
	/* It may be a request or a TIME_WAIT socket, which has no storage and is no tcp_sock: packet_conn finds out. */
	x.sk = skb->sk;
	if (!x.sk || !packet_conn(&x, side, tails))
		return 1;
	if (ingress && x.s.len)
		turn_begin(&x);
	if (ingress && side == TW_PORT_SERVER && is_drain_watched(&x.s, 1))
		drain_end(&x);
	if ((side == TW_PORT_SERVER) == ingress)
		return packet_segment(&x, 1, tails);
	if (side == TW_PORT_SERVER || have_clients)
		return packet_segment(&x, 0, tails);
	return packet_done(&x);
}

SEC("cgroup_skb/ingress")
int tw_ingress(struct __sk_buff *skb)
{
	return packet(skb, 1, &ingress_tails);
}

SEC("cgroup_skb/egress")
int tw_egress(struct __sk_buff *skb)
{
	return packet(skb, 0, &egress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_requests(struct __sk_buff *skb)
{
	return careful(skb, 1, 1, &ingress_tails, TAIL_REQUESTS);
}

SEC("cgroup_skb/ingress")
int ingress_responses(struct __sk_buff *skb)
{
	return careful(skb, 1, 0, &ingress_tails, TAIL_RESPONSES);
}

SEC("cgroup_skb/ingress")
int ingress_hold_requests(struct __sk_buff *skb)
{
	return hold(skb, 1, &ingress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_hold_responses(struct __sk_buff *skb)
{
	return hold(skb, 0, &ingress_tails);
}

SEC("cgroup_skb/egress")
int egress_requests(struct __sk_buff *skb)
{
	return careful(skb, 0, 1, &egress_tails, TAIL_REQUESTS);
}

SEC("cgroup_skb/egress")
int egress_responses(struct __sk_buff *skb)
{
	return careful(skb, 0, 0, &egress_tails, TAIL_RESPONSES);
}

SEC("cgroup_skb/ingress")
int ingress_flush(struct __sk_buff *skb)
{
	return flush(skb, 1, &ingress_tails);
}

SEC("cgroup_skb/egress")
int egress_flush(struct __sk_buff *skb)
{
	return flush(skb, 0, &egress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_tls(struct __sk_buff *skb)
{
	return tls_packet(skb, 1, &ingress_tails, TAIL_TLS);
}

SEC("cgroup_skb/egress")
int egress_tls(struct __sk_buff *skb)
{
	return tls_packet(skb, 0, &egress_tails, TAIL_TLS);
}

SEC("cgroup_skb/egress")
int egress_tls_gone(struct __sk_buff *skb)
{
	return tls_responses_gone(skb, &egress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_tls_flush(struct __sk_buff *skb)
{
	return tls_flush(skb, 1, &ingress_tails);
}

SEC("cgroup_skb/egress")
int egress_tls_flush(struct __sk_buff *skb)
{
	return tls_flush(skb, 0, &egress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_h2_first(struct __sk_buff *skb)
{
	return h2_first(skb, 1, &ingress_tails);
}

SEC("cgroup_skb/egress")
int egress_h2_first(struct __sk_buff *skb)
{
	return h2_first(skb, 0, &egress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_h2_upgrade(struct __sk_buff *skb)
{
	return h2_upgrade(skb, 1, &ingress_tails);
}

SEC("cgroup_skb/egress")
int egress_h2_upgrade(struct __sk_buff *skb)
{
	return h2_upgrade(skb, 0, &egress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_h2(struct __sk_buff *skb)
{
	return h2_packet(skb, 1, &ingress_tails);
}

SEC("cgroup_skb/egress")
int egress_h2(struct __sk_buff *skb)
{
	return h2_packet(skb, 0, &egress_tails);
}

SEC("cgroup_skb/ingress")
int ingress_h2_early(struct __sk_buff *skb)
{
	return h2_goes_on(skb, &ingress_tails);
}

#include "tls_plain.h"
#include "tls_h2.h"
#include "tls_calls.h"
#include "hooks.h"
#include "inflight.h"
