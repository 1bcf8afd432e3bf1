// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: capture base
 *
 * Descriptors that threads close. What takes long in earnest is played here: close() of the files of a test waits until
 * it may go on, and notes its order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture/closer.h"

#define MINE 700 /* descriptors from here on are of the tests */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static int waiting, most, closed[64], n_closed;
static bool held;
static bool no_threads;

int close(int fd)
{
	static int (*real)(int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "close");
	if (fd < MINE)
		return real(fd);
	pthread_mutex_lock(&lock);
	waiting++;
	if (waiting > most)
		most = waiting;
	pthread_cond_broadcast(&moved);
	while (held)
		pthread_cond_wait(&moved, &lock);
	waiting--;
	closed[n_closed++] = fd;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
	return real(fd);
}

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	if (no_threads)
		return EAGAIN;
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(t, a, fn, arg);
}

static void hold(bool on)
{
	pthread_mutex_lock(&lock);
	held = on;
	pthread_cond_broadcast(&moved);
	pthread_mutex_unlock(&lock);
}

static void await_waiting(int n)
{
	pthread_mutex_lock(&lock);
	while (waiting < n)
		pthread_cond_wait(&moved, &lock);
	pthread_mutex_unlock(&lock);
}

/* n descriptors, from `from` on. */
static int *some(int from, int n)
{
	int *fds = calloc((size_t)n, sizeof(*fds)), null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(null >= 0);
	for (int i = 0; i < n; i++)
		fds[i] = dup3(null, from + i, O_CLOEXEC);
	close(null);
	return fds;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int fresh(void **state)
{
	waiting = most = n_closed = 0;
	held = no_threads = false;
	*state = closer__new();
	return *state ? 0 : -1;
}

static void all_are_closed_when_one_has_waited(void **state)
{
	closer__add(*state, some(MINE, 5), 2, 5, 1);
	closer__add(*state, some(MINE + 5, 3), 0, 3, 2);
	closer__wait(*state);
	for (int i = 0; i < 8; i++)
		assert_false(is_open(MINE + i));
	assert_false(closer__busy(*state, 1));
	closer__free(*state);
}

static void they_are_closed_at_the_same_time(void **state)
{
	hold(true);
	closer__add(*state, some(MINE, 10), 0, 10, 1);
	await_waiting(10);
	hold(false);
	closer__free(*state);
	assert_int_equal(most, 10);
}

static void the_first_are_closed_before_any_other(void **state)
{
	hold(true);
	closer__add(*state, some(MINE, 10), 4, 10, 1);
	await_waiting(4);
	hold(false);
	closer__free(*state);
	assert_int_equal(n_closed, 10);
	for (int i = 0; i < 10; i++)
		assert_int_equal(closed[i] < MINE + 4, i < 4);
}

static void an_owner_is_busy_until_the_last_is_closed(void **state)
{
	hold(true);
	closer__add(*state, some(MINE, 1), 1, 1, 7);
	await_waiting(1);
	assert_true(closer__busy(*state, 7));
	assert_false(closer__busy(*state, 8));
	hold(false);
	closer__wait(*state);
	assert_false(closer__busy(*state, 7));
	closer__free(*state);
}

static void nothing_to_close_is_nothing(void **state)
{
	closer__add(*state, NULL, 0, 0, 1);
	assert_false(closer__busy(*state, 1));
	closer__free(*state);
	closer__free(NULL);
}

static void without_threads_they_are_closed_at_once_and_in_order(void **state)
{
	no_threads = true;
	closer__add(*state, some(MINE, 6), 3, 6, 1);
	assert_int_equal(n_closed, 6);
	for (int i = 0; i < 6; i++)
		assert_int_equal(closed[i], MINE + i);
	assert_false(closer__busy(*state, 1));
	closer__free(*state);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_are_closed_when_one_has_waited),    TEST(they_are_closed_at_the_same_time),
		TEST(the_first_are_closed_before_any_other), TEST(an_owner_is_busy_until_the_last_is_closed),
		TEST(nothing_to_close_is_nothing),           TEST(without_threads_they_are_closed_at_once_and_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
