/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The services of a host, as `tillwatch top` shows them. Oracle: texts written by hand. */
#include "show_shop.h"

static void top_shows_the_busiest_service_first_and_names_the_quiet_ones(void **state)
{
	struct fixture *busy = shop(), *calm = shop(), *quiet = shop(), *hanging = shop();
	const struct comparison *services[] = { &quiet->c, &calm->c, &busy->c, &hanging->c };
	char *text;

	for (int i = 0; i < 2; i++) {
		memset(&busy->ep[i].arm[ARM_CANARY], 0, sizeof(busy->ep[i].arm[ARM_CANARY]));
		memset(&calm->ep[i].arm[ARM_CANARY], 0, sizeof(calm->ep[i].arm[ARM_CANARY]));
		busy->ep[i].critical = calm->ep[i].critical = false;
	}
	busy->c.traffic = (struct service_traffic){ .connections = 77, .http1 = 1000, .http2 = 12345 };
	calm->c.traffic = (struct service_traffic){ .connections = 3, .http1 = 12345 };
	busy->c.service = "nginx 127.0.0.1:80";
	calm->c.service = "node [::1]:3000";
	calm->c.n_endpoints = 1;
	quiet->c.service = "redis 0.0.0.0:6379";
	quiet->c.n_endpoints = quiet->c.n_notes = 0;
	quiet->c.ledger.in_flight = 1003; /* of all services together, as each of them has it */
	hanging->c.service = "chat 0.0.0.0:7000";
	hanging->c.n_endpoints = hanging->c.n_notes = 0;
	hanging->c.traffic.in_flight = 1003;
	text = shown_top(services, 4, SHOW_TERMINAL, 80, 24);
	without_cursor(text);
	assert_string_equal(text, "  ENDPOINT               REQUESTS     /S         ERRORS     p50     p95     p99\n"
	                          "nginx 127.0.0.1:80 (HTTP/1, HTTP/2): 13,345 requests, 222/s, 77 connections\n"
	                          "  GET /                    12,345    206       0     0%  977 us  977 us  977 us\n"
	                          "  POST /pay                 1,000   16.7       5  0.50% 1.95 ms 1.95 ms 1.95 ms\n"
	                          "node [::1]:3000 (HTTP/1): 12,345 requests, 206/s, 3 connections\n"
	                          "  GET /                    12,345    206       0     0%  977 us  977 us  977 us\n"
	                          "\n"
	                          "Under way, none has ended yet: chat 0.0.0.0:7000 (1,003)\n"
	                          "No requests yet: redis 0.0.0.0:6379\n"
	                          "Overhead: kernel 450 ns per request, agent 0.17% of a core and 20.0 MiB\n");
	free(text);
	text = shown_top(services, 4, SHOW_LINES, 0, 0);
	assert_non_null(
		strstr(text, "service nginx 127.0.0.1:80 requests=13345 rate=222.42 protocols=HTTP/1,HTTP/2\n"));
	assert_non_null(strstr(
		text, "endpoint \"POST /pay\" service=nginx 127.0.0.1:80 requests=1000 rate=16.67 errors=5(0.50%) "
		      "p50=1.95ms p95=1.95ms p99=1.95ms\n"));
	assert_non_null(strstr(text, "under_way chat 0.0.0.0:7000 (1,003)\n"));
	assert_non_null(strstr(text, "waiting redis 0.0.0.0:6379\n"));
	free(text);
	text = shown_top(NULL, 0, SHOW_TERMINAL, 80, 24);
	assert_non_null(strstr(text, "No service listens on this host yet"));
	free(text);
	close_shop(busy);
	close_shop(calm);
	close_shop(quiet);
	close_shop(hanging);
}

static void top_tells_grpc_from_other_http2_by_its_endpoints(void **state)
{
	struct fixture *rest = shop(), *calls = shop();
	const struct comparison *services[] = { &rest->c, &calls->c };
	char *text;

	for (int i = 0; i < 2; i++) {
		memset(&rest->ep[i].arm[ARM_CANARY], 0, sizeof(rest->ep[i].arm[ARM_CANARY]));
		memset(&calls->ep[i].arm[ARM_CANARY], 0, sizeof(calls->ep[i].arm[ARM_CANARY]));
	}
	rest->c.service = "rest";
	calls->c.service = "calls";
	rest->c.traffic = (struct service_traffic){ .connections = 2, .http2 = 12 };
	calls->c.traffic = (struct service_traffic){ .connections = 2, .http2 = 12 };
	calls->ep[1].name = "gRPC /shop.Checkout/Pay";
	rest->ep[2].name = "gRPC /shop.Checkout/Never"; /* nobody called it */
	text = shown_top(services, 2, SHOW_TERMINAL, 80, 24);
	assert_non_null(strstr(text, "rest (HTTP/2): "));
	assert_non_null(strstr(text, "calls (HTTP/2, gRPC): "));
	free(text);
	text = shown_top(services, 2, SHOW_LINES, 0, 0);
	assert_non_null(strstr(text, "service rest requests=13345 rate=222.42 protocols=HTTP/2\n"));
	assert_non_null(strstr(text, "service calls requests=13345 rate=222.42 protocols=HTTP/2,gRPC\n"));
	free(text);
	close_shop(rest);
	close_shop(calls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(top_shows_the_busiest_service_first_and_names_the_quiet_ones),
		cmocka_unit_test(top_tells_grpc_from_other_http2_by_its_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
