// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/features.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "capture/closer.h"
#include "capture/uprobe.h"
#include "probe.skel.h"
#include "rights/rights.h"

static struct feature_state states[FEATURE_NR] = {
	[FEATURE_PACKETS] = { "tw_ingress", "cgroup_skb", "requests and responses at the socket",
	                      "nothing can be measured" },
	[FEATURE_READ] = { "tw_read", "tp_btf/tcp_rcv_space_adjust",
	                   "queue and service time; versions by the process that reads",
	                   "queue and service time are null; versions that share a port cannot be told apart" },
	[FEATURE_DESTROY] = { "tw_destroy", "tp_btf/tcp_destroy_sock", "endings that no packet shows",
	                      "exchanges cut by a dead connection or a kill never end, and the ledger is not checked" },
	[FEATURE_FAIL] = { "tw_fail", "tp_btf/inet_sock_set_state (state)",
	                   "timeouts told from other endings; who threw away what nobody had read",
	                   "a connection that timed out counts as closed by the server; unread ones have no culprit" },
	[FEATURE_LISTEN] = { "tw_listen", "tp_btf/inet_sock_set_state", "new listeners are noticed at once",
	                     "new listeners are noticed within two seconds" },
	[FEATURE_FORK] = { "tw_fork", "tp_btf/sched_process_fork", "workers belong to their version from birth",
	                   "new workers are noticed within two seconds" },
	[FEATURE_EXEC] = { "tw_exec", "tp_btf/sched_process_exec", "programs started later are noticed at once",
	                   "programs started later are noticed within two seconds" },
	[FEATURE_EXIT] = { "tw_exit", "tp_btf/sched_process_exit", "ended processes are forgotten at once",
	                   "ended processes are forgotten within two seconds" },
	[FEATURE_HANDSHAKE] = { "tw_handshake", "tp_btf/inet_sock_set_state (handshake)",
	                        "handshakes that never completed, drops up to a listener's end",
	                        "established and incomplete handshakes are null" },
	[FEATURE_REFUSE] = { "tw_refuse", "tp_btf/tcp_send_reset",
	                     "connections refused because nobody listens any more", "refused is null" },
	[FEATURE_LIVE] = { "tw_live", "iter/bpf_sk_storage_map", "segments sent on connections that are open",
	                   "segments are counted when a connection ends" },
	[FEATURE_INFLIGHT] = { "tw_inflight", "iter/bpf_sk_storage_map",
	                       "requests in flight are counted; hanging ones are timeouts while they hang",
	                       "requests in flight are null, the ledger is not checked, and a timeout shows when it ends" },
	[FEATURE_INFLIGHT_EARLY] = { "tw_inflight_early", "iter/bpf_map_elem",
	                             "the same for requests that came with the handshake",
	                             "requests in flight are null and the ledger is not checked" },
	[FEATURE_UPROBE] = { "", "uprobe", "requests and responses inside TLS", "TLS connections are opaque" },
	[FEATURE_UPROBE_MANY] = { "", "uprobe.multi", "TLS libraries are let go of within a second",
	                          "letting go of TLS libraries takes up to a second for each worker" },
	[FEATURE_UPROBE_TOLD] = { "", "uprobe (cookie)", "reads inside TLS libraries cost one trap",
	                          "reads of TLS libraries are watched at their functions, at two traps or more" },
};

static const char *const trials[FEATURE_NR] = {
	"try_packet",         "try_read",   "try_destroy",     "try_fail",       "try_listen", "try_fork",
	"try_exec",           "try_exit",   "try_handshake",   "try_refuse",     "try_live",   "try_inflight",
	"try_inflight_early", "try_uprobe", "try_uprobe_many", "try_uprobe_told"
};

static struct bpf_link *attach_trial(struct probe_bpf *skel, struct bpf_program *p)
{
	union bpf_iter_link_info info = {};
	LIBBPF_OPTS(bpf_iter_attach_opts, o, .link_info = &info, .link_info_len = sizeof(info));

	if (bpf_program__expected_attach_type(p) != BPF_TRACE_ITER)
		return bpf_program__attach(p);
	info.map.map_fd =
		(__u32)bpf_map__fd(p == skel->progs.try_inflight_early ? skel->maps.table : skel->maps.storage);
	return bpf_program__attach_iter(p, &o);
}

/* What trials are attached to. */
static __attribute__((noinline, noipa)) void nothing(void)
{
	__asm__ volatile("");
}

/* In our own process. It is left to a thread to let go of it: that would take longer than all other trials. */
static int try_uprobe(struct probe_bpf *skel, struct bpf_program *p)
{
	static struct closer *closer;
	struct uprobe u = { .prog = bpf_program__fd(p), .pid = getpid(), .path = "/proc/self/exe" };
	uint64_t offset;
	int *fd;

	if (uprobe__own_offset((const void *)(uintptr_t)nothing, &offset))
		return ENOEXEC;
	if (p == skel->progs.try_uprobe_many && !uprobe__many_know_processes(u.prog))
		return EOPNOTSUPP;
	fd = malloc(sizeof(*fd));
	if (!fd)
		return ENOMEM;
	if (p == skel->progs.try_uprobe_many)
		*fd = uprobe__attach_many(&u, &offset, NULL, 1);
	else
		*fd = uprobe__attach(&u, offset, p == skel->progs.try_uprobe_told);
	if (*fd < 0) {
		int err = -*fd;

		free(fd);
		return err;
	}
	if (!closer)
		closer = closer__new();
	if (closer)
		closer__add(closer, fd, 0, 1, 0);
	return 0;
}

/* Loads one trial program, and attaches it where attaching can be refused too. Returns 0 or an errno. */
static int try_one(const char *name)
{
	struct probe_bpf *skel = probe_bpf__open();
	struct bpf_program *p;
	struct bpf_link *link = NULL;
	int err;

	if (!skel)
		return errno;
	p = bpf_object__find_program_by_name(skel->obj, name);
	if (!p) {
		err = ENOENT;
		goto cleanup;
	}
	bpf_program__set_autoload(p, true);
	if (p == skel->progs.try_uprobe_many)
		bpf_program__set_expected_attach_type(p, UPROBE_MANY_TYPE);
	err = -probe_bpf__load(skel);
	if (!err && bpf_program__type(p) == BPF_PROG_TYPE_KPROBE)
		err = try_uprobe(skel, p);
	if (err || bpf_program__type(p) != BPF_PROG_TYPE_TRACING)
		goto cleanup;
	link = attach_trial(skel, p);
	if (!link)
		err = errno;
cleanup:
	bpf_link__destroy(link);
	probe_bpf__destroy(skel);
	return err;
}

/*
 * Kernels whose elements of storage have a state (7.x) take an element's owner from it while its socket goes, and
 * __bpf_sk_storage_map_seq_show() asks for the owner once more without looking: seen to follow a null pointer in
 * Debian's 7.2, which ended the process that read, and hung the machine. Such a walk is not for production.
 */
static bool walks_may_crash(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *t = NULL;
	bool found = false;
	int id;

	if (!btf)
		return false;
	id = btf__find_by_name_kind(btf, "bpf_local_storage_elem", BTF_KIND_STRUCT);
	if (id > 0)
		t = btf__type_by_id(btf, (uint32_t)id);
	for (unsigned int i = 0; t && i < btf_vlen(t); i++)
		found |= !strcmp(btf__name_by_offset(btf, btf_members(t)[i].name_off), "state");
	btf__free(btf);
	return found;
}

static void leave_walks_alone(void)
{
	states[FEATURE_LIVE].ok = states[FEATURE_INFLIGHT].ok = false;
	states[FEATURE_LIVE].error = states[FEATURE_INFLIGHT].error = ENOTSUP;
	states[FEATURE_LIVE].without = "segments are counted when a connection ends; "
				       "this kernel may crash in such a walk while a connection ends, so none is made";
	states[FEATURE_INFLIGHT].without =
		"requests in flight are null, the ledger is not checked, and a timeout shows when it ends; this kernel "
		"may crash in such a walk while a connection ends, so none is made";
}

/* perf's uprobes may want a right that uprobe.multi does not. */
static void explain_uprobes(void)
{
	struct feature_state *one = &states[FEATURE_UPROBE], *told = &states[FEATURE_UPROBE_TOLD];

	if (states[FEATURE_UPROBE_MANY].ok && !one->ok)
		one->without = told->without = "nothing, uprobe.multi does it here";
	else if (one->error == EACCES || one->error == EPERM)
		one->without = "TLS connections are opaque; CAP_SYS_ADMIN would do";
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

const struct feature_state *features__try(void)
{
	static bool tried;
	libbpf_print_fn_t print;

	if (tried)
		return states;
	tried = true;
	print = libbpf_set_print(quiet);
	for (int i = 0; i < FEATURE_NR; i++) {
		states[i].error = try_one(trials[i]);
		states[i].ok = !states[i].error;
	}
	if (!states[FEATURE_REFUSE].ok && !try_one("try_drop")) {
		states[FEATURE_REFUSE].name = "tw_drop";
		states[FEATURE_REFUSE].hook = "tp_btf/kfree_skb";
		states[FEATURE_REFUSE].error = 0;
		states[FEATURE_REFUSE].ok = true;
	}
	explain_uprobes();
	if (walks_may_crash())
		leave_walks_alone();
	libbpf_set_print(print);
	return states;
}

bool features__uprobes_told(void)
{
	const struct feature_state *f = features__try();

	return f[FEATURE_UPROBE_TOLD].ok || f[FEATURE_UPROBE_MANY].ok;
}

bool features__inflight(void)
{
	const struct feature_state *f = features__try();

	return f[FEATURE_INFLIGHT].ok && f[FEATURE_INFLIGHT_EARLY].ok;
}

void features__refuse(enum feature which, int error)
{
	struct feature_state *f = &states[which];

	f->ok = false;
	f->error = error;
	log_warn("this kernel refuses %s (%s): %s", f->hook, strerror(error), f->without);
}

int features__required(struct err *e)
{
	struct utsname u = {};
	int err = rights__require(e);

	if (err)
		return err;
	uname(&u);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return err_set(
			e, ENOENT,
			"this kernel (%s) has no BTF at /sys/kernel/btf/vmlinux: it needs CONFIG_DEBUG_INFO_BTF=y; "
			"kernels of Debian 11 and later, Ubuntu 20.10 and later and RHEL 8.2 and later have it",
			u.release);
	return 0;
}
