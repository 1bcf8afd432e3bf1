/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exchanges: a request is pushed when its head is complete, and ended once, with one outcome.
 *
 * Invariants: every push counts TW_L_REQUESTS and every end TW_L_ENDED or TW_L_LOST_EXCHANGES on the same ledger row,
 * or TW_L_MOVED there and all the others on another row; an exchange that waits longer than response_timeout for the
 * first byte of its response is a timeout, whatever becomes of it later;
 * exchanges of a connection end in the order of their requests (RFC 9112, 9.3.2); an exchange that cannot be counted
 * in the maps leaves as a record, and only if the ring is full as well is it lost, which is counted.
 */
#ifndef TW_EXCHANGE_H
#define TW_EXCHANGE_H

/* Does request n lie in the pipes map? */
static __always_inline int is_piped(const struct tw_conn *c, __u32 n)
{
	return c->flags & TW_C_PIPED && (__s32)(n - c->pipe_from) >= 0;
}

/* Where request n lies if not in the connection itself, else NULL. -1: it cannot be had. */
static __always_inline int pending_pipe(struct ctx *x, __u32 n, int create, struct tw_pipe **pipe)
{
	*pipe = 0;
	if (likely(!is_piped(x->c, n)))
		return 0;
	*pipe = pipe_get(x, create);
	return *pipe ? 0 : -1;
}

static __always_inline struct tw_pending *pending_in(struct tw_conn *c, struct tw_pipe *pipe, __u32 n)
{
	return unlikely(pipe) ? &pipe->p[n & (TW_PIPELINE_MAX - 1)] : &c->in[n & (TW_INLINE_PENDING - 1)];
}

static __always_inline __u64 *pending_start(struct tw_conn *c, struct tw_pipe *pipe, __u32 n)
{
	return unlikely(pipe) ? &pipe->t_start[n & (TW_PIPELINE_MAX - 1)] : &c->t_start[n & (TW_INLINE_PENDING - 1)];
}

static __always_inline __u64 *pending_hash(struct tw_conn *c, struct tw_pipe *pipe, __u32 n)
{
	return unlikely(pipe) ? &pipe->hash[n & (TW_PIPELINE_MAX - 1)] : &c->hash[n & (TW_INLINE_PENDING - 1)];
}

static __always_inline __u64 *pending_read(struct tw_conn *c, struct tw_pipe *pipe, __u32 n)
{
	return unlikely(pipe) ? &pipe->t_read[n & (TW_PIPELINE_MAX - 1)] : &c->t_read[n & (TW_INLINE_PENDING - 1)];
}

/* The endpoint of a route hash, or TW_EP_UNKNOWN when it has to be announced first. */
static __always_inline __u16 route_find(struct tw_lane *l, __u64 hash)
{
	struct tw_memo *m = &l->memo[hash >> 58 & (TW_MEMO - 1)];
	__u32 *ep;

	if (likely(m->hash == hash && m->endpoint))
		return m->endpoint;
	ep = bpf_map_lookup_elem(&routes, &hash);
	if (!ep)
		return TW_EP_UNKNOWN;
	if (*ep != TW_EP_PENDING) {
		m->hash = hash;
		m->endpoint = *ep;
	}
	return *ep;
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

	if (likely(c->version) || !(c->flags & TW_C_BY_READER) || !tgid)
		return c->version;
	v = bpf_map_lookup_elem(&procs, &tgid);
	if (v)
		c->version = *v;
	return c->version;
}

/* Has this connection been counted for the route before it had an endpoint? With `note`, it is now. */
static __always_inline int route_counted(struct tw_conn *c, __u64 hash, int note)
{
	__u32 i;

	for (i = 0; i < TW_UNKNOWN_HASHES; i++) {
		if (c->unknown[i] == hash)
			return 1;
		if (note && !c->unknown[i]) {
			c->unknown[i] = hash;
			return 0;
		}
	}
	return note;
}

/*
 * The endpoint of the exchange, and whether it is the first of it on its connection. The hash lies where the other
 * side writes: it is only read if it must be.
 */
static __always_inline void ended_endpoint(struct tw_lane *l, struct tw_conn *c, __u16 ep, const __u64 *hash)
{
	struct tw_ended *d = &l->ended;
	__u64 bit, *word;

	if (unlikely(!ep || ep == TW_EP_PENDING))
		ep = route_find(l, *hash);
	d->endpoint = ep;
	if (unlikely(!ep || ep == TW_EP_PENDING)) {
		d->first = !route_counted(c, *hash, 1);
		return;
	}
	bit = 1ULL << (ep & 63);
	word = &c->seen[ep / 64 & (TW_MAX_ENDPOINTS / 64 - 1)];
	d->first = 0;
	if (unlikely(!(*word & bit))) {
		d->first = !route_counted(c, *hash, 0);
		*word |= bit;
	}
}

/* When the request was complete: at once, later, or (0) not before its response was. */
static __always_inline __u64 request_complete(struct tw_conn *c, struct tw_pipe *pipe, struct tw_pending *p, __u32 n)
{
	if (likely(!(p->flags & TW_P_MORE)))
		return *pending_start(c, pipe, n);
	if (pipe || (__s32)(c->complete - n) <= 0)
		return 0;
	return c->t_body[n & (TW_INLINE_PENDING - 1)];
}

/*
 * The ordinary exchange: its request and its response came in one piece each, and it had been accepted and was read
 * before it was answered. Then three numbers tell all. 0: it is another.
 */
static __always_inline int ended_plainly(struct ctx *x, struct tw_ended *d, struct tw_pipe *pipe, struct tw_pending *p)
{
	struct tw_conn *c = x->c;
	__u64 t_start = d->t_start, t_read = *pending_read(c, pipe, c->tail), total = c->t_last - t_start;

	if (unlikely(p->flags & (TW_P_MORE | TW_P_UNACCEPTED) || c->t_first != c->t_last || total > response_timeout))
		return 0;
	if (unlikely((__s32)(c->rd - c->tail) <= 0 || t_read < t_start || t_read > c->t_last))
		return 0;
	d->lat[TW_LAT_TOTAL] = total;
	d->lat[TW_LAT_QUEUE] = t_read - t_start;
	d->lat[TW_LAT_SERVICE] = c->t_last - t_read;
	return 1;
}

/* What a plain exchange left out, for a record. */
static __always_inline void ended_unfold(struct tw_ended *d)
{
	d->lat[TW_LAT_FIRST_BYTE] = d->lat[TW_LAT_SERVER] = d->lat[TW_LAT_TOTAL];
	d->lat[TW_LAT_UPLOAD] = d->lat[TW_LAT_SEND] = d->lat[TW_LAT_ACCEPT] = 0;
	d->lat[TW_LAT_DRAIN] = TW_NOT_MEASURED; /* not known yet: see count_drain */
	d->lat[TW_LAT_WAITED] = TW_NOT_MEASURED;
}

/*
 * The server's own time. Of a request that was not complete before its answer was, only the client's close inside it
 * tells what of the wait was still the client's.
 */
static __always_inline __u64 ended_server(struct tw_conn *c, __u64 t_start, __u64 t_body, __u32 stall)
{
	__u64 server, from = t_body;

	if (unlikely(!from) && c->tail + 1 == c->head && c->t_rq_fin >= t_start)
		from = c->t_rq_fin;
	if (unlikely(!from))
		return TW_NOT_MEASURED;
	server = since(from, c->t_last);
	return unlikely(stall) ? since((__u64)stall * jiffy_ns, server) : server;
}

/*
 * The latencies of an answered exchange that is no plain one; stall: see struct ctx. Not inlined: its working space
 * would be that of every program. Always 0.
 */
static __attribute__((noinline)) int ended_times(struct tw_conn *c, struct tw_ended *d, struct tw_pipe *pipe,
                                                 struct tw_pending *p, __u32 stall)
{
	__u64 t_start = d->t_start, t_read = *pending_read(c, pipe, c->tail);
	__u64 t_body = request_complete(c, pipe, p, c->tail), shut;

	d->lat[TW_LAT_TOTAL] = since(t_start, c->t_last);
	d->lat[TW_LAT_FIRST_BYTE] = since(t_start, c->t_first);
	/* A slow upload is not the server's: it is asked for an answer when the request is complete. */
	if (unlikely(d->lat[TW_LAT_FIRST_BYTE] > response_timeout) && is_late(t_body, c->t_first))
		d->outcome = TW_TIMEOUT;
	d->lat[TW_LAT_SEND] = since(c->t_first, c->t_last);
	d->lat[TW_LAT_UPLOAD] = likely(t_body) ? since(t_start, t_body) : TW_NOT_MEASURED;
	d->lat[TW_LAT_SERVER] = ended_server(c, t_start, t_body, stall);
	if (unlikely(p->flags & TW_P_MORE) && likely(t_body)) {
		shut = window_was_shut(c, c->tail, t_body);
		if (shut > d->lat[TW_LAT_UPLOAD])
			shut = d->lat[TW_LAT_UPLOAD];
		d->lat[TW_LAT_UPLOAD] -= shut;
		d->lat[TW_LAT_SERVER] += shut;
	}
	d->lat[TW_LAT_QUEUE] = d->lat[TW_LAT_SERVICE] = d->lat[TW_LAT_ACCEPT] = TW_NOT_MEASURED;
	d->lat[TW_LAT_DRAIN] = TW_NOT_MEASURED; /* not known yet: see count_drain */
	d->lat[TW_LAT_WAITED] = TW_NOT_MEASURED;
	/* An older time of reading is one of a request that was being received when step was lost. */
	if ((__s32)(c->rd - c->tail) > 0 && t_read >= t_start) {
		d->lat[TW_LAT_QUEUE] = since(t_start, t_read);
		d->lat[TW_LAT_SERVICE] = since(t_read, c->t_first);
		d->lat[TW_LAT_ACCEPT] = unlikely(p->flags & TW_P_UNACCEPTED) ? d->lat[TW_LAT_QUEUE] : 0;
	}
	return 0;
}

/* The final status, as far as it was seen. */
static __always_inline __u16 status_seen(const struct h1 *r)
{
	return r->status >= 200 ? r->status : 0;
}

/* Has a byte of the oldest exchange's final response been seen? */
static __always_inline int response_begun(const struct h1 *r)
{
	return r->state != H1_RES && r->state != H1_LOST;
}

/*
 * The client has given up: what it had waited for the first byte, and since the last one. The server would have taken
 * longer, so this much is known of its time.
 */
static __always_inline __u64 ended_waited(struct ctx *x, __u64 asked, int begun)
{
	struct tw_conn *c = x->c;
	__u64 until = c->rq_ends & TW_C_RQ_FIN ? c->t_rq_fin : x->now;

	if (!asked)
		return TW_NOT_MEASURED;
	return begun ? since(asked, c->t_first) + since(c->t_last, until) : since(asked, until);
}

/*
 * Ends the oldest exchange. status 0: no response was seen. Latencies are those of answered exchanges only. Where
 * there is no slot its route's hash is left at `hash`, if that is given.
 */
static __always_inline void exchange_end(struct ctx *x, struct tw_pipe *pipe, __u8 outcome, __u16 status, __u64 *hash)
{
	struct tw_ended *d = &x->l->ended;
	struct tw_conn *c = x->c;
	__u32 n = c->tail;
	struct tw_pending *p = pending_in(c, pipe, n);

	ended_endpoint(x->l, c, p->endpoint, pending_hash(c, pipe, n));
	d->t_start = *pending_start(c, pipe, n);
	d->version = conn_version(c);
	d->status = status;
	d->outcome = outcome;
	d->tgid = c->tgid;
	d->group = c->group;
	d->cut = 0;
	d->plain = likely(outcome == TW_ANSWERED) && ended_plainly(x, d, pipe, p);
	if (unlikely(!d->plain) && outcome == TW_ANSWERED) {
		ended_times(c, d, pipe, p, x->stall);
	} else if (unlikely(outcome != TW_ANSWERED)) {
		__u64 asked = request_complete(c, pipe, p, n);

		__builtin_memset(d->lat, 0xff, sizeof(d->lat));
		d->waited = waited_for(c->rs.state, asked, c->t_first, c->t_last, x->now);
		/* Once it has waited too long it is a timeout, whatever ends it later, and was over before a byte of
		 * its answer. */
		if (d->waited > response_timeout)
			d->outcome = TW_TIMEOUT;
		else
			d->cut = response_begun(&c->rs);
		if (d->outcome == TW_CLIENT_ABANDONED || d->outcome == TW_RESET_BY_CLIENT)
			d->lat[TW_LAT_WAITED] = ended_waited(x, asked, response_begun(&c->rs));
	}
	if (unlikely(p->version != d->version)) {
		/* Nobody had read it when it was pushed: it changes rows now that the version is known. */
		count(x->l, p->version, TW_L_MOVED);
		count(x->l, d->version, TW_L_REQUESTS);
	}
	if (unlikely(!count_ended(x->lane))) {
		d->hash = *pending_hash(c, pipe, n);
		if (d->plain)
			ended_unfold(d);
		if (hash)
			*hash = d->hash;
		record_ended(x->lane);
	}
	/* Not as the caller has it: an answer may have come too late. */
	if (unlikely(d->outcome != TW_ANSWERED)) {
		d->hash = *pending_hash(c, pipe, n);
		record_detail(x->lane, cut_cause(c));
	}
	/* From here on the entry may be used again. */
	barrier();
	c->tail++;
}

/* What a flush program is to do: see TAIL_FLUSH in tails.h. */
#define FLUSH(first, rest) ((first) | (rest) << 8)
#define FLUSH_LOST         (1 << 16) /* and lose step with both streams */

/* Is the connection still in its listener's accept queue? */
static __always_inline int is_unaccepted(struct ctx *x)
{
	struct tcp_sock *tp;

	if (!x->ingress || x->t || x->c->flags & TW_C_CLIENT)
		return 0; /* a TLS handshake has been answered before a request can come */
	if (x->by_tuple)
		return !test_mode;
	tp = bpf_skc_to_tcp_sock(x->sk);
	return tp && !((struct sock *)tp)->sk_socket;
}

/* The request that was pushed last has its last byte. */
static __always_inline void request_whole(struct ctx *x)
{
	struct tw_conn *c = x->c;
	__u32 n = c->pushed - 1;

	c->t_body[n & (TW_INLINE_PENDING - 1)] = x->now;
	barrier();
	c->complete = n + 1;
}

/* Where request n is to lie. The other side's count of what has ended is only asked for when it may matter. */
static __always_inline void push_makes_room(struct tw_conn *c, __u32 n)
{
	if (likely(n - c->tail_seen < TW_INLINE_PENDING && !(c->flags & TW_C_PIPED)))
		return;
	c->tail_seen = c->tail;
	if (n == c->tail_seen) {
		c->flags &= ~TW_C_PIPED;
	} else if (n - c->tail_seen >= TW_INLINE_PENDING && !(c->flags & TW_C_PIPED)) {
		c->pipe_from = n;
		c->flags |= TW_C_PIPED;
	}
}

/*
 * A request head is complete. The entry is filled before head moves, because the responding side reads it then.
 * 0, or -1 when there is no room for it, or it is not known what will be taken for its answer.
 */
static __always_inline int exchange_push(struct ctx *x, __u64 hash, __u16 ep, __u8 flags, __u64 t_start)
{
	struct tw_conn *c = x->c;
	__u32 n = c->pushed;
	struct tw_pending *p;
	struct tw_pipe *pipe;

	push_makes_room(c, n);
	if (unlikely(n - c->tail_seen >= TW_PIPELINE_MAX || pending_pipe(x, n, 1, &pipe))) {
		count(x->l, c->version, TW_L_PIPELINE_FULL);
		return -1;
	}
	p = pending_in(c, pipe, n);
	/* It began with an earlier segment, or has a body. (Flags of a head do not reach this far.) */
	if (unlikely(t_start != x->now || c->rq.left || c->rq.flags & H1_F_CHUNKED))
		flags |= TW_P_MORE;
	if (unlikely(!(c->flags & TW_C_DECODED)) && is_unaccepted(x))
		flags |= TW_P_UNACCEPTED;
	*pending_start(c, pipe, n) = t_start;
	*pending_hash(c, pipe, n) = hash;
	if (x->t && x->t_read) {
		*pending_read(c, pipe, n) = x->t_read;
		c->rd = n + 1;
	}
	p->endpoint = ep;
	p->flags = flags;
	p->version = c->version;
	count(x->l, c->version, TW_L_REQUESTS);
	if (x->t)
		count(x->l, c->version, TW_L_TLS_REQUESTS);
	if (unlikely(!(c->flags & TW_C_DECODED))) {
		c->flags |= TW_C_DECODED;
		c->kind = TW_HTTP;
		count(x->l, c->version, TW_L_DECODED);
	}
	c->pushed = n + 1;
	barrier();
	c->head = n + 1;
	return unlikely(is_astray(c)) ? -1 : 0;
}

/* The same for one that a close ends. What was seen of its response is used up: those behind it have none. */
static __always_inline void exchange_cut(struct ctx *x, struct tw_pipe *pipe, __u8 outcome)
{
	struct h1 *r = &x->c->rs;

	exchange_end(x, pipe, outcome, status_seen(r), 0);
	r->status = 0;
	if (r->state != H1_LOST)
		r->state = H1_RES;
}

static __always_inline int is_in_flight(const struct tw_conn *c)
{
	return (__s32)(*(volatile __u32 *)&c->head - *(volatile __u32 *)&c->tail) > 0;
}

/* The first outcome of FLUSH() is used up. */
static __always_inline void flush_next(__u32 *what)
{
	*what = (*what & ~0xff) | (*what >> 8 & 0xff);
}

/* Cuts the oldest exchange with the first outcome of *what; for those behind it the rest is left there. */
static __always_inline void exchange_cut_next(struct ctx *x, struct tw_pipe *pipe, __u32 *what)
{
	exchange_cut(x, pipe, *what);
	flush_next(what);
}

/*
 * The same with all that lie in the connection itself, which are the older ones. Then with those in the pipes map: in
 * one loop for both kinds the verifier would follow either through the whole of it.
 */
static __always_inline void exchanges_cut(struct ctx *x, __u32 *what)
{
	struct tw_conn *c = x->c;
	__u32 i;

	for (i = 0; i < TW_INLINE_PENDING && is_in_flight(c) && !is_piped(c, c->tail); i++)
		exchange_cut_next(x, 0, what);
}

static __always_inline void exchanges_cut_piped(struct ctx *x, struct tw_pipe *pipe, __u32 *what, __u32 most)
{
	struct tw_conn *c = x->c;
	__u32 i;

	for (i = 0; i < most && pipe && is_in_flight(c) && is_piped(c, c->tail); i++)
		exchange_cut_next(x, pipe, what);
}

#endif
