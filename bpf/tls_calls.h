/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calls of TLS libraries, as the watched processes make them. Attached by user space to the sites that
 * user/tls/site.h describes; one program a job, in its order.
 *
 * Invariants: a session object is joined to a socket that its process has read inside one of its calls, or, where the
 * program hands the library what it has read itself, to the only one that the thread has read since it last called; to
 * one socket at a time, and a socket to one object; not before all calls of the process are seen. What a call was for
 * is noted when it begins and forgotten when it returns. Data that was exchanged before the join, or may have been,
 * leaves its connection counted as opaque.
 */
#ifndef TW_TLS_CALLS_H
#define TW_TLS_CALLS_H

#ifdef __TARGET_ARCH_x86
#define ARG1(r)    ((r)->di)
#define ARG2(r)    ((r)->si)
#define ARG3(r)    ((r)->dx)
#define ARG4(r)    ((r)->cx)
#define RESULT(r)  ((r)->ax)
#define GO_ARG1(r) ((r)->ax)
#define GO_ARG2(r) ((r)->bx)
#define GO_ARG3(r) ((r)->cx)
#define GO_SELF(r) ((r)->r14)
#else
#define ARG1(r)    (((struct user_pt_regs *)(r))->regs[0])
#define ARG2(r)    (((struct user_pt_regs *)(r))->regs[1])
#define ARG3(r)    (((struct user_pt_regs *)(r))->regs[2])
#define ARG4(r)    (((struct user_pt_regs *)(r))->regs[3])
#define RESULT(r)  ARG1(r)
#define GO_ARG1(r) ARG1(r)
#define GO_ARG2(r) ARG2(r)
#define GO_ARG3(r) ARG3(r)
#define GO_SELF(r) (((struct user_pt_regs *)(r))->regs[28])
#endif

/* A goroutine of a process, as a key beside those of threads: its address is a multiple of 32 below 2^47. */
static __always_inline __u64 goroutine_key(__u64 g)
{
	return ~(g >> 5 | bpf_get_current_pid_tgid() >> 32 << 42);
}

static __always_inline struct tls_call *caller_get(__u64 key)
{
	struct tls_call fresh = {}, *k = bpf_map_lookup_elem(&tls_callers, &key);

	if (likely(k))
		return k;
	bpf_map_update_elem(&tls_callers, &key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tls_callers, &key);
}

static __always_inline __u32 caller_version(__u32 tgid)
{
	__u32 *v = bpf_map_lookup_elem(&procs, &tgid);

	return v ? *v : 0;
}

/* ---- whose plaintext is it? -------------------------------------------------------------------------------------- */

/* In a call that writes, one that reads, or one that has just read plaintext. */
enum join { JOIN_WRITE, JOIN_READ, JOIN_PLAIN };

/* Was the process ready before the connection had anything to read? */
static __always_inline int is_younger(const struct tw_tls *t, __u64 ready)
{
	return t->t_born >= ready && !(t->flags & TLS_OPEN);
}

/*
 * May requests have passed before the calls of the process were seen, since when is `ready`? Not if the connection is
 * younger; nor if the only one there was is being read now, or has not been read yet.
 */
static __always_inline int has_missed(const struct tw_tls *t, __u64 ready, enum join how)
{
	int client = !!(t->c.flags & TW_C_CLIENT);
	__u32 n = asked(t, client ? &t->out : &t->in);

	if (!n || is_younger(t, ready))
		return n && t->opaque == OPAQUE_WITHHELD;
	if (client || n > 1)
		return 1;
	return how != JOIN_PLAIN && t->span[(t->span_head - 1) & (TLS_SPANS - 1)].t_read;
}

/*
 * The session of a connection is known, for the first time. What has passed unseen stays said, and the streams are
 * joined where they can be. Else, what was taken for an answer was a ticket.
 */
static __always_inline void session_begins(struct tw_tls *t, __u64 ready, enum join how)
{
	t->flags |= TLS_JOINED;
	tls_count(t->c.version, TW_L_TLS_JOINED);
	if ((!is_younger(t, ready) || t->opaque == OPAQUE_WITHHELD) &&
	    asked(t, t->c.flags & TW_C_CLIENT ? &t->out : &t->in)) {
		conn_joins(&t->c);
	}
	if (has_missed(t, ready, how)) {
		if (!t->opaque) {
			tls_count(t->c.version, TW_L_OPAQUE_TLS);
			t->opaque = OPAQUE_UNSEEN;
		}
		turn_leave(t);
		spans_trim(t, how == JOIN_PLAIN);
	} else if (t->opaque == OPAQUE_UNSEEN) {
		tls_count(t->c.version, TW_L_TLS_FOUND);
		t->opaque = 0;
		turn_forget(t);
	}
}

/* The socket that was read is this session's, unless it is another's already. */
static __always_inline struct tw_tls *session_join(const struct tls_session *s, __u64 cookie, __u32 fresh,
                                                   enum join how)
{
	struct tw_tls *t = bpf_map_lookup_elem(&tls_conns, &cookie);
	__u64 *ready = bpf_map_lookup_elem(&tls_ready, &s->tgid);
	struct tls_session other;

	if (!t || !ready)
		return 0;
	other = t->session;
	/*
	 * A socket has one object for life. What is read on connections that are not watched is not seen: then it only
	 * looks as if the thread had last read this one.
	 */
	if (other.object && (other.object != s->object || other.tgid != s->tgid)) {
		if (fresh && bpf_map_lookup_elem(&tls_sessions, &other))
			tls_count(t->c.version, TW_L_TLS_MISMATCH);
		return 0;
	}
	if (bpf_map_update_elem(&tls_sessions, s, &cookie, BPF_ANY))
		return 0;
	t->session = *s;
	if (!(t->flags & TLS_JOINED))
		session_begins(t, *ready, how);
	return t;
}

/* In a call that reads, what the thread has read before it may be the session's: it hands the library its bytes. */
static __always_inline struct tw_tls *session_find(struct tls_call *k, __u64 object, enum join how)
{
	struct tls_session s = { .object = object, .tgid = bpf_get_current_pid_tgid() >> 32 };
	__u64 received = k->received, *cookie = bpf_map_lookup_elem(&tls_sessions, &s);
	struct tw_tls *t = cookie ? bpf_map_lookup_elem(&tls_conns, cookie) : 0, *other;

	if (likely(t && (!k->fresh || *cookie == received)))
		return t;
	/*
	 * An object is used for the next connection while the socket of the last one is still there. Not so when the
	 * socket has had an object: a program reads what is left on a connection that it has done with.
	 */
	if (t) {
		other = bpf_map_lookup_elem(&tls_conns, &received);
		return other && !(other->flags & TLS_JOINED) ? session_join(&s, received, k->fresh, how) : t;
	}
	if (!k->fresh)
		received = how != JOIN_WRITE && k->since != TLS_MANY ? k->since : 0;
	return received ? session_join(&s, received, k->fresh, how) : 0;
}

/*
 * Plaintext whose connection is not known. Only if the call has read from one that is watched: the process may have
 * others, and one that is watched and never read counts as opaque, as those do of a process that is left to itself.
 */
static __always_inline void session_missed(__u32 fresh)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (fresh && bpf_map_lookup_elem(&tls_ready, &tgid) && !withheld_how(tgid))
		tls_count(caller_version(tgid), TW_L_TLS_UNJOINED);
}

/* ---- to the streams ---------------------------------------------------------------------------------------------- */

/*
 * n bytes at `user` were read, or are written: by the call noted under `key`, should they not be there yet. Does not
 * return if there is something to look at.
 */
static __always_inline int plain_goes(struct pt_regs *regs, struct tls_call *k, struct tw_tls *t, __u64 key, __u64 user,
                                      __u32 n, int reads, int late)
{
	__u32 client = t->c.flags & TW_C_CLIENT ? RUN_CLIENT : 0;
	struct tw_feed *f;

	if (unlikely(stopped))
		return 0; /* when its bytes pass the socket is not seen any more */
	/* The thread's own, wherever the goroutine's call is noted. */
	if (unlikely(k->goroutine))
		k = caller_get(bpf_get_current_pid_tgid());
	if (!k)
		return 0;
	f = &k->feed;
	f->cookie = t->cookie;
	f->user = user;
	f->off = 0;
	f->len = n;
	f->key = key;
	f->calls = 0;
	f->late = late;
	bpf_tail_call(regs, &tls_runs, client + (reads == !client ? RUN_REQUESTS : RUN_RESPONSES));
	return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static __always_inline int call_begins(__u64 key, __u64 object, __u64 buffer, __u64 bytes)
{
	struct tls_call *k = caller_get(key);

	if (!k)
		return 0;
	k->object = object;
	k->buffer = buffer;
	k->bytes = bytes;
	k->fresh = 0;
	return 0;
}

static __always_inline int read_returns(struct pt_regs *regs, __u64 key, __s32 n)
{
	struct tls_call *k = bpf_map_lookup_elem(&tls_callers, &key);
	struct tw_tls *t;
	__u64 object;

	if (!k || !k->object)
		return 0;
	object = k->object;
	k->object = 0;
	/* One that has read nothing may have shown whose session it is. */
	if (n <= 0 && !k->since)
		return 0;
	t = session_find(k, object, n > 0 ? JOIN_PLAIN : JOIN_READ);
	k->since = 0;
	if (n <= 0)
		return 0;
	if (!t) {
		session_missed(k->fresh);
		return 0;
	}
	return plain_goes(regs, k, t, 0, k->buffer, n, 1, 0);
}

/* The number of bytes lies in memory: of a call that says only whether it succeeded. */
static __always_inline __s32 bytes_of(__u64 key, __s32 ok)
{
	struct tls_call *k = bpf_map_lookup_elem(&tls_callers, &key);
	__u64 n = 0;

	if (!k || ok < 1 || bpf_probe_read_user(&n, sizeof(n), (void *)k->bytes) || n > 0x7fffffff)
		return 0;
	return n;
}

/*
 * Inside the library, where the result is known and the arguments still are: one trap a call instead of two. The cookie
 * says where (TLS_WHERE in user/tls/site.h): a register, or a place on the stack.
 */
static __always_inline __u64 where_is(struct pt_regs *regs, __u16 at)
{
	__u64 v = 0;

#ifdef __TARGET_ARCH_x86
	/* Volatile, or they become one load from a place that is not known when the program is verified. */
	if (at & 0x8000)
		bpf_probe_read_user(&v, sizeof(v), (void *)(regs->sp + (at & 0x7fff)));
	else if (at == 0)
		v = *(volatile unsigned long *)&regs->bx;
	else if (at == 1)
		v = *(volatile unsigned long *)&regs->bp;
	else if (at == 2)
		v = *(volatile unsigned long *)&regs->r12;
	else if (at == 3)
		v = *(volatile unsigned long *)&regs->r13;
	else if (at == 4)
		v = *(volatile unsigned long *)&regs->r14;
	else if (at == 5)
		v = *(volatile unsigned long *)&regs->r15;
#endif
	return v;
}

/* A socket without a session: has so much plaintext arrived on it in one record, and was not taken yet? */
static __always_inline int can_hold(__u64 cookie, __u32 n)
{
	const struct tw_tls *t = bpf_map_lookup_elem(&tls_conns, &cookie);
	__u32 i;

	if (!t || t->flags & TLS_JOINED)
		return 0;
	for (i = 0; i < TLS_STEP && i < t->span_head - t->span_tail; i++)
		if (t->span[(t->span_tail + i) & (TLS_SPANS - 1)].len >= n + TLS_TAG)
			return 1;
	return 0;
}

/*
 * What else the thread has read since the call began is not known inside, as nobody saw it begin. So a session stays
 * with its socket while that is there, and is only joined to one when there is plaintext of it. Calls that have read no
 * plaintext are not seen here, and what they read was another session's: it is the last one, if that has the bytes.
 */
static __always_inline struct tw_tls *session_known(struct tls_call *k, __u64 object, __u32 n)
{
	struct tls_session s = { .object = object, .tgid = bpf_get_current_pid_tgid() >> 32 };
	__u64 *cookie = bpf_map_lookup_elem(&tls_sessions, &s), since = k->since;
	struct tw_tls *t = 0;

	k->since = 0;
	if (likely(cookie))
		t = bpf_map_lookup_elem(&tls_conns, cookie);
	if (likely(t || !since))
		return t;
	if (!can_hold(k->received, n))
		return 0;
	t = session_join(&s, k->received, 0, JOIN_PLAIN);
	if (!t)
		session_missed(1);
	return t;
}

static __always_inline int read_at(struct pt_regs *regs)
{
	__u64 self = bpf_get_current_pid_tgid(), n = 0, where;
	struct tls_call *k;
	struct tw_tls *t;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return 0; /* before 5.15; nobody places it then */
	if ((__s32)RESULT(regs) < 1)
		return 0;
	where = bpf_get_attach_cookie(regs);
	k = caller_get(self);
	if (!k)
		return 0;
	if (bpf_probe_read_user(&n, sizeof(n), (void *)where_is(regs, where >> 32)) || !n || n > 0x7fffffff)
		return 0;
	t = session_known(k, where_is(regs, where), n);
	/* A look at what is there takes nothing. */
	if ((where >> 48) != 0xffff && (__u32)where_is(regs, where >> 48))
		return 0;
	if (!t)
		return 0;
	return plain_goes(regs, k, t, 0, where_is(regs, where >> 16), n, 1, 0);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/*
 * A call that is made again because the library could not send brings the same bytes: those that were looked at are
 * left out.
 */
static __always_inline int write_begins(struct pt_regs *regs, __u64 key, __u64 object, __u64 buffer, __u32 size,
                                        __u64 bytes)
{
	struct tls_call *k = caller_get(key);
	struct tw_tls *t;
	__u32 seen;

	if (!k || (k->object == object && k->buffer == buffer))
		return 0; /* a library's function that calls another */
	k->object = object;
	k->buffer = buffer;
	k->bytes = bytes;
	k->size = size;
	k->cookie = 0;
	k->fresh = k->late = 0;
	t = session_find(k, object, JOIN_WRITE);
	if (!t) {
		k->late = 1;
		return 0;
	}
	k->cookie = t->cookie;
	k->base = t->accepted;
	seen = t->written - t->accepted;
	t->accepted += size; /* mostly it will be: see write_returns */
	if (size <= seen)
		return 0;
	t->written = t->accepted;
	return plain_goes(regs, k, t, key, buffer + seen, size - seen, 0, 0);
}

/* What could not be looked at when it was written. */
static __always_inline int write_late(struct pt_regs *regs, struct tls_call *k, __u64 object, __s32 n)
{
	struct tw_tls *t = session_find(k, object, JOIN_WRITE);

	if (t)
		t->flags &= ~TLS_LATE;
	/* Not known: what it answers was read before we came, or its reading was counted as unjoined. */
	if (n <= 0 || !t)
		return 0;
	t->accepted += n;
	t->written = t->accepted;
	return plain_goes(regs, k, t, 0, k->buffer, n, 0, 1);
}

static __always_inline int write_returns(struct pt_regs *regs, __u64 key, __s32 n)
{
	struct tls_call *k = bpf_map_lookup_elem(&tls_callers, &key);
	struct tw_tls *t;
	__u64 object, cookie;

	if (!k || !k->object)
		return 0;
	object = k->object;
	k->object = 0;
	if (unlikely(k->late))
		return write_late(regs, k, object, n);
	if (likely(n == (__s32)k->size))
		return 0;
	cookie = k->cookie;
	t = bpf_map_lookup_elem(&tls_conns, &cookie);
	if (t)
		t->accepted = k->base + (n > 0 ? n : 0);
	return 0;
}

/* ---- the programs ------------------------------------------------------------------------------------------------ */

#define TLS_CALL(name, what)            \
	SEC("?uprobe")                  \
	int name(struct pt_regs *regs)  \
	{                               \
		stack_of_its_own(regs); \
		return what;            \
	}

#define SELF bpf_get_current_pid_tgid()

TLS_CALL(tw_tls_read_in, call_begins(SELF, ARG1(regs), ARG2(regs), 0))
TLS_CALL(tw_tls_read_out, read_returns(regs, SELF, RESULT(regs)))
TLS_CALL(tw_tls_read_at, read_at(regs))
TLS_CALL(tw_tls_read_ex_in, call_begins(SELF, ARG1(regs), ARG2(regs), ARG4(regs)))
TLS_CALL(tw_tls_read_ex_out, read_returns(regs, SELF, bytes_of(SELF, RESULT(regs))))
TLS_CALL(tw_tls_write_in, write_begins(regs, SELF, ARG1(regs), ARG2(regs), ARG3(regs), 0))
TLS_CALL(tw_tls_write_out, write_returns(regs, SELF, RESULT(regs)))
TLS_CALL(tw_tls_write_ex_in, write_begins(regs, SELF, ARG1(regs), ARG2(regs), ARG3(regs), ARG4(regs)))
TLS_CALL(tw_tls_write_ex_out, write_returns(regs, SELF, bytes_of(SELF, RESULT(regs))))
/* From a file: there is no buffer, and nothing of it is looked at. */
TLS_CALL(tw_tls_sendfile_in, write_begins(regs, SELF, ARG1(regs), 1, 1, 0))
TLS_CALL(tw_tls_sendfile_out, write_returns(regs, SELF, RESULT(regs)))
TLS_CALL(tw_tls_handshake_in, call_begins(SELF, ARG1(regs), 0, 0))
TLS_CALL(tw_tls_handshake_out, read_returns(regs, SELF, 0))

SEC("?uprobe")
int tw_tls_free_in(struct pt_regs *regs)
{
	struct tls_session s = { .object = ARG1(regs), .tgid = bpf_get_current_pid_tgid() >> 32 };

	stack_of_its_own(regs);
	bpf_map_delete_elem(&tls_sessions, &s);
	return 0;
}

static __always_inline void goes(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u8 one = 1;

	if (likely(bpf_map_lookup_elem(&tls_goers, &tgid)))
		return;
	bpf_map_update_elem(&tls_goers, &tgid, &one, BPF_ANY);
	tls_have_go = 1;
}

static __always_inline void goroutine_note(__u64 key)
{
	struct tls_call *k = caller_get(key);

	if (k)
		k->goroutine = 1;
}

SEC("?uprobe")
int tw_tls_go_read_in(struct pt_regs *regs)
{
	stack_of_its_own(regs);
	goes();
	goroutine_note(goroutine_key(GO_SELF(regs)));
	return call_begins(goroutine_key(GO_SELF(regs)), GO_ARG1(regs), GO_ARG2(regs), 0);
}

TLS_CALL(tw_tls_go_read_out, read_returns(regs, goroutine_key(GO_SELF(regs)), GO_ARG1(regs)))

SEC("?uprobe")
int tw_tls_go_write_in(struct pt_regs *regs)
{
	stack_of_its_own(regs);
	goes();
	goroutine_note(goroutine_key(GO_SELF(regs)));
	return write_begins(regs, goroutine_key(GO_SELF(regs)), GO_ARG1(regs), GO_ARG2(regs), GO_ARG3(regs), 0);
}

TLS_CALL(tw_tls_go_write_out, write_returns(regs, goroutine_key(GO_SELF(regs)), GO_ARG1(regs)))

SEC("?uprobe")
int tw_tls_go_handshake_in(struct pt_regs *regs)
{
	stack_of_its_own(regs);
	goes();
	goroutine_note(goroutine_key(GO_SELF(regs)));
	return call_begins(goroutine_key(GO_SELF(regs)), GO_ARG1(regs), 0, 0);
}

TLS_CALL(tw_tls_go_handshake_out, read_returns(regs, goroutine_key(GO_SELF(regs)), 0))

#endif
