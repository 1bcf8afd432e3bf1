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

static __always_inline __u32 inflight_endpoint(const struct tw_pending *p, const __u64 *hash)
{
	__u64 key = *hash;
	__u32 *ep;

	if (p->endpoint && p->endpoint != TW_EP_PENDING)
		return p->endpoint;
	ep = bpf_map_lookup_elem(&routes, &key);
	/* One whose name is on its way is told by the next walk. */
	return ep ? *ep : TW_EP_UNKNOWN;
}

static __always_inline void inflight_one(struct tw_conn *c, struct tw_pipe *pipe, __u32 n, __u16 version, __u64 now)
{
	struct tw_pending *p = pending_in(c, pipe, n);
	__u32 row = p->version, ep, state = c->rs.state;
	__u64 start = *pending_start(c, pipe, n);

	asm volatile("" : "+r"(row)); /* keeps the mask for the verifier, as below; see h1_at */
	row &= TW_MAX_VERSIONS - 1;
	inflight_requests[row]++;
	if (!inflight_oldest[row] || start < inflight_oldest[row])
		inflight_oldest[row] = start;
	if (!version || c->kind == TW_IGNORED)
		return;
	/* A response that is under way is the oldest request's. */
	if (n != c->tail && state != H1_LOST)
		state = H1_RES;
	if (waited_for(state, request_complete(c, pipe, p, n), c->t_first, c->t_last, now) <= response_timeout)
		return;
	ep = inflight_endpoint(p, pending_hash(c, pipe, n));
	if (!ep || ep >= TW_MAX_ENDPOINTS)
		return;
	ep += version * TW_MAX_ENDPOINTS;
	asm volatile("" : "+r"(ep));
	inflight_overdue[ep & (TW_MAX_VERSIONS * TW_MAX_ENDPOINTS - 1)]++;
}

static __always_inline __u16 inflight_version(const struct tw_conn *c)
{
	__u32 tgid = c->tgid, *v;

	if (c->version || !(c->flags & TW_C_BY_READER) || !tgid)
		return c->version;
	v = bpf_map_lookup_elem(&procs, &tgid);
	return v ? *v : 0;
}

/* live: the state itself; sk: its socket, NULL while it has none. */
static __always_inline void inflight_conn(const struct tw_conn *live, struct sock *sk)
{
	struct tw_conn *c = &inflight_copy;
	struct tw_pipe *pipe = 0;
	__u16 version;
	__u32 i, n;
	__u64 now;

	if (bpf_probe_read_kernel(c, sizeof(*c), live))
		return;
	version = inflight_version(c);
	if (c->kind == TW_HTTP)
		inflight_connections[version & (TW_MAX_VERSIONS - 1)]++;
	if (c->head == c->tail)
		return;
	if (c->flags & TW_C_PIPED && sk && iterators_find_storage)
		pipe = bpf_sk_storage_get(&pipes, sk, 0, 0);
	now = bpf_ktime_get_ns();
	/*
	 * A response that ended while its state was copied would look like one that never began: then the times are
	 * left to the next walk.
	 */
	if (*(volatile const __u32 *)&live->tail != c->tail)
		version = 0;
	for (i = 0; i < TW_PIPELINE_MAX; i++) {
		n = c->tail + i;
		if (n == c->head)
			break;
		if (!is_piped(c, n))
			inflight_one(c, 0, n, version, now);
		else if (pipe)
			inflight_one(c, pipe, n, version, now);
		else
			inflight_requests[c->version & (TW_MAX_VERSIONS - 1)]++;
	}
}

SEC("?iter/bpf_sk_storage_map")
int tw_inflight(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	void *value = ctx->value;

	if (sk && value)
		inflight_conn(value, sk);
	return 0;
}

/* Connections whose first request came with the handshake, until they are met again with a socket of their own. */
SEC("?iter/bpf_map_elem")
int tw_inflight_early(struct bpf_iter__bpf_map_elem *ctx)
{
	void *value = ctx->value;

	if (value)
		inflight_conn(value, 0);
	return 0;
}

#endif
