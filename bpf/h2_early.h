/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Segments of HTTP/2 that came before the bytes in front of them. Where frames begin in them is not known, so they are
 * kept whole: on a loopback they have up to 64 KiB, and what is sent on by an acknowledgement on another CPU overtakes
 * what is being sent.
 *
 * Whoever arrives may meet others that do so on other CPUs:
 *  - one at a time walks over the frames of a direction, who has claimed it; who is refused keeps its segment for that
 *    one, and that one looks for such when it is done, and once more when it has given up its claim;
 *  - a place for a segment is taken by who finds itself alone there, filled, and told by its length, which is written
 *    last; who has the claim lets it go.
 *
 * What comes before anything has shown what its connection speaks is kept twice, here and as held.h does. He who finds
 * that it is HTTP/2 says so before he looks at tw_conn.held; he who keeps sets that before he asks once more.
 *
 * Bounded: H2_EARLY segments a connection, H2_CHUNKS chunks for all of them. What finds no room breaks its direction.
 * Those of connections that go with some are taken out by user space.
 */
#ifndef TW_H2_EARLY_H
#define TW_H2_EARLY_H

#define H2_TRIES 32

static __always_inline struct h2_early *h2_early_get(struct tw_conn *c, int create)
{
	__u64 name = c->h2_name;
	struct h2_early *e = bpf_map_lookup_elem(&h2_earlies, &name);

	if (e || !create)
		return e;
	bpf_map_update_elem(&h2_earlies, &name, &h2_nothing_early, BPF_NOEXIST);
	return bpf_map_lookup_elem(&h2_earlies, &name);
}

static __always_inline __u32 *h2_claim_of(struct tw_conn *c, int requests)
{
	return requests ? &c->h2_rq_claim : &c->h2_rs_claim;
}

static __always_inline int h2_claim_walk(struct tw_conn *c, int requests)
{
	return claim_soon(h2_claim_of(c, requests), H2_TRIES);
}

/* n bytes of payload at `off` of the packet into chunks, by the lane's work. 0, or -1 when there is no room. */
static __always_inline int h2_chunks_keep(struct ctx *x, int requests)
{
	struct h2_chunk_key key = { .name = x->c->h2_name, .requests = requests };
	struct h2_work *w = h2_work_get(x);
	struct h2_chunk *chunk;
	__u32 at, n, i;

	if (!w)
		return -1;
	chunk = (struct h2_chunk *)w->items;
	chunk->t = x->now;
	for (i = 0; i < 65536 / H2_CHUNK_BYTES; i++) {
		at = i * H2_CHUNK_BYTES;
		if (at >= x->s.len)
			break;
		n = x->s.len - at;
		if (n > H2_CHUNK_BYTES)
			n = H2_CHUNK_BYTES;
		asm volatile("" : "+r"(n));
		n = ((n - 1) & (H2_CHUNK_BYTES - 1)) + 1;
		key.seq = x->s.seq + at;
		if (bpf_skb_load_bytes(x->skb, x->s.off + at, chunk->bytes, n) ||
		    bpf_map_update_elem(&h2_chunks, &key, chunk, BPF_ANY))
			return -1;
	}
	return 0;
}

/* A place for one more is taken: its number and 1, or 0. Proved once, see verified.h. */
__attribute__((noinline)) int h2_early_take(__u64 name)
{
	struct h2_early *e = bpf_map_lookup_elem(&h2_earlies, &name);
	__u32 i;

	for (i = 0; i < H2_EARLY && e; i++)
		if (!*(volatile __u32 *)&e->s[i].busy && claim(&e->s[i].busy))
			return i + 1;
	return 0;
}

/* Keeps the segment; it is for the caller to say so. 0, or -1 when there is no room for it. */
static __always_inline int h2_keep(struct ctx *x, int requests)
{
	struct h2_early *e = h2_early_get(x->c, 1);
	struct h2_early_segment *s;
	__u32 k;

	if (!e || x->s.len > 65536)
		return -1;
	k = h2_early_take(x->c->h2_name);
	if (!k)
		return -1;
	k--;
	asm volatile("" : "+r"(k));
	s = &e->s[k & (H2_EARLY - 1)];
	if (h2_chunks_keep(x, requests)) {
		claim_release(&s->busy);
		return -1;
	}
	s->t = x->now;
	s->seq = x->s.seq;
	s->requests = requests;
	barrier();
	*(volatile __u32 *)&s->len = x->s.len;
	return 0;
}

/* The claim is ours: segment k - 1, and what is kept of it, is let go. Proved once, see verified.h. Always 0. */
__attribute__((noinline)) int h2_early_drop(__u64 name, __u32 k)
{
	struct h2_early *e = bpf_map_lookup_elem(&h2_earlies, &name);
	struct h2_chunk_key key = { .name = name };
	struct h2_early_segment *s;
	__u32 i;

	if (!e)
		return 0;
	k--;
	asm volatile("" : "+r"(k));
	s = &e->s[k & (H2_EARLY - 1)];
	key.requests = s->requests;
	for (i = 0; i < 65536 / H2_CHUNK_BYTES && i * H2_CHUNK_BYTES < s->len; i++) {
		key.seq = s->seq + i * H2_CHUNK_BYTES;
		bpf_map_delete_elem(&h2_chunks, &key);
	}
	*(volatile __u32 *)&s->len = 0;
	claim_release(&s->busy);
	return 0;
}

/* The place of one that has come in its turn, with the byte `next` or as a copy of what was before it, and 1; 0. */
__attribute__((noinline)) int h2_early_due(__u64 name, __u32 requests, __u32 next)
{
	struct h2_early *e = bpf_map_lookup_elem(&h2_earlies, &name);
	const struct h2_early_segment *s;
	__u32 i;

	for (i = 0; i < H2_EARLY && e; i++) {
		s = &e->s[i];
		if (*(const volatile __u32 *)&s->len && s->requests == requests && (__s32)(s->seq - next) <= 0)
			return i + 1;
	}
	return 0;
}

/* The next bytes of an early segment, at most n, into the window. How many; 0: they are not there. */
static __always_inline __u32 h2_early_load(struct ctx *x, struct h2_work *w, int requests, __u32 n)
{
	struct h2_chunk_key key = { .name = x->c->h2_name, .requests = requests };
	__u32 at = x->s.off, inside = at & (H2_CHUNK_BYTES - 1);
	struct h2_chunk *chunk;

	key.seq = x->s.seq - inside;
	chunk = bpf_map_lookup_elem(&h2_chunks, &key);
	if (!chunk)
		return 0;
	if (n > H2_CHUNK_BYTES - inside)
		n = H2_CHUNK_BYTES - inside;
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (H2_WINDOW - 1)) + 1;
	if (inside > H2_CHUNK_BYTES - n || bpf_probe_read_kernel(w->window, n, chunk->bytes + inside))
		return 0;
	return n;
}

#endif
