// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A server that works a known amount on every request: one process, epoll, HTTP/1.1 with keep-alive, always 200.
 *
 *	work100 PORT [MICROSECONDS [PEM]]	listens on 127.0.0.1:PORT (default: 100 us of work a request)
 *
 * With PEM, a file with a key and its certificate, it speaks TLS.
 *
 * The work is a fixed number of steps, measured once at the start: whatever interrupts the work (the kernel's own
 * network processing with an observer in it) then makes the request longer instead of hiding inside a spin on the
 * clock. Requests have no body; several in one segment are all answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 4096
#define BUFFER  8192

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

/* Bytes of a request head that has not ended yet, per connection. */
struct connection {
	SSL *ssl; /* NULL: plain */
	size_t used;
	char bytes[BUFFER];
};

static struct connection *connections[MAX_FDS];
static SSL_CTX *tls; /* NULL: plain */
static uint64_t steps_per_request;
static volatile uint64_t sink;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static void work(uint64_t steps)
{
	uint64_t x = sink | 1;

	/* Each step needs the one before it, and the result is stored: nothing to skip or to vectorise. */
	while (steps--)
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
	sink = x;
}

/* The fastest of many trials: the one that nothing interrupted. */
static uint64_t calibrate(uint64_t target_ns)
{
	const uint64_t steps = 100000;
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 400; i++) {
		uint64_t begin = now_ns(), took;

		work(steps);
		took = now_ns() - begin;
		if (took < best)
			best = took;
	}
	return best ? steps * target_ns / best : steps;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -errno;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, 511)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static void hang_up(int fd)
{
	if (connections[fd])
		SSL_free(connections[fd]->ssl);
	free(connections[fd]);
	connections[fd] = NULL;
	close(fd);
}

static int begin_tls(int fd)
{
	SSL *ssl = connections[fd]->ssl = SSL_new(tls);

	if (!ssl || !SSL_set_fd(ssl, fd))
		return 0;
	SSL_set_accept_state(ssl);
	return 1;
}

static void take_connections(int ep, int listener)
{
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

		if (fd >= MAX_FDS || !(connections[fd] = calloc(1, sizeof(struct connection)))) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if ((tls && !begin_tls(fd)) || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev))
			hang_up(fd);
	}
}

static int send_answer(int fd, struct connection *c)
{
	const int len = (int)sizeof(answer) - 1;

	return (c->ssl ? SSL_write(c->ssl, answer, len) : (int)send(fd, answer, (size_t)len, MSG_NOSIGNAL)) == len;
}

/* Answers every request head that is complete. Returns false when the connection is to be closed. */
static int answer_all(int fd, struct connection *c)
{
	char *end;

	while ((end = memmem(c->bytes, c->used, "\r\n\r\n", 4))) {
		size_t len = (size_t)(end - c->bytes) + 4;

		work(steps_per_request);
		if (!send_answer(fd, c))
			return 0;
		memmove(c->bytes, c->bytes + len, c->used - len);
		c->used -= len;
	}
	return c->used < sizeof(c->bytes);
}

/* > 0: bytes; 0: nothing there yet; < 0: over. */
static int receive(int fd, struct connection *c)
{
	char *to = c->bytes + c->used;
	size_t room = sizeof(c->bytes) - c->used;
	int n = c->ssl ? SSL_read(c->ssl, to, (int)room) : (int)recv(fd, to, room, 0);

	if (n > 0)
		return n;
	if (c->ssl)
		return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static void serve(int fd)
{
	struct connection *c = connections[fd];
	int n;

	/* The library may hold more than it has given: epoll does not tell of that. */
	do {
		n = receive(fd, c);
		if (n > 0)
			c->used += (size_t)n;
		if (n < 0 || (n > 0 && !answer_all(fd, c))) {
			hang_up(fd);
			return;
		}
	} while (n > 0 && c->ssl);
}

/* 0, or 1 with a message. */
static int prepare_tls(const char *pem)
{
	signal(SIGPIPE, SIG_IGN);
	tls = SSL_CTX_new(TLS_server_method());
	if (tls && SSL_CTX_use_certificate_chain_file(tls, pem) == 1 &&
	    SSL_CTX_use_PrivateKey_file(tls, pem, SSL_FILETYPE_PEM) == 1)
		return 0;
	fprintf(stderr, "work100: no key and certificate can be read from %s\n", pem);
	return 1;
}

int main(int argc, char **argv)
{
	long port = argc > 1 ? strtol(argv[1], NULL, 10) : 0, us = argc > 2 ? strtol(argv[2], NULL, 10) : 100;
	struct epoll_event ev = { .events = EPOLLIN }, ready[256];
	int listener, ep;

	if (port < 1 || port > 65535 || us < 0 || us > 1000000) {
		fprintf(stderr, "usage: work100 PORT [MICROSECONDS [PEM]]\n");
		return 2;
	}
	if (argc > 3 && prepare_tls(argv[3]))
		return 1;
	steps_per_request = calibrate((uint64_t)us * 1000);
	listener = listen_on((uint16_t)port);
	ep = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = listener;
	if (listener < 0 || ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev)) {
		fprintf(stderr, "work100: port %ld: %s\n", port, strerror(listener < 0 ? -listener : errno));
		return 1;
	}
	printf("%llu steps are %ld us\n", (unsigned long long)steps_per_request, us);
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(ep, ready, 256, -1);

		for (int i = 0; i < n; i++) {
			if (ready[i].data.fd == listener)
				take_connections(ep, listener);
			else
				serve(ready[i].data.fd);
		}
	}
}
