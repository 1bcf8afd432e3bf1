/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TLS connections as tracepoints see them: which thread reads which socket, and when a socket goes. */
#ifndef TW_TLS_HOOKS_H
#define TW_TLS_HOOKS_H

static __always_inline __u64 sock_cookie(struct sock *sk)
{
	/* The packet programs have asked for it: it is there. */
	return sk->__sk_common.skc_cookie.counter;
}

static __always_inline struct tw_tls *tls_of(struct sock *sk)
{
	__u64 cookie = sock_cookie(sk);

	return bpf_map_lookup_elem(&tls_conns, &cookie);
}

/* What has arrived and was not read yet is being read now, records that are not complete included. */
static __always_inline void spans_read(struct tw_tls *t)
{
	__u32 head = *(volatile __u32 *)&t->span_head, tail = *(volatile __u32 *)&t->span_tail, i;
	__u64 now = bpf_ktime_get_ns();

	if ((__s32)(tail - t->span_read) > 0)
		t->span_read = tail;
	for (i = 0; i < TLS_SPANS; i++) {
		struct tls_span *s;

		if (t->span_read == head)
			break;
		s = &t->span[t->span_read & (TLS_SPANS - 1)];
		if (!s->t_read)
			s->t_read = now;
		t->span_read++;
	}
	if ((t->in.left || t->in.have) && !t->t_part)
		t->t_part = now;
}

/* The key under which the calls of whoever reads now are noted: the thread's, or in Go the goroutine's. */
static __always_inline __u64 reader_key(__u32 tgid)
{
#ifdef __TARGET_ARCH_x86
	struct pt_regs *regs;

	if (tls_have_go && bpf_map_lookup_elem(&tls_goers, &tgid) &&
	    bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
		return goroutine_key(regs->r14);
	}
#endif
	return bpf_get_current_pid_tgid();
}

/*
 * User space is told of a process that reads what cannot be looked into, once for each version: it may be one that it
 * does not watch.
 */
static __always_inline void tls_tell(__u32 tgid, const struct tw_conn *c)
{
	__u64 key = (__u64)c->version << 32 | tgid;
	struct tw_tls_record *r;
	__u8 one = 1;

	if (bpf_map_lookup_elem(&tls_told, &key))
		return;
	r = detail_allowed() ? bpf_ringbuf_reserve(&ring, sizeof(*r), 0) : 0;
	if (!r)
		return; /* the next connection tells it */
	bpf_map_update_elem(&tls_told, &key, &one, BPF_ANY);
	r->type = TW_R_TLS;
	r->tgid = tgid;
	r->version = c->version;
	r->client = !!(c->flags & TW_C_CLIENT);
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

/* A process takes the connection: it decides the version where the place does not. */
static __always_inline void tls_read_by(struct sock *sk, struct tw_tls *t, __u32 tgid)
{
	__u16 before = t->c.version;

	conn_read_by(&t->c, tgid);
	note_reader(sk, &t->c);
	if (t->c.version == before)
		return;
	tls_count(before, TW_L_TLS_MOVED);
	tls_count(t->c.version, TW_L_TLS);
}

/* A process reads from a TLS connection. */
static __always_inline void tls_received(struct sock *sk, struct tw_conn *stub)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 key = reader_key(tgid);
	struct tw_tls *t = tls_of(sk);
	struct tls_call *k;

	if (!t)
		return;
	if (!(t->c.flags & TW_C_CLIENT) && (t->c.tgid != tgid || !t->c.version)) {
		tls_read_by(sk, t, tgid);
		stub->version = t->c.version;
	}
	spans_read(t);
	if (unlikely(!(t->flags & TLS_JOINED)))
		tls_tell(tgid, &t->c);
	k = caller_get(key);
	if (!k)
		return;
	if (unlikely(withheld_receives(t, tgid))) {
		/* Nor is what comes of it another's. */
		k->received = 0;
		k->since = TLS_MANY;
		return;
	}
	k->received = t->cookie;
	k->since = !k->since || k->since == t->cookie ? t->cookie : TLS_MANY;
	k->fresh = 1;
}

/*
 * The socket goes with a request that the process has not read: it cannot be named, but what became of it is known. One
 * a connection, as how many there are would show in the plaintext only. Claims a lane if there is one.
 */
static __always_inline void tls_unread(struct ctx *x, struct sock *sk)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u32 copied = 0, next = 0;
	struct tw_tls *t = x->t;
	struct tw_conn *c = x->c;
	struct tls_span *s = &t->span[(t->span_head - 1) & (TLS_SPANS - 1)];

	if (c->kind == TW_H2)
		return; /* it may be anything */
	/* Of an opaque connection it is a turn. */
	if ((t->opaque && is_unread(t)) || c->flags & TW_C_CLIENT || t->span_head == t->span_tail ||
	    is_disguised(t, s->len))
		return;
	/* Whoever reads one record has not read the next. */
	bpf_core_read(&copied, sizeof(copied), &tp->copied_seq);
	bpf_core_read(&next, sizeof(next), &tp->rcv_nxt);
	if (s->t_read && next - copied < s->len)
		return;
	if ((c->rq.state != H1_REQ && c->rq.state != H1_LOST) || !asked(t, &t->in))
		return;
	x->l = lane_claim(&x->lane);
	if (!x->l)
		return;
	x->now = x->t_begin = s->t_first;
	count(x->l, c->version, TW_L_UNNAMED);
	if (c->rs.state == H1_LOST)
		c->rs.state = H1_RES;
	c->rq.left = c->rq.flags = 0;
	exchange_push(x, 0, endpoint_other, 0, s->t_first);
}

/* No packet has shown how the open turn ends: as far as that is known. */
static __always_inline __u32 turn_end_of(const struct tw_conn *c, int error)
{
	if (error == 110)
		return TW_TIMEOUT;
	if (c->rq_ends & TW_C_RQ_FIN)
		return TW_CLIENT_ABANDONED;
	return c->rq_ends & TW_C_RQ_RST || error == 104 || error == 32 ? TW_RESET_BY_CLIENT : TW_UNANSWERED;
}

/* The socket goes: nobody will ask for its state again. */
static __always_inline void tls_gone(struct sock *sk)
{
	__u64 cookie = sock_cookie(sk);
	struct tw_tls *t = cookie ? bpf_map_lookup_elem(&tls_conns, &cookie) : 0;
	struct tls_session s;
	struct tw_losses *lost;
	__u64 *of;

	if (!t)
		return;
	if (t->c.kind == TW_H2)
		h2_gone(&t->c, 1, t->err ? t->err : sk->sk_err);
	if (is_unread(t))
		tls_unread_ends(cookie, turn_end_of(&t->c, sk->sk_err), bpf_ktime_get_ns(), 1);
	lost = is_upgraded(&t->c) ? losses_of(t->c.version) : 0;
	if (lost)
		session_ended(&lost->upgraded, upgraded_end(&t->c, sk->sk_err), t->out.t_last);
	if (t->c.shut_at)
		__sync_fetch_and_add(&windows_shut, -1);
	s = t->session;
	of = s.object ? bpf_map_lookup_elem(&tls_sessions, &s) : 0;
	if (of && *of == cookie)
		bpf_map_delete_elem(&tls_sessions, &s);
	if (t->c.flags & TW_C_PIPED)
		bpf_map_delete_elem(&tls_pipes, &cookie);
	bpf_map_delete_elem(&tls_conns, &cookie);
}

#endif
