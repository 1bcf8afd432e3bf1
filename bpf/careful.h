/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The careful engine's programs: heads that come in pieces, chunked bodies, several messages in a segment, segments
 * that were held back. Reached by tail call.
 *
 * Bounded: CAREFUL_WINDOWS windows a program; for more it calls itself.
 */
#ifndef TW_CAREFUL_H
#define TW_CAREFUL_H

#define CAREFUL_WINDOWS 8

/* Up to H1_CAREFUL bytes into the window. Returns how many, 0 on failure. */
static __always_inline __u32 careful_load(struct ctx *x, __u32 held_at)
{
	__u32 n = x->s.len, at;
	struct tw_held *h;

	if (n > H1_CAREFUL)
		n = H1_CAREFUL;
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (H1_CAREFUL - 1)) + 1;
	/* A value of its own each time, or the windows to come are proved once with a held segment and once without. */
	if (x->plain)
		return bpf_probe_read_user(x->l->window, n, x->user + x->s.off) ? 0 : n;
	held_at ^= x->l->zero;
	if (!held_at)
		return bpf_skb_load_bytes(x->skb, x->s.off, x->l->window, n) ? 0 : n;
	h = held_get(x, 0);
	at = x->s.off;
	if (!h || at > TW_HELD_MOST)
		return 0;
	held_at = (held_at - 1) & (TW_HELD - 1);
	return bpf_probe_read_kernel(x->l->window, n, &h->data[held_at][at]) ? 0 : n;
}

/*
 * What can be long goes by in windows of another size: many small chunks, also when the segment begins inside one, and
 * lines that nobody wants to know. 1: some of it has gone; 0: it is the automaton's.
 */
static __always_inline int careful_leap(struct ctx *x, struct h1 *p)
{
	__u32 state = p->state, n;

	/* A product, because the verifier would follow each of three comparisons through all windows to come. */
	if ((state ^ H1_CHUNK) * (state ^ H1_CHUNK_END) * (state ^ H1_SKIP) || x->s.len <= H1_CAREFUL)
		return 0;
	n = window_load(x);
	if (n)
		n = leap(x->lane, n, state);
	if (!n || n > x->s.len)
		return 0;
	if (p->state == H1_CHUNK_END)
		p->state = H1_CHUNK;
	segment_advance(x, n);
	return 1;
}

/* One window of the segment: body bytes are counted off, others go through the automaton. */
static __always_inline enum next careful_step(struct ctx *x, int requests, __u32 held_at)
{
	struct tw_conn *c = x->c;
	struct h1 *p = requests ? &c->rq : &c->rs;
	enum h1_event e;
	__u32 n;
	__u8 from = p->state;

	if (is_counting(p)) {
		if (!body_skip(x, p))
			return NEXT_CAREFUL;
		if (!requests)
			return NEXT_ENDS;
		h1_reset(p, H1_REQ);
		return NEXT_CAREFUL;
	}
	if (requests && p->state == H1_REQ) {
		c->t_head = begin_time(x);
	} else if (!requests && p->state == H1_RES) {
		if (answering(x) == c->head && response_stray(c) == NEXT_LOST)
			return NEXT_LOST;
		response_begins(x);
	}
	if (p->state == H1_LOST) {
		segment_advance(x, x->s.len);
		return NEXT_DONE;
	}
	if (!held_at && careful_leap(x, p))
		return NEXT_CAREFUL;
	n = careful_load(x, held_at);
	if (!n)
		return NEXT_LOST;
	x->l->run = *p;
	if (!requests)
		x->l->text.length = c->rs_length;
	e = requests ? run_request(x->lane, n) : run_response(x->lane, n);
	*p = x->l->run;
	if (!requests)
		c->rs_length = x->l->text.length;
	segment_advance(x, x->l->used);
	if (requests && unlikely(e == H1_BROKEN) && from >= H1_CHUNK && from < H1_BAD) {
		request_is_broken(p);
		return NEXT_CAREFUL;
	}
	return requests ? request_event(x, e) : response_event(x, e);
}

static __always_inline enum next careful_window(struct ctx *x, int requests, __u32 held_at)
{
	enum next next;

	segment_hide(x);
	next = careful_step(x, requests, held_at);
	return requests ? next : response_ends(x, next);
}

/*
 * The preface of HTTP/2, of which only a byte or two had come at first, looks like a request until its version: twelve
 * bytes of it have been taken then. On to the programs that follow such connections, if it is that.
 */
static __always_inline void careful_h2(struct ctx *x, void *tails)
{
	struct tw_conn *c = x->c;

	if (x->l->text.method != ('P' | 'R' << 8 | 'I' << 16) || c->rq.state != H1_BAD || !h2_begins(x))
		return;
	c->rq.left = H2_PREFACE - 12;
	c->rq.next = x->s.seq;
	packet_tail(x, tails, TAIL_H2_FIRST);
}

/*
 * All before `end` has been read. Not said before: who brings what follows goes on from here. Nor by who brought
 * nothing, for another CPU may have come further meanwhile.
 */
static __always_inline void careful_done(struct ctx *x, int requests, __u32 len, __u32 end)
{
	turn_end(x);
	if (!len)
		return;
	barrier();
	*(volatile __u32 *)(requests ? &x->c->rq.next : &x->c->rs.next) = end;
}

static __always_inline int careful(struct __sk_buff *skb, int ingress, int requests, void *tails, __u32 self)
{
	struct ctx x = { .skb = skb };
	struct h1_text *t = 0;
	struct tw_held *h;
	enum next next = NEXT_CAREFUL;
	__u32 held_at = skb->cb[4], len, end, flush, i;

	if (!careful_enter(&x, ingress))
		return 1;
	if (requests) {
		t = text_get(&x, 1);
		if (!t)
			return packet_end(&x, tails, conn_lost(&x));
		if (is_in_head(x.c->rq.state))
			x.l->text = *t;
	}
	x.now = segment_time(&x);
	len = x.s.len;
	end = x.s.seq + len;
	if (ingress && held_at) {
		h = held_get(&x, 0);
		if (h) {
			x.now = h->s[(held_at - 1) & (TW_HELD - 1)].t;
			end = h->s[(held_at - 1) & (TW_HELD - 1)].seq + h->s[(held_at - 1) & (TW_HELD - 1)].len;
		}
	}
	held_at ^= x.l->zero; /* see careful_load */
	count(x.l, x.c->version, TW_L_CAREFUL);
	if (!requests)
		x.c->t_last = x.now;
	for (i = 0; i < CAREFUL_WINDOWS && next == NEXT_CAREFUL && x.s.len && x.c->kind != TW_IGNORED; i++)
		next = careful_window(&x, requests, held_at);
	if (!requests)
		response_goes_on(&x);
	if (t) {
		x.c->in_head = is_in_head(x.c->rq.state);
		if (x.c->in_head)
			*t = x.l->text;
	}
	if (next == NEXT_CAREFUL && x.s.len && x.c->kind != TW_IGNORED) {
		skb->cb[1] = x.s.off;
		skb->cb[2] = x.s.len;
		careful_again(&x, tails, self);
		next = NEXT_LOST;
	}
	if (requests && unlikely(next == NEXT_LOST) && x.c->kind == TW_NEW && !held_at)
		careful_h2(&x, tails);
	careful_done(&x, requests, len, end);
	flush = stream_close(&x, x.s.tcp_flags, requests);
	if (next == NEXT_LOST)
		flush = conn_lost(&x);
	else if (ingress)
		flush |= careful_held(&x, requests, tails, self) ? conn_lost(&x) : 0;
	return packet_end(&x, tails, flush);
}

#endif
