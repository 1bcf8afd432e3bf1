/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state of TLS connections. Its programs sit at the socket, where the ciphertext passes, and in the processes,
 * where the plaintext does; those cannot reach the storage of a socket, so it lies in a hash by the socket's cookie.
 *
 * Who writes: the arriving side (softirq) `in` and the heads of `span`; the leaving side, which holds the socket's
 * lock, `out`, `left`, `resp_first` and the tail of `due`; the process, one call of a session after the other, the
 * rest. Both ends of a ring are counters that only grow.
 */
#ifndef TW_TLS_MAPS_H
#define TW_TLS_MAPS_H

#define TLS_SPANS 16
#define TLS_DUES  32

/* One direction on the wire. */
struct tls_half {
	__u64 t_first; /* when the first byte of the current record passed */
	__u64 t_last;  /* the last payload of this direction */
	__u32 len;     /* of the current record, without its head */
	__u32 left;    /* of it, still to come */
	__u32 data;    /* records of application data that were complete */
	__u8 head[5];  /* of the record, as far as it has come */
	__u8 have;     /* bytes of it */
	__u8 type;     /* of the current record */
	__u8 lost;     /* where records begin is not known */
	__u8 pad[4];
};

/* Application data that has arrived, and was not handed to the process yet: a record, or several. */
struct tls_span {
	__u64 t_first, t_last; /* its first and its last byte */
	__u64 t_read;          /* when the process first read of it; 0: it has not */
	__u32 len;             /* ciphertext */
	__u32 records;         /* 0: not known */
};

/* A response that is complete, and has not left yet. Offsets in the plaintext written, modulo 2^32. */
struct tls_due {
	__u64 t_first; /* when its first byte left; 0: it has not */
	__u32 begin, end;
	__u32 stall; /* see tw_conn.stall */
	__u16 status;
	__u16 pad;
};

#define TLS_JOINED 1  /* a session object of the process is known to be its */
#define TLS_OPEN   2  /* found open: its handshake was not seen */
#define TLS_TOOK   8  /* plaintext has been read */
#define TLS_PART   16 /* the response that is being written has begun at resp_begin */
#define TLS_LATE   32 /* what is being written could not be looked at yet, and leaves unknown */
#define TLS_BYE    64 /* the server has just said that it closes */

#define TLS_LEFT     1024 /* the client has said good-bye, and not closed */
#define TLS_WITHHELD 2048 /* its process is not read for now: see tls_budget.h */

#define OPAQUE_UNSEEN   1
#define OPAQUE_WITHHELD 2 /* for the sake of the budget */

struct tls_session {
	__u64 object; /* address in the process */
	__u32 tgid;
	__u32 pad;
};

#define TLS_NAME 44

struct tw_tls {
	struct tw_conn c;
	struct h1_text text;
	__u64 cookie;
	__u64 t_born; /* its first segment, or the first that was seen */
	struct tls_session session;

	struct tls_half in;
	struct tls_span span[TLS_SPANS];
	__u32 span_head;
	__u32 span_read; /* those below it have their time of reading */
	__u32 pad1;
	__u32 span_tail; /* handed over */
	__u32 span_used; /* plaintext taken of the oldest */
	__u32 overhead;  /* of a record: what is neither head nor plaintext; 0: not known */
	__u64 t_part;    /* the process has read of a record that is not complete */
	__u64 t_took;    /* arrival of what was handed over last */

	__u32 flags;    /* TLS_* */
	__u32 opaque;   /* OPAQUE_*: data has been exchanged that nobody saw as plaintext */
	__u32 written;  /* plaintext handed over for sending */
	__u32 accepted; /* of it, taken by the library */
	__u32 parsed;   /* responses that were complete, numbered as requests are */
	__u32 resp_begin;
	struct tls_due due[TLS_DUES];
	__u32 due_head;

	__u32 due_tail;
	__u32 due_first; /* those below it have t_first, if their first byte has left */
	struct tls_half out;
	__u32 gone; /* plaintext that has left */
	__u32 resp_stall;
	__u64 resp_first;

	__u32 h2_at[2]; /* HTTP/2: plaintext taken, of responses and of requests */

	int err;       /* with which the socket failed */
	__u16 version; /* negotiated: 0x0303; 0: not seen */
	__u16 cipher;
	char sni[TLS_NAME];

	/* Opaque: of the turn that is open, see tls_turns.h. */
	__u64 turn_begin; /* the client's first byte; 0: none is */
	__u64 turn_asked; /* the client's last byte */
	__u64 turn_first; /* the server's first byte; 0: none yet */
	__u64 turn_last;
	__u64 turn_over;    /* the first close that ends it; 0: none yet */
	__u32 turn_outcome; /* of that close */
};

/* Plaintext on its way from one program to the next. */
struct tw_feed {
	__u64 user, cookie;
	__u64 t_begin, now, t_read;
	__u64 key;
	__u32 off, len;
	__u32 calls, flush;
	__u32 late;
	__u32 pad;
};

/* A call of a TLS library that a thread is in, and the socket that the thread has read last. */
struct tls_call {
	__u64 object, buffer, bytes; /* arguments; object 0: it is in none */
	__u64 cookie;                /* of the connection a write was for */
	__u64 received;              /* the socket that was read last; 0: none */
	__u64 since;                 /* the only one since the last call that reads; 0: none, TLS_MANY: several */
	__u32 fresh;                 /* since the call began */
	__u32 size;
	__u32 late;      /* what is written could not be looked at yet */
	__u32 base;      /* tw_tls.accepted before it */
	__u32 goroutine; /* it is one's, not a thread's */
	__u32 pad;
	struct tw_feed feed;
};

#define TLS_MANY (~0ULL)

/* Cookie -> state. Made by the socket's programs, deleted with the socket; not preallocated: many hosts have none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct tw_tls);
} tls_conns SEC(".maps");

/* More requests in flight than the state itself holds; deleted with it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct tw_pipe);
} tls_pipes SEC(".maps");

/* Session object -> cookie. Deleted when the process frees the object, and with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct tls_session);
	__type(value, __u64);
} tls_sessions SEC(".maps");

/* Thread, or goroutine -> its call. LRU: threads end without a word; one in a call has been used just now. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct tls_call);
} tls_callers SEC(".maps");

/* Processes all of whose calls are seen -> since when. User space writes, and deletes before it lets go of one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, __u64);
} tls_ready SEC(".maps");

/* Processes whose threads are no measure, because goroutines move between them. LRU, refreshed by their calls. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u8);
} tls_goers SEC(".maps");

/* Version << 32 | process, of which user space has been told: see tw_tls_record. LRU: once more is no harm. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} tls_told SEC(".maps");

/* Version, negotiated TLS version and name asked for -> connections. User space reads; 1,023 names, then "". */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct tw_tls_name);
	__type(value, __u64);
} tls_names SEC(".maps");

/* Version (+ TW_TURNS_WITHHELD) -> turns of its opaque connections. User space reads; made with the first. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * TW_MAX_VERSIONS);
	__type(key, __u32);
	__type(value, struct tw_turns);
} tls_turns SEC(".maps");

/* Process -> enum tw_withheld. User space writes; as many as it watches workers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TW_MAX_WITHHELD);
	__type(key, __u32);
	__type(value, __u32);
} tls_withheld SEC(".maps");

/* Templates to make entries from: they are too large for a program's stack. */
static struct tw_tls tls_nothing;
static struct tw_pipe tls_empty_pipe;
static struct tw_turns tls_no_turns;
/* A Go program is watched: whoever reads may be one. */
__u32 tls_have_go;
/* There is something in tls_withheld. */
__u32 tls_withholding;

#endif
