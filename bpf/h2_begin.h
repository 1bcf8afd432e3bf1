/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a connection turns out to speak HTTP/2: by its first bytes, by an upgrade, or because it was found doing so. */
#ifndef TW_H2_BEGIN_H
#define TW_H2_BEGIN_H

#define H2_PRI      0x5448202a20495250ULL /* "PRI * HT" */
#define START_TRIES 64                    /* so often one side asks whether the other is done looking */

/* No two connections of a CPU begin in one nanosecond. */
static __always_inline __u64 h2_new_name(void)
{
	return bpf_ktime_get_ns() << 8 ^ bpf_get_smp_processor_id();
}

static __always_inline void h2_names(struct ctx *x)
{
	struct tw_conn *c = x->c;

	/* By what came too early it may have a name already. */
	if (c->kind != TW_NEW || !c->h2_name)
		c->h2_name = h2_new_name();
	c->rq_lost = 0;
	c->h2_gap = 0;
	c->h2_read_t = 0;
	c->pushed = c->rd = 0;
	c->h2_rq_claim = c->h2_rs_claim = 0; /* HTTP/1 may have left something there */
	c->hash[0] = c->seen[0] = 0;         /* heads of frames are gathered there */
}

/* Seen from its beginning: the client is to say its preface, or is just saying it. */
static __always_inline void h2_expects(struct ctx *x)
{
	struct tw_conn *c = x->c;

	h2_names(x);
	h1_reset(&c->rq, H2_SKIP);
	c->rq.left = H2_PREFACE;
	h1_reset(&c->rs, H2_AT);
	c->rq.status = c->rs.status = H2_TELL_BEGINS;
	barrier();
	c->kind = TW_H2;
}

static __always_inline int is_h2(const struct tw_conn *c)
{
	return *(const volatile __u8 *)&c->kind == TW_H2;
}

/*
 * As long as nothing has shown what a connection speaks, one program at a time looks: who finds HTTP/2 takes both
 * directions, in the middle of which the other side's program must not be. 0: somebody else is at it, and stays.
 */
static __always_inline int start_claim(struct tw_conn *c)
{
	return claim_soon(&c->starting, START_TRIES);
}

/* Nothing has shown yet what it speaks, or it was HTTP/2 and another CPU has just found that. */
static __always_inline int is_undecided(const struct tw_conn *c)
{
	return c->kind == TW_NEW || is_h2(c);
}

/* It may turn out to speak HTTP/2; the name is there for what is kept until then. 0: somebody is just beginning. */
static __always_inline int h2_names_early(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (start_claim(c)) {
		if (c->kind == TW_NEW && !c->h2_name)
			c->h2_name = h2_new_name();
		claim_release(&c->starting);
	}
	return c->kind == TW_NEW && c->h2_name;
}

/*
 * Both sides may speak at once, on two CPUs: one of them begins for both, and the other finds it done. 0: not
 * to be had, which has not been seen but in tests: the connection will be taken for something else, and that is said.
 */
static __always_inline int h2_begins(struct ctx *x)
{
	struct tw_conn *c = x->c;

	if (unlikely(!start_claim(c))) {
		count(x->l, c->version, TW_L_CONTENDED);
		return is_h2(c);
	}
	if (!is_h2(c)) {
		h2_expects(x);
		count(x->l, c->version, TW_L_HTTP2);
	}
	claim_release(&c->starting);
	return 1;
}

/* Found open. */
static __always_inline int h2_joins(struct ctx *x)
{
	struct tw_conn *c = x->c;

	h2_names(x);
	c->joining = 0;
	h1_reset(&c->rq, H2_BREAK);
	h1_reset(&c->rs, H2_BREAK);
	barrier();
	c->kind = TW_H2;
	count(x->l, c->version, TW_L_HTTP2);
	return 1;
}

/* RFC 9113, 3.4. What begins with the first three bytes of it, and is shorter, is nothing that HTTP/1 knows either. */
static __always_inline int h2_is_preface(const __u8 *b, __u32 n)
{
	const __u64 *w = (const __u64 *)b;

	if (n < 3 || b[0] != 'P' || b[1] != 'R' || b[2] != 'I')
		return 0;
	/* and "TP/2.0\r\n" "\r\nSM\r\n\r\n" */
	return n < H2_PREFACE || (w[0] == H2_PRI && w[1] == 0x0a0d302e322f5054ULL && w[2] == 0x0a0d0a0d4d530a0dULL);
}

/* Behind a 101 h1.left counts the bytes of a head that have come, as far as they can be HTTP/2's. */
#define H2_OTHER 255 /* they cannot */

/* The first bytes behind a 101, of either side: they may be HTTP/2's. */
static __always_inline int may_be_upgraded(struct ctx *x, int client)
{
	struct tw_conn *c = x->c;

	return c->kind == TW_IGNORED && c->rs.status == 101 && x->s.len &&
	       x->s.seq == (!client == !!x->ingress ? c->rq.next : c->rs.next);
}

/* One more, at `at` of the head: the client's preface, or a server's SETTINGS. The latter's are kept, see h2_head. */
static __always_inline int h2_gathers(struct ctx *x, int requests, __u32 at, __u8 b)
{
	__u8 *head = (__u8 *)x->c->seen;

	if (requests)
		return at == TW_H2_HEAD - 1 || b == (__u8)(H2_PRI >> (at & 7) * 8);
	asm volatile("" : "+r"(at)); /* see window_load */
	head[at & 15] = b;
	return at < TW_H2_HEAD - 1 || h2_is_settings(head);
}

/* Both sides' bytes up to here are HTTP/2's, and one has said a head of it. */
static __always_inline void h2_upgraded(struct ctx *x, __u32 asked, __u32 answered)
{
	struct tw_conn *c = x->c;
	__u64 hash = c->hash[(c->tail - 1) & (TW_INLINE_PENDING - 1)], head = c->seen[0];
	__u64 begun = c->t_start[(c->tail - 1) & (TW_INLINE_PENDING - 1)];

	h2_expects(x);
	c->rq.left -= asked;
	c->rs.flags = answered;
	c->seen[0] = head;
	h2_asked_before(c, hash, begun);
	count(x->l, c->version, TW_L_HTTP2);
}

/*
 * Does HTTP/2 follow the 101 (RFC 7540, 3.2, which RFC 9113 has left out)? The first bytes behind it tell, of whichever
 * side they are, in as many segments as they come in. The request that asked for it is stream 1.
 */
static __always_inline int h2_upgrades(struct ctx *x, int requests)
{
	struct tw_conn *c = x->c;
	struct h1 *p = requests ? &c->rq : &c->rs, *other = requests ? &c->rs : &c->rq;
	__u32 before = p->left, at = before, i;
	__u8 b;

	if (c->rs.status != 101 || before >= TW_H2_HEAD || other->left >= TW_H2_HEAD)
		return 0;
	if (!before && !requests)
		c->seen[H2_SINCE / 8] = segment_time(x);
	for (i = 0; i < TW_H2_HEAD && i < x->s.len && at < TW_H2_HEAD; i++) {
		if (bpf_skb_load_bytes(x->skb, x->s.off + i, &b, 1) || !h2_gathers(x, requests, at, b)) {
			p->left = H2_OTHER;
			return 0;
		}
		at++;
	}
	if (at < TW_H2_HEAD) {
		p->left = at;
		p->next += x->s.len;
		return 0;
	}
	h2_upgraded(x, requests ? before : other->left, requests ? other->left : before);
	return 1;
}

#endif
