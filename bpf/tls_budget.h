/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes whose TLS is not read for a while, because reading it costs too much: user space takes its programs out of
 * some workers of a version (user/session/tls_budget.c), and puts them in again later.
 *
 * Invariants: a connection of such a process is left to itself between two exchanges; one that is in the middle of some
 * when the programs go is left with them, and these requests are taken back from the ledger (TW_L_TLS_WITHDRAWN): they
 * are neither lost nor broken. From then on it is opaque, with turns of its own (TW_TURNS_WITHHELD). Plaintext that is
 * seen of it again is joined midstream. Sessions of another protocol go on: they are followed on the wire.
 */
#ifndef TW_TLS_BUDGET_H
#define TW_TLS_BUDGET_H

/* enum tw_withheld of a process; 0: its TLS is read. */
static __always_inline __u32 withheld_how(__u32 tgid)
{
	__u32 *how;

	if (likely(!tls_withholding))
		return 0;
	how = bpf_map_lookup_elem(&tls_withheld, &tgid);
	return how ? *how : 0;
}

/* Streams of HTTP/2 are not taken back, but end unobserved. */
static __always_inline void withheld_begins(struct tw_tls *t)
{
	t->flags |= TLS_WITHHELD;
	if (t->c.kind == TW_H2)
		h2_gone(&t->c, 1, 0);
}

static __always_inline void withheld_ends(struct tw_tls *t)
{
	turn_leave(t); /* it is told by the flag */
	t->flags &= ~TLS_WITHHELD;
}

/* Between two exchanges, or before the first. */
static __always_inline int is_between(const struct tw_tls *t)
{
	return t->c.head == t->c.tail && (t->c.rq.state == H1_REQ || t->c.rq.state == H1_LOST);
}

/*
 * Its process reads from it: is it left to itself? For whoever reads, that ends where it was read before: see
 * tls_withheld_plain.
 */
static __always_inline int withheld_receives(struct tw_tls *t, __u32 tgid)
{
	__u32 how = withheld_how(tgid);
	const struct tls_span *last;

	if (!how) {
		if (unlikely(t->flags & TLS_WITHHELD && !(t->flags & TLS_JOINED)))
			withheld_ends(t);
		return 0;
	}
	if (t->flags & TLS_WITHHELD)
		return 1;
	if (t->c.kind == TW_IGNORED || t->c.head != t->c.tail)
		return 0;
	if (how != TW_WITHHELD_ALL && !is_between(t))
		return 0;
	withheld_begins(t);
	/* Where we are the client this is an answer already. */
	last = &t->span[(t->span_head - 1) & (TLS_SPANS - 1)];
	if (t->c.flags & TW_C_CLIENT && !t->opaque && t->span_head != t->span_tail && !is_disguised(t, last->len))
		opaque_begins(t);
	return 1;
}

/*
 * A packet passes on a connection with requests in flight whose process is not read any more. What has waited too long
 * for its answer stays what it is: a timeout.
 */
static __always_inline void withheld_packet(struct ctx *x)
{
	struct tw_tls *t = x->t;
	struct tw_conn *c = x->c;
	__u32 n = c->head - c->tail;

	if (likely(!tls_withholding) || !n || t->flags & TLS_WITHHELD || c->kind == TW_IGNORED)
		return;
	if (withheld_how(t->session.tgid) != TW_WITHHELD_ALL || since(t->t_took, x->now) > response_timeout)
		return;
	x->l->ledger[c->version & (TW_MAX_VERSIONS - 1)].c[TW_L_TLS_WITHDRAWN] += n;
	c->tail = c->head;
	t->due_tail = t->due_head;
	t->parsed = c->tail;
	t->flags &= ~TLS_PART;
	t->flags |= TLS_WITHHELD;
	if (!t->opaque)
		opaque_begins(t);
}

/*
 * Plaintext of a connection that is left to itself is seen, read or written: 1 while it stays so. Else it is joined as
 * one that was found open. Where we are the client it is left when a request is written. A function of its own, to be
 * proved once.
 */
__attribute__((noinline)) int tls_withheld_plain(__u64 cookie, __u32 reads)
{
	struct tw_tls *t = bpf_map_lookup_elem(&tls_conns, &cookie);

	if (!t)
		return 0;
	if (withheld_how(bpf_get_current_pid_tgid() >> 32)) {
		if (t->c.flags & TW_C_CLIENT && !reads && t->c.kind != TW_IGNORED && is_between(t) &&
		    !(t->flags & TLS_WITHHELD))
			withheld_begins(t);
		return !!(t->flags & TLS_WITHHELD);
	}
	if (!(t->flags & TLS_WITHHELD))
		return 0;
	withheld_ends(t);
	spans_trim(t, reads);
	conn_joins(&t->c);
	return 0;
}

#endif
