// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Segments as networks deliver them: again, overlapping, out of order, never; and packets that are none. Oracle: what
 * TCP's receiver would hand to the application (RFC 9293, 3.10.7.4), and that an observer never drops a packet.
 */
#include "talk.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define A    "GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n"
#define B    "GET /b HTTP/1.1\r\nHost: example.org\r\n\r\n"
#define A_OK "GET /a 200 answered\n"
#define B_OK "GET /b 200 answered\n"
#define ONE  "requests 1, ended 1, connections 1, decoded 1"
#define TWO  "requests 2, ended 2, connections 1, decoded 1"

/* One exchange that makes the connection one of HTTP. */
static void hello(void)
{
	client("GET /hello HTTP/1.1\r\n\r\n");
	server(OK);
	expect_exchanges("GET /hello 200 answered\n");
}

/* ---- seen before --------------------------------------------------------------------------------------------------
 */

static void a_request_sent_again_is_counted_once(void **state)
{
	part(CLIENT, A, 0, strlen(A));
	part(CLIENT, A, 0, strlen(A));
	sent(CLIENT, A);
	server(OK);
	segment(CLIENT, 0, A, strlen(A), ACK);
	expect_exchanges(A_OK);
	expect_ledger(ONE ", dup_segments 2");
}

static void an_answer_sent_again_is_counted_once(void **state)
{
	client(A);
	part(SERVER, OK, 0, strlen(OK));
	client(B);
	part(SERVER, OK, 0, strlen(OK));
	sent(SERVER, OK);
	expect_exchanges(A_OK);
	server(OK);
	expect_exchanges(B_OK);
	expect_ledger(TWO ", dup_segments 1");
}

static void of_an_overlapping_segment_only_the_new_bytes_count(void **state)
{
	const char *both = A B;
	size_t len = strlen(both);

	for (size_t from = 0; from <= strlen(A); from += 3) {
		part(CLIENT, both, 0, strlen(A));
		part(CLIENT, both, from, len);
		sent(CLIENT, both);
		server(OK OK);
		expect_exchanges(A_OK B_OK);
	}
}

static void a_head_may_be_repeated_in_growing_pieces(void **state)
{
	for (size_t n = 1; n <= strlen(A); n++)
		part(CLIENT, A, 0, n);
	sent(CLIENT, A);
	for (size_t n = 1; n <= strlen(OK); n++)
		part(SERVER, OK, 0, n);
	expect_exchanges(A_OK);
	expect_ledger(ONE);
}

static void a_body_may_be_repeated(void **state)
{
	char filler[1000] = "";

	client("POST /p HTTP/1.1\r\nContent-Length: 3000\r\n\r\n");
	for (uint32_t i = 0; i <= 2000; i += 500)
		segment(CLIENT, talk.at[CLIENT] + i, filler, sizeof(filler), ACK);
	talk.at[CLIENT] += 3000;
	client(A);
	server(OK OK);
	expect_exchanges("POST /p 200 answered\n" A_OK);
	expect_ledger(TWO);
}

static void empty_segments_are_nothing(void **state)
{
	segment(CLIENT, 0, NULL, 0, ACK);
	client(A);
	segment(CLIENT, talk.at[CLIENT], NULL, 0, ACK);
	segment(CLIENT, talk.at[CLIENT] - 1, NULL, 0, ACK); /* keep-alive */
	segment(SERVER, talk.at[SERVER], NULL, 0, ACK);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger(ONE);
}

/* ---- too early ----------------------------------------------------------------------------------------------------
 */

/* The pieces of a text in the order given; each piece is as long as the others, the last takes the rest. */
static void in_order(enum end from, const char *text, const int *order, size_t n)
{
	size_t len = strlen(text), size = len / n;

	for (size_t i = 0; i < n; i++) {
		size_t k = (size_t)order[i];

		part(from, text, k * size, k == n - 1 ? len : (k + 1) * size);
	}
	sent(from, text);
}

static void two_segments_may_swap(void **state)
{
	may_reorder();
	hello();
	in_order(CLIENT, A, (const int[]){ 1, 0 }, 2);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger(TWO ", reordered 1");
}

static void the_first_two_segments_of_a_connection_may_swap(void **state)
{
	may_reorder();
	/* The socket knows what it expects; a test run has none, so one byte comes first. */
	part(CLIENT, A, 0, 1);
	part(CLIENT, A, 20, strlen(A));
	part(CLIENT, A, 1, 20);
	sent(CLIENT, A);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger(ONE ", reordered 1");
}

static void three_segments_may_come_in_any_order(void **state)
{
	static const int orders[6][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 }
	};

	may_reorder();
	hello();
	for (int i = 0; i < 6; i++) {
		in_order(CLIENT, A B, orders[i], 3);
		server(OK OK);
		expect_exchanges(A_OK B_OK);
	}
	expect_ledger("requests 13, ended 13, connections 1, decoded 1, reordered 7");
}

static void eight_segments_may_come_before_the_first(void **state)
{
	may_reorder();
	hello();
	in_order(CLIENT, A B, (const int[]){ 8, 7, 6, 5, 4, 3, 2, 1, 0 }, 9);
	server(OK OK);
	expect_exchanges(A_OK B_OK);
	in_order(CLIENT, A B, (const int[]){ 4, 2, 8, 1, 6, 3, 7, 5, 0 }, 9);
	server(OK OK);
	expect_exchanges(A_OK B_OK);
	expect_ledger("requests 5, ended 5, connections 1, decoded 1, reordered 16");
}

static void segments_that_wait_may_come_again_and_overlap(void **state)
{
	may_reorder();
	hello();
	part(CLIENT, A, 20, 30);
	part(CLIENT, A, 20, 30);
	part(CLIENT, A, 10, 25);
	part(CLIENT, A, 15, strlen(A));
	part(CLIENT, A, 20, 30);
	part(CLIENT, A, 0, 12);
	sent(CLIENT, A);
	server(OK);
	expect_exchanges(A_OK);
	client(B);
	server(OK);
	expect_exchanges(B_OK);
}

static void an_old_segment_that_comes_while_others_wait_is_not_read_again(void **state)
{
	may_reorder();
	hello();
	part(CLIENT, A, 0, 25);
	part(CLIENT, A, 30, strlen(A));
	part(CLIENT, A, 3, 20);
	part(CLIENT, A, 25, 30);
	sent(CLIENT, A);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger(TWO ", dup_segments 1, reordered 1");
}

static void full_ethernet_segments_of_a_head_may_swap(void **state)
{
	char *text = calloc(1, 8192);

	may_reorder();
	hello();
	snprintf(text, 8192, "GET /a?%04000d HTTP/1.1\r\nHost: example.org\r\n\r\n", 0);
	part(CLIENT, text, 1460, 2920);
	part(CLIENT, text, 2920, strlen(text));
	part(CLIENT, text, 0, 1460);
	sent(CLIENT, text);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger(TWO ", reordered 2");
	free(text);
}

static void segments_of_a_large_body_may_come_in_any_order(void **state)
{
	static const int order[] = { 3, 1, 5, 7, 9, 2, 11, 13, 15, 4, 0, 6, 8, 12, 10, 14, 16, 18, 17, 19 };
	char filler[1448];

	may_reorder();
	client("POST /p HTTP/1.1\r\nContent-Length: 28960\r\n\r\n");
	memset(filler, 'x', sizeof(filler));
	for (size_t i = 0; i < 20; i++)
		segment(CLIENT, talk.at[CLIENT] + (uint32_t)order[i] * 1448, filler, sizeof(filler), ACK);
	talk.at[CLIENT] += 28960;
	client(A);
	server(OK OK);
	expect_exchanges("POST /p 200 answered\n" A_OK);
}

static void a_swapped_segment_may_hold_the_end_of_a_body_and_the_next_request(void **state)
{
	static const char text[] = "POST /p HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789" A B;

	may_reorder();
	hello();
	for (size_t cut = 1; cut < strlen(text); cut++) {
		part(CLIENT, text, cut, strlen(text));
		part(CLIENT, text, 0, cut);
		sent(CLIENT, text);
		server(OK OK OK);
		expect_exchanges("POST /p 200 answered\n" A_OK B_OK);
	}
}

static void answers_may_be_reordered_where_they_arrive(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789";

	begin_as(WATCHED_CLIENT, false);
	may_reorder();
	hello();
	for (size_t cut = 1; cut < strlen(answer); cut++) {
		client(A);
		part(SERVER, answer, cut, strlen(answer));
		part(SERVER, answer, 0, cut);
		sent(SERVER, answer);
		expect_exchanges(A_OK);
	}
}

static void a_fin_that_overtakes_the_answer_does_not_cut_it(void **state)
{
	begin_as(WATCHED_CLIENT, false);
	may_reorder();
	hello();
	client(A);
	part(SERVER, OK, 10, strlen(OK));
	segment(SERVER, talk.at[SERVER] + (uint32_t)strlen(OK), NULL, 0, FIN | ACK);
	part(SERVER, OK, 0, 10);
	expect_exchanges(A_OK);
	expect_ledger(TWO ", reordered 1");
}

static void a_fin_in_an_early_segment_closes_in_its_turn(void **state)
{
	static const char answer[] = "HTTP/1.0 200 OK\r\n\r\nuntil the end";

	begin_as(WATCHED_CLIENT, false);
	may_reorder();
	hello();
	client(A);
	segment(SERVER, talk.at[SERVER] + 25, answer + 25, strlen(answer) - 25, FIN | ACK);
	expect_exchanges("");
	part(SERVER, answer, 0, 25);
	expect_exchanges(A_OK);
	expect_ledger(TWO ", reordered 1");
}

static void an_early_segment_after_a_lost_stream_does_not_meet_old_ones(void **state)
{
	may_reorder();
	hello();
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 73; i++)
			segment(CLIENT, talk.at[CLIENT] + 100 + i * 10, "xxxxxxxxxx", 10, ACK);
		talk.at[CLIENT] += 5000;
		server(OK); /* the answer to what was lost */
		client(A);
		server(OK);
		in_order(CLIENT, B, (const int[]){ 2, 1, 0 }, 3);
		server(OK);
		expect_exchanges(A_OK B_OK);
	}
	expect_ledger("requests 7, ended 7, connections 1, decoded 1, desync 3, resync 3, reordered 30");
}

/* ---- never --------------------------------------------------------------------------------------------------------
 */

static void a_gap_that_never_closes_is_a_lost_stream_found_again_at_a_request(void **state)
{
	may_reorder();
	hello();
	client(A);
	for (uint32_t i = 0; i < 72; i++)
		segment(CLIENT, talk.at[CLIENT] + 100 + i * 10, "xxxxxxxxxx", 10, ACK);
	expect_exchanges("");
	segment(CLIENT, talk.at[CLIENT] + 100 + 72 * 10, "xxxxxxxxxx", 10, ACK);
	expect_exchanges("GET /a - unobserved\n");
	talk.at[CLIENT] += 1000;
	client("rest of something\r\n");
	server(OK);
	client(B);
	server(OK);
	expect_exchanges(B_OK);
	expect_ledger("requests 3, ended 3, connections 1, decoded 1, desync 1, resync 1, reordered 8");
}

#define P_HEAD "POST /p HTTP/1.1\r\nContent-Length: 20000\r\n\r\n"
#define P_OK   "POST /p 200 answered\n"

/* All of a request arrives but its first segment: a window's worth. Then that, too. */
static void post_without_its_head(const char *behind)
{
	static char text[24000];
	size_t head = strlen(P_HEAD), whole = head + 20000 + strlen(behind);

	memset(text, 'x', sizeof(text));
	memcpy(text, P_HEAD, head);
	memcpy(text + head + 20000, behind, strlen(behind));
	may_reorder();
	hello();
	for (size_t at = 1400; at < whole; at += 1400)
		part(CLIENT, text, at, at + 1400 < whole ? at + 1400 : whole);
	part(CLIENT, text, 0, 1400);
	talk.at[CLIENT] += (uint32_t)whole;
}

static void a_head_may_come_after_a_windows_worth_of_its_body(void **state)
{
	post_without_its_head("");
	server(OK);
	expect_exchanges(P_OK);
	client(A);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger("requests 3, ended 3, connections 1, decoded 1, reordered 8");
}

static void a_request_that_was_let_go_is_missed_loudly(void **state)
{
	post_without_its_head(B);
	expect_exchanges("POST /p - unobserved\n");
	server(OK);
	client(A);
	server(OK);
	expect_exchanges(A_OK);
	expect_ledger("requests 3, ended 3, connections 1, decoded 1, desync 1, resync 1, reordered 8");
}

static void a_gap_in_what_leaves_is_a_lost_stream(void **state)
{
	client(A);
	talk.at[SERVER] += 10;
	server("Content-Length: 0\r\n\r\n");
	expect_exchanges("GET /a - unobserved\n");
	client(B);
	server(OK);
	expect_exchanges(B_OK);
	expect_ledger(TWO ", desync 1, resync 1");
}

static void an_old_request_sent_again_after_a_loss_is_not_a_new_one(void **state)
{
	uint32_t old;

	hello();
	old = talk.at[CLIENT];
	client(A);
	server(OK);
	client("\x01\x02\x03\r\n");
	server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	segment(CLIENT, old, A, strlen(A), ACK);
	client(B);
	server(OK);
	expect_exchanges(A_OK B_OK);
	expect_ledger("requests 3, ended 3, connections 1, decoded 1, desync 1, resync 1, dup_segments 1");
}

/* ---- shapes of packets --------------------------------------------------------------------------------------------
 */

static void ipv6_is_the_same(void **state)
{
	begin_as(WATCHED_SERVER, true);
	may_reorder();
	may_pipeline();
	hello();
	in_order(CLIENT, A B, (const int[]){ 2, 1, 0 }, 3);
	server(OK OK);
	expect_exchanges(A_OK B_OK);
	for (int i = 0; i < 6; i++)
		client(A);
	for (int i = 0; i < 6; i++)
		server(OK);
	expect_exchanges(A_OK A_OK A_OK A_OK A_OK A_OK);
	expect_ledger("requests 9, ended 9, connections 1, decoded 1, reordered 2");
}

static void ip_and_tcp_options_are_passed_over(void **state)
{
	for (unsigned int ip = 0; ip <= 40; ip += 4)
		for (unsigned int tcp = 0; tcp <= 40; tcp += 4) {
			begin();
			talk.ip_options = ip;
			talk.tcp_options = tcp;
			in_pieces(CLIENT, A, 16);
			server(OK);
			expect_exchanges(A_OK);
			done();
		}
	expect_ledger("requests 121, ended 121, connections 121, decoded 121");
}

static void a_request_may_come_in_the_syn(void **state)
{
	segment(CLIENT, (uint32_t)-1, A, strlen(A), SYN);
	sent(CLIENT, A);
	client(B);
	server(OK OK);
	expect_exchanges(A_OK B_OK);
	expect_ledger(TWO);
}

static void hello_is_nothing(void)
{
	client(A);
	server(OK);
	expect_exchanges("");
	done();
}

static void ports_that_nobody_watches_are_not_looked_at(void **state)
{
	talk.server_port = RIG_SERVER_PORT + 1;
	hello_is_nothing();
	begin_as(WATCHED_CLIENT, false);
	talk.server_port = RIG_SERVER_PORT; /* watched, but as a server of ours */
	hello_is_nothing();
	expect_ledger("");
}

/* ---- packets that are none ----------------------------------------------------------------------------------------
 */

/* Both programs let it pass; a packet so short that the kernel refuses to run it is as good. */
static void passes(const struct packet *p)
{
	for (int in = 0; in < 2; in++) {
		int ret = packet_run(p, in, 0);

		if (ret != 1 && ret != -EINVAL)
			fail_msg("a packet of %zu bytes: %d", p->len, ret);
	}
}

static void packets_cut_anywhere_in_their_headers_pass(void **state)
{
	struct packet p;

	for (int v6 = 0; v6 < 2; v6++) {
		begin_as(WATCHED_SERVER, v6);
		talk.ip_options = v6 ? 0 : 8;
		talk.tcp_options = 12;
		packet_build(&p, &talk, CLIENT, 1, A, strlen(A), ACK);
		for (size_t len = 0; len < p.payload; len++) {
			struct packet cut = p;

			cut.len = len;
			passes(&cut);
		}
		done();
	}
	expect_exchanges("");
	expect_ledger("");
}

static void lengths_in_headers_are_not_believed(void **state)
{
	struct packet p;

	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned int ihl = 0; ihl < 16; ihl++)
			for (unsigned int doff = 0; doff < 16; doff++) {
				begin_as(WATCHED_SERVER, v6);
				packet_build(&p, &talk, CLIENT, 1, "GET", 3, ACK);
				p.bytes[p.ip] = (uint8_t)((v6 ? 0x60 : 0x40) | ihl);
				p.bytes[p.tcp + 12] = (uint8_t)(doff << 4);
				passes(&p);
				done();
			}
	expect_exchanges("");
	assert_int_equal(rig_row(RIG_SERVER_VERSION).c[TW_L_REQUESTS], 0);
}

static void packets_of_other_protocols_pass(void **state)
{
	struct packet p;

	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned int protocol = 0; protocol < 256; protocol++) {
			if (protocol == IPPROTO_TCP)
				continue;
			begin_as(WATCHED_SERVER, v6);
			packet_build(&p, &talk, CLIENT, 1, A, strlen(A), ACK);
			p.bytes[p.ip + (v6 ? 6 : 9)] = (uint8_t)protocol; /* also IPv6's extension headers */
			passes(&p);
		}
	for (unsigned int version = 0; version < 16; version++) {
		if (version == 4)
			continue;
		begin();
		packet_build(&p, &talk, CLIENT, 1, A, strlen(A), ACK);
		p.bytes[p.ip] = (uint8_t)(version << 4 | 5);
		passes(&p);
	}
	expect_exchanges("");
	expect_ledger("");
}

/* IP puts datagrams together before the hook of what arrives, and takes them apart behind that of what leaves. */
static void fragments_pass(void **state)
{
	struct packet p;

	packet_build(&p, &talk, CLIENT, 1, A, strlen(A), ACK);
	put16(p.bytes + p.ip + 6, 0x2000 | 185); /* in the middle of a datagram */
	passes(&p);
	put16(p.bytes + p.ip + 6, 185); /* its end */
	passes(&p);
}

static void any_flags_pass(void **state)
{
	struct packet p;

	for (unsigned int flags = 0; flags < 256; flags++) {
		begin();
		for (size_t len = 0; len <= 20; len += 10) {
			packet_build(&p, &talk, CLIENT, talk.isn[CLIENT], A, len, (uint8_t)flags);
			passes(&p);
		}
		done();
	}
	expect_exchanges("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_sent_again_is_counted_once),
		TEST(an_answer_sent_again_is_counted_once),
		TEST(of_an_overlapping_segment_only_the_new_bytes_count),
		TEST(a_head_may_be_repeated_in_growing_pieces),
		TEST(a_body_may_be_repeated),
		TEST(empty_segments_are_nothing),
		TEST(two_segments_may_swap),
		TEST(the_first_two_segments_of_a_connection_may_swap),
		TEST(three_segments_may_come_in_any_order),
		TEST(eight_segments_may_come_before_the_first),
		TEST(segments_that_wait_may_come_again_and_overlap),
		TEST(an_old_segment_that_comes_while_others_wait_is_not_read_again),
		TEST(full_ethernet_segments_of_a_head_may_swap),
		TEST(segments_of_a_large_body_may_come_in_any_order),
		TEST(a_swapped_segment_may_hold_the_end_of_a_body_and_the_next_request),
		TEST(answers_may_be_reordered_where_they_arrive),
		TEST(a_fin_that_overtakes_the_answer_does_not_cut_it),
		TEST(a_fin_in_an_early_segment_closes_in_its_turn),
		TEST(an_early_segment_after_a_lost_stream_does_not_meet_old_ones),
		TEST(a_gap_that_never_closes_is_a_lost_stream_found_again_at_a_request),
		TEST(a_head_may_come_after_a_windows_worth_of_its_body),
		TEST(a_request_that_was_let_go_is_missed_loudly),
		TEST(a_gap_in_what_leaves_is_a_lost_stream),
		TEST(an_old_request_sent_again_after_a_loss_is_not_a_new_one),
		TEST(ipv6_is_the_same),
		TEST(ip_and_tcp_options_are_passed_over),
		TEST(a_request_may_come_in_the_syn),
		TEST(ports_that_nobody_watches_are_not_looked_at),
		TEST(packets_cut_anywhere_in_their_headers_pass),
		TEST(lengths_in_headers_are_not_believed),
		TEST(packets_of_other_protocols_pass),
		TEST(fragments_pass),
		TEST(any_flags_pass),
	};

	return cmocka_run_group_tests(tests, talk_set_up, talk_tear_down);
}
