/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two hellos of a TLS handshake (RFC 8446, 4.1): the name that the client asks for, the version and the cipher that
 * the server chooses. As far as they lie in the segment that the record begins with; what lies beyond is not seen.
 */
#ifndef TW_TLS_HELLO_H
#define TW_TLS_HELLO_H

#define TLS_EXTENSIONS 32

static __always_inline __u32 hello_u16(struct __sk_buff *skb, __u32 off)
{
	__u16 v = 0;

	return bpf_skb_load_bytes(skb, off, &v, 2) ? 0 : bpf_ntohs(v);
}

static __always_inline __u32 hello_u8(struct __sk_buff *skb, __u32 off)
{
	__u8 v = 0;

	bpf_skb_load_bytes(skb, off, &v, 1);
	return v;
}

static __always_inline void hello_name(struct __sk_buff *skb, __u32 off, struct tw_hello *h)
{
	__u32 n = hello_u16(skb, off + 3);

	if (hello_u8(skb, off + 2) || !n)
		return;
	if (n > TLS_NAME)
		n = TLS_NAME;
	asm volatile("" : "+r"(n));
	n = ((n - 1) & 63) + 1;
	if (n <= TLS_NAME)
		bpf_skb_load_bytes(skb, off + 5, h->sni, n);
}

/* off: of the handshake message. lane->hello is what it says. Returns its type; 0: neither of the two. */
__attribute__((noinline)) int tls_hello(struct __sk_buff *skb, __u32 off, __u32 lane)
{
	struct tw_lane *l = lane_get(lane);
	__u32 type, i, kind, n, end, at = off & 0xffff;
	struct tw_hello *h;

	if (!l)
		return 0;
	h = &l->hello;
	h->version = h->cipher = 0;
	__builtin_memset(h->sni, 0, sizeof(h->sni));
	type = hello_u8(skb, at);
	if (type != 1 && type != 2)
		return 0;
	/* What comes behind the message, in the same segment, is no extension of it. */
	end = at + 4 + (hello_u8(skb, at + 1) << 16 | hello_u16(skb, at + 2));
	h->version = hello_u16(skb, at + 4);
	at += 38;
	at += 1 + hello_u8(skb, at);
	if (type == 1) {
		at += 2 + hello_u16(skb, at);
		at += 1 + hello_u8(skb, at);
	} else {
		h->cipher = hello_u16(skb, at);
		at += 3;
	}
	at += 2;
	for (i = 0; i < TLS_EXTENSIONS && at < end; i++) {
		kind = hello_u16(skb, at);
		n = hello_u16(skb, at + 2);
		at += 4;
		if (!kind && !n)
			break;
		if (!kind && type == 1)
			hello_name(skb, at, h);
		else if (kind == 43 && type == 2)
			h->version = hello_u16(skb, at);
		at += n;
		if (at > 0x1ffff)
			break;
	}
	return type;
}

/* Bytes that a record has beside its plaintext (RFC 5288, 6655, 7905, 8446, 5.2); 0: they differ from one to the next.
 */
static __always_inline __u32 cipher_overhead(__u16 version, __u16 cipher)
{
	if (version >= 0x0304)
		return 17;
	if (cipher >= 0xcca8 && cipher <= 0xccae)
		return 16; /* ChaCha20-Poly1305 */
	if ((cipher >= 0xc02b && cipher <= 0xc032) || (cipher >= 0x9c && cipher <= 0xa7))
		return 24; /* AES-GCM */
	if (cipher >= 0xc09c && cipher <= 0xc09f)
		return 24; /* AES-CCM */
	return 0;
}

/* Counts a connection under its name. A function of its own, to be proved once; always 0. */
__attribute__((noinline)) int tls_named(__u64 cookie)
{
	struct tw_tls *t = bpf_map_lookup_elem(&tls_conns, &cookie);
	struct tw_tls_name k = {};
	__u64 one = 1, *n;

	if (!t)
		return 0;
	k.version = t->c.version;
	k.negotiated = t->version;
	__builtin_memcpy(k.sni, t->sni, TLS_NAME);
	n = bpf_map_lookup_elem(&tls_names, &k);
	if (!n && bpf_map_update_elem(&tls_names, &k, &one, BPF_NOEXIST)) {
		__builtin_memset(k.sni, 0, sizeof(k.sni));
		n = bpf_map_lookup_elem(&tls_names, &k);
		if (!n)
			bpf_map_update_elem(&tls_names, &k, &one, BPF_NOEXIST);
	}
	if (n)
		__sync_fetch_and_add(n, 1);
	return 0;
}

/* A handshake record begins at x->s.off. */
static __always_inline void hello_seen(struct ctx *x)
{
	struct tw_hello *h = &x->l->hello;
	struct tw_tls *t = x->t;
	int type = tls_hello(x->skb, x->s.off, x->lane);

	if (type == 1) {
		__builtin_memcpy(t->sni, h->sni, TLS_NAME);
	} else if (type == 2) {
		t->version = h->version;
		t->cipher = h->cipher;
		t->overhead = cipher_overhead(h->version, h->cipher);
		tls_named(t->cookie);
	}
}

#endif
