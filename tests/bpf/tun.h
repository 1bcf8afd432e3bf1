/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A TCP client in user space behind a TUN device, for segments that arrive when the test says, on the CPU that it says:
 * who writes one to the device takes it himself through the whole receive path of the kernel, to the socket. Two
 * threads that do so at the same time put two segments of one connection into the programs at the same time.
 *
 * Addresses are from 198.18.0.0/15 (RFC 2544), which nothing real uses. The device goes when its descriptor is closed.
 * Invariants: the server's segments come in order, as nothing lies between; none is waited for longer than
 * TUN_PATIENCE.
 */
#ifndef TW_TEST_TUN_H
#define TW_TEST_TUN_H

#include "wire.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#define TUN_PATIENCE 5000 /* ms */

static struct {
	int fd;
	uint32_t server, client; /* addresses, host order */
	int listener;
	uint16_t port;
} tun = { .fd = -1 };

struct tun_client {
	uint16_t port;
	uint32_t seq, ack; /* our next byte, and the server's */
	bool finished;     /* the server has closed */
};

struct tun_packet {
	uint8_t bytes[1500];
	size_t len;
};

/* ---- the device ---------------------------------------------------------------------------------------------------
 */

static inline bool tun_give_address(int s, struct ifreq *r, unsigned long what, uint32_t addr)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr) };

	memcpy(&r->ifr_addr, &at, sizeof(at));
	return !ioctl(s, what, r);
}

/* Where there can be no device: why, else NULL. */
static inline const char *tun_open(void)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	uint32_t block = 0xc6120000U | ((uint32_t)getpid() & 0x3fff) << 2;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	tun.server = block + 1;
	tun.client = block + 2;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "twb%d", getpid() % 1000000);
	tun.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ok = tun.fd >= 0 && !ioctl(tun.fd, TUNSETIFF, &r) && tun_give_address(s, &r, SIOCSIFADDR, tun.server) &&
	     tun_give_address(s, &r, SIOCSIFNETMASK, 0xfffffffcU) && !ioctl(s, SIOCGIFFLAGS, &r);
	r.ifr_flags |= IFF_UP | IFF_RUNNING;
	ok = ok && !ioctl(s, SIOCSIFFLAGS, &r);
	close(s);
	return ok ? NULL : strerror(errno);
}

static inline void tun_close(void)
{
	if (tun.fd >= 0)
		close(tun.fd);
	tun.fd = -1;
}

/* ---- segments -----------------------------------------------------------------------------------------------------
 */

static inline uint32_t tun_sum(uint32_t sum, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? b[i] : (uint32_t)b[i] << 8;
	return sum;
}

static inline uint16_t tun_folded(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

/* A segment of the client's, `at` bytes behind what it has sent. */
static inline void tun_build(struct tun_packet *p, const struct tun_client *c, uint32_t at, uint8_t flags,
                             const void *data, size_t len)
{
	uint8_t *ip = p->bytes, *tcp = ip + 20;

	assert_true(len <= sizeof(p->bytes) - 40);
	memset(ip, 0, 40);
	p->len = 40 + len;
	ip[0] = 0x45;
	put16(ip + 2, (unsigned int)p->len);
	put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	put32(ip + 12, tun.client);
	put32(ip + 16, tun.server);
	put16(ip + 10, tun_folded(tun_sum(0, ip, 20)));
	put16(tcp, c->port);
	put16(tcp + 2, tun.port);
	put32(tcp + 4, c->seq + at);
	put32(tcp + 8, c->ack);
	tcp[12] = 5 << 4;
	tcp[13] = flags;
	put16(tcp + 14, 65535);
	if (len)
		memcpy(tcp + 20, data, len);
	put16(tcp + 16, tun_folded(tun_sum(IPPROTO_TCP + 20 + (uint32_t)len, ip + 12, 8 + 20 + len)));
}

static inline void tun_write(const struct tun_packet *p)
{
	assert_int_equal(write(tun.fd, p->bytes, p->len), p->len);
}

/* One segment, and the stream moves on. */
static inline void tun_send(struct tun_client *c, uint8_t flags, const void *data, size_t len)
{
	struct tun_packet p;

	tun_build(&p, c, 0, flags, data, len);
	tun_write(&p);
	c->seq += (uint32_t)len + !!(flags & (SYN | FIN));
}

static inline uint32_t tun_get32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The next packet of the server's to this client, if it is one. */
static inline void tun_take(struct tun_client *c)
{
	struct pollfd p = { .fd = tun.fd, .events = POLLIN };
	uint8_t b[2048], *tcp;
	uint32_t len, seq;
	ssize_t n;

	assert_int_equal(poll(&p, 1, TUN_PATIENCE), 1);
	n = read(tun.fd, b, sizeof(b));
	if (n < 40 || b[0] != 0x45 || b[9] != IPPROTO_TCP)
		return;
	tcp = b + 20;
	if ((tcp[2] << 8 | tcp[3]) != c->port)
		return;
	assert_false(tcp[13] & RST);
	seq = tun_get32(tcp + 4);
	len = (uint32_t)n - 20 - (uint32_t)(tcp[12] >> 4) * 4;
	if (!c->ack)
		c->ack = seq + 1; /* the SYN */
	else if (seq == c->ack)
		c->ack += len + (tcp[13] & FIN);
	c->finished |= tcp[13] & FIN;
}

/* The server's bytes up to there have come, and are acknowledged. */
static inline void tun_await(struct tun_client *c, uint32_t ack)
{
	while ((int32_t)(c->ack - ack) < 0)
		tun_take(c);
	tun_send(c, ACK, NULL, 0);
}

/* ---- connections --------------------------------------------------------------------------------------------------
 */

static inline void tun_listen(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(tun.server) };
	socklen_t len = sizeof(at);

	tun.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(tun.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(tun.listener, 16), 0);
	assert_int_equal(getsockname(tun.listener, (struct sockaddr *)&at, &len), 0);
	tun.port = ntohs(at.sin_port);
	rig_watch_port(tun.port, RIG_SERVER_VERSION, false);
}

/* The handshake; returns the server's socket. */
static inline int tun_connect(struct tun_client *c)
{
	const struct timeval patience = { .tv_sec = TUN_PATIENCE / 1000 };
	static uint16_t port = 20000;
	int fd, on = 1;

	port = port == 60000 ? 20000 : port + 1;
	*c = (struct tun_client){ .port = port, .seq = 0xfffffff0U };
	tun_send(c, SYN, NULL, 0);
	while (!c->ack)
		tun_take(c);
	tun_send(c, ACK, NULL, 0);
	fd = accept4(tun.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* ---- two CPUs -----------------------------------------------------------------------------------------------------
 */

static struct {
	pthread_t thread;
	cpu_set_t before;
	int cpu; /* of the other thread */
	const struct tun_packet *p;
	_Atomic uint32_t asked, there, sent;
	_Atomic uint64_t at; /* when the other is to write, ns; 0: not known yet */
	_Atomic bool over, failed;
	bool running;
} pair;

static inline void pair_pin(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static inline void pair_write_at(uint64_t t, const struct tun_packet *p)
{
	while (now() < t)
		;
	if (write(tun.fd, p->bytes, p->len) != (ssize_t)p->len)
		pair.failed = true;
}

static inline void *pair_other(void *arg)
{
	uint64_t t;

	pair_pin(pair.cpu);
	for (uint32_t n = 1;; n++) {
		while (atomic_load(&pair.asked) != n)
			if (atomic_load(&pair.over))
				return NULL;
		atomic_store(&pair.there, n);
		while (!(t = atomic_load(&pair.at)))
			;
		pair_write_at(t, pair.p);
		atomic_store(&pair.sent, n);
	}
}

/* Two CPUs for two threads. false: there is one. */
static inline bool pair_open(void)
{
	int cpus[2] = { 0 }, n = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(pair.before), &pair.before), 0);
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &pair.before))
			cpus[n++] = i;
	if (n < 2)
		return false;
	pair.cpu = cpus[1];
	pair_pin(cpus[0]);
	return true;
}

static inline void pair_begin(void)
{
	pair.asked = pair.there = pair.sent = 0;
	pair.over = pair.failed = false;
	assert_int_equal(pthread_create(&pair.thread, NULL, pair_other, NULL), 0);
	pair.running = true;
}

static inline void pair_end(void)
{
	pair.over = true;
	if (pair.running)
		pthread_join(pair.thread, NULL);
	pair.running = false;
}

static inline void pair_close(void)
{
	sched_setaffinity(0, sizeof(pair.before), &pair.before);
}

/* Both at once, but for so many ns that the other comes later (or earlier). Returns when both are through. */
static inline void pair_write(const struct tun_packet *mine, const struct tun_packet *other, int64_t later)
{
	uint32_t n = pair.asked + 1;
	uint64_t t;

	pair.p = other;
	pair.at = 0;
	atomic_store(&pair.asked, n);
	while (atomic_load(&pair.there) != n)
		;
	t = now() + 1000;
	atomic_store(&pair.at, t + (uint64_t)(later > 0 ? later : 0));
	pair_write_at(t + (uint64_t)(later < 0 ? -later : 0), mine);
	while (atomic_load(&pair.sent) != n)
		;
	assert_false(pair.failed);
}

#endif
