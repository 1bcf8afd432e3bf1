// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A program that does nothing: what the kernel's run-time statistics show for it is what they add to every run of any
 * program. The bench subtracts that from the programs it measures in the same run.
 */
#define SEC(name) __attribute__((section(name), used))

struct __sk_buff;

SEC("cgroup_skb/ingress")
int empty(struct __sk_buff *skb)
{
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
