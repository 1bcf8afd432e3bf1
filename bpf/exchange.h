/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exchanges: a request is pushed when its head is complete, and ended once, with one outcome.
 *
 * Invariants: every push counts TW_L_REQUESTS and every end TW_L_ENDED or TW_L_LOST_EXCHANGES on the same ledger row;
 * exchanges of a connection end in the order of their requests (RFC 9112, 9.3.2); an exchange that cannot be counted
 * in the maps leaves as a record, and only if the ring is full as well is it lost, which is counted.
 */
#ifndef TW_EXCHANGE_H
#define TW_EXCHANGE_H

#include "tw_status.h"

/* The bucket of ns: how many of the bounds lie below it. */
static __always_inline __u32 latency_bucket(__u64 ns)
{
	__u32 i = 0, step;

	for (step = TW_BOUNDS_TABLE / 2; step; step >>= 1)
		if (tw_bounds[(i + step - 1) & (TW_BOUNDS_TABLE - 1)] < ns)
			i += step;
	return i;
}

static __always_inline __u64 ring_flags(void)
{
	/* Waking user space for each record would cost more than the record; it polls ten times a second. */
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= ring_wakeup ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Entry number n of the requests in flight; NULL when it cannot be had. */
static __always_inline struct tw_pending *pending_at(struct ctx *x, __u32 n, int create)
{
	struct tw_conn *c = x->c;
	struct tw_pipe *p;

	if (n < c->pipe_from)
		return &c->in[n & (TW_INLINE_PENDING - 1)];
	p = pipe_get(x, create);
	return p ? &p->p[n & (TW_PIPELINE_MAX - 1)] : 0;
}

/* The endpoint of a route hash, or TW_EP_UNKNOWN when it has to be announced first. */
static __always_inline __u16 route_find(__u64 hash)
{
	__u32 *ep = bpf_map_lookup_elem(&routes, &hash);

	return ep ? *ep : TW_EP_UNKNOWN;
}

/* May this new route be announced? If so it is marked as pending, and the caller sends the record. */
static __always_inline int route_announce(struct ctx *x, __u64 hash)
{
	__u32 pending = TW_EP_PENDING;

	if (!route_budget)
		return 0;
	route_budget--;
	bpf_map_update_elem(&routes, &hash, &pending, BPF_NOEXIST);
	return 1;
}

/* The record could not be sent: let the next request of this route try again. */
static __always_inline void route_retract(struct ctx *x, __u64 hash)
{
	bpf_map_delete_elem(&routes, &hash);
	count(x->l, x->c->version, TW_L_LOST_EVENTS);
}

static __always_inline __u16 conn_version(struct tw_conn *c)
{
	__u32 tgid = c->tgid, *v;

	if (c->version || !(c->flags & TW_C_BY_READER) || !tgid)
		return c->version;
	v = bpf_map_lookup_elem(&procs, &tgid);
	if (v)
		c->version = *v;
	return c->version;
}

/* Has this connection been counted for the endpoint? Marks it. For routes without an endpoint yet, by hash. */
static __always_inline int conn_first_of(struct tw_conn *c, __u16 ep, __u64 hash)
{
	__u64 bit = 1ULL << (ep & 63);
	__u32 word = ep / 64 & (TW_MAX_ENDPOINTS / 64 - 1), i;

	if (ep && ep != TW_EP_PENDING) {
		if (c->seen[word] & bit)
			return 0;
		c->seen[word] |= bit;
		for (i = 0; i < TW_UNKNOWN_HASHES; i++)
			if (c->unknown[i] == hash)
				return 0;
		return 1;
	}
	for (i = 0; i < TW_UNKNOWN_HASHES; i++) {
		if (c->unknown[i] == hash)
			return 0;
		if (!c->unknown[i]) {
			c->unknown[i] = hash;
			return 1;
		}
	}
	return 0;
}

static __always_inline void hist_add(struct tw_hist *h, __u64 ns, __u32 bucket)
{
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
	if (bucket < TW_BUCKETS)
		h->b[bucket]++;
}

static __always_inline void series_add(struct tw_series *s, __u8 outcome, __u8 status, const __u64 *lat, int first)
{
	__u32 total = 0, i;

	s->exchanges++;
	s->connections += first;
	s->outcome[outcome & (TW_OUTCOME_NR - 1)]++;
	s->status[status & (TW_STATUS_NR - 1)]++;
	if (lat[TW_LAT_TOTAL] == TW_NOT_MEASURED)
		return;
	total = latency_bucket(lat[TW_LAT_TOTAL]);
	hist_add(&s->lat[TW_LAT_TOTAL], lat[TW_LAT_TOTAL], total);
	/* A response in one segment: first byte and last byte are the same. */
	hist_add(&s->lat[TW_LAT_FIRST_BYTE], lat[TW_LAT_FIRST_BYTE],
		 lat[TW_LAT_FIRST_BYTE] == lat[TW_LAT_TOTAL] ? total : latency_bucket(lat[TW_LAT_FIRST_BYTE]));
	for (i = TW_LAT_QUEUE; i <= TW_LAT_SERVICE; i++)
		if (lat[i] != TW_NOT_MEASURED)
			hist_add(&s->lat[i], lat[i], latency_bucket(lat[i]));
}

static __always_inline int exchange_record(struct ctx *x, const struct tw_pending *p, __u16 version, __u16 ep,
					   __u8 outcome, __u16 status, const __u64 *lat, int first)
{
	struct tw_exchange_record *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);

	if (!r)
		return -1;
	r->type = TW_R_EXCHANGE;
	r->tgid = x->c->tgid;
	r->hash = p->hash;
	r->t_start = p->t_start;
	__builtin_memcpy(r->lat, lat, sizeof(r->lat));
	r->version = version;
	r->endpoint = ep;
	r->status = status;
	r->outcome = outcome;
	r->new_connection = first;
	bpf_ringbuf_submit(r, ring_flags());
	return 0;
}

static __always_inline __u64 since(__u64 from, __u64 to)
{
	/* A departure stamped by TCP may precede a clock reading taken a moment earlier. */
	return to > from ? to - from : 0;
}

/* Ends the oldest exchange. status 0: no response was seen. Latencies are those of answered exchanges only. */
static __always_inline void exchange_end(struct ctx *x, struct tw_pending *p, __u8 outcome, __u16 status)
{
	struct tw_conn *c = x->c;
	__u16 version = conn_version(c), ep = p->endpoint;
	__u64 lat[TW_LAT_NR] = { TW_NOT_MEASURED, TW_NOT_MEASURED, TW_NOT_MEASURED, TW_NOT_MEASURED };
	__u32 at, *slot;
	struct tw_series *s = 0;
	__u8 known = 0;
	int first;

	c->tail++;
	if (ep == TW_EP_PENDING || !ep)
		ep = route_find(p->hash);
	if (outcome == TW_ANSWERED) {
		lat[TW_LAT_TOTAL] = since(p->t_start, c->t_last);
		lat[TW_LAT_FIRST_BYTE] = since(p->t_start, c->t_first);
		if (p->t_read) {
			lat[TW_LAT_QUEUE] = since(p->t_start, p->t_read);
			lat[TW_LAT_SERVICE] = since(p->t_read, c->t_first);
		}
	}
	first = conn_first_of(c, ep, p->hash);
	if (status < TW_STATUS_TABLE)
		known = tw_status_index[status & (TW_STATUS_TABLE - 1)];
	if (p->version != version) {
		/* Nobody had read it when it was pushed: it changes rows now that the version is known. */
		x->l->ledger[p->version & (TW_MAX_VERSIONS - 1)].c[TW_L_REQUESTS]--;
		count(x->l, version, TW_L_REQUESTS);
	}
	/* Counters of a slot have one writer a CPU: the holder of lane 0. The rare others send a record. */
	if (version && ep && ep < TW_MAX_ENDPOINTS && known && !x->lane) {
		at = (version & (TW_MAX_VERSIONS - 1)) * TW_MAX_ENDPOINTS + (ep & (TW_MAX_ENDPOINTS - 1));
		slot = bpf_map_lookup_elem(&slots, &at);
		if (slot && *slot)
			s = bpf_map_lookup_elem(&series, slot);
	}
	if (s) {
		series_add(s, outcome, known, lat, first);
	} else if (exchange_record(x, p, version, ep, outcome, status, lat, first)) {
		count(x->l, version, TW_L_LOST_EVENTS);
		count(x->l, version, TW_L_LOST_EXCHANGES);
		return;
	}
	count(x->l, version, TW_L_ENDED);
}

/* Ends everything in flight the same way, and loses step with both streams. The status of a begun response is kept. */
static __always_inline void exchange_end_all(struct ctx *x, __u8 first_outcome, __u8 outcome)
{
	struct tw_conn *c = x->c;
	__u32 i;

	for (i = 0; i < TW_PIPELINE_MAX + TW_INLINE_PENDING; i++) {
		struct tw_pending *p;

		if (c->tail == c->head)
			break;
		p = pending_at(x, c->tail, 0);
		if (!p)
			break;
		exchange_end(x, p, i ? outcome : first_outcome, i ? 0 : c->rs.status);
	}
}

/* The stream of this connection cannot be followed any more: say so, and wait for a place to join it again. */
static __always_inline void conn_lost(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (c->kind == TW_NEW) {
		count(x->l, c->version, TW_L_NOT_HTTP);
		c->kind = TW_IGNORED;
		return;
	}
	count(x->l, c->version, TW_L_DESYNC);
	exchange_end_all(x, TW_UNOBSERVED, TW_UNOBSERVED);
	c->rq.state = c->rs.state = H1_LOST;
	c->held = 0;
}

/*
 * A request head is complete. The entry is filled before head moves, because the responding side reads it then.
 * 0, or -1 when there is no room for it.
 */
static __always_inline int exchange_push(struct ctx *x, __u64 hash, __u16 ep, __u8 flags, __u64 t_start, __u64 t_read)
{
	struct tw_conn *c = x->c;
	struct tw_pending *p;
	__u32 n = c->head;

	if (n - c->tail >= TW_INLINE_PENDING && c->pipe_from == TW_NEVER)
		c->pipe_from = n;
	p = n - c->tail < TW_PIPELINE_MAX ? pending_at(x, n, 1) : 0;
	if (!p) {
		count(x->l, c->version, TW_L_PIPELINE_FULL);
		return -1;
	}
	p->t_start = t_start;
	p->t_read = t_read;
	p->hash = hash;
	p->endpoint = ep;
	p->flags = flags;
	p->version = c->version;
	count(x->l, c->version, TW_L_REQUESTS);
	if (!(c->flags & TW_C_DECODED)) {
		c->flags |= TW_C_DECODED;
		c->kind = TW_HTTP;
		count(x->l, c->version, TW_L_DECODED);
	}
	c->head = n + 1;
	return 0;
}

#endif
