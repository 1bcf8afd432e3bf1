// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The filter of an observation, in a process of its own for each question: what it does goes on, what it never does is
 * refused, and nothing of it ends the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "own_dir.h"
#include "rights/confine.h"

/* What the question comes to behind the filter, as an exit code. */
static int confined(const struct confine_options *o, int (*question)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		struct err e;

		_exit(confine(o, &e) ? 255 : question());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static const struct confine_options usual = { false, false };

/* 0, or the errno that it failed with. */
static int errno_of(long result)
{
	return result == -1 ? errno : 0;
}

/* 1 if it was not refused: how many were not is the exit code. */
#define REFUSED(call) (errno_of(call) != EPERM)

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static int ask_to_write(void)
{
	int wrong = REFUSED(open("/dev/null", O_WRONLY)) + REFUSED(open("/dev/null", O_RDWR));

	return wrong + REFUSED(open("/proc/self/mem", O_RDWR)) + REFUSED(open("/dev/null", O_RDONLY | O_TRUNC)) +
	       REFUSED(open("/tmp", O_TMPFILE | O_WRONLY, 0600));
}

static void nothing_is_opened_for_writing(void **state)
{
	assert_int_equal(confined(&usual, ask_to_write), 0);
}

static int ask_to_be_another(void)
{
	char *const none[] = { NULL };

	return REFUSED(execve("/bin/true", none, none)) + REFUSED(syscall(SYS_setuid, 0)) +
	       REFUSED(syscall(SYS_kill, 1, SIGTERM)) + REFUSED(unshare(CLONE_NEWUSER)) +
	       REFUSED(syscall(SYS_process_vm_writev, 1, NULL, 0UL, NULL, 0UL, 0UL));
}

static void no_program_is_run_and_no_process_hurt(void **state)
{
	assert_int_equal(confined(&usual, ask_to_be_another), 0);
}

static int ask_for_the_world(void)
{
	return REFUSED(socket(AF_INET, SOCK_STREAM, 0)) + REFUSED(socket(AF_UNIX, SOCK_STREAM, 0)) +
	       REFUSED(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
}

static void no_socket_leads_out(void **state)
{
	assert_int_equal(confined(&usual, ask_for_the_world), 0);
}

static int ask_the_kernel(void)
{
	union bpf_attr attr = {};

	return REFUSED(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr))) +
	       REFUSED(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr))) +
	       REFUSED(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0UL)) +
	       REFUSED((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void no_program_is_loaded_and_no_memory_made_to_be_run(void **state)
{
	assert_int_equal(confined(&usual, ask_the_kernel), 0);
}

static int ask_for_what_is_new(void)
{
	return errno_of(syscall(SYS_clone3, NULL, 0UL)) == ENOSYS && errno_of(syscall(450 + 30)) == ENOSYS ? 0 : 1;
}

/* So that a libc takes the older call, instead of giving up. */
static void a_call_that_the_filter_does_not_know_is_not_there(void **state)
{
	assert_int_equal(confined(&usual, ask_for_what_is_new), 0);
}

/* ---- what goes on ------------------------------------------------------------------------------------------------ */

static void *in_a_thread(void *arg)
{
	*(int *)arg = 1 + REFUSED(open("/dev/null", O_WRONLY));
	return NULL;
}

static int ask_for_threads_and_files(void)
{
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC), seen = 0, wrong = 0;
	char text[16];
	pthread_t t;
	FILE *f;

	wrong += read(fd, text, sizeof(text)) <= 0;
	f = fopen("/proc/self/statm", "re");
	wrong += !f;
	wrong += pthread_create(&t, NULL, in_a_thread, &seen) || pthread_join(t, NULL) || seen != 1;
	wrong += socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG) < 0;
	wrong += kill(getpid(), 0) != 0;
	return wrong;
}

static void files_are_read_and_threads_made(void **state)
{
	assert_int_equal(confined(&usual, ask_for_threads_and_files), 0);
}

static char new_file[200];

static int ask_for_one_file(void)
{
	FILE *f = fopen(new_file, "wxe");

	if (!f || fputs("x", f) < 0 || fclose(f))
		return 1;
	/* That one is there now, and is not opened any more. */
	return REFUSED(open(new_file, O_WRONLY)) +
	       (errno_of(open(new_file, O_WRONLY | O_CREAT | O_EXCL, 0600)) != EEXIST);
}

static void a_file_is_made_only_where_that_was_said_and_none_was(void **state)
{
	const struct confine_options writes = { .writes_a_new = true };

	snprintf(new_file, sizeof(new_file), "%s/new", dir);
	assert_int_not_equal(confined(&usual, ask_for_one_file), 0);
	assert_int_equal(access(new_file, F_OK), -1);
	assert_int_equal(confined(&writes, ask_for_one_file), 0);
	unlink(new_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_opened_for_writing),
		cmocka_unit_test(no_program_is_run_and_no_process_hurt),
		cmocka_unit_test(no_socket_leads_out),
		cmocka_unit_test(no_program_is_loaded_and_no_memory_made_to_be_run),
		cmocka_unit_test(a_call_that_the_filter_does_not_know_is_not_there),
		cmocka_unit_test(files_are_read_and_threads_made),
		cmocka_unit_test(a_file_is_made_only_where_that_was_said_and_none_was),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
