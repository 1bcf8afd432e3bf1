/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Losses that never reach an endpoint, as packets show them: handshakes that begin, resets of idle connections, and how
 * sessions of another protocol end. What only a tracepoint sees is in loss_hooks.h.
 *
 * Invariant: nothing here runs for a packet of an ordinary exchange.
 */
#ifndef TW_LOSSES_H
#define TW_LOSSES_H

#define SOCK_STREAM 1 /* those of the kernel's own by which it resets what has no socket are SOCK_RAW */

#define ADD(counter, n) __sync_fetch_and_add(&(counter), n)

static __always_inline struct tw_losses *losses_of(__u32 version)
{
	version &= TW_MAX_VERSIONS - 1;
	return bpf_map_lookup_elem(&losses, &version);
}

/* ---- handshakes -------------------------------------------------------------------------------------------------- */

static __always_inline struct tw_listener *listener_get(__u64 cookie, const struct tw_tuple *k)
{
	struct tw_listener *l = bpf_map_lookup_elem(&listeners, &cookie), fresh = {};
	struct tw_place_value *place;
	struct tw_losses *lost;

	if (l)
		return l;
	place = place_find(k->local, k->local_port, 0);
	if (!place)
		return 0;
	fresh.version = place->version;
	fresh.port = k->local_port;
	__builtin_memcpy(fresh.addr, k->local, 16);
	bpf_map_update_elem(&listeners, &cookie, &fresh, BPF_NOEXIST);
	l = bpf_map_lookup_elem(&listeners, &cookie);
	lost = l ? 0 : losses_of(place->version);
	if (lost)
		ADD(lost->uncounted, 1);
	return l;
}

/* How full is the accept queue now? TCP asks the same a moment later, and drops the SYN when it holds too many. */
static __always_inline void listener_depth(struct bpf_sock *sk, struct tw_listener *l)
{
	struct tcp_sock *tp;
	__u32 depth = 0, limit = 0;

	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	bpf_core_read(&depth, sizeof(depth), &((struct sock *)tp)->sk_ack_backlog);
	bpf_core_read(&limit, sizeof(limit), &((struct sock *)tp)->sk_max_ack_backlog);
	if (depth > l->backlog_max)
		l->backlog_max = depth;
	if (depth > limit)
		ADD(l->full, 1);
}

/* A SYN, for whatever port. A function of its own, so that the hot path does not grow; always 1. */
__attribute__((noinline)) int syn_arrived(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct tw_handshake *known, fresh = {};
	struct tw_listener *l;
	struct segment s;
	struct tw_tuple k;
	__u32 port;
	__u8 *side;

	if (!sk || !is_listener(sk) || segment_parse(skb, &s) || segment_tuple(skb, &s, 1, &k))
		return 1;
	port = s.dport;
	side = bpf_map_lookup_elem(&ports, &port);
	if (!side || !(*side & TW_PORT_SERVER))
		return 1;
	fresh.listener = bpf_get_socket_cookie(skb);
	l = listener_get(fresh.listener, &k);
	if (!l)
		return 1;
	listener_depth(sk, l);
	known = bpf_map_lookup_elem(&handshakes, &k);
	if (known && known->isn == s.seq && known->listener == fresh.listener) {
		ADD(l->again, 1);
		return 1;
	}
	fresh.t = bpf_ktime_get_ns();
	fresh.isn = s.seq;
	ADD(l->attempts, 1);
	bpf_map_update_elem(&handshakes, &k, &fresh, BPF_ANY);
	return 1;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

/* A RST, before it is noted: did it end a connection that was idle, and that neither side had closed? */
static __always_inline void idle_reset(struct tw_conn *c, int by_client)
{
	struct tw_losses *lost;

	if (c->tail != c->head || c->rq_ends & (TW_C_RQ_FIN | TW_C_RQ_RST) || c->rs_flags & (TW_C_RS_FIN | TW_C_RS_RST))
		return;
	lost = losses_of(c->version);
	if (lost)
		ADD(lost->idle_resets[!!by_client], 1);
}

/*
 * No payload has passed, and neither side has closed: a FIN takes a place in the stream, as does an active opener's
 * SYN. A process that resets its connection has closed the socket by then, and has let it go if nobody had accepted it:
 * such ones the listener counts. A RST that arrives counts only where TCP expects it.
 */
static __always_inline int is_unused(struct bpf_sock *sk, __u32 seq, int ingress, int client)
{
	struct bpf_tcp_sock *tp = bpf_tcp_sock(sk);
	struct tcp_sock *full;

	if (!tp || sk->type != SOCK_STREAM || sk->state != (ingress ? BPF_TCP_ESTABLISHED : BPF_TCP_CLOSE))
		return 0;
	if (tp->bytes_received || tp->snd_nxt != tp->snd_una || tp->bytes_acked > (client ? 1 : 0))
		return 0;
	if (ingress)
		return seq == tp->rcv_nxt;
	full = bpf_skc_to_tcp_sock(sk);
	return full && ((struct sock *)full)->sk_socket;
}

/*
 * A RST on a connection that has no state. Nobody has read it: where the reader decides the version it is counted only
 * while its place is one version's. A function of its own, so that the hot path does not grow; always 1.
 */
__attribute__((noinline)) int unused_reset(struct __sk_buff *skb, int ingress, int client)
{
	struct bpf_sock *sk = skb->sk;
	struct tw_place_value *v;
	struct tw_losses *lost;
	struct segment s;
	struct tw_tuple k;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || segment_parse(skb, &s) || !is_unused(sk, s.seq, ingress, client) ||
	    segment_tuple(skb, &s, ingress, &k))
		return 1;
	v = client ? place_find(k.remote, k.remote_port, 1) : place_find(k.local, k.local_port, 0);
	lost = v && v->version ? losses_of(v->version) : 0;
	if (lost)
		ADD(lost->idle_resets[!client == !!ingress], 1);
	return 1;
}

static __always_inline void session_ended(struct tw_sessions *s, enum tw_session_end how, __u64 begun)
{
	__u64 age;

	ADD(s->ended[how], 1);
	if (how == TW_END_CLOSED)
		return;
	age = bpf_ktime_get_ns() - begun;
	ADD(s->age_sum, age);
	if (age > s->age_max)
		s->age_max = age;
}

/* The exchange that is about to end with this outcome: was its response one without a length, and under way? */
static __always_inline void streaming_end(struct tw_conn *c, __u32 outcome)
{
	struct tw_losses *lost;
	enum tw_session_end how;

	if (c->tail == c->head || c->rs.status < 200)
		return;
	if (c->rs.state != H1_UNTIL_CLOSE && !(c->rs.flags & H1_F_CHUNKED))
		return;
	if (outcome == TW_TRUNCATED)
		how = TW_END_CUT;
	else if (outcome == TW_RESET_BY_SERVER)
		how = TW_END_RESET_BY_SERVER;
	else if (outcome == TW_RESET_BY_CLIENT)
		how = TW_END_RESET_BY_CLIENT;
	else if (outcome == TW_CLIENT_ABANDONED)
		how = TW_END_CLIENT_ABANDONED;
	else if (outcome == TW_TIMEOUT)
		how = TW_END_TIMEOUT;
	else
		return;
	lost = losses_of(c->version);
	if (lost)
		session_ended(&lost->streaming, how, c->t_first);
}

#endif
