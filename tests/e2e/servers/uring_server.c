// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An HTTP/1.1 server whose every accept, read and write goes through io_uring, so that no system call of the socket
 * layer shows a request. Answers 404 to targets that begin with /missing, a body of 1 MB to /big, 200 to the rest.
 * Handles keep-alive and pipelining; request bodies are not supported.
 *
 * Invariant: a connection has exactly one operation in flight.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG         (1 << 20)
#define REQUEST_MAX 16384

enum state { ACCEPTING, READING, WRITING };

struct conn {
	enum state state;
	int fd;
	size_t have; /* bytes of in */
	char in[REQUEST_MAX + 1];
	char method[32], target[256];
	int status;
	char head[128];
	struct iovec iov[2];
	struct msghdr msg;
};

static struct io_uring ring;
static int listener, log_fd;
static char *big;

static void conn__accept(struct conn *c)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	c->state = ACCEPTING;
	io_uring_prep_accept(sqe, listener, NULL, NULL, 0);
	io_uring_sqe_set_data(sqe, c);
}

static void conn__read(struct conn *c)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	c->state = READING;
	io_uring_prep_recv(sqe, c->fd, c->in + c->have, REQUEST_MAX - c->have, 0);
	io_uring_sqe_set_data(sqe, c);
}

static void conn__write(struct conn *c)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	c->state = WRITING;
	memset(&c->msg, 0, sizeof(c->msg));
	c->msg.msg_iov = c->iov;
	c->msg.msg_iovlen = 2;
	io_uring_prep_sendmsg(sqe, c->fd, &c->msg, MSG_NOSIGNAL);
	io_uring_sqe_set_data(sqe, c);
}

/* Answers the first whole request in c->in; false when there is none yet. */
static int conn__answer(struct conn *c)
{
	char *end;
	size_t used, body = 3;

	c->in[c->have] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	if (!end || sscanf(c->in, "%31s %255s", c->method, c->target) != 2)
		return 0;
	used = end + 4 - c->in;
	memmove(c->in, c->in + used, c->have - used);
	c->have -= used;
	c->status = strncmp(c->target, "/missing", 8) ? 200 : 404;
	if (!strcmp(c->target, "/big"))
		body = BIG;
	c->iov[0].iov_base = c->head;
	c->iov[0].iov_len =
		snprintf(c->head, sizeof(c->head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", c->status, body);
	c->iov[1].iov_base = body == BIG ? big : "ok\n";
	c->iov[1].iov_len = body;
	conn__write(c);
	return 1;
}

static void conn__close(struct conn *c)
{
	close(c->fd);
	free(c);
}

static void on_accepted(struct conn *c, int fd)
{
	struct conn *next = calloc(1, sizeof(*next));
	int one = 1;

	if (next)
		conn__accept(next);
	if (fd < 0) {
		free(c);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->fd = fd;
	conn__read(c);
}

static void on_read(struct conn *c, int n)
{
	if (n <= 0) {
		conn__close(c);
		return;
	}
	c->have += n;
	if (!conn__answer(c))
		conn__read(c);
}

static void on_written(struct conn *c, int n)
{
	if (n <= 0) {
		conn__close(c);
		return;
	}
	for (int i = 0; i < 2; i++) {
		size_t part = (size_t)n < c->iov[i].iov_len ? (size_t)n : c->iov[i].iov_len;

		c->iov[i].iov_base = (char *)c->iov[i].iov_base + part;
		c->iov[i].iov_len -= part;
		n -= part;
	}
	if (c->iov[1].iov_len) {
		conn__write(c);
		return;
	}
	dprintf(log_fd, "%s %s %d\n", c->method, c->target, c->status);
	if (!conn__answer(c))
		conn__read(c);
}

static int listen_on(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons(port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 512))
		return -1;
	return fd;
}

static void serve(void)
{
	struct io_uring_cqe *cqe;
	struct conn *first = calloc(1, sizeof(*first));

	if (!first)
		return;
	conn__accept(first);
	for (;;) {
		struct conn *c;
		int res;

		if (io_uring_submit_and_wait(&ring, 1) < 0 || io_uring_wait_cqe(&ring, &cqe))
			return;
		c = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
		if (c->state == ACCEPTING)
			on_accepted(c, res);
		else if (c->state == READING)
			on_read(c, res);
		else
			on_written(c, res);
	}
}

int main(int argc, char **argv)
{
	int port = 0, err;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--port"))
			port = strtol(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--log"))
			log_fd = open(argv[i + 1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	}
	err = io_uring_queue_init(256, &ring, 0);
	if (err) {
		fprintf(stderr, "io_uring_queue_init: %s\n", strerror(-err));
		return 77;
	}
	listener = listen_on(port);
	if (listener < 0) {
		perror("listen");
		return 1;
	}
	big = malloc(BIG);
	if (!big)
		return 1;
	for (int i = 0; i < BIG; i++)
		big[i] = "HTTP/1.1 500 no\r\n\r\n"[i % 19];
	serve();
	return 1;
}
