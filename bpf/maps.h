/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map, what it holds, who deletes from it, why it has this size; and the constants set before load.
 */
#ifndef TW_MAPS_H
#define TW_MAPS_H

/* A request line met before, and what the scan made of it. See line_memo.h. */
#define TW_LINES 256
struct tw_line {
	__u64 last;
	__u64 word[5];
	__u64 hash;
	__u16 len; /* 0: none */
	__u16 text_len;
	__u8 flags;
	__u8 pad[3];
};

/* A request in flight: who is owed what. When it began and its route hash lie beside it. */
struct tw_pending {
	__u16 endpoint;
	__u8 version; /* the ledger row that counted the request */
	__u8 flags;   /* H1_F_HEAD, H1_F_CONNECT, TW_P_* */
};
_Static_assert(TW_MAX_VERSIONS <= 256, "tw_pending.version");

#define TW_P_MORE       1 /* more than its first segment was needed */
#define TW_P_UNACCEPTED 2 /* its connection was not accepted yet when it came */

#define TW_INLINE_PENDING 4
#define TW_UNKNOWN_HASHES 4

/*
 * TW_TLS: the state proper lies in tls_conns. TW_H2: rq and rs walk frames (http2.h), whose heads lie in hash and seen;
 * pushed counts the requests, rd those that are known to have been read. All from TW_IGNORED on are not looked at here.
 */
enum tw_kind { TW_NEW, TW_HTTP, TW_IGNORED, TW_TLS, TW_H2 };

#define TW_C_CLIENT    1  /* we are the client end: requests leave, responses arrive */
#define TW_C_BY_READER 2  /* the reading process decides the version */
#define TW_C_DECODED   4  /* has carried an exchange */
#define TW_C_COUNTED   8  /* counted in TW_L_CONNECTIONS */
#define TW_C_PIPED     64 /* some requests lie, or lay, in the pipes map */
/* In rq_ends, for a close may be seen by one CPU while a request is by another: */
#define TW_C_RQ_FIN     1 /* the requesting side has closed */
#define TW_C_RQ_RST     2
#define TW_C_RQ_BYE     4 /* upgraded: its last segment so far says that it closes */
#define TW_C_RS_FIN     1 /* in rs_flags, which has another writer: the responding side has closed */
#define TW_C_RS_RST     2
#define TW_C_RS_FIN_DUE 4 /* a FIN has come before the bytes in front of it: it closes at rs_fin */
#define TW_C_RS_BYE     8
#define TW_C_RS_UNREAD  16 /* tgid has not read: it closed what nobody had read */
#define TW_C_RS_STRAY   32 /* bytes have come that answer no request: the next one's client takes them for its answer */
#define TW_C_RS_GONE    64 /* its socket has gone, and that has been seen */

/*
 * One connection. For a server the requests are seen by ingress, which runs without the socket's lock and often on
 * another CPU than the rest.
 *
 * A line of the cache that two CPUs write goes from one to the other and back with every exchange, and waiting for it
 * takes longer than most of their instructions; CPUs fetch lines in pairs; and even a read takes away a line that
 * another CPU has written. So every pair of lines has one writer. The requesting side reads none of the others' in an
 * ordinary exchange, and the responding side one, where the requests are handed over. The first line, which a pointer
 * of the storage's own begins (hence the 8 bytes less), is written when something out of the ordinary happens.
 */
struct tw_conn {
	/* either side, rarely */
	__u16 version;
	__u8 kind;
	__u8 flags;    /* TW_C_*; the requesting side's */
	__u8 rs_flags; /* TW_C_RS_*; the responding side's */
	union {
		__u8 spoke;  /* the server has sent something since the requests were lost */
		__u8 h2_gap; /* a record has found no room since the last one */
	};
	__u8 joining;    /* found open: any request may be the first one seen */
	__u8 held;       /* segments waiting in the held map */
	__u32 tgid;      /* who reads */
	__u32 pipe_from; /* with TW_C_PIPED: requests from this number on lie in the pipes map */
	__u64 t_head;    /* when the head that is being received began; valid while rq is inside one */
	__u32 complete;  /* requests below this number are, if they came in pieces: see t_body */
	__u32 rs_fin;
	__u32 early_at;                              /* while kept by address: where the first segment stood */
	__u32 segments_before, retransmitted_before; /* what had been sent when it was found */
	__u8 group;                                  /* see tw_counters.group */
	__u8 rq_lost;                                /* rq.state is H1_LOST, for the other side to see */
	__u8 rq_ends;                                /* TW_C_RQ_* */
	__u8 pad;
	union {
		__u64 drain_hash; /* of the route, if drain_endpoint is not known yet */
		__u64 h2_name;    /* see tw_h2_record.conn */
	};

	__u64 t_body[TW_INLINE_PENDING];  /* when request n was complete, if it came in pieces */
	__u64 unknown[TW_UNKNOWN_HASHES]; /* routes that counted this connection before they had an endpoint */

	/* the requesting side */
	struct h1 rq;
	__u32 pushed; /* head, as far as this side is concerned */
	union {
		__u32 tail_seen;   /* tail, as it was when this side had to know it */
		__u32 h2_rq_claim; /* programs that walk over its frames, or ask to: see h2_early.h */
	};
	__u64 hash[TW_INLINE_PENDING]; /* of request n at n modulo this */
	__u32 turn;                    /* programs that have worked on arriving payload, and are done */
	__u32 starting;                /* programs that find out what it speaks: see start_claim, and claim.h */

	/* handed over by the requesting side: requests below head */
	__u32 head;
	__u32 in_head; /* a part of the next one has arrived */
	__u64 t_start[TW_INLINE_PENDING];
	struct tw_pending in[TW_INLINE_PENDING];
	__u64 rs_length; /* of the response's head, see h1_text.length */

	/* the responding side */
	union {
		__u64 t_read[TW_INLINE_PENDING]; /* of request n at n modulo this */
		struct {
			__u64 h2_read_t;  /* the latest read that user space was not told of; 0: there is none */
			__u32 h2_read_at; /* all before this place of the requests had been read then */
		};
	};
	/* Its own receive window, see window.h: */
	__u64 shut_at;  /* since when it is shut; 0: it is not */
	__u64 shut_for; /* ns, inside the body of request shut_n - 1 */
	__u32 shut_n;
	__u32 born;     /* whose state it is: see conn_create */
	__u64 t_rq_fin; /* when the requesting side closed; 0: it has not */

	struct h1 rs;
	__u32 tail; /* exchanges ended; beyond head only if two programs have ended the same one */
	__u32 rd;   /* requests below this number have been read; the read hook's, as is t_read */
	__u64 t_first, t_last;
	__u64 drain_t; /* when the last response ended, until the client has acknowledged it; 0: nothing is waited for
	                */
	__u32 drain_seq;
	__u16 drain_endpoint;
	__u16 drain_version;
	union {
		__u32 stall;       /* jiffies that the client's window had been shut for when the response began */
		__u32 h2_rs_claim; /* see h2_rq_claim */
	};
	/*
	 * Both sides may close at once, on two CPUs, and the socket go on a third: one of them ends what is in flight.
	 * Who is refused leaves it to the other, or, if both are, to the socket's end. See claim.h.
	 */
	__u32 cutting;
	__u64 seen[TW_MAX_ENDPOINTS / 64]; /* endpoints that counted this connection */
};
_Static_assert(sizeof(struct tw_conn) + 72 <= 512, "tw_conn does not fit its allocation class");
#define TW_CONN_PAIR(n, member) \
	_Static_assert(__builtin_offsetof(struct tw_conn, member) + 72 == (n)*128, "a pair of lines of tw_conn")
TW_CONN_PAIR(1, t_body);
TW_CONN_PAIR(2, head);
TW_CONN_PAIR(3, rs);

struct tw_pipe {
	__u64 t_start[TW_PIPELINE_MAX];
	__u64 hash[TW_PIPELINE_MAX];
	__u64 t_read[TW_PIPELINE_MAX];
	struct tw_pending p[TW_PIPELINE_MAX];
};

/* Segments that came before the bytes in front of them. */
#define TW_HELD       8
#define TW_HELD_MOST  1536                 /* a full Ethernet segment */
#define TW_HELD_BYTES (TW_HELD_MOST + 256) /* and what may be loaded beyond it */
struct tw_held_segment {
	__u32 seq, len;
	__u64 t;
	__u32 no_data; /* lies within a body: its bytes need not be known */
	__u32 busy;    /* somebody reads it, or asks to: see claim.h */
};
#define TW_LET_GO 64 /* segments more that may come before the gap closes */
struct tw_held {
	struct tw_held_segment s[TW_HELD];
	__u32 from, to; /* what came when all was taken, and was let go; nobody sends it again */
	__u32 let_go;   /* segments of it; as long as there are some, tw_conn.held is one more */
	__u32 pad;
	__u8 data[TW_HELD][TW_HELD_BYTES];
};

/* An exchange that has ended, on its way into the counters. */
struct tw_ended {
	__u64 hash;
	__u64 t_start;
	__u64 lat[TW_LAT_NR];
	__u64 waited; /* as in the record, of one that was not answered in full */
	__u32 tgid;
	__u16 version;
	__u16 endpoint;
	__u16 status;
	__u8 outcome;
	__u8 first; /* of this endpoint on its connection */
	__u8 cut;   /* not answered: a byte of the final response has left */
	__u8 plain; /* of lat only total, queue and service are set, see TW_LAT_PLAIN */
	__u8 group; /* of the connection */
	__u8 pad;
};

/* The routes met last, as the routes map has them: a route keeps its endpoint. */
#define TW_MEMO 64
struct tw_memo {
	__u64 hash;
	__u64 endpoint; /* 0: none */
};

/* What a TLS hello says; see tls_hello.h. */
struct tw_hello {
	__u16 version, cipher;
	char sni[64];
};

/*
 * Per-CPU working space. A program may be interrupted, or preempted, by another on the same CPU: each claims the first
 * free of TW_LANES, so that what is in a lane has one writer. Ledger rows are summed over lanes and CPUs.
 */
struct tw_lane {
	struct tw_ledger_row ledger[TW_MAX_VERSIONS]; /* first: user space reads this part */
	__u32 busy;
	__u32 zero; /* stays 0: see h1_scan_some_lines */
	/* What goes in and out of the functions of verified.h. */
	struct h1_head head;
	struct h1 run;
	struct h1_text text;
	__u32 used;
	__u32 pad;
	struct tw_hello hello;
	struct tw_ended ended;
	struct tw_memo memo[TW_MEMO];
	__u8 window[H1_WINDOW + H1_SPARE];
};

/* ---- constants, set before load --------------------------------------------------------------------------------- */
const volatile __u64 tw_bounds[TW_BOUNDS_TABLE];
const volatile __u16 tw_cells[BUCKET_CELLS];
const volatile __u64 hash_seed;
const volatile __u16 endpoint_other;
const volatile __u8 have_clients;  /* some version is matched by upstream */
const volatile __u8 note_readers;  /* keep which processes read */
const volatile __u8 watch_process; /* tell of processes that start another program */
const volatile __u8 test_mode;     /* crafted packets: connections are found by address */
const volatile __u32 ring_wakeup;  /* bytes in the ring from which on user space is woken at once */

/* An exchange whose response has not begun after this time, ns, is a timeout. */
const volatile __u64 response_timeout = ~0ULL;
const volatile __u8 iterators_find_storage;    /* since 5.11 */
const volatile __u8 sockets_tell_of_their_end; /* tw_destroy is there */

/* ---- what changes while running ---------------------------------------------------------------------------------- */
/*
 * Up to four watched server ports, to be had without a lookup; near_all: there are no others. The ports map has all.
 */
__u64 near_ports;
__u32 near_all;
/* New routes that may still be announced until user space refills it; others count under "other". */
__u32 route_budget;
/*
 * Connections whose client port, halved, has one of these bits are not asked for the time of draining. What ended
 * before drain_since (ns) may have been acknowledged while its connection was not asked.
 */
__u32 drain_mask;
__u64 drain_since;
__u32 jiffy_ns;
/* The same for records of exchanges that were not answered and of new processes; others count in the ledger. */
__u32 detail_budget;
/* Watching costs more than it may: who cut an exchange is not asked for. See detail.h. */
__u32 detail_shed;
/* Connections whose server's window is shut: while there are some, all acknowledgements that leave are looked at. */
__u32 windows_shut;
/* Some process's TLS library is watched. */
__u32 tls_watched;
/* No packets are seen any more: what ends from here on ends unseen. */
__u32 stopped;
/* Programs that found no free lane: one more way to lose sight, never seen yet. */
__u64 lanes_exhausted;

/* ---- maps -------------------------------------------------------------------------------------------------------- */
/* Port -> TW_PORT_*. An array: the first question of every packet costs no hashing. User space writes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u8);
} ports SEC(".maps");

/* Address and port -> version; asked once a connection. User space writes; a version has a handful of places. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct tw_place);
	__type(value, struct tw_place_value);
} places SEC(".maps");

/* Process -> version. User space writes; forks inherit and exits delete in the kernel. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} procs SEC(".maps");

/*
 * Processes that have read from a connection which they had not read from before. User space takes them out at every
 * tick; a tick with more of them than this has some that are not looked at.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tw_reader);
	__type(value, __u8);
} readers SEC(".maps");

/* Connections; freed with their sockets. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tw_conn);
} conns SEC(".maps");

/* More than TW_INLINE_PENDING requests in flight; only connections that pipeline have one. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tw_pipe);
} pipes SEC(".maps");

/* A request head that the careful engine reads; only connections that needed it have one. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct h1_text);
} texts SEC(".maps");

/* Reordered segments; only connections that saw some have one. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tw_held);
} held SEC(".maps");

/*
 * Connections without a socket of their own: data in the handshake's last ACK arrives at the listener. Taken over, and
 * deleted, by the first program that sees the child. LRU: a handshake that never completes must not fill it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct tw_tuple);
	__type(value, struct tw_conn);
} early SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tw_tuple);
	__type(value, struct h1_text);
} early_texts SEC(".maps");

/* The same for crafted packets (test_mode), where no socket outlives one packet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct tw_tuple);
	__type(value, struct tw_pipe);
} test_pipes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct tw_tuple);
	__type(value, struct tw_held);
} test_held SEC(".maps");

/*
 * Route hash -> endpoint. The kernel enters TW_EP_PENDING when it announces a route, user space puts the endpoint in
 * its place. LRU: names made by hostile clients push each other out, and what is pushed out is announced again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} routes SEC(".maps");

/* (version, endpoint) -> slot in series, and what is slow there. User space writes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TW_MAX_VERSIONS *TW_MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct tw_slot);
} slots SEC(".maps");

/*
 * Endpoint -> what makes its exchanges bad: the same for all versions, or they could not be compared. User space fills
 * all of it before the first slot is given. Asked of what is not simply well answered.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TW_MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct tw_rule);
} rules SEC(".maps");

/* Counters and histograms by slot; slot 0 is not used. User space sets the size before load and reads differences. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct tw_series);
} series SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TW_LANES);
	__type(key, __u32);
	__type(value, struct tw_lane);
} lanes SEC(".maps");

/* Request lines by the hash of their first bytes; lane 0's, which has one user a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TW_LINES);
	__type(key, __u32);
	__type(value, struct tw_line);
} lines SEC(".maps");

/* Doors of the watched versions, open or shut -> what was refused there. User space writes, and never forgets one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tw_door);
	__type(value, struct tw_door_value);
} doors SEC(".maps");

/* Listening socket (its cookie) -> what happened there. Made by the first SYN; user space deletes the closed ones. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct tw_listener);
} listeners SEC(".maps");

/*
 * Handshakes under way; deleted when they are completed. LRU: those of a SYN flood push each other out, and stay
 * counted as attempts that came to nothing.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tw_tuple);
	__type(value, struct tw_handshake);
} handshakes SEC(".maps");

/* Version -> losses. Added to atomically: packets and tracepoints of one CPU may interrupt each other. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TW_MAX_VERSIONS);
	__type(key, __u32);
	__type(value, struct tw_losses);
} losses SEC(".maps");

/* Version -> segments of open connections; filled by tw_live, zeroed by user space before. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TW_MAX_VERSIONS);
	__type(key, __u32);
	__type(value, struct tw_live);
} live SEC(".maps");

/* Records for user space: see tw_abi.h. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

#endif
