/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HTTP/2 connections: records of frames in, exchanges out. Pure: no kernel, no clock but the records' own.
 *
 * Invariants:
 *  - every stream that began (a request's HEADERS) ends as exactly one exchange, or is still open, or was shed and
 *    counted as such, or was withdrawn: the server has said that it goes away without having looked at it, and whoever
 *    asked may ask elsewhere (RFC 9113, 6.8 and 8.7);
 *  - whatever a peer sends costs bounded work and memory; what does not fit is shed and counted;
 *  - a header table that is not known says so: what refers to it is unknown, never guessed;
 *  - of headers it keeps :method, :path without its query, :protocol, :status, content-type as far as "is it gRPC",
 *    content-length and grpc-status; of bodies nothing but their length.
 */
#ifndef HTTP2_HTTP2_H
#define HTTP2_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tw_abi.h"
#include "tw_h2.h"

#define H2_GRPC_NONE (-1)

/*
 * How a stream ended, or that it has begun. Times: CLOCK_MONOTONIC, ns; 0: not known. Those of DATA are of the frame's
 * head, and of the payload's end where it ends the stream: more is not seen of it.
 */
struct h2_exchange {
	uint64_t conn;
	uint32_t stream;
	uint32_t tgid;
	uint16_t version;
	uint8_t group;
	bool client, tls;
	bool joined;      /* its connection was found open */
	bool pushed;      /* promised by the server */
	bool grpc;        /* a POST whose content-type says so; `text` then is "gRPC /package.Service/Method" */
	bool websocket;   /* an extended CONNECT (RFC 8441), or any CONNECT, that was not refused: a session, not a
	                     question */
	bool long_lived;  /* it is a session, or has become one (see limits): no part of the latencies */
	bool cut;         /* not answered in full, and a byte of the final answer had been seen */
	const char *text; /* "METHOD /path" without a query, not terminated; NULL: its header block could not be
	                   * decoded, or whether it is a call of gRPC is not known */
	size_t len;
	uint64_t hash;   /* of an upgraded HTTP/1 request: its route; text is NULL then. 0: it is none */
	bool truncated;  /* of text: more than TW_PATH_MAX */
	uint16_t status; /* of the final answer; 0: none was seen, or it could not be decoded */
	/* A final answer was seen whose status could not be decoded, or the grpc-status that it has or may have. */
	bool status_unknown;
	int grpc_status; /* H2_GRPC_NONE: none was seen */
	enum tw_outcome outcome;
	enum tw_session_end how; /* of a long-lived one; means nothing where the outcome is TW_UNOBSERVED */
	uint32_t error;          /* of the RST_STREAM, or GOAWAY, that ended it; 0 */
	uint64_t t_start;        /* first byte of its HEADERS */
	uint64_t t_whole;        /* the request's END_STREAM */
	uint64_t t_read;         /* the process had read its HEADERS */
	uint64_t t_first;        /* first byte of the final answer's HEADERS */
	uint64_t t_last;         /* the last byte of the answer that was seen */
	uint64_t t_end;          /* what ended it */
	uint16_t version_begun;  /* as `begun` had it */
	uint64_t *seen;          /* TW_MAX_ENDPOINTS bits of the connection, the caller's to use */
	uint64_t messages[2];    /* DATA frames that carried something: from the server, from the client */
};

struct h2_limits {
	size_t memory; /* bytes, of all connections together */
	size_t connections;
	size_t streams;      /* open, a connection */
	size_t header_list;  /* bytes of one header list, names and values, that are decoded */
	uint64_t long_lived; /* ns: a stream that is still open so long after its answer's first byte is a session */
};

/* What was seen and what was lost; monotone. */
struct h2_counts {
	uint64_t connections;      /* begun or joined; one that was shed and goes on is joined once more */
	uint64_t joined;           /* of these, found open */
	uint64_t requests;         /* streams that began */
	uint64_t ended;            /* exchanges handed out */
	uint64_t withdrawn;        /* see above */
	uint64_t unknown_requests; /* of those that have ended: neither text nor hash was known, and there was one */
	uint64_t unknown_statuses;
	uint64_t desynchronised; /* times a direction's frames were lost */
	uint64_t resynchronised;
	uint64_t tables_lost;        /* times a direction's header table became unknown */
	uint64_t malformed;          /* frames that no correct peer sends */
	uint64_t too_large;          /* header lists beyond the limit */
	uint64_t shed_connections;   /* forgotten for want of memory, with open streams or without */
	uint64_t shed_streams;       /* streams that were not followed, for want of memory or beyond the limit */
	uint64_t bad_records;        /* records that the kernel programs cannot have sent */
	uint64_t memory, memory_max; /* bytes held, now and at most */
	uint64_t open;               /* streams open now */
};

struct h2_sink {
	void (*begun)(void *arg, const struct h2_exchange *e); /* only conn, stream, who and t_start are set */
	void (*ended)(void *arg, const struct h2_exchange *e);
	void (*withdrawn)(void *arg, const struct h2_exchange *e); /* as begun, and its version_begun */
	void *arg;
};

/*
 * The status by which it is counted, as tw_abi.h has them; 0: none. A call of gRPC has HTTP's only where that is no
 * 2xx, because then it was no gRPC server that answered; one that was answered without a status of its own is UNKNOWN,
 * as its specification has it.
 */
uint16_t h2_exchange__status(const struct h2_exchange *e);

struct http2;

/* NULL: out of memory. */
struct http2 *http2__new(const struct h2_limits *limits, const struct h2_sink *sink);
void http2__free(struct http2 *h);

/* One record of the ring, `len` bytes of it. 0; -EINVAL: it is none (counted); -ENOMEM: something was shed for it. */
int http2__record(struct http2 *h, const void *record, size_t len);

/* Time goes on: streams whose answer has not begun `timeout` ns after they were asked are timeouts when they end. */
void http2__timeout(struct http2 *h, uint64_t timeout);

void http2__counts(const struct http2 *h, struct h2_counts *to);

/*
 * Forgets connections that were over and of which nothing came since `before` (ns): where the kernel cannot tell that a
 * socket has gone, nothing else removes them.
 */
void http2__forget(struct http2 *h, uint64_t before);

/* Is this the name of a connection that is followed? */
bool http2__follows(const struct http2 *h, uint64_t conn);

/* Calls fn for every open stream, with what is known so far (outcome: TW_UNOBSERVED; t_end: 0). */
void http2__each_open(struct http2 *h, void (*fn)(void *arg, const struct h2_exchange *e), void *arg);

#endif
