/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is in flight, counted connection by connection: an iterator over their states, run when user space reads it.
 *
 * Invariants: this count knows nothing of the counters it is compared with; nothing is written to the iterator's file,
 * so one read walks all connections without a break (a walk that is taken up again may meet one twice, or never); user
 * space clears the sums before a walk, and there is one walk at a time. Traffic goes on meanwhile: what ends or begins
 * during the walk may be counted or not.
 */
#ifndef TW_INFLIGHT_H
#define TW_INFLIGHT_H

/* By the ledger row that counted the request, as the books are kept. */
__u64 inflight_requests[TW_MAX_VERSIONS];
__u64 inflight_oldest[TW_MAX_VERSIONS]; /* t_start; 0: none is in flight */
/* Connections that carry HTTP, and exchanges that wait too long: by the version that will be charged. */
__u64 inflight_connections[TW_MAX_VERSIONS];
__u32 inflight_overdue[TW_MAX_VERSIONS * TW_MAX_ENDPOINTS];

/* A copy: the state goes on changing, and what an iterator is given may not be indexed by a variable. */
static struct tw_conn inflight_copy;

/* The request of it that is looked at, wherever it lies. */
static struct {
	struct tw_pending p;
	__u64 start, hash;
	__u32 piped;
} inflight_item;

static __always_inline __u32 inflight_endpoint(void)
{
	__u64 key = inflight_item.hash;
	__u32 *ep;

	if (inflight_item.p.endpoint && inflight_item.p.endpoint != TW_EP_PENDING)
		return inflight_item.p.endpoint;
	ep = bpf_map_lookup_elem(&routes, &key);
	/* One whose name is on its way is told by the next walk. */
	return ep ? *ep : TW_EP_UNKNOWN;
}

/* When the request was complete, or 0: see request_complete. */
static __always_inline __u64 inflight_complete(struct tw_conn *c, __u32 n)
{
	if (!(inflight_item.p.flags & TW_P_MORE))
		return inflight_item.start;
	if (inflight_item.piped || (__s32)(c->complete - n) <= 0)
		return 0;
	return c->t_body[n & (TW_INLINE_PENDING - 1)];
}

/* Counts the item, which is request n of the copy. Proved once, see verified.h. Always 0. */
__attribute__((noinline)) int inflight_count(__u32 n, __u32 version, __u64 now)
{
	struct tw_conn *c = &inflight_copy;
	__u32 row = inflight_item.p.version, ep, state = c->rs.state;
	__u64 start = inflight_item.start;

	asm volatile("" : "+r"(row)); /* keeps the mask for the verifier, as below; see h1_at */
	row &= TW_MAX_VERSIONS - 1;
	inflight_requests[row]++;
	if (!inflight_oldest[row] || start < inflight_oldest[row])
		inflight_oldest[row] = start;
	if (!version || c->kind == TW_IGNORED)
		return 0;
	/* A response that is under way is the oldest request's. */
	if (n != c->tail && state != H1_LOST)
		state = H1_RES;
	if (waited_for(state, inflight_complete(c, n), c->t_first, c->t_last, now) <= response_timeout)
		return 0;
	ep = inflight_endpoint();
	if (!ep || ep >= TW_MAX_ENDPOINTS)
		return 0;
	ep += version * TW_MAX_ENDPOINTS;
	asm volatile("" : "+r"(ep));
	inflight_overdue[ep & (TW_MAX_VERSIONS * TW_MAX_ENDPOINTS - 1)]++;
	return 0;
}

static __always_inline void inflight_one(struct tw_conn *c, struct tw_pipe *pipe, __u32 n, __u16 version, __u64 now)
{
	inflight_item.p = *pending_in(c, pipe, n);
	inflight_item.start = *pending_start(c, pipe, n);
	inflight_item.hash = *pending_hash(c, pipe, n);
	inflight_item.piped = !!pipe;
	inflight_count(n, version, now);
}

static __always_inline __u16 inflight_version(const struct tw_conn *c)
{
	__u32 tgid = c->tgid, *v;

	if (c->version || !(c->flags & TW_C_BY_READER) || !tgid)
		return c->version;
	v = bpf_map_lookup_elem(&procs, &tgid);
	return v ? *v : 0;
}

/* A response that waits to leave, or has in part, has begun: the state of the stream is that of what is written. */
static __always_inline void inflight_written(struct tw_conn *c, const struct tw_tls *t)
{
	__u32 tail = 0, head = 0;
	__u64 first = 0;

	bpf_probe_read_kernel(&tail, sizeof(tail), &t->due_tail);
	bpf_probe_read_kernel(&head, sizeof(head), &t->due_head);
	if (tail == head)
		return;
	bpf_probe_read_kernel(&first, sizeof(first), &t->due[tail & (TLS_DUES - 1)].t_first);
	c->rs.state = H1_BODY;
	c->t_first = first ? first : bpf_ktime_get_ns();
}

/* live: the state itself; sk: its socket, NULL while it has none; t: the connection is TLS, and this its state. */
static __always_inline void inflight_conn(const struct tw_conn *live, struct sock *sk, const struct tw_tls *t)
{
	struct tw_conn *c = &inflight_copy;
	struct tw_pipe *pipe = 0;
	__u16 version;
	__u32 i, n;
	__u64 now;

	if (bpf_probe_read_kernel(c, sizeof(*c), live))
		return;
	if (t)
		inflight_written(c, t);
	version = inflight_version(c);
	if (c->kind == TW_HTTP || c->kind == TW_H2)
		inflight_connections[version & (TW_MAX_VERSIONS - 1)]++;
	if (c->head == c->tail)
		return;
	if (c->flags & TW_C_PIPED && sk && iterators_find_storage)
		pipe = bpf_sk_storage_get(&pipes, sk, 0, 0);
	if (c->flags & TW_C_PIPED && t) {
		__u64 cookie = 0;

		bpf_probe_read_kernel(&cookie, sizeof(cookie), &t->cookie);
		pipe = bpf_map_lookup_elem(&tls_pipes, &cookie);
	}
	now = bpf_ktime_get_ns();
	/*
	 * A response that ended while its state was copied would look like one that never began: then the times are
	 * left to the next walk.
	 */
	if (*(volatile const __u32 *)&live->tail != c->tail)
		version = 0;
	/* First those in the connection itself, as they are the older ones. */
	n = c->tail;
	for (i = 0; i < TW_INLINE_PENDING && n != c->head && !is_piped(c, n); i++)
		inflight_one(c, 0, n++, version, now);
	if (!pipe) {
		inflight_requests[c->version & (TW_MAX_VERSIONS - 1)] += c->head - n;
		return;
	}
	for (i = 0; i < TW_PIPELINE_MAX && n != c->head; i++)
		inflight_one(c, pipe, n++, version, now);
}

SEC("?iter/bpf_sk_storage_map")
int tw_inflight(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	void *value = ctx->value;

	if (sk && value)
		inflight_conn(value, sk, 0);
	return 0;
}

/* The state of TLS connections lies elsewhere; their own is not HTTP. */
SEC("?iter/bpf_map_elem")
int tw_inflight_tls(struct bpf_iter__bpf_map_elem *ctx)
{
	void *value = ctx->value;

	if (value)
		inflight_conn(value, 0, value);
	return 0;
}

/* Connections whose first request came with the handshake, until they are met again with a socket of their own. */
SEC("?iter/bpf_map_elem")
int tw_inflight_early(struct bpf_iter__bpf_map_elem *ctx)
{
	void *value = ctx->value;

	if (value)
		inflight_conn(value, 0, 0);
	return 0;
}

#endif
