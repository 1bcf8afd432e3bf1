/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Details for user space: who cut an exchange, which process a watched one has started, and how long the first answers
 * of a route drained.
 *
 * Invariants: best effort, and beside the counters: a record that is over the budget, or that the ring has no room for,
 * counts in TW_L_LOST_DETAILS and changes nothing else (a time of draining not even there: its count says how many were
 * measured); an answer sends none once its endpoint has a slot. Who cut an exchange is told only while it is asked for
 * (detail_shed): else it counts in TW_L_SHED_DETAILS instead. New processes are always told of, as later exchanges are
 * theirs.
 */
#ifndef TW_DETAIL_H
#define TW_DETAIL_H

/* The budget leaves room in the ring for the routes. CPUs that meet in it may overdraw it by one each. */
static __always_inline int detail_allowed(void)
{
	if ((__s32)detail_budget <= 0)
		return 0;
	detail_budget--;
	return 1;
}

/* What a connection knows of the process that is to answer for its end. */
static __always_inline __u32 cut_cause(const struct tw_conn *c)
{
	if (!c->tgid)
		return TW_CAUSE_UNKNOWN;
	return c->rs_flags & TW_C_RS_UNREAD ? TW_CAUSE_CLOSER : TW_CAUSE_READER;
}

/* lane->ended was not answered. */
__attribute__((noinline)) int record_detail(__u32 lane, __u32 cause)
{
	struct tw_lane *l = lane_get(lane);
	struct tw_detail_record *r;
	struct tw_ended *d;
	__u64 now;

	if (!l)
		return 0;
	d = &l->ended;
	if (detail_shed) {
		count(l, d->version, TW_L_SHED_DETAILS);
		return 0;
	}
	r = detail_allowed() ? bpf_ringbuf_reserve(&ring, sizeof(*r), 0) : 0;
	if (!r) {
		count(l, d->version, TW_L_LOST_DETAILS);
		return 0;
	}
	now = bpf_ktime_get_ns();
	r->type = TW_R_DETAIL;
	r->tgid = d->tgid;
	r->hash = d->hash;
	r->t_end = now;
	r->age = now > d->t_start ? now - d->t_start : 0;
	r->version = d->version;
	r->endpoint = d->endpoint;
	r->status = d->status;
	r->outcome = d->outcome;
	r->cause = cause;
	bpf_ringbuf_submit(r, ring_flags());
	return 0;
}

/*
 * How long the last response drained, for which there was no slot: the first ones of a route, mostly, which was not
 * named yet. Only while there is room in plenty: records of exchanges go before.
 */
static __always_inline void record_drain(const struct tw_conn *c, __u64 took)
{
	struct tw_drain_record *r;

	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= ring_wakeup)
		return;
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r)
		return;
	r->type = TW_R_DRAIN;
	r->tgid = c->tgid;
	r->hash = c->drain_hash;
	r->took = took;
	r->version = c->drain_version;
	r->endpoint = c->drain_endpoint;
	r->pad = 0;
	bpf_ringbuf_submit(r, ring_flags());
}

/* A process, or a listener, whose record could not be sent. */
static __always_inline void lost_process(__u32 version)
{
	struct tw_lane *l;
	__u32 lane;

	l = lane_claim(&lane);
	if (!l)
		return;
	count(l, version, TW_L_LOST_DETAILS);
	lane_release(l);
}

static __always_inline void record_fork(__u32 parent, __u32 child, __u32 version)
{
	struct tw_fork_record *r = detail_allowed() ? bpf_ringbuf_reserve(&ring, sizeof(*r), 0) : 0;

	if (!r) {
		lost_process(version);
		return;
	}
	r->type = TW_R_FORK;
	r->tgid = child;
	r->parent = parent;
	r->version = version;
	r->t = bpf_ktime_get_ns();
	/* What it does inside TLS is not seen before user space has come. */
	bpf_ringbuf_submit(r, tls_watched ? BPF_RB_FORCE_WAKEUP : ring_flags());
}

#endif
