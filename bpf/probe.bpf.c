// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trial programs: what this kernel takes is found out by loading and attaching the smallest program that needs it,
 * because BTF can promise what the load then refuses. One each, in the order of user/capture/features.c.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, int);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} table SEC(".maps");

/* What tells user space something needs the ring; nobody is told here. */
static __always_inline int record(void)
{
	void *r = bpf_ringbuf_reserve(&ring, 8, 0);

	if (r)
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	return r != 0;
}

/* Also the empty program by which the cost of counting is told from the cost of the programs. */
SEC("?cgroup_skb/egress")
int try_packet(struct __sk_buff *skb)
{
	return 1;
}

SEC("?tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(try_read, struct sock *sk)
{
	return bpf_sk_storage_get(&storage, sk, 0, 0) != 0;
}

SEC("?tp_btf/tcp_destroy_sock")
int BPF_PROG(try_destroy, struct sock *sk)
{
	return bpf_sk_storage_get(&storage, sk, 0, 0) != 0;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(try_fail, struct sock *sk, int from, int to)
{
	return bpf_sk_storage_get(&storage, sk, 0, 0) != 0;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(try_listen, struct sock *sk, int from, int to)
{
	return record() + sk->__sk_common.skc_num;
}

/* The reason is what the kernels have that also tell of resets without a socket. */
SEC("?tp_btf/tcp_send_reset")
int BPF_PROG(try_refuse, const struct sock *sk, const struct sk_buff *skb, int reason)
{
	return reason;
}

/* What does instead on kernels that lack it. */
SEC("?tp_btf/kfree_skb")
int BPF_PROG(try_drop, const struct sk_buff *skb, void *location, enum skb_drop_reason reason)
{
	return reason == bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_NO_SOCKET);
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(try_handshake, struct sock *sk, int from, int to)
{
	return from == BPF_TCP_LISTEN ? sk->sk_ack_backlog : 0;
}

SEC("?iter/bpf_sk_storage_map")
int try_live(struct bpf_iter__bpf_sk_storage_map *at)
{
	return !at->sk;
}

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(try_fork, struct task_struct *parent, struct task_struct *child)
{
	return parent->tgid != child->tgid;
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(try_exec, struct task_struct *p)
{
	return record() + p->tgid;
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(try_exit, struct task_struct *p)
{
	return p->tgid;
}

SEC("?iter/bpf_sk_storage_map")
int try_inflight(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	void *value = ctx->value;

	if (value)
		*(volatile int *)value;
	return 0;
}

SEC("?iter/bpf_map_elem")
int try_inflight_early(struct bpf_iter__bpf_map_elem *ctx)
{
	void *value = ctx->value;

	if (value)
		*(volatile int *)value;
	return 0;
}

SEC("?uprobe")
int try_uprobe(struct pt_regs *regs)
{
	return bpf_get_current_pid_tgid() != 0;
}

/* Told something. */
SEC("?uprobe")
int try_uprobe_told(struct pt_regs *regs)
{
	return bpf_get_attach_cookie(regs) != 0;
}

/* The same; user space loads it for another kind of attachment. */
SEC("?uprobe")
int try_uprobe_many(struct pt_regs *regs)
{
	return bpf_get_current_pid_tgid() != 0;
}
