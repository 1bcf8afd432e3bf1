/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From segments to messages: the two directions of a connection.
 *
 * A segment whose first byte is the next one expected goes to the fast engine if a message starts in it, or is counted
 * off if it lies within a body. Everything else is left to the careful engine, which lives in programs of its own
 * (tail calls). Functions here return what is to be done with the segment next.
 */
#ifndef TW_STREAM_H
#define TW_STREAM_H

enum next {
	NEXT_DONE,    /* the segment has been used up */
	NEXT_CAREFUL, /* from x->s.off on it needs the careful engine */
	NEXT_HOLD,    /* it came too early */
	NEXT_LOST,    /* step is lost */
};

/* Reads the segment from its current place into the lane's window. Returns the bytes read, 0 on failure. */
static __always_inline __u32 window_load(struct ctx *x)
{
	__u32 n = x->s.len;

	if (n > H1_WINDOW)
		n = H1_WINDOW;
	if (!n)
		return 0;
	/* The verifier of older kernels wants the bounds of n from one expression, and cannot know that n != 0. */
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (H1_WINDOW - 1)) + 1;
	return bpf_skb_load_bytes(x->skb, x->s.off, x->l->window, n) ? 0 : n;
}

/* Takes n bytes of the segment as used. */
static __always_inline void segment_advance(struct ctx *x, __u32 n)
{
	x->s.off += n;
	x->s.len -= n;
	x->s.seq += n;
}

/* How far back a segment may lie to be one that was sent again; only asked while step is lost. */
#define TW_AGAIN (1 << 24)

/*
 * Brings the segment in step with `expected`: cuts off what was seen before. While step is lost nothing is waited for.
 * NEXT_CAREFUL here means: go on with it.
 */
static __always_inline enum next segment_order(struct ctx *x, __u32 expected, int lost)
{
	__s32 ahead = x->s.seq - expected;

	if (likely(ahead == 0) || (lost && (ahead > 0 || ahead < -TW_AGAIN)))
		return NEXT_CAREFUL;
	if (ahead > 0)
		return NEXT_HOLD;
	if ((__u32)-ahead >= x->s.len) {
		count(x->l, x->c->version, TW_L_DUP_SEGMENTS);
		segment_advance(x, x->s.len);
		return NEXT_DONE;
	}
	segment_advance(x, -ahead);
	return NEXT_CAREFUL;
}

/* Counts off body bytes. Returns 1 when the body has ended. */
static __always_inline int body_skip(struct ctx *x, struct h1 *p)
{
	__u64 n = x->s.len;

	if (p->state == H1_UNTIL_CLOSE) {
		segment_advance(x, x->s.len);
		return 0;
	}
	if (n > p->left)
		n = p->left;
	p->left -= n;
	segment_advance(x, n);
	if (p->left)
		return 0;
	if (p->state == H1_CHUNK_DATA) {
		p->state = H1_CHUNK_END;
		return 0;
	}
	return 1;
}

static __always_inline int is_counting(const struct h1 *p)
{
	return p->state >= H1_BODY;
}

static __always_inline void h1_reset(struct h1 *p, __u8 state)
{
	p->left = 0;
	p->status = 0;
	p->flags = 0;
	p->state = state;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* A request's body has ended. */
static __always_inline void request_end(struct ctx *x)
{
	h1_reset(&x->c->rq, H1_REQ);
	request_whole(x);
}

/* A request head has ended: what follows it. */
static __always_inline enum next request_body(struct ctx *x, __u64 t_start)
{
	struct tw_conn *c = x->c;
	struct h1 *p = &c->rq;

	if (unlikely(p->flags & H1_F_CHUNKED)) {
		p->left = 0;
		p->state = H1_CHUNK;
	} else if (unlikely(p->flags & H1_F_OTHER_CODING)) {
		return NEXT_LOST; /* its length cannot be known (RFC 9112, 6.3) */
	} else if (p->left) {
		p->state = H1_BODY;
	} else {
		h1_reset(p, H1_REQ);
		if (unlikely(t_start != x->now))
			request_whole(x);
	}
	return NEXT_CAREFUL;
}

/* Announces a route whose text starts with the segment. */
static __always_inline void route_send(struct ctx *x, __u64 hash, __u32 len)
{
	struct tw_route_record *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);

	if (!r) {
		route_retract(x, hash);
		return;
	}
	r->type = TW_R_ROUTE;
	r->hash = hash;
	r->flags = len > TW_PATH_MAX ? TW_ROUTE_TRUNCATED : 0;
	if (len > TW_PATH_MAX)
		len = TW_PATH_MAX;
	r->len = len;
	/* Not a byte more than the path: behind it lie the query and the headers. For the verifier, once more: */
	asm volatile("" : "+r"(len));
	len &= 0xff;
	if (len > TW_PATH_MAX)
		len = TW_PATH_MAX;
	bpf_probe_read_kernel(r->text, len, x->l->window);
	bpf_ringbuf_submit(r, BPF_RB_FORCE_WAKEUP);
}

/* The endpoint a new request counts for; a route never seen before is announced. */
static __always_inline __u16 route_endpoint(struct ctx *x, __u64 hash, int *announce)
{
	__u16 ep = route_find(x->l, hash);

	*announce = 0;
	if (likely(ep))
		return ep;
	if (route_announce(x, hash)) {
		*announce = 1;
		return TW_EP_PENDING;
	}
	count(x->l, x->c->version, TW_L_UNNAMED);
	return endpoint_other;
}

/* A whole request head by the fast engine; the window has been filled and scanned. */
static __always_inline enum next request_head(struct ctx *x)
{
	struct h1_head *h = &x->l->head;
	struct tw_conn *c = x->c;
	int announce;
	__u16 ep = route_endpoint(x, h->hash, &announce);

	if (unlikely(announce))
		route_send(x, h->hash, h->text_len);
	c->rq.flags = h->flags;
	c->rq.left = h->content_length;
	if (exchange_push(x, h->hash, ep, h->flags & (H1_F_HEAD | H1_F_CONNECT), x->now))
		return NEXT_LOST;
	segment_advance(x, h->len);
	return request_body(x, x->now);
}

/* What is this that does not start like HTTP/1? */
static __always_inline enum tw_ledger stream_kind(const __u8 *b)
{
	if (b[0] == 0x16 && b[1] == 3)
		return TW_L_OPAQUE_TLS;
	if (b[0] == 'P' && b[1] == 'R' && b[2] == 'I' && b[3] == ' ' && b[4] == '*')
		return TW_L_HTTP2;
	return TW_L_NOT_HTTP;
}

/*
 * A segment of requests, in step or, when step is lost, one that may start with a request: then it is joined there, but
 * not before the server has spoken: what was sent in one go with the lost bytes would be paired with their answers.
 */
static __always_inline enum next request_segment(struct ctx *x)
{
	struct tw_conn *c = x->c;
	enum tw_ledger kind;
	enum next next;
	__u32 n;

	if (unlikely(c->rq.state == H1_LOST) && !c->joining && !c->spoke)
		return NEXT_DONE;
	if (likely(c->rq.state == H1_REQ || c->rq.state == H1_LOST)) {
		if (unlikely(c->spoke))
			c->spoke = 0;
		n = window_load(x);
		if (likely(n && scan_request(x->l, x->lane, n))) {
			if (unlikely(c->rq.state == H1_LOST) && c->flags & TW_C_DECODED)
				count(x->l, c->version, TW_L_RESYNC);
			/* Written only if they must be: the line is the other side's, too. */
			if (unlikely(c->joining || c->rq_lost))
				c->joining = c->rq_lost = 0;
			h1_reset(&c->rq, H1_REQ);
			next = request_head(x);
			if (unlikely(next != NEXT_CAREFUL))
				return next;
		} else if (c->rq.state == H1_LOST) {
			return NEXT_DONE;
		} else if (c->kind == TW_NEW) {
			kind = n >= 5 ? stream_kind(x->l->window) : TW_L_NOT_HTTP;
			if (kind != TW_L_NOT_HTTP) {
				count(x->l, c->version, kind);
				c->kind = TW_IGNORED;
				return NEXT_DONE;
			}
		}
	}
	if (unlikely(x->s.len) && is_counting(&c->rq) && body_skip(x, &c->rq))
		request_end(x);
	return x->s.len ? NEXT_CAREFUL : NEXT_DONE;
}

/* An event of the careful engine on the requesting side. */
static __always_inline enum next request_event(struct ctx *x, enum h1_event e)
{
	struct h1_text *t = &x->l->text;
	struct tw_conn *c = x->c;
	int announce;
	__u8 flags;
	__u16 ep;

	if (e == H1_BROKEN)
		return NEXT_LOST;
	if (e == H1_END) {
		request_end(x);
	} else if (e == H1_CHUNK_AT) {
		c->rq.state = c->rq.left ? H1_CHUNK_DATA : H1_TRAILER;
	} else if (e == H1_HEAD) {
		ep = route_endpoint(x, t->route, &announce);
		if (announce) {
			bpf_probe_read_kernel(x->l->window, TW_PATH_MAX, t->text);
			route_send(x, t->route, t->truncated ? TW_PATH_MAX + 1 : t->len);
		}
		flags = h1_method_flags(t->method);
		c->in_head = 0;
		if (exchange_push(x, t->route, ep, flags, c->t_head))
			return NEXT_LOST;
		return request_body(x, c->t_head);
	}
	return NEXT_CAREFUL;
}

/* ---- responses --------------------------------------------------------------------------------------------------- */

/*
 * Is this connection asked for the time of draining? Pure acknowledgements, which no one else wants, cost as much as a
 * request: at high rates user space has a part of the connections asked.
 */
static __always_inline int is_drain_watched(const struct segment *s, int ingress)
{
	return !((ingress ? s->sport : s->dport) >> 1 & drain_mask);
}

/* An acknowledgement has come: of the last response? */
static __always_inline void drain_end(struct ctx *x)
{
	struct tw_conn *c = x->c;

	__u64 took;

	if (!c->drain_t || (__s32)(x->s.ack - c->drain_seq) < 0)
		return;
	if (likely(c->drain_t >= drain_since)) {
		took = since(c->drain_t, x->now ? x->now : bpf_ktime_get_ns());
		if (unlikely(!count_drain(x->lane, c->drain_version, c->drain_endpoint, took)))
			record_drain(c, took);
	}
	c->drain_t = 0;
}

/* Jiffies, in all, for which the other end's window has kept TCP from sending. */
static __always_inline __u32 window_shut(struct ctx *x)
{
	struct tcp_sock *tp = x->ingress || x->by_tuple ? 0 : bpf_skc_to_tcp_sock(x->sk);
	__u32 shut;

	if (!tp)
		return 0;
	shut = tp->chrono_stat[TCP_CHRONO_RWND_LIMITED - 1];
	if (BPF_CORE_READ_BITFIELD(tp, chrono_type) == TCP_CHRONO_RWND_LIMITED)
		shut += (__u32)bpf_jiffies64() - tp->chrono_start;
	return shut;
}

/* After a segment of responses: one that began in it may go on. */
static __always_inline void response_goes_on(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (unlikely(c->rs.state != H1_RES) && c->t_first == x->now)
		c->stall = window_shut(x);
}

/* From the end of a response to the client's acknowledgement is draining: where to look for it. */
static __always_inline void drain_begin(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (x->ingress || !is_drain_watched(&x->s, 0))
		return;
	c->drain_seq = x->s.seq;
	c->drain_endpoint = x->l->ended.endpoint;
	c->drain_version = x->l->ended.version;
	c->drain_t = c->t_last;
}

/* The response has its last byte. */
static __always_inline void response_end(struct ctx *x, struct tw_pipe *pipe)
{
	struct tw_conn *c = x->c;
	__u16 status = c->rs.status;

	h1_reset(&c->rs, H1_RES);
	x->stall = unlikely(c->t_first != c->t_last) ? window_shut(x) - c->stall : 0;
	exchange_end(x, pipe, TW_ANSWERED, status, &c->drain_hash);
	drain_begin(x);
}

/* A response head has ended: what follows it. NEXT_DONE: the connection has left HTTP. */
static __always_inline enum next response_body(struct ctx *x)
{
	struct tw_conn *c = x->c;
	struct h1 *r = &c->rs;
	struct tw_pending *p;
	struct tw_pipe *pipe;

	if (unlikely(r->status < 200) && r->status != 101) {
		h1_reset(r, H1_RES);
		return NEXT_CAREFUL;
	}
	if (c->tail == c->head || pending_pipe(x, c->tail, 0, &pipe))
		return NEXT_LOST;
	p = pending_in(c, pipe, c->tail);
	if (unlikely(r->status == 101) || unlikely(p->flags & H1_F_CONNECT && r->status / 100 == 2)) {
		__u16 status = r->status;

		response_end(x, pipe);
		r->status = status; /* a tunnel or another protocol: see upgraded_end */
		count(x->l, c->version, TW_L_UPGRADED);
		c->kind = TW_IGNORED;
		return NEXT_DONE;
	}
	if (p->flags & H1_F_HEAD || r->status == 204 || r->status == 304) {
		response_end(x, pipe);
	} else if (r->flags & H1_F_CHUNKED) {
		r->left = 0;
		r->state = H1_CHUNK;
	} else if (r->flags & H1_F_HAS_LENGTH && !(r->flags & H1_F_OTHER_CODING)) {
		r->state = H1_BODY;
		if (!r->left)
			response_end(x, pipe);
	} else {
		r->state = H1_UNTIL_CLOSE;
	}
	return NEXT_CAREFUL;
}

/* Bytes of the response's body in the segment. */
static __always_inline void response_skip(struct ctx *x)
{
	struct tw_conn *c = x->c;
	struct tw_pipe *pipe;

	if (body_skip(x, &c->rs) && c->tail != c->head && !pending_pipe(x, c->tail, 0, &pipe))
		response_end(x, pipe);
}

/*
 * A response, or the rest of one, that nobody asked for (a server that closes an idle connection with 408; more bytes
 * than Content-Length says) is no exchange's: its bytes are passed over.
 */
static __always_inline void response_stray(struct tw_conn *c)
{
	if (c->rs.state == H1_RES)
		c->rs_flags |= TW_C_RS_STRAY;
	c->rs.state = H1_LOST;
}

/* A segment of responses, in step or, when step is lost, one that may start with a response. */
static __always_inline enum next response_segment(struct ctx *x)
{
	struct h1_head *h = &x->l->head;
	struct tw_conn *c = x->c;
	enum next next;
	__u32 n;

	c->t_last = x->now;
	if (likely(c->rs.state == H1_RES || c->rs.state == H1_LOST)) {
		if (unlikely(c->tail == c->head)) {
			response_stray(c);
			return NEXT_DONE;
		}
		n = window_load(x);
		if (unlikely(c->rs.state == H1_LOST)) {
			if (n < 8 || !h1_starts_response(x->l->window))
				return NEXT_DONE;
			h1_reset(&c->rs, H1_RES);
		}
		c->t_first = x->now;
		if (likely(n && scan_response(x->l, x->lane, n))) {
			c->rs.status = h->status;
			c->rs.flags = h->flags;
			c->rs.left = h->content_length;
			segment_advance(x, h->len);
			next = response_body(x);
			if (next != NEXT_CAREFUL)
				return next;
		}
	}
	if (x->s.len && is_counting(&c->rs))
		response_skip(x);
	return x->s.len ? NEXT_CAREFUL : NEXT_DONE;
}

static __always_inline enum next response_event(struct ctx *x, enum h1_event e)
{
	struct tw_conn *c = x->c;
	struct tw_pipe *pipe;

	if (e == H1_BROKEN)
		return NEXT_LOST;
	if (e == H1_CHUNK_AT) {
		c->rs.state = c->rs.left ? H1_CHUNK_DATA : H1_TRAILER;
	} else if (e == H1_HEAD) {
		return response_body(x);
	} else if (e == H1_END) {
		if (c->tail == c->head || pending_pipe(x, c->tail, 0, &pipe))
			return NEXT_LOST;
		response_end(x, pipe);
	}
	return NEXT_CAREFUL;
}

#endif
