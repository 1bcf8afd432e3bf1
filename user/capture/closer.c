// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/closer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "rights/rights.h"

/* They all wait for the same things: more of them cost nothing but their stacks. */
#define THREADS_MAX 64
/* A thread that calls close() needs little; libc adds what it must have. */
#define STACK (256 << 10)

/* Descriptors to be closed: the first ones, and when all of these are closed, the others. */
struct closing {
	int *fds;
	size_t first, n;
	size_t taken, closed; /* of n */
	int owner;
	struct closing *next;
};

/*
 * Threads neither allocate nor free: libc would give each of them an arena of its own. What they are done with is freed
 * by the thread that made the closer, whenever it comes by.
 */
struct closer {
	pthread_mutex_t lock;
	pthread_cond_t progress;       /* something is closed, a thread has ended */
	struct closing *first, **last; /* all, in the order in which they came */
	size_t todo;                   /* descriptors that no thread has taken */
	unsigned int threads;
	unsigned int owners; /* threads, and whoever made it */
};

struct closer *closer__new(void)
{
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->progress, NULL);
	c->last = &c->first;
	c->owners = 1;
	return c;
}

/* A batch with something that can be closed now. */
static struct closing *next_batch(const struct closer *c)
{
	for (struct closing *b = c->first; b; b = b->next)
		if (b->taken < b->n && (b->taken < b->first || b->closed >= b->first))
			return b;
	return NULL;
}

/* Closes what nobody has taken until there is nothing; the lock is held before and after. */
static void work(struct closer *c)
{
	while (c->todo) {
		struct closing *b = next_batch(c);
		int fd;

		if (!b) {
			pthread_cond_wait(&c->progress, &c->lock);
			continue;
		}
		fd = b->fds[b->taken++];
		c->todo--;
		pthread_mutex_unlock(&c->lock);
		close(fd);
		pthread_mutex_lock(&c->lock);
		b->closed++;
		pthread_cond_broadcast(&c->progress);
	}
}

/* The last one to leave takes the lock with it: nobody may touch what another may have freed. */
static void leave(struct closer *c)
{
	bool last = !--c->owners;

	pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	pthread_cond_destroy(&c->progress);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void *thread(void *arg)
{
	struct closer *c = arg;

	rights__none_in_this_thread();
	pthread_mutex_lock(&c->lock);
	work(c);
	c->threads--;
	pthread_cond_broadcast(&c->progress);
	leave(c);
	return NULL;
}

/* Signals are for the thread that waits for them. False: there can be no further thread. */
static bool start_thread(struct closer *c)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t t;
	int err;

	if (c->threads == THREADS_MAX || pthread_attr_init(&attr))
		return false;
	sigfillset(&all);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&t, &attr, thread, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (err)
		return false;
	c->threads++;
	c->owners++;
	return true;
}

static void free_done(struct closer *c)
{
	struct closing **at = &c->first, *b;

	while ((b = *at)) {
		if (b->closed < b->n) {
			at = &b->next;
			continue;
		}
		*at = b->next;
		free(b->fds);
		free(b);
	}
	c->last = at;
}

void closer__add(struct closer *c, int *fds, size_t first, size_t n, int owner)
{
	struct closing *b = n ? calloc(1, sizeof(*b)) : NULL;

	if (!b) {
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		free(fds);
		return;
	}
	*b = (struct closing){ .fds = fds, .first = first, .n = n, .owner = owner };
	pthread_mutex_lock(&c->lock);
	free_done(c);
	*c->last = b;
	c->last = &b->next;
	c->todo += n;
	while (c->threads < c->todo && start_thread(c))
		;
	/* Without a single thread it takes its time here and now. */
	if (!c->threads)
		work(c);
	pthread_mutex_unlock(&c->lock);
}

bool closer__busy(struct closer *c, int owner)
{
	bool busy = false;

	pthread_mutex_lock(&c->lock);
	free_done(c);
	for (const struct closing *b = c->first; b && !busy; b = b->next)
		busy = b->owner == owner;
	pthread_mutex_unlock(&c->lock);
	return busy;
}

void closer__wait(struct closer *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->threads)
		pthread_cond_wait(&c->progress, &c->lock);
	free_done(c);
	pthread_mutex_unlock(&c->lock);
}

void closer__free(struct closer *c)
{
	if (!c)
		return;
	closer__wait(c);
	pthread_mutex_lock(&c->lock);
	leave(c);
}
