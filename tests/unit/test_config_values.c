// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * links: config model base
 *
 * Single values as they are written. Oracles: the numbers themselves, and inet_pton.
 */
#include "config_text.h"

#include <arpa/inet.h>

static void durations_are_read_exactly_and_everything_else_is_refused(void **state)
{
	static const struct {
		const char *text;
		double seconds;
	} good[] = { { "30s", 30.0 }, { "5m", 300.0 }, { "1h", 3600.0 }, { "300ms", 0.3 }, { "0.5ms", 0.0005 },
		     { "2.5s", 2.5 }, { "0s", 0.0 },   { "1.1s", 1.1 },  { "007s", 7.0 },  { "277777h", 999997200.0 } };
	static const char *const bad[] = { "",
		                           "s",
		                           "30",
		                           "-1s",
		                           "+1s",
		                           " 1s",
		                           "1 s",
		                           "1s ",
		                           "1d",
		                           "1S",
		                           "1e3s",
		                           "inf s",
		                           "nans",
		                           "0x10s",
		                           "1.s",
		                           ".5s",
		                           "1.",
		                           "1,5s",
		                           "1m30s",
		                           "1..5s",
		                           "ms",
		                           "277778h",
		                           "1000000000001s",
		                           "99999999999999999999999h",
		                           "1s\n",
		                           "\xff" };
	double v = -1.0;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_duration(good[i].text, &v), 0);
		assert_true(v == good[i].seconds);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_duration(bad[i], &v), -EINVAL);
}

static void addresses_are_read_as_inet_pton_reads_them(void **state)
{
	static const struct {
		const char *text, *ipv6;
		int port;
		bool any;
	} good[] = { { "8081", "::", 8081, true },
		     { "1", "::", 1, true },
		     { "65535", "::", 65535, true },
		     { "127.0.0.1:8081", "::ffff:127.0.0.1", 8081, false },
		     { "[::1]:8081", "::1", 8081, false },
		     { "[2001:db8::1]:80", "2001:db8::1", 80, false },
		     { "[::ffff:10.0.0.7]:80", "::ffff:10.0.0.7", 80, false },
		     { "0.0.0.0:80", "::", 80, true },
		     { "[::]:80", "::", 80, true } };
	static const char *const bad[] = { "",
		                           ":",
		                           ":80",
		                           "0",
		                           "65536",
		                           "99999999999",
		                           "080",
		                           "-1",
		                           "80x",
		                           "127.0.0.1",
		                           "127.0.0.1:",
		                           "localhost:80",
		                           "::1:80",
		                           "[::1]",
		                           "[::1]80",
		                           "[]:80",
		                           "[127.0.0.1]:80",
		                           "1.2.3:80",
		                           "1.2.3.4.5:80",
		                           "[fe80::1%eth0]:80",
		                           " 80",
		                           "80 ",
		                           "*:80",
		                           "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80" };
	struct endpoint_addr a;
	uint8_t want[16];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_endpoint_addr(good[i].text, &a), 0);
		assert_int_equal(inet_pton(AF_INET6, good[i].ipv6, want), 1);
		assert_memory_equal(a.addr, want, 16);
		assert_int_equal(a.port, good[i].port);
		assert_int_equal(a.any_addr, good[i].any);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_endpoint_addr(bad[i], &a), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_exactly_and_everything_else_is_refused),
		cmocka_unit_test(addresses_are_read_as_inet_pton_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
