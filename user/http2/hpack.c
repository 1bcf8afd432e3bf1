// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http2/hpack.h"

#include <errno.h>

#define ENTRY_COST 32 /* RFC 7541, 4.1: of an entry without name and value */

void h2_hpack__init(struct h2_hpack *h, struct h2_memory *m, bool known)
{
	*h = (struct h2_hpack){ .memory = m, .state = known ? H2_HPACK_KNOWN : H2_HPACK_UNKNOWN, .free = !known };
}

void h2_hpack__free(struct h2_hpack *h)
{
	if (h->inflater)
		nghttp2_hd_inflate_del(h->inflater);
	h->inflater = NULL;
}

void h2_hpack__lose(struct h2_hpack *h, bool more)
{
	h2_hpack__free(h);
	h->skips = more;
	if (h->state == H2_HPACK_KNOWN)
		h->state = H2_HPACK_UNKNOWN;
	h->free = true;
}

/* An error in a table of this size: the next one is tried from the next block on. */
static void fail_over(struct h2_hpack *h, bool more)
{
	enum h2_hpack_state was = h->state;

	h2_hpack__lose(h, more);
	if (was == H2_HPACK_UNKNOWN)
		h->state = H2_HPACK_WIDE;
	else if (was == H2_HPACK_WIDE)
		h->state = H2_HPACK_GIVEN_UP;
}

/* Bytes of a block of our own, which must not fail but for want of memory. */
static int inflate_quietly(nghttp2_hd_inflater *i, const uint8_t *p, size_t len, bool last)
{
	for (;;) {
		int flags = 0;
		nghttp2_nv nv;
		ssize_t n = nghttp2_hd_inflate_hd2(i, &nv, &flags, p, len, last);

		if (n < 0)
			return -ENOMEM;
		p += n;
		len -= n;
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(i);
			return 0;
		}
		if (!len && !(flags & NGHTTP2_HD_INFLATE_EMIT))
			return 0;
	}
}

/* Fills the table: a size update if it is wide, an entry without name or value, others that take its name (index 62).
 */
static int put_placeholders(nghttp2_hd_inflater *i, bool wide)
{
	static const uint8_t to_wide[] = { 0x3f, 0xe1, 0xff, 0x03 }, first[] = { 0x40, 0x00, 0x00 };
	static const uint8_t more[] = { 0x7e, 0x00, 0x7e, 0x00, 0x7e, 0x00, 0x7e, 0x00,
		                        0x7e, 0x00, 0x7e, 0x00, 0x7e, 0x00, 0x7e, 0x00 };
	size_t n = (wide ? H2_TABLE_MAX : H2_TABLE_SIZE) / ENTRY_COST - 1;
	int err = wide ? inflate_quietly(i, to_wide, sizeof(to_wide), false) : 0;

	if (!err)
		err = inflate_quietly(i, first, sizeof(first), false);
	for (; !err && n; n -= n < sizeof(more) / 2 ? n : sizeof(more) / 2)
		err = inflate_quietly(i, more, n < sizeof(more) / 2 ? n * 2 : sizeof(more), false);
	return err ? err : inflate_quietly(i, more, 0, true);
}

static int make_inflater(struct h2_hpack *h)
{
	int err = 0;

	if (h->inflater)
		return 0;
	if (nghttp2_hd_inflate_new2(&h->inflater, &h->memory->hooks)) {
		h->inflater = NULL;
		return -ENOMEM;
	}
	if (h->free && nghttp2_hd_inflate_change_table_size(h->inflater, H2_TABLE_MAX))
		err = -ENOMEM;
	if (!err && h->state != H2_HPACK_KNOWN)
		err = put_placeholders(h->inflater, h->state == H2_HPACK_WIDE);
	if (err)
		h2_hpack__free(h);
	return err;
}

void h2_hpack__set_free(struct h2_hpack *h)
{
	/* To allow more changes nothing in the table. If a smaller size is waited for, the block will tell. */
	if (!h->free && h->inflater)
		nghttp2_hd_inflate_change_table_size(h->inflater, H2_TABLE_MAX);
	h->free = true;
}

int h2_hpack__allow(struct h2_hpack *h, uint32_t size)
{
	int err;

	if (h->free || h->state != H2_HPACK_KNOWN)
		return 0;
	err = make_inflater(h);
	if (!err && nghttp2_hd_inflate_change_table_size(h->inflater, size < H2_TABLE_MAX ? size : H2_TABLE_MAX))
		err = -ENOMEM;
	if (err)
		h2_hpack__lose(h, false);
	return err;
}

static int inflate(struct h2_hpack *h, const uint8_t *p, size_t len, bool last, h2_nv_fn fn, void *arg)
{
	for (;;) {
		int flags = 0;
		nghttp2_nv nv;
		ssize_t n = nghttp2_hd_inflate_hd2(h->inflater, &nv, &flags, p, len, last);

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EBADMSG;
		p += n;
		len -= n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			struct h2_nv field = { nv.name, nv.value, nv.namelen, nv.valuelen,
				               nv.namelen || h->state == H2_HPACK_KNOWN };

			fn(arg, &field);
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(h->inflater);
			return 0;
		}
		if (!len && !(flags & NGHTTP2_HD_INFLATE_EMIT))
			return 0;
	}
}

int h2_hpack__feed(struct h2_hpack *h, const uint8_t *p, size_t len, bool last, h2_nv_fn fn, void *arg)
{
	int err;

	if (h->skips || h->state == H2_HPACK_GIVEN_UP) {
		h->skips = !last;
		return -ENODATA;
	}
	err = make_inflater(h);
	if (!err)
		err = inflate(h, p, len, last, fn, arg);
	if (!err)
		return 0;
	if (err == -ENOMEM)
		h2_hpack__lose(h, !last);
	else
		fail_over(h, !last);
	return err;
}
