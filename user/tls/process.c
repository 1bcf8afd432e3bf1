// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/tame.h"

/* Reads a small file of a process. Returns 0 or a negative errno. */
static int slurp(pid_t pid, const char *name, char *text, size_t room)
{
	char path[48];
	ssize_t len;
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	len = read(fd, text, room - 1);
	err = len < 0 ? -errno : len ? 0 : -ESRCH;
	close(fd);
	if (!err)
		text[len] = '\0';
	return err;
}

/*
 * The fields behind the name: state, parent, ... CPU time in user and kernel mode (14, 15), ... start time (22), ...
 * start of code (26), end of it, of stack (28).
 */
bool tls_process__parse(char *text, struct tls_process *p)
{
	unsigned long long start, code, stack, user, kernel;
	char *open = strchr(text, '('), *close = strrchr(text, ')'), state;
	int parent;

	if (!open || !close || close < open)
		return false;
	if (sscanf(close + 1,
	           " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %*u %*d %*u %llu "
	           "%*u %llu",
	           &state, &parent, &user, &kernel, &start, &code, &stack) != 7)
		return false;
	*close = '\0';
	snprintf(p->comm, sizeof(p->comm), "%s", open + 1);
	tame_line(p->comm);
	p->parent = parent;
	p->start_ticks = start;
	p->program = code * 31 + stack;
	p->cpu = user + kernel;
	return state != 'Z' && state != 'X';
}

static uint64_t kilobytes_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

int tls_process__read(pid_t pid, struct tls_process *out)
{
	char text[4096];
	int err = slurp(pid, "stat", text, sizeof(text));

	*out = (struct tls_process){ 0 };
	if (!err && !tls_process__parse(text, out))
		err = -ESRCH;
	if (!err)
		err = slurp(pid, "status", text, sizeof(text));
	if (err)
		return err;
	out->code = kilobytes_of(text, "\nVmExe:") + kilobytes_of(text, "\nVmLib:");
	return 0;
}

bool tls_process__share_memory(pid_t a, pid_t b)
{
	return !syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0);
}
