/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/2 connections as the kernel programs hand them over: the programs walk frames (RFC 9113, 4.1) and send what user
 * space needs of them, which decodes the header blocks and makes exchanges of the streams.
 *
 * Invariants:
 *  - of DATA, PRIORITY, PING, WINDOW_UPDATE and unknown frames the nine bytes of the head are sent and nothing of the
 *    payload; of all others everything, up to TW_H2_FRAME_MAX bytes a frame;
 *  - the bytes of one direction come in the order of the stream, each at most once;
 *  - a gap between them is payload that is not sent, or lies behind TW_H2_FRAME_MAX; any other gap is the observer's
 *    loss: a record that found no room;
 *  - nothing here is stored or shown: user space keeps method, path without its query, and statuses.
 */
#ifndef TW_H2_H
#define TW_H2_H

#ifndef __bpf__
#include <assert.h>
#include <linux/types.h>
#endif

#define TW_H2_HEAD 9 /* bytes of a frame's head */

/* RFC 9113, 6: the fourth of them. */
enum tw_h2_frame_type {
	H2_DATA,
	H2_HEADERS,
	H2_PRIORITY,
	H2_RST_STREAM,
	H2_SETTINGS,
	H2_PUSH_PROMISE,
	H2_PING,
	H2_GOAWAY,
	H2_WINDOW_UPDATE,
	H2_CONTINUATION,
	H2_TYPES,
	H2_PRIORITY_UPDATE = 16, /* RFC 9218, 7.1 */
};

#define TW_H2_ITEMS_MAX 4096 /* bytes of items in one record */
#define TW_H2_FRAME_MAX (64 * 1024)

enum tw_h2_what {
	TW_H2_BYTES = 1, /* `len` bytes of the stream follow; they begin at `at` */
	TW_H2_BEGINS, /* the direction's first frame begins at `at`: all of it is seen, so the header tables are known
	               */
	TW_H2_JOINED, /* a frame begins at `at`, and the stream before it is not known */
	TW_H2_LOST,   /* where frames begin is not known from `at` on, until TW_H2_JOINED */
	TW_H2_READ,   /* 8 bytes follow: when (ns) the watched process had read all before `at` from its socket */
	TW_H2_FIN,    /* the direction has been closed in an orderly way */
	TW_H2_RST,    /* its side has reset the connection */
	TW_H2_ASKED, /* 16 bytes follow, of the request direction: route hash of the HTTP/1 request that was upgraded to
	              * this, and when (ns) it began: it is stream 1 */
	TW_H2_GONE,  /* the socket has gone: nothing follows. `at`: the error it had (errno), 0 for none */
	TW_H2_ENDED, /* the last byte of the payload of a DATA frame with END_STREAM has passed: `at` lies behind it */
	TW_H2_SINCE, /* 8 bytes follow: when (ns) the first byte had come of the frame head that the next bytes are,
	              * which has come in pieces */
};

#define TW_H2_AT_HEAD 1 /* of TW_H2_BYTES: the first of them begins a frame */

struct tw_h2_item {
	__u32 at;  /* place in the direction's stream, modulo 2^32 */
	__u16 len; /* bytes behind this, which are padded to a multiple of four */
	__u8 what; /* enum tw_h2_what */
	__u8 flags;
};

#define TW_H2_REQUESTS 1 /* of the asking side's direction; READ is always said of it */
#define TW_H2_CLIENT   2 /* the watched process is the asking side */
#define TW_H2_TLS      4
#define TW_H2_GAP      8 /* records of this connection before this one found no room in the ring */

struct tw_h2_record {
	__u32 type; /* TW_R_H2 */
	__u16 len;  /* bytes of items behind this */
	__u8 flags;
	__u8 group;    /* see tw_counters.group */
	__u64 conn;    /* a name that no other connection has had */
	__u64 t;       /* CLOCK_MONOTONIC, ns: when the segment arrived, or left */
	__u32 tgid;    /* who reads; 0: nobody has been seen */
	__u16 version; /* 0: by tgid */
	__u16 pad;
};

#ifndef __bpf__
static_assert(sizeof(struct tw_h2_item) == 8, "tw_h2_item");
static_assert(sizeof(struct tw_h2_record) == 32, "tw_h2_record");
#endif

#endif
