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

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* A request's body has ended. */
static __always_inline void request_end(struct ctx *x)
{
	h1_reset(&x->c->rq, H1_REQ);
	request_whole(x);
}

/*
 * The length of a request's body cannot be known: no server reads on, it answers and closes (RFC 9112, 6.3 and 7.1).
 * The answer ends the exchange. If there is another one after all, that is when step is lost.
 */
static __always_inline void request_is_broken(struct h1 *p)
{
	p->state = H1_UNTIL_CLOSE;
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
		request_is_broken(p);
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
	if (exchange_push(x, h->hash, ep, h->flags & (H1_F_HEAD | H1_F_CONNECT), begin_time(x)))
		return NEXT_LOST;
	segment_advance(x, h->len);
	return request_body(x, begin_time(x));
}

/* Can a TLS record begin with these five bytes (RFC 8446, 5.1)? */
static __always_inline int is_tls_record(const __u8 *b)
{
	__u32 len = b[3] << 8 | b[4];

	return b[0] >= 20 && b[0] <= 24 && b[1] == 3 && b[2] <= 4 && len && len <= 16384 + 2048;
}

/* Is this a connection whose bytes are TLS records? Asked of its first ones, or the first seen. */
static __always_inline int tls_begins(struct ctx *x, __u32 n)
{
	struct tw_conn *c = x->c;

	if (x->plain || n < 5 || !is_tls_record(x->l->window))
		return 0;
	if (c->kind == TW_NEW ? x->l->window[0] != 0x16 : !c->joining)
		return 0;
	count(x->l, c->version, TW_L_TLS);
	c->kind = TW_TLS;
	return 1;
}

/*
 * A request without its first byte: Go's servers wait for the next one in a call that reads one byte, and of a call
 * that began before we came it is not known what it read.
 */
static __always_inline int is_beheaded(const __u8 *window, __u32 n)
{
	__u32 v = *(const __u32 *)window, three = v & 0xffffff;

#define WORD4(a, b, c, d) ((a) | (b) << 8 | (c) << 16 | (__u32)(d) << 24)
	return n >= 4 &&
	       (three == WORD4('E', 'T', ' ', 0) || three == WORD4('U', 'T', ' ', 0) ||
	        v == WORD4('O', 'S', 'T', ' ') || v == WORD4('E', 'A', 'D', ' ') || v == WORD4('E', 'L', 'E', 'T') ||
	        v == WORD4('A', 'T', 'C', 'H') || v == WORD4('P', 'T', 'I', 'O'));
#undef WORD4
}

/* The first byte of one, alone: the rest will follow. */
static __always_inline int is_headed(const struct ctx *x)
{
	return x->plain && x->s.len == 1 && x->l->window[0] >= 'A' && x->l->window[0] <= 'Z';
}

/* A request begins here, if it was lost where one does. */
static __always_inline void request_found(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (unlikely(c->rq.state == H1_LOST) && c->flags & TW_C_DECODED)
		count(x->l, c->version, TW_L_RESYNC);
	/* Written only if they must be: the line is the other side's, too. */
	if (unlikely(c->joining || c->rq_lost))
		c->joining = c->rq_lost = 0;
	h1_reset(&c->rq, H1_REQ);
}

/* Plaintext that no request begins with, on a connection that was found open: one has begun unseen. */
static __always_inline void plain_unknown(struct ctx *x)
{
	if (!x->plain || !x->c->joining || x->t->opaque)
		return;
	x->t->opaque = OPAQUE_UNSEEN;
	count(x->l, x->c->version, TW_L_OPAQUE_TLS);
}

/* Does HTTP/2 begin here, or go on where the connection was found open? */
static __always_inline int h2_is_found(struct ctx *x, __u32 n)
{
	const __u8 *b = x->l->window;

	if (x->c->kind == TW_NEW || is_h2(x->c))
		return h2_is_preface(b, n);
	return x->c->joining && n >= TW_H2_HEAD && h2_is_sign(b);
}

/*
 * A segment of requests, in step or, when step is lost, one that may start with a request: then it is joined there, but
 * not before the server has spoken: what was sent in one go with the lost bytes would be paired with their answers.
 */
static __always_inline enum next request_segment(struct ctx *x)
{
	struct tw_conn *c = x->c;
	enum next next;
	__u32 n;

	if (unlikely(c->rq.state == H1_LOST) && !c->joining && !c->spoke)
		return NEXT_DONE;
	if (likely(c->rq.state == H1_REQ || c->rq.state == H1_LOST)) {
		if (unlikely(c->spoke))
			c->spoke = 0;
		n = window_load(x);
		if (x->plain && unlikely(c->rq.state == H1_LOST) && is_beheaded(x->l->window, n)) {
			plain_unknown(x);
			return NEXT_DONE;
		}
		if (likely(n && scan_request(x->l, x->lane, n))) {
			request_found(x);
			next = request_head(x);
			if (unlikely(next != NEXT_CAREFUL))
				return next;
		} else if (unlikely(tls_begins(x, n))) {
			return NEXT_TLS;
		} else if (unlikely(h2_is_found(x, n))) {
			return NEXT_H2;
		} else if (c->rq.state == H1_LOST && !is_headed(x)) {
			plain_unknown(x);
			return NEXT_DONE;
		} else if (c->rq.state == H1_LOST) {
			request_found(x);
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
	struct tcp_sock *tp = x->ingress || x->by_tuple || x->plain ? 0 : bpf_skc_to_tcp_sock(x->sk);
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

	if (!x->plain && unlikely(c->rs.state != H1_RES) && c->t_first == x->now)
		c->stall = window_shut(x);
}

/* From the end of a response to the client's acknowledgement is draining: where to look for it. */
static __always_inline void drain_begin(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (x->ingress || x->plain || !is_drain_watched(&x->s, 0))
		return;
	c->drain_seq = x->s.seq;
	c->drain_endpoint = x->l->ended.endpoint;
	c->drain_version = x->l->ended.version;
	c->drain_t = c->t_last;
}

/* The response that is being written into a TLS session has its last byte; -1: too many are waiting to leave. */
static __always_inline int response_due(struct ctx *x)
{
	struct tw_tls *t = x->t;
	struct tls_due *d = &t->due[t->due_head & (TLS_DUES - 1)];

	if (t->due_head - *(volatile __u32 *)&t->due_tail >= TLS_DUES)
		return -1;
	d->begin = t->resp_begin;
	d->end = t->written - x->s.len;
	d->status = t->c.rs.status;
	d->t_first = t->resp_first;
	d->stall = t->resp_stall;
	t->resp_first = 0;
	t->flags &= ~TLS_PART;
	t->parsed++;
	h1_reset(&t->c.rs, H1_RES);
	barrier();
	t->due_head++;
	return 0;
}

/* The response has its last byte. */
static __always_inline void response_end(struct ctx *x, struct tw_pipe *pipe)
{
	struct tw_conn *c = x->c;
	__u16 status = c->rs.status;

	if (x->later) {
		if (response_due(x))
			c->rs.state = H1_BAD; /* see response_broken */
		return;
	}
	h1_reset(&c->rs, H1_RES);
	x->stall = unlikely(c->t_first != c->t_last) ? window_shut(x) - c->stall : 0;
	exchange_end(x, pipe, TW_ANSWERED, status, &c->drain_hash);
	drain_begin(x);
}

/*
 * What ends a response says so, and this does it, in one place: each copy would be followed by the verifier from every
 * place that leads to it.
 */
static __always_inline enum next response_ends(struct ctx *x, enum next next)
{
	struct tw_conn *c = x->c;
	__u16 status = c->rs.status;
	struct tw_pipe *pipe;

	if (unlikely(next != NEXT_ENDS) && next != NEXT_LEAVES)
		return next;
	if (unlikely(answering(x) == c->head))
		return NEXT_CAREFUL;
	if (pending_pipe(x, answering(x), 0, &pipe))
		return NEXT_LOST;
	response_end(x, pipe);
	if (likely(next == NEXT_ENDS))
		return NEXT_CAREFUL;
	c->rs.status = status; /* a tunnel or another protocol: see upgraded_end */
	c->rs.left = 0;        /* see h2_upgrades */
	count(x->l, c->version, TW_L_UPGRADED);
	c->kind = TW_IGNORED;
	return NEXT_DONE;
}

/* A response head has ended: what follows it. */
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
	if (answering(x) == c->head || pending_pipe(x, answering(x), 0, &pipe))
		return NEXT_LOST;
	p = pending_in(c, pipe, answering(x));
	if (unlikely(r->status == 101) || unlikely(p->flags & H1_F_CONNECT && r->status / 100 == 2))
		return NEXT_LEAVES;
	if (p->flags & H1_F_HEAD || r->status == 204 || r->status == 304)
		return NEXT_ENDS;
	if (r->flags & H1_F_CHUNKED) {
		r->left = 0;
		r->state = H1_CHUNK;
	} else if (r->flags & H1_F_HAS_LENGTH && !(r->flags & H1_F_OTHER_CODING)) {
		r->state = H1_BODY;
		if (!r->left)
			return NEXT_ENDS;
	} else {
		r->state = H1_UNTIL_CLOSE;
	}
	return NEXT_CAREFUL;
}

/* The first byte of a response, interim ones included. */
static __always_inline void response_begins(struct ctx *x)
{
	struct tw_tls *t = x->t;

	if (!x->later) {
		x->c->t_first = begin_time(x);
		return;
	}
	t->resp_first = 0;
	t->resp_begin = t->written - x->s.len;
	barrier();
	t->flags |= TLS_PART;
}

/*
 * A response, or the rest of one, that nobody asked for (a server that closes an idle connection with 408; more bytes
 * than Content-Length says) is no exchange's: its bytes are passed over. Behind a request whose end is not known it may
 * answer another one that was in there.
 */
static __always_inline enum next response_stray(struct tw_conn *c)
{
	if (unlikely(c->rq.state == H1_UNTIL_CLOSE))
		return NEXT_LOST;
	if (c->rs.state == H1_RES)
		c->rs_flags |= TW_C_RS_STRAY;
	c->rs.state = H1_LOST;
	return NEXT_DONE;
}

/*
 * A piece of fewer than eight bytes: can an answer begin so? Should it not, it breaks the grammar, and that is counted;
 * to pass over a real one would give its request the next answer.
 */
static __always_inline int may_start_response(const __u8 *b, __u32 n)
{
	return n && b[0] == 'H' && (n < 2 || b[1] == 'T') && (n < 3 || b[2] == 'T') && (n < 4 || b[3] == 'P') &&
	       (n < 5 || b[4] == '/');
}

/* A segment of responses, in step or, when step is lost, one that may start with a response. */
static __always_inline enum next response_segment(struct ctx *x)
{
	struct h1_head *h = &x->l->head;
	enum next next = NEXT_CAREFUL;
	struct tw_conn *c = x->c;
	__u32 n;

	if (!x->later)
		c->t_last = x->now;
	if (likely(c->rs.state == H1_RES || c->rs.state == H1_LOST)) {
		if (unlikely(answering(x) == c->head)) {
			/* A server may say its preface before it has the client's. */
			if ((c->kind == TW_NEW || is_h2(c)) && window_load(x) >= TW_H2_HEAD &&
			    h2_is_settings(x->l->window))
				return NEXT_H2;
			return response_stray(c);
		}
		n = window_load(x);
		if (x->later && unlikely(!n))
			return NEXT_LATE;
		if (unlikely(c->rs.state == H1_LOST)) {
			if (n < 8 ? !may_start_response(x->l->window, n) : !h1_starts_response(x->l->window))
				return NEXT_DONE;
			h1_reset(&c->rs, H1_RES);
		}
		response_begins(x);
		if (likely(n && scan_response(x->l, x->lane, n))) {
			c->rs.status = h->status;
			c->rs.flags = h->flags;
			c->rs.left = h->content_length;
			segment_advance(x, h->len);
			next = response_body(x);
		}
	}
	if (likely(next == NEXT_CAREFUL) && x->s.len && is_counting(&c->rs) && body_skip(x, &c->rs))
		next = NEXT_ENDS;
	next = response_ends(x, next);
	return next == NEXT_CAREFUL && !x->s.len ? NEXT_DONE : next;
}

static __always_inline enum next response_event(struct ctx *x, enum h1_event e)
{
	struct tw_conn *c = x->c;

	if (e == H1_BROKEN)
		return NEXT_LOST;
	if (e == H1_CHUNK_AT) {
		c->rs.state = c->rs.left ? H1_CHUNK_DATA : H1_TRAILER;
	} else if (e == H1_HEAD) {
		return response_body(x);
	} else if (e == H1_END) {
		return answering(x) == c->head ? NEXT_LOST : NEXT_ENDS;
	}
	return NEXT_CAREFUL;
}

#endif
