/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finding and making the state of a connection.
 *
 * Invariant: whoever may see a packet of a watched port first makes the state, so that nobody asks twice; a connection
 * that is not ours, or not HTTP, keeps a state that says so.
 */
#ifndef TW_CONN_H
#define TW_CONN_H

/* What a program works on. sk is the socket, or the listener while the connection has none of its own. */
struct ctx {
	struct __sk_buff *skb;
	struct bpf_sock *sk;
	struct tw_conn *c;
	struct tw_lane *l;
	__u32 lane;
	__u32 by_tuple; /* state is kept by address: early data, crafted packets */
	int ingress;
	struct segment s;
	__u64 now;  /* when the segment arrived or left, if it has payload */
	__u32 turn; /* tw_conn.turn when the program began, if turns is set */
	__u32 turns;
	__u32 held_at; /* what is looked at is held segment held_at - 1; 0: it is the packet. Of HTTP/2 only. */
	__u32 stall;   /* jiffies that the client's window was shut during the response that ends */
	/* Plaintext of a TLS connection; see tls_plain.h. now is the arrival of its last byte. */
	struct tw_tls *t;
	const char *user;
	int plain;     /* what is looked at lies at `user`, in a process, and not in a packet */
	int later;     /* it is a response: another program sees it leave */
	__u64 t_begin; /* arrival of its first byte */
	__u64 t_read;  /* when the process first read of it; 0: not known */
};

/* When the first byte of what is looked at came. */
static __always_inline __u64 begin_time(const struct ctx *x)
{
	return x->t ? x->t_begin : x->now;
}

/* The number of the request that the next response is to. */
static __always_inline __u32 answering(const struct ctx *x)
{
	return x->later ? x->t->parsed : x->c->tail;
}

/*
 * Do two CPUs meet in what arrives on one connection? The one that is done later sees it. Nothing is written before the
 * end: what is copied out of the packet could not be read until that store was done, see packet_segment.
 */
static __always_inline void turn_begin(struct ctx *x)
{
	x->turns = 1;
	x->turn = *(volatile __u32 *)&x->c->turn;
}

/*
 * It is its turn: what precedes it in the stream has been seen, by somebody who ended his own turn before he said so.
 * Of that one nothing more is to be feared, though he may not be done.
 */
static __always_inline void turn_take(struct ctx *x)
{
	if (x->turns)
		x->turn = *(volatile __u32 *)&x->c->turn;
}

static __always_inline void turn_end(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (!x->turns)
		return;
	if (unlikely(*(volatile __u32 *)&c->turn != x->turn))
		count(x->l, c->version, TW_L_CONTENDED);
	c->turn = x->turn + 1;
	x->turns = 0;
}

/* Departures carry TCP's own stamp; arrivals do not. */
static __always_inline __u64 segment_time(struct ctx *x)
{
	__u64 t = x->ingress ? 0 : x->skb->tstamp;

	return t ? t : bpf_ktime_get_ns();
}

static __always_inline __u64 since(__u64 from, __u64 to)
{
	__u64 n = to - from, behind = (__s64)n >> 63;

	/*
	 * A departure stamped by TCP may precede a clock reading taken a moment earlier. Not a branch, which the
	 * verifier would follow both ways from each of many places.
	 */
	asm volatile("" : "+r"(behind));
	return n & ~behind;
}

/* Inside a request head: tw_conn.t_head holds, and its text is kept from one segment to the next. */
static __always_inline int is_in_head(__u8 state)
{
	return state >= H1_METHOD && state <= H1_TE_OTHER;
}

static __always_inline int is_in_body(__u8 state)
{
	return state >= H1_CHUNK && state != H1_BAD;
}

/*
 * From a request on that follows bytes nobody had asked for, answers belong to other requests than they stand for.
 * Where the server has closed there is no next answer: those bytes were a farewell (408).
 */
static __always_inline int is_astray(const struct tw_conn *c)
{
	return (c->rs_flags & (TW_C_RS_STRAY | TW_C_RS_FIN)) == TW_C_RS_STRAY;
}

static __always_inline int is_listener(struct bpf_sock *sk)
{
	return sk->state == BPF_TCP_LISTEN;
}

static __always_inline struct tw_place_value *place_find(const __u8 *addr, __u16 port, __u8 client)
{
	struct tw_place p = { .port = port, .client = client };
	struct tw_place_value *v;

	__builtin_memcpy(p.addr, addr, 16);
	v = bpf_map_lookup_elem(&places, &p);
	if (v)
		return v;
	__builtin_memset(p.addr, 0, 16);
	return bpf_map_lookup_elem(&places, &p);
}

/* Both versions' connections are dealt alike, by their addresses. */
static __always_inline __u8 conn_group(const struct tw_tuple *k)
{
	const __u32 *l = (const __u32 *)k->local, *r = (const __u32 *)k->remote;
	__u64 h = (__u64)k->local_port << 16 | k->remote_port;

	h = (h ^ r[3] ^ (__u64)l[3] << 32) * RH_MUL;
	h = (h ^ h >> 29 ^ r[0] ^ (__u64)r[1] << 32) * RH_MUL;
	h = (h ^ h >> 29 ^ r[2]) * RH_MUL;
	return h >> 60;
}

/* Nothing is known of what has passed: the streams are joined where they can be. */
static __always_inline void conn_joins(struct tw_conn *c)
{
	c->kind = TW_HTTP;
	c->rq.state = c->rs.state = H1_LOST;
	c->rq_lost = c->joining = 1;
}

/* Fills a zeroed state. rcv_nxt, snd_nxt: from the socket; fresh: no payload has passed yet. */
static __always_inline void conn_init(struct tw_conn *c, const struct tw_tuple *k, int client, __u32 rcv_nxt,
                                      __u32 snd_nxt, int fresh)
{
	struct tw_place_value *v;

	v = client ? place_find(k->remote, k->remote_port, 1) : place_find(k->local, k->local_port, 0);
	if (!v) {
		c->kind = TW_IGNORED;
		return;
	}
	c->version = v->version;
	c->group = conn_group(k);
	c->flags = (client ? TW_C_CLIENT : 0) | (v->by_reader ? TW_C_BY_READER : 0);
	c->rq.next = client ? snd_nxt : rcv_nxt;
	c->rs.next = client ? rcv_nxt : snd_nxt;
	c->kind = fresh ? TW_NEW : TW_HTTP;
	c->joining = !fresh;
	c->rq.state = fresh ? H1_REQ : H1_LOST;
	c->rq_lost = !fresh;
	c->rs.state = fresh ? H1_RES : H1_LOST;
}

/* Takes over what was seen of a connection before it had a socket, but for what its state holds already. */
static __always_inline void conn_adopt(struct tw_conn *c, struct bpf_sock *sk, const struct tw_tuple *k)
{
	struct h1_text *et = bpf_map_lookup_elem(&early_texts, k), *t;

	if (et) {
		t = bpf_sk_storage_get(&texts, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (t)
			__builtin_memcpy(t, et, sizeof(*t));
		else
			c->rq.state = H1_LOST;
		c->in_head = c->in_head && t;
		c->rq_lost = c->rq.state == H1_LOST;
		bpf_map_delete_elem(&early_texts, k);
	}
	bpf_map_delete_elem(&early, k);
}

/*
 * Does a connection begin with this segment, which a listener gets? It is the last ACK of a handshake, or comes for a
 * connection that has gone. A handshake is known by its request; where the listener's queue for these has overflowed,
 * cookies take their place, and nobody knows.
 */
static __always_inline int conn_begins(struct ctx *x, const struct tw_tuple *k)
{
	struct bpf_sock_tuple a = {};
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	__u32 size, state = BPF_TCP_LISTEN;
	void *group = 0;
	int stamp;

	if (x->s.v6) {
		size = sizeof(a.ipv6);
		__builtin_memcpy(a.ipv6.saddr, k->remote, 16);
		__builtin_memcpy(a.ipv6.daddr, k->local, 16);
		a.ipv6.sport = bpf_htons(x->s.sport);
		a.ipv6.dport = bpf_htons(x->s.dport);
	} else {
		size = sizeof(a.ipv4);
		__builtin_memcpy(&a.ipv4.saddr, k->remote + 12, 4);
		__builtin_memcpy(&a.ipv4.daddr, k->local + 12, 4);
		a.ipv4.sport = bpf_htons(x->s.sport);
		a.ipv4.dport = bpf_htons(x->s.dport);
	}
	sk = bpf_skc_lookup_tcp(x->skb, &a, size, BPF_F_CURRENT_NETNS, 0);
	if (sk) {
		state = sk->state;
		bpf_sk_release(sk);
	}
	if (state != BPF_TCP_LISTEN)
		return 1;
	tp = bpf_skc_to_tcp_sock(x->sk);
	if (!tp)
		return 1;
	if (tp->rx_opt.ts_recent_stamp)
		return 1;
	bpf_core_read(&group, sizeof(group), &((struct sock *)tp)->sk_reuseport_cb);
	return group && !bpf_core_read(&stamp, sizeof(stamp), &((struct sock_reuseport *)group)->synq_overflow_ts) &&
	       stamp;
}

/* By address: there is no socket that knows the sequence numbers, so the first packet's rule. */
static __always_inline struct tw_conn *conn_by_tuple(struct ctx *x, int client)
{
	struct tw_conn *c, *e;
	struct tw_tuple k;
	__u32 ack, rcv, snd;

	if (segment_tuple(x->skb, &x->s, x->ingress, &k))
		return 0;
	c = bpf_map_lookup_elem(&early, &k);
	if (c)
		return c;
	if (!x->s.len && (test_mode || !(x->ingress && x->s.tcp_flags & TCP_FIN)))
		return 0;
	if (!test_mode && !conn_begins(x, &k))
		return 0;
	if (!x->l || bpf_skb_load_bytes(x->skb, x->s.l4 + 8, &ack, sizeof(ack)))
		return 0;
	ack = bpf_ntohl(ack);
	/* The lane's window is free at this point, and large enough to build the state in. */
	c = (struct tw_conn *)x->l->window;
	__builtin_memset(c, 0, sizeof(*c));
	rcv = x->ingress ? x->s.seq : ack;
	snd = x->ingress ? ack : x->s.seq;
	conn_init(c, &k, client, rcv, snd, 1);
	c->early_at = rcv;
	if (bpf_map_update_elem(&early, &k, c, BPF_NOEXIST)) {
		e = bpf_map_lookup_elem(&early, &k); /* another CPU has been at it */
		if (!e)
			count(x->l, c->version, TW_L_EARLY_FULL);
		return e;
	}
	if (!test_mode)
		count(x->l, c->version, TW_L_EARLY_DATA);
	return bpf_map_lookup_elem(&early, &k);
}

static __always_inline struct tw_held *held_get(struct ctx *x, int create)
{
	struct tw_held *h;
	struct tw_tuple k;

	if (!x->by_tuple) {
		h = bpf_sk_storage_get(&held, x->sk, 0, create ? BPF_SK_STORAGE_GET_F_CREATE : 0);
		if (!h && create)
			h = bpf_sk_storage_get(&held, x->sk, 0, 0); /* another CPU was making it */
		return h;
	}
	if (!test_mode || segment_tuple(x->skb, &x->s, x->ingress, &k))
		return 0;
	return bpf_map_lookup_elem(&test_held, &k);
}

/* A FIN that comes before the first byte of its connection: TCP keeps it, and nobody sends it again. */
static __always_inline int fin_ahead(struct ctx *x)
{
	struct bpf_tcp_sock *tp;

	if (!x->ingress || !(x->s.tcp_flags & TCP_FIN))
		return 0;
	tp = bpf_tcp_sock(x->sk);
	return tp && (__s32)(x->s.seq - tp->rcv_nxt) > 0;
}

/* A connection that closes and has no state of its own: has it left something with the listener? */
static __always_inline int conn_waits(struct ctx *x, int client)
{
	struct tw_tuple k;

	if (x->by_tuple)
		return 1;
	if (client)
		return 0;
	return fin_ahead(x) || (!segment_tuple(x->skb, &x->s, x->ingress, &k) && bpf_map_lookup_elem(&early, &k));
}

/*
 * What came to the listener had overtaken the bytes in front of it, and the handshake's last ACK: only the child knows
 * where the stream begins. TCP keeps it, and nobody sends it again: it is what a full house lets go, see held.h.
 */
static __always_inline void conn_begins_at(struct ctx *x, struct tw_conn *c, __u32 rcv_nxt)
{
	__u32 to = c->rq.next;
	struct tw_held *h;

	if ((__s32)(c->early_at - rcv_nxt) <= 0)
		return;
	c->kind = TW_NEW;
	c->rq.next = rcv_nxt;
	c->rq.state = H1_REQ;
	c->in_head = c->rq_lost = 0;
	c->rq.left = 0;
	c->rq.flags = 0;
	if (to == c->early_at)
		return;
	h = held_get(x, 1);
	if (!h) {
		c->rq.state = H1_LOST;
		c->rq_lost = 1;
		count(x->l, c->version, TW_L_DESYNC);
		return;
	}
	h->from = c->early_at;
	h->to = to;
	h->let_go = c->held = 1;
}

/* The state of a socket that has none, as far as it is known: e, if something came before there was a socket. */
static __always_inline void conn_build(struct ctx *x, struct tw_conn *c, const struct tw_conn *e,
                                       struct bpf_tcp_sock *tp, const struct tw_tuple *k, int client)
{
	int fresh;

	if (e) {
		__builtin_memcpy(c, e, sizeof(*c));
		c->rs.next = x->ingress ? tp->snd_nxt : x->s.seq; /* a SYN with data acknowledges nothing */
		return;
	}
	/*
	 * On ingress rcv_nxt is what TCP expects, so a reordered first segment is recognised as such. On egress snd_nxt
	 * has not moved yet. An active opener's SYN counts as one byte acknowledged.
	 */
	fresh = !tp->bytes_received && tp->bytes_acked <= 1 && (x->ingress || x->s.seq == tp->snd_una);
	__builtin_memset(c, 0, sizeof(*c));
	conn_init(c, k, client, tp->rcv_nxt, x->ingress ? tp->snd_nxt : x->s.seq, fresh);
	if (!fresh) {
		c->segments_before = tp->segs_out;
		c->retransmitted_before = tp->total_retrans;
	}
}

/*
 * A socket seen for the first time. Its first segments may be seen by two CPUs at once, both of which come here: the
 * state is made known when it is whole, and who finds another's has nothing more to do. So what is copied while another
 * lets go of it is never used: that one has made it known before.
 */
static __always_inline struct tw_conn *conn_create(struct ctx *x, int client)
{
	struct bpf_tcp_sock *tp = bpf_tcp_sock(x->sk);
	struct tw_conn *c, *e = 0, *built = (struct tw_conn *)x->l->window; /* which is free at this point */
	__u32 born = (__u32)bpf_ktime_get_ns() << 8 ^ bpf_get_smp_processor_id();
	struct tw_tuple k;
	int counted;

	if (!tp || segment_tuple(x->skb, &x->s, x->ingress, &k))
		return 0;
	if (!client)
		e = bpf_map_lookup_elem(&early, &k);
	conn_build(x, built, e, tp, &k, client);
	built->born = born;
	counted = x->s.len && built->kind < TW_IGNORED && !(built->flags & TW_C_COUNTED);
	if (counted)
		built->flags |= TW_C_COUNTED;
	c = bpf_sk_storage_get(&conns, x->sk, built, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c)
		c = bpf_sk_storage_get(&conns, x->sk, 0, 0);
	if (!c) {
		count(x->l, 0, TW_L_NO_STATE);
		return 0;
	}
	if (unlikely(c->born != born))
		return c;
	if (counted)
		count(x->l, c->version, TW_L_CONNECTIONS);
	if (e) {
		conn_adopt(c, x->sk, &k);
		if (x->ingress && !tp->bytes_received)
			conn_begins_at(x, c, tp->rcv_nxt);
	} else if (c->joining) {
		count(x->l, c->version, TW_L_MIDSTREAM);
	}
	return c;
}

static __always_inline struct tw_pipe *tls_pipe_get(struct tw_tls *t, int create)
{
	__u64 key = t->cookie;
	struct tw_pipe *p = bpf_map_lookup_elem(&tls_pipes, &key);

	if (p || !create)
		return p;
	bpf_map_update_elem(&tls_pipes, &key, &tls_empty_pipe, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tls_pipes, &key);
}

static __always_inline struct h1_text *text_get(struct ctx *x, int create)
{
	struct h1_text *t;
	struct tw_tuple k;

	if (x->t)
		return &x->t->text;
	if (!x->by_tuple)
		return bpf_sk_storage_get(&texts, x->sk, 0, create ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (segment_tuple(x->skb, &x->s, x->ingress, &k))
		return 0;
	t = bpf_map_lookup_elem(&early_texts, &k);
	if (t || !create)
		return t;
	/* Built beyond the part of the window that conn_by_tuple and the careful engine use. */
	t = (struct h1_text *)(x->l->window + H1_WINDOW / 2);
	__builtin_memset(t, 0, sizeof(*t));
	bpf_map_update_elem(&early_texts, &k, t, BPF_NOEXIST);
	return bpf_map_lookup_elem(&early_texts, &k);
}

static __always_inline struct tw_pipe *pipe_get(struct ctx *x, int create)
{
	struct tw_pipe *p;
	struct tw_tuple k;

	if (x->t)
		return tls_pipe_get(x->t, create);
	if (!x->by_tuple)
		return bpf_sk_storage_get(&pipes, x->sk, 0, create ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (!test_mode || segment_tuple(x->skb, &x->s, x->ingress, &k))
		return 0;
	p = bpf_map_lookup_elem(&test_pipes, &k);
	return p;
}

#endif
