// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The two hellos as the kernel programs read them. Oracle: messages put together by hand after RFC 8446, 4.1 and 5.1.
 */
#include "../fuzz/kernel_here.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct tw_lane lane;

static void *map_here(const void *map)
{
	return map == &lanes ? &lane : NULL;
}

/* What is read of the message behind the head of a record. */
static int reads(const uint8_t *packet, size_t len)
{
	memset(&lane, 0, sizeof(lane));
	packet_here.bytes = packet;
	packet_here.len = len;
	return tls_hello(NULL, TLS_HEAD, 0);
}

#define RANDOM                                                                                                         \
	1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, \
		31, 32

static void the_certificate_behind_a_server_hello_is_no_extension_of_it(void **state)
{
	/* TLS 1.2 without extensions; a certificate in the same segment, whose bytes read like "version 3.4". */
	static const uint8_t bare[] = { 22, 3, 3, 0, 42, 2, 0,  0, 38, 3, 3, RANDOM, 0, 0xc0, 0x2f, 0, /* */
		                        22, 3, 3, 0, 4,  0, 43, 0, 2,  3, 4 };
	/* The same with one, and a list that ends before. */
	static const uint8_t one[] = { 22, 3,  3,    0, 49, 2, 0, 0, 45, 3, 3, RANDOM, 0, 0xc0, 0x2f, 0, /* */
		                       0,  5,  0xff, 1, 0,  1, 0,                                        /* */
		                       0,  43, 0,    2, 3,  4 };

	assert_int_equal(reads(bare, sizeof(bare)), 2);
	assert_int_equal(lane.hello.version, 0x0303);
	assert_int_equal(lane.hello.cipher, 0xc02f);
	assert_int_equal(reads(one, sizeof(one)), 2);
	assert_int_equal(lane.hello.version, 0x0303);
}

static void data_behind_a_client_hello_names_nobody(void **state)
{
	static const uint8_t zero_rtt[] = { 22, 3, 1,    0, 52, 1, 0, 0, 48, 3,   3,   RANDOM, 0,
		                            0,  2, 0x13, 1, 1,  0,    /* */
		                            0,  5, 0xff, 1, 0,  1, 0, /* */
		                            0,  0, 0,    9, 0,  7, 0, 0, 4,  'e', 'v', 'i',    'l' };

	assert_int_equal(reads(zero_rtt, sizeof(zero_rtt)), 1);
	assert_string_equal(lane.hello.sni, "");
}

static void the_name_and_the_version_of_hellos_in_order_are_theirs(void **state)
{
	static const uint8_t client[] = { 22,   3,  1, 0, 58, 1, 0, 0, 54, 3, 3, RANDOM, 0,   0,   2,
		                          0x13, 1,  1, 0, /* */
		                          0,    13, 0, 0, 0,  9, 0, 7, 0,  0, 4, 's',    'h', 'o', 'p' };
	static const uint8_t server[] = { 22, 3, 3, 0,  50, 2, 0, 0, 46, 3, 3, RANDOM, 0, 0x13, 1, 0, /* */
		                          0,  6, 0, 43, 0,  2, 3, 4 };

	assert_int_equal(reads(client, sizeof(client)), 1);
	assert_string_equal(lane.hello.sni, "shop");
	assert_int_equal(reads(server, sizeof(server)), 2);
	assert_int_equal(lane.hello.version, 0x0304);
	assert_int_equal(lane.hello.cipher, 0x1301);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_certificate_behind_a_server_hello_is_no_extension_of_it),
		cmocka_unit_test(data_behind_a_client_hello_names_nobody),
		cmocka_unit_test(the_name_and_the_version_of_hellos_in_order_are_theirs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
