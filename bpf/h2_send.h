/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What user space is told of HTTP/2 connections: frames, and how connections end. See tw_h2.h.
 *
 * Invariants: a record that finds no room is counted, and the next one of its connection says that there was one
 * (TW_H2_GAP); of connections that go so, user space is told by a map that it empties.
 */
#ifndef TW_H2_SEND_H
#define TW_H2_SEND_H

static __always_inline struct h1 *h2_half(struct tw_conn *c, int requests)
{
	return requests ? &c->rq : &c->rs;
}

static __always_inline struct h2_work *h2_work_get(struct ctx *x)
{
	__u32 lane = x->lane;

	return bpf_map_lookup_elem(&h2_works, &lane);
}

static __always_inline void h2_record(struct tw_h2_record *r, struct tw_conn *c, int requests, int tls, __u64 now)
{
	r->type = TW_R_H2;
	r->len = 0;
	r->flags = (requests ? TW_H2_REQUESTS : 0) | (c->flags & TW_C_CLIENT ? TW_H2_CLIENT : 0) |
	           (tls ? TW_H2_TLS : 0) | (c->h2_gap ? TW_H2_GAP : 0);
	r->group = c->group;
	r->conn = c->h2_name;
	r->t = now;
	r->tgid = c->tgid;
	r->version = conn_version(c);
	r->pad = 0;
}

/* Sends what has been put together, if there is anything, and begins anew. */
static __always_inline void h2_send(struct ctx *x, struct h2_work *w, int requests)
{
	struct tw_conn *c = x->c;
	__u32 len;

	h2_run_ends(w);
	len = h2_pos(w);
	w->pos = 0;
	if (!len)
		return;
	h2_record(&w->r, c, requests, x->plain, x->now);
	w->r.len = len;
	if (unlikely(bpf_ringbuf_output(&ring, w, sizeof(w->r) + len, ring_flags()))) {
		c->h2_gap = 1;
		count(x->l, c->version, TW_L_LOST_EVENTS);
	} else if (unlikely(w->r.flags & TW_H2_GAP)) {
		c->h2_gap = 0;
	}
}

struct h2_note {
	struct tw_h2_record r;
	struct tw_h2_item i;
	__u64 value[2];
};

/* A record of one item: 0, or -1 if there is no room for it. With as many of the values as `len` says. */
static __always_inline int h2_note(struct tw_conn *c, int requests, int tls, __u64 now, __u8 what, __u32 at, __u16 len,
                                   __u64 value, __u64 value2)
{
	struct h2_note *n = bpf_ringbuf_reserve(&ring, sizeof(*n), 0);

	if (!n) {
		c->h2_gap = 1;
		return -1;
	}
	h2_record(&n->r, c, requests, tls, now);
	n->r.len = sizeof(n->i) + len;
	n->i.at = at;
	n->i.len = len;
	n->i.what = what;
	n->i.flags = 0;
	n->value[0] = value;
	n->value[1] = value2;
	bpf_ringbuf_submit(n, ring_flags());
	return 0;
}

/* The socket has gone, or its connection has failed (err). */
static __always_inline void h2_gone(struct tw_conn *c, int tls, __u32 err)
{
	__u64 name = c->h2_name;

	if (unlikely(stopped))
		return; /* its streams stay in flight: nobody saw how they ended */
	if (h2_note(c, 1, tls, bpf_ktime_get_ns(), TW_H2_GONE, err, 0, 0, 0))
		bpf_map_update_elem(&h2_unsaid, &name, &err, BPF_ANY);
	if (unlikely(c->held))
		bpf_map_delete_elem(&h2_earlies, &name);
}

/* A side has closed, in an orderly way or with a reset. */
static __always_inline void h2_closed(struct tw_conn *c, int requests, int tls, __u64 now, int reset)
{
	h2_note(c, requests, tls, now, reset ? TW_H2_RST : TW_H2_FIN, 0, 0, 0, 0);
}

/* The request that the connection was upgraded for is stream 1. */
static __always_inline void h2_asked_before(struct tw_conn *c, __u64 hash, __u64 begun)
{
	h2_note(c, 1, 0, bpf_ktime_get_ns(), TW_H2_ASKED, 0, 16, hash, begun);
}

/*
 * The process has read from the socket, up to `copied`. The next segment that it sends takes this along; if it reads
 * once more before, what it had read so far is a record. Whoever reads has the socket's lock, as whoever sends has.
 */
static __always_inline void h2_read(struct tw_conn *c, __u32 copied)
{
	__u32 asked = c->pushed;
	__u64 t = c->h2_read_t;

	if (c->rd == asked || (t && c->h2_read_at == copied))
		return;
	if ((__s32)(copied - c->rq.next) >= 0)
		c->rd = asked;
	if (unlikely(t))
		h2_note(c, 1, 0, t, TW_H2_READ, c->h2_read_at, 8, t, 0);
	c->h2_read_at = copied;
	c->h2_read_t = bpf_ktime_get_ns();
}

/* Before what it answers. */
static __always_inline void h2_was_read(struct tw_conn *c, struct h2_work *w)
{
	__u64 t = c->h2_read_t;

	if (!t)
		return;
	h2_item_u64(w, TW_H2_READ, c->h2_read_at, t);
	c->h2_read_t = 0;
}

#endif
