// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A monkey at the wire: long conversations whose packets are lost, doubled, swapped, cut, garbled and given odd flags,
 * by a seeded generator. Oracle: invariants only. Every packet passes; what was counted as a request has ended, is
 * counted as lost or is still in flight; no lane stays claimed; no connection is stuck: a clean exchange on a new
 * connection is always understood.
 * TW_MONKEY_SEED=N starts at another seed, TW_MONKEY_ROUNDS=N plays more.
 */
#include "talk.h"

static uint64_t random_state;

static uint32_t any(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % below;
}

/* ---- what is said -------------------------------------------------------------------------------------------------
 */

static const char *const requests[] = {
	"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n",
	"HEAD /b/12345?q=1 HTTP/1.1\r\n\r\n",
	"POST /c HTTP/1.1\r\nContent-Length: 40\r\n\r\nGET /evil HTTP/1.1\r\n\r\nGET /evil HTTP/1.1",
	"PUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10;x\r\n0123456789abcdef\r\n0\r\nT: v\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\n\r\n",
	"BASELINE-CONTROL /e HTTP/1.1\r\n\r\n",
	"GET /f HTTP/1.1\r\n\r\nGET /g HTTP/1.1\r\n\r\nGET /h HTTP/1.1\r\n\r\n",
};

static const char *const answers[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHTTP/1.1 500",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n",
	"HTTP/1.1 503 Sorry\r\nContent-Length: 3\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.0 200 OK\r\n\r\nuntil close",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n",
};

#define COUNT(a) (uint32_t)(sizeof(a) / sizeof(*(a)))

/* ---- how it is delivered ------------------------------------------------------------------------------------------
 */

struct piece {
	enum end from;
	uint32_t at;
	uint16_t len;
	uint8_t flags;
	char data[600];
};

#define PIECES 512
static struct piece pieces[PIECES];
static size_t n_pieces;

static void say(enum end from, const char *text)
{
	size_t len = strlen(text), n;
	uint32_t size = any(3) ? 600 : 1 + any(40);

	for (size_t i = 0; i < len && n_pieces < PIECES; i += n) {
		struct piece *p = &pieces[n_pieces++];

		n = len - i < size ? len - i : size;
		*p = (struct piece){ .from = from, .at = talk.at[from], .len = (uint16_t)n, .flags = ACK };
		memcpy(p->data, text + i, n);
		talk.at[from] += (uint32_t)n;
	}
}

/* The later answers, which end HTTP on the connection, are rare. */
static void write_conversation(void)
{
	n_pieces = 0;
	for (int i = 0; i < 25; i++) {
		say(CLIENT, requests[any(COUNT(requests))]);
		if (any(8))
			say(SERVER, answers[any(any(30) ? 6 : COUNT(answers))]);
	}
}

static void garble(struct piece *p)
{
	switch (any(6)) {
	case 0:
		p->data[any(p->len ? p->len : 1U)] = (char)any(256);
		break;
	case 1:
		p->at += any(64) - 32;
		break;
	case 2:
		p->at = any(0xffffffff);
		break;
	case 3:
		p->flags = (uint8_t)any(256);
		break;
	case 4:
		p->len = (uint16_t)any(p->len + 1U);
		break;
	default:
		p->from = !p->from;
		break;
	}
}

/* How wild this monkey is: one in so many pieces is garbled, lost, doubled, swapped, or has its headers damaged; 0 for
 * never. */
struct wildness {
	uint32_t garbled, lost, doubled, swapped, damaged;
};

static bool one_in(uint32_t n)
{
	return n && !any(n);
}

/* damage: one packet in so many has a byte of its headers changed. */
static void play_piece(const struct piece *p, uint32_t damage, unsigned int seed)
{
	struct packet packet;
	int ret;

	packet_build(&packet, &talk, p->from, talk.isn[p->from] + p->at, p->data, p->len, p->flags);
	if (one_in(damage))
		packet.bytes[packet.ip + any((uint32_t)(packet.payload - packet.ip))] = (uint8_t)any(256);
	ret = packet_run(&packet, arrives(&talk, p->from), 0);
	if (ret != 1)
		fail_msg("seed %u: a packet returned %d", seed, ret);
}

static void deliver(const struct wildness *w, unsigned int seed)
{
	for (size_t i = 0; i < n_pieces; i++) {
		if (one_in(w->garbled))
			garble(&pieces[i]);
		if (one_in(w->swapped) && i + 1 < n_pieces) {
			struct piece other = pieces[i];
			size_t far = i + 1 + any(9);

			far = far < n_pieces ? far : n_pieces - 1;
			pieces[i] = pieces[far];
			pieces[far] = other;
		}
		if (one_in(w->lost))
			continue;
		play_piece(&pieces[i], w->damaged, seed);
		if (one_in(w->doubled))
			play_piece(&pieces[any((uint32_t)i + 1)], w->damaged, seed);
	}
}

/* ---- what must hold -----------------------------------------------------------------------------------------------
 */

/* Over all connections: damaged headers make new ones. */
static uint64_t all_in_flight(void)
{
	int fd = bpf_map__fd(rig.skel->maps.early);
	size_t head = rig_offset("tw_conn", "head"), tail = rig_offset("tw_conn", "tail");
	char *conn = calloc(1, bpf_map__value_size(rig.skel->maps.early));
	struct tuple key, *last = NULL;
	uint64_t n = 0;

	assert_non_null(conn);
	for (; !bpf_map_get_next_key(fd, last, &key); last = &key) {
		uint32_t h, t;

		assert_int_equal(bpf_map_lookup_elem(fd, &key, conn), 0);
		memcpy(&h, conn + head, sizeof(h));
		memcpy(&t, conn + tail, sizeof(t));
		n += h - t;
	}
	free(conn);
	return n;
}

static void check_balance(unsigned int seed)
{
	uint64_t begun = 0, ended = 0, flying = all_in_flight();

	for (unsigned int v = 0; v <= RIG_UPSTREAM_VERSION; v++) {
		struct tw_ledger_row row = rig_row(v);

		begun += row.c[TW_L_REQUESTS];
		ended += row.c[TW_L_ENDED] + row.c[TW_L_LOST_EXCHANGES];
	}
	if (begun != ended + flying)
		fail_msg("seed %u: %llu requests, %llu ended or lost, %llu in flight", seed, (unsigned long long)begun,
		         (unsigned long long)ended, (unsigned long long)flying);
	if (rig_busy_lanes())
		fail_msg("seed %u: a lane stayed claimed", seed);
}

static void check_sound(unsigned int seed)
{
	done();
	rig_empty_map(rig.skel->maps.early); /* damaged ports may be the next one's */
	rig_drain();
	rig_forget_log();
	begin_as(talk.watched, talk.v6);
	client("GET /sound HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	rig_drain();
	if (strcmp(rig.log, "GET /sound 200 answered\n"))
		fail_msg("seed %u: afterwards: %s", seed, rig.log);
	rig_forget_log();
}

static void play(const struct wildness *w, unsigned int seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	begin_as(any(3) ? WATCHED_SERVER : WATCHED_CLIENT, any(2));
	rig_empty_map(rig.skel->maps.early);
	rig_mark();
	if (any(8))
		may_pipeline();
	if (any(8))
		may_reorder();
	write_conversation();
	deliver(w, seed);
	check_balance(seed);
	if (any(2)) {
		fin(any(2) ? CLIENT : SERVER);
		rst(any(2) ? CLIENT : SERVER);
		check_balance(seed);
	}
	check_sound(seed);
	done();
	left_in_flight = 0;
	rig_mark();
}

static unsigned int setting(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned int)strtoul(text, NULL, 10) : otherwise;
}

static void play_rounds(const struct wildness *w)
{
	unsigned int first = setting("TW_MONKEY_SEED", 1), n = setting("TW_MONKEY_ROUNDS", 300);

	for (unsigned int i = 0; i < n; i++)
		play(w, first + i);
}

static void a_tame_monkey_breaks_no_invariant(void **state)
{
	play_rounds(&(struct wildness){ .lost = 50, .doubled = 10, .swapped = 10 });
}

static void a_wild_monkey_breaks_no_invariant(void **state)
{
	play_rounds(&(struct wildness){ .garbled = 20, .lost = 20, .doubled = 5, .swapped = 5, .damaged = 200 });
}

static void a_mad_monkey_breaks_no_invariant(void **state)
{
	play_rounds(&(struct wildness){ .garbled = 2, .lost = 4, .doubled = 3, .swapped = 2, .damaged = 20 });
}

/* ---- and one that only does what networks do ----------------------------------------------------------------------
 */

/* Well-formed exchanges in pieces that are doubled and swapped: nothing may get lost, whatever the order. */
static void play_clean(unsigned int seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
	begin_as(WATCHED_SERVER, any(2));
	may_reorder();
	client("GET /first HTTP/1.1\r\n\r\n");
	server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		n_pieces = 0;
		say(CLIENT, requests[2 + any(2)]);
		/* No more than eight can wait: few pieces, each at most three places off. */
		for (size_t k = 0; k + 3 < n_pieces; k += 3) {
			struct piece other = pieces[k];
			size_t far = k + any(3);

			pieces[k] = pieces[far];
			pieces[far] = other;
		}
		for (size_t k = 0; k < n_pieces; k++) {
			play_piece(&pieces[k], 0, seed);
			if (!any(3))
				play_piece(&pieces[any((uint32_t)k + 1)], 0, seed);
		}
		server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
	}
	done();
	rig_drain();
	if (rig.n_ended != 6 || strstr(rig.log, "unobserved"))
		fail_msg("seed %u: %zu exchanges: %s", seed, rig.n_ended, rig.log);
	rig_forget_log();
}

static void a_network_that_only_doubles_and_swaps_loses_nothing(void **state)
{
	unsigned int first = setting("TW_MONKEY_SEED", 1), n = setting("TW_MONKEY_ROUNDS", 300);

	for (unsigned int i = 0; i < n; i++)
		play_clean(first + i);
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_DESYNC], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tame_monkey_breaks_no_invariant),
		TEST(a_wild_monkey_breaks_no_invariant),
		TEST(a_mad_monkey_breaks_no_invariant),
		TEST(a_network_that_only_doubles_and_swaps_loses_nothing),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
