/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes that do with TLS libraries what a test tells them: the test program itself, started again as "tls-child".
 * A test's main() begins with `if (is_tls_child(argv)) return tls_child();`.
 *
 * Orders are lines, each answered by one: "ok", with what the order gives, or "no" with what went wrong.
 *   load PATH     maps a library; gives the address of its SSL_free
 *   free N        calls SSL_free(NULL) N times: it returns at once, past every place that can be watched in it
 *   map PATH      maps a file's first page as code
 *   unmap         unmaps what map mapped last (a library that is closed may stay for ever, as OpenSSL does)
 *   fork N        N children, which end with this process; gives their process numbers
 *   forkfree N    one child, which has called SSL_free(NULL) N times by then
 *   exec          starts the program again in this process
 *   hide DIR LIB  in a mount namespace of its own, mounts an empty file system on DIR, copies LIB there, maps the copy
 */
#ifndef TW_TEST_TLS_CHILD_H
#define TW_TEST_TLS_CHILD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TLS_CHILD_FD   3
#define TLS_CHILD_LINE 8192

/* ---- the child --------------------------------------------------------------------------------------------------- */

static struct {
	void *page;
	void (*ssl_free)(void *);
	char answer[TLS_CHILD_LINE];
} self;

static bool is_tls_child(char **argv)
{
	return argv[0] && !strcmp(argv[0], "tls-child");
}

static inline void child_exec(void)
{
	execl("/proc/self/exe", "tls-child", (char *)NULL);
	_exit(126);
}

static inline void child_load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	*(void **)&self.ssl_free = library ? dlsym(library, "SSL_free") : NULL;
	if (self.ssl_free)
		snprintf(self.answer, sizeof(self.answer), "ok %p", *(void **)&self.ssl_free);
	else
		snprintf(self.answer, sizeof(self.answer), "no %.4000s", dlerror());
}

static inline void child_free(long n)
{
	while (self.ssl_free && n-- > 0)
		self.ssl_free(NULL);
}

static inline pid_t child_fork(long n)
{
	int made[2];
	char done = 0;
	pid_t pid;

	if (pipe2(made, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child_free(n);
		if (write(made[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(made[1]);
	if (read(made[0], &done, 1) != 1)
		pid = -1;
	close(made[0]);
	return pid;
}

static inline void child_forks(long n)
{
	size_t len = (size_t)snprintf(self.answer, sizeof(self.answer), "ok");

	while (n-- > 0)
		len += (size_t)snprintf(self.answer + len, sizeof(self.answer) - len, " %d", (int)child_fork(0));
}

static inline int child_copy(const char *from, const char *to)
{
	char buf[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	ssize_t n = -1;

	while (in >= 0 && out >= 0 && (n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			n = -1;
	close(in);
	close(out);
	return n ? -1 : 0;
}

static inline void child_hide(char *args)
{
	char *lib = strchr(args, ' '), copy[512];

	*lib++ = '\0';
	snprintf(copy, sizeof(copy), "%s/libssl-hidden.so", args);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", args, "tmpfs", 0, NULL) || child_copy(lib, copy))
		snprintf(self.answer, sizeof(self.answer), "no %s", strerror(errno));
	else
		child_load(copy);
}

static inline void child_obey(char *line)
{
	char *args = strchr(line, ' ');
	int fd;

	if (args)
		*args++ = '\0';
	snprintf(self.answer, sizeof(self.answer), "ok");
	if (!strcmp(line, "load")) {
		child_load(args);
	} else if (!strcmp(line, "unmap")) {
		munmap(self.page, 4096);
	} else if (!strcmp(line, "free")) {
		child_free(strtol(args, NULL, 10));
	} else if (!strcmp(line, "map")) {
		fd = open(args, O_RDONLY | O_CLOEXEC);
		self.page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		if (self.page == MAP_FAILED)
			snprintf(self.answer, sizeof(self.answer), "no %s", strerror(errno));
		close(fd);
	} else if (!strcmp(line, "fork")) {
		child_forks(strtol(args, NULL, 10));
	} else if (!strcmp(line, "forkfree")) {
		snprintf(self.answer, sizeof(self.answer), "ok %d", (int)child_fork(strtol(args, NULL, 10)));
	} else if (!strcmp(line, "hide")) {
		child_hide(args);
	} else if (!strcmp(line, "exec")) {
		child_exec();
	}
}

static inline int tls_child(void)
{
	static char line[TLS_CHILD_LINE];
	ssize_t n;

	snprintf(self.answer, sizeof(self.answer), "ok");
	do {
		if (send(TLS_CHILD_FD, self.answer, strlen(self.answer), MSG_NOSIGNAL) < 0)
			return 1;
		n = recv(TLS_CHILD_FD, line, sizeof(line) - 1, 0);
		if (n <= 0)
			return 0;
		line[n] = '\0';
		child_obey(line);
	} while (true);
}

/* ---- the test ---------------------------------------------------------------------------------------------------- */

struct tls_child {
	pid_t pid;
	int fd;
	char answer[TLS_CHILD_LINE];
};

static inline void child_answer(struct tls_child *c)
{
	ssize_t n = recv(c->fd, c->answer, sizeof(c->answer) - 1, 0);

	c->answer[n > 0 ? n : 0] = '\0';
	if (strncmp(c->answer, "ok", 2))
		fail_msg("process %d: \"%s\"", (int)c->pid, c->answer);
}

/* Gives an order and returns what is behind "ok ". */
static inline const char *child_do(struct tls_child *c, const char *order)
{
	assert_int_equal(send(c->fd, order, strlen(order), MSG_NOSIGNAL), (ssize_t)strlen(order));
	child_answer(c);
	return c->answer[2] ? c->answer + 3 : "";
}

static inline void child_start(struct tls_child *c)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ends[1] == TLS_CHILD_FD)
			fcntl(TLS_CHILD_FD, F_SETFD, 0);
		else
			dup2(ends[1], TLS_CHILD_FD);
		child_exec();
	}
	close(ends[1]);
	c->fd = ends[0];
	child_answer(c);
}

/* It ends, and is waited for. */
static inline void child_end(struct tls_child *c)
{
	if (!c->pid)
		return;
	close(c->fd);
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	c->pid = 0;
}

#endif
