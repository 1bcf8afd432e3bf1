// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the process that keeps CAP_SYS_ADMIN does for us, when we have let go of it, and that it ends with us. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* In a process of its own, which is confined once the keeper is there. An exit code; 77: not to be had here. */
static int kept(int (*question)(void))
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
		_exit(confine(&usual, &e) || rights__have(RIGHT_ADMIN) ? 255 : question());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	return WEXITSTATUS(status);
}

static int ask_for_statistics(void)
{
	int fd = keeper__statistics();

	return fd < 0 || close(fd);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statistics_are_switched_on),
		cmocka_unit_test(a_socket_in_a_network_namespace_is_handed_over),
		cmocka_unit_test(a_uprobe_is_placed_in_one_process),
		cmocka_unit_test(what_makes_no_sense_is_refused_and_the_next_question_answered),
		cmocka_unit_test(when_it_has_ended_that_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
