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

/* Entry number n of the requests in flight; NULL when it cannot be had. */
static __always_inline struct tw_pending *pending_at(struct ctx *x, __u32 n, int create)
{
	struct tw_conn *c = x->c;
	struct tw_pipe *p;

	if (n < c->pipe_from)
		return &c->in[n & (TW_INLINE_PENDING - 1)];
	p = pipe_get(x, create);
	if (!p)
		return 0;
	/* Or the compiler adds the offset before the check, which the verifier refuses. */
	asm volatile("" : "+r"(p));
	return &p->p[n & (TW_PIPELINE_MAX - 1)];
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

static __always_inline __u64 since(__u64 from, __u64 to)
{
	/* A departure stamped by TCP may precede a clock reading taken a moment earlier. */
	return to > from ? to - from : 0;
}

/* Ends the oldest exchange. status 0: no response was seen. Latencies are those of answered exchanges only. */
static __always_inline void exchange_end(struct ctx *x, struct tw_pending *p, __u8 outcome, __u16 status)
{
	struct tw_ended *d = &x->l->ended;
	struct tw_conn *c = x->c;
	__u64 t_read = p->t_read;

	c->tail++;
	d->hash = p->hash;
	d->t_start = p->t_start;
	d->version = conn_version(c);
	d->endpoint = p->endpoint;
	if (d->endpoint == TW_EP_PENDING || !d->endpoint)
		d->endpoint = route_find(p->hash);
	d->status = status;
	d->outcome = outcome;
	d->tgid = c->tgid;
	d->lat[TW_LAT_TOTAL] = d->lat[TW_LAT_FIRST_BYTE] = d->lat[TW_LAT_QUEUE] = d->lat[TW_LAT_SERVICE] =
		TW_NOT_MEASURED;
	if (outcome == TW_ANSWERED) {
		d->lat[TW_LAT_TOTAL] = since(p->t_start, c->t_last);
		d->lat[TW_LAT_FIRST_BYTE] = since(p->t_start, c->t_first);
		if (t_read) {
			d->lat[TW_LAT_QUEUE] = since(p->t_start, t_read);
			d->lat[TW_LAT_SERVICE] = since(t_read, c->t_first);
		}
	}
	d->first = conn_first_of(c, d->endpoint, d->hash);
	if (p->version != d->version) {
		/* Nobody had read it when it was pushed: it changes rows now that the version is known. */
		x->l->ledger[p->version & (TW_MAX_VERSIONS - 1)].c[TW_L_REQUESTS]--;
		count(x->l, d->version, TW_L_REQUESTS);
	}
	count_ended(x->lane);
}

/* What a flush program is to do: see TAIL_FLUSH in careful.h. */
#define FLUSH(first, rest) ((first) | (rest) << 8)
#define FLUSH_LOST         (1 << 16) /* and lose step with both streams */

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
