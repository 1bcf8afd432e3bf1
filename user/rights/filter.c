// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What an observation does once it is attached, call by call. Whoever adds a call to the tool adds it here; what is
 * missing shows in the kernel's log (`journalctl -k --grep type=1326`) and as EPERM.
 */
#include "rights/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* From here on all machines have the same numbers, and no libseccomp that we build on knows names for them. */
#define NUMBERS_IN_COMMON 450
#define NUMBERS_END       512

/* x86-64: the kernel's own trampolines make these, in whoever has a probe, so also where we measure what one costs. */
#define SYS_URETPROBE 335
#define SYS_UPROBE    336

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct call {
	int nr;
	unsigned int n;
	struct scmp_arg_cmp arg[2];
};

#define ANY(name)                    \
	{                            \
		.nr = SCMP_SYS(name) \
	}
/* Its argument is this; has of these bits that ones. */
#define IS(name, i, value)                                              \
	{                                                               \
		SCMP_SYS(name), 1,                                      \
		{                                                       \
			SCMP_CMP(i, SCMP_CMP_EQ, (scmp_datum_t)(value)) \
		}                                                       \
	}
#define ARE(name, i, x, k, y)                                                                                    \
	{                                                                                                        \
		SCMP_SYS(name), 2,                                                                               \
		{                                                                                                \
			SCMP_CMP(i, SCMP_CMP_EQ, (scmp_datum_t)(x)), SCMP_CMP(k, SCMP_CMP_EQ, (scmp_datum_t)(y)) \
		}                                                                                                \
	}
#define BITS(name, i, of, ones)                                                   \
	{                                                                         \
		SCMP_SYS(name), 1,                                                \
		{                                                                 \
			SCMP_CMP(i, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(of), ones) \
		}                                                                 \
	}

/* Nothing is opened for writing: not /proc/PID/mem, which CAP_SYS_PTRACE would do for, nor what root owns. */
#define WRITES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND)

static const struct call observer[] = {
	/* memory, none of it to be run */
	BITS(mmap, 2, PROT_EXEC, 0),
	BITS(mprotect, 2, PROT_EXEC, 0),
	ANY(munmap),
	ANY(mremap),
	ANY(madvise),
	ANY(brk),
	/* files, to be read; what is open already may be written */
	BITS(open, 1, WRITES, 0),
	BITS(openat, 2, WRITES, 0),
	BITS(open_by_handle_at, 2, WRITES | O_PATH, O_PATH),
	ANY(read),
	ANY(readv),
	ANY(pread64),
	ANY(write),
	ANY(writev),
	ANY(lseek),
	ANY(close),
	ANY(ftruncate),
	ANY(fsync),
	ANY(stat),
	ANY(lstat),
	ANY(fstat),
	ANY(newfstatat),
	ANY(statx),
	ANY(statfs),
	ANY(fstatfs),
	ANY(access),
	ANY(faccessat),
	ANY(faccessat2),
	ANY(readlink),
	ANY(readlinkat),
	ANY(getdents64),
	IS(fcntl, 1, F_DUPFD_CLOEXEC),
	IS(fcntl, 1, F_GETFD),
	IS(fcntl, 1, F_SETFD),
	IS(fcntl, 1, F_GETFL),
	IS(fcntl, 1, F_SETFL),
	IS(ioctl, 1, TCGETS),
	IS(ioctl, 1, TIOCGWINSZ),
	/* the kernel's programs and maps: none is made any more */
	IS(bpf, 0, BPF_MAP_LOOKUP_ELEM),
	IS(bpf, 0, BPF_MAP_UPDATE_ELEM),
	IS(bpf, 0, BPF_MAP_DELETE_ELEM),
	IS(bpf, 0, BPF_MAP_GET_NEXT_KEY),
	IS(bpf, 0, BPF_MAP_LOOKUP_AND_DELETE_ELEM),
	IS(bpf, 0, BPF_MAP_LOOKUP_BATCH),
	IS(bpf, 0, BPF_OBJ_GET_INFO_BY_FD),
	IS(bpf, 0, BPF_LINK_CREATE),
	IS(bpf, 0, BPF_LINK_DETACH),
	IS(bpf, 0, BPF_ITER_CREATE),
	IS(bpf, 0, BPF_PROG_TEST_RUN), /* of one that does nothing, see capture/spending.h */
	IS(bpf, 0, BPF_ENABLE_STATS),  /* without the keeper: in vain, and nothing for the kernel's log */
	/* sockets: the kernel's own tables; the keeper has its end already */
	ARE(socket, 0, AF_NETLINK, 2, NETLINK_SOCK_DIAG),
	ARE(setsockopt, 1, SOL_SOCKET, 2, SO_RCVTIMEO),
	ANY(sendto),
	ANY(sendmsg),
	ANY(recvfrom),
	ANY(recvmsg),
	IS(shutdown, 1, SHUT_WR), /* the keeper's end is to end */
	/* waiting, time, chance */
	ANY(epoll_create1),
	ANY(epoll_ctl),
	ANY(epoll_wait),
	ANY(epoll_pwait),
	ANY(poll),
	ANY(ppoll),
	ANY(timerfd_create),
	ANY(timerfd_settime),
	ANY(signalfd4),
	ANY(clock_gettime),
	ANY(clock_getres),
	ANY(clock_nanosleep),
	ANY(nanosleep),
	ANY(gettimeofday),
	ANY(time),
	ANY(getrandom),
	/* threads, no processes; clone3 hides its flags, see say_there_is_no() */
	BITS(clone, 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM),
	ANY(set_robust_list),
	ANY(rseq),
	ANY(futex),
	ANY(sched_yield),
	ANY(sched_getaffinity),
	ANY(membarrier),
	ANY(exit),
	ANY(exit_group),
	ANY(rt_sigaction),
	ANY(rt_sigprocmask),
	ANY(rt_sigreturn),
	ANY(sigaltstack),
	ANY(restart_syscall),
	ANY(wait4),
	/* who is there, and what it has used */
	IS(kill, 1, 0),
	ANY(kcmp),
	ANY(getpid),
	ANY(gettid),
	ANY(getuid),
	ANY(geteuid),
	ANY(getgid),
	ANY(getegid),
	ANY(getrusage),
	ANY(sysinfo),
	ANY(uname),
	ANY(capget),
	ANY(capset),
	IS(prlimit64, 2, 0),
	ANY(getrlimit),
#ifdef __x86_64__
	{ .nr = SYS_URETPROBE },
	{ .nr = SYS_UPROBE },
#endif
#ifdef __SANITIZE_ADDRESS__
	/* The leak detector stops all threads by a process of its own, which traces them. */
	ANY(clone),
	ANY(ptrace),
	ANY(prctl),
	ANY(getppid),
	ANY(getdents),
	ANY(tkill),
	ANY(tgkill),
	ANY(process_vm_readv),
	ANY(pipe2),
	ANY(dup2),
	ANY(dup3),
#endif
};

static const struct call perf_uprobes[] = {
	ANY(perf_event_open),
	IS(ioctl, 1, PERF_EVENT_IOC_SET_BPF),
	IS(ioctl, 1, PERF_EVENT_IOC_ENABLE),
};

/* What is there already is not touched. */
static const struct call new_file[] = {
	BITS(open, 1, O_CREAT | O_EXCL, O_CREAT | O_EXCL),
	BITS(openat, 2, O_CREAT | O_EXCL, O_CREAT | O_EXCL),
};

static const struct call keeper[] = {
	ANY(recvmsg),
	ANY(sendmsg),
	ANY(close),
	IS(setns, 1, CLONE_NEWNET),
	ARE(socket, 0, AF_NETLINK, 2, NETLINK_SOCK_DIAG),
	IS(bpf, 0, BPF_ENABLE_STATS),
	ANY(perf_event_open),
	ANY(exit_group),
	ANY(rt_sigreturn),
	ANY(restart_syscall),
};

/* ---- making it so ------------------------------------------------------------------------------------------------ */

/* A name that this machine has no call of has a negative number. */
static int allow(scmp_filter_ctx f, const struct call *c, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		if (c[i].nr >= 0)
			err = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, c[i].nr, c[i].n, c[i].arg);
	return err;
}

/* What a libc tries first, to take what we allow when there is no such call. */
static int each_that_is_not(scmp_filter_ctx f, uint32_t action)
{
	int err = seccomp_rule_add(f, action, SCMP_SYS(clone3), 0);

	if (!err)
		err = seccomp_rule_add(f, action, SCMP_SYS(openat2), 0);
	for (int nr = NUMBERS_IN_COMMON; nr < NUMBERS_END && !err; nr++)
		err = seccomp_rule_add(f, action, nr, 0);
	return err;
}

static int abort_only_us(scmp_filter_ctx f)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	                        SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)getpid()));
}

static scmp_filter_ctx begin(uint32_t otherwise, bool log)
{
	scmp_filter_ctx f = seccomp_init(otherwise);

	if (!f)
		return NULL;
	seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, log);
	seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 1);
	return f;
}

static int load_and_release(scmp_filter_ctx f, int err)
{
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}

/* By a filter of its own, which is quiet: each new thread begins with such a call. The stricter of two has its way. */
static int say_there_is_no(void)
{
	scmp_filter_ctx f = begin(SCMP_ACT_ALLOW, false);

	return f ? load_and_release(f, each_that_is_not(f, SCMP_ACT_ERRNO(ENOSYS))) : -ENOMEM;
}

int filter__observer(const struct confine_options *o)
{
	int err = say_there_is_no();
	scmp_filter_ctx f = err ? NULL : begin(SCMP_ACT_ERRNO(EPERM), true);

	if (!f)
		return err ? err : -ENOMEM;
	seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	err = allow(f, observer, COUNT(observer));
	if (!err && o->perf_uprobes)
		err = allow(f, perf_uprobes, COUNT(perf_uprobes));
	if (!err && o->writes_a_new)
		err = allow(f, new_file, COUNT(new_file));
	if (!err)
		err = abort_only_us(f);
	if (!err)
		err = each_that_is_not(f, SCMP_ACT_ALLOW);
	return load_and_release(f, err);
}

int filter__keeper(void)
{
	scmp_filter_ctx f = begin(SCMP_ACT_ERRNO(EPERM), true);

	return f ? load_and_release(f, allow(f, keeper, COUNT(keeper))) : -ENOMEM;
}
