// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/sockdiag.h"
#include "rights/keeper.h"

struct job {
	struct proctable *t;
	struct netns *v;
	size_t n;
};

/* By the keeper, or where there is none by a thread that goes there and does not come back. */
static int sockdiag_in(int netns)
{
	int fd = keeper__sockdiag(netns);

	if (fd == -ENOTCONN)
		fd = setns(netns, CLONE_NEWNET) ? -errno : sockdiag__open();
	else if (fd >= 0)
		sockdiag__be_patient(fd);
	return fd;
}

static void enter_each(struct job *job)
{
	for (size_t i = 0; i < job->n; i++) {
		struct netns *ns = &job->v[i];
		int fd;

		if (!ns->pid)
			continue;
		fd = process__open_netns(job->t, ns->pid);
		ns->sockdiag = fd < 0 ? fd : sockdiag_in(fd);
		if (fd >= 0)
			close(fd);
	}
}

static void *visitor(void *arg)
{
	enter_each(arg);
	return NULL;
}

static size_t distinct(struct proctable *t, struct netns *v, size_t max, size_t *left_out)
{
	uint32_t last = v[0].inode;
	size_t n = 1;

	for (size_t i = 0; i < proctable__count(t); i++) {
		struct process *p = proctable__at(t, i);
		uint32_t inode = process__netns(t, p);
		size_t k = 0;

		if (!inode || inode == last) /* neighbours are mostly alike */
			continue;
		last = inode;
		while (k < n && v[k].inode != inode)
			k++;
		if (k < n)
			continue;
		if (n == max)
			(*left_out)++;
		else
			v[n++] = (struct netns){ .inode = inode, .pid = p->pid, .sockdiag = -ESRCH };
	}
	return n;
}

int netns__open_all(struct proctable *t, struct netns *v, size_t max, size_t *left_out)
{
	struct job job = { .t = t, .v = v };
	struct stat st;
	pthread_t thread;
	int err;

	*left_out = 0;
	v[0] = (struct netns){ .inode = stat("/proc/self/ns/net", &st) ? 0 : (uint32_t)st.st_ino };
	v[0].sockdiag = sockdiag__open();
	if (v[0].sockdiag < 0)
		return v[0].sockdiag;
	job.n = distinct(t, v, max, left_out);
	if (job.n == 1)
		return 1;
	err = pthread_create(&thread, NULL, visitor, &job);
	if (err) {
		for (size_t i = 1; i < job.n; i++)
			v[i].sockdiag = -err;
		return (int)job.n;
	}
	pthread_join(thread, NULL);
	return (int)job.n;
}

struct visit {
	int netns, sockdiag;
};

static void *open_there(void *arg)
{
	struct visit *v = arg;

	v->sockdiag = sockdiag_in(v->netns);
	return NULL;
}

int netns__open_of(pid_t pid)
{
	struct visit v;
	pthread_t thread;
	char path[40];
	int err;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	v.netns = open(path, O_RDONLY | O_CLOEXEC);
	if (v.netns < 0)
		return -errno;
	err = pthread_create(&thread, NULL, open_there, &v);
	if (!err)
		pthread_join(thread, NULL);
	close(v.netns);
	return err ? -err : v.sockdiag;
}

void netns__close_all(struct netns *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].sockdiag >= 0)
			close(v[i].sockdiag);
}
