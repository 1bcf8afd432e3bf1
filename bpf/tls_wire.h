/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS on the wire: where records begin and end, and when they passed. RFC 8446, 5.1.
 *
 * Invariants: bytes of records are counted, never read, but for their heads and the two hellos; where records begin is
 * known or said not to be (tls_half.lost), and then times are those of segments; a response has left when the record
 * with its last byte has.
 */
#ifndef TW_TLS_WIRE_H
#define TW_TLS_WIRE_H

#define TLS_ALERT     21
#define TLS_HANDSHAKE 22
#define TLS_DATA      23
#define TLS_HEAD      5
#define TLS_TAG       16 /* the least that a record has beside its plaintext */
#define TLS_RECORDS   4  /* a program's; it calls itself for more */
#define TLS_STEP      4  /* responses a program's */
#define TLS_SLACK     96 /* the most, for ciphers whose records are padded */

/* ---- arrivals ---------------------------------------------------------------------------------------------------- */

/*
 * Application data has arrived. A process that is far behind has its newest records taken together; of what is handed
 * over unseen the oldest are forgotten.
 */
static __always_inline void span_add(struct tw_tls *t, __u32 len, __u32 records, __u64 first, __u64 last)
{
	__u32 n = t->span_head;
	struct tls_span *s;

	if (unlikely(t->opaque) && n - t->span_tail >= TLS_SPANS && is_unread(t))
		t->span_tail = n - TLS_SPANS + 1;
	if (n - *(volatile __u32 *)&t->span_tail >= TLS_SPANS) {
		s = &t->span[(n - 1) & (TLS_SPANS - 1)];
		s->len += len;
		s->records = records && s->records ? s->records + records : 0;
		s->t_last = last;
		return;
	}
	s = &t->span[n & (TLS_SPANS - 1)];
	s->t_first = first;
	s->t_last = last;
	s->t_read = t->t_part;
	s->len = len;
	s->records = records;
	t->t_part = 0;
	barrier();
	t->span_head = n + 1;
}

/* What arrived was handed over unseen, but for the newest, if that is being read just now, or not yet. */
static __always_inline void spans_trim(struct tw_tls *t, int reads)
{
	__u32 head = *(volatile __u32 *)&t->span_head;

	if (head == t->span_tail)
		return;
	if (reads || !t->span[(head - 1) & (TLS_SPANS - 1)].t_read)
		head--;
	t->span_tail = head;
	t->span_used = 0;
}

/* ---- departures -------------------------------------------------------------------------------------------------- */

/* Plaintext in a record that leaves with `rest` bytes still to leave, at most that. */
static __always_inline __u32 record_plain(struct tw_tls *t, __u32 len, __u32 rest)
{
	__u32 n;

	if (t->overhead)
		n = len > t->overhead ? len - t->overhead : 0;
	else if (len >= rest + TLS_TAG && len <= rest + TLS_SLACK)
		n = rest;
	else
		n = len > TLS_TAG ? len - TLS_TAG : 0;
	return n < rest ? n : rest;
}

/* Responses of which the first byte has left, at `first`: those that begin below t->gone. */
static __always_inline void departs_first(struct ctx *x, __u64 first)
{
	__u32 i, n;
	struct tw_tls *t = x->t;
	struct tls_due *d;

	n = *(volatile __u32 *)&t->due_head;
	if ((__s32)(t->due_tail - t->due_first) > 0)
		t->due_first = t->due_tail;
	for (i = 0; i < TLS_STEP; i++) {
		if (t->due_first == n)
			break;
		d = &t->due[t->due_first & (TLS_DUES - 1)];
		if ((__s32)(t->gone - d->begin) <= 0)
			return;
		if (!d->t_first)
			d->t_first = first;
		t->due_first++;
	}
	if (t->flags & TLS_PART && !t->resp_first && (__s32)(t->gone - t->resp_begin) > 0) {
		t->resp_first = first;
		t->resp_stall = window_shut(x);
	}
}

/* Has the oldest response left? */
static __always_inline int is_gone(struct tw_tls *t)
{
	return t->due_tail != *(volatile __u32 *)&t->due_head &&
	       (__s32)(t->gone - t->due[t->due_tail & (TLS_DUES - 1)].end) >= 0;
}

/* The oldest response has left. 0, or -1 when its request cannot be found. */
static __always_inline int due_ends(struct ctx *x, struct tls_due *d)
{
	struct tw_conn *c = x->c;
	struct tw_pipe *pipe;

	if (!is_in_flight(c) || pending_pipe(x, c->tail, 0, &pipe))
		return -1;
	c->t_first = d->t_first ? d->t_first : x->now;
	c->t_last = x->now;
	x->stall = unlikely(c->t_first != c->t_last) ? window_shut(x) - d->stall : 0;
	exchange_end(x, pipe, TW_ANSWERED, d->status, &c->drain_hash);
	drain_begin(x);
	return 0;
}

/* Ends what has left in full, a few at a time; 1: there is more. */
static __always_inline int departs(struct ctx *x)
{
	struct tw_tls *t = x->t;
	__u32 i;

	for (i = 0; i < TLS_STEP; i++) {
		if (!is_gone(t))
			return 0;
		if (due_ends(x, &t->due[t->due_tail & (TLS_DUES - 1)]))
			return 0;
		barrier();
		t->due_tail++;
	}
	return is_gone(t);
}

/* ---- good-byes --------------------------------------------------------------------------------------------------- */

static __always_inline int is_alert(const struct tw_tls *t, const struct tls_half *h)
{
	return h->type == TLS_ALERT || (h->type == TLS_DATA && h->len == TLS_ALERT_LIKE && t->version != 0x0303);
}

/*
 * A record that holds nothing of what was written leaves the server: is it the good-bye that some servers wait to be
 * answered before they close? It is theirs when the client has spoken last, with data: an alert of its own would have
 * been the first, and of renegotiation TLS 1.2 may say with an alert that there is none.
 */
static __always_inline void bye_look(struct ctx *x, const struct tls_half *h)
{
	struct tw_tls *t = x->t;

	if (x->c->flags & TW_C_CLIENT || t->flags & TLS_LATE || !is_alert(t, h))
		return;
	if (t->in.type == TLS_DATA && !is_alert(t, &t->in))
		t->flags |= TLS_BYE;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static __always_inline void record_unread(struct ctx *x, const struct tls_half *h)
{
	tls_unread_record(x->t->cookie, x->ingress == !(x->c->flags & TW_C_CLIENT), h->t_first, x->now);
}

/* The client's good-bye is a close as its FIN is: it may wait for the server's answer before that. */
static __always_inline void bye_arrives(struct ctx *x, const struct tls_half *h)
{
	struct tw_conn *c = x->c;

	if (c->flags & TW_C_CLIENT || c->rq_ends & TW_C_RQ_FIN || !is_alert(x->t, h) || !(x->t->flags & TLS_TOOK))
		return;
	c->t_rq_fin = x->now;
	c->rq_ends |= TW_C_RQ_FIN;
	x->t->flags |= TLS_LEFT;
}

static __always_inline void record_arrived(struct ctx *x, struct tls_half *h)
{
	bye_arrives(x, h);
	if (h->type != TLS_DATA)
		return;
	if (h->len != TLS_ALERT_LIKE || x->t->version == 0x0303)
		h->data++;
	if (unlikely(is_unread(x->t)))
		record_unread(x, h);
	span_add(x->t, h->len, 1, h->t_first, x->now);
}

static __always_inline void record_left(struct ctx *x, struct tls_half *h)
{
	struct tw_tls *t = x->t;
	__u32 n;

	if (unlikely(h->type != TLS_DATA)) {
		bye_look(x, h);
		return;
	}
	h->data++;
	if (unlikely(is_unread(t)))
		record_unread(x, h);
	n = record_plain(t, h->len, *(volatile __u32 *)&t->written - t->gone);
	if (!n) {
		bye_look(x, h);
		return;
	}
	t->gone += n;
	departs_first(x, h->t_first);
}

/* Where records begin is not known from here on. */
static __always_inline void wire_lost(struct ctx *x, struct tls_half *h)
{
	if (!h->lost)
		count(x->l, x->c->version, TW_L_TLS_UNFRAMED);
	h->lost = 1;
	h->left = h->have = 0;
	x->t->turn_begin = 0; /* what belongs to it cannot be told */
}

/* Takes bytes of a record's head. Returns how many, 0 when the head is none. */
static __always_inline __u32 record_head(struct ctx *x, struct tls_half *h)
{
	__u32 want = TLS_HEAD - h->have, n = x->s.len < want ? x->s.len : want, at;
	__u8 *b = x->l->window;

	if (!h->have)
		h->t_first = x->now;
	if (unlikely(h->have))
		__builtin_memcpy(b, h->head, TLS_HEAD);
	at = h->have & 7;
	asm volatile("" : "+r"(n)); /* see window_load */
	n = ((n - 1) & 7) + 1;
	if (n > TLS_HEAD || bpf_skb_load_bytes(x->skb, x->s.off, b + at, n))
		return 0;
	h->have += n;
	if (unlikely(h->have < TLS_HEAD)) {
		__builtin_memcpy(h->head, b, TLS_HEAD);
		return n;
	}
	if (!is_tls_record(b))
		return 0;
	h->type = b[0];
	h->len = h->left = b[3] << 8 | b[4];
	return n;
}

/* One record of the segment, or what there is of it. 0: it is none. */
static __always_inline int wire_record(struct ctx *x, struct tls_half *h)
{
	__u32 n;

	if (!h->left) {
		n = record_head(x, h);
		if (!n)
			return 0;
		segment_advance(x, n);
		if (h->have < TLS_HEAD)
			return 1;
		if (h->type == TLS_HANDSHAKE && !x->t->version)
			hello_seen(x);
	}
	n = x->s.len < h->left ? x->s.len : h->left;
	h->left -= n;
	segment_advance(x, n);
	if (h->left)
		return 1;
	h->have = 0;
	if (x->ingress)
		record_arrived(x, h);
	else
		record_left(x, h);
	return 1;
}

/* The whole segment while records cannot be told apart. */
static __always_inline void wire_unframed(struct ctx *x)
{
	struct tw_tls *t = x->t;

	if (x->ingress) {
		span_add(t, x->s.len, 0, x->now, x->now);
	} else {
		t->gone = *(volatile __u32 *)&t->written;
		departs_first(x, x->now);
	}
	segment_advance(x, x->s.len);
}

/*
 * Records are found again at a segment that starts with the head of one, when all before it has been consumed: by the
 * process, or by the network.
 */
static __always_inline void wire_finds(struct ctx *x, struct tls_half *h)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(x->sk);
	__u8 b[8] = {};

	if (!tp || x->s.len < TLS_HEAD || bpf_skb_load_bytes(x->skb, x->s.off, b, TLS_HEAD) || !is_tls_record(b))
		return;
	if (x->ingress && tp->copied_seq != x->s.seq)
		return;
	h->lost = 0;
	h->left = h->have = 0;
}

#endif
