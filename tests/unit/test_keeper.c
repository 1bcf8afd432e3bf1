// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the process that keeps CAP_SYS_ADMIN does for us, when we have let go of it, and that it ends with us. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/uprobe.h"
#include "rights/confine.h"
#include "rights/keeper.h"
#include "rights/rights.h"

static __attribute__((noinline, noipa)) void nothing(void)
{
	__asm__ volatile("");
}

static pid_t only_child(void)
{
	FILE *f = fopen("/proc/thread-self/children", "re");
	int pid = 0;

	if (!f || fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	return pid;
}

static int ask_for_statistics(void)
{
	int fd = keeper__statistics();

	return fd < 0 || close(fd);
}

/*
 * In a process of its own, which is confined once the keeper answers, and has been sent this signal. An exit code; 77:
 * not to be had here.
 */
static int kept_and_sent(int number, int (*question)(void))
{
	const struct confine_options usual = { false, false };
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		struct err e;

		if (!rights__have(RIGHT_ADMIN))
			_exit(77);
		keeper__start();
		if (ask_for_statistics() || kill(only_child(), number) || confine(&usual, &e) ||
		    rights__have(RIGHT_ADMIN))
			_exit(255);
		_exit(question());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	return WEXITSTATUS(status);
}

static int kept(int (*question)(void))
{
	return kept_and_sent(0, question);
}

static void statistics_are_switched_on(void **state)
{
	assert_int_equal(kept(ask_for_statistics), 0);
}

static int ask_for_a_socket(void)
{
	int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd = keeper__sockdiag(netns);
	struct stat st;

	return fd < 0 || fstat(fd, &st) || !S_ISSOCK(st.st_mode);
}

static void a_socket_in_a_network_namespace_is_handed_over(void **state)
{
	assert_int_equal(kept(ask_for_a_socket), 0);
}

static int ask_for_a_probe(void)
{
	int file = open("/proc/self/exe", O_PATH | O_CLOEXEC), fd;
	uint64_t offset;

	if (uprobe__own_offset((const void *)(uintptr_t)nothing, &offset))
		return 1;
	fd = keeper__uprobe(file, offset, false, getpid());
	return fd < 0 || keeper__uprobe(file, offset, true, getpid()) < 0;
}

static void a_uprobe_is_placed_in_one_process(void **state)
{
	assert_int_equal(kept(ask_for_a_probe), 0);
}

static int ask_for_nonsense(void)
{
	int file = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	return (keeper__uprobe(-1, 0, false, getpid()) != -EINVAL) + (keeper__uprobe(file, 0, false, -1) != -EINVAL) +
	       (keeper__uprobe(file, 0, false, 0) != -EINVAL) + (keeper__sockdiag(-1) != -EINVAL) +
	       (keeper__sockdiag(file) >= 0) + (keeper__statistics() < 0);
}

/* No process at all would be every process. */
static void what_makes_no_sense_is_refused_and_the_next_question_answered(void **state)
{
	assert_int_equal(kept(ask_for_nonsense), 0);
}

static int ask_after_its_end(void)
{
	keeper__stop();
	return keeper__sockdiag(-1) != -ENOTCONN;
}

static void when_it_has_ended_that_is_said(void **state)
{
	assert_int_equal(kept(ask_after_its_end), 0);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A bit for each way in which it was wrong. */
static int ask_what_does_not_answer(void)
{
	double start = now(), asked, again;
	int first = keeper__sockdiag(-1), second;

	asked = now() - start;
	second = keeper__statistics();
	again = now() - start - asked;
	start = now();
	keeper__stop();
	return (first != -EPIPE) | (second != -EPIPE) << 1 | (asked > 10) << 2 | (again > 1) << 3 |
	       (now() - start > 1) << 4 | (keeper__sockdiag(-1) != -ENOTCONN) << 5;
}

static void one_that_is_stopped_is_waited_for_once_and_not_for_long(void **state)
{
	assert_int_equal(kept_and_sent(SIGSTOP, ask_what_does_not_answer), 0);
}

static void one_that_was_killed_is_gone_for_good(void **state)
{
	assert_int_equal(kept_and_sent(SIGKILL, ask_what_does_not_answer), 0);
}

static int end_it(void)
{
	double start = now();

	keeper__stop();
	return now() - start > 10;
}

static void one_that_does_not_end_is_left_to_the_kernel(void **state)
{
	assert_int_equal(kept_and_sent(SIGSTOP, end_it), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statistics_are_switched_on),
		cmocka_unit_test(a_socket_in_a_network_namespace_is_handed_over),
		cmocka_unit_test(a_uprobe_is_placed_in_one_process),
		cmocka_unit_test(what_makes_no_sense_is_refused_and_the_next_question_answered),
		cmocka_unit_test(when_it_has_ended_that_is_said),
		cmocka_unit_test(one_that_is_stopped_is_waited_for_once_and_not_for_long),
		cmocka_unit_test(one_that_was_killed_is_gone_for_good),
		cmocka_unit_test(one_that_does_not_end_is_left_to_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
