/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A conversation in TCP segments: client("GET / HTTP/1.1\r\n\r\n"); server("HTTP/1.1 200 OK\r\n..."). Both count their
 * sequence numbers themselves; segment() takes any place in the stream instead: again, too early, overlapping.
 *
 * Invariants: every packet goes through the program of its direction at the watched end, and that program returns 1;
 * when a conversation is closed, the ledger balances with what its connection still has in flight, and no lane is held.
 */
#ifndef TW_TEST_TALK_H
#define TW_TEST_TALK_H

#include "rig.h"

#include <arpa/inet.h>
#include <time.h>

enum end { CLIENT, SERVER };
enum watched { WATCHED_SERVER, WATCHED_CLIENT };

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

/* A test run takes at most a page with its bookkeeping; what is left for a TCP segment, options aside. */
#define SEGMENT_MAX 3600

/* The kernel programs' key of a connection; rig_check_layout compares it with their BTF. */
struct tuple {
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
	uint32_t pad;
};

struct talk {
	enum watched watched;
	bool v6;
	uint16_t client_port, server_port;
	uint32_t isn[2];
	uint32_t at[2];                       /* offset of the next byte in each stream */
	unsigned int ip_options, tcp_options; /* bytes */
	bool shut;                            /* segments tell of no window */
	uint64_t departure;                   /* stamp of the packets that leave; 0: none */
	struct tuple key;
};

static struct talk talk;

#define MS 1000000ULL /* ns */

/* ns of the clock that the programs read. */
static inline uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Connections that were closed by the tests with requests in flight: for the balance. */
static uint64_t left_in_flight;

static inline void check_layout(void)
{
	assert_int_equal(bpf_map__key_size(rig.skel->maps.early), sizeof(struct tuple));
	assert_int_equal(rig_offset("tw_tuple", "remote"), offsetof(struct tuple, remote));
	assert_int_equal(rig_offset("tw_tuple", "local_port"), offsetof(struct tuple, local_port));
	assert_int_equal(rig_offset("tw_tuple", "remote_port"), offsetof(struct tuple, remote_port));
}

/* ---- packets ------------------------------------------------------------------------------------------------------
 */

struct packet {
	uint8_t bytes[4096];
	size_t len, ip, tcp, payload;
};

static inline void put16(uint8_t *to, unsigned int v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static inline void put32(uint8_t *to, uint32_t v)
{
	put16(to, v >> 16);
	put16(to + 2, v & 0xffff);
}

static inline void addresses(const struct talk *t, enum end e, uint8_t *to)
{
	static const uint8_t v4[2][4] = { { 192, 0, 2, 1 }, { 198, 51, 100, 2 } };
	static const uint8_t v6[2][16] = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 } };

	memcpy(to, t->v6 ? v6[e] : v4[e], t->v6 ? 16 : 4);
}

static inline void put_ip(struct packet *p, const struct talk *t, enum end from, size_t total)
{
	uint8_t *ip = p->bytes + p->ip;

	if (t->v6) {
		ip[0] = 0x60;
		put16(ip + 4, (unsigned int)(total - 40));
		ip[6] = IPPROTO_TCP;
		ip[7] = 64;
		addresses(t, from, ip + 8);
		addresses(t, !from, ip + 24);
		return;
	}
	ip[0] = (uint8_t)(0x40 | (20 + t->ip_options) / 4);
	put16(ip + 2, (unsigned int)total);
	put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	addresses(t, from, ip + 12);
	addresses(t, !from, ip + 16);
	memset(ip + 20, 1, t->ip_options); /* no operation */
}

/* Ethernet, IP and TCP around the data; checksums stay zero: nothing here looks at them. */
static inline void packet_build(struct packet *p, const struct talk *t, enum end from, uint32_t seq, const void *data,
                                size_t len, uint8_t flags)
{
	size_t ip_len = t->v6 ? 40 : 20 + t->ip_options, tcp_len = 20 + t->tcp_options;
	uint8_t *tcp;

	memset(p, 0, sizeof(*p));
	put16(p->bytes + 12, t->v6 ? 0x86dd : 0x0800);
	p->ip = 14;
	p->tcp = p->ip + ip_len;
	p->payload = p->tcp + tcp_len;
	p->len = p->payload + len;
	assert_true(p->len <= sizeof(p->bytes));
	put_ip(p, t, from, ip_len + tcp_len + len);
	tcp = p->bytes + p->tcp;
	put16(tcp, from == CLIENT ? t->client_port : t->server_port);
	put16(tcp + 2, from == CLIENT ? t->server_port : t->client_port);
	put32(tcp + 4, seq);
	put32(tcp + 8, t->isn[!from] + t->at[!from]);
	tcp[12] = (uint8_t)(tcp_len / 4 << 4);
	tcp[13] = flags;
	put16(tcp + 14, t->shut ? 0 : 65535);
	memset(tcp + 20, 1, t->tcp_options); /* no operation */
	if (len)
		memcpy(p->bytes + p->payload, data, len);
}

/* Runs the program of one direction. Its return value, or the kernel's refusal of the packet. */
static inline int packet_run(const struct packet *p, bool arrives, uint64_t tstamp)
{
	struct __sk_buff ctx = { .tstamp = tstamp };
	size_t skip = rig.by_tc ? p->ip : 0;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p->bytes + skip, .data_size_in = (__u32)(p->len - skip),
	            .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
	int err = bpf_prog_test_run_opts(
		bpf_program__fd(arrives ? rig.skel->progs.tw_ingress : rig.skel->progs.tw_egress), &o);

	return err ? err : (int)o.retval;
}

static inline bool arrives(const struct talk *t, enum end from)
{
	return (t->watched == WATCHED_SERVER) == (from == CLIENT);
}

static inline void packet_send(const struct talk *t, enum end from, const struct packet *p)
{
	assert_int_equal(packet_run(p, arrives(t, from), arrives(t, from) ? 0 : t->departure), 1);
}

/* ---- segments -----------------------------------------------------------------------------------------------------
 */

/* The bytes [at, at + len) of one end's stream. */
static inline void segment(enum end from, uint32_t at, const void *data, size_t len, uint8_t flags)
{
	struct packet p;

	packet_build(&p, &talk, from, talk.isn[from] + at, data, len, flags);
	packet_send(&talk, from, &p);
}

/* The next bytes of an end's stream, in one segment. */
static inline void bytes(enum end from, const void *data, size_t len)
{
	segment(from, talk.at[from], data, len, ACK | PSH);
	talk.at[from] += (uint32_t)len;
}

static inline void client(const char *text)
{
	bytes(CLIENT, text, strlen(text));
}

static inline void server(const char *text)
{
	bytes(SERVER, text, strlen(text));
}

/* The same, leaving at a time of the test's choice: ns of the programs' clock. */
static inline void answer_at(uint64_t t, const char *text)
{
	talk.departure = t;
	server(text);
}

/* Part of a text that starts where the stream stands; the stream moves on with sent(). */
static inline void part(enum end from, const char *text, size_t start, size_t end)
{
	segment(from, talk.at[from] + (uint32_t)start, text + start, end - start, ACK);
}

static inline void sent(enum end from, const char *text)
{
	talk.at[from] += (uint32_t)strlen(text);
}

/* A text in segments of at most `size` bytes. */
static inline void in_pieces(enum end from, const char *text, size_t size)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i += size)
		bytes(from, text + i, len - i < size ? len - i : size);
}

/* Filler of a body, in segments. */
static inline void body(enum end from, size_t len)
{
	char filler[SEGMENT_MAX];
	size_t n;

	memset(filler, 'x', sizeof(filler));
	for (; len; len -= n) {
		n = len < sizeof(filler) ? len : sizeof(filler);
		bytes(from, filler, n);
	}
}

static inline void fin(enum end from)
{
	segment(from, talk.at[from], NULL, 0, FIN | ACK);
	talk.at[from]++;
}

static inline void rst(enum end from)
{
	segment(from, talk.at[from], NULL, 0, RST | ACK);
}

/* ---- conversations ------------------------------------------------------------------------------------------------
 */

static inline void talk_key(struct talk *t)
{
	enum end local = t->watched == WATCHED_SERVER ? SERVER : CLIENT;
	uint8_t *addr[2] = { t->key.local, t->key.remote };

	memset(&t->key, 0, sizeof(t->key));
	for (int i = 0; i < 2; i++) {
		enum end e = i ? !local : local;

		if (!t->v6)
			memset(addr[i] + 10, 0xff, 2);
		addresses(t, e, addr[i] + (t->v6 ? 0 : 12));
	}
	t->key.local_port = local == SERVER ? t->server_port : t->client_port;
	t->key.remote_port = local == SERVER ? t->client_port : t->server_port;
}

/* A connection is opened: nothing of a handshake carries payload, so none is played. Streams are about to wrap. */
static inline void begin_as(enum watched watched, bool v6)
{
	static uint16_t port = 20000;

	port = port == 60000 ? 20000 : port + 1;
	talk = (struct talk){
		.watched = watched,
		.v6 = v6,
		.client_port = port,
		.server_port = watched == WATCHED_SERVER ? RIG_SERVER_PORT : RIG_UPSTREAM_PORT,
		.isn = { 0xffffffe0U, 0xfffffff0U },
	};
	talk_key(&talk);
	rig.version = watched == WATCHED_SERVER ? RIG_SERVER_VERSION : RIG_UPSTREAM_VERSION;
}

static inline void begin(void)
{
	begin_as(WATCHED_SERVER, false);
}

/* Room beyond the state itself, which a test run has no socket to keep with. */
static inline void insert_room(struct bpf_map *m)
{
	void *zeros = calloc(1, bpf_map__value_size(m));

	assert_non_null(zeros);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(m), &talk.key, zeros, BPF_ANY), 0);
	free(zeros);
}

static inline void may_pipeline(void)
{
	insert_room(rig.skel->maps.test_pipes);
}

static inline void may_reorder(void)
{
	insert_room(rig.skel->maps.test_held);
}

static inline uint32_t in_flight(void)
{
	size_t size = bpf_map__value_size(rig.skel->maps.early);
	char *conn = calloc(1, size);
	uint32_t head, tail, n = 0;

	assert_non_null(conn);
	if (!bpf_map_lookup_elem(bpf_map__fd(rig.skel->maps.early), &talk.key, conn)) {
		memcpy(&head, conn + rig_offset("tw_conn", "head"), sizeof(head));
		memcpy(&tail, conn + rig_offset("tw_conn", "tail"), sizeof(tail));
		n = head - tail;
	}
	free(conn);
	assert_true(n <= TW_PIPELINE_MAX);
	return n;
}

/* The connection is gone; what it had in flight is remembered for the balance. */
static inline void done(void)
{
	left_in_flight += in_flight();
	bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.early), &talk.key);
	bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.early_texts), &talk.key);
	bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.test_pipes), &talk.key);
	bpf_map_delete_elem(bpf_map__fd(rig.skel->maps.test_held), &talk.key);
}

static inline void expect_balance(void)
{
	struct tw_ledger_row row = rig_row(rig.version);

	assert_int_equal(row.c[TW_L_REQUESTS], row.c[TW_L_ENDED] + row.c[TW_L_LOST_EXCHANGES] + left_in_flight);
	assert_int_equal(rig_busy_lanes(), 0);
	assert_int_equal(rig.skel->bss->lanes_exhausted, 0);
}

/* ---- around the tests ---------------------------------------------------------------------------------------------
 */

static inline int talk_set_up(void **state)
{
	rig_open(true);
	check_layout();
	return 0;
}

static inline int talk_tear_down(void **state)
{
	rig_close();
	return 0;
}

static inline int talk_before(void **state)
{
	rig_reset();
	left_in_flight = 0;
	begin();
	return 0;
}

static inline int talk_after(void **state)
{
	done();
	expect_balance();
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, talk_before, talk_after)

#endif
