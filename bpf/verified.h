/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loops, as global functions: the verifier proves each once and by itself, where it would follow an inlined one
 * anew for every path that leads to it. They take numbers only (5.10 knows no pointers to memory here): their operands
 * lie in the lane.
 */
#ifndef TW_VERIFIED_H
#define TW_VERIFIED_H

#include "tw_rule.h"
#include "tw_status.h"

__attribute__((noinline)) int scan_lines(__u32 lane, __u32 pos, __u64 marks, __u32 n)
{
	struct tw_lane *l = lane_get(lane);

	return l ? h1_scan_some_lines(l->window, pos, marks, n, l->zero, &l->head) : 0;
}

/* From where that one has come to. */
__attribute__((noinline)) int scan_more_lines(__u32 lane, __u32 n)
{
	struct tw_lane *l = lane_get(lane);
	int i, found = H1_GO_ON;

	if (!l)
		return 0;
	for (i = 1; i < H1_HEADERS && found == H1_GO_ON; i++)
		found = scan_lines(lane, l->head.len, l->head.marks, n);
	return found;
}

static __always_inline int scan_all_lines(__u32 lane, __u32 pos, __u32 fresh, __u32 n)
{
	int found = scan_lines(lane, pos, fresh, n);

	if (unlikely(found == H1_GO_ON))
		found = scan_more_lines(lane, n);
	return found == 1;
}

__attribute__((noinline)) int scan_request_line(__u32 lane, __u32 n)
{
	struct tw_lane *l = lane_get(lane);

	return l ? h1_scan_request_line(l->window, n, hash_seed, l->zero, &l->head) : 0;
}

/* lane->window[0..n) -> lane->head. 1: a whole, plain request head; 0: not certain. */
static __always_inline int scan_request(struct tw_lane *l, __u32 lane, __u32 n)
{
	struct tw_line *m = likely(!lane) ? line_slot(l) : 0;
	__u32 pos = m ? line_find(l, m, n) : 0;

	if (unlikely(!pos)) {
		pos = scan_request_line(lane, n);
		if (!pos)
			return 0;
		if (m)
			line_note(l, m, pos);
	}
	return scan_all_lines(lane, pos, 1, n);
}

/* The same for a response head. */
static __always_inline int scan_response(struct tw_lane *l, __u32 lane, __u32 n)
{
	__u32 pos = h1_scan_status_line(l->window, n, &l->head);

	return pos && scan_all_lines(lane, pos, 0, n);
}

/* lane->window[at..at + n), at most H1_RUN bytes, through the automaton; lane->used is what it took. */
static __always_inline int run_some(__u32 lane, __u32 at, __u32 n, int requests)
{
	struct tw_lane *l = lane_get(lane);

	if (!l)
		return H1_BROKEN;
	asm volatile("" : "+r"(at)); /* keeps the mask for the verifier, see h1_at */
	at &= H1_CAREFUL - 1;
	return h1_run_some(&l->run, requests ? &l->text : 0, &l->text.length, l->window + at, n, hash_seed, &l->used);
}

__attribute__((noinline)) int run_some_request(__u32 lane, __u32 at, __u32 n)
{
	return run_some(lane, at, n, 1);
}

__attribute__((noinline)) int run_some_response(__u32 lane, __u32 at, __u32 n)
{
	return run_some(lane, at, n, 0);
}

/* lane->window[0..n) through the automaton: lane->run and lane->text are its state, lane->used what it took. */
static __always_inline int run_window(__u32 lane, __u32 n, int requests)
{
	struct tw_lane *l = lane_get(lane);
	__u32 at = 0, some;
	int e = H1_MORE, i;

	if (!l)
		return H1_BROKEN;
	for (i = 0; i < H1_CAREFUL / H1_RUN && at < n && e == H1_MORE; i++) {
		some = n - at < H1_RUN ? n - at : H1_RUN;
		e = requests ? run_some_request(lane, at, some) : run_some_response(lane, at, some);
		at += l->used;
	}
	l->used = at;
	/* Below 100 it is no interim response: none follows it. */
	if (!requests && e == H1_HEAD && l->run.status < 100)
		l->run.status += TW_STATUS_LOW;
	return e;
}

__attribute__((noinline)) int run_request(__u32 lane, __u32 n)
{
	return run_window(lane, n, 1);
}

__attribute__((noinline)) int run_response(__u32 lane, __u32 n)
{
	return run_window(lane, n, 0);
}

/* lane->window[0..n): the bytes of whole chunks at its start, see h1_walk_chunks. */
__attribute__((noinline)) int walk_chunks(__u32 lane, __u32 n, int inside)
{
	struct tw_lane *l = lane_get(lane);

	return l ? h1_walk_chunks(l->window, n, inside, l->zero) : 0;
}

/* lane->window[0..n): the bytes before the next LF. */
__attribute__((noinline)) int skip_line(__u32 lane, __u32 n)
{
	struct tw_lane *l = lane_get(lane);

	return l ? h1_skip_line(l->window, n, l->zero) : 0;
}

/* How much of the window goes by at once in this state: whole chunks, or the rest of a line. */
__attribute__((noinline)) int leap(__u32 lane, __u32 n, __u32 state)
{
	return state == H1_SKIP ? skip_line(lane, n) : walk_chunks(lane, n, state == H1_CHUNK_END);
}

static __always_inline __u32 latency_bucket(__u64 ns)
{
	return BUCKET_OF(tw_bounds, TW_BOUNDS_TABLE, tw_cells, ns);
}

/*
 * Has a request that was complete at `asked` (0: it is not) waited too long for the first byte of its response, which
 * came at `until`, or has not come up to then?
 */
static __always_inline int is_late(__u64 asked, __u64 until)
{
	return asked && until > asked && until - asked > response_timeout;
}

/*
 * How long an exchange that ends without its whole answer, or would if it ended now, has waited for its first byte, ns;
 * 0: not known. state: the response's.
 */
__attribute__((noinline)) __u64 waited_for(__u32 state, __u64 asked, __u64 t_first, __u64 t_last, __u64 now)
{
	/* Step is lost: what came since may have been the beginning of its response. */
	if (!asked || (state == H1_LOST && t_last >= asked))
		return 0;
	if (state != H1_LOST && state != H1_RES)
		now = t_first;
	return now > asked ? now - asked : 0;
}

#define RING_STEP (16 << 10) /* more than a record has */

static __always_inline __u64 ring_flags(void)
{
	__u64 waits = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);

	/*
	 * Waking user space for each record would cost more than the record; it polls ten times a second. While it is
	 * behind it is awake: it is woken when so much waits, and again with every so much more.
	 */
	if (likely(waits < ring_wakeup))
		return BPF_RB_NO_WAKEUP;
	return waits % ring_wakeup < RING_STEP ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void series_latency(struct tw_series *s, enum tw_latency kind, __u64 ns, __u32 bucket)
{
	s->c.sum[kind] += ns;
	if (ns > s->c.max[kind])
		s->c.max[kind] = ns;
	if (likely(bucket < TW_BUCKETS))
		s->b[bucket][kind]++;
}

/* Of a kind that mostly is 0, or what `like` is, which lies in bucket `at`. Returns the bucket. */
static __always_inline __u32 series_mostly(struct tw_series *s, enum tw_latency kind, __u64 ns, __u64 like, __u32 at)
{
	if (ns != like)
		at = ns == TW_NOT_MEASURED ? TW_BUCKETS : latency_bucket(ns);
	if (likely(at < TW_BUCKETS))
		series_latency(s, kind, ns, at);
	return at;
}

/* These two return the bucket of the server's time; 0 also when it was not measured. */
static __always_inline __u32 series_plain(struct tw_series *s, const __u64 *lat)
{
	__u32 total = latency_bucket(lat[TW_LAT_TOTAL]);

	series_latency(s, TW_LAT_PLAIN, lat[TW_LAT_TOTAL], total);
	series_latency(s, TW_LAT_QUEUE, lat[TW_LAT_QUEUE], latency_bucket(lat[TW_LAT_QUEUE]));
	series_latency(s, TW_LAT_SERVICE, lat[TW_LAT_SERVICE], latency_bucket(lat[TW_LAT_SERVICE]));
	return total;
}

static __always_inline __u32 series_times(struct tw_series *s, const __u64 *lat)
{
	__u64 all = lat[TW_LAT_TOTAL];
	__u32 total = latency_bucket(all), server;

	series_latency(s, TW_LAT_TOTAL, all, total);
	series_mostly(s, TW_LAT_FIRST_BYTE, lat[TW_LAT_FIRST_BYTE], all, total);
	server = series_mostly(s, TW_LAT_SERVER, lat[TW_LAT_SERVER], all, total);
	if (unlikely(server >= TW_BUCKETS))
		server = 0; /* not measured: not slow */
	series_mostly(s, TW_LAT_UPLOAD, lat[TW_LAT_UPLOAD], 0, 0);
	series_mostly(s, TW_LAT_SEND, lat[TW_LAT_SEND], 0, 0);
	if (lat[TW_LAT_QUEUE] == TW_NOT_MEASURED)
		return server;
	series_latency(s, TW_LAT_QUEUE, lat[TW_LAT_QUEUE], latency_bucket(lat[TW_LAT_QUEUE]));
	series_latency(s, TW_LAT_SERVICE, lat[TW_LAT_SERVICE], latency_bucket(lat[TW_LAT_SERVICE]));
	series_mostly(s, TW_LAT_ACCEPT, lat[TW_LAT_ACCEPT], 0, 0);
	return server;
}

/* The server's time, see tw_is_bad. */
static __always_inline __u64 ended_took(const struct tw_ended *d)
{
	if (d->lat[TW_LAT_TOTAL] == TW_NOT_MEASURED)
		return d->waited;
	if (d->plain)
		return d->lat[TW_LAT_TOTAL];
	return d->lat[TW_LAT_SERVER] != TW_NOT_MEASURED ? d->lat[TW_LAT_SERVER] : 0;
}

static __always_inline void series_judge(struct tw_series *s, const struct tw_ended *d)
{
	__u32 endpoint = d->endpoint;
	struct tw_rule *r = bpf_map_lookup_elem(&rules, &endpoint);

	if (!r || !tw_is_bad(r, d->status, d->outcome, d->cut, ended_took(d)))
		return;
	s->c.bad++;
	s->c.group_bad[d->group & (TW_GROUPS - 1)]++;
}

/* status: its index, see tw_status.h. */
static __always_inline void series_add(struct tw_series *s, const struct tw_ended *d, __u8 status,
                                       const struct tw_slot *slot)
{
	__u32 g = d->group & (TW_GROUPS - 1), server = 0;

	s->c.exchanges++;
	s->c.connections += d->first;
	s->c.outcome[d->outcome & (TW_OUTCOME_NR - 1)]++;
	s->c.status[status & (TW_STATUS_NR - 1)]++;
	s->c.group[g]++;
	if (unlikely(d->outcome != TW_ANSWERED))
		s->c.cut[d->outcome & (TW_OUTCOME_NR - 1)] += d->cut;
	if (likely(d->plain))
		server = series_plain(s, d->lat);
	else if (d->lat[TW_LAT_TOTAL] != TW_NOT_MEASURED)
		server = series_times(s, d->lat);
	else
		server = series_mostly(s, TW_LAT_WAITED, d->lat[TW_LAT_WAITED], TW_NOT_MEASURED, TW_BUCKETS);
	if (unlikely(slot->slow_from && server >= slot->slow_from && server < TW_BUCKETS))
		s->c.group_slow[g]++;
	/* An answer below 300 is good, unless it took too long: no rule can name it. */
	if (unlikely(d->status >= 300 || d->outcome != TW_ANSWERED || (slot->bad_from && server >= slot->bad_from)))
		series_judge(s, d);
}

static __always_inline int exchange_record(const struct tw_ended *d)
{
	struct tw_exchange_record *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);

	if (!r)
		return -1;
	r->type = TW_R_EXCHANGE;
	r->tgid = d->tgid;
	r->hash = d->hash;
	r->t_start = d->t_start;
	__builtin_memcpy(r->lat, d->lat, sizeof(r->lat));
	r->waited = d->lat[TW_LAT_TOTAL] == TW_NOT_MEASURED ? d->waited : 0;
	r->version = d->version;
	r->endpoint = d->endpoint;
	r->status = d->status;
	r->outcome = d->outcome;
	r->new_connection = d->first;
	r->cut = d->lat[TW_LAT_TOTAL] == TW_NOT_MEASURED && d->cut;
	__builtin_memset(r->pad, 0, sizeof(r->pad));
	bpf_ringbuf_submit(r, ring_flags());
	return 0;
}

/* The counters of a version on an endpoint, if they have a slot. */
static __always_inline struct tw_series *series_of(__u32 version, __u32 endpoint, const struct tw_slot **where)
{
	struct tw_slot *slot;
	__u32 at;

	if (unlikely(!version || !endpoint || endpoint >= TW_MAX_ENDPOINTS))
		return 0;
	at = (version & (TW_MAX_VERSIONS - 1)) * TW_MAX_ENDPOINTS + (endpoint & (TW_MAX_ENDPOINTS - 1));
	slot = bpf_map_lookup_elem(&slots, &at);
	if (unlikely(!slot || slot->slot == TW_SLOT_NONE))
		return 0;
	*where = slot;
	at = slot->slot;
	return bpf_map_lookup_elem(&series, &at);
}

/* The client has acknowledged a response. 0: it has no slot, or it is another's turn. */
__attribute__((noinline)) int count_drain(__u32 lane, __u32 version, __u32 endpoint, __u64 ns)
{
	const struct tw_slot *slot;
	struct tw_series *s = lane ? 0 : series_of(version, endpoint, &slot);

	if (unlikely(!s))
		return 0;
	series_latency(s, TW_LAT_DRAIN, ns, latency_bucket(ns));
	return 1;
}

/* Counts lane->ended in its slot. 0: it has none, or it is another's turn. */
__attribute__((noinline)) int count_ended(__u32 lane)
{
	struct tw_lane *l = lane_get(lane);
	const struct tw_slot *slot;
	struct tw_series *s;
	struct tw_ended *d;
	__u32 at;
	__u8 known = 0;

	if (!l)
		return 0;
	d = &l->ended;
	if (likely(d->status < TW_STATUS_TABLE)) {
		at = d->status;
		asm volatile("" : "+r"(at)); /* keeps the mask for the verifier, see h1_at */
		known = tw_status_index[at & (TW_STATUS_TABLE - 1)];
	}
	/* Counters of a slot have one writer a CPU: the holder of lane 0. The rare others send a record. */
	if (unlikely(!known || lane))
		return 0;
	s = series_of(d->version, d->endpoint, &slot);
	if (unlikely(!s))
		return 0;
	series_add(s, d, known, slot);
	count(l, d->version, TW_L_ENDED);
	return 1;
}

/* lane->ended leaves as a record, or else it is lost. */
__attribute__((noinline)) int record_ended(__u32 lane)
{
	struct tw_lane *l = lane_get(lane);
	struct tw_ended *d;

	if (!l)
		return 0;
	d = &l->ended;
	if (exchange_record(d)) {
		count(l, d->version, TW_L_LOST_EVENTS);
		count(l, d->version, TW_L_LOST_EXCHANGES);
	} else {
		count(l, d->version, TW_L_ENDED);
	}
	return 0;
}

#endif
