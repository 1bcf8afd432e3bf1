/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel programs and the observer agree on: keys, values, records and capacities.
 *
 * Invariants:
 *  - fixed width members only, explicit padding, no packing; sizes are asserted below;
 *  - every counter is monotone and is read as a difference, modulo its width;
 *  - nothing here can hold a header value, a body or a query string.
 */
#ifndef TW_ABI_H
#define TW_ABI_H

#ifndef __bpf__
#include <assert.h>
#include <stddef.h>
#include <linux/types.h>
#endif

/*
 * Prometheus native-histogram buckets, schema 4: upper-inclusive boundaries 2^(i/16) seconds.
 * Bucket 0 holds everything up to 2^TW_BUCKET_MIN_EXP seconds (0.95 us); bucket b > 0 holds
 * (2^((b-1)/16 + MIN), 2^(b/16 + MIN)]; the last one everything above 2^TW_BUCKET_MAX_EXP (256 s).
 */
#define TW_BUCKET_SCHEMA  4
#define TW_BUCKET_MIN_EXP (-20)
#define TW_BUCKET_MAX_EXP 8
#define TW_BUCKET_BOUNDS  ((TW_BUCKET_MAX_EXP - TW_BUCKET_MIN_EXP) * 16 + 1)
#define TW_BUCKETS        (TW_BUCKET_BOUNDS + 1)
/* The search table is padded with INT64_MAX to a power of two. */
#define TW_BOUNDS_TABLE 512

enum tw_latency {
	TW_LAT_TOTAL,      /* first request byte -> last response byte */
	TW_LAT_FIRST_BYTE, /* first request byte -> first byte of the final response */
	TW_LAT_QUEUE,      /* first request byte -> the application's first read */
	TW_LAT_SERVICE,    /* first read -> first byte of the final response */
	TW_LAT_SERVER,     /* last request byte -> last response byte, by whose window was shut meanwhile: see README */
	TW_LAT_UPLOAD,     /* first request byte -> last request byte, less the time the server's window was shut */
	TW_LAT_SEND,       /* first byte of the final response -> last response byte */
	TW_LAT_ACCEPT,     /* of queue, what was spent on a connection that was not accepted when the request came */
	TW_LAT_DRAIN,      /* last response byte -> the client's acknowledgement of it */
	TW_LAT_WAITED, /* of what its client gave up: how long, in all, it had been waiting for a byte of the server */
	TW_LAT_NR,
	/*
	 * In the kernel's counters only: an ordinary exchange, of which one column stands for six. Total, first_byte
	 * and server are alike, upload, send and accept are 0. See tw_series.h.
	 */
	TW_LAT_PLAIN = TW_LAT_NR,
	TW_SERIES_KINDS,
};

/* What became of an exchange: exactly one. */
enum tw_outcome {
	TW_ANSWERED,
	TW_UNANSWERED, /* the server closed without a byte of the response */
	TW_TRUNCATED,  /* the server closed inside the response */
	TW_RESET_BY_SERVER,
	TW_RESET_BY_CLIENT,
	TW_CLIENT_ABANDONED, /* the client closed while it was owed an answer */
	TW_TIMEOUT,          /* no response began in time, or the connection died of retransmission */
	TW_UNOBSERVED,       /* the observer lost sight of it */
	TW_OUTCOME_NR,
};

/* Capacities. */
#define TW_MAX_VERSIONS  64   /* version 0 means "not known" */
#define TW_MAX_ENDPOINTS 512  /* endpoint 0 means "not named yet" */
#define TW_MAX_SLOTS     4096 /* upper limit of (version, endpoint) pairs; the map may be smaller */
#define TW_STATUS_NR     64   /* registered statuses, see tw_status.h; others travel as records */
#define TW_PATH_MAX      240  /* bytes of "METHOD target" a route record carries */
#define TW_PIPELINE_MAX  128  /* requests in flight on one connection */
#define TW_GROUPS        16   /* of connections, by a hash of their addresses: what comes together shows there */

/*
 * A status is three digits, and those that mean nothing (RFC 9110, 15: below 100, above 599) are kept as well. As 0
 * says that none was seen, "000" to "099" are TW_STATUS_LOW higher.
 */
#define TW_STATUS_LOW 1000
/*
 * A call of gRPC has a status of its own, which stands in the place of HTTP's. Codes that are not defined are unknown
 * (statuscodes.md of gRPC).
 */
#define TW_STATUS_GRPC  1100
#define TW_GRPC_NR      17
#define TW_GRPC_UNKNOWN 2
/* There was an answer, and its status could not be decoded: no rule can say whether it is bad, or good. */
#define TW_STATUS_UNKNOWN (TW_STATUS_GRPC + TW_GRPC_NR)
#define TW_STATUS_END     (TW_STATUS_UNKNOWN + 1) /* the highest, and 1 */

/* Outcomes that the server answers for: bad unless a rule says otherwise. Of a timeout, see tw_rule.h. */
#define TW_FAULTS (1U << TW_UNANSWERED | 1U << TW_TRUNCATED | 1U << TW_RESET_BY_SERVER | 1U << TW_TIMEOUT)

#define TW_EP_UNKNOWN 0
#define TW_EP_PENDING 0xffff /* user space has been told and has not named it yet */
#define TW_SLOT_NONE  0

/*
 * Counters of one (version, endpoint) on one CPU. Laid out for the writer: what every exchange adds to comes first, and
 * the latencies of one exchange, which often are alike, lie side by side in the histograms.
 */
struct tw_counters {
	__u64 exchanges;
	__u64 connections;          /* connections that carried at least one exchange of this endpoint */
	__u64 sum[TW_SERIES_KINDS]; /* ns */
	__u64 max[TW_SERIES_KINDS]; /* ns */
	__u32 outcome[TW_OUTCOME_NR];
	__u32 status[TW_STATUS_NR];
	__u32 cut[TW_OUTCOME_NR]; /* of each outcome but answered: a byte of the final response had left */
	__u32 bad;                /* by the endpoint's rule */
	__u32 pad;
	/* By the group of the connection: all; of these, bad; those beyond slow_from. */
	__u32 group[TW_GROUPS], group_bad[TW_GROUPS], group_slow[TW_GROUPS];
};

/* Where the exchanges of a version on an endpoint are counted. */
struct tw_slot {
	__u32 slot;      /* TW_SLOT_NONE: nowhere */
	__u16 slow_from; /* the bucket from which on the server's time is slow; 0: it is not asked */
	__u16 bad_from;  /* the bucket from which on it may be beyond the rule's slower_than; 0: none is */
};

/*
 * What makes an exchange of an endpoint bad: its status, its outcome, or the server's time. Any of them will do. See
 * tw_rule.h.
 */
struct tw_rule {
	__u64 statuses[16]; /* bit status & 63 of word status >> 6 */
	__u64 slower_than;  /* ns; TW_NEVER_SLOW: however long it takes */
	__u32 outcomes;     /* bit by enum tw_outcome */
	__u32 grpc;         /* bit by gRPC's status */
};

#define TW_NEVER_SLOW (~0ULL)

struct tw_series {
	struct tw_counters c;
	__u32 b[TW_BUCKETS][TW_SERIES_KINDS]; /* the count of a latency is the sum of its buckets */
};

/* One ledger per version and CPU: what was seen, and every way to lose something. */
enum tw_ledger {
	TW_L_REQUESTS,       /* request heads recognised */
	TW_L_ENDED,          /* exchanges ended with an outcome, in maps or as a record */
	TW_L_LOST_EXCHANGES, /* ended, but neither a slot nor a record could be had */
	TW_L_LOST_EVENTS,    /* ring buffer reservations that failed */
	TW_L_UNNAMED,        /* counted under "other" because naming was over its budget */
	TW_L_CONNECTIONS,    /* watched connections on which payload was seen */
	TW_L_DECODED,        /* of these, carried at least one HTTP exchange */
	TW_L_OPAQUE_TLS,     /* TLS connections with data exchanged unread; TW_L_TLS_FOUND of them were read later */
	TW_L_HTTP2,          /* speak HTTP/2 */
	TW_L_NOT_HTTP,       /* started with anything else */
	TW_L_UPGRADED,       /* left HTTP by 101 or CONNECT */
	TW_L_DESYNC,         /* times a connection's byte stream was lost */
	TW_L_RESYNC,         /* times it was found again */
	TW_L_MIDSTREAM,      /* connections joined after they were opened */
	TW_L_NO_STATE,       /* connection state could not be allocated */
	TW_L_DUP_SEGMENTS,   /* segments whose bytes had all been seen */
	TW_L_REORDERED,      /* segments held back until the gap before them closed */
	TW_L_PIPELINE_FULL,  /* requests beyond TW_PIPELINE_MAX in flight */
	TW_L_EARLY_DATA,     /* requests that came with the handshake's last ACK */
	TW_L_EARLY_FULL,     /* of these, could not be kept */
	TW_L_CAREFUL,        /* segments that went through the careful engine */
	TW_L_CONTENDED,      /* two CPUs met in one direction of one connection */
	TW_L_BAD_PACKET,     /* packets whose headers could not be read */
	TW_L_UNREAD_VERSION, /* ended without anyone having read it: version not known */
	TW_L_MOVED,          /* of the requests, went to another row when they ended: by then their version was known */
	TW_L_LOST_DETAILS,   /* records of who cut an exchange, of a new process or listener, that could not be sent */
	TW_L_TLS,            /* connections that started with a TLS record */
	TW_L_TLS_MOVED,      /* of these, went to another row when a process read them: it decides the version */
	TW_L_TLS_FOUND,      /* opaque ones whose plaintext was found after all */
	TW_L_TLS_JOINED,     /* connections whose session object in the process is known */
	TW_L_TLS_UNJOINED,   /* calls that read from a watched connection, and whose plaintext is not known to be its */
	TW_L_TLS_MISMATCH,   /* of these, because the socket has another session */
	TW_L_TLS_UNFRAMED,   /* times the beginnings of records were lost on the wire */
	TW_L_TLS_REQUESTS,   /* of the requests, those inside TLS */
	TW_L_TLS_WITHHELD,   /* of the opaque ones, those whose process was not read for the sake of the budget */
	TW_L_TLS_WITHDRAWN,  /* of the requests, in flight when their process was read no more: taken back */
	TW_L_SHED_DETAILS,   /* records of who cut an exchange that were not asked for, to save their cost */
	TW_L_NR,
};

/* Lanes a CPU, see bpf/maps.h; the value of the lanes map starts with a row for each version. */
#define TW_LANES 4

/* Key of the TLS connections by name. */
struct tw_tls_name {
	__u16 version;    /* of the service */
	__u16 negotiated; /* as on the wire: 0x0303 is TLS 1.2 */
	char sni[44];     /* what the client asked for, cut off; empty: it named none, or there are too many names */
};

struct tw_ledger_row {
	__u64 c[TW_L_NR];
};

/* Beside the version, in the key of its turns: those of connections that are left to themselves for the budget. */
#define TW_TURNS_WITHHELD 0x100

/* Events at which two programs look, where a kernel may pass over one: see again.h. */
enum tw_twice {
	TW_TWICE_READ,
	TW_TWICE_END,
	TW_TWICE_FAIL,
	TW_TWICE_NR,
};

/* How a process is read no more. */
enum tw_withheld {
	TW_WITHHELD_BETWEEN = 1, /* no further exchange of it: those in flight are followed to their end */
	TW_WITHHELD_ALL,         /* nothing: its programs go */
};

#define TW_MAX_WITHHELD 4096 /* processes */

/* Turns of a version's opaque TLS connections, see bpf/tls_turns.h. Written by several CPUs: `max` may miss one. */
enum tw_turn_time {
	TW_TURN_FIRST, /* the client's first byte -> the server's first byte */
	TW_TURN_LAST,  /* the client's first byte -> the server's last byte */
	TW_TURN_NR,
};

struct tw_turns {
	__u64 begun;                  /* one that turns out to be none is taken back */
	__u64 outcome[TW_OUTCOME_NR]; /* of those that have ended */
	__u64 sum[TW_TURN_NR];        /* ns, of answered ones */
	__u64 max[TW_TURN_NR];
	__u64 b[TW_TURN_NR][TW_BUCKETS];
};

/* Records of the ring buffer; the tag comes first. */
enum tw_record_type {
	TW_R_ROUTE = 1, /* a target without an endpoint: name it */
	TW_R_EXCHANGE,  /* an exchange that could not be counted in the maps */
	TW_R_PROCESS,   /* a process of interest has started another program */
	TW_R_LISTEN,    /* a socket started to listen: resolve the versions again */
	TW_R_DETAIL,    /* an exchange was not answered: who was at fault, as far as is known */
	TW_R_FORK,      /* a process of a version has started another */
	TW_R_DRAIN,     /* a response that could not be counted in the maps has been acknowledged */
	TW_R_TLS,       /* a process reads from a TLS connection, and its plaintext has not been seen yet */
	TW_R_H2,        /* frames of an HTTP/2 connection, see tw_h2.h */
};

#define TW_ROUTE_TRUNCATED 1 /* text ends before the target does */

struct tw_route_record {
	__u32 type;
	__u16 len;   /* bytes of text */
	__u16 flags; /* TW_ROUTE_* */
	__u64 hash;
	char text[TW_PATH_MAX]; /* "METHOD /path", never a query string */
};

struct tw_exchange_record {
	__u32 type;
	__u32 tgid;           /* who read the request, 0: nobody was seen */
	__u64 hash;           /* route hash */
	__u64 t_start;        /* CLOCK_MONOTONIC, ns */
	__u64 lat[TW_LAT_NR]; /* ns; all ones: not measured */
	__u64 waited;         /* not answered in full: ns until its first byte, or its end; 0: not known, or answered */
	__u16 version;        /* 0: by tgid */
	__u16 endpoint;       /* 0 or TW_EP_PENDING: by hash */
	__u16 status;         /* 0: none */
	__u8 outcome;
	__u8 new_connection; /* first exchange of this endpoint on its connection */
	__u8 cut;            /* not answered, and a byte of the final response had left */
	__u8 group;          /* of the connection, see tw_counters.group */
	__u8 pad[6];
};

struct tw_process_record {
	__u32 type;
	__u32 tgid;
};

struct tw_listen_record {
	__u32 type;
	__u16 port;
	__u16 family;
};

/* How the process of a detail record is known. */
enum tw_cause {
	TW_CAUSE_UNKNOWN, /* nobody had read from the connection, and who closed it was not seen */
	TW_CAUSE_READER,  /* it was the last to read from the connection */
	TW_CAUSE_CLOSER,  /* nobody had read: it closed the connection, or its listener with the connection in the queue
	                   */
	TW_CAUSE_NR,
};

/* Beside the count of the exchange, never instead of it. */
struct tw_detail_record {
	__u32 type;
	__u32 tgid;     /* 0: TW_CAUSE_UNKNOWN */
	__u64 hash;     /* route hash */
	__u64 t_end;    /* CLOCK_MONOTONIC, ns */
	__u64 age;      /* ns since the first byte of the request */
	__u16 version;  /* 0: by tgid */
	__u16 endpoint; /* 0 or TW_EP_PENDING: by hash */
	__u16 status;   /* of a response that had begun; 0: none */
	__u8 outcome;
	__u8 cause; /* enum tw_cause */
};

struct tw_drain_record {
	__u32 type;
	__u32 tgid;     /* who reads, 0: nobody was seen */
	__u64 hash;     /* route hash, if it is asked for */
	__u64 took;     /* ns */
	__u16 version;  /* 0: by tgid */
	__u16 endpoint; /* 0 or TW_EP_PENDING: by hash */
	__u32 pad;
};

/* The child has its parent's program and version until it says otherwise (TW_R_PROCESS). */
struct tw_fork_record {
	__u32 type;
	__u32 tgid;
	__u32 parent;
	__u32 version;
	__u64 t; /* CLOCK_MONOTONIC, ns */
};

struct tw_tls_record {
	__u32 type;
	__u32 tgid;
	__u32 version; /* of the connection */
	__u32 client;  /* 1: it is the client end */
};

#define TW_NOT_MEASURED (~0ULL)

/* ---- losses that never reach an endpoint ------------------------------------------------------------------------- */

/* Where a version listens, or has listened: connections that are refused there are its loss. All zero address: any. */
struct tw_door {
	__u8 addr[16];
	__u16 port; /* host order */
	__u16 pad;
	__u32 netns; /* inode */
};

struct tw_door_value {
	__u64 refused; /* SYNs answered by RST because nobody listened */
	__u32 version; /* who listened there last */
	__u32 pad;
};

/* What happened at one listening socket. */
struct tw_listener {
	__u64 attempts;    /* handshakes begun: a SYN sent again is the same attempt */
	__u64 established; /* of these, completed */
	__u64 again;       /* SYNs sent again */
	__u64 full;        /* SYNs that found the accept queue full */
	__u32 backlog_max; /* of the depths that SYNs found */
	__u32 version;     /* by the place; 0: not known there */
	/* Valid once it is closed: */
	__u32 drops;
	__u32 unaccepted; /* connections that nobody had accepted */
	__u32 closed;
	__u16 port;
	__u16 pad;
	__u8 addr[16]; /* that its first SYN was sent to */
};

/* A connection by its addresses, for the time in which it has no socket of its own. */
struct tw_tuple {
	__u8 local[16], remote[16];
	__u16 local_port, remote_port;
	__u32 pad;
};

/* A handshake that has begun. */
struct tw_handshake {
	__u64 listener; /* cookie */
	__u64 t;        /* of its first SYN */
	__u32 isn;
	__u32 pad;
};

/* How a session of another protocol, or a response without a length, ended. */
enum tw_session_end {
	TW_END_CLOSED,
	TW_END_RESET_BY_SERVER,
	TW_END_RESET_BY_CLIENT,
	TW_END_CUT,              /* the server closed without saying so */
	TW_END_CLIENT_ABANDONED, /* the client closed while the server was still sending */
	TW_END_TIMEOUT,
	TW_END_NR,
};

struct tw_sessions {
	__u64 ended[TW_END_NR];
	__u64 age_sum; /* ns, of those that did not end as TW_END_CLOSED */
	__u64 age_max;
};

/* Losses of one version on one CPU. */
struct tw_losses {
	__u64 untracked;      /* handshakes completed whose SYN was not seen, or was pushed out */
	__u64 uncounted;      /* SYNs that found no room in the listeners map */
	__u64 idle_resets[2]; /* by the server, by the client: nothing was in flight, neither had closed */
	__u64 segments;       /* sent on connections that have ended */
	__u64 retransmitted;  /* of these, sent again */
	struct tw_sessions upgraded;
	struct tw_sessions streaming; /* responses without a length; those that ended well are not counted here */
};

/* The same of connections that are open; user space zeroes it and runs the iterator. */
struct tw_live {
	__u64 segments, retransmitted;
};

/* Which end of a watched port is ours: value of the port table, indexed by port. */
#define TW_PORT_SERVER 1 /* we are the server: the local port is watched */
#define TW_PORT_CLIENT 2 /* we are the client: the remote port is watched */

/* Where a version listens (server) or connects to (client); address all zero: any. */
struct tw_place {
	__u8 addr[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u16 port;    /* host order */
	__u8 client;   /* 1: the remote end */
	__u8 pad[5];
};

/* Who reads what comes to a version: noted once a connection, for as long as user space asks. */
struct tw_reader {
	__u32 tgid;
	__u16 version;
	__u16 port; /* local, host order */
};

struct tw_place_value {
	__u16 version;  /* until a process has read, with by_reader; 0: not known */
	__u8 by_reader; /* the reading process decides */
	__u8 pad[5];
};

#ifndef __bpf__
static_assert(sizeof(struct tw_series) % 8 == 0, "tw_series has padding");
static_assert(sizeof(struct tw_route_record) == 16 + TW_PATH_MAX, "tw_route_record");
static_assert(offsetof(struct tw_route_record, text) == 16, "tw_route_record.text");
static_assert(sizeof(struct tw_slot) == 8, "tw_slot");
static_assert(sizeof(struct tw_rule) == 144, "tw_rule");
static_assert(offsetof(struct tw_rule, slower_than) == 128, "tw_rule.slower_than");
static_assert(sizeof(struct tw_exchange_record) == 48 + 8 * TW_LAT_NR, "tw_exchange_record");
static_assert(sizeof(struct tw_detail_record) == 40, "tw_detail_record");
static_assert(sizeof(struct tw_fork_record) == 24, "tw_fork_record");
static_assert(sizeof(struct tw_drain_record) == 32, "tw_drain_record");
static_assert(sizeof(struct tw_place) == 24, "tw_place");
static_assert(sizeof(struct tw_reader) == 8, "tw_reader");
static_assert(sizeof(struct tw_place_value) == 8, "tw_place_value");
static_assert(sizeof(struct tw_door) == 24, "tw_door");
static_assert(sizeof(struct tw_door_value) == 16, "tw_door_value");
static_assert(sizeof(struct tw_listener) == 72, "tw_listener");
#endif

#endif /* TW_ABI_H */
