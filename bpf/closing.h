/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What ends with a close, a reset, or the loss of step: which outcomes, and the program that ends exchanges with them.
 */
#ifndef TW_CLOSING_H
#define TW_CLOSING_H

/* Where responses arrive, a FIN may come before the bytes in front of it: it counts when they have come. */
static __always_inline __u8 fin_in_turn(struct ctx *x, __u8 tcp_flags)
{
	struct tw_conn *c = x->c;

	if (tcp_flags & TCP_FIN && (__s32)(x->s.seq + x->s.len - c->rs.next) > 0) {
		c->rs_fin = x->s.seq + x->s.len;
		c->rs_flags |= TW_C_RS_FIN_DUE;
		return tcp_flags & ~TCP_FIN;
	}
	if (c->rs_flags & TW_C_RS_FIN_DUE && c->rs.next == c->rs_fin) {
		c->rs_flags &= ~TW_C_RS_FIN_DUE;
		return tcp_flags | TCP_FIN;
	}
	return tcp_flags;
}

/* What the server's close means for what is in flight. */
static __always_inline __u32 server_closes(const struct tw_conn *c)
{
	__u8 first, rest;

	if (c->rs.state == H1_LOST)
		return FLUSH(TW_UNOBSERVED, TW_UNOBSERVED);
	rest = c->rq_ends & TW_C_RQ_FIN ? TW_CLIENT_ABANDONED : TW_UNANSWERED;
	if (c->rs.state == H1_UNTIL_CLOSE)
		first = TW_ANSWERED;
	else if (c->rq_ends & TW_C_RQ_FIN)
		first = TW_CLIENT_ABANDONED;
	else
		first = c->rs.state != H1_RES ? TW_TRUNCATED : TW_UNANSWERED;
	return FLUSH(first, rest);
}

/*
 * What a side's FIN or RST means for what is in flight: the outcomes to flush with, or 0 when nothing ends (no flush is
 * 0: an exchange that a close ends is never all TW_ANSWERED).
 */
static __always_inline __u32 stream_close(struct ctx *x, __u8 tcp_flags, int requests)
{
	struct tw_conn *c = x->c;
	__u32 next = requests ? c->rq.next : c->rs.next;
	__u8 rest, fin;

	if (x->ingress && !requests)
		tcp_flags = fin_in_turn(x, tcp_flags);
	if (likely(!(tcp_flags & (TCP_FIN | TCP_RST))))
		return 0;
	/*
	 * A RST that arrives counts only where TCP expects it (RFC 5961, 3.2); others are answered by a challenge. A
	 * FIN that came before it takes a place in the stream.
	 */
	fin = requests ? c->rq_ends & TW_C_RQ_FIN : c->rs_flags & TW_C_RS_FIN;
	if (x->ingress && tcp_flags & TCP_RST && x->s.seq != next && !(fin && x->s.seq == next + 1))
		return 0;
	if (tcp_flags & TCP_RST)
		idle_reset(c, requests);
	/* Whoever closed first ended it: what resets a connection after that is often the kernel. */
	if (requests) {
		if (!(tcp_flags & TCP_RST) && !fin)
			c->t_rq_fin = x->now ? x->now : segment_time(x);
		c->rq_ends |= tcp_flags & TCP_RST ? TW_C_RQ_RST : TW_C_RQ_FIN;
		rest = fin ? TW_CLIENT_ABANDONED : TW_RESET_BY_CLIENT;
		return tcp_flags & TCP_RST ? FLUSH(rest, rest) : 0;
	}
	c->rs_flags |= tcp_flags & TCP_RST ? TW_C_RS_RST : TW_C_RS_FIN;
	if (tcp_flags & TCP_RST) {
		rest = c->rq_ends & TW_C_RQ_FIN ? TW_CLIENT_ABANDONED : TW_RESET_BY_SERVER;
		return FLUSH(rest, rest);
	}
	return server_closes(c);
}

/* Step is lost for good or until a place to join again is found: what to flush with. */
static __always_inline __u32 conn_lost(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (unlikely(is_h2(c)))
		return 0; /* as another CPU has found: what is missed is its to tell */
	/* What could not be followed to its end may be HTTP all the same; what broke the grammar at once is not. */
	if (c->kind == TW_NEW && c->rq.state == H1_BAD) {
		count(x->l, c->version, TW_L_NOT_HTTP);
		c->kind = TW_IGNORED;
		return 0;
	}
	c->kind = TW_HTTP;
	count(x->l, c->version, TW_L_DESYNC);
	return FLUSH(TW_UNOBSERVED, TW_UNOBSERVED) | FLUSH_LOST;
}

/*
 * Both streams wait for a place to join again: for the requests, not before the server has spoken. One that has gone
 * astray has none.
 */
static __always_inline void streams_lose(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (is_astray(c))
		c->kind = TW_IGNORED;
	c->rq.state = c->rs.state = H1_LOST;
	c->in_head = 0;
	c->rq_lost = 1;
	c->spoke = x->ingress == !!(c->flags & TW_C_CLIENT);
}

/* The end of every packet program: flushes if something has to end, and gives back what was claimed. */
static __always_inline int packet_end(struct ctx *x, void *tails, __u32 flush)
{
	struct tw_conn *c = x->c;

	if (unlikely(flush) && (flush & FLUSH_LOST || is_in_flight(c))) {
		x->skb->cb[0] = x->lane;
		x->skb->cb[2] = flush;
		x->skb->cb[3] = x->by_tuple << 8;
		turn_end(x);
		bpf_tail_call(x->skb, tails, TAIL_FLUSH);
		/* Out of tail calls: what is in flight stays so, and is ended with the socket. */
		streams_lose(x);
	}
	return packet_done(x);
}

/* Ends what is in flight with the outcomes in cb[2]. The status of a response that had begun is kept. */
static __always_inline int flush(struct __sk_buff *skb, int ingress, void *tails)
{
	struct ctx x = { .skb = skb };
	__u32 what = skb->cb[2];
	struct tw_conn *c;
	int mine;

	skb->cb[1] = 0;
	if (!careful_enter(&x, ingress))
		return 1;
	x.now = segment_time(&x);
	c = x.c;
	streaming_end(c, what & 0xff);
	mine = claim(&c->cutting);
	if (likely(mine)) {
		exchanges_cut(&x, &what);
		if (is_in_flight(c))
			exchanges_cut_piped(&x, pipe_get(&x, 0), &what, FLUSH_STEP);
		claim_release(&c->cutting);
	}
	skb->cb[2] = what;
	if (mine && is_in_flight(c)) {
		turn_end(&x);
		bpf_tail_call(skb, tails, TAIL_FLUSH);
	}
	if (what & FLUSH_LOST) {
		streams_lose(&x);
		c->held = 0;
	} else if (c->rs.state != H1_LOST) {
		h1_reset(&c->rs, H1_RES);
	}
	return packet_done(&x);
}

#endif
