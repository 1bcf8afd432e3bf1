// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * HTTP/2: what user space is told of crafted packets, held against the streams that were sent. RFC 9113, 4.1: which
 * bytes are heads and payloads is worked out here, from the streams alone.
 */
#include "state.h"
#include "talk.h"

#include "capture/loader.h"
#include "capture/loader_state.h"

#include "tw_h2.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define STREAM  16384

/* What a side is about to say, frame by frame. */
struct stream {
	uint8_t bytes[STREAM];
	size_t len, preface;
};

/* What was told of it. */
struct told {
	uint8_t bytes[STREAM];
	bool has[STREAM];
	bool twice, behind; /* a byte was told twice, or after one that follows it */
	uint32_t next;
	unsigned int begins, joins, losses, fins, resets, ended[8], n_ended, since;
	uint32_t begins_at;
};

static struct stream said[2];
static struct told told[2];
static bool nonsense;
static uint64_t name;
static unsigned int names;

static void on_item(struct told *t, enum end from, const struct tw_h2_item *i, const uint8_t *b)
{
	uint32_t at = i->at - talk.isn[from];

	switch (i->what) {
	case TW_H2_BYTES:
		for (size_t k = 0; k < i->len; k++, at++) {
			if (at >= STREAM) {
				nonsense = true;
				return;
			}
			t->twice |= t->has[at];
			t->behind |= at < t->next;
			t->has[at] = true;
			t->bytes[at] = b[k];
			t->next = at + 1;
		}
		break;
	case TW_H2_BEGINS:
		t->begins++;
		t->begins_at = at;
		break;
	case TW_H2_JOINED:
		t->joins++;
		break;
	case TW_H2_LOST:
		t->losses++;
		break;
	case TW_H2_FIN:
		t->fins++;
		break;
	case TW_H2_RST:
		t->resets++;
		break;
	case TW_H2_ENDED:
		t->ended[t->n_ended++ % 8] = at;
		break;
	case TW_H2_SINCE:
		t->since++;
		break;
	default:
		nonsense = true;
	}
}

static void on_record(const void *record, size_t len)
{
	const struct tw_h2_record *r = record;
	const uint8_t *items = (const uint8_t *)(r + 1);
	enum end from = r->flags & TW_H2_REQUESTS ? CLIENT : SERVER;

	nonsense |= sizeof(*r) + r->len > len || r->version != rig.version || r->flags & TW_H2_GAP || !r->t;
	if (r->conn != name)
		names++;
	name = r->conn;
	for (size_t at = 0; at + sizeof(struct tw_h2_item) <= r->len;) {
		const struct tw_h2_item *i = (const void *)(items + at);

		at += sizeof(*i) + ((i->len + 3u) & ~3u);
		if (at > r->len) {
			nonsense = true;
			return;
		}
		on_item(&told[from], from, i, (const uint8_t *)(i + 1));
	}
}

/* ---- what is said ------------------------------------------------------------------------------------------------ */

static void say(enum end from, const void *b, size_t n)
{
	assert_true(said[from].len + n <= STREAM);
	memcpy(said[from].bytes + said[from].len, b, n);
	said[from].len += n;
}

static void frame(enum end from, uint8_t type, uint8_t flags, uint32_t id, size_t len)
{
	const uint8_t head[] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
		                 (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };
	uint8_t payload[STREAM];

	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(type << 4 | (i & 15));
	say(from, head, sizeof(head));
	say(from, payload, len);
}

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };

/* A conversation with a frame of every kind. */
static void ordinary(void)
{
	memset(said, 0, sizeof(said));
	say(CLIENT, PREFACE, strlen(PREFACE));
	said[CLIENT].preface = strlen(PREFACE);
	frame(CLIENT, SETTINGS, 0, 0, 12);
	frame(CLIENT, WINDOW_UPDATE, 0, 0, 4);
	frame(CLIENT, HEADERS, 0, 1, 30);
	frame(CLIENT, CONTINUATION, 4, 1, 5);
	frame(CLIENT, DATA, 0, 1, 7);
	frame(CLIENT, DATA, 1, 1, 11);
	frame(CLIENT, PRIORITY, 0, 3, 5);
	frame(CLIENT, HEADERS, 5, 3, 1);
	frame(CLIENT, 0xef, 0xff, 77, 9); /* unknown ones are to be passed over (5.5) */
	frame(CLIENT, DATA, 1, 5, 0);
	frame(CLIENT, RST_STREAM, 0, 3, 4);
	frame(SERVER, SETTINGS, 0, 0, 0);
	frame(SERVER, SETTINGS, 1, 0, 0);
	frame(SERVER, HEADERS, 4, 1, 17);
	frame(SERVER, DATA, 0, 1, 40);
	frame(SERVER, PING, 0, 0, 8);
	frame(SERVER, DATA, 1, 1, 3);
	frame(SERVER, PUSH_PROMISE, 4, 1, 14);
	frame(SERVER, GOAWAY, 0, 0, 8);
}

static void forget(void)
{
	rig_drain();
	memset(told, 0, sizeof(told));
	nonsense = false;
	name = names = 0;
}

static void anew(void)
{
	begin();
	forget();
}

/* ---- what is expected -------------------------------------------------------------------------------------------- */

/* The streams' bytes but the payloads that are none of user space's business; and where last payloads end. */
static void expect_told_from(enum end from, size_t first)
{
	const struct stream *s = &said[from];
	const struct told *t = &told[from];
	unsigned int ended = 0;

	assert_false(t->twice);
	assert_false(t->behind);
	for (size_t at = 0; at < s->preface; at++)
		assert_false(t->has[at]);
	for (size_t at = s->preface; at < s->len;) {
		const uint8_t *head = s->bytes + at;
		size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2], end = at + 9 + len;
		bool sent = head[3] == HEADERS || (head[3] >= RST_STREAM && head[3] <= PUSH_PROMISE) ||
		            head[3] == GOAWAY || head[3] == CONTINUATION;

		for (size_t i = at; i < end; i++) {
			bool wanted = i >= first && (i < at + 9 || sent);

			if (t->has[i] != wanted || (wanted && t->bytes[i] != s->bytes[i]))
				fail_msg("byte %zu of %s, in the frame at %zu, was %stold", i,
				         from == CLIENT ? "the client's" : "the server's", at, t->has[i] ? "" : "not ");
		}
		if (head[3] == DATA && head[4] & 1 && len && end > first)
			assert_int_equal(t->ended[ended++ % 8], end);
		at = end;
	}
	assert_int_equal(t->n_ended, ended);
}

static void expect_told(void)
{
	rig_drain();
	assert_false(nonsense);
	assert_int_equal(names, 1);
	for (int from = CLIENT; from <= SERVER; from++) {
		expect_told_from(from, 0);
		assert_int_equal(told[from].begins, 1);
		assert_int_equal(told[from].begins_at, said[from].preface);
		assert_int_equal(told[from].joins + told[from].losses, 0);
	}
}

static void say_part(enum end from, size_t start, size_t end)
{
	if (end > start)
		segment(from, talk.at[from] + (uint32_t)start, said[from].bytes + start, end - start, ACK | PSH);
}

static void over(enum end from)
{
	talk.at[from] += (uint32_t)said[from].len;
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void heads_and_what_is_wanted_of_payloads_are_told_once_wherever_the_stream_is_cut(void **state)
{
	ordinary();
	for (size_t cut = 0; cut <= said[CLIENT].len; cut++) {
		size_t other = cut < said[SERVER].len ? cut : said[SERVER].len;

		anew();
		say_part(CLIENT, 0, cut);
		say_part(CLIENT, cut, said[CLIENT].len);
		say_part(SERVER, 0, other);
		say_part(SERVER, other, said[SERVER].len);
		expect_told();
	}
}

/* `per` frames a segment, from one end of the conversation to the other. */
static void say_frames(enum end from, unsigned int per)
{
	const struct stream *s = &said[from];
	size_t at = s->preface, begun = at;

	say_part(from, 0, at);
	for (unsigned int n = 1; at < s->len; n++) {
		at += 9 + ((size_t)s->bytes[at] << 16 | (size_t)s->bytes[at + 1] << 8 | s->bytes[at + 2]);
		if (n % per && at < s->len)
			continue;
		say_part(from, begun, at);
		begun = at;
	}
}

static void whole_frames_are_told_however_many_make_a_segment(void **state)
{
	for (unsigned int per = 1; per <= 6; per++) {
		ordinary();
		/* Segments just as large as may be taken at once, and larger by a byte. */
		frame(CLIENT, HEADERS, 5, 7, 256 - 9);
		frame(CLIENT, HEADERS, 5, 9, 256 - 8);
		frame(SERVER, DATA, 1, 7, 256 - 9);
		frame(SERVER, DATA, 1, 9, 256 - 8);
		anew();
		say_frames(CLIENT, per);
		say_frames(SERVER, per);
		expect_told();
		assert_int_equal(told[CLIENT].since + told[SERVER].since, 0);
	}
}

static void every_byte_may_be_a_segment_of_its_own(void **state)
{
	ordinary();
	anew();
	for (int from = CLIENT; from <= SERVER; from++)
		for (size_t at = 0; at < said[from].len; at++)
			say_part(from, at, at + 1);
	expect_told();
	/* Of heads that came in pieces it is told since when: of all but the preface's neighbours none came whole. */
	assert_int_equal(told[CLIENT].since, 11);
	assert_int_equal(told[SERVER].since, 8);
}

static void what_is_sent_again_is_told_once(void **state)
{
	ordinary();
	for (size_t cut = 1; cut < said[CLIENT].len; cut += 3) {
		anew();
		say_part(CLIENT, 0, cut);
		say_part(CLIENT, 0, cut);
		say_part(CLIENT, cut / 2, said[CLIENT].len);
		say_part(CLIENT, 0, said[CLIENT].len);
		say_part(SERVER, 0, said[SERVER].len / 2);
		say_part(SERVER, 0, said[SERVER].len / 3);
		say_part(SERVER, said[SERVER].len / 3, said[SERVER].len);
		say_part(SERVER, 0, said[SERVER].len);
		expect_told();
	}
}

/* All orders of four segments behind `first` bytes: a test run has no socket that knows where the stream begins. */
static void overtaken_behind(size_t first)
{
	enum { N = 4 };
	size_t size = (said[CLIENT].len - first) / N;

	for (int order = 0; order < 24; order++) {
		int left[N] = { 0, 1, 2, 3 }, n = N;

		anew();
		may_reorder();
		say_part(CLIENT, 0, first);
		for (int rest = order; n; rest /= n, n--) {
			int k = left[rest % n];
			size_t from = first + (size_t)k * size;

			memmove(left + rest % n, left + rest % n + 1, (size_t)(n - 1 - rest % n) * sizeof(*left));
			say_part(CLIENT, from, k == N - 1 ? said[CLIENT].len : from + size);
		}
		say_part(SERVER, 0, said[SERVER].len);
		expect_told();
		done();
	}
}

static void segments_may_overtake_each_other(void **state)
{
	ordinary();
	overtaken_behind(said[CLIENT].len / 5);
}

static void segments_may_overtake_what_shows_that_it_is_http2(void **state)
{
	ordinary();
	overtaken_behind(1);
	overtaken_behind(2);
	/* Larger segments than are held of HTTP/1. */
	frame(CLIENT, HEADERS, 5, 7, 9000);
	overtaken_behind(1);
}

static bool follows(void *followed, uint64_t conn)
{
	return conn == *(const uint64_t *)followed;
}

/* What is kept of segments that came too early: of their bytes, and of their places. */
static void expect_kept(size_t chunks, size_t places)
{
	assert_int_equal(entries(rig.skel->maps.h2_chunks), chunks);
	assert_int_equal(entries(rig.skel->maps.h2_earlies), places);
}

static void what_overtook_is_forgotten_when_nobody_follows_its_connection_any_more(void **state)
{
	struct loader l = { .skel = rig.skel };
	uint64_t others = 0;

	ordinary();
	anew();
	may_reorder();
	rig_empty_map(rig.skel->maps.h2_chunks);
	rig_empty_map(rig.skel->maps.h2_earlies);
	say_part(CLIENT, 0, 40);
	say_part(CLIENT, 60, said[CLIENT].len);
	expect_kept(1, 1);
	rig_drain();
	loader__h2_forget(&l, 1, follows, &others);
	expect_kept(1, 1); /* it may still come in its turn */
	loader__h2_forget(&l, UINT64_MAX, follows, &name);
	expect_kept(0, 1);
	/* What precedes it comes after all: the bytes that were kept are missing, which is told. */
	say_part(CLIENT, 40, 60);
	rig_drain();
	assert_false(nonsense);
	assert_int_equal(told[CLIENT].losses, 1);
	assert_true(told[CLIENT].next <= 60);
	loader__h2_forget(&l, UINT64_MAX, follows, &others);
	expect_kept(0, 0);
}

/* Another CPU's program may be just finding out what the connection speaks; it is waited for, but not for ever. */
static void who_cannot_find_out_what_is_spoken_says_so(void **state)
{
	const uint32_t busy = 1, free = 0;

	ordinary();
	anew();
	may_reorder();
	say_part(CLIENT, 0, 1);
	state_write(rig_offset("tw_conn", "starting"), &busy, sizeof(busy));
	say_part(CLIENT, 1, said[CLIENT].len / 2);
	state_write(rig_offset("tw_conn", "starting"), &free, sizeof(free));
	say_part(CLIENT, said[CLIENT].len / 2, said[CLIENT].len);
	say_part(SERVER, 0, said[SERVER].len);
	expect_ledger("connections 1, not_http 1, contended 1");
}

static void a_server_may_speak_first(void **state)
{
	ordinary();
	anew();
	/* Its socket knows what it sends first; a test run has none, so the connection is known from the client's SYN.
	 */
	say_part(SERVER, 0, 9);
	say_part(CLIENT, 0, said[CLIENT].len);
	say_part(SERVER, 9, said[SERVER].len);
	expect_told();
}

static void frames_beyond_number_in_one_segment_are_all_told(void **state)
{
	memset(said, 0, sizeof(said));
	say(CLIENT, PREFACE, strlen(PREFACE));
	said[CLIENT].preface = strlen(PREFACE);
	while (said[CLIENT].len < SEGMENT_MAX - 9)
		frame(CLIENT, SETTINGS, 1, 0, 0);
	while (said[SERVER].len < SEGMENT_MAX - 13)
		frame(SERVER, WINDOW_UPDATE, 0, 1, 4);
	anew();
	say_part(CLIENT, 0, said[CLIENT].len);
	say_part(SERVER, 0, said[SERVER].len);
	expect_told();
}

static void a_payload_beyond_the_limit_is_passed_over(void **state)
{
	static const uint8_t head[] = { 1, 0, 1, HEADERS, 4, 0, 0, 0, 1 }; /* 65,537 bytes */

	memset(said, 0, sizeof(said));
	say(CLIENT, PREFACE, strlen(PREFACE));
	say(CLIENT, head, sizeof(head));
	anew();
	say_part(CLIENT, 0, said[CLIENT].len);
	talk.at[CLIENT] = (uint32_t)said[CLIENT].len;
	body(CLIENT, 65537);
	rig_drain();
	assert_false(nonsense);
	assert_int_equal(told[CLIENT].next, said[CLIENT].len);
	assert_int_equal(told[CLIENT].losses, 0);
}

static void closes_and_resets_are_told_of_their_side(void **state)
{
	ordinary();
	anew();
	say_part(CLIENT, 0, said[CLIENT].len);
	over(CLIENT);
	say_part(SERVER, 0, said[SERVER].len);
	over(SERVER);
	fin(CLIENT);
	rst(SERVER);
	expect_told();
	assert_int_equal(told[CLIENT].fins, 1);
	assert_int_equal(told[CLIENT].resets + told[SERVER].fins, 0);
	assert_int_equal(told[SERVER].resets, 1);
}

static void a_reset_that_tcp_would_not_take_is_none(void **state)
{
	ordinary();
	anew();
	say_part(CLIENT, 0, said[CLIENT].len);
	segment(CLIENT, talk.at[CLIENT] + (uint32_t)said[CLIENT].len + 100, NULL, 0, RST | ACK);
	say_part(SERVER, 0, said[SERVER].len);
	expect_told();
	assert_int_equal(told[CLIENT].resets, 0);
}

static int set_up(void **state)
{
	rig_on_h2 = on_record;
	return talk_set_up(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, talk_before, talk_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(heads_and_what_is_wanted_of_payloads_are_told_once_wherever_the_stream_is_cut),
		TEST(whole_frames_are_told_however_many_make_a_segment),
		TEST(every_byte_may_be_a_segment_of_its_own),
		TEST(what_is_sent_again_is_told_once),
		TEST(segments_may_overtake_each_other),
		TEST(segments_may_overtake_what_shows_that_it_is_http2),
		TEST(what_overtook_is_forgotten_when_nobody_follows_its_connection_any_more),
		TEST(who_cannot_find_out_what_is_spoken_says_so),
		TEST(a_server_may_speak_first),
		TEST(frames_beyond_number_in_one_segment_are_all_told),
		TEST(a_payload_beyond_the_limit_is_passed_over),
		TEST(closes_and_resets_are_told_of_their_side),
		TEST(a_reset_that_tcp_would_not_take_is_none),
	};

	return cmocka_run_group_tests(tests, set_up, talk_tear_down);
}
