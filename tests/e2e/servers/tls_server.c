// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * An HTTP/1.1 server over libssl, OpenSSL's or BoringSSL's: what a program that calls the library by itself may do. A
 * thread a connection that blocks, or with --event one loop for all of them, in which reads and writes are repeated.
 *
 *   /missing 404 · /size/N 200 with N bytes · /sleep/MS 200 after that time (not with --event) · /renegotiate 200 after
 * it has asked for a handshake (TLS 1.2) · /keyupdate 200 after it has changed its keys (TLS 1.3) · anything else 200
 *
 * --ex: SSL_read_ex and SSL_write_ex. --partial: SSL_MODE_ENABLE_PARTIAL_WRITE. --send-buffer N: SO_SNDBUF. --early:
 * reads early data. --chop N: no read asks for more than N bytes. Lines of the log: METHOD TARGET STATUS.
 *
 * Invariant: a connection with a response has no whole request in front of it that is not being answered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 32768

struct conn {
	SSL *ssl;
	int fd, status;
	bool shaken;
	size_t have; /* bytes of in */
	size_t body; /* bytes of the request's body that are still to come */
	bool head;   /* the head of a request has been read, and not yet answered */
	bool last;   /* it said Connection: close */
	char *out;   /* the response, when there is one */
	size_t out_len, sent;
	char method[32], target[256];
	char in[REQUEST_MAX + 1];
};

static bool event, ex, partial, early;
static int port, log_fd = 1, send_buffer, chop = REQUEST_MAX;
static const char *pem;

/* > 0 bytes; 0 when the connection is over; -1 when the call must be repeated (then *want is what to wait for). */
static int outcome(struct conn *c, int r, uint32_t *want)
{
	int e = SSL_get_error(c->ssl, r);

	ERR_clear_error();
	*want = e == SSL_ERROR_WANT_WRITE ? EPOLLOUT : EPOLLIN;
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static int conn__read(struct conn *c, char *to, size_t n, uint32_t *want)
{
	int r;

	if (n > (size_t)chop)
		n = chop;
#ifndef OPENSSL_IS_BORINGSSL
	if (ex) {
		size_t got;

		r = SSL_read_ex(c->ssl, to, n, &got);
		return r > 0 ? (int)got : outcome(c, r, want);
	}
#endif
	r = SSL_read(c->ssl, to, (int)n);
	return r > 0 ? r : outcome(c, r, want);
}

static int conn__write(struct conn *c, uint32_t *want)
{
	const char *from = c->out + c->sent;
	size_t n = c->out_len - c->sent;
	int r;

#ifndef OPENSSL_IS_BORINGSSL
	if (ex) {
		size_t sent;

		r = SSL_write_ex(c->ssl, from, n, &sent);
		return r > 0 ? (int)sent : outcome(c, r, want);
	}
#endif
	r = SSL_write(c->ssl, from, (int)n);
	return r > 0 ? r : outcome(c, r, want);
}

/* Early data lands in front of what is read later. */
static int conn__handshake(struct conn *c, uint32_t *want)
{
	int r;

#ifndef OPENSSL_IS_BORINGSSL
	while (early && !SSL_is_init_finished(c->ssl)) {
		size_t got = 0;

		r = SSL_read_early_data(c->ssl, c->in + c->have, REQUEST_MAX - c->have, &got);
		c->have += got;
		if (r == SSL_READ_EARLY_DATA_FINISH)
			break;
		if (r == SSL_READ_EARLY_DATA_ERROR)
			return outcome(c, 0, want);
	}
#endif
	r = SSL_accept(c->ssl);
	if (r <= 0)
		return outcome(c, r, want);
	c->shaken = true;
	return 1;
}

static void conn__answer(struct conn *c)
{
	size_t n = 3, head;

	c->status = strncmp(c->target, "/missing", 8) ? 200 : 404;
	if (!strncmp(c->target, "/size/", 6))
		n = strtoul(c->target + 6, NULL, 10);
	else if (!strncmp(c->target, "/sleep/", 7))
		usleep(strtoul(c->target + 7, NULL, 10) * 1000);
	else if (!strcmp(c->target, "/renegotiate"))
		SSL_renegotiate(c->ssl);
#ifndef OPENSSL_IS_BORINGSSL
	else if (!strcmp(c->target, "/keyupdate"))
		SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
#endif
	c->out = malloc(n + 128);
	if (!c->out)
		abort();
	head = snprintf(c->out, 128, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", c->status, n);
	for (size_t i = 0; i < n; i++)
		c->out[head + i] = "HTTP/1.1 500 no\r\n\r\n"[i % 19];
	c->out_len = head + n;
	c->sent = 0;
}

/* Takes what is in front of the buffer: a head, then its body. False when more must be read first. */
static bool conn__take(struct conn *c)
{
	size_t used;

	if (!c->head) {
		char *end, *length;

		c->in[c->have] = '\0';
		end = strstr(c->in, "\r\n\r\n");
		if (!end || sscanf(c->in, "%31s %255s", c->method, c->target) != 2)
			return false;
		*end = '\0';
		length = strstr(c->in, "Content-Length: ");
		c->body = length ? strtoul(length + 16, NULL, 10) : 0;
		c->head = true;
		c->last = strstr(c->in, "Connection: close");
		used = end + 4 - c->in;
	} else {
		used = c->body < c->have ? c->body : c->have;
		c->body -= used;
	}
	memmove(c->in, c->in + used, c->have - used);
	c->have -= used;
	return true;
}

/* One step. > 0: go on; 0: the connection is over; -1: repeat it when *want has come. */
static int conn__step(struct conn *c, uint32_t *want)
{
	int n;

	if (!c->shaken)
		return conn__handshake(c, want);
	if (c->out) {
		n = conn__write(c, want);
		if (n <= 0)
			return n;
		c->sent += n;
		if (c->sent < c->out_len)
			return 1;
		free(c->out);
		c->out = NULL;
		c->head = false;
		dprintf(log_fd, "%s %s %d\n", c->method, c->target, c->status);
		return !c->last;
	}
	if (c->have && (!c->head || c->body) && conn__take(c))
		return 1;
	if (c->head && !c->body) {
		conn__answer(c);
		return 1;
	}
	n = conn__read(c, c->in + c->have, REQUEST_MAX - c->have, want);
	if (n > 0)
		c->have += n;
	return n;
}

static void conn__free(struct conn *c)
{
	SSL_shutdown(c->ssl);
	ERR_clear_error();
	SSL_free(c->ssl);
	close(c->fd);
	free(c->out);
	free(c);
}

static struct conn *conn__new(SSL_CTX *ctx, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c)
		abort();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (send_buffer)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
	c->fd = fd;
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, fd);
	return c;
}

static void *serve_one(void *arg)
{
	struct conn *c = arg;
	uint32_t want;

	while (conn__step(c, &want))
		;
	conn__free(c);
	return NULL;
}

static void serve_threads(SSL_CTX *ctx, int listener)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pthread_t thread;

		if (fd < 0)
			return;
		if (pthread_create(&thread, NULL, serve_one, conn__new(ctx, fd)))
			abort();
		pthread_detach(thread);
	}
}

static void serve_events(SSL_CTX *ctx, int listener)
{
	struct epoll_event e = { .events = EPOLLIN };
	int loop = epoll_create1(EPOLL_CLOEXEC), r;

	epoll_ctl(loop, EPOLL_CTL_ADD, listener, &e);
	while (epoll_wait(loop, &e, 1, -1) == 1 || errno == EINTR) {
		struct conn *c = e.data.ptr;
		uint32_t want = EPOLLIN;
		int op = EPOLL_CTL_MOD;

		if (!c) {
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

			if (fd < 0)
				continue;
			c = conn__new(ctx, fd);
			op = EPOLL_CTL_ADD;
		}
		while ((r = conn__step(c, &want)) > 0)
			;
		if (!r) {
			conn__free(c);
			continue;
		}
		e = (struct epoll_event){ .events = want, .data.ptr = c };
		epoll_ctl(loop, op, c->fd, &e);
	}
}

static int listen_on(int on)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons(on),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 512))
		return -1;
	return fd;
}

static SSL_CTX *context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, pem) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, pem, SSL_FILETYPE_PEM) != 1)
		return NULL;
	if (partial)
		SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
#ifdef SSL_OP_ALLOW_CLIENT_RENEGOTIATION
	SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
#endif
#ifndef OPENSSL_IS_BORINGSSL
	if (early)
		SSL_CTX_set_max_early_data(ctx, REQUEST_MAX / 2);
#endif
	return ctx;
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--port"))
			port = strtol(value, NULL, 10);
		else if (!strcmp(argv[i], "--log"))
			log_fd = open(value, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		else if (!strcmp(argv[i], "--tls"))
			pem = value;
		else if (!strcmp(argv[i], "--send-buffer"))
			send_buffer = strtol(value, NULL, 10);
		else if (!strcmp(argv[i], "--chop"))
			chop = strtol(value, NULL, 10);
		event |= !strcmp(argv[i], "--event");
		ex |= !strcmp(argv[i], "--ex");
		partial |= !strcmp(argv[i], "--partial");
		early |= !strcmp(argv[i], "--early");
	}
}

int main(int argc, char **argv)
{
	SSL_CTX *ctx;
	int listener;

	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	ctx = context();
	if (!ctx) {
		fprintf(stderr, "cannot use the certificate in %s\n", pem);
		return 1;
	}
	listener = listen_on(port);
	if (listener < 0) {
		perror("listen");
		return 1;
	}
	if (event)
		serve_events(ctx, listener);
	else
		serve_threads(ctx, listener);
	return 1;
}
