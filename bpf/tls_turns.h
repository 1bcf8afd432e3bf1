/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What can be told of a TLS connection whose plaintext nobody sees: its two sides take turns. A turn begins with the
 * client's first record of data after the server's last one and ends with the server's last one before the client's
 * next, or with the connection. With HTTP/1 that is an exchange, unless the client does not wait for its answers.
 *
 * Invariants: turns are in no ledger, at no endpoint and in no verdict; only server ends have them; one is counted
 * under one outcome, TW_ANSWERED when a byte of data came back, as nothing shows whether it was all. The client's side
 * writes turn_begin and turn_asked, the server's the other two: where both pass at once a turn may be cut in two.
 */
#ifndef TW_TLS_TURNS_H
#define TW_TLS_TURNS_H

/* For whoever has no lane in hand. */
static __always_inline void tls_count(__u32 version, enum tw_ledger what)
{
	struct tw_lane *l;
	__u32 lane;

	l = lane_claim(&lane);
	if (!l)
		return;
	count(l, version, what);
	lane_release(l);
}

static __always_inline struct tw_turns *turns_of(const struct tw_tls *t)
{
	__u32 version = t->c.version | (t->flags & TLS_WITHHELD ? TW_TURNS_WITHHELD : 0);
	struct tw_turns *n = bpf_map_lookup_elem(&tls_turns, &version);

	if (n)
		return n;
	bpf_map_update_elem(&tls_turns, &version, &tls_no_turns, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tls_turns, &version);
}

static __always_inline void turn_time(struct tw_turns *n, __u32 kind, __u64 ns)
{
	__u32 bucket = latency_bucket(ns);

	if (bucket >= TW_BUCKETS)
		return;
	__sync_fetch_and_add(&n->b[kind][bucket], 1);
	__sync_fetch_and_add(&n->sum[kind], ns);
	if (ns > n->max[kind])
		n->max[kind] = ns;
}

/* Counts the turn that is open with its outcome, or as a timeout where its answer had not begun in time. */
static __always_inline void turn_count(struct tw_tls *t, __u32 outcome, __u64 now)
{
	struct tw_turns *n = turns_of(t);
	__u64 begin = t->turn_begin, first = t->turn_first;

	if (!n)
		return;
	if (since(t->turn_asked, first ? first : now) > response_timeout)
		outcome = TW_TIMEOUT;
	if (outcome < TW_OUTCOME_NR)
		__sync_fetch_and_add(&n->outcome[outcome], 1);
	if (outcome != TW_ANSWERED)
		return;
	turn_time(n, TW_TURN_FIRST, since(begin, first));
	turn_time(n, TW_TURN_LAST, since(begin, t->turn_last));
}

static __always_inline void turn_begins(struct tw_tls *t, __u64 first, __u64 last)
{
	struct tw_turns *n = turns_of(t);

	t->turn_asked = last;
	t->turn_first = 0;
	t->turn_begin = first;
	if (n)
		__sync_fetch_and_add(&n->begun, 1);
}

/* The open turn was none. */
static __always_inline void turn_forget(struct tw_tls *t)
{
	struct tw_turns *n = t->turn_begin ? turns_of(t) : 0;

	if (n)
		__sync_fetch_and_add(&n->begun, -1);
	t->turn_begin = 0;
}

/* From here on there is plaintext, or none again: the turn that is open belongs to the time that is over. */
static __always_inline void turn_leave(struct tw_tls *t)
{
	if (t->turn_begin && t->turn_first)
		turn_count(t, TW_ANSWERED, t->turn_last);
	else
		turn_forget(t);
	t->turn_begin = 0;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

/*
 * With TLS 1.3 the handshake's last message and alerts are disguised as data (RFC 8446, 5.2): of these alerts can be
 * told by their length.
 */
#define TLS_ALERT_LIKE 19

/* Could this be one of those messages: an alert, the end of early data, "finished" with SHA-256 or SHA-384? */
static __always_inline int is_disguised(const struct tw_tls *t, __u32 len)
{
	return t->version != 0x0303 && (len == TLS_ALERT_LIKE || len == 21 || len == 53 || len == 69);
}

/* Records of a side that look like data and are its handshake's end. */
static __always_inline __u32 finishing(const struct tw_tls *t)
{
	return t->version == 0x0303 || t->flags & TLS_OPEN ? 0 : 1;
}

/* Records of the asking side that were requests, or parts of one. */
static __always_inline __u32 asked(const struct tw_tls *t, const struct tls_half *asking)
{
	__u32 handshake = finishing(t);

	return asking->data > handshake ? asking->data - handshake : 0;
}

/* Has nobody seen any plaintext of it, and is it not known in which session of its process one would? Or not now? */
static __always_inline int is_unread(const struct tw_tls *t)
{
	return t->flags & TLS_WITHHELD || (!(t->flags & (TLS_TOOK | TLS_JOINED)) && !t->written);
}

/* A record of the client's data, from its first to its last byte. */
static __always_inline void turn_asks(struct tw_tls *t, __u64 first, __u64 last)
{
	if (t->turn_begin && t->turn_first)
		turn_count(t, TW_ANSWERED, last);
	if (!t->turn_begin || t->turn_first)
		turn_begins(t, first, last);
	t->turn_asked = last;
}

/* Data was answered, or refused one, that nobody has seen: what the client has sent by now is the first turn. */
static __always_inline void opaque_begins(struct tw_tls *t)
{
	__u32 last = t->span_head - 1, at = t->span_tail + finishing(t);

	t->opaque = t->flags & TLS_WITHHELD ? OPAQUE_WITHHELD : OPAQUE_UNSEEN;
	tls_count(t->c.version, TW_L_OPAQUE_TLS);
	if (t->opaque == OPAQUE_WITHHELD)
		tls_count(t->c.version, TW_L_TLS_WITHHELD);
	if (t->c.flags & TW_C_CLIENT)
		return;
	if ((__s32)(last - at) < 0)
		at = last;
	turn_begins(t, t->span[at & (TLS_SPANS - 1)].t_first, t->span[last & (TLS_SPANS - 1)].t_last);
}

static __always_inline void turn_answers(struct tw_tls *t, __u64 first, __u64 last)
{
	if (!t->turn_begin)
		return;
	t->turn_last = last;
	if (!t->turn_first)
		t->turn_first = first;
}

/*
 * A record of data has passed on a connection that is not read: of the asking side, or an answer. A function of its
 * own, to be proved once; always 0.
 */
__attribute__((noinline)) int tls_unread_record(__u64 cookie, __u32 asks, __u64 first, __u64 last)
{
	struct tw_tls *t = bpf_map_lookup_elem(&tls_conns, &cookie);
	struct tls_half *asking, *h;
	int client;

	if (!t)
		return 0;
	client = !!(t->c.flags & TW_C_CLIENT);
	asking = client ? &t->out : &t->in;
	h = !asks == !client ? &t->out : &t->in;
	if (!t->opaque && !asks && asked(t, asking))
		opaque_begins(t);
	/* That a connection is going to be closed is no answer. */
	if (!t->opaque || client || (h->len == TLS_ALERT_LIKE && t->version != 0x0303))
		return 0;
	if (asks)
		turn_asks(t, first, last);
	else
		turn_answers(t, first, last);
	return 0;
}

/* Has its process taken a request that was not answered, and that nobody has seen? */
static __always_inline int ends_unanswered(const struct tw_tls *t)
{
	const struct tls_span *last = &t->span[(t->span_head - 1) & (TLS_SPANS - 1)];

	if (!last->t_read)
		return 0;
	if (t->flags & TLS_WITHHELD)
		return t->span_head != t->span_tail && !is_disguised(t, last->len);
	return !t->c.pushed && asked(t, &t->in);
}

/*
 * A connection that is not read ends: with this outcome, if nothing was answered yet. What its process has not even
 * asked the network for is not opaque: see tls_unread. Always 0.
 *
 * Both sides may close at once, on two CPUs: the first to come is kept in mind, and the turn ends with the socket, for
 * which nothing passes any more. Kernels that do not tell of that take the risk of counting it twice.
 */
__attribute__((noinline)) int tls_unread_ends(__u64 cookie, __u32 outcome, __u64 now, __u32 gone)
{
	struct tw_tls *t = bpf_map_lookup_elem(&tls_conns, &cookie);

	if (!t || t->c.flags & TW_C_CLIENT)
		return 0;
	/* Where plaintext would be looked for it would not be known what is in flight; a turn is. */
	if (outcome == TW_UNOBSERVED)
		outcome = t->c.rq_ends & TW_C_RQ_FIN ? TW_CLIENT_ABANDONED : TW_UNANSWERED;
	if (!t->turn_over) {
		t->turn_outcome = outcome;
		t->turn_over = now;
	}
	if (sockets_tell_of_their_end && !gone)
		return 0;
	if (!t->opaque && ends_unanswered(t))
		opaque_begins(t);
	if (t->turn_begin)
		turn_count(t, t->turn_first ? TW_ANSWERED : t->turn_outcome, t->turn_over);
	t->turn_begin = 0;
	return 0;
}

#endif
