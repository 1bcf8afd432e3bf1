// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/uprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "rights/keeper.h"

/* The kernel's own ENOTSUPP, which no header tells programs of: an instruction that cannot be trapped. */
#define KERNEL_ENOTSUPP 524

#define PMU "/sys/bus/event_source/devices/uprobe/"

/* Of bpf(2); the headers of the oldest systems we build on lack what the kernel has had since 6.6. */
#define CMD_LINK_CREATE 28
#define MANY_AT_RETURN  1
#define SIZE_UP_TO_PID  64

struct link_create_many {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, reference_counters, cookies;
	uint32_t n, many_flags, pid, pad;
};
_Static_assert(sizeof(struct link_create_many) == SIZE_UP_TO_PID, "link_create_many");

static int last_error(void)
{
	return errno == KERNEL_ENOTSUPP ? -ENOTSUP : -errno;
}

/* The number behind `before` in a small file of sysfs; negative: it is not there. */
static int read_number(const char *path, const char *before)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t len;

	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len < (ssize_t)strlen(before))
		return -1;
	text[len] = '\0';
	return strncmp(text, before, strlen(before)) ? -1 : (int)strtol(text + strlen(before), NULL, 10);
}

/* The link keeps the event, and closing it ends both. */
static int link_with_cookie(const struct uprobe *u, int event, uint64_t cookie)
{
	LIBBPF_OPTS(bpf_link_create_opts, o, .perf_event.bpf_cookie = cookie);
	int link = bpf_link_create(u->prog, event, BPF_PERF_EVENT, &o);

	close(event);
	return link;
}

/* From whoever may: the keeper, where there is one. */
static int event_of_keeper(const struct uprobe *u, uint64_t offset)
{
	int file = open(u->path, O_PATH | O_CLOEXEC), fd;

	if (file < 0)
		return -errno;
	fd = keeper__uprobe(file, offset, u->at_return, u->pid);
	close(file);
	return fd == -KERNEL_ENOTSUPP ? -ENOTSUP : fd;
}

static int own_event(const struct uprobe *u, uint64_t offset)
{
	static int type, return_bit;
	struct perf_event_attr attr = { .size = sizeof(attr) };
	int fd;

	if (!type) {
		return_bit = read_number(PMU "format/retprobe", "config:");
		type = read_number(PMU "type", "");
	}
	if (type < 0 || return_bit < 0)
		return -ENOTSUP;
	attr.type = (uint32_t)type;
	attr.config = u->at_return ? 1ULL << return_bit : 0;
	attr.config1 = (uint64_t)(uintptr_t)u->path;
	attr.config2 = offset;
	fd = (int)syscall(SYS_perf_event_open, &attr, u->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? last_error() : fd;
}

int uprobe__attach(const struct uprobe *u, uint64_t offset, uint64_t cookie)
{
	int fd = event_of_keeper(u, offset), err;

	if (fd == -ENOTCONN || fd == -EPIPE)
		fd = own_event(u, offset);
	if (fd < 0)
		return fd;
	if (cookie)
		return link_with_cookie(u, fd, cookie);
	if (!ioctl(fd, PERF_EVENT_IOC_SET_BPF, u->prog) && !ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return fd;
	err = last_error();
	close(fd);
	return err;
}

static int create_many(const struct uprobe *u, const uint64_t *offsets, const uint64_t *cookies, size_t n)
{
	struct link_create_many attr = {
		.prog_fd = (uint32_t)u->prog,
		.attach_type = UPROBE_MANY_TYPE,
		.path = (uint64_t)(uintptr_t)u->path,
		.offsets = (uint64_t)(uintptr_t)offsets,
		.cookies = (uint64_t)(uintptr_t)cookies,
		.n = (uint32_t)n,
		.many_flags = u->at_return ? MANY_AT_RETURN : 0,
		.pid = (uint32_t)u->pid,
	};
	int fd = (int)syscall(SYS_bpf, CMD_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? last_error() : fd;
}

int uprobe__attach_many(const struct uprobe *u, const uint64_t *offsets, const uint64_t *cookies, size_t n)
{
	/* 0 would mean every process, and one that does not exist has no places either. */
	return u->pid > 0 ? create_many(u, offsets, cookies, n) : -ESRCH;
}

/*
 * Linux 46ba0e49b642 ("bpf: fix multi-uprobe PID filtering logic") came with a check for negative process numbers; the
 * kernels before it complain of something else here.
 */
bool uprobe__many_know_processes(int prog)
{
	const struct uprobe u = { .prog = prog, .pid = -1, .path = "/" };
	const uint64_t offset = 0;
	int fd = create_many(&u, &offset, NULL, 1);

	if (fd >= 0)
		close(fd);
	return fd == -EINVAL;
}

struct own_code {
	uintptr_t address;
	uint64_t offset;
};

/* Stops at the first object, which is the program itself. */
static int find_in_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct own_code *c = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD || c->address < start || c->address - start >= p->p_filesz)
			continue;
		c->offset = p->p_offset + (c->address - start);
		return 1;
	}
	return -1;
}

int uprobe__own_offset(const void *function, uint64_t *offset)
{
	struct own_code c = { .address = (uintptr_t)function };

	if (dl_iterate_phdr(find_in_program, &c) != 1)
		return -ENOENT;
	*offset = c.offset;
	return 0;
}
