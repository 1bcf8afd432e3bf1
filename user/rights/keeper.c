// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "rights/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/err.h"
#include "rights/confine.h"
#include "rights/rights.h"

/* The same in both directions; an answer has only its error. */
struct message {
	enum { STATISTICS, SOCKDIAG, UPROBE } what;
	int error; /* 0, or a negative errno */
	pid_t pid;
	int at_return;
	uint64_t offset;
};

#define PMU "/sys/bus/event_source/devices/uprobe/"

/* The keeper's end; but for 0 to 2 and its way home it has no other descriptor. */
#define CHANNEL 3

/* It answers within microseconds. Who waits for it reads no records meanwhile, and sees no signal. */
#define PATIENCE_MS 2000

static int channel = -1;
static bool lost; /* there was one, and it is not asked any more */
static pid_t keeper;

/* ---- a message, and maybe a descriptor --------------------------------------------------------------------------- */

union ancillary {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

static int send_one(int to, const struct message *message, int fd)
{
	struct iovec io = { (void *)(uintptr_t)message, sizeof(*message) };
	union ancillary a = {};
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = &a;
		m.msg_controllen = sizeof(a);
		*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
			                               .cmsg_level = SOL_SOCKET,
			                               .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(fd));
	}
	return sendmsg(to, &m, MSG_NOSIGNAL) == sizeof(*message) ? 0 : -errno;
}

/* -EPIPE: the other side has gone. *fd is -1 when none came. */
static int receive_one(int from, struct message *message, int *fd)
{
	struct iovec io = { message, sizeof(*message) };
	union ancillary a = {};
	struct msghdr m = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = sizeof(a) };
	const struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (n == sizeof(*message))
		return 0;
	return n < 0 ? -errno : -EPIPE;
}

/* ---- the keeper -------------------------------------------------------------------------------------------------- */

/* Our own network namespace: whoever stays in another holds it when all others have left. */
static int home = -1;

static int socket_in(int netns)
{
	int fd;

	if (netns < 0 || setns(netns, CLONE_NEWNET))
		return netns < 0 ? -EINVAL : -errno;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		fd = -errno;
	if (!setns(home, CLONE_NEWNET))
		return fd;
	if (fd >= 0)
		close(fd);
	return -errno;
}

static int switch_on(void)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	return fd < 0 ? -errno : fd;
}

/* What sysfs says of uprobes, read before there is a filter; negative: this kernel has none of this kind. */
struct pmu {
	int type, return_bit;
};

static int number_behind(const char *path, const char *before)
{
	FILE *f = fopen(path, "re");
	char line[32] = "";
	size_t len = strlen(before);

	if (!f)
		return -1;
	if (!fgets(line, sizeof(line), f) || strncmp(line, before, len))
		len = 0;
	fclose(f);
	return line[0] && (len || !before[0]) ? (int)strtol(line + len, NULL, 10) : -1;
}

static int uprobe_at(const struct pmu *pmu, const struct message *m, int file)
{
	char path[40];
	struct perf_event_attr attr = { .size = sizeof(attr), .type = (uint32_t)pmu->type, .config2 = m->offset };
	int fd;

	if (file < 0 || m->pid <= 0 || pmu->type < 0 || pmu->return_bit < 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	attr.config1 = (uint64_t)(uintptr_t)path;
	attr.config = m->at_return ? 1ULL << pmu->return_bit : 0;
	fd = (int)syscall(SYS_perf_event_open, &attr, m->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int answer(const struct pmu *pmu, const struct message *m, int fd)
{
	switch (m->what) {
	case STATISTICS:
		return switch_on();
	case SOCKDIAG:
		return socket_in(fd);
	case UPROBE:
		return uprobe_at(pmu, m, fd);
	}
	return -EINVAL;
}

static void serve(const struct pmu *pmu)
{
	struct message m;
	int fd, got;

	while (!receive_one(CHANNEL, &m, &fd)) {
		got = answer(pmu, &m, fd);
		if (fd >= 0)
			close(fd);
		m.error = got < 0 ? got : 0;
		if (send_one(CHANNEL, &m, got))
			break;
		if (got >= 0)
			close(got);
	}
}

/* What we have open is none of its business, and a pipe that we write to must end with us. */
static bool keep_only(int fd)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		return false;
	if (dup2(fd, CHANNEL) != CHANNEL || syscall(SYS_close_range, CHANNEL + 1, ~0U, 0))
		return false;
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return home >= 0;
}

static _Noreturn void be_keeper(int fd, pid_t parent)
{
	const struct pmu pmu = { number_behind(PMU "type", ""), number_behind(PMU "format/retprobe", "config:") };
	sigset_t all;

	/* What a terminal sends to all of us is for the one that waits for it; that one's end is ours. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "tillwatch-admin");
	if (!prctl(PR_SET_PDEATHSIG, SIGKILL) && getppid() == parent && keep_only(fd) && !confine__keeper())
		serve(&pmu);
	syscall(SYS_exit_group, 0); /* nothing of a library is in this filter, a sanitizer's end least of all */
	__builtin_unreachable();
}

/* ---- our side ---------------------------------------------------------------------------------------------------- */

void keeper__start(void)
{
	pid_t us = getpid();
	int ends[2];

	if (channel >= 0 || !rights__have(RIGHT_ADMIN))
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		log_warn("cannot talk to a second process, which would keep CAP_SYS_ADMIN: %s", strerror(errno));
		return;
	}
	keeper = fork();
	if (!keeper)
		be_keeper(ends[1], us);
	if (keeper < 0)
		log_warn("cannot start the process that would keep CAP_SYS_ADMIN: %s", strerror(errno));
	close(ends[1]);
	if (keeper > 0)
		channel = ends[0];
	else
		close(ends[0]);
}

/* This, or the other side's end, comes in time. */
static bool comes(short event)
{
	struct pollfd p = { .fd = channel, .events = event };
	int n;

	do
		n = poll(&p, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* One that does not end when it is told to (it is stopped) is not waited for: what it asked for ends it with us. */
void keeper__stop(void)
{
	bool ends = false;

	if (channel < 0 && !lost)
		return;
	if (channel >= 0) {
		ends = !shutdown(channel, SHUT_WR) && comes(0);
		close(channel);
	}
	while (waitpid(keeper, NULL, ends ? 0 : WNOHANG) < 0 && errno == EINTR)
		;
	channel = -1;
	lost = false;
}

/* What it may yet answer would be taken for the answer to the next question. */
static int lose(const char *how)
{
	close(channel);
	channel = -1;
	lost = true;
	log_warn("the process that keeps CAP_SYS_ADMIN %s: from now on %s", how, rights__without(RIGHT_ADMIN));
	return -EPIPE;
}

static int ask(const struct message *question, int with)
{
	struct message m;
	int fd, err;

	if (channel < 0)
		return lost ? -EPIPE : -ENOTCONN;
	err = send_one(channel, question, with);
	if (err && err != -EPIPE && err != -ECONNRESET)
		return err;
	if (!err && !comes(POLLIN))
		return lose("does not answer");
	if (err || receive_one(channel, &m, &fd))
		return lose("has gone");
	return m.error ? m.error : fd < 0 ? -EPROTO : fd;
}

int keeper__statistics(void)
{
	const struct message m = { .what = STATISTICS };
	int fd = ask(&m, -1);

	return fd == -ENOTCONN ? switch_on() : fd;
}

int keeper__sockdiag(int netns)
{
	const struct message m = { .what = SOCKDIAG };

	return ask(&m, netns);
}

int keeper__uprobe(int file, uint64_t offset, bool at_return, pid_t pid)
{
	const struct message m = { .what = UPROBE, .pid = pid, .at_return = at_return, .offset = offset };

	return ask(&m, file);
}
