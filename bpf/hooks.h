/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tracepoint programs: who reads, what ends without a packet, which processes come and go. All optional: the loader
 * tries each and reports what is missing (doctor, coverage).
 */
#ifndef TW_HOOKS_H
#define TW_HOOKS_H

static __always_inline void sock_tuple(struct sock *sk, struct tw_tuple *k)
{
	__builtin_memset(k, 0, sizeof(*k));
	if (sk->__sk_common.skc_family == 2) {
		__u32 l = sk->__sk_common.skc_rcv_saddr, r = sk->__sk_common.skc_daddr;

		v4_mapped(k->local, (__u8 *)&l);
		v4_mapped(k->remote, (__u8 *)&r);
	} else {
		bpf_core_read(k->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(k->remote, 16, &sk->__sk_common.skc_v6_daddr);
	}
	k->local_port = sk->__sk_common.skc_num;
	k->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
}

static __always_inline __u8 sock_side(struct sock *sk)
{
	return ports_side(sk->__sk_common.skc_num, bpf_ntohs(sk->__sk_common.skc_dport));
}

#include "again.h"
#include "loss_hooks.h"

/* The reading process takes the connection: it decides the version where the place does not. */
static __always_inline void conn_read_by(struct tw_conn *c, __u32 tgid)
{
	__u32 *v;

	c->tgid = tgid;
	c->rs_flags &= ~TW_C_RS_UNREAD;
	if (!(c->flags & TW_C_BY_READER))
		return;
	v = bpf_map_lookup_elem(&procs, &tgid);
	c->version = v ? *v : 0;
}

static __always_inline void note_reader(struct sock *sk, const struct tw_conn *c)
{
	struct tw_reader k = {};
	__u8 one = 1;

	if (!note_readers || !c->version)
		return;
	k.tgid = c->tgid;
	k.version = c->version;
	k.port = sk->__sk_common.skc_num;
	/* Mostly it is there: looking does not take the bucket's lock. */
	if (!bpf_map_lookup_elem(&readers, &k))
		bpf_map_update_elem(&readers, &k, &one, BPF_ANY);
}

#include "tls_hooks.h"

/* Gives every request that has arrived and was not read yet, whole or in part, its time of reading. */
static __always_inline void conn_read_at(struct sock *sk, struct tw_conn *c)
{
	__u32 to = c->head, n, i;
	struct tw_pipe *p = 0;
	__u64 now;

	if (c->in_head && to - c->tail < TW_INLINE_PENDING)
		to++;
	if (c->rd == to || c->rd == to + 1)
		return;
	now = bpf_ktime_get_ns();
	if ((__s32)(c->tail - c->rd) > 0)
		c->rd = c->tail;
	if (c->flags & TW_C_PIPED)
		p = bpf_sk_storage_get(&pipes, sk, 0, 0);
	/* First those in the connection itself, as they are the older ones. */
	for (i = 0; i < TW_INLINE_PENDING; i++) {
		n = c->rd;
		if (n == to || is_piped(c, n))
			break;
		*pending_read(c, 0, n) = now;
		c->rd = n + 1;
	}
	for (i = 0; i < TW_PIPELINE_MAX && p; i++) {
		n = c->rd;
		if (n == to || !is_piped(c, n))
			break;
		*pending_read(c, p, n) = now;
		c->rd = n + 1;
	}
}

static __always_inline void h2_read_by(struct sock *sk, struct tw_conn *c)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u32 copied = 0;

	bpf_core_read(&copied, sizeof(copied), &tp->copied_seq);
	h2_read(c, copied);
}

static __always_inline int sock_read(struct sock *sk)
{
	struct tw_conn *c;
	__u32 tgid, i;

	__u8 side = sock_side(sk);

	if (!side)
		return 0;
	c = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (side == TW_PORT_CLIENT) {
		if (c && c->kind == TW_TLS)
			tls_received(sk, c);
		return 0;
	}
	if (!c) {
		/* Its first request may have come with the handshake, to the listener. */
		struct tw_conn *e;
		struct tw_tuple k;

		sock_tuple(sk, &k);
		e = bpf_map_lookup_elem(&early, &k);
		if (!e)
			return 0;
		if (!e->rd) {
			for (i = 0; i < TW_INLINE_PENDING; i++)
				e->t_read[i] = bpf_ktime_get_ns();
			e->rd = e->head ? e->head : 1;
		}
		conn_read_by(e, bpf_get_current_pid_tgid() >> 32);
		note_reader(sk, e);
		return 0;
	}
	if (unlikely(c->kind >= TW_IGNORED && c->kind != TW_H2)) {
		if (c->kind == TW_TLS)
			tls_received(sk, c);
		return 0;
	}
	tgid = bpf_get_current_pid_tgid() >> 32;
	if (c->tgid != tgid || !c->version) {
		conn_read_by(c, tgid);
		note_reader(sk, c);
	}
	if (unlikely(c->kind == TW_H2))
		h2_read_by(sk, c);
	else
		conn_read_at(sk, c);
	return 0;
}

SEC("?tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tw_read, struct sock *sk)
{
	if (run_twice)
		again_first(again_read(ctx, sk));
	return sock_read(sk);
}

SEC("?tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(tw_read_again, struct sock *sk)
{
	return again_is_needed(again_read(ctx, sk), TW_TWICE_READ) ? sock_read(sk) : 0;
}

/*
 * What a connection still owes when its socket goes. Most endings show in a packet, and are flushed there to the last
 * request; what only a vanished peer leaves behind is bounded here, and the rest counts as lost.
 */
#define DESTROY_MAX 32
/* So often it asks for its turn. */
#define DESTROY_WAIT 512

static __always_inline void conn_destroy(struct ctx *x, struct sock *sk)
{
	struct tw_conn *c = x->c;
	__u32 first, rest, what;
	int err = x->t && x->t->err ? x->t->err : sk->sk_err;

	if (c->rs.state == H1_LOST && c->rs.status)
		first = rest = TW_UNOBSERVED;
	else if (c->rs_flags & TW_C_RS_RST)
		first = rest = TW_RESET_BY_SERVER;
	else if (c->rs_flags & TW_C_RS_FIN)
		first = rest = TW_UNANSWERED; /* it came after the server had closed: what resets it is the kernel */
	else if (c->rq_ends & TW_C_RQ_FIN && err != 110)
		first = rest = TW_CLIENT_ABANDONED;
	else if (c->rq_ends & TW_C_RQ_RST || err == 104 || err == 32)
		first = rest = c->flags & TW_C_CLIENT ? TW_RESET_BY_SERVER : TW_RESET_BY_CLIENT;
	else if (err == 110)
		first = rest = TW_TIMEOUT;
	else {
		first = c->rs.state != H1_RES && c->rs.state != H1_LOST ? TW_TRUNCATED : TW_UNANSWERED;
		rest = TW_UNANSWERED;
	}
	if (c->rs.state == H1_UNTIL_CLOSE && c->rs_flags & TW_C_RS_FIN)
		first = TW_ANSWERED;
	streaming_end(c, first);
	x->now = bpf_ktime_get_ns();
	/*
	 * See h1_scan_some_lines: the loop is proved once, not once for each outcome. A plain XOR would not do, as
	 * clang moves it into the loop, behind constants.
	 */
	what = h1_hide(FLUSH(first, rest), x->l->zero);
	claim_soon(&c->cutting, DESTROY_WAIT); /* who has it is at its last steps */
	if (x->t) {
		tls_cut_some(x, &what, DESTROY_MAX);
	} else {
		exchanges_cut(x, &what);
		if (is_in_flight(c))
			exchanges_cut_piped(x, bpf_sk_storage_get(&pipes, sk, 0, 0), &what, DESTROY_MAX);
	}
	if (unlikely(is_in_flight(c)))
		x->l->ledger[c->version & (TW_MAX_VERSIONS - 1)].c[TW_L_LOST_EXCHANGES] += c->head - c->tail;
	c->tail = c->head;
}

/* Nobody saw how they ended: they count for nothing, as if they had begun later. */
static __always_inline void conn_forget(struct ctx *x)
{
	struct tw_conn *c = x->c;

	x->l->ledger[c->version & (TW_MAX_VERSIONS - 1)].c[TW_L_MOVED] += c->head - c->tail;
	c->tail = c->head;
}

/* By now a socket has no port any more: it is asked for its state directly. tls: of such connections as well. */
static __always_inline int sock_end(struct sock *sk, int tls)
{
	struct ctx x = {};

	x.c = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (!x.c)
		return 0;
	if (unlikely(x.c->kind == TW_TLS)) {
		x.t = tls ? tls_of(sk) : 0;
		if (!x.t)
			return 0;
		x.c = &x.t->c;
		if (likely(!stopped)) {
			tls_unfold(&x);
			tls_unread(&x, sk);
		}
	}
	if (!x.l && !is_in_flight(x.c))
		return 0;
	if (!x.l)
		x.l = lane_claim(&x.lane);
	if (!x.l)
		return 0;
	if (unlikely(stopped))
		conn_forget(&x);
	else
		conn_destroy(&x, sk);
	lane_release(x.l);
	return 0;
}

static __always_inline int sock_gone(struct sock *sk)
{
	struct tw_conn *c = bpf_sk_storage_get(&conns, sk, 0, 0);

	if (!c || c->rs_flags & TW_C_RS_GONE)
		return 0;
	sock_end(sk, 1);
	if (likely(!stopped)) {
		tls_gone(sk);
		conn_gone(sk, c);
	}
	c->rs_flags |= TW_C_RS_GONE;
	return 0;
}

SEC("?tp_btf/tcp_destroy_sock")
int BPF_PROG(tw_destroy, struct sock *sk)
{
	if (run_twice)
		again_first(again_socket(ctx, TW_TWICE_END));
	return sock_gone(sk);
}

SEC("?tp_btf/tcp_destroy_sock")
int BPF_PROG(tw_destroy_again, struct sock *sk)
{
	return again_is_needed(again_socket(ctx, TW_TWICE_END), TW_TWICE_END) ? sock_gone(sk) : 0;
}

/*
 * A connection that has not failed goes at once from open to closed only when a process throws it away: it closes it
 * with bytes unread, or closes a listener that still has it in its queue. This comes before the reset that tells the
 * client, and the process is the current one. It matters where nobody has read: whoever had is known.
 */
static __always_inline void conn_dropped(struct sock *sk)
{
	struct tw_conn *c = bpf_sk_storage_get(&conns, sk, 0, 0);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!c || c->tgid || !tgid || c->kind == TW_IGNORED || c->flags & TW_C_CLIENT)
		return;
	conn_read_by(c, tgid);
	c->rs_flags |= TW_C_RS_UNREAD;
}

/* A TLS connection is ended when its socket goes, with the error that it had: a process may read from it until then. */
static __always_inline int sock_fails(struct sock *sk)
{
	struct tw_conn *c = bpf_sk_storage_get(&conns, sk, 0, 0);
	struct tw_tls *t;

	if (c && c->kind == TW_H2)
		h2_gone(c, 0, sk->sk_err);
	if (likely(!c || c->kind != TW_TLS))
		return sock_end(sk, 0);
	t = tls_of(sk);
	if (t)
		t->err = sk->sk_err;
	return 0;
}

/* A socket that fails still has its error here; the application may read it away before the socket goes. */
static __always_inline int sock_closed(struct sock *sk, int from)
{
	if (sk->sk_err)
		return sock_fails(sk);
	if (from == BPF_TCP_ESTABLISHED || from == BPF_TCP_CLOSE_WAIT)
		conn_dropped(sk);
	return 0;
}

/* Every change of state is noted: whoever is in here, for whichever, the next one may be passed over for. */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(tw_fail, struct sock *sk, int from, int to)
{
	if (run_twice)
		again_first(again_socket(ctx, TW_TWICE_FAIL) ^ (__u64)to << 56);
	return to == BPF_TCP_CLOSE ? sock_closed(sk, from) : 0;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(tw_fail_again, struct sock *sk, int from, int to)
{
	if (!again_is_needed(again_socket(ctx, TW_TWICE_FAIL) ^ (__u64)to << 56, TW_TWICE_FAIL))
		return 0;
	return to == BPF_TCP_CLOSE ? sock_closed(sk, from) : 0;
}

/* A socket started to listen: versions that wait for it are resolved again. */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(tw_listen, struct sock *sk, int from, int to)
{
	struct tw_listen_record *r;

	if (to != BPF_TCP_LISTEN)
		return 0;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		lost_process(0);
		return 0;
	}
	r->type = TW_R_LISTEN;
	r->port = sk->__sk_common.skc_num;
	r->family = sk->__sk_common.skc_family;
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* A child belongs to the version of its parent until it starts another program. */
SEC("?tp_btf/sched_process_fork")
int BPF_PROG(tw_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid, *v;

	if (from == to)
		return 0;
	v = bpf_map_lookup_elem(&procs, &from);
	if (v) {
		__u32 version = *v;

		bpf_map_update_elem(&procs, &to, &version, BPF_ANY);
		record_fork(from, to, version);
	}
	return 0;
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(tw_exec, struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
{
	struct tw_process_record *r;
	__u32 tgid = p->tgid, *v = bpf_map_lookup_elem(&procs, &tgid);

	/* Where no version is known by its processes, only those that serve one are of interest. */
	if (!watch_process && !v)
		return 0;
	/* What it starts from now on may be another version's: until user space has looked it has none to pass on. */
	if (watch_process && v)
		bpf_map_delete_elem(&procs, &tgid);
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		lost_process(0);
		return 0;
	}
	r->type = TW_R_PROCESS;
	r->tgid = tgid;
	bpf_ringbuf_submit(r, ring_flags());
	return 0;
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(tw_exit, struct task_struct *p)
{
	__u32 tgid = p->tgid;

	if (p->pid == p->tgid)
		bpf_map_delete_elem(&procs, &tgid);
	return 0;
}

#endif
