// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The walk over TLS records and the two hellos, exactly as the kernel programs do it, over any bytes of one direction,
 * cut into segments that the first four bytes draw by lot; an odd first byte: they arrive. It must hold that
 *  - records are told apart until there is one that is none, worked out here from the whole stream (RFC 8446, 5.1), and
 *    it does not matter where the stream is cut;
 *  - of a hello that is whole and in order (RFC 8446, 4.1; RFC 6066, 3), name, version and cipher are what it says;
 *  - of others nothing is read that lies outside of the segment.
 */
#include "kernel_here.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tw_lane lane;
static struct tw_tls conn;

static void *map_here(const void *map)
{
	return map == &lanes ? (void *)&lane : map == &tls_conns ? (void *)&conn : NULL;
}

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static uint32_t big16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

/* ---- hellos ------------------------------------------------------------------------------------------------------ */

struct hello {
	uint8_t type;
	uint16_t version, cipher;
	char sni[TLS_NAME];
};

/* A name of a host. False: not in order. */
static bool take_name(struct hello *h, const uint8_t *p, size_t n)
{
	size_t len;

	if (n < 5 || big16(p) != n - 2 || p[2] || !big16(p + 3) || big16(p + 3) != n - 5)
		return false;
	len = n - 5 < TLS_NAME ? n - 5 : TLS_NAME;
	memcpy(h->sni, p + 5, len);
	return true;
}

static bool take_extensions(struct hello *h, const uint8_t *p, size_t n)
{
	bool named = false, versioned = false;
	uint32_t kind, len, count = 0;

	for (; n; p += 4 + len, n -= 4 + len) {
		if (n < 4 || n - 4 < big16(p + 2) || ++count > TLS_EXTENSIONS)
			return false;
		kind = big16(p);
		len = big16(p + 2);
		if (!kind && h->type == 1) {
			if (named || !take_name(h, p + 4, len))
				return false;
			named = true;
		}
		if (!kind && h->type == 2)
			return false; /* what comes behind it is not looked at: no version stands there */
		if (kind == 43 && h->type == 2) {
			if (versioned || len != 2)
				return false;
			h->version = (uint16_t)big16(p + 4);
			versioned = true;
		}
	}
	return true;
}

/* A whole message, with extensions, at the beginning of p. False: it is none, or out of order. */
static bool strict_hello(struct hello *h, const uint8_t *p, size_t n)
{
	size_t at = 38, end;

	memset(h, 0, sizeof(*h));
	if (n < 39 || (p[0] != 1 && p[0] != 2))
		return false;
	end = 4 + ((size_t)p[1] << 16 | big16(p + 2));
	if (end > n || end < 39 || end > 60000)
		return false;
	h->type = p[0];
	h->version = (uint16_t)big16(p + 4);
	at += 1 + p[at];
	if (at + 4 > end)
		return false;
	if (h->type == 1) {
		at += 2 + big16(p + at);
		if (at >= end)
			return false;
		at += 1 + p[at];
	} else {
		h->cipher = (uint16_t)big16(p + at);
		at += 3;
	}
	return at + 2 <= end && at + 2 + big16(p + at) == end && take_extensions(h, p + at + 2, end - at - 2);
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

/* What was known of the connection before a segment, for the first hello in it. */
static void look_at_hello(const struct hello *h)
{
	if (h->type == 1 && memcmp(conn.sni, h->sni, TLS_NAME))
		fail("another name");
	if (h->type == 2 && (conn.version != h->version || conn.cipher != h->cipher))
		fail("another version or cipher");
}

/* As tls_packet() goes over a segment. Returns how many bytes were walked over: all, or those before what is none. */
static uint32_t walks(struct ctx *x, struct tls_half *half, const uint8_t *b, uint32_t n)
{
	uint8_t *copy = malloc(n); /* one byte read beyond it is noticed */
	uint32_t walked;

	if (!copy)
		abort();
	memcpy(copy, b, n);
	packet_here.bytes = copy;
	packet_here.len = n;
	x->s.off = 0;
	x->s.len = n;
	while (x->s.len && !half->lost) {
		bool fresh = !conn.version && !half->have && x->s.len >= TLS_HEAD && copy[x->s.off] == TLS_HANDSHAKE;
		uint32_t at = x->s.off, before = x->s.len;
		struct hello h;

		if (!wire_record(x, half)) {
			wire_lost(x, half);
		} else if (x->s.len >= before) {
			fail("nothing of it is taken");
		} else if (fresh && strict_hello(&h, copy + at + TLS_HEAD, n - at - TLS_HEAD)) {
			look_at_hello(&h);
		}
	}
	walked = n - x->s.len;
	free(copy);
	return walked;
}

/* ---- the whole stream -------------------------------------------------------------------------------------------- */

struct expected {
	uint32_t data, left, have, ciphertext;
	bool lost;
};

static struct expected expects(const uint8_t *b, size_t n)
{
	struct expected e = { 0 };

	while (n) {
		uint32_t len;

		if (n < TLS_HEAD) {
			e.have = (uint32_t)n;
			break;
		}
		len = big16(b + 3);
		if (b[0] < 20 || b[0] > 24 || b[1] != 3 || b[2] > 4 || !len || len > 16384 + 2048) {
			e.lost = true;
			break;
		}
		if (n - TLS_HEAD < len) {
			e.have = TLS_HEAD;
			e.left = len - (uint32_t)(n - TLS_HEAD);
			break;
		}
		if (b[0] == TLS_DATA) {
			e.data++;
			e.ciphertext += len;
		}
		b += TLS_HEAD + len;
		n -= TLS_HEAD + len;
	}
	return e;
}

static void compare(const struct expected *e, const struct tls_half *h, bool arrives)
{
	uint32_t ciphertext = 0;

	if (e->lost != h->lost)
		fail(h->lost ? "given up where a record begins" : "taken for a record");
	if (arrives) {
		for (uint32_t i = 0; i < TLS_SPANS && i < conn.span_head; i++)
			ciphertext += conn.span[i].len;
		if (ciphertext != e->ciphertext)
			fail("bytes have arrived that did not, or the other way round");
	} else if (h->data != e->data) {
		fail("another number of records");
	}
	if (!e->lost && (e->have != h->have || e->left != h->left))
		fail("another place in the stream");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctx x = { .l = &lane, .t = &conn, .c = &conn.c };
	struct tls_half *half;
	uint32_t lot, n, at, k;
	struct expected e;

	if (size < 4 || size > 60000)
		return 0;
	memcpy(&lot, data, sizeof(lot));
	data += 4;
	n = (uint32_t)size - 4;
	memset(&lane, 0, sizeof(lane));
	memset(&conn, 0, sizeof(conn));
	x.ingress = lot & 1;
	half = x.ingress ? &conn.in : &conn.out;
	for (at = 0; at < n && !half->lost; at += k) {
		lot = lot * 1103515245 + 12345;
		k = lot >> 16 & 7 ? (lot >> 20) % 40 + 1 : (lot >> 20) % 3000 + 1;
		if (k > n - at)
			k = n - at;
		x.now = at + 1;
		x.s.seq = at;
		walks(&x, half, data + at, k);
	}
	e = expects(data, n);
	compare(&e, half, x.ingress);
	return 0;
}
